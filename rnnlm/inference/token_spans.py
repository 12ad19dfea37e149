"""Where the tokens of a line stand in the line itself, in code points, whatever a tokenizer makes of it.

Everything that shows words or places of a line goes through :func:`token_spans`.
"""

from collections.abc import Sequence

import numpy as np

from rnnlm.interface import Tokenizer
from rnnlm.text.lines import WORD_SPACE

Span = tuple[int, int]  # first character, and the one behind the last

_TO_SPACE = dict.fromkeys(map(ord, f"{WORD_SPACE}\n"), " ")
_OF_BYTES = ("byte", "sentencepiece")  # tokenizers whose tokens are bytes of the line; the others' are characters


def word_spans(text: str) -> list[Span]:
    """Where the white-space words of `text` (:func:`rnnlm.text.lines.split_words`) stand."""
    spans, end = [], -1
    for word in text.translate(_TO_SPACE).split(" "):
        start = end + 1
        end = start + len(word)
        if word:
            spans.append((start, end))
    return spans


def token_spans(lines: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    """For each line (T, 2), the characters that each of its tokens was made of, `</s>` left out.

    The white space between words belongs to no token of a word tokenizer, nor do marks that a tokenizer removes. Tokens that share
    characters (the bytes of one, the two that "\u0130" is in lower case, what an entity stands for) have the same span.
    """
    reads = tokenizer.normalise(lines)
    spans = _spans_by_size(reads, tokenizer) if tokenizer.name in _OF_BYTES else _spans_by_text(reads, tokenizer)
    if not tokenizer.rewriting:
        return spans
    return [
        its_T2 if read == line else _before_rewriting(its_T2, *tokenizer.normalise_with_offsets(line))
        for line, read, its_T2 in zip(lines, reads, spans, strict=True)
    ]


def _before_rewriting(spans_T2: np.ndarray, read: str, begin_N: np.ndarray, end_N: np.ndarray) -> np.ndarray:
    """Spans of what was read, as spans of the line that was rewritten; begin_N, end_N: of what each character that was read was made. Of
    the white space before a piece, its last character alone belongs to it: others may end a written word, such as U+200B."""
    if not read:
        return spans_T2
    begin_N = np.where([character == " " for character in read], end_N - 1, begin_N)
    begin_T = begin_N[np.minimum(spans_T2[:, 0], len(read) - 1)]
    end_T = np.where(spans_T2[:, 0] < spans_T2[:, 1], end_N[np.maximum(spans_T2[:, 1] - 1, 0)], begin_T)
    return np.stack([begin_T, end_T], axis=1)


def _spans_by_text(lines: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    surfaces = tokenizer.surfaces(lines)
    return [_of_characters(line, tokens[:-1], tokenizer.keeps_case) for line, tokens in zip(lines, surfaces, strict=True)]


def _spans_by_size(lines: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    size_V = np.array([len(data) for data in tokenizer.token_bytes()], dtype=np.int64)
    encoded = tokenizer.encode(lines)
    bounds = zip(encoded.offsets[:-1].tolist(), (encoded.offsets[1:] - 1).tolist(), strict=True)
    prefix = int(tokenizer.name == "sentencepiece")  # it reads a space before the line
    return [
        _of_bytes(line, size_V[encoded.ids[start:end]], tokenizer.keeps_case, prefix)
        for line, (start, end) in zip(lines, bounds, strict=True)
    ]


def _of_characters(line: str, tokens: Sequence[str], keeps_case: bool) -> np.ndarray:
    read = line if keeps_case else line.lower()
    spans, end = [], 0
    for token in tokens:  # nothing but white space stands before it
        start = read.find(token, end)
        end = start + len(token)
        spans.append((start, end))
    spans_T2 = np.array(spans, dtype=np.int64).reshape(-1, 2)
    if len(read) == len(line):
        return spans_T2
    return _at_origin(spans_T2, np.repeat(np.arange(len(line)), [len(character.lower()) for character in line]))


def _of_bytes(line: str, size_T: np.ndarray, keeps_case: bool, prefix: int) -> np.ndarray:
    end_T = np.cumsum(size_T)
    characters = [character if keeps_case else character.lower() for character in line]
    origin = np.repeat(np.arange(len(line)), [len(character.encode("utf-8")) for character in characters])
    return _at_origin(np.stack([end_T - size_T, end_T], axis=1), np.concatenate([np.full(prefix, -1), origin]))


def _at_origin(spans_T2: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Spans of what was read, as spans of the line; origin: the character that each unit of what was read comes from, -1 for none."""
    return np.stack([np.maximum(origin[spans_T2[:, 0]], 0), origin[spans_T2[:, 1] - 1] + 1], axis=1)
