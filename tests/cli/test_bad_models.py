"""Models that are missing, devices that are not here: said in a line each, and nothing that was
there before is lost."""

import pytest
import torch

from support.failures import checked_error, fingerprint

TINY = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--precision", "fp32")
SHORT = (*TINY, "--budget", "2steps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("command", ["train", "eval", "score", "generate"])
def test_cuda_without_a_cuda_device(rnnlm, models, copied, command):
    before = fingerprint(copied)
    arguments = {
        "train": ["train", models.text, *SHORT, "-o", copied, "--overwrite"],
        "eval": ["eval", "-m", models.lstm, models.valid],
        "score": ["score", "-m", models.lstm, "the man"],
        "generate": ["generate", "-m", models.lstm],
    }[command]
    lines = checked_error(rnnlm(*arguments, "--device", "cuda"), 1, "device cuda is not available")
    assert lines[-1] == "  try: use --device cpu or auto"
    assert fingerprint(copied) == before


@pytest.mark.parametrize("name, what, why", [
    ("nothere", "no model named 'nothere'", ""),
    ("no/where", "no model at no/where", "there is no such folder"),
    ("empty", "no model at empty", "holds no config.json"),
    ("a.txt", "no model at a.txt", "it is a file"),
])  # fmt: skip
@pytest.mark.parametrize("command", [
    ["score", "x"], ["info"], ["generate"], ["eval", "a.txt"],
    ["train", "a.txt", "--tokenizer-from"],
])  # fmt: skip
def test_models_that_are_none(rnnlm, here, name, what, why, command):
    (here / "empty").mkdir()
    (here / "a.txt").write_text("the man\n")
    named = [*command, name] if command[0] == "train" else [*command, "-m", name]
    assert why in checked_error(rnnlm(*named), 1, what)[1]
