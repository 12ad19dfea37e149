import random

import numpy as np
import pytest

from rnnlm.ngram.counting.counts import count
from rnnlm.ngram.matching import longest_matches

END, SIZE = 0, 5


def text_of(seed: int, lines: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [[*rng.choices(range(1, SIZE), k=rng.randint(0, 6)), END] for _ in range(lines)]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_longest_ngram_found_by_looking_for_each(order, seed):
    seen, asked = text_of(seed, 6), text_of(seed + 10, 20)
    padded = [["<s>", *line] for line in seen]
    grams = {tuple(line[start : start + n]) for line in padded for n in range(2, order + 1) for start in range(len(line) - n + 1)}
    expected = []
    for line in asked:
        whole = ["<s>", *line]
        for at in range(1, len(whole)):
            found = [n for n in range(2, order + 1) if at + 1 >= n and tuple(whole[at + 1 - n : at + 1]) in grams]
            expected.append(max(found, default=1))
    levels = list(count(np.array([word for line in seen for word in line]), END, SIZE, order))
    ids_N = np.array([word for line in asked for word in line])
    assert longest_matches(ids_N, [level.keys_M for level in levels[1:]], SIZE, END).tolist() == expected
