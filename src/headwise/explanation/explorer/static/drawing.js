"use strict";
// Colours, canvases and the few helpers that every page shares.

const Headwise = {};

// ---- colours: one scale for every view, the square root of the weight from 0 to 1, so that 1/50 can still be seen

Headwise.colours = {
  light: ["#ffffff", "#d3e3f3", "#93c0e0", "#3f87c2", "#15508f", "#06264f"],
  dark: ["#12181f", "#15324c", "#1d5480", "#3787c0", "#86c0e8", "#f2f9ff"],
};

Headwise.theme = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
};

Headwise.colour = (share) => {
  const stops = Headwise.colours[Headwise.theme()];
  const at = Math.sqrt(Math.min(1, Math.max(0, share))) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const channel = (k) => {
    const [a, b] = [stops[low], stops[low + 1]].map((stop) => parseInt(stop.slice(1 + 2 * k, 3 + 2 * k), 16));
    return Math.round(a + (b - a) * (at - low));
  };
  return [channel(0), channel(1), channel(2)];
};

Headwise.css = (share) => `rgb(${Headwise.colour(share).join(" ")})`;

// ---- drawing on a canvas, in units of one pixel of the image

// colours [r, g, b] in reading order, enlarged without smoothing to the size at which the canvas is seen
Headwise.paint = (canvas, width, height, colours) => {
  const small = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  colours.forEach(([r, g, b], i) => pixels.data.set([r, g, b, 255], 4 * i));
  small.getContext("2d").putImageData(pixels, 0, 0);
  const seen = Math.max(width, Math.round((canvas.clientWidth || canvas.width) * (devicePixelRatio || 1)));
  canvas.width = seen;
  canvas.height = Math.max(1, Math.round((seen * height) / width));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.scale(canvas.width / width, canvas.height / height);
  pen.drawImage(small, 0, 0);
  return pen;
};

Headwise.drawDigit = (canvas, pixels, [height, width]) => {
  const dark = Headwise.theme() === "dark";
  Headwise.paint(canvas, width, height, pixels.map((ink) => Array(3).fill(dark ? 24 + 0.9 * ink : 255 - ink)));
};

// a token's weight on all pixels of its box; where boxes overlap, the mean
Headwise.drawMap = (canvas, data, row) => {
  const [height, width] = data.size;
  const total = Array(height * width).fill(0);
  const count = Array(height * width).fill(0);
  data.boxes.forEach(([top, left, tall, wide], m) => {
    for (let y = top; y < top + tall; y += 1) {
      for (let x = left; x < left + wide; x += 1) {
        total[y * width + x] += row[m + 1];
        count[y * width + x] += 1;
      }
    }
  });
  const share = (sum, i) => Headwise.colour(sum / Math.max(1, count[i]) / 10 ** data.decimals);
  return Headwise.paint(canvas, width, height, total.map(share));
};

// along the edges of the pixels that are ink
Headwise.drawOutline = (pen, data, pixels) => {
  const [height, width] = data.size;
  const ink = (y, x) => y >= 0 && x >= 0 && y < height && x < width && pixels[y * width + x] > data.ink * 255;
  const path = new Path2D();
  for (let y = 0; y <= height; y += 1) {
    for (let x = 0; x <= width; x += 1) {
      if (ink(y, x) !== ink(y - 1, x)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
      if (ink(y, x) !== ink(y, x - 1)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
    }
  }
  const dark = Headwise.theme() === "dark";
  for (const [colour, wide] of dark ? [["#000a", 0.35], ["#e8edf2", 0.14]] : [["#fffa", 0.35], ["#2b3138", 0.14]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = wide;
    pen.stroke(path);
  }
};

// ---- small helpers

// a whole number of the last digit shown, as it is read: 1234 with two decimals is 12.34
Headwise.spelled = (whole, decimals) => (whole === null ? "–" : (whole / 10 ** decimals).toFixed(decimals));

Headwise.element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

// a button that goes from the system's choice to the other and back
Headwise.themeButton = (button, changed) => {
  const name = () => { button.textContent = Headwise.theme() === "dark" ? "Light page" : "Dark page"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = Headwise.theme() === "dark" ? "light" : "dark";
    name();
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { name(); changed(); });
  name();
};
