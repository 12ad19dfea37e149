"""The script for machines with a GPU: its parts, what it keeps of them, how it goes on, and where
its figures go.

Most tests let it call a program that only writes down what it is asked and answers from files.
"""

import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from rnnlm.recipes import recipe as overview
from rnnlm.recipes.recipe import parse

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "gpu"
CARD = {"card": "CARD", "torch": "2.13", "cuda": "13.0", "cudnn": 90000}

# Answers with the file that is called like the command: its status on the first line, then what it
# prints.
STAND_IN = """#!/bin/sh
echo "$@" >> "$ANSWERS/calls"
case "$2 $3 $4" in
pytest*--collect-only*) answer=collect ;;
pytest*) answer=pytest ;;
"rnnlm bench train") answer=bench ;;
"rnnlm train"*) answer=train ;;
esac
sed 1d "$ANSWERS/$answer"
exit "$(head -n 1 "$ANSWERS/$answer")"
"""
SPEED = {"tokens_per_second": 412_345.6, "ratio_plain": 1.314, "kernel_share": 0.9}
VALID = {"tokens": 100, "ppl_token": 61.234, "ppl_token_no_oov": 58.1, "signature": "s"}
TRAINED = {"stopped": "budget", "steps": 900, "seconds": 246.0, "results": {"valid": VALID}}
CUT = {"stopped": "request", "steps": 300, "seconds": 80.0, "results": {}}
PASSED = "tests/unit/x.py::test_a PASSED [ 50%]"
FAILED = "tests/unit/x.py::test_b[two words] FAILED [100%]"


def loaded():
    """Load the script as a module; its name has no suffix."""
    loader = importlib.machinery.SourceFileLoader("gpu_script", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_script", loader))
    sys.modules["gpu_script"] = module  # where its dataclasses look for it
    loader.exec_module(module)
    return module


gpu = loaded()
packages, figures_of = gpu.gpu_packages, gpu.gpu_figures


class Machine:
    """A machine with a card, on which each command answers as a test says."""

    def __init__(self, folder):
        self.folder, self.figures = folder, folder / "gpu.json"
        self.python = folder / "python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        self.answer("pytest", 0, PASSED)
        self.answer("collect", 0, "")
        self.answer("bench", 0, json.dumps(SPEED))
        self.answer("train", 0, json.dumps(TRAINED))

    def answer(self, command, status, printed):
        (self.folder / command).write_text(f"{status}\n{printed}\n")

    def run(self, *arguments):
        """Call the script. Return its exit status and the commands that it has called."""
        calls = self.folder / "calls"
        calls.write_text("")
        status = gpu.main(
            [*arguments, "--figures", str(self.figures), "--output", str(self.folder / "model")]
        )
        return status, calls.read_text().splitlines()

    def steps(self, card="CARD"):
        return json.loads(self.figures.read_text())[card]["steps"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSWERS", str(tmp_path))
    machine = Machine(tmp_path)
    monkeypatch.setattr(packages, "prepared_python", lambda options: str(machine.python))
    monkeypatch.setattr(gpu, "look_at_device", lambda python, device: dict(CARD))
    monkeypatch.setattr(gpu, "files_with_gpu_tests", lambda: ["tests/unit/x.py", "tests/unit/y.py"])
    monkeypatch.setattr(gpu, "FEW_LAUNCHES", ("awd-lstm-fast",))
    monkeypatch.setattr(gpu, "INPUT_FEEDING", ())
    monkeypatch.setattr(gpu, "OWN_LOOPS", (("gru", {"reset_gate": "before"}),))
    return machine


# ---- how it is called


def test_script_is_executable_and_shows_usage():
    assert os.access(SCRIPT, os.X_OK) and SCRIPT.read_text().startswith("#!/usr/bin/env python3\n")
    ended = subprocess.run([sys.executable, SCRIPT, "nonsense"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert (
        "usage: .ci/gpu" in ended.stderr
        and "the parts are checks, ranks, speed, train" in ended.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--train", "x.txt"], '--on the name of the second: "PTB valid"'),
        (["--train", "no.txt", "--valid", "no.txt", "--on", "PTB valid"], "there is no file"),
        (["--minutes", "0"], "--minutes takes a number above 0"),
        (["--recipe", "none-such"], "there is no recipe 'none-such'"),
        (["--set", "layers"], "--set takes NAME=VALUE"),
        (["fill", "--python", "3"], "--python takes a version"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        gpu.main(arguments)
    assert ended.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_words_that_no_step_has_are_an_error(machine):
    with pytest.raises(gpu.Failure, match=r"no step has 'nix' in its name; leave --only out"):
        machine.run("--only", "nix")


# ---- its parts


def test_it_checks_then_times_then_trains(machine):
    status, calls = machine.run("--steps", "7")
    tests = "-m pytest -v --tb=short -p no:cacheprovider -m gpu"
    bench = "-m rnnlm bench train --recipe"
    given = "--set device=cuda --rounds 3 --steps 7 --json"
    before = f"{bench} gru --set reset_gate=before"
    assert status == 0
    assert calls == [
        f"{tests} tests/unit/x.py",
        f"{tests} tests/unit/y.py",
        f"{tests} tests/unit/neural/fitting/test_one_rank.py",
        f"{bench} awd-lstm-fast --set precision=bf16 {given}",
        f"{bench} awd-lstm-fast --set precision=fp32 {given}",
        f"{before} --set precision=bf16 {given}",
        f"{before} --set precision=fp32 {given}",
        f"{before} --set cuda_graphs=false --set precision=bf16 {given}",
        f"{before} --set cuda_graphs=false --set precision=fp32 {given}",
        (
            f"-m rnnlm train -o {machine.folder}/model --recipe awd-lstm-fast --device cuda "
            "--resume auto --json"
        ),
    ]


def test_part_can_run_alone_and_on_another_text(machine):
    for name in ("a.txt", "b.txt"):
        (machine.folder / name).touch()
    text, valid = str(machine.folder / "a.txt"), str(machine.folder / "b.txt")
    _, calls = machine.run("train", "--train", text, "--valid", valid, "--on", "PTB valid", "speed")
    assert f"-m rnnlm bench train {text} --recipe awd-lstm-fast" in calls[0] and len(calls) == 7
    assert f"-m rnnlm train {text} --valid {valid} -o " in calls[-1]

    entry = machine.steps()["train awd-lstm-fast on PTB valid"]
    assert (entry["on"], entry["ppl_token"], entry["minutes"]) == ("PTB valid", 61.234, 4.1)
    assert machine.steps()["speed awd-lstm-fast bf16 on PTB"]["on"] == "PTB"


def test_every_file_with_gpu_tests_is_checked(request):
    """pytest finds them in its own way: where this file is run alone, in a process of its own."""
    items = request.session.items
    if {item.path for item in items} >= {ROOT / name for name in gpu.files_with_gpu_tests()}:
        marked = [item for item in items if item.get_closest_marker("gpu")]
        files = {item.path.relative_to(ROOT).as_posix() for item in marked}
    else:
        called = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu"]
        called += ["-p", "no:cacheprovider", "tests"]
        listed = subprocess.run(called, cwd=ROOT, capture_output=True, text=True).stdout
        files = {line.partition("::")[0] for line in listed.splitlines() if "::" in line}
    assert files - {gpu.RANKS} == set(gpu.files_with_gpu_tests())
    assert gpu.RANKS not in gpu.files_with_gpu_tests()


def test_encoder_decoders_are_timed_by_form_and_precision(machine, monkeypatch):
    monkeypatch.setattr(gpu, "INPUT_FEEDING", ("true", "false"))
    _, calls = machine.run("speed", "--only", "seq2seq")
    assert [re.findall(r"input_feeding=(\w+) --set precision=(\w+)",
                       call)[0] for call in calls] == [
        ("true", "bf16"), ("true", "fp32"), ("false", "bf16"), ("false", "fp32"),
    ]  # fmt: skip
    assert all(
        call.startswith("-m rnnlm bench train --task seq2seq") and call.endswith("--json")
        for call in calls
    )


def test_trial_with_other_settings_is_a_separate_run(machine):
    for settings in ([], ["hidden_size=8"]):
        options = gpu.run_options(
            ["train", *(word for each in settings for word in ("--set", each))]
        )
        (step,) = gpu.steps_of("train", options)
        assert step.name == " ".join(["train awd-lstm-fast", *settings])
        assert step.command[step.command.index("-o") + 1].endswith(
            "-".join(["gpu-awd-lstm-fast-bundled", *settings])
        )


def test_training_cut_off_during_validation_is_unfinished():
    finished = {"stopped": "budget", "seconds": 60, "steps": 9, "results": {}}
    ended = gpu.Ended(130, json.dumps(finished), 5.0, was_cut_off=True)
    assert gpu.outcome_of_training(ended) == {"outcome": "cut off", "steps": 9}


def test_an_environment_of_another_machine_is_no_traceback(tmp_path):
    found = packages.inventory(tmp_path / "bin" / "python")
    assert found["rnnlm"] is None and "No such file" in found["why"]


def test_recipes_timed_for_speed_are_networks_with_files():
    for recipe in {*gpu.FEW_LAUNCHES, *(recipe for recipe, _ in gpu.OWN_LOOPS)}:
        settings = tomllib.loads((ROOT / "rnnlm" / "recipes" / f"{recipe}.toml").read_text())
        assert (
            settings["model"] in ("ffnn", "rnn", "gru", "lstm", "qrnn") and "task" not in settings
        )


# ---- what goes wrong


def test_failing_check_fails_the_script_after_other_parts(machine, capsys):
    machine.answer("pytest", 1, f"{PASSED}\n{FAILED}")
    status, calls = machine.run()
    assert status == 1 and len(calls) == 10
    entry = machine.steps()["checks tests/unit/x.py"]
    assert (entry["outcome"], entry["passed"], entry["failed"]) == ("failed", 1, 1)
    assert entry["failed_tests"] == ["tests/unit/x.py::test_b[two words]"]
    said = capsys.readouterr().out
    assert f"    {FAILED}" in said and "3 failed, 0 left; failed: checks tests/unit/x.py" in said


def test_all_skipped_checks_are_a_failure_on_gpu(machine):
    machine.answer("pytest", 0, PASSED.replace("PASSED", "SKIPPED (needs a CUDA device)"))
    assert machine.run("checks")[0] == 1
    assert machine.steps()["checks tests/unit/x.py"]["why"] == "no test ran"
    assert machine.run("checks", "--again", "--device", "cpu")[0] == 0


@pytest.mark.parametrize("command", ["bench", "train"])
def test_failing_command_is_a_failure_with_its_reason(machine, command):
    machine.answer(command, 1, "error: no room on the card\n  try: a smaller one")
    status, calls = machine.run()
    assert status == 1 and len(calls) == 10
    assert "no room on the card" in [entry.get("why") for entry in machine.steps().values()]


def test_training_whose_time_is_over_has_not_failed(machine, monkeypatch, capsys):
    def cut_off(command, log, seconds, reserve):
        log.parent.mkdir(exist_ok=True)
        return gpu.Ended(130, f"step 300: checkpoint\n{json.dumps(CUT)}", 1.0, was_cut_off=True)

    monkeypatch.setattr(gpu, "run_command", cut_off)
    assert machine.run("train")[0] == 0
    assert "cut off after 1 s, after 300 steps of training" in capsys.readouterr().out
    # nobody asked for that
    assert gpu.outcome_of_training(gpu.Ended(130, "", 1.0))["outcome"] == "failed"


def test_command_is_asked_to_end_when_time_expires(tmp_path):
    waits = "trap 'echo in order; exit 130' INT; echo begun; while :; do sleep 0.05; done"
    ended = gpu.run_command(["sh", "-c", waits], tmp_path / "log", 0.3, 10)
    assert (ended.status, ended.was_cut_off, ended.printed) == (130, True, "begun\nin order\n")
    assert (tmp_path / "log").read_text() == ended.printed

    deaf = gpu.run_command(["sh", "-c", "trap '' INT; exec sleep 60"], tmp_path / "log", 0.2, 0.2)
    assert deaf.status == -signal.SIGKILL and deaf.was_cut_off and deaf.seconds < 10


def test_ctrl_c_keeps_results_and_starts_nothing_more(machine, monkeypatch):
    def interrupted(command, log, seconds, reserve):
        log.parent.mkdir(exist_ok=True)
        return gpu.Ended(130, json.dumps(CUT), 1.0, was_cut_off=True, was_interrupted=True)

    monkeypatch.setattr(gpu, "run_command", interrupted)
    assert machine.run("train", "speed")[0] == 130
    assert [entry["outcome"] for entry in machine.steps().values()] == ["cut off"]


# ---- going on


def test_finished_steps_are_not_repeated_unless_requested(machine, capsys):
    machine.run()
    assert machine.run() == (0, [])
    assert "skipping 6 of 6 finished steps" in capsys.readouterr().out
    status, calls = machine.run("train", "--again")
    assert status == 0 and calls[0].endswith("--device cuda --overwrite --json")


def test_next_call_resumes_after_time_runs_out(machine, capsys):
    _, calls = machine.run("checks", "--minutes", "0.01")
    assert len(calls) == 1
    assert (
        "1 done, 0 failed, 1 left; run the same command again to resume" in capsys.readouterr().out
    )
    _, calls = machine.run("checks", "--minutes", "0.01")
    assert [call.rpartition(" ")[2] for call in calls] == ["tests/unit/y.py"]


def test_failed_checks_rerun_without_tests_that_passed(machine):
    machine.answer("pytest", 1, f"{PASSED}\n{FAILED}")
    machine.run("checks", "--only", "x.py")
    machine.answer(
        "collect", 0, "tests/unit/x.py::test_a\ntests/unit/x.py::test_b[two words]\n2 tests"
    )
    machine.answer("pytest", 0, FAILED.replace("FAILED", "PASSED"))
    status, calls = machine.run("checks", "--only", "x.py")
    assert status == 0 and calls[-1].endswith("-m gpu tests/unit/x.py::test_b[two words]")
    entry = machine.steps()["checks tests/unit/x.py"]
    assert (entry["outcome"], entry["passed"], entry["failed"]) == ("passed", 2, 0)


def test_changed_code_reruns_checks_and_speeds_not_training(machine, monkeypatch):
    machine.run()
    monkeypatch.setattr(gpu, "code_of", lambda *folders: "mended")
    status, calls = machine.run()
    assert status == 0 and len(calls) == 9 and not [call for call in calls if "rnnlm train" in call]
    assert machine.run() == (0, [])


def test_missing_figures_come_before_those_of_other_code(machine, monkeypatch):
    machine.run("speed", "--only", "bf16")
    monkeypatch.setattr(gpu, "code_of", lambda *folders: "mended")
    _, calls = machine.run("speed")
    assert ["precision=fp32" in call for call in calls] == [True] * 3 + [False] * 3


def test_figures_of_another_card_are_kept_apart(machine, monkeypatch):
    machine.run("speed")
    monkeypatch.setattr(gpu, "look_at_device", lambda python, device: CARD | {"card": "OTHER"})
    _, calls = machine.run("speed")
    assert len(calls) == 6 and machine.steps("CARD").keys() == machine.steps("OTHER").keys()


def test_file_without_figures_is_refused_and_kept(machine):
    machine.figures.write_text('{"some": "thing"}')
    with pytest.raises(gpu.Failure, match="is not a results file; move it away"):
        machine.run()
    assert machine.figures.read_text() == '{"some": "thing"}'


# ---- the real commands


def test_what_it_calls_times_and_trains(rnnlm, models, tmp_path):
    texts = ["--train", str(models.text), "--valid", str(models.valid), "--on", "PTB valid"]
    tiny = [
        word for setting in ("hidden_size=8", "embedding_size=8") for word in ("--set", setting)
    ]
    there = ["--recipe", "lstm", "--output", str(tmp_path / "m"), "--device", "cpu", "--steps", "1"]
    options = gpu.run_options([*texts, *tiny, *there, "--set", "budget=2steps"])

    timing = next(step for step in gpu.speeds(options) if step.name.startswith("speed lstm fp32"))
    told = rnnlm(*timing.command[1:])
    outcome = gpu.outcome_of_speed(gpu.Ended(told.code, told.err + told.out, 1.0))
    assert (
        outcome["outcome"] == "done"
        and outcome["tokens_per_second"] > 0
        and outcome["ratio_plain"] > 0
    )

    for _ in range(2):  # one that is over says so again
        told = rnnlm(*gpu.training(options).command[1:])
        outcome = gpu.outcome_of_training(gpu.Ended(told.code, told.err + told.out, 1.0))
        assert (
            outcome["outcome"] == "done"
            and outcome["stopped"] == "budget"
            and outcome["ppl_token"] > 1
        )


def test_what_pytest_prints_is_understood(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('x', ['a b', 'c'])\n"
        "def test_some(x): assert x == 'c'\n"
        "@pytest.mark.skip(reason='needs (one)')\n"
        "def test_none(): pass\n"
        "@pytest.fixture\n"
        "def broken(): yield 1; raise OSError\n"
        "def test_late(broken): pass\n"
    )
    command = gpu.check("checks", "tests/test_x.py").command
    called = [sys.executable, "-m", *[word for word in command if word not in ("-m", "gpu")]]
    ended = subprocess.run(
        called, cwd=tmp_path, env=gpu.environment(), capture_output=True, text=True
    )
    outcome = gpu.outcome_of_tests(gpu.Ended(ended.returncode, ended.stdout, 1.0), [], "cuda")
    assert outcome["outcome"] == "failed" and (outcome["passed"], outcome["skipped"]) == (1, 1)
    assert outcome["passed_tests"] == ["tests/test_x.py::test_some[c]"]
    assert outcome["failed_tests"] == [
        "tests/test_x.py::test_some[a b]",
        "tests/test_x.py::test_late",
    ]


def test_missing_device_is_reported_in_one_line(tmp_path):
    python = tmp_path / "python"
    for said, message in (
        (
            "torch 2.13 finds no device",
            "--device cuda does not work: torch 2.13 finds no device; run it where",
        ),
        (
            "ModuleNotFoundError: No module named 'torch'",
            "has no torch; call .ci/gpu with the Python that has it",
        ),
    ):
        python.write_text(f'#!/bin/sh\necho "Traceback" >&2\necho "{said}" >&2\nexit 1\n')
        python.chmod(0o755)
        with pytest.raises(gpu.Failure, match=re.escape(message)):
            gpu.look_at_device(python, "cuda")
    assert gpu.look_at_device(sys.executable, "cpu")["card"] == "CPU"


# ---- packages


def test_installed_requirements_exclude_torch_but_include_build_tools():
    names = [packages.name_in(line) for line in packages.requirements()]
    assert {"numpy", "click", "pytest", "hypothesis"} <= set(names) and "torch" not in names
    assert not [line for line in packages.pinned(without=("torch",)) if line.startswith("torch==")]


def test_virtual_environment_sees_machine_packages_behind_its_own(tmp_path, monkeypatch):
    """The machine's Python may itself be one, whose packages --system-site-packages would miss."""
    site = tmp_path / "machine" / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "only_there.py").write_text("")
    (site / "twice.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(ROOT / ".ci"), str(site), "/usr/lib/python3"])
    assert packages.package_folders() == [str(site)]

    packages.make_venv(tmp_path / "venv")
    (own,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    (own / "twice.py").write_text("")
    python = tmp_path / "venv" / "bin" / "python"
    shows = "import only_there, twice; print(only_there.__file__, twice.__file__)"
    ended = subprocess.run([python, "-c", shows], capture_output=True, text=True, cwd=tmp_path)
    assert ended.stdout.split() == [str(site / "only_there.py"), str(own / "twice.py")]


def test_existing_rnnlm_is_used_and_missing_one_installed(tmp_path, monkeypatch):
    assert packages.prepared_python(SimpleNamespace(wheels=None)) == sys.executable

    # A Python without it: rnnlm goes into an environment of its own, once for each set of wheels.
    without = {"missing": [], "rnnlm": None, "why": "No module named 'rnnlm'"}
    good = {"missing": ["pyarrow"], "rnnlm": str(ROOT / "rnnlm" / "__init__.py"), "why": ""}
    python, done = str(tmp_path / "gpu-venv" / "bin" / "python"), []
    monkeypatch.setattr(packages, "BUILD", tmp_path)
    monkeypatch.setattr(
        packages, "inventory", lambda asked: without if asked == sys.executable else good
    )
    monkeypatch.setattr(packages, "install", lambda *given: done.append(given))
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a-1-py3-none-any.whl").touch()
    for _ in range(2):
        assert packages.prepared_python(SimpleNamespace(wheels=wheels)) == python
    assert done == [(python, wheels)]
    (wheels / "b-1-py3-none-any.whl").touch()
    packages.prepared_python(SimpleNamespace(wheels=wheels))
    assert len(done) == 2


def test_an_rnnlm_from_elsewhere_is_not_used(tmp_path):
    assert (
        packages.why_unfit({"rnnlm": "/opt/rnnlm/__init__.py"})
        == "it finds the rnnlm of /opt/rnnlm/__init__.py"
    )


def test_wheels_are_installed_only_by_their_own_pip(tmp_path, monkeypatch):
    for name in ("pip-26-py3-none-any.whl", "click-8-py3-none-any.whl"):
        (tmp_path / name).touch()
    monkeypatch.setenv("PIP_CONSTRAINT", "/etc/pip/constraint.txt")
    calls = []
    monkeypatch.setattr(
        packages, "run_pip", lambda called, environment: calls.append((called, environment))
    )
    packages.install("PYTHON", tmp_path)
    pip = [
        "PYTHON",
        f"{tmp_path}/pip-26-py3-none-any.whl/pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
    ]
    assert calls[0][0] == [
        *pip,
        f"{tmp_path}/click-8-py3-none-any.whl",
        f"{tmp_path}/pip-26-py3-none-any.whl",
    ]
    assert calls[1][0] == [*pip, "--no-build-isolation", "-e", str(ROOT)]
    assert "PIP_CONSTRAINT" not in calls[0][1]

    # Without wheels pip is left to find the packages, as the machine has it set up.
    packages.install("PYTHON", None)
    assert calls[2][0][-2:] == ["-e", f"{ROOT}[test]"] and calls[2][1]["PIP_CONSTRAINT"]


def test_wheels_of_another_python_or_none_are_refused(tmp_path):
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(gpu.Failure, match=f"holds no wheels; run .ci/gpu fill --python {here}"):
        packages.check_wheels(tmp_path)
    (tmp_path / "a-1-py3-none-any.whl").touch()
    (tmp_path / "wheels.json").write_text('{"python": "3.2"}')
    with pytest.raises(gpu.Failure, match=f"are for Python 3.2: this is {here}"):
        packages.check_wheels(tmp_path)


def test_filling_finds_only_what_the_target_python_lacks(tmp_path, monkeypatch, capsys):
    """pip reads conditions for the Python that it runs in; the script reads them for the
    target's."""
    pytest.importorskip("packaging")
    made = {
        "big": [], "old": [], "new": [], "extra": [],
        "first": ['old; python_version < "3.3"', 'new; python_version >= "3.77"', "big[more]"],
    }  # fmt: skip
    made["big"] = ['extra; extra == "more"', 'never; extra == "other"']
    asked = []

    def download(wanted, constraints, folder, options):
        asked.append(sorted(wanted))
        for name in map(packages.name_in, wanted):
            with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
                needs = "".join(f"Requires-Dist: {line}\n" for line in made.get(name, []))
                wheel.writestr(f"{name}-1.dist-info/METADATA", f"Name: {name}\n{needs}")

    monkeypatch.setattr(packages, "download", download)
    monkeypatch.setattr(packages, "requirements", lambda: ["first>=1"])
    stale = tmp_path / "first-0-py3-none-any.whl"
    stale.touch()
    assert gpu.main(["fill", str(tmp_path), "--python", "3.77", "--without", "Big"]) == 0
    assert asked == [
        ["first>=1", "pip", "setuptools>=77", "wheel"],
        ["big[more]", "new"],
        ["extra"],
    ]
    there = sorted(path.name.partition("-")[0] for path in tmp_path.glob("*.whl"))
    assert there == ["extra", "first", "new", "pip", "setuptools", "wheel"] and not stale.exists()
    assert json.loads((tmp_path / "wheels.json").read_text())["python"] == "3.77"
    said = capsys.readouterr().out
    assert (
        "6 wheels for Python 3.77, 0 MB" in said
        and "the target machine must provide: torch, big" in said
    )


# ---- recording


@pytest.fixture
def copied(tmp_path):
    """Copy the recipes and their page, for measurements to be written into them."""
    shutil.copytree(ROOT / "rnnlm" / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "docs" / "recipes.md", tmp_path / "recipes.md")
    return SimpleNamespace(
        recipes=tmp_path / "recipes", page=tmp_path / "recipes.md", figures=tmp_path / "gpu.json"
    )


def texts_of(options):
    return {path.name: path.read_text() for path in [*options.recipes.glob("*.toml"), options.page]}


def test_figures_change_only_recipe_about_and_table_row(machine, copied, capsys):
    (machine.folder / "t.txt").touch()
    text = str(machine.folder / "t.txt")
    assert (
        machine.run("--train", text, "--valid", text, "--on", "PTB valid", "--steps", "7")[0] == 0
    )
    before = texts_of(copied)
    assert figures_of.record(copied) == 0
    after = texts_of(copied)
    assert {name for name in after if after[name] != before[name]} == {
        "awd-lstm-fast.toml",
        "recipes.md",
    }

    new = set(after["awd-lstm-fast.toml"].splitlines()) - set(
        before["awd-lstm-fast.toml"].splitlines()
    )
    speeds = [
        (
            '{ card = "CARD", precision = "bf16", tokens_per_second = 412000, ratio_plain = 1.31, '
            'text = "PTB" }'
        ),
        (
            '{ card = "CARD", precision = "fp32", tokens_per_second = 412000, ratio_plain = 1.31, '
            'text = "PTB" }'
        ),
    ]
    run = '{ on = "PTB valid", value = 61.2, card = "CARD", minutes = 4.1 }'
    assert new == {f"gpu = [{', '.join(speeds)}]", f"gpu_run = {run}"}
    recipe = parse("awd-lstm-fast", after["awd-lstm-fast.toml"])
    rows = [
        line
        for line in after["recipes.md"].splitlines()
        if line not in before["recipes.md"].splitlines()
    ]
    assert rows == [f"| {' | '.join(overview.page_cells(recipe))} |"] and rows[0].endswith(
        "| 412k tokens/s, 4.1 min |"
    )

    # The gated variant has no recipe. Recording twice changes nothing.
    assert "kept 4 results in " in capsys.readouterr().out
    figures_of.record(copied)
    assert texts_of(copied) == after and "nothing new to record" in capsys.readouterr().out


def test_cards_stand_together_and_newer_figures_replace_old(copied):
    def written(card, speed):
        own = {"recipe": figures_of.settings_of("gru", copied.recipes)}
        step = {
            "outcome": "done",
            "recipe": "gru",
            "settings": {},
            "precision": "bf16",
            "on": "PTB",
            "own": own,
        }
        step["with"] = {"date": "2030-01-01"}
        steps = {"speed gru bf16": step | {"tokens_per_second": speed, "ratio_plain": None}}
        copied.figures.write_text(json.dumps({card: {"device": "cuda", "steps": steps}}))
        figures_of.record(copied)
        return parse("gru", (copied.recipes / "gru.toml").read_text())

    written("SLOW", 1_000.0)
    written("FAST", 9_999.0)
    recipe = written("SLOW", 1_234.5)
    assert [(speed.card, speed.tokens_per_second) for speed in recipe.gpu] == [
        ("FAST", 10_000),
        ("SLOW", 1_230),
    ]

    # This recipe has a table behind [about], into which the line must not slip.
    assert (
        recipe.measured
        == parse("gru", (ROOT / "rnnlm" / "recipes" / "gru.toml").read_text()).measured
    )


def test_carried_text_takes_precedence_over_bundled_corpus(machine, copied):
    (machine.folder / "t.txt").touch()
    text = str(machine.folder / "t.txt")
    machine.run("speed", "train", "--train", text, "--valid", text, "--on", "PTB valid")
    _, calls = machine.run("speed", "train")
    assert len(calls) == 7
    figures_of.record(copied)
    recipe = parse("awd-lstm-fast", (copied.recipes / "awd-lstm-fast.toml").read_text())
    assert recipe.gpu_run.on == "PTB valid" and {speed.text for speed in recipe.gpu} == {"PTB"}


def test_bundled_corpus_figure_excludes_unknown_words(machine, copied):
    machine.run("train")
    figures_of.record(copied)
    run = parse("awd-lstm-fast", (copied.recipes / "awd-lstm-fast.toml").read_text()).gpu_run
    assert (run.on, run.value, run.note) == ("bundled valid", 58.1, "without unknown words")


def test_cpu_figures_and_other_settings_are_not_recorded(machine, copied):
    before = texts_of(copied)
    machine.run("speed", "--device", "cpu")
    with pytest.raises(
        gpu.Failure,
        match=r"holds no figures of a GPU: it was made with --device cpu; run .ci/gpu on",
    ):
        figures_of.record(copied)
    machine.figures.unlink()
    machine.run("speed", "train", "--set", "hidden_size=8")
    figures_of.record(copied)
    assert texts_of(copied) == before

    # Nor are those of a recipe that has changed since.
    machine.figures.unlink()
    machine.run("speed", "train")
    recipe = copied.recipes / "awd-lstm-fast.toml"
    recipe.write_text(recipe.read_text().replace("batch_rows = 64", "batch_rows = 32"))
    before = texts_of(copied)
    figures_of.record(copied)
    assert texts_of(copied) == before

    copied.figures = copied.figures.with_name("none.json")
    with pytest.raises(gpu.Failure, match="there is no .*none.json; run .ci/gpu first"):
        figures_of.record(copied)


def test_recipe_needing_further_changes_is_left_alone(machine, copied):
    machine.run("speed", "--only", "awd")
    path = copied.recipes / "awd-lstm-fast.toml"
    by_hand = (
        path.read_text()
        + 'gpu = [\n    { card = "X", precision = "bf16", tokens_per_second = 1 },\n]\n'
    )
    path.write_text(by_hand)
    with pytest.raises(gpu.Failure, match="write gpu and gpu_run of its .about. on one line each"):
        figures_of.record(copied)
    assert (
        path.read_text() == by_hand
        and copied.page.read_text() == (ROOT / "docs" / "recipes.md").read_text()
    )
