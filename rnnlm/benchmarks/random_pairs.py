"""Random pairs of lines, which stand for a corpus where none is given: lines as long as captions, words as often as words of that rank are
(Zipf)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnlm.training.plan import Plan, plan
from rnnlm.training.request import Request

PAIRS, VOCABULARY = 4_000, 7_998  # words of either side; with </s> and <unk> 8,000 tokens
WORDS, SPREAD, SHORTEST, LONGEST = 14, 4, 4, 40  # of a line: mean, standard deviation, bounds
SETTINGS = {"tokenizer": "word", "column": "source", "target_column": "target"}  # that suit them


def plan_pairs(text: tuple[str, ...], recipe: str | None, assignments: dict[str, str], folder: Path) -> Plan:
    """What training an encoder-decoder on all pairs of a text would be; on random ones, which are written to `folder`, where there is none.

    Raises:
        SettingsError: a setting is unknown. RnnlmError: the text cannot be read.
    """
    settings = {"holdout": "0", **({} if text else SETTINGS), **assignments}
    path = folder / "pairs.tsv"
    if not text and not path.exists():
        path.write_text("source\ttarget\n" + "".join(map("{}\t{}\n".format, *random_sides())), encoding="utf-8")
    return plan(Request(text=text or (str(path),), recipe=recipe, assignments=settings, task="seq2seq", output=folder / "model"))


def random_sides() -> tuple[list[str], list[str]]:
    """Sources and targets, those of a pair about as long; every word on either side once at least. The same ones each time."""
    random = np.random.default_rng(1)
    source_P = random.normal(WORDS, SPREAD, PAIRS)
    source, target = (list(_lines(random, length_P)) for length_P in (source_P, source_P + random.normal(0, 2, PAIRS)))
    return source, target


def _lines(random: np.random.Generator, length_P: np.ndarray) -> Iterator[str]:
    ends_P = np.cumsum(length_P.round().clip(SHORTEST, LONGEST).astype(int))
    chance_V = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, ends_P[-1] - VOCABULARY, p=chance_V / chance_V.sum())
    words = random.permutation(np.concatenate([np.arange(VOCABULARY), drawn]))
    for ids in np.split(words, ends_P[:-1]):
        yield " ".join(f"w{each}" for each in ids.tolist())
