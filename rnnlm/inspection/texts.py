"""The texts that looks read: sentences, files, bundled corpora by name, and the bundled English where none is named."""

import os
from collections.abc import Sequence
from pathlib import Path

import rnnlm.corpora as corpora
from rnnlm.errors import TextError
from rnnlm.evaluation.perplexity import as_text
from rnnlm.text.corpus import Text
from rnnlm.text.lines import TextSettings, check_reserved

Source = str | Path | Sequence[str | Path] | Text


def opened(text: Source | None, settings: TextSettings | None = None) -> Text:
    """A text, itself or by its sources."""
    if isinstance(text, Text):
        return text
    return as_text(sources_of(() if text is None else (text,) if isinstance(text, (str, os.PathLike)) else text), settings)


def checked_sentence(sentence: str) -> str:
    """A sentence that a look reads.

    Raises:
        TextError: it has no words, or holds `<s>` or `</s>`.
    """
    if not sentence.split():
        raise TextError("the sentence has no words", "nothing stands in it")
    return check_reserved(sentence, "the sentence", "error", hint="remove it: a text begins at a boundary by itself")


def sources_of(names: Sequence[str | Path]) -> tuple[str, ...]:
    """The sources that names of texts stand for: that of a bundled corpus of plain text for its test part, unless there is a file of that
    name; none for that of the bundled English."""
    plain = [name for name in corpora.names() if "language-model" in corpora.TASKS[name]]
    return corpora.sources(names or ("english",), "test", plain)
