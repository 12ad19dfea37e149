"""What is known of a model's memory: its perplexity by how much of the past it sees, as tables, a plot and a sentence."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.evaluation import plotting
from rnnlm.inspection.result import Table, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOSE = 0.01  # so much above the perplexity of all, as a share of it, is as good as all
_COLUMNS = ("perplexity", "low", "high", "increase %", "increase % low", "increase % high", "increase (bits)")


@dataclass(frozen=True)
class Remembered:
    """Perplexity per token where a model remembers the last `tokens` (None: all of them), with the bounds of 95 % intervals, bootstrap
    over positions; None where a token has probability zero.

    affected: how many of the positions have more than that before them: at the others it makes no difference. increase: by which share the
    perplexity is above that with all (0.1: 10 %), increase_bits: by how many bits per token, on the same positions (paired). zeros:
    positions whose token has probability zero.
    """

    tokens: int | None
    affected: int
    perplexity: float | None
    low: float | None
    high: float | None
    increase: float | None
    increase_low: float | None
    increase_high: float | None
    increase_bits: float | None
    zeros: int

    @property
    def is_close(self) -> bool:
        """Whether it is as good as all."""
        return self.increase is not None and self.increase <= CLOSE


@dataclass(frozen=True)
class ModelMemory:
    """The memory of one model. seen: where it sees the last tokens alone; shuffled: where it sees the last `window` tokens, those further
    back in random order, at some of the positions. The last of each is that with all, in order.

    tokenizer: its kind and fingerprint; models compare where it is the same.
    """

    model: str
    tokenizer: str
    normalised: bool
    positions: int
    seen: tuple[Remembered, ...]
    shuffled_positions: int
    shuffled: tuple[Remembered, ...]

    @property
    def effective_context(self) -> int | None:
        """The least number of tokens seen that is as good as all; None where no number tried is."""
        return _least(self.seen)

    @property
    def ordered_context(self) -> int | None:
        """The least number of tokens beyond which order makes no difference; None where it does beyond all that were tried."""
        return _least(self.shuffled)


def _least(rows: Sequence[Remembered]) -> int | None:
    return next((row.tokens for row in rows[:-1] if row.is_close), None)


@dataclass(frozen=True)
class Memory:
    """What :func:`inspect_memory` finds. context: how the text was read; window: tokens read where some are shuffled."""

    models: tuple[ModelMemory, ...]
    context: str
    window: int
    seed: int

    @property
    def verdict(self) -> str:
        """One sentence for each model, and one where models do not compare."""
        lines = [_sentence(model) for model in self.models]
        if len({model.tokenizer for model in self.models}) > 1:
            lines.append("The models cut the text into different tokens: their numbers of tokens and perplexities do not compare.")
        lines += [f"{model.model} is not normalised: its figures are not perplexities." for model in self.models if not model.normalised]
        return "\n".join(lines)

    def tables(self) -> list[Table]:
        """Both tables: what is seen alone, and what is seen in order."""
        titles = ("Only the last k tokens are seen", f"Tokens further back than k are shuffled, in a window of {self.window}")
        kinds = ("seen", "shuffled")
        return [
            Table(("model", "k", "positions affected", *_COLUMNS), tuple(self._rows(kind)), title)
            for title, kind in zip(titles, kinds, strict=True)
        ]

    def _rows(self, kind: str) -> Iterator[tuple[Any, ...]]:
        for model in self.models:
            for row in getattr(model, kind):
                increases = map(_percent, (row.increase, row.increase_low, row.increase_high))
                figures = (row.perplexity, row.low, row.high, *increases, row.increase_bits)
                yield (model.model, "all" if row.tokens is None else row.tokens, row.affected, *figures)

    def to_dict(self) -> dict[str, Any]:
        """All of it, in JSON's types."""
        models = [
            dataclasses.asdict(model) | {"effective_context": model.effective_context, "ordered_context": model.ordered_context}
            for model in self.models
        ]
        found: dict[str, Any] = plain({"context": self.context, "window": self.window, "seed": self.seed, "models": models})
        return found

    def figure(self) -> "Figure":
        """Perplexity by k, both ways, side by side."""
        labels = [
            ("only the last k tokens seen", "tokens seen (k)", "perplexity per token"),
            ("further back than k shuffled", "tokens in order (k)", "perplexity per token"),
        ]
        figure, panels = plotting.new_panels(labels, width=9.6, height=4.2)
        for kind, axes in zip(("seen", "shuffled"), panels, strict=True):
            for number, model in enumerate(self.models):
                _draw(axes, plotting.short_name(model.model), getattr(model, kind), number)
            axes.set_xscale("log")
            ticks = [row.tokens for row in getattr(self.models[0], kind)[:-1]]
            axes.set_xticks(ticks, labels=map(str, ticks), minor=False)
            axes.minorticks_off()
            plotting.log_y(axes)
        plotting.legend_above(figure, panels[0])
        return figure


def _draw(axes: "Axes", name: str, rows: Sequence[Remembered], number: int) -> None:
    colour = plotting.COLOURS[number % len(plotting.COLOURS)]
    known = [(row.tokens, row.perplexity) for row in rows[:-1] if row.tokens is not None and row.perplexity is not None]
    axes.plot([tokens for tokens, _ in known], [perplexity for _, perplexity in known], label=name, color=colour,
              marker=plotting.MARKERS[number % len(plotting.MARKERS)], markersize=4)  # fmt: skip
    if rows[-1].perplexity is not None:
        axes.axhline(rows[-1].perplexity, color=colour, linestyle="--", linewidth=1)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _sentence(model: ModelMemory) -> str:
    """What the figures of a model mean."""
    full = model.seen[-1]
    if full.perplexity is None:
        return f"{model.model}: {full.zeros:,} of {model.positions:,} tokens have probability zero, so there is no perplexity."
    if (tokens := model.effective_context) is None:
        row = model.seen[-2]
        seen = f"more than the last {row.tokens} tokens are needed" + (
            f": with those alone perplexity is {row.perplexity:.1f}, against {full.perplexity:.1f} with all"
            if row.perplexity is not None
            else ""
        )
    else:
        row = next(row for row in model.seen if row.tokens == tokens)
        context = "1 token: with that" if tokens == 1 else f"{tokens} tokens: with those"
        seen = f"the effective context is {context} alone, perplexity is {row.perplexity:.1f}, {_compared(row, full)}"
    return f"{model.model}: {seen}{_fewer(model)}; {_order(model)}."


def _fewer(model: ModelMemory) -> str:
    """Whether the next smaller number of tokens than the effective context may do, too: the context is an estimate."""
    lengths = [row.tokens for row in model.seen]
    at = lengths.index(model.effective_context) - 1  # where no number tried is enough, the largest one of them
    if at < 0 or (low := model.seen[at].increase_low) is None or low > CLOSE:
        return ""
    return f" ({lengths[at]} may be enough: its interval begins at {low:+.1%})"


def _compared(row: Remembered, full: Remembered) -> str:
    """By how much the perplexity of a row differs from that with all, with the interval."""
    assert row.increase is not None and row.increase_low is not None and row.increase_high is not None
    change = f"{abs(row.increase):.1%} {'below' if row.increase < 0 else 'above'} the {full.perplexity:.1f} with all"
    return f"{change} (95 % interval {row.increase_low:+.1%} to {row.increase_high:+.1%})"


def _order(model: ModelMemory) -> str:
    if model.shuffled[-1].perplexity is None:
        return "with shuffled tokens there is no perplexity"
    if (tokens := model.ordered_context) is None:
        return f"the order of tokens matters even further back than {model.shuffled[-2].tokens}"
    return f"losing the order of tokens further back than {tokens} raises it by {100 * CLOSE:g} % at most"
