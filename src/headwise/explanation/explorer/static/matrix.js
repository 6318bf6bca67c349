"use strict";
// The matrix of a view: a row for each query, a column for each key; of a large one, a part at a time.

const SIDE_OF_PART = 256; // rows and columns of a large matrix that are shown at once
const LARGE = 320; // a matrix with more rows or columns is large
const FLATTEST = 4; // of its height: a wider matrix is stretched
const MOST_WORDS = 32; // up to which rows and columns have their words

Headwise.matrixView = (input, weights, act) => {
  const canvas = Headwise.element("canvas", { "aria-hidden": "true" });
  const [rowMark, cellMark] = ["row-mark", "cell-mark"].map((name) => Headwise.element("div", { class: name }));
  const dots = Headwise.element("canvas", { class: "dots", "aria-hidden": "true" });
  const square = Headwise.element("div", { class: "square", role: "application", tabindex: "0", "aria-roledescription": "matrix" }, canvas, ...(weights.drawDots ? [dots] : []), rowMark, cellMark);
  const worded = input.kind !== "image" && input.kind !== "series" && Math.max(weights.queries, weights.keys) <= MOST_WORDS;
  const framed = Headwise.element("div", { class: worded ? "framed worded" : "framed" }, square);
  const words = worded ? axisWords(input, framed) : { mark: () => {} };
  const fit = (count) => (count > LARGE ? SIDE_OF_PART : count);
  const size = { rows: fit(weights.queries), columns: fit(weights.keys) };
  const start = { row: 0, column: 0 };
  const partial = size.rows < weights.queries || size.columns < weights.keys;
  square.style.aspectRatio = String(Math.min(FLATTEST, size.columns / size.rows));
  const part = Headwise.element("p", { class: "hint part-of-matrix" });
  const element = Headwise.element("div", {}, framed, part);

  const clip = (i, count) => Math.min(count - 1, Math.max(0, i));
  const cellAt = (event) => {
    const frame = square.getBoundingClientRect();
    const place = (where, from, length, count) => clip(Math.floor(((where - from) / length) * count), count);
    return [start.row + place(event.clientY, frame.top, frame.height, size.rows), start.column + place(event.clientX, frame.left, frame.width, size.columns)];
  };
  square.addEventListener("pointermove", (event) => {
    const [n, m] = cellAt(event);
    if (event.pointerType !== "touch") act.hover({ from: n, to: m });
  });
  square.addEventListener("pointerleave", () => act.hover({}));
  square.addEventListener("click", (event) => { const [n, m] = cellAt(event); act.choose({ from: n, to: m }); });
  square.addEventListener("keydown", (event) => {
    const [dn, dm] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
    if (event.key === "Escape") act.choose({ to: null });
    else if (!dn && !dm) return;
    else {
      const { from, to } = act.state();
      act.choose({ from: clip(from + dn, weights.queries), to: clip((to ?? clip(from, weights.keys)) + dm, weights.keys) });
    }
    event.preventDefault();
  });

  // the part that has a query and, if it can, a key
  const moveTo = (n, m) => {
    const inside = (i, first, length) => i >= first && i < first + length;
    const around = (i, length, count) => Math.max(0, Math.min(count - length, i - Math.floor(length / 2)));
    const before = `${start.row} ${start.column}`;
    if (!inside(n, start.row, size.rows)) start.row = around(n, size.rows, weights.queries);
    if (m !== null && !inside(m, start.column, size.columns)) start.column = around(m, size.columns, weights.keys);
    if (m === null && input.queries === null) start.column = start.row;
    return before !== `${start.row} ${start.column}`;
  };

  const colours = (view) => {
    const end = weights.end(view);
    return Array.from({ length: size.rows }, (_, i) =>
      Array.from(weights.shares(view, start.row + i).subarray(start.column, start.column + size.columns), (share) => weights.colour(share / end))).flat();
  };
  let painted = "";
  const paint = (view, n, m) => {
    if (partial) moveTo(n, m);
    const wanted = `${view} ${start.row} ${start.column} ${Headwise.theme()}`;
    if (wanted === painted) return;
    painted = wanted;
    Headwise.paint(canvas, size.columns, size.rows, colours(view));
    weights.drawDots?.(dots, view, start, size);
    part.textContent = partial ? `Queries ${start.row + 1} to ${start.row + size.rows} of ${weights.queries}, keys ${start.column + 1} to ${start.column + size.columns} of ${weights.keys}; the part follows the selected tokens.` : "";
  };
  const mark = (n, m) => {
    const percent = (i, first, count) => `${(100 * (i - first)) / count}%`;
    const [height, width] = [`${100 / size.rows}%`, `${100 / size.columns}%`];
    rowMark.hidden = n < start.row || n >= start.row + size.rows;
    Object.assign(rowMark.style, { top: percent(n, start.row, size.rows), height });
    cellMark.hidden = rowMark.hidden || m === null || m < start.column || m >= start.column + size.columns;
    if (!cellMark.hidden) {
      Object.assign(cellMark.style, { top: percent(n, start.row, size.rows), left: percent(m, start.column, size.columns), height, width });
    }
    words.mark(n, m);
  };
  return { element, square, paint, mark };
};

// the words of queries; of cross-attention without “query”
Headwise.queryLabels = (input) => (input.queries ? input.queries.map((name) => name.replace(/^query “?|”$/g, "")) : input.labels);

// the words of rows, on the left, and of columns, above
const axisWords = (input, framed) => {
  const queries = Headwise.queryLabels(input);
  const axis = (name, labels) => {
    const spans = labels.map((label) => Headwise.element("span", { title: label }, label || "␣"));
    const element = Headwise.element("div", { class: name, "aria-hidden": "true" }, ...spans);
    element.style.setProperty("--count", labels.length);
    framed.append(element);
    return spans;
  };
  const [rows, columns] = [axis("row-words", queries), axis("column-words", input.labels)];
  const toggle = (spans, name, chosen) => spans.forEach((span, i) => span.classList.toggle(name, i === chosen));
  return { mark: (n, m) => { toggle(rows, "from", n); toggle(columns, "to", m); } };
};
