"""How raw text becomes the words that a task's model reads: split as its training data are."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from rnnlm.tasks.labels.data import SOUNDS, Codec
from rnnlm.text import sources
from rnnlm.text.labelled.example import LabelledSettings, LabelledText
from rnnlm.text.labelled.reading import detect_format
from rnnlm.text.labelled.splitting import (
    Splitter,
    SplitText,
    at_marks,
    at_white_space,
    learn_splitter,
)
from rnnlm.text.lines import split_words

FORMAT, SPLITTER = "format", "splitter"  # among the details of a codec

Split = Callable[[str], SplitText]


def details_of(
    train: LabelledText, files: Sequence[str], settings: LabelledSettings
) -> dict[str, Any]:
    """Return what a codec keeps of its training data, read from these files, so that raw text is
    split and written as they are: their format, and of CoNLL-U how it splits text."""
    details: dict[str, Any] = {FORMAT: train.format}
    if train.format == "conllu":
        treebanks = []
        for name in sources.expand(tuple(files)):
            if detect_format(name, settings, "word") == "conllu":
                treebanks.append(name)
        details[SPLITTER] = learn_splitter(treebanks, settings).to_dict()
    return details


@functools.lru_cache(maxsize=16)
def splitter_of(codec: Codec) -> Split:
    """Return the function with which a model splits raw text. A tagger trained on CoNLL-U splits it
    as that treebank does, one of letters into letters, any other at white space and marks; a
    classifier at white space, as its training texts are."""
    if is_of_letters(codec):
        return functools.partial(_letters, frozenset(codec.tokenizer.symbols()))
    if not codec.word_columns:
        return at_white_space
    stored = codec.details.get(SPLITTER)
    if stored is None:
        return at_marks
    return Splitter.from_dict(stored).split


def is_of_letters(codec: Codec) -> bool:
    """Return whether the model reads a word letter by letter, and its labels are their sounds."""
    return any(column.form == SOUNDS for column in codec.columns)


def words_in(text: str) -> list[str]:
    """Return the words whose letters a model reads; several letters with spaces between them, as in
    training data, are one word."""
    words = split_words(text)
    if len(words) > 1 and all(len(word) == 1 for word in words):
        return ["".join(words)]
    return words


def _letters(known: frozenset[str], word: str) -> SplitText:
    """Return the letters of a word, in the case in which the model knows them all, if any."""
    for cased in (word, word.lower(), word.upper()):
        if known.issuperset(cased):
            return SplitText(tuple(cased))
    return SplitText(tuple(word))
