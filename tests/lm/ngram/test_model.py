"""The n-gram model against a dictionary, however windows and threads cut the text."""

import itertools
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from reference.backoff_dictionary import BackoffDictionary
from rnnlm import system
from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.interface import PADDING
from rnnlm.lm.ngram import model as model_module, pruning, tables as levels_module
from rnnlm.lm.ngram.fitting import estimate, heldout_counts, pruning_thresholds
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from support.arpa_files import SMALL, model_of, random_arpa
from support.tiny_ngrams import END, counts_of, ids_of

SIZE = 7  # word 6 occurs in no text here
SENTENCES = [
    [1, 2, 3, 4, 5], [1, 2, 3, 1, 2], [2, 3, 4], [1], [5, 5, 5, 5, 1, 2], [3, 1, 2, 3, 4, 5, 1],
]  # fmt: skip
KINDS = [*((name, None) for name in ESTIMATORS), ("absolute", False), ("kn", False), ("mkn", False)]
PRUNINGS = ("0", "0 1", "0 99", "0 0 1", "0 0 99")  # 99: nothing is left of an order


def build(name="mkn", order=3, sentences=SENTENCES, prune="0", size=SIZE, interpolate=None):
    counts = counts_of(sentences, size, order)
    made = NgramSettings(order=order, smoothing=name, interpolate=interpolate)
    smoothing = ESTIMATORS[name](made, counts, heldout_counts(counts, ids_of([[1, 2, 5]]), END))
    tokenizer = SimpleNamespace(size=size, boundary_id=END, unk_id=None)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        levels = list(estimate(counts, smoothing, pruning_thresholds(prune, counts.order)))
    unseen = smoothing.unseen_context_logprob
    return NgramModel.from_levels(levels, tokenizer, smoothing.normalised, unseen)


def passages(chance, dictionary: BackoffDictionary, rows: int, length: int) -> np.ndarray:
    """Draw rows of ids from the model's n-grams, any words and ends; most begin as a line does."""
    grams, boundary = list(dictionary.values), dictionary.boundary_id
    streams = []
    for _ in range(rows):
        stream = [boundary] if chance.random() < 0.8 else []
        while len(stream) < length:
            if chance.random() < 0.6:
                stream += grams[chance.integers(len(grams))]
            else:
                is_end = chance.random() < 0.15
                stream.append(boundary if is_end else int(chance.integers(dictionary.size)))
        streams.append(stream[:length])
    ids_BT = np.array(streams)
    return np.where(ids_BT == dictionary.size, boundary, ids_BT)


def targets_of(chance: np.random.Generator, ids_BL: np.ndarray, size: int) -> np.ndarray:
    """Return the next tokens as targets, with some replaced by others, and some by padding."""
    targets_BT = ids_BL[:, 1:].copy()
    is_odd_BT = chance.random(targets_BT.shape) < 0.3
    targets_BT[is_odd_BT] = chance.integers(size, size=np.count_nonzero(is_odd_BT))
    targets_BT[chance.random(targets_BT.shape) < 0.1] = PADDING
    return targets_BT


def cut_anyhow(chance: np.random.Generator, patch: pytest.MonkeyPatch) -> None:
    """Use small pieces, several threads and sorted look-ups for tiny texts, too."""
    number = int(chance.choice([1, 2, 5]))
    for module in (model_module, system):
        patch.setattr(module, "free_processors", lambda: number)
    patch.setattr(model_module, "SMALLEST_PIECE", int(chance.choice([1, 4, 1 << 15])))
    patch.setattr(levels_module, "WORTH_SORTING", int(chance.choice([1, 4, 1 << 12])))
    patch.setattr(levels_module, "SEARCH_BLOCK", int(chance.choice([1, 3, 1 << 13])))


def windows(chance: np.random.Generator, length: int) -> list[slice]:
    cuts = sorted({0, length, *chance.integers(1, length + 1, size=chance.integers(5)).tolist()})
    return [slice(*each) for each in itertools.pairwise(cuts)]


def roundabout(model: NgramModel, state, rows: int):
    """Return the same state, after taking its rows apart, and after a round trip through arrays."""
    picked = model.concat_states([state.select([row]) for row in reversed(range(rows))])
    arrays = picked.select(np.arange(rows)[::-1]).to_arrays()
    return model.state_from_arrays({name: array.copy() for name, array in arrays.items()})


def check_against_dictionary(model: NgramModel, seed: int) -> None:
    """Check score, predict and both states against the dictionary, window by window."""
    chance, dictionary = np.random.default_rng(seed), BackoffDictionary(model)
    rows, length = int(chance.integers(1, 4)), int(chance.integers(1, 25))
    ids_BL = passages(chance, dictionary, rows, length + 1)
    inputs_BT, targets_BT = ids_BL[:, :-1], targets_of(chance, ids_BL, model.size)
    states = [model.initial_state(rows)] * 2
    with pytest.MonkeyPatch.context() as patch:
        cut_anyhow(chance, patch)
        for window in windows(chance, length):
            scores_BT, scored = model.score(inputs_BT[:, window], targets_BT[:, window], states[0])
            logprob_BTV, predicted = model.predict(inputs_BT[:, window], states[1])
            check_window(dictionary, inputs_BT, targets_BT, window, scores_BT, logprob_BTV)
            kept_BN = [[dictionary.remembered(row[: window.stop])] for row in inputs_BT.tolist()]
            read_BT = np.pad(inputs_BT[:, : window.stop], ((0, 0), (model.order, 0)))
            last_BN = read_BT[:, window.stop + 1 :]
            last_BN[np.arange(model.order - 1, 0, -1) > kept_BN] = PADDING
            assert (scored.inputs_BN == last_BN).all() and (predicted.inputs_BN == last_BN).all()
            states = [scored, predicted]
            if chance.random() < 0.3:
                states = [roundabout(model, predicted, rows), scored]


def check_window(dictionary, inputs_BT, targets_BT, window, scores_BT, logprob_BTV) -> None:
    rows = zip(inputs_BT.tolist(), targets_BT.tolist(), strict=True)
    for row, (inputs, targets) in enumerate(rows):
        for place, at in enumerate(range(window.start, window.stop)):
            read = inputs[: at + 1]
            expected_V = [dictionary.logprob(read, word) for word in range(dictionary.size)]
            expected = 0.0 if targets[at] == PADDING else expected_V[targets[at]]
            assert scores_BT[row, place] == pytest.approx(expected, abs=1e-6)
            assert logprob_BTV[row, place].tolist() == pytest.approx(expected_V, abs=1e-5)


@pytest.mark.parametrize(("name", "interpolate"), KINDS, ids=str)
@given(data=st.data())
def test_scores_and_states_equal_those_of_a_dictionary(name, interpolate, data):
    sentences = data.draw(st.lists(st.lists(st.integers(1, 4), max_size=9), max_size=5)) + SENTENCES
    order = data.draw(st.integers(1, 5))
    prune = data.draw(st.sampled_from(PRUNINGS[: min(1 + 2 * (order - 1), 5)]))
    model = build(name, order, sentences, prune, interpolate=interpolate)
    check_against_dictionary(model, seed=data.draw(st.integers(0, 1 << 30)))


@pytest.mark.parametrize("seed", range(24))
def test_foreign_models_are_read_like_a_dictionary(tmp_path, seed):
    (tmp_path / "x.arpa").write_text(random_arpa(seed, order=1 + seed % 5, dropped=0.3))
    model = model_of(tmp_path / "x.arpa")
    for again in range(6):
        check_against_dictionary(model, 100 * seed + again)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_pruned_models_are_read_as_a_dictionary_is(name):
    model = build(name, order=5)
    smaller, _ = pruning.to_size(model, sum(map(len, model.values)) - 20)
    check_against_dictionary(smaller, 0)
    check_against_dictionary(pruning.by_order(model, 3), 1)
    check_against_dictionary(pruning.by_entropy(model, 1e9), 2)


def score_line(model: NgramModel, inputs: list[int], targets: list[int]) -> list[float]:
    scores_BT, _ = model.score(np.array([inputs]), np.array([targets]), model.initial_state(1))
    return np.exp(scores_BT[0]).tolist()


def test_stupid_backoff_charges_no_context_beyond_the_start():
    model = build("stupid", order=3, sentences=[[1, 2, 3]], size=5)
    assert score_line(model, [END, 1, 2], [1, 2, 3]) == pytest.approx([1, 1, 1])
    assert score_line(model, [END], [3]) == pytest.approx([0.4 / 4])  # <s> alone is given up
    # (<s>, 4) was never seen, 4 never followed
    assert score_line(model, [END, 4], [1, 1]) == pytest.approx([1, 0.4**2 / 4])
    # nothing is known of what came before
    assert score_line(model, [4], [1]) == pytest.approx([0.4 / 4])
    assert score_line(model, [END, 4, 1], [4, 1, 2])[2] == pytest.approx(0.4)
    # <s> 3 never occurs; 3 </s> does
    assert score_line(model, [1, END, 3], [END, 3, END])[2] == pytest.approx(0.4)


def state_after(model: NgramModel, *inputs: int) -> list[int]:
    """Return the state after `inputs`. Check that score and predict leave the same."""
    ids_BT = np.array([inputs])
    _, scored = model.score(ids_BT, ids_BT, model.initial_state(1))
    _, predicted = model.predict(ids_BT, model.initial_state(1))
    assert (scored.inputs_BN == predicted.inputs_BN).all()
    return scored.inputs_BN[0].tolist()


def test_the_state_holds_only_words_that_matter():
    model = build("mkn", order=4)
    assert state_after(model, END) == [-1, -1, END]
    assert state_after(model, END, 1, 2) == [END, 1, 2]
    assert state_after(model, END, 1, 2, 3) == [1, 2, 3]
    assert state_after(model, 1, 2, 3, END, 1) == [-1, END, 1]
    # a word that never occurs: nothing follows it
    assert state_after(model, END, 1, 2, 6) == [-1, -1, -1]
    assert state_after(model, END, 6, 3, 4) == [-1, 3, 4]


def test_the_state_keeps_costly_contexts_without_followers(tmp_path):
    stupid = build("stupid", order=4)
    assert state_after(stupid, END, 1, 2, 6) == [1, 2, 6]
    assert state_after(stupid, 6, 6) == [-1, 6, 6]
    path = tmp_path / "x.arpa"
    path.write_text(SMALL.replace("-0.1\ta b\n", "-0.1\ta b\t-0.25\n"))
    model = model_of(path)
    a, b = (model.tokenizer.encode([word]).ids[0] for word in "ab")
    end = model.tokenizer.boundary_id
    assert state_after(model, a, b) == [a, b]  # nothing follows `a b`
    logprob = np.log(score_line(model, [a, b], [b, end]))[1]
    assert logprob == pytest.approx(-0.95 * math.log(10))
    # The same in two windows.
    _, state = model.score(np.array([[a]]), np.array([[b]]), model.initial_state(1))
    scores_BT, state = model.score(np.array([[b]]), np.array([[end]]), state)
    assert scores_BT[0, 0] == pytest.approx(logprob) and state.inputs_BN.tolist() == [[a, b]]


def test_orders_that_pruning_leaves_empty_are_gone():
    assert build(order=5, prune="0 0 99").order == 2
    model = build(order=5, prune="0 99")
    assert model.order == 1 and model.initial_state(3).inputs_BN.shape == (3, 0)
    assert [values.shape for values in model.values] == [(SIZE + 1, 1)]


@pytest.mark.parametrize("shape", [(1, 0), (3, 0), (0, 4), (0, 0)], ids=str)
def test_empty_windows_leave_the_state_unchanged(shape):
    model, none_BT = build(order=4), np.zeros(shape, dtype=np.int64)
    _, state = model.score(np.full((3, 2), 1), np.full((3, 2), 1), model.initial_state(3))
    state = state.select(range(shape[0]))
    scores_BT, scored = model.score(none_BT, none_BT, state)
    logprob_BTV, predicted = model.predict(none_BT, state)
    assert scores_BT.shape == shape and logprob_BTV.shape == (*shape, SIZE)
    for after in (scored, predicted):
        assert (after.inputs_BN == state.inputs_BN).all()


# ---- Words drawn from what is stored.


def drawn_as_predicted(model: NgramModel, context: list[int], forbidden: list[int]) -> bool:
    """Draw words after a context; return whether a chi-square test finds the model's distribution,
    and check their log-probabilities."""
    rows = 2000
    state = model.initial_state(rows)
    for word in context[:-1]:
        _, state = model.predict(np.full((rows, 1), word), state)
    stream = np.random.default_rng(len(context))
    inputs_B = np.full(rows, context[-1])
    words_B, logprob_B, after = model.draw_next(inputs_B, state, [stream] * rows, forbidden)
    [[predicted_V]], expected = model.predict(inputs_B[:1, None], state.select([0]))
    assert np.allclose(logprob_B, predicted_V[words_B], atol=1e-5)
    assert np.array_equal(after.select([0]).inputs_BN, expected.inputs_BN)
    prob_V = np.exp(predicted_V.astype(np.float64))
    prob_V[forbidden] = 0
    prob_V /= prob_V.sum()
    counts_V = np.bincount(words_B, minlength=model.size)
    possible = prob_V > 0
    assert not counts_V[~possible].any()
    error_V = (counts_V - rows * prob_V)[possible] ** 2 / (rows * prob_V[possible])
    freedom = possible.sum() - 1
    return error_V.sum() <= freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize(("name", "prune"), [
    ("mkn", "0"), ("mkn", "0,1"), ("stupid", "0,1"), ("katz", "0"), ("mle", "0"),
])  # fmt: skip
def test_words_are_drawn_by_their_probabilities(name, prune):
    model = build(name, prune=prune)
    for context in ([END], [END, 2, 3], [END, 4, SIZE - 1]):
        for forbidden in ([], [1]):
            assert drawn_as_predicted(model, context, forbidden)


def test_words_are_drawn_where_unigrams_leave_hardly_any(monkeypatch):
    monkeypatch.setattr(model_module, "TRIES", 0)
    assert drawn_as_predicted(build(), [END, 2], [1])
    with pytest.raises(UsageError, match="no token can be drawn"):
        drawn_as_predicted(build(), [END], list(range(SIZE)))
