"""Models that are missing, damaged or in the way, devices that are not here, disks that are full:
said in a line each, and nothing that was there before is lost."""

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


def zero_2_kilobytes(folder):
    """Overwrite 2 KB of the embedding with zeros, as a bad disk would. Return the damaged file of
    weights."""
    weights = next(folder.glob("weights-*"))
    data = weights.read_bytes()
    weights.write_bytes(data[:8000] + bytes(2048) + data[10_048:])
    return weights


@pytest.mark.parametrize("command", [
    "eval {text} -m copied", "eval {text} -m copied+cache", "score the -m copied",
    "train {text} --init-from copied -o made",
    "mix copied {other} --weights 0.5,0.5", "compare copied {other} --on {text}",
    "export -m copied --vectors made",
])  # fmt: skip
def test_damaged_weights_never_pass_for_the_intact_model(rnnlm, models, copied, command):
    weights = zero_2_kilobytes(copied)
    ended = rnnlm(*command.format(text=models.valid, other=models.lstm).split())
    _, why, hint = checked_error(ended, 1, "the model at copied is damaged")
    assert why == f"  why: {weights.name} has changed: its SHA-256 does not match the recorded one"
    assert hint.startswith(
        "  try: restore the file from a copy, or rebuild the model; rnnlm doctor"
    )


def test_damaged_parts_are_found(rnnlm, models, copied):
    mixed = rnnlm("mix", "copied", models.lstm, "--weights", "0.5,0.5", "--bundle", "-o", "made")
    assert mixed.code == 0
    zero_2_kilobytes(copied.parent / "made/part-2")
    shown = checked_error(rnnlm("score", "the", "-m", "made"), 1, "the model at ")[1]
    assert "has changed" in shown
    assert "has changed" in rnnlm("doctor", "made").out
