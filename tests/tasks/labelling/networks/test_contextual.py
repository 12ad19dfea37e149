"""Networks of tasks that read the layers of language models, which stay as they are."""

import itertools
import shutil
import warnings

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.lm.base import loading, stored_model
from rnnlm.runs import train
from rnnlm.storage import model_folder
from rnnlm.tasks.labelling.model import predict
from rnnlm.tasks.labelling.networks.contextual import FrozenModels, LayerMixture
from rnnlm.tasks.labelling.settings import TaggingSettings
from support.random_language_models import SUBWORDS, language_model
from support.tiny_tasks import TRAIN, VALID, columns, small, table

TEXTS = [["show", "flights", "from", "new", "york"], ["fly"], ["what", "costs", "unheard", "it"]]
VARIANTS = {
    "words": {}, "subwords": {"tokenizer": SUBWORDS},
    "residual": {"model": "gru", "connections": "residual", "layers": 3},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_word_is_read_after_its_last_token(tmp_path, variant):
    model = language_model(tmp_path / "m", **VARIANTS[variant])
    beside = FrozenModels([model], ["m"])
    found_TBX = beside.read(beside.encode(TEXTS).encoded, np.array([2, 0, 1]))
    for row, words in enumerate([TEXTS[2], TEXTS[0], TEXTS[1]]):
        ids = model.tokenizer.encode([" ".join(words)]).ids[:-1]
        with torch.no_grad():
            read = torch.tensor([[model.tokenizer.boundary_id, *ids.tolist()]]).t()
            trace = model.network.trace(read, model.network.initial_state(1))
        lengths = [len(model.tokenizer.encode([word]).ids) - 1 for word in words]
        at = np.cumsum(lengths)
        layers = [trace.layers[0].inputs_TBE, *(layer.hidden_TBH for layer in trace.layers)]
        wanted_TX = torch.cat([layer[:, 0] for layer in layers], dim=1)[torch.from_numpy(at)]
        assert torch.allclose(found_TBX[: len(words), row], wanted_TX, atol=1e-6)
        assert not found_TBX[len(words) :, row].any()


def test_a_mixture_weighs_the_projected_layers():
    settings = TaggingSettings(context_models="0123456789ab:3+2,ba9876543210:4", context_size=5)
    mixture = LayerMixture(settings)
    with torch.no_grad():
        for weight in mixture.parameters():
            weight.normal_()
    states = torch.randn(2, 1, 9)
    first, second, third = states[..., :3], states[..., 3:5], states[..., 5:]
    (p, q), (r,) = mixture.projections
    s, t = mixture.scores[0].exp() / mixture.scores[0].exp().sum()
    of_first = mixture.gammas[0] * (s * first @ p.weight.T + t * second @ q.weight.T)
    wanted = torch.cat([of_first, mixture.gammas[1] * third @ r.weight.T], dim=2)
    assert torch.allclose(mixture(states), wanted, atol=1e-6)


def trained(tmp_path, folder, stop=lambda: False, names=("f", "r"), **given):
    """Train a tagger of slots that reads both language models, and return its model folder."""
    files = [tmp_path / "train.conll", tmp_path / "valid.conll"]
    for file, rows in zip(files, (TRAIN, VALID), strict=True):
        if not file.exists():
            file.write_text(columns(rows), encoding="utf-8")
    settings = small("tagging", **given)
    settings |= {"context_size": 4, "budget": "9steps", "validate_every_steps": 4}
    contextual = [str(tmp_path / name) for name in names]
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        its = {"task": "tagging", "format": "columns", "contextual": contextual, **settings}
        list(train(files[0], valid=files[1], output=tmp_path / folder, stop=stop, **its))
    return tmp_path / folder


@pytest.fixture
def language_models(tmp_path):
    settings = {"f": {"tokenizer": SUBWORDS}, "r": {"model": "gru"}}
    return [language_model(tmp_path / name, **its) for name, its in settings.items()]


@pytest.mark.parametrize(
    "tokenizer", [{}, {"tokenizer": "sentencepiece", "vocab_size": 300, "characters": None}]
)
def test_language_models_stay_unchanged_and_texts_read_independently(
    tmp_path, language_models, tokenizer
):
    folder = trained(tmp_path, "tagger", **tokenizer)
    for name in "fr":
        shutil.rmtree(tmp_path / name)
    model = loading.load(folder, "cpu")
    for before, after in zip(language_models, model.codec.beside.models, strict=True):
        np.testing.assert_equal(after.to_arrays(), before.to_arrays())
    assert not any("beside" in name or "models" in name for name in model.to_arrays())
    expected = [str(tmp_path / name) for name in "fr"]
    assert model_folder.read_manifest(folder).training["contextual"] == expected
    for words, (together,) in zip(TEXTS, predict(model, TEXTS), strict=True):
        ((alone,),) = predict(model, [words])
        assert alone.best[0].labels == together.best[0].labels
        assert abs(alone.best[0].logprob_nats - together.best[0].logprob_nats) < 1e-5


@pytest.mark.parametrize("model", ["lstm", "bag", "cnn"])
def test_classifiers_read_language_models_too(tmp_path, language_models, model):
    (tmp_path / "train.tsv").write_text(table(TRAIN), encoding="utf-8")
    given = {**small("classification"), "context_size": 4, "budget": "2steps", "holdout": 0.2}
    names = [str(tmp_path / name) for name in "fr"]
    given |= {"task": "classification", "model": model, "contextual": names}
    *_, finished = train(tmp_path / "train.tsv", output=tmp_path / "model", **given)
    read = loading.load(finished.folder, "cpu")
    together = [found.p_TK for (found,) in predict(read, TEXTS)]
    for words, p_1K in zip(TEXTS, together, strict=True):
        ((alone,),) = predict(read, [words])
        assert np.allclose(alone.p_TK, p_1K, atol=1e-6)
    with torch.no_grad():
        read.network.context.gammas.zero_()
    assert not np.allclose(predict(read, TEXTS)[0][0].p_TK, together[0], atol=1e-6)


def test_a_run_with_unfreezing_layers_resumes_exactly(tmp_path, language_models):
    given = {"layers": 2, "unfreeze": "epoch", "rate_decay_by_layer": 2.6}
    whole = trained(tmp_path, "whole", **given)
    steps = itertools.count(1)
    trained(tmp_path, "cut", stop=lambda: next(steps) > 7, **given)
    cut = trained(tmp_path, "cut", **given)
    one, other = (stored_model.load(folder, "cpu")[0].to_arrays() for folder in (whole, cut))
    assert all(np.array_equal(array, other[name]) for name, array in one.items())


def test_states_too_large_for_memory_are_read_again(tmp_path, language_models, monkeypatch):
    kept = loading.load(trained(tmp_path, "kept"), "cpu")
    monkeypatch.setattr("rnnlm.tasks.labelling.networks.contextual.CACHE_BYTES", 0)
    read_again = loading.load(trained(tmp_path, "again"), "cpu")
    for name, array in kept.to_arrays().items():
        assert np.allclose(array, read_again.to_arrays()[name], atol=2e-2)


def test_what_cannot_be_read_is_refused(tmp_path, language_models, tagger):
    with pytest.raises(UsageError, match="is not a language model"):
        trained(tmp_path, "new", names=(str(tagger.folder),))
    language_model(tmp_path / "window", model="ffnn", hidden_size=4, layers=None)
    with pytest.raises(UsageError, match="no recurrent layers"):
        trained(tmp_path, "new", names=("window",))
    with pytest.raises(UsageError, match="context_models cannot be set directly"):
        trained(tmp_path, "new", names=(), context_models="0123456789ab:3")
    with pytest.raises(UsageError, match="`contextual` needs `task` tagging or classification"):
        list(train(tmp_path / "train.conll", contextual="f"))
