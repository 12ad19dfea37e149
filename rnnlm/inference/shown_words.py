"""The words of a line as they are shown: those between white space, as they are written, or those of the tokenizer.

A written word may be several words of the tokenizer (marks that are split off), and each of these several tokens. What a model of pieces
takes for one word may be several written ones, where white space is unknown to it: then the second of them begins with that white space.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnlm.inference.token_spans import Span, token_spans, word_spans
from rnnlm.inference.word_surprisal import WordSpans
from rnnlm.interface import Encoded, Tokenizer
from rnnlm.text.lines import WORD_SPACE, split_words

Split = Literal["whitespace", "tokens"]


@dataclass(frozen=True)
class ShownWords:
    """The shown words of a chunk of lines. items: their tokens, `</s>` an item of its own at the end of each line.

    places: for each line, where its words stand in the text that is scored. before: how many words of the line are given. numbers: of the
    words of a line and its `</s>` in the text, from 0, where not all written words are shown on their own.
    """

    items: WordSpans
    places: list[list[Span]]
    before: list[int]
    numbers: dict[int, list[int]]


def shown_words(
    split: Split, words: WordSpans, encoded: Encoded, begins: np.ndarray, texts: Sequence[str], lines: Sequence[str], tokenizer: Tokenizer
) -> ShownWords:
    """The words of `texts`, each of which stands at the end of its line.

    words: those of the tokenizer in the lines from the tokens `begins` on (:class:`rnnlm.inference.word_surprisal.WordFinder`).
    """
    places = [word_spans(text) for text in texts]
    bounds = words.line_bounds.tolist()
    given = (begins - encoded.offsets[:-1]).tolist()
    are_tokens = split == "tokens" and tokenizer.name == "word"
    before = given if are_tokens else [_words_before(*each) if its else 0 for its, *each in zip(given, lines, texts, strict=True)]
    reads = tokenizer.normalise(lines)
    differing = [
        index for index, its in enumerate(places) if len(its) != bounds[index + 1] - bounds[index] - 1 or reads[index] != lines[index]
    ]  # fmt: skip
    starts, numbers = {}, {}
    for index, spans_T2 in zip(differing, token_spans([lines[index] for index in differing], tokenizer), strict=True):
        spans_T2 = np.maximum(spans_T2[given[index] :] - (len(lines[index]) - len(texts[index])), 0)
        if split == "tokens":
            starts_W = words.starts[bounds[index] : bounds[index + 1]] - begins[index]
            places[index] = [_without_space(texts[index], spans_T2[start:end]) for start, end in itertools.pairwise(starts_W)]
        else:
            starts_W, numbers[index] = _written(places[index], spans_T2)
            starts[index] = starts_W + begins[index]
            places[index] = _joined(places[index], numbers[index])
    return ShownWords(_with_starts(words, starts) if starts else words, places, before, numbers)


def _words_before(line: str, text: str) -> int:
    return len(split_words(line[: len(line) - len(text)]))


def _without_space(text: str, spans_T2: np.ndarray) -> Span:
    """Where the word stands that is made of these tokens, without the white space around it."""
    start, end = int(spans_T2[0, 0]), int(spans_T2[-1, 1])
    word = text[start:end]
    start += len(word) - len(word.lstrip(WORD_SPACE))
    return start, max(start, end - len(word) + len(word.rstrip(WORD_SPACE)))


def _written(places: list[Span], spans_T2: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The first tokens of written words, then of `</s>`, and the numbers of these words, from 0. White space belongs to the word behind it.
    A word without tokens of its own, of marks that were removed or for which it shares one with the word before, is a part of that."""
    if not len(spans_T2):
        return np.zeros(1, dtype=np.int64), [len(places)]
    ends = [end for _, end in places]
    behind = np.searchsorted(spans_T2[:, 1], ends, side="right").tolist()  # the first token that reaches behind each word
    firsts, numbers = [0], [0]
    for number, ((start, end), last_end, first) in enumerate(zip(places[1:], ends, behind, strict=False), start=1):
        if first < len(spans_T2) and spans_T2[first, 0] < last_end:  # a token of the last word: it holds white space
            first += 1
        if firsts[-1] < first < len(spans_T2) and spans_T2[first - 1, 1] <= start and spans_T2[first, 0] < end:
            firsts.append(first)
            numbers.append(number)
    last = behind[-1]
    last += bool(last < len(spans_T2) and spans_T2[last, 0] < ends[-1])
    return np.array([*firsts, max(last, firsts[-1] + 1)]), [*numbers, len(places)]  # a line of white space alone has it for its word


def _joined(places: list[Span], numbers: list[int]) -> list[Span]:
    """The spans of the words that begin with those of these numbers, up to the next one."""
    return [(places[first][0], places[behind - 1][1]) for first, behind in itertools.pairwise(numbers)]


def _with_starts(words: WordSpans, starts: dict[int, np.ndarray]) -> WordSpans:
    """`words` with other items in some of the lines, which begin at these tokens."""
    bounds = words.line_bounds.tolist()
    by_line = [starts.get(index, words.starts[first:last]) for index, (first, last) in enumerate(itertools.pairwise(bounds))]
    starts_W = np.concatenate(by_line)
    line_bounds = np.concatenate([[0], np.cumsum([len(each) for each in by_line])])
    ends = np.append(starts_W[1:], words.ends[-1])
    ends[line_bounds[1:] - 1] = words.ends[words.line_bounds[1:] - 1]
    is_place_N = np.zeros_like(words.is_place_N)
    is_place_N[starts_W] = words.is_place_N[starts_W]
    return WordSpans(starts_W, ends, line_bounds, is_place_N)
