"use strict";
// What is read of the selected token: a sentence, its largest weights, the measures, and the row as a table.

Headwise.sentence = (input, weights, view, n, m) => {
  const units = weights.units(view, n);
  const capital = (words) => words[0].toUpperCase() + words.slice(1);
  const queries = input.queries ?? input.keys;
  if (m !== null) return `${capital(queries[n])}: weight ${weights.text(units[m])} on ${input.keys[m]}.`;
  const [most] = Headwise.largest(units, 1);
  if (most === undefined) return `${capital(queries[n])}: no weight is larger than ${weights.text(Math.max(1, input.least))}.`;
  const target = input.queries === null && most === n ? "itself" : input.keys[most];
  return `${capital(queries[n])} attends most to ${target}: ${weights.text(units[most])}.`;
};

// the keys with the largest weights, as buttons that select them
Headwise.largestView = (input, weights, act) => {
  const element = Headwise.element("ol", { class: "largest", "aria-label": "Largest weights" });
  const show = (view, n, m) => {
    const units = weights.units(view, n);
    const end = Math.max(...units, 1);
    element.replaceChildren(...Headwise.largest(units, 5).map((key) => {
      const bar = Headwise.element("i");
      bar.style.width = `${(100 * units[key]) / end}%`;
      const button = Headwise.element("button", { type: "button", "aria-pressed": key === m }, bar,
        Headwise.element("span", {}, input.keys[key]), Headwise.element("span", { class: "share" }, weights.text(units[key])));
      button.addEventListener("click", () => act.choose({ to: key === act.state().to ? null : key }));
      return Headwise.element("li", {}, button);
    }));
  };
  return { element, show };
};

Headwise.numbersView = (input) => {
  const table = Headwise.element("table", {}, Headwise.element("thead"), Headwise.element("tbody"));
  const rows = (input.queries ?? input.keys).length;
  const show = (view, n) => {
    const index = input.views.indexOf(view);
    const name = (input.queries ?? input.keys)[n].replace(/^the /, "").replace(/ \(row.*/, "");
    table.tHead.replaceChildren(Headwise.element("tr", {}, Headwise.element("td"),
      Headwise.element("th", { scope: "col" }, name), Headwise.element("th", { scope: "col" }, "all, mean")));
    table.tBodies[0].replaceChildren(...Object.entries(input.measures).map(([key, measure]) => {
      const value = (whole) => (whole < 0 ? "–" : Headwise.spelled(whole, measure.decimals) + (measure.unit === "%" ? "%" : ""));
      const unit = measure.unit && measure.unit !== "%" ? `, ${measure.unit}` : "";
      return Headwise.element("tr", { "data-measure": key },
        Headwise.element("th", { scope: "row" }, measure.name + unit),
        Headwise.element("td", { class: "row" }, value(input.rows[key]?.[index * rows + n] ?? -1)),
        Headwise.element("td", { class: "mean" }, value(input.means[key][index])));
    }));
  };
  const without = input.prefix.length ? `, without ${input.measures.class.name.replace("weight on ", "")}` : "";
  const first = ["entropy", "effective", "distance", "ink"].filter((key) => key in input.measures).length;
  const hint = Headwise.element("p", { class: "hint" },
    `The first ${["none", "one", "two", "three", "four"][first]} describe a token’s weights on the ${{ image: "image", text: "text", series: "series", other: "input" }[input.kind]}’s tokens${without}.`);
  return { element: Headwise.element("div", {}, Headwise.element("div", { class: "scroll" }, table), hint), show };
};

// the row as a table; a long one is filled only while it is open
Headwise.listView = (input, weights) => {
  const box = Headwise.element("div", { class: "scroll" });
  const element = Headwise.element("details", { class: "listed" }, Headwise.element("summary", {}, "The selected token’s weights as a table"), box);
  let shown = null;
  const fill = () => {
    const units = weights.units(...shown);
    const body = Headwise.element("tbody", {}, ...Array.from(units, (whole, key) => Headwise.element("tr", {},
      Headwise.element("th", { scope: "row" }, input.keys[key]), Headwise.element("td", {}, weights.text(whole)))));
    const head = Headwise.element("thead", {}, Headwise.element("tr", {}, Headwise.element("td"), Headwise.element("th", { scope: "col" }, "weight")));
    box.replaceChildren(Headwise.element("table", {}, head, body));
  };
  element.addEventListener("toggle", () => { if (element.open && shown) fill(); });
  return { element, show: (view, n) => { shown = [view, n]; if (element.open || weights.keys <= 100) fill(); } };
};

Headwise.scaleView = (input, weights) => {
  const canvas = Headwise.element("canvas");
  const ticks = Headwise.element("div", { class: "ticks", "aria-hidden": "true" });
  const bar = Headwise.element("div", { class: "scale", role: "img" }, canvas, ticks);
  const hint = Headwise.element("p", { class: "hint" });
  const show = (view) => {
    const end = weights.end(view);
    Headwise.paint(canvas, 200, 1, Array.from({ length: 200 }, (_, i) => Headwise.colour((i / 199) ** 2)));
    const shares = end < 0.1 ? [0, 0.05, 0.2, 0.5, 1] : [0, 0.01, 0.05, 0.2, 0.5, 1]; // small numbers are long
    const values = shares.map((share) => share * end);
    const digits = end === 1 ? undefined : 2;
    ticks.replaceChildren(...values.map((value) => {
      const tick = Headwise.element("span", {}, String(digits ? Number(value.toPrecision(digits)) : value));
      tick.style.left = `${100 * Math.sqrt(value / end)}%`;
      return tick;
    }));
    const same = input.ends.every((each) => each === input.ends[0]);
    const clipped = `Each view has its own colour scale, up to the weight that 0.1% of its weights exceed: here ${Number(end.toPrecision(2))}.`;
    hint.textContent = same ? "All views share this colour scale." : clipped;
    bar.setAttribute("aria-label", `Colour scale: the square root of the weight, from 0 to ${Number(end.toPrecision(2))}`);
  };
  const rest = input.least > 1 ? Headwise.element("p", { class: "hint" }, `To keep the page small, weights below ${Headwise.spelled(input.least, input.decimals)} are not stored one by one; each is drawn as the mean of what remains of its row. Larger weights are rounded to ${Headwise.spelled(1, input.decimals)}.`) : "";
  return { element: Headwise.element("div", {}, bar, hint, rest), show };
};
