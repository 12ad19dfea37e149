"""Where tokens stand in their line, for every kind of tokenizer."""

import itertools

import pytest

from rnnlm.lm.base.words import token_spans, word_spans
from rnnlm.text.lines import split_words
from support.tiny_models import LINES, make_tokenizer

HARD = [
    "The DOG's (ran), \u0130'x  said \u201cHi!\u201d <unk>", " two  \t spaces ",
    "na\u00efve \U0001f600\u2581 \u0130\u0130 \u03a3\u0391\u03a3", "", "a",
]  # fmt: skip
TOKENIZERS = [
    {}, {"lowercase": True}, {"split_punctuation": True},
    {"split_punctuation": True, "lowercase": True}, {"tokenizer": "char"},
    {"tokenizer": "char", "lowercase": True}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 300},
    {"tokenizer": "sentencepiece", "vocab_size": 300, "lowercase": True}, {"tokenizer": "huggingface"},
]  # fmt: skip


@pytest.mark.parametrize("settings", TOKENIZERS, ids=str)
def test_tokens_span_all_but_white_space(settings):
    tokenizer = make_tokenizer([*LINES, *HARD], **settings)
    each = zip(HARD, token_spans(HARD, tokenizer), tokenizer.surfaces(HARD), strict=True)
    for line, spans_T2, tokens in each:
        spans = spans_T2.tolist()
        assert len(spans) == len(tokens) - 1
        assert spans == sorted(spans)
        for token, (start, end) in zip(tokens, spans, strict=False):
            part = line[start:end] if tokenizer.keeps_case else line[start:end].lower()
            if tokenizer.name == "byte":
                assert int(token[3:5], 16) in part.encode()
            elif tokenizer.name in ("sentencepiece", "huggingface"):
                piece = token.replace("\u2581", " ").lstrip().casefold()
                assert piece in part.casefold() or "<0x" in token
            else:
                assert token.casefold() == part.casefold() or (end == start + 1 and token in part)
        inside = set(itertools.chain.from_iterable(range(start, end) for start, end in spans))
        assert not "".join(c for at, c in enumerate(line) if at not in inside).strip(" \t")


@pytest.mark.parametrize("text, settings, expected", [
    ("\u0130'x, a", {"lowercase": True, "split_punctuation": True}, [[0, 1], [1, 2], [2, 3], [3, 4], [5, 6]]),
    ("\u0130b", {"tokenizer": "char", "lowercase": True}, [[0, 1], [0, 1], [1, 2]]),
    ("\u00e9 a", {"tokenizer": "byte"}, [[0, 1], [0, 1], [1, 2], [2, 3]]),
])  # fmt: skip
def test_spans_by_hand(text, settings, expected):
    assert token_spans([text], make_tokenizer(**settings))[0].tolist() == expected


@pytest.mark.parametrize("text", [*HARD, "\ta\r\0b  ", "a\u00a0b c"])
def test_written_words_are_those_between_white_space(text):
    assert [text[start:end] for start, end in word_spans(text)] == split_words(text)
