"""Exact match: sentences whose labels are all right, in one label column or in several at once, such as slots and intent."""

from collections.abc import Sequence

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts
from rnnlm.evaluation.labels.class_counts import Labels, check_lengths


def exact_match_counts(columns: Sequence[tuple[Labels, Labels]]) -> Counts:
    """Sentences whose labels are all right, and sentences: exact match is the `ratio` of the two.

    columns: the gold and the predicted labels of each column.

    Raises:
        UsageError: there is no column, or they are not of the same sentences.
    """
    if not columns:
        raise UsageError("exact match needs a column of labels", "there is none")
    for gold, predicted in columns:
        check_lengths(gold, predicted, of_words=False)
    sentences = {len(gold) for gold, _ in columns}
    if len(sentences) > 1:
        numbers = ", ".join(f"{each:,}" for each in sorted(sentences))
        raise UsageError("the columns of labels are not of the same sentences", f"they are of {numbers} sentences")
    right = [all(list(gold[number]) == list(predicted[number]) for gold, predicted in columns) for number in range(sentences.pop())]
    return Counts.of_numbers(right, [1] * len(right))
