import functools
import itertools
import math

import numpy as np
import pytest

from rnnlm import arrays
from rnnlm.errors import ModelError, UsageError
from rnnlm.lm.ngram.unigram import EmptyState, UnigramModel
from rnnlm.scoring.generation import search as search_module
from rnnlm.scoring.generation.drawing import TextStarts
from rnnlm.scoring.generation.search import Beams, GeneratedText, search
from rnnlm.scoring.generation.settings import SearchSettings
from support.starts import EVERY_LENGTH, PROMPTS, one_of, starts_after
from support.tiny_models import LINES, fit, make_tokenizer

SHORT = ("a b", "b a b", "a", "b b")
GROW = Beams.grow


@pytest.fixture(scope="module", params=["lstm", "ngram"])
def model(request):
    return fit(request.param, LINES)


def next_logprobs(model, starts, number, ids, unknown=False) -> np.ndarray:
    """Return the distribution after `ids` in one text, read from its start without batching."""
    inputs = np.array([[int(starts.input_S[number]), *ids]])
    predicted, _ = model.predict(inputs, starts.state.select([number]))
    logprob_V = arrays.as_numpy(predicted)[0, -1].astype(np.float64)
    if not unknown:
        logprob_V[model.tokenizer.unk_id] = -np.inf
    return logprob_V


def lengthened(logprob, tokens, power) -> float:
    return logprob / math.pow((5 + tokens) / 6, power)


def plain_beam(model, starts, number, settings) -> list[tuple[float, tuple[int, ...], float]]:
    """Return (score, ids, log-probability) of what a plain beam search finishes, best first."""
    alive, finished = [(0.0, ())], []
    for length in range(1, int(starts.limits_S[number]) + 1):
        grown = []
        for total, ids in alive:
            logprob_V = next_logprobs(model, starts, number, ids, settings.unknown)
            possible = np.flatnonzero(logprob_V > -np.inf).tolist()
            grown += [(total + logprob_V[token], (*ids, token)) for token in possible]
        grown = sorted(grown, key=lambda each: -each[0])[: settings.beam]
        is_last = length == starts.limits_S[number]
        over = [each for each in grown if is_last or each[1][-1] == model.tokenizer.boundary_id]
        score = functools.partial(lengthened, tokens=length, power=settings.length_power)
        finished += [(score(total), ids, total) for total, ids in over]
        alive = [each for each in grown if each not in over]
        if len(finished) >= settings.beam:
            break
    return sorted(finished, key=lambda each: (-each[0], len(each[1])))[: settings.nbest]


def test_beam_of_one_is_greedy(model):
    starts = starts_after(model, PROMPTS, EVERY_LENGTH)
    for number, [found] in enumerate(search(model, starts, SearchSettings(beam=1))):
        ids, total = [], 0.0
        while len(ids) < EVERY_LENGTH[number] and ids[-1:] != [model.tokenizer.boundary_id]:
            logprob_V = next_logprobs(model, starts, number, ids)
            ids.append(int(logprob_V.argmax()))
            total += logprob_V.max()
        assert (found.ids, found.ended) == (tuple(ids), ids[-1] == model.tokenizer.boundary_id)
        assert found.logprob_nats == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("name", ["lstm", "ngram"])
@pytest.mark.parametrize("length_power", [0.0, 0.7, 3.0])
def test_wide_enough_beam_equals_exhaustive_search(name, length_power):
    model = fit(name, SHORT)
    starts, boundary = starts_after(model, ("", "b", "a b"), (4, 3, 2)), model.tokenizer.boundary_id
    others = [id for id in range(model.tokenizer.size) if id != boundary]
    widest = SearchSettings(beam=4**4, nbest=20, length_power=length_power, unknown=True)
    every = search(model, starts, widest)
    for number, (most, found) in enumerate(zip((4, 3, 2), every, strict=True)):
        texts = list(itertools.product(others, repeat=most))
        for length in range(most):
            texts += [(*ids, boundary) for ids in itertools.product(others, repeat=length)]
        after = functools.cache(
            functools.partial(next_logprobs, model, starts, number, unknown=True)
        )
        best = []
        for ids in texts:
            total = math.fsum(after(ids[:at])[token] for at, token in enumerate(ids))
            best.append((lengthened(total, len(ids), length_power), total, ids))
        best.sort(key=lambda each: -each[0])
        scores, logprobs, ids = zip(*best[:20], strict=True)
        assert [text.score for text in found] == pytest.approx(scores, abs=1e-5)
        assert [text.logprob_nats for text in found] == pytest.approx(logprobs, abs=1e-5)
        if name == "lstm":  # without ties
            assert [text.ids for text in found] == list(ids)
            assert [text.ended for text in found] == [each[-1] == boundary for each in ids]


@pytest.mark.parametrize("settings", [
    SearchSettings(3, 0.0, 3), SearchSettings(4, 1.0, 1), SearchSettings(5, 0.6, 2, True),
])  # fmt: skip
def test_batched_texts_match_a_plain_beam_for_each(settings):
    model = fit("lstm", LINES)
    starts = starts_after(model, PROMPTS, EVERY_LENGTH)
    for number, found in enumerate(search(model, starts, settings)):
        expected = plain_beam(model, starts, number, settings)
        ids = [text.ids for text in found]
        assert ids == [ids for _, ids, _ in expected]
        scores = [score for score, *_ in expected]
        assert [text.score for text in found] == pytest.approx(scores, abs=1e-5)
        [alone] = search(model, one_of(starts, number), settings)
        assert [text.ids for text in alone] == ids


def test_smaller_nbest_is_a_prefix_of_larger_nbest(model):
    starts = starts_after(model, PROMPTS, [20] * len(PROMPTS))
    for power in (0.0, 1.0):
        more = search(model, starts, SearchSettings(beam=6, nbest=6, length_power=power))
        for nbest in (1, 3):
            fewer = search(model, starts, SearchSettings(6, power, nbest))
            assert fewer == [found[:nbest] for found in more]


def test_settled_texts_leave_the_batch_without_needless_selection():
    calls, selected = [], []

    class Watched(UnigramModel):
        def predict(self, inputs_BT, state):
            calls.append(len(inputs_BT))
            return super().predict(inputs_BT, state)

    class WatchedState(EmptyState):
        def select(self, rows):
            selected.append(list(rows))
            return WatchedState(len(rows))

    probabilities = {"</s>": 0.3, "<unk>": 0.1, "a": 0.6}
    model = Watched(np.log(list(probabilities.values())), make_tokenizer(["a"]))
    starts = TextStarts(WatchedState(3), np.zeros(3, dtype=np.int64), np.array([4, 2, 3]))
    found = search(model, starts, SearchSettings(beam=1))
    assert [text.ids for [text] in found] == [(2,) * 4, (2,) * 2, (2,) * 3]
    assert (calls, selected) == ([3, 3, 2, 1], [[0, 2], [0]])


def test_rows_form_equal_groups_per_text(monkeypatch):
    model = fit("ngram", LINES)
    starts = starts_after(model, PROMPTS, EVERY_LENGTH)
    grown = []

    def watched(self, token_RK, logprob_RK):
        grown.append((len(token_RK), self.total_LP.copy()))
        return GROW(self, token_RK, logprob_RK)

    monkeypatch.setattr(Beams, "grow", watched)
    found = search(model, starts, SearchSettings(beam=4, nbest=4))
    assert all(rows == total_LP.size for rows, total_LP in grown)
    idle = [np.isneginf(total_LP) for _, total_LP in grown]
    assert any(each.any() for each in idle), "some text had fewer alive than others"
    assert not any(each[:, 0].any() or each.all(axis=0).any() for each in idle), (
        "no text is without any, and no place idle in all"
    )
    assert all(text.logprob_nats > -np.inf for its in found for text in its)


def test_ties_prefer_lower_token_and_shorter_text():
    with np.errstate(divide="ignore"):
        model = UnigramModel(np.log([0.25, 0.0, 0.25, 0.25, 0.25]), make_tokenizer(["a b c"]))
    start = TextStarts(model.initial_state(1), np.zeros(1, dtype=np.int64), np.array([3]))
    [found] = search(model, start, SearchSettings(beam=4, nbest=4, length_power=0.0))
    assert [text.ids for text in found] == [(0,), (2, 0), (2, 2, 0), (2, 2, 2)]
    [[greedy]] = search(model, start, SearchSettings(beam=1))
    assert greedy == GeneratedText((0,), math.log(0.25), math.log(0.25), True)


def test_rows_may_be_read_in_several_calls(monkeypatch):
    model = fit("lstm", LINES)
    starts = starts_after(model, PROMPTS, EVERY_LENGTH)
    whole = search(model, starts, SearchSettings(beam=4, nbest=4))
    monkeypatch.setattr(search_module, "MOST_CELLS", 5 * model.tokenizer.size)
    parts = search(model, starts, SearchSettings(beam=4, nbest=4))
    ids_of = [[[text.ids for text in found] for found in texts] for texts in (parts, whole)]
    assert ids_of[0] == ids_of[1]


def test_unknown_words_are_not_written(model):
    starts = starts_after(model, PROMPTS, [8] * len(PROMPTS))
    for beam in (1, 5):
        written = {id for [text] in search(model, starts, SearchSettings(beam)) for id in text.ids}
        assert written and model.tokenizer.unk_id not in written


@pytest.mark.needs("tools/mixtures")
def test_no_texts_give_none_and_contradictions_are_an_error():
    from rnnlm.tools.mixtures.adaptation import adapt

    model = fit("lstm", LINES)
    none = TextStarts(model.initial_state(0), *np.zeros((2, 0), dtype=np.int64))
    assert search(model, none) == []
    one = TextStarts(model.initial_state(1), np.array([0]), np.array([1]))
    with pytest.raises(UsageError, match="beam of 2"):
        search(model, one, SearchSettings(beam=2, nbest=3))
    with pytest.raises(UsageError, match="one text at a time"):
        search(adapt(model, "dynamic"), one, SearchSettings(beam=2))
    broken = UnigramModel(np.full(model.tokenizer.size, np.nan), model.tokenizer)
    with pytest.raises(ModelError, match="not numbers"):
        search(broken, TextStarts(broken.initial_state(1), one.input_S, one.limits_S))
    silent = UnigramModel(np.full(model.tokenizer.size, -np.inf), model.tokenizer)
    with pytest.raises(UsageError, match="no text can be generated"):
        search(silent, TextStarts(silent.initial_state(1), one.input_S, one.limits_S))
