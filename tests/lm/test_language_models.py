"""The contract that every model keeps (DESIGN section 3): the cases are support/model_cases.py."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from rnnlm import arrays
from rnnlm.errors import UsageError
from rnnlm.interface import PADDING, HiddenStateModel, Tokenizer
from rnnlm.lm.base import span_scoring, stored_model
from rnnlm.tasks.seq2seq.model import ConditionalModel
from rnnlm.tools.huggingface.model import HuggingFaceModel
from rnnlm.tools.mixtures import adapted_model as adapting
from rnnlm.tools.mixtures.adapted_model import AdaptedModel
from rnnlm.tools.mixtures.dynamic_evaluation import DynamicEvaluation, gather_statistics
from rnnlm.tools.mixtures.mixture import Mixture
from rnnlm.tools.mixtures.neural_cache import NeuralCache
from rnnlm.tools.mixtures.unigram_cache import UnigramCache
from rnnlm.tools.scorers.scorer_checks import checks_of, of_model
from support import tiny_pairs
from support.model_cases import ADAPTED, CASES, CONDITIONAL, TRAINED
from support.packages import with_mingru
from support.tiny_models import LINES, Lines, fit, save

pytestmark = pytest.mark.needs(
    "tasks/seq2seq", "tools/huggingface", "tools/mixtures", "tools/scorers"
)

SAME_STATE = {  # settings that change numbers, and nothing that threads share
    "smoothing", "tied", "reset_gate", "update_gate", "peepholes", "coupled_gates",
    "mogrifier_rank", "ema_decay", "optimizer", "pooling",
}  # fmt: skip


def adapted(kind: str, model):
    """Wrap `model` in one that adapts strongly and fast, its memory shorter than the texts."""
    cache = {"cache_tokens": 6, "cache_weight": 0.4}
    if kind == "unigram":
        return UnigramCache(model, adapting.UnigramCacheSettings(**cache))
    if kind == "cache":
        return NeuralCache(model, adapting.NeuralCacheSettings(**cache, cache_flatness=1.5))
    settings = adapting.DynamicSettings(3, kind, {"sgd": 0.5, "rms": 0.01}[kind], 0.05)
    ids = Lines(LINES).encode(model.tokenizer).ids
    statistics = gather_statistics(model, ids, 3) if kind == "rms" else None
    return DynamicEvaluation(model, settings, statistics)


@pytest.fixture(
    scope="module",
    params=[*(("none", *case) for case in CASES), *ADAPTED,
            *(("conditional", *case) for case in CONDITIONAL), ("package", "mingru", {"layers": 2}),
            *(("foreign", family, {}) for family in ("gpt2", "llama", "mamba"))],
    ids=lambda case: "-".join([*case[case[0] == "none" : 2], *map(str, case[2].values())]),
)  # fmt: skip
def case(request, tmp_path_factory):
    """Return name, settings and the model: the registry's, or one wrapped around it."""
    with with_mingru(tmp_path_factory.mktemp("site")):
        yield made(*request.param)


def made(kind, name, settings):
    """Return a case: name, settings and the model."""
    if kind == "conditional":
        pairs = [(line, line) for line in LINES]
        found = tiny_pairs.fit(name, pairs, learning_rate=0.3, **settings).decoder
        return name, settings, found
    if kind == "foreign":
        pytest.importorskip("transformers")
        from support import foreign_models

        return name, settings, foreign_models.make(name)
    if kind in ("none", "package"):
        return name, settings, fit(name, **settings)
    return name, settings, adapted(kind, fit(name, **settings))


@pytest.fixture(scope="module")
def model(case):
    return case[2]


@pytest.fixture(scope="module")
def batch(model) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs_BT and targets_BT: three rows, or fewer, of eleven tokens of the text."""
    ids = Lines(LINES).encode(model.tokenizer).ids.astype(np.int64)
    stream = np.concatenate([[model.tokenizer.boundary_id], ids])
    starts = [0, 7, 3][: model.max_rows]
    inputs_BT = np.stack([stream[start : start + 11] for start in starts])
    return inputs_BT, np.stack([stream[start + 1 : start + 12] for start in starts])


@pytest.fixture
def one_thread_each():
    """Limit torch to one thread for each of ours: with as many each, they would wait for others."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


def score(model, inputs_BT, targets_BT, state=None):
    state = state or model.initial_state(len(inputs_BT))
    logprob_BT, after = model.score(inputs_BT, targets_BT, state)
    return arrays.as_numpy(logprob_BT), after


def predict(model, inputs_BT, state=None):
    logprob_BTV, after = model.predict(inputs_BT, state or model.initial_state(len(inputs_BT)))
    return arrays.as_numpy(logprob_BTV), after


def close(one, other, tolerance=1e-5) -> None:
    np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


def test_its_attributes_and_arrays_are_of_its_kind(model, batch):
    assert isinstance(model.tokenizer, Tokenizer)
    assert isinstance(model.normalised, bool)
    assert model.max_rows is None or model.max_rows >= 1
    assert model.call_tokens >= 1
    assert model.fingerprint is None
    assert (model.adaptation != "none") == isinstance(model, AdaptedModel)
    inputs_B1, targets_B1 = (ids_BT[:, :1].tolist() for ids_BT in batch)  # lists will do
    state = model.initial_state(len(inputs_B1))
    scores_B1, logprobs_B1V = (
        model.score(inputs_B1, targets_B1, state)[0], model.predict(inputs_B1, state)[0],
    )  # fmt: skip
    for values in (scores_B1, logprobs_B1V):
        assert isinstance(values, torch.Tensor if is_torch(model) else np.ndarray)


def test_probabilities_sum_to_one_and_are_the_scores(model, batch):
    inputs_BT, targets_BT = batch
    logprob_BTV, _ = predict(model, inputs_BT)
    assert logprob_BTV.shape == (len(inputs_BT), 11, model.tokenizer.size)
    if model.normalised:
        close(np.exp(logprob_BTV.astype(np.float64)).sum(axis=2), 1)
    logprob_BT, _ = score(model, inputs_BT, targets_BT)
    assert logprob_BT.shape == targets_BT.shape and (logprob_BT <= 0).all()
    close(logprob_BT, np.take_along_axis(logprob_BTV, targets_BT[:, :, None], axis=2)[:, :, 0])


@pytest.mark.soak
def test_no_check_of_scorers_fails(model):
    """The checks of `rnnlm doctor`, which find what is wrong with others' scores."""
    results = {check.name: check.result for check in checks_of(of_model(model))}
    assert "failed" not in results.values()
    uncheckable = {"bits per byte"} if model.max_rows is None else {"in a batch", "padded"}
    assert {name for name in results if results[name] == "not checked"} <= uncheckable


def is_torch(model) -> bool:
    """Return whether a network is a part of the model."""
    if isinstance(model, AdaptedModel):
        return is_torch(model.model)
    if isinstance(model, Mixture):
        parts = zip(model.parts, model.weights_K, strict=True)
        return any(is_torch(part) and weight for part, weight in parts)
    return isinstance(model, HiddenStateModel | HuggingFaceModel)


def refused(ask, *given, error=TypeError, what):
    with pytest.raises(error, match=what):
        ask(*given)


def test_invalid_ids_states_rows_and_targets_are_refused(model, batch):
    inputs_BT, targets_BT = batch
    state = model.initial_state(len(inputs_BT))
    what = "token ids must be a numpy or torch array of integers with shape \\(B, T\\), not "
    for wrong in (inputs_BT.astype(np.float64), inputs_BT[0], [["the"]], None, "the"):
        refused(model.score, wrong, targets_BT, state, what=what)
        refused(model.predict, wrong, state, what=what)
    what = "the state must be an? .*State of this model, not .*; start from model.initial_state"
    refused(model.score, inputs_BT, targets_BT, None, what=what)
    refused(model.predict, inputs_BT, "state", what=what)
    what = {"error": UsageError, "what": "inputs and targets have different shapes"}
    refused(model.score, inputs_BT, targets_BT[:, 1:], state, **what)
    if model.max_rows is None:
        twice = np.concatenate([inputs_BT, inputs_BT])
        what["what"] = f"inputs have {len(twice)} rows, but the state has {len(inputs_BT)}"
        refused(model.score, twice, twice, state, **what)
        refused(model.predict, twice[:, :1], state, **what)


def test_hidden_states_alone_determine_scores_and_predictions(model, batch):
    if not isinstance(model, HiddenStateModel):
        return
    inputs_BT, targets_BT = batch
    hidden_BTH, after = model.hidden(inputs_BT, model.initial_state(len(inputs_BT)))
    assert hidden_BTH.shape == (*inputs_BT.shape, model.hidden_size)
    plain_BT, also_after = score(model, inputs_BT, targets_BT)
    close(arrays.as_numpy(model.score_hidden(hidden_BTH, targets_BT)), plain_BT)
    close(arrays.as_numpy(model.predict_hidden(hidden_BTH)), predict(model, inputs_BT)[0])
    close(*(score(model, inputs_BT, targets_BT, state)[0] for state in (after, also_after)))


def test_the_state_depends_on_inputs_only_however_read(model, batch):
    inputs_BT, targets_BT = batch
    after = [score(model, inputs_BT, targets_BT)[1], predict(model, inputs_BT)[1]]
    close(*(score(model, inputs_BT, targets_BT, state)[0] for state in after))
    other_BT = np.full_like(targets_BT, model.tokenizer.boundary_id)
    after = [score(model, inputs_BT, targets)[1] for targets in (targets_BT, other_BT)]
    close(*(score(model, inputs_BT, targets_BT, state)[0] for state in after), tolerance=0)


def test_a_state_is_a_value(model, batch):
    inputs_BT, targets_BT = batch
    _, state = score(model, inputs_BT, targets_BT)
    before = {name: array.copy() for name, array in state.to_arrays().items()}
    once, _ = score(model, inputs_BT, targets_BT, state)
    predict(model, inputs_BT, state)
    again, _ = score(model, inputs_BT, targets_BT, state)
    assert np.array_equal(once, again)
    for name, array in state.to_arrays().items():
        assert np.array_equal(array, before[name])


def test_state_rows_are_reordered_repeated_and_dropped(model, batch):
    inputs_BT, targets_BT = batch
    _, state = score(model, inputs_BT, targets_BT)
    whole, _ = score(model, inputs_BT, targets_BT, state)
    several = ([2, 0, 1], [1, 1, 0, 2, 2], [2], np.array([0, 2]))
    for rows in several if model.max_rows != 1 else ([0],):
        part = np.asarray(rows, dtype=np.int64)
        found, _ = score(model, inputs_BT[part], targets_BT[part], state.select(rows))
        close(found, whole[part])
    # the one selected from is as it was
    close(score(model, inputs_BT, targets_BT, state)[0], whole, tolerance=0)


def test_states_are_put_side_by_side(model, batch):
    inputs_BT, targets_BT = batch
    _, state = score(model, inputs_BT, targets_BT)
    whole, _ = score(model, inputs_BT, targets_BT, state)
    if model.max_rows == 1:
        close(score(model, inputs_BT, targets_BT, model.concat_states([state]))[0], whole)
        return
    joined = model.concat_states([state.select([1, 2]), state.select([0]), model.initial_state(1)])
    rows = [1, 2, 0, 0]
    found, _ = score(model, inputs_BT[rows], targets_BT[rows], joined)
    close(found[:3], whole[[1, 2, 0]])
    close(found[3:], score(model, inputs_BT[:1], targets_BT[:1])[0])


def test_a_state_goes_through_arrays(model, batch):
    inputs_BT, targets_BT = batch
    _, state = score(model, inputs_BT, targets_BT)
    stored = state.to_arrays()
    assert {type(name) for name in stored} <= {str}
    assert all(isinstance(array, np.ndarray) for array in stored.values())
    again = model.state_from_arrays({name: array.copy() for name, array in stored.items()})
    close(*(score(model, inputs_BT, targets_BT, each)[0] for each in (state, again)), tolerance=0)


def test_padding_and_other_rows_disturb_nobody(model, batch):
    inputs_BT, targets_BT = batch
    plain, _ = score(model, inputs_BT, targets_BT)
    padded_BT = targets_BT.copy()
    row = len(padded_BT) // 2
    padded_BT[row, 4:] = PADDING
    found, _ = score(model, inputs_BT, padded_BT)
    assert not found[row, 4:].any()
    close(found[row, :4], plain[row, :4])
    close(np.delete(found, row, axis=0), np.delete(plain, row, axis=0))
    for row in range(len(inputs_BT)):
        alone, _ = score(model, inputs_BT[row : row + 1], targets_BT[row : row + 1])
        close(alone[0], plain[row])


def test_numpy_ids_of_any_width_are_taken(model, batch):
    inputs_BT, targets_BT = batch
    plain, _ = score(model, inputs_BT, targets_BT)
    for kind in (np.int32, np.uint16):
        close(score(model, inputs_BT.astype(kind), targets_BT.astype(kind))[0], plain, tolerance=0)
        expected = (len(inputs_BT), 1, model.tokenizer.size)
        assert predict(model, inputs_BT[:, :1].astype(kind))[0].shape == expected


def test_windows_of_any_cutting_give_the_same_scores(model, batch):
    inputs_BT, targets_BT = batch
    whole, _ = score(model, inputs_BT, targets_BT)
    for cuts in ([4], list(range(1, 11)), [3, 10]):
        state, parts = model.initial_state(len(inputs_BT)), []
        windows = (np.split(ids_BT, cuts, axis=1) for ids_BT in batch)
        for inputs, targets in zip(*windows, strict=True):
            part, state = score(model, inputs, targets, state)
            parts.append(part)
        close(np.concatenate(parts, axis=1), whole)
        expected = pytest.approx(sum(part.sum(dtype=np.float64) for part in parts), abs=1e-4)
        assert whole.sum(dtype=np.float64) == expected


def test_parallel_threads_read_to_the_same_bits(case, one_thread_each):
    name, settings, model = case
    is_dynamic = isinstance(model, DynamicEvaluation)
    if SAME_STATE & set(settings) or (is_dynamic and {"output_layer", "loss"} & set(settings)):
        return  # one of them is tried without these settings
    threads = 4
    start = threading.Barrier(threads)

    def read(number: int) -> np.ndarray:
        """Score a line with a word that no other line has."""
        ids = model.tokenizer.encode([f"{LINES[number % 5]} zebra{number}"]).ids.astype(np.int64)
        return score(model, np.roll(ids, 1)[None], ids[None])[0]

    def read_with_others(number: int) -> np.ndarray:
        start.wait()
        return read(number)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(read_with_others, range(threads)))
    for number, logprob_1T in enumerate(found):
        assert np.array_equal(logprob_1T, read(number))


def test_unseen_spelled_words_are_unknown_without_characters(case):
    name, settings, model = case
    if settings.get("tokenizer") != "word":
        return
    lines = ["the zebra sat", "a yak zebra on it", *LINES]
    words = model.tokenizer
    plain, spelled = (each.encode(lines).ids for each in (words, words.spelling()))
    assert (spelled >= model.tokenizer.size).any()
    span = span_scoring.whole_text(plain)
    one, other = (span_scoring.score_spans(model, ids, span) for ids in (plain, spelled))
    assert np.array_equal(one, other)
    close(*(predict(model, ids[None].astype(np.int64))[0] for ids in (plain, spelled)), tolerance=0)


def test_a_saved_model_scores_the_same(case, tmp_path):
    name, settings, model = case
    # not saved: what adapts, as its settings are kept beside the model; a part of a model that is;
    # what another library stores
    if isinstance(model, AdaptedModel | ConditionalModel | HuggingFaceModel):
        return
    manifest = save(tmp_path / "model", model, name, **settings)
    loaded, _ = stored_model.load(tmp_path / "model", "cpu")
    assert loaded.fingerprint == manifest.fingerprint
    assert loaded.tokenizer.fingerprint == model.tokenizer.fingerprint
    text = Lines(LINES).encode(loaded.tokenizer)
    span = span_scoring.whole_text(text.ids)
    found, expected = (span_scoring.score_spans(each, text.ids, span) for each in (loaded, model))
    assert np.array_equal(found, expected)
    for key, array in model.to_arrays().items():
        assert np.array_equal(loaded.to_arrays()[key], array)


def test_two_models_of_one_text_share_their_vocabulary():
    assert len(set({name: fit(name).tokenizer.fingerprint for name in TRAINED}.values())) == 1


def test_model_forgetting_at_boundary_ignores_earlier_text(model, batch):
    inputs_BT, targets_BT = batch
    boundary = np.full((len(inputs_BT), 1), model.tokenizer.boundary_id)
    _, state = score(model, inputs_BT, targets_BT)
    after, _ = score(model, boundary, targets_BT[:, :1], state)
    fresh, _ = score(model, boundary, targets_BT[:, :1])
    assert np.array_equal(after, fresh) or not model.boundary_resets_state
