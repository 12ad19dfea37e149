"""PPMI and its singular vectors, against counts in dictionaries and numpy's decomposition."""

import math
from collections import Counter

import numpy as np
import pytest

from rnnlm.errors import SettingsError, TextError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.vectors import cooccurrences, ppmi, svd_vectors
from rnnlm.tools.vectors.word_vectors import word_stream
from support.tiny_models import Lines

LINES = ("a b c a d", "b a", "c", "d c b a a", "a rare b d", "e e a e b")


def stream(min_count=2):
    return word_stream(Lines(LINES), TokenizerSettings(), min_count)


def of(text):
    """Return what the functions read of the text."""
    return text.ids_N, text.line_offsets, len(text.words)


def pairs_in_dictionary(window):
    """Count words within `window` of each other, without words that occur once."""
    counts = Counter(word for line in LINES for word in line.split())
    pairs = Counter()
    for line in LINES:
        words = [word for word in line.split() if counts[word] > 1]
        for i, word in enumerate(words):
            for j in range(max(0, i - window), min(len(words), i + window + 1)):
                pairs[word, words[j]] += i != j
    return +pairs


@pytest.mark.parametrize("window", [1, 3])
def test_co_occurrences_and_ppmi_equal_a_dictionary_count(window):
    text = stream()
    pairs = pairs_in_dictionary(window)
    counts = cooccurrences(*of(text), window)
    for (i, j), n in np.ndenumerate(counts.toarray()):
        assert n == pairs[text.words[i], text.words[j]]

    of_word, of_context = Counter(), Counter()
    for (word, context), n in pairs.items():
        of_word[word] += n
        of_context[context] += n
    smoothed = {context: n**0.75 for context, n in of_context.items()}
    total, total_smoothed = sum(of_word.values()), sum(smoothed.values())
    found = ppmi(counts).toarray()
    for (i, j), value in np.ndenumerate(found):
        word, context = text.words[i], text.words[j]
        by_chance = of_word[word] / total * smoothed[context] / total_smoothed
        ratio = pairs[word, context] / total / by_chance
        assert value == pytest.approx(math.log(max(1, ratio)), abs=1e-12)
    assert (found > 0).any() and (found == 0).any()


def test_vectors_are_scaled_singular_vectors_and_reproducible():
    text = stream()
    matrix = ppmi(cooccurrences(*of(text), 3)).toarray()
    u, s, _ = np.linalg.svd(matrix)
    found = svd_vectors(*of(text), 2, 3, seed=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :2] * np.sqrt(s[:2])), atol=1e-5)
    assert np.array_equal(found, svd_vectors(*of(text), 2, 3, seed=1))
    np.testing.assert_allclose(found, svd_vectors(*of(text), 2, 3, seed=2), atol=1e-5)


def test_lines_of_single_words_have_nothing_to_count():
    with pytest.raises(TextError, match="there is nothing to count"):
        svd_vectors(*of(word_stream(Lines(["a", "b", "c"] * 3), TokenizerSettings(), 2)), 2, 3)


def test_a_width_beyond_the_words_is_refused():
    with pytest.raises(SettingsError, match="more than 5 words allow"):
        svd_vectors(*of(stream()), 5, 3)
