(() => {
  const root = document.getElementById("gaussian-widget");
  const control = (name) => root.querySelector(`[data-control=${name}]`);
  const show = (name, text) => { root.querySelector(`[data-show=${name}]`).textContent = text; };
  const canvas = root.querySelector("canvas"), draw = canvas.getContext("2d");
  const ink = "#222", quiet = "#999", accent = "#1f4e8c", warm = "#c2571a";
  let seed = 1;

  function normals(count) { // mulberry32 and Box-Muller, so that a seed gives the same sample everywhere
    let state = seed * 0x9e3779b9;
    const uniform = () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  function line(points, color, width, dash = []) {
    draw.beginPath(); draw.setLineDash(dash); draw.strokeStyle = color; draw.lineWidth = width;
    points.forEach(([x, y], i) => (i ? draw.lineTo(x, y) : draw.moveTo(x, y)));
    draw.stroke(); draw.setLineDash([]);
  }

  function update() {
    const c = Number(control("c").value), n = Number(control("n").value);
    const x = normals(2 * n), xs = x.slice(0, n), ys = xs.map((v, i) => c * v + Math.sqrt(1 - c * c) * x[n + i]);
    const w = xs.reduce((s, v, i) => s + v * ys[i], 0) / xs.reduce((s, v) => s + v * v, 0);
    const half = 1.96 * Math.sqrt((1 - c * c) / Math.max(n - 2, 1));
    const minus = (v, d = 3) => v.toFixed(d).replace("-", "−");
    draw.clearRect(0, 0, canvas.width, canvas.height);
    draw.font = "26px system-ui, sans-serif";
    const left = (px, py) => [300 + 70 * px, 280 - 70 * py];
    line([left(-4, 0), left(4, 0)], quiet, 1.5); line([left(0, -3.7), left(0, 3.7)], quiet, 1.5);
    draw.fillStyle = accent + "66";
    xs.slice(0, 1500).forEach((v, i) => { const [a, b] = left(v, ys[i]); draw.beginPath(); draw.arc(a, b, n > 300 ? 2.5 : 5, 0, 7); draw.fill(); });
    line([left(-3.7, -3.7 * c), left(3.7, 3.7 * c)], quiet, 3, [10, 8]);
    line([left(-3.7, -3.7 * w), left(3.7, 3.7 * w)], warm, 4);
    draw.fillStyle = ink; draw.fillText("x", 590, 270); draw.fillText("y", 312, 34);
    const loss = (v) => 1 - 2 * v * c + v * v, right = (v, l) => [960 + 180 * v, 500 - 110 * l];
    draw.fillStyle = warm + "33"; draw.fillRect(right(c - half, 0)[0], 40, 360 * half, 460);
    line([right(-1.5, 0), right(1.5, 0)], quiet, 1.5);
    line(Array.from({ length: 121 }, (_, i) => -1.5 + i / 40).filter((v) => loss(v) < 4.1).map((v) => right(v, loss(v))), accent, 4);
    draw.fillStyle = warm; const [a, b] = right(w, loss(w)); draw.beginPath(); draw.arc(a, b, 9, 0, 7); draw.fill();
    draw.fillStyle = ink; draw.fillText("w", 1240, 530); draw.fillText("loss 1 − 2wc + w²", 700, 34);
    [-1, 0, 1].forEach((v) => draw.fillText(minus(v, 0), right(v, 0)[0] - 10, 532));
    show("c", minus(c, 2)); show("n", String(n));
    show("text", `Estimate ŵ = ${minus(w)}; ${minus(c - half)} to ${minus(c + half)} contains 95% of the estimates. ` +
      `Population loss at ŵ: ${minus(loss(w))}; the least is 1 − c² = ${minus(1 - c * c)}.`);
  }

  control("c").addEventListener("input", update);
  control("n").addEventListener("input", update);
  control("redraw").addEventListener("change", () => { seed += 1; update(); });
  update();
})();
