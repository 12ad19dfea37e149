"""The results of decoding, and plots of attention."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.errors import notice
from rnnlm.evaluation import plotting
from rnnlm.evaluation.plotting import draw_heat_map
from rnnlm.tabular import RecordList, Result, Row

# ---- The results of translating a line.

DIGITS = 4  # of weights that are printed


@dataclass(frozen=True)
class AttentionWeights(Result):
    """The attention of each of T target tokens to S source tokens.

    Attributes:
        source_tokens: Tokens as the tokenizer writes them, `</s>` last; in the order of the text,
            in whatever direction the encoder reads.
        target_tokens: Tokens as the tokenizer writes them, `</s>` last.
        weights: Weights, (T, S) float32; each row sums to 1.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: np.ndarray

    @property
    def most_attended(self) -> tuple[int, ...]:
        """For each token of the line the number of the source's token with the largest weight, from
        0."""
        return tuple(self.weights.argmax(axis=1).tolist())

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `rnnlm translate --json --attention`: short numbers."""
        attention = super().to_dict() | {"most_attended": list(self.most_attended)}
        rows = self.weights.tolist()
        attention["weights"] = [[round(weight, DIGITS) for weight in row] for row in rows]
        return attention

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the weights, a row for each token of the line.

        Args:
            axes: Draw there instead of in a new figure.
        """
        return plot_attention(self, axes=axes)


@dataclass(frozen=True)
class Translation(Result):
    """One output of a model for a source.

    Attributes:
        text: The output.
        logprob_nats: log p(text | source), in nats.
        score: Score by which outputs are ranked: log p / ((5 + tokens) / 6)^length_power.
        tokens: Number of tokens, including `</s>` if it is written.
        complete: Whether it ended by itself; False if it was cut off at its limit.
        attention: Attention of its tokens, if requested.
    """

    text: str
    logprob_nats: float
    score: float
    tokens: int
    complete: bool
    attention: AttentionWeights | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `rnnlm translate --json`."""
        translation = super().to_dict()
        del translation["attention"]  # which was not asked for
        if self.attention is not None:
            translation["attention"] = self.attention.to_dict()
        return translation


@dataclass(frozen=True)
class TranslatedLine:
    """A source with its outputs.

    Attributes:
        source: The source.
        number: Number of the source, from 1.
        hypotheses: Outputs, best first, or samples in the order of drawing; none if the source has
            no words, or too many.
        reason: Reason why there are none.
    """

    source: str
    number: int
    hypotheses: tuple[Translation, ...]
    reason: str | None = None

    @property
    def text(self) -> str:
        """The text of the first hypothesis; "" where there is none."""
        return self.hypotheses[0].text if self.hypotheses else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `rnnlm translate --json`, as `rnnlm rescore` reads it."""
        line = {
            "utt": self.number,
            "source": self.source,
            "text": self.text,
            "hypotheses": [hypothesis.to_dict() for hypothesis in self.hypotheses],
        }
        return line | ({"reason": self.reason} if self.reason else {})


# ---- A plot of attention: the tokens of a source below, the tokens of the line beside, and their
# weights.

MOST_TOKENS = 120  # of a side
LONGEST_TOKEN = 24  # characters
INCHES_PER_TOKEN, SMALLEST = 0.17, 1.6
BESIDE, BELOW = 1.7, 1.4  # inches: names of tokens, titles and the colour bar
TITLE = "Attention of each target token (a row) to the source: the darker, the more"


def plot_attention(
    attention: AttentionWeights,
    path: str | Path | None = None,
    *,
    axes: "plotting.Axes | None" = None,
) -> "plotting.Figure":
    """Plot the attention of each token of a line (a row, the first one at the top) to its source (a
    column): white is nothing, black is all. The first 120 tokens of a side are drawn; a notice says
    so if there are more. path: also write the figure there; .svg, .png or .pdf. axes: draw there
    instead of in a new figure.

    Raises:
        UsageError: `path` has another suffix.
        OutputError: the file cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    if max(attention.weights.shape) > MOST_TOKENS:
        notice(f"the plot shows the first {MOST_TOKENS} tokens")

    # A token gets the width of its letters if the page is wide enough for all; of more tokens, only
    # some are named.
    weights = attention.weights[:MOST_TOKENS, :MOST_TOKENS]
    longest = plotting.WIDEST - BESIDE
    down, across = (INCHES_PER_TOKEN * tokens for tokens in weights.shape)
    width = min(longest, max(SMALLEST, across)) + BESIDE
    height = min(longest, max(SMALLEST, down)) + BELOW
    figure, axes = plotting.new_figure(TITLE, "source", "target", width, height, axes)
    most = int(longest / INCHES_PER_TOKEN)
    source, target = attention.source_tokens[:MOST_TOKENS], attention.target_tokens[:MOST_TOKENS]
    draw_heat_map(
        axes, weights, source, target, "Greys", highest=1.0, label="weight of attention",
        most=most, most_down=most, longest=LONGEST_TOKEN,
    )  # fmt: skip
    if path is not None:
        plotting.save(figure, Path(path))
    return figure


class TranslatedLines(RecordList[TranslatedLine]):
    """The outputs of a model for several sources, in a list that is also a table."""

    def to_rows(self) -> list[Row]:
        """Return a row for each hypothesis, the best of a source first."""
        rows: list[Row] = []
        for line in self:
            for rank, hypothesis in enumerate(line.hypotheses, start=1):
                rows.append({
                    "line": line.number,
                    "source": line.source,
                    "rank": rank,
                    "text": hypothesis.text,
                    "logprob_nats": hypothesis.logprob_nats,
                    "score": hypothesis.score,
                    "tokens": hypothesis.tokens,
                    "complete": hypothesis.complete,
                })  # fmt: skip
        return rows
