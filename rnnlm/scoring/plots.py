"""Surprisal by word as a plot: a panel a sentence, a line a model."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
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
# Inches; where words beside each other would be wider than a page, they are turned upright, and
# where there are more of them than find room then, a sentence goes on in the panel below
NARROWEST = 5.0
INCHES_PER_LETTER, INCHES_PER_LINE = 0.08, 0.16
PANEL_INCHES = 2.0
MOST_IN_ROW = int((plotting.WIDEST - 1) / INCHES_PER_LINE)
HEADING = "The higher a word, the less a model expected it"

_ByModel = Mapping[str, Sequence[WordScore]]


def plot_surprisals(
    scores: Sequence[SentenceScore] | Mapping[str, Sequence[SentenceScore]],
    path: str | Path | None = None,
    *,
    axes: "Axes | None" = None,
) -> "Figure":
    """Return a matplotlib figure of the surprisal of each word, in bits, of sentences scored with
    words: a panel for each sentence, a line for each model.

    scores: of one model, or of several on the same sentences, by their names. The first 12
    sentences are drawn, and the first 80 words of each, without `</s>`; a notice says so where
    there are more. A hollow mark is a word unknown to the model; a word of probability zero leaves
    a gap. path: also write the figure there; .svg, .png or .pdf. axes: draw the one sentence there,
    instead of in a figure of its own.

    Raises:
        UsageError: there is no word to draw, the words of the models are those of different
            tokenizers, there are several sentences for `axes`, or `path` has another suffix.
            OutputError: it cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    # Sentences without words, such as those that could not be read, are not drawn.
    drawn = []
    named = scores if isinstance(scores, Mapping) else {"": scores}
    for each in zip(*named.values(), strict=True):
        by_model = dict(zip(named, each, strict=True))
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
    # A panel for each sentence, or several for a long one; the first has the sentence's id.
    in_row = MOST_IN_ROW if axes is None else MOST_WORDS
    shown: list[_ByModel] = []
    labels, titles = [], []
    for id, by_model in drawn:
        title = ""
        if len(drawn) > 1 and isinstance(id, str):
            title = visible(id)
        for part in _parts(by_model, in_row):
            shown.append(part)
            labels.append([_label(each.word) for each in next(iter(part.values()))])
            titles.append((title, "", "surprisal (bits)"))
            title = ""

    # As wide as the words need; where that is too wide, they are turned upright.
    most, closest = max(map(len, labels)), max(map(_letters_at_closest, labels))
    wanted = 1 + most * closest * INCHES_PER_LETTER
    width = max(NARROWEST, min(wanted, plotting.WIDEST))
    is_upright = wanted > width
    longest = 1
    if is_upright:
        longest = max(map(len, itertools.chain.from_iterable(labels)))
    height = 0.9 + (PANEL_INCHES + longest * INCHES_PER_LETTER) * len(shown)

    # One scale for all panels.
    figure, panels = plotting.new_panels(titles, width, height, 1, axes, heading=HEADING)
    bits = [each.surprisal_bits or 0 for each in _all_words(shown)]
    highest = max(bits, default=0)
    looks = plotting.looks_of(name for part in shown for name in part)
    for panel, by_model, its in zip(panels, shown, labels, strict=True):
        _draw(panel, by_model, looks)
        panel.set_xticks(range(len(its)), its, parse_math=False, rotation=90 if is_upright else 0)
        panel.locator_params(axis="y", nbins=5, integer=True)
        panel.set(xlim=(-0.5, most - 0.5), ylim=(0, 1.08 * highest + 0.1))
    _name_marks(figure, panels[0], shown)
    return figure


def _letters_at_closest(labels: Sequence[str]) -> float:
    """Return how many letters' room a word needs, so that no two neighbours touch."""
    return max((len(one) + len(other)) / 2 + 1 for one, other in itertools.pairwise([*labels, ""]))


def _parts(by_model: _ByModel, most: int) -> Iterator[_ByModel]:
    """Cut the words of a sentence that are drawn into parts of about the same length, of `most`
    words each at most."""
    length = min(MOST_WORDS, max(map(len, by_model.values())))
    size = -(-length // -(-length // most))
    for start in range(0, length, size):
        end = min(start + size, length)
        yield {name: words[start:end] for name, words in by_model.items()}


def _draw(axes: "Axes", by_model: _ByModel, looks: Mapping[str, plotting.Look]) -> None:
    for name, words in by_model.items():
        its = looks[name]
        bits_W = np.array([each.surprisal_bits for each in words], dtype=np.float64)  # None is NaN
        axes.plot(
            bits_W,
            marker=its.marker,
            color=its.colour,
            linestyle=its.line,
            markersize=5,
            clip_on=False,
            label=plotting.short_name(name) or None,
        )

        # Over these, the hollow marks of unknown words.
        unknown = np.flatnonzero([each.is_oov for each in words]).tolist()
        if unknown:
            axes.plot(
                unknown,
                bits_W[unknown],
                its.marker,
                color=its.colour,
                markersize=5,
                markerfacecolor="white",
                clip_on=False,
            )


def _name_marks(figure: "Figure", axes: "Axes", shown: Sequence[_ByModel]) -> None:
    """Add a legend of the models, where there are several, and of the mark of unknown words, where
    there are any."""
    if any(each.is_oov for each in _all_words(shown)):
        axes.plot(
            [], [], "o", color=plotting.REFERENCE, markerfacecolor="white", label="unknown word"
        )
    plotting.legend_below(figure, axes)


def _all_words(shown: Sequence[_ByModel]) -> Iterator[WordScore]:
    for by_model in shown:
        yield from itertools.chain.from_iterable(by_model.values())


def _label(word: str) -> str:
    word = visible(word)
    if len(word) <= LONGEST_WORD:
        return word
    return word[: LONGEST_WORD - 1] + "\u2026"
