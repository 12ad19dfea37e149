"""Split a text into the words that a task's model reads: those between white space, or the letters
of a word."""

import functools

from rnnlm.errors import notice, shown
from rnnlm.tasks.labelling.data import FORMAT, SOUNDS, Codec
from rnnlm.tasks.labelling.formats import trees
from rnnlm.text.lines import split_words


def split_text(codec: Codec, text: str) -> tuple[str, ...]:
    """Split a text at white space; for a model of letters split a word into letters, in the case in
    which the model knows them all, if any. For a model whose training data were trees, a text that
    is written as one is a tree, with labels or without (:func:`trees.is_tree`)."""
    if codec.details.get(FORMAT) == trees.FORMAT:
        labels = {symbol for column in codec.columns for symbol in column.symbols}
        if trees.is_tree(text, labels):
            return _parse_tree(text, labels)
    if not is_of_letters(codec):
        return tuple(split_words(text))
    known = _letters_of(codec)
    for cased in (text, text.lower(), text.upper()):
        if known.issuperset(cased):
            return tuple(cased)
    return tuple(text)


def _parse_tree(text: str, labels: set[str]) -> trees.Tree:
    """Parse a tree. A notice names a word that is read as a label, though no label of the model is
    called so, and a tree of one word, which may be two words."""
    tree = trees.parse(text, "the text")
    unknown = [label for label in tree.labels if label and label not in labels]
    if unknown:
        notice(
            f"{shown(unknown[0])} is read as the label of a node, which the model does not know; "
            "a space after the bracket makes it a word"
        )
    elif text.count("(") == 1:
        notice(
            f"{shown(text.strip())} is read as the word {shown(tree[0])} with a label; a space "
            "after the bracket makes both words"
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
