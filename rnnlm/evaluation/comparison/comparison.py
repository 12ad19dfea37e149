"""Two or more models on one text: which is better, by how much, how sure that is, and where they
differ.

All models read the same lines, and every token is scored exactly once; the figures are those of
:mod:`rnnlm.evaluation.perplexity`. Intervals and p-values are over lines, or blocks of lines, that
both models of a pair have read: Koehn (2004) for the paired bootstrap, Good (2005) for the
permutation of signs; see :mod:`rnnlm.evaluation.resampling`. A p-value is of its pair alone,
whatever others are compared.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from rnnlm.errors import ComparisonError, UsageError, notice
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.calibration import Calibration, calibrate
from rnnlm.evaluation.comparison import tables as difference_tables
from rnnlm.evaluation.comparison.pairing import (
    HINTS,
    Comparable,
    ComparedModel,
    Key,
    ModelComparison,
    Outcome,
    Refused,
    Side,
    compare_models,
    shown_interval,
)
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.comparison.tables import GroupRow, LargestDifferences, Units
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import NO_OOV, Table, shown
from rnnlm.evaluation.perplexity import (
    METRICS,
    PER_TEXT,
    PER_TOKEN,
    PER_WORD,
    Context,
    LineSums,
    Measured,
    Signature,
    TextEvaluation,
    lines_per_block,
    tell_single_block,
)
from rnnlm.evaluation.resampling import LEVEL, Interval, MetricDifference, Trials
from rnnlm.inference import span_scoring
from rnnlm.interface import UNKNOWN, Device, LanguageModel, Tokenizer
from rnnlm.models import loading
from rnnlm.models.loading import warn_if_trained_on
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

# parts of signatures, all of which `find_comparable` looks at
PARTS = frozenset({"rnnlm", *(each.name for each in fields(Signature))})
# of the figures that models are compared by
UNITS = {"ppl_token": "token", "ppl_word": "word", "bits_per_char": "character"}


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


def find_comparable(subjects: Sequence[Subject], holds_unk: bool = True) -> Comparable:
    """The metrics of perplexity that compare between all of `subjects`. holds_unk: whether `<unk>`
    stands in the text.

    Raises:
        ComparisonError: none does; it names the part of the signatures that differs.
    """
    for part, hint in HINTS.items():
        if _differ(subjects, part) and (part != "unk" or holds_unk):
            what = f"these models cannot be compared: the part {part} of their signatures differs"
            raise ComparisonError(what, _values(subjects, part), hint)
    if not _differ(subjects, "tok"):
        return Comparable(METRICS, METRICS[0], may_differ=PARTS)
    _check_same_words(subjects)
    why = f"tokens are different events: {_values(subjects, 'tok')}"
    refused = [Refused(figure, "tok", why) for figure in PER_TOKEN]
    changing = [subject.name for subject in subjects if not subject.keeps_text]
    if not changing:
        return Comparable((*PER_WORD, *PER_TEXT), PER_TEXT[0], tuple(refused), may_differ=PARTS)
    why = (
        f"{' and '.join(changing)} {'does' if len(changing) == 1 else 'do'} not keep the "
        "text as it is"
    )
    refused += [Refused(figure, None, why) for figure in PER_TEXT]
    return Comparable(PER_WORD, PER_WORD[0], tuple(refused), may_differ=PARTS)


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


# ---- By how much two models differ on the lines of a text, and how sure that is: with its unknown
# tokens, and without them.
#
# What a model gives to an unknown word says little about how it predicts words, and may decide a
# comparison all the same: where a text has such words, both figures are given, and where they
# disagree one sentence says so.


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
    names: tuple[str, str], found: Mapping[Key, MetricDifference], metric: str, unknown: int
) -> Difference:
    """Return the difference of two models by a metric. found: all differences between them.
    unknown: how many tokens of the text are."""
    nothing = Measured(None, None, None)
    with_all = cast(Measured, found.get(("", metric), nothing))
    no_oov = cast(Measured, found.get(("", metric + NO_OOV), nothing)) if unknown else None
    said = _disagreement(names, with_all, no_oov, unknown) if no_oov else None
    return Difference(
        with_all.difference_bits, with_all.ppl_ratio, with_all.p, *names, no_oov, said
    )


def differing_by(metric: str, unknown: int) -> tuple[str, ...]:
    """Return the metrics of which :func:`difference` needs the differences."""
    if not metric:
        return ()
    return (metric, metric + NO_OOV) if unknown else (metric,)


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


def measured_cells(measured: Measured) -> list[str]:
    """Return a difference as cells of a table: bits, the ratio of perplexities, and p."""
    return [
        shown_interval(measured.difference_bits, "+.4f"),
        shown_interval(measured.ppl_ratio, "+.1%", shift=1),
        "-" if measured.p is None else f"{measured.p:.4f}",
    ]


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


@dataclass(frozen=True)
class Compared(ComparedModel[TextEvaluation]):
    """One of the models; calibration: where it was asked for."""

    calibration: Calibration | None = None

    @property
    def intervals(self) -> dict[str, Interval]:
        """The intervals of the metrics of `evaluation` that compare, by name."""
        return self.by_name

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        calibration = self.calibration
        return {
            "name": self.name,
            "folder": self.folder,
            "evaluation": self.evaluation.to_dict(),
            "intervals": {name: vars(each) for name, each in self.intervals.items()},
            "calibration": None if calibration is None else dataclasses.asdict(calibration),
        }


@dataclass(frozen=True)
class Comparison(ModelComparison):
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

    @property
    def compared(self) -> tuple[Compared, ...]:
        return self.models

    @property
    def keys(self) -> list[Key]:
        said = {key for model in self.models for key in model.said}
        return [("", name) for name in self.figures if ("", name) in said]

    @property
    def remarks(self) -> Sequence[str]:
        found = [f"{each.figure} is not compared: {each.why}" for each in self.refused]
        if self.models[0].evaluation.closed_vocabulary:
            found.insert(
                0,
                "closed vocabulary: ppl_word compares between these models, not with figures of "
                "other tokenizers",
            )
        for model in self.models:
            if not model.evaluation.normalised:
                found.append(f"{model.name} is not normalised: its figures are not perplexities")
        found += [f"note: {each.disagreement}" for each in self.differences if each.disagreement]
        return found

    def difference_table(self) -> Table:
        """Return the differences of all pairs, with unknown tokens and without them."""
        rows = []
        for each in self.differences:
            name = f"{each.second} - {each.first}"
            rows.append([name, *measured_cells(each)])
            if each.no_oov is not None:
                rows.append([f"{name}, no unknown tokens", *measured_cells(each.no_oov)])
        return Table(["difference", f"bits per {self.per}", "perplexity", "p"], rows)

    def tables(self, top: int) -> Iterator[Table]:
        """Yield where the models differ: groups of tokens, lines, words; `top` of each side."""
        groups = {
            "training frequency": self.bands,
            "position in line": self.positions,
            "longest n-gram seen": self.ngrams,
        }
        for title, table in groups.items():
            if table:
                columns = [title, f"{self.unit}s", *(f"ppl {each.name}" for each in self.models)]
                rows = [[row.group, f"{row.units:,}", *map(shown, row.ppl)] for row in table]
                yield Table(columns, rows)
        for what, number, pairs in (
            ("line", "number", self.lines_apart),
            (self.unit, "count", self.words_apart),
        ):
            for apart in pairs:
                items = [(apart.first, item) for item in apart.for_first[:top]]
                items += [(apart.second, item) for item in apart.for_second[:top]]
                rows = [
                    [name, f"{item.number:,}", f"{item.difference_bits:+,.2f}", item.text]
                    for name, item in items
                ]
                if rows:
                    columns = ["likelier under", number, "difference in bits", what]
                    yield Table(columns, rows, ends_in_text=True)

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
    perplexity.check_context(settings.context)
    _check(settings)
    trains_on = None if train is None else perplexity.as_text(train, text_settings)
    comparing = _Comparing(perplexity.as_text(text, text_settings), trains_on, settings, report)
    trials = Trials(settings.resamples, settings.seed)
    return compare_models(models, comparing, names=names, trials=trials, device=device)


def _check(settings: ComparisonSettings) -> None:
    """What can be said before anything is read."""
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


_Side = Side[LanguageModel, EncodedText]


class _Comparing:
    """Language models on one text, which is read once, and encoded once for each tokenizer."""

    def __init__(
        self, text: Text, train: Text | None, settings: ComparisonSettings, report: Progress
    ) -> None:
        self.began = time.perf_counter()
        self.unread, self.train, self.settings, self.report = text, train, settings, report
        self.encoded: dict[str, EncodedText] = {}
        self.spelling: set[str] = set()
        self.scores: list[np.ndarray] = []

    @functools.cached_property
    def text(self) -> TextInMemory:
        """The text, once it is needed."""
        return TextInMemory.read(self.unread, self.report)

    def read(self, model: LanguageModel, called: str) -> EncodedText:
        # One that spells unseen words serves for its like, too.
        tokenizer, fingerprint = model.tokenizer, model.tokenizer.fingerprint
        is_needed = tokenizer.spells and fingerprint not in self.spelling
        if is_needed or fingerprint not in self.encoded:
            self.encoded[fingerprint] = self.text.encode(tokenizer)
            self.spelling |= {fingerprint} if tokenizer.spells else set()
        return self.encoded[fingerprint]

    def comparable(self, sides: Sequence[_Side]) -> Comparable:
        tell_unseen(sides[0].data.marks, {each.name: each.model.tokenizer for each in sides})
        context = self.settings.context
        subjects = [
            Subject.of(
                each.name,
                perplexity.sign(each.model, each.data, context),
                each.model.tokenizer,
                each.data,
            )
            for each in sides
        ]
        lines = (line for block in self.text.blocks() for line in block.lines)
        found = find_comparable(subjects, any(UNKNOWN in line.lower() for line in lines))
        unknown, sentences = len(sides[0].data.oov), sides[0].data.sentences
        block_lines = lines_per_block(sentences, self.settings.block_lines)
        tell_single_block(sentences, block_lines)
        return replace(found, differing=differing_by(found.main, unknown), block_lines=block_lines)

    def measure(self, side: _Side) -> TextEvaluation:
        model, encoded, context = side.model, side.data, self.settings.context
        self.report(f"{side.name} reads {encoded.tokens:,} tokens")
        progress = prefixed(self.report, side.name)
        spans = perplexity.spans_of(encoded, context)
        scores = span_scoring.score_spans(model, encoded.ids, spans, report=progress)
        self.scores.append(scores)
        return perplexity.summary(model, scores, encoded, context, self.began, keeps_lines=True)

    def result(self, sides: Sequence[_Side], outcome: Outcome[TextEvaluation]) -> Comparison:
        names, comparable = [each.name for each in sides], outcome.comparable
        folders = {each.name: _folder(each) for each in sides}
        stored = {name: folder for name, folder in folders.items() if folder is not None}
        warn_if_trained_on(sides[0].data.lines_hash, stored, "perplexities")

        # Where the models differ is found in tokens, or in words where their tokenizers differ.
        tokenizers = [each.model.tokenizer for each in sides]
        encoded = [each.data for each in sides]
        units = difference_tables.units_of(self.text, tokenizers, encoded, self.scores)
        if units.unaligned_lines:
            notice(
                f"{units.unaligned_lines:,} lines are one unit each in the tables: the tokenizers "
                "count different numbers of words in them"
            )
        sums = [each.lines for each in outcome.evaluations if each.lines is not None]
        return Comparison(
            figure=comparable.main,
            figures=comparable.figures,
            refused=comparable.refused,
            context=self.settings.context,
            lines=sides[0].data.sentences,
            block_lines=comparable.block_lines or 1,
            unit=units.name,
            units=len(units.ids_U),
            unaligned_lines=units.unaligned_lines,
            models=tuple(map(self._compared, sides, outcome.evaluations, outcome.intervals)),
            differences=tuple(
                difference((names[i], names[j]), found, comparable.main, int(sums[i].oov_S.sum()))
                for (i, j), found in outcome.differences.items()
            ),
            **_tables(units, sides, self.train, self.report),
            **_apart(units, names, sums, self.text, self.settings.top),
            seconds=time.perf_counter() - self.began,
            bits_KS=np.stack([each.logprob_S for each in sums]) / -math.log(2),
        )

    def _compared(
        self, side: _Side, evaluation: TextEvaluation, found: dict[Key, Interval]
    ) -> Compared:
        wanted, calibration = self.settings.calibration_tokens, None
        if wanted:
            calibration = calibrate(side.model, side.data, self.settings.context, wanted)
        folder = _folder(side)
        called = None if folder is None else str(folder)
        return Compared(side.name, called, evaluation, found, calibration)


def _folder(side: _Side) -> Path | None:
    """The folder of a model that was given by its name."""
    return loading.folder_of(side.given) if isinstance(side.given, (str, Path)) else None


def _tables(
    units: Units, sides: Sequence[_Side], train: Text | None, report: Progress
) -> dict[str, Any]:
    """Bands, positions and n-grams."""
    counts_V = units.counts_V
    ngrams: tuple[GroupRow, ...] = ()
    source = None
    alike = [
        each for each in sides if each.model.tokenizer.fingerprint == units.tokenizer.fingerprint
    ]
    if train is not None:
        encoded, source = train.encode(units.tokenizer, report), ", ".join(train.sources)
        counts_V = difference_tables.counts_in(units, encoded) if counts_V is None else counts_V
        ngrams = difference_tables.by_ngram_in(units, encoded)
    else:
        # The first model that knows n-grams tells how much of each context it has seen.
        for side in alike:
            found = difference_tables.by_ngram_of(units, side.model)
            if found is not None:
                source, ngrams = side.name, found
                break
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


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
