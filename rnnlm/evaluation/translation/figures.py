"""The figures of what a model wrote, as `rnnlm eval` prints them, and the measures they come from."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from rnnlm.evaluation.counts import Counts, Measure, ratio
from rnnlm.evaluation.error_rates import error_counts, symbol_error_rate, word_error_rate
from rnnlm.evaluation.translation import overlap
from rnnlm.evaluation.translation.translations import Translations

FULL = 100 - 1e-9  # BLEU of a text against itself, to rounding


@dataclass(frozen=True)
class TranslationFigures:
    """BLEU and chrF from 0 to 100 with sacrebleu's signatures; exact match and error rates as fractions of 1.

    sentences, references: how many. exact_match: sentences that equal one of their references, where white space of any kind and length
    counts as one space. word_error_rate, symbol_error_rate: edits over the lengths of the nearest references; they can be above 1, and are
    None where no reference has a word. Symbols are characters, spaces included; where texts are `spelled`, they are what stands between
    white space, a word is the whole line, and word_error_rate is the share of lines that are wrong. lowercase: of lower-cased texts, all
    of the figures. bleu: 0 where no hypothesis has four words in a row.
    """

    sentences: int
    references: int
    bleu: float
    chrf: float
    exact_match: float
    word_error_rate: float | None
    symbol_error_rate: float | None
    lowercase: bool
    spelled: bool
    bleu_signature: str
    chrf_signature: str

    @property
    def is_perfect(self) -> bool:
        """Whether all sentences equal a reference, but for what BLEU does not see."""
        return self.exact_match == 1 or self.bleu >= FULL

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return dataclasses.asdict(self)


def measure(translations: Translations) -> TranslationFigures:
    """The figures of texts that a model wrote.

    Raises:
        UsageError: the BLEU tokenizer needs a package that is not installed.
    """
    settings = translations.settings
    bleu, bleu_signature = overlap.corpus_figure(overlap.bleu_metric(settings), translations)
    chrf, chrf_signature = overlap.corpus_figure(overlap.chrf_metric(settings), translations)
    others: dict[str, Any] = {name: each.value for name, each in _of_edits(translations).items()}
    return TranslationFigures(
        len(translations.hypotheses), sum(len(each) for each in translations.references), bleu, chrf, **others,
        lowercase=settings.lowercase, spelled=settings.spelled, bleu_signature=bleu_signature, chrf_signature=chrf_signature,
    )  # fmt: skip


def measures(translations: Translations) -> dict[str, Measure]:
    """The same figures with what each sentence contributes to them, by the names in :class:`TranslationFigures`, to be resampled
    (:mod:`rnnlm.evaluation.significance`).

    Raises:
        UsageError: the BLEU tokenizer needs a package that is not installed.
    """
    return {"bleu": overlap.bleu_measure(translations), "chrf": overlap.chrf_measure(translations), **_of_edits(translations)}


def _of_edits(translations: Translations) -> dict[str, Measure]:
    """Exact match and error rates."""
    found_words = [translations.words(each) for each in translations.hypotheses]
    words = [[translations.words(each) for each in row] for row in translations.references]
    is_exact = [found in expected for found, expected in zip(found_words, words, strict=True)]
    by_word = error_counts(words, found_words)
    if translations.settings.spelled:
        rates = Measure(by_word, word_error_rate, False), Measure(by_word, symbol_error_rate, False)
    else:
        by_character = error_counts([[" ".join(each) for each in row] for row in words], [" ".join(each) for each in found_words])
        rates = Measure(by_word, symbol_error_rate, False), Measure(by_character, symbol_error_rate, False)
    exact = Measure(Counts.of_numbers(is_exact, [1] * len(is_exact)), ratio)
    return {"exact_match": exact, "word_error_rate": rates[0], "symbol_error_rate": rates[1]}
