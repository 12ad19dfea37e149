"""Texts that a model wrote, their references, and how the two are compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.errors import ArgumentTypeError, UsageError, given
from rnnlm.text.lines import split_words

BleuTokenizer = Literal["13a", "none", "char", "intl", "zh", "ja-mecab", "ko-mecab"]


@dataclass(frozen=True)
class TranslationSettings:
    """How hypotheses are compared with references."""

    lowercase: Annotated[bool, Meta(description="lower-case both sides first, for every figure")] = False
    spelled: Annotated[
        bool, Meta(description="a line is one word whose symbols stand between white space, as sounds do; else symbols are characters")
    ] = False
    bleu_tokenizer: Annotated[BleuTokenizer, Meta(description="how sacrebleu splits text into the words of BLEU")] = "13a"


@dataclass(frozen=True)
class Translations:
    """One hypothesis for each of N sentences, and its references: one or more, not necessarily equally many for each.

    Raises:
        UsageError: there is no sentence, the two are not of the same sentences, or a sentence has no reference.
        ArgumentTypeError (a TypeError): a hypothesis is not a string, or the references of a sentence are not a sequence of strings.
    """

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    settings: TranslationSettings = TranslationSettings()

    def __post_init__(self) -> None:
        if len(self.hypotheses) != len(self.references):
            raise UsageError(
                f"there are {len(self.hypotheses):,} hypotheses and references for {len(self.references):,} sentences",
                hint="give one hypothesis and one list of references for each sentence",
            )
        if not len(self.hypotheses):
            raise UsageError("there is nothing to measure", "there is no hypothesis")
        for number, (hypothesis, references) in enumerate(zip(self.hypotheses, self.references, strict=True), start=1):
            if not isinstance(hypothesis, str):
                raise ArgumentTypeError(f"hypothesis {number:,} must be a string, not {given(hypothesis)}")
            if isinstance(references, str) or not all(isinstance(each, str) for each in references):
                raise ArgumentTypeError(f"the references of sentence {number:,} must be a list of strings, not {given(references)}")
            if not len(references):
                raise UsageError(f"sentence {number:,} has no reference", hint="give each sentence at least one")

    def words(self, text: str) -> list[str]:
        """What stands between white space, lower-cased where the settings say so."""
        return split_words(text.lower() if self.settings.lowercase else text)
