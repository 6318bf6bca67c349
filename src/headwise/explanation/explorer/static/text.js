"use strict";
// A text whose tokens are shaded by weights; of a long one, a part at a time.

const PART = 240; // tokens of a long text that are shown at once

Headwise.keyViews.text = (input) => {
  const element = Headwise.element("div", { class: "text" });
  const long = input.pieces.length > PART + 60;
  const prefix = new Set(input.prefix);
  const options = input.pieces.map(([text], key) =>
    Headwise.element("span", { role: "option", class: prefix.has(key) ? "piece special" : "piece", "data-key": key }, text));
  let start = 0;
  let last = null; // what was painted, to paint the next part

  const stop = () => (long ? Math.min(input.pieces.length, start + PART) : input.pieces.length);
  const range = Headwise.element("p", { class: "part" });
  if (long) {
    const turn = (by) => () => { start = Math.max(0, Math.min(input.pieces.length - PART, start + by)); lay(); };
    const [before, after] = [["‹ Earlier", -PART], ["Later ›", PART]].map(([label, by]) => {
      const button = Headwise.element("button", { type: "button" }, label);
      button.addEventListener("click", turn(by));
      return button;
    });
    range.append(before, Headwise.element("span"), after);
  }
  const flow = Headwise.element("div", { class: "flow" });
  element.append(flow, ...(long ? [range] : []));

  const lay = () => {
    flow.replaceChildren();
    for (let key = start; key < stop(); key += 1) {
      const gap = input.pieces[key][1];
      if (gap && key > start) flow.append(gap === 2 ? Headwise.element("br") : " ");
      flow.append(options[key]);
    }
    if (input.unread && stop() === input.pieces.length) flow.append(" ", Headwise.element("span", { class: "unread", title: "beyond what the model reads" }, input.unread));
    if (!long) return;
    const [before, shown, after] = range.children;
    shown.textContent = `Tokens ${start + 1} to ${stop()} of ${input.pieces.length}`;
    before.disabled = start === 0;
    after.disabled = stop() === input.pieces.length;
    if (last) paint(...last);
  };

  // moves to the part that has this token
  const reveal = (key) => {
    if (!long || (key >= start && key < stop())) return;
    start = Math.max(0, Math.min(input.pieces.length - PART, key - PART / 2));
    lay();
  };

  const paint = (shares, end, colour = Headwise.colour) => {
    last = [shares, end, colour];
    for (let key = start; key < stop(); key += 1) {
      const rgb = colour(shares[key] / end);
      Object.assign(options[key].style, { background: `rgb(${rgb.join(" ")})`, color: Headwise.letters(rgb) });
    }
  };

  const at = (event) => {
    const piece = event.target.closest(".piece");
    return piece ? Number(piece.dataset.key) : null;
  };

  // arrow keys: left and right by tokens, up and down by lines
  const step = (key, arrow) => {
    if (arrow === "ArrowLeft" || arrow === "ArrowRight") {
      return Math.max(0, Math.min(options.length - 1, key + (arrow === "ArrowLeft" ? -1 : 1)));
    }
    const place = (k) => options[k].getBoundingClientRect();
    const here = place(key);
    const down = arrow === "ArrowDown";
    const others = options.map((_, k) => k).filter((k) => options[k].isConnected && (down ? place(k).top > here.top + 2 : place(k).top < here.top - 2));
    if (!others.length) return key;
    const line = down ? Math.min(...others.map((k) => place(k).top)) : Math.max(...others.map((k) => place(k).top));
    const far = (k) => Math.abs(place(k).left - here.left);
    return others.filter((k) => Math.abs(place(k).top - line) < 3).reduce((a, b) => (far(b) < far(a) ? b : a));
  };
  lay();
  return { element, options, at, step, paint, reveal, ownPrefix: true };
};
Headwise.keyViews.other = Headwise.keyViews.text;
