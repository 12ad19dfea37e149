from unittest import mock

import numpy as np
import pytest
from hypothesis import given, strategies

from rnnlm.evaluation.comparison import tables
from support.tiny_models import LINES, Lines, make_tokenizer

KINDS = {"char": {}, "byte": {}, "sentencepiece": {"vocab_size": 300}}
TOKENIZERS = {
    name: make_tokenizer([*LINES, "abcd", " \t"], tokenizer=name, **more)
    for name, more in KINDS.items()
}
WORDS = make_tokenizer()


def units(lines, tokenizers, seed=1):
    text, rng = Lines(lines), np.random.default_rng(seed)
    encoded = [text.encode(tokenizer) for tokenizer in tokenizers]
    scores = [-rng.random(each.tokens) for each in encoded]
    reference = tables.reference_of(text, tokenizers, encoded)
    found = tables.units_of(reference, tokenizers, encoded, scores)

    # They are the same in parts of two lines.
    costs = [0.0] * len(tokenizers)
    with mock.patch.object(tables, "LINES_AT_ONCE", 2):
        parts = list(tables.units_in_parts(reference, tokenizers, encoded, scores, costs))
    for name in ("ids_U", "is_unknown_U", "position_U", "logprob_KU"):
        in_parts = np.concatenate([getattr(part, name) for part in parts], axis=-1)
        assert in_parts.tolist() == getattr(found, name).tolist()
    return found, reference, encoded, scores


def test_of_one_tokenizer_they_are_its_tokens():
    found, reference, _, scores = units(["the cat sat", "a zebra"], [WORDS, WORDS])
    assert reference.name == "token" and reference.counts_V is WORDS.counts_V
    assert found.logprob_KU.tolist() == [scores[0].tolist(), scores[1].tolist()]
    expected = ["the", "cat", "sat", "</s>", "a", "<unk>", "</s>"]
    assert [WORDS.symbols()[id] for id in found.ids_U] == expected
    assert found.is_unknown_U.tolist() == [False] * 5 + [True, False]
    assert found.line_U.tolist() == [0] * 4 + [1] * 3
    assert found.position_U.tolist() == [1, 2, 3, 4, 1, 2, 3]


def test_units_across_tokenizers_are_words_with_preceding_space_lowercased_alike():
    found, reference, _, scores = units(["the  cat ", "a"], [TOKENIZERS["char"], WORDS])
    assert reference.name == "word"
    assert [WORDS.symbols()[id] for id in found.ids_U] == ["the", "cat", "</s>", "a", "</s>"]
    bounds = [(0, 3), (3, 8), (8, 10), (10, 11), (11, 12)]  # "the", "  cat", " </s>", "a", "</s>"
    expected = pytest.approx([scores[0][start:end].sum() for start, end in bounds])
    assert found.logprob_KU[0] == expected
    assert found.logprob_KU[1] == pytest.approx(scores[1])
    lower = make_tokenizer(lowercase=True, tokenizer="char")
    pieces = make_tokenizer(lowercase=True, tokenizer="sentencepiece", vocab_size=290)
    found, reference, *_ = units(["The CAT"], [lower, pieces])
    assert [reference.tokenizer.symbols()[id] for id in found.ids_U] == ["the", "cat", "</s>"]


LINE = strategies.text("ab cdth ", min_size=1).filter(str.strip)


@given(strategies.lists(LINE, min_size=1, max_size=5))
def test_word_and_line_end_units_sum_their_tokens(lines):
    found, reference, encoded, scores = units(lines, list(TOKENIZERS.values()))
    assert len(found.ids_U) == encoded[0].words + encoded[0].sentences
    assert not found.unaligned_lines and not found.is_unknown_U.any()
    assert found.logprob_KU.sum(axis=1) == pytest.approx([each.sum() for each in scores])
    for k, each in enumerate(encoded):
        by_line = np.add.reduceat(scores[k], each.line_offsets[:-1])
        assert np.bincount(found.line_U, found.logprob_KU[k]) == pytest.approx(by_line)
    words = [word for line in lines for word in [*line.split(), "</s>"]]
    symbols = reference.tokenizer.symbols()
    assert [symbols[id] for id in found.ids_U] == words and reference.counts_V is None


# to that of characters the white space in it is unknown
def test_line_split_into_different_words_is_one_unit():
    tokenizers = [TOKENIZERS["char"], TOKENIZERS["sentencepiece"]]
    found, _, encoded, scores = units(["the cat", "a\rb c", "a"], tokenizers)
    assert found.unaligned_lines == 1
    assert found.line_U.tolist() == [0, 0, 0, 1, 2, 2]
    assert found.is_unknown_U.tolist() == [False] * 3 + [True] + [False] * 2
    for k in range(2):
        start, end = encoded[k].line_offsets[1:3]
        assert found.logprob_KU[k][3] == pytest.approx(scores[k][start:end].sum())
