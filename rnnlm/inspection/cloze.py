"""Sentences with a gap: how high a language model ranks the word that a reader would say, by kind
and by the distance of the cue."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rnnlm.corpora as corpora
from rnnlm import arrays
from rnnlm.errors import TextError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import LEVEL
from rnnlm.files import tables
from rnnlm.inference.distributions import MOST_CELLS, score_and_look
from rnnlm.inference.span_scoring import check_reads_forward, check_scores, spans_between
from rnnlm.inspection.common import Models, Table, plain, subjects
from rnnlm.interface import Device, LanguageModel
from rnnlm.models.loading import SHIPPED
from rnnlm.scoring.scorer import score_sentences
from rnnlm.text.lines import WORD_SPACE, check_reserved
from rnnlm.text.named_columns import check_length, no_column, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- Items of a cloze test, read from a table: a text with a gap, the word that belongs there, and
# what is known about it.

TEXT, ANSWER, DISTANCE, KIND = "text", "answer", "distance", "kind"
_GAP = re.compile("__+")


@dataclass(frozen=True)
class ClozeItem:
    """One item. context: what stands before the gap. distance: the number of words between the gap
    and the cue, the word that says what belongs there. distance and kind are None where the table
    does not say."""

    context: str
    answer: str
    distance: int | None = None
    kind: str | None = None


def read_items(source: str | Path) -> list[ClozeItem]:
    """The items of a table with the columns `text`, in which underscores mark the gap (`___`), and
    `answer`; those of `distance` and `kind` are read where there are any. Tab-separated, unless the
    file's name says that it is CSV, JSON-lines or Parquet.

    Raises:
        TextError: the file cannot be read, lacks a column, or holds no items; or an item has no gap
            or more than one, an answer that is not one word, `<s>` or `</s>`, or a distance that is
            no natural number.
    """
    name = str(source)
    items = [_item(row) for row in tables.rows(name, tables.kind_of(name) or tables.TSV)]
    if not items:
        raise TextError(
            f"{name} holds no items",
            hint="one a line, below a header with the columns text and answer",
        )
    return items


def _item(row: tables.Row) -> ClozeItem:
    check_length(row)
    columns = {column: value for column, value in row.values.items() if column is not None}
    for column in (TEXT, ANSWER):
        if column not in columns:
            raise no_column(row.where, column, columns)
    text, answer = (text_of(columns[column], row.where, column) for column in (TEXT, ANSWER))
    gaps = list(_GAP.finditer(text))
    if len(gaps) != 1:
        raise TextError(
            f"{row.where}: {len(gaps) or 'no'} gap{'s' if len(gaps) > 1 else ''} in the text",
            hint="mark one by ___",
        )
    if len(answer.split()) != 1:
        raise TextError(f"{row.where}: the answer {answer!r} is not one word")
    for value in (text, answer):
        check_reserved(
            value, row.where, "error", hint="remove it: a text begins at a boundary by itself"
        )
    kind = columns.get(KIND)
    return ClozeItem(text[: gaps[0].start()].strip(WORD_SPACE), answer.strip(),
                     _distance(row, columns.get(DISTANCE)),
                     text_of(kind, row.where, KIND) if kind not in (None,
                         "") else None)  # fmt: skip


def _distance(row: tables.Row, value: object) -> int | None:
    if value in (None, ""):
        return None
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()):
        raise TextError(f"{row.where}: the distance {text!r} is not a number of words")
    return int(text)


# ---- Ranks and surprisals of the answers of a cloze test under one model, which reads what stands
# before the gap, and nothing behind it.

RANKED = 10  # words that are found where tokens are pieces of words


@dataclass(frozen=True)
class ClozeScore:
    """How a model does on one item. rank: of the answer among all words that the model may say
    there, from 1; None where it is unknown, or not among the first RANKED under a model whose
    tokens are pieces of words. surprisal_bits: -log2 p(answer | what stands before the gap); None
    where it is unknown or infinite. unknown: the answer is no word of the model's vocabulary.
    """

    item: ClozeItem
    rank: int | None
    surprisal_bits: float | None
    unknown: bool


def score_items(model: LanguageModel, items: Sequence[ClozeItem]) -> list[ClozeScore]:
    """The score of each item. Each is read from the initial state.

    Where every token is a word, ranks are those of the sorted distribution over the vocabulary (of
    equally likely tokens the one of the lower id comes first). Where words are made of pieces, the
    likeliest words are built piece by piece, as :mod:`rnnlm.inference.next_word` does it, and
    surprisals are those of :mod:`rnnlm.inference.words`.

    Raises:
        UsageError: the model reads lines from their end. ModelError: its scores are not numbers.
    """
    check_reads_forward(model.tokenizer, "fill a gap from what stands before it")
    tokens_are_words = bool(model.tokenizer.starts_word_V.all())
    scored = score_sentences(
        model, [item.answer for item in items], given=[item.context for item in items],
        with_words=True, eos=False, split="tokens",
        next_words=0 if tokens_are_words else RANKED,
    )  # fmt: skip
    unknown = [len(each.word_scores) != 1 or each.word_scores[0].is_oov for each in scored]
    if tokens_are_words:
        ranks: Iterator[int | None] = iter(_ranks(model, items))
    else:
        ranks = (
            _place(model, item.answer, [found.word for found in each.next_words[0]])
            for item, each in zip(items, scored, strict=True)
        )
    return [
        ClozeScore(
            item,
            None if is_unknown else rank,
            None if is_unknown else each.word_scores[0].surprisal_bits,
            is_unknown,
        )
        for item, rank, each, is_unknown in zip(items, ranks, scored, unknown, strict=True)
    ]


def _ranks(model: LanguageModel, items: Sequence[ClozeItem]) -> list[int]:
    """The rank of each answer's last token among all tokens, distributions in bounded memory."""
    encoded = model.tokenizer.encode([f"{item.context} {item.answer}" for item in items])
    ends = encoded.offsets[1:] - 2  # the last token before the boundary
    at_once = max(1, MOST_CELLS // model.tokenizer.size)
    ranks: list[int] = []
    for first in range(0, len(items), at_once):
        spans = spans_between(encoded.offsets)[first : first + at_once]
        at_M = ends[first : first + at_once]
        is_place_N = np.zeros(len(encoded.ids), dtype=bool)
        is_place_N[at_M] = True
        _, logprob_MV, _ = score_and_look(model, encoded.ids, spans, is_place_N, arrays.as_numpy)
        check_scores(logprob_MV.max(axis=1))
        ranks += [
            _rank(logprob_V, int(id))
            for logprob_V, id in zip(logprob_MV, encoded.ids[at_M], strict=True)
        ]
    return ranks


def _rank(logprob_V: np.ndarray, id: int) -> int:
    if id >= len(logprob_V):  # a word that is only spelled
        return len(logprob_V)
    its = logprob_V[id]
    return 1 + int((logprob_V > its).sum()) + int((logprob_V[:id] == its).sum())


def _place(model: LanguageModel, answer: str, words: Sequence[str]) -> int | None:
    """Where the answer, as the model's tokenizer writes it, is among the words found."""
    written = model.tokenizer.decode(model.tokenizer.encode([answer]).ids[:-1]).strip()
    return words.index(written) + 1 if written in words else None


# ---- How models do on a cloze test: shares of answers among the likeliest words, by distance and
# by kind, as a table, a plot, a sentence.

ALL = "all"
FIRST = (1, 5, 10)
DISTANCES = ((0, 2), (3, 5), (6, 10), (11, 20), (21, None))  # groups of distances, bounds included


@dataclass(frozen=True)
class Share:
    """The share (0 to 1) of a group's answers whose rank is at most `first`, with the bounds of its
    95 % interval (Wilson 1927)."""

    first: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class ClozeFigures:
    """The figures of a group of items. by: "all", "distance" or "kind"; group: its name. unknown:
    items whose answer is not in the vocabulary: they count as missed in `accuracy`, and are left
    out of `mean_bits`, as those of probability zero are.

    median_rank: None where it is not known, as half of the answers or more are not among the words
    that were ranked.
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
    """How one model does: figures by group, and the score of each item in the order of the file."""

    model: str
    figures: tuple[ClozeFigures, ...]
    scores: tuple[ClozeScore, ...]

    def by(self, grouping: str) -> list[ClozeFigures]:
        """The figures of one grouping."""
        return [figures for figures in self.figures if figures.by == grouping]


def figures_of(scores: Sequence[ClozeScore]) -> tuple[ClozeFigures, ...]:
    """Figures over all items, by distance and by kind; items without a distance, or a kind, are in
    no group of that."""
    groups = [(ALL, ALL, list(scores))]
    for low, high in DISTANCES:
        its = [
            each
            for each in scores
            if each.item.distance is not None
            and low <= each.item.distance <= (high or each.item.distance)
        ]
        groups.append((DISTANCE, f"{low}-{high}" if high else f"{low}+", its))
    for kind in dict.fromkeys(each.item.kind for each in scores if each.item.kind is not None):
        groups.append((KIND, kind, [each for each in scores if each.item.kind == kind]))
    return tuple(_figures(by, group, its) for by, group, its in groups if its)


def _figures(by: str, group: str, scores: Sequence[ClozeScore]) -> ClozeFigures:
    ranks = np.array([np.inf if each.rank is None else each.rank for each in scores])
    bits = [each.surprisal_bits for each in scores if each.surprisal_bits is not None]
    median = float(np.sort(ranks)[[(len(ranks) - 1) // 2, len(ranks) // 2]].mean())
    return ClozeFigures(
        by, group, len(scores), sum(each.unknown for each in scores),
        tuple(_share(ranks, first) for first in FIRST),
        median if np.isfinite(median) else None, float(np.mean(bits)) if bits else None,
    )  # fmt: skip


def _share(ranks: np.ndarray, first: int) -> Share:
    from scipy.stats import binomtest

    found = int((ranks <= first).sum())
    bounds = binomtest(found, len(ranks)).proportion_ci(LEVEL, method="wilson")
    return Share(first, found / len(ranks), float(bounds.low), float(bounds.high))


@dataclass(frozen=True)
class Cloze:
    """What :func:`inspect_cloze` finds."""

    file: str
    models: tuple[ModelCloze, ...]

    @property
    def verdict(self) -> str:
        """A sentence or two for each model: accuracy, how it changes with distance, and which
        answers are unknown."""
        return "\n".join(
            line for model in self.models for line in (_sentence(model), _unknown(model)) if line
        )

    def tables(self) -> list[Table]:
        """One table, a row for each model and group."""
        names = [
            name
            for first in FIRST
            for name in (f"accuracy at {first}", f"low at {first}", f"high at {first}")
        ]
        return [
            Table(
                (
                    "model",
                    "by",
                    "group",
                    "items",
                    "unknown answers",
                    *names,
                    "median rank",
                    "surprisal (bits)",
                ),
                tuple(self._rows()),
            )
        ]

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for model in self.models:
            for each in model.figures:
                shares = [
                    value
                    for share in each.accuracy
                    for value in (share.share, share.low, share.high)
                ]
                yield (
                    model.model,
                    each.by,
                    each.group,
                    each.items,
                    each.unknown,
                    *shares,
                    each.median_rank,
                    each.mean_bits,
                )

    def to_dict(self) -> dict[str, Any]:
        """All of it, in JSON's types."""
        found: dict[str, Any] = plain(
            {"file": self.file, "models": [dataclasses.asdict(model) for model in self.models]}
        )
        return found

    def figure(self) -> "Figure":
        """The share of answers among the first ten (full lines) and said first (dashed), by
        distance and by kind."""
        groupings = [by for by in (DISTANCE, KIND) if self.models[0].by(by)] or [ALL]
        labels = [
            ("", "words between cue and gap" if by == DISTANCE else by, "share of answers")
            for by in groupings
        ]
        figure, panels = plotting.new_panels(labels, width=4.8 * len(groupings), height=4.2)
        for by, axes in zip(groupings, panels, strict=True):
            for number, model in enumerate(self.models):
                colour = plotting.COLOURS[number % len(plotting.COLOURS)]
                groups = model.by(by)
                for which, style in ((-1, "-"), (0, "--")):
                    shares = [each.accuracy[which] for each in groups]
                    y = [share.share for share in shares]
                    errors = [
                        [share.share - share.low for share in shares],
                        [share.high - share.share for share in shares],
                    ]
                    axes.errorbar(
                        [each.group for each in groups], y, yerr=np.maximum(errors, 0),
                        color=colour, marker="o", capsize=3,
                        linestyle=style if by == DISTANCE else "",
                        fillstyle="full" if which else "none",
                        label=f"{plotting.short_name(model.model)}, "
                              f"{'first' if not which else f'among {FIRST[which]}'}",
                    )  # fmt: skip
            axes.set_ylim(0, 1)
            if by == KIND:
                axes.tick_params(axis="x", rotation=20)
        plotting.legend_above(figure, panels[0])
        return figure


def _sentence(model: ModelCloze) -> str:
    (whole,) = model.by(ALL)
    first, ten = whole.accuracy[0], whole.accuracy[-1]
    said = (
        f"{first.share:.0%} of {whole.items:,} answers are its likeliest word (95 % "
        f"interval {first.low:.0%} to {first.high:.0%})"
    )
    among = f"{ten.share:.0%} are among its {ten.first} likeliest ({ten.low:.0%} to {ten.high:.0%})"
    return f"{model.model}: {said}, and {among}.{_by_distance(model.by(DISTANCE))}"


def _by_distance(groups: Sequence[ClozeFigures]) -> str:
    """How both shares change from the nearest cues to the farthest."""
    if len(groups) < 2:
        return ""
    near, far = groups[0], groups[-1]
    first, ten = (_change(near, far, which) for which in (0, -1))
    return (
        f" With {far.group} words between cue and gap instead of {near.group}, the first share "
        f"{first}, and the second {ten}."
    )


def _change(near: ClozeFigures, far: ClozeFigures, which: int) -> str:
    """By how much a share differs between two groups; Fisher's exact test says whether that may be
    chance."""
    from scipy.stats import fisher_exact

    shares = [each.accuracy[which].share for each in (near, far)]
    found = [
        (round(share * each.items), each.items)
        for share, each in zip(shares, (near, far), strict=True)
    ]
    if shares[0] == shares[1]:
        return f"stays at {shares[0]:.0%}"
    change = f"from {shares[0]:.0%} to {shares[1]:.0%}"
    if fisher_exact([[hits, items - hits] for hits, items in found]).pvalue >= 1 - LEVEL:
        return f"goes {change}, which may be chance"
    return f"falls {change}" if shares[1] < shares[0] else f"rises {change}"


def _unknown(model: ModelCloze) -> str:
    words = list(dict.fromkeys(each.item.answer for each in model.scores if each.unknown))
    if not words:
        return ""
    count = sum(each.unknown for each in model.scores)
    more = f" and {len(words) - 10} more" if len(words) > 10 else ""
    are = (
        "answer is not in its vocabulary and counts"
        if count == 1
        else "answers are not in its vocabulary and count"
    )
    return f"{model.model}: {count:,} {are} as missed: {', '.join(words[:10])}{more}."


# ---- The cloze test (Taylor 1953) for language models: predict the word in a gap.
#
# A model reads only what stands before the gap, so a text is to be written such that this decides
# the answer; the words behind the gap are for human readers.

BUNDLED = corpora.part("english", "cloze.tsv")


def inspect_cloze(
    models: Models = (SHIPPED,), file: str | Path | None = None, *, device: str | Device = "auto"
) -> Cloze:
    """How high language models rank the answers of a cloze test, from what stands before the gap
    alone: accuracy among the first 1, 5 and 10 words with 95 % intervals, median rank and mean
    surprisal (bits), by distance and by kind.

    Each item is read from the initial state. Words of models of pieces are ranked as whole words;
    answers that are no word of a model's vocabulary count as missed.

    models: a sequence of models or their names, or models by a name for each. file: a table with
    the columns text (`___` is the gap) and answer, and perhaps distance and kind; None: 200 items
    in the vocabulary of the bundled English.

    Raises:
        TextError: the table cannot be read, lacks a column, or an item is not valid. ModelError:
            there is no such model, or its scores are not numbers. UsageError: a model is no
            language model, or reads lines from their end. DeviceError: there is no `device`.
    """
    items = read_items(BUNDLED if file is None else file)
    found = []
    for subject in subjects("cloze", models, device):
        scores = score_items(subject.model, items)
        found.append(ModelCloze(subject.name, figures_of(scores), tuple(scores)))
    return Cloze(BUNDLED.name if file is None else str(file), tuple(found))
