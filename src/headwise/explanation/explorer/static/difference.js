"use strict";
// The weights of one input minus those of another with the same tokens, with the differences that are significant.

// has what `Headwise.Weights` has, of b − a
Headwise.Difference = class {
  constructor(a, b, cells) {
    Object.assign(this, { a, b, cells, queries: a.queries, keys: a.keys, one: Math.max(a.one, b.one), ends: {}, places: {} });
  }

  // the significant cells or keys of a view
  significant(view) {
    let place = 0;
    this.places[view] ??= new Set(Array.from(this.cells?.of_means[view] ?? this.cells?.of_heads[view] ?? [], (step) => (place += step)));
    return this.places[view];
  }

  units(view, n) {
    const [a, b] = [this.a.units(view, n), this.b.units(view, n)];
    return a.map((units, key) => (b[key] * this.one) / this.b.one - (units * this.one) / this.a.one);
  }

  shares(view, n) {
    const [a, b] = [this.a.shares(view, n), this.b.shares(view, n)];
    return a.map((share, key) => b[key] - share);
  }

  colour(share) { return Headwise.signedColour(share); }

  // the largest difference of a view
  end(view) {
    this.ends[view] ??= Math.max(1 / this.one, ...Array.from({ length: this.queries }, (_, n) => this.shares(view, n).reduce((most, share) => Math.max(most, Math.abs(share)), 0)));
    return this.ends[view];
  }

  text(units) { return (units > 0 ? "+" : units < 0 ? "−" : "") + Headwise.spelled(Math.abs(units), Math.round(Math.log10(this.one))); }

  // what was tested in a view: cells of a mean over heads, keys of one head, or nothing
  tested(view) { return this.cells?.of_means[view] ? "cells" : this.cells?.of_heads[view] ? "keys" : ""; }

  isSignificant(view, n, key) {
    const kind = this.tested(view);
    return this.significant(view).has(kind === "cells" ? n * this.keys + key : key);
  }

  // a dot in each significant cell, or a triangle above each significant key
  drawDots(canvas, view, start, size) {
    const unit = Math.max(4, Math.min(24, Math.floor(1200 / Math.max(size.rows, size.columns))));
    [canvas.width, canvas.height] = [unit * size.columns, unit * size.rows];
    const pen = canvas.getContext("2d");
    pen.fillStyle = Headwise.theme() === "dark" ? "#fff" : "#111";
    const kind = this.tested(view);
    for (const index of kind === "cells" ? this.significant(view) : []) {
      const [row, column] = [Math.floor(index / this.keys) - start.row, (index % this.keys) - start.column];
      pen.beginPath();
      pen.arc(unit * (column + 0.5), unit * (row + 0.5), Math.max(1.5, unit / 6), 0, 7);
      pen.fill();
    }
    for (const key of kind === "keys" ? this.significant(view) : []) {
      const [x, half, deep] = [unit * (key - start.column + 0.5), Math.max(unit / 4, 3), Math.max(unit * 0.4, 5)];
      pen.beginPath();
      pen.moveTo(x - half, 0);
      pen.lineTo(x + half, 0);
      pen.lineTo(x, deep);
      pen.fill();
    }
  }
};

// the panel of the difference between the panels a and b; `select` chooses in both
Headwise.differencePanel = (a, b, names, cells, select) => {
  const group = `headwise-difference-${Headwise.panelCount += 1}`;
  const weights = new Headwise.Difference(a.weights, b.weights, cells);
  const input = joinNames(a.input, b.input);
  let state = a.state;
  let hovered = {};
  const act = {
    state: () => state,
    choose: (change) => { hovered = {}; select(change); },
    hover: (over) => { hovered = over; paint(); },
  };
  const tokens = Headwise.tokensView(input, weights, group, act);
  const matrix = Headwise.matrixView(input, weights, act);
  const [readout, tested] = ["readout", "hint tested"].map((name) => Headwise.element("p", { class: name }));
  const scale = differenceScale(weights);
  const [one, other] = names;
  const element = Headwise.element("section", { class: "difference", "aria-label": "Difference of the weights" },
    Headwise.element("h2", {}, "Difference of the weights"),
    Headwise.element("p", { class: "hint" }, `“${other}” minus “${one}”, in the view and for the token that are selected: blue where the first has more weight, red where the second has.`),
    Headwise.element("div", { class: "pair" },
      Headwise.element("section", { class: "seen" }, tokens.element, readout),
      Headwise.element("section", { class: "matrix" }, matrix.element, scale.element, tested)));
  element.append(Headwise.saveButton(element.querySelector(".pair"), () => `difference-${state.view.replace(".", "-")}`));

  const paint = () => {
    const { view } = state;
    const [n, m] = [hovered.from ?? state.from, hovered.to ?? state.to];
    tokens.show(view, n, m);
    matrix.paint(view, state.from, state.to);
    matrix.mark(n, m);
    const units = weights.units(view, n);
    const key = m ?? [...units.keys()].reduce((most, k) => (Math.abs(units[k]) > Math.abs(units[most]) ? k : most), 0);
    const label = (i, labels) => labels[i][0].toUpperCase() + labels[i].slice(1);
    const significant = weights.isSignificant(view, n, key) ? ", significant" : "";
    readout.textContent = m === null && !units[key] ? `${label(n, input.queries ?? input.keys)}: no weight differs.` : `${label(n, input.queries ?? input.keys)}: ${m === null ? "the weight that differs most is that on" : "weight on"} ${input.keys[key]}, `
      + `${a.weights.text(a.weights.units(view, n)[key])} and ${b.weights.text(b.weights.units(view, n)[key])}: ${weights.text(units[key])}${significant}.`;
    matrix.square.setAttribute("aria-label", `Differences of ${Headwise.viewName(view)}, ${weights.queries} by ${weights.keys}. ${readout.textContent}`);
  };
  const show = (changed) => {
    state = changed;
    hovered = {};
    if (!a.input.views.includes(state.view) || !b.input.views.includes(state.view)) return;
    scale.show(state.view);
    tested.innerHTML = (cells && cells[{ cells: "sentence_of_means", keys: "sentence_of_heads" }[weights.tested(state.view)] ?? "sentence_of_none"]) ?? "";
    paint();
  };
  show(state);
  return { element, show };
};

// the input with both names of a token where they differ
const joinNames = (a, b) => {
  const joined = (names, others) => names.map((name, i) => (name === others[i] ? name : `${name} / ${others[i]}`));
  const pieces = a.pieces?.map(([text, gap], i) => [joined([text], [b.pieces[i][0]])[0], gap]);
  return {
    ...a, keys: joined(a.keys, b.keys), labels: joined(a.labels, b.labels), queries: a.queries && joined(a.queries, b.queries),
    ...(pieces ? { pieces, unread: "" } : {}),
  };
};

const differenceScale = (weights) => {
  const canvas = Headwise.element("canvas");
  const ticks = Headwise.element("div", { class: "ticks", "aria-hidden": "true" });
  const bar = Headwise.element("div", { class: "scale", role: "img" }, canvas, ticks);
  const show = (view) => {
    const end = weights.end(view);
    const signed = (i) => (i / 100 - 1) * Math.abs(i / 100 - 1);
    Headwise.paint(canvas, 201, 1, Array.from({ length: 201 }, (_, i) => Headwise.signedColour(signed(i))));
    const values = [-1, -0.25, 0, 0.25, 1].map((share) => Number((share * end).toPrecision(2)));
    ticks.replaceChildren(...values.map((value) => {
      const tick = Headwise.element("span", {}, `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}`);
      tick.style.left = `${50 + 50 * Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value) / end))}%`;
      return tick;
    }));
    bar.setAttribute("aria-label", `Colour scale of differences: the square root of their size, from −${values[4]} to +${values[4]}`);
  };
  return { element: bar, show };
};
