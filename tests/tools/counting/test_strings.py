"""Counts against collections.Counter, their order against sorted bytes."""

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import TextError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.counting.strings import count_lines, count_text
from support.tiny_models import LINES, Lines, make_tokenizer

WORDS = ["a", "a!", "ab", "b", "<unk>", "<r", "<t", "\u00a0x", "x\u2028", "é", "\U0001f600",
         "\uffff",
         "\\", "\\t", "\x0b", "a\x01b", "\x85"]  # fmt: skip
sentences = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
texts = st.lists(sentences, min_size=1, max_size=6).filter(any)
orders = st.integers(1, 5)


def occurrences(lines, order: int) -> Counter:
    """Count n-grams of all orders, skipping blank lines."""
    found = Counter()
    for line in filter(None, lines):
        words = ["<s>", *line.split(" "), "</s>"]
        for n in range(1, order + 1):
            found.update(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    return found


def plain(ngram: str) -> tuple[str, ...]:
    """Return the words of a line, with escapes undone by Python."""
    whole = ngram.encode("latin-1", "backslashreplace").decode("unicode_escape")
    return tuple(whole.split(" ")) if "\\x20" not in ngram else (whole,)


@given(texts, orders)
def test_counts_are_those_of_a_counter_sorted_by_bytes(lines, order):
    found = counted(lines, order)
    assert {plain(ngram): count for ngram, count in found} == occurrences(lines, order)
    written = "".join(count_lines(found)).encode("utf-8").splitlines(keepends=True)
    assert written == sorted(written) and len(written) == len(found)


def counted(lines, order: int, tokenizer=TokenizerSettings(), **more) -> list[tuple[str, int]]:
    lines = Lines([line for line in lines if line])
    return list(count_text(lines, tokenizer, order=order, **more))


@given(texts, orders, st.integers(1, 4), st.booleans())
def test_rare_ngrams_and_lower_orders_can_be_omitted(lines, order, min_count, highest_only):
    found = counted(lines, order, min_count=min_count, highest_only=highest_only)
    expected = []
    for ngram, count in counted(lines, order):
        if count >= min_count and (len(ngram.split(" ")) == order or not highest_only):
            expected.append((ngram, count))
    assert found == expected


def test_words_characters_and_bytes_are_counted_in_byte_order():
    assert counted(["b b b a"], 1) == [("</s>", 1), ("<s>", 1), ("a", 1), ("b", 3)]
    assert "".join(f"{ngram}\n" for ngram, _ in counted(["<r <t"], 2)) == (
        "</s>\n<r\n<r <t\n<s>\n<s> <r\n<t\n<t </s>\n"
    )
    found = counted(["a b"], 2, tokenizer=TokenizerSettings("char"), highest_only=True)
    assert found == [("<s> a", 1), ("\\x20 b", 1), ("a \\x20", 1), ("b </s>", 1)]
    assert ("<0xC3> <0xA9>", 1) in counted(["é"], 2, tokenizer=TokenizerSettings("byte"))
    found = counted(["a zebra", "<unk> a"], 1, tokenizer=make_tokenizer(LINES))
    assert found == [("</s>", 2), ("<s>", 2), ("<unk>", 2), ("a", 2)]


def test_unseen_spelled_and_lower_cased_reserved_words_are_unknown():
    tokenizer = make_tokenizer(["a b"])
    expected = counted(["a x y"], 2, tokenizer=tokenizer)
    assert counted(["a x y"], 2, tokenizer=tokenizer.spelling()) == expected
    found = counted(["<S> a"], 1, tokenizer=TokenizerSettings(lowercase=True))
    assert found == [("</s>", 1), ("<s>", 1), ("<unk>", 1), ("a", 1)]


def test_a_token_spelled_like_sentence_start_is_refused():
    tokenizer = make_tokenizer(["a"])
    tokenizer.symbols = lambda: ["</s>", "<unk>", "<s>"]
    with pytest.raises(TextError, match="a token is <s>"):
        counted(["a"], 1, tokenizer=tokenizer)


def test_how_far_the_work_is_gets_reported():
    heard = []
    "".join(count_lines(count_text(Lines(LINES), order=2, report=heard.append), heard.append))
    ones, all = len(occurrences(LINES, 1)), len(occurrences(LINES, 2))
    orders = [f"order 1: {ones} n-grams", f"order 2: {all - ones} n-grams"]
    assert heard[-4:] == ["5 lines read", *orders, f"{all} n-grams written"]
