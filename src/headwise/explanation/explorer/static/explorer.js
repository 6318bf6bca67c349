"use strict";
// The explorer: chooses an input, shows its panels, and keeps the link to the view.

Headwise.mounts = 0;

// `data` is an explorer's content; with `permalink` the address has the view
Headwise.mount = (root, data, { permalink = false } = {}) => {
  const group = `headwise-inputs-${Headwise.mounts += 1}`;
  root.classList.add("explorer");
  const usual = data.inputs.length === 2 ? 1 : null;
  const state = { input: 0, other: usual, merged: false }; // `other` is null unless two inputs are compared
  let panels = [];
  let map = null; // of the difference between two inputs with the same tokens
  const places = Headwise.element("div", { class: "places" });
  const difference = Headwise.element("div");
  const copied = Headwise.element("span", { class: "copied", role: "status" });
  const link = Headwise.element("button", { type: "button", class: "link" }, "Copy a link to this view");
  const foot = Headwise.element("p", { class: "foot" }, link, " ", copied);
  foot.hidden = !permalink;

  const nameOf = namer(data.inputs);
  const shown = () => [state.input, ...(state.other === null ? [] : [state.other])];
  const current = (index) => (state.merged && data.inputs[index].merged) || data.inputs[index];
  const comparison = () => (data.comparisons ?? {})[shown().sort((a, b) => a - b).join(" ")];
  const open = (keep = {}) => {
    const boxes = shown().map(() => Headwise.element("div", { class: "panel" }));
    places.replaceChildren(...boxes);
    root.classList.toggle("two", boxes.length > 1);
    panels = shown().map((index, i) => Headwise.panel(boxes[i], current(index), (change) => changed(i, change)));
    if (boxes.length > 1) shown().forEach((index, i) => boxes[i].prepend(Headwise.element("h2", { class: "name" }, nameOf(data.inputs[index]))));
    if (Object.keys(keep).length) panels[0].set(keep);
    panels[1]?.follow(panels[0].state, comparison()?.same_tokens);
    const compared = state.other === null ? null : comparison();
    const sorted = shown().sort((a, b) => a - b);
    const names = sorted.map((index) => nameOf(data.inputs[index]));
    const ordered = sorted.map((index) => panels[shown().indexOf(index)]);
    const cells = compared && compared[state.merged && sorted.some((index) => data.inputs[index].merged) ? "merged_cells" : "cells"];
    map = cells ? Headwise.differencePanel(...ordered, names, cells, (change) => panels[0].choose(change)) : null;
    difference.replaceChildren(...(compared ? [Headwise.comparisonView(compared, names, (view) => panels[0].choose({ view }))] : []), ...(map ? [map.element] : []));
    choices.select(state.input);
    other.select(state.input, state.other);
    merge.hidden = !shown().some((index) => data.inputs[index].merged);
    merge.querySelector("input").checked = state.merged;
  };
  const changed = (i, change) => {
    panels[1 - i]?.follow(change, comparison()?.same_tokens);
    map?.show(change);
    remember();
  };
  const reopen = (change) => {
    const { view } = panels[0].state;
    Object.assign(state, change);
    if (state.other === state.input) state.other = null;
    open({ view });
    remember();
  };

  const choices = inputChoices(data.inputs, nameOf, group, (input) => reopen({ input }));
  const other = otherChoice(data.inputs, nameOf, (other) => reopen({ other }));
  const merge = Headwise.element("label", { class: "merge" }, Headwise.element("input", { type: "checkbox", "aria-label": "Merge the pieces of words" }), " Merge the pieces of words");
  merge.querySelector("input").addEventListener("change", (event) => reopen({ merged: event.target.checked }));
  const chooser = Headwise.element("fieldset", { class: "inputs" }, Headwise.element("legend", {}, "Input"), choices.element, other.element);
  chooser.hidden = data.inputs.length === 1;
  root.replaceChildren(chooser, merge, difference, places, foot);

  const remember = () => {
    if (!permalink) return;
    const { view, from, to } = panels[0].state;
    const values = { input: state.input, view, from, to, with: state.other, merged: state.merged ? 1 : null };
    const given = Object.entries(values).filter(([, value]) => value !== null);
    try { history.replaceState(null, "", `#${new URLSearchParams(given)}`); } catch { /* a frame without an address */ }
  };
  const followLink = () => {
    const values = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const index = (text) => (/^\d+$/.test(text ?? "") && Number(text) < data.inputs.length ? Number(text) : null);
    state.input = index(values.input ?? values.digit) ?? 0;
    state.other = location.hash ? index(values.with) : usual;
    if (state.other === state.input) state.other = null;
    state.merged = values.merged === "1";
    open(values);
  };
  link.addEventListener("click", async () => {
    remember();
    try {
      await navigator.clipboard.writeText(location.href);
      copied.textContent = "Copied.";
    } catch {
      copied.textContent = "The link is in the address bar.";
    }
  });
  if (permalink) {
    addEventListener("hashchange", followLink);
    followLink();
  } else open();

  const show = () => {
    panels.forEach((panel) => panel.show());
    map?.show(panels[0].state);
  };
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) { width = root.clientWidth; show(); }
  }).observe(root);
  return { show, choose: (change) => panels[0].choose(change), get state() { return panels[0].state; } };
};

// names inputs by what tells them apart: their own names, their models, or both
const namer = (inputs) => {
  const differ = (key) => inputs.some((input) => input[key] !== inputs[0][key]);
  const keys = differ("model") ? (differ("name") ? ["name", "model"] : ["model"]) : ["name"];
  return (input) => keys.map((key) => input[key]).filter(Boolean).join(" · ");
};

// the second input of a comparison
const otherChoice = (inputs, nameOf, chosen) => {
  const select = Headwise.element("select", { "aria-label": "Compare with" }, Headwise.element("option", { value: "" }, "nothing"));
  inputs.forEach((input, i) => select.append(Headwise.element("option", { value: i }, nameOf(input))));
  select.addEventListener("change", () => chosen(select.value === "" ? null : Number(select.value)));
  const choose = (input, other) => {
    [...select.options].forEach((option) => { option.hidden = option.value === String(input); });
    select.value = other ?? "";
  };
  return { element: Headwise.element("label", { class: "queries with" }, "Compare with ", select), select: choose };
};

// a radio button for each input: a picture, or its name
const inputChoices = (inputs, nameOf, group, chosen) => {
  const box = Headwise.element("div", { class: "choices" });
  inputs.forEach((input, i) => {
    const label = nameOf(input);
    const button = Headwise.element("input", { type: "radio", name: group, value: i, "aria-label": label });
    button.addEventListener("change", () => chosen(i));
    const picture = input.picture
      ? Headwise.element("img", { src: input.picture, alt: "", class: input.outline ? "drawing" : "" })
      : Headwise.element("span", {}, nameOf(input));
    box.append(Headwise.element("label", { title: label, class: input.picture ? "" : "named" }, button, picture));
  });
  const select = (index) => box.querySelectorAll("input").forEach((button, i) => { button.checked = i === index; });
  return { element: box, select };
};
