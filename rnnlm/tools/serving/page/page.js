// The page: sentences coloured by surprisal, pairs with their odds, texts written word by word.
//
// Models are asked through an engine (engine_server.js). What a model has no answer for is not in
// its `can`.
//
// @typedef {Object} Engine
// @property {() => Promise<Model[]>} models  as GET /models lists them
// @property {(model: string, text: string, options: {given?: string, next_words?: number})
//   => Promise<Record>} score  the record of a sentence, with words, as POST /score has it
// @property {(model: string, text: string, n: number) => Promise<Next[]>} next  likely next words;
//   a last word that no white space follows is begun
// @property {(model: string, what: "gates"|"influence"|"orders", text: string) => Promise<Object>} inspect
// @property {(model: string, settings: {prompt, temperature, top_p, seed, max_tokens},
//   onWord: (word: string) => void, signal: AbortSignal) => Promise<Object>} generate  each word
//   with the white space before it; the end of the sentence is the word "</s>"
//
// Nothing that a model or a person has written is ever read as HTML: all of it becomes text nodes.

const BOUNDARY = "</s>";
const UNKNOWN = "<unk>";
const END = "⏎";
const MOST_BITS = 16; // of the darkest shade
const ALTERNATIVES = 6;
const CHOICES = 12;
const WAIT_MS = 160; // after the last key, before models are asked
const TELL_MS = 600; // after the last change, before a screen reader is told
const EXAMPLE = "the keys to the old house were on the table ";
const PAIR = ["recognize speech", "wreck a nice beach"];
const INSPECTIONS = { gates: "Gates", influence: "Influence of earlier words", orders: "Orders and backoffs" };

// ---- Making elements.

// Return an element. Properties are set as they are; "text" is its text, "vars" are CSS variables.
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "vars") {
      for (const [variable, each] of Object.entries(value)) element.style.setProperty(variable, each);
    } else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);
const shown = (word) => (word === BOUNDARY ? END : word);
const unseen = (text) => el("span", { class: "unseen", text });

// Return a word as it is shown and read aloud.
function wordParts(word) {
  if (word !== BOUNDARY) return [word];
  return [el("span", { "aria-hidden": "true", text: END }), unseen("end of the sentence")];
}

// ---- Numbers as people read them.

const bitsText = (bits) => (bits === null ? "∞" : bits.toFixed(bits < 10 ? 1 : 0));
const shade = (bits) => (bits === null ? 1 : Math.min(1, Math.max(0, bits / MOST_BITS)));

function probabilityText(p) {
  if (p >= 0.1) return `${Math.round(100 * p)}%`;
  if (p >= 0.001) return `${(100 * p).toPrecision(2)}%`;
  if (p > 0) return `1 in ${countText(1 / p)}`;
  return "0";
}

function countText(count) {
  if (count < 1e5) return Math.round(count).toLocaleString("en");
  if (count < 1e6) return `${Math.round(count / 1e3).toLocaleString("en")},000`;
  const units = [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]];
  const [unit, name] = units.find(([each]) => count >= each);
  if (count >= 1e15) return `10^${Math.round(Math.log10(count))}`;
  return `${(count / unit).toPrecision(2)} ${name}`;
}

const timesText = (ratio) => (ratio < 9.95 ? ratio.toFixed(1) : countText(ratio));

// ---- Asking models, the last question first.

// Return a function that does its work once it has not been called for a while.
function patiently(work, wait = WAIT_MS) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
}

// Ask, and hand on the answer, or what went wrong, unless another question came meanwhile.
class Question {
  constructor() {
    this.number = 0;
  }

  async ask(promise, onAnswer, onTrouble) {
    const number = ++this.number;
    try {
      const answer = await promise();
      if (number === this.number) onAnswer(answer);
    } catch (error) {
      if (number === this.number) onTrouble(error);
    }
  }
}

function troubleText(error) {
  const parts = [error.what ?? error.message, error.why, error.hint].filter(Boolean);
  return parts.join(" · ");
}

// ---- Words, coloured.

// Fill `list` with the words of a record. onPick: called with a word's number; null: only shown.
function fillWords(list, record, picked, onPick) {
  const buttons = record.word_surprisals.map((word, at) => {
    const classes = ["word", word.surprisal_bits === null ? "never" : "shade"];
    if (at === picked) classes.push("picked");
    const parts = [
      el("span", { class: word.oov ? "t oov" : "t" }, ...wordParts(word.word)),
      el("span", { class: "b" }, bitsText(word.surprisal_bits), unseen(" bits")),
    ];
    const vars = { "--s": shade(word.surprisal_bits).toFixed(3) };
    if (!onPick) return el("span", { class: classes.join(" "), vars }, ...parts);
    const properties = { type: "button", class: classes.join(" "), vars };
    properties["aria-pressed"] = String(at === picked);
    properties.tabindex = at === picked ? "0" : "-1";
    for (const event of ["onmouseenter", "onclick", "onfocus"]) properties[event] = () => onPick(at);
    return el("button", properties, ...parts);
  });
  list.replaceChildren(...buttons);
}

// Mark another word, without making the words anew: the pointer and the focus stay where they are.
function markPicked(list, picked) {
  [...list.children].forEach((button, at) => {
    button.classList.toggle("picked", at === picked);
    button.setAttribute("aria-pressed", String(at === picked));
    button.tabIndex = at === picked ? 0 : -1;
  });
}

function moveByArrows(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  const words = [...event.currentTarget.children];
  const at = words.indexOf(document.activeElement);
  if (at < 0) return;
  event.preventDefault();
  words[Math.min(words.length - 1, Math.max(0, at + steps[event.key]))].focus();
}

function mostSurprising(record) {
  // The end is never the one to begin with, unless there is nothing else.
  const bits = record.word_surprisals.slice(0, -1).map((word) => word.surprisal_bits ?? Infinity);
  if (!bits.length) return 0;
  return bits.indexOf(Math.max(...bits));
}

// Return which of the likeliest words a word was read as, or undefined. It may have been read in
// lower case; its probability tells.
function ownAmong(next, word, own) {
  const isOwn = ({ probability }) => Math.abs(probability - own) <= 0.01 * own;
  const isRead = (each) => each.word === word.word.toLowerCase();
  return next.find((each) => each.word === word.word) ?? next.find((each) => isRead(each) && isOwn(each));
}

// Return the likeliest words and the word itself, at most ALTERNATIVES, with rank and probability.
// What stands for all unknown words is no word to choose.
function rowsOf(word) {
  const own = word.surprisal_bits === null ? 0 : 2 ** -word.surprisal_bits;
  const known = (word.next ?? []).map((each, at) => ({ ...each, rank: at + 1 })).filter((each) => each.word !== UNKNOWN);
  const next = known.slice(0, ALTERNATIVES);
  let ownRow = ownAmong(next, word, own);
  const isAmong = ownRow !== undefined;
  ownRow ??= { word: word.word, probability: own, rank: word.rank };
  const rows = isAmong ? next : [...next.slice(0, ALTERNATIVES - 1), ownRow];
  return { rows, ownRow, isAmong };
}

// Draw rows with their probabilities as bars. Page.scaleBars makes the longest as long as there is room.
function bars({ rows, ownRow, isAmong }) {
  return rows.map((row) => {
    const classes = [row === ownRow ? "own" : null, row === ownRow && !isAmong ? "apart" : null];
    return el("li", { class: classes.filter(Boolean).join(" ") || undefined },
      el("span", { class: "r", text: row.rank?.toLocaleString("en") ?? "" }),
      el("span", { class: "w", text: shown(row.word) }),
      el("span", { class: "bar", vars: { "--p": row.probability } }),
      el("span", { class: "n", text: probabilityText(row.probability) }),
    );
  });
}

// Return what there is to say of a word, as short texts.
function factTexts(word) {
  if (word.surprisal_bits === null) return ["probability zero", "infinitely surprising"];
  const texts = [`${word.surprisal_bits.toFixed(2)} bits`, `chance ${probabilityText(2 ** -word.surprisal_bits)}`];
  if (word.rank) texts.push(word.rank === 1 ? "the likeliest" : `rank ${word.rank.toLocaleString("en")}`);
  return texts;
}

function facts(word) {
  const name = el("p", { class: "which" }, el("b", {}, ...wordParts(word.word)));
  if (word.oov) name.append(" ", el("span", { text: "unknown to this model" }));
  const said = factTexts(word).map((text) => el("span", { text }));
  return [name, el("p", { class: "said" }, ...said)];
}

function totalText(record) {
  if (record.logprob_nats === null) return record.reason ?? "no score";
  const bits = -record.logprob_nats / Math.LN2;
  const words = record.words + 1;
  return `${bits.toFixed(1)} bits in all, ${(bits / words).toFixed(1)} a word with ${END}`;
}

// LSTM and GRU are abbreviations; other kinds of networks are words.
function kindText(kind) {
  return /^[a-z]{1,4}$/.test(kind) ? kind.toUpperCase() : kind[0].toUpperCase() + kind.slice(1);
}

function titleOf(model) {
  const about = [model.order ? `${model.order}-gram` : kindText(model.kind)];
  if (model.vocabulary) about.push(`${model.vocabulary.toLocaleString("en")} ${model.tokenizer === "word" ? "words" : "tokens"}`);
  return el("h2", { text: model.name }, el("small", { text: about.join(", ") }));
}

// ---- A sentence, read by one model.

class ReadingCard {
  constructor(engine, model, page) {
    this.engine = engine;
    this.model = model;
    this.page = page;
    this.question = new Question();
    this.record = null;
    this.picked = null;
    this.total = el("p", { class: "total" });
    this.words = el("div", { class: "words", role: "group", "aria-label": `The sentence, read by ${model.name}`, onkeydown: moveByArrows });
    this.facts = el("div", { class: "facts" });
    this.bars = el("ol", { class: "bars", "aria-label": "Likeliest words here" });
    this.trouble = el("p", { class: "trouble", role: "alert" });
    this.trouble.hidden = true;
    const inspections = Object.keys(INSPECTIONS).filter((what) => model.can.includes(what));
    this.inside = inspections.length ? new Inside(engine, model, inspections) : null;
    // As many rows in each card: those beside each other are aligned.
    this.element = el("article", { class: "card", "aria-label": model.name },
      el("header", {}, titleOf(model), this.total),
      el("div", {}, this.words, this.trouble),
      this.facts,
      this.bars,
      this.inside?.element ?? el("div"),
    );
  }

  read(text) {
    this.element.setAttribute("aria-busy", "true");
    this.inside?.read(text);
    this.question.ask(
      () => this.engine.score(this.model.name, text, { next_words: ALTERNATIVES + 1 }),
      (record) => this.show(record),
      (error) => this.fail(error),
    );
  }

  show(record) {
    this.element.removeAttribute("aria-busy");
    if (!record.word_surprisals.length) {
      this.fail({ what: record.reason ?? "there is nothing to read" });
      return;
    }
    this.trouble.hidden = true;
    this.words.hidden = false;
    this.record = record;
    this.total.textContent = totalText(record);
    this.page.pickFor(this);
    const count = record.word_surprisals.length;
    this.picked = Math.min(this.page.picked, count - 1);
    fillWords(this.words, record, this.picked, (at) => this.page.pick(at));
    this.explain();
    this.page.tellSoon();
  }

  // Return what a screen reader is told of this model.
  get told() {
    const word = this.record?.word_surprisals[this.picked];
    if (!word) return `${this.model.name}: ${this.trouble.textContent}`;
    const name = word.word === BOUNDARY ? "end of the sentence" : word.word;
    return `${this.model.name}: ${name}, ${factTexts(word).join(", ")}.`;
  }

  // Show what the model says of a word.
  pick(at) {
    if (!this.record || at >= this.record.word_surprisals.length || at === this.picked) return;
    this.picked = at;
    markPicked(this.words, at);
    this.explain();
  }

  explain() {
    const word = this.record.word_surprisals[this.picked];
    if (!word) return;
    this.facts.replaceChildren(...facts(word));
    const found = rowsOf(word);
    this.most = Math.max(...found.rows.map(({ probability }) => probability));
    this.bars.replaceChildren(...bars(found));
    this.page.scaleBars();
  }

  fail(error) {
    this.element.removeAttribute("aria-busy");
    this.record = null;
    this.total.textContent = "";
    this.words.hidden = true;
    this.words.replaceChildren();
    this.facts.replaceChildren();
    this.bars.replaceChildren();
    this.most = 0;
    this.trouble.hidden = false;
    this.trouble.textContent = troubleText(error);
  }
}

// ---- Inside a model: its gates, what earlier words weigh, orders and backoffs.

class Inside {
  constructor(engine, model, inspections) {
    this.engine = engine;
    this.model = model;
    this.what = inspections[0];
    this.text = "";
    this.question = new Question();
    this.buttons = inspections.map((what) =>
      el("button", { type: "button", text: INSPECTIONS[what], "aria-pressed": String(what === this.what), onclick: () => this.choose(what) }),
    );
    this.inspections = inspections;
    this.view = el("div", { class: "view" });
    const segments = el("div", { class: "segments", role: "group", "aria-label": "What to show" }, ...this.buttons);
    segments.hidden = inspections.length === 1;
    const shownHere = inspections.map((what) => INSPECTIONS[what].toLowerCase()).join(", ");
    this.element = el("details", { class: "inside", ontoggle: () => this.inspect() },
      el("summary", { text: `Look inside ${model.name} ` }, el("small", { text: shownHere })),
      segments,
      this.view,
    );
  }

  choose(what) {
    this.what = what;
    this.buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(this.inspections[at] === what)));
    this.inspect();
  }

  read(text) {
    this.text = text;
    this.inspect();
  }

  inspect() {
    if (!this.element.open) return;
    if (!this.text.trim()) {
      this.view.replaceChildren(el("p", { class: "hint", text: "Type a sentence first." }));
      return;
    }
    const draw = { gates: drawGates, influence: drawInfluence, orders: drawOrders }[this.what];
    this.question.ask(
      () => this.engine.inspect(this.model.name, this.what, this.text),
      (found) => this.show(draw(found)),
      (error) => this.view.replaceChildren(el("p", { class: "trouble", text: troubleText(error) })),
    );
  }

  // What was unfolded before stays so.
  show(parts) {
    const nameOf = (details) => details.querySelector("summary").textContent;
    const unfolded = new Set([...this.view.querySelectorAll("details[open]")].map(nameOf));
    this.view.replaceChildren(...parts);
    for (const details of this.view.querySelectorAll("details")) details.open = unfolded.has(nameOf(details));
  }
}

function scrolling(table, name) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table);
}

const note = (text) => el("p", { class: "note", text });

const decimals = (value) => value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−");
const percent = (value) => Math.round(100 * value);
const nothing = () => undefined;

// Return a cell whose shade is `value` of `most`; values below zero have the other colour.
function heatCell(value, most, textOf = decimals) {
  const vars = { "--s": Math.min(1, Math.abs(value) / most).toFixed(3) };
  if (value < 0) vars["--hue"] = "var(--other)";
  return el("td", { vars, text: textOf(value) });
}

// What is read first is the end of the sentence before.
const asRead = (word, at) => (at === 0 && word === BOUNDARY ? "start" : word);

function headRow(words) {
  const cells = words.map((word) => el("th", { scope: "col", text: shown(word) }));
  return el("thead", {}, el("tr", {}, el("td"), ...cells));
}

function drawGates({ words, layers }) {
  const parts = [];
  for (const { layer, gates } of layers) {
    if (!gates.length) continue;
    const rows = gates.map(({ gate, mean }) =>
      el("tr", {}, el("th", { scope: "row", text: gate }), ...mean.map((value) => heatCell(value, 1))),
    );
    const means = el("table", { class: "heat" }, headRow(words.map(asRead)), el("tbody", {}, ...rows));
    parts.push(note(`Layer ${layer}: each gate's mean over its units, at each word that is read. 1 is open, 0 is shut.`));
    parts.push(scrolling(means, `Gates of layer ${layer}`));

    // The first units of each gate, one tiny row a unit.
    const units = gates.map(({ gate, units: found }) => {
      const count = found[0]?.length ?? 0;
      const body = Array.from({ length: count }, (_, unit) =>
        el("tr", {}, ...found.map((of) => heatCell(of[unit], 1, nothing))));
      return el("details", { class: "units" },
        el("summary", { text: `${gate}: the first ${count} units of layer ${layer}` }),
        el("div", { class: "scroll", "aria-hidden": "true" }, el("table", { class: "heat units" }, el("tbody", {}, ...body))));
    });
    parts.push(...units);
  }
  return parts.length ? parts : [el("p", { class: "hint", text: "This network has no gates." })];
}

// words: those that are predicted; read: those that are read, each before the word beneath it.
function drawInfluence({ words, read, influence }) {
  const rows = influence.map((weights, at) => {
    const all = weights.reduce((sum, each) => sum + each, 0) || 1;
    const cells = read.map((_, place) =>
      place < weights.length ? heatCell(weights[place] / all, 1, percent) : el("td", { class: "none" }));
    return el("tr", {}, el("th", { scope: "row", text: shown(words[at]) }), ...cells);
  });
  const table = el("table", { class: "heat" }, headRow(read.map(asRead)), el("tbody", {}, ...rows));
  const about = "Rows are predicted words, columns are words read: the share, in %, of each word in the gradient of the prediction's log-probability.";
  return [note(about), scrolling(table, "Influence of earlier words")];
}

function drawOrders({ words }) {
  const most = Math.max(...words.map(({ order }) => order), 1);
  const rows = words.map(({ word, order, logprob_nats, backoffs }) => {
    const dots = el("span", { class: "dots", text: "●".repeat(order) }, el("i", { text: "●".repeat(most - order) }));
    const bits = logprob_nats === null ? null : -logprob_nats / Math.LN2;
    const steps = backoffs.map(({ context, nats }) =>
      el("span", { class: "step" }, el("em", { text: context.split(" ").map(shown).join(" ") }),
        ` ${nats === null ? "∞" : `${(-nats / Math.LN2).toFixed(2)} bits`}`));
    return el("tr", {},
      el("th", { scope: "row", text: shown(word) }),
      el("td", {}, dots, ` ${order}-gram`),
      el("td", { text: `${bits === null ? "∞" : bits.toFixed(2)} bits` }),
      el("td", {}, ...(steps.length ? steps : ["–"])));
  });
  const heads = ["word", "found as", "surprisal", "contexts dropped, and the cost of each"];
  const table = el("table", { class: "orders" },
    el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows));
  return [scrolling(table, "Orders and backoffs")];
}

// ---- Two sentences, compared by one model.

class PairCard {
  constructor(engine, model, page) {
    this.engine = engine;
    this.model = model;
    this.page = page;
    this.question = new Question();
    this.verdict = el("p", { class: "verdict" });
    this.reason = el("p", { class: "reason" });
    this.lists = [0, 1].map((at) => el("div", { class: "words plain", role: "group", "aria-label": `${at ? "The other" : "One"} sentence, read by ${model.name}` }));
    this.sums = this.lists.map(() => el("p", { class: "sum" }));
    const lines = this.lists.map((list, at) => el("div", { class: "line" }, list, this.sums[at]));
    this.element = el("article", { class: "card pairs", "aria-label": model.name },
      el("header", {}, titleOf(model)), this.verdict, this.reason, ...lines);
  }

  read(texts) {
    this.question.ask(
      () => Promise.all(texts.map((text) => this.engine.score(this.model.name, text, {}))),
      (records) => this.show(texts, records),
      (error) => {
        this.verdict.textContent = "";
        this.reason.textContent = troubleText(error);
        [...this.lists, ...this.sums].forEach((each) => each.replaceChildren());
        this.page.tellSoon();
      },
    );
  }

  // Return what a screen reader is told of this model.
  get told() {
    return `${this.model.name}: ${this.verdict.textContent} ${this.reason.textContent}`;
  }

  show(texts, records) {
    records.forEach((record, at) => {
      fillWords(this.lists[at], record, null, null);
      this.sums[at].textContent = record.logprob_nats === null ? "" : `${(-record.logprob_nats / Math.LN2).toFixed(1)} bits`;
    });
    this.page.tellSoon();
    const scores = records.map(({ logprob_nats }) => logprob_nats);
    if (scores.includes(null)) {
      const never = scores.map((score, at) => (score === null ? `“${texts[at]}”` : null)).filter(Boolean);
      this.verdict.replaceChildren(`${never.join(" and ")} cannot be.`);
      this.reason.textContent = records.map(({ reason }) => reason).filter(Boolean).join("; ");
      return;
    }
    const better = scores[0] >= scores[1] ? 0 : 1;
    const gap = Math.abs(scores[0] - scores[1]);
    if (gap < 1e-5) this.verdict.replaceChildren("Both are equally likely.");
    else this.verdict.replaceChildren(
      `“${texts[better]}” is `, el("b", { text: `${timesText(Math.exp(gap))} times` }), ` likelier than “${texts[1 - better]}”.`);

    // Longer sentences are less likely anyway; so also say what a word costs.
    const perWord = records.map((record) => -record.logprob_nats / Math.LN2 / (record.words + 1));
    const low = perWord[0] <= perWord[1] ? 0 : 1;
    const also = low === better ? "Per word, too" : "Per word it is the other";
    this.reason.textContent = `${also}: ${perWord[low].toFixed(1)} bits against ${perWord[1 - low].toFixed(1)}.`;
  }
}

// ---- The page.

class Page {
  constructor(engine, models) {
    this.engine = engine;
    this.models = models;
    this.scorers = models.filter(({ can }) => can.includes("score"));
    this.shownModels = new Set(this.scorers.map(({ name }) => name));
    this.suggesting = new Question();
    this.picked = 0; // the word that all cards explain
    this.isChosen = false; // by a person
    this.readCards = this.scorers.map((model) => new ReadingCard(engine, model, this));
    this.pairCards = this.scorers.map((model) => new PairCard(engine, model, this));
    this.tellSoon = patiently(() => this.tell(), TELL_MS);
    byId("read-cards").append(...this.readCards.map(({ element }) => element));
    byId("pair-cards").append(...this.pairCards.map(({ element }) => element));
    this.makeLegend();
    this.makeTabs();
    this.makeModels();
    this.listen();
    this.writing = new Writing(engine, models.filter(({ can }) => can.includes("generate")));
  }

  // Have all cards explain the same word.
  pick(at) {
    this.picked = at;
    this.isChosen = true;
    this.readCards.forEach((card) => card.pick(at));
    this.tellSoon();
  }

  // Draw the bars of all models on one scale.
  scaleBars() {
    const shownCards = this.readCards.filter(({ element }) => !element.hidden);
    const most = Math.max(...shownCards.map((card) => card.most ?? 0), 1e-12);
    byId("read-cards").style.setProperty("--most", most);
  }

  // Tell a screen reader what has changed, all models in one go.
  tell() {
    const cards = { read: this.readCards, pair: this.pairCards }[this.opened] ?? [];
    byId("told").textContent = cards.filter(({ element }) => !element.hidden).map(({ told }) => told).join(" ");
  }

  // Until a person chooses a word, it is the one that surprises the first model most.
  pickFor(card) {
    const isFirst = this.readCards.find(({ element }) => !element.hidden) === card;
    if (!isFirst || (this.isChosen && this.picked < card.record.word_surprisals.length)) return;
    this.picked = mostSurprising(card.record);
    this.isChosen = false;
    this.readCards.forEach((each) => each !== card && each.pick(this.picked));
  }

  makeLegend() {
    const steps = Array.from({ length: MOST_BITS }, (_, at) => el("i", { vars: { "--s": (at / (MOST_BITS - 1)).toFixed(3) } }));
    const ticks = [0, 4, 8, 12, MOST_BITS].map((bits) => el("i", { text: bits === MOST_BITS ? `${bits}+` : bits }));
    byId("legend").append("expected",
      el("span", { class: "axis" }, el("span", { class: "scale" }, ...steps), el("span", { class: "ticks" }, ...ticks)),
      "surprising (bits)");
  }

  // ---- Tabs, by pointer and by arrow keys.
  makeTabs() {
    const writes = this.models.some(({ can }) => can.includes("generate"));
    this.tabs = writes ? ["read", "pair", "write"] : ["read", "pair"];
    byId("tab-write").hidden = !writes;
    for (const name of this.tabs) {
      byId(`tab-${name}`).addEventListener("click", () => this.open(name));
      byId(`tab-${name}`).addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = this.tabs[(this.tabs.indexOf(name) + step + this.tabs.length) % this.tabs.length];
        this.open(next);
        byId(`tab-${next}`).focus();
      });
    }
  }

  open(name) {
    byId("told").textContent = "";
    for (const each of this.tabs) {
      byId(each).hidden = each !== name;
      byId(`tab-${each}`).setAttribute("aria-selected", String(each === name));
      byId(`tab-${each}`).tabIndex = each === name ? 0 : -1;
    }
    byId("models").hidden = this.scorers.length < 2 || name === "write";
    // What was hidden has no height until now.
    document.querySelectorAll("textarea").forEach(fitHeight);
    this.opened = name;
    this.store();
    if (name === "write") this.writing.begin();
  }

  makeModels() {
    const labels = this.scorers.map((model) => {
      const box = el("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => {
        if (box.checked) this.shownModels.add(model.name);
        else this.shownModels.delete(model.name);
        this.showModels();
        this.read();
        this.compare();
      });
      const about = model.test_ppl ? `perplexity ${model.test_ppl.toFixed(0)}` : model.kind;
      return el("label", {}, box, model.name, el("small", { text: about }));
    });
    byId("models").append(...labels);
    this.showModels();
  }

  showModels() {
    for (const card of [...this.readCards, ...this.pairCards]) card.element.hidden = !this.shownModels.has(card.model.name);
  }

  // ---- What is typed.
  listen() {
    const readSoon = patiently(() => this.read());
    const compareSoon = patiently(() => this.compare());
    for (const [id, soon] of [["sentence", readSoon], ["first", compareSoon], ["second", compareSoon]]) {
      const field = byId(id);
      field.addEventListener("input", () => {
        // A sentence is one line; what is pasted may have several.
        if (/[\r\n]/.test(field.value)) field.value = field.value.replace(/\s*[\r\n]+\s*/g, " ");
        fitHeight(field);
        soon();
      });
      field.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
    }
    window.addEventListener("resize", () => document.querySelectorAll("textarea").forEach(fitHeight));
  }

  begin() {
    const stored = new URLSearchParams(location.hash.slice(1));
    byId("sentence").value = stored.get("text") ?? EXAMPLE;
    byId("first").value = stored.get("one") ?? PAIR[0];
    byId("second").value = stored.get("other") ?? PAIR[1];
    this.open(this.tabs.includes(stored.get("do")) ? stored.get("do") : "read");
    this.read();
    this.compare();
  }

  read() {
    const text = byId("sentence").value;
    for (const card of this.readCards) if (!card.element.hidden) card.read(text.trim());
    this.suggest(text);
    this.store();
  }

  compare() {
    const texts = [byId("first").value.trim(), byId("second").value.trim()];
    for (const card of this.pairCards) if (!card.element.hidden) card.read(texts);
    this.store();
  }

  // Offer likely next words of the first model that is shown.
  suggest(text) {
    const model = this.scorers.find(({ name, can }) => this.shownModels.has(name) && can.includes("next"));
    const list = byId("suggestions");
    if (!model) {
      list.replaceChildren();
      return;
    }
    byId("suggestions-label").textContent = this.scorers.length > 1 ? `Likely next (${model.name})` : "Likely next";
    this.suggesting.ask(
      () => this.engine.next(model.name, text, ALTERNATIVES),
      (next) => list.replaceChildren(...next.map((each) => this.suggestion(text, each))),
      () => list.replaceChildren(),
    );
  }

  suggestion(text, { word, probability }) {
    const isEnd = word === BOUNDARY;
    const take = () => {
      const before = text.replace(/\S+$/, "");
      byId("sentence").value = `${before}${word} `;
      fitHeight(byId("sentence"));
      byId("sentence").focus();
      this.read();
    };
    const parts = [el("span", {}, ...wordParts(word)), " ", el("small", { text: probabilityText(probability) })];
    const tag = isEnd ? el("span", { class: "chip" }, ...parts) : el("button", { type: "button", class: "chip", onclick: take }, ...parts);
    return el("li", {}, tag);
  }

  // Keep what is typed in the address, so that it can be sent to somebody.
  store() {
    const values = { do: this.opened, text: byId("sentence").value, one: byId("first").value, other: byId("second").value };
    history.replaceState(null, "", `#${new URLSearchParams(values)}`);
  }
}

function fitHeight(field) {
  field.style.height = "auto";
  if (field.scrollHeight) field.style.height = `${field.scrollHeight + 2}px`;
}

// ---- Writing, word by word.

class Writing {
  constructor(engine, models) {
    this.engine = engine;
    this.models = models;
    this.drawn = [];
    this.stopping = null;
    this.choosing = new Question();
    this.colouring = new Question();
    const writer = byId("writer");
    writer.append(...models.map(({ name }) => el("option", { value: name, text: name })));
    for (const id of ["writer", "prompt", "seed"]) byId(id).addEventListener("change", () => this.restart());
    for (const [id, digits] of [["temperature", 2], ["top-p", 2]]) {
      const tell = () => { byId(`${id}-shown`).textContent = Number(byId(id).value).toFixed(digits); };
      byId(id).addEventListener("input", tell);
      tell();
    }
    byId("step").addEventListener("click", () => this.draw(1));
    byId("run").addEventListener("click", () => (this.stopping ? this.finish() : this.draw(60)));
    byId("back").addEventListener("click", () => this.takeBack());
    byId("clear").addEventListener("click", () => this.restart());
    byId("prompt").value = "the old man";
  }

  begin() {
    if (!this.hasBegun) this.restart();
    this.hasBegun = true;
  }

  restart() {
    this.stop();
    this.drawn = [];
    this.said = 0;
    this.show();
  }

  // Write no more, and offer what may follow.
  finish() {
    this.stop();
    this.show();
    this.say();
  }

  takeBack() {
    this.stop();
    this.drawn.pop();
    this.said = this.drawn.length;
    this.show();
  }

  stop() {
    this.stopping?.abort();
    this.stopping = null;
    byId("run").textContent = "Write on";
  }

  // What has been written so far, as a model reads it.
  get text() {
    return byId("prompt").value.trim() + this.drawn.map(({ text }) => (text === BOUNDARY ? "" : text)).join("");
  }

  get hasEnded() {
    return this.drawn.some(({ text }) => text === BOUNDARY);
  }

  async draw(count) {
    if (this.hasEnded || !this.models.length) return;
    this.stop();
    const stopping = new AbortController();
    this.stopping = stopping;
    byId("run").textContent = "Stop";
    byId("write-trouble").textContent = "";
    const settings = {
      prompt: this.text.trimStart(), max_tokens: count,
      temperature: Number(byId("temperature").value), top_p: Number(byId("top-p").value),
      // A step later, other numbers are drawn from the same seed.
      seed: (Number(byId("seed").value) + this.drawn.length) >>> 0,
    };
    const add = (text) => {
      if (stopping.signal.aborted) return;
      this.drawn.push({ text: this.drawn.length || settings.prompt ? text : text.trimStart() });
      this.show(false);
    };
    try {
      await this.engine.generate(byId("writer").value, settings, add, stopping.signal);
    } catch (error) {
      if (!stopping.signal.aborted) byId("write-trouble").textContent = troubleText(error);
    }
    if (this.stopping === stopping) this.finish();
  }

  // Show what is written, and what may follow.
  show(withChoices = true) {
    this.tell(null);
    this.colour();
    for (const id of ["step", "run"]) byId(id).disabled = this.hasEnded;
    byId("back").disabled = !this.drawn.length;
    if (withChoices) this.offer();
  }

  // Tell a screen reader what has been added.
  say() {
    const end = this.hasEnded ? " The sentence has ended." : "";
    byId("told").textContent = this.drawn.map(({ text }) => (text === BOUNDARY ? "" : text)).slice(this.said).join("") + end;
    this.said = this.drawn.length;
  }

  // Show the text; record: its score, which shades the words that were drawn.
  tell(record) {
    // Places count characters of Unicode, as Python does.
    const characters = Array.from(this.text);
    const begun = Array.from(byId("prompt").value.trim()).length;
    const part = (from, to) => characters.slice(from, to).join("");
    let at = Math.min(begun, characters.length);
    const parts = [part(0, at)];
    for (const { start, end, surprisal_bits } of record?.word_surprisals ?? []) {
      if (start === null || start < begun || end <= start) continue;
      const vars = { "--s": shade(surprisal_bits).toFixed(3) };
      parts.push(part(at, start), el("span", { class: "drawn shade", vars, text: part(start, end) }));
      at = end;
    }
    parts.push(part(at));
    if (this.hasEnded) parts.push(el("span", { class: "end", text: ` ${END}` }));
    const written = byId("written");
    written.replaceChildren(...parts.filter(Boolean));
    written.scrollTop = written.scrollHeight;
  }

  // Shade words by their surprisal, once the model has read them.
  colour() {
    const model = this.models.find(({ name }) => name === byId("writer").value);
    const text = this.text;
    if (!text.trim() || !this.drawn.length || !model?.can.includes("score")) return;
    this.colouring.ask(
      () => this.engine.score(model.name, text, {}),
      (record) => record.text === text && text === this.text && this.tell(record),
      () => this.tell(null),
    );
  }

  // Offer the likeliest next words, to be chosen by hand.
  offer() {
    const model = this.models.find(({ name }) => name === byId("writer").value);
    if (!model?.can.includes("next") || this.hasEnded) {
      const told = this.hasEnded ? [el("li", { class: "hint", text: "The sentence has ended." })] : [];
      byId("choices").replaceChildren(...told);
      return;
    }
    const text = this.text;
    this.choosing.ask(
      () => this.engine.next(model.name, text ? `${text} ` : "", CHOICES),
      (next) => byId("choices").replaceChildren(...this.choices(next)),
      (error) => { byId("write-trouble").textContent = troubleText(error); },
    );
  }

  choices(next) {
    const most = Math.max(...next.map(({ probability }) => probability), 1e-12);
    return next.map(({ word, probability }) =>
      el("li", {},
        el("button", { type: "button", onclick: () => this.choose(word) }, ...wordParts(word)),
        el("span", { class: "bar", vars: { "--p": (probability / most).toFixed(4) } }),
        el("span", { class: "n", text: probabilityText(probability) })));
  }

  choose(word) {
    this.stop();
    const text = word === BOUNDARY ? word : (this.text ? " " : "") + word;
    this.drawn.push({ text });
    this.show();
    this.say();
    byId("choices").querySelector("button")?.focus();
  }
}

// ---- The beginning.

async function openPage(engine) {
  const models = await engine.models();
  if (!models.some(({ can }) => can.includes("score"))) {
    throw new Error("None of these models scores sentences, so there is nothing to show here.");
  }
  const page = new Page(engine, models);
  page.begin();
}

// A server may ask for its token first.
function start(engine) {
  openPage(engine).catch((error) => {
    if (error.status !== 401) {
      byId("main").replaceChildren(el("p", { class: "trouble", role: "alert", text: troubleText(error) }));
      return;
    }
    byId("access").hidden = false;
    byId("read").hidden = true;
    byId("token-trouble").textContent = engine.token ? "The server does not accept this token." : "";
    byId("token").focus();
    byId("access-form").addEventListener("submit", (event) => {
      event.preventDefault();
      engine.token = byId("token").value;
      byId("access").hidden = true;
      byId("read").hidden = false;
      start(engine);
    }, { once: true });
  });
}
