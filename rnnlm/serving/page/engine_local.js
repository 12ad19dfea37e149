"use strict";
// The engine of a page that needs no server: a model that was packed by `rnnlm export --html`, read
// and computed with in plain JavaScript.
//
// The figures are those of the model's compact form with 8 bits, as `rnnlm score` gives them, up to
// rounding. Log-probabilities are natural; a state is a value that nothing changes. Places in a
// text count its characters, as Python does, not JavaScript's units of 16 bits.

const makeLocalEngine = (() => {
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

  // ---- One step of each kind of layer. Rows of weights are in the order of rnnlm's own layers:
  // rnnlm/neural/layers/steps.py has the equations and where they come from. A step returns what
  // the layer hands on, the state after it and its gates by name.

  class ElmanLayer {
    constructor(weights, prefix, settings) {
      this.U = weights.matrix(`${prefix}.weight_ih`);
      this.W = weights.matrix(`${prefix}.weight_hh`);
      this.b = weights.vector(`${prefix}.bias_ih`);
      this.activation = ACTIVATIONS[settings.activation];
      this.width = this.U.rows;
    }

    start() {
      return [new Float64Array(this.width)];
    }

    step(x, [h]) {
      h = applied(this.activation, sum(this.U.times(x, this.b), this.W.times(h)));
      return { output: h, state: [h], gates: {} };
    }
  }

  class GruLayer {
    constructor(weights, prefix, settings) {
      this.U = weights.matrix(`${prefix}.weight_ih`);
      this.W = weights.matrix(`${prefix}.weight_hh`);
      this.b = weights.vector(`${prefix}.bias_ih`);
      this.b_hh = weights.vector(`${prefix}.bias_hh`);
      this.width = this.U.rows / 3;
      this.resetsAfter = settings.reset_gate === "after";
      this.keeps = settings.update_gate === "keep";
      // With the reset gate before the product, that of the candidate is taken on its own.
      const split = 2 * this.width;
      const { values, scale, columns } = this.W;
      this.W_rz = new Matrix(values.subarray(0, split * columns), scale.subarray(0, split), columns);
      this.W_n = new Matrix(values.subarray(split * columns), scale.subarray(split), columns);
    }

    start() {
      return [new Float64Array(this.width)];
    }

    step(x, [h]) {
      const [x_r, x_z, x_n] = parts(this.U.times(x, this.b), 3);
      const [b_r, b_z, b_n] = parts(this.b_hh, 3);
      const [h_r, h_z] = parts(this.W_rz.times(h), 2);
      const r = applied(sigmoid, sum(x_r, sum(h_r, b_r)));
      const z = applied(sigmoid, sum(x_z, sum(h_z, b_z)));
      let fromState;
      if (this.resetsAfter) fromState = product(r, this.W_n.times(h, b_n));
      else fromState = this.W_n.times(product(r, h), b_n);
      const n = applied(Math.tanh, sum(x_n, fromState));
      const kept = this.keeps ? z : applied((a) => 1 - a, z);
      const after = applied((_) => 0, h);
      for (let at = 0; at < after.length; at++) {
        after[at] = (1 - kept[at]) * n[at] + kept[at] * h[at];
      }
      return { output: after, state: [after], gates: { reset: r, update: z, candidate: n } };
    }
  }

  class LstmLayer {
    constructor(weights, prefix, settings) {
      this.U = weights.matrix(`${prefix}.weight_ih`);
      this.W = weights.matrix(`${prefix}.weight_hh`);
      this.b = weights.vector(`${prefix}.bias_ih`);
      this.names = settings.coupled_gates ? "fgo" : "ifgo";
      this.width = this.U.rows / this.names.length;
      this.p = {}; // peepholes by gate
      const peepholes = weights.vector(`${prefix}.peepholes`);
      if (peepholes) {
        const seeing = this.names.replace("g", "");
        const p = parts(peepholes, seeing.length);
        [...seeing].forEach((name, at) => (this.p[name] = p[at]));
      }

      // A Mogrifier's rounds have a matrix each or, of low rank, the two factors of it.
      const factors = weights.matrices(`${prefix}.mogrifier`);
      const each = settings.mogrifier_rounds ? factors.length / settings.mogrifier_rounds : 0;
      this.rounds = [];
      for (let at = 0; at < factors.length; at += each) this.rounds.push(factors.slice(at, at + each));
    }

    start() {
      return [new Float64Array(this.width), new Float64Array(this.width)];
    }

    step(x, [h, c]) {
      const gates = {};
      this.rounds.forEach((factors, index) => {
        const isOdd = index % 2 === 0;
        let read = isOdd ? h : x;
        for (const factor of factors) read = factor.times(read);
        const gate = applied((a) => 2 * sigmoid(a), read);
        gates[`round ${index + 1}`] = gate;
        if (isOdd) x = product(gate, x);
        else h = product(gate, h);
      });

      const sums = parts(sum(this.U.times(x, this.b), this.W.times(h)), this.names.length);
      const a = {};
      [...this.names].forEach((name, at) => (a[name] = sums[at]));
      const seen = (name, cell) => (this.p[name] ? sum(a[name], product(this.p[name], cell)) : a[name]);
      const f = applied(sigmoid, seen("f", c));
      const g = applied(Math.tanh, a.g);
      const i = a.i ? applied(sigmoid, seen("i", c)) : applied((b) => 1 - b, f);
      const cell = sum(product(f, c), product(i, g));
      const o = applied(sigmoid, seen("o", cell));
      const after = product(o, applied(Math.tanh, cell));
      Object.assign(gates, { input: i, forget: f, candidate: g, output: o });
      return { output: after, state: [after, cell], gates };
    }
  }

  class QuasiRecurrentLayer {
    constructor(weights, prefix, settings, number) {
      this.U = weights.matrix(`${prefix}.weight_ih`);
      this.b = weights.vector(`${prefix}.bias_ih`);
      this.pooling = settings.pooling;
      this.words = number === 0 ? settings.convolution_words : 1;
      this.inputWidth = this.U.columns / this.words;
      this.width = this.U.rows / (1 + this.pooling.length);
    }

    start() {
      const before = Array.from({ length: this.words - 1 }, () => new Float64Array(this.inputWidth));
      return [new Float64Array(this.width), ...before];
    }

    step(x, [c, ...before]) {
      const inputs = [...before, x];
      const sums = parts(this.U.times(joined(inputs), this.b), 1 + this.pooling.length);
      const z = applied(Math.tanh, sums[0]);
      const f = applied(sigmoid, sums[1]);
      const i = this.pooling === "ifo" ? applied(sigmoid, sums[3]) : applied((a) => 1 - a, f);
      const cell = sum(product(f, c), product(i, z));
      const gates = { input: i, forget: f, candidate: z };
      let output = cell;
      if (this.pooling !== "f") {
        gates.output = applied(sigmoid, sums[2]);
        output = product(gates.output, cell);
      }
      return { output, state: [cell, ...inputs.slice(1)], gates };
    }
  }

  const CELLS = { rnn: ElmanLayer, gru: GruLayer, lstm: LstmLayer, qrnn: QuasiRecurrentLayer };

  // ---- What a network makes of the characters of a word (rnnlm/neural/words.py): the best places
  // of filters, or an LSTM from both ends.

  const [BEGIN, END, UNKNOWN_CHARACTER, BOUNDARY_SYMBOL, UNKNOWN_SYMBOL, FIRST_CHARACTER] = [0, 1, 2, 3, 4, 5];
  const LONGEST_WORD = 65; // characters, with the marks of its beginning and its end
  const MOST_VECTORS = 10000; // of words, that are kept

  class CharacterInput {
    constructor(settings, weights, tokenizer) {
      this.tokenizer = tokenizer;
      const prefix = "input.characters.reader";
      this.vectors = weights.matrix(`${prefix}.vectors.weight`);
      const Reader = settings.characters === "cnn" ? CharacterFilters : CharacterLstm;
      this.reader = new Reader(settings, weights, prefix, this.vectors.columns);
      this.known = new Map();

      // The characters of the vocabulary's words, in the order of Unicode.
      const special = [tokenizer.boundary, tokenizer.unknown];
      const words = tokenizer.symbols.filter((_, id) => !special.includes(id));
      const points = new Set(words.flatMap((word) => Array.from(word, (each) => each.codePointAt(0))));
      const sorted = [...points].sort((a, b) => a - b);
      this.numbers = new Map(sorted.map((point, at) => [point, FIRST_CHARACTER + at]));
    }

    vector(id) {
      if (this.known.size > MOST_VECTORS) this.known.clear();
      if (!this.known.has(id)) {
        const characters = this.spelled(id).map((number) => this.vectors.row(number));
        this.known.set(id, this.reader.read(characters));
      }
      return this.known.get(id);
    }

    // Return the numbers of a word's characters, with marks at both ends.
    spelled(id) {
      if (id === this.tokenizer.boundary) return [BEGIN, BOUNDARY_SYMBOL, END];
      if (id === this.tokenizer.unknown) return [BEGIN, UNKNOWN_SYMBOL, END];
      const characters = Array.from(this.tokenizer.word(id)).slice(0, LONGEST_WORD - 2);
      const numbers = characters.map((each) => this.numbers.get(each.codePointAt(0)) ?? UNKNOWN_CHARACTER);
      return [BEGIN, ...numbers, END];
    }
  }

  class CharacterFilters {
    constructor(settings, weights, prefix, width) {
      this.nothing = new Float64Array(width);
      this.hangsOver = settings.character_overhang;
      this.widest = settings.character_filters.split(",").length;
      this.filters = [];
      for (let w = 1; w <= this.widest; w++) {
        const name = `${prefix}.filters.${w}`;
        if (!weights.has(`${name}.weight`)) continue; // a width without filters
        this.filters.push({ w, W: weights.matrix(`${name}.weight`), b: weights.vector(`${name}.bias`) });
      }
      this.highways = [];
      for (let number = 0; number < settings.character_highways; number++) {
        const linear = (name) => {
          const W = weights.matrix(`${prefix}.highways.${number}.${name}.weight`);
          const b = weights.vector(`${prefix}.highways.${number}.${name}.bias`);
          return (y) => W.times(y, b);
        };
        this.highways.push({ candidate: linear("candidate"), gate: linear("gate") });
      }
    }

    // A filter is applied at all places where it covers characters of the word alone, to a shorter
    // word at its beginning; one that hangs over also reads zeros beyond the end.
    read(characters) {
      const padding = Array.from({ length: this.widest }, () => this.nothing);
      const padded = [...characters, ...padding];
      const best = this.filters.map(({ w, W, b }) => {
        const places = this.hangsOver ? characters.length + 1 : Math.max(1, characters.length - w + 1);
        let largest = null;
        for (let place = 0; place < places; place++) {
          const product = W.times(interleaved(padded.slice(place, place + w)), b);
          largest = largest ? combined(Math.max, largest, product) : product;
        }
        return largest;
      });
      let y = applied(Math.tanh, joined(best));
      for (const { candidate, gate } of this.highways) {
        const t = applied(sigmoid, gate(y));
        const c = candidate(y);
        y = Float64Array.from(y, (each, at) => t[at] * Math.max(0, c[at]) + (1 - t[at]) * each);
      }
      return y;
    }
  }

  class CharacterLstm {
    constructor(settings, weights, prefix) {
      this.layers = ["onwards", "backwards"].map((direction) => {
        const named = (name) => `${prefix}.${direction}.${name}_l0`;
        const U = weights.matrix(named("weight_ih"));
        const W = weights.matrix(named("weight_hh"));
        const b = sum(weights.vector(named("bias_ih")), weights.vector(named("bias_hh")));
        return { U, W, b };
      });
    }

    read(characters) {
      const ends = this.layers.map(({ U, W, b }, number) => {
        let h = new Float64Array(W.columns);
        let c = new Float64Array(W.columns);
        for (const x of number ? [...characters].reverse() : characters) {
          const [i, f, g, o] = parts(sum(U.times(x, b), W.times(h)), 4);
          const kept = product(applied(sigmoid, f), c);
          c = sum(kept, product(applied(sigmoid, i), applied(Math.tanh, g)));
          h = product(applied(sigmoid, o), applied(Math.tanh, c));
        }
        return h;
      });
      return joined(ends);
    }
  }

  // ---- Output layers: from what the network says of a place to the log-probabilities of all V
  // tokens. rnnlm/neural/outputs has the papers.

  class Softmax {
    constructor(weights, tied) {
      this.W = tied || weights.matrix("output.weight");
      this.b = weights.vector("output.bias");
    }

    predict(features) {
      return logSoftmax(this.W.times(features, this.b));
    }
  }

  class MixtureOfSoftmaxes extends Softmax {
    constructor(weights, tied) {
      super(weights, tied);
      this.P = weights.matrix("output.prior_weight");
      this.L = weights.matrix("output.latent_weight");
      this.l = weights.vector("output.latent_bias");
    }

    predict(features) {
      const logPrior = logSoftmax(this.P.times(features));
      const latents = parts(applied(Math.tanh, this.L.times(features, this.l)), this.P.rows);
      let total = null;
      latents.forEach((latent, k) => {
        const joint = applied((a) => a + logPrior[k], super.predict(latent));
        total = total ? combined(logAdd, total, joint) : joint;
      });
      return total;
    }
  }

  class AdaptiveSoftmax {
    constructor(weights) {
      this.W = weights.matrix("output.head_weight");
      this.b = weights.vector("output.head_bias");
      this.order = weights.arrays.get("output.order_V").values;
      const matrices = weights.matrices("output.weights");
      const projections = weights.matrices("output.projections");
      this.tails = matrices.map((W, at) => ({
        W,
        b: weights.vector(`output.biases.${at}`),
        projection: projections[at],
      }));
    }

    // The head has the frequent words, then a token for each tail of rarer ones.
    predict(features) {
      const head = logSoftmax(this.W.times(features, this.b));
      const first = head.length - this.tails.length;
      const byRank = [head.subarray(0, first)];
      this.tails.forEach(({ W, b, projection }, at) => {
        const tail = logSoftmax(W.times(projection.times(features), b));
        byRank.push(applied((a) => a + head[first + at], tail));
      });
      return byId(joined(byRank), this.order);
    }
  }

  class ClassSoftmax {
    constructor(weights, tied) {
      this.tied = tied;
      this.W = tied || weights.matrix("output.weight");
      this.b = weights.vector("output.bias");
      this.classW = weights.matrix("output.class_weight");
      this.classB = weights.vector("output.class_bias");
      this.order = weights.arrays.get("output.order_V").values;
      this.starts = weights.arrays.get("output.starts_C").values;
    }

    // Words of a class are neighbours in the order of rank; tied weights are in that of ids.
    predict(features) {
      const logClass = logSoftmax(this.classW.times(features, this.classB));
      let logits = this.W.times(features);
      if (this.tied) logits = Float64Array.from(this.order, (id) => logits[id]);
      logits = sum(logits, this.b);
      for (let number = 0; number < this.starts.length; number++) {
        const last = number + 1 < this.starts.length ? this.starts[number + 1] : logits.length;
        const within = logSoftmax(logits.subarray(this.starts[number], last));
        logits.set(applied((a) => a + logClass[number], within), this.starts[number]);
      }
      return byId(logits, this.order);
    }
  }

  class HierarchicalSoftmax {
    constructor(weights) {
      this.W = weights.matrix("output.weight");
      this.b = weights.vector("output.bias");
      this.parents = weights.arrays.get("output.parent_M").values;
      // Of the two children of a node, the first has the smaller number.
      const seen = new Set();
      this.signs = Int8Array.from(this.parents, (parent) => {
        const sign = seen.has(parent) ? -1 : 1;
        seen.add(parent);
        return sign;
      });
    }

    // Parents have larger numbers than their children; the root is the last node.
    predict(features) {
      const z = this.W.times(features, this.b);
      const size = z.length + 1;
      const reached = new Float64Array(this.parents.length + 1);
      for (let node = this.parents.length - 1; node >= 0; node--) {
        const parent = this.parents[node];
        reached[node] = reached[parent] + logSigmoid(this.signs[node] * z[parent - size]);
      }
      return reached.slice(0, size);
    }
  }

  function byId(byRank, order) {
    const found = new Float64Array(byRank.length);
    for (let rank = 0; rank < order.length; rank++) found[order[rank]] = byRank[rank];
    return found;
  }

  const OUTPUTS = {
    softmax: Softmax,
    mos: MixtureOfSoftmaxes,
    adaptive: AdaptiveSoftmax,
    class: ClassSoftmax,
    hierarchical: HierarchicalSoftmax,
  };

  // ---- The body of a network, between word vectors and output layer. `step` returns what the
  // output layer reads (before any projection), the state, and the gates of each layer.

  class RecurrentStack {
    constructor(weights, settings) {
      this.connections = settings.connections;
      this.layers = [];
      this.highways = [];
      const count = settings.layers;
      for (let number = 0; number < count; number++) {
        const prefix = `body.layers.${number}`;
        this.layers.push(new CELLS[settings.model](weights, prefix, settings, number));
        if (this.connections === "highway" && number + 1 < count) {
          const name = `body.highways.${number}`;
          this.highways.push([weights.matrix(`${name}.weight`), weights.vector(`${name}.bias`)]);
        }
      }
    }

    start() {
      return this.layers.map((layer) => layer.start());
    }

    step(x, states) {
      const after = [];
      const gates = [];
      this.layers.forEach((layer, number) => {
        const done = layer.step(x, states[number]);
        x = this.connect(number, x, done.output);
        after.push(done.state);
        gates.push(done.gates);
      });
      return { output: x, state: after, gates };
    }

    // Return what is read after a layer, which read x and gave y.
    connect(number, x, y) {
      if (this.connections === "dense") return joined([x, y]);
      if (number === 0 || this.connections === "plain") return y;
      if (this.connections === "residual") return sum(x, y);
      const [A, a] = this.highways[number - 1];
      const t = applied(sigmoid, A.times(x, a));
      return Float64Array.from(x, (each, at) => each + t[at] * (y[at] - each));
    }
  }

  class JordanLayer {
    constructor(weights, settings, fedBack) {
      this.layer = new ElmanLayer(weights, "body", settings);
      this.fedBack = fedBack;
    }

    start() {
      return this.layer.start();
    }

    step(x, [h]) {
      const { output, state } = this.layer.step(x, [this.fedBack(h)]);
      return { output, state, gates: [{}] };
    }
  }

  class WordWindow {
    constructor(weights, settings) {
      this.U = weights.matrix("body.weight_ih");
      this.b = weights.vector("body.bias_ih");
      this.activation = ACTIVATIONS[settings.activation];
      this.words = settings.context_words;
      this.isDirect = settings.direct_connections;
    }

    start() {
      const width = this.U.columns / this.words;
      return Array.from({ length: this.words - 1 }, () => new Float64Array(width));
    }

    step(x, before) {
      const window = joined([...before, x]);
      const h = applied(this.activation, this.U.times(window, this.b));
      const output = this.isDirect ? joined([h, window]) : h;
      return { output, state: [...before, x].slice(1), gates: [{}] };
    }
  }

  // ---- Models. Both kinds have `start()`, the state before anything is read; `read(state, id)`,
  // the state after a token; and `predict(state)`, log p of all V next tokens.

  class Network {
    constructor(settings, arrays, tokenizer) {
      const weights = new Weights(arrays);
      this.size = tokenizer.size;
      this.unknown = tokenizer.unknown;
      this.embedding = null;
      if (weights.has("input.embedding.weight")) {
        this.embedding = weights.matrix("input.embedding.weight");
      }
      this.characters = settings.characters ? new CharacterInput(settings, weights, tokenizer) : null;
      const tied = settings.is_tied ? this.embedding : null;
      this.output = new OUTPUTS[settings.output_layer](weights, tied);
      this.projection = null;
      if (weights.has("projection.weight")) {
        const b = weights.vector("projection.bias");
        const P = weights.matrix("projection.weight");
        this.projection = (x) => P.times(x, b);
      }
      if (settings.model === "jordan") {
        this.body = new JordanLayer(weights, settings, (h) => this.fedBack(h, settings.feedback));
      } else if (settings.model === "ffnn") {
        this.body = new WordWindow(weights, settings);
      } else {
        this.body = new RecurrentStack(weights, settings);
      }
      this.hasGates = ["gru", "lstm", "qrnn"].includes(settings.model);
      this.hasOrders = false;
      const features = this.read(this.start(), tokenizer.boundary).features;
      this.stateBytes = 8 * (numbersIn(this.body.start()) + features.length);
    }

    start() {
      return { body: this.body.start(), features: null, gates: [] };
    }

    read(state, id) {
      const { output, state: body, gates } = this.body.step(this.vector(id), state.body);
      return { body, features: this.project(output), gates };
    }

    // Return what is read for a word: its vector, what its characters say, or both. Ids from V on
    // are words that the vocabulary lacks.
    vector(id) {
      if (!this.embedding) return this.characters.vector(id);
      const row = this.embedding.row(id < this.size ? id : this.unknown);
      return this.characters ? joined([row, this.characters.vector(id)]) : row;
    }

    predict(state) {
      return this.output.predict(state.features);
    }

    project(x) {
      return this.projection ? this.projection(x) : x;
    }

    // Return what a Jordan layer reads of the output before: its probabilities, or the word vector
    // that is expected under them.
    fedBack(h, feedback) {
      const p = applied(Math.exp, this.output.predict(this.project(h)));
      if (feedback !== "embedding") return p;
      const { values, scale, columns } = this.embedding;
      const expected = new Float64Array(columns);
      for (let id = 0; id < p.length; id++) {
        const weight = p[id] * scale[id];
        for (let at = 0; at < columns; at++) expected[at] += weight * values[id * columns + at];
      }
      return expected;
    }
  }

  // An n-gram model. Orders are numbered from 1. Of each: log p(w|h), and what giving up the n-gram
  // as a context costs; above the first the n-grams that follow context c are those from first[c]
  // up to first[c + 1], sorted by their last words.
  const NOWHERE = -1; // the number of a context that is not in the model

  class Ngrams {
    constructor(facts, arrays) {
      this.size = facts.size;
      this.boundary = facts.boundary;
      this.unseenCost = facts.unseen_context_logprob;
      this.orders = [];
      for (let n = 1; n <= facts.order; n++) {
        const valuesOf = (name) => arrays.get(`${name}_${n}`)?.values;
        const order = { logprob: valuesOf("logprob"), cost: valuesOf("cost") };
        this.orders.push({ ...order, words: valuesOf("words"), first: valuesOf("first") });
      }
      this.hasGates = false;
      this.hasOrders = true;
      this.stateBytes = 16 * facts.order;
    }

    // A state is the numbers of the contexts made of the last 1, 2, ... words, with their costs.
    start() {
      return { numbers: [], costs: [] };
    }

    read(state, id) {
      if (id === this.boundary) return this.lineStart();
      return this.extend(state, id).after;
    }

    lineStart() {
      if (this.orders.length === 1) return this.start();
      return { numbers: [this.size], costs: [this.orders[0].cost[this.size]] };
    }

    // Return log p of a word, the order of the n-gram that gave it, and the state after it.
    extend(state, word) {
      const { logprob, cost } = this.orders[0];
      let found = { logprob: logprob[word], order: 1 };
      const isUnigram = this.orders.length === 1;
      const numbers = isUnigram ? [] : [word];
      const costs = isUnigram ? [] : [cost[word]];
      for (let n = 2; n <= this.orders.length && n - 2 < state.numbers.length; n++) {
        const order = this.orders[n - 1];
        const number = this.find(order, state.numbers[n - 2], word);
        if (number === NOWHERE) found.logprob += state.costs[n - 2];
        else found = { logprob: order.logprob[number], order: n };
        if (n < this.orders.length) {
          numbers.push(number);
          costs.push(number === NOWHERE ? this.unseenCost : order.cost[number]);
        }
      }
      return { ...found, after: { numbers, costs } };
    }

    find(order, context, word) {
      if (context === NOWHERE) return NOWHERE;
      let low = order.first[context];
      let high = order.first[context + 1];
      const end = high;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (order.words[middle] < word) low = middle + 1;
        else high = middle;
      }
      return low < end && order.words[low] === word ? low : NOWHERE;
    }

    predict(state) {
      // givenUp[k]: what giving up all contexts of more than k words costs.
      const givenUp = [0];
      for (let at = state.costs.length - 1; at >= 0; at--) givenUp.unshift(givenUp[0] + state.costs[at]);
      const found = new Float64Array(this.size);
      for (let id = 0; id < this.size; id++) found[id] = this.orders[0].logprob[id] + givenUp[0];

      // From the bigrams up, n-grams overwrite what backing off would give their words.
      state.numbers.forEach((context, at) => {
        const order = this.orders[at + 1];
        if (context === NOWHERE) return;
        for (let number = order.first[context]; number < order.first[context + 1]; number++) {
          found[order.words[number]] = order.logprob[number] + givenUp[at + 1];
        }
      });
      return found;
    }
  }

  // ---- Text. A line is a list of characters, so that places count what Python counts; white
  // space between words is ASCII's space, tab, carriage return and NUL alone.

  const BOUNDARY = "</s>";
  const UNKNOWN = "<unk>";
  const WORD_SPACE = " \t\r\0";
  const RESERVED = /(?<![^ \t\r\0])<\/?s>(?![^ \t\r\0])/u;
  const SPACE_AT_END = /[ \t\r\0]+$/u;
  const LONE_SURROGATE = /[\ud800-\udfff]/u;
  const isSpace = (character) => WORD_SPACE.includes(character);
  const isBlank = (text) => Array.from(text).every(isSpace);

  // What a person is told: what is wrong, why, and what to do.
  class EngineError extends Error {
    constructor(what, why = "", hint = "") {
      super([what, why].filter(Boolean).join(": "));
      Object.assign(this, { what, why, hint });
    }
  }

  function checked(text) {
    if (LONE_SURROGATE.test(text)) throw new EngineError("the text is not Unicode", "it holds half a character");
    if (text.includes("\n")) throw new EngineError("a line holds a newline", "", "give each line on its own");
    const found = RESERVED.exec(text);
    if (found) throw new EngineError(`the text holds ${found[0]}`, "rnnlm marks line ends itself", "remove it");
    return text;
  }

  // Return the words between white space as places [first character, one past the last].
  function wordSpans(characters) {
    const spans = [];
    let start = -1;
    characters.forEach((character, at) => {
      if (!isSpace(character)) {
        if (start < 0) start = at;
      } else if (start >= 0) {
        spans.push([start, at]);
        start = -1;
      }
    });
    if (start >= 0) spans.push([start, characters.length]);
    return spans;
  }

  // ---- Tokenizers: a line to ids and back, as rnnlm/text/tokenizers has it. `encode` returns the
  // ids, `</s>` last, how each token reads, and which are unknown; `spans` the characters of the
  // line that each token was made of, without `</s>`.

  const ESCAPES = { t: "\t", n: "\n", r: "\r", 0: "\0", "\\": "\\" };

  // Read a vocabulary: on each line a count, a tab and a symbol.
  function readSymbols(bytes) {
    const lines = textOf(bytes).split("\n");
    lines.pop();
    return lines.map((line) => {
      const symbol = line.slice(line.indexOf("\t") + 1);
      return symbol.replace(/\\(.)/gu, (_, letter) => ESCAPES[letter]);
    });
  }

  // In lower case a line may have other characters than before: return those that each was made of.
  function originsOf(characters, isLowered) {
    const origins = [];
    characters.forEach((character, at) => {
      const length = isLowered ? Array.from(character.toLowerCase()).length : 1;
      for (let each = 0; each < length; each++) origins.push(at);
    });
    return origins;
  }

  class VocabularyTokenizer {
    constructor(settings, symbols) {
      this.settings = settings;
      this.symbols = symbols;
      this.boundary = 0;
      this.unknown = 1;
    }

    get size() {
      return this.symbols.length;
    }

    get keepsCase() {
      return !this.settings.lowercase;
    }

    // Return an id as a model predicts it: words that are only spelled are unknown.
    known(id) {
      return id < this.size ? id : this.unknown;
    }

    lowered(text) {
      return this.settings.lowercase ? text.toLowerCase() : text;
    }

    // Tokens are found one after the other in the line, as it is in lower case.
    spans(line) {
      const characters = Array.from(line);
      const read = Array.from(this.lowered(line));
      const origins = originsOf(characters, this.settings.lowercase);
      const found = [];
      let end = 0;
      for (const token of this.encode(line).surface.slice(0, -1)) {
        const its = Array.from(token);
        let start = end;
        while (its.some((character, at) => read[start + at] !== character)) start++;
        end = start + its.length;
        found.push([origins[start], origins[end - 1] + 1]);
      }
      return found;
    }
  }

  // Marks (Unicode's classes P and S) are words of their own, but for apostrophes inside a word.
  const MARKS =
    /<unk>|(?!['\u2019])[\p{P}\p{S}]|(?<![\p{L}\p{N}_])['\u2019]|['\u2019](?![\p{L}\p{N}_])/gu;

  class WordTokenizer extends VocabularyTokenizer {
    constructor(settings, symbols) {
      super(settings, symbols);
      this.ids = new Map(symbols.map((symbol, id) => [symbol, id]));
      this.ids.delete(BOUNDARY);
      this.tokensAreWords = true;
      this.startsWord = symbols.map((_, id) => id);
      this.spells = false;
      this.unseen = new Map();
      this.unseenWords = [];
    }

    // Return the id of a word. Of a model that reads characters, words that the vocabulary lacks
    // have ids from V on; as targets they are unknown.
    id(word) {
      const known = this.ids.get(word);
      if (known !== undefined || !this.spells) return known ?? this.unknown;
      if (!this.unseen.has(word)) {
        this.unseen.set(word, this.size + this.unseenWords.length);
        this.unseenWords.push(word);
      }
      return this.unseen.get(word);
    }

    word(id) {
      return id < this.size ? this.symbols[id] : this.unseenWords[id - this.size];
    }

    words(line) {
      let text = this.lowered(line);
      if (this.settings.split_punctuation) text = text.replace(MARKS, " $& ");
      return text.split(/[ \t\r\0]+/u).filter(Boolean);
    }

    encode(line) {
      const words = this.words(line);
      return {
        ids: [...words.map((word) => this.id(word)), this.boundary],
        surface: [...words, BOUNDARY],
        isUnknown: [...words.map((word) => !this.ids.has(word)), false],
      };
    }

    decode(ids) {
      const words = ids.map((id) => (id === this.boundary ? "\n" : this.word(id)));
      if (words[words.length - 1] === "\n") words.pop();
      const text = words.join(" ").replace(/ ?\n ?/gu, "\n");
      return this.settings.split_punctuation ? joinPunctuation(text) : text;
    }
  }

  // Return words and marks as a person would print them: closing marks next to the word before
  // them, opening ones next to the word after them; straight quotation marks are taken in pairs.
  function joinPunctuation(text) {
    text = ` ${text.replace(/\n/gu, "\n ")}`;
    text = text.replace(/ "((?: ?[^"\n])*?) ?(?="|$|\n)"?/gu, (_, inside) => ` "${inside.trim()}"`);
    text = text.replace(/([([{\u201c\u2018]) /gu, "$1");
    text = text.replace(/ ([.,;:!?%)\]}\u201d\u2026]+)/gu, "$1");
    return text.replace(/^ | ?\n /gu, (found) => (found.includes("\n") ? "\n" : ""));
  }

  class CharTokenizer extends VocabularyTokenizer {
    constructor(settings, symbols) {
      super(settings, symbols);
      this.ids = new Map(symbols.map((symbol, id) => [symbol, id]));
      if (settings.literal_unk !== "symbol") this.ids.delete(UNKNOWN);
      this.tokensAreWords = false;
      this.spaces = new Set(this.idsOf((symbol) => symbol.length === 1 && isSpace(symbol)));
      this.startsWord = [this.boundary, ...this.spaces].sort((a, b) => a - b);
    }

    idsOf(condition) {
      return this.symbols.map((_, id) => id).filter((id) => condition(this.symbols[id]));
    }

    // `<unk>` in a text is one symbol, unless the model spells it.
    encode(line) {
      const text = this.lowered(line);
      let surface = Array.from(text);
      if (this.settings.literal_unk === "symbol") {
        surface = text.split(UNKNOWN).flatMap((part, at) => (at ? [UNKNOWN] : []).concat(Array.from(part)));
      }
      const known = surface.map((symbol) => this.ids.get(symbol));
      return {
        ids: [...known.map((id) => id ?? this.unknown), this.boundary],
        surface: [...surface, BOUNDARY],
        isUnknown: [...known.map((id) => id === undefined), false],
      };
    }

    bytesOf(id) {
      return id === this.boundary ? [10] : [...new TextEncoder().encode(this.symbols[id])];
    }

    decode(ids) {
      const text = ids.map((id) => (id === this.boundary ? "\n" : this.symbols[id])).join("");
      return text.endsWith("\n") ? text.slice(0, -1) : text;
    }
  }

  class ByteTokenizer extends CharTokenizer {
    constructor(settings, symbols) {
      super(settings, symbols);
      this.unknown = null;
      this.spaces = new Set(Array.from(WORD_SPACE, (space) => space.charCodeAt(0) + 1));
      this.startsWord = [this.boundary, ...this.spaces].sort((a, b) => a - b);
    }

    encode(line) {
      const bytes = [...new TextEncoder().encode(line)];
      const ids = [...bytes.map((byte) => byte + 1), this.boundary];
      return { ids, surface: ids.map((id) => this.symbols[id]), isUnknown: ids.map(() => false) };
    }

    // The bytes of a character share its place.
    spans(line) {
      const encoder = new TextEncoder();
      return Array.from(line).flatMap((character, at) =>
        Array.from(encoder.encode(character), () => [at, at + 1]),
      );
    }

    bytesOf(id) {
      return [id === this.boundary ? 10 : id - 1];
    }

    decode(ids) {
      const bytes = Uint8Array.from(ids.flatMap((id) => this.bytesOf(id)));
      const text = textOf(bytes);
      return text.endsWith("\n") ? text.slice(0, -1) : text;
    }
  }

  const TOKENIZERS = { word: WordTokenizer, char: CharTokenizer, byte: ByteTokenizer };

  // ---- The words of a line as they are shown, and the tokens of each: rnnlm/inference/words.py.
  // Where words are made of pieces, the probability of a word counts that it ends there: with B the
  // probability that the next piece begins a word, P(w|c) = P(pieces of w|c) B(c w) / B(c).

  // Return the items that the tokenizer takes for words from token `begin` on, `</s>` the last:
  // where each starts, and where B is needed.
  function wordItems(tokenizer, ids, begin) {
    const all = Array.from({ length: ids.length - begin }, (_, at) => begin + at);
    if (tokenizer.tokensAreWords) return { starts: all, places: new Set() };
    const startsWord = new Set(tokenizer.startsWord);
    const isStart = (at) => startsWord.has(ids[at]) && !tokenizer.spaces.has(ids[at - 1]);
    const starts = all.filter((at) => at === begin || isStart(at));
    return { starts, places: new Set(starts.filter((at) => at > 0)) };
  }

  // Return the first tokens of the written words, then of `</s>`, and the numbers of these words.
  // White space belongs to the word after it; a word without a token of its own to the one before.
  function findWrittenWords(places, spans) {
    if (!spans.length) return { firsts: [0], numbers: [places.length] };
    const beyond = places.map(([, end]) => {
      const at = spans.findIndex((span) => span[1] > end);
      return at < 0 ? spans.length : at;
    });
    const isOfWordBefore = (token, end) => token < spans.length && spans[token][0] < end;
    const firsts = [0];
    const numbers = [0];
    for (let number = 1; number < places.length; number++) {
      const [start, end] = places[number];
      let first = beyond[number - 1];
      if (isOfWordBefore(first, places[number - 1][1])) first++;
      const hasOwn = firsts[firsts.length - 1] < first && first < spans.length;
      if (hasOwn && spans[first - 1][1] <= start && spans[first][0] < end) {
        firsts.push(first);
        numbers.push(number);
      }
    }
    let last = beyond[beyond.length - 1];
    if (isOfWordBefore(last, places[places.length - 1][1])) last++;
    last = Math.max(last, firsts[firsts.length - 1] + 1);
    return { firsts: [...firsts, last], numbers: [...numbers, places.length] };
  }

  // Return the words to show of `text`, which ends `line`: their places in it, their numbers, and
  // their first tokens, those of `</s>` the last.
  function shownWords(tokenizer, line, text, begin, items) {
    const characters = Array.from(text);
    let places = wordSpans(characters);
    let { starts } = items;
    let numbers = starts.map((_, at) => at);
    if (places.length !== starts.length - 1) {
      const before = Array.from(line).length - characters.length;
      const spans = tokenizer.spans(line).slice(begin);
      const found = findWrittenWords(places, spans.map((span) => span.map((at) => Math.max(0, at - before))));
      starts = found.firsts.map((first) => first + begin);
      numbers = found.numbers;
      places = numbers.slice(0, -1).map((number, at) => [places[number][0], places[numbers[at + 1] - 1][1]]);
    }
    return { places, numbers, starts };
  }

  // ---- Reading: states and distributions after beginnings of lines, kept for the next question,
  // which mostly begins as the one before.

  const KEPT_BYTES = 1 << 26;
  const LONGEST_TURN_MS = 24; // of work, before the page may draw and hear a key

  const pause = () => new Promise((resume) => setTimeout(resume, 0));

  // The beginning of a line: the model's state, and the beginnings that are one token longer.
  class Beginning {
    constructor(reader, state) {
      this.reader = reader;
      this.state = state;
      this.after = new Map();
      this.known = null;
    }

    // log p of all next tokens
    get logprob() {
      this.known ??= this.reader.predict(this);
      return this.known;
    }
  }

  class Reader {
    constructor(model, tokenizer) {
      this.model = model;
      this.boundary = tokenizer.boundary;
      this.most = Math.max(64, Math.floor(KEPT_BYTES / (8 * tokenizer.size + model.stateBytes)));
      this.turnBegan = 0;
      this.forget();
    }

    // `</s>` is the first input of every line.
    forget() {
      this.predicted = [];
      this.kept = 0;
      this.root = this.begin(this.model.start(), this.boundary);
    }

    begin(state, id) {
      const { gates, ...after } = this.model.read(state, id);
      this.kept++;
      return new Beginning(this, after);
    }

    // Return the beginning that is one token longer.
    next(beginning, id) {
      let found = beginning.after.get(id);
      if (!found) {
        found = this.begin(beginning.state, id);
        beginning.after.set(id, found);
      }
      return found;
    }

    // Compute a distribution. Those of long ago are forgotten, and computed again where needed.
    predict(beginning) {
      this.predicted.push(beginning);
      if (this.predicted.length > this.most) this.predicted.shift().known = null;
      return this.model.predict(beginning.state);
    }

    // Return the beginnings before each of the tokens, and the one after the last.
    async through(ids) {
      if (this.kept > this.most) this.forget();
      const found = [this.root];
      for (const id of ids) {
        await this.breathe();
        found.push(this.next(found[found.length - 1], id));
      }
      return found;
    }

    // Let the page draw where this turn has lasted long enough.
    async breathe() {
      if (performance.now() - this.turnBegan < LONGEST_TURN_MS) return;
      await pause();
      this.turnBegan = performance.now();
    }
  }

  // ---- Likely words: the likeliest tokens or, where words are made of pieces, whole words built
  // piece by piece, the likeliest beginning first (rnnlm/inference/next_word.py).

  // Return the `count` likeliest ids that `isWanted`, likeliest first, of equals the lower first.
  function likeliest(logprob, count, isWanted = () => true) {
    const best = [];
    for (let id = 0; id < logprob.length; id++) {
      const isIn = best.length < count || logprob[id] > logprob[best[best.length - 1]];
      if (!isIn || logprob[id] === -Infinity || !isWanted(id)) continue;
      let at = best.length;
      while (at > 0 && logprob[id] > logprob[best[at - 1]]) at--;
      best.splice(at, 0, id);
      if (best.length > count) best.pop();
    }
    return best;
  }

  function ranking(logprob, ids) {
    return [...ids].sort((a, b) => logprob[b] - logprob[a] || a - b);
  }

  class Heap {
    constructor() {
      this.items = [];
      this.number = 0;
    }

    get top() {
      return this.items[0];
    }

    isBefore(a, b) {
      return a.cost < b.cost || (a.cost === b.cost && a.number < b.number);
    }

    push(item) {
      const { items } = this;
      item.number = this.number++;
      let at = items.push(item) - 1;
      while (at > 0) {
        const above = (at - 1) >> 1;
        if (!this.isBefore(item, items[above])) break;
        items[at] = items[above];
        at = above;
      }
      items[at] = item;
    }

    pop() {
      const { items } = this;
      const top = items[0];
      const last = items.pop();
      if (!items.length) return top;
      let at = 0;
      for (;;) {
        let below = 2 * at + 1;
        if (below >= items.length) break;
        if (below + 1 < items.length && this.isBefore(items[below + 1], items[below])) below++;
        if (!this.isBefore(items[below], last)) break;
        items[at] = items[below];
        at = below;
      }
      items[at] = last;
      return top;
    }
  }

  const MOST_TRIED = 1000; // beginnings of words, at one place
  const SPACE_BYTES = Array.from(WORD_SPACE, (space) => space.charCodeAt(0));

  class WordSearch {
    constructor(reader, tokenizer) {
      this.reader = reader;
      this.tokenizer = tokenizer;
      const all = tokenizer.symbols.map((_, id) => id);
      const starters = new Set(tokenizer.startsWord);
      this.all = all;
      this.others = all.filter((id) => !starters.has(id));
    }

    // Return `count` words that begin with `begun` and may come after a beginning.
    async words(beginning, isLineStart, count, begun = "", mostTried = MOST_TRIED) {
      const { tokenizer, reader } = this;
      const begunBytes = latin(new TextEncoder().encode(begun));
      const heap = new Heap();
      const pushNext = (from, ids, cost, order, rank) => {
        if (rank >= order.length) return;
        const next = cost - from.logprob[order[rank]];
        heap.push({ cost: next, ids: [...ids, order[rank]], from, parent: { ids, cost, order, rank } });
      };

      // At the start of a line every piece begins a word.
      const first = isLineStart ? this.all : tokenizer.startsWord;
      const logB = isLineStart ? 0 : logSum(beginning.logprob, tokenizer.startsWord);
      pushNext(beginning, [], logB, ranking(beginning.logprob, first), 0);

      // Best first: a whole word on top is likelier than all that is still to come.
      const found = [];
      const seen = new Set();
      let tried = 0;
      while (heap.items.length && heap.top.cost < Infinity && found.length < count) {
        const { cost, ids, from, parent, isWhole } = heap.pop();
        if (isWhole) {
          const word = this.spelling(ids, isLineStart, begunBytes);
          if (word !== null && !seen.has(word)) {
            seen.add(word);
            found.push({ word, probability: Math.exp(-cost) });
          }
          continue;
        }
        if (tried >= mostTried) continue;
        pushNext(from, parent.ids, parent.cost, parent.order, parent.rank + 1);
        const text = this.text(ids);
        if (!text.startsWith(begunBytes) && !begunBytes.startsWith(text)) continue;
        tried++;
        const last = ids[ids.length - 1];
        if (last === tokenizer.boundary) {
          heap.push({ cost, ids, isWhole: true });
          continue;
        }

        // White space alone is no word yet, and any piece may follow it.
        await reader.breathe();
        const after = reader.next(from, last);
        let followers = this.others;
        if (ids.every((id) => tokenizer.spaces.has(id))) followers = this.all;
        else {
          const ended = cost - logSum(after.logprob, tokenizer.startsWord);
          heap.push({ cost: ended, ids, isWhole: true });
        }
        pushNext(after, ids, cost, ranking(after.logprob, followers), 0);
      }
      return found;
    }

    text(ids) {
      const bytes = ids.flatMap((id) => this.tokenizer.bytesOf(id));
      const start = bytes.findIndex((byte) => !SPACE_BYTES.includes(byte));
      return start < 0 ? "" : latin(bytes.slice(start));
    }

    // Return the word that pieces spell; null if the tokenizer would cut it into other pieces.
    spelling(ids, isLineStart, begun) {
      const { tokenizer } = this;
      if (ids[ids.length - 1] === tokenizer.boundary) return BOUNDARY;
      const word = tokenizer.decode(ids).replace(/^[ \t\r\0]+|[ \t\r\0]+$/gu, "");
      const cut = tokenizer.encode(isLineStart ? word : `a ${word}`).ids.slice(isLineStart ? 0 : 1, -1);
      const isSame = cut.length === ids.length && cut.every((id, at) => id === ids[at]);
      return isSame && this.text(ids).startsWith(begun) ? word : null;
    }
  }

  // Bytes as a string of as many characters, to compare.
  const latin = (bytes) => String.fromCharCode(...bytes);

  // ---- Drawing: temperature, then top-k, then top-p, as rnnlm/generation/sampling.py does it. The
  // same seed gives the same text on this page, another one than on the command line.

  function randomNumbers(seed) {
    let state = Number(seed) >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  function draw(logprob, { temperature, topK, topP }, random) {
    const largest = logprob.reduce((a, b) => Math.max(a, b), -Infinity);
    if (largest === -Infinity) throw new EngineError("nothing is left to draw", "every token has probability zero");
    if (temperature === 0) return logprob.indexOf(largest);
    const p = applied((a) => Math.exp((a - largest) / temperature), logprob);

    // The likeliest first, as many as may be drawn.
    let ids = [...p.keys()].filter((id) => p[id] > 0);
    if (topK || topP < 1) ids = ranking(p, ids);
    if (topK) ids = ids.slice(0, topK);
    let total = ids.reduce((all, id) => all + p[id], 0);
    if (topP < 1) {
      const wanted = topP * total;
      let kept = 0;
      total = 0;
      while (kept < ids.length && total < wanted) total += p[ids[kept++]];
      ids = ids.slice(0, kept);
    }

    let rest = random() * total;
    for (const id of ids) {
      rest -= p[id];
      if (rest < 0) return id;
    }
    return ids[ids.length - 1];
  }

  // ---- The engine.

  const FIRST_UNITS = 32;
  const MOST_TOKENS = 2000; // of a line: ten seconds of the shipped model
  const MOST_TRIED_A_WORD = 100;
  const ROUNDING_NATS = 1e-5;

  class LocalModel {
    constructor(data) {
      this.card = data.card;
      this.tokenizer = new TOKENIZERS[data.tokenizer.tokenizer](
        data.tokenizer,
        readSymbols(bytesOf(data.vocabulary)),
      );
      const arrays = readTensors(bytesOf(data.arrays));
      const { size, boundary } = this.tokenizer;
      this.tokenizer.spells = Boolean(data.network?.characters);
      if (data.network) this.model = new Network(data.network, arrays, this.tokenizer);
      else this.model = new Ngrams({ ...data.ngrams, size, boundary }, arrays);
      this.reader = new Reader(this.model, this.tokenizer);
      this.search = new WordSearch(this.reader, this.tokenizer);
    }

    // Return the tokens of a line that a page reads in time.
    encode(line) {
      const encoded = this.tokenizer.encode(line);
      if (encoded.ids.length > MOST_TOKENS) {
        const count = encoded.ids.length.toLocaleString("en");
        const why = `it has ${count} tokens, and a page reads ${MOST_TOKENS.toLocaleString("en")}`;
        throw new EngineError("the text is too long", why, "rnnlm score reads texts of any length");
      }
      return encoded;
    }

    // Return a record of the sentence as `rnnlm score --json --words --tokens` does.
    async score(text, { given = "", alternatives = 0 } = {}) {
      const { tokenizer } = this;
      text = checked(text);
      if (isBlank(text)) text = "";
      const before = isBlank(given) ? "" : checked(given).replace(SPACE_AT_END, "");
      const line = [before, text].filter(Boolean).join(" ");
      const { ids, surface, isUnknown } = this.encode(line);
      const begin = before ? this.givenTokens(before, ids) : 0;
      const beginnings = await this.reader.through(ids.slice(0, -1));
      const logprob = [];
      for (let at = begin; at < ids.length; at++) {
        await this.reader.breathe();
        logprob[at] = beginnings[at].logprob[tokenizer.known(ids[at])];
      }

      // The words, each with what its tokens cost.
      const items = wordItems(tokenizer, ids, begin);
      const shown = shownWords(tokenizer, line, text, begin, items);
      const logB = (at) => {
        if (at >= ids.length || !items.places.has(at)) return 0;
        return logSum(beginnings[at].logprob, tokenizer.startsWord);
      };
      const characters = Array.from(text);
      const givenWords = before ? wordSpans(Array.from(before)).length : 0;
      const words = [];
      for (let at = 0; at < shown.starts.length; at++) {
        const start = shown.starts[at];
        const isLast = at + 1 === shown.starts.length;
        const end = isLast ? ids.length : shown.starts[at + 1];
        let cost = (isLast ? 0 : -logB(end)) + logB(start);
        for (let token = start; token < end; token++) cost -= logprob[token];
        if (cost < 0 && cost > -ROUNDING_NATS) cost = 0;
        const [first, last] = isLast ? [characters.length, characters.length] : shown.places[at];
        const word = {
          word_index: givenWords + shown.numbers[at] + 1,
          word: isLast ? BOUNDARY : characters.slice(first, last).join(""),
          start: first,
          end: last,
          surprisal_bits: bitsOf(cost),
          oov: isUnknown.slice(start, end).some(Boolean),
          tokens: end - start,
        };
        const target = tokenizer.known(ids[start]);
        if (alternatives) await this.addAlternatives(word, beginnings[start], start, target, alternatives);
        words.push(word);
      }

      const total = logprob.slice(begin).reduce((sum, each) => sum + each, 0);
      const units = items.starts.length;
      const impossible = logprob.findIndex((each, at) => at >= begin && each === -Infinity);
      const reason = `token ${impossible - begin + 1}, ${surface[impossible]}, has probability zero`;
      return {
        id: 1,
        text,
        logprob_nats: impossible < 0 ? total : null,
        tokens: ids.length - begin,
        words: units - 1,
        ppl_word: impossible < 0 ? Math.exp(-total / units) : null,
        oov: surface.filter((_, at) => at >= begin && isUnknown[at]),
        reason: impossible < 0 ? null : reason,
        surprisals: surface.slice(begin).map((token, at) => ({
          token,
          surprisal_bits: bitsOf(Math.max(0, -logprob[begin + at])),
          oov: isUnknown[begin + at],
        })),
        word_surprisals: words,
      };
    }

    // Return how many tokens of the line are given; they must be its first ones.
    givenTokens(before, ids) {
      const alone = this.tokenizer.encode(before).ids.slice(0, -1);
      if (alone.some((id, at) => id !== ids[at])) {
        throw new EngineError("a token reaches over the border between the given text and the sentence");
      }
      return alone.length;
    }

    // Add the likeliest words at a place, and how many tokens are likelier than the one there.
    async addAlternatives(word, beginning, place, id, count) {
      const { logprob } = beginning;
      word.rank = null;
      if (!this.tokenizer.tokensAreWords) {
        word.next = await this.search.words(beginning, place === 0, count, "", MOST_TRIED_A_WORD);
        return;
      }
      word.rank = 1 + logprob.reduce((likelier, each) => likelier + (each > logprob[id] ? 1 : 0), 0);
      word.next = this.tokensAsWords(logprob, likeliest(logprob, count));
    }

    tokensAsWords(logprob, ids) {
      return ids.map((id) => ({ word: this.tokenizer.symbols[id], probability: Math.exp(logprob[id]) }));
    }

    // Return the likeliest next words. A last word that no white space follows is begun.
    async next(text, count) {
      const { tokenizer } = this;
      text = checked(text);
      let [before, begun] = this.split(text);
      begun = tokenizer.lowered(begun);
      before = before.replace(SPACE_AT_END, "");
      const ids = before ? this.encode(before).ids.slice(0, -1) : [];
      const beginnings = await this.reader.through(ids);
      const last = beginnings[beginnings.length - 1];
      if (!tokenizer.tokensAreWords) {
        const found = await this.search.words(last, !ids.length, count + 1, begun);
        return found.filter(({ word }) => !word.includes(UNKNOWN) || tokenizer.unknown === null).slice(0, count);
      }
      const isWanted = (id) => {
        const symbol = tokenizer.symbols[id];
        return symbol.startsWith(begun) && !symbol.includes(UNKNOWN);
      };
      return this.tokensAsWords(last.logprob, likeliest(last.logprob, count, isWanted));
    }

    split(text) {
      const characters = Array.from(text);
      if (!characters.length || isSpace(characters[characters.length - 1])) return [text, ""];
      let begun = characters.slice(wordSpans(characters).pop()[0]).join("");
      if (this.tokenizer.tokensAreWords) [begun] = this.tokenizer.encode(text).surface.slice(-2);
      const length = characters.length - Array.from(begun).length;
      return [characters.slice(0, length).join(""), begun];
    }

    // Return what the gates of each layer do at each token that is read, `</s>` the first.
    async gates(text) {
      const { ids, surface } = this.encode(checked(text));
      const traced = [];
      let state = this.model.start();
      for (const id of [this.tokenizer.boundary, ...ids.slice(0, -1)]) {
        await this.reader.breathe();
        state = this.model.read(state, id);
        traced.push(state.gates);
      }
      const layers = traced[0].map((gates, number) => ({
        layer: number + 1,
        gates: Object.keys(gates).map((gate) => {
          const values = traced.map((layers) => layers[number][gate]);
          const mean = values.map((units) => units.reduce((a, b) => a + b, 0) / units.length);
          const units = values.map((all) => Array.from(all.slice(0, FIRST_UNITS)));
          return { gate, mean, units };
        }),
      }));
      return { words: [BOUNDARY, ...surface.slice(0, -1)], layers };
    }

    // Return the order at which each token was found, and the contexts given up on the way.
    async orders(text) {
      const { ids, surface } = this.encode(checked(text));
      const beginnings = await this.reader.through(ids.slice(0, -1));
      const read = ["<s>", ...ids.map((id) => this.tokenizer.symbols[id])];
      const words = surface.map((word, at) => {
        const { state } = beginnings[at];
        const { logprob, order } = this.model.extend(state, ids[at]);
        const backoffs = [];
        for (let length = state.numbers.length; length >= order; length--) {
          const isKnown = state.numbers[length - 1] !== NOWHERE;
          const nats = state.costs[length - 1];
          const context = read.slice(at + 1 - length, at + 1).join(" ");
          if (isKnown || nats) backoffs.push({ context, nats: finite(nats) });
        }
        return { word, order, logprob_nats: finite(logprob), backoffs };
      });
      return { words };
    }

    // Draw a text, token by token.
    async generate(settings, onWord, signal) {
      const { tokenizer } = this;
      const { prompt = "", seed = 1, max_tokens: most = 100 } = settings;
      const { temperature = 1, top_p: topP = 1, top_k: topK = null } = settings;
      const random = randomNumbers(seed);
      const start = prompt ? this.encode(checked(prompt)).ids.slice(0, -1) : [];
      let beginning = (await this.reader.through(start)).pop();
      const drawn = [];
      let total = 0;
      let hasEnded = false;
      while (drawn.length < most && !hasEnded && !signal?.aborted) {
        await this.reader.breathe();
        const allowed = Float64Array.from(beginning.logprob);
        if (tokenizer.unknown !== null) allowed[tokenizer.unknown] = -Infinity;
        const id = draw(allowed, { temperature, topK, topP }, random);
        total += beginning.logprob[id];
        drawn.push(id);
        hasEnded = id === tokenizer.boundary;
        if (!hasEnded) beginning = this.reader.next(beginning, id);
        onWord?.(this.shownToken(id), id);
      }
      const text = tokenizer.decode([...start, ...drawn]);
      return { sample: 0, text, tokens: drawn.length, logprob_nats: total, complete: hasEnded };
    }

    shownToken(id) {
      if (id === this.tokenizer.boundary) return BOUNDARY;
      return this.tokenizer.tokensAreWords ? ` ${this.tokenizer.symbols[id]}` : this.tokenizer.symbols[id];
    }
  }

  // JSON has no infinity.
  const finite = (number) => (Number.isFinite(number) ? number : null);
  const bitsOf = (nats) => finite(nats / Math.LN2);

  // Return the engine of the models that are packed in `packed`, a list. A model is read when it is
  // first asked.
  return (packed) => {
    const opened = new Map();
    const find = (name) => {
      const data = packed.find((each) => each.card.name === name);
      if (!data) throw new EngineError(`there is no model ${name} on this page`);
      if (!opened.has(data)) opened.set(data, new LocalModel(data));
      return opened.get(data);
    };
    return {
      models: async () => packed.map(({ card }) => card),
      score: async (model, text, options) => find(model).score(text, options),
      next: async (model, text, n) => find(model).next(text, n),
      look: async (model, what, text) => {
        const found = find(model);
        if (what === "gates" && found.model.hasGates) return found.gates(text);
        if (what === "orders" && found.model.hasOrders) return found.orders(text);
        throw new EngineError(`${found.card.name} has no ${what} to look at`);
      },
      generate: async (model, settings, onWord, signal) => find(model).generate(settings, onWord, signal),
    };
  };
})();

if (typeof module !== "undefined") module.exports = { makeLocalEngine };
