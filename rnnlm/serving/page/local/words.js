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
  if (places.length !== starts.length - 1 || tokenizer.normalised(line) !== line) {
    const before = Array.from(line).length - characters.length;
    const spans = tokenizer.spans(line).slice(begin);
    const found = findWrittenWords(
      places,
      spans.map((span) => span.map((at) => Math.max(0, at - before))),
    );
    starts = found.firsts.map((first) => first + begin);
    numbers = found.numbers;
    places = numbers
      .slice(0, -1)
      .map((number, at) => [places[number][0], places[numbers[at + 1] - 1][1]]);
  }
  return { places, numbers, starts };
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
    item.number ??= this.number++;
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

const ANY_WORD = "a"; // the next word is cut the same way after all of them
const MOST_TRIED = 1000; // beginnings of words, at one place

class WordSearch {
  constructor(reader, tokenizer) {
    this.reader = reader;
    this.tokenizer = tokenizer;
    const all = tokenizer.symbols.map((_, id) => id);
    const starters = new Set(tokenizer.startsWord);
    this.tokensBefore = tokenizer.encode(ANY_WORD).ids.length - 1;
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
      heap.push({
        cost: next,
        ids: [...ids, order[rank]],
        from,
        parent: { ids, cost, order, rank },
      });
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
    const start = bytes.findIndex((byte) => !isSpaceByte(byte));
    return start < 0 ? "" : latin(bytes.slice(start));
  }

  // Return the word that pieces spell; null if the tokenizer would cut it into other pieces.
  spelling(ids, isLineStart, begun) {
    const { tokenizer } = this;
    if (ids[ids.length - 1] === tokenizer.boundary) return BOUNDARY;
    const word = tokenizer.decode(ids).replace(/^[ \t\r\0]+|[ \t\r\0]+$/gu, "");
    const line = isLineStart ? word : `${ANY_WORD} ${word}`;
    const cut = tokenizer.encode(line).ids.slice(isLineStart ? 0 : this.tokensBefore, -1);
    const isSame = cut.length === ids.length && cut.every((id, at) => id === ids[at]);
    return isSame && this.text(ids).startsWith(begun) ? word : null;
  }
}

// Bytes as a string of as many characters, to compare.
const latin = (bytes) => String.fromCharCode(...bytes);
