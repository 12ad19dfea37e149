"""BLEU (Papineni et al. 2002) and chrF (Popović 2015) by sacrebleu (Post 2018), from 0 to 100, with its signatures.

The figures of a text are those of sacrebleu's metrics. So that sentences can be resampled, each contributes its n-grams: those of the
hypothesis, those of the reference, and those that match, by order. BLEU of their sums is computed by sacrebleu; chrF, of which its public
functions give no sums, by equation 1 of Popović (2015), with precision and recall averaged over the orders that both sides have.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts, Measure
from rnnlm.evaluation.translation.translations import BleuTokenizer, Translations, TranslationSettings

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF

BLEU_ORDER, CHRF_ORDER = 4, 6
RECALL_WEIGHT = 2  # beta: recall counts so many times as much as precision
MATCHING, HYPOTHESIS, REFERENCE = range(3)  # the kinds of counts by order; BLEU has the length of the reference as its 1-grams alone


def bleu_metric(settings: TranslationSettings) -> "BLEU":
    """sacrebleu's BLEU for these settings.

    Raises:
        UsageError: there is no such tokenizer, or it needs a package that is not installed.
    """
    from sacrebleu.metrics import BLEU

    if settings.bleu_tokenizer not in (known := get_args(BleuTokenizer)):
        raise UsageError(f"there is no BLEU tokenizer {settings.bleu_tokenizer!r}", hint=f"one of {', '.join(known)}")
    try:
        return BLEU(lowercase=settings.lowercase, tokenize=settings.bleu_tokenizer, force=True)  # without a warning about tokenised text
    except RuntimeError as error:
        language = settings.bleu_tokenizer.partition("-")[0]
        raise UsageError(
            f"the BLEU tokenizer {settings.bleu_tokenizer} is not installed",
            " ".join(str(error).split()).partition(". ")[0], f"pip install 'sacrebleu[{language}]', or choose another one",
        ) from None  # fmt: skip


def chrf_metric(settings: TranslationSettings) -> "CHRF":
    """sacrebleu's chrF for these settings."""
    from sacrebleu.metrics import CHRF

    return CHRF(char_order=CHRF_ORDER, beta=RECALL_WEIGHT, lowercase=settings.lowercase)


def corpus_figure(metric: "BLEU | CHRF", translations: Translations) -> tuple[float, str]:
    """The figure of all sentences, and sacrebleu's signature of it."""
    longest = max(len(each) for each in translations.references)
    by_number = [[each[number] if number < len(each) else None for each in translations.references] for number in range(longest)]
    score = metric.corpus_score(list(translations.hypotheses), by_number)  # type: ignore[arg-type]  # None where there are fewer
    return score.score, str(metric.get_signature())


def bleu_measure(translations: Translations) -> Measure:
    """BLEU with what each sentence contributes.

    Raises:
        UsageError: the tokenizer needs a package that is not installed.
    """
    metric = bleu_metric(translations.settings)
    rows = []
    for hypothesis, references in zip(translations.hypotheses, translations.references, strict=True):
        score = metric.corpus_score([hypothesis], [[each] for each in references])
        rows.append([score.counts, score.totals, [score.ref_len] + [0] * (BLEU_ORDER - 1)])
    return Measure(_by_order(rows), bleu)


def chrf_measure(translations: Translations) -> Measure:
    """chrF with what each sentence contributes."""
    rows = []
    for hypothesis, references in zip(translations.hypotheses, translations.references, strict=True):
        candidates = [_matches(hypothesis, each, translations.settings.lowercase) for each in references]
        best = 0 if len(candidates) == 1 else int(np.argmax(chrf(np.swapaxes(np.array(candidates, dtype=np.float64), 0, 1))))
        rows.append(candidates[best])
    return Measure(_by_order(rows), chrf)


def bleu(sums_KRC: np.ndarray) -> np.ndarray:
    """BLEU of sums of counts, by sacrebleu, with its smoothing (exp); 0 where the hypotheses have no four words in a row."""
    from sacrebleu.metrics import BLEU

    rows = zip(*sums_KRC[:REFERENCE].tolist(), sums_KRC[HYPOTHESIS, :, 0], sums_KRC[REFERENCE, :, 0], strict=True)
    return np.array([BLEU.compute_bleu(right, of, int(length), int(expected), "exp").score for right, of, length, expected in rows])


def chrf(sums_KRC: np.ndarray) -> np.ndarray:
    """chrF of sums of counts; 0 where nothing matches."""
    matching, hypothesis, reference = sums_KRC
    has_both = (hypothesis > 0) & (reference > 0)
    precision, recall = (_mean(_share(matching, whole), has_both) for whole in (hypothesis, reference))
    weight = RECALL_WEIGHT**2
    return 100 * _share((1 + weight) * precision * recall, weight * precision + recall)


def _matches(hypothesis: str, reference: str, lowercase: bool) -> list[list[int]]:
    """The counts of one sentence: kinds by orders. An order that the reference is too short for does not count, as sacrebleu has it."""
    from sacrebleu import extract_char_ngrams

    if lowercase:
        hypothesis, reference = hypothesis.lower(), reference.lower()
    counts = []
    for order in range(1, CHRF_ORDER + 1):
        found, expected = extract_char_ngrams(hypothesis, order), extract_char_ngrams(reference, order)
        counts.append([(found & expected).total(), found.total() if expected else 0, expected.total()])
    return [list(kind) for kind in zip(*counts, strict=True)]


def _by_order(rows: Sequence[Sequence[Sequence[int]]]) -> Counts:
    from scipy.sparse import csr_array

    kinds_KNC = np.swapaxes(np.array(rows, dtype=np.float64), 0, 1)
    return Counts(tuple(str(order) for order in range(1, kinds_KNC.shape[2] + 1)), tuple(csr_array(table_NC) for table_NC in kinds_KNC))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def _mean(values_RC: np.ndarray, is_counted_RC: np.ndarray) -> np.ndarray:
    return _share((values_RC * is_counted_RC).sum(axis=-1), is_counted_RC.sum(axis=-1))
