"""Align letters with sounds, so that each letter has a label."""

from dataclasses import replace

from rnnlm.errors import TextError, keyword, notice
from rnnlm.tasks.labelling.formats.alignment import align, align_more
from rnnlm.tasks.labelling.formats.example import LabelledText
from rnnlm.text.lines import Progress

# The label of the letters of a word that needs more sounds a letter than labels hold
UNALIGNED = ""


def with_labels(
    train: LabelledText, others: dict[str, LabelledText], progress: Progress
) -> tuple[LabelledText, LabelledText, dict[str, LabelledText]]:
    """Align the training text, and `others` by the units learned from it.

    Return the training text without the words that cannot be aligned, first with its sounds, then
    with a label for each letter; and `others` with such labels. A notice says how many words were
    left out.
    """
    if len(train.word_columns) != 1:
        raise TextError(
            f"{len(train.word_columns)} columns of labels cannot be aligned at once",
            hint="name one with " + keyword("label_column"),
        )
    learned = align(_pairs(train), progress=progress)
    if learned.skipped:
        notice(
            f"{len(learned.skipped):,} of {len(train.examples):,} words need more than "
            f"{learned.max_symbols} sounds per letter and are left out"
        )

    # A network cannot learn from a word without a label for each letter.
    kept, aligned = [], []
    for example, labels in zip(train.examples, learned.labels, strict=True):
        if labels is not None:
            kept.append(example)
            aligned.append(replace(example, word_labels=(labels,)))
    if not kept:
        raise TextError(
            "no word can be aligned", f"all need more than {learned.max_symbols} sounds per letter"
        )

    # But such a word is evaluated, and counts as wrong.
    aligned_others = {}
    for name, text in others.items():
        examples = []
        labels_E = align_more(learned, _pairs(text)).labels
        for example, labels in zip(text.examples, labels_E, strict=True):
            aligned_labels = labels or (UNALIGNED,) * len(example.words)
            examples.append(replace(example, word_labels=(aligned_labels,)))
        aligned_others[name] = replace(text, examples=tuple(examples))
    return (
        replace(train, examples=tuple(kept)),
        replace(train, examples=tuple(aligned)),
        aligned_others,
    )


def _pairs(text: LabelledText) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(example.words, example.word_labels[0]) for example in text.examples]
