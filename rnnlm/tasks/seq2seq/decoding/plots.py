"""Attention as a figure: the tokens of a source below, those of the line beside, and how much each looked at each."""

from pathlib import Path
from typing import TYPE_CHECKING

from rnnlm.errors import notice, visible
from rnnlm.evaluation import plotting
from rnnlm.tasks.seq2seq.decoding.results import Attention

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TOKENS = 120  # of a side
LONGEST_TOKEN = 24  # characters
INCHES_PER_TOKEN, SMALLEST, MARGIN = 0.22, 2.0, 1.6


def plot_attention(attention: Attention, path: str | Path | None = None) -> "Figure":
    """A matplotlib figure of what each token of a line (a row, the first one at the top) looked at in its source (a column): white is
    nothing, black is all. The first 120 tokens of a side are drawn; a notice says so where there are more. path: also write the figure
    there; .svg, .png or .pdf.

    Raises:
        UsageError: `path` has another suffix. OutputError: it cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    if max(attention.weights.shape) > MOST_TOKENS:
        notice(f"the plot shows the first {MOST_TOKENS} tokens")
    source, target = (_labels(tokens) for tokens in (attention.source_tokens, attention.target_tokens))
    width, height = (max(SMALLEST, INCHES_PER_TOKEN * len(tokens)) + MARGIN for tokens in (source, target))
    figure, axes = plotting.new_figure("", "source", "target", width, height)
    image = axes.imshow(attention.weights[:MOST_TOKENS, :MOST_TOKENS], cmap="Greys", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(len(source)), source, rotation=90)
    axes.set_yticks(range(len(target)), target)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label="weight", shrink=0.6)
    if path is not None:
        plotting.save(figure, Path(path))
    return figure


def _labels(tokens: tuple[str, ...]) -> list[str]:
    shown = ["\u2423" if token == " " else visible(token) for token in tokens[:MOST_TOKENS]]
    return [token if len(token) <= LONGEST_TOKEN else token[: LONGEST_TOKEN - 1] + "\u2026" for token in shown]
