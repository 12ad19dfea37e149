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
    const after = new Float64Array(h.length);
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
    for (let at = 0; at < factors.length; at += each)
      this.rounds.push(factors.slice(at, at + each));
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
    const seen = (name, cell) =>
      this.p[name] ? sum(a[name], product(this.p[name], cell)) : a[name];
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

const [BEGIN, END, UNKNOWN_CHARACTER, BOUNDARY_SYMBOL, UNKNOWN_SYMBOL, FIRST_CHARACTER] = [
  0, 1, 2, 3, 4, 5,
];
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
    const points = new Set(
      words.flatMap((word) => Array.from(word, (each) => each.codePointAt(0))),
    );
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
    const numbers = characters.map(
      (each) => this.numbers.get(each.codePointAt(0)) ?? UNKNOWN_CHARACTER,
    );
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
      this.filters.push({
        w,
        W: weights.matrix(`${name}.weight`),
        b: weights.vector(`${name}.bias`),
      });
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
      const places = this.hangsOver
        ? characters.length + 1
        : Math.max(1, characters.length - w + 1);
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
      logits.set(
        applied((a) => a + logClass[number], within),
        this.starts[number],
      );
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
