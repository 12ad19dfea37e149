import json
import math
from types import SimpleNamespace

import numpy as np
import pandas
import pytest

import rnnlm
from rnnlm import satellites
from rnnlm.errors import ModelError, RnnlmWarning, TextError, UsageError
from rnnlm.evaluation.perplexity import TextMetric, evaluate
from rnnlm.lm.base import span_scoring
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.text.sources import SourceSettings
from support.tiny_models import fit, make_tokenizer


@pytest.fixture
def text(tmp_path):
    def make(content: str, name: str = "text.txt") -> str:
        (tmp_path / name).write_text(content)
        return str(tmp_path / name)

    return make


def model_of(probabilities: dict[str, float], **settings) -> UnigramModel:
    """Make a unigram model of given probabilities, whose vocabulary is their symbols."""
    words = [symbol for symbol in probabilities if symbol not in ("</s>", "<unk>")]
    between = "" if settings.get("tokenizer") == "char" else " "
    tokenizer = make_tokenizer([between.join(words)], **settings)
    with np.errstate(divide="ignore"):
        logprob_V = np.log([probabilities[symbol] for symbol in tokenizer.symbols()])
    return UnigramModel(logprob_V, tokenizer)


def nonzero_none(result) -> dict:
    return json.loads(json.dumps(result.to_dict(), allow_nan=False))


def test_all_metrics_of_a_text_with_unknown_words(text):
    model = model_of({"</s>": 0.25, "<unk>": 0.125, "the": 0.5, "cat": 0.125})
    result = evaluate(model, text("the cat\n\nthe d\u00f6g the\n"))
    bits = 1 + 3 + 2 + 1 + 3 + 1 + 2
    assert (result.tokens, result.words, result.sentences, result.oov_words) == (7, 5, 2, 1)
    assert result.oov_types == 1 and result.ppl_adjusted == result.ppl_token
    assert (result.characters, result.bytes) == (8 + 12, 8 + 13)
    assert result.zero_probability_tokens == 0
    assert result.logprob_nats == pytest.approx(-bits * math.log(2), rel=1e-6)
    assert result.ppl_token == pytest.approx(2 ** (bits / 7), rel=1e-6)
    assert result.ppl_token_no_oov == pytest.approx(2 ** ((bits - 3) / 6), rel=1e-6)
    assert result.ppl_word == pytest.approx(2 ** (bits / (5 + 2)), rel=1e-6)
    assert result.ppl_word_no_oov == pytest.approx(2 ** ((bits - 3) / (5 + 2 - 1)), rel=1e-6)
    expected = (None, None, True)
    assert (result.bits_per_char, result.bits_per_byte, result.closed_vocabulary) == expected
    assert (result.context, result.normalised) == ("carry", True)
    assert result.signature.startswith("rnnlm:")
    assert "|blank:skip|" in result.signature
    assert result.seconds > 0


ROWS = [("A", "the cat"), ("B", "the"), ("A", "the dog\nthe the\ndog cat the\ncat"), ("", " "), ("1.0", "cat the"),
        ("B", "dog cat"), ("", "the")]  # fmt: skip


@pytest.mark.parametrize(("suffix", "context", "blank_lines", "order"), [
    ("csv", "carry", "skip", ["A", "B", "1.0", None]),
    ("jsonl", "reset", "keep", ["A", "B", None, "1.0"]),
    ("parquet", "carry", "documents", ["A", "B", "1.0", None]),
])  # fmt: skip
def test_groups_are_sums_over_their_lines(tmp_path, suffix, context, blank_lines, order):
    frame = pandas.DataFrame([{"text": text, "n": 0, "who": who} for who, text in ROWS])
    path = tmp_path / f"t.{suffix}"
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        getattr(frame, f"to_{suffix}")(path)
    model = fit("ngram", ["the cat the dog the the cat"] * 2, order=2)
    settings = {"context": context, "text_settings": TextSettings(blank_lines=blank_lines)}
    whole = evaluate(model, path, group_by="who", **settings)
    plain = evaluate(model, path, **settings).to_dict()
    assert {**whole.to_dict(), "seconds": 0} == {**plain, "seconds": 0}
    assert [*whole.groups] == order and ("one reading" in str(whole)) == (context == "carry")
    assert [group.oov_types for group in whole.groups.values()] == [0] * 4
    for count in ("tokens", "words", "bytes", "sentences", "oov_words", "logprob_nats"):
        parts = [getattr(group, count) for group in whole.groups.values()]
        assert sum(parts) == pytest.approx(plain[count])
    # Intervals, in a second way: each line left out by itself.
    lines = [0, 2, 3, 4, 5]
    nats, tokens = whole.lines.logprob_S[lines], whole.lines.tokens_S[lines]
    found = whole.groups["A"].to_dict()
    left = [np.delete(nats, i).sum() / np.delete(tokens, i).sum() for i in range(5)]
    half = 2.776445 * np.sqrt(4 / 5 * ((left - np.mean(left)) ** 2).sum())
    ratios = [
        found["ppl_token"] / found["ppl_token_low"],
        found["ppl_token_high"] / found["ppl_token"],
    ]
    assert ratios == pytest.approx([np.exp(half)] * 2)
    assert found["ppl_token"] == pytest.approx(np.exp(-nats.sum() / tokens.sum()))
    assert whole.groups["1.0"].to_dict()["ppl_token_low"] is None
    assert "none: fewer than 5 units" in str(whole)


def test_groups_need_the_rows_of_a_table(text):
    model = model_of({"</s>": 0.5, "<unk>": 0.25, "a": 0.25})
    with pytest.raises(TextError, match="text.txt has no columns; `group_by` is for tables"):
        evaluate(model, text("a\n"), group_by="who")
    with pytest.raises(UsageError, match="unwrapped sentences, have no rows"):
        evaluate(model, text("", "t.csv"), group_by="who", text_settings=TextSettings(unwrap=True))
    table = text("w,s,who\na,1,x\nb,1,x\na,2,y\n", "w.csv")
    words = Corpus((table,), source_settings=SourceSettings("w", ("s",)))
    groups = evaluate(model, words, group_by="who").groups
    assert [group.words for group in groups.values()] == [2, 1]
    table = text("w,s,who\na,1,x\nb,1,x \nc,2,x\nb,2,x\nb,3,y\n", "w.csv")
    with pytest.warns(rnnlm.RnnlmWarning, match="'x', 'x ' are one group"):
        groups = evaluate(model, words, group_by="who").groups
    assert [group.oov_types for group in groups.values()] == [2, 1]
    assert groups["y"].ppl_adjusted == pytest.approx(groups["y"].ppl_token)
    assert groups["x"].ppl_adjusted == pytest.approx(groups["x"].ppl_token * 2 ** (3 / 6))
    rows = [("caf\u00e9", "a"), ("cafe\u0301 ", "a"), (1, "a"), ("1", "b"), ("2", "a")]
    lines = [json.dumps({"text": line, "who": who}) for who, line in rows]
    with pytest.warns(rnnlm.RnnlmWarning, match="are one group .2 such groups."):
        found = evaluate(model, text("\n".join(lines), "g.jsonl"), group_by="who")
    assert {name: group.words for name, group in found.groups.items()} == {
        "caf\u00e9": 2, "1": 2, "2": 1
    }  # fmt: skip
    text("w,s,who\na,1,x\nb,1,y\na,2,y\n", "w.csv")
    with pytest.raises(TextError, match="w.csv, line 3: column 'who' changes within a sentence"):
        evaluate(model, words, group_by="who")


def test_metrics_of_others_have_the_guards_of_ours(text, monkeypatch):
    added = [TextMetric("ppl_char", per="character", is_perplexity=True)]
    monkeypatch.setattr(satellites, "_others", [satellites.Satellite("x", metrics=lambda: added)])
    model = model_of({"</s>": 0.25, "<unk>": 0.25, "the": 0.5})
    known, closed = evaluate(model, text("the\nthe\n")), evaluate(model, text("the dog\n"))
    assert known.metric("ppl_char").value == pytest.approx(2 ** (6 / 8))
    assert closed.metric("ppl_char").value is None
    for result in (known, rnnlm.Model(model)):
        monkeypatch.setattr(
            type(result), "broken", property(lambda self: self.absent), raising=False
        )
        with pytest.raises(AttributeError, match="absent"):
            result.broken


def test_an_unknown_word_costs_the_choice_among_those_of_the_text(text):
    model = model_of({"</s>": 0.25, "<unk>": 0.125, "the": 0.5, "cat": 0.125})
    result = evaluate(model, text("the dog\nthe mouse the dog cat\nthe mole\n"))
    # 4 unknown tokens of 3 kinds: dog, mouse and mole
    bits = (1 + 3 + 2) + (1 + 3 + 1 + 3 + 3 + 2) + (1 + 3 + 2)
    assert (result.oov_words, result.oov_types, result.tokens) == (4, 3, 12)
    expected = 2 ** ((bits + 4 * math.log2(3)) / 12)
    assert result.ppl_adjusted == pytest.approx(expected, rel=1e-6)
    metric = result.metric("ppl_adjusted")
    assert metric.counts.interval().estimate == pytest.approx(expected, rel=1e-6)
    assert "ppl_adjusted" in [metric.name for metric in result.brief]
    known = evaluate(model, text("the cat <unk>\n"))
    assert known.ppl_adjusted == known.ppl_token and known.oov_types == 0
    assert "ppl_adjusted" not in [metric.name for metric in known.brief]
    characters = model_of({"</s>": 0.25, "<unk>": 0.25, "a": 0.25, " ": 0.25}, tokenizer="char")
    unknown = evaluate(characters, text("axxa a x\n"))
    assert (unknown.oov_types, unknown.ppl_adjusted) == (None, None)


def test_summary_has_three_of_the_metrics(text):
    model = model_of({"</s>": 0.25, "<unk>": 0.125, "the": 0.5, "cat": 0.125})
    unknown = evaluate(model, text("the dog\n"))
    names = ["ppl_token", "ppl_token_no_oov", "ppl_word"]
    assert [metric.name for metric in unknown.summary] == names
    known = evaluate(model, text("the cat\n"))
    assert [metric.name for metric in known.summary] == ["ppl_token", "ppl_word"]


def test_glued_marks_and_white_space_are_told(text):
    words = fit("ngram", ["I am glad, said he"] * 3, order=2)
    with pytest.warns(RnnlmWarning, match="knows 'glad,', but not 'glad'"):
        evaluate(words, text("he said\nI am glad\n"))
    characters = fit("ngram", ["I am glad"] * 3, order=2, tokenizer="char")
    told = "2 sentences hold irregular white space.*scores of the model$"
    with pytest.warns(RnnlmWarning, match=told):
        evaluate(characters, text("I  am glad\nI am \nI am\n"))


def test_bits_where_all_is_known(text):
    model = model_of({"</s>": 0.25, "<unk>": 0.125, "the": 0.5, "c\u00e4t": 0.125})
    result = evaluate(model, text("the c\u00e4t <unk>\n"))
    bits = 1 + 3 + 3 + 2
    # a literal <unk> is a word like any other
    assert result.oov_words == 0 and not result.closed_vocabulary
    assert result.bits_per_char == pytest.approx(bits / 14, rel=1e-6)
    assert result.bits_per_byte == pytest.approx(bits / 15, rel=1e-6)
    assert result.ppl_token_no_oov == result.ppl_token


def test_characters_make_words(text):
    model = model_of({"</s>": 0.25, "<unk>": 0.25, "a": 0.25, " ": 0.25}, tokenizer="char")
    result = evaluate(model, text("aa a\n"))
    assert (result.tokens, result.words) == (5, 2)
    assert result.ppl_token == pytest.approx(4) and result.ppl_word == pytest.approx(4 ** (5 / 3))
    assert result.bits_per_char == pytest.approx(2)
    unknown = evaluate(model, text("axxa a x\n"))
    assert unknown.oov_words == 2 and unknown.bits_per_char is None
    assert unknown.ppl_token_no_oov == pytest.approx(4)
    assert unknown.ppl_word_no_oov is None  # parts of words are unknown, others known


@pytest.mark.parametrize("settings", [{"lowercase": True}, {"split_punctuation": True}])
def test_text_changing_tokenizer_gives_no_bits(text, settings):
    result = evaluate(fit("unigram", **settings), text("the cat\n"))
    assert result.bits_per_char is result.bits_per_byte is None and result.closed_vocabulary


def test_blank_lines_may_be_kept(text):
    model = model_of({"</s>": 0.25, "<unk>": 0.25, "a": 0.5})
    path = text("a\n\n \na\n")
    assert evaluate(model, path).tokens == 4
    kept = evaluate(model, path, text_settings=TextSettings(blank_lines="keep"))
    assert (kept.tokens, kept.sentences, kept.words) == (6, 4, 2)
    assert kept.ppl_token == pytest.approx(2 ** ((1 + 2 + 2 + 2 + 1 + 2) / 6))
    assert "|blank:keep|" in kept.signature


def test_zero_probability_gives_null_and_is_counted(text):
    model = model_of({"</s>": 0.5, "<unk>": 0.0, "a": 0.5, "b": 0.0})
    result = evaluate(model, text("a b b\n"))
    assert result.zero_probability_tokens == 2
    record = nonzero_none(result)
    nulls = {name for name, value in record.items() if value is None}
    assert nulls == {
        "logprob_nats", "ppl_token", "ppl_token_no_oov", "ppl_adjusted", "ppl_word",
        "ppl_word_no_oov", "bits_per_char", "bits_per_byte",
    }  # fmt: skip
    # zero for the unknown word alone: what leaves it out is finite
    unknown = evaluate(model, text("a x\n"))
    assert unknown.ppl_token is None and unknown.ppl_token_no_oov == pytest.approx(2)


def test_figures_that_are_no_numbers_are_null_or_an_error(text):
    model = model_of({"</s>": 1.0, "<unk>": 1.0, "a": 1.0})
    model.logprob_V[:] = -5000.0
    record = nonzero_none(evaluate(model, text("a\n")))
    assert record["ppl_token"] is None and record["logprob_nats"] == pytest.approx(-10000)
    assert span_scoring.perplexity(0.0, 0) is None and span_scoring.perplexity(-math.inf, 3) is None
    model.logprob_V[:] = math.nan
    with pytest.raises(ModelError, match="not numbers"):
        evaluate(model, text("a\n"))


class TestContexts:
    @pytest.fixture(scope="class")
    @classmethod
    def lstm(cls):
        return fit("lstm")

    def total(self, model, *args, **kwargs) -> float:
        return evaluate(model, *args, **kwargs).logprob_nats

    def test_reset_reads_each_line_alone(self, lstm, text):
        whole = self.total(lstm, text("the cat\na dog saw\n"), context="reset")
        lines = [self.total(lstm, text(f"{line}\n")) for line in ("the cat", "a dog saw")]
        assert whole == pytest.approx(sum(lines), abs=1e-4)
        assert abs(whole - self.total(lstm, text("the cat\na dog saw\n"))) > 1e-3

    def test_documents_are_read_alone(self, lstm, text):
        documents = TextSettings(blank_lines="documents")
        whole = self.total(lstm, text("the cat\nsat\n\n\na dog\nsaw\n"), text_settings=documents)
        alone = [self.total(lstm, text(content)) for content in ("the cat\nsat\n", "a dog\nsaw\n")]
        assert whole == pytest.approx(sum(alone), abs=1e-4)
        assert abs(whole - self.total(lstm, text("the cat\nsat\n\n\na dog\nsaw\n"))) > 1e-3

    def test_carry_reads_files_as_one_stream(self, lstm, text):
        parts = [text("the cat\n", "a.txt"), text("sat on\n", "b.txt")]
        expected = pytest.approx(self.total(lstm, text("the cat\nsat on\n")), abs=1e-5)
        assert self.total(lstm, parts) == expected


def test_what_is_not_normalised_is_marked(text):
    base = fit("unigram")
    kept = (
        "tokenizer max_rows call_tokens boundary_resets_state precision adaptation "
        "fingerprint initial_state score"
    ).split()
    fields = {name: getattr(base, name) for name in kept}
    assert evaluate(SimpleNamespace(normalised=False, **fields), text("a\n")).normalised is False


@pytest.mark.parametrize("blank_lines", ["skip", "keep", "documents"])
@pytest.mark.parametrize("chunk", [9, 40, 1 << 20])
@pytest.mark.parametrize("context", ["carry", "reset"])
def test_ngrams_score_parts_as_they_score_the_whole(
    text, monkeypatch, chunk_bytes, blank_lines, chunk, context
):
    lines = ["the cat sat", "a dog", "", "the bird sat on the cat", "ein Vogel", "", "a cat"] * 3
    model = fit("ngram", ["the cat sat on the mat", "a dog sat", "the bird sat"] * 2)
    path = text("\n".join(lines) + "\n")
    settings = TextSettings(blank_lines=blank_lines)
    whole = Corpus((path,), settings).encode(model.tokenizer)
    said = []
    chunk_bytes(chunk)
    monkeypatch.setattr("rnnlm.evaluation.perplexity.LINES_OF_PART", 2)
    found = evaluate(model, path, context=context, text_settings=settings, progress=said.append)
    expected = evaluate(model, whole, context=context)
    assert nonzero_none(found) | {"seconds": 0} == nonzero_none(expected) | {"seconds": 0}
    for name in ("logprob_S", "tokens_S", "oov_S", "characters_S"):
        assert (getattr(found.lines, name) == getattr(expected.lines, name)).all()
    assert said[-1] == f"{expected.tokens:,} tokens scored"
    assert len(said) > 1


def test_an_unknown_context_is_refused(text):
    with pytest.raises(UsageError, match="rest"):
        evaluate(fit("unigram"), text("a\n"), context="rest")


def test_the_total_is_exact_to_float64():
    model = fit("unigram")
    ids = np.arange(1000) % model.tokenizer.size
    scored = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))
    np.testing.assert_array_equal(scored, model.logprob_V[ids])


@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "sentencepiece", "huggingface"])
def test_kept_blank_line_is_one_token(tmp_path, tokenizer):
    path = tmp_path / "blank.txt"
    path.write_text("the cat\n\n \t\nthe dog\n", encoding="utf-8")
    corpus = Corpus((str(path),), TextSettings(blank_lines="keep"))
    made = make_tokenizer(["the cat sat on the mat " * 5], tokenizer=tokenizer, vocab_size=280)
    encoded = corpus.encode(made)
    assert np.diff(encoded.line_offsets)[1:3].tolist() == [1, 1]
