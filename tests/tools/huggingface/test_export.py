"""Folders that `rnnlm export --hf` writes. Those that transformers loads are held to our models by
exported_program.py, which also runs where rnnlm is not installed."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from rnnlm.errors import OutputError, UsageError
from rnnlm.lm.base.loading import load
from rnnlm.lm.neural.cells import cells
from rnnlm.tools.huggingface import hub, network_rnnlm
from rnnlm.tools.huggingface.export import export
from support import exported_models
from support.tiny_models import fit, save


@pytest.fixture(scope="module")
def lstm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "lstm"
    save(folder, fit("lstm"), "lstm")
    return folder


def test_a_folder_is_complete_and_needs_no_rnnlm(lstm, tmp_path):
    export(lstm, tmp_path / "out")
    files = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert files.keys() >= {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "README.md", "modeling_rnnlm.py", "network_rnnlm.py",
        "steps_rnnlm.py",
    }  # fmt: skip
    for name in ("modeling_rnnlm.py", "network_rnnlm.py", "steps_rnnlm.py"):
        assert "import rnnlm" not in files[name].read_text()
        assert "from rnnlm" not in files[name].read_text()
    # From a local folder, transformers 4 copies only the files that the first one names.
    for name in ("network_rnnlm", "steps_rnnlm"):
        assert f"from .{name} import" in files["modeling_rnnlm.py"].read_text()
    config = json.loads(files["config.json"].read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (0, 0)
    assert config["pad_token_id"] == config["predicted_size"] == config["vocab_size"] - 1
    card = files["README.md"].read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert 'from_pretrained("out", trust_remote_code=True)' in card
    assert "config.json" not in card  # which holds none of rnnlm's settings
    with safe_open(files["model.safetensors"], "np") as weights:
        assert weights.metadata() == {"format": "pt"}  # without it, transformers may refuse them


def test_only_an_earlier_export_is_replaced(lstm, tmp_path):
    export(lstm, tmp_path / "out")
    save(tmp_path / "gru", fit("gru"), "gru")
    with pytest.raises(OutputError, match=r"out.config\.json already exists"):
        export(tmp_path / "gru", tmp_path / "out")
    export(tmp_path / "gru", tmp_path / "out", overwrite=True)
    # A model of ours has a config.json, too.
    before = (lstm / "config.json").read_bytes()
    with pytest.raises(OutputError, match="holds no model for transformers"):
        export(lstm, lstm, overwrite=True)
    assert (lstm / "config.json").read_bytes() == before


def test_cells_that_the_exported_code_lacks_are_refused(lstm, tmp_path, monkeypatch):
    # Whoever adds a cell adds it there, too, or names it here.
    assert network_rnnlm.LAYERS.keys() == cells().keys()
    monkeypatch.delitem(network_rnnlm.LAYERS, "lstm")
    with pytest.raises(UsageError, match="no form for transformers; .* no layers of a lstm"):
        export(lstm, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# What the others differ in, test_network_rnnlm.py and test_tokenizer_export.py hold.
FIRST = {"lstm", "lstm-mixture", "gru-before", "rnn", "qrnn", "lstm-pieces"}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in FIRST else pytest.mark.soak)
    for name in exported_models.MODELS
])  # fmt: skip
def test_transformers_computes_what_ours_does(name, tmp_path):
    pytest.importorskip("transformers")
    program = Path(__file__).with_name("exported_program.py")
    spec = importlib.util.spec_from_file_location("exported_program", program)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    exported_models.export_all(tmp_path, [name])
    module.check(tmp_path / name)
    # The way back: V has no padding, and the probabilities are ours.
    ours = load(tmp_path / "ours" / name)
    with hub.allowing(trust_remote_code=True):
        back = load(f"hf:{tmp_path / name}")
    assert back.tokenizer.size == ours.tokenizer.size
    ids_1T = np.array([[ours.tokenizer.boundary_id, 3, 2]])
    theirs, _ = back.predict(ids_1T, back.initial_state(1))
    wanted, _ = ours.predict(ids_1T, ours.initial_state(1))
    np.testing.assert_allclose(theirs, wanted, atol=1e-4)
