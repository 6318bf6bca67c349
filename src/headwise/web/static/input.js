"use strict";
// A text or an image is sent to every model that takes it; each shows its answer in its own column.

const columns = [...document.querySelectorAll(".model")].map((article) => ({
  article, name: article.dataset.model, kind: article.dataset.kind, answer: null, redraw: () => {},
}));
let explorer = null; // what is mounted, and the kind of its input
const running = { text: null, image: null }; // what stops the requests for the latest input of each kind

// ---- requests

const request = async (path, options) => {
  const response = await fetch(path, options);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
};

// send an input to the models of its kind, and drop what is still computed for the one before
const send = (kind, body, type) => {
  stop(kind);
  const { signal } = running[kind] = new AbortController();
  return Promise.all(columns.filter((column) => column.kind === kind).map((column) => run(column, body, type, signal)));
};

const stop = (kind) => { if (running[kind]) running[kind].abort(); };

const run = async (column, body, type, signal) => {
  say(column, "Running …");
  column.article.querySelector(".answer").classList.add("stale");
  try {
    const answer = await request(`/api/explain?model=${encodeURIComponent(column.name)}`, {
      method: "POST", body, headers: { "Content-Type": type }, signal,
    });
    say(column, `Answered in ${answer.took} ms: ${answer.tokens} tokens.`);
    await show(column, answer, signal);
  } catch (error) {
    if (signal.aborted) return;
    say(column, error instanceof TypeError ? "The server does not respond; is it still running?" : error.message, true);
  }
};

const say = (column, message, wrong = false) => {
  const status = column.article.querySelector(".status");
  status.textContent = message;
  status.classList.toggle("wrong", wrong);
};

const clear = (kind) => {
  stop(kind);
  for (const column of columns.filter((each) => each.kind === kind)) {
    column.answer = null;
    column.redraw = () => {};
    column.article.querySelector(".answer").hidden = true;
    say(column, kind === "text" ? "Write a text and run it." : "Choose an image.");
  }
  if (explorer?.kind === kind) document.querySelector(".below").hidden = true;
};

// ---- one answer

const show = async (column, answer, signal) => {
  const find = (selector) => column.article.querySelector(selector);
  column.answer = answer;
  find(".answer").hidden = false;
  find(".answer").classList.remove("stale");
  find(".caption").innerHTML = answer.caption;
  showPrediction(find(".prediction"), answer);
  const input = showExplorer(column, signal);
  await Promise.all([input, showDependence(column, answer, input, signal)]);
};

// every head of the models that have answered, in one explorer; returns the explorer's content of this column
const showExplorer = async (column, signal) => {
  const answered = columns.filter((each) => each.kind === column.kind && each.answer);
  const keys = answered.map((each) => `key=${each.answer.key}`).join("&");
  const content = await request(`/api/explorer?${keys}`, { signal });
  const isLatest = columns.every((each) => each.kind !== column.kind || !each.answer || answered.includes(each));
  if (isLatest) {
    const view = explorer?.kind === column.kind ? explorer.mounted.state.view : null;
    document.querySelector(".below").hidden = false;
    explorer = { kind: column.kind, mounted: Headwise.mount(document.getElementById("explorer"), content) };
    if (content.inputs[0].views.includes(view)) explorer.mounted.choose({ view });
  }
  return content.inputs[answered.indexOf(column)];
};

const showPrediction = (list, answer) => {
  const share = (whole) => `${Headwise.spelled(whole, answer.decimals - 2)}%`;
  list.replaceChildren(...answer.prediction.map(([name, whole]) =>
    Headwise.element("li", {}, Headwise.element("span", {}, name), Headwise.element("b", {}, share(whole)))));
  list.previousElementSibling.textContent = answer.next_token ? "Next token" : "Prediction";
  list.previousElementSibling.hidden = !answer.prediction.length;
};

const showDependence = async (column, answer, input, signal) => {
  const [root, hint] = [column.article.querySelector(".dependence"), column.article.querySelector(".dependence + .hint")];
  root.replaceChildren();
  hint.textContent = answer.prediction.length ? "Computing …" : "The model has no prediction.";
  if (!answer.prediction.length) return;
  try {
    const result = await request(`/api/dependence?key=${answer.key}`, { signal });
    const shown = await input;
    const view = Headwise.keyViews[shown.kind](shown);
    view.options.forEach((option) => option.removeAttribute("role")); // which nothing can select here
    root.replaceChildren(view.element);
    column.redraw = () => view.paint(result.values, 10 ** answer.decimals, Headwise.signedColour);
    column.redraw();
    hint.innerHTML = result.caption;
  } catch (error) {
    if (!signal.aborted) hint.textContent = error.message;
  }
};

// ---- texts

const form = document.querySelector("form.text");
const sendText = () => {
  const [text, pair] = ["text", "pair"].map((name) => form.elements[name].value);
  if (text.trim()) send("text", JSON.stringify({ text, pair }), "application/json"); else clear("text");
};
if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); sendText(); });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); sendText(); }
  });
  form.addEventListener("input", () => { if (!form.elements.text.value.trim()) clear("text"); });
  form.querySelector(".clear").addEventListener("click", () => {
    form.elements.text.value = form.elements.pair.value = "";
    clear("text");
  });
}

// ---- images

const LARGEST = 1000; // pixels; a larger image is made smaller before it is sent
const images = document.querySelector("form.image");
const takeImage = async (file) => {
  const preview = images.querySelector("img");
  try {
    const image = await createImageBitmap(file);
    const scale = LARGEST / Math.max(image.width, image.height);
    if (scale < 1) {
      const small = new OffscreenCanvas(Math.max(1, Math.round(image.width * scale)), Math.max(1, Math.round(image.height * scale)));
      const pen = small.getContext("2d");
      pen.fillStyle = "white"; // below transparent pixels, as on the server
      pen.fillRect(0, 0, small.width, small.height);
      pen.drawImage(image, 0, 0, small.width, small.height);
      file = await small.convertToBlob({ type: "image/jpeg", quality: 0.95 });
    }
  } catch {
    clearImage();
    for (const column of columns.filter((each) => each.kind === "image")) say(column, "This is not an image that the browser can read.", true);
    return;
  }
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  send("image", file, "application/octet-stream");
};
const clearImage = () => {
  images.querySelector("img").hidden = true;
  clear("image");
};
if (images) {
  const drop = images.querySelector(".drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) takeImage(event.dataTransfer.files[0]);
  });
  images.querySelector("input[type=file]").addEventListener("change", (event) => {
    if (event.target.files.length) takeImage(event.target.files[0]);
    event.target.value = "";
  });
  images.querySelector(".clear").addEventListener("click", clearImage);
}

Headwise.themeButton(document.querySelector(".theme"), () => {
  columns.forEach((column) => column.redraw());
  explorer?.mounted.show();
});
