"""The library on a pretended GPU (tests/support/pretended_gpu.py), in processes that have it.

With all other tests, a few kinds of network go round once on it, and its rules are tested. With
`-m soak`, so are all kinds, the commands, the contract, tasks, adaptation, generation and
inspection.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from support import pretended_gpu

ROOT = Path(__file__).parents[2]
needs_it = pytest.mark.skipif(bool(pretended_gpu.why_not()), reason=str(pretended_gpu.why_not()))
ROUND_TRIP = "tests/unit/neural/test_round_trip.py"
RULES = "tests/unit/test_pretended_gpu_rules.py"


@dataclass(frozen=True)
class Part:
    """Tests to run on the pretended device: paths and marks, and how many of them pass at least.

    models_device: where the tiny models of tests/support are trained. It is the CPU where tests
    compare those with copies on the device, or where commands choose the device.
    """

    arguments: str
    fewest: int
    models_device: str = "cuda"


ON_CPU = f"{ROUND_TRIP}::test_a_network_goes_round_on_the_cpu"
ON_CUDA = f"{ROUND_TRIP}::test_a_network_trains_scores_saves_and_resumes[cuda"
PARTS = {
    "networks": Part(f"{ROUND_TRIP} {RULES} --deselect={ON_CPU}", 150, "cpu"),
    "tests of the GPU": Part("-m gpu tests/unit", 150, "cpu"),
    "commands": Part("tests/cli", 1600, "cpu"),
    "contract": Part("-m 'soak or not soak' tests/contract", 2350),
    "tasks": Part("-m 'not gpu' tests/unit/tasks", 600),
    "adaptation": Part("-m 'not gpu' tests/unit/combinations", 200),
    "generation": Part("-m 'not gpu' tests/unit/generation", 220),
    "inspection": Part("-m 'not gpu' tests/unit/inspection", 325),
}

# Tests that cannot hold on the pretended device, by the reason.
UNSUITED = {
    "it asks for NCCL, which a torch for CPUs has not": [
        "tests/unit/neural/fitting/test_one_rank.py::test_one_rank_trains_as_a_process_without_ranks[cuda]",
        "tests/unit/neural/fitting/test_one_rank.py::test_gradients_are_exchanged_where_they_are[cuda]",
    ],
    "it breaks a loop of our own, in whose place a GPU has cuDNN's": [
        "tests/unit/inspection/test_gradcheck.py::test_a_wrong_backward_pass_is_found"
    ],
    "its bounds are for the random numbers of the CPU": [
        "tests/unit/inspection/test_probe.py::test_shuffled_labels_are_at_chance"
    ],
    "texts are drawn in other numbers of rows: on a GPU, always 128": [
        "tests/unit/generation/test_generator.py::test_pieces_without_prompt_start_like_a_line",
        "tests/unit/generation/test_generator.py::test_finished_rows_are_refilled_and_finally_dropped",
        "tests/unit/generation/test_generator.py::test_tiles_keep_one_size_if_row_counts_matter",
    ],
}
LEFT_OUT = [name for names in UNSUITED.values() for name in names]


def run(part: Part, report: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of `part` in a process with the pretended device."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "support.pretended_gpu",
        "-p",
        "no:cacheprovider",
        "-v",
    ]
    command += [f"--deselect={name}" for name in LEFT_OUT]
    command += shlex.split(part.arguments)
    own = {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    own |= {"RNNLM_TEST_DEVICE": part.models_device, pretended_gpu.REPORT: str(report)}
    environment = os.environ | own
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=3000,
    )  # fmt: skip


def passed(ended: subprocess.CompletedProcess[str]) -> Counter[str]:
    """Count how many cases of each test passed."""
    return Counter(re.findall(r"::(test_\w+)\S*.* PASSED ", ended.stdout))


def faults(report: Path) -> list[str]:
    """Return what a real GPU would compute differently."""
    return list(json.loads(report.read_text())["faults"])


# One of each way to take a step: a layer of cuDNN's, output layers, readers of words, labels,
# decoders; a loop of our own that is recorded is among the cells.
FEW_NETWORKS = (
    "awd", "adaptive", "mos", "nce", "characters cnn", "tags, crf",
    "classes", "classes, cnn", "pairs, attention", "pairs, input feeding",
)  # fmt: skip
FEW_CELLS = ("tanh", "coupled gates", "qrnn")


@needs_it
def test_networks_go_round_and_no_step_waits(tmp_path):
    waits = f"{ROUND_TRIP}::test_a_training_step_waits_only_in_listed_places"
    tests = [f"{ON_CUDA}-{name}]" for name in FEW_NETWORKS]
    tests += [f"{waits}[{name}-bf16-auto]" for name in FEW_NETWORKS]
    grow = f"{ROUND_TRIP}::test_cells_whose_operations_grow_with_windows_are_recorded"
    tests += [f"{grow}[{name}]" for name in FEW_CELLS]
    part = Part(shlex.join([*tests, RULES]), 0, "cpu")
    ended = run(part, tmp_path / "report.json")
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert passed(ended).total() >= len(tests) + 30 and "SKIPPED" not in ended.stdout
    assert faults(tmp_path / "report.json") == []


@needs_it
@pytest.mark.soak
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_cpu_checks_hold_on_the_pretended_gpu(part, tmp_path):
    ended = run(part, tmp_path / "report.json")
    assert ended.returncode == 0, ended.stdout[-20_000:]
    assert passed(ended).total() >= part.fewest
    assert faults(tmp_path / "report.json") == []
    assert json.loads((tmp_path / "report.json").read_text())["operations"] > 1000


@needs_it
@pytest.mark.soak
def test_a_program_runs_on_it_too(tmp_path, texts):
    train = f"-m rnnlm train {texts[0]} --valid {texts[1]} -o model --device cuda --budget 3steps"
    command = [sys.executable, ROOT / "tests/support/pretended_gpu.py", *train.split()]
    environment = {**os.environ, pretended_gpu.REPORT: str(tmp_path / "report.json")}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "cuda:0 bf16" in ended.stdout + ended.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["faults"] == {}
    assert any("rnnlm/neural/fitting/state.py" in note for note in report["waits"])


def test_tests_that_are_left_out_are_there():
    for name in LEFT_OUT:
        path, _, function = name.partition("[")[0].partition("::")
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8"), name


@pytest.fixture
def suited(monkeypatch):
    """Pretend a machine and a torch that suit the simulated device, whatever is installed here."""
    wanted = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    monkeypatch.setattr(torch, "__version__", f"{wanted[1]}+cpu")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert pretended_gpu.why_not() is None


ELSEWHERE = {
    "torch": (
        (torch, "__version__", "2.12.1+cpu"),
        "the torch of constraints.txt, .*; this is 2.12.1",
    ),
    "CUDA": ((torch.version, "cuda", "13.0"), "this torch is built for GPUs"),
    "system": (
        (platform, "system", lambda: "Darwin"),
        "made for Linux on x86-64; this is Darwin on",
    ),
    "processor": ((platform, "machine", lambda: "aarch64"), "x86-64; this is Linux on aarch64"),
}


@pytest.mark.skipif(pretended_gpu.STATE.is_on, reason="the device is pretended already")
@pytest.mark.parametrize("change, words", ELSEWHERE.values(), ids=ELSEWHERE)
def test_other_torch_or_machine_is_refused_with_reason(suited, monkeypatch, change, words):
    monkeypatch.setattr(*change)
    with pytest.raises(RuntimeError, match=words):
        pretended_gpu.pretend()
    with pytest.raises(pytest.UsageError, match=words):
        pretended_gpu.pytest_load_initial_conftests()
    assert not pretended_gpu.STATE.is_on
