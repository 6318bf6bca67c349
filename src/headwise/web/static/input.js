"use strict";
// A text or an image is sent to every model that takes it; each shows its answer in a column of its own.

const columns = [...document.querySelectorAll(".model")].map((article) => ({
  article, name: article.dataset.model, kind: article.dataset.kind, answer: null, redraw: () => {},
}));
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
    say(column, `Answered in ${answer.took} ms: ${answer.labels.length} tokens.`);
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
};

// ---- one answer

const show = async (column, answer, signal) => {
  const find = (selector) => column.article.querySelector(selector);
  column.answer = answer;
  find(".answer").hidden = false;
  find(".answer").classList.remove("stale");
  find(".caption").innerHTML = answer.caption;
  showPrediction(find(".prediction"), answer);
  listHeads(find("select"), answer);
  const attention = attentionView(column, answer, signal);
  find("select").onchange = attention.load;
  await Promise.all([attention.load(), showDependence(column, answer, signal)]);
};

const showPrediction = (list, answer) => {
  const share = (whole) => `${Headwise.spelled(whole, answer.decimals - 2)}%`;
  list.replaceChildren(...answer.prediction.map(([name, whole]) =>
    Headwise.element("li", {}, Headwise.element("span", {}, name), Headwise.element("b", {}, share(whole)))));
  list.previousElementSibling.textContent = answer.next_token ? "Next token" : "Prediction";
  list.previousElementSibling.hidden = !answer.prediction.length;
};

// the heads by their role; those without one last
const listHeads = (select, answer) => {
  const groups = new Map();
  for (const { layer, head, role } of answer.heads) {
    if (!groups.has(role)) groups.set(role, []);
    groups.get(role).push(new Option(`layer ${layer}, head ${head}${role ? ` · ${role}` : ""}`, `${layer} ${head}`));
  }
  const named = [...groups.keys()].filter((role) => role).sort();
  select.replaceChildren(...[...named, ""].filter((role) => groups.has(role)).map((role) => {
    const group = Headwise.element("optgroup", { label: role || "no role" });
    group.append(...groups.get(role));
    return group;
  }));
  select.value = answer.shown.join(" ");
};

const attentionView = (column, answer, signal) => {
  const root = column.article.querySelector(".attention");
  const count = answer.labels.length;
  let query = answer.query;
  let weights = null;
  const draw = () => {
    if (!weights) return;
    const row = weights.slice(query * count, (query + 1) * count).map((whole) => whole / 10 ** answer.decimals);
    const onImage = (key) => answer.kind !== "image" || !answer.prefix[key]; // over an image, patches have their own scale
    const largest = Math.max(...row.filter((_, key) => onImage(key))) || 1;
    view.shade(row.map((value) => Math.min(1, value / largest)));
    view.select(query);
    const most = row.indexOf(Math.max(...row));
    const name = (key) => `“${answer.labels[key].trim() || " "}”`;
    column.article.querySelector(".readout").textContent =
      `${name(query)} attends most to ${most === query ? "itself" : name(most)}: ${row[most].toFixed(answer.decimals)}. The darkest colour stands for ${largest.toFixed(answer.decimals)}.`;
  };
  const view = Headwise.tokenView(root, answer, (key) => { query = key; draw(); });
  const load = async () => {
    const [layer, head] = column.article.querySelector("select").value.split(" ");
    weights = (await request(`/api/head?key=${answer.key}&layer=${layer}&head=${head}`, { signal })).weights;
    draw();
  };
  column.redraw = draw;
  return { load };
};

const showDependence = async (column, answer, signal) => {
  const [root, hint] = [column.article.querySelector(".dependence"), column.article.querySelector(".dependence + .hint")];
  root.replaceChildren();
  hint.textContent = answer.prediction.length ? "Computing …" : "The model has no prediction.";
  if (!answer.prediction.length) return;
  try {
    const result = await request(`/api/dependence?key=${answer.key}`, { signal });
    const view = Headwise.tokenView(root, answer);
    let content = -1;
    const values = answer.prefix.map((prefix) => (prefix ? null : result.values[content += 1] / 10 ** answer.decimals));
    const draw = column.redraw;
    column.redraw = () => { draw(); view.shade(values); };
    view.shade(values);
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

Headwise.themeButton(document.querySelector(".theme"), () => columns.forEach((column) => column.redraw()));
