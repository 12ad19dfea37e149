"""Sets of labels, for texts that may have several: how often each label was right, predicted and gold, and how often the whole set."""

from rnnlm.evaluation.counts import Counts
from rnnlm.evaluation.labels.class_counts import Labels, check_lengths


def label_set_counts(gold: Labels, predicted: Labels) -> Counts:
    """How often each label was right, predicted and there, by text. The order of a text's labels makes no difference.

    Raises:
        UsageError: the two are not of the same texts.
    """
    check_lengths(gold, predicted, of_words=False)
    there = [(number, label) for number, labels in enumerate(gold) for label in set(labels)]
    found = [(number, label) for number, labels in enumerate(predicted) for label in set(labels)]
    return Counts.of_events(len(gold), [set(there) & set(found), found, there])


def set_match_counts(gold: Labels, predicted: Labels) -> Counts:
    """Texts whose set of labels is right, and texts: exact match (subset accuracy) is the `ratio` of the two.

    Raises:
        UsageError: the two are not of the same texts.
    """
    check_lengths(gold, predicted, of_words=False)
    right = [set(expected) == set(found) for expected, found in zip(gold, predicted, strict=True)]
    return Counts.of_numbers(right, [1] * len(right))
