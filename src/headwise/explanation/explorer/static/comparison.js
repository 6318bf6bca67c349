"use strict";
// What differs between two inputs or models: the tested measures, and the heads that differ most.

Headwise.comparisonView = (comparison, names, choose) => {
  const table = Headwise.element("table", {}, Headwise.element("thead"), Headwise.element("tbody"));
  const headings = ["mean over heads", names[0], names[1], "difference", "95% interval", "p, corrected"];
  table.tHead.append(Headwise.element("tr", {}, ...headings.map((text) => Headwise.element("th", { scope: "col" }, text))));
  for (const [name, ...cells] of comparison.rows) {
    const significant = cells.pop();
    table.tBodies[0].append(Headwise.element("tr", { class: significant ? "significant" : "" },
      Headwise.element("th", { scope: "row" }, name), ...cells.map((cell) => Headwise.element("td", {}, cell))));
  }
  const words = Headwise.element("p", { class: "hint" });
  words.innerHTML = comparison.sentences;
  const element = Headwise.element("section", { class: "comparison", "aria-label": "Comparison" },
    Headwise.element("h2", {}, "What differs"), Headwise.element("div", { class: "scroll" }, table), words);
  if (comparison.different.length) {
    const buttons = comparison.different.map(([view, distance]) => {
      const button = Headwise.element("button", { type: "button" }, `${Headwise.viewName(view)} `, Headwise.element("b", {}, distance));
      button.addEventListener("click", () => choose(view));
      return button;
    });
    element.append(Headwise.element("p", { class: "hint" }, "The same head differs most (Jensen–Shannon distance from 0 to 1, mean over queries) in"),
      Headwise.element("div", { class: "roles" }, ...buttons));
  }
  return element;
};
