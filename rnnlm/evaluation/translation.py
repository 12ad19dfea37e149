"""Measures of texts that a model wrote, beside references: BLEU, chrF, exact match and error rates,
by length and with intervals."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
from msgspec import Meta

from rnnlm.errors import ArgumentTypeError, UsageError, given
from rnnlm.evaluation.metrics import FigureSignature
from rnnlm.evaluation.resampling import Counts, Measure, ratio
from rnnlm.interface import Tokenizer
from rnnlm.text.lines import split_words

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF


# ---- Figures by the length of the source: where an encoder that hands on one vector falls off, and
# attention does not (Bahdanau et al. 2015, figure 2).

# the longest sources of each bucket but the last, which has no end
BOUNDS = (5, 10, 15, 20, 30, 40, 50)


@dataclass(frozen=True)
class LengthFigures:
    """The figures of the sentences whose sources have from `shortest` to `longest` words or tokens
    (None: any number); figures as in :class:`rnnlm.evaluation.translation.TranslationFigures`."""

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
        """What a table calls the bucket: 6-10, 51+."""
        return f"{self.shortest}+" if self.longest is None else f"{self.shortest}-{self.longest}"

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return dataclasses.asdict(self)


def by_length(
    measures: Mapping[str, Measure],
    lengths_N: Sequence[int] | np.ndarray,
    bounds: Sequence[int] = BOUNDS,
) -> list[LengthFigures]:
    """The figures of short sources, of longer ones, and so on; buckets without a sentence are left
    out.

    measures: of :func:`rnnlm.evaluation.translation.measures`. lengths_N: the length of each
    sentence's source, without `</s>`. bounds: the longest source of each bucket but the last.

    Raises:
        UsageError: there are not as many lengths as sentences, a length is negative, or the bounds
            do not rise from 0 or more.
    """
    lengths_N, sentences = np.asarray(lengths_N), next(iter(measures.values())).counts.sentences
    if lengths_N.shape != (sentences,) or (lengths_N < 0).any():
        raise UsageError(
            f"{sentences:,} sentences need as many lengths of sources, none of them negative"
        )
    if not bounds or bounds[0] < 0 or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise UsageError(
            f"{', '.join(map(str, bounds)) or 'nothing'} cannot bound lengths",
            hint="rising whole numbers, such as 5, 10, 20",
        )
    bucket_N = np.searchsorted(bounds, lengths_N)
    buckets, size_R = np.unique(bucket_N, return_counts=True)
    is_in_RN = (bucket_N == buckets[:, None]).astype(np.float64)
    figures = {
        name: its.figure(its.counts.sums(is_in_RN)).tolist() for name, its in measures.items()
    }
    found = []
    for row, (bucket, size) in enumerate(zip(buckets.tolist(), size_R.tolist(), strict=True)):
        values: dict[str, Any] = {
            name: each[row] if np.isfinite(each[row]) else None for name, each in figures.items()
        }
        shortest = bounds[bucket - 1] + 1 if bucket else int(lengths_N.min() > 0)
        found.append(
            LengthFigures(
                shortest, bounds[bucket] if bucket < len(bounds) else None, size, **values
            )
        )
    return found


# ---- Texts that a model wrote, their references, and how the two are compared.

BleuTokenizer = Literal["13a", "none", "char", "intl", "zh", "ja-mecab", "ko-mecab"]


@dataclass(frozen=True)
class TranslationSettings:
    """How hypotheses are compared with references."""

    lowercase: Annotated[
        bool, Meta(description="lower-case both sides first, for every figure")
    ] = False
    spelled: Annotated[
        bool,
        Meta(
            description="a line is one word whose symbols stand between white space, as sounds "
            "do; else symbols are characters"
        ),
    ] = False
    bleu_tokenizer: Annotated[
        BleuTokenizer, Meta(description="how sacrebleu splits text into the words of BLEU")
    ] = "13a"


@dataclass(frozen=True)
class Translations:
    """One hypothesis for each of N sentences, and its references: one or more, not necessarily
    equally many for each.

    Raises:
        UsageError: there is no sentence, the two are not of the same sentences, or a sentence has
            no reference.
        ArgumentTypeError (a TypeError): a hypothesis is not a string, or the references of a
            sentence are not a sequence of strings.
    """

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    settings: TranslationSettings = TranslationSettings()

    def __post_init__(self) -> None:
        if len(self.hypotheses) != len(self.references):
            raise UsageError(
                (
                    f"there are {len(self.hypotheses):,} hypotheses and references for "
                    f"{len(self.references):,} sentences"
                ),
                hint="give one hypothesis and one list of references for each sentence",
            )
        if not len(self.hypotheses):
            raise UsageError("there is nothing to measure", "there is no hypothesis")
        for number, (hypothesis, references) in enumerate(
            zip(self.hypotheses, self.references, strict=True), start=1
        ):
            if not isinstance(hypothesis, str):
                raise ArgumentTypeError(
                    f"hypothesis {number:,} must be a string, not {given(hypothesis)}"
                )
            if isinstance(references, str) or not all(isinstance(each, str) for each in references):
                raise ArgumentTypeError(
                    f"the references of sentence {number:,} must be a list of strings, not "
                    f"{given(references)}"
                )
            if not len(references):
                raise UsageError(
                    f"sentence {number:,} has no reference", hint="give each sentence at least one"
                )

    def words(self, text: str) -> list[str]:
        """What stands between white space, lower-cased where the settings say so."""
        return split_words(text.lower() if self.settings.lowercase else text)


# ---- The figures of what a model wrote, as `rnnlm eval` prints them, and the measures they come
# from.

FULL = 100 - 1e-9  # BLEU of a text against itself, to rounding


@dataclass(frozen=True)
class TranslationFigures:
    """BLEU and chrF from 0 to 100 with sacrebleu's signatures; exact match and error rates as
    fractions of 1.

    sentences, references: how many. exact_match: sentences that equal one of their references,
    where white space of any kind and length counts as one space. word_error_rate,
    symbol_error_rate: edits over the lengths of the nearest references; they can be above 1, and
    are None where no reference has a word. Symbols are characters, spaces included; where texts are
    `spelled`, they are what stands between white space, a word is the whole line, and
    word_error_rate is the share of lines that are wrong. lowercase: of lower-cased texts, all of
    the figures. bleu: 0 where no hypothesis has four words in a row.
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
    bleu, bleu_signature = corpus_figure(bleu_metric(settings), translations)
    chrf, chrf_signature = corpus_figure(chrf_metric(settings), translations)
    others: dict[str, Any] = {name: each.value for name, each in _of_edits(translations).items()}
    return TranslationFigures(
        len(translations.hypotheses), sum(len(each) for each in translations.references), bleu,
        chrf, **others,
        lowercase=settings.lowercase, spelled=settings.spelled, bleu_signature=bleu_signature,
        chrf_signature=chrf_signature,
    )  # fmt: skip


def measures(translations: Translations) -> dict[str, Measure]:
    """The same figures with what each sentence contributes to them, by the names in
    :class:`TranslationFigures`, to be resampled (:mod:`rnnlm.evaluation.resampling`).

    Raises:
        UsageError: the BLEU tokenizer needs a package that is not installed.
    """
    return {
        "bleu": bleu_measure(translations),
        "chrf": chrf_measure(translations),
        **_of_edits(translations),
    }


def _of_edits(translations: Translations) -> dict[str, Measure]:
    """Exact match and error rates."""
    found_words = [translations.words(each) for each in translations.hypotheses]
    words = [[translations.words(each) for each in row] for row in translations.references]
    is_exact = [found in expected for found, expected in zip(found_words, words, strict=True)]
    by_word = error_counts(words, found_words)
    if translations.settings.spelled:
        rates = Measure(by_word, word_error_rate), Measure(by_word, symbol_error_rate)
    else:
        by_character = error_counts(
            [[" ".join(each) for each in row] for row in words],
            [" ".join(each) for each in found_words],
        )
        rates = (Measure(by_word, symbol_error_rate), Measure(by_character, symbol_error_rate))
    exact = Measure(Counts.of_numbers(is_exact, [1] * len(is_exact)), ratio)
    return {"exact_match": exact, "word_error_rate": rates[0], "symbol_error_rate": rates[1]}


# ---- BLEU (Papineni et al. 2002) and chrF (Popović 2015) by sacrebleu (Post 2018), from 0 to 100,
# with its signatures.
#
# The figures of a text are those of sacrebleu's metrics. So that sentences can be resampled, each
# contributes its n-grams: those of the hypothesis, those of the reference, and those that match, by
# order. BLEU of their sums is computed by sacrebleu; chrF, of which its public functions give no
# sums, by equation 1 of Popović (2015), with precision and recall averaged over the orders that
# both sides have.

BLEU_ORDER, CHRF_ORDER = 4, 6
RECALL_WEIGHT = 2  # beta: recall counts so many times as much as precision
# the kinds of counts by order; BLEU has the length of the reference as its 1-grams alone
MATCHING, HYPOTHESIS, REFERENCE = range(3)


def bleu_metric(settings: TranslationSettings) -> "BLEU":
    """sacrebleu's BLEU for these settings.

    Raises:
        UsageError: there is no such tokenizer, or it needs a package that is not installed.
    """
    from sacrebleu.metrics import BLEU

    if settings.bleu_tokenizer not in (known := get_args(BleuTokenizer)):
        raise UsageError(
            f"there is no BLEU tokenizer {settings.bleu_tokenizer!r}",
            hint=f"one of {', '.join(known)}",
        )
    try:
        # without a warning about tokenised text
        return BLEU(lowercase=settings.lowercase, tokenize=settings.bleu_tokenizer, force=True)
    except RuntimeError as error:
        language = settings.bleu_tokenizer.partition("-")[0]
        raise UsageError(
            f"the BLEU tokenizer {settings.bleu_tokenizer} is not installed",
            " ".join(str(error).split()).partition(". ")[0],
            f"pip install 'sacrebleu[{language}]', or choose another one",
        ) from None  # fmt: skip


def chrf_metric(settings: TranslationSettings) -> "CHRF":
    """sacrebleu's chrF for these settings."""
    from sacrebleu.metrics import CHRF

    return CHRF(char_order=CHRF_ORDER, beta=RECALL_WEIGHT, lowercase=settings.lowercase)


def corpus_figure(metric: "BLEU | CHRF", translations: Translations) -> tuple[float, str]:
    """The figure of all sentences, and sacrebleu's signature of it."""
    longest = max(len(each) for each in translations.references)
    by_number = [
        [each[number] if number < len(each) else None for each in translations.references]
        for number in range(longest)
    ]
    # None where there are fewer
    score = metric.corpus_score(list(translations.hypotheses), by_number)  # type: ignore[arg-type]
    return score.score, str(metric.get_signature())


def bleu_measure(translations: Translations) -> Measure:
    """BLEU with what each sentence contributes.

    Raises:
        UsageError: the tokenizer needs a package that is not installed.
    """
    metric = bleu_metric(translations.settings)
    rows = []
    for hypothesis, references in zip(
        translations.hypotheses, translations.references, strict=True
    ):
        score = metric.corpus_score([hypothesis], [[each] for each in references])
        rows.append([score.counts, score.totals, [score.ref_len] + [0] * (BLEU_ORDER - 1)])
    return Measure(_by_order(rows), bleu)


def chrf_measure(translations: Translations) -> Measure:
    """chrF with what each sentence contributes."""
    rows = []
    for hypothesis, references in zip(
        translations.hypotheses, translations.references, strict=True
    ):
        candidates = [
            _matches(hypothesis, each, translations.settings.lowercase) for each in references
        ]
        best = (
            0
            if len(candidates) == 1
            else int(np.argmax(chrf(np.swapaxes(np.array(candidates, dtype=np.float64), 0, 1))))
        )
        rows.append(candidates[best])
    return Measure(_by_order(rows), chrf)


def bleu(sums_KRC: np.ndarray) -> np.ndarray:
    """BLEU of sums of counts, by sacrebleu, with its smoothing (exp); 0 where the hypotheses have
    no four words in a row."""
    from sacrebleu.metrics import BLEU

    rows = zip(
        *sums_KRC[:REFERENCE].tolist(),
        sums_KRC[HYPOTHESIS, :, 0],
        sums_KRC[REFERENCE, :, 0],
        strict=True,
    )
    return np.array(
        [
            BLEU.compute_bleu(right, of, int(length), int(expected), "exp").score
            for right, of, length, expected in rows
        ]
    )


def chrf(sums_KRC: np.ndarray) -> np.ndarray:
    """chrF of sums of counts; 0 where nothing matches."""
    matching, hypothesis, reference = sums_KRC
    has_both = (hypothesis > 0) & (reference > 0)
    precision, recall = (
        _mean(_share(matching, whole), has_both) for whole in (hypothesis, reference)
    )
    weight = RECALL_WEIGHT**2
    return 100 * _share((1 + weight) * precision * recall, weight * precision + recall)


def _matches(hypothesis: str, reference: str, lowercase: bool) -> list[list[int]]:
    """The counts of one sentence: kinds by orders. An order that the reference is too short for
    does not count, as sacrebleu has it."""
    from sacrebleu import extract_char_ngrams

    if lowercase:
        hypothesis, reference = hypothesis.lower(), reference.lower()
    counts = []
    for order in range(1, CHRF_ORDER + 1):
        found, expected = (
            extract_char_ngrams(hypothesis, order),
            extract_char_ngrams(reference, order),
        )
        counts.append(
            [(found & expected).total(), found.total() if expected else 0, expected.total()]
        )
    return [list(kind) for kind in zip(*counts, strict=True)]


def _by_order(rows: Sequence[Sequence[Sequence[int]]]) -> Counts:
    from scipy.sparse import csr_array

    kinds_KNC = np.swapaxes(np.array(rows, dtype=np.float64), 0, 1)
    return Counts(
        tuple(str(order) for order in range(1, kinds_KNC.shape[2] + 1)),
        tuple(csr_array(table_NC) for table_NC in kinds_KNC),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def _mean(values_RC: np.ndarray, is_counted_RC: np.ndarray) -> np.ndarray:
    return _share((values_RC * is_counted_RC).sum(axis=-1), is_counted_RC.sum(axis=-1))


# ---- The signature of a figure of decoded text: what sacrebleu's does not know, namely the data,
# the search and the model.


@dataclass(frozen=True)
class TranslationSignature(FigureSignature):
    """The parts of a signature, in the order they are printed; empty ones are left out.

    figure: bleu, word_error_rate, ... data: the hash of sources and references. beam, length_power,
    max_length, copy_unknown: how texts were decoded; by these, as by the model, figures that
    compare may differ.
    """

    of_what: ClassVar[str] = "translations"
    may_differ: ClassVar[frozenset[str]] = frozenset(
        {"beam", "length_power", "max_length", "copy_unknown", "model"}
    )

    case: str = ""  # kept | lower
    units: str = ""  # of error rates: plain | spelled
    tok: str = ""  # of BLEU: 13a, ...
    data: str = ""
    beam: str = ""  # 1: greedy
    length_power: str = ""
    max_length: str = ""  # of the source
    copy_unknown: str = ""  # yes | no
    model: str = ""  # its fingerprint

    @classmethod
    def of(cls, figure: str, settings: TranslationSettings, **parts: str) -> Self:
        """That of a figure measured with these settings; parts: data, model, and how texts were
        decoded."""
        tok = settings.bleu_tokenizer if figure == "bleu" else ""
        units = (
            ("spelled" if settings.spelled else "plain") if figure.endswith("_error_rate") else ""
        )
        return cls(
            figure, case="lower" if settings.lowercase else "kept", units=units, tok=tok, **parts
        )


# ---- What a tokenizer loses: references encoded and decoded again, measured against themselves.
#
# A model writes nothing that its tokenizer cannot decode to: what is lost here, as unknown words
# are, no model over this tokenizer can make good, unless it copies words from the source. BLEU is
# 100 where nothing is lost that BLEU sees.


def tokenizer_figures(
    tokenizer: Tokenizer,
    references: Sequence[Sequence[str]],
    settings: TranslationSettings = TranslationSettings(),
) -> TranslationFigures:
    """The figures of every single reference after `encode` and `decode`, against itself; its
    `is_perfect` says whether anything is lost.

    settings: with `lowercase` where the tokenizer lower-cases, as for the model's own figures.

    Raises:
        UsageError: there is no reference, or the BLEU tokenizer needs a package that is not
            installed.
    """
    lines = [each for row in references for each in row]
    encoded = tokenizer.encode(lines)
    decoded = [
        tokenizer.decode(encoded.ids[start : end - 1])
        for start, end in itertools.pairwise(encoded.offsets.tolist())
    ]
    return measure(Translations(decoded, [[line] for line in lines], settings))


# ---- Word and symbol error rates of sequences that may be any of several references, as the
# pronunciations of a word.
#
# A word is wrong where what was predicted equals none of its references. The symbol error rate is
# the sum of the edit distances (Levenshtein 1966, by rapidfuzz) to the nearest reference of each
# word over the sum of the lengths of these references; of references that are equally near, the
# longest counts, so that their order makes no difference.

References = Sequence[Sequence[Sequence[str]]]  # of each word, its references, which are symbols


def error_counts(references: References, predicted: Sequence[Sequence[str]]) -> Counts:
    """Edits, symbols of the nearest reference, wrong words and words, by word: what the two rates
    are made of.

    Raises:
        UsageError: there are not as many predictions as words, or a word has no reference.
    """
    if len(references) != len(predicted):
        raise UsageError(
            f"there are references for {len(references):,} words and predictions for "
            f"{len(predicted):,}"
        )
    nearest = []
    for number, (expected, found) in enumerate(zip(references, predicted, strict=True), start=1):
        if not expected:
            raise UsageError(
                f"word {number:,} has no reference", hint="give each word at least one"
            )
        nearest.append(_nearest(expected, found))
    edits, symbols = zip(*nearest, strict=True) if nearest else ((), ())
    return Counts.of_numbers(edits, symbols, [each > 0 for each in edits], [1] * len(edits))


def symbol_error_rate(sums_KRC: np.ndarray) -> np.ndarray:
    """Edits over symbols of the nearest references; not a number where these have none. It can be
    above 1."""
    return ratio(sums_KRC[:2])


def word_error_rate(sums_KRC: np.ndarray) -> np.ndarray:
    """Wrong words over words."""
    return ratio(sums_KRC[2:])


def _nearest(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> tuple[int, int]:
    """The edit distance to the nearest reference, and how many symbols that has."""
    from rapidfuzz.distance import Levenshtein

    distance, less_symbols = min(
        (Levenshtein.distance(each, predicted), -len(each)) for each in references
    )
    return distance, -less_symbols
