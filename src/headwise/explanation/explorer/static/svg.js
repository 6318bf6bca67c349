"use strict";
// Any part of the page as an SVG file, drawn as it is seen: boxes, words, curves and the cells of matrices.

const FEW_CELLS = 4096; // pixels of a canvas, up to which each is a rectangle; a larger one is a picture

Headwise.toSvg = (root) => {
  const frame = root.getBoundingClientRect();
  const parts = [];
  const round = (value) => Number(value.toFixed(2));
  const place = (box) => `x="${round(box.left - frame.left)}" y="${round(box.top - frame.top)}" width="${round(box.width)}" height="${round(box.height)}"`;
  const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");
  const clear = (colour) => colour === "transparent" || /[,/] 0\)$/.test(colour);

  const drawBox = (style, box) => {
    const edge = style.borderTopStyle !== "none" && parseFloat(style.borderTopWidth) > 0 && !clear(style.borderTopColor);
    if (clear(style.backgroundColor) && !edge) return;
    const dashes = style.borderTopStyle === "dashed" ? ' stroke-dasharray="4 3"' : "";
    const stroke = edge ? ` stroke="${style.borderTopColor}" stroke-width="${parseFloat(style.borderTopWidth)}"${dashes}` : "";
    parts.push(`<rect ${place(box)} fill="${clear(style.backgroundColor) ? "none" : style.backgroundColor}"${stroke}/>`);
  };
  const drawOutline = (style, box) => {
    const wide = parseFloat(style.outlineWidth);
    if (style.outlineStyle === "none" || !(wide > 0) || clear(style.outlineColor)) return;
    const dashes = style.outlineStyle === "dashed" ? ' stroke-dasharray="4 3"' : "";
    parts.push(`<rect ${place(box)} fill="none" stroke="${style.outlineColor}" stroke-width="${wide}"${dashes}/>`);
  };
  const drawText = (node, style) => {
    const range = document.createRange();
    const font = `font-family="${escape(style.fontFamily)}" font-size="${parseFloat(style.fontSize)}" font-weight="${style.fontWeight}" fill="${style.color}"`;
    for (const { index, 0: word } of node.data.matchAll(/\S+/g)) {
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const box = range.getBoundingClientRect();
      if (!box.width) continue;
      const [x, y] = [box.left - frame.left, box.top - frame.top];
      const upright = !style.writingMode.startsWith("vertical");
      const where = upright
        ? `x="${round(x)}" y="${round(y + box.height / 2)}"`
        : `transform="translate(${round(x + box.width / 2)} ${round(y + box.height)}) rotate(-90)"`;
      parts.push(`<text ${where} dominant-baseline="central" ${font}>${escape(word)}</text>`);
    }
  };
  const drawCanvas = (canvas, style, box) => {
    const look = `opacity="${style.opacity}" style="mix-blend-mode: ${style.mixBlendMode}; image-rendering: pixelated"`;
    if (canvas.width * canvas.height > FEW_CELLS) {
      parts.push(`<image ${place(box)} ${look} preserveAspectRatio="none" href="${canvas.toDataURL()}"/>`);
      return;
    }
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const [width, height] = [box.width / canvas.width, box.height / canvas.height];
    parts.push(`<g shape-rendering="crispEdges" ${look}>`);
    for (let i = 0; i < canvas.width * canvas.height; i += 1) {
      const [column, row] = [i % canvas.width, Math.floor(i / canvas.width)];
      const cell = { left: box.left + column * width, top: box.top + row * height, width, height };
      parts.push(`<rect ${place(cell)} fill="rgb(${data.slice(4 * i, 4 * i + 3).join(" ")})"/>`);
    }
    parts.push("</g>");
  };
  const drawCurves = (svg, box) => {
    const lines = [...svg.querySelectorAll("polyline")].map((line) =>
      `<polyline points="${line.getAttribute("points")}" fill="none" stroke="${getComputedStyle(line).stroke}" stroke-width="1.3" vector-effect="non-scaling-stroke"/>`);
    parts.push(`<svg ${place(box)} viewBox="${svg.getAttribute("viewBox")}" preserveAspectRatio="none">${lines.join("")}</svg>`);
  };

  const drawLines = (svg, style, box) => {
    const font = `font-family="${escape(style.fontFamily)}" font-size="${parseFloat(style.fontSize)}"`;
    parts.push(`<svg ${place(box)} viewBox="${svg.getAttribute("viewBox")}" ${font}>${svg.innerHTML}</svg>`);
  };

  const visit = (element) => {
    const [style, box] = [getComputedStyle(element), element.getBoundingClientRect()];
    if (!box.width || style.visibility === "hidden" || element.matches("input, select, .save, .search, .part, .hint:empty")) return;
    drawBox(style, box);
    if (element instanceof HTMLCanvasElement) drawCanvas(element, style, box);
    else if (element instanceof HTMLImageElement) parts.push(`<image ${place(box)} opacity="${style.opacity}" preserveAspectRatio="none" href="${element.src}"/>`);
    else if (element.matches("svg.lines")) drawLines(element, style, box);
    else if (element instanceof SVGSVGElement) drawCurves(element, box);
    else {
      for (const child of element.childNodes) {
        if (child.nodeType === Node.TEXT_NODE) drawText(child, style);
        else if (child.nodeType === Node.ELEMENT_NODE) visit(child);
      }
    }
    if (!element.matches(":focus-visible, :has(> :focus-visible)")) drawOutline(style, box);
  };
  visit(root);
  const paper = getComputedStyle(document.body).backgroundColor;
  const size = `width="${round(frame.width)}" height="${round(frame.height)}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${round(frame.width)} ${round(frame.height)}"><rect ${size} fill="${paper}"/>${parts.join("")}</svg>`;
};

// a button that saves a part of the page
Headwise.saveButton = (part, name) => {
  const button = Headwise.element("button", { type: "button", class: "save" }, "Save as SVG");
  button.addEventListener("click", () => {
    const where = URL.createObjectURL(new Blob([Headwise.toSvg(part)], { type: "image/svg+xml" }));
    Headwise.element("a", { href: where, download: `${name()}.svg` }).click();
    setTimeout(() => URL.revokeObjectURL(where), 1000);
  });
  return button;
};
