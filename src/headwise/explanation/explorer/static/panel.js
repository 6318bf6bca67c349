"use strict";
// The panels of one input: its heads, tokens, matrix and numbers, which show one view and one query together.

Headwise.panelCount = 0;

Headwise.panel = (root, input, changed) => {
  const group = `headwise-${Headwise.panelCount += 1}`;
  const weights = new Headwise.Weights(input);
  const state = { view: input.opening.view, from: input.opening.from, to: null, role: "" }; // `to` is null unless a key is read
  let hovered = {}; // what the pointer is over; takes precedence over the selection
  const from = () => hovered.from ?? state.from;
  const to = () => hovered.to ?? state.to;

  const choose = (change, { quiet = false } = {}) => {
    hovered = {};
    const view = state.view;
    Object.assign(state, change);
    if (state.view !== view || "role" in change) show();
    else { showToken(true); heads.paint(from()); }
    if (!quiet) changed(state);
  };
  const hover = (over) => {
    if (over.from === hovered.from && over.to === hovered.to) return;
    const before = from();
    hovered = over;
    showToken(false);
    if (from() !== before) heads.paint(from());
  };
  const filter = (role, views) => choose({ role, ...(role && !views.includes(state.view) ? { view: views[0] } : {}) });
  const act = { choose, hover, filter, state: () => state };

  const heads = Headwise.headsView(input, weights, group, act);
  const tokens = Headwise.tokensView(input, weights, group, act);
  const matrix = Headwise.matrixView(input, weights, act);
  const ofWords = input.kind === "text" || input.kind === "other";
  const lines = ofWords ? Headwise.linesView(input, weights, act) : null;
  const numbers = Headwise.numbersView(input);
  const scale = Headwise.scaleView(input, weights);
  const list = Headwise.listView(input, weights);
  const largest = Headwise.largestView(input, weights, act);
  const queries = input.queries ? Headwise.queriesView(input, group, act) : null;
  const [readout, description, live, opening] = ["readout", "description", "live", "hint"].map((name) => Headwise.element("p", { class: name }));
  live.setAttribute("aria-live", "polite");
  opening.innerHTML = input.opening.reason;
  const section = (name, label, title, ...children) =>
    Headwise.element("section", { class: name, "aria-label": label }, Headwise.element("h2", {}, title), ...children);
  const pointing = input.queries === null
    ? "Point or tap to choose the query token; click, or press Enter, to select it and read its weight on other tokens. Escape clears the selection."
    : "Choose the query; point at a token, or tap it, to read the query’s weight on it.";
  const search = ofWords ? [Headwise.searchField(input, tokens, act)] : [];
  const asMatrix = Headwise.element("div", {}, matrix.element,
    Headwise.element("p", { class: "hint" }, "A row for each query token, a column for each key token. Rows sum to one."), scale.element);
  const drawn = lines ? [drawingChoice(asMatrix, lines.element), asMatrix, lines.element] : [asMatrix];
  const many = input.heads > 16 ? " wide" : input.heads > 8 || input.layers > 12 ? " medium" : "";
  root.replaceChildren(
    Headwise.element("p", { class: "verdict" }),
    Headwise.element("div", { class: `panels${many}` },
      Headwise.element("div", { class: "column" }, heads.element, section("numbers", "Measures", "Measurements", numbers.element)),
      Headwise.element("div", { class: "column" },
        section("seen", "Attention of the selected token", "Attention of one token", ...(queries ? [queries.element] : []), ...search,
          tokens.element, readout, largest.element, Headwise.element("p", { class: "hint" }, pointing)),
        section("matrix", "All attention weights of this view", "From every token to every token", ...drawn))),
    Headwise.element("section", { class: "words" }, Headwise.element("h2", {}, "In words"), description, opening, captionOf(input)),
    list.element, live);
  root.querySelector(".verdict").textContent = verdict(input);
  const parts = { heads: heads.element, token: root.querySelector(".seen"), matrix: root.querySelector(".matrix") };
  for (const [name, part] of Object.entries(parts)) {
    part.append(Headwise.saveButton(part, () => ["attention", name, state.view.replace(".", "-")].join("-")));
  }

  const showToken = (announce) => {
    const [view, n, m] = [state.view, from(), to()];
    tokens.show(view, n, m);
    queries?.show(n);
    matrix.paint(view, state.from, state.to);
    matrix.mark(n, m);
    lines?.show(view, n, m);
    numbers.show(view, n);
    list.show(view, n);
    largest.show(view, n, m);
    const sentence = Headwise.sentence(input, weights, view, n, m);
    readout.textContent = sentence;
    matrix.square.setAttribute("aria-label", `Attention weights of ${Headwise.viewName(view)}, ${weights.queries} by ${weights.keys}. Arrow keys move. ${sentence}`);
    if (announce) live.textContent = sentence;
  };
  const show = () => {
    heads.select(state.view, state.role);
    heads.paint(from());
    description.innerHTML = input.descriptions[input.views.indexOf(state.view)];
    scale.show(state.view);
    showToken(false);
  };
  // follows another panel, as far as this input has the same views and tokens
  const follow = ({ view, from: n, to: m }, sameTokens) => choose({
    ...(input.views.includes(view) ? { view } : {}), ...(sameTokens ? { from: n, to: m } : {}),
  }, { quiet: true });
  const set = ({ view, from: n, to: m }) => { // values of a link, if they exist
    const number = (value, below) => (/^\d+$/.test(value ?? "") && Number(value) < below ? Number(value) : null);
    if (input.views.includes(view)) state.view = view;
    state.from = number(n, weights.queries) ?? state.from;
    state.to = number(m, weights.keys);
    state.role = "";
    tokens.reveal(state.to ?? (input.queries ? 0 : state.from));
    show();
  };
  show();
  return { show, choose, follow, set, state, input, weights };
};

// two buttons that show the weights as a matrix or as lines
const drawingChoice = (matrix, lines) => {
  const buttons = [["Matrix", matrix], ["Lines", lines]].map(([label, part]) => {
    const button = Headwise.element("button", { type: "button", value: label.toLowerCase() }, label);
    button.addEventListener("click", () => show(part));
    return [button, part];
  });
  const show = (shown) => buttons.forEach(([button, part]) => {
    part.hidden = part !== shown;
    button.setAttribute("aria-pressed", part === shown);
  });
  show(matrix);
  return Headwise.element("div", { class: "roles drawing", role: "group", "aria-label": "Draw the weights as" }, ...buttons.map(([button]) => button));
};

const verdict = (input) => {
  if (!input.top.length) return "";
  const likely = input.top.map(([name, probability]) => `${name} (${probability})`);
  const truth = input.correct === null ? "" : input.correct ? " This is correct." : ` This is wrong: the label is ${input.label}.`;
  const next = likely.length > 1 ? `; next ${likely.slice(1).join(" and ")}` : "";
  return `${input.next_token ? "Predicted next token" : "Predicted"}: ${likely[0]}${next}.${truth}`;
};

const captionOf = (input) => {
  const parts = input.caption.map(([heading, words]) => {
    const part = Headwise.element("details", {}, Headwise.element("summary"), Headwise.element("p"));
    part.children[0].innerHTML = heading;
    part.children[1].innerHTML = words;
    return part;
  });
  const title = Headwise.element("h3");
  title.innerHTML = `${input.caption_title}: all layers and heads`;
  return Headwise.element("div", { class: "caption" }, title, ...parts);
};
