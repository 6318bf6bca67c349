"use strict";
// Colours, canvases and the few helpers that every page shares.

const Headwise = {};

// ---- colours: the square root of a weight's share of its scale, so that 1/50 can still be seen

Headwise.colours = {
  light: ["#ffffff", "#d3e3f3", "#93c0e0", "#3f87c2", "#15508f", "#06264f"],
  dark: ["#12181f", "#15324c", "#1d5480", "#3787c0", "#86c0e8", "#f2f9ff"],
  negative: {
    light: ["#ffffff", "#f7d8cb", "#eda385", "#d4593a", "#9c2716", "#57100b"],
    dark: ["#12181f", "#45211a", "#80382a", "#cc6a4c", "#f2a78c", "#fff3ee"],
  },
};

Headwise.theme = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
};

const tables = new Map(); // of each list of stops, 1,024 colours
const lookUp = (stops, share) => {
  if (!tables.has(stops)) tables.set(stops, Array.from({ length: 1024 }, (_, i) => interpolate(stops, i / 1023)));
  return tables.get(stops)[Math.round(1023 * Math.sqrt(Math.min(1, Math.max(0, share))))];
};
Headwise.colour = (share) => lookUp(Headwise.colours[Headwise.theme()], share);
// from −1 (red) to 1 (blue)
Headwise.signedColour = (share) => (share < 0 ? lookUp(Headwise.colours.negative[Headwise.theme()], -share) : Headwise.colour(share));

const interpolate = (stops, at) => {
  const place = at * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  return [0, 1, 2].map((k) => {
    const [a, b] = [stops[low], stops[low + 1]].map((stop) => parseInt(stop.slice(1 + 2 * k, 3 + 2 * k), 16));
    return Math.round(a + (b - a) * (place - low));
  });
};

Headwise.css = (share) => `rgb(${Headwise.colour(share).join(" ")})`;

// black or white, whichever is easier to read on a colour
Headwise.letters = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111" : "#fff");

// ---- drawing on a canvas

// colours [r, g, b] in reading order, a pixel each; styles enlarge the canvas without smoothing
Headwise.paint = (canvas, width, height, colours) => {
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    const [r, g, b] = colours[i];
    pixels.data.set([r, g, b, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
};

// a canvas as large as it is seen, whose pen draws in units of one pixel of the image
Headwise.pen = (canvas, width, height) => {
  const seen = Math.max(1, Math.round((canvas.clientWidth || canvas.width) * (devicePixelRatio || 1)));
  canvas.width = seen;
  canvas.height = Math.max(1, Math.round((seen * height) / width));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.scale(canvas.width / width, canvas.height / height);
  return pen;
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
