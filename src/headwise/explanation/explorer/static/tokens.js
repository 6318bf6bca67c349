"use strict";
// The tokens of an input: choosing the query by pointer and keys, and its weights on the others.

// `act` has hover({ from, to }), choose({ from, to }) and state(): the query and the key that are selected
Headwise.tokensView = (input, weights, group, act) => {
  const view = Headwise.keyViews[input.kind](input);
  const selects = input.queries === null; // tokens are both queries and keys
  const help = selects
    ? "Arrow keys choose the query; Enter selects it, and arrow keys then choose the key; Escape clears the selection."
    : "Arrow keys choose the key.";
  const element = Headwise.element("div", { class: "tokens", role: "listbox", tabindex: "0", "aria-label": `Tokens. ${help}` });
  const options = [...view.options];
  if (!view.ownPrefix && input.prefix.length) element.append(prefixChips(input, options));
  element.append(view.element);
  options.forEach((option, key) => { option.id = `${group}-token-${key}`; });

  const at = (event) => {
    const chip = event.target.closest(".chip");
    return chip ? Number(chip.dataset.key) : view.at(event);
  };
  element.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const key = at(event) ?? undefined;
    act.hover(selects && act.state().to === null ? { from: key } : { to: key });
  });
  element.addEventListener("pointerleave", () => act.hover({}));
  element.addEventListener("click", (event) => {
    const key = at(event);
    if (key === null) return;
    const { from, to } = act.state();
    if (!selects) act.choose({ to: key });
    else if (event.pointerType === "touch") act.choose({ from: key, to: null });
    else if (to === null) act.choose({ from: key, to: key });
    else act.choose({ to: key === from ? null : key });
  });
  element.addEventListener("keydown", (event) => {
    const { from, to } = act.state();
    const key = to ?? (selects ? from : 0);
    if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) move(view.step(key, event.key));
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(input.keys.length - 1);
    else if (event.key === "Enter" || event.key === " ") act.choose({ to: to === null ? from : null });
    else if (event.key === "Escape") act.choose({ to: null });
    else return;
    event.preventDefault();
  });
  const move = (key) => {
    view.reveal?.(key);
    act.choose(selects && act.state().to === null ? { from: key } : { to: key });
  };

  // shades the tokens by the row of a query, and marks the query and the key that is read
  const show = (name, from, to) => {
    const [units, shares, end] = [weights.units(name, from), weights.shares(name, from), weights.end(name)];
    view.paint(shares, end, weights.colour);
    for (const chip of element.querySelectorAll(".chip")) {
      const key = Number(chip.dataset.key);
      chip.querySelector(".swatch").style.background = `rgb(${weights.colour(shares[key] / end).join(" ")})`;
      chip.querySelector(".share").textContent = weights.text(units[key]);
    }
    options.forEach((option, key) => {
      option.classList.toggle("from", selects && key === from);
      option.classList.toggle("to", key === to);
      option.classList.toggle("significant", weights.isSignificant(name, from, key));
      option.setAttribute("aria-selected", selects ? key === from : key === to);
      option.setAttribute("aria-label", `${input.keys[key]}, ${weights.text(units[key])}${selects && key === from ? ", the query" : ""}`);
    });
    element.setAttribute("aria-activedescendant", options[to ?? (selects ? from : 0)].id);
  };
  return { element, show, reveal: (key) => view.reveal?.(key), options };
};

// prefix tokens, which have no place in an image or a series
const prefixChips = (input, options) => {
  const row = Headwise.element("div", { class: "chips" });
  for (const key of input.prefix) {
    const chip = Headwise.element("div", { class: "chip", role: "option", "data-key": key },
      Headwise.element("span", { class: "swatch" }), input.keys[key].replace(/^the /, ""), Headwise.element("span", { class: "share" }));
    options[key] = chip;
    row.append(chip);
  }
  return row;
};

// the queries of cross-attention
Headwise.queriesView = (input, group, act) => {
  const select = Headwise.element("select", { "aria-label": "Query" });
  input.queries.forEach((name, n) => select.append(Headwise.element("option", { value: n }, name)));
  select.addEventListener("change", () => act.choose({ from: Number(select.value) }));
  const element = Headwise.element("label", { class: "queries" }, "Query ", select);
  return { element, show: (from) => { select.value = from; } };
};

// a field that finds tokens by their text; Enter goes from one to the next
Headwise.searchField = (input, view, act) => {
  const field = Headwise.element("input", { type: "search", placeholder: "Find a token", "aria-label": "Find a token" });
  const result = Headwise.element("span", { class: "hint", role: "status" });
  let matches = [];
  let place = -1;
  const next = () => {
    if (!matches.length) return;
    place = (place + 1) % matches.length;
    view.reveal(matches[place]);
    act.choose(input.queries === null ? { from: matches[place], to: null } : { to: matches[place] });
    result.textContent = `${place + 1} of ${matches.length}`;
  };
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    matches = wanted ? input.labels.flatMap((label, key) => (label.toLowerCase().includes(wanted) ? [key] : [])) : [];
    view.options.forEach((option, key) => option.classList.toggle("match", matches.includes(key)));
    place = -1;
    result.textContent = wanted ? `${matches.length || "no"} ${matches.length === 1 ? "match" : "matches"}; Enter selects the next` : "";
  });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); next(); } });
  return Headwise.element("div", { class: "search" }, field, result);
};
