import dataclasses
import json
import math

import numpy as np
import pytest

from rnnlm.errors import ComparisonError, ModelError, RnnlmWarning, TextError, UsageError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.comparison.tables import GroupRow
from rnnlm.evaluation.evaluate import compare, evaluate
from rnnlm.evaluation.perplexity import MOST_BLOCKS
from rnnlm.lm.ngram.unigram import UnigramModel
from support.tiny_models import LINES, fit, make_tokenizer, save

P = {"</s>": 1 / 4, "a": 1 / 2, "b": 1 / 4, "<unk>": 0.0}
Q = {"</s>": 1 / 4, "a": 1 / 4, "b": 1 / 2, "<unk>": 0.0}
LETTERS = {"</s>": 1 / 4, "a": 1 / 4, "b": 1 / 8, " ": 1 / 4, "<unk>": 1 / 8}


def unigram(p: dict[str, float], **settings) -> UnigramModel:
    letters = [symbol for symbol in p if len(symbol) == 1]
    space = "" if settings.get("tokenizer") == "char" else " "
    tokenizer = make_tokenizer([space.join(letters)], **settings)
    with np.errstate(divide="ignore"):
        return UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)


@pytest.fixture
def text(tmp_path):
    def make(*lines: str) -> str:
        (tmp_path / "text.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(tmp_path / "text.txt")

    return make


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.fixture(scope="module")
def kn():
    return fit("ngram")


def places(apart):
    both = apart.for_first + apart.for_second
    return [(item.text, item.number, item.difference_bits) for item in both]


def test_a_difference_worked_out_by_hand(text):
    found = compare([unigram(P), unigram(Q)], text("a a", "b"), names=["p", "q"])
    (difference,) = found.differences
    assert (found.figure, difference.unit) == ("ppl_token", "bits per token")
    assert (difference.first, difference.second) == ("p", "q")
    assert difference.difference == pytest.approx((9 - 8) / 5)
    first, second = (model.evaluation.ppl_token for model in found.models)
    assert difference.ppl_ratio == pytest.approx(second / first)
    assert difference.ppl_ratio == pytest.approx(2 ** (1 / 5))
    assert difference.p == 1.0  # +2 and -1 bits: with either sign their sum is as far from zero
    (lines,), (words,) = found.details.lines_apart, found.details.words_apart
    assert places(lines) == [("a a", 1, pytest.approx(2)), ("b", 2, pytest.approx(-1))]
    assert places(words) == [("a", 2, pytest.approx(2)), ("b", 1, pytest.approx(-1))]
    assert words.for_first[0].bits == (pytest.approx(2), pytest.approx(4))


def test_few_lines_give_the_exact_p_value(text):
    models, path = [unigram(P), unigram(Q)], text("a", "a a", "a a a")
    (difference,) = compare(models, path).differences
    assert difference.p == pytest.approx(2 / 8)
    (blocked,) = compare(models, path, settings=ComparisonSettings(block_lines=2)).differences
    assert blocked.p == pytest.approx(2 / 4)
    bits = difference.difference
    assert blocked.difference == pytest.approx(bits)


@pytest.mark.parametrize("context", ["carry", "reset"])
def test_metrics_are_those_of_evaluate(lstm, kn, text, context):
    path = text(*LINES, "the zebra sat", "", "it is hard")
    found = compare([lstm, kn], path, settings=ComparisonSettings(context=context))
    for model, compared in zip([lstm, kn], found.models, strict=True):
        alone = dataclasses.replace(evaluate(model, path, context=context), seconds=0.0)
        assert dataclasses.replace(compared.evaluation, seconds=0.0) == alone
        values = {name: getattr(alone, name) for name in found.figures}
        known = {name: value for name, value in values.items() if value is not None}
        intervals = compared.intervals.items()
        estimates = {name: interval.estimate for (_, name), interval in intervals}
        assert estimates == pytest.approx(known)
        for interval in compared.intervals.values():
            assert interval.low <= interval.estimate <= interval.high


def test_spelling_model_is_compared_with_non_spelling_one(lstm, text):
    spelling, path = fit("lstm", characters="cnn"), text(*LINES, "the zebra sat on a yak")
    found = compare([lstm, spelling], path, settings=ComparisonSettings())
    expected = [evaluate(model, path).logprob_nats for model in (lstm, spelling)]
    assert [each.evaluation.logprob_nats for each in found.models] == expected
    assert {row.group: row.units for row in found.details.bands}["unknown"] == 2


def test_different_words_compare_per_word_after_equal_normalisation(text):
    settings = {"lowercase": True, "split_punctuation": True}
    models = [fit("unigram", **settings), fit("unigram", [*LINES, "It's the end."], **settings)]
    found = compare(models, text("The CAT sat", "it is"))
    assert (found.figure, found.details.unit, found.details.units) == ("ppl_word", "word", 7)
    ratio = found.models[1].evaluation.ppl_word / found.models[0].evaluation.ppl_word
    (difference,) = found.differences
    assert difference.unit == "bits per word"
    assert difference.ppl_ratio == pytest.approx(ratio)


def test_a_model_does_not_differ_from_itself(lstm, text):
    found = compare([lstm, lstm], text(*LINES), names=["x", "x"])
    (difference,) = found.differences
    assert (difference.first, difference.second, difference.p) == ("x (1)", "x (2)", 1.0)
    assert (difference.difference, difference.low, difference.high) == (0.0, None, None)
    assert difference.why and str(found).startswith("no verdict, as fewer than 6 units differ (0)")
    for apart in found.details.lines_apart + found.details.words_apart:
        assert not apart.for_first and not apart.for_second


def test_groups_add_up_to_the_whole(lstm, kn, text, tmp_path):
    (tmp_path / "train.txt").write_text("the cat sat\nthe dog\n")
    found = compare([lstm, kn], text(*LINES, "the zebra sat"), train=str(tmp_path / "train.txt"))
    total = [model.evaluation.logprob_nats for model in found.models]
    for table in (found.details.bands, found.details.positions, found.details.ngrams):
        tokens = found.models[0].evaluation.tokens
        assert sum(row.units for row in table) == found.details.units == tokens
        assert [sum(row.logprob_nats[k] for row in table) for k in range(2)] == pytest.approx(total)
    seen = [["<s>", "the", "cat", "sat", "</s>"], ["<s>", "the", "dog", "</s>"]]
    grams = set()
    for line in seen:
        for n in (1, 2, 3):
            grams |= {tuple(line[at : at + n]) for at in range(len(line) - n + 1)}
    lines = [["<s>", *line.split(), "</s>"] for line in (*LINES, "the zebra sat")]
    places = [line[max(0, at - 2) : at + 1] for line in lines for at in range(1, len(line))]
    longest = []
    for place in places:
        seen_lengths = [n for n in range(1, len(place) + 1) if tuple(place[-n:]) in grams]
        longest.append(max(seen_lengths, default=0))
    names = ("unseen word", "word alone", "2-gram", "3-gram")
    counted = {name: longest.count(n) for n, name in enumerate(names)}
    assert {row.group: row.units for row in found.details.ngrams} == counted
    assert found.details.ngram_source == str(tmp_path / "train.txt")
    bands = {row.group: row.units for row in found.details.bands}
    assert bands == {"1 to 9": 28, "</s>": 6, "unknown": 1}


def test_ngram_model_supplies_seen_counts_without_training_text(lstm, kn, text):
    found = compare([lstm, kn], text("the cat sat on the mat", "cat the"), names=["lstm", "kn"])
    assert found.details.ngram_source == "kn"
    counted = {"word alone": 3, "2-gram": 1, "3-gram": 1, "4-gram": 1, "5-gram": 4}
    assert {row.group: row.units for row in found.details.ngrams} == counted
    assert compare([lstm, lstm], text("the cat")).details.ngrams == ()


def test_other_tokenizers_are_compared_by_words_and_characters(text):
    letters = unigram(LETTERS, tokenizer="char")
    found = compare([unigram(P), letters], text("a b", "a"))
    assert (found.figure, found.details.unit, found.details.units) == ("bits_per_char", "word", 5)
    refused = ["ppl_token", "ppl_token_no_oov", "ppl_adjusted"]
    assert [each.figure for each in found.refused] == refused
    (difference,) = found.differences
    assert difference.difference == pytest.approx((9 + 4 - 5 - 3) / 6)
    assert difference.ppl_ratio is None
    positions = found.details.positions
    assert [(row.group, row.units) for row in positions] == [("1", 2), ("2", 2), ("3", 1)]
    nats = (-4 * math.log(2), -7 * math.log(2))
    assert positions[1].logprob_nats == pytest.approx(nats)
    expected = {"ppl_word", "ppl_word_no_oov", "bits_per_char", "bits_per_byte"}
    assert {name for _, name in found.models[0].intervals} == expected
    with pytest.raises(ComparisonError, match="tok"):
        compare([unigram(P | {"<unk>": 0.1}), letters], text("a x"))


def test_other_vocabularies_are_compared_with_the_choice_among_unknown_words(text):
    """Of "a b" and "a c", the first model knows a and b, the second a alone: unknown are c to the
    first, 3 bits; b and c to the second, 1 bit each, and 1 more to choose between them."""
    first = unigram({"</s>": 0.25, "<unk>": 0.125, "a": 0.5, "b": 0.125})
    second = unigram({"</s>": 0.25, "<unk>": 0.5, "a": 0.25})
    found = compare([first, second], text("a b", "a c"), names=["first", "second"])
    assert (found.figure, found.figures) == ("ppl_adjusted", ("ppl_adjusted",))
    bits = [(1 + 3 + 2 + 1 + 3 + 2) / 6, (2 + 2 + 2 + 2 + 2 + 2) / 6]
    values = [model.evaluation.ppl_adjusted for model in found.models]
    assert values == pytest.approx([2 ** bits[0], 2 ** bits[1]])
    [difference] = found.differences
    assert (difference.metric, difference.unit) == ("ppl_adjusted", "bits per token")
    assert difference.difference == pytest.approx(0, abs=1e-6)
    assert [row.units for row in found.details.positions] == [2, 2, 2]
    nats = (-6 * math.log(2), -4 * math.log(2))
    assert found.details.positions[1].logprob_nats == pytest.approx(nats)
    assert not [note for note in found.notes if "closed vocabulary" in note]


def test_training_text_supplies_word_counts_for_wordless_models(text, tmp_path):
    (tmp_path / "train.txt").write_text("a\n" * 12 + "b a\n")
    models = [unigram(p, tokenizer="char") for p in (LETTERS, LETTERS | {"c": 0.1})]
    assert compare(models, text("a b", "ab")).details.bands == ()
    found = compare(models, text("a b", "ab"), train=str(tmp_path / "train.txt"))
    expected = [("0", 1), ("1 to 9", 1), ("10 to 99", 1), ("</s>", 2)]
    assert [(row.group, row.units) for row in found.details.bands] == expected
    expected = {"unseen word": 1, "word alone": 3, "2-gram": 1}
    assert {row.group: row.units for row in found.details.ngrams} == expected


def test_unknown_tokens_that_reverse_a_comparison_are_reported(text):
    """Of "a a x" the first gives a a </s> 1 + 1 + 2 bits and x 10; the second 3 + 3 + 2 and 1; an a
    more has 1 and 3."""
    first = unigram({"</s>": 1 / 4, "a": 1 / 2, "<unk>": 2**-10})
    second = unigram({"</s>": 1 / 4, "a": 1 / 8, "<unk>": 1 / 2})
    found = compare([first, second], text(*["a a x", "a a a x"] * 10), names=["p", "q"])
    with_all, without = found.differences
    assert without.metric == "ppl_token_no_oov"
    labels = [row[1] for row in found.difference_table().rows]
    assert labels == ["bits per token", "bits per token, no unknown tokens"]
    assert found.notes[0] in str(found) and found.to_dict()["notes"] == list(found.notes)
    assert with_all.difference == pytest.approx((21 - 29) / 9)
    assert without.difference == pytest.approx((19 - 9) / 7)
    expected = pytest.approx((2 ** (-8 / 9), 2 ** (10 / 7)))
    assert (with_all.ppl_ratio, without.ppl_ratio) == expected
    assert with_all.high < 0 < without.low
    assert max(with_all.p, without.p) < 0.001
    assert found.notes[0] == (
        "note: with the 20 unknown tokens, q is better than p; without them, p is better than q: "
        "only the latter compares words that the models know"
    )


def test_only_differences_made_by_unknown_tokens_are_reported(text):
    known = compare([unigram(P), unigram(Q)], text("a a", "b"))
    assert len(known.differences) == 1 and not any("unknown" in note for note in known.notes)
    shares = [(1 / 2, 1 / 8), (1 / 8, 1 / 16)]
    better = [unigram({"</s>": 1 / 4, "a": known, "<unk>": other}) for known, other in shares]
    alike = compare(better, text(*["a a x"] * 9))
    assert len(alike.differences) == 2 and not any("unknown" in note for note in alike.notes)
    first = unigram({"</s>": 1 / 4, "a": 1 / 4, "<unk>": 1 / 8})
    second = unigram({"</s>": 1 / 4, "a": 1 / 4, "<unk>": 1 / 4})
    [shown, _] = compare([first, second], text(*["a x", "a a x"] * 9), names=["p", "q"]).notes
    assert "q is better than p; without them, neither model is significantly better: " in shown


def test_impossible_tokens_give_null_and_leave_known_ones_compared(text):
    found = compare([unigram(P), unigram(Q)], text("a a x", "b"))
    with_all, without = found.differences
    assert with_all.difference is None and not any("unknown tokens" in each for each in found.notes)
    assert without.difference == pytest.approx((9 - 8) / 5)
    found = compare([unigram(P), unigram(P | {"b": 0.0})], text("a a", "a b"))
    first, second = found.models
    assert second.evaluation.zero_probability_tokens == 1
    assert second.evaluation.ppl_token is None and second.intervals == {} != first.intervals
    (difference,) = found.differences
    assert (difference.difference, difference.ppl_ratio, difference.p) == (None, None, None)
    nats, ppl = (pytest.approx(-3 * math.log(2)), None), (pytest.approx(2**1.5), None)
    assert found.details.positions[1] == GroupRow("2", 2, nats, ppl)
    json.dumps(found.to_dict(), allow_nan=False)


def test_long_texts_are_left_out_in_blocks_and_single_ones_say_what_they_lack(text):
    path, settings = text(*["a b"] * (2 * MOST_BLOCKS + 1)), ComparisonSettings(resamples=10)
    assert compare([unigram(P), unigram(Q)], path, settings=settings).block_lines == 3
    models, settings = [unigram(P), unigram(Q)], ComparisonSettings(block_lines=2)
    compared = compare(models, text("a b", "b"), settings=settings)
    assert "fewer than 5 units" in str(compared) and compared.differences[0].p == 1


@pytest.mark.needs("tools/mixtures")
def test_a_model_is_named_with_its_adaptation(lstm, text, here):
    save(here / "checkpoints" / "small", lstm, "lstm")
    with pytest.warns(RnnlmWarning, match="default settings"):
        found = compare(["small", "small+unigram"], text(*LINES))
    assert "|adapt:unigram(" in found.models[1].evaluation.signature
    assert found.models[1].folder == "checkpoints/small"
    save(here / "checkpoints" / "small+unigram", lstm, "lstm")
    shown = compare(["small", "small+unigram"], text(*LINES)).models[1].evaluation.signature
    assert "|adapt:none|" in shown


def test_to_dict_omits_lines_and_is_reproducible(lstm, kn, text):
    few = ComparisonSettings(resamples=50)
    found = [compare([lstm, kn], text(*LINES), settings=few).to_dict() for _ in range(2)]
    for each in found:
        json.dumps(each, allow_nan=False)
        each["seconds"] = [model["evaluation"].pop("seconds") for model in each["models"]] and 0
    assert found[0] == found[1]


@pytest.mark.parametrize(("settings", "what"), [
    ({"block_lines": 0}, "block_lines = 0"), ({"resamples": 0}, "resamples = 0"),
    ({"top": -1}, "top = -1"), ({"seed": -1}, "seed = -1"),
    ({"context": "rest"}, "context = .rest. is not valid"),
])  # fmt: skip
def test_settings_that_are_not_valid(settings, what, text):
    with pytest.raises(UsageError, match=what):
        compare([unigram(P), unigram(Q)], text("a"), settings=ComparisonSettings(**settings))


def test_missing_models_names_or_text_are_errors(text, tmp_path):
    with pytest.raises(UsageError, match="at least two models"):
        compare([unigram(P)], text("a"))
    with pytest.raises(UsageError, match="1 name for 2 models"):
        compare([unigram(P), unigram(Q)], text("a"), names=["p"])
    with pytest.raises(ModelError, match="no model at"):
        compare([str(tmp_path / "nowhere"), unigram(Q)], text("a"))
    with pytest.raises(TextError, match="no text"):
        compare([unigram(P), unigram(Q)], text(""))
