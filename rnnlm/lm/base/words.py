"""Split a line into words: as they are shown, with their tokens and their surprisal."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnlm.errors import TextError
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN, Array, Encoded, Tokenizer
from rnnlm.lm.base.span_scoring import log_sum
from rnnlm.text.lines import TO_SPACE, WORD_SPACE, split_words

# ---- The characters of a line that each token was made of, for any tokenizer.
#
# Everything that shows words or places of a line goes through :func:`token_spans`.

Span = tuple[int, int]  # first character, and one past the last

# tokenizers whose tokens are bytes of the line; the others' are characters
_BYTE_TOKENIZERS = ("byte", "sentencepiece")


def word_spans(text: str) -> list[Span]:
    """Return the spans of the words of `text` as :func:`rnnlm.text.lines.split_words` splits it."""
    spans, end = [], -1
    for word in text.translate(TO_SPACE).split(" "):
        start = end + 1
        end = start + len(word)
        if word:
            spans.append((start, end))
    return spans


def token_spans(lines: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    """Return for each line (T, 2), the characters that each of its tokens was made of, without
    `</s>`.

    The white space between words belongs to no token of a word tokenizer, nor do marks that a
    tokenizer removes. Tokens that share characters (the bytes of one, the two that "\u0130" becomes
    in lower case, the character of an entity) have the same span.
    """
    reads = tokenizer.normalise(lines)
    if hasattr(tokenizer, "spans"):
        spans = tokenizer.spans(reads)
    elif tokenizer.name in _BYTE_TOKENIZERS:
        spans = _spans_by_size(reads, tokenizer)
    else:
        spans = [
            _character_spans(line, tokens[:-1], tokenizer.keeps_case)
            for line, tokens in zip(reads, tokenizer.surfaces(reads), strict=True)
        ]

    # Of a rewritten line these are spans of what the tokenizer read: map them back to the original.
    for index, (line, read) in enumerate(zip(lines, reads, strict=True)):
        if read != line:
            origin = tokenizer.normalise_with_offsets(line)
            spans[index] = _map_before_rewriting(spans[index], *origin)
    return spans


def _map_before_rewriting(
    spans_T2: np.ndarray, read: str, begin_N: np.ndarray, end_N: np.ndarray
) -> np.ndarray:
    """Turn spans of the rewritten text into spans of the original line; begin_N, end_N: the
    original characters that each character read was made of.

    Of the white space before a piece, only the last character belongs to it: others may end a
    written word, such as U+200B.
    """
    if not read:
        return spans_T2
    begin_N = np.where([character == " " for character in read], end_N - 1, begin_N)
    first_T, behind_T = spans_T2[:, 0], spans_T2[:, 1]
    begin_T = begin_N[np.minimum(first_T, len(read) - 1)]
    end_T = np.where(first_T < behind_T, end_N[np.maximum(behind_T - 1, 0)], begin_T)
    return np.stack([begin_T, end_T], axis=1)


def _spans_by_size(lines: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    size_V = np.array([len(data) for data in tokenizer.token_bytes()], dtype=np.int64)
    encoded = tokenizer.encode(lines)
    prefix = int(tokenizer.name == "sentencepiece")  # it reads a space before the line
    spans = []
    for line, (start, end) in zip(lines, itertools.pairwise(encoded.offsets.tolist()), strict=True):
        size_T = size_V[encoded.ids[start : end - 1]]
        spans.append(_byte_spans(line, size_T, tokenizer.keeps_case, prefix))
    return spans


def _character_spans(line: str, tokens: Sequence[str], keeps_case: bool) -> np.ndarray:
    read = line if keeps_case else line.lower()
    spans, end = [], 0
    for token in tokens:  # only white space comes before each
        start = read.find(token, end)
        end = start + len(token)
        spans.append((start, end))
    spans_T2 = np.array(spans, dtype=np.int64).reshape(-1, 2)
    if len(read) == len(line):
        return spans_T2
    # A letter in lower case may be several characters.
    lengths = [len(character.lower()) for character in line]
    return _map_to_line(spans_T2, np.repeat(np.arange(len(line)), lengths))


def _byte_spans(line: str, size_T: np.ndarray, keeps_case: bool, prefix: int) -> np.ndarray:
    end_T = np.cumsum(size_T)
    characters = list(line) if keeps_case else [character.lower() for character in line]
    lengths = [len(character.encode("utf-8")) for character in characters]
    origin = np.repeat(np.arange(len(line)), lengths)
    spans_T2 = np.stack([end_T - size_T, end_T], axis=1)
    return _map_to_line(spans_T2, np.concatenate([np.full(prefix, -1), origin]))


def _map_to_line(spans_T2: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Turn spans of the rewritten text into spans of the original line; origin: the character that
    each unit read comes from, -1 for none."""
    begin_T = np.maximum(origin[spans_T2[:, 0]], 0)
    return np.stack([begin_T, origin[spans_T2[:, 1] - 1] + 1], axis=1)


# ---- Surprisals of whole words under models of pieces: bytes, characters, subwords (Pimentel &
# Meister 2024; Oh & Schuler 2024).
#
# For w to be the next word after the words c, the piece after it must begin another one. Along the
# tokenizer's own segmentation, with B(x) the sum of P(v|x) over the pieces v that begin a word
# (`</s>` among them):
#
#     P(w|c) = P(pieces of w | c) B(c w) / B(c),   B = 1 at the start of a line
#
# `</s>` is a separate item, P(</s>|c) / B(c): the factors B cancel, and the surprisals of a line's
# words and of its end add up to the line's. White space belongs to the word after it, at the end of
# a line to `</s>`. For tokenizers whose every token is a word, B is 1.

ROUNDING_NATS = 1e-5


@dataclass(frozen=True)
class WordSpans:
    """The positions of the words in a chunk of lines. starts, ends: (W,) bounds in the ids, `</s>`
    a separate item.

    line_bounds: (lines + 1,) the items of line i run from `line_bounds[i]` to `line_bounds[i + 1]`.
    is_place_N: where B is needed, before the token there is read.
    """

    starts: np.ndarray
    ends: np.ndarray
    line_bounds: np.ndarray
    is_place_N: np.ndarray


class WordFinder:
    """Finds words among the tokens of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.starts_word_V = tokenizer.starts_word_V
        self.starters = np.flatnonzero(self.starts_word_V)
        self.tokens_are_words = bool(self.starts_word_V.all())
        self.is_space_V = np.zeros(tokenizer.size, dtype=bool)
        if not self.tokens_are_words:
            for id in self.starters.tolist():
                if id != tokenizer.boundary_id:
                    self.is_space_V[id] = not tokenizer.decode([id]).strip(WORD_SPACE)

    def log_boundary(self, logprob_MV: Array) -> np.ndarray:
        """Return log B (nats), (M,) float64, of distributions over the next token."""
        return log_sum(logprob_MV[:, self.starters])

    def find(self, encoded: Encoded, begins: np.ndarray) -> WordSpans:
        """Find the words of the lines, each read from its token `begins` on: the text before it is
        given."""
        if self.tokens_are_words:
            starts = np.flatnonzero(_within(encoded, begins))
            return _words(encoded, starts, np.zeros(len(encoded.ids), dtype=bool))
        # White space is a piece of the word that follows it.
        is_start_N = self.starts_word_V[encoded.ids]
        is_start_N[1:] &= ~self.is_space_V[encoded.ids[:-1]]
        is_start_N[begins] = True
        starts = np.flatnonzero(is_start_N & _within(encoded, begins))
        # B is 1 at the start of a line.
        is_place_N = np.zeros(len(encoded.ids), dtype=bool)
        is_place_N[starts] = True
        is_place_N[encoded.offsets[:-1]] = False
        return _words(encoded, starts, is_place_N)


def _within(encoded: Encoded, begins: np.ndarray) -> np.ndarray:
    """Return which tokens do not come before their line's `begins`."""
    return np.arange(len(encoded.ids)) >= np.repeat(begins, np.diff(encoded.offsets))


def _words(encoded: Encoded, starts: np.ndarray, is_place_N: np.ndarray) -> WordSpans:
    line_bounds = np.searchsorted(starts, encoded.offsets)
    ends = np.append(starts[1:], len(encoded.ids))
    ends[line_bounds[1:] - 1] = encoded.offsets[1:]
    return WordSpans(starts, ends, line_bounds, is_place_N)


def surprisals(
    words: WordSpans, logprob_N: np.ndarray, log_boundary: np.ndarray | float
) -> np.ndarray:
    """Return -log2 p of each item, (W,); infinite or NaN if it or the text before it is impossible.

    log_boundary: log B (nats) at the places of `words`, in their order.
    """
    log_boundary_N = np.zeros(len(logprob_N) + 1)
    log_boundary_N[:-1][words.is_place_N] = log_boundary
    after_W = log_boundary_N[words.ends]
    # After `</s>` B is 1; with a given text there may be a place where the next line begins.
    after_W[words.line_bounds[1:] - 1] = 0.0
    with np.errstate(invalid="ignore"):
        cost_W = -_sums_of_items(words, logprob_N)
        cost_W = cost_W - after_W + log_boundary_N[words.starts]
    is_rounding_W = (cost_W < 0) & (cost_W > -ROUNDING_NATS)
    return np.where(is_rounding_W, 0.0, cost_W) / np.log(2)


def _sums_of_items(words: WordSpans, logprob_N: np.ndarray) -> np.ndarray:
    """Return the log-probability of each item's tokens together."""
    if len(words.starts) and (words.ends[:-1] == words.starts[1:]).all():
        return np.add.reduceat(logprob_N, words.starts)
    # Between items lie tokens that are given: every second sum is of these.
    bounds = np.stack([words.starts, words.ends], axis=1).ravel()
    return np.add.reduceat(np.append(logprob_N, 0.0), bounds)[::2]


# ---- The words of a line as they are shown: either separated by white space, as they are written,
# or the words of the tokenizer.
#
# A written word may be several words of the tokenizer (marks that are split off), and each of these
# several tokens. A word of a model of pieces may be several written ones, if the model does not
# know some white space: then the second of them begins with that white space.

Split = Literal["whitespace", "tokens"]


@dataclass(frozen=True)
class ShownWords:
    """The shown words of a chunk of lines. items: their tokens, `</s>` a separate item at the end
    of each line.

    places: for each line, the spans of its words in the scored text. before: number of given words
    of the line. numbers: numbers of the words of a line and its `</s>` in the text, from 0, if not
    all written words are shown on their own.
    """

    items: WordSpans
    places: list[list[Span]]
    before: list[int]
    numbers: dict[int, list[int]]


def shown_words(
    split: Split,
    words: WordSpans,
    encoded: Encoded,
    begins: np.ndarray,
    texts: Sequence[str],
    lines: Sequence[str],
    tokenizer: Tokenizer,
) -> ShownWords:
    """Return the words to show of `texts`, each of which ends its line.

    words: words of the tokenizer in the lines from the tokens `begins` on (:class:`WordFinder`).
    """
    places = [word_spans(text) for text in texts]
    bounds = words.line_bounds.tolist()

    # Count the given words. With split=tokens, words of a word tokenizer are its tokens.
    given = (begins - encoded.offsets[:-1]).tolist()
    if split == "tokens" and tokenizer.name == "word":
        before = given
    else:
        before = [0] * len(lines)
        for index, (line, text) in enumerate(zip(lines, texts, strict=True)):
            if given[index]:
                before[index] = len(split_words(line[: len(line) - len(text)]))

    # In most lines the words of the tokenizer are those that are written.
    reads = tokenizer.normalise(lines)
    differing = []
    for index, spans in enumerate(places):
        items = bounds[index + 1] - bounds[index] - 1
        if len(spans) != items or reads[index] != lines[index]:
            differing.append(index)

    # In the other lines, compare characters: find the written words among the tokens, or with
    # split=tokens the tokenizer's words in the text.
    starts, numbers = {}, {}
    spans_of_tokens = token_spans([lines[index] for index in differing], tokenizer)
    for index, spans_T2 in zip(differing, spans_of_tokens, strict=True):
        text_start = len(lines[index]) - len(texts[index])
        spans_T2 = np.maximum(spans_T2[given[index] :] - text_start, 0)
        if split == "tokens":
            starts_W = words.starts[bounds[index] : bounds[index + 1]] - begins[index]
            places[index] = [
                _without_space(texts[index], spans_T2[start:end])
                for start, end in itertools.pairwise(starts_W)
            ]
        else:
            starts_W, numbers[index] = _find_written_words(places[index], spans_T2)
            starts[index] = starts_W + begins[index]
            # A shown word reaches up to the next one.
            pairs = itertools.pairwise(numbers[index])
            written = places[index]
            places[index] = [(written[first][0], written[behind - 1][1]) for first, behind in pairs]
    if starts:
        words = _replace_items(words, starts)
    return ShownWords(words, places, before, numbers)


def _without_space(text: str, spans_T2: np.ndarray) -> Span:
    """Return the span of the word that is made of these tokens, without the white space around
    it."""
    start, end = int(spans_T2[0, 0]), int(spans_T2[-1, 1])
    word = text[start:end]
    start += len(word) - len(word.lstrip(WORD_SPACE))
    return start, max(start, end - len(word) + len(word.rstrip(WORD_SPACE)))


def _find_written_words(places: list[Span], spans_T2: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return the first tokens of written words, then of `</s>`, and the numbers of these words,
    from 0.

    White space belongs to the word after it. A word without its own tokens, because its marks were
    removed or it shares a token with the word before, is part of that word.
    """
    if not len(spans_T2):
        return np.zeros(1, dtype=np.int64), [len(places)]
    ends = [end for _, end in places]

    def is_of_word_before(token: int, last_end: int) -> bool:
        return token < len(spans_T2) and spans_T2[token, 0] < last_end

    # A word begins with the first token that reaches beyond the word before, or with the next one
    # if that holds white space of the word before.
    firsts, numbers = [0], [0]
    beyond = np.searchsorted(spans_T2[:, 1], ends, side="right").tolist()
    for number in range(1, len(places)):
        start, end = places[number]
        first = beyond[number - 1]
        if is_of_word_before(first, ends[number - 1]):
            first += 1
        has_own_token = firsts[-1] < first < len(spans_T2)
        if has_own_token and spans_T2[first - 1, 1] <= start and spans_T2[first, 0] < end:
            firsts.append(first)
            numbers.append(number)

    last = beyond[-1]
    if is_of_word_before(last, ends[-1]):
        last += 1
    # White space alone is the one word of its line.
    last = max(last, firsts[-1] + 1)
    return np.array([*firsts, last]), [*numbers, len(places)]


def _replace_items(words: WordSpans, starts: dict[int, np.ndarray]) -> WordSpans:
    """Return `words` with other items in some of the lines, which begin at these tokens."""
    bounds = itertools.pairwise(words.line_bounds.tolist())
    by_line = [
        starts.get(index, words.starts[first:last]) for index, (first, last) in enumerate(bounds)
    ]
    starts_W = np.concatenate(by_line)
    line_bounds = np.cumsum([0, *map(len, by_line)])
    ends = np.append(starts_W[1:], words.ends[-1])
    ends[line_bounds[1:] - 1] = words.ends[words.line_bounds[1:] - 1]
    is_place_N = np.zeros_like(words.is_place_N)
    is_place_N[starts_W] = words.is_place_N[starts_W]
    return WordSpans(starts_W, ends, line_bounds, is_place_N)


# ---- The tokens of single words, for callers that ask a model word by word.

CACHED_WORDS = 1 << 17


class WordTokens:
    """The tokens of single words, as in a line with one space between words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.is_closed = tokenizer.name == "word"
        # Whether the space before a word is in its tokens, but not in the tokens of a line's first
        # word.
        self.is_spaced = False
        if not self.is_closed:
            encoded = tokenizer.encode(["a a", "a"])
            two, one, _ = np.split(encoded.ids, encoded.offsets[1:])
            self.is_spaced = two[:-1].tolist() != 2 * one[:-1].tolist()
        self._tokenizer = tokenizer
        unk_id = tokenizer.unk_id
        self._unknown: tuple[int, ...] = () if unk_id is None else (unk_id,)
        self._is_plain = self.is_closed and tokenizer.keeps_text and not tokenizer.spells
        self._id_of = {symbol: id for id, symbol in enumerate(tokenizer.symbols())}
        self.of = functools.lru_cache(CACHED_WORDS)(self._of)

    def _of(self, word: str, is_first: bool = False) -> tuple[tuple[int, ...], bool]:
        """Return the ids of `word`, and whether the model knows it; `is_first`: it is the first
        word of its line.

        `</s>` is the boundary; the empty word is unknown where words can be unknown.
        """
        # The special symbols, and words that are looked up in the vocabulary.
        tokenizer = self._tokenizer
        if word == SENTENCE_START:
            raise TextError(
                f"{SENTENCE_START} has no probability",
                "it is only a context",
                "leave it out: every line begins with it",
            )
        if word == BOUNDARY:
            return (tokenizer.boundary_id,), True
        if self._is_plain:
            if word not in self._id_of:
                return self._unknown, False
            ids = (self._id_of[word],)
            return ids, ids != self._unknown
        if not word:
            return (self._unknown, False) if self.is_closed else ((), True)

        # Encode all other words as in a line.
        encoded = tokenizer.encode([f" {word}" if self.is_spaced and not is_first else word])
        is_unknown = len(encoded.oov) or (word == UNKNOWN and tokenizer.literal_unk == "symbol")
        return tuple(encoded.ids[:-1].tolist()), not is_unknown
