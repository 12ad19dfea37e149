"""Surprisal by word as a plot: a panel a sentence, a line a model."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
# Inches; beyond the widest, words are closer, as far as their letters allow
NARROWEST, WIDEST = 5.0, 9.0
INCHES_PER_LETTER, INCHES_PER_LINE = 0.085, 0.19
PANEL_INCHES = 2.4

_ByModel = Mapping[str, Sequence[WordScore]]


def plot_surprisals(
    scores: Iterable[SentenceScore | Mapping[str, SentenceScore]],
    path: str | Path | None = None,
    *,
    axes: "Axes | None" = None,
) -> "Figure":
    """Return a matplotlib figure of the surprisal of each word, in bits, of sentences scored with
    words: a panel for each sentence, a line for each model.

    scores: those of one model (:func:`rnnlm.score_sentences`), or by model
    (:func:`rnnlm.score_models`). The first 12 sentences are drawn, and the first 80 words of each,
    without `</s>`; a notice says so where there are more. A hollow mark is a word unknown to the
    model; a word of probability zero leaves a gap. path: also write the figure there; .svg, .png or
    .pdf. axes: draw the one sentence there, instead of in a figure of its own.

    Raises:
        UsageError: there is no word to draw, the words of the models are those of different
            tokenizers, there are several sentences for `axes`, or `path` has another suffix.
            OutputError: it cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    # Sentences without words, such as those that could not be read, are not drawn.
    drawn = []
    for score in scores:
        by_model = score if isinstance(score, Mapping) else {"": score}
        words = _words(by_model)
        if words:
            drawn.append((next(iter(by_model.values())).id, words))
    if not drawn:
        raise UsageError(
            "there is nothing to plot",
            "no sentence has a word with a surprisal",
            "score sentences with their words",
        )
    _tell_what_is_left_out([words for _, words in drawn])
    figure = _figure(drawn[:MOST_SENTENCES], axes)
    if path is not None:
        plotting.save(figure, Path(path))
    return figure


def _words(scores: Mapping[str, SentenceScore]) -> _ByModel:
    """Return the words of a sentence by model, without its end; empty where it has none or could
    not be read."""
    found = {}
    for name, score in scores.items():
        words = [each for each in score.word_scores if each.word != BOUNDARY]
        if words:
            found[name] = words
    # The words are written once, below the lines of all models.
    lines = [[each.word for each in words] for words in found.values()]
    if any(line != lines[0] for line in lines):
        raise UsageError(
            "the words of these models cannot be drawn together",
            "their words differ",
            "score with split whitespace; a model that removes marks needs a separate plot",
        )
    return found


def _tell_what_is_left_out(drawn: Sequence[_ByModel]) -> None:
    if len(drawn) > MOST_SENTENCES:
        notice(f"the plot shows the first {MOST_SENTENCES} sentences")
    lengths = [max(map(len, by_model.values())) for by_model in drawn[:MOST_SENTENCES]]
    longest = max(lengths)
    if longest > MOST_WORDS:
        notice(
            f"the plot shows the first {MOST_WORDS} words of a sentence; the longest has "
            f"{longest:,}"
        )


def _figure(drawn: Sequence[tuple[int | str | None, _ByModel]], axes: "Axes | None") -> "Figure":
    shown, labels = [], []
    for _, by_model in drawn:
        cut = {name: words[:MOST_WORDS] for name, words in by_model.items()}
        shown.append(cut)
        labels.append([_label(each.word) for each in next(iter(cut.values()))])

    # As wide as the words need; where that is too wide, they are turned upright.
    most, closest = max(map(len, labels)), max(map(_letters_at_closest, labels))
    wanted = 1 + most * closest * INCHES_PER_LETTER
    width = max(NARROWEST, min(wanted, WIDEST), 1 + most * INCHES_PER_LINE)
    is_upright = wanted > width
    longest = 0
    if is_upright:
        longest = max(map(len, itertools.chain.from_iterable(labels)))
    height = 0.4 + (PANEL_INCHES + longest * INCHES_PER_LETTER) * len(drawn)

    # One scale for all panels, which have the sentences' ids for titles.
    titles = []
    for id, _ in drawn:
        title = ""
        if len(drawn) > 1 and isinstance(id, str):
            title = visible(id)
        titles.append((title, "", "surprisal (bits)"))
    figure, panels = plotting.new_panels(titles, width, height, columns=1, axes=axes)
    bits = [each.surprisal_bits or 0 for each in _all_words(shown)]
    highest = max(bits, default=0)
    for panel, by_model, its in zip(panels, shown, labels, strict=True):
        _draw(panel, by_model)
        panel.set_xticks(range(len(its)), its, parse_math=False, rotation=90 if is_upright else 0)
        panel.locator_params(axis="y", nbins=5, integer=True)
        panel.set(xlim=(-0.5, most - 0.5), ylim=(0, 1.08 * highest + 0.1))
    _name_marks(figure, panels[0], shown)
    return figure


def _letters_at_closest(labels: Sequence[str]) -> float:
    """Return how many letters' room a word needs, so that no two neighbours touch."""
    return max((len(one) + len(other)) / 2 + 1 for one, other in itertools.pairwise([*labels, ""]))


def _draw(axes: "Axes", by_model: _ByModel) -> None:
    for k, (name, words) in enumerate(by_model.items()):
        colour = plotting.COLOURS[k % len(plotting.COLOURS)]
        marker = plotting.MARKERS[k % len(plotting.MARKERS)]
        bits_W = np.array([each.surprisal_bits for each in words], dtype=np.float64)  # None is NaN
        axes.plot(
            bits_W,
            marker=marker,
            color=colour,
            clip_on=False,
            label=plotting.short_name(name) or None,
        )

        # Over these, the hollow marks of unknown words.
        unknown = np.flatnonzero([each.is_oov for each in words]).tolist()
        if unknown:
            axes.plot(
                unknown,
                bits_W[unknown],
                marker,
                color=colour,
                markerfacecolor="white",
                clip_on=False,
            )


def _name_marks(figure: "Figure", axes: "Axes", shown: Sequence[_ByModel]) -> None:
    """Add a legend of the models, where there are several, and of the mark of unknown words, where
    there are any."""
    if any(each.is_oov for each in _all_words(shown)):
        axes.plot([], [], "o", color="grey", markerfacecolor="white", label="unknown word")
    if axes.get_legend_handles_labels()[1]:
        plotting.legend_above(figure, axes)


def _all_words(shown: Sequence[_ByModel]) -> Iterator[WordScore]:
    for by_model in shown:
        yield from itertools.chain.from_iterable(by_model.values())


def _label(word: str) -> str:
    word = visible(word)
    if len(word) <= LONGEST_WORD:
        return word
    return word[: LONGEST_WORD - 1] + "\u2026"
