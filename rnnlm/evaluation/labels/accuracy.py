"""Accuracy over all words or some of them, and for each label how often it was right, predicted and gold."""

from collections.abc import Sequence

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts
from rnnlm.evaluation.labels.class_counts import Labels, check_lengths


def accuracy_counts(gold: Labels, predicted: Labels, among: Sequence[Sequence[bool]] | None = None) -> Counts:
    """Right labels and labels, of each sentence: accuracy is the `ratio` of the two.

    among: only words for which this is true count, as those that training knew.

    Raises:
        UsageError: the three are not of the same words.
    """
    check_lengths(gold, predicted)
    if among is not None and [len(each) for each in among] != [len(each) for each in gold]:
        raise UsageError("which words are known is not said of the same words as the labels", hint="one value for each word")
    right, words = [], []
    for number, (expected, found) in enumerate(zip(gold, predicted, strict=True)):
        chosen = [True] * len(expected) if among is None else among[number]
        right.append(sum(a == b for a, b, counts in zip(expected, found, chosen, strict=True) if counts))
        words.append(sum(map(bool, chosen)))
    return Counts.of_numbers(right, words)


def label_counts(gold: Labels, predicted: Labels) -> Counts:
    """How often each label was right, predicted and there, by sentence.

    Raises:
        UsageError: the two are not of the same words.
    """
    check_lengths(gold, predicted)
    pairs = [(number, a, b) for number, both in enumerate(zip(gold, predicted, strict=True)) for a, b in zip(*both, strict=True)]
    return Counts.of_events(
        len(gold), [[(n, a) for n, a, b in pairs if a == b], [(n, b) for n, _, b in pairs], [(n, a) for n, a, _ in pairs]]
    )
