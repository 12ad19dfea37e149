"""Aligns letters with sounds, so that each letter has a label."""

from dataclasses import replace

from rnnlm.errors import TextError, notice
from rnnlm.text.labelled.alignment import align, align_more
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.lines import Progress

# the label of the letters of a word that needs more sounds a letter than labels hold
UNALIGNED = ""


def with_labels(
    train: LabelledText, others: dict[str, LabelledText], progress: Progress
) -> tuple[LabelledText, LabelledText, dict[str, LabelledText]]:
    """The training text without the words that cannot be aligned, first with its sounds, then with
    a label for each letter; and `others` with such labels, aligned by what was learned from the
    training text. A notice says how many words were left out.

    Raises:
        TextError: no word can be aligned, or the sounds are more than one column.
    """
    if len(train.word_columns) != 1:
        raise TextError(
            f"{len(train.word_columns)} columns of labels are to be aligned",
            hint="name one with --label-column",
        )
    learned = align(_pairs(train), progress=progress)
    if skipped := len(learned.skipped):
        notice(
            f"{skipped:,} of {len(train.examples):,} words need more than "
            f"{learned.max_symbols} sounds a letter: they are left out"
        )
    kept = [
        (each, labels)
        for each, labels in zip(train.examples, learned.labels, strict=True)
        if labels is not None
    ]
    if not kept:
        raise TextError(
            "no word can be aligned", f"all need more than {learned.max_symbols} sounds a letter"
        )
    examples = tuple(replace(each, word_labels=(labels,)) for each, labels in kept)
    found = {}
    for name, text in others.items():
        labels_E = align_more(learned, _pairs(text)).labels
        both = zip(text.examples, labels_E, strict=True)
        found[name] = replace(
            text,
            examples=tuple(
                replace(each, word_labels=(labels or (UNALIGNED,) * len(each.words),))
                for each, labels in both
            ),
        )
    return (
        replace(train, examples=tuple(each for each, _ in kept)),
        replace(train, examples=examples),
        found,
    )


def _pairs(text: LabelledText) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(each.words, each.word_labels[0]) for each in text.examples]
