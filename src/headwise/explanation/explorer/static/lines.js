"use strict";
// Attention between words as lines: queries on the left, keys on the right, the darker the larger the weight.

const MOST_LINED = 32; // tokens, up to which all have a place and all lines are drawn
const LEAST_LINE = 0.05; // weight of the thinnest line
const QUERIES_SHOWN = 15; // of more tokens: the selected query among its neighbours
const KEYS_SHOWN = 12; // and the keys with its largest weights
const ROW = 20; // units from word to word
const [LETTER, GAP, LENGTH] = [7.4, 8, 150]; // width of a letter, from a word to its lines, and width of the lines

Headwise.linesView = (input, weights, act) => {
  const svg = shape("svg", { class: "lines", role: "img" });
  const hint = Headwise.element("p", { class: "hint" });
  const element = Headwise.element("div", { class: "framed" }, svg, hint);
  const complete = Math.max(weights.queries, weights.keys) <= MOST_LINED;
  const queries = complete ? Headwise.queryLabels(input) : input.queries ?? input.keys; // of many, with their numbers

  let [left, right] = [0, 0]; // ends of the lines
  const word = (label, x, y, anchor, chosen, choose) => {
    const text = shape("text", { x, y, "text-anchor": anchor, "dominant-baseline": "central", class: chosen ? "chosen" : "", fill: Headwise.ink(chosen) });
    text.textContent = label;
    text.addEventListener("click", choose);
    return text;
  };
  const line = (y1, y2, share, chosen) => shape("line", {
    x1: left, y1, x2: right, y2, stroke: Headwise.lineColour(chosen), "stroke-width": chosen ? 2.5 : 1.5, "stroke-opacity": Math.sqrt(Math.min(1, share)).toFixed(3),
  });

  const show = (view, n, m) => {
    const units = weights.units(view, n);
    const around = Math.max(0, Math.min(weights.queries - QUERIES_SHOWN, n - Math.floor(QUERIES_SHOWN / 2)));
    const rows = complete ? [...queries.keys()] : [...queries.keys()].slice(around, around + QUERIES_SHOWN);
    const columns = complete ? [...input.labels.keys()] : Headwise.largest(units, KEYS_SHOWN).sort((a, b) => a - b);
    const height = ROW * Math.max(rows.length, columns.length, 1);
    const place = (list, i) => ROW * (i + 0.5) + (height - ROW * list.length) / 2;
    const labels = [rows.map((row) => queries[row] || "␣"), columns.map((key) => (complete ? input.labels[key] || "␣" : `${input.keys[key]}: ${weights.text(units[key])}`))];
    const [before, after] = labels.map((words) => LETTER * Math.max(...words.map((label) => label.length), 1));
    left = before + GAP;
    right = left + LENGTH;
    svg.setAttribute("viewBox", `0 0 ${right + GAP + after} ${height}`);
    svg.style.maxWidth = `${right + GAP + after}px`;
    const lines = rows.filter((row) => complete || row === n).flatMap((row) => columns.map((key) => [row, key, weights.units(view, row)[key] / weights.one]))
      .filter(([row, , share]) => share >= LEAST_LINE || (!complete && row === n && share > 0))
      .sort(([a], [b]) => (a === n) - (b === n)); // the selected query's are drawn last
    svg.replaceChildren(
      ...lines.map(([row, key, share]) => line(place(rows, rows.indexOf(row)), place(columns, columns.indexOf(key)), share, row === n)),
      ...rows.map((row, i) => word(labels[0][i], left - GAP, place(rows, i), "end", row === n, () => act.choose({ from: row, to: null }))),
      ...columns.map((key, i) => word(labels[1][i], right + GAP, place(columns, i), "start", key === m, () => act.choose({ to: key }))));
    svg.setAttribute("aria-label", `Lines from queries to keys, ${Headwise.viewName(view)}. ${Headwise.sentence(input, weights, view, n, m)}`);
    hint.textContent = complete
      ? `Queries are on the left, keys on the right; weights below ${LEAST_LINE} have no line, and a line’s opacity is the square root of its weight. Those of the selected query are orange; click a word to select it.`
      : `Queries are on the left; on the right ${columns.length === 1 ? "is the key with the largest weight" : `are the ${columns.length} keys with the largest weights`} of the selected query, in their order. A line’s opacity is the square root of its weight; click a word to select it.`;
  };
  return { element, show };
};

const shape = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// colours as attributes, so that a saved file has them
Headwise.ink = (chosen) => (Headwise.theme() === "dark" ? (chosen ? "#ff9d5c" : "#e4e9ee") : chosen ? "#c2571a" : "#1b1f24");
Headwise.lineColour = (chosen) => (Headwise.theme() === "dark" ? (chosen ? "#ff9d5c" : "#86c0e8") : chosen ? "#c2571a" : "#1f4e8c");
