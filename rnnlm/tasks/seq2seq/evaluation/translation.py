"""Measure texts that a model wrote against references: BLEU, chrF, exact match and error rates,
by length and with intervals."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np

from rnnlm.amounts import plural
from rnnlm.config import about
from rnnlm.errors import ArgumentTypeError, UsageError, given
from rnnlm.evaluation.metrics import Metric, MetricDefinition, MetricSignature, named
from rnnlm.interface import Tokenizer
from rnnlm.tabular import Result, Table
from rnnlm.tasks.common.counted_metrics import (
    CountedMetric,
    SentenceCounts,
    error_counts,
    ratio,
    share,
    symbol_error_rate,
    word_error_rate,
)
from rnnlm.text.line_forms import tell_unspaced
from rnnlm.text.lines import lines_with_ends, split_words, without_end

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF


# ---- Metrics by the length of the source: where an encoder that hands on one vector falls off, and
# attention does not (Bahdanau et al. 2015, figure 2).

# The longest sources of each bucket but the last, which has no end
BOUNDS = (5, 10, 15, 20, 30, 40, 50)


@dataclass(frozen=True)
class LengthMetrics(Result):
    """The metrics of the sentences whose sources have a certain length, in words or tokens. Metrics
    as in :class:`rnnlm.tasks.seq2seq.evaluation.translation.TranslationMetrics`.

    Attributes:
        shortest: Smallest length.
        longest: Largest length; None: any.
        sentences: Number of sentences.
        bleu: BLEU, 0 to 100.
        chrf: chrF, 0 to 100.
        exact_match: Share of sentences that equal a reference, 0 to 1.
        word_error_rate: WER as a fraction.
        symbol_error_rate: Error rate of symbols as a fraction.
    """

    shortest: int
    longest: int | None
    sentences: int
    bleu: float
    chrf: float
    exact_match: float
    word_error_rate: float | None
    symbol_error_rate: float | None

    @property
    def name(self) -> str:
        """The name of the bucket in a table: 6-10, 51+."""
        return f"{self.shortest}+" if self.longest is None else f"{self.shortest}-{self.longest}"


def by_length(
    measures: Mapping[str, CountedMetric],
    lengths_N: Sequence[int] | np.ndarray,
    bounds: Sequence[int] = BOUNDS,
) -> list[LengthMetrics]:
    """Return the metrics by length of the source, shortest first; buckets without a sentence are
    left out.

    measures: of :func:`rnnlm.tasks.seq2seq.evaluation.translation.measures`. lengths_N: the length
    of each sentence's source, without `</s>`. bounds: the longest source of each bucket but the
    last.
    """
    lengths_N = np.asarray(lengths_N)
    sentences = next(iter(measures.values())).counts.sentences
    if lengths_N.shape != (sentences,) or (lengths_N < 0).any():
        raise UsageError(
            f"each of {plural(sentences, 'sentence')} needs a source length that is not negative"
        )
    if not bounds or bounds[0] < 0 or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise UsageError(
            f"the length bounds {', '.join(map(str, bounds)) or 'nothing'} are not valid",
            hint="give ascending whole numbers, such as 5, 10, 20",
        )

    # A bucket takes each of its sentences once, so all are computed at once.
    bucket_N = np.searchsorted(bounds, lengths_N)
    buckets, size_R = np.unique(bucket_N, return_counts=True)
    is_in_RN = (bucket_N == buckets[:, None]).astype(np.float64)
    metrics = {
        name: measure.statistic(measure.counts.sums(is_in_RN)).tolist()
        for name, measure in measures.items()
    }

    length_metrics = []
    for row, (bucket, size) in enumerate(zip(buckets.tolist(), size_R.tolist(), strict=True)):
        values: dict[str, Any] = {
            name: values_R[row] if np.isfinite(values_R[row]) else None
            for name, values_R in metrics.items()
        }
        shortest = bounds[bucket - 1] + 1 if bucket else int(lengths_N.min() > 0)
        longest = bounds[bucket] if bucket < len(bounds) else None
        length_metrics.append(LengthMetrics(shortest, longest, size, **values))
    return length_metrics


# ---- Texts that a model wrote, their references, and how the two are compared.

BleuTokenizer = Literal["13a", "none", "char", "intl", "zh", "ja-mecab", "ko-mecab"]


@dataclass(frozen=True)
class TranslationSettings:
    """Settings for comparing hypotheses with references."""

    lowercase: Annotated[bool, about("convert both sides to lower case for every metric")] = False
    spelled: Annotated[
        bool,
        about(
            "each line is one word whose symbols, such as sounds, are separated by white "
            "space; else symbols are characters"
        ),
    ] = False
    bleu_tokenizer: Annotated[
        BleuTokenizer, about("sacrebleu tokenizer that splits text into words for BLEU")
    ] = "13a"


@dataclass(frozen=True)
class Translations:
    """One hypothesis for each of N sentences, and one or more references for each."""

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    settings: TranslationSettings = TranslationSettings()

    def __post_init__(self) -> None:
        if len(self.hypotheses) != len(self.references):
            raise UsageError(
                (
                    f"there are {len(self.hypotheses):,} hypotheses and references for "
                    f"{plural(len(self.references), 'sentence')}"
                ),
                hint="give one hypothesis and one list of references for each sentence",
            )
        if not len(self.hypotheses):
            raise UsageError("there is nothing to measure", "there is no hypothesis")

        # A single string would be read as a list of letters, so types are checked, too.
        pairs = zip(self.hypotheses, self.references, strict=True)
        for number, (hypothesis, references) in enumerate(pairs, start=1):
            if not isinstance(hypothesis, str):
                raise ArgumentTypeError(
                    f"hypothesis {number:,} must be a string, not {given(hypothesis)}"
                )
            if isinstance(references, str) or not all(
                isinstance(reference, str) for reference in references
            ):
                raise ArgumentTypeError(
                    f"the references of sentence {number:,} must be a list of strings, not "
                    f"{given(references)}"
                )
            if not len(references):
                raise UsageError(
                    f"sentence {number:,} has no reference", hint="give each sentence at least one"
                )

    def words(self, text: str) -> list[str]:
        """Split a text at white space, lower-cased if the settings say so."""
        return split_words(text.lower() if self.settings.lowercase else text)


def translations_of_files(hypotheses: str, references: Sequence[str]) -> Translations:
    """Read hypotheses and their references, a line for each sentence; of each sentence, every file
    of references has one."""
    lines_of_files: list[list[str]] = []
    for file in (hypotheses, *references):
        lines = [without_end(line) for _, line in lines_with_ends(file, "strict")]
        lines_of_files.append(lines)
        if len(lines) != len(lines_of_files[0]):
            raise UsageError(
                f"{file} has {plural(len(lines), 'line')}, and {hypotheses} "
                f"{len(lines_of_files[0]):,}",
                hint="give one line for each sentence",
            )
    translations = Translations(lines_of_files[0], list(zip(*lines_of_files[1:], strict=True)))
    tell_phrases(translations)
    return translations


# ---- The metrics of a model's outputs, as `rnnlm eval` prints them, and the counts that they are
# computed from.


@dataclass(frozen=True)
class TranslationMetric(MetricDefinition):
    """A metric of a model's outputs, of which :func:`measures` has the counts.

    Attributes:
        by_sacrebleu: Whether sacrebleu has a signature for it.
        signature_part: Part of our signature that only this metric has.
    """

    by_sacrebleu: bool = False
    signature_part: str = ""


# In the order in which they are printed. TranslationMetrics and LengthMetrics have their fields.
TRANSLATION_METRICS = named(
    TranslationMetric("bleu", "of_100", by_sacrebleu=True, signature_part="tok"),
    TranslationMetric("chrf", "of_100", by_sacrebleu=True),
    TranslationMetric("exact_match"),
    TranslationMetric("word_error_rate", higher_is_better=False, signature_part="units"),
    TranslationMetric("symbol_error_rate", higher_is_better=False, signature_part="units"),
)
# What BLEU is computed from, beside its precisions
BLEU_LENGTHS = ("hypothesis_words", "reference_words")
FULL = 100 - 1e-9  # BLEU of a text against itself, to rounding


@dataclass(frozen=True)
class TranslationMetrics(Result):
    """The metrics of an encoder-decoder.

    Attributes:
        sentences: Number of sentences.
        references: Number of references of all sentences.
        bleu: BLEU, 0 to 100; 0 if no hypothesis has four words in a row.
        chrf: chrF, 0 to 100.
        exact_match: Share of sentences that equal one of their references, 0 to 1; white space of
            any kind and length counts as one space.
        word_error_rate: Edits over the lengths of the nearest references, as a fraction; it can be
            above 1. None if no reference has a word. If texts are `spelled`, a word is the whole
            line, and this is the share of lines that are wrong.
        symbol_error_rate: The same for symbols: characters, including spaces; if texts are
            `spelled`, the parts between white space.
        lowercase: Whether all metrics are computed on lower-cased texts.
        spelled: Whether white space separates symbols instead of words.
        bleu_signature: sacrebleu's signature of BLEU.
        chrf_signature: sacrebleu's signature of chrF.
        bleu_precisions: Shares of the words, pairs, threes and fours of the hypotheses that are in
            a reference, 0 to 100; BLEU is their geometric mean times the brevity penalty.
        brevity_penalty: Factor of BLEU by which short hypotheses lose, 0 to 1.
        hypothesis_words: Number of words of the hypotheses, as BLEU splits them.
        reference_words: Number of words of the references that are nearest in length.
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
    bleu_precisions: tuple[float, ...] = ()
    brevity_penalty: float | None = None
    hypothesis_words: int | None = None
    reference_words: int | None = None

    def parts(self) -> list[Table | str]:
        """Return a table of the metrics and of what BLEU is computed from, then sacrebleu's
        signatures, a line each."""
        rows = [[name, f"{getattr(self, name):,}"] for name in ("sentences", "references")]
        rows += [[name, f"{getattr(self, name):,}"] for name in BLEU_LENGTHS]
        for order, precision in enumerate(self.bleu_precisions, start=1):
            rows.append([f"bleu_precision_{order}", f"{precision:.2f}"])
        rows.append(["brevity_penalty", f"{self.brevity_penalty:.4f}"])
        for name, metric in TRANSLATION_METRICS.items():
            rows.append([name, Metric(metric, getattr(self, name)).shown()])
        columns = ["measure", "value"]
        signatures = [f"bleu signature: {self.bleu_signature}"]
        signatures.append(f"chrf signature: {self.chrf_signature}")
        return [Table(columns, rows, right=columns[1:]), *signatures]

    @property
    def is_perfect(self) -> bool:
        """Whether all sentences equal a reference, except for differences that BLEU ignores."""
        return self.exact_match == 1 or self.bleu >= FULL


def measure(translations: Translations) -> TranslationMetrics:
    """Measure texts that a model wrote."""
    settings = translations.settings
    bleu, bleu_signature = corpus_score(bleu_metric(settings), translations)
    chrf, chrf_signature = corpus_score(chrf_metric(settings), translations)
    others: dict[str, Any] = {
        name: edit_metric.value for name, edit_metric in _of_edits(translations).items()
    }
    return TranslationMetrics(
        len(translations.hypotheses),
        sum(map(len, translations.references)),
        bleu.score,
        chrf.score,
        **others,
        lowercase=settings.lowercase,
        spelled=settings.spelled,
        bleu_signature=bleu_signature,
        chrf_signature=chrf_signature,
        bleu_precisions=tuple(bleu.precisions),
        brevity_penalty=bleu.bp,
        hypothesis_words=bleu.sys_len,
        reference_words=bleu.ref_len,
    )


def tell_phrases(translations: Translations) -> None:
    """Send a notice if BLEU takes phrases for words."""
    if translations.settings.bleu_tokenizer in ("13a", "none", "intl"):
        tell_unspaced(
            [line for references in translations.references for line in references],
            "BLEU and word_error_rate count phrases; chrF and symbol_error_rate count characters",
        )


def measures(translations: Translations) -> dict[str, CountedMetric]:
    """Return the same metrics with the contributions of each sentence, by the names in
    :class:`TranslationMetrics`, to be resampled (:mod:`rnnlm.evaluation.resampling`)."""
    return {
        "bleu": bleu_measure(translations),
        "chrf": chrf_measure(translations),
        **_of_edits(translations),
    }


def _of_edits(translations: Translations) -> dict[str, CountedMetric]:
    """Return exact match and error rates."""
    found_words = list(map(translations.words, translations.hypotheses))
    words = [list(map(translations.words, references)) for references in translations.references]
    is_exact = [written in expected for written, expected in zip(found_words, words, strict=True)]
    by_word = error_counts(words, found_words)

    # The symbols of a spelled line are its words, and its one word is the line.
    if translations.settings.spelled:
        word_errors = CountedMetric(by_word, word_error_rate)
        symbol_errors = CountedMetric(by_word, symbol_error_rate, math.inf)
    else:
        expected_lines = [list(map(" ".join, references)) for references in words]
        by_character = error_counts(expected_lines, list(map(" ".join, found_words)))
        word_errors = CountedMetric(by_word, symbol_error_rate, math.inf)
        symbol_errors = CountedMetric(by_character, symbol_error_rate, math.inf)
    exact = CountedMetric(SentenceCounts.of_numbers(is_exact, [1] * len(is_exact)), ratio)
    return {
        "exact_match": exact,
        "word_error_rate": word_errors,
        "symbol_error_rate": symbol_errors,
    }


# ---- BLEU (Papineni et al. 2002) and chrF (Popović 2015) by sacrebleu (Post 2018), from 0 to 100,
# with its signatures.
#
# The metrics of a text are sacrebleu's. So that sentences can be left out, each contributes its
# n-grams: the hypothesis's, the reference's, and the matching ones, by order. BLEU of their sums is
# computed by sacrebleu; chrF, whose sums its public functions do not return, by equation 1 of
# Popović (2015), with precision and recall averaged over the orders that both sides have.

BLEU_ORDER, CHRF_ORDER = 4, 6
RECALL_WEIGHT = 2  # beta: recall counts this many times as much as precision
# The kinds of counts by order; for BLEU the reference has only its length, at order 1
MATCHING, HYPOTHESIS, REFERENCE = range(3)


def bleu_metric(settings: TranslationSettings) -> "BLEU":
    """Return sacrebleu's BLEU for these settings."""
    from sacrebleu.metrics import BLEU

    known = get_args(BleuTokenizer)
    if settings.bleu_tokenizer not in known:
        raise UsageError(
            f"unknown BLEU tokenizer {settings.bleu_tokenizer!r}", hint=f"one of {', '.join(known)}"
        )
    try:
        # Without a warning about tokenised text
        return BLEU(lowercase=settings.lowercase, tokenize=settings.bleu_tokenizer, force=True)
    except RuntimeError as error:
        language = settings.bleu_tokenizer.partition("-")[0]
        raise UsageError(
            f"the BLEU tokenizer {settings.bleu_tokenizer} is not installed",
            " ".join(str(error).split()).partition(". ")[0],
            f"pip install 'sacrebleu[{language}]', or choose another one",
        ) from None  # fmt: skip


def chrf_metric(settings: TranslationSettings) -> "CHRF":
    """Return sacrebleu's chrF for these settings."""
    from sacrebleu.metrics import CHRF

    return CHRF(char_order=CHRF_ORDER, beta=RECALL_WEIGHT, lowercase=settings.lowercase)


def corpus_score(metric: "BLEU | CHRF", translations: Translations) -> tuple[Any, str]:
    """Return sacrebleu's score over all sentences, and its signature of the metric."""
    # sacrebleu wants the first references of all sentences, then the second ones, and so on.
    by_number = list(itertools.zip_longest(*translations.references))  # None where there are fewer
    score = metric.corpus_score(list(translations.hypotheses), by_number)
    return score, str(metric.get_signature())


def bleu_measure(translations: Translations) -> CountedMetric:
    """Return BLEU with the contributions of each sentence."""
    metric = bleu_metric(translations.settings)
    rows = []
    for hypothesis, references in zip(
        translations.hypotheses, translations.references, strict=True
    ):
        score = metric.corpus_score([hypothesis], [[reference] for reference in references])
        length_by_order = [score.ref_len] + [0] * (BLEU_ORDER - 1)
        rows.append([score.counts, score.totals, length_by_order])
    return CountedMetric(_by_order(rows), bleu, 100.0)


def chrf_measure(translations: Translations) -> CountedMetric:
    """Return chrF with the contributions of each sentence."""
    rows = []
    pairs = zip(translations.hypotheses, translations.references, strict=True)
    for hypothesis, references in pairs:
        # Of several references, the one with the highest chrF counts.
        candidates = [
            _matches(hypothesis, reference, translations.settings.lowercase)
            for reference in references
        ]
        best = 0
        if len(candidates) > 1:
            counts_KRC = np.swapaxes(np.array(candidates, dtype=np.float64), 0, 1)
            best = int(np.argmax(chrf(counts_KRC)))
        rows.append(candidates[best])
    return CountedMetric(_by_order(rows), chrf, 100.0)


def bleu(sums_KRC: np.ndarray) -> np.ndarray:
    """Compute BLEU from sums of counts, by sacrebleu, with its smoothing (exp); 0 where the
    hypotheses have no four words in a row."""
    from sacrebleu.metrics import BLEU

    right_RC, of_RC = sums_KRC[MATCHING].tolist(), sums_KRC[HYPOTHESIS].tolist()
    length_R, expected_R = sums_KRC[HYPOTHESIS, :, 0], sums_KRC[REFERENCE, :, 0]
    counts = zip(right_RC, of_RC, length_R.astype(int), expected_R.astype(int), strict=True)
    return np.array([BLEU.compute_bleu(*of_one, "exp").score for of_one in counts])


def chrf(sums_KRC: np.ndarray) -> np.ndarray:
    """Compute chrF from sums of counts; 0 where nothing matches."""
    matching, hypothesis, reference = sums_KRC
    has_both = (hypothesis > 0) & (reference > 0)
    precision = _mean(share(matching, hypothesis), has_both)
    recall = _mean(share(matching, reference), has_both)
    weight = RECALL_WEIGHT**2
    return 100 * share((1 + weight) * precision * recall, weight * precision + recall)


def _matches(hypothesis: str, reference: str, lowercase: bool) -> list[list[int]]:
    """Count the n-grams of one sentence: kinds by orders."""
    from sacrebleu import extract_char_ngrams

    if lowercase:
        hypothesis, reference = hypothesis.lower(), reference.lower()
    by_order = []
    for order in range(1, CHRF_ORDER + 1):
        written = extract_char_ngrams(hypothesis, order)
        expected = extract_char_ngrams(reference, order)
        # Like sacrebleu, leave out an order that the reference is too short for.
        of_hypothesis = written.total() if expected else 0
        by_order.append(((written & expected).total(), of_hypothesis, expected.total()))
    return list(map(list, zip(*by_order, strict=True)))


def _by_order(rows: Sequence[Sequence[Sequence[int]]]) -> SentenceCounts:
    from scipy.sparse import csr_array

    kinds_KNC = np.swapaxes(np.array(rows, dtype=np.float64), 0, 1)
    orders = tuple(str(order) for order in range(1, kinds_KNC.shape[2] + 1))
    return SentenceCounts(orders, tuple(map(csr_array, kinds_KNC)))


def _mean(values_RC: np.ndarray, is_counted_RC: np.ndarray) -> np.ndarray:
    return share((values_RC * is_counted_RC).sum(axis=-1), is_counted_RC.sum(axis=-1))


# ---- The signature of a metric of decoded text: the parts that sacrebleu's lacks, namely the data,
# the search and the model.


@dataclass(frozen=True)
class TranslationSignature(MetricSignature):
    """The parts of a signature, in the order in which they are printed; empty ones are left out.

    metric: bleu, word_error_rate, ... data: the hash of sources and references. beam, length_power,
    max_length: how texts were decoded; metrics that differ in these, or in the model, still
    compare.
    """

    # The parts in which metrics that compare may differ
    may_differ: ClassVar[frozenset[str]] = frozenset(
        {"beam", "length_power", "max_length", "model"}
    )

    case: str = ""  # kept | lower
    units: str = ""  # of error rates: plain | spelled
    tok: str = ""  # of BLEU: 13a, ...
    data: str = ""
    beam: str = ""  # 1: greedy
    length_power: str = ""
    max_length: str = ""  # of the source
    model: str = ""  # its fingerprint

    @classmethod
    def of(cls, metric: str, settings: TranslationSettings, **parts: str) -> Self:
        """Return the signature of a metric measured with these settings. parts: data, model, and
        how texts were decoded."""
        values = {
            "tok": settings.bleu_tokenizer,
            "units": "spelled" if settings.spelled else "plain",
        }
        part = TRANSLATION_METRICS[metric].signature_part
        case = "lower" if settings.lowercase else "kept"
        return cls(metric, case=case, **{part: values[part]} if part else {}, **parts)


# ---- The losses of a tokenizer: references encoded and decoded again, measured against themselves.
#
# A model can only write texts that its tokenizer decodes: no model of this tokenizer can make good
# the losses here, such as unknown words, unless it copies words from the source. BLEU is 100 if
# nothing is lost that BLEU sees.


def tokenizer_metrics(
    tokenizer: Tokenizer,
    references: Sequence[Sequence[str]],
    settings: TranslationSettings = TranslationSettings(),
) -> TranslationMetrics:
    """Measure every single reference after `encode` and `decode` against itself; `is_perfect` says
    whether nothing is lost.

    settings: with `lowercase` where the tokenizer lower-cases, as for the model's metrics.
    """
    lines = list(itertools.chain(*references))
    encoded = tokenizer.encode(lines)
    bounds = itertools.pairwise(encoded.offsets.tolist())
    decoded = [tokenizer.decode(encoded.ids[start : end - 1]) for start, end in bounds]  # no </s>
    return measure(Translations(decoded, [[line] for line in lines], settings))
