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
    for (let at = state.costs.length - 1; at >= 0; at--)
      givenUp.unshift(givenUp[0] + state.costs[at]);
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
