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
    """What a codec keeps of its training data, read from these files, so that raw text is split and
    written as they are: their format, and of CoNLL-U how it splits text.

    Raises:
        TextError: a file cannot be read.
    """
    details: dict[str, Any] = {FORMAT: train.format}
    if train.format == "conllu":
        treebanks = [
            name
            for name in sources.expand(tuple(files))
            if detect_format(name, settings, "word") == "conllu"
        ]
        details[SPLITTER] = learn_splitter(treebanks, settings).to_dict()
    return details


@functools.lru_cache(maxsize=16)
def splitter_of(codec: Codec) -> Split:
    """How a model splits raw text. A tagger trained on CoNLL-U splits it as that treebank does, one
    of letters into letters, any other at white space and marks; a classifier at white space, as its
    training texts are.

    Raises:
        ModelError: what the model knows of it is damaged.
    """
    if is_of_letters(codec):
        return functools.partial(_letters, frozenset(codec.tokenizer.symbols()))
    if not codec.word_columns:
        return at_white_space
    stored = codec.details.get(SPLITTER)
    return at_marks if stored is None else Splitter.from_dict(stored).split


def is_of_letters(codec: Codec) -> bool:
    """Whether the model reads a word letter by letter, and its labels are the sounds of these."""
    return any(column.form == SOUNDS for column in codec.columns)


def words_in(text: str) -> list[str]:
    """The words whose letters a model reads; several letters with spaces between them, as training
    data have them, are one word."""
    words = split_words(text)
    return ["".join(words)] if len(words) > 1 and all(len(word) == 1 for word in words) else words


def _letters(known: frozenset[str], word: str) -> SplitText:
    """The letters of a word, in the case in which the model knows them all, if any."""
    return SplitText(
        tuple(
            next(
                (each for each in (word, word.lower(), word.upper()) if known.issuperset(each)),
                word,
            )
        )
    )
