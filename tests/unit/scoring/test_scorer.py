import dataclasses
import json
import math
import random
import warnings

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.scoring.records import likelihood_ratio
from rnnlm.scoring.scorer import score_chunks
from rnnlm.scoring.sentences import Sentence, read_sentences
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.text.lines import TextSettings
from support.tiny_models import LINES, fit, halves_model

SENTENCES = [
    "the cat sat",
    "",
    "a dog saw the cat on the mat",
    "the cat sat",
    "speech",
    "the zebra sat on a yak",
]


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.fixture(scope="module")
def halves():
    return halves_model()


def test_scores_of_small_sentences(halves):
    first, second, empty = rnnlm.Model(halves).score_sentences(
        ["a b", "a x\ta", ""], with_tokens=True
    )
    assert first.logprob_nats == pytest.approx(-(1 + 3 + 2) * math.log(2))
    assert (first.text, first.tokens, first.words, first.oov) == ("a b", 3, 2, ())
    assert first.ppl_word == pytest.approx(2 ** (6 / 3))
    assert [(t.token, t.surprisal_bits, t.is_oov) for t in second.token_scores] == [
        ("a", pytest.approx(1), False), ("x", pytest.approx(3), True),
        ("a", pytest.approx(1), False), ("</s>", pytest.approx(2), False)
    ]  # fmt: skip
    assert second.oov == ("x",) and second.words == 3
    assert (empty.tokens, empty.words) == (1, 0) and empty.logprob_nats == pytest.approx(
        -2 * math.log(2)
    )
    assert [token.token for token in empty.token_scores] == ["</s>"]


def test_a_score_is_plain_data(halves):
    [score] = rnnlm.Model(halves).score_sentences(["a b"], with_words=True)
    stored = json.loads(json.dumps(dataclasses.asdict(score)))
    assert [word["word"] for word in stored["word_scores"]] == ["a", "b", "</s>"]


def test_each_line_has_one_score_in_order(lstm):
    scores = rnnlm.Model(lstm).score_sentences(SENTENCES)
    assert [score.text for score in scores] == SENTENCES
    assert [score.words for score in scores] == [3, 0, 8, 3, 1, 6]
    assert scores[-1].oov == ("zebra", "yak")
    assert scores[0].logprob_nats == pytest.approx(scores[3].logprob_nats, abs=1e-4)
    assert scores[1].logprob_nats < 0 and scores[1].tokens == 1
    assert rnnlm.Model(lstm).score_sentences([]) == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokenizer": "char"},
        {"tokenizer": "byte"},
        {"split_punctuation": True, "lowercase": True},
    ],
)
def test_token_surprisals_sum_to_the_sentence(settings):
    model = fit("lstm", **settings)
    for score in rnnlm.Model(model).score_sentences(
        [*SENTENCES, "It's <unk>, m\u00e4t!"], with_tokens=True
    ):
        assert len(score.token_scores) == score.tokens
        total_bits = sum(token.surprisal_bits for token in score.token_scores)
        assert total_bits * math.log(2) == pytest.approx(-score.logprob_nats, abs=1e-4)
        assert all(token.surprisal_bits >= 0 for token in score.token_scores)


def test_scores_do_not_depend_on_the_other_sentences(lstm, monkeypatch):
    chosen = SENTENCES + [
        " ".join(random.Random(seed).choices("the cat dog sat mat on a".split(), k=seed))
        for seed in range(20)
    ]
    alone = [rnnlm.Model(lstm).score_sentences([sentence])[0].logprob_nats for sentence in chosen]
    together = [score.logprob_nats for score in rnnlm.Model(lstm).score_sentences(chosen)]
    assert together == pytest.approx(alone, abs=1e-4)
    backwards = [score.logprob_nats for score in rnnlm.Model(lstm).score_sentences(chosen[::-1])]
    assert backwards[::-1] == pytest.approx(alone, abs=1e-4)
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 3)
    monkeypatch.setattr(lstm, "call_tokens", 5)
    assert [
        score.logprob_nats for score in rnnlm.Model(lstm).score_sentences(chosen)
    ] == pytest.approx(alone, abs=1e-4)


def test_lines_are_scored_as_they_come(lstm, monkeypatch):
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 2)
    taken = []
    chunk = next(
        score_chunks(lstm, (taken.append(line) or Sentence(line, 1) for line in SENTENCES))
    )
    assert [score.text for score in chunk] == SENTENCES[:2] == taken


@pytest.mark.parametrize("context", ["reset", "carry"])
def test_lines_scored_before_are_skipped(lstm, monkeypatch, context):
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 2)
    sentences, settings = (
        [Sentence(line, number) for number, line in enumerate(SENTENCES)],
        ScoringSettings(context=context),
    )
    whole = list(score_chunks(lstm, sentences, settings))
    rest = list(score_chunks(lstm, sentences, settings, skip=4))
    assert [chunk.scores for chunk in rest] == [[], [], whole[2].scores]
    assert [(chunk.sentences, chunk.signature) for chunk in rest] == [
        (chunk.sentences, chunk.signature) for chunk in whole
    ]


def test_words_to_search_for_arrive_after_few_lines():
    taken, model = [], fit("unigram", tokenizer="char")
    lines = (taken.append(n) or Sentence("", n) for n in range(200))
    (first, *_) = next(score_chunks(model, lines, ScoringSettings(next_words=1)))
    assert len(first.next_words) == 1 and len(taken) < 100


def test_a_zero_probability_makes_a_score_null(halves):
    (score,) = rnnlm.Model(halves).score_sentences(["a never"], with_tokens=True)
    assert score.logprob_nats is None and score.ppl_word is None
    assert [token.surprisal_bits for token in score.token_scores] == [
        pytest.approx(1),
        None,
        pytest.approx(2),
    ]


def test_reserved_symbols_are_an_error_naming_the_sentence(halves):
    with pytest.raises(TextError, match="sentence 2"):
        rnnlm.Model(halves).score_sentences(["a", "a </s>"])
    dropped, plain = rnnlm.Model(halves).score_sentences(
        ["<s> a b </s>", "a b"], special_symbols="drop"
    )
    assert dropped.logprob_nats == plain.logprob_nats
    (replaced,) = rnnlm.Model(halves).score_sentences(["<s> a"], special_symbols="replace")
    assert replaced.logprob_nats == pytest.approx(-(3 + 1 + 2) * math.log(2)) and replaced.oov == ()


def test_the_ratio_is_given_total_and_per_word(halves):
    better, worse, never = rnnlm.Model(halves).score_sentences(["a a", "b b b", "never"])
    total, per_word = likelihood_ratio(better, worse)
    assert total == pytest.approx(math.log10(2.0 ** (11 - 4)))
    assert per_word == pytest.approx(math.log10(2.0 ** (11 / 4 - 4 / 3)))
    assert likelihood_ratio(better, never) is None
    _, per_word = likelihood_ratio(
        *rnnlm.Model(halves).score_sentences(["a a", "b b b"], eos=False), eos=False
    )
    assert per_word == pytest.approx(math.log10(2.0 ** (9 / 3 - 2 / 2)))


def test_words_are_counted_as_the_tokenizer_splits_them():
    model = fit("unigram", lowercase=True, split_punctuation=True)
    spelled, split = rnnlm.Model(model).score_sentences(["THE DOG SAT!", "the dog sat !"])
    assert (spelled.logprob_nats, spelled.words, spelled.ppl_word) == (
        split.logprob_nats,
        4,
        split.ppl_word,
    )
    assert likelihood_ratio(spelled, split) == (0.0, 0.0)
    (open_end,) = rnnlm.Model(model).score_sentences(["THE DOG SAT!"], eos=False)
    assert (open_end.words, open_end.tokens) == (4, 4)


FAMILIES = [
    ("lstm", {}), ("gru", {"layers": 2}), ("qrnn", {}), ("ffnn", {}), ("jordan", {}),
    ("unigram", {}), ("ngram", {"order": 3}),
    ("lstm", {"characters": "cnn", "character_filters": "3,4", "character_size": 5}),
    ("lstm", {"tokenizer": "char"}),
    ("mixture", {"parts": (("lstm", {}), ("ngram", {"order": 3})), "weights": (0.5, 0.5)}),
]  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES, ids=str)
def family(request):
    return fit(request.param[0], **request.param[1])


def test_given_text_and_continuation_sum_to_the_line(family):
    (whole,) = rnnlm.Model(family).score_sentences(["the cat saw a dog"], with_tokens=True)
    (first,) = rnnlm.Model(family).score_sentences(["the cat"], eos=False)
    (rest, alone, blank) = rnnlm.Model(family).score_sentences(
        ["saw a dog", "", "the cat"],
        given=["the cat  ", "the cat saw a dog", " "],
        with_tokens=True,
    )
    assert first.logprob_nats + rest.logprob_nats == pytest.approx(whole.logprob_nats, abs=1e-4)
    assert first.tokens + rest.tokens == whole.tokens and (rest.words, first.words) == (3, 2)
    assert [t.token for t in rest.token_scores] == [t.token for t in whole.token_scores][
        first.tokens :
    ]
    assert (alone.tokens, alone.words, alone.text) == (1, 0, "")
    assert alone.logprob_nats * -1 / math.log(2) == pytest.approx(
        whole.token_scores[-1].surprisal_bits, abs=1e-4
    )
    assert blank.logprob_nats == pytest.approx(
        first.logprob_nats
        + rnnlm.Model(family).score_sentences([""], given="the cat")[0].logprob_nats,
        abs=1e-4,
    )


def test_without_the_end_its_token_counts_nowhere(halves):
    score, empty = rnnlm.Model(halves).score_sentences(
        ["a b x", ""], eos=False, with_tokens=True, with_words=True
    )
    assert score.logprob_nats == pytest.approx(-(1 + 3 + 3) * math.log(2)) and (
        score.tokens,
        score.words,
    ) == (3, 3)
    assert score.ppl_word == pytest.approx(2 ** (7 / 3))
    assert (
        [t.token for t in score.token_scores]
        == [w.word for w in score.word_scores]
        == ["a", "b", "x"]
    )
    assert (empty.logprob_nats, empty.tokens, empty.ppl_word, empty.token_scores) == (
        0.0,
        0,
        None,
        (),
    )


@pytest.mark.parametrize(
    "kind, settings", [("lstm", {}), ("lstm", {"tokenizer": "char"}), ("ngram", {"order": 3})]
)
def test_lines_as_one_stream_sum_to_the_evaluation(kind, settings, tmp_path, monkeypatch):
    model, path = fit(kind, **settings), tmp_path / "text"
    lines = [*LINES, "", "a cat", "", *LINES[::-1]]
    path.write_text("\n".join(lines) + "\n")
    for context in ("carry", "reset"):
        whole = evaluate(
            model, path, context=context, text_settings=TextSettings(blank_lines="keep")
        )
        for per_chunk, wanted in ((100, {}), (3, {}), (4, {"with_words": True})):
            monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", per_chunk)
            scores = rnnlm.Model(model).score_sentences(lines, context=context, **wanted)
            assert len(scores) == len(lines)
            assert sum(score.logprob_nats for score in scores) == pytest.approx(
                whole.logprob_nats, abs=1e-3
            )
        *_, last = score_chunks(
            model,
            [Sentence(line, number) for number, line in enumerate(lines)],
            ScoringSettings(context=context),
        )
        assert str(last.signature) == whole.signature


def test_an_unreadable_sentence_can_give_a_reason_instead(halves):
    texts = ["a", "a </s>", "a\nb", "a \udcff", "never b", "b"]
    scores = rnnlm.Model(halves).score_sentences(
        texts, unscorable="null", with_tokens=True, with_words=True
    )
    assert [score.reason for score in scores] == [
        None, "the text holds </s>", "a line holds a newline", "not UTF-8 (byte 3 is 0xff)",
        "token 1, never, has probability zero", None
    ]  # fmt: skip
    assert [score.logprob_nats is None for score in scores] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert [score.is_read for score in scores] == [True, False, False, False, True, True]
    assert scores[3].text == "a \ufffd" and [score.id for score in scores] == [1, 2, 3, 4, 5, 6]
    assert scores[0].logprob_nats == rnnlm.Model(halves).score_sentences(["a"])[0].logprob_nats
    assert [
        score.reason for score in rnnlm.Model(halves).score_sentences(["</s>"], unscorable="null")
    ] == ["the text holds </s>"]
    for text in texts[1:4]:
        with pytest.raises(TextError, match="sentence 1"):
            rnnlm.Model(halves).score_sentences([text])


def test_requests_that_contradict_themselves_are_refused(lstm):
    with pytest.raises(UsageError, match="given"):
        rnnlm.Model(lstm).score_sentences(["a", "b"], given=["x"])
    with pytest.raises(UsageError, match="carry"):
        rnnlm.Model(lstm).score_sentences(["a"], given="x", context="carry")
    with pytest.raises(UsageError, match="context"):
        rnnlm.Model(lstm).score_sentences(["a"], context="carried")
    with pytest.raises(UsageError, match="'entropie'.*did you mean 'entropy'"):
        rnnlm.Model(lstm).score_sentences(["a"], with_words=True, measures=["entropie"])
    with pytest.raises(UsageError, match="entropy and frequency: a measure of words"):
        rnnlm.Model(lstm).score_sentences(["a"], measures=["entropy", "frequency"])
    with pytest.raises(UsageError, match="'words'"):
        rnnlm.Model(lstm).score_sentences(["a"], with_words=True, split="words")


def test_a_megabyte_line_is_scored_in_windows(lstm, monkeypatch):
    widest = []
    score = lstm.score
    monkeypatch.setattr(
        lstm,
        "score",
        lambda inputs, targets, state: widest.append(inputs.size) or score(inputs, targets, state),
    )
    long, short = rnnlm.Model(lstm).score_sentences(["the cat " * 60_000, "the cat"])
    assert long.tokens == 120_001 and max(widest) <= lstm.call_tokens
    assert long.logprob_nats < short.logprob_nats


@pytest.mark.parametrize("tokenizer", ["char", "byte", "sentencepiece"])
def test_white_space_that_changes_scores_is_told_and_can_be_stripped(tmp_path, tokenizer):
    size = {"vocab_size": 290} if tokenizer == "sentencepiece" else {}
    model = rnnlm.Model(fit("ngram", LINES * 5, tokenizer=tokenizer, **size))
    odd = ["the cat sat", " the cat sat", "the  cat sat", "the cat sat \t"]
    text, table = tmp_path / "text", tmp_path / "table.csv"
    text.write_text("\n".join(odd))
    table.write_text("\n".join(["sentence", *(f'"{each}"' for each in odd)]))
    for path, column in ((text, None), (table, "sentence")):
        # What is told of is what differs.
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            scores = model.score_sentences(read_sentences(path, SentenceSettings(column)))
        is_told = any("3 sentences hold white space" in str(each.message) for each in told)
        differ = len({score.logprob_nats for score in scores}) > 1
        assert is_told == differ and (differ or tokenizer == "sentencepiece")

        stripped = SentenceSettings(column, strip=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RnnlmWarning)
            scores = model.score_sentences(read_sentences(path, stripped))
        assert len({score.logprob_nats for score in scores}) == 1
        assert {score.text for score in scores} == {"the cat sat"}


def test_words_known_with_a_mark_at_their_side_are_told():
    model = rnnlm.Model(fit("ngram", ["I am glad.", "she was sad.", "we are glad."]))
    with pytest.warns(RnnlmWarning, match="knows 'glad.', but not 'glad'.*--split-punctuation"):
        model.score_sentences(["I am glad"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RnnlmWarning)
        model.score_sentences(["I am glad.", "I am zebra"])
