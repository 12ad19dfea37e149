import random

import jiwer
import numpy as np
import pytest

from rnnlm.text.lines import split_words
from rnnlm.tools.rescoring.rescorer import Edits, count_edits, word_error_rate

WORDS = "a b c d e".split()


def rate_of(references: list[str], hypotheses: list[str]):
    pairs = zip(references, hypotheses, strict=True)
    return word_error_rate(np.array([count_edits(*map(split_words, pair)) for pair in pairs]))


def edits_of(rate) -> tuple[int, int, int]:
    return rate.substitutions, rate.deletions, rate.insertions


def random_texts(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, 8))) for _ in range(count)]


@pytest.mark.parametrize(("references", "hypotheses"), [
    (["a b c"], ["a b c"]), ([""], [""]), ([""], ["a b"]), (["a b"], [""]),
    (["", "a b"], ["x", "a"]), (["", ""], ["x", "x"]),
    (["the cat sat", "the cat sat"], ["the cat sat", "cat the sat"]), (["a"], ["a a a a"]),
    (["  a   b "], ["a b"]), (["A b"], ["a b"]),
    (random_texts(1, 40), random_texts(2, 40)),
])  # fmt: skip
def test_rates_and_edits_are_those_of_jiwer(references, hypotheses):
    ours, theirs = rate_of(references, hypotheses), jiwer.process_words(references, hypotheses)
    assert edits_of(ours) == edits_of(theirs) and ours.wer == pytest.approx(theirs.wer)
    assert ours.words == sum(len(text.split()) for text in references)
    assert ours.utterances == len(references)


def test_edits_worked_out_by_hand():
    edits = Edits(*count_edits("the cat sat on the mat".split(), "a cat sat the mat today".split()))
    assert edits_of(edits) == (1, 1, 1) and (edits.words, edits.errors) == (6, 3)
    rate = rate_of(["a b c d"] * 10, ["a b c d"] * 7 + ["a b c"] * 3)
    assert rate.wer == rate.interval.estimate == 3 / 40 and rate.utterance_errors == 3
    assert rate_of([""], ["a"]).interval is None
