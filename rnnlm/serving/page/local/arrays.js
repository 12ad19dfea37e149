// The engine of a page that needs no server: a model that `rnnlm export --html` packed, computed in
// plain JavaScript. The files of this folder are parts of one script (rnnlm/serving/html_export.py
// has their order).
//
// The figures are those of the model's compact form with 8 bits, as `rnnlm score` gives them, up to
// rounding. Log-probabilities are natural; a state is a value that nothing changes. Places in a
// text count its characters, as Python does, not JavaScript's units of 16 bits.

// ---- Arrays: the model's file in the safetensors format, out of base64.

const VIEWS = {
  F64: Float64Array,
  F32: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  U16: Uint16Array,
  BF16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
};
const SCALE = "@scale";

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

const textOf = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

// Return the arrays of a file by name: {type, shape, values}.
function readTensors(bytes) {
  const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const start = 8 + headerLength;
  const entries = JSON.parse(textOf(bytes.subarray(8, start)));
  const arrays = new Map();
  for (const [name, entry] of Object.entries(entries)) {
    const View = VIEWS[entry.dtype];
    const [first, last] = entry.data_offsets;
    const count = (last - first) / View.BYTES_PER_ELEMENT;
    const values = new View(bytes.buffer, start + first, count);
    arrays.set(name, { type: entry.dtype, shape: entry.shape, values });
  }
  return arrays;
}

// Widen numbers of the type bfloat16, which is the upper half of float32.
function widened(array) {
  if (array.type !== "BF16") return array.values;
  const bits = new Uint32Array(array.values.length);
  for (let at = 0; at < bits.length; at++) bits[at] = array.values[at] << 16;
  return new Float32Array(bits.buffer);
}

// A matrix of whole numbers from -127 to 127, each row times its scale. Sums are taken over the
// whole numbers, and multiplied once.
class Matrix {
  constructor(values, scale, columns) {
    this.values = values;
    this.scale = scale;
    this.rows = scale.length;
    this.columns = columns;
  }

  row(number) {
    const found = new Float64Array(this.columns);
    const scale = this.scale[number];
    const start = number * this.columns;
    for (let at = 0; at < this.columns; at++) found[at] = this.values[start + at] * scale;
    return found;
  }

  // Return W x, or W x + b.
  times(x, b) {
    const { values, scale, rows, columns } = this;
    const whole = columns - (columns % 4);
    const y = new Float64Array(rows);
    let place = 0;
    for (let r = 0; r < rows; r++) {
      // Four sums at a time do not wait for each other.
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      let at = 0;
      for (; at < whole; at += 4, place += 4) {
        s0 += values[place] * x[at];
        s1 += values[place + 1] * x[at + 1];
        s2 += values[place + 2] * x[at + 2];
        s3 += values[place + 3] * x[at + 3];
      }
      for (; at < columns; at++, place++) s0 += values[place] * x[at];
      y[r] = (s0 + s1 + (s2 + s3)) * scale[r];
    }
    if (b) for (let r = 0; r < rows; r++) y[r] += b[r];
    return y;
  }
}

// The weights of a network by the names that its model folder has.
class Weights {
  constructor(arrays) {
    this.arrays = arrays;
  }

  has(name) {
    return this.arrays.has(name);
  }

  matrix(name) {
    const array = this.arrays.get(name);
    const scale = this.arrays.get(name + SCALE).values;
    return new Matrix(array.values, scale, array.values.length / scale.length);
  }

  vector(name) {
    return this.has(name) ? widened(this.arrays.get(name)) : null;
  }

  // Return the matrices NAME.0, NAME.1, ...
  matrices(name) {
    const found = [];
    while (this.has(`${name}.${found.length}`)) found.push(this.matrix(`${name}.${found.length}`));
    return found;
  }
}

// ---- Arithmetic of vectors.

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const ACTIVATIONS = {
  tanh: Math.tanh,
  relu: (a) => Math.max(0, a),
  sigmoid,
  elu: (a) => (a > 0 ? a : Math.expm1(a)),
  leaky_relu: (a) => (a > 0 ? a : 0.01 * a),
};

function applied(f, x) {
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; at++) y[at] = f(x[at]);
  return y;
}

function combined(f, x, y) {
  const z = new Float64Array(x.length);
  for (let at = 0; at < x.length; at++) z[at] = f(x[at], y[at]);
  return z;
}

const sum = (x, y) => combined((a, b) => a + b, x, y);
const product = (x, y) => combined((a, b) => a * b, x, y);

function joined(vectors) {
  const y = new Float64Array(vectors.reduce((total, x) => total + x.length, 0));
  let at = 0;
  for (const x of vectors) {
    y.set(x, at);
    at += x.length;
  }
  return y;
}

// Return the first numbers of all vectors, then the second ones, and so on.
function interleaved(vectors) {
  const count = vectors.length;
  const y = new Float64Array(count * vectors[0].length);
  vectors.forEach((x, number) => {
    for (let at = 0; at < x.length; at++) y[at * count + number] = x[at];
  });
  return y;
}

// Count the numbers in vectors, in lists of them, and so on.
function numbersIn(vectors) {
  if (!Array.isArray(vectors)) return vectors.length;
  return vectors.reduce((total, each) => total + numbersIn(each), 0);
}

// Cut a vector into `count` parts of the same length.
function parts(x, count) {
  const width = x.length / count;
  return Array.from({ length: count }, (_, part) => x.subarray(part * width, (part + 1) * width));
}

// Return log(exp x_1 + exp x_2 + ...) of the numbers at `places`, of all without them.
function logSum(x, places) {
  const count = places ? places.length : x.length;
  let largest = -Infinity;
  for (let at = 0; at < count; at++) largest = Math.max(largest, x[places ? places[at] : at]);
  if (!Number.isFinite(largest)) return largest;
  let total = 0;
  for (let at = 0; at < count; at++) total += Math.exp(x[places ? places[at] : at] - largest);
  return largest + Math.log(total);
}

function logAdd(a, b) {
  const largest = Math.max(a, b);
  if (largest === -Infinity) return largest;
  return largest + Math.log1p(Math.exp(-Math.abs(a - b)));
}

function logSoftmax(x) {
  const total = logSum(x);
  return applied((a) => a - total, x);
}

const logSigmoid = (a) => Math.min(0, a) - Math.log1p(Math.exp(-Math.abs(a)));
