"use strict";
// The explorer: chooses an input, shows its panels, and keeps the link to the view.

Headwise.mounts = 0;

// `data` is an explorer's content; with `permalink` the address has the view
Headwise.mount = (root, data, { permalink = false } = {}) => {
  const group = `headwise-inputs-${Headwise.mounts += 1}`;
  root.classList.add("explorer");
  const state = { input: 0, merged: false };
  let panel = null;
  const place = Headwise.element("div", { class: "panel" });
  const copied = Headwise.element("span", { class: "copied" });
  const link = Headwise.element("button", { type: "button", class: "link" }, "Copy a link to this view");
  const foot = Headwise.element("p", { class: "foot" }, link, " ", copied);
  foot.hidden = !permalink;

  const current = () => {
    const input = data.inputs[state.input];
    return state.merged && input.merged ? input.merged : input;
  };
  const open = (keep = {}) => {
    panel = Headwise.panel(place, current(), remember);
    if (Object.keys(keep).length) panel.set(keep);
    choices.querySelectorAll("input").forEach((button, i) => { button.checked = i === state.input; });
    merge.hidden = !data.inputs[state.input].merged;
    merge.querySelector("input").checked = state.merged;
  };
  const chooseInput = (index) => {
    const { view } = panel.state;
    state.input = index;
    open({ view });
    remember();
  };

  const choices = inputChoices(data.inputs, group, chooseInput);
  const merge = Headwise.element("label", { class: "merge" }, Headwise.element("input", { type: "checkbox", "aria-label": "Merge the pieces of words" }), " Merge the pieces of words");
  merge.querySelector("input").addEventListener("change", (event) => {
    const { view } = panel.state;
    state.merged = event.target.checked;
    open({ view });
    remember();
  });
  const chooser = Headwise.element("fieldset", { class: "inputs" }, Headwise.element("legend", {}, "Input"), choices);
  chooser.hidden = data.inputs.length === 1;
  root.replaceChildren(chooser, merge, place, foot);

  const remember = () => {
    if (!permalink) return;
    const { view, from, to } = panel.state;
    const told = { input: state.input, view, from, ...(to === null ? {} : { to }), ...(state.merged ? { merged: 1 } : {}) };
    try { history.replaceState(null, "", `#${new URLSearchParams(told)}`); } catch { /* a frame without an address of its own */ }
  };
  const follow = () => {
    const link = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const index = Number(link.input ?? link.digit);
    state.input = Number.isInteger(index) && index >= 0 && index < data.inputs.length ? index : 0;
    state.merged = link.merged === "1";
    open(link);
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
    addEventListener("hashchange", follow);
    follow();
  } else open();

  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) { width = root.clientWidth; panel.show(); }
  }).observe(root);
  return { show: () => { choices.repaint(); panel.show(); }, choose: (change) => panel.choose(change), get state() { return panel.state; } };
};

// a radio button for each input: a picture, or its name
const inputChoices = (inputs, group, chosen) => {
  const box = Headwise.element("div", { class: "choices" });
  inputs.forEach((input, i) => {
    const label = [input.name, input.model].filter(Boolean).join(", ");
    const button = Headwise.element("input", { type: "radio", name: group, value: i, "aria-label": label });
    button.addEventListener("change", () => chosen(i));
    const picture = input.picture
      ? Headwise.element("img", { src: input.picture, alt: "", class: input.outline ? "drawing" : "" })
      : Headwise.element("span", {}, input.name);
    box.append(Headwise.element("label", { title: label, class: input.picture ? "" : "named" }, button, picture));
  });
  box.repaint = () => {};
  return box;
};
