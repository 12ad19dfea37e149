"""Scores as records for other programs: JSON-lines, and tab-separated tables.

A table has a line for each sentence, or with surprisals a line for each of its tokens or words (with --next, for each of the likely
next words there). A figure that is not there is an empty cell, and the last column says why.
"""

from collections.abc import Callable, Iterator
from typing import Any

from . import terminal

SENTENCE = ["id", "logprob_nats", "tokens", "words", "oov", "ppl_word", "text", "reason"]
SURPRISALS = ["surprisal_bits", "oov"]
NEXT = ["rank", "next_word", "probability"]


def record(score: Any, settings: Any) -> dict[str, Any]:
    """A score in JSON's types."""
    is_read = score.is_read
    made = {
        "id": score.id, "text": score.text, "logprob_nats": score.logprob_nats, "tokens": score.tokens if is_read else None,
        "words": score.words if is_read else None, "ppl_word": score.ppl_word, "oov": list(score.oov), "reason": score.reason,
    }  # fmt: skip
    if settings.with_tokens:
        made["surprisals"] = [{"token": t.token, "surprisal_bits": t.surprisal_bits, "oov": t.is_oov} for t in score.token_scores]
    if settings.with_words:
        made["word_surprisals"] = [{"word": w.word, "surprisal_bits": w.surprisal_bits, "oov": w.is_oov} for w in score.word_scores]
    for word, its in zip(made.get("word_surprisals", ()), score.next_words, strict=False):
        word["next"] = [{"word": each.word, "probability": each.probability} for each in its]
    return made


def jsonl(settings: Any) -> tuple[str, Callable[[Any], str]]:
    """What stands before all records (nothing), and what makes the text of one."""
    return "", lambda score: terminal.json_text(record(score, settings)) + "\n"


def tsv(settings: Any) -> tuple[str, Callable[[Any], str]]:
    """The line of column names, and what makes the lines of one score."""
    if not settings.with_tokens and not settings.with_words:
        return _line(SENTENCE), lambda score: _line(_sentence(score))
    columns = ["id", "position", "token" if settings.with_tokens else "word", *SURPRISALS, *(NEXT if settings.next_words else [])]
    return _line([*columns, "reason"]), lambda score: "".join(_line(row) for row in _long(score, settings, len(columns)))


def _sentence(score: Any) -> list[Any]:
    counts = [score.tokens, score.words] if score.is_read else [None, None]
    return [score.id, score.logprob_nats, *counts, " ".join(score.oov), score.ppl_word, score.text, score.reason]


def _long(score: Any, settings: Any, width: int) -> Iterator[list[Any]]:
    items = score.token_scores if settings.with_tokens else score.word_scores
    for position, item in enumerate(items, start=1):
        row = [score.id, position, item.token if settings.with_tokens else item.word, item.surprisal_bits, int(item.is_oov)]
        if not settings.next_words:
            yield [*row, score.reason]
            continue
        for rank, each in enumerate(score.next_words[position - 1], start=1):
            yield [*row, rank, each.word, each.probability, score.reason]
    if not items:
        yield [score.id, *[None] * (width - 1), score.reason]


def _line(cells: list[Any]) -> str:
    return terminal.tsv_line("" if cell is None else str(cell) for cell in cells)
