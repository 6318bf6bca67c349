"use strict";
// The content of a page: unpacked, and read row by row.

// deflated bytes in base64: the length of the JSON, the JSON, and the numbers of its arrays after it
Headwise.unpack = async (text) => {
  const deflated = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const end = 4 + new DataView(bytes.buffer).getUint32(0, true);
  const numbers = bytes.subarray(end);
  return JSON.parse(new TextDecoder().decode(bytes.subarray(4, end)), (_, value) =>
    (value && Array.isArray(value.array) ? joinPlanes(numbers, ...value.array) : value));
};

// whole numbers from their byte planes, above a minimum
const joinPlanes = (bytes, offset, count, planes, minimum) => {
  const joined = new Int32Array(count).fill(minimum);
  for (let plane = 0; plane < planes; plane += 1) {
    for (let i = 0; i < count; i += 1) joined[i] += bytes[offset + plane * count + i] << (8 * plane);
  }
  return joined;
};

// The weights of an input. A view stores the largest of each row as whole numbers; the rest of a row is spread evenly
// over its other visible keys.
Headwise.Weights = class {
  constructor(input) {
    this.input = input;
    this.keys = input.keys.length;
    this.queries = (input.queries ?? input.keys).length;
    this.one = 10 ** input.decimals;
    const { counts } = input.weights;
    this.starts = new Int32Array(counts.length + 1);
    for (let i = 0; i < counts.length; i += 1) this.starts[i + 1] = this.starts[i] + counts[i];
  }

  // calls visit(key, units) for each stored weight of a row
  each(view, n, visit) {
    const index = this.input.views.indexOf(view) * this.queries + n;
    const { steps, values } = this.input.weights;
    let key = -1;
    for (let i = this.starts[index]; i < this.starts[index + 1]; i += 1) {
      key += steps[i];
      visit(key, values[i]);
    }
  }

  // a row in whole units of the last decimal; 0 for what is not stored
  units(view, n) {
    const row = new Int32Array(this.keys);
    this.each(view, n, (key, units) => { row[key] = units; });
    return row;
  }

  // a row as fractions of one, for colours
  shares(view, n) {
    const row = new Float32Array(this.keys);
    let [left, others] = [this.one, this.input.causal ? n + 1 : this.keys];
    this.each(view, n, (key, units) => { row[key] = units / this.one; left -= units; others -= 1; });
    if (this.input.least === 1 || left <= 0 || others <= 0) return row;
    const even = left / this.one / others;
    const end = this.input.causal ? n + 1 : this.keys;
    for (let key = 0; key < end; key += 1) row[key] ||= even;
    return row;
  }

  colour(share) { return Headwise.colour(share); }

  isSignificant() { return false; } // which only differences are

  // the weight at which the colours of a view end, as a fraction of one
  end(view) { return this.input.ends[this.input.views.indexOf(view)] / this.one; }

  // a weight as it is read
  text(units) {
    if (units === 0 && this.input.least > 1) return `below ${Headwise.spelled(this.input.least, this.input.decimals)}`;
    return Headwise.spelled(units, this.input.decimals);
  }
};

// the keys of a row, the largest weights first
Headwise.largest = (units, count) =>
  [...units.keys()].filter((key) => units[key] > 0).sort((a, b) => units[b] - units[a] || a - b).slice(0, count);
