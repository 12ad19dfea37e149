"""Two or more models on one text: which is better, by how much, how sure that is, and where they
differ.

All models read the same lines, and every token is scored exactly once; the figures are those of
:mod:`rnnlm.evaluation.perplexity`. Intervals and p-values are over lines, or blocks of lines, that
both models of a pair have read: Koehn (2004) for the paired bootstrap, Good (2005) for the
permutation of signs; see :mod:`rnnlm.evaluation.metrics`. A p-value is of its pair alone,
whatever others are compared.
"""

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from rnnlm.config import Checked, Count, Natural
from rnnlm.errors import ComparisonError, UsageError, notice
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.calibration import Calibration, calibrate
from rnnlm.evaluation.comparison import tables as difference_tables
from rnnlm.evaluation.comparison.tables import GroupRow, LargestDifferences, Units
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import (
    LEVEL,
    NO_OOV,
    PERMUTATIONS,
    RESAMPLES,
    Interval,
    Trials,
    by_block,
    intervals_of,
    permutation_p,
    ratio_interval,
)
from rnnlm.evaluation.perplexity import (
    METRICS,
    PER_TEXT,
    PER_TOKEN,
    PER_WORD,
    Context,
    LineSums,
    Signature,
    TextEvaluation,
    lines_per_block,
)
from rnnlm.inference import span_scoring
from rnnlm.interface import UNKNOWN, Device, LanguageModel, Tokenizer
from rnnlm.models import loading
from rnnlm.models.loading import ScoringModel, warn_if_trained_on
from rnnlm.text.corpus import Text, TextInMemory
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent
from rnnlm.text.marks import tell_unseen

# ---- What several models are called, which of their figures on one text can be compared, and which
# part of their signatures forbids the others.
#
# Numbers compare when they are about the same events. Lines, case, blank lines, `<unk>` and line
# ends must be treated alike for anything to compare; how `<unk>` is read makes no difference to a
# text that holds none. Where tokenizers differ, tokens are different events; whole words,
# characters and bytes are the same ones, if no word is unknown: an unknown word is one event to a
# model of words, and many to a model of pieces. In which direction lines are read makes no
# difference to the events: either way the probabilities of a line's tokens multiply to that of the
# line, so numbers of both directions compare, and signatures say which is which.

# of the figures that models are compared by
UNITS = {"ppl_token": "token", "ppl_word": "word", "bits_per_char": "character"}
_HINT = {
    "data": "measure both on the same text",
    "case": "compare models of which all keep the case, or none",
    "blank": "read blank lines alike",
    "unk": "compare models trained with the same literal_unk, or on a text without <unk>",
    "eos": "count line ends alike",
}


@dataclass(frozen=True)
class Subject:
    """What decides whether figures of a model on a text compare with those of another.
    unknown_tokens: those of words, and white space. cut: how the tokenizer changes the text before
    it is cut into tokens, beside the case."""

    name: str
    signature: Signature
    unknown_tokens: int
    keeps_text: bool
    cut: str

    @classmethod
    def of(
        cls, name: str, signature: Signature, tokenizer: Tokenizer, encoded: EncodedText
    ) -> "Subject":
        settings: dict[str, Any] = tokenizer.to_settings()
        changes = [
            tokenizer.rewriting,
            "punctuation split off" if settings.get("split_punctuation") else "",
        ]
        cut = ", ".join(filter(None, changes)) or "the text as it stands"
        return cls(name, signature, len(encoded.oov), tokenizer.keeps_text, cut)


@dataclass(frozen=True)
class Refused:
    """A figure that cannot be compared, the part of the signature that differs (None: it is not
    that), and why not."""

    figure: str
    part: str | None
    why: str


@dataclass(frozen=True)
class Comparable:
    """figures: those that compare. main: the one that models are compared by. refused: the
    others."""

    figures: tuple[str, ...]
    main: str
    refused: tuple[Refused, ...]


def find_comparable(subjects: Sequence[Subject], holds_unk: bool = True) -> Comparable:
    """The metrics of perplexity that compare between all of `subjects`. holds_unk: whether `<unk>`
    stands in the text.

    Raises:
        ComparisonError: none does; it names the part of the signatures that differs.
    """
    for part, hint in _HINT.items():
        if _differ(subjects, part) and (part != "unk" or holds_unk):
            what = f"these models cannot be compared: the part {part} of their signatures differs"
            raise ComparisonError(what, _values(subjects, part), hint)
    if not _differ(subjects, "tok"):
        return Comparable(METRICS, METRICS[0], ())
    _check_same_words(subjects)
    why = f"tokens are different events: {_values(subjects, 'tok')}"
    refused = [Refused(figure, "tok", why) for figure in PER_TOKEN]
    changing = [subject.name for subject in subjects if not subject.keeps_text]
    if not changing:
        return Comparable((*PER_WORD, *PER_TEXT), PER_TEXT[0], tuple(refused))
    why = (
        f"{' and '.join(changing)} {'does' if len(changing) == 1 else 'do'} not keep the "
        "text as it is"
    )
    return Comparable(
        PER_WORD, PER_WORD[0], (*refused, *(Refused(figure, None, why) for figure in PER_TEXT))
    )


def _check_same_words(subjects: Sequence[Subject]) -> None:
    """Whether models of different tokenizers predict the same words, all of them known.

    Raises:
        ComparisonError: they do not.
    """
    what = "these models cannot be compared: the part tok of their signatures differs"
    if len({subject.cut for subject in subjects}) > 1:
        why = "and so do the words they predict: " + ", ".join(
            f"{subject.cut} for {subject.name}" for subject in subjects
        )
        raise ComparisonError(
            what, why, "compare models of one tokenizer: rnnlm train --tokenizer-from"
        )
    unknown = [
        f"{subject.unknown_tokens:,} tokens to {subject.name}"
        for subject in subjects
        if subject.unknown_tokens
    ]
    if unknown:
        why = f"{_values(subjects, 'tok')}; parts of the text are unknown, {', '.join(unknown)}"
        why += ", so nothing compares per word, character or byte"
        hint = (
            "train one again with --tokenizer-from the other, or compare on lines whose "
            "words all of them know"
        )
        raise ComparisonError(what, why, hint)


def _differ(subjects: Sequence[Subject], part: str) -> bool:
    return len({getattr(subject.signature, part) for subject in subjects}) > 1


def _values(subjects: Sequence[Subject], part: str) -> str:
    return ", ".join(
        f"{part}:{getattr(subject.signature, part)} for {subject.name}" for subject in subjects
    )


def names_of(models: Sequence[ScoringModel], names: Sequence[str] | None) -> list[str]:
    """A name for each model, all different: the last part of its folder, or as many parts as tell
    it from the others.

    Raises:
        UsageError: the number of names is not that of the models.
    """
    if names is not None and len(names) != len(models):
        raise UsageError(
            f"{len(names)} names do not fit {len(models)} models", hint="give one for each"
        )
    given = list(
        names
        or (
            str(model) if isinstance(model, (str, Path)) else f"model {k}"
            for k, model in enumerate(models, start=1)
        )
    )
    parts = [os.path.normpath(name).split(os.sep) for name in given]
    for depth in range(1, 1 + max(map(len, parts), default=0) if names is None else 0):
        short = [os.sep.join(each[-depth:]) for each in parts]
        if len(set(short)) == len(short):
            return short
    return [
        name if given.count(name) == 1 else f"{name} ({given[: k + 1].count(name)})"
        for k, name in enumerate(given)
    ]


# ---- By how much two models differ on the lines of a text, and how sure that is: with its unknown
# tokens, and without them.
#
# What a model gives to an unknown word says little about how it predicts words, and may decide a
# comparison all the same: where a text has such words, both figures are given, and where they
# disagree one sentence says so.

LARGEST_BITS = 1000  # of a difference whose ratio of perplexities is a number


@dataclass(frozen=True)
class Measured:
    """difference_bits: bits per token, word or character, as the comparison's `figure` has it, of
    the second model less the first; below 0 the second is better. ppl_ratio: the second's
    perplexity over the first's, None where the figure is not a perplexity, or their ratio is not
    finite. All are None where a token has probability zero."""

    difference_bits: Interval | None
    ppl_ratio: Interval | None
    p: float | None


@dataclass(frozen=True)
class Difference(Measured):
    """Two models. no_oov: the same without unknown tokens, None where nothing is unknown.
    disagreement: a sentence that says how these two differ about which model is better, where they
    do."""

    first: str
    second: str
    no_oov: Measured | None
    disagreement: str | None


def difference(
    names: tuple[str, str],
    sums: tuple[LineSums, LineSums],
    figure: str,
    block_lines: int,
    resamples: int | None,
    seed: int,
) -> Difference:
    """The difference of two models on the same lines, resampled in blocks of `block_lines`.
    resamples: None for RESAMPLES and PERMUTATIONS."""
    unknown = int(sums[0].oov_S.sum())
    with_all = _measured(sums, figure, block_lines, resamples, seed)
    no_oov = _measured(sums, figure + NO_OOV, block_lines, resamples, seed) if unknown else None
    said = _disagreement(names, with_all, no_oov, unknown) if no_oov else None
    return Difference(
        with_all.difference_bits, with_all.ppl_ratio, with_all.p, *names, no_oov, said
    )


def _measured(
    sums: tuple[LineSums, LineSums], figure: str, block_lines: int, resamples: int | None, seed: int
) -> Measured:
    first, second = (each.logprob_of(figure) for each in sums)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return Measured(None, None, None)
    bits_N = by_block((first - second) / math.log(2), block_lines)
    counts_N = by_block(sums[0].counts_of(figure), block_lines)
    bits = ratio_interval(bits_N, counts_N, resamples=resamples or RESAMPLES, seed=seed)
    is_ratio = figure.startswith("ppl") and max(abs(bits.low), abs(bits.high)) < LARGEST_BITS
    ratio = Interval(2**bits.estimate, 2**bits.low, 2**bits.high, bits.level) if is_ratio else None
    return Measured(
        bits, ratio, permutation_p(bits_N, resamples=resamples or PERMUTATIONS, seed=seed)
    )


def _disagreement(
    names: tuple[str, str], with_all: Measured, no_oov: Measured, unknown: int
) -> str | None:
    verdicts = [_verdict(names, each) for each in (with_all, no_oov)]
    if None in verdicts or verdicts[0] == verdicts[1]:
        return None
    tokens = "the unknown token" if unknown == 1 else f"the {unknown:,} unknown tokens"
    without = "without it" if unknown == 1 else "without them"
    return (
        f"with {tokens}, {verdicts[0]}; {without}, {verdicts[1]}: only the latter is about words "
        "that the models know"
    )


def _verdict(names: tuple[str, str], measured: Measured) -> str | None:
    """Which model is better, in words; None where a token has probability zero."""
    if measured.difference_bits is None or measured.p is None:
        return None
    if measured.p > 1 - LEVEL:
        return "neither model is significantly better"
    first, second = names
    return (
        f"{second} is better than {first}"
        if measured.difference_bits.estimate < 0
        else f"{first} is better than {second}"
    )


# ---- comparison

TOP = 20


@dataclass(frozen=True)
class ComparisonSettings(Checked):
    """How models are compared. block_lines: lines resampled together (None: one, or as many as give
    10,000 blocks). resamples: of bootstrap and permutation test (None: RESAMPLES and PERMUTATIONS).
    top: lines and words listed for each model of a pair. calibration_tokens: how many tokens
    calibration is measured on, 0 for none."""

    context: Context = "carry"
    block_lines: Count | None = None
    resamples: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    seed: Natural = 1
    top: Natural = TOP
    calibration_tokens: Natural = 0


@dataclass(frozen=True)
class Compared:
    """One of the models. folder: None of a model in memory. intervals: of the figures of
    `evaluation` that compare, by name."""

    name: str
    folder: str | None
    evaluation: TextEvaluation
    intervals: dict[str, Interval]
    calibration: Calibration | None

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "name": self.name,
            "folder": self.folder,
            "evaluation": self.evaluation.to_dict(),
            "intervals": {name: vars(each) for name, each in self.intervals.items()},
            "calibration": None
            if self.calibration is None
            else dataclasses.asdict(self.calibration),
        }


@dataclass(frozen=True)
class Comparison:
    """figure: what the models are compared by, one of `figures`, which compare; `refused` ones do
    not. unit: what the tables count, tokens or words. bits_KS: surprisal of each line under each
    model. lines_apart, words_apart: where models differ most from the first.

    bands: by training frequency, empty where none is known. ngrams: by the longest n-gram that is
    in `ngram_source`, None where nothing says. unaligned_lines: see
    :class:`rnnlm.evaluation.comparison.tables.Units`.
    """

    figure: str
    figures: tuple[str, ...]
    refused: tuple[Refused, ...]
    context: Context
    lines: int
    block_lines: int
    unit: Literal["token", "word"]
    units: int
    unaligned_lines: int
    models: tuple[Compared, ...]
    differences: tuple[Difference, ...]
    bands: tuple[GroupRow, ...]
    positions: tuple[GroupRow, ...]
    ngrams: tuple[GroupRow, ...]
    ngram_source: str | None
    lines_apart: tuple[LargestDifferences, ...]
    words_apart: tuple[LargestDifferences, ...]
    seconds: float
    bits_KS: np.ndarray = field(repr=False, compare=False)

    @property
    def per(self) -> str:
        """What the differences are per: token, word or character."""
        return UNITS[self.figure]

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs, in bits per unit."""
        return tuple(
            Contrast(each.first, each.second, f"bits a {self.per}", each.difference_bits)
            for each in self.differences
        )

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types, without the lines' surprisals."""
        values = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name != "bits_KS"
        }
        found = {name: _plain(value) for name, value in values.items() if name != "models"}
        return {name: found.get(name, [each.to_dict() for each in self.models]) for name in values}


def compare(
    models: Sequence[LanguageModel | str | Path], text: str | Path | Sequence[str | Path] | Text, *,
    train: str | Path | Sequence[str | Path] | Text | None = None,
    settings: ComparisonSettings = ComparisonSettings(),
    names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None,
    report: Progress = silent,
) -> Comparison:  # fmt: skip
    """Compare `models`, themselves or by their names (NAME+cache, NAME+dynamic, NAME+unigram
    adapt), on `text`.

    train: a training text, in which n-grams are looked up and, where the models do not know, words
    are counted. names: what models are called in the result. report: called with the progress of
    the work.

    Raises:
        UsageError: there are fewer than two models, or a setting is not valid. ComparisonError:
            nothing compares. TextError: a text cannot be read or is empty. ModelError: a model is
            missing or damaged. DeviceError.
    """
    began = time.perf_counter()
    names = names_of(models, names)
    _check(names, settings)
    opened = [
        _opened(str(model), device) if isinstance(model, (str, Path)) else (model, None)
        for model in models
    ]
    loaded, folders = [model for model, _ in opened], [folder for _, folder in opened]
    text = TextInMemory.read(perplexity.as_text(text, text_settings), report)
    read = _Read.of(loaded, names, text, settings.context, report)
    stored = {name: folder for name, folder in zip(names, folders, strict=True) if folder}
    warn_if_trained_on(read.encoded[0].lines_hash, stored, "perplexities")
    units = difference_tables.units_of(
        text, [model.tokenizer for model in loaded], read.encoded, read.scores
    )
    if units.unaligned_lines:
        notice(
            f"{units.unaligned_lines:,} lines are one unit each in the tables: the tokenizers "
            "count different numbers of words in them"
        )
    found = [
        perplexity.summary(model, scores, encoded, settings.context, began, keeps_lines=True)
        for model, scores, encoded in zip(loaded, read.scores, read.encoded, strict=True)
    ]
    sums = [each.lines for each in found if each.lines is not None]
    block_lines = lines_per_block(len(sums[0].logprob_S), settings.block_lines)
    report("resampling lines")
    compared = [
        _compared(k, read, found[k], folder, block_lines, settings)
        for k, folder in enumerate(folders)
    ]
    tables = _tables(
        units, read, None if train is None else perplexity.as_text(train, text_settings), report
    )
    return Comparison(
        figure=read.comparable.main, figures=read.comparable.figures,
        refused=read.comparable.refused, context=settings.context,
        lines=len(sums[0].logprob_S), block_lines=block_lines, unit=units.name,
        units=len(units.ids_U),
        unaligned_lines=units.unaligned_lines, models=tuple(compared),
        differences=_differences(read, sums, block_lines, settings),
        **tables, **_apart(units, names, sums, text, settings.top),
        seconds=time.perf_counter() - began,
        bits_KS=np.stack([each.logprob_S for each in sums]) / -math.log(2),
    )  # fmt: skip


def _opened(name: str, device: str | Device) -> tuple[LanguageModel, Path]:
    """A model by name, and its folder; NAME+KIND is the model NAME with an adaptation of that
    kind."""
    return loading.load(name, device), loading.folder_of(name)


def _check(names: Sequence[str], settings: ComparisonSettings) -> None:
    """What can be said before anything is read."""
    perplexity.check_context(settings.context)
    if len(names) < 2:
        raise UsageError(
            "a comparison needs at least two models", f"there is {len(names)}", "name another one"
        )
    for name, least in (
        ("block_lines", 1),
        ("resamples", 1),
        ("seed", 0),
        ("top", 0),
        ("calibration_tokens", 0),
    ):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise UsageError(f"{name} = {value} is not valid", hint=f"{least} or more")


@dataclass(frozen=True)
class _Read:
    """The models, the text as the tokenizer of each cuts it, and its log-probability (nats) of each
    token."""

    models: Sequence[LanguageModel]
    names: Sequence[str]
    text: Text
    context: Context
    encoded: list[EncodedText]
    comparable: Comparable
    scores: list[np.ndarray]

    @classmethod
    def of(
        cls,
        models: Sequence[LanguageModel],
        names: Sequence[str],
        text: Text,
        context: Context,
        report: Progress,
    ) -> "_Read":
        """Raises:
        ComparisonError: nothing compares, which is found before anything is scored.
        """
        encoded = _encoded(text, [model.tokenizer for model in models])
        tell_unseen(
            encoded[0].marks,
            {name: model.tokenizer for name, model in zip(names, models, strict=True)},
        )
        subjects = [
            Subject.of(name, perplexity.sign(model, its, context), model.tokenizer, its)
            for name, model, its in zip(names, models, encoded, strict=True)
        ]
        holds_unk = any(UNKNOWN in line.lower() for block in text.blocks() for line in block.lines)
        comparable = find_comparable(subjects, holds_unk)
        scores = []
        for name, model, its in zip(names, models, encoded, strict=True):
            report(f"{name} reads {its.tokens:,} tokens")
            scores.append(
                span_scoring.score_spans(
                    model, its.ids, perplexity.spans_of(its, context), report=prefixed(report, name)
                )
            )
            span_scoring.check_scores(scores[-1])
        return cls(models, names, text, context, encoded, comparable, scores)


def _encoded(text: Text, used: Sequence[Tokenizer]) -> list[EncodedText]:
    """The text once for each different tokenizer; one that spells unseen words serves for its like,
    too."""
    chosen: dict[str, Tokenizer] = {}
    for tokenizer in used:
        if tokenizer.fingerprint not in chosen or tokenizer.spells:
            chosen[tokenizer.fingerprint] = tokenizer
    encoded = {fingerprint: text.encode(tokenizer) for fingerprint, tokenizer in chosen.items()}
    return [encoded[tokenizer.fingerprint] for tokenizer in used]


def _compared(
    k: int,
    read: _Read,
    found: TextEvaluation,
    folder: Path | None,
    block_lines: int,
    settings: ComparisonSettings,
) -> Compared:
    model, encoded = read.models[k], read.encoded[k]
    trials = Trials(settings.resamples, settings.seed, block_lines)
    compared = [each for each in found.metrics if each.name in read.comparable.figures]
    intervals = intervals_of(compared, trials)
    wanted = settings.calibration_tokens
    calibration = calibrate(model, encoded, settings.context, wanted) if wanted else None
    return Compared(
        read.names[k], None if folder is None else str(folder), found, intervals, calibration
    )


def _differences(
    read: _Read, sums: Sequence[LineSums], block_lines: int, settings: ComparisonSettings
) -> tuple[Difference, ...]:
    """Of each pair of models."""
    pairs = [(i, j) for j in range(len(sums)) for i in range(j)]
    return tuple(
        difference(
            (read.names[i], read.names[j]),
            (sums[i], sums[j]),
            read.comparable.main,
            block_lines,
            settings.resamples,
            settings.seed,
        )
        for i, j in sorted(pairs)
    )


def _tables(units: Units, read: _Read, train: Text | None, report: Progress) -> dict[str, Any]:
    """Bands, positions and n-grams."""
    counts_V = units.counts_V
    ngrams: tuple[GroupRow, ...] = ()
    source = None
    known = [
        (name, model)
        for name, model in zip(read.names, read.models, strict=True)
        if hasattr(model, "longest_matches")
    ]
    alike = [
        (name, model)
        for name, model in known
        if model.tokenizer.fingerprint == units.tokenizer.fingerprint
    ]
    if train is not None:
        encoded, source = train.encode(units.tokenizer, report), ", ".join(train.sources)
        counts_V = difference_tables.counts_in(units, encoded) if counts_V is None else counts_V
        ngrams = difference_tables.by_ngram_in(units, encoded)
    elif alike:
        source, model = alike[0]
        ngrams = difference_tables.by_ngram_of(units, model)
    bands = () if counts_V is None else difference_tables.by_frequency(units, counts_V)
    return {
        "bands": bands,
        "positions": difference_tables.by_position(units),
        "ngrams": ngrams,
        "ngram_source": source,
    }


def _apart(
    units: Units, names: Sequence[str], sums: Sequence[LineSums], text: Text, top: int
) -> dict[str, Any]:
    """Lines and words on which each model differs most from the first."""
    lines = [line for block in text.blocks() for line in block.lines]
    bits = [each.logprob_S / -math.log(2) for each in sums]
    others = [(k, (names[0], names[k])) for k in range(1, len(names))]
    return {
        "lines_apart": tuple(
            difference_tables.lines_apart(pair, lines, np.stack([bits[0], bits[k]]), top)
            for k, pair in others
        ),
        "words_apart": tuple(
            difference_tables.words_apart(pair, units, (0, k), top) for k, pair in others
        ),
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
