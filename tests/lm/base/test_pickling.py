"""Models in other processes: as pickles, which hold a path and a fingerprint, and forked."""

import copy
import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import ModelError, UsageError
from rnnlm.lm.base import span_scoring
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from support.tiny_models import LINES, Lines, fit, save

KINDS = {
    "unigram": {}, "ngram": {"order": 3}, "lstm": {},
    "mixture": {"parts": (("ngram", {"order": 2}), ("gru", {})), "weights": (0.4, 0.6)},
}  # fmt: skip
LONGEST_PICKLE = 2000  # bytes: no weights are in it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a saved model for each of KINDS, under its name."""
    folder = tmp_path_factory.mktemp("models")
    for name, settings in KINDS.items():
        save(folder / name, fit(name, **settings), name, **settings)
    return folder


def scores(model) -> np.ndarray:
    ids = Lines(LINES).encode(model.tokenizer).ids
    return span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))


def again(model):
    data = pickle.dumps(model)
    assert len(data) < LONGEST_PICKLE
    return pickle.loads(data)


@pytest.mark.filterwarnings("ignore::rnnlm.RnnlmWarning")
@pytest.mark.parametrize("name", [*KINDS, "ngram+unigram", "lstm+cache", "lstm+dynamic"])
def test_loaded_model_is_unpickled_unchanged_from_any_folder(folder, name, monkeypatch, here):
    monkeypatch.chdir(folder)
    model = rnnlm.load(f"./{name}", "cpu")
    data = pickle.dumps(model)
    assert len(data) < LONGEST_PICKLE
    found = pickle.loads(data)
    assert (found.fingerprint, found.adaptation) == (model.fingerprint, model.adaptation)
    assert np.array_equal(scores(found), scores(model))


@pytest.mark.needs("tools/mixtures")
def test_only_combinations_of_loaded_models_are_picklable(folder):
    from rnnlm.tools.mixtures.adaptation import adapt
    from rnnlm.tools.mixtures.mixture import Mixture

    one, other = rnnlm.load(folder / "ngram", "cpu"), rnnlm.load(folder / "lstm", "cpu")
    mixture = adapt(Mixture([one, other], [0.3, 0.7]), "unigram")
    assert np.array_equal(scores(again(mixture)), scores(mixture))
    what = r"cannot be pickled; it was not loaded from a folder.*save it first"
    for model in (fit("unigram"), adapt(fit("lstm"), "cache"), Mixture([fit("unigram")], [1])):
        with pytest.raises(UsageError, match=what):
            pickle.dumps(model)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy_reflects_the_model_in_memory(folder, copied):
    for model in (rnnlm.load(folder / "lstm", "cpu"), fit("unigram")):
        if isinstance(model, NeuralLanguageModel):
            with torch.no_grad():
                next(model.network.parameters()).mul_(2)
        assert np.array_equal(scores(copied(model)), scores(model))


def test_changed_or_missing_model_is_a_named_error(folder, tmp_path):
    place = shutil.copytree(folder / "unigram", tmp_path / "mine")
    data = pickle.dumps(rnnlm.load(place))
    save(place, fit("unigram", additive_k=3.0), "unigram", additive_k=3.0)
    what = r"mine has changed since it was pickled; its fingerprint was \w{12} and is now \w{12}"
    with pytest.raises(ModelError, match=what):
        pickle.loads(data)
    shutil.rmtree(place)
    with pytest.raises(ModelError, match=r"no model at .*mine"):
        pickle.loads(data)


@pytest.mark.needs("tools/mixtures")
def test_gradient_statistics_must_match_those_in_the_folder(folder, tmp_path):
    from rnnlm.tools.mixtures import adapted_model
    from rnnlm.tools.mixtures.adaptation import adapt
    from rnnlm.tools.mixtures.adapted_model import DynamicSettings
    from rnnlm.tools.mixtures.dynamic_evaluation import gather_statistics

    place = shutil.copytree(folder / "lstm", tmp_path / "mine")
    model = rnnlm.load(place, "cpu")
    statistics = gather_statistics(model, Lines(LINES).encode(model.tokenizer).ids, 3)
    adapted = adapt(model, "dynamic", DynamicSettings(3, "rms", 0.01), statistics)
    arrays = {name: each.numpy() for name, each in statistics.items()}
    adapted_model.save_statistics(place, arrays, model.fingerprint)
    assert np.array_equal(scores(again(adapted)), scores(adapted))
    doubled = {name: 2 * array for name, array in arrays.items()}
    adapted_model.save_statistics(place, doubled, model.fingerprint)
    what = "gradient statistics in .*mine are not those of the model that was pickled"
    with pytest.raises(ModelError, match=what):
        again(adapted)


@pytest.mark.processes
def test_a_spawned_worker_scores_as_its_parent_does(folder):
    model = rnnlm.load(folder / "ngram")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(model.score_sentences, LINES).result(60)
        assert found == model.score_sentences(LINES)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_forked_single_threaded_worker_scores_like_its_parent(folder):
    model = rnnlm.load(folder / "lstm", "cpu")
    expected = rnnlm.Model(model).score_sentences(LINES)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def work():
        torch.set_num_threads(1)
        theirs.send(rnnlm.Model(model).score_sentences(LINES))

    worker = fork.Process(target=work, daemon=True)
    worker.start()
    assert ours.poll(60) and ours.recv() == expected
    worker.join()
