"""Measure how far back a language model remembers: its perplexity where it sees the last tokens
alone, or the tokens further back in another order."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm import arrays
from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.perplexity import Context, check_context, spans_of
from rnnlm.evaluation.resampling import ratio_interval
from rnnlm.interface import Device, HiddenStateModel, LanguageModel
from rnnlm.lm.base import span_scoring
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tabular import Row, Table
from rnnlm.text.batches import with_boundary
from rnnlm.text.corpus import Text, TextInMemory
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent
from rnnlm.tools.inspection.common import (
    InspectedModel,
    Inspection,
    Models,
    Source,
    load_models_for,
    open_source,
    percent,
)

# ---- Log-probabilities of tokens after a part of the tokens before them: the last tokens alone, or
# all of them, with the tokens further back shuffled.
#
# The inputs before a target are the tokens from where reading began, and the boundary `</s>` before
# the first of them. The last k of them are read from the initial state without a boundary before
# them; where there are no more than k, they include the true beginning with its boundary.

# Inputs (B, T) and the numbers of their places -> the inputs in the order in which they are read
Arrange = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Places:
    """Targets of a text, and the tokens they may be predicted from. at_P: ascending positions in
    the ids. begin_P: where reading began before each, in `stream_N`, which has the input of each
    position: `stream_N[begin_P[p] : at_P[p] + 1]` are all inputs before target p."""

    ids_N: np.ndarray
    stream_N: np.ndarray
    at_P: np.ndarray
    begin_P: np.ndarray

    @property
    def inputs_P(self) -> np.ndarray:
        """How many inputs come before each target."""
        return self.at_P + 1 - self.begin_P

    def every(self, step: int) -> "Places":
        """Return one of `step` of these places."""
        return Places(self.ids_N, self.stream_N, self.at_P[::step], self.begin_P[::step])


def draw_places(
    ids_N: np.ndarray, spans_S2: np.ndarray, boundary_id: int, count: int, seed: int
) -> Places:
    """Draw at most `count` positions of a text without replacement. spans_S2: the spans that are
    read from the initial state, as from :func:`rnnlm.evaluation.perplexity.spans_of`."""
    at_P = np.arange(len(ids_N))
    if count < len(ids_N):
        at_P = np.sort(np.random.default_rng(seed).choice(len(ids_N), count, replace=False))
    span_P = np.searchsorted(spans_S2[:, 0], at_P, side="right") - 1
    return Places(ids_N, with_boundary(ids_N, boundary_id), at_P, spans_S2[span_P, 0])


def with_last(model: LanguageModel, places: Places, length: int) -> np.ndarray:
    """Return the log-probability (nats) of each target after its last `length` inputs alone,
    (P,)."""
    return _score(model, places, length, lambda inputs_BT, _: inputs_BT)


def with_shuffled(
    model: LanguageModel, places: Places, kept: int, window: int, seed: int
) -> np.ndarray:
    """Return the log-probability (nats) of each target after its last `window` inputs, of which
    all but the last `kept` are in random order, (P,). The boundary that a text begins with stays
    first. The order depends on the seed alone, so that models with the same tokens read the
    same."""
    keys_PW = np.random.default_rng(seed).random((len(places.at_P), window))
    at_beginning_P = places.inputs_P <= window

    # Inputs are sorted by random keys from 0 to 1. Keys above 1 keep the last inputs last, in their
    # order; a key below 0 keeps the boundary first.
    def shuffled(inputs_BT: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
        length = inputs_BT.shape[1]
        in_place = min(kept, length)
        keys_BT = keys_PW[rows_B, window - length :]
        keys_BT[:, length - in_place :] = 1 + np.arange(in_place)
        keys_BT[at_beginning_P[rows_B], 0] = -1
        return np.take_along_axis(inputs_BT, np.argsort(keys_BT, axis=1), axis=1)

    return _score(model, places, window, shuffled)


def _score(model: LanguageModel, places: Places, length: int, arrange: Arrange) -> np.ndarray:
    """Score each target after at most `length` inputs. Equal lengths are read together, so that
    no row is padded."""
    length_P = np.minimum(places.inputs_P, length)
    logprob_P = np.empty(len(length_P))
    for length_of_block in np.unique(length_P).tolist():
        rows_R = np.flatnonzero(length_P == length_of_block)
        for block in arrays.blocks(len(rows_R), max(1, model.call_tokens // length_of_block)):
            rows_B = rows_R[block]
            at_B = places.at_P[rows_B]
            inputs_BT = places.stream_N[at_B[:, None] + np.arange(1 - length_of_block, 1)].astype(
                np.int64
            )
            target_B = places.ids_N[at_B].astype(np.int64)
            logprob_P[rows_B] = _last(model, arrange(inputs_BT, rows_B), target_B)
    return logprob_P


def _last(model: LanguageModel, inputs_BT: np.ndarray, target_B: np.ndarray) -> np.ndarray:
    """Score the target behind the last input of each row. A network computes its output layer
    there alone."""
    rows, length = inputs_BT.shape
    targets_BT = np.concatenate([inputs_BT[:, 1:], target_B[:, None]], axis=1)
    state = model.initial_state(rows)
    network = model if isinstance(model, HiddenStateModel) else None
    for read in arrays.blocks(length, max(1, model.call_tokens // rows)):
        if network is not None:
            last_BTH, state = network.hidden(inputs_BT[:, read], state)
        else:
            last_BT, state = model.score(inputs_BT[:, read], targets_BT[:, read], state)
    if network is not None:
        last_BT = network.score_hidden(last_BTH[:, -1:], targets_BT[:, -1:])
    return arrays.as_numpy(last_BT)[:, -1].astype(np.float64)


# ---- The result for a model: its perplexity by how much of the past it sees, as tables, a plot and
# a sentence.

HEADING = "Where a line meets its dashed line, more of the past makes no difference"
CLOSE = 0.01  # a perplexity higher by this share is as good as the one with all tokens
_COLUMNS = (
    "perplexity",
    "low",
    "high",
    "increase %",
    "increase % low",
    "increase % high",
    "increase (bits)",
)


@dataclass(frozen=True)
class Remembered:
    """Perplexity per token if a model sees the last tokens only. Values are None if a token has
    probability zero.

    Attributes:
        tokens: Number of tokens that the model sees; None: all of them.
        affected: Number of positions with more tokens before them; at the others it makes no
            difference.
        perplexity: Perplexity per token.
        low: Lower bound of its 95 % interval (by leaving out each position).
        high: Upper bound of its 95 % interval.
        increase: Relative increase over the perplexity with all tokens, on the same positions (0.1:
            10 %).
        increase_low: Lower bound of its 95 % interval (paired).
        increase_high: Upper bound of its 95 % interval.
        increase_bits: The same increase in bits per token.
        zeros: Number of positions whose token has probability zero.
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
        """Whether the perplexity is as good as with all tokens."""
        return self.increase is not None and self.increase <= CLOSE


@dataclass(frozen=True)
class ModelMemory:
    """The memory of one model. Both lists of rows end with the row for all tokens in order.

    Attributes:
        model: Name of the model.
        tokenizer: Kind and fingerprint of its tokenizer; models with the same one are comparable.
        normalised: Whether its probabilities sum to 1.
        positions: Number of positions of `seen`.
        seen: Perplexities with the last tokens alone.
        shuffled_positions: Number of positions of `shuffled`.
        shuffled: Perplexities with the last `window` tokens, the ones further back in random order.
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
        """The least number of tokens beyond which order makes no difference; None where it
        always does."""
        return _least(self.shuffled)


def _least(rows: Sequence[Remembered]) -> int | None:
    return next((row.tokens for row in rows[:-1] if row.is_close), None)


@dataclass(frozen=True, repr=False)
class MemoryInspection(Inspection):
    """The result of :func:`inspect_memory`.

    Attributes:
        models: Results of each model.
        context: How the text was read: "carry" or "reset".
        window: Number of tokens read when earlier ones are shuffled.
        seed: Random seed of positions and shuffling.
    """

    models: tuple[ModelMemory, ...]
    context: str
    window: int
    seed: int

    @property
    def verdict(self) -> str:
        """One sentence for each model, and one if models are not comparable."""
        lines = list(map(_sentence, self.models))
        if len({model.tokenizer for model in self.models}) > 1:
            lines.append(
                "The models split the text into different tokens: their token counts and "
                "perplexities are not comparable."
            )
        for model in self.models:
            if not model.normalised:
                lines.append(f"{model.model} is not normalised: its numbers are not perplexities.")
        return "\n".join(lines)

    def tables(self) -> list[Table]:
        """Return two tables: tokens seen alone, and tokens seen in order."""
        titles = {
            "seen": "Only the last k tokens are seen",
            "shuffled": (f"Tokens further back than k are shuffled, in a window of {self.window}"),
        }
        columns = ("model", "k", "positions affected", *_COLUMNS)
        return [Table(columns, tuple(self._rows(kind)), title) for kind, title in titles.items()]

    def _rows(self, kind: str) -> Iterator[tuple[object, ...]]:
        for model in self.models:
            for row in getattr(model, kind):
                tokens = "all" if row.tokens is None else row.tokens
                perplexities = (row.perplexity, row.low, row.high)
                increases = map(percent, (row.increase, row.increase_low, row.increase_high))
                seen = (model.model, tokens, row.affected)
                yield (*seen, *perplexities, *increases, row.increase_bits)

    def to_rows(self, table: int | str = 0) -> list[Row]:
        """Return the rows of a table; `k` is None if all tokens are seen.

        Args:
            table: Number of the table, from 0, or its title.

        Raises:
            UsageError: The table does not exist.
        """
        rows = super().to_rows(table)
        return [row | {"k": None if row["k"] == "all" else row["k"]} for row in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return all results in JSON types, with the conclusions for each model."""
        content = super().to_dict()
        for stored, model in zip(content["models"], self.models, strict=True):
            stored["effective_context"] = model.effective_context
            stored["ordered_context"] = model.ordered_context
        return content

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw perplexity by k, both ways, side by side.

        Args:
            axes: Draw there instead of in a new figure; only if the picture has one panel.
        """
        labels = [
            ("only the last k tokens are seen", "tokens seen (k)", "perplexity per token"),
            ("all but the last k are shuffled", "tokens in order (k)", ""),
        ]
        figure, panels = plotting.new_panels(labels, height=4.0, axes=axes, heading=HEADING)
        for kind, panel in zip(("seen", "shuffled"), panels, strict=True):
            for number, model in enumerate(self.models):
                _draw(panel, plotting.short_name(model.model), getattr(model, kind), number)
            panel.set_xscale("log")
            ticks = [row.tokens for row in getattr(self.models[0], kind)[:-1]]
            panel.set_xticks(ticks, labels=map(str, ticks), minor=False)
            panel.minorticks_off()
            panel.set_yscale("log")
        # Both panels have one scale, so that their lines compare.
        ends = [end for panel in panels for end in panel.get_ylim()]
        for panel in panels:
            panel.set_ylim(min(ends), max(ends))
            plotting.log_y(panel)
        panels[0].plot(
            [], [], color=plotting.REFERENCE, linestyle="--", linewidth=1, label="with all tokens"
        )
        plotting.legend_below(figure, panels[0])
        return figure


def _draw(axes: "plotting.Axes", name: str, rows: Sequence[Remembered], number: int) -> None:
    """Draw the perplexities of a model by k, and a dashed line at the one with all tokens."""
    style = plotting.series_style(number)
    points = [(row.tokens, row.perplexity) for row in rows[:-1] if row.perplexity is not None]
    axes.plot(
        *np.array(points).reshape(-1, 2).T,
        label=name,
        linestyle=style.line,
        color=style.colour,
        marker=style.marker,
        markersize=4,
    )
    if rows[-1].perplexity is not None:
        axes.axhline(rows[-1].perplexity, color=style.colour, linestyle="--", linewidth=1)


def _sentence(model: ModelMemory) -> str:
    """Summarise the memory of a model in a sentence."""
    full = model.seen[-1]
    if full.perplexity is None:
        return (
            f"{model.model}: {full.zeros:,} of {model.positions:,} tokens have probability zero, "
            "so there is no perplexity."
        )

    tokens = model.effective_context
    if tokens is None:
        row = model.seen[-2]
        seen = f"more than the last {row.tokens} tokens are needed"
        if row.perplexity is not None:
            seen += (
                f": with those alone perplexity is {row.perplexity:.1f}, against "
                f"{full.perplexity:.1f} with all"
            )
    else:
        row = next(row for row in model.seen if row.tokens == tokens)
        context = "1 token: with that" if tokens == 1 else f"{tokens} tokens: with those"
        seen = (
            f"the effective context is {context} alone, perplexity is "
            f"{row.perplexity:.1f}, {_compared(row, full)}"
        )
    return f"{model.model}: {seen}{_fewer(model)}; {_order(model)}."


def _fewer(model: ModelMemory) -> str:
    """Say whether the next smaller number of tokens may be enough, too, since the effective
    context is an estimate."""
    # Where no number tried is enough, the largest one of them is the next smaller one.
    lengths = [row.tokens for row in model.seen]
    at = lengths.index(model.effective_context) - 1
    if at < 0:
        return ""
    low = model.seen[at].increase_low
    if low is None or low > CLOSE:
        return ""
    return f" ({lengths[at]} may be enough: its interval begins at {low:+z.1%})"


def _compared(row: Remembered, full: Remembered) -> str:
    """Say by how much the perplexity of a row differs from the one with all, with the interval."""
    rise, low, high = row.increase, row.increase_low, row.increase_high
    assert rise is not None
    bounds = "no 95 % interval"
    if low is not None and high is not None:
        bounds = f"95 % interval {low:+z.1%} to {high:+z.1%}"
    side = "below" if rise < 0 else "above"
    return f"{abs(rise):.1%} {side} the {full.perplexity:.1f} with all ({bounds})"


def _order(model: ModelMemory) -> str:
    """Say how far back the order of tokens matters."""
    if model.shuffled[-1].perplexity is None:
        return "with shuffled tokens there is no perplexity"
    tokens = model.ordered_context
    if tokens is None:
        return f"the order of tokens matters even further back than {model.shuffled[-2].tokens}"
    return f"shuffling the tokens further back than {tokens} raises it by at most {100 * CLOSE:g} %"


# ---- Perplexity by how much of the past a model sees (after Khandelwal, He, Qi & Jurafsky 2018,
# sections 3 and 4).
#
# At the same positions, drawn at random from a text: with all tokens before them, as an evaluation
# reads it; with the last k tokens alone, read from the initial state; and with the tokens further
# back than k in random order. Like theirs, these truncate and shuffle the input of a trained model:
# it is not trained again, and may do worse with little context than a model made for it.

LENGTHS = (1, 2, 5, 10, 20, 50, 100)
# One of this many positions is read shuffled, too: windows are longer than most other reading
SHUFFLED_SHARE = 4


def inspect_memory(
    models: Models = (SHIPPED,),
    text: Source | None = None,
    *,
    positions: int = 2000,
    window: int = 200,
    context: Context = "carry",
    text_settings: TextSettings | None = None,
    seed: int = 0,
    device: str | Device = "auto",
    progress: Progress = silent,
) -> MemoryInspection:
    """Measure the perplexity of language models where only the last k tokens are seen, and where
    tokens further back than k are shuffled, for k of 1, 2, 5, 10, 20, 50, 100 and all; differences
    to all on the same positions, with 95 % intervals.

    The last k tokens alone are read from the initial state, without a boundary before them; where
    there are fewer, from the true beginning: the line's with context "reset", the document's where
    the text has documents, otherwise the text's.

    models: a sequence of models or their names, or models by a name for each. text: one or several,
    or the name of a bundled corpus of plain text, for its test part; None: the test part of the
    bundled English. positions: number of tokens of the text that are predicted, drawn at random;
    all of them if it has fewer. One of four is predicted from shuffled tokens, too: the last
    `window` of which the last k stay in place. progress: called with the progress of the work.

    Raises:
        UsageError: there are fewer than two positions, or a window that is not longer than the
            largest k; there is no such context; a model is not a language model, or adapts its
            weights as it reads (dynamic evaluation): it cannot read many contexts side by side.
        TextError: the text cannot be read or is empty.
        ModelError: there is no such model, or its scores are not numbers.
        DeviceError: `device` is not available.
    """
    # Refuse settings that cannot be measured with, before anything is read.
    check_context(context)
    if positions < 2:
        raise UsageError(f"{positions} positions are not enough", hint="2 or more")
    if window <= LENGTHS[-1]:
        raise UsageError(
            f"a window of {window} tokens is too short",
            f"up to {LENGTHS[-1]} of them stay in place",
            "make it longer",
        )

    inspected = list(map(_with_rows, load_models_for("memory", models, device)))
    read = open_source(text, text_settings)
    if len(inspected) > 1 and read.tokenizer is None:
        read = TextInMemory.read(read, progress)  # standard input is read once
    drawn = positions, window, seed
    remembered = tuple(
        _memory(subject, read, context, drawn, prefixed(progress, subject.name))
        for subject in inspected
    )
    return MemoryInspection(remembered, context, window, seed)


def _with_rows(subject: InspectedModel) -> InspectedModel:
    """Refuse a model that cannot read many texts side by side."""
    if subject.model.max_rows is not None:
        raise UsageError(
            f"{subject.name} reads one text at a time",
            "it adapts its weights as it reads, but this inspection reads thousands of "
            "separate contexts",
            "inspect the model without dynamic evaluation",
        )  # fmt: skip
    return subject


def _memory(
    subject: InspectedModel,
    text: Text,
    context: Context,
    drawn: tuple[int, int, int],
    progress: Progress,
) -> ModelMemory:
    """Measure the memory of a model. drawn: number of positions, window, and seed."""
    model = subject.model
    positions, window, seed = drawn
    encoded = text.encode(model.tokenizer, progress)
    ids_N, spans_S2 = np.asarray(encoded.ids), spans_of(encoded, context)
    places = draw_places(ids_N, spans_S2, model.tokenizer.boundary_id, positions, seed)

    # The references: all tokens, and at some of the positions the whole window in order.
    in_full_P = span_scoring.score_spans(model, ids_N, spans_S2, report=progress)[places.at_P]
    fewer = places.every(SHUFFLED_SHARE) if len(places.at_P) >= 2 * SHUFFLED_SHARE else places
    ordered_P = with_last(model, fewer, window)

    seen, shuffled = [], []
    for length in LENGTHS:
        progress(f"the last {length} tokens")
        seen.append(with_last(model, places, length))
        shuffled.append(with_shuffled(model, fewer, length, window, seed))

    return ModelMemory(
        subject.name,
        f"{model.tokenizer.name}:{model.tokenizer.fingerprint}",
        model.normalised,
        positions=len(places.at_P),
        seen=tuple(_rows(seen, in_full_P, places)),
        shuffled_positions=len(fewer.at_P),
        shuffled=tuple(_rows(shuffled, ordered_P, fewer)),
    )


def _rows(
    by_length: Sequence[np.ndarray], with_all_P: np.ndarray, places: Places
) -> Iterator[Remembered]:
    """Yield the result for each length, then for all tokens."""
    for length, logprob_P in zip((*LENGTHS, None), (*by_length, with_all_P), strict=True):
        span_scoring.check_scores(logprob_P)
        ppl, low, high = _interval(-logprob_P, np.exp)
        with np.errstate(invalid="ignore"):  # a probability of zero both times
            rise, rise_low, rise_high = _interval(with_all_P - logprob_P, np.expm1)
        yield Remembered(
            tokens=length,
            affected=0 if length is None else int((places.inputs_P > length).sum()),
            perplexity=ppl,
            low=low,
            high=high,
            increase=rise,
            increase_low=rise_low,
            increase_high=rise_high,
            increase_bits=None if rise is None else math.log2(1 + rise),
            zeros=int(np.isneginf(logprob_P).sum()),
        )


def _interval(
    nats_P: np.ndarray, transform: Callable[[np.ndarray], np.ndarray]
) -> tuple[float | None, float | None, float | None]:
    """Transform the mean over positions, and its bounds; None where the mean is not finite."""
    if not np.isfinite(nats_P).all():
        return None, None, None
    interval = ratio_interval(nats_P).map(transform)
    return interval.estimate, interval.low, interval.high
