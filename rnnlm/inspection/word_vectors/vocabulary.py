"""The vectors that are looked at, and the words of a file as they know them."""

from collections.abc import Iterable

from rnnlm.errors import notice
from rnnlm.inspection.subjects import Model, subject
from rnnlm.vectors.word_vectors import Which, WordVectors, word_vectors


def vectors_of(what: str, model: Model | WordVectors, which: Which) -> WordVectors:
    """The vectors themselves, or those of a model that the look `what` applies to.

    Raises:
        UsageError: it does not, or the model has no vectors of that kind. ModelError: there is no such model.
    """
    return model if isinstance(model, WordVectors) else word_vectors(subject(what, model, "cpu").model, which)


def lower_cases(vectors: WordVectors, words: Iterable[str], source: str) -> bool:
    """Whether words of a file are to be lower-cased, as all words that have a vector are; a notice says so."""
    if not vectors.is_lower or not (capitals := sum(word != word.lower() for word in words)):
        return False
    notice(f"{source}: {capitals:,} words are lower-cased, as those of the {vectors.source} are")
    return True


def described(vectors: WordVectors) -> str:
    """What the vectors are, as the title of a table has it."""
    note = f" ({vectors.note})" if vectors.note else ""
    return f"{vectors.source}{note}: {len(vectors.words):,} words, {vectors.width_in_words}"
