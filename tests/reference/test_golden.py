"""Interpolated modified Kneser-Ney estimates what lmplz does."""

import math

import numpy as np
import pytest

from rnnlm.config import SettingsLayer, resolve
from rnnlm.lm.ngram import fitting
from rnnlm.lm.ngram.arpa.reading import read_arpa
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import TrainingData
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.arpa_files import GOLDEN

LOG10_TOLERANCE = 1e-5

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


def estimated(text: str, order: int, prune: str, discounts: str = "lmplz"):
    corpus = Corpus((str(GOLDEN / text),))
    tokenizer = tokenizers.train(TokenizerSettings(), corpus.blocks())
    settings = {"order": order, "prune": prune, "discounts": discounts}
    data = TrainingData(tokenizer, corpus.encode(tokenizer), None)
    *_, fitted = fitting.fit(resolve([NgramSettings], [SettingsLayer("test", settings)]), data)
    return list(fitted.model.levels()), tokenizer.symbols()


def rows(levels, symbols):
    """Yield for each order its sorted n-grams and their (log p(w|h), log backoff) in log10."""
    rank = {symbol: number for number, symbol in enumerate(sorted(symbols))}
    ranks_V = np.array([*(rank[symbol] for symbol in symbols), len(symbols)])
    words_MN = ranks_V[:, None]
    for n, level in enumerate(levels, start=1):
        if n > 1:
            words_MN = np.column_stack([words_MN[level.contexts_M], ranks_V[level.words_M]])
        values_M2 = np.column_stack([level.logprob_M, level.logbackoff_M]) / math.log(10)
        order = np.lexsort(words_MN.T[::-1])
        yield words_MN[order], values_M2[order]


@pytest.mark.parametrize("arpa, text, order, prune", [
    ("g1-order5.arpa.gz", "g1-order5.txt.gz", 5, "0"),
    ("g2-order3-prune.arpa.gz", "g2-order3-prune.txt.gz", 3, "0,0,1"),
    ("g3-order4-prune.arpa.gz", "g2-order3-prune.txt.gz", 4, "0,1,1,2"),
    ("g4-char-order5-fallback.arpa.gz", "g4-char-order5-fallback.txt.gz", 5, "0"),
    ("g5-tiny-order3-fallback.arpa", "g5-tiny-order3-fallback.txt", 3, "0"),
    ("g6-order2.arpa", "g6-order2.txt", 2, "0"),
    ("g7-order1.arpa", "g6-order2.txt", 1, "0"),
])  # fmt: skip
def test_the_model_is_that_of_lmplz(arpa, text, order, prune):
    levels, symbols = estimated(text, order, prune)
    golden_symbols, golden = read_arpa(str(GOLDEN / arpa))
    assert sorted(symbols) == sorted(golden_symbols)
    assert [len(level) for level in levels] == [len(level) for level in golden]
    for (words, values), (golden_words, golden_values) in zip(
        rows(levels, symbols), rows(golden, golden_symbols), strict=True
    ):
        assert np.array_equal(words, golden_words)
        assert np.abs(values - golden_values).max() < LOG10_TOLERANCE


def test_one_text_shows_where_lmplz_counts_otherwise():
    levels, symbols = estimated("g4-char-order5-fallback.txt.gz", 5, "0", discounts="exact")
    golden_symbols, golden = read_arpa(str(GOLDEN / "g4-char-order5-fallback.arpa.gz"))
    pairs = zip(rows(levels, symbols), rows(golden, golden_symbols), strict=True)
    assert max(np.abs(values - expected).max() for (_, values), (_, expected) in pairs) > 0.01
