"""What several models are called, which of their figures on one text can be compared, and which part of their signatures
forbids the others.

Numbers compare when they are about the same events. Lines, case, blank lines, `<unk>` and line ends must be treated alike for
anything to compare; how `<unk>` is read makes no difference to a text that holds none. Where tokenizers differ, tokens are different
events; whole words, characters and bytes are the same ones, if no word is unknown: an unknown word is one event to a model of words,
and many to a model of pieces. In which direction lines are read makes no difference to the events: either way the
probabilities of a line's tokens multiply to that of the line, so numbers of both directions compare, and signatures say which is which.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.errors import ComparisonError, UsageError
from rnnlm.evaluation.signature import Signature
from rnnlm.interface import Tokenizer
from rnnlm.models.loading import ScoringModel
from rnnlm.text.encoding import EncodedText

PER_TOKEN = ("ppl_token", "ppl_token_no_oov")
PER_WORD = ("ppl_word", "ppl_word_no_oov")
PER_TEXT = ("bits_per_char", "bits_per_byte")
FIGURES = (*PER_TOKEN, *PER_WORD, *PER_TEXT)
UNITS = {"ppl_token": "token", "ppl_word": "word", "bits_per_char": "character"}  # of the figures that models are compared by
_HINT = {
    "data": "measure both on the same text",
    "case": "compare models of which all keep the case, or none",
    "blank": "read blank lines alike",
    "unk": "compare models trained with the same literal_unk, or on a text without <unk>",
    "eos": "count line ends alike",
}


@dataclass(frozen=True)
class Subject:
    """What decides whether figures of a model on a text compare with those of another. unknown_tokens: those of words, and white
    space. cut: how the tokenizer changes the text before it is cut into tokens, beside the case."""

    name: str
    signature: Signature
    unknown_tokens: int
    keeps_text: bool
    cut: str

    @classmethod
    def of(cls, name: str, signature: Signature, tokenizer: Tokenizer, encoded: EncodedText) -> "Subject":
        settings: dict[str, Any] = tokenizer.to_settings()
        changes = [tokenizer.rewriting, "punctuation split off" if settings.get("split_punctuation") else ""]
        cut = ", ".join(filter(None, changes)) or "the text as it stands"
        return cls(name, signature, len(encoded.oov), tokenizer.keeps_text, cut)


@dataclass(frozen=True)
class Refused:
    """A figure that cannot be compared, the part of the signature that differs (None: it is not that), and why not."""

    figure: str
    part: str | None
    why: str


@dataclass(frozen=True)
class Comparable:
    """figures: those that compare. main: the one that models are compared by. refused: the others."""

    figures: tuple[str, ...]
    main: str
    refused: tuple[Refused, ...]


def find_comparable(subjects: Sequence[Subject], holds_unk: bool = True) -> Comparable:
    """The figures of FIGURES that compare between all of `subjects`. holds_unk: whether `<unk>` stands in the text.

    Raises:
        ComparisonError: none does; it names the part of the signatures that differs.
    """
    for part, hint in _HINT.items():
        if _differ(subjects, part) and (part != "unk" or holds_unk):
            what = f"these models cannot be compared: the part {part} of their signatures differs"
            raise ComparisonError(what, _values(subjects, part), hint)
    if not _differ(subjects, "tok"):
        return Comparable(FIGURES, FIGURES[0], ())
    _check_same_words(subjects)
    why = f"tokens are different events: {_values(subjects, 'tok')}"
    refused = [Refused(figure, "tok", why) for figure in PER_TOKEN]
    changing = [subject.name for subject in subjects if not subject.keeps_text]
    if not changing:
        return Comparable((*PER_WORD, *PER_TEXT), PER_TEXT[0], tuple(refused))
    why = f"{' and '.join(changing)} {'does' if len(changing) == 1 else 'do'} not keep the text as it is"
    return Comparable(PER_WORD, PER_WORD[0], (*refused, *(Refused(figure, None, why) for figure in PER_TEXT)))


def _check_same_words(subjects: Sequence[Subject]) -> None:
    """Whether models of different tokenizers predict the same words, all of them known.

    Raises:
        ComparisonError: they do not.
    """
    what = "these models cannot be compared: the part tok of their signatures differs"
    if len({subject.cut for subject in subjects}) > 1:
        why = "and so do the words they predict: " + ", ".join(f"{subject.cut} for {subject.name}" for subject in subjects)
        raise ComparisonError(what, why, "compare models of one tokenizer: rnnlm train --tokenizer-from")
    unknown = [f"{subject.unknown_tokens:,} tokens to {subject.name}" for subject in subjects if subject.unknown_tokens]
    if unknown:
        why = f"{_values(subjects, 'tok')}; parts of the text are unknown, {', '.join(unknown)}"
        why += ", so nothing compares per word, character or byte"
        hint = "train one again with --tokenizer-from the other, or compare on lines whose words all of them know"
        raise ComparisonError(what, why, hint)


def _differ(subjects: Sequence[Subject], part: str) -> bool:
    return len({getattr(subject.signature, part) for subject in subjects}) > 1


def _values(subjects: Sequence[Subject], part: str) -> str:
    return ", ".join(f"{part}:{getattr(subject.signature, part)} for {subject.name}" for subject in subjects)


def names_of(models: Sequence[ScoringModel], names: Sequence[str] | None) -> list[str]:
    """A name for each model, all different: the last part of its folder, or as many parts as tell it from the others.

    Raises:
        UsageError: the number of names is not that of the models.
    """
    if names is not None and len(names) != len(models):
        raise UsageError(f"{len(names)} names do not fit {len(models)} models", hint="give one for each")
    given = list(names or (str(model) if isinstance(model, (str, Path)) else f"model {k}" for k, model in enumerate(models, start=1)))
    parts = [os.path.normpath(name).split(os.sep) for name in given]
    for depth in range(1, 1 + max(map(len, parts), default=0) if names is None else 0):
        short = [os.sep.join(each[-depth:]) for each in parts]
        if len(set(short)) == len(short):
            return short
    return [name if given.count(name) == 1 else f"{name} ({given[: k + 1].count(name)})" for k, name in enumerate(given)]
