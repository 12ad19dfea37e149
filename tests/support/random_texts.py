"""Random texts of word ids, what makes counting them hard included: shards of such a text, and its
levels compared with those in plain Python (`reference.ngram_levels`).

A property that must hold for any text is asked of those of SEEDS: of ten in every run, of ninety
more with `-m soak`.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.ngram_levels import PlainLevel
from rnnlm.lm.ngram.counting.count_trie import NgramCounts

SEEDS = [
    pytest.param(range(10), id="ten"),
    pytest.param(range(10, 100), id="ninety more", marks=pytest.mark.soak),
]
SIZES = (2, 3, 7, 8, 9, 31, 32, 100, 255, 256, 1000)  # around powers of two, where keys grow
SHARDS = (1, 3, 17)


@dataclass(frozen=True)
class RandomText:
    """A text whose words are 1 to size - 1, and an order to count it with. 0 is `</s>`."""

    seed: int
    size: int
    order: int
    sentences: list[list[int]]

    def shards(self, number: int) -> list[list[list[int]]]:
        """Return the sentences in at most so many parts of any length, in any order."""
        chance = random.Random(f"{self.seed} in {number}")
        cuts = sorted(chance.choices(range(len(self.sentences) + 1), k=number - 1))
        bounds = [0, *cuts, len(self.sentences)]
        parts = []
        for start, end in itertools.pairwise(bounds):
            if start < end:
                parts.append(self.sentences[start:end])
        chance.shuffle(parts)
        return parts

    def lines(self) -> list[str]:
        """Return the sentences as lines of words; one without words is a blank line."""
        return [" ".join(f"w{word}" for word in sentence) for sentence in self.sentences]


def random_text(seed: int) -> RandomText:
    """Make the text of this seed: few words or many, evenly frequent or not; lines that come again,
    lines without words, a line longer than any other of a single word, words that never occur."""
    chance = random.Random(seed)
    size = chance.choice(SIZES)
    order = chance.randint(2, 6)

    # The chance of a word falls with its number, slowly or fast; the last ones may never occur.
    words = range(1, max(2, size - chance.choice([0, 0, size // 3])))
    slope = chance.choice([0, 0.7, 1, 1.5])
    weights = [1 / word**slope for word in words]

    sentences: list[list[int]] = []
    mean_length = chance.choice([1, 3, 8, 20])
    for _ in range(chance.choice([1, 2, 20, 60, 120])):
        if sentences and chance.random() < 0.2:
            sentences.append(list(chance.choice(sentences)))
        else:
            length = int(chance.expovariate(1 / mean_length))
            sentences.append(chance.choices(words, weights, k=length))
    if chance.random() < 0.5:
        at = chance.randrange(len(sentences) + 1)
        sentences.insert(at, [chance.choice(words)] * chance.randint(20, 60))
    return RandomText(seed, size, order, sentences)


def write_common_words(path: Path, seed: int) -> Path:
    """Write a text of 6,000 lines whose 2,000 words come again; return its path."""
    chance = random.Random(seed)
    words = [f"w{number}" for number in range(2000)]
    weights = [1 / (1 + number) for number in range(2000)]
    lines = (chance.choices(words, weights, k=chance.randint(1, 25)) for _ in range(6000))
    path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def assert_levels(levels: Sequence[Any], expected: Sequence[PlainLevel], size: int) -> None:
    """Check that orders equal the expected ones, and that adjusted counts follow."""
    counts = NgramCounts(size, tuple(levels))
    assert len(levels) == len(expected)
    for n, (level, plain) in enumerate(zip(levels, expected, strict=True), start=1):
        where = f"order {n}"
        assert _listed(level.keys_M) == plain.keys, where
        assert _listed(level.suffixes_M) == plain.suffixes, where
        assert _listed(level.counts_M) == plain.counts, where
        assert level.after_start == plain.after_start, where
        assert (level.size, len(level)) == (size, len(plain.grams)), where
        assert _listed(counts.adjusted(n)) == plain.adjusted, where


def _listed(array_M: Any) -> list[int]:
    """Return the numbers of an array in memory or in pieces."""
    return np.asarray(array_M).tolist()
