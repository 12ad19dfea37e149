import math

import numpy as np
import pytest

from rnnlm import adapt
from rnnlm.errors import ModelError, RnnlmWarning, TextError
from rnnlm.inference import prefixes, span_scoring
from rnnlm.inference.prefixes import UNBOUNDED, PredictedSteps, WordTokens, steps_of
from support.tiny_models import LINES, fit, make_tokenizer

MIXTURE = {"parts": [("ngram", {"order": 3}), ("lstm", {})], "weights": [0.4, 0.6]}
MODELS = [
    ("unigram", {}), ("ngram", {"order": 3}), ("lstm", {}), ("gru", {}), ("ffnn", {}), ("lstm", {"tokenizer": "char"}),
    ("ngram", {"tokenizer": "byte"}), ("lstm", {"characters": "cnn"}), ("mixture", MIXTURE),
]  # fmt: skip


@pytest.fixture(scope="module", params=MODELS, ids=lambda each: "-".join([each[0], *map(str, each[1].values())])[:30])
def model(request):
    name, settings = request.param
    return fit(name, **settings)


def test_steps_are_what_reading_a_line_gives(model):
    ids = model.tokenizer.encode([LINES[3]]).ids
    expected = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))
    steps = steps_of(model)
    place, found = steps.begin(), []
    for id in ids.tolist():
        logprob, _, place = steps.step(place, id)
        found.append(logprob)
    assert found == pytest.approx(expected.tolist(), abs=1e-5)
    assert [logprob for logprob, _ in steps.line(steps.begin(), ids.tolist())] == pytest.approx(expected.tolist(), abs=1e-5)


def test_branches_do_not_disturb_each_other(model):
    steps = steps_of(model)
    one, other = (model.tokenizer.encode([line]).ids[:4].tolist() for line in LINES[:2])
    alone = [steps.line(steps.begin(), words) for words in (one, other)]
    places, found = [steps.begin(), steps.begin()], [[], []]
    for pair in zip(one, other, strict=True):
        for branch, word in enumerate(pair):
            logprob, length, places[branch] = steps.step(places[branch], word)
            found[branch].append((pytest.approx(logprob, abs=1e-5), length))
    assert found == alone


def test_places_are_equal_where_the_same_was_read():
    steps = steps_of(fit("lstm"))
    places = [steps.step(steps.step(steps.begin(), 3)[2], word)[2] for word in (4, 4, 5)]
    assert places[0] == places[1] != places[2]
    assert hash(places[0]) == hash(places[1])
    assert steps.order == UNBOUNDED


def test_a_place_is_read_once_however_many_words_are_asked_for(monkeypatch):
    model = fit("lstm")
    steps, asked = PredictedSteps(model), []
    predict = model.predict
    monkeypatch.setattr(model, "predict", lambda *given: asked.append(1) or predict(*given))
    places = [steps.step(steps.begin(), word)[2] for word in range(2, model.tokenizer.size)]
    assert len(asked) == 1
    assert steps.step(places[0], 2)[0] == steps.step(places[0], 2)[0]
    assert len(asked) == 2


def test_what_is_forgotten_is_read_again(monkeypatch):
    monkeypatch.setattr(prefixes, "KEPT_BYTES", 1)
    model = fit("lstm")
    steps = PredictedSteps(model)
    places = [steps.step(steps.begin(), word % 9 + 2)[2] for word in range(9)]
    first = [steps.step(place, 3)[0] for place in places]
    for word in range(60):
        steps.step(steps.step(places[word % 9], word % 9)[2], 3)
    assert len(steps._kept) == 16
    assert [steps.step(place, 3)[0] for place in places] == first


def test_what_is_kept_counts_the_states_which_may_hold_a_whole_model(monkeypatch):
    monkeypatch.setattr(prefixes, "KEPT_BYTES", 1 << 17)
    model = adapt(fit("lstm"), "dynamic")
    steps = steps_of(model)
    place = steps.begin()
    for number in range(60):
        _, _, place = steps.step(place, 2 + number % 5)
    assert len(steps._kept) < 30  # of some 5 KB each


def test_a_line_begins_anew_after_its_end():
    steps = steps_of(fit("lstm"))
    end = steps.model.tokenizer.boundary_id
    line = steps.line(steps.begin(), [3, end, 3, 4, end])
    assert line[2] == pytest.approx(line[0])
    assert [length for _, length in line] == [2, 3, 2, 3, 4]
    assert steps.step(steps.step(steps.begin(), 3)[2], end)[2] == steps.begin()


def test_no_context_is_the_start_of_a_line_but_for_n_grams():
    steps = steps_of(fit("lstm"))
    with pytest.warns(RnnlmWarning, match="only n-gram"):
        assert steps.null() == steps.begin()
    for name in ("ngram", "unigram"):
        model = fit(name)
        steps = steps_of(model)
        p = [math.exp(steps.step(steps.null(), word)[0]) for word in range(model.tokenizer.size)]
        assert sum(p) == pytest.approx(1, abs=1e-5)


def test_scores_that_are_no_numbers_are_an_error():
    model = fit("lstm")
    for parameter in model.network.parameters():
        parameter.data.fill_(np.nan)
    steps = steps_of(model)
    with pytest.raises(ModelError, match="not numbers"):
        steps.step(steps.begin(), 3)
    with pytest.raises(ModelError, match="not numbers"):
        steps.line(steps.begin(), [3])


SETTINGS = [{}, {"lowercase": True, "split_punctuation": True}, {"tokenizer": "char"}, {"tokenizer": "byte"},
            {"tokenizer": "sentencepiece", "vocab_size": 290}]  # fmt: skip


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.get("tokenizer", f"word{len(settings)}"))
def test_words_have_the_tokens_that_they_have_in_their_line(settings):
    tokenizer = make_tokenizer([*LINES, "don't stop."], **settings)
    words = WordTokens(tokenizer)
    for line in ["the cat sat", "don't stop. it's hard", "a zebra sat", "the <unk> sat"]:
        found = [words.of(word, at == 0) for at, word in enumerate(line.split())]
        assert [id for ids, _ in found for id in ids] == tokenizer.encode([line]).ids[:-1].tolist()
    assert words.of("</s>") == ((tokenizer.boundary_id,), True)
    with pytest.raises(TextError, match="only a context"):
        words.of("<s>")


def test_a_word_is_known_if_all_its_tokens_are():
    words = WordTokens(make_tokenizer())
    assert [words.of(word)[1] for word in ("cat", "zebra", "<unk>", "")] == [True, False, False, False]
    split = WordTokens(make_tokenizer(["don't stop ."], split_punctuation=True, lowercase=True))
    assert [split.of(word)[1] for word in ("Stop.", "stop!", "STOP")] == [True, False, True]
    spelled = WordTokens(make_tokenizer(tokenizer="char"))
    assert [spelled.of(word)[1] for word in ("tac", "Q", "")] == [True, False, True]
