"use strict";
// A series, its curves above and the weights of its tokens below.

const MOST_CURVES = 12; // variables; of more, such as a spectrogram's, each is a row of a heat map

const heatMap = (curves) => {
  const canvas = Headwise.element("canvas", { class: "variables", "aria-hidden": "true" });
  const grey = (level) => Array(3).fill(Math.round(255 - 0.255 * level));
  Headwise.paint(canvas, curves[0].length, curves.length, [...curves].reverse().flatMap((curve) => Array.from(curve, grey)));
  return canvas;
};

Headwise.keyViews.series = (input) => {
  const length = input.curves[0].length;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 -40 ${length} 1080`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const many = input.curves.length > MOST_CURVES;
  for (const curve of many ? [] : input.curves) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", Array.from(curve, (level, t) => `${t + 0.5},${1000 - level}`).join(" "));
    svg.append(line);
  }
  const strip = Headwise.element("div", { class: input.spans.length > 40 ? "strip fine" : "strip" });
  const element = Headwise.element("div", { class: "series" }, many ? heatMap(input.curves) : svg, strip);
  const content = Headwise.contentKeys(input);
  const options = [];
  input.spans.forEach(([begin, end], i) => {
    const cell = Headwise.element("div", { role: "option", class: "cell" });
    Object.assign(cell.style, { left: `${(100 * begin) / length}%`, width: `${(100 * (end - begin)) / length}%` });
    strip.append(cell);
    options[content[i]] = cell;
  });

  const at = (event) => {
    const frame = element.getBoundingClientRect();
    const t = ((event.clientX - frame.left) / frame.width) * length;
    const place = input.spans.findIndex(([begin, end]) => t >= begin && t < end);
    return place < 0 ? null : content[place];
  };
  const step = (key, arrow) => {
    const by = arrow === "ArrowLeft" || arrow === "ArrowUp" ? -1 : 1;
    return Math.max(0, Math.min(input.keys.length - 1, key + by));
  };
  const paint = (shares, end, colour = Headwise.colour) => {
    content.forEach((key) => { options[key].style.background = `rgb(${colour(shares[key] / end).join(" ")})`; });
  };
  return { element, options, at, step, paint, ownPrefix: false };
};
