"use strict";
// All heads as small pictures, of which one is selected; filtered by role.

const SMALL = 24; // pixels of a small matrix

Headwise.viewName = (view) => {
  const [layer, head] = view.split(".");
  if (head === undefined) return view === "mean" ? "mean over all heads" : "rollout";
  return head === "mean" ? `layer ${layer}, mean over heads` : `layer ${layer}, head ${head}`;
};

Headwise.headsView = (input, weights, group, act) => {
  const grid = Headwise.element("div", { class: "choices" });
  grid.style.setProperty("--columns", input.heads + 1);
  if (input.heads > 16) grid.classList.add("many");
  const role = Object.fromEntries(input.roles.flatMap(({ phrase, views }) => views.map((view) => [view, phrase])));
  const heading = (text, name = "heading") => Headwise.element("span", { class: name }, text);
  const word = (head) => (input.heads > 5 ? String(head) : `head ${head}`);
  grid.append(heading(input.heads > 5 ? "head" : "", "heading corner"), ...[...Array(input.heads).keys()].map((head) => heading(word(head))), heading("mean"));
  for (const view of input.views) {
    const [layer, head] = view.split(".");
    if (head === "0") grid.append(heading(`layer ${layer}`, "heading row"));
    if (head === undefined) grid.append(heading(view === "mean" ? "mean of all" : "rollout", `heading whole ${view}`));
    const label = Headwise.viewName(view) + (role[view] ? `: ${role[view]}` : "");
    const button = Headwise.element("input", { type: "radio", name: `${group}-view`, value: view, "aria-label": label });
    button.addEventListener("change", () => act.choose({ view }));
    grid.append(Headwise.element("label", { title: label, "data-choice": view }, button, Headwise.element("canvas", { "aria-hidden": "true" })));
  }
  const filter = roleFilter(input, act);
  const element = Headwise.element("fieldset", { class: "heads" }, Headwise.element("legend", {}, "Layer and head"),
    filter.element, Headwise.element("div", { class: "scroll" }, grid),
    Headwise.element("p", { class: "hint" }, input.kind === "image"
      ? "Each picture is one head: the weights of the selected token, on the image."
      : `Each picture is one head: its matrix of weights, a row for each query${Math.max(weights.queries, weights.keys) > SMALL ? ", several tokens in a pixel" : ""}.`));

  let painted = null; // the query whose maps are drawn, or the theme of matrices
  const paint = (from) => {
    const wanted = input.kind === "image" ? `${Headwise.theme()} ${from}` : Headwise.theme();
    if (wanted === painted) return;
    painted = wanted;
    for (const label of grid.querySelectorAll("label")) {
      const view = label.dataset.choice;
      const picture = input.kind === "image" ? Headwise.mapOf(input, weights.shares(view, from), weights.end(view)) : smallMatrix(weights, view);
      Headwise.paint(label.querySelector("canvas"), ...picture);
    }
  };
  const select = (view, name) => {
    const members = input.roles.find((each) => each.name === name)?.views;
    grid.querySelectorAll("input").forEach((button) => {
      button.checked = button.value === view;
      button.disabled = members !== undefined && !members.includes(button.value);
    });
    filter.select(name);
  };
  return { element, paint, select };
};

// a button for each role, with the number of its heads
const roleFilter = (input, act) => {
  const element = Headwise.element("div", { class: "roles", role: "group", "aria-label": "Show heads of one role" });
  const all = { name: "", phrase: "all heads", statistic: "", views: input.views.filter((view) => /\.\d/.test(view)) };
  const buttons = [all, ...input.roles].map(({ name, phrase, statistic, source, views }) => {
    const title = statistic ? `${statistic[0].toUpperCase()}${statistic.slice(1)}. ${source}` : "";
    const button = Headwise.element("button", { type: "button", value: name, title }, `${phrase} `, Headwise.element("b", {}, String(views.length)));
    button.addEventListener("click", () => act.filter(name, views));
    return button;
  });
  element.append(...buttons, input.roles.length ? "" : Headwise.element("span", { class: "heading" }, "no head has a role beyond chance"));
  return { element, select: (name) => buttons.forEach((button) => button.setAttribute("aria-pressed", button.value === name)) };
};

// a matrix in few pixels: for each query the largest weight on a block of keys, and the mean of these over a block of queries
const smallMatrix = (weights, view) => {
  const [rows, columns] = [Math.min(SMALL, weights.queries), Math.min(SMALL, weights.keys)];
  const total = new Float32Array(rows * columns);
  const count = new Uint16Array(rows);
  const largest = new Int32Array(columns);
  for (let n = 0; n < weights.queries; n += 1) {
    const row = Math.floor((n * rows) / weights.queries);
    largest.fill(0);
    weights.each(view, n, (key, units) => {
      const column = Math.floor((key * columns) / weights.keys);
      if (units > largest[column]) largest[column] = units;
    });
    for (let column = 0; column < columns; column += 1) total[row * columns + column] += largest[column];
    count[row] += 1;
  }
  const end = weights.end(view) * weights.one;
  return [columns, rows, Array.from(total, (sum, i) => Headwise.colour(sum / count[Math.floor(i / columns)] / end))];
};
