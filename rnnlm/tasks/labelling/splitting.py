"""Split a text into the words that a task's model reads: those between white space, or the letters
of a word."""

import functools

from rnnlm.errors import notice, shown
from rnnlm.tasks.labelling.data import FORMAT, SOUNDS, Codec
from rnnlm.tasks.labelling.formats import trees
from rnnlm.text.lines import split_words


def split_text(codec: Codec, text: str) -> tuple[str, ...]:
    """Split a text at white space; for a model of letters split a word into letters, in the case in
    which the model knows them all, if any. For a model whose training data were trees, a text in
    brackets is one, with labels or without."""
    if codec.details.get(FORMAT) == trees.FORMAT and trees.is_tree(text):
        return _parse_tree(codec, text)
    if not is_of_letters(codec):
        return tuple(split_words(text))
    known = _letters_of(codec)
    for cased in (text, text.lower(), text.upper()):
        if known.issuperset(cased):
            return tuple(cased)
    return tuple(text)


def _parse_tree(codec: Codec, text: str) -> trees.Tree:
    """Parse a tree. A notice names a word that is read as a label, though no label is called so."""
    tree = trees.parse(text, "the text")
    known = {symbol for column in codec.columns for symbol in column.symbols}
    unknown = [label for label in tree.labels if label and label not in known]
    if unknown:
        notice(
            f"{shown(unknown[0])} is read as the label of a node, which the model does not know; "
            "a space after the bracket makes it a word"
        )
    return tree


@functools.lru_cache(maxsize=16)
def _letters_of(codec: Codec) -> frozenset[str]:
    """Return the letters that a model knows."""
    return frozenset(codec.tokenizer.symbols())


def is_of_letters(codec: Codec) -> bool:
    """Return whether the model reads a word letter by letter, and its labels are their sounds."""
    return any(column.form == SOUNDS for column in codec.columns)


def words_in(text: str) -> list[str]:
    """Return the words whose letters a model reads; several letters with spaces between them, as in
    training data, are one word."""
    words = split_words(text)
    are_letters = len(words) > 1 and all(len(word) == 1 for word in words)
    return ["".join(words)] if are_letters else words
