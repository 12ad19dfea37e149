"""How models do on a cloze test: shares of answers among the likeliest words, by distance and by kind, as a table, a plot, a sentence."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import LEVEL
from rnnlm.inspection.cloze.items import DISTANCE, KIND
from rnnlm.inspection.cloze.scoring import ClozeScore
from rnnlm.inspection.result import Table, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = "all"
FIRST = (1, 5, 10)
DISTANCES = ((0, 2), (3, 5), (6, 10), (11, 20), (21, None))  # groups of distances, bounds included


@dataclass(frozen=True)
class Share:
    """The share (0 to 1) of a group's answers whose rank is at most `first`, with the bounds of its 95 % interval (Wilson 1927)."""

    first: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class ClozeFigures:
    """The figures of a group of items. by: "all", "distance" or "kind"; group: its name. unknown: items whose answer is not in
    the vocabulary: they count as missed in `accuracy`, and are left out of `mean_bits`, as those of probability zero are.

    median_rank: None where it is not known, as half of the answers or more are not among the words that were ranked.
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
    """Figures over all items, by distance and by kind; items without a distance, or a kind, are in no group of that."""
    groups = [(ALL, ALL, list(scores))]
    for low, high in DISTANCES:
        its = [each for each in scores if each.item.distance is not None and low <= each.item.distance <= (high or each.item.distance)]
        groups.append((DISTANCE, f"{low}-{high}" if high else f"{low}+", its))
    for kind in dict.fromkeys(each.item.kind for each in scores if each.item.kind is not None):
        groups.append((KIND, kind, [each for each in scores if each.item.kind == kind]))
    return tuple(_figures(by, group, its) for by, group, its in groups if its)


def _figures(by: str, group: str, scores: Sequence[ClozeScore]) -> ClozeFigures:
    ranks = np.array([np.inf if each.rank is None else each.rank for each in scores])
    bits = [each.surprisal_bits for each in scores if each.surprisal_bits is not None]
    median = float(np.sort(ranks)[[(len(ranks) - 1) // 2, len(ranks) // 2]].mean())
    return ClozeFigures(
        by, group, len(scores), sum(each.unknown for each in scores), tuple(_share(ranks, first) for first in FIRST),
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
        """A sentence or two for each model: accuracy, how it changes with distance, and which answers are unknown."""
        return "\n".join(line for model in self.models for line in (_sentence(model), _unknown(model)) if line)

    def tables(self) -> list[Table]:
        """One table, a row for each model and group."""
        names = [name for first in FIRST for name in (f"accuracy at {first}", f"low at {first}", f"high at {first}")]
        return [Table(("model", "by", "group", "items", "unknown answers", *names, "median rank", "surprisal (bits)"), tuple(self._rows()))]

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for model in self.models:
            for each in model.figures:
                shares = [value for share in each.accuracy for value in (share.share, share.low, share.high)]
                yield (model.model, each.by, each.group, each.items, each.unknown, *shares, each.median_rank, each.mean_bits)

    def to_dict(self) -> dict[str, Any]:
        """All of it, in JSON's types."""
        found: dict[str, Any] = plain({"file": self.file, "models": [dataclasses.asdict(model) for model in self.models]})
        return found

    def figure(self) -> "Figure":
        """The share of answers among the first ten (full lines) and said first (dashed), by distance and by kind."""
        groupings = [by for by in (DISTANCE, KIND) if self.models[0].by(by)] or [ALL]
        labels = [("", "words between cue and gap" if by == DISTANCE else by, "share of answers") for by in groupings]
        figure, panels = plotting.new_panels(labels, width=4.8 * len(groupings), height=4.2)
        for by, axes in zip(groupings, panels, strict=True):
            for number, model in enumerate(self.models):
                colour = plotting.COLOURS[number % len(plotting.COLOURS)]
                groups = model.by(by)
                for which, style in ((-1, "-"), (0, "--")):
                    shares = [each.accuracy[which] for each in groups]
                    y = [share.share for share in shares]
                    errors = [[share.share - share.low for share in shares], [share.high - share.share for share in shares]]
                    axes.errorbar(
                        [each.group for each in groups], y, yerr=np.maximum(errors, 0), color=colour, marker="o", capsize=3,
                        linestyle=style if by == DISTANCE else "", fillstyle="full" if which else "none",
                        label=f"{plotting.short_name(model.model)}, {'first' if not which else f'among {FIRST[which]}'}",
                    )  # fmt: skip
            axes.set_ylim(0, 1)
            if by == KIND:
                axes.tick_params(axis="x", rotation=20)
        plotting.legend_above(figure, panels[0])
        return figure


def _sentence(model: ModelCloze) -> str:
    (whole,) = model.by(ALL)
    first, ten = whole.accuracy[0], whole.accuracy[-1]
    said = f"{first.share:.0%} of {whole.items:,} answers are its likeliest word (95 % interval {first.low:.0%} to {first.high:.0%})"
    among = f"{ten.share:.0%} are among its {ten.first} likeliest ({ten.low:.0%} to {ten.high:.0%})"
    return f"{model.model}: {said}, and {among}.{_by_distance(model.by(DISTANCE))}"


def _by_distance(groups: Sequence[ClozeFigures]) -> str:
    """How both shares change from the nearest cues to the farthest."""
    if len(groups) < 2:
        return ""
    near, far = groups[0], groups[-1]
    first, ten = (_change(near, far, which) for which in (0, -1))
    return f" With {far.group} words between cue and gap instead of {near.group}, the first share {first}, and the second {ten}."


def _change(near: ClozeFigures, far: ClozeFigures, which: int) -> str:
    """By how much a share differs between two groups; Fisher's exact test says whether that may be chance."""
    from scipy.stats import fisher_exact

    shares = [each.accuracy[which].share for each in (near, far)]
    found = [(round(share * each.items), each.items) for share, each in zip(shares, (near, far), strict=True)]
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
    are = "answer is not in its vocabulary and counts" if count == 1 else "answers are not in its vocabulary and count"
    return f"{model.model}: {count:,} {are} as missed: {', '.join(words[:10])}{more}."
