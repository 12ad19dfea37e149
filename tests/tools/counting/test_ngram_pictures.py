"""Pictures of n-gram counts: planted slopes are found, and cells hold what they should."""

import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.tools.counting.ngram_pictures import MOST_WORDS, bigram_map, draw_zipf, zipf_fits

LETTERS = [
    ("<s>", 3), ("</s>", 3), ("a", 5), ("b", 4), ("<s> a", 2), ("<s> b", 1), ("a b", 2), ("a a", 1),
    ("a </s>", 2), ("b a", 2), ("b b", 1), ("b </s>", 1), ("a b a", 2),
]  # fmt: skip


def cells(figure):
    """Return rows, columns and values of a map."""
    axes = figure.axes[0]
    names = [[each.get_text() for each in ticks] for ticks in (axes.get_yticklabels(),
                                                               axes.get_xticklabels())]  # fmt: skip
    return *names, np.asarray(axes.images[0].get_array())


def test_a_map_has_counts_or_relative_frequencies():
    down, across, counts = cells(bigram_map(LETTERS))
    assert (down, across) == (["<s>", "a", "b"], ["</s>", "a", "b"])
    np.testing.assert_array_equal(counts, [[0, 2, 1], [2, 1, 2], [1, 2, 1]])
    _, _, shares = cells(bigram_map(LETTERS, probabilities=True))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[1].tolist() == [2 / 5, 1 / 5, 2 / 5]


def test_of_many_words_the_most_frequent_are_drawn():
    words = [(f"w{number}", 200 - number) for number in range(100)]
    figure = bigram_map([*words, ("w0 w1", 7), ("w1 w0", 3), ("w2 w99", 1)])
    down, across, counts = cells(figure)
    assert down == [f"w{number}" for number in range(MOST_WORDS)] and across == ["w0", "w1"]
    assert counts.sum() == 10
    assert "30 most frequent words" in figure.axes[0].get_title().replace("\n", " ")
    with pytest.raises(UsageError, match="no bigrams"):
        bigram_map(words)


def test_a_planted_slope_is_found():
    words = [(f"w{rank}", round(1e9 * rank**-1.5)) for rank in range(1, 3000)]
    pairs = [("<s> a", 1), ("a b", 1)]
    fits = zipf_fits([("<s>", 10**9), *words, *pairs])
    assert [(fit.order, fit.ngrams) for fit in fits] == [(1, 2999), (2, 2)]
    assert fits[0].slope == pytest.approx(-1.5, abs=1e-3)
    assert (fits[1].slope, fits[1].once, fits[1].total) == (pytest.approx(0), 1.0, 2)
    lines = draw_zipf(fits).axes[0].get_lines()
    np.testing.assert_array_equal(lines[0].get_ydata(), fits[0].counts_R)


def test_the_command_draws_instead_of_printing(rnnlm, here):
    (here / "text.txt").write_text("a b a\nb a\n", encoding="utf-8")
    shown = rnnlm("count text.txt --plot pairs.svg --probabilities --zipf ranks.png")
    assert shown.code == 0 and (here / "pairs.svg").stat().st_size
    assert shown.out.splitlines()[0].split("\t") == [
        "order", "n-grams", "different", "once", "slope",
    ]  # fmt: skip
    assert shown.out.splitlines()[1].split("\t")[:3] == ["1", "7", "3"]
    assert "p(second | first)" in (here / "pairs.svg").read_text()
    assert (here / "ranks.png").stat().st_size
    both = rnnlm("count text.txt -o counts.tsv --plot pairs.svg --overwrite")
    assert both.code == 0 and both.out == ""
    assert (here / "counts.tsv").read_text() == rnnlm("count text.txt").out


@pytest.mark.parametrize("options, what", [
    ("--probabilities", "--probabilities needs --plot"),
    ("--plot p.svg -o folder", "--plot: draw what is counted"),
    ("--zipf p.svg --min-count 2", "--zipf: all counts are drawn"),
    ("--zipf p.txt", "does not have a plot suffix"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(rnnlm, here, options, what):
    (here / "text.txt").write_text("a b a\n", encoding="utf-8")
    shown = rnnlm(f"count text.txt {options}")
    assert shown.code and what in " ".join(shown.errors)
