"""Surprisal by word as a figure: a panel a sentence, a line a model."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import UsageError, notice, visible
from rnnlm.evaluation import plotting
from rnnlm.interface import BOUNDARY
from rnnlm.scoring.records import SentenceScore
from rnnlm.scoring.word_scores import WordScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SENTENCES = 12  # in one figure
MOST_WORDS = 80  # of a sentence
LONGEST_WORD = 24  # characters
# inches; beyond the widest, words stand closer, as far as their letters allow
NARROWEST, WIDEST = 5.0, 9.0
INCHES_PER_LETTER, INCHES_PER_LINE = 0.085, 0.19
PANEL_INCHES = 2.4

_ByModel = Mapping[str, Sequence[WordScore]]


def plot_surprisals(
    scores: Iterable[SentenceScore | Mapping[str, SentenceScore]], path: str | Path | None = None
) -> "Figure":
    """A matplotlib figure of the surprisal of each word, in bits, of sentences scored with words: a
    panel for each sentence, a line for each model.

    scores: those of one model (:func:`rnnlm.score_sentences`), or by model
    (:func:`rnnlm.score_models`). The first 12 sentences are drawn, and the first 80 words of each,
    without `</s>`; a notice says so where there are more. A hollow mark is a word unknown to the
    model; a word of probability zero leaves a gap. path: also write the figure there; .svg, .png or
    .pdf.

    Raises:
        UsageError: there is no word to draw, the words of the models are those of different
            tokenizers, or `path` has another suffix. OutputError: it cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    by_sentence = [each if isinstance(each, Mapping) else {"": each} for each in scores]
    drawn = [
        (next(iter(each.values())).id, words) for each in by_sentence if (words := _words(each))
    ]
    if not drawn:
        raise UsageError(
            "there is nothing to plot",
            "no sentence has a word with a surprisal",
            "score sentences with their words",
        )
    _tell_what_is_left_out([words for _, words in drawn])
    figure = _figure(drawn[:MOST_SENTENCES])
    if path is not None:
        plotting.save(figure, Path(path))
    return figure


def _words(scores: Mapping[str, SentenceScore]) -> _ByModel:
    """The words of a sentence by model, without its end; none where it has none or could not be
    read."""
    found = {
        name: [each for each in score.word_scores if each.word != BOUNDARY]
        for name, score in scores.items()
    }
    found = {name: words for name, words in found.items() if words}
    if len({tuple(each.word for each in words) for words in found.values()}) > 1:
        raise UsageError(
            "the words of these models cannot be drawn side by side",
            "they are not the same words",
            "score with split whitespace; a model that removes marks needs a plot of its own",
        )
    return found


def _tell_what_is_left_out(drawn: Sequence[_ByModel]) -> None:
    if len(drawn) > MOST_SENTENCES:
        notice(f"the plot shows the first {MOST_SENTENCES} sentences")
    longest = max(len(words) for by_model in drawn[:MOST_SENTENCES] for words in by_model.values())
    if longest > MOST_WORDS:
        notice(
            f"the plot shows the first {MOST_WORDS} words of a sentence; the longest has "
            f"{longest:,}"
        )


def _figure(drawn: Sequence[tuple[int | str | None, _ByModel]]) -> "Figure":
    shown = [
        {name: words[:MOST_WORDS] for name, words in by_model.items()} for _, by_model in drawn
    ]
    labels = [[_label(each.word) for each in next(iter(by_model.values()))] for by_model in shown]
    most, closest = max(map(len, labels)), max(map(_letters_at_closest, labels))
    wanted = 1 + most * closest * INCHES_PER_LETTER
    width = max(NARROWEST, min(wanted, WIDEST), 1 + most * INCHES_PER_LINE)
    # of words that are turned upright
    longest = max(len(label) for its in labels for label in its) if wanted > width else 0
    height = 0.4 + (PANEL_INCHES + longest * INCHES_PER_LETTER) * len(drawn)
    titles = [visible(id) if len(drawn) > 1 and isinstance(id, str) else "" for id, _ in drawn]
    figure, panels = plotting.new_panels(
        [(title, "", "surprisal (bits)") for title in titles], width, height, columns=1
    )
    highest = max(
        (
            each.surprisal_bits or 0
            for by_model in shown
            for words in by_model.values()
            for each in words
        ),
        default=0,
    )
    for axes, by_model, its in zip(panels, shown, labels, strict=True):
        _draw(axes, by_model)
        axes.set_xticks(range(len(its)), its, parse_math=False, rotation=90 if longest else 0)
        axes.locator_params(axis="y", nbins=5, integer=True)
        axes.set(xlim=(-0.5, most - 0.5), ylim=(0, 1.08 * highest + 0.1))
    _name_marks(figure, panels[0], shown)
    return figure


def _letters_at_closest(labels: Sequence[str]) -> float:
    """How many letters' room a word needs, so that no two neighbours touch."""
    return max((len(one) + len(other)) / 2 + 1 for one, other in itertools.pairwise([*labels, ""]))


def _draw(axes: "Axes", by_model: _ByModel) -> None:
    for k, (name, words) in enumerate(by_model.items()):
        colour, marker = (
            plotting.COLOURS[k % len(plotting.COLOURS)],
            plotting.MARKERS[k % len(plotting.MARKERS)],
        )
        bits_W = np.array(
            [np.nan if each.surprisal_bits is None else each.surprisal_bits for each in words]
        )
        axes.plot(
            bits_W,
            marker=marker,
            color=colour,
            clip_on=False,
            label=plotting.short_name(name) or None,
        )
        if unknown := [at for at, each in enumerate(words) if each.is_oov]:
            axes.plot(
                unknown,
                bits_W[unknown],
                marker,
                color=colour,
                markerfacecolor="white",
                clip_on=False,
            )


def _name_marks(figure: "Figure", axes: "Axes", shown: Sequence[_ByModel]) -> None:
    """A legend of the models, where there are several, and of the mark of unknown words, where
    there are any."""
    if any(each.is_oov for by_model in shown for words in by_model.values() for each in words):
        axes.plot([], [], "o", color="grey", markerfacecolor="white", label="unknown word")
    if axes.get_legend_handles_labels()[1]:
        plotting.legend_above(figure, axes)


def _label(word: str) -> str:
    word = visible(word)
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD - 1] + "\u2026"
