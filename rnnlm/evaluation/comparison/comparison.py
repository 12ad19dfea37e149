"""Compare two or more language models on one text: which is better, by how much, how sure that is,
and where they differ.

All models read the same lines, and every token is scored exactly once; the metrics are those of
:mod:`rnnlm.evaluation.perplexity`. Intervals and p-values are over lines, or blocks of lines, that
both models of a pair have read: Koehn (2004) for the paired bootstrap, Good (2005) for the
permutation of signs; see :mod:`rnnlm.evaluation.resampling`. A p-value concerns its pair alone,
however many models are compared.
"""

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from rnnlm.errors import ComparisonError, UsageError, notice
from rnnlm.evaluation import perplexity
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
    difference_row,
    shown_interval,
)
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.comparison.tables import GroupRow, LargestDifferences, Units
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import Table, shown
from rnnlm.evaluation.perplexity import (
    NO_OOV,
    TEXT_METRICS,
    Context,
    LineSums,
    Measured,
    Signature,
    TextEvaluation,
    lines_per_block,
    metrics_per,
    tell_single_block,
)
from rnnlm.evaluation.resampling import LEVEL, Interval, MetricDifference, Resampling
from rnnlm.inference import span_scoring
from rnnlm.interface import UNKNOWN, Device, LanguageModel, Tokenizer
from rnnlm.models import loading
from rnnlm.models.loading import warn_if_trained_on
from rnnlm.tabular import Row
from rnnlm.text.corpus import Text, TextInMemory
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent
from rnnlm.text.marks import tell_unseen

# ---- Which metrics of several models on one text compare, and which part of their signatures
# forbids the others.
#
# Numbers compare when they are about the same events. Lines, case, blank lines, `<unk>` and line
# ends must be treated alike for anything to compare; how `<unk>` is read makes no difference to a
# text without it. Where tokenizers differ, tokens are different events; whole words, characters and
# bytes are the same ones, if no word is unknown: an unknown word is one event to a model of words,
# and many to a model of pieces.

# All parts of signatures: `find_comparable` has checked them, so nothing else need do so
PARTS = frozenset({"rnnlm", *(each.name for each in fields(Signature))})


@dataclass(frozen=True)
class Subject:
    """What decides whether metrics of a model on a text compare with those of another.
    unknown_tokens: words and white space that are unknown to it. cut: how the tokenizer changes
    the text before it cuts it into tokens, apart from the case."""

    name: str
    signature: Signature
    unknown_tokens: int
    keeps_text: bool
    cut: str

    @classmethod
    def of(
        cls, name: str, signature: Signature, tokenizer: Tokenizer, encoded: EncodedText
    ) -> "Subject":
        """Collect what decides from a model's tokenizer and from the text as the tokenizer cuts
        it."""
        return cls(name, signature, len(encoded.oov), tokenizer.keeps_text, cls._cut(tokenizer))

    @classmethod
    def of_stored(cls, name: str, evaluation: TextEvaluation, tokenizer: Tokenizer) -> "Subject":
        """Collect what decides from a model's tokenizer and from its stored metrics."""
        unknown = evaluation.oov_words
        # White space may be unknown, too, of which nothing is stored but this.
        if evaluation.closed_vocabulary and tokenizer.keeps_text:
            unknown = max(1, unknown)
        signature = Signature.parse(evaluation.signature)
        return cls(name, signature, unknown, tokenizer.keeps_text, cls._cut(tokenizer))

    @staticmethod
    def _cut(tokenizer: Tokenizer) -> str:
        settings: dict[str, Any] = tokenizer.to_settings()
        changes = []
        if tokenizer.rewriting:
            changes.append(tokenizer.rewriting)
        if settings.get("split_punctuation"):
            changes.append("punctuation split off")
        return ", ".join(changes) or "the text unchanged"


def find_comparable(subjects: Sequence[Subject], holds_unk: bool = True) -> Comparable:
    """Find the metrics that compare between all of `subjects`; raise ComparisonError if none
    does. holds_unk: whether the text has `<unk>`."""
    for part, hint in HINTS.items():
        if _differ(subjects, part) and (part != "unk" or holds_unk):
            what = f"these models cannot be compared: the part {part} of their signatures differs"
            raise ComparisonError(what, _values(subjects, part), hint)

    # With one tokenizer everything compares.
    if not _differ(subjects, "tok"):
        return Comparable(tuple(TEXT_METRICS), next(iter(TEXT_METRICS)), may_differ=PARTS)

    # With several, what is counted per token does not.
    _check_same_words(subjects)
    why = f"tokens are different events: {_values(subjects, 'tok')}"
    refused = [Refused(name, "tok", why) for name in metrics_per("token")]
    changing = [subject.name for subject in subjects if not subject.keeps_text]
    per_word, per_text = metrics_per("word"), metrics_per("character", "byte")
    if not changing:
        return Comparable((*per_word, *per_text), per_text[0], tuple(refused), may_differ=PARTS)

    # Nor does what is counted per character, where a tokenizer changes the characters.
    verb = "does" if len(changing) == 1 else "do"
    why = f"{' and '.join(changing)} {verb} not keep the text as it is"
    refused += [Refused(name, None, why) for name in per_text]
    return Comparable(per_word, per_word[0], tuple(refused), may_differ=PARTS)


def _check_same_words(subjects: Sequence[Subject]) -> None:
    """Refuse models of different tokenizers that do not predict the same words, or do not know
    all of them."""
    what = "these models cannot be compared: the part tok of their signatures differs"
    cuts = {subject.name: subject.cut for subject in subjects}
    if len(set(cuts.values())) > 1:
        shown_cuts = ", ".join(f"{cut} for {name}" for name, cut in cuts.items())
        why = f"and so do the words they predict: {shown_cuts}"
        hint = "compare models of one tokenizer: rnnlm train --tokenizer-from"
        raise ComparisonError(what, why, hint)

    # An unknown word is one event to one model, and several to another.
    unknown = []
    for subject in subjects:
        if subject.unknown_tokens:
            unknown.append(f"{subject.unknown_tokens:,} tokens to {subject.name}")
    if unknown:
        why = f"{_values(subjects, 'tok')}; parts of the text are unknown, {', '.join(unknown)}"
        why += ", so nothing compares per word, character or byte"
        hint = (
            "train one again with the tokenizer of the other (rnnlm train --tokenizer-from), or "
            "compare on lines whose "
            "words all of them know"
        )
        raise ComparisonError(what, why, hint)


def _differ(subjects: Sequence[Subject], part: str) -> bool:
    """Return whether this part of their signatures differs."""
    return len({getattr(subject.signature, part) for subject in subjects}) > 1


def _values(subjects: Sequence[Subject], part: str) -> str:
    """Write the values of this part of their signatures."""
    values = []
    for subject in subjects:
        values.append(f"{part}:{getattr(subject.signature, part)} for {subject.name}")
    return ", ".join(values)


# ---- By how much two models differ on the lines of a text, and how sure that is: with its unknown
# tokens, and without them.
#
# The probability of an unknown word says little about how a model predicts words, but may decide a
# comparison: where a text has such words, both numbers are given, and where they disagree one
# sentence says so.


@dataclass(frozen=True)
class Difference(Measured):
    """The difference between two models. no_oov: the same without unknown tokens, None where
    nothing is unknown. disagreement: a sentence, where these two disagree about which model is
    better."""

    first: str
    second: str
    no_oov: Measured | None
    disagreement: str | None


def difference(
    names: tuple[str, str], found: Mapping[Key, MetricDifference], metric: str, unknown: int
) -> Difference:
    """Return the difference of two models by a metric. found: all differences between them.
    unknown: how many tokens of the text are unknown."""
    nothing = Measured(None, None, None)
    with_all = cast(Measured, found.get(("", metric), nothing))
    no_oov, said = None, None
    if unknown:
        no_oov = cast(Measured, found.get(("", metric + NO_OOV), nothing))
        said = _disagreement(names, with_all, no_oov, unknown)
    return Difference(
        with_all.difference_bits, with_all.ppl_ratio, with_all.p, *names, no_oov, said
    )


def differing_by(metric: str, unknown: int) -> tuple[str, ...]:
    """Return the metrics whose differences :func:`difference` needs."""
    if not metric:
        return ()
    if not unknown:
        return (metric,)
    return (metric, metric + NO_OOV)


def _disagreement(
    names: tuple[str, str], with_all: Measured, no_oov: Measured, unknown: int
) -> str | None:
    """Describe in a sentence how the differences with and without unknown tokens disagree; None
    where they do not."""
    before, after = _verdict(names, with_all), _verdict(names, no_oov)
    if before is None or after is None or before == after:
        return None
    tokens, without = f"the {unknown:,} unknown tokens", "without them"
    if unknown == 1:
        tokens, without = "the unknown token", "without it"
    return (
        f"with {tokens}, {before}; {without}, {after}: only the latter compares words that the "
        "models know"
    )


def measured_cells(measured: Measured) -> list[str]:
    """Return a difference as cells of a table: bits, the ratio of perplexities, and p."""
    return [
        shown_interval(measured.difference_bits, "+.4f"),
        shown_interval(measured.ppl_ratio, "+.1%", shift=1),
        "-" if measured.p is None else f"{measured.p:.4f}",
    ]


def measured_rows(each: Difference, metric: str, per: str) -> list[Row]:
    """Return a difference as rows of a table, without unknown tokens in a row of its own."""
    by_metric: dict[str, Measured] = {metric: each}
    if each.no_oov is not None:
        by_metric[metric + NO_OOV] = each.no_oov
    rows = []
    for name, its in by_metric.items():
        bits, ratio = its.difference_bits, its.ppl_ratio
        row = difference_row(
            (each.first, each.second), TEXT_METRICS[name], bits, its.p, unit=f"bits per {per}"
        )
        row["ppl_ratio"] = None if ratio is None else ratio.estimate
        row["ppl_ratio_low"] = None if ratio is None else ratio.low
        row["ppl_ratio_high"] = None if ratio is None else ratio.high
        rows.append(row)
    return rows


def _verdict(names: tuple[str, str], measured: Measured) -> str | None:
    """Say which model is better; None where a token has probability zero."""
    if measured.difference_bits is None or measured.p is None:
        return None
    if measured.p > 1 - LEVEL:
        return "neither model is significantly better"
    better, other = names
    if measured.difference_bits.estimate < 0:
        better, other = other, better
    return f"{better} is better than {other}"


# ---- The comparison of language models.


@dataclass(frozen=True)
class Compared(ComparedModel[TextEvaluation]):
    """One of the models."""

    @property
    def intervals(self) -> dict[str, Interval]:
        """The intervals of the metrics of `evaluation` that compare, by name."""
        return self.by_name

    def to_dict(self) -> dict[str, Any]:
        """Return the model's results in JSON's types."""
        return {
            "name": self.name,
            "folder": self.folder,
            "evaluation": self.evaluation.to_dict(),
            "intervals": {name: vars(each) for name, each in self.intervals.items()},
        }


@dataclass(frozen=True, repr=False)
class Comparison(ModelComparison):
    """Language models compared on a text. figure: the metric that they are compared by, one of
    `figures`, which compare; the `refused` ones do not. unit: what the tables count, tokens or
    words. lines_apart, words_apart: where models
    differ most from the first.

    bands: groups by training frequency, empty where none is known. ngrams: groups by the longest
    n-gram that is in `ngram_source`, which is None where no n-grams are known. unaligned_lines: see
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

    @property
    def per(self) -> str:
        """What the differences are per: token, word or character."""
        return TEXT_METRICS[self.figure].per

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs, in bits per unit."""
        unit = f"bits a {self.per}"
        found = []
        for each in self.differences:
            found.append(Contrast(each.first, each.second, unit, each.difference_bits))
        return tuple(found)

    @property
    def compared(self) -> tuple[Compared, ...]:
        return self.models

    @property
    def keys(self) -> list[Key]:
        said: set[Key] = set()
        for model in self.models:
            said.update(model.said)
        return [("", name) for name in self.figures if ("", name) in said]

    @property
    def remarks(self) -> Sequence[str]:
        found = []
        if self.models[0].evaluation.closed_vocabulary:
            found.append(
                "closed vocabulary: ppl_word compares between these models, not with that of "
                "other tokenizers"
            )
        found += [f"{each.figure} is not compared: {each.why}" for each in self.refused]
        for model in self.models:
            if not model.evaluation.normalised:
                found.append(f"{model.name} is not normalised: its numbers are not perplexities")
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

    def difference_rows(self) -> list[Row]:
        rows = [measured_rows(each, self.figure, self.per) for each in self.differences]
        return list(itertools.chain.from_iterable(rows))

    def tables(self, top: int) -> Iterator[Table]:
        """Yield tables of where the models differ: groups of tokens, lines, words; `top` of them
        for each model of a pair."""
        # Groups of tokens or words: the perplexity of each model.
        heads = [f"ppl {each.name}" for each in self.models]
        groups = {
            "training frequency": self.bands,
            "position in line": self.positions,
            "longest n-gram seen": self.ngrams,
        }
        for title, group_rows in groups.items():
            if group_rows:
                rows = [[row.group, f"{row.units:,}", *map(shown, row.ppl)] for row in group_rows]
                yield Table([title, f"{self.unit}s", *heads], rows)

        # Single lines, then words, by how much the surprisal of two models differs.
        for what, number, pairs in (
            ("line", "number", self.lines_apart),
            (self.unit, "count", self.words_apart),
        ):
            columns = ["likelier under", number, "difference in bits", what]
            for apart in pairs:
                rows = []
                for name, items in (
                    (apart.first, apart.for_first),
                    (apart.second, apart.for_second),
                ):
                    for item in items[:top]:
                        bits = f"{item.difference_bits:+,.2f}"
                        rows.append([name, f"{item.number:,}", bits, item.text])
                if rows:
                    yield Table(columns, rows, ends_in_text=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON's types."""
        found: dict[str, Any] = {}
        for each in dataclasses.fields(self):
            if each.name == "models":
                found[each.name] = list(map(Compared.to_dict, self.models))
            else:
                found[each.name] = _plain(getattr(self, each.name))
        return found


def compare(
    models: Sequence[LanguageModel | str | Path], text: str | Path | Sequence[str | Path] | Text, *,
    train: str | Path | Sequence[str | Path] | Text | None = None,
    settings: ComparisonSettings = ComparisonSettings(),
    names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None,
    report: Progress = silent,
) -> Comparison:  # fmt: skip
    """Compare `models`, given themselves or by their names (NAME+cache, NAME+dynamic, NAME+unigram
    adapt), on `text`.

    train: a training text, in which n-grams are looked up and, where the models do not know, words
    are counted. names: what models are called in the result. report: called with the progress of
    the work.
    """
    perplexity.check_context(settings.context)
    _check(settings)
    trains_on = None if train is None else perplexity.as_text(train, text_settings)
    comparing = _Comparing(perplexity.as_text(text, text_settings), trains_on, settings, report)
    resampling = Resampling(settings.resamples, settings.seed)
    return compare_models(models, comparing, names=names, resampling=resampling, device=device)


def _check(settings: ComparisonSettings) -> None:
    """Refuse settings that are out of range, before anything is read."""
    least_of = {"block_lines": 1, "resamples": 1, "seed": 0, "top": 0}
    for name, least in least_of.items():
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
        self.unread = text
        self.train = train
        self.settings = settings
        self.report = report
        self.encoded: dict[str, EncodedText] = {}  # by the fingerprint of the tokenizer
        self.spelling: set[str] = set()  # fingerprints of tokenizers that spelled unseen words
        self.scores: list[np.ndarray] = []  # of the models, in order

    @functools.cached_property
    def text(self) -> TextInMemory:
        """The text, read when it is first needed."""
        return TextInMemory.read(self.unread, self.report)

    def read(self, model: LanguageModel, called: str) -> EncodedText:
        # Tokenizers of one fingerprint cut the text alike, except that some spell unseen words.
        # Text encoded by one that spells serves the others, too, but not the other way round.
        tokenizer = model.tokenizer
        fingerprint = tokenizer.fingerprint
        is_needed = tokenizer.spells and fingerprint not in self.spelling
        if is_needed or fingerprint not in self.encoded:
            self.encoded[fingerprint] = self.text.encode(tokenizer)
            if tokenizer.spells:
                self.spelling.add(fingerprint)
        return self.encoded[fingerprint]

    def comparable(self, sides: Sequence[_Side]) -> Comparable:
        data = sides[0].data
        tell_unseen(data.marks, {each.name: each.model.tokenizer for each in sides})
        subjects = []
        for each in sides:
            signature = perplexity.sign(each.model, each.data, self.settings.context)
            subjects.append(Subject.of(each.name, signature, each.model.tokenizer, each.data))

        # How <unk> is read matters only where the text has it.
        lines = itertools.chain.from_iterable(block.lines for block in self.text.blocks())
        holds_unk = any(UNKNOWN in line.lower() for line in lines)
        found = find_comparable(subjects, holds_unk)

        block_lines = lines_per_block(data.sentences, self.settings.block_lines)
        tell_single_block(data.sentences, block_lines)
        differing = differing_by(found.main, len(data.oov))
        return replace(found, differing=differing, block_lines=block_lines)

    def measure(self, side: _Side) -> TextEvaluation:
        model, encoded, context = side.model, side.data, self.settings.context
        self.report(f"{side.name} reads {encoded.tokens:,} tokens")
        progress = prefixed(self.report, side.name)
        spans = perplexity.spans_of(encoded, context)
        scores = span_scoring.score_spans(model, encoded.ids, spans, report=progress)
        self.scores.append(scores)
        return perplexity.summary(model, scores, encoded, context, self.began, keeps_lines=True)

    def result(self, sides: Sequence[_Side], outcome: Outcome[TextEvaluation]) -> Comparison:
        comparable = outcome.comparable
        names, tokenizers, encoded = [], [], []
        stored: dict[str, Path] = {}
        for each in sides:
            names.append(each.name)
            tokenizers.append(each.model.tokenizer)
            encoded.append(each.data)
            folder = _folder(each)
            if folder is not None:
                stored[each.name] = folder
        warn_if_trained_on(sides[0].data.lines_hash, stored, "perplexities")

        # Where the models differ is found in tokens, or in words where their tokenizers differ.
        units = difference_tables.units_of(self.text, tokenizers, encoded, self.scores)
        if units.unaligned_lines:
            notice(
                f"{units.unaligned_lines:,} lines are one unit each in the tables: the tokenizers "
                "count different numbers of words in them"
            )

        # By how much each pair differs, with unknown tokens and without them.
        sums = [each.lines for each in outcome.evaluations if each.lines is not None]
        differences = []
        for (i, j), found in outcome.differences.items():
            unknown = int(sums[i].oov_S.sum())
            differences.append(difference((names[i], names[j]), found, comparable.main, unknown))

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
            differences=tuple(differences),
            **_tables(units, sides, self.train, self.report),
            **_apart(units, names, sums, self.text, self.settings.top),
            seconds=time.perf_counter() - self.began,
        )

    def _compared(
        self, side: _Side, evaluation: TextEvaluation, found: dict[Key, Interval]
    ) -> Compared:
        folder = _folder(side)
        folder_name = None if folder is None else str(folder)
        return Compared(side.name, folder_name, evaluation, found)


def _folder(side: _Side) -> Path | None:
    """Return the folder of a model that was given by its name."""
    if not isinstance(side.given, (str, Path)):
        return None
    return loading.base_folder(side.given)


def _tables(
    units: Units, sides: Sequence[_Side], train: Text | None, report: Progress
) -> dict[str, Any]:
    """Make the tables of groups: by training frequency, position and n-grams."""
    counts_V = units.counts_V
    ngrams: tuple[GroupRow, ...] = ()
    source = None
    if train is not None:
        # The training text has all n-grams, and words are counted in it if no model knows how often
        # they occur.
        encoded = train.encode(units.tokenizer, report)
        source = ", ".join(train.sources)
        if counts_V is None:
            counts_V = difference_tables.counts_in(units, encoded)
        ngrams = difference_tables.by_ngram_in(units, encoded)
    else:
        # The first model that has n-grams of these units says which it has seen.
        for each in sides:
            if each.model.tokenizer.fingerprint == units.tokenizer.fingerprint:
                found = difference_tables.by_ngram_of(units, each.model)
                if found is not None:
                    source, ngrams = each.name, found
                    break

    bands: tuple[GroupRow, ...] = ()
    if counts_V is not None:
        bands = difference_tables.by_frequency(units, counts_V)
    return {
        "bands": bands,
        "positions": difference_tables.by_position(units),
        "ngrams": ngrams,
        "ngram_source": source,
    }


def _apart(
    units: Units, names: Sequence[str], sums: Sequence[LineSums], text: Text, top: int
) -> dict[str, Any]:
    """Find the lines and words on which each model differs most from the first."""
    lines = list(itertools.chain.from_iterable(block.lines for block in text.blocks()))
    bits = [each.logprob_S / -math.log(2) for each in sums]
    of_lines, of_words = [], []
    for k in range(1, len(names)):
        pair = (names[0], names[k])
        bits_2S = np.stack([bits[0], bits[k]])
        of_lines.append(difference_tables.lines_apart(pair, lines, bits_2S, top))
        of_words.append(difference_tables.words_apart(pair, units, (0, k), top))
    return {"lines_apart": tuple(of_lines), "words_apart": tuple(of_words)}


def _plain(value: object) -> object:
    """Turn dataclasses, and tuples of them, into JSON's types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return value
