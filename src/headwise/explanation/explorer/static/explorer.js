"use strict";
// The explorer: shows views of precomputed attention weights. Every number is a whole multiple of its last digit, as the
// library rounded it; only colours are computed here.

// ---- the explorer itself

Headwise.SKELETON = `
<fieldset class="digits"><legend>Image</legend><div class="choices"></div></fieldset>
<p class="verdict"></p>
<div class="panels">
  <fieldset class="heads"><legend>Layer and head</legend><div class="choices"></div></fieldset>
  <section class="seen" aria-label="Attention of the selected token">
    <h2>Attention of one token</h2>
    <div class="tokens" role="listbox" tabindex="0" aria-label="Tokens of the image. Arrow keys choose the query; Enter selects it, and arrow keys then choose the key; Escape clears the selection.">
      <div class="class-token" role="option"><span class="swatch"></span><span class="share"></span></div>
      <div class="image"><canvas aria-hidden="true"></canvas><div class="cells"></div></div>
    </div>
    <p class="readout"></p>
    <p class="hint">Point or tap to choose the query token; click, or press Enter, to select it and read its weight on other tokens. Escape clears the selection.</p>
  </section>
  <section class="matrix" aria-label="All attention weights of this view">
    <h2>From every token to every token</h2>
    <div class="square" role="application" tabindex="0" aria-roledescription="matrix"><canvas aria-hidden="true"></canvas><div class="row-mark"></div><div class="cell-mark"></div></div>
    <p class="hint">A row for each query token, a column for each key token, the class token first. Rows sum to one.</p>
    <div class="scale" role="img" aria-label="Colour scale: the square root of the weight, from 0 to 1, the same in every view"><canvas></canvas><div class="ticks" aria-hidden="true"></div></div>
  </section>
  <section class="numbers" aria-label="Measures">
    <h2>Measurements</h2>
    <div class="scroll"><table><thead></thead><tbody></tbody></table></div>
    <p class="hint"></p>
  </section>
</div>
<section class="words"><h2>In words</h2><p class="description"></p><div class="caption"></div></section>
<details class="listed"><summary>The selected token’s weights as a table</summary><div class="scroll"></div></details>
<p class="foot"><button type="button" class="link">Copy a link to this view</button> <span class="copied"></span></p>
<p class="live" aria-live="polite"></p>`;

Headwise.mount = (root, data, { permalink = false } = {}) => {
  root.classList.add("explorer");
  root.innerHTML = Headwise.SKELETON;
  const find = (selector) => root.querySelector(selector);
  const count = data.boxes.length + 1;
  const state = { digit: 0, view: data.views.at(-2), from: 0, to: null }; // `to` is null unless a query is selected
  let hovered = {}; // what the pointer is over; takes precedence over the selection
  const group = `headwise-${Headwise.mounted = (Headwise.mounted || 0) + 1}`;

  const digit = () => data.digits[state.digit];
  const from = () => hovered.from ?? state.from;
  const looked = () => hovered.to ?? state.to;
  const row = (view, n) => {
    const weights = digit().weights[data.views.indexOf(view)];
    return weights.slice(n * count, (n + 1) * count);
  };
  const weight = (whole) => Headwise.spelled(whole, data.decimals);
  const columns = data.boxes.filter((box) => box[0] === data.boxes[0][0]).length;
  const name = (n) => {
    if (n === 0) return "the class token";
    if (columns === 1 || columns === count - 1) return `token ${n}`;
    return `token ${n} (row ${Math.ceil(n / columns)}, column ${((n - 1) % columns) + 1})`;
  };
  const viewName = (view) => {
    const [layer, head] = view.split(".");
    if (head === undefined) return view === "mean" ? "mean over all heads" : "rollout";
    return head === "mean" ? `layer ${layer}, mean over heads` : `layer ${layer}, head ${head}`;
  };

  // -- the choices

  const radio = (box, kind, value, label, picture) => {
    const input = Headwise.element("input", { type: "radio", name: `${group}-${kind}`, value, "aria-label": label });
    input.addEventListener("change", () => choose({ [kind]: kind === "digit" ? Number(value) : value }));
    box.append(Headwise.element("label", { title: label, "data-choice": value }, input, picture));
  };
  data.digits.forEach((each, i) => {
    const label = each.label < 0 ? `image ${i + 1}` : `image ${i + 1}, a ${each.label}`;
    radio(find(".digits .choices"), "digit", i, label, Headwise.element("canvas", { width: 28, height: 28 }));
  });
  find(".digits").hidden = data.digits.length === 1;
  const heads = find(".heads .choices");
  heads.style.setProperty("--columns", data.heads + 1);
  const headings = [...Array(data.heads).keys()].map((head) => `head ${head}`);
  heads.append(Headwise.element("span"), ...[...headings, "mean"].map((word) => Headwise.element("span", { class: "heading" }, word)));
  for (const view of data.views) {
    if (view.endsWith(".0")) heads.append(Headwise.element("span", { class: "heading" }, `layer ${view.split(".")[0]}`));
    if (!view.includes(".")) {
      heads.append(Headwise.element("span", { class: `heading whole ${view}` }, view === "mean" ? "mean of all" : "rollout"));
    }
    radio(heads, "view", view, viewName(view), Headwise.element("canvas", { width: 28, height: 28 }));
  }
  const cells = find(".cells");
  data.boxes.forEach(([top, left, tall, wide]) => {
    const place = Headwise.element("div", { role: "option", class: "cell" });
    const [height, width] = data.size;
    Object.assign(place.style, {
      top: `${(100 * top) / height}%`, left: `${(100 * left) / width}%`,
      height: `${(100 * tall) / height}%`, width: `${(100 * wide) / width}%`,
    });
    cells.append(place);
  });
  const options = [find(".class-token"), ...cells.children];
  options.forEach((option, n) => { option.id = `${group}-token-${n}`; });
  find(".image").style.aspectRatio = `${data.size[1]} / ${data.size[0]}`;

  // -- showing

  const paintHeads = () => {
    for (const label of heads.querySelectorAll("label")) {
      Headwise.drawMap(label.querySelector("canvas"), data, row(label.dataset.choice, from()));
    }
  };

  const paintMatrix = () => {
    const weights = digit().weights[data.views.indexOf(state.view)];
    const colours = weights.map((whole) => Headwise.colour(whole / 10 ** data.decimals));
    Headwise.paint(find(".matrix .square canvas"), count, count, colours);
  };

  const mark = () => {
    const [n, m] = [from(), looked()];
    options.forEach((option, i) => {
      option.classList.toggle("from", i === n);
      option.classList.toggle("to", i === m);
      option.setAttribute("aria-selected", i === n);
    });
    Object.assign(find(".row-mark").style, { top: `${(100 * n) / count}%`, height: `${100 / count}%` });
    find(".cell-mark").hidden = m === null;
    if (m !== null) {
      Object.assign(find(".cell-mark").style, {
        top: `${(100 * n) / count}%`, left: `${(100 * m) / count}%`, height: `${100 / count}%`, width: `${100 / count}%`,
      });
    }
  };

  const sentence = () => {
    const [n, m] = [from(), looked()];
    const weights = row(state.view, n);
    const capital = (words) => words[0].toUpperCase() + words.slice(1);
    if (m !== null) return `${capital(name(n))}: weight ${weight(weights[m])} on ${name(m)}.`;
    const most = weights.indexOf(Math.max(...weights));
    return `${capital(name(n))} attends most to ${most === n ? "itself" : name(most)}: ${weight(weights[most])}.`;
  };

  const showNumbers = () => {
    const n = from();
    const view = data.views.indexOf(state.view);
    const { rows, means } = digit();
    find(".numbers thead").innerHTML = `<tr><td></td><th scope="col">${n ? `token ${n}` : "class token"}</th><th scope="col">all, mean</th></tr>`;
    find(".numbers tbody").replaceChildren(...Object.entries(data.measures).map(([key, measure]) => {
      const sign = measure.unit === "%" ? "%" : "";
      const value = (whole) => Headwise.spelled(whole, measure.decimals) + (whole === null ? "" : sign);
      const unit = measure.unit && measure.unit !== "%" ? `, ${measure.unit}` : "";
      return Headwise.element("tr", { "data-measure": key },
        Headwise.element("th", { scope: "row" }, measure.name + unit),
        Headwise.element("td", { class: "row" }, value(rows[key][view][n])),
        Headwise.element("td", { class: "mean" }, value(means[key][view])));
    }));
    const listed = row(state.view, n).map((whole, m) => `<tr><th scope="row">${name(m)}</th><td>${weight(whole)}</td></tr>`);
    find(".listed .scroll").innerHTML = `<table><thead><tr><td></td><th scope="col">weight</th></tr></thead><tbody>${listed.join("")}</tbody></table>`;
  };

  const showToken = (tell) => {
    const n = from();
    const weights = row(state.view, n);
    Headwise.drawOutline(Headwise.drawMap(find(".image canvas"), data, weights), data, digit().pixels);
    find(".class-token .swatch").style.background = Headwise.css(weights[0] / 10 ** data.decimals);
    find(".class-token .share").textContent = `class token ${weight(weights[0])}`;
    options.forEach((option, m) => {
      option.setAttribute("aria-label", `${name(m)}, ${weight(weights[m])}${m === n ? ", the query" : ""}`);
    });
    find(".tokens").setAttribute("aria-activedescendant", options[looked() ?? n].id);
    mark();
    find(".readout").textContent = sentence();
    find(".square").setAttribute("aria-label", `Attention weights of ${viewName(state.view)}, ${count} by ${count}. Arrow keys move. ${sentence()}`);
    showNumbers();
    if (tell) find(".live").textContent = sentence();
  };

  const showDigit = () => {
    const { probabilities, ranked, label, caption } = digit();
    const likely = ranked.slice(0, 3).map((i) => `${i} (${Headwise.spelled(probabilities[i], data.decimals - 2)}%)`);
    const truth = label < 0 ? "" : label === ranked[0] ? " This is correct." : ` This is wrong: the label is ${label}.`;
    find(".verdict").textContent = `Predicted: ${likely[0]}; next ${likely.slice(1).join(" and ")}.${truth}`;
    const before = [...root.querySelectorAll(".caption details")].map((part) => part.open);
    find(".caption").innerHTML = caption.map(([heading, words], i) =>
      `<details${before[i] ?? i === 1 ? " open" : ""}><summary>${heading}</summary><p>${words}</p></details>`).join("");
    find(".caption").prepend(Headwise.element("h3", {}, "The class token’s attention in all layers and heads"));
  };

  const show = (tell = false) => {
    root.querySelectorAll(".digits label").forEach((label, i) => {
      label.querySelector("input").checked = i === state.digit;
      Headwise.drawDigit(label.querySelector("canvas"), data.digits[i].pixels, data.size);
    });
    heads.querySelectorAll("input").forEach((input) => { input.checked = input.value === state.view; });
    showDigit();
    find(".description").innerHTML = digit().descriptions[data.views.indexOf(state.view)];
    paintHeads();
    paintMatrix();
    showToken(tell);
    const along = Array.from({ length: 200 }, (_, i) => Headwise.colour((i / 199) ** 2));
    Headwise.paint(find(".scale canvas"), 200, 1, along);
  };
  find(".scale .ticks").append(...[0, 0.01, 0.05, 0.2, 0.5, 1].map((tick) => {
    const made = Headwise.element("span", {}, String(tick));
    made.style.left = `${100 * Math.sqrt(tick)}%`;
    return made;
  }));
  find(".numbers .hint").textContent = "The first four describe a token’s weights on the image’s tokens, without the class token.";

  // -- moving

  const choose = (change) => {
    hovered = {};
    Object.assign(state, change);
    if ("digit" in change || "view" in change) show();
    else { showToken(true); paintHeads(); }
    if (permalink) remember();
  };
  const hover = (over) => {
    if (over.from === hovered.from && over.to === hovered.to) return;
    const before = from();
    hovered = over;
    showToken(false);
    if (from() !== before) paintHeads();
  };
  const hold = (n) => choose(state.to === null ? { from: n, to: n } : { to: n });
  const release = () => choose({ to: null });

  const tokenAt = (event) => {
    if (event.target.closest(".class-token")) return 0;
    const frame = find(".image").getBoundingClientRect();
    const y = ((event.clientY - frame.top) / frame.height) * data.size[0];
    const x = ((event.clientX - frame.left) / frame.width) * data.size[1];
    const far = ([top, left, tall, wide]) => Math.hypot(y - top - tall / 2, x - left - wide / 2);
    const inside = ([top, left, tall, wide]) => y >= top && y <= top + tall && x >= left && x <= left + wide;
    const under = data.boxes.map((box, i) => [inside(box) ? far(box) : Infinity, i + 1]).sort((a, b) => a[0] - b[0])[0];
    return under[0] === Infinity ? null : under[1];
  };
  const tokens = find(".tokens");
  tokens.addEventListener("pointermove", (event) => {
    const n = tokenAt(event) ?? undefined;
    if (event.pointerType !== "touch") hover(state.to === null ? { from: n } : { to: n });
  });
  tokens.addEventListener("pointerleave", () => hover({}));
  tokens.addEventListener("click", (event) => {
    const n = tokenAt(event);
    if (n === null) return;
    if (event.pointerType === "touch") choose({ from: n, to: null });
    else if (state.to !== null && n === state.from) release();
    else hold(n);
  });

  // arrow keys: by rows and columns of the image, the class token above them
  const step = (n, key) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    if (key === "Home") return 0;
    if (key === "End") return count - 1;
    if (n === 0) return by > 0 ? 1 : 0;
    if (n + by >= count) return n;
    return Math.max(0, n + by);
  };
  const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
  tokens.addEventListener("keydown", (event) => {
    if (KEYS.includes(event.key)) choose(state.to === null ? { from: step(state.from, event.key) } : { to: step(state.to, event.key) });
    else if (event.key === "Enter" || event.key === " ") choose({ to: state.to === null ? state.from : null });
    else if (event.key === "Escape") release();
    else return;
    event.preventDefault();
  });

  const square = find(".square");
  const cellAt = (event) => {
    const frame = square.getBoundingClientRect();
    const at = (where, start, size) => Math.min(count - 1, Math.max(0, Math.floor(((where - start) / size) * count)));
    return [at(event.clientY, frame.top, frame.height), at(event.clientX, frame.left, frame.width)];
  };
  square.addEventListener("pointermove", (event) => {
    const [n, m] = cellAt(event);
    if (event.pointerType !== "touch") hover({ from: n, to: m });
  });
  square.addEventListener("pointerleave", () => hover({}));
  square.addEventListener("click", (event) => { const [n, m] = cellAt(event); choose({ from: n, to: m }); });
  square.addEventListener("keydown", (event) => {
    const [dn, dm] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
    if (event.key === "Escape") release();
    else if (!dn && !dm) return;
    else {
      const clipped = (i) => Math.min(count - 1, Math.max(0, i));
      choose({ from: clipped(state.from + dn), to: clipped((state.to ?? state.from) + dm) });
    }
    event.preventDefault();
  });

  // -- a link to the current view

  const link = () => {
    const told = { digit: state.digit, view: state.view, from: state.from, ...(state.to === null ? {} : { to: state.to }) };
    return `#${new URLSearchParams(told)}`;
  };
  const remember = () => {
    try { history.replaceState(null, "", link()); } catch { /* a frame without an address of its own */ }
  };
  const follow = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    const number = (key, below) => (/^\d+$/.test(told.get(key) ?? "") && Number(told.get(key)) < below ? Number(told.get(key)) : null);
    state.digit = number("digit", data.digits.length) ?? 0;
    state.view = data.views.includes(told.get("view")) ? told.get("view") : state.view;
    state.from = number("from", count) ?? 0;
    state.to = number("to", count);
    show();
  };
  find(".foot").hidden = !permalink;
  if (permalink) {
    addEventListener("hashchange", follow);
    find(".link").addEventListener("click", async () => {
      remember();
      try {
        await navigator.clipboard.writeText(location.href);
        find(".copied").textContent = "Copied.";
      } catch {
        find(".copied").textContent = "The link is in the address bar.";
      }
    });
    follow();
  } else show();

  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) { width = root.clientWidth; show(); }
  }).observe(root);
  return { show, choose, state };
};

// ---- a page that contains its content

Headwise.unpack = async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
};

if (document.getElementById("content")) {
  Headwise.unpack(document.getElementById("content").textContent).then((data) => {
    const { show } = Headwise.mount(document.getElementById("explorer"), data, { permalink: true });
    Headwise.themeButton(document.querySelector(".theme"), show);
  });
}
