// ---- Normalisation of messy text before it is cut, as rnnlm/text/normalisation.py has it. A text is
// a list of characters, each with the place in the original where what it was made from begins and
// ends: [character, start, end].

const SPECIAL_SYMBOL = /<(?:\/?s|unk)>/giu;
const QUOTES = {
  "'": "\u2018\u2019\u201a\u201b\u2032\u00b4",
  '"': "\u201c\u201d\u201e\u201f\u2033",
};
const DASHES = { "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212" };
const SPACES = {
  " ":
    "\t\r\0\v\f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009" +
    "\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff",
};
const REPLACED = { quotes: QUOTES, dashes: DASHES, spaces: SPACES };
const SOFT_HYPHEN = "\u00ad";
const ENTITY = /^&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});$/u;
const LONGEST_ENTITY = 34;
// What the numbers from 0x80 to 0x9f mean.
const WINDOWS_1252 =
  "\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f" +
  "\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178";
const APOSTROPHES = "'\u2019";

const untouched = (line) => Array.from(line, (character, at) => [character, at, at + 1]);
const textIn = (traced) => traced.map(([character]) => character).join("");

// A function from a line to its characters as they are read. forms: names with commas between them;
// named: the characters of named entities.
function normaliser(forms, removesPunctuation, named) {
  const asked = (forms ?? "").split(",");
  const replacements = new Map();
  for (const form of asked) {
    for (const [plain, others] of Object.entries(REPLACED[form] ?? {})) {
      for (const other of others) replacements.set(other, plain);
    }
  }
  const dropsHyphens = asked.includes("spaces");
  return (line) => {
    let traced = dropsHyphens ? withoutSoftHyphens(untouched(line)) : untouched(line);
    if (asked.includes("nfc")) traced = composed(traced);
    if (asked.includes("entities")) {
      traced = decodedEntities(traced, dropsHyphens, named);
      if (asked.includes("nfc")) traced = composed(traced);
    }
    traced = traced.map(([old, start, end]) => [replacements.get(old) ?? old, start, end]);
    if (dropsHyphens) traced = covering(joinedSpaces(traced), Array.from(line).length);
    return removesPunctuation ? withoutPunctuation(traced) : traced;
  };
}

function withoutSoftHyphens(traced) {
  return withSymbolsAsText(traced.filter(([character]) => character !== SOFT_HYPHEN));
}

// Special symbols that the original does not have get an entity: they were text.
function withSymbolsAsText(traced) {
  const text = textIn(traced);
  const done = [];
  let at = 0;
  for (const match of text.matchAll(SPECIAL_SYMBOL)) {
    const first = Array.from(text.slice(0, match.index)).length;
    const last = first + match[0].length - 1;
    const [, start, end] = traced[first];
    if (traced[last][2] - start > match[0].length) {
      done.push(...traced.slice(at, first));
      for (const part of "&lt;") done.push([part, start, end]);
      at = first + 1;
    }
  }
  return [...done, ...traced.slice(at)];
}

// Characters that are composed to one have a common origin.
function composed(traced) {
  const done = [];
  let group = [];
  for (const each of [...traced, ["", 0, 0]]) {
    const continues = /^[\p{M}\u1160-\u11ff]$/u.test(each[0]) && each[0] >= "\u0300";
    if (group.length && !continues) {
      const text = textIn(group);
      const whole = text.normalize("NFC");
      if (whole !== text) {
        const [start, end] = [group[0][1], group[group.length - 1][2]];
        group = Array.from(whole, (character) => [character, start, end]);
      }
      done.push(...group);
      group = [];
    }
    group.push(each);
  }
  return done;
}

// Decode all entities, those that result from decoding too, from left to right.
function decodedEntities(traced, dropsHyphens, named) {
  const done = [];
  const ampersands = []; // their places in `done`
  for (const each of traced) {
    const pending = [each];
    while (pending.length) {
      const [character, start, end] = pending.pop();
      if (character === "&") ampersands.push(done.length);
      done.push([character, start, end]);
      if (character !== ";" || !ampersands.length) continue;

      // A semicolon may end an entity, which its characters replace, to be read in turn.
      const first = ampersands[ampersands.length - 1];
      if (done.length - first > LONGEST_ENTITY) continue;
      const meant = meaning(textIn(done.slice(first)), named);
      if (!meant) continue;
      const [, begin] = done[first];
      ampersands.pop();
      done.splice(first);
      for (const part of Array.from(meant).reverse()) {
        if (part !== SOFT_HYPHEN || !dropsHyphens) pending.push([part, begin, end]);
      }
    }
  }
  return withSymbolsAsText(done);
}

// Return the characters of an entity; "" where there is no such entity, or where it has none.
function meaning(entity, named) {
  if (!ENTITY.test(entity)) return "";
  let meant;
  if (entity[1] !== "#") meant = named[entity.slice(1)] ?? "";
  else if (/[xX]/u.test(entity[2])) meant = numbered(parseInt(entity.slice(3, -1), 16));
  else meant = numbered(parseInt(entity.slice(2, -1), 10));
  return meant.normalize("NFC").replace(/[\n\r\0]/gu, " ");
}

// Return the character of that number, as HTML reads numbers that are none.
function numbered(number) {
  if (number === 0 || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) return "\ufffd";
  if (number >= 0x80 && number <= 0x9f) return WINDOWS_1252[number - 0x80];
  const isControl =
    number < 9 || number === 0xb || (number > 0xd && number < 0x20) || number === 0x7f;
  const isNone = (number >= 0xfdd0 && number <= 0xfdef) || (number & 0xfffe) === 0xfffe;
  return isControl || isNone ? "" : String.fromCodePoint(number);
}

function joinedSpaces(traced) {
  const done = [];
  for (const [character, start, end] of traced) {
    const last = done[done.length - 1];
    if (character === " " && last?.[0] === " ") last[2] = end;
    else done.push([character, start, end]);
  }
  return done;
}

// Have the origins cover the line: what was removed belongs to the character before it, else to the
// first.
function covering(traced, length) {
  return traced.map(([character, start, end], at) => {
    const next = at + 1 < traced.length ? traced[at + 1][1] : length;
    return [character, at ? start : 0, Math.max(end, next)];
  });
}

// Return what is left without punctuation, words one space apart.
function withoutPunctuation(traced) {
  const characters = traced.map(([character]) => character);
  const spaced = characters.map((_, at) => spacedMark(characters, at));
  if (spaced.every((character, at) => character === characters[at])) return traced;
  const done = [];
  if (isSpace(characters[0])) done.push([" ", traced[0][1], traced[0][2]]);
  spaced.forEach((character, at) => {
    const [, start, end] = traced[at];
    if (!isSpace(character)) done.push([character, start, end]);
    else if (done.length && done[done.length - 1][0] !== " ") done.push([" ", start, end]);
  });
  const endsInSpace = done.length > 1 && done[done.length - 1][0] === " ";
  if (endsInSpace && !isSpace(characters[characters.length - 1])) done.pop();
  return done;
}

// Return what stands for a character where punctuation goes: apostrophes inside words stay.
function spacedMark(characters, at) {
  const mark = characters[at];
  if (!/^[\p{P}\p{S}]$/u.test(mark)) return mark;
  const isInWord = (place) => /^[\p{L}\p{N}_]$/u.test(characters[place] ?? "");
  if (APOSTROPHES.includes(mark)) return isInWord(at - 1) && isInWord(at + 1) ? "'" : " ";
  if ("<>".includes(mark)) {
    const start = mark === "<" ? at : at - UNKNOWN.length + 1;
    const end = start + UNKNOWN.length;
    const ends = (place) => isSpace(characters[place] ?? " ");
    const isUnknown = characters.slice(Math.max(0, start), end).join("") === UNKNOWN;
    if (isUnknown && ends(start - 1) && ends(end)) return mark;
  }
  return " ";
}
