"""Two or more models on one text: which is better, by how much, how sure that is, and where they differ.

All models read the same lines, and every token is scored exactly once; the figures are those of :mod:`rnnlm.evaluation.perplexity`.
Intervals and p-values are over lines, or blocks of lines, that both models of a pair have read: Koehn (2004) for the paired bootstrap,
Good (2005) for the permutation of signs; see :mod:`rnnlm.evaluation.resampling`. A p-value is of its pair alone, whatever others are
compared.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnnlm.errors import UsageError, notice
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.calibration import Calibration, calibrate
from rnnlm.evaluation.comparison import comparability
from rnnlm.evaluation.comparison import tables as difference_tables
from rnnlm.evaluation.comparison import units as text_units
from rnnlm.evaluation.comparison.comparability import Comparable, Refused, Subject
from rnnlm.evaluation.comparison.differences import Difference, difference
from rnnlm.evaluation.comparison.intervals import LineSums, intervals_of, lines_per_block
from rnnlm.evaluation.comparison.tables import GroupRow, LargestDifferences
from rnnlm.evaluation.comparison.units import Units
from rnnlm.evaluation.perplexity import Context, Evaluation
from rnnlm.evaluation.resampling import RESAMPLES, Interval
from rnnlm.inference import span_scoring
from rnnlm.interface import UNKNOWN, Device, LanguageModel, Tokenizer
from rnnlm.models import loading
from rnnlm.models.provenance import warn_if_trained_on
from rnnlm.text.corpus import Text, TextInMemory
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent
from rnnlm.text.marks import tell_unseen

TOP = 20


@dataclass(frozen=True)
class ComparisonSettings:
    """How models are compared. block_lines: lines resampled together (None: one, or as many as give 10,000 blocks).
    resamples: of bootstrap and permutation test (None: RESAMPLES and PERMUTATIONS). top: lines and words listed for each model of
    a pair. calibration_tokens: how many tokens calibration is measured on, 0 for none."""

    context: Context = "carry"
    block_lines: int | None = None
    resamples: int | None = None
    seed: int = 1
    top: int = TOP
    calibration_tokens: int = 0


@dataclass(frozen=True)
class Compared:
    """One of the models. folder: None of a model in memory. intervals: of the figures of `evaluation` that compare, by name."""

    name: str
    folder: str | None
    evaluation: Evaluation
    intervals: dict[str, Interval]
    calibration: Calibration | None


@dataclass(frozen=True)
class Comparison:
    """figure: what the models are compared by, one of `figures`, which compare; `refused` ones do not. unit: what the tables count,
    tokens or words. bits_KS: surprisal of each line under each model. lines_apart, words_apart: where models differ most from the first.

    bands: by training frequency, empty where none is known. ngrams: by the longest n-gram that is in `ngram_source`, None where nothing
    says. unaligned_lines: see :class:`rnnlm.evaluation.comparison.units.Units`.
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
        return comparability.UNITS[self.figure]

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types, without the lines' surprisals."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "bits_KS"}
        return {name: _plain(value) for name, value in values.items()}


def compare(
    models: Sequence[LanguageModel | str | Path], text: str | Path | Sequence[str | Path] | Text, *,
    train: str | Path | Sequence[str | Path] | Text | None = None, settings: ComparisonSettings = ComparisonSettings(),
    names: Sequence[str] | None = None, device: str | Device = "auto", text_settings: TextSettings | None = None,
    report: Progress = silent,
) -> Comparison:  # fmt: skip
    """Compare `models`, themselves or by their names (NAME+cache, NAME+dynamic, NAME+unigram adapt), on `text`.

    train: a training text, in which n-grams are looked up and, where the models do not know, words are counted. names: what models are
    called in the result. report: called with the progress of the work.

    Raises:
        UsageError: there are fewer than two models, or a setting is not valid. ComparisonError: nothing compares. TextError: a text
            cannot be read or is empty. ModelError: a model is missing or damaged. DeviceError.
    """
    began = time.perf_counter()
    names = comparability.names_of(models, names)
    _check(names, settings)
    opened = [_opened(str(model), device) if isinstance(model, (str, Path)) else (model, None) for model in models]
    loaded, folders = [model for model, _ in opened], [folder for _, folder in opened]
    text = TextInMemory.read(perplexity.as_text(text, text_settings), report)
    read = _Read.of(loaded, names, text, settings.context, report)
    stored = {name: folder for name, folder in zip(names, folders, strict=True) if folder}
    warn_if_trained_on(read.encoded[0].lines_hash, stored, "perplexities")
    units = text_units.units_of(text, [model.tokenizer for model in loaded], read.encoded, read.scores)
    if units.unaligned_lines:
        notice(f"{units.unaligned_lines:,} lines are one unit each in the tables: the tokenizers count different numbers of words in them")
    sums = [LineSums.of(encoded, scores) for encoded, scores in zip(read.encoded, read.scores, strict=True)]
    block_lines = lines_per_block(len(sums[0].logprob_S), settings.block_lines)
    report("resampling lines")
    compared = [_compared(k, read, sums[k], folder, block_lines, settings, began) for k, folder in enumerate(folders)]
    tables = _tables(units, read, None if train is None else perplexity.as_text(train, text_settings), report)
    return Comparison(
        figure=read.comparable.main, figures=read.comparable.figures, refused=read.comparable.refused, context=settings.context,
        lines=len(sums[0].logprob_S), block_lines=block_lines, unit=units.name, units=len(units.ids_U),
        unaligned_lines=units.unaligned_lines, models=tuple(compared), differences=_differences(read, sums, block_lines, settings),
        **tables, **_apart(units, names, sums, text, settings.top), seconds=time.perf_counter() - began,
        bits_KS=np.stack([each.logprob_S for each in sums]) / -math.log(2),
    )  # fmt: skip


def _opened(name: str, device: str | Device) -> tuple[LanguageModel, Path]:
    """A model by name, and its folder; NAME+KIND is the model NAME with an adaptation of that kind."""
    return loading.load(name, device), loading.folder_of(name)


def _check(names: Sequence[str], settings: ComparisonSettings) -> None:
    """What can be said before anything is read."""
    perplexity.check_context(settings.context)
    if len(names) < 2:
        raise UsageError("a comparison needs at least two models", f"there is {len(names)}", "name another one")
    for name, least in (("block_lines", 1), ("resamples", 1), ("seed", 0), ("top", 0), ("calibration_tokens", 0)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise UsageError(f"{name} = {value} is not valid", hint=f"{least} or more")


@dataclass(frozen=True)
class _Read:
    """The models, the text as the tokenizer of each cuts it, and its log-probability (nats) of each token."""

    models: Sequence[LanguageModel]
    names: Sequence[str]
    text: Text
    context: Context
    encoded: list[EncodedText]
    comparable: Comparable
    scores: list[np.ndarray]

    @classmethod
    def of(cls, models: Sequence[LanguageModel], names: Sequence[str], text: Text, context: Context, report: Progress) -> "_Read":
        """Raises:
        ComparisonError: nothing compares, which is found before anything is scored.
        """
        encoded = _encoded(text, [model.tokenizer for model in models])
        tell_unseen(encoded[0].marks, {name: model.tokenizer for name, model in zip(names, models, strict=True)})
        subjects = [
            Subject.of(name, perplexity.sign(model, its, context), model.tokenizer, its)
            for name, model, its in zip(names, models, encoded, strict=True)
        ]
        holds_unk = any(UNKNOWN in line.lower() for block in text.blocks() for line in block.lines)
        comparable = comparability.find_comparable(subjects, holds_unk)
        scores = []
        for name, model, its in zip(names, models, encoded, strict=True):
            report(f"{name} reads {its.tokens:,} tokens")
            scores.append(span_scoring.score_spans(model, its.ids, perplexity.spans_of(its, context), report=prefixed(report, name)))
            span_scoring.check_scores(scores[-1])
        return cls(models, names, text, context, encoded, comparable, scores)


def _encoded(text: Text, used: Sequence[Tokenizer]) -> list[EncodedText]:
    """The text once for each different tokenizer; one that spells unseen words serves for its like, too."""
    chosen: dict[str, Tokenizer] = {}
    for tokenizer in used:
        if tokenizer.fingerprint not in chosen or tokenizer.spells:
            chosen[tokenizer.fingerprint] = tokenizer
    encoded = {fingerprint: text.encode(tokenizer) for fingerprint, tokenizer in chosen.items()}
    return [encoded[tokenizer.fingerprint] for tokenizer in used]


def _compared(
    k: int, read: _Read, sums: LineSums, folder: Path | None, block_lines: int, settings: ComparisonSettings, began: float
) -> Compared:
    model, encoded = read.models[k], read.encoded[k]
    found = perplexity.summary(model, read.scores[k], encoded, settings.context, began)
    intervals = intervals_of(found, sums.blocks(block_lines), read.comparable.figures, settings.resamples or RESAMPLES, settings.seed)
    wanted = settings.calibration_tokens
    calibration = calibrate(model, encoded, settings.context, wanted) if wanted else None
    return Compared(read.names[k], None if folder is None else str(folder), found, intervals, calibration)


def _differences(read: _Read, sums: Sequence[LineSums], block_lines: int, settings: ComparisonSettings) -> tuple[Difference, ...]:
    """Of each pair of models."""
    pairs = [(i, j) for j in range(len(sums)) for i in range(j)]
    return tuple(
        difference((read.names[i], read.names[j]), (sums[i], sums[j]), read.comparable.main, block_lines, settings.resamples, settings.seed)
        for i, j in sorted(pairs)
    )


def _tables(units: Units, read: _Read, train: Text | None, report: Progress) -> dict[str, Any]:
    """Bands, positions and n-grams."""
    counts_V = units.counts_V
    ngrams: tuple[GroupRow, ...] = ()
    source = None
    known = [(name, model) for name, model in zip(read.names, read.models, strict=True) if hasattr(model, "longest_matches")]
    alike = [(name, model) for name, model in known if model.tokenizer.fingerprint == units.tokenizer.fingerprint]
    if train is not None:
        encoded, source = train.encode(units.tokenizer, report), ", ".join(train.sources)
        counts_V = difference_tables.counts_in(units, encoded) if counts_V is None else counts_V
        ngrams = difference_tables.by_ngram_in(units, encoded)
    elif alike:
        source, model = alike[0]
        ngrams = difference_tables.by_ngram_of(units, model)
    bands = () if counts_V is None else difference_tables.by_frequency(units, counts_V)
    return {"bands": bands, "positions": difference_tables.by_position(units), "ngrams": ngrams, "ngram_source": source}


def _apart(units: Units, names: Sequence[str], sums: Sequence[LineSums], text: Text, top: int) -> dict[str, Any]:
    """Lines and words on which each model differs most from the first."""
    lines = [line for block in text.blocks() for line in block.lines]
    bits = [each.logprob_S / -math.log(2) for each in sums]
    others = [(k, (names[0], names[k])) for k in range(1, len(names))]
    return {
        "lines_apart": tuple(difference_tables.lines_apart(pair, lines, np.stack([bits[0], bits[k]]), top) for k, pair in others),
        "words_apart": tuple(difference_tables.words_apart(pair, units, (0, k), top) for k, pair in others),
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
