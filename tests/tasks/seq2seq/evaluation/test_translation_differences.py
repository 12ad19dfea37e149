import random

import pytest
from sacrebleu.metrics import BLEU, CHRF

from rnnlm.tasks.common.counted_metrics import paired_difference
from rnnlm.tasks.seq2seq.evaluation.translation import (
    Translations,
    TranslationSettings,
    measure,
    measures,
)

WORDS = "the a house cat dog sat ran on under mat".split()
METRICS = ["bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate"]


def references_of(sentences: int, seed: int = 1) -> list[list[str]]:
    rng = random.Random(seed)
    return [
        [" ".join(rng.choices(WORDS, k=rng.randint(3, 8))) for _ in range(rng.randint(1, 2))]
        for _ in range(sentences)
    ]


def system(references: list[list[str]], wrong: float, seed: int, **settings) -> Translations:
    rng = random.Random(seed)
    hypotheses = [
        " ".join(rng.choice(WORDS) if rng.random() < wrong else word for word in row[0].split())
        for row in references
    ]
    return Translations(hypotheses, references, TranslationSettings(**settings))


def differences(first: Translations, second: Translations, **trials):
    ours, theirs = measures(first), measures(second)
    return {name: paired_difference(ours[name], theirs[name], **trials) for name in ours}


REFERENCES = references_of(80)
FIRST, BETTER, ALIKE = (system(REFERENCES, *own) for own in ((0.3, 2), (0.1, 3), (0.3, 4)))


def test_better_system_differs_in_every_metric():
    trials = {"permutations": 100}
    of_first, of_better = measure(FIRST), measure(BETTER)
    better, alike = (differences(FIRST, each, **trials) for each in (BETTER, ALIKE))
    assert better == differences(FIRST, BETTER, **trials) and list(better) == METRICS
    for name, each in better.items():
        sign = -1 if name.endswith("rate") else 1
        expected = pytest.approx(getattr(of_better, name) - getattr(of_first, name))
        assert each.interval.estimate == expected
        assert min(sign * each.interval.low, sign * each.interval.high) > 0
        assert each.p < 0.03 and each.is_significant
        assert alike[name].interval.low <= 0 <= alike[name].interval.high
        assert alike[name].p > 0.05


def test_p_agrees_with_the_randomisation_test_of_sacrebleu():
    from sacrebleu.significance import PairedTest

    second = system(REFERENCES, 0.25, 9)
    by_number = [[row[0] for row in REFERENCES], [(row + [None])[1] for row in REFERENCES]]
    ours = differences(FIRST, second, permutations=500)
    systems = [("first", FIRST.hypotheses), ("second", second.hypotheses)]
    metrics = {"bleu": BLEU(), "chrf": CHRF()}
    _, theirs = PairedTest(systems, metrics, by_number, "ar", n_samples=500)()
    assert 0.01 < ours["bleu"].p < 0.9
    expected = pytest.approx((theirs["BLEU"][1].p_value, theirs["chrF2"][1].p_value), abs=0.07)
    assert (ours["bleu"].p, ours["chrf"].p) == expected
