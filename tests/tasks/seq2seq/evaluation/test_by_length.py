import pytest

from rnnlm.errors import UsageError
from rnnlm.tasks.seq2seq.evaluation.translation import Translations, by_length, measure, measures

HYPOTHESES = ["a b c d e", "a b c d x", "", "b a c d e f g h", "f g h i j"]
REFERENCES = [["a b c d e"], ["a b c d e"], ["q"], ["a b c d e f g h", "b a"], ["e g h i j"]]
LENGTHS = [5, 6, 10, 51, 400]


def test_buckets_measure_their_own_sentences_also_empty_ones():
    found = by_length(measures(Translations(HYPOTHESES, REFERENCES)), LENGTHS)
    assert [(each.name, each.sentences) for each in found] == [("1-5", 1), ("6-10", 2), ("51+", 2)]
    for each, rows in zip(found, (slice(1), slice(1, 3), slice(3, 5)), strict=True):
        expected = measure(Translations(HYPOTHESES[rows], REFERENCES[rows]))
        for name in ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate"):
            assert getattr(each, name) == pytest.approx(getattr(expected, name), rel=1e-12), name
    found = by_length(measures(Translations(["", "a"], [[""], ["a"]])), [0, 3], [2])
    assert [(each.name, each.word_error_rate) for each in found] == [("0-2", None), ("3+", 0)]
    assert found[1].to_dict()["longest"] is None


@pytest.mark.parametrize(("lengths", "bounds"), [
    ([1, 2], [5]), ([1, 2, 3, 4, -1], [5]), (LENGTHS, []), (LENGTHS, [5, 5]), (LENGTHS, [-1, 5]),
])  # fmt: skip
def test_mismatched_lengths_and_unsorted_bounds_are_errors(lengths, bounds):
    with pytest.raises(UsageError, match="length"):
        by_length(measures(Translations(HYPOTHESES, REFERENCES)), lengths, bounds)
