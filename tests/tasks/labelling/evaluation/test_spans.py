import itertools
import random
from collections import Counter

import pytest

from reference import label_spans
from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import CountedMetric, SentenceCounts
from rnnlm.tasks.labelling.evaluation.label_metrics import (
    GOLD,
    PREDICTED,
    RIGHT,
    Span,
    by_class,
    f1,
    macro_f1,
    precision,
    recall,
    span_counts,
    spans,
)
from rnnlm.tasks.labelling.formats import schemes


def random_labels(
    seed: int, prefixes: str, count: int = 400, types: str = "XYZ"
) -> tuple[list[list[str]], list[list[str]]]:
    """Draw sentences of labels in any order, and predictions that often agree with them."""
    rng = random.Random(seed)

    def label() -> str:
        prefix = rng.choice(prefixes)
        return prefix if prefix in "O." else f"{prefix}-{rng.choice(types)}"

    gold = [[label() for _ in range(rng.randint(0, 9))] for _ in range(count)]
    predicted = [[each if rng.random() < 0.7 else label() for each in labels] for labels in gold]
    return gold, predicted


def counters(counts: SentenceCounts) -> tuple[Counter, ...]:
    sums_KC = counts.sums()[:, 0]
    return tuple(
        +Counter(dict(zip(counts.classes, sums_KC[kind].astype(int).tolist(), strict=True)))
        for kind in (RIGHT, PREDICTED, GOLD)
    )


@pytest.mark.parametrize(
    "prefixes, scheme", [("BIO", "bio"), ("OIIB", "iob1"), ("BIOE", "iob1"), ("BIOES.Q", "bio")]
)
def test_span_counts_match_conlleval(prefixes, scheme):
    gold, predicted = random_labels(len(prefixes), prefixes)
    expected = label_spans.conlleval(gold, predicted)
    assert counters(span_counts(gold, predicted, scheme)) == expected
    assert all(expected[RIGHT][name] for name in "XYZ")


@pytest.mark.parametrize(
    "scheme, labels", [("bio", "O B-X I-X B-Y I-Y B I"), ("iob1", "O B-X I-X B-Y I-Y I")]
)
def test_spans_are_evaluated_as_in_training(scheme, labels):
    for sentence in itertools.product(labels.split(), repeat=4):
        expected = [Span(kind, start, end) for start, end, kind in schemes.spans(sentence, scheme)]
        assert spans(sentence, scheme) == expected


def test_bioes_becomes_bio_before_it_is_counted():
    gold, predicted = random_labels(5, "BIOES")
    as_bio = [
        [[each.replace("S-", "B-").replace("E-", "I-") for each in labels] for labels in side]
        for side in (gold, predicted)
    ]
    assert counters(span_counts(gold, predicted, "bioes")) == label_spans.conlleval(*as_bio)


def test_an_orphan_i_begins_a_span():
    labels = "O I-LOC I-LOC I-PER B-PER O".split()
    assert spans(labels, "bio") == [Span("LOC", 1, 3), Span("PER", 3, 4), Span("PER", 4, 5)]


def test_metrics_worked_out_by_hand():
    """Gold 3 PER and 1 LOC; predicted 2 PER, of which 1 is right, 1 LOC, right, and 1 ORG, which is
    not there."""
    gold = ["B-PER I-PER O B-LOC".split(), "B-PER O B-PER".split()]
    predicted = ["B-PER O O B-LOC".split(), "B-PER O B-ORG".split()]
    counts = span_counts(gold, predicted, "bio")
    found = {
        name: CountedMetric(counts, figure).value
        for name, figure in {"p": precision, "r": recall, "f": f1, "m": macro_f1}.items()
    }
    assert found == pytest.approx({"p": 2 / 4, "r": 2 / 4, "f": 0.5, "m": (2 / 5 + 1 + 0) / 3})
    per = by_class(counts)["PER"]
    assert (per.right, per.predicted, per.gold) == (1, 2, 3)
    assert (per.precision, per.recall, per.f1) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert list(by_class(counts)) == ["LOC", "ORG", "PER"] and by_class(counts)["ORG"].recall == 0


def test_metrics_without_spans_are_zero_like_conlleval():
    assert CountedMetric(span_counts([["O"]], [["O"]], "bio"), f1).value == 0


def test_labels_that_are_no_spans_are_an_error():
    with pytest.raises(UsageError, match="labels of scheme none are not spans"):
        spans(["NOUN"], "none")


def test_labels_of_other_sentences_are_an_error():
    with pytest.raises(UsageError, match="1 gold sentences and 2 predicted"):
        span_counts([["O"]], [["O"], ["O"]], "bio")
    with pytest.raises(UsageError, match="sentence 2 has 1 gold labels and 2 predicted"):
        span_counts([["O"], ["O"]], [["O"], ["O", "O"]], "bio")
