"""The script for machines with a GPU: its parts, the results that it keeps, how it resumes, and
where its results are recorded.

In most tests it calls a stand-in for Python, which only notes the commands and answers from files.
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

# The stand-in. It answers with the file named after the command: the exit status on the first line,
# then what the command prints.
STAND_IN = """#!/bin/sh
echo "$@" >> "$ANSWERS/calls"
case "$1 $2 $3 $4" in
"-m pytest"*--collect-only*) answer=collect ;;
"-m pytest"*) answer=pytest ;;
tests/peers/training.py*) answer=speed ;;
"-m rnnlm train"*) answer=train ;;
esac
sed 1d "$ANSWERS/$answer"
exit "$(head -n 1 "$ANSWERS/$answer")"
"""
SPEED = {"tokens_per_second": 412_345.6, "ratio_plain": 1.314}
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
        self.folder = folder
        self.figures = folder / "gpu.json"
        self.python = folder / "python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

        # By default, everything succeeds.
        self.answer("pytest", 0, PASSED)
        self.answer("collect", 0, "")
        self.answer("speed", 0, json.dumps(SPEED))
        self.answer("train", 0, json.dumps(TRAINED))

    def answer(self, command, status, printed):
        """Set the exit status and the output of a command."""
        (self.folder / command).write_text(f"{status}\n{printed}\n")

    def run(self, *arguments):
        """Call the script. Return its exit status and the commands that it has called."""
        calls = self.folder / "calls"
        calls.write_text("")
        output = str(self.folder / "model")
        status = gpu.main([*arguments, "--figures", str(self.figures), "--output", output])
        return status, calls.read_text().splitlines()

    def steps(self, card="CARD"):
        """Return what the script has stored about each step, by the step's name."""
        return json.loads(self.figures.read_text())[card]["steps"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSWERS", str(tmp_path))
    machine = Machine(tmp_path)
    monkeypatch.setattr(packages, "prepared_python", lambda options: str(machine.python))
    monkeypatch.setattr(gpu, "look_at_device", lambda python, device: dict(CARD))

    # Few steps: two files of tests, one recipe, and one network that runs on our own loops.
    monkeypatch.setattr(gpu, "files_with_gpu_tests", lambda: ["tests/unit/x.py", "tests/unit/y.py"])
    monkeypatch.setattr(gpu, "FEW_LAUNCHES", ("awd-lstm-fast",))
    monkeypatch.setattr(gpu, "OWN_LOOPS", (("gru", {"reset_gate": "before"}),))
    return machine


@pytest.fixture
def text(machine):
    """Write an empty text, and return its path."""
    path = machine.folder / "t.txt"
    path.touch()
    return str(path)


# ---- How it is called


def test_script_is_executable_and_shows_usage():
    assert os.access(SCRIPT, os.X_OK)
    assert SCRIPT.read_text().startswith("#!/usr/bin/env python3\n")
    ended = subprocess.run([sys.executable, SCRIPT, "nonsense"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "usage: .ci/gpu" in ended.stderr
    assert "the parts are checks, ranks, speed, train" in ended.stderr


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
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_words_that_no_step_has_are_an_error(machine):
    with pytest.raises(gpu.Failure, match=r"no step has 'nix' in its name; leave --only out"):
        machine.run("--only", "nix")


# ---- Its parts


def test_it_checks_then_times_then_trains(machine):
    status, calls = machine.run("--steps", "7")
    assert status == 0

    tests = "-m pytest -v --tb=short -p no:cacheprovider -m gpu"
    speed = "tests/peers/training.py --recipe"
    given = "--set device=cuda --rounds 3 --steps 7 --json"
    before = f"{speed} gru --set reset_gate=before"
    train = f"-m rnnlm train -o {machine.folder}/model --recipe awd-lstm-fast"
    assert calls == [
        f"{tests} tests/unit/x.py",
        f"{tests} tests/unit/y.py",
        f"{tests} tests/unit/neural/fitting/test_one_rank.py",
        f"{speed} awd-lstm-fast --set precision=bf16 {given}",
        f"{speed} awd-lstm-fast --set precision=fp32 {given}",
        f"{before} --set precision=bf16 {given}",
        f"{before} --set precision=fp32 {given}",
        f"{before} --set cuda_graphs=false --set precision=bf16 {given}",
        f"{before} --set cuda_graphs=false --set precision=fp32 {given}",
        f"{train} --device cuda --resume auto --json",
    ]


def test_part_can_run_alone_and_on_another_text(machine):
    for name in ("a.txt", "b.txt"):
        (machine.folder / name).touch()
    text = str(machine.folder / "a.txt")
    valid = str(machine.folder / "b.txt")
    _, calls = machine.run("train", "--train", text, "--valid", valid, "--on", "PTB valid", "speed")
    assert len(calls) == 7
    assert f"tests/peers/training.py {text} --recipe awd-lstm-fast" in calls[0]
    assert f"-m rnnlm train {text} --valid {valid} -o " in calls[-1]

    # Results name the text that they were measured on.
    entry = machine.steps()["train awd-lstm-fast on PTB valid"]
    assert (entry["on"], entry["ppl_token"], entry["minutes"]) == ("PTB valid", 61.234, 4.1)
    assert machine.steps()["speed awd-lstm-fast bf16 on PTB"]["on"] == "PTB"


def test_every_file_with_gpu_tests_is_checked(request):
    """pytest finds the files in its own way: in this session if it collected all of them, otherwise
    in a separate process."""
    items = request.session.items
    if {item.path for item in items} >= {ROOT / name for name in gpu.files_with_gpu_tests()}:
        marked = [item for item in items if item.get_closest_marker("gpu")]
        files = {item.path.relative_to(ROOT).as_posix() for item in marked}
    else:
        called = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu"]
        called += ["-p", "no:cacheprovider", "tests"]
        listed = subprocess.run(called, cwd=ROOT, capture_output=True, text=True).stdout
        found = [line for line in listed.splitlines() if re.match(r"tests/\S+::", line)]
        files = {line.partition("::")[0] for line in found}
    assert files - {gpu.RANKS} == set(gpu.files_with_gpu_tests())
    assert gpu.RANKS not in gpu.files_with_gpu_tests()


@pytest.mark.parametrize("settings", [[], ["hidden_size=8"]])
def test_trial_with_other_settings_is_a_separate_run(settings):
    given = [f"--set={setting}" for setting in settings]
    (step,) = gpu.steps_of("train", gpu.run_options(["train", *given]))
    assert step.name == " ".join(["train awd-lstm-fast", *settings])
    output = step.command[step.command.index("-o") + 1]
    assert output.endswith("-".join(["gpu-awd-lstm-fast-bundled", *settings]))


def test_training_cut_off_during_validation_is_unfinished():
    finished = {"stopped": "budget", "seconds": 60, "steps": 9, "results": {}}
    ended = gpu.Ended(130, json.dumps(finished), 5.0, was_cut_off=True)
    assert gpu.outcome_of_training(ended) == {"outcome": "cut off", "steps": 9}


def test_an_environment_of_another_machine_is_no_traceback(tmp_path):
    found = packages.inventory(tmp_path / "bin" / "python")
    assert found["rnnlm"] is None
    assert "No such file" in found["why"]


def test_recipes_timed_for_speed_are_networks_with_files():
    for recipe in {*gpu.FEW_LAUNCHES, *(recipe for recipe, _ in gpu.OWN_LOOPS)}:
        settings = tomllib.loads((ROOT / "rnnlm" / "recipes" / f"{recipe}.toml").read_text())
        assert settings["model"] in ("ffnn", "rnn", "gru", "lstm", "qrnn")
        assert "task" not in settings


# ---- What goes wrong


def test_failing_check_fails_the_script_after_other_parts(machine, capsys):
    machine.answer("pytest", 1, f"{PASSED}\n{FAILED}")
    status, calls = machine.run()
    assert status == 1
    assert len(calls) == 10

    # The results name the test that failed, and so does the script.
    entry = machine.steps()["checks tests/unit/x.py"]
    assert (entry["outcome"], entry["passed"], entry["failed"]) == ("failed", 1, 1)
    assert entry["failed_tests"] == ["tests/unit/x.py::test_b[two words]"]
    said = capsys.readouterr().out
    assert f"    {FAILED}" in said
    assert "3 failed, 0 left; failed: checks tests/unit/x.py" in said


def test_all_skipped_checks_are_a_failure_on_gpu(machine):
    machine.answer("pytest", 0, PASSED.replace("PASSED", "SKIPPED (needs a CUDA device)"))
    status, _ = machine.run("checks")
    assert status == 1
    assert machine.steps()["checks tests/unit/x.py"]["why"] == "no test ran"

    # On a CPU, nothing else is to be expected.
    status, _ = machine.run("checks", "--again", "--device", "cpu")
    assert status == 0


@pytest.mark.parametrize("command", ["speed", "train"])
def test_failing_command_is_a_failure_with_its_reason(machine, command):
    machine.answer(command, 1, "error: no room on the card\n  try: a smaller one")
    status, calls = machine.run()
    assert status == 1
    assert len(calls) == 10
    assert "no room on the card" in [entry.get("why") for entry in machine.steps().values()]


def test_training_whose_time_is_over_has_not_failed(machine, monkeypatch, capsys):
    def cut_off(command, log, seconds, reserve):
        log.parent.mkdir(exist_ok=True)
        return gpu.Ended(130, f"step 300: checkpoint\n{json.dumps(CUT)}", 1.0, was_cut_off=True)

    monkeypatch.setattr(gpu, "run_command", cut_off)
    status, _ = machine.run("train")
    assert status == 0
    assert "cut off after 1 s, after 300 steps of training" in capsys.readouterr().out

    # The same status is a failure if the script did not cut the training off.
    assert gpu.outcome_of_training(gpu.Ended(130, "", 1.0))["outcome"] == "failed"


def test_command_is_asked_to_end_when_time_expires(tmp_path):
    log = tmp_path / "log"
    waits = "trap 'echo in order; exit 130' INT; echo begun; while :; do sleep 0.05; done"
    ended = gpu.run_command(["sh", "-c", waits], log, 0.3, 10)
    assert (ended.status, ended.was_cut_off, ended.printed) == (130, True, "begun\nin order\n")
    assert log.read_text() == ended.printed

    # A command that does not listen is killed.
    deaf = gpu.run_command(["sh", "-c", "trap '' INT; exec sleep 60"], log, 0.2, 0.2)
    assert deaf.status == -signal.SIGKILL
    assert deaf.was_cut_off
    assert deaf.seconds < 10


def test_ctrl_c_keeps_results_and_starts_nothing_more(machine, monkeypatch):
    def interrupted(command, log, seconds, reserve):
        log.parent.mkdir(exist_ok=True)
        return gpu.Ended(130, json.dumps(CUT), 1.0, was_cut_off=True, was_interrupted=True)

    monkeypatch.setattr(gpu, "run_command", interrupted)
    status, _ = machine.run("train", "speed")
    assert status == 130
    assert [entry["outcome"] for entry in machine.steps().values()] == ["cut off"]


# ---- How it resumes


def test_finished_steps_are_not_repeated_unless_requested(machine, capsys):
    machine.run()
    assert machine.run() == (0, [])
    assert "skipping 6 of 6 finished steps" in capsys.readouterr().out

    status, calls = machine.run("train", "--again")
    assert status == 0
    assert calls[0].endswith("--device cuda --overwrite --json")


def test_next_call_resumes_after_time_runs_out(machine, capsys):
    _, calls = machine.run("checks", "--minutes", "0.01")
    assert len(calls) == 1
    said = capsys.readouterr().out
    assert "1 done, 0 failed, 1 left; run the same command again to resume" in said

    _, calls = machine.run("checks", "--minutes", "0.01")
    assert [call.rpartition(" ")[2] for call in calls] == ["tests/unit/y.py"]


def test_failed_checks_rerun_without_tests_that_passed(machine):
    machine.answer("pytest", 1, f"{PASSED}\n{FAILED}")
    machine.run("checks", "--only", "x.py")

    # Of the two tests, only the one that failed runs again; the other one still counts.
    listed = "tests/unit/x.py::test_a\ntests/unit/x.py::test_b[two words]\n2 tests"
    machine.answer("collect", 0, listed)
    machine.answer("pytest", 0, FAILED.replace("FAILED", "PASSED"))
    status, calls = machine.run("checks", "--only", "x.py")
    assert status == 0
    assert calls[-1].endswith("-m gpu tests/unit/x.py::test_b[two words]")
    entry = machine.steps()["checks tests/unit/x.py"]
    assert (entry["outcome"], entry["passed"], entry["failed"]) == ("passed", 2, 0)


def test_changed_code_reruns_checks_and_speeds_not_training(machine, monkeypatch):
    machine.run()
    monkeypatch.setattr(gpu, "code_of", lambda *folders: "mended")
    status, calls = machine.run()
    assert status == 0
    assert len(calls) == 9
    assert not [call for call in calls if "rnnlm train" in call]
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
    assert len(calls) == 6
    assert machine.steps("CARD").keys() == machine.steps("OTHER").keys()


def test_file_without_figures_is_refused_and_kept(machine):
    machine.figures.write_text('{"some": "thing"}')
    with pytest.raises(gpu.Failure, match="is not a results file; move it away"):
        machine.run()
    assert machine.figures.read_text() == '{"some": "thing"}'


# ---- The real commands


def test_what_it_calls_times_and_trains(rnnlm, models, tmp_path):
    texts = ["--train", str(models.text), "--valid", str(models.valid), "--on", "PTB valid"]
    tiny = ["--set", "hidden_size=8", "--set", "embedding_size=8", "--set", "budget=2steps"]
    there = ["--recipe", "lstm", "--output", str(tmp_path / "m"), "--device", "cpu", "--steps", "1"]
    options = gpu.run_options([*texts, *tiny, *there])

    timing = next(step for step in gpu.speeds(options) if step.name.startswith("speed lstm fp32"))
    called = [sys.executable, *timing.command]
    ended = subprocess.run(called, cwd=ROOT, capture_output=True, text=True)
    outcome = gpu.outcome_of_speed(gpu.Ended(ended.returncode, ended.stderr + ended.stdout, 1.0))
    assert outcome["outcome"] == "done"
    assert outcome["tokens_per_second"] > 0
    assert outcome["ratio_plain"] > 0

    # The second time, the training has finished already and gives the same result.
    for _ in range(2):
        told = rnnlm(*gpu.training(options).command[2:])
        outcome = gpu.outcome_of_training(gpu.Ended(told.code, told.err + told.out, 1.0))
        assert outcome["outcome"] == "done"
        assert outcome["stopped"] == "budget"
        assert outcome["ppl_token"] > 1


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
    # The script's command, except that it selects all tests.
    command = gpu.check("checks", "tests/test_x.py").command
    place = command.index("gpu")
    called = [sys.executable, *command[: place - 1], *command[place + 1 :]]
    ended = subprocess.run(
        called, cwd=tmp_path, env=gpu.environment(), capture_output=True, text=True
    )

    outcome = gpu.outcome_of_tests(gpu.Ended(ended.returncode, ended.stdout, 1.0), [], "cuda")
    assert outcome["outcome"] == "failed"
    assert (outcome["passed"], outcome["skipped"]) == (1, 1)
    assert outcome["passed_tests"] == ["tests/test_x.py::test_some[c]"]
    assert outcome["failed_tests"] == [
        "tests/test_x.py::test_some[a b]",
        "tests/test_x.py::test_late",
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "torch 2.13 finds no device",
            "--device cuda does not work: torch 2.13 finds no device; run it where",
        ),
        (
            "ModuleNotFoundError: No module named 'torch'",
            "has no torch; call .ci/gpu with the Python that has it",
        ),
    ],
)
def test_missing_device_is_reported_in_one_line(tmp_path, said, message):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "Traceback" >&2\necho "{said}" >&2\nexit 1\n')
    python.chmod(0o755)
    with pytest.raises(gpu.Failure, match=re.escape(message)):
        gpu.look_at_device(python, "cuda")


def test_the_cpu_is_always_a_device():
    assert gpu.look_at_device(sys.executable, "cpu")["card"] == "CPU"


# ---- Packages


def test_installed_requirements_exclude_torch_but_include_build_tools():
    names = {packages.name_in(line) for line in packages.requirements()}
    assert names >= {"numpy", "click", "pytest", "hypothesis"}
    assert "torch" not in names
    assert not [line for line in packages.pinned(without=("torch",)) if line.startswith("torch==")]


def test_virtual_environment_sees_machine_packages_behind_its_own(tmp_path, monkeypatch):
    """The machine's Python may itself be a virtual environment. --system-site-packages would miss
    its packages."""
    # The machine has two modules.
    site = tmp_path / "machine" / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "only_there.py").write_text("")
    (site / "twice.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(ROOT / ".ci"), str(site), "/usr/lib/python3"])
    assert packages.package_folders() == [str(site)]

    # The new environment has one of them, too: its own comes first.
    packages.make_venv(tmp_path / "venv")
    (own,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    (own / "twice.py").write_text("")
    python = tmp_path / "venv" / "bin" / "python"
    shows = "import only_there, twice; print(only_there.__file__, twice.__file__)"
    ended = subprocess.run([python, "-c", shows], capture_output=True, text=True, cwd=tmp_path)
    assert ended.stdout.split() == [str(site / "only_there.py"), str(own / "twice.py")]


def test_existing_rnnlm_is_used_and_missing_one_installed(tmp_path, monkeypatch):
    assert packages.prepared_python(SimpleNamespace(wheels=None)) == sys.executable

    # Pretend that this Python lacks rnnlm.
    without = {"missing": [], "rnnlm": None, "why": "No module named 'rnnlm'"}
    good = {"missing": ["pyarrow"], "rnnlm": str(ROOT / "rnnlm" / "__init__.py"), "why": ""}
    installed = []
    monkeypatch.setattr(packages, "BUILD", tmp_path)
    monkeypatch.setattr(
        packages, "inventory", lambda asked: without if asked == sys.executable else good
    )
    monkeypatch.setattr(packages, "install", lambda *given: installed.append(given))

    # Then rnnlm is installed into a new environment, once.
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a-1-py3-none-any.whl").touch()
    python = str(tmp_path / "gpu-venv" / "bin" / "python")
    for _ in range(2):
        assert packages.prepared_python(SimpleNamespace(wheels=wheels)) == python
    assert installed == [(python, wheels)]

    # Other wheels are installed again.
    (wheels / "b-1-py3-none-any.whl").touch()
    packages.prepared_python(SimpleNamespace(wheels=wheels))
    assert len(installed) == 2


def test_an_rnnlm_from_elsewhere_is_not_used():
    why = packages.why_unfit({"rnnlm": "/opt/rnnlm/__init__.py"})
    assert why == "it finds the rnnlm of /opt/rnnlm/__init__.py"


def test_wheels_are_installed_only_by_their_own_pip(tmp_path, monkeypatch):
    for name in ("pip-26-py3-none-any.whl", "click-8-py3-none-any.whl"):
        (tmp_path / name).touch()
    monkeypatch.setenv("PIP_CONSTRAINT", "/etc/pip/constraint.txt")
    calls = []
    monkeypatch.setattr(
        packages, "run_pip", lambda called, environment: calls.append((called, environment))
    )

    # The pip among the wheels installs them, then the checkout; the machine's settings for pip must
    # not interfere.
    packages.install("PYTHON", tmp_path)
    (wheels_called, environment), (checkout_called, _) = calls
    click_wheel = f"{tmp_path}/click-8-py3-none-any.whl"
    pip_wheel = f"{tmp_path}/pip-26-py3-none-any.whl"
    pip = ["PYTHON", f"{pip_wheel}/pip", "install", "--quiet", "--no-index", "--no-deps"]
    assert wheels_called == [*pip, click_wheel, pip_wheel]
    assert checkout_called == [*pip, "--no-build-isolation", "-e", str(ROOT)]
    assert "PIP_CONSTRAINT" not in environment

    # Without wheels, pip finds the packages with the machine's settings.
    packages.install("PYTHON", None)
    called, environment = calls[2]
    assert called[-2:] == ["-e", f"{ROOT}[test]"]
    assert environment["PIP_CONSTRAINT"]


def test_wheels_of_another_python_or_none_are_refused(tmp_path):
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(gpu.Failure, match=f"holds no wheels; run .ci/gpu fill --python {here}"):
        packages.check_wheels(tmp_path)

    (tmp_path / "a-1-py3-none-any.whl").touch()
    (tmp_path / "wheels.json").write_text('{"python": "3.2"}')
    with pytest.raises(gpu.Failure, match=f"are for Python 3.2: this is {here}"):
        packages.check_wheels(tmp_path)


def test_filling_finds_only_what_the_target_python_lacks(tmp_path, monkeypatch, capsys):
    """pip evaluates conditions for the Python that it runs in; the script evaluates them for the
    target's."""
    pytest.importorskip("packaging")

    # The packages that each package requires, with conditions.
    requires = {
        "first": ['old; python_version < "3.3"', 'new; python_version >= "3.77"', "big[more]"],
        "big": ['extra; extra == "more"', 'never; extra == "other"'],
    }
    asked = []

    def download(wanted, constraints, folder, options):
        asked.append(sorted(wanted))
        for name in map(packages.name_in, wanted):
            with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
                needs = "".join(f"Requires-Dist: {line}\n" for line in requires.get(name, []))
                wheel.writestr(f"{name}-1.dist-info/METADATA", f"Name: {name}\n{needs}")

    monkeypatch.setattr(packages, "download", download)
    monkeypatch.setattr(packages, "requirements", lambda: ["first>=1"])
    stale = tmp_path / "first-0-py3-none-any.whl"
    stale.touch()

    # Round by round, it downloads what the last round requires. The target has big already, but big
    # may require more.
    assert gpu.main(["fill", str(tmp_path), "--python", "3.77", "--without", "Big"]) == 0
    assert asked == [
        ["first>=1", "pip", "setuptools>=77", "wheel"],
        ["big[more]", "new"],
        ["extra"],
    ]

    # Only what is needed stays in the folder.
    there = sorted(path.name.partition("-")[0] for path in tmp_path.glob("*.whl"))
    assert there == ["extra", "first", "new", "pip", "setuptools", "wheel"]
    assert not stale.exists()
    assert json.loads((tmp_path / "wheels.json").read_text())["python"] == "3.77"
    said = capsys.readouterr().out
    assert "6 wheels for Python 3.77, 0 MB" in said
    assert "the target machine must provide: torch, big" in said


# ---- How results are recorded


@pytest.fixture
def copied(tmp_path):
    """Copy the recipes and their page, for measurements to be written into them."""
    shutil.copytree(ROOT / "rnnlm" / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "docs" / "recipes.md", tmp_path / "recipes.md")
    return SimpleNamespace(
        recipes=tmp_path / "recipes", page=tmp_path / "recipes.md", figures=tmp_path / "gpu.json"
    )


def texts_of(options):
    """Return the recipes and their page, by name."""
    return {path.name: path.read_text() for path in [*options.recipes.glob("*.toml"), options.page]}


def recipe_in(folder, name):
    """Read a recipe of that folder."""
    return parse(name, (folder / f"{name}.toml").read_text())


def new_lines(before, after):
    """Return the lines that only the second text has."""
    old = before.splitlines()
    return [line for line in after.splitlines() if line not in old]


def test_figures_change_only_recipe_about_and_table_row(machine, text, copied, capsys):
    given = ["--train", text, "--valid", text, "--on", "PTB valid", "--steps", "7"]
    status, _ = machine.run(*given)
    assert status == 0
    before = texts_of(copied)
    assert figures_of.record(copied) == 0
    after = texts_of(copied)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"awd-lstm-fast.toml", "recipes.md"}

    # The recipe has two new lines.
    measured = 'tokens_per_second = 412000, ratio_plain = 1.31, text = "PTB"'
    bf16 = f'{{ card = "CARD", precision = "bf16", {measured} }}'
    fp32 = f'{{ card = "CARD", precision = "fp32", {measured} }}'
    run = '{ on = "PTB valid", value = 61.2, card = "CARD", minutes = 4.1 }'
    new = set(new_lines(before["awd-lstm-fast.toml"], after["awd-lstm-fast.toml"]))
    assert new == {f"gpu = [{bf16}, {fp32}]", f"gpu_run = {run}"}

    # The page has a new row.
    recipe = parse("awd-lstm-fast", after["awd-lstm-fast.toml"])
    (row,) = new_lines(before["recipes.md"], after["recipes.md"])
    assert row == f"| {' | '.join(overview.page_cells(recipe))} |"
    assert row.endswith("| 412k tokens/s, 4.1 min |")

    # The gated variant has no recipe. Recording twice changes nothing.
    assert "kept 4 results in " in capsys.readouterr().out
    figures_of.record(copied)
    assert texts_of(copied) == after
    assert "nothing new to record" in capsys.readouterr().out


def test_cards_stand_together_and_newer_figures_replace_old(copied):
    def recorded(card, speed):
        """Record this speed of the GRU on this card. Return the recipe."""
        step = {
            "outcome": "done",
            "recipe": "gru",
            "settings": {},
            "precision": "bf16",
            "on": "PTB",
            "own": {"recipe": figures_of.settings_of("gru", copied.recipes)},
            "with": {"date": "2030-01-01"},
            "tokens_per_second": speed,
            "ratio_plain": None,
        }
        steps = {"speed gru bf16": step}
        copied.figures.write_text(json.dumps({card: {"device": "cuda", "steps": steps}}))
        figures_of.record(copied)
        return recipe_in(copied.recipes, "gru")

    recorded("SLOW", 1_000.0)
    recorded("FAST", 9_999.0)
    recipe = recorded("SLOW", 1_234.5)
    speeds = [(speed.card, speed.tokens_per_second) for speed in recipe.gpu]
    assert speeds == [("FAST", 10_000), ("SLOW", 1_230)]

    # This recipe has a table behind [about], into which the line must not slip.
    assert recipe.measured == recipe_in(ROOT / "rnnlm" / "recipes", "gru").measured


def test_carried_text_takes_precedence_over_bundled_corpus(machine, text, copied):
    machine.run("speed", "train", "--train", text, "--valid", text, "--on", "PTB valid")
    _, calls = machine.run("speed", "train")
    assert len(calls) == 7

    figures_of.record(copied)
    recipe = recipe_in(copied.recipes, "awd-lstm-fast")
    assert recipe.gpu_run.on == "PTB valid"
    assert {speed.text for speed in recipe.gpu} == {"PTB"}


def test_bundled_corpus_figure_excludes_unknown_words(machine, copied):
    machine.run("train")
    figures_of.record(copied)
    run = recipe_in(copied.recipes, "awd-lstm-fast").gpu_run
    assert (run.on, run.value, run.note) == ("bundled valid", 58.1, "without unknown words")


def test_results_of_a_cpu_are_refused(machine, copied):
    machine.run("speed", "--device", "cpu")
    said = r"holds no figures of a GPU: it was made with --device cpu; run .ci/gpu on"
    with pytest.raises(gpu.Failure, match=said):
        figures_of.record(copied)


def test_missing_results_are_reported(copied):
    copied.figures = copied.figures.with_name("none.json")
    with pytest.raises(gpu.Failure, match="there is no .*none.json; run .ci/gpu first"):
        figures_of.record(copied)


def test_results_with_other_settings_are_not_recorded(machine, copied):
    before = texts_of(copied)
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


def test_recipe_needing_further_changes_is_left_alone(machine, copied):
    machine.run("speed", "--only", "awd")

    # Someone has written the list on several lines.
    path = copied.recipes / "awd-lstm-fast.toml"
    by_hand = path.read_text()
    by_hand += 'gpu = [\n    { card = "X", precision = "bf16", tokens_per_second = 1 },\n]\n'
    path.write_text(by_hand)

    with pytest.raises(gpu.Failure, match="write gpu and gpu_run of its .about. on one line each"):
        figures_of.record(copied)
    assert path.read_text() == by_hand
    assert copied.page.read_text() == (ROOT / "docs" / "recipes.md").read_text()
