"use strict";
// Draw, drop or choose a digit; the server's models classify it side by side, and one of them can be explored.

const pad = document.querySelector(".pad");
const canvas = pad.querySelector("canvas");
const ink = canvas.getContext("2d", { willReadFrequently: true });
const status = document.querySelector(".status");
const cards = document.querySelector(".cards .row");
const SIDE = canvas.width;
const STEP = SIDE / 28;

let answer = null; // the last response of the server
let chosen = null; // the model that is looked into
let mounted = null; // its explorer

// ---- requests to the server: one at a time, then the latest drawing

let asking = false;
let waiting = null;
let wiped = 0; // how often the pad was: an answer to what was wiped meanwhile is not shown

const ask = async (image) => {
  if (asking) { waiting = image; return; }
  asking = true;
  const before = wiped;
  try {
    const response = await fetch("/api/read", { method: "POST", body: image, headers: { "Content-Type": "application/octet-stream" } });
    const result = response.ok ? await response.json() : await response.text();
    if (before === wiped) (response.ok ? show : refuse)(result);
  } catch {
    refuse("The server does not respond; is it still running?");
  }
  asking = false;
  if (waiting) { const next = waiting; waiting = null; ask(next); }
};

const askForPad = () => {
  if (ink.getImageData(0, 0, SIDE, SIDE).data.some((value, i) => i % 4 === 0 && value > 0)) canvas.toBlob(ask);
};

const refuse = (message) => {
  status.textContent = message;
  status.classList.add("wrong");
  outdate(true);
};

// what is shown is, or is no longer, of what is on the pad
const outdate = (stale) => {
  for (const part of document.querySelectorAll(".cards, .below")) part.classList.toggle("stale", stale);
};

// ---- showing what came back

const show = (result) => {
  answer = result;
  outdate(false);
  say(`Answered in ${result.took} ms. The image: ${result.prepared}.`);
  const names = Object.keys(result.models);
  if (!names.includes(chosen)) chosen = names[0];
  if (cards.children.length !== names.length) cards.replaceChildren(...names.map((name) => card(name, result.models[name])));
  names.forEach((name, i) => fill(cards.children[i], result.models[name]));
  document.querySelector(".cards").hidden = false;
  document.querySelector(".below").hidden = false;
  explore();
};

const tokensName = (name) => {
  if (/^\d+x\d+$/.test(name)) return `${name.replace("x", " × ")} patches`;
  return ["rows", "columns"].includes(name) ? `${name} of pixels` : name;
};

const card = (name, data) => {
  const input = Headwise.element("input", { type: "radio", name: "model", value: name });
  input.checked = name === chosen;
  input.addEventListener("change", () => { chosen = name; explore(); });
  const bars = data.inputs[0].probabilities.map((_, digit) =>
    Headwise.element("div", { class: "bar" }, Headwise.element("i"), Headwise.element("span", {}, String(digit))));
  return Headwise.element("label", { class: "card", "data-model": name }, input,
    Headwise.element("strong", {}, tokensName(name)),
    Headwise.element("span", { class: "reading" }),
    Headwise.element("div", { class: "bars", "aria-hidden": "true" }, ...bars),
    Headwise.element("canvas", { width: 112, height: 112, "aria-hidden": "true" }),
    Headwise.element("span", { class: "hint" }, "what the class token looks at, mean over all heads"));
};

const fill = (made, data) => {
  const [input] = data.inputs;
  const [first, second] = input.top.map(([name, probability]) => `${name} (${probability})`);
  made.querySelector(".reading").textContent = `predicts ${first}, next ${second}`;
  made.querySelectorAll(".bar i").forEach((bar, i) => {
    bar.style.height = `${input.probabilities[i] / 10 ** (data.decimals - 2)}%`;
  });
  const weights = new Headwise.Weights(input);
  Headwise.drawInput(made.querySelector("canvas"), input, weights.shares("mean", 0), weights.end("mean"));
};

const explore = () => {
  const data = answer.models[chosen];
  document.querySelector(".chosen").textContent = `Looking into: ${tokensName(chosen)}`;
  const before = mounted && mounted.state;
  mounted = Headwise.mount(document.getElementById("explorer"), data);
  if (before && data.inputs[0].views.includes(before.view)) {
    mounted.choose({ view: before.view, from: Math.min(before.from, data.inputs[0].keys.length - 1) });
  }
};

// ---- the pad: pointer

const place = (event) => {
  const frame = canvas.getBoundingClientRect();
  return [((event.clientX - frame.left) / frame.width) * SIDE, ((event.clientY - frame.top) / frame.height) * SIDE];
};

const stroke = ([x0, y0], [x1, y1]) => {
  if (foreign) emptied();
  ink.strokeStyle = "white";
  ink.lineWidth = 24;
  ink.lineCap = "round";
  ink.beginPath();
  ink.moveTo(x0, y0);
  ink.lineTo(x1, y1 + 0.01);
  ink.stroke();
};

const clear = () => {
  ink.fillStyle = "black";
  ink.fillRect(0, 0, SIDE, SIDE);
};

const say = (message) => {
  status.classList.remove("wrong");
  status.textContent = message;
};

let foreign = false; // whether an image is on the pad, which the first stroke wipes away
const emptied = () => {
  clear();
  foreign = false;
  waiting = null;
  wiped += 1;
  answer = null;
  outdate(true);
  for (const part of document.querySelectorAll(".cards, .below")) part.hidden = true;
  say("Nothing is drawn yet.");
};

let last = null;
pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  pad.setPointerCapture(event.pointerId);
  last = place(event);
  stroke(last, last);
});
pad.addEventListener("pointermove", (event) => {
  if (last === null) return;
  const now = place(event);
  stroke(last, now);
  last = now;
  askForPad();
});
for (const end of ["pointerup", "pointercancel"]) {
  pad.addEventListener(end, () => { if (last !== null) { last = null; askForPad(); } });
}

// ---- the pad: keys

const pen = { x: 14, y: 14, down: false };
const marker = pad.querySelector(".pen");
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const showPen = () => {
  marker.hidden = false;
  marker.classList.toggle("down", pen.down);
  Object.assign(marker.style, { left: `${(100 * pen.x) / 28}%`, top: `${(100 * pen.y) / 28}%` });
};

pad.addEventListener("keydown", (event) => {
  const before = [pen.x * STEP, pen.y * STEP];
  if (event.key in MOVES) {
    const [dx, dy] = MOVES[event.key];
    pen.x = Math.min(26, Math.max(2, pen.x + dx));
    pen.y = Math.min(26, Math.max(2, pen.y + dy));
  } else if (event.key === " ") pen.down = !pen.down;
  else if (event.key === "Delete" || event.key === "Backspace") { pen.down = false; emptied(); }
  else return;
  event.preventDefault();
  if (pen.down) { stroke(before, [pen.x * STEP, pen.y * STEP]); askForPad(); }
  showPen();
  pad.setAttribute("aria-description", `Pen ${pen.down ? "down" : "up"}, row ${pen.y}, column ${pen.x}.`);
});
pad.addEventListener("blur", () => { marker.hidden = true; pen.down = false; });
document.querySelector(".clear").addEventListener("click", emptied);

// ---- images: chosen, dropped, or one of the examples

// made small here, so that a photograph of any size can be sent
const take = async (file) => {
  say("Classifying …");
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, 560 / Math.max(image.width, image.height));
    const small = new OffscreenCanvas(Math.max(1, Math.round(image.width * scale)), Math.max(1, Math.round(image.height * scale)));
    small.getContext("2d").drawImage(image, 0, 0, small.width, small.height);
    clear();
    foreign = true;
    const fit = SIDE / Math.max(image.width, image.height);
    const [width, height] = [image.width * fit, image.height * fit];
    ink.fillStyle = "white"; // below transparent pixels, as on the server
    ink.fillRect((SIDE - width) / 2, (SIDE - height) / 2, width, height);
    ink.drawImage(image, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
    ask(scale < 1 ? await small.convertToBlob() : file);
  } catch {
    refuse("This is not an image that the browser can read.");
  }
};

document.querySelector("input[type=file]").addEventListener("change", (event) => {
  if (event.target.files.length) take(event.target.files[0]);
  event.target.value = "";
});
pad.addEventListener("dragover", (event) => { event.preventDefault(); pad.classList.add("over"); });
pad.addEventListener("dragleave", () => pad.classList.remove("over"));
pad.addEventListener("drop", (event) => {
  event.preventDefault();
  pad.classList.remove("over");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  else refuse("That holds no image file.");
});
const takeExample = async (digit) => {
  say("Classifying …");
  take(await (await fetch(`/api/example/${digit}.png`)).blob());
};
for (let digit = 0; digit < 10; digit += 1) {
  const button = Headwise.element("button", { type: "button", "aria-label": `a handwritten ${digit}` },
    Headwise.element("img", { src: `/api/example/${digit}.png`, alt: "", width: 28, height: 28 }));
  button.addEventListener("click", () => takeExample(digit));
  document.querySelector(".examples .row").append(button);
}

document.querySelector(".cards").hidden = true;
Headwise.themeButton(document.querySelector(".theme"), () => {
  if (answer === null) return;
  Object.values(answer.models).forEach((data, i) => fill(cards.children[i], data));
  mounted.show();
});
clear();
takeExample(4); // so that there is something to look into from the start
