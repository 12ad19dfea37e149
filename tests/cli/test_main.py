import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from click.shell_completion import ShellComplete

from rnnlm import corpora
from rnnlm.cli import main as entry


def test_missing_arguments_show_help_on_stderr(rnnlm):
    ended = rnnlm()
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: rnnlm")


def test_the_version_names_torch_and_processors(rnnlm, monkeypatch):
    import rnnlm as library

    monkeypatch.setenv("PYTHON_CPU_COUNT", "3")
    shown = rnnlm("--version").out
    assert shown.startswith(f"rnnlm {library.__version__} (Python 3.")
    assert shown.endswith(f", torch {version('torch')}, 3 processors)\n")


@pytest.mark.needs("tools/inspection")
@pytest.mark.parametrize("arguments, hint", [
    ("trian", "did you mean 'train'?"), ("train --modle lstm", "--model"),
    ("list recipes lsmt", "'lstm'"), ("train --model lsmt", "'lstm'"),
    ("train --set hiden_size=3", "'hidden_size'"), ("xyzzy", "see the commands: rnnlm --help"),
    ("help", "did you mean '--help'?"), ("inspect help", "did you mean '--help'?"),
    ("score --model", "see rnnlm score --help"),
])  # fmt: skip
def test_mistyped_input_is_wrong_usage_with_nearest_suggestion(rnnlm, arguments, hint):
    ended = rnnlm(arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.errors[0].startswith("error: ") and hint in ended.err


def test_debug_shows_traceback_and_keeps_exit_code(rnnlm):
    plain, debug = rnnlm("eval -m nothere x"), rnnlm("eval --debug -m nothere x")
    assert plain.code == debug.code == 1
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err and debug.err.endswith(plain.err)


def test_debug_after_a_double_dash_is_text(rnnlm, models):
    shown = rnnlm("score", "-m", models.unigram, "--", "--debug")
    assert shown.code == 0 and "--debug" in shown.out


@pytest.mark.parametrize("error, code", [
    (KeyboardInterrupt(), 130), (entry.Signalled(signal.SIGTERM), 143),
    (OSError(28, "No space left on device"), 1), (MemoryError("much"), 1),
    (EOFError("marshal data too short"), 1),  # of a compiled module that was cut off
])  # fmt: skip
def test_exit_codes_of_what_may_happen_anywhere(rnnlm, monkeypatch, error, code):
    def fail():
        raise error

    monkeypatch.setattr(corpora, "names", fail)
    ended = rnnlm("list corpora")
    assert (ended.code, ended.out) == (code, "")
    assert ("interrupted" in ended.err) == (code == 130)


def test_python_m_rnnlm_is_the_command(spawn):
    ended = spawn("list", "recipes")
    assert ended.code == 0
    assert ended.out.startswith("recipe\tpurpose\t") and "\ndemo\t" in ended.out


def test_the_shell_can_complete_commands_and_options(spawn):
    from click.shell_completion import BashComplete

    def completed(words: str) -> list[str]:
        completion = BashComplete(entry.cli, {}, "rnnlm", "_RNNLM_COMPLETE")
        *given, incomplete = words.split(" ")
        return [item.value for item in completion.get_completions(given, incomplete)]

    assert completed("tr") == ["train", "translate"]
    assert completed("train --rec") == ["--recipe"]
    assert completed("train --tokenizer ") == [
        "word", "char", "byte", "sentencepiece", "huggingface", "pieces",
    ]  # fmt: skip


@pytest.mark.parametrize("words, offered", [
    ("score -m fr", ["french"]), ("score -m dem", ["demo"]), ("eval -m hf:m", ["hf:mine"]),
    ("train --tokenizer-from hf:m", ["hf:mine"]), ("train --tokenizer-from h", ["hf:"]),
    ("train --recipe zaremba-s", ["zaremba-small"]), ("train --set hidden_s", ["hidden_size="]),
    ("train --set smooth", ["smoothing="]), ("score -m ./x", ["./x"]),
])  # fmt: skip
def test_the_shell_can_complete_models_recipes_and_settings(here, models, words, offered):
    (here / "checkpoints").mkdir()
    shutil.copytree(models.unigram, here / "checkpoints" / "french")
    (here / "mine").mkdir()
    *given, incomplete = words.split(" ")
    completion = ShellComplete(entry.cli, {}, "rnnlm", "_RNNLM_COMPLETE")
    assert [item.value for item in completion.get_completions(given, incomplete)] == offered


@pytest.mark.parametrize("shell, begins", [
    ("bash", "_rnnlm_completion()"), ("zsh", "#compdef rnnlm"), ("fish", "function _rnnlm"),
])  # fmt: skip
def test_the_script_for_completion_is_printed(capsys, monkeypatch, shell, begins):
    monkeypatch.setenv("_RNNLM_COMPLETE", f"{shell}_source")
    monkeypatch.setattr(sys, "argv", ["rnnlm"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(begins)


def test_a_closed_pipe_ends_silently(start, models):
    text = corpora.part("english", "valid")  # more than a pipe holds, and soon scored
    process = start("score", "-m", models.unigram, "--input", text, "--json")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""


@pytest.mark.system("signals")
def test_a_hangup_that_nohup_ignores_stays_ignored():
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.argv = ['rnnlm', "
        "'recipes']\n"
        "from rnnlm.cli.main import main\n"
        "try: main()\n"
        "finally: print(repr(signal.getsignal(signal.SIGHUP)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "SIG_IGN" in ended.stderr


@pytest.mark.parametrize("given", [{}, *({name: "1"} for name in entry.WAITING)])
def test_threads_sleep_soon_unless_the_user_says_how_they_wait(monkeypatch, given):
    for name in entry.WAITING:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    entry._spin_briefly()
    waiting = {name: os.environ[name] for name in entry.WAITING if name in os.environ}
    assert waiting == given or (not given and waiting == {"GOMP_SPINCOUNT": entry.SPINS})


def test_waiting_and_threads_are_set_before_torch_is_imported():
    """OpenMP reads them once, when torch is imported."""
    program = (
        "import os, sys\n"
        "from rnnlm.cli import main\n"
        "def run(arguments):\n"
        "    variables = os.environ['GOMP_SPINCOUNT'], os.environ['OMP_NUM_THREADS']\n"
        "    print(*variables, 'torch' in sys.modules)\n"
        "    return 0\n"
        "main.run = run\n"
        "main.main()\n"
    )
    set_before = (*entry.WAITING, "OMP_NUM_THREADS")
    unset = {name: value for name, value in os.environ.items() if name not in set_before}
    many = {**unset, "PYTHON_CPU_COUNT": "4095"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=many, capture_output=True, text=True
    )
    assert ended.stdout == f"{entry.SPINS} 4095 False\n", ended.stderr
