"""The scripts that compare with others: each runs, and the plain loop has our network."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmError
from rnnlm.lm.neural.network import make_network
from support.networks import network_settings

HERE = Path(__file__).parent
TINY = ("hidden_size=8", "embedding_size=8", "batch_rows=4", "precision=fp32")
V = 13
AWD = {
    "embedding_size": 6, "layers": 2, "layer_sizes": "10,6", "weight_drop": 0.5,
    "dropout_embedding": 0.4, "dropout_input": 0.4, "dropout_between": 0.4,
    "dropout_output": 0.4, "locked_dropout": True, "activation_penalty": 2.0,
    "temporal_penalty": 3.0,
}  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    """Return a function that imports a script of this folder."""
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module


@pytest.fixture
def run(script, capsys):
    """Return a function that runs a script in this process. It returns what is printed."""

    def run(name, *arguments):
        script(name).main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return run


@pytest.fixture
def training(script):
    return script("training")


GATES = "coupled_gates=false"  # torch has no coupled ones


@pytest.mark.parametrize("recipe, settings, has_plain", [
    ("lstm", (GATES,), True), ("lstm", (GATES, "weight_drop=0.5"), True), ("ffnn", (), False),
])  # fmt: skip
def test_training_takes_turns_with_a_plain_loop(run, models, recipe, settings, has_plain):
    assigned = [f"--set={setting}" for setting in (*TINY, *settings)]
    brief = ("--rounds", 1, "--steps", 2, "--json")
    measured = json.loads(run("training", models.text, "--recipe", recipe, *assigned, *brief))
    assert measured["tokens_per_second"] > 0
    assert (measured["ratio_plain"] is not None) == has_plain


def test_models_without_training_loop_are_refused(run, models):
    with pytest.raises(RnnlmError, match="a unigram has no training loop to time"):
        run("training", models.text, "--recipe", "unigram")


def test_weight_drop_network_without_dropping_is_ours(training):
    torch.manual_seed(1)
    shape = network_settings("lstm", **AWD)
    counts_V = np.ones(V)
    tokenizer = SimpleNamespace(size=V, input_size=V, unk_id=None, counts_V=counts_V, spells=False)
    theirs, ours = training.WeightDropNetwork(shape, V).eval(), make_network(shape, tokenizer)
    with torch.no_grad():
        ours.input.weight.copy_(theirs.embedding.weight)
        ours.output.bias.copy_(theirs.decoder.bias)
        for layer, other in zip(ours.body.layers, theirs.layers, strict=True):
            layer.weight_ih.copy_(other.kernel.weight_ih_l0)
            layer.weight_hh.copy_(other.raw)
            layer.bias_ih.copy_(other.kernel.bias_ih_l0 + other.kernel.bias_hh_l0)
    ours.eval()
    inputs_TB = torch.randint(V, (5, 3))
    states, state = None, ours.initial_state(3)
    for _ in range(2):
        logits_TBV, _, states = theirs(inputs_TB, states)
        expected_TBV, state = ours.predict(inputs_TB, state)
        torch.testing.assert_close(
            logits_TBV.log_softmax(dim=2), expected_TBV, atol=1e-5, rtol=1e-5
        )


def test_only_layers_that_torch_has_are_compared(training):
    assert training.is_in_torch(network_settings("lstm", **AWD))
    assert training.is_in_torch(network_settings("rnn", activation="relu"))
    for model, settings in (
        ("lstm", AWD | {"weight_drop": 0.0}), ("lstm", {"peepholes": True}),
        ("gru", {"reset_gate": "before"}), ("lstm", {"output_layer": "mos"}),
        ("lstm", {"characters": "cnn"}), ("ffnn", {}), ("qrnn", {}),
    ):  # fmt: skip
        assert not training.is_in_torch(network_settings(model, **settings)), settings


def test_scoring_agrees_with_torchs_lstm(run, models):
    out = run("scoring", models.text, "-m", models.lstm, "--lines", 9, "--rounds", 1)
    assert float(out.splitlines()[-1].split()[2]) < 1e-3


@pytest.mark.system("posix")
def test_ngrams_take_turns_with_the_programs_named(run, models, tmp_path):
    takes_files = 'while [ "$1" != --arpa ]; do shift; done\necho arpa > "$2"'
    programs = {
        "lmplz": f'echo "$@" > {tmp_path}/called\n{takes_files}',
        "build_binary": '[ "$(cat "$1")" = arpa ] && echo binary > "$2"',
        "query": 'cat > /dev/null; echo "Perplexity including OOVs:\t12.5"',
    }
    named = []
    for name, content in programs.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{content}\n")
        path.chmod(0o755)
        named += [f"--{name.replace('_', '-')}", path]
    out = run("ngrams", models.text, *named, "--order", 2, "--rounds", 1)
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["rnnlm", "KenLM", "ratio"]
    assert [row[0] for row in rows[1:]] == ["train", "eval", "perplexity"]
    assert rows[3][2] == "12.500"
    assert (tmp_path / "called").read_text().startswith("-o 2 -S 400M -T ")
