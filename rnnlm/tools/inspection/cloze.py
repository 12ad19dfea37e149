"""Run cloze tests: how high a language model ranks the word that belongs in a gap, by kind and by
distance of the cue."""

import itertools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import arrays, corpora
from rnnlm.errors import RnnlmWarning, TextError, first_of
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import LEVEL
from rnnlm.interface import Device, LanguageModel
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.lm.base.span_scoring import MOST_CELLS, check_scores, score_and_apply, spans_between
from rnnlm.scoring.scorer import Scorers, score_sentences
from rnnlm.scoring.sentence_scores import SentenceScore
from rnnlm.scoring.settings import SentenceScoring
from rnnlm.storage.files import tables
from rnnlm.tabular import Table
from rnnlm.text.lines import WORD_SPACE, check_reserved
from rnnlm.text.named_columns import check_length, no_column, text_of
from rnnlm.tools.inspection.common import Inspection, Models, load_models_for

# ---- The items of a cloze test, read from a table: a text with a gap, the word that belongs there,
# and further facts.

TEXT, ANSWER, DISTANCE, KIND, RIVAL = "text", "answer", "distance", "kind", "rival"
_LEFT = ("id", "cue")  # further columns of the bundled items, which say what an item is
_GAP = re.compile("__+")


@dataclass(frozen=True)
class ClozeItem:
    """One item of a cloze test. The last three fields are None if the table does not have them.

    Attributes:
        context: Text before the gap.
        answer: The word in the gap.
        distance: Number of words between the gap and the cue, the word that determines the answer.
        kind: Kind of item.
        rival: A wrong word to compare the answer with.
    """

    context: str
    answer: str
    distance: int | None = None
    kind: str | None = None
    rival: str | None = None


def read_items(source: str | Path) -> list[ClozeItem]:
    """Read the items of a table with the columns `text`, in which underscores mark the gap (`___`),
    and `answer`, and perhaps `distance`, `kind` and `rival`. Values are separated by tabs, unless
    the file's suffix means CSV, JSON lines or Parquet. A notice names other columns."""
    name = str(source)
    rows = list(tables.rows(name, tables.kind_of(name) or tables.TSV))
    items = list(map(_item, rows))
    if not items:
        raise TextError(
            f"{name} holds no items",
            hint="write one per line, below a header with the columns text and answer",
        )
    columns = itertools.chain.from_iterable(row.values for row in rows)
    known = (TEXT, ANSWER, DISTANCE, KIND, RIVAL)
    tables.tell_unread(name, (str(column) for column in columns if column not in _LEFT), known)
    return items


def _item(row: tables.Row) -> ClozeItem:
    check_length(row)
    columns = {column: value for column, value in row.values.items() if column is not None}
    for column in (TEXT, ANSWER):
        if column not in columns:
            raise no_column(row.where, column, columns)
    text = text_of(columns[TEXT], row.where, TEXT)
    answer = text_of(columns[ANSWER], row.where, ANSWER)
    optional = {
        column: text_of(columns[column], row.where, column)
        for column in (RIVAL, KIND)
        if columns.get(column) not in (None, "")
    }
    rival, kind = optional.get(RIVAL), optional.get(KIND)
    if rival is not None:
        rival = rival.strip()

    # One gap, and one word for it.
    gaps = list(_GAP.finditer(text))
    if len(gaps) != 1:
        plural = "s" if len(gaps) > 1 else ""
        raise TextError(
            f"{row.where}: {len(gaps) or 'no'} gap{plural} in the text",
            hint="mark one gap with ___",
        )
    if len(answer.split()) != 1:
        raise TextError(f"{row.where}: the answer {answer!r} is not one word")
    if rival is not None and len(rival.split()) != 1:
        raise TextError(f"{row.where}: the rival {rival!r} is not one word")
    if rival == answer.strip():
        raise TextError(f"{row.where}: answer and rival are the same word, {rival!r}")
    for value in (text, answer, rival or ""):
        check_reserved(
            value, row.where, "error", hint="remove it: every text begins at a boundary anyway"
        )

    context = text[: gaps[0].start()].strip(WORD_SPACE)
    return ClozeItem(context, answer.strip(), _distance(row, columns.get(DISTANCE)), kind, rival)


def _distance(row: tables.Row, value: object) -> int | None:
    if value in (None, ""):
        return None
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()):
        raise TextError(f"{row.where}: the distance {text!r} is not a number of words")
    return int(text)


# ---- Ranks and surprisals of the answers of a cloze test under one model, which reads the text
# before the gap, and nothing behind it.

RANKED = 10  # words that are ranked where tokens are pieces of words
NAMED = 3  # likeliest words that are kept of each item


@dataclass(frozen=True)
class ClozeScore:
    """The result of a model on one item.

    Attributes:
        item: The item.
        rank: Rank of the answer among all words that the model may predict there, from 1; None if
            the answer is unknown, or not among the first RANKED under a model whose tokens are
            pieces of words.
        surprisal_bits: -log2 p(answer | text before the gap), in bits; None if unknown or infinite.
        unknown: Whether the answer is not in the model's vocabulary.
        rival_bits: Surprisal of the item's rival, in bits; None if there is no rival, it is
            unknown, or the surprisal is infinite.
        likeliest: Words that the model expects most, likeliest first.
    """

    item: ClozeItem
    rank: int | None
    surprisal_bits: float | None
    unknown: bool
    rival_bits: float | None = None
    likeliest: tuple[str, ...] = ()

    @property
    def beats_rival(self) -> bool | None:
        """Whether the answer is likelier than its rival; None where one of them has no score."""
        if self.surprisal_bits is None or self.rival_bits is None:
            return None
        return self.surprisal_bits < self.rival_bits


def score_items(model: LanguageModel, items: Sequence[ClozeItem]) -> list[ClozeScore]:
    """Score each item, read from the initial state.

    Where every token is a word, ranks follow the sorted distribution over the vocabulary (of
    equally likely tokens the one with the lower id comes first). Where words consist of pieces, the
    likeliest words are built piece by piece, as in :mod:`rnnlm.scoring.next_word`, and surprisals
    are computed as in :mod:`rnnlm.lm.base.words`.
    """
    tokens_are_words = bool(model.tokenizer.starts_word_V.all())
    ranked = 0 if tokens_are_words else RANKED
    answers, contexts = [item.answer for item in items], [item.context for item in items]
    settings = SentenceScoring(
        next_words=ranked, eos=False, split="tokens", words=True, given=contexts
    )
    scored = score_sentences(Scorers(model), answers, settings)

    # The rank of each answer, and the likeliest words.
    ranks: list[tuple[int | None, list[str]]] = []
    if tokens_are_words:
        ranks += _ranks(model, items)
    else:
        for item, sentence_score in zip(items, scored, strict=True):
            words = [next_word.word for next_word in sentence_score.next_words[0]]
            ranks.append((_place(model, item.answer, words), words[:NAMED]))

    # An answer that is not in the vocabulary, or that the tokenizer splits into several words, has
    # neither rank nor surprisal.
    rivals = _rivals(model, items)
    cloze_scores = []
    for place, (item, sentence_score) in enumerate(zip(items, scored, strict=True)):
        rank, likeliest = ranks[place]
        is_unknown = _is_unknown(sentence_score)
        shown = (None, None) if is_unknown else (rank, sentence_score.word_scores[0].surprisal_bits)
        more = (rivals.get(place), tuple(likeliest))
        cloze_scores.append(ClozeScore(item, *shown, is_unknown, *more))
    return cloze_scores


def _is_unknown(scored: SentenceScore) -> bool:
    return len(scored.word_scores) != 1 or scored.word_scores[0].is_oov


def _rivals(model: LanguageModel, items: Sequence[ClozeItem]) -> dict[int, float | None]:
    """Return the surprisals of the rivals that are known, by the number of the item."""
    # Rivals are scored as the only words after their contexts.
    rivals = {place: item.rival for place, item in enumerate(items) if item.rival is not None}
    if not rivals:
        return {}
    contexts = [items[place].context for place in rivals]
    settings = SentenceScoring(words=True, eos=False, split="tokens", given=contexts)
    # Notices of the contexts were sent with the answers.
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        scored = score_sentences(Scorers(model), list(rivals.values()), settings)
    return {
        place: sentence_score.word_scores[0].surprisal_bits
        for place, sentence_score in zip(rivals, scored, strict=True)
        if not _is_unknown(sentence_score)
    }


def _ranks(model: LanguageModel, items: Sequence[ClozeItem]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rank of each answer's last token among all tokens, and the likeliest tokens, with
    distributions in bounded memory."""
    encoded = model.tokenizer.encode([f"{item.context} {item.answer}" for item in items])
    ends = encoded.offsets[1:] - 2  # the last token before the boundary
    symbols = model.tokenizer.symbols()
    at_once = max(1, MOST_CELLS // model.tokenizer.size)
    for first in range(0, len(items), at_once):
        # Read so many items, and look at the distribution before the last token of each.
        spans = spans_between(encoded.offsets)[first : first + at_once]
        at_M = ends[first : first + at_once]
        is_place_N = np.zeros(len(encoded.ids), dtype=bool)
        is_place_N[at_M] = True
        _, logprob_MV, _ = score_and_apply(
            model, encoded.ids, spans, is_place_N, lambda logprob_MV, _: arrays.as_numpy(logprob_MV)
        )
        check_scores(logprob_MV.max(axis=1))
        for logprob_V, id in zip(logprob_MV, encoded.ids[at_M], strict=True):
            best = np.argsort(-logprob_V, kind="stable")[:NAMED]
            yield _rank(logprob_V, int(id)), [symbols[token] for token in best]


def _rank(logprob_V: np.ndarray, id: int) -> int:
    if id >= len(logprob_V):  # a word that is only spelled
        return len(logprob_V)
    logprob = logprob_V[id]
    return 1 + int((logprob_V > logprob).sum()) + int((logprob_V[:id] == logprob).sum())


def _place(model: LanguageModel, answer: str, words: Sequence[str]) -> int | None:
    """Return the place of the answer, as the model's tokenizer writes it, among the words, from
    1; None where it is not among them."""
    written = model.tokenizer.decode(model.tokenizer.encode([answer]).ids[:-1]).strip()
    return words.index(written) + 1 if written in words else None


# ---- The results of models on a cloze test: shares of answers among the likeliest words, by
# distance and by kind, as a table, a plot, a sentence.

ALL = "all"
DODGE = 0.08  # between series, where groups are 1 apart
HEADING = "How often the answer is the likeliest word, or among the likeliest"
TITLES = {DISTANCE: "by distance of the cue", KIND: "by kind of item", ALL: "of all items"}
FIRST = (1, 5, 10)
ITEMS = "Each item: the surprisals (bits) of the answer and of its rival, and what is likeliest"
ITEM_COLUMNS = (
    "model", "kind", "distance", "before the gap", "answer", "rank", "bits", "rival",
    "rival bits", "likeliest",
)  # fmt: skip
LONGEST_CONTEXT = 36  # characters of a text before its gap that the table has
DISTANCES = ((0, 2), (3, 5), (6, 10), (11, 20), (21, None))  # groups of distances, bounds included


@dataclass(frozen=True)
class Share:
    """The share of a group's answers with a high rank.

    Attributes:
        first: Lowest rank that counts.
        share: Share of answers whose rank is at most `first`, 0 to 1.
        low: Lower bound of its 95 % interval (Wilson 1927).
        high: Upper bound of its 95 % interval.
    """

    first: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class ClozeMetrics:
    """The results on a group of items.

    Attributes:
        by: The grouping: "all", "distance" or "kind".
        group: Name of the group.
        items: Number of items.
        unknown: Number of items whose answer is not in the vocabulary. They count as missed in
            `accuracy`.
        accuracy: Share of answers among the first few ranks.
        median_rank: Median rank of the answers; None if half of the answers or more are not among
            the ranked words.
        mean_bits: Mean surprisal of the answers in bits, without unknown ones and answers of
            probability zero.
    """

    by: str
    group: str
    items: int
    unknown: int
    accuracy: tuple[Share, ...]
    median_rank: float | None
    mean_bits: float | None


@dataclass(frozen=True)
class ModelCloze:
    """The results of one model.

    Attributes:
        model: Name of the model.
        figures: Results by group.
        scores: Results of the items, in the order of the file.
    """

    model: str
    figures: tuple[ClozeMetrics, ...]
    scores: tuple[ClozeScore, ...]

    def by(self, grouping: str) -> list[ClozeMetrics]:
        """Return the results of one grouping.

        Args:
            grouping: "all", "distance" or "kind".
        """
        return [metrics for metrics in self.figures if metrics.by == grouping]


def metrics_of(scores: Sequence[ClozeScore]) -> tuple[ClozeMetrics, ...]:
    """Return the results on all items, by distance and by kind. Items without a distance, or a
    kind, are in no group of distances, or kinds."""
    groups = [(ALL, ALL, list(scores))]

    # By distance, in fixed ranges.
    placed = [(score, score.item.distance) for score in scores if score.item.distance is not None]
    for low, high in DISTANCES:
        chosen = [score for score, distance in placed if low <= distance <= (high or math.inf)]
        groups.append((DISTANCE, f"{low}-{high}" if high else f"{low}+", chosen))

    # By kind, in the order of the file.
    by_kind: dict[str, list[ClozeScore]] = {}
    for score in scores:
        if score.item.kind is not None:
            by_kind.setdefault(score.item.kind, []).append(score)
    groups += [(KIND, kind, chosen) for kind, chosen in by_kind.items()]
    return tuple(_metrics(by, group, chosen) for by, group, chosen in groups if chosen)


def _metrics(by: str, group: str, scores: Sequence[ClozeScore]) -> ClozeMetrics:
    ranks = np.array([np.inf if score.rank is None else score.rank for score in scores])
    median = float(np.median(ranks))
    bits = [score.surprisal_bits for score in scores if score.surprisal_bits is not None]
    return ClozeMetrics(
        by,
        group,
        items=len(scores),
        unknown=sum(score.unknown for score in scores),
        accuracy=tuple(_share(ranks, first) for first in FIRST),
        median_rank=median if np.isfinite(median) else None,
        mean_bits=float(np.mean(bits)) if bits else None,
    )


def _share(ranks: np.ndarray, first: int) -> Share:
    from scipy.stats import binomtest

    hits = int((ranks <= first).sum())
    bounds = binomtest(hits, len(ranks)).proportion_ci(LEVEL, method="wilson")
    return Share(first, hits / len(ranks), float(bounds.low), float(bounds.high))


@dataclass(frozen=True, repr=False)
class Cloze(Inspection):
    """The result of :func:`inspect_cloze`.

    Attributes:
        file: Name of the file.
        models: Results of each model.
        with_items: Whether a table lists each item by itself.
    """

    file: str
    models: tuple[ModelCloze, ...]
    with_items: bool = False

    @property
    def verdict(self) -> str:
        """A sentence or two for each model: accuracy, how it changes with distance, how many
        answers are likelier than their rivals, and which are unknown."""
        lines = []
        for model in self.models:
            lines.append(_sentence(model))
            lines += filter(None, [_against_rivals(model), _unknown(model)])
        return "\n".join(lines)

    def tables(self) -> list[Table]:
        """Return a table with a row for each model and group, and, if requested, one with a row for
        each item."""
        names = ["model", "by", "group", "items", "unknown answers"]
        for first in FIRST:
            names += [f"accuracy at {first}", f"low at {first}", f"high at {first}"]
        names += ["median rank", "surprisal (bits)"]
        tables = [Table(tuple(names), tuple(self._rows()))]
        if self.with_items:
            tables.append(Table(ITEM_COLUMNS, tuple(self._rows_of_items()), ITEMS))
        return tables

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for model in self.models:
            for metrics in model.figures:
                group = (model.model, metrics.by, metrics.group, metrics.items, metrics.unknown)
                shares = [(share.share, share.low, share.high) for share in metrics.accuracy]
                ends = (metrics.median_rank, metrics.mean_bits)
                yield (*group, *itertools.chain.from_iterable(shares), *ends)

    def _rows_of_items(self) -> Iterator[tuple[object, ...]]:
        for model in self.models:
            for score in model.scores:
                item = score.item
                gap = (item.kind, item.distance, _end_of(item.context))
                answer = (item.answer, score.rank, score.surprisal_bits)
                rival = (item.rival, score.rival_bits)
                yield model.model, *gap, *answer, *rival, " ".join(score.likeliest)

    def to_dict(self) -> dict[str, Any]:
        """Return all results in JSON types, with every item, whether tables list it or not."""
        content = super().to_dict()
        del content["with_items"]
        return content

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the share of answers among the first ten (full lines) and ranked first (dashed), by
        distance and by kind.

        Args:
            axes: Draw there instead of in a new figure.
        """
        groupings = [by for by in (DISTANCE, KIND) if self.models[0].by(by)] or [ALL]
        labels = [
            (TITLES[by], "words between cue and gap" if by == DISTANCE else by, "share of answers")
            for by in groupings
        ]
        figure, panels = plotting.new_panels(labels, height=4.4, axes=axes, heading=HEADING)

        # A colour for each model, with two lines: among the first ten words, and the first one.
        for by, panel in zip(groupings, panels, strict=True):
            groups = list(dict.fromkeys(row.group for model in self.models for row in model.by(by)))
            series = itertools.product(enumerate(self.models), (-1, 0))
            last = 2 * len(self.models) - 1
            for place, ((number, model), which) in enumerate(series):
                _draw(
                    axes=panel,
                    model=model,
                    by=by,
                    which=which,
                    groups=groups,
                    shift=DODGE * (place - last / 2),
                    style=plotting.series_style(number),
                )
            rotation = 90 if by == KIND else 0
            panel.set_xticks(range(len(groups)), groups, rotation=rotation, parse_math=False)
            panel.set_ylim(0, 1)
        plotting.name_intervals(panels[0])
        plotting.legend_below(figure, panels[0])
        return figure


def _draw(
    axes: "plotting.Axes", model: ModelCloze, by: str, which: int, groups: Sequence[str],
    shift: float, style: plotting.SeriesStyle,
) -> None:  # fmt: skip
    """Draw one share of each of the `groups` with its interval. Only distances, which have an
    order, are joined by lines. shift: how far beside the places of the groups."""
    metrics = model.by(by)
    shares = [group_metrics.accuracy[which] for group_metrics in metrics]
    label = f"among the {FIRST[-1]} likeliest" if which else "the likeliest"
    line = "-" if which else "--"
    axes.errorbar(
        [groups.index(group_metrics.group) + shift for group_metrics in metrics],
        *plotting.with_bars([(share.share, share.low, share.high) for share in shares]),
        color=style.colour,
        marker=style.marker,
        capsize=3,
        linestyle=line if by == DISTANCE else "",
        fillstyle="full" if which else "none",
        label=f"{plotting.short_name(model.model)}, {label}",
    )


def _sentence(model: ModelCloze) -> str:
    (whole,) = model.by(ALL)
    first, ten = whole.accuracy[0], whole.accuracy[-1]
    return (
        f"{model.model}: {first.share:.0%} of {whole.items:,} answers are its likeliest word (95 % "
        f"interval {first.low:.0%} to {first.high:.0%}), and {ten.share:.0%} are among its "
        f"{ten.first} likeliest ({ten.low:.0%} to {ten.high:.0%})."
        f"{_by_distance(model.by(DISTANCE))}"
    )


def _against_rivals(model: ModelCloze) -> str:
    """Say how many answers are likelier than their rivals, of all and of each kind."""
    by_kind: dict[str, list[bool]] = {}
    for score in model.scores:
        if score.beats_rival is not None:
            by_kind.setdefault(score.item.kind or "", []).append(score.beats_rival)
    if not by_kind:
        return ""
    right, count = sum(map(sum, by_kind.values())), sum(map(len, by_kind.values()))
    summary = f"{model.model}: {right} of {count} answers are likelier than their rivals"
    parts = [f"{kind} {sum(wins)} of {len(wins)}" for kind, wins in by_kind.items() if kind]
    return f"{summary}: {', '.join(parts)}." if len(parts) > 1 else f"{summary}."


def _end_of(context: str) -> str:
    """Return the end of a text, from a word on."""
    if len(context) <= LONGEST_CONTEXT:
        return context
    _, _, end = context[-LONGEST_CONTEXT:].partition(" ")
    return f"\u2026 {end}" if end else context


def _by_distance(groups: Sequence[ClozeMetrics]) -> str:
    """Say how both shares change from the nearest cues to the farthest."""
    if len(groups) < 2:
        return ""
    near, far = groups[0], groups[-1]
    return (
        f" With {far.group} words between cue and gap instead of {near.group}, the first share "
        f"{_change(near, far, 0)}, and the second {_change(near, far, -1)}."
    )


def _change(near: ClozeMetrics, far: ClozeMetrics, which: int) -> str:
    """Say by how much a share differs between two groups, and by Fisher's exact test whether
    that may be chance."""
    from scipy.stats import fisher_exact

    before, after = near.accuracy[which].share, far.accuracy[which].share
    if before == after:
        return f"stays at {before:.0%}"
    change = f"from {before:.0%} to {after:.0%}"

    # Fisher's table: how many items of each group were right, and how many were not.
    hits = [round(before * near.items), round(after * far.items)]
    misses = [near.items - hits[0], far.items - hits[1]]
    if fisher_exact([hits, misses]).pvalue >= 1 - LEVEL:
        return f"goes {change}, which may be chance"
    return f"falls {change}" if after < before else f"rises {change}"


def _unknown(model: ModelCloze) -> str:
    unknown = [score.item.answer for score in model.scores if score.unknown]
    if not unknown:
        return ""
    are, count = ("answer is", "counts") if len(unknown) == 1 else ("answers are", "count")
    words = first_of(list(dict.fromkeys(unknown)), 10)
    return (
        f"{model.model}: {len(unknown):,} {are} not in its vocabulary and {count} as missed: "
        f"{words}."
    )


# ---- The cloze test (Taylor 1953) for language models: predict the word in a gap.
#
# A model reads only the text before the gap, so an item should be written such that this decides
# the answer; the words behind the gap are for human readers.


def inspect_cloze(
    models: Models = (SHIPPED,), file: str | Path | None = None, *, items: bool = False,
    device: str | Device = "auto",
) -> Cloze:  # fmt: skip
    """Run a cloze test: how high language models rank the answers, from the text before the gap
    alone. Results are accuracy among the first 1, 5 and 10 words with 95 % intervals, median rank
    and mean surprisal (bits), by distance and by kind.

    Each item is read from the initial state. Models of pieces rank whole words; answers that are
    not in a model's vocabulary count as missed.

    models: a sequence of models or their names, or models by a name for each. file: a table with
    the columns text (`___` is the gap) and answer, and perhaps distance, kind and rival, a wrong
    word to compare the answer with; "lessons": 20 items after well-known examples of lectures;
    None: 200 items; both in the vocabulary of the bundled English. items: whether each item has a
    row in a table, with the words that are likeliest.

    Raises:
        TextError: the table cannot be read, lacks a column, or an item is not valid.
        ModelError: there is no such model, or its scores are not numbers.
        UsageError: a model is not a language model.
        DeviceError: there is no `device`.
    """
    source = corpora.list_named("cloze" if file is None else file)
    read = read_items(source)
    inspected = []
    for subject in load_models_for("cloze", models, device):
        scores = score_items(subject.model, read)
        inspected.append(ModelCloze(subject.name, metrics_of(scores), tuple(scores)))
    name = Path(source).name if Path(source).parent == corpora.FOLDER / "english" else str(source)
    return Cloze(name, tuple(inspected), items)
