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
  if (largest === -Infinity)
    throw new EngineError("nothing is left to draw", "every token has probability zero");
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
    const arrays = readTensors(bytesOf(data.arrays));
    const symbols = readSymbols(bytesOf(data.vocabulary));
    const Tokenizer = TOKENIZERS[data.tokenizer.tokenizer];
    this.tokenizer = new Tokenizer(data.tokenizer, symbols, arrays);
    const { size, boundary } = this.tokenizer;
    const { normalise: forms, remove_punctuation: removes } = data.tokenizer;
    if (forms || removes) this.tokenizer.normalise = normaliser(forms, removes, data.entities);
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

    const items = wordItems(tokenizer, ids, begin);
    const shown = shownWords(tokenizer, line, text, begin, items);
    const isPlace = (at) => at < ids.length && items.places.has(at);
    const logB = (at) => (isPlace(at) ? logSum(beginnings[at].logprob, tokenizer.startsWord) : 0);
    const givenWords = before ? wordSpans(Array.from(before)).length : 0;
    const words = this.words(shown, text, logprob, logB, isUnknown);
    for (const [at, word] of words.entries()) {
      word.word_index += givenWords;
      const start = shown.starts[at];
      const target = tokenizer.known(ids[start]);
      if (alternatives) {
        await this.addAlternatives(word, beginnings[start], start, target, alternatives);
      }
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

  // Return the shown words, `</s>` the last, each with what its tokens cost. logB: the log of the
  // probability that a word begins at a token, where that is needed.
  words({ starts, places, numbers }, text, logprob, logB, isUnknown) {
    const characters = Array.from(text);
    return starts.map((start, at) => {
      const isLast = at + 1 === starts.length;
      const end = isLast ? logprob.length : starts[at + 1];
      let nats = logB(start) - (isLast ? 0 : logB(end));
      for (let token = start; token < end; token++) nats -= logprob[token];
      if (nats < 0 && nats > -ROUNDING_NATS) nats = 0;
      const [first, last] = isLast ? [characters.length, characters.length] : places[at];
      return {
        word_index: numbers[at] + 1,
        word: isLast ? BOUNDARY : characters.slice(first, last).join(""),
        start: first,
        end: last,
        surprisal_bits: bitsOf(nats),
        oov: isUnknown.slice(start, end).some(Boolean),
        tokens: end - start,
      };
    });
  }

  // Return how many tokens of the line are given; they must be its first ones.
  givenTokens(before, ids) {
    const alone = this.tokenizer.encode(before).ids.slice(0, -1);
    if (alone.some((id, at) => id !== ids[at])) {
      throw new EngineError(
        "a token reaches over the border between the given text and the sentence",
      );
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
    return ids.map((id) => ({
      word: this.tokenizer.symbols[id],
      probability: Math.exp(logprob[id]),
    }));
  }

  // Return the likeliest next words. A last word that no white space follows is begun.
  async next(text, count) {
    const { tokenizer } = this;
    text = tokenizer.normalised(checked(text));
    let [before, begun] = this.split(text);
    begun = tokenizer.lowered(begun);
    before = before.replace(SPACE_AT_END, "");
    const ids = before ? this.encode(before).ids.slice(0, -1) : [];
    const beginnings = await this.reader.through(ids);
    const last = beginnings[beginnings.length - 1];
    if (!tokenizer.tokensAreWords) {
      const found = await this.search.words(last, !ids.length, count + 1, begun);
      return found
        .filter(({ word }) => !word.includes(UNKNOWN) || tokenizer.unknown === null)
        .slice(0, count);
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
      name: `layer ${number + 1}`,
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

  // Draw a text, token by token. onWord: called with what each adds to the text, `</s>` at the end.
  async generate(settings, onWord, signal) {
    const { tokenizer } = this;
    const { prompt = "", seed = 1, max_tokens: most = 100 } = settings;
    const { temperature = 1, top_p: topP = 1, top_k: topK = null } = settings;
    const random = randomNumbers(seed);
    const start = prompt ? this.encode(checked(prompt)).ids.slice(0, -1) : [];
    let beginning = (await this.reader.through(start)).pop();
    const drawn = [];
    let total = 0;
    let written = prompt;
    let hasEnded = false;
    while (drawn.length < most && !hasEnded && !signal?.aborted) {
      await this.reader.breathe();
      const allowed = Float64Array.from(beginning.logprob);
      if (tokenizer.unknown !== null) allowed[tokenizer.unknown] = -Infinity;
      const id = draw(allowed, { temperature, topK, topP }, random);
      total += beginning.logprob[id];
      hasEnded = id === tokenizer.boundary;
      const added = hasEnded ? BOUNDARY : tokenizer.added(written, [...start, ...drawn], id);
      drawn.push(id);
      written += added;
      if (!hasEnded) beginning = this.reader.next(beginning, id);
      onWord?.(added);
    }
    const text = tokenizer.decode([...start, ...drawn]);
    return { sample: 0, text, tokens: drawn.length, logprob_nats: total, complete: hasEnded };
  }
}

// JSON has no infinity.
const finite = (number) => (Number.isFinite(number) ? number : null);
const bitsOf = (nats) => finite(nats / Math.LN2);

const LOOKS = ["gates", "orders"];

// Return the engine of the models that are packed in `packed`, a list. A model is read when it is
// first asked.
function makeLocalEngine(packed) {
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
      if (LOOKS.includes(what) && found.card.can.includes(what)) return found[what](text);
      throw new EngineError(`${found.card.name} has no ${what} to look at`);
    },
    generate: async (model, settings, onWord, signal) =>
      find(model).generate(settings, onWord, signal),
  };
}
