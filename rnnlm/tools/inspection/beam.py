"""Show a beam search as a tree: which continuations it keeps at each step, and which it drops
(`rnnlm inspect beam`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from rnnlm.amounts import plural
from rnnlm.evaluation import plotting
from rnnlm.interface import BOUNDARY, Device
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.lm.base.span_scoring import reads_conditions
from rnnlm.scoring.generation.drawing import TextStarts, encoded_prompt, read_prompt
from rnnlm.scoring.generation.search import Beams, search
from rnnlm.scoring.generation.settings import SearchSettings
from rnnlm.tabular import Result, Table
from rnnlm.text.unknown_words import tell_unknown
from rnnlm.tools.continuations import added_text
from rnnlm.tools.inspection.common import (
    Inspection,
    Model,
    check_positive,
    checked_sentence,
    load_model_for,
)

State = Literal["best", "kept", "dropped"]
GREEDY = SearchSettings(beam=1, length_power=0.0)
MOST_ROWS, MOST_STEPS = 30, 5  # that are drawn
_LINES: dict[str, dict[str, Any]] = {
    "best": {"color": plotting.COLOURS[1], "linewidth": 2.5},
    "kept": {"color": plotting.COLOURS[0], "linewidth": 1.5},
    "dropped": {"color": plotting.REFERENCE, "linestyle": ":"},
}


@dataclass(frozen=True)
class BeamNode(Result):
    """One continuation that the search looked at.

    Attributes:
        step: Number of its tokens.
        token: The last of its tokens, as the tokenizer writes it.
        text: All of its tokens as text; `</s>` where it ends the line.
        logprob_nats: Log-probability of its tokens, in nats.
        parent: Number of the continuation that it extends, from 0; None at the first step.
        state: "kept": among the best of its step; "dropped"; or "best": the best text begins with
            it.
    """

    step: int
    token: str
    text: str
    logprob_nats: float
    parent: int | None
    state: State


@dataclass(frozen=True, repr=False)
class BeamInspection(Inspection):
    """A beam search for the continuation of one line.

    Attributes:
        line: The beginning of a line, or the source of an encoder-decoder.
        beam: Width of the beam.
        nodes: The continuations, step by step.
        best: Text that the beam finds.
        best_logprob_nats: Its log-probability, in nats.
        greedy: Text that greedy search finds, which keeps one continuation at each step.
        greedy_logprob_nats: Its log-probability, in nats.
        max_tokens: Longest continuation, in tokens.
        best_complete: Whether `best` ended in `</s>`, rather than at `max_tokens`.
        greedy_complete: Whether `greedy` did.
    """

    line: str
    beam: int
    nodes: tuple[BeamNode, ...]
    best: str
    best_logprob_nats: float
    greedy: str
    greedy_logprob_nats: float
    max_tokens: int
    best_complete: bool
    greedy_complete: bool

    @property
    def verdict(self) -> str:
        """What the beam finds that greedy search does not."""
        greedy = self._in_words(self.greedy, self.greedy_logprob_nats, self.greedy_complete)
        if self.best == self.greedy:
            return f"Greedy search finds {greedy}, and a beam of {self.beam} nothing else."
        nats = self.best_logprob_nats - self.greedy_logprob_nats
        times = math.exp(max(-700, min(nats, 700)))
        best = self._in_words(self.best, self.best_logprob_nats, self.best_complete)
        judged = f"{times:.3g} times as likely"
        if times < 1:
            judged = f"{1 / times:.3g} times less likely: greedy search wins here"
        return f"Greedy search finds {greedy}; a beam of {self.beam} finds {best}, {judged}."

    def _in_words(self, text: str, logprob_nats: float, is_complete: bool) -> str:
        written = with_end(text, is_complete)
        end = "" if is_complete else f", cut off after {plural(self.max_tokens, 'token')}"
        return f'"{written}" (log P {logprob_nats:.2f} nats{end})'

    def tables(self) -> Sequence[Table]:
        """Return the continuations of each step, by the beginning that they extend."""
        rows = [(node.step, node.text, node.logprob_nats, node.state) for node in self.nodes]
        return [
            Table(("step", "text", "logprob_nats", "state"), tuple(rows), f"A beam of {self.beam}")
        ]

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the tree of the continuations, a column for each of the first steps. Wide beams are
        drawn without what they drop.

        Args:
            axes: Draw there instead of in a new figure.
        """
        # Each step is a column. Continuations of one parent stand together, in the order of the
        # parents, so that no lines cross.
        places: dict[int | None, tuple[float, float]] = {None: (0.0, 0.0)}
        drawn = {}
        for step in range(1, MOST_STEPS + 1):
            of_step = {}
            for number, node in enumerate(self.nodes):
                if node.step == step and (node.state != "dropped" or self.beam**2 <= MOST_ROWS):
                    of_step[number] = (places[node.parent][1], -node.logprob_nats)
            for row, number in enumerate(sorted(of_step, key=of_step.__getitem__)):
                places[number] = (step, row - (len(of_step) - 1) / 2)
                drawn[number] = self.nodes[number]

        # As high as the longest column, without axes.
        steps, most = (max(side) for side in zip(*places.values(), strict=True))
        height = max(2.5, 1.2 + 0.62 * most)
        title = f"A beam of {self.beam}: log P in nats"
        figure, panel = plotting.new_figure(title, "", "", height=height, axes=axes)
        panel.set_axis_off()
        ends = {"xlim": (-0.5, steps + 0.5), "ylim": (most + 0.6, -most - 0.6)}
        panel.set(xticks=[], yticks=[], **ends)

        # What is written at each place: the beginning, then each token with its log P.
        letters = int(plotting.WIDEST / (steps + 1) * 72 / (plotting.LETTER * plotting.SMALL))
        beginning = plotting.short_name(self.line or "START", max(5, letters - 3))
        texts: dict[int | None, str] = {None: beginning}
        for number, node in drawn.items():
            logprob = plotting.with_minus(f"{node.logprob_nats:.1f}")
            texts[number] = f"{plotting.shortened(node.token, max(3, letters - 10))} {logprob}"

        # Half the width of the widest frame of each column, with its padding.
        longest = [1] * (steps + 1)
        for place, text in texts.items():
            column = int(places[place][0])
            longest[column] = max(longest[column], len(text))
        halves = [min(0.46, (most + 3) / letters / 2) for most in longest]

        # The line from the parent rises between the columns alone: it crosses no frame.
        plotting.write_framed(panel, (0, 0), texts[None], _LINES["best"]["color"])
        for number, node in drawn.items():
            line = _LINES[node.state]
            (x0, y0), (x1, y1) = places[node.parent], places[number]
            turns = x0 + halves[int(x0)], x1 - halves[int(x1)]
            panel.plot([x0, *turns, x1], [y0, y0, y1, y1], zorder=1, label=node.state, **line)
            plotting.write_framed(panel, places[number], texts[number], line["color"])
        plotting.legend_below(figure, panel)
        return figure


def with_end(text: str, is_complete: bool) -> str:
    """Return a text with `</s>` behind it if it ended there."""
    return f"{text} {BOUNDARY}".lstrip() if is_complete else text


def inspect_beam(
    model: Model = SHIPPED, line: str = "", *, beam: int = 3, max_tokens: int = 4,
    device: str | Device = "auto",
) -> BeamInspection:  # fmt: skip
    """Search for the likeliest continuation of a line by a beam, and record each step.

    model: a language model, which reads `line` as the beginning of a text, or an encoder-decoder,
    whose source it is. beam: continuations kept at each step. max_tokens: of a continuation.

    Raises:
        UsageError: the model has no next words, or the beam or `max_tokens` is below 1.
        TextError: the line cannot be read.
        ModelError: there is no such model.
    """
    check_positive(beam=beam, max_tokens=max_tokens)
    # An encoder-decoder reads the line, a language model goes on after it.
    inspected = load_model_for("beam", model, device).model
    decoder = getattr(inspected, "decoder", inspected)
    tokenizer = decoder.tokenizer
    if reads_conditions(decoder):
        states = decoder.states([checked_sentence(line)])
        tell_unknown([line], decoder.condition_tokenizer)
        starts = TextStarts(states, np.array([tokenizer.boundary_id]), np.array([max_tokens]))
        prompt = []
    else:
        prompt = encoded_prompt(decoder, line).tolist()
        starts = read_prompt(decoder, np.array(prompt), max_tokens)

    # Each continuation of each step, by its tokens.
    seen: dict[tuple[int, ...], tuple[float, State]] = {}

    def record(beams: Beams, token_RK: np.ndarray, logprob_RK: np.ndarray) -> None:
        """Record the continuations of a step, and which of them will be kept."""
        origin_1B, token_1B, _ = beams.best_continuations(token_RK, logprob_RK)
        kept = set(zip(origin_1B[0].tolist(), token_1B[0].tolist(), strict=True))
        total_RK = beams.total_LP[0][:, None] + logprob_RK
        for row, place in np.argwhere(total_RK > -np.inf).tolist():
            token = int(token_RK[row, place])
            ids = (*beams.ids_RT[row].tolist(), token)
            is_kept = (row, token) in kept
            seen[ids] = float(total_RK[row, place]), "kept" if is_kept else "dropped"

    [[best]] = search(decoder, starts, replace(GREEDY, beam=beam), watch=record)
    [[greedy]] = search(decoder, starts, GREEDY)

    def text_of(ids: tuple[int, ...]) -> str:
        """Return a continuation as it reads after the line, without the space between the two."""
        text = added_text(tokenizer, prompt, [*ids])
        return text if tokenizer.decode(ids).startswith(" ") else text.removeprefix(" ")

    # A node's parent is the continuation without its last token.
    symbols, numbers = tokenizer.symbols(), {ids: number for number, ids in enumerate(seen)}
    nodes = [
        BeamNode(
            step=len(ids),
            token=symbols[ids[-1]],
            text=with_end(text_of(ids), ids[-1] == tokenizer.boundary_id),
            logprob_nats=total,
            parent=numbers.get(ids[:-1]),
            state="best" if best.ids[: len(ids)] == ids else state,
        )
        for ids, (total, state) in seen.items()
    ]
    return BeamInspection(
        line=line,
        beam=beam,
        nodes=tuple(nodes),
        best=text_of(best.ids),
        best_logprob_nats=best.logprob_nats,
        greedy=text_of(greedy.ids),
        greedy_logprob_nats=greedy.logprob_nats,
        max_tokens=max_tokens,
        best_complete=best.ended,
        greedy_complete=greedy.ended,
    )
