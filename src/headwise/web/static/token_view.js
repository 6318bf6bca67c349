"use strict";
// The tokens of one input: words in their text, or patches over an image, shaded by a value each.

// a value from −1 (against, red) to 1 (for, blue)
Headwise.signed = (value) => {
  if (value >= 0) return Headwise.css(value);
  const dark = Headwise.theme() === "dark";
  const [from, to] = dark ? [[18, 24, 32], [255, 150, 130]] : [[255, 255, 255], [150, 20, 30]];
  const share = Math.sqrt(Math.min(1, -value));
  return `rgb(${from.map((low, k) => Math.round(low + (to[k] - low) * share)).join(" ")})`;
};

// black or white, whichever is easier to read on a colour
Headwise.readable = (css) => {
  const [r, g, b] = css.match(/\d+/g).map(Number);
  return 0.3 * r + 0.6 * g + 0.1 * b > 110 ? "#111" : "#fff";
};

// Show the tokens of `data` in `root`. `choose`, if there is one, is called with the index of a key that is selected.
// Returns { shade(values) }: a value in [−1, 1] for each key, null for none; and { select(key) }.
Headwise.tokenView = (root, data, choose = null) => {
  const role = choose ? "option" : "presentation";
  const token = (key, classes) => {
    const made = Headwise.element("span", { class: `token ${classes}`, role, "data-key": key });
    if (choose) made.addEventListener("click", () => choose(key));
    return made;
  };
  const keys = [...data.prefix.keys()];
  const marks = keys.map((key) => token(key, data.prefix[key] ? "prefix" : "content"));
  root.classList.toggle("selectable", Boolean(choose));
  if (data.kind === "image") Headwise.placePatches(root, data, marks);
  else Headwise.placeWords(root, data, marks);

  let selected = null;
  const select = (key) => {
    selected = key;
    marks.forEach((mark, k) => {
      mark.classList.toggle("selected", k === key);
      mark.setAttribute("aria-selected", k === key);
    });
  };
  if (choose) {
    root.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose(Math.min(keys.length - 1, Math.max(0, (selected ?? 0) + step)));
    };
  }
  const shade = (values) => {
    marks.forEach((mark, key) => {
      const value = values[key];
      if (data.kind === "image" && !data.prefix[key]) {
        mark.style.background = value === null ? "none" : Headwise.signed(value);
        mark.style.opacity = value === null ? 0 : 0.15 + 0.7 * Math.sqrt(Math.abs(value));
        return;
      }
      const colour = Headwise.signed(value ?? 0);
      mark.style.background = colour;
      mark.style.color = Headwise.readable(colour);
    });
  };
  return { shade, select };
};

// words with the blanks and line breaks that the text has between them; prefix tokens in their order
Headwise.placeWords = (root, data, marks) => {
  let content = 0;
  let end = 0;
  root.replaceChildren(...marks.flatMap((mark, key) => {
    if (data.prefix[key] || !data.text) {
      mark.textContent = data.labels[key].trim() || "␣";
      return [mark, " "];
    }
    const [begin, stop] = data.places[content];
    content += 1;
    const between = data.text.slice(end, begin);
    const written = data.text.slice(begin, stop);
    end = Math.max(end, stop);
    mark.textContent = written.trim() || "␣";
    return [between + written.slice(0, written.length - written.trimStart().length), mark];
  }));
  const unread = data.text.slice(end);
  if (unread.trim()) root.append(Headwise.element("span", { class: "unread", title: "beyond what the model reads" }, unread));
};

Headwise.placePatches = (root, data, marks) => {
  const [height, width] = data.size;
  const picture = Headwise.element("div", { class: "picture" }, Headwise.element("img", { src: data.image, alt: "the image as the model sees it" }));
  picture.style.aspectRatio = `${width} / ${height}`;
  const prefix = Headwise.element("p", { class: "prefixes" });
  let content = 0;
  marks.forEach((mark, key) => {
    if (data.prefix[key]) {
      mark.textContent = data.labels[key];
      prefix.append(mark);
      return;
    }
    const [top, left, tall, wide] = data.places[content];
    content += 1;
    mark.title = data.labels[key];
    Object.assign(mark.style, {
      top: `${(100 * top) / height}%`, left: `${(100 * left) / width}%`,
      height: `${(100 * tall) / height}%`, width: `${(100 * wide) / width}%`,
    });
    picture.append(mark);
  });
  root.replaceChildren(prefix, picture);
};
