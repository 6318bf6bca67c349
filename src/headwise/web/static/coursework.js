"use strict";
// Editable arrays; the server runs the library on them after each change.

const FIELDS = {
  X: "X, the tokens", Wq: "Wq, queries", Wk: "Wk, keys", Wv: "Wv, values", Wo: "Wo, final (empty: the identity)",
};
const form = document.querySelector("form");
const results = document.querySelector(".results");
let last = null; // the last answer, to be shown again in other colours

for (const [name, words] of Object.entries(FIELDS)) {
  const area = Headwise.element("textarea", { name, id: name, rows: name === "Wo" ? 3 : 7, spellcheck: "false", wrap: "off", "aria-describedby": `${name}-error` });
  form.querySelector(".arrays").append(Headwise.element("div", { class: "field" },
    Headwise.element("label", { for: name }, words), area,
    Headwise.element("p", { class: "error", id: `${name}-error`, role: "alert" })));
}

// ---- asking

const load = async () => {
  form.elements.layout.value = "out, in";
  const arrays = await (await fetch("/api/coursework")).json();
  for (const [name, text] of Object.entries(arrays)) form.elements[name].value = text;
  ask();
};

let asked = 0;
const ask = async () => {
  const mine = asked += 1;
  offerInputs();
  const question = {
    arrays: Object.fromEntries(Object.keys(FIELDS).map((name) => [name, form.elements[name].value])),
    heads: Number(form.elements.heads.value),
    swap: [Number(form.elements.first.value), Number(form.elements.second.value)],
    layout: form.elements.layout.value,
    causal: form.elements.causal.checked,
  };
  try {
    const response = await fetch("/api/attend", { method: "POST", body: JSON.stringify(question), headers: { "Content-Type": "application/json" } });
    const answered = response.ok ? await response.json() : await response.text();
    if (mine !== asked) return; // a later change is on its way
    wipe();
    if (response.ok) show(answered); else refuse(answered);
  } catch {
    refuse("The server does not respond; is it still running?");
  }
};

// as many inputs to swap as X has rows, which end as `matrix` in reading.py lets them end
const wished = { first: 0, second: 1 }; // also while X has too few rows for it
const offerInputs = () => {
  const rows = form.elements.X.value.split(/[\n;]|\]\s*,/).map((row) => row.replace(/[[\](),]/g, " ").trim());
  const count = rows.filter((row) => row).length;
  Object.entries(wished).forEach(([name, input], standard) => {
    const select = form.elements[name];
    if (select.options.length === count) return;
    select.replaceChildren(...Array.from({ length: count }, (_, i) => new Option(String(i), String(i))));
    select.value = String(input < count ? input : Math.min(standard, count - 1));
  });
};

// ---- errors, next to the field that the message names

const refuse = (message) => {
  const name = message.split(":")[0];
  const target = document.getElementById(`${name}-error`) || document.getElementById("other-error");
  target.textContent = message;
  if (form.elements[name]) form.elements[name].setAttribute("aria-invalid", "true");
  document.querySelector(".status").textContent = "";
  results.classList.add("stale");
};

const wipe = () => {
  for (const place of document.querySelectorAll(".error")) place.textContent = "";
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  results.classList.remove("stale");
};

// ---- showing

const STEPS = {
  queries: "Queries Q", keys: "Keys K", values: "Values V", logits: "Logits Q Kᵀ / √d", weights: "Weights, softmax of each row",
  by_head: "Weights × V",
};
const selected = { query: null, key: null }; // a row of every table, and the key whose logit and weight are marked

const show = (result) => {
  last = result;
  const order = `over ${result.permutations} permutations of the inputs, the outputs are permuted in the same way, to within ${result.deviation} of the largest`;
  document.querySelector(".status").textContent = result.causal
    ? `With a causal mask, swapped inputs do not give swapped outputs: over ${result.permutations} permutations, they differ by up to ${result.deviation} of the largest.`
    : `Swapped inputs give swapped outputs: ${order}.`;
  showTables(result);
};

const showTables = (result) => {
  const [a, b] = result.swap;
  results.replaceChildren(...["given", "swapped"].map((which) => {
    const steps = result[which];
    const marked = which === "swapped" ? result.swap : [];
    const heads = steps.weights.map((_, h) => Headwise.element("section", { class: "head" },
      Headwise.element("h3", {}, `Head ${h}`),
      ...Object.entries(STEPS).map(([step, title]) => table(step, title, steps[step][h], result.decimals, marked)),
      Headwise.element("p", { class: "made", "data-head": h })));
    return Headwise.element("div", { class: which },
      Headwise.element("h2", {}, which === "given" ? "As given" : `Inputs ${a} and ${b} swapped`), ...heads,
      table("output", steps.weights.length > 1 ? "Output: the heads next to each other, times Woᵀ" : "Output, one row per token", steps.output, result.decimals, marked));
  }));
  markSelected();
};

const table = (step, title, matrix, decimals, marked) => {
  const made = Headwise.element("table", { "data-step": step }, Headwise.element("caption", {}, title));
  made.append(Headwise.element("tr", {}, Headwise.element("td"), ...matrix[0].map((_, m) => Headwise.element("th", { scope: "col" }, String(m)))));
  matrix.forEach((row, n) => {
    const choose = Headwise.element("button", { type: "button", "aria-label": `token ${n}` }, String(n));
    choose.addEventListener("click", () => select(n, null));
    const line = Headwise.element("tr", marked.includes(n) ? { class: "swapped" } : {}, Headwise.element("th", { scope: "row" }, choose));
    row.forEach((whole, m) => {
      const cell = Headwise.element("td", {}, Headwise.spelled(whole, decimals));
      if (step === "weights") {
        const colour = Headwise.colour(whole / 10 ** decimals);
        cell.style.background = `rgb(${colour.join(" ")})`;
        cell.style.color = colour[0] * 0.3 + colour[1] * 0.6 + colour[2] * 0.1 > 105 ? "#111" : "#fff";
      }
      if (["logits", "weights"].includes(step)) {
        cell.classList.add("selectable");
        cell.addEventListener("click", () => select(n, m));
      }
      line.append(cell);
    });
    made.append(line);
  });
  return Headwise.element("div", { class: "scroll" }, made);
};

// the same token again clears the selection
const select = (query, key) => {
  const again = selected.query === query && selected.key === key;
  Object.assign(selected, again ? { query: null, key: null } : { query, key });
  markSelected();
};

const markSelected = () => {
  const { query, key } = selected;
  for (const made of results.querySelectorAll("table")) {
    const { step } = made.dataset;
    [...made.rows].slice(1).forEach((line, n) => {
      const ofQuery = !["keys", "values"].includes(step) && n === query;
      line.classList.toggle("selected", ofQuery || (["keys", "values"].includes(step) && n === key));
      line.querySelector("button").setAttribute("aria-pressed", n === query);
      [...line.cells].slice(1).forEach((cell, m) => {
        cell.classList.toggle("selected", ["logits", "weights"].includes(step) && ofQuery && m === key);
      });
    });
  }
  for (const which of ["given", "swapped"]) {
    for (const place of results.querySelectorAll(`.${which} .made`)) place.textContent = madeOf(last[which], Number(place.dataset.head));
  }
};

// what the selected weight, or the selected row, is made of
const madeOf = (steps, h) => {
  const { query: n, key: m } = selected;
  const number = (whole) => Headwise.spelled(whole, last.decimals);
  if (n === null || n >= steps.queries[h].length) return "";
  const width = steps.queries[h][n].length;
  if (m === null) return `Row ${n} of Weights × V is the mean of the rows of V, weighted by row ${n} of the weights.`;
  if (steps.logits[h][n][m] === null) return `Key ${m} is hidden from query ${n} by the causal mask: its weight is zero.`;
  return `Logit (${n}, ${m}) is q${n} · k${m} / √${width} = ${number(steps.logits[h][n][m])}; the softmax of row ${n} makes it ${number(steps.weights[h][n][m])}, the weight of v${m} in output ${n}.`;
};

// ---- listening

for (const name of Object.keys(wished)) {
  form.elements[name].addEventListener("change", (event) => { wished[name] = Number(event.target.value); });
}
let soon = 0;
for (const type of ["input", "change"]) { // a choice that a program makes, such as a screen reader, sends only "change"
  form.addEventListener(type, () => { clearTimeout(soon); soon = setTimeout(ask, 150); });
}
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelector(".load").addEventListener("click", load);
Headwise.themeButton(document.querySelector(".theme"), () => { if (last) showTables(last); });
load();
