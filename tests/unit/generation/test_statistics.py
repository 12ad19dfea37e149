import pytest

from rnnlm.errors import TextError
from rnnlm.generation.statistics import compare
from support.tiny_models import Lines, make_tokenizer

# lines 0 and 10 are held out: "a b c" and "d d d c"
TEXT = ["a b c", *["a b", "c d", "a b c d", "b b"] * 2, "b a", "d d d c"]


def test_figures_of_a_small_text_by_hand():
    samples = ["a b", "a b", "d c b a", "c d\nb b b b"]
    ours, theirs = compare(samples, Lines(TEXT), make_tokenizer(TEXT))
    assert (ours.sentences, ours.words, theirs.sentences, theirs.words) == (5, 14, 2, 7)
    assert (ours.length_mean, ours.length_quantiles) == (pytest.approx(2.8), (2.0, 2.0, 4.0))
    assert ours.length_sd == pytest.approx((((0.8**2) * 3 + (1.2**2) * 2) / 5) ** 0.5)
    assert ours.compared_words == theirs.compared_words == 7
    assert ours.types_per_token == pytest.approx(4 / 7)  # a b a b d c b
    assert theirs.types_per_token == pytest.approx(4 / 7)
    # the rest has ab, cd, bc, bb, ba; samples: ab ab dc cb ba cd bb bb bb; held out: ab bc dd dd dc
    assert ours.new_ngrams[:2] == (0.0, pytest.approx(2 / 9))
    assert theirs.new_ngrams[:2] == (0.0, pytest.approx(3 / 5))
    # the rest has abc, bcd; samples: dcb cba bbb bbb; held out: abc ddd ddc
    assert (ours.new_ngrams[2], theirs.new_ngrams[2]) == (1.0, pytest.approx(2 / 3))
    assert ours.repeated == pytest.approx(1 / 5) and theirs.repeated == 0
    assert ours.copied == pytest.approx(3 / 5) and theirs.copied == 0


def test_what_there_is_nothing_of_has_no_share():
    ours, _ = compare(["a", "b"], Lines(TEXT), make_tokenizer(TEXT))
    assert ours.new_ngrams == (0.0, None, None, None)


@pytest.mark.parametrize(
    "kind", [{"tokenizer": "char"}, {"tokenizer": "byte"}, {"split_punctuation": True}]
)
def test_words_are_counted_whatever_the_tokens_are(kind):
    samples = ["a b", "d c b a", ""]
    plain = compare(samples, Lines(TEXT), make_tokenizer(TEXT))
    assert compare(samples, Lines(TEXT), make_tokenizer(TEXT, **kind)) == plain


def test_copied_text_is_all_copied_random_text_new():
    lines = [f"w{n} w{n + 1} w{n + 2} w{n + 3}" for n in range(300)]
    tokenizer = make_tokenizer(lines)
    copies, theirs = compare(lines[11:20], Lines(lines), tokenizer)
    assert copies.copied == 1 and copies.new_ngrams == (0, 0, 0, 0) and theirs.copied == 0
    mixed, _ = compare([f"w{n} w{(n * 37) % 300}" for n in range(2, 30)], Lines(lines), tokenizer)
    assert mixed.copied == 0 and mixed.new_ngrams[1] > 0.9


@pytest.mark.parametrize(
    ("samples", "lines", "what"),
    [(["", ""], TEXT, "no words"), (["a"], [], "no text"), (["a"], ["a b"], "too little")],
)
def test_too_little_to_compare_is_an_error(samples, lines, what):
    with pytest.raises(TextError, match=what):
        compare(samples, Lines(lines), make_tokenizer(TEXT))
