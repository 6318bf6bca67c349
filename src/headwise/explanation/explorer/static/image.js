"use strict";
// An image whose tokens are shaded by weights: a drawing with its outline, a photograph below the colours.

Headwise.keyViews = {};

// columns and rows if the boxes are the cells of a grid in reading order, else null
const gridOf = (boxes) => {
  const columns = boxes.filter((box) => box[0] === boxes[0][0]).length;
  const rows = boxes.length / columns;
  const regular = boxes.every((box, i) => box[0] === boxes[i - (i % columns)][0] && box[1] === boxes[i % columns][1]);
  const last = boxes.at(-1);
  const overlaps = columns > 1 && boxes[0][1] + boxes[0][3] > boxes[1][1];
  return Number.isInteger(rows) && regular && !overlaps && last ? [columns, rows] : null;
};

// shares of the content's tokens as colours, a pixel for each cell of the grid, or for each pixel of the image
Headwise.mapOf = (input, shares, end, colour = Headwise.colour) => {
  const content = Headwise.contentKeys(input);
  const grid = gridOf(input.boxes);
  if (grid) return [...grid, content.map((key) => colour(shares[key] / end))];
  const [height, width] = input.size;
  const total = new Float32Array(height * width);
  const count = new Uint16Array(height * width);
  input.boxes.forEach(([top, left, tall, wide], i) => {
    for (let y = top; y < top + tall; y += 1) {
      for (let x = left; x < left + wide; x += 1) {
        total[y * width + x] += shares[content[i]];
        count[y * width + x] += 1;
      }
    }
  });
  return [width, height, Array.from(total, (sum, i) => colour(sum / Math.max(1, count[i]) / end))]; // the mean where boxes overlap
};

// the keys that are tokens of the input
Headwise.contentKeys = (input) => {
  const prefix = new Set(input.prefix);
  return input.keys.map((_, key) => key).filter((key) => !prefix.has(key));
};

// a small picture of an input with the weights of one row
Headwise.drawInput = (canvas, input, shares, end, colour = Headwise.colour) => {
  const [width, height] = [input.size[1], input.size[0]];
  const map = new OffscreenCanvas(1, 1);
  Headwise.paint(map, ...Headwise.mapOf(input, shares, end, colour));
  const pen = Headwise.pen(canvas, width, height);
  pen.drawImage(map, 0, 0, width, height);
  if (input.outline) Headwise.drawOutline(pen, input);
};

// along the edges of the pixels that are ink, legible on light and dark colours
Headwise.drawOutline = (pen, input) => {
  const path = new Path2D(input.outline);
  const unit = Math.max(1, input.size[1] / 40);
  for (const [colour, wide] of Headwise.outlineStrokes()) {
    pen.strokeStyle = colour;
    pen.lineWidth = wide * unit;
    pen.stroke(path);
  }
};
Headwise.outlineStrokes = () =>
  (Headwise.theme() === "dark" ? [["#000a", 0.35], ["#e8edf2", 0.14]] : [["#fffa", 0.35], ["#2b3138", 0.14]]);

Headwise.keyViews.image = (input) => {
  const element = Headwise.element("div", { class: "image" }, Headwise.element("canvas", { "aria-hidden": "true" }));
  const [height, width] = input.size;
  element.style.aspectRatio = `${width} / ${height}`;
  if (input.picture && !input.outline) {
    element.classList.add("photograph");
    element.prepend(Headwise.element("img", { src: input.picture, alt: "", draggable: "false" }));
  }
  const cells = Headwise.element("div", { class: input.boxes.length > 150 ? "cells fine" : "cells" });
  element.append(cells);
  const content = Headwise.contentKeys(input);
  const options = [];
  input.boxes.forEach(([top, left, tall, wide], i) => {
    const cell = Headwise.element("div", { role: "option", class: "cell" });
    Object.assign(cell.style, {
      top: `${(100 * top) / height}%`, left: `${(100 * left) / width}%`,
      height: `${(100 * tall) / height}%`, width: `${(100 * wide) / width}%`,
    });
    cells.append(cell);
    options[content[i]] = cell;
  });

  const at = (event) => {
    const frame = element.getBoundingClientRect();
    const y = ((event.clientY - frame.top) / frame.height) * height;
    const x = ((event.clientX - frame.left) / frame.width) * width;
    const far = ([top, left, tall, wide]) => Math.hypot(y - top - tall / 2, x - left - wide / 2);
    let nearest = null;
    input.boxes.forEach((box, i) => {
      const [top, left, tall, wide] = box;
      const inside = y >= top && y <= top + tall && x >= left && x <= left + wide;
      if (inside && (nearest === null || far(box) < far(input.boxes[nearest]))) nearest = i;
    });
    return nearest === null ? null : content[nearest];
  };

  // arrow keys: by rows and columns of the image, prefix tokens before the first
  const columns = input.boxes.filter((box) => box[0] === input.boxes[0][0]).length;
  const step = (key, arrow) => {
    const place = content.indexOf(key);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[arrow];
    const prefix = input.prefix.indexOf(key);
    if (place < 0) return by < 0 ? input.prefix[Math.max(0, prefix - 1)] : input.prefix[prefix + 1] ?? content[0];
    if (place + by >= content.length) return key;
    return place + by < 0 ? input.prefix.at(-1) ?? key : content[place + by];
  };

  const paint = (shares, end, colour) => Headwise.drawInput(element.querySelector("canvas"), input, shares, end, colour);
  return { element, options, at, step, paint, ownPrefix: false };
};
