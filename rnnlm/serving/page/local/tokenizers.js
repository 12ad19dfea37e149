// ---- Text. A line is a list of characters, so that places count what Python counts; white
// space between words is ASCII's space, tab, carriage return and NUL alone.

const BOUNDARY = "</s>";
const UNKNOWN = "<unk>";
const WORD_SPACE = " \t\r\0";
const RESERVED = /(?<![^ \t\r\0])<\/?s>(?![^ \t\r\0])/u;
const SPACE_AT_END = /[ \t\r\0]+$/u;
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const isSpace = (character) => WORD_SPACE.includes(character);
const isSpaceByte = (byte) => isSpace(String.fromCharCode(byte));
const isBlank = (text) => Array.from(text).every(isSpace);

// What a person is told: what is wrong, why, and what to do.
class EngineError extends Error {
  constructor(what, why = "", hint = "") {
    super([what, why].filter(Boolean).join(": "));
    Object.assign(this, { what, why, hint });
  }
}

function checked(text) {
  if (LONE_SURROGATE.test(text))
    throw new EngineError("the text is not Unicode", "it holds half a character");
  if (text.includes("\n"))
    throw new EngineError("a line holds a newline", "", "give each line on its own");
  const found = RESERVED.exec(text);
  if (found)
    throw new EngineError(
      `the text holds ${found[0]}`,
      "rnnlm marks line ends itself",
      "remove it",
    );
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
    this.normalise = null; // a normaliser, if lines are rewritten first
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

  // Return what a token adds to a text of which `ids` were written. Bytes that are no character yet
  // add nothing until they are.
  added(text, ids, id) {
    const isWhole = (each) => !each.endsWith("\ufffd");
    let known = ids.length;
    while (known > 0 && !isWhole(this.decode(ids.slice(0, known)))) known--;
    const before = this.decode(ids.slice(0, known));
    const after = this.decode([...ids, id]);
    return isWhole(after) ? after.slice(before.length) : "";
  }

  // Return how a token is spelled.
  word(id) {
    return this.symbols[id];
  }

  lowered(text) {
    return this.settings.lowercase ? text.toLowerCase() : text;
  }

  normalised(line) {
    return this.normalise ? textIn(this.normalise(line)) : line;
  }

  encode(line) {
    return this.encodeRead(this.normalised(line));
  }

  // Of what was normalised, map the spans back to the line as it was. Of the white space before a
  // piece, only the last character belongs to it.
  spans(line) {
    const traced = this.normalise?.(line) ?? [];
    if (!traced.length || textIn(traced) === line) return this.spansOf(this.normalised(line));
    const starts = traced.map(([character, start, end]) => (character === " " ? end - 1 : start));
    return this.spansOf(textIn(traced)).map(([first, behind]) => {
      const start = starts[Math.min(first, traced.length - 1)];
      return [start, first < behind ? traced[behind - 1][2] : start];
    });
  }

  // Tokens are found one after the other in the line, as it is in lower case.
  spansOf(line) {
    const characters = Array.from(line);
    const read = Array.from(this.lowered(line));
    const origins = originsOf(characters, this.settings.lowercase);
    const found = [];
    let end = 0;
    for (const token of this.encodeRead(line).surface.slice(0, -1)) {
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

const CLOSING = /^[.,;:!?%)\]}\u201d\u2026]+$/u;
const OPENED = /[([{\u201c\u2018]$/u;

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

  encodeRead(line) {
    const words = this.words(line);
    return {
      ids: [...words.map((word) => this.id(word)), this.boundary],
      surface: [...words, BOUNDARY],
      isUnknown: [...words.map((word) => !this.ids.has(word)), false],
    };
  }

  // Words are one space apart; marks that were split off stand where a person would print them.
  added(text, ids, id) {
    const word = this.symbols[id];
    if (!text) return word;
    if (!this.settings.split_punctuation) return ` ${word}`;
    const isInQuotation = (text.split('"').length - 1) % 2 === 1;
    const isClosing = CLOSING.test(word) || (word === '"' && isInQuotation);
    const isAfterOpening = OPENED.test(text) || (text.endsWith('"') && isInQuotation);
    return isClosing || isAfterOpening ? word : ` ${word}`;
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
  encodeRead(line) {
    const text = this.lowered(line);
    let surface = Array.from(text);
    if (this.settings.literal_unk === "symbol") {
      surface = text
        .split(UNKNOWN)
        .flatMap((part, at) => (at ? [UNKNOWN] : []).concat(Array.from(part)));
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

// Return the characters that tokens of these sizes in bytes were made of; the bytes of a character
// share its place. prefix: how many bytes are read before the line.
function spansBySize(line, sizes, lowered, prefix) {
  const encoder = new TextEncoder();
  const origins = Array.from({ length: prefix }, () => -1);
  Array.from(line).forEach((character, at) => {
    for (const _ of encoder.encode(lowered(character))) origins.push(at);
  });
  let end = 0;
  return sizes.map((size) => {
    end += size;
    return [Math.max(0, origins[end - size]), origins[end - 1] + 1];
  });
}

class ByteTokenizer extends CharTokenizer {
  constructor(settings, symbols) {
    super(settings, symbols);
    this.unknown = null;
    this.spaces = new Set(Array.from(WORD_SPACE, (space) => space.charCodeAt(0) + 1));
    this.startsWord = [this.boundary, ...this.spaces].sort((a, b) => a - b);
  }

  encodeRead(line) {
    const bytes = [...new TextEncoder().encode(line)];
    const ids = [...bytes.map((byte) => byte + 1), this.boundary];
    return { ids, surface: ids.map((id) => this.symbols[id]), isUnknown: ids.map(() => false) };
  }

  spansOf(line) {
    const sizes = this.encodeRead(line)
      .ids.slice(0, -1)
      .map(() => 1);
    return spansBySize(line, sizes, (text) => text, 0);
  }

  bytesOf(id) {
    return [id === this.boundary ? 10 : id - 1];
  }

  decode(ids) {
    const text = textOf(Uint8Array.from(ids.flatMap((id) => this.bytesOf(id))));
    return text.endsWith("\n") ? text.slice(0, -1) : text;
  }
}

// Pieces of words as sentencepiece cuts them: by the likeliest sequence of pieces (unigram), or by
// joining the best pair again and again (bpe). A space is written as U+2581, and stands before
// every line; characters that no piece has are cut into bytes.
const PIECE_SPACE = "\u2581";
const BYTE_PIECE = /^<0x([0-9A-F]{2})>$/u;
const UNKNOWN_PENALTY = 10;

class PieceTokenizer extends VocabularyTokenizer {
  constructor(settings, symbols, arrays) {
    super(settings, symbols);
    this.boundary = 1;
    this.unknown = 0;
    this.tokensAreWords = false;
    this.scores = arrays.get("scores").values;
    this.bytes = symbols.map((symbol) => {
      const byte = BYTE_PIECE.exec(symbol);
      if (byte) return [parseInt(byte[1], 16)];
      return [...new TextEncoder().encode(symbol.replaceAll(PIECE_SPACE, " "))];
    });
    this.bytes[this.boundary] = [10];
    this.ofByte = new Map();
    this.ids = new Map();
    let lowest = Infinity;
    symbols.forEach((symbol, id) => {
      if (id === this.boundary || id === this.unknown) return;
      if (BYTE_PIECE.test(symbol)) this.ofByte.set(this.bytes[id][0], id);
      else {
        this.ids.set(symbol, id);
        lowest = Math.min(lowest, this.scores[id]);
      }
    });
    this.unknownScore = Math.fround(lowest - UNKNOWN_PENALTY);
    this.longest = Math.max(...Array.from(this.ids.keys(), (piece) => Array.from(piece).length));
    const all = symbols.map((_, id) => id);
    this.startsWord = all.filter((id) => id === this.boundary || isSpaceByte(this.bytes[id][0]));
    const isBlankPiece = (id) => id !== this.boundary && this.bytes[id].every(isSpaceByte);
    this.spaces = new Set(this.startsWord.filter(isBlankPiece));
    const literal = settings.literal_unk === "symbol" ? `${UNKNOWN}|` : "";
    this.special = new RegExp(`(${literal}${PIECE_SPACE})`, "u");
  }

  encodeRead(line) {
    const prepared = line ? ` ${this.lowered(line)}` : "";
    const ids = [];
    for (const part of prepared.split(this.special)) {
      if (part === PIECE_SPACE) ids.push(...this.bytePieces(part));
      else if (part === UNKNOWN && this.settings.literal_unk === "symbol") ids.push(this.unknown);
      else if (part) ids.push(...this.cut(Array.from(part.replaceAll(" ", PIECE_SPACE))));
    }
    ids.push(this.boundary);
    return { ids, surface: ids.map((id) => this.symbols[id]), isUnknown: ids.map(() => false) };
  }

  bytePieces(text) {
    return Array.from(new TextEncoder().encode(text), (byte) => this.ofByte.get(byte));
  }

  cut(characters) {
    const pieces =
      this.settings.sentencepiece_model === "bpe"
        ? joinPairs(this, characters)
        : likeliestPieces(this, characters);
    return pieces.flatMap((piece) => {
      const id = this.ids.get(piece);
      return id === undefined ? this.bytePieces(piece) : [id];
    });
  }

  spansOf(line) {
    const sizes = this.encodeRead(line)
      .ids.slice(0, -1)
      .map((id) => this.bytes[id].length);
    return spansBySize(line, sizes, (text) => this.lowered(text), 1);
  }

  bytesOf(id) {
    return this.bytes[id];
  }

  decode(ids) {
    let text = textOf(Uint8Array.from(ids.flatMap((id) => this.bytes[id])));
    if (text.endsWith("\n")) text = text.slice(0, -1);
    return (text.startsWith(" ") ? text.slice(1) : text).replaceAll("\n ", "\n");
  }
}

// Return the pieces with the largest sum of scores (Viterbi), in the precision of sentencepiece.
function likeliestPieces({ ids, scores, longest, unknownScore }, characters) {
  const best = [{ score: 0, start: -1 }];
  const offer = (end, start, score) => {
    const total = Math.fround(best[start].score + score);
    if (!best[end] || total > best[end].score) best[end] = { score: total, start };
  };
  for (let start = 0; start < characters.length; start++) {
    let piece = "";
    let isKnown = false;
    for (let end = start + 1; end <= Math.min(characters.length, start + longest); end++) {
      piece += characters[end - 1];
      const id = ids.get(piece);
      if (id === undefined) continue;
      offer(end, start, scores[id]);
      isKnown ||= end === start + 1;
    }
    if (!isKnown) offer(start + 1, start, unknownScore);
  }

  const pieces = [];
  for (let end = characters.length; end > 0; end = best[end].start) {
    pieces.unshift(characters.slice(best[end].start, end).join(""));
  }
  return pieces;
}

// Join the neighbours that make the piece of the largest score, of equal ones the leftmost, for as
// long as there are any.
function joinPairs({ ids, scores }, characters) {
  const pieces = [...characters];
  const before = pieces.map((_, at) => at - 1);
  const after = pieces.map((_, at) => (at + 1 < pieces.length ? at + 1 : -1));
  const heap = new Heap();
  const offer = (left, right) => {
    if (left < 0 || right < 0) return;
    const joinedPiece = pieces[left] + pieces[right];
    const id = ids.get(joinedPiece);
    if (id !== undefined) heap.push({ cost: -scores[id], number: left, left, right, joinedPiece });
  };
  for (let at = 0; at + 1 < pieces.length; at++) offer(at, at + 1);
  while (heap.items.length) {
    const { left, right, joinedPiece } = heap.pop();
    // One of the two may have been joined with another one since.
    if (!pieces[left] || !pieces[right] || pieces[left] + pieces[right] !== joinedPiece) continue;
    pieces[left] = joinedPiece;
    pieces[right] = "";
    after[left] = after[right];
    if (after[right] >= 0) before[after[right]] = left;
    offer(before[left], left);
    offer(left, after[left]);
  }
  return pieces.filter(Boolean);
}

const TOKENIZERS = {
  word: WordTokenizer,
  char: CharTokenizer,
  byte: ByteTokenizer,
  sentencepiece: PieceTokenizer,
};
