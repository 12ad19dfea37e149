"""Pictures of n-gram counts: which word follows which, and frequencies by rank."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.interface import SENTENCE_START

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NgramCounts = Iterable[tuple[str, int]]  # words parted by spaces, and how often they occur

MOST_CHARACTERS = 64  # of a vocabulary that is drawn as a whole
MOST_WORDS = 30  # of a larger one
MOST_WITH_NUMBERS = 12  # words, so that numbers fit into the cells
FITTED_RANKS = 100  # that a line is fitted to, spread evenly over the logarithms of all ranks


def bigram_map(ngrams: NgramCounts, probabilities: bool = False) -> "Figure":
    """Draw how often each word follows each other one, or with what probability: relative
    frequencies. Of more than MOST_CHARACTERS words, the MOST_WORDS most frequent ones are drawn."""
    words: dict[str, int] = {}
    pairs: dict[tuple[str, str], int] = {}
    for ngram, count in ngrams:
        symbols = ngram.split(" ")
        if len(symbols) == 1:
            words[ngram] = count
        elif len(symbols) == 2:
            pairs[symbols[0], symbols[1]] = count
    if not pairs:
        raise UsageError("there are no bigrams to draw", hint="count with an order of 2 or more")

    # All characters by their code, or the most frequent words by frequency.
    shown = [word for word in words if word != SENTENCE_START]
    if len(shown) > MOST_CHARACTERS:
        shown = sorted(shown, key=lambda word: (-words[word], word))[:MOST_WORDS]
    begin = [SENTENCE_START] if SENTENCE_START in words else []
    ends = {pair[1] for pair in pairs}
    down = [*begin, *(word for word in shown if word != "</s>")]
    across = [word for word in shown if word in ends]
    values_YX = np.array([[pairs.get((y, x), 0) for x in across] for y in down], dtype=np.float64)
    if probabilities:
        values_YX /= np.array([[words[word]] for word in down])

    what = "p(second | first)" if probabilities else "count"
    title = f"How often the second follows the first: {what}"
    if len(shown) < len(words) - len(begin):
        title += f", the {len(shown)} most frequent words"
    figure, axes = plotting.new_figure(title, "second", "first", height=plotting.TALLEST)
    has_room = len(down) <= MOST_WITH_NUMBERS and not probabilities
    plotting.draw_heat_map(
        axes, values_YX, list(map(_as_read, across)), list(map(_as_read, down)), "Blues",
        label=what, most=MOST_CHARACTERS, most_down=MOST_CHARACTERS,
        numbers_YX=values_YX.astype(np.int64) if has_room else None,
    )  # fmt: skip
    return figure


def _as_read(word: str) -> str:
    """Return a word whose white space is escaped as it is in the text."""
    return re.sub(r"\\x20", " ", word)


@dataclass(frozen=True)
class ZipfFit:
    """Frequencies by rank of the n-grams of one order, and the line fitted to their logarithms
    (Zipf 1949): log frequency = intercept + slope log rank.

    order: n. ngrams: different n-grams. total: n-grams of the text. once: share of the different
    ones that occur once. counts_R: the frequencies by rank.
    """

    order: int
    ngrams: int
    total: int
    once: float
    slope: float
    intercept: float
    counts_R: np.ndarray


def zipf_fits(ngrams: NgramCounts) -> list[ZipfFit]:
    """Fit a line to each order. Ranks are taken at even distances of their logarithms: otherwise,
    the many rare n-grams alone would decide. `<s>` by itself is no word of the text."""
    by_order: dict[int, list[int]] = {}
    for ngram, count in ngrams:
        if ngram != SENTENCE_START:
            by_order.setdefault(ngram.count(" ") + 1, []).append(count)
    fits = []
    for order, counts in sorted(by_order.items()):
        counts_R = np.sort(np.array(counts))[::-1]
        ranks = np.unique(np.geomspace(1, len(counts_R), FITTED_RANKS).round().astype(np.int64))
        slope, intercept = 0.0, float(np.log(counts_R[0]))
        if len(ranks) > 1:
            slope, intercept = np.polyfit(np.log(ranks), np.log(counts_R[ranks - 1]), 1).tolist()
        once = float((counts_R == 1).mean())
        total = int(counts_R.sum())
        fits.append(ZipfFit(order, len(counts), total, once, slope, intercept, counts_R))
    return fits


def draw_zipf(fits: list[ZipfFit]) -> "Figure":
    """Draw frequency by rank, both on logarithmic axes, with the fitted lines."""
    title = "Zipf's law: how often the n-gram of each rank occurs"
    figure, axes = plotting.new_figure(title, "rank", "frequency")
    for number, fit in enumerate(fits):
        style = plotting.series_style(number)
        ranks = np.arange(1, len(fit.counts_R) + 1)
        # Steps of equal frequencies need only their ends.
        is_end = np.ones(len(ranks), dtype=bool)
        is_end[1:-1] = np.diff(fit.counts_R)[:-1] != 0
        is_end[1:-1] |= np.diff(fit.counts_R)[1:] != 0
        name = f"{fit.order}-grams: slope {fit.slope:.2f}"
        axes.plot(ranks[is_end], fit.counts_R[is_end], color=style.colour, label=name)
        line = np.exp(fit.intercept + fit.slope * np.log(ranks[[0, -1]]))
        axes.plot(ranks[[0, -1]], line, color=style.colour, linestyle=":")
    plotting.log_x(axes)
    plotting.log_y(axes)
    plotting.legend_below(figure, axes)
    return figure
