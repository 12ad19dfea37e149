import copy
import gc
import math
import random
import warnings
import weakref

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.scoring import scorer
from rnnlm.scoring.scorer import Scorers, score_chunks
from rnnlm.scoring.sentence_scores import likelihood_ratio
from rnnlm.scoring.sentences import Sentence, read_sentences
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.scoring.several_models import ScoringSetup, written_chunks
from rnnlm.text.lines import TextSettings
from support.tiny_models import LINES, fit, halves_model

SENTENCES = ["the cat sat", "", "a dog saw the cat on the mat", "the cat sat", "speech"]
SENTENCES.append("the zebra sat on a yak")


def nats(model, *sentences, **settings) -> list[float]:
    """Return the log-probabilities of sentences."""
    scores = rnnlm.Model(model).score_sentences(*sentences, **settings)
    return [score.logprob_nats for score in scores]


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.fixture(scope="module")
def halves():
    return halves_model()


def test_scores_of_small_sentences(halves):
    texts = ["a b", "a x\ta", "", "a never"]
    scores = rnnlm.Model(halves).score_sentences(texts, tokens=True)
    first, second, empty, never = scores
    assert first.logprob_nats == pytest.approx(-(1 + 3 + 2) * math.log(2))
    assert (first.text, first.tokens, first.words, first.oov) == ("a b", 3, 2, ())
    assert first.ppl_word == pytest.approx(2 ** (6 / 3))
    assert [(t.token, t.surprisal_bits, t.is_oov) for t in second.token_scores] == [
        ("a", pytest.approx(1), False), ("x", pytest.approx(3), True),
        ("a", pytest.approx(1), False), ("</s>", pytest.approx(2), False)
    ]  # fmt: skip
    assert second.oov == ("x",) and second.words == 3
    assert (empty.tokens, empty.words) == (1, 0)
    assert empty.logprob_nats == pytest.approx(-2 * math.log(2))
    assert [token.token for token in empty.token_scores] == ["</s>"]
    # A probability of zero makes a score null.
    assert never.logprob_nats is None and never.ppl_word is None
    surprisals = [token.surprisal_bits for token in never.token_scores]
    assert surprisals == [pytest.approx(1), None, pytest.approx(2)]


@pytest.mark.parametrize("settings", [
    {}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"split_punctuation": True, "lowercase": True},
], ids=str)  # fmt: skip
def test_token_surprisals_sum_to_the_sentence(settings):
    model = rnnlm.Model(fit("lstm", **settings))
    lines = [*SENTENCES, "It's <unk>, m\u00e4t!"]
    for score in model.score_sentences(lines, tokens=True):
        assert len(score.token_scores) == score.tokens
        bits = [token.surprisal_bits for token in score.token_scores]
        assert sum(bits) * math.log(2) == pytest.approx(-score.logprob_nats, abs=1e-4)
        assert min(bits) >= 0


def test_scores_do_not_depend_on_the_other_sentences(lines_per_chunk):
    lstm, words = fit("lstm"), "the cat dog sat mat on a".split()
    more = [" ".join(random.Random(seed).choices(words, k=seed)) for seed in range(20)]
    chosen = SENTENCES + more
    alone = [nats(lstm, [sentence])[0] for sentence in chosen]
    assert nats(lstm, chosen) == pytest.approx(alone, abs=1e-4)
    assert nats(lstm, chosen[::-1]) == pytest.approx(alone[::-1], abs=1e-4)
    lines_per_chunk(3)
    lstm.call_tokens = 5
    assert nats(lstm, chosen) == pytest.approx(alone, abs=1e-4)


def test_few_scorers_are_kept_and_follow_their_model(monkeypatch):
    monkeypatch.setattr(scorer, "SCORERS_KEPT", 2)
    core = copy.copy(fit("unigram"))
    model, watched, scores = rnnlm.Model(core), weakref.ref(core), []
    for count in (1, 2, 3, 2, 1):
        scores.append(model.score_sentences(["the cat"], next_words=count, measures=["rank"]))
        assert {len(likely) for likely in scores[-1][0].next_words} == {count}
        core.fingerprint = "saved"
    kept = model._scorers.kept.cache_info()
    assert (kept.hits, kept.misses, kept.currsize) == (1, 4, 2)
    assert scores[-1].signature == scores[0].signature.replace("model:unsaved", "model:saved")
    # A copy makes its own, and none keeps the model.
    assert "_scorers" not in vars(copy.deepcopy(model))
    del core, model
    gc.collect()
    assert watched() is None


def test_lines_are_scored_as_they_come(lstm, lines_per_chunk):
    lines_per_chunk(2)
    taken = []
    lines = (taken.append(line) or Sentence(line, 1) for line in SENTENCES)
    chunk = next(score_chunks(Scorers(lstm).of(), lines))
    assert [score.text for score in chunk.scores] == SENTENCES[:2] == taken


@pytest.mark.parametrize("context", ["reset", "carry"])
def test_lines_scored_before_are_passed_over(lstm, lines_per_chunk, context):
    lines_per_chunk(2)
    sentences = [Sentence(line, number) for number, line in enumerate(SENTENCES)]
    settings = ScoringSettings(context=context)
    whole = list(score_chunks(Scorers(lstm).of(settings), sentences))
    setup = ScoringSetup((), "cpu", settings, lambda chunk: [scores["m"] for scores in chunk])
    rest = list(written_chunks({"m": lstm}, sentences, setup, skip=4))
    assert [chunk.written for chunk in rest] == [None, None, list(whole[2].scores)]
    assert [chunk.signature["m"] for chunk in rest] == [chunk.signature for chunk in whole]


def test_words_to_search_for_arrive_after_few_lines():
    taken, model = [], fit("unigram", tokenizer="char")
    lines = (taken.append(n) or Sentence("", n) for n in range(200))
    first, *_ = next(score_chunks(Scorers(model).of(ScoringSettings(next_words=1)), lines)).scores
    assert len(first.next_words) == 1 and len(taken) < 100


def test_reserved_symbols_are_an_error_naming_the_sentence(halves):
    with pytest.raises(TextError, match="sentence 2"):
        nats(halves, ["a", "a </s>"])
    dropped, plain = nats(halves, ["<s> a b </s>", "a b"], special_symbols="drop")
    assert dropped == plain
    model = rnnlm.Model(halves)
    (replaced,) = model.score_sentences(["<s> a"], special_symbols="replace")
    assert replaced.logprob_nats == pytest.approx(-(3 + 1 + 2) * math.log(2)) and replaced.oov == ()


def test_the_ratio_is_given_total_and_per_word(halves):
    model = rnnlm.Model(halves)
    better, worse, never = model.score_sentences(["a a", "b b b", "never"])
    total, per_word = likelihood_ratio(better, worse)
    assert total == pytest.approx(math.log10(2.0 ** (11 - 4)))
    assert per_word == pytest.approx(math.log10(2.0 ** (11 / 4 - 4 / 3)))
    assert likelihood_ratio(better, never) is None
    open_ended = model.score_sentences(["a a", "b b b"], eos=False)
    _, per_word = likelihood_ratio(*open_ended, eos=False)
    assert per_word == pytest.approx(math.log10(2.0 ** (9 / 3 - 2 / 2)))


def test_words_are_counted_as_the_tokenizer_splits_them():
    model = rnnlm.Model(fit("unigram", lowercase=True, split_punctuation=True))
    spelled, split = model.score_sentences(["THE DOG SAT!", "the dog sat !"])
    assert spelled.words == 4 and spelled.ppl_word == split.ppl_word
    assert spelled.logprob_nats == split.logprob_nats
    assert likelihood_ratio(spelled, split) == (0.0, 0.0)
    (open_end,) = model.score_sentences(["THE DOG SAT!"], eos=False)
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
    model = rnnlm.Model(family)
    (whole,) = model.score_sentences(["the cat saw a dog"], tokens=True)
    (first,) = model.score_sentences(["the cat"], eos=False)
    given = ["the cat  ", "the cat saw a dog", " "]
    scores = model.score_sentences(["saw a dog", "", "the cat"], given=given, tokens=True)
    (rest, alone, blank) = scores
    assert first.logprob_nats + rest.logprob_nats == pytest.approx(whole.logprob_nats, abs=1e-4)
    assert first.tokens + rest.tokens == whole.tokens and (rest.words, first.words) == (3, 2)
    tokens = [score.token for score in whole.token_scores]
    assert [score.token for score in rest.token_scores] == tokens[first.tokens :]
    assert (alone.tokens, alone.words, alone.text) == (1, 0, "")
    end_bits = whole.token_scores[-1].surprisal_bits
    assert -alone.logprob_nats / math.log(2) == pytest.approx(end_bits, abs=1e-4)
    (end,) = nats(family, [""], given="the cat")
    assert blank.logprob_nats == pytest.approx(first.logprob_nats + end, abs=1e-4)


def test_without_the_end_its_token_counts_nowhere(halves):
    asked = {"eos": False, "tokens": True, "words": True}
    score, empty = rnnlm.Model(halves).score_sentences(["a b x", ""], **asked)
    assert score.logprob_nats == pytest.approx(-(1 + 3 + 3) * math.log(2))
    assert (score.tokens, score.words, score.ppl_word) == (3, 3, pytest.approx(2 ** (7 / 3)))
    assert [token.token for token in score.token_scores] == ["a", "b", "x"]
    assert [word.word for word in score.word_scores] == ["a", "b", "x"]
    assert (empty.logprob_nats, empty.tokens, empty.ppl_word) == (0.0, 0, None)
    assert empty.token_scores == ()


KINDS = [("lstm", {}), ("lstm", {"tokenizer": "char"}), ("ngram", {"order": 3})]


@pytest.mark.parametrize("kind, settings", KINDS)
@pytest.mark.parametrize("context", ["carry", "reset"])
def test_lines_in_a_stream_sum_to_its_score(kind, settings, context, tmp_path, lines_per_chunk):
    model, path = fit(kind, **settings), tmp_path / "text"
    lines = [*LINES, "", "a cat", "", *LINES[::-1]]
    path.write_text("\n".join(lines) + "\n")
    read = TextSettings(blank_lines="keep")
    whole = evaluate(model, path, context=context, text_settings=read)
    for per_chunk, wanted in ((100, {}), (3, {}), (4, {"words": True})):
        lines_per_chunk(per_chunk)
        scores = nats(model, lines, context=context, **wanted)
        assert len(scores) == len(lines)
        assert sum(scores) == pytest.approx(whole.logprob_nats, abs=1e-3)
    sentences = [Sentence(line, number) for number, line in enumerate(lines)]
    *_, last = score_chunks(Scorers(model).of(ScoringSettings(context=context)), sentences)
    assert str(last.signature) == whole.signature


def test_an_unreadable_sentence_can_give_a_reason_instead(halves):
    texts = ["a", "a </s>", "a\nb", "a \udcff", "never b", "b"]
    asked = {"unscorable": "null", "tokens": True, "words": True}
    scores = rnnlm.Model(halves).score_sentences(texts, **asked)
    assert [score.reason for score in scores] == [
        None, "the text holds </s>", "a line holds a newline", "not UTF-8 (byte 3 is 0xff)",
        "token 1, never, has probability zero", None
    ]  # fmt: skip
    assert [score.id for score in scores if score.logprob_nats is None] == [2, 3, 4, 5]
    assert [score.id for score in scores if not score.is_read] == [2, 3, 4]
    assert scores[3].text == "a \ufffd" and [score.id for score in scores] == [1, 2, 3, 4, 5, 6]
    assert scores[0].logprob_nats == nats(halves, ["a"])[0]
    for text in texts[1:4]:
        with pytest.raises(TextError, match="sentence 1"):
            nats(halves, [text])


@pytest.mark.parametrize("sentences, settings, message", [
    (["a", "b"], {"given": ["x"]}, "given"), (["a"], {"given": "x", "context": "carry"}, "carry"),
    (["a"], {"context": "carried"}, "context"),
    (["a"], {"words": True, "frequency_from": "x"}, "frequency_from.* has no effect.*lags"),
    (["a"], {"words": True, "measures": ["entropie"]}, "'entropie'.*did you mean 'entropy'"),
    (["a"], {"measures": ["entropy", "frequency"]}, "entropy and frequency can only be .* for words"),
    (["a"], {"words": True, "split": "words"}, "'words'"),
])  # fmt: skip
def test_requests_that_contradict_themselves_are_refused(lstm, sentences, settings, message):
    with pytest.raises(UsageError, match=message):
        nats(lstm, sentences, **settings)


def test_a_megabyte_line_is_scored_in_windows():
    lstm, widest = fit("lstm"), []
    score = lstm.score

    def watched(inputs, targets, state):
        widest.append(inputs.size)
        return score(inputs, targets, state)

    lstm.score = watched
    long, short = rnnlm.Model(lstm).score_sentences(["the cat " * 60_000, "the cat"])
    assert long.tokens == 120_001 and max(widest) <= lstm.call_tokens
    assert long.logprob_nats < short.logprob_nats


@pytest.mark.parametrize("tokenizer", ["char", "byte", "sentencepiece", "huggingface"])
def test_white_space_that_changes_scores_is_told_and_can_be_stripped(tmp_path, tokenizer):
    size = {"vocab_size": 290} if tokenizer == "sentencepiece" else {}
    model = rnnlm.Model(fit("ngram", LINES * 5, tokenizer=tokenizer, **size))
    odd = ["the cat sat", " the cat sat", "the  cat sat", "the cat sat \t"]
    text, table = tmp_path / "text", tmp_path / "table.csv"
    text.write_text("\n".join(odd))
    table.write_text("\n".join(["sentence", *(f'"{each}"' for each in odd)]))
    for path, column in ((text, None), (table, "sentence")):
        # A notice comes where scores differ.
        with warnings.catch_warnings(record=True, action="always") as told:
            scores = model.score_sentences(read_sentences(path, SentenceSettings(column)))
        is_told = any("3 sentences hold irregular" in str(each.message) for each in told)
        differ = len({score.logprob_nats for score in scores}) > 1
        assert is_told == differ and (differ or tokenizer == "sentencepiece")

        stripped = SentenceSettings(column, strip=True)
        with warnings.catch_warnings(action="error", category=RnnlmWarning):
            scores = model.score_sentences(read_sentences(path, stripped))
        assert len({score.logprob_nats for score in scores}) == 1
        assert {score.text for score in scores} == {"the cat sat"}


def test_words_known_with_a_mark_at_their_side_are_told():
    model = rnnlm.Model(fit("ngram", ["I am glad.", "she was sad.", "we are glad."]))
    with pytest.warns(RnnlmWarning, match="knows 'glad.', but not 'glad'.*--split-punctuation"):
        model.score_sentences(["I am glad"])
    with warnings.catch_warnings(action="error", category=RnnlmWarning):
        model.score_sentences(["I am glad.", "I am zebra"])
