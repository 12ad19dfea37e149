"""Models and runs carried to another machine in compact form."""

import json

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.conversion.compaction import compact
from rnnlm.errors import ModelError, OutputError, UsageError
from rnnlm.models import loading, model_folder, quantization
from rnnlm.training.run import train

SETTINGS = {
    "model": "lstm",
    "hidden_size": 24,
    "embedding_size": 16,
    "batch_rows": 4,
    "device": "cpu",
    "schedule": "constant",
    "warmup": 0.0,
}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n".join(f"the cat number {number % 17} sat on mat {number % 5}" for number in range(200)), encoding="utf-8")
    return path


def run(text, folder, **more):
    list(train(text, output=folder, validate_every_steps=3, **{**SETTINGS, **more}))
    return folder


def test_a_compact_model_is_the_model_with_rounded_weights(text, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization, "MOST_BYTES", 3000)
    monkeypatch.setattr(quantization.divided, "__defaults__", (16, 3000))
    folder = run(text, tmp_path / "run", budget="9steps", learning_rate=0.05)
    sizes = compact(str(folder), tmp_path / "carried")
    weights = [size for name, size in sizes.items() if name.startswith("weights")]
    assert len(weights) > 1 and max(weights) < 3000 + 500
    model, carried = (loading.load(each, "cpu") for each in (folder, tmp_path / "carried"))
    for name, array in model.to_arrays().items():
        np.testing.assert_array_equal(carried.to_arrays()[name], torch.from_numpy(array).bfloat16().float().numpy())
    before, after = (rnnlm.evaluate(each, text).ppl_token for each in (model, carried))
    assert after == pytest.approx(before, rel=0.02) and after != before
    assert not model_folder.damaged_files(tmp_path / "carried", model_folder.read_manifest(tmp_path / "carried"))


def test_with_8_bits_a_model_takes_a_quarter_and_its_card_has_its_own_figures(text, tmp_path):
    folder = run(text, tmp_path / "run", budget="9steps", learning_rate=0.05)
    sizes = compact(str(folder), tmp_path / "small", bits=8, test=text)
    whole = sum(path.stat().st_size for path in folder.glob("weights-*"))
    assert sum(size for name, size in sizes.items() if name.startswith("weights")) < 0.4 * whole
    small = loading.load(tmp_path / "small", "cpu")
    stored = model_folder.read_manifest(tmp_path / "small")
    figures = rnnlm.evaluate(small, text)
    assert stored.results["test"]["ppl_token"] == figures.ppl_token
    assert stored.results["test"]["signature"] == figures.signature
    assert f"{figures.ppl_token:.2f}" in (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert figures.ppl_token == pytest.approx(rnnlm.evaluate(loading.load(folder, "cpu"), text).ppl_token, rel=0.02)
    with pytest.raises(UsageError, match="4 bits"):
        compact(str(folder), tmp_path / "tiny", bits=4)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "asgd", "asgd_start": 3, "learning_rate": 1.0}], ids=str)
def test_a_run_goes_on_from_where_it_was_with_rounded_weights_or_averages(text, tmp_path, settings):
    folder = run(text, tmp_path / "run", budget="10steps", **settings)
    arrays = max((folder / "training").glob("*.safetensors"))
    stored = model_folder.tensor_files.mapped(arrays)
    prefix = "average.0" if settings else "network.input.embedding.weight"
    compact(str(folder), tmp_path / "carried", run=True)
    carried = loading.load(tmp_path / "carried", "cpu").to_arrays()["input.embedding.weight"]
    np.testing.assert_array_equal(carried, torch.from_numpy(np.array(stored[prefix])).bfloat16().float().numpy())
    *_, finished = train(text, output=tmp_path / "carried", resume=True, budget="20steps")
    assert finished.steps == 20
    newest = max((tmp_path / "carried" / "training").glob("*.json"))
    facts = json.loads(newest.read_text(encoding="utf-8"))["facts"]
    assert facts["tokens"] > 0 and facts["averaging"]["count"] == (17 if settings else 0)


def test_what_cannot_be_made_compact_says_so(text, tmp_path):
    folder = run(text, tmp_path / "run", budget="4steps")
    with pytest.raises(OutputError, match="already holds a model"):
        compact(str(folder), folder)
    with pytest.raises(UsageError, match="over itself"):
        compact(str(folder), folder, overwrite=True)
    compact(str(folder), tmp_path / "carried", run=True)
    with pytest.raises(ModelError, match="compact form already"):
        compact(str(tmp_path / "carried"), tmp_path / "again", run=True)
    compact(str(folder), tmp_path / "model")
    with pytest.raises(UsageError, match="nothing to resume"):
        compact(str(tmp_path / "model"), tmp_path / "again", run=True)
    list(train(text, output=tmp_path / "ngram", model="ngram"))
    with pytest.raises(UsageError, match="no compact form"):
        compact(str(tmp_path / "ngram"), tmp_path / "again")


def test_a_missing_part_of_the_weights_is_noticed(text, tmp_path):
    folder = run(text, tmp_path / "run", budget="4steps", resumable=False)
    sizes = compact(str(folder), tmp_path / "carried")
    (tmp_path / "carried" / next(name for name in sizes if name.startswith("weights"))).unlink()
    with pytest.raises(ModelError, match="missing"):
        loading.load(tmp_path / "carried", "cpu")
