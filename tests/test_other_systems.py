"""Windows and macOS, as far as Linux can pretend to be them."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path, PureWindowsPath

import pytest

from rnnlm import parallel, system
from rnnlm.errors import OutputError, RnnlmWarning, UsageError
from rnnlm.storage.files import lock, outputs, private, writing
from rnnlm.storage.files.folder import check_place, remove_files
from rnnlm.storage.files.writing import free_bytes

SHIM = Path(__file__).parent / "support" / "other_system.py"
SMALL = ["--set", "hidden_size=8", "--set", "embedding_size=8", "--budget", "10steps"]


# ---- Names of outputs.


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(system, "IS_WINDOWS", True)


REFUSED = [
    ("con", "is the name of a device"), ("CON.txt", "is the name of a device"),
    ("nul .csv", "is the name of a device"), ("runs/Com1/model", "Com1 is the name of a device"),
    ("lpt\u00b2.json", "is the name of a device"), ("a:b", "names cannot have ':'"),
    ("what?.txt", "names cannot have '?'"), ('say "x"', "names cannot have '\"'"),
    ("tab\there", r"names cannot have '\\t'"), ("model.", "a dot or a space at the end"),
    ("model /weights", "a dot or a space at the end"), ("..." , "a dot or a space at the end"),
    ("x/" * 150 + "model", "Windows takes 238 with our endings"),
]  # fmt: skip
TAKEN = [
    "model", "../model", "./a.b", "C:/runs/model", "con2", "console.txt", "com", "lpt10", "aux-1",
    ".hidden", "naïve 日本", "a,b;c=d (1) [2] {3} #4 $5 %6 & 7",
]  # fmt: skip


@pytest.mark.parametrize(("name", "why"), REFUSED)
def test_names_that_windows_takes_for_something_else_are_refused(windows, name, why):
    with pytest.raises(OutputError, match=why):
        writing.check_name(Path(name))


@pytest.mark.parametrize("name", TAKEN)
def test_other_names_are_taken(windows, name):
    writing.check_name(Path(name))


@pytest.mark.system("posix")
def test_elsewhere_all_names_are_taken(here):
    for name, _ in REFUSED[:-1]:
        writing.check_name(Path(name))
    (here / "a:b").mkdir()
    outputs.save_file(here / "a:b" / "con", [b"x"])
    assert (here / "a:b" / "con").read_bytes() == b"x"


def test_every_kind_of_output_is_checked(windows, here):
    """Files before time goes into them and as they are written; folders of models and of others."""
    name = Path("con")
    for write in (
        lambda: outputs.check_file(name, overwrite=True),
        lambda: check_place(name, "model", list),
        lambda: outputs.save_file(name, [b"x"]),
        lambda: outputs.save_folder(Path(), {"con": [b"x"]}),
        lambda: writing.replace_file(name, b"x"),
        lambda: lock.held(name, "training").__enter__(),
        lambda: lock.file_held(name).__enter__(),
    ):
        with pytest.raises(OutputError, match="name of a device"):
            write()
    assert list(here.iterdir()) == []
    outputs.check_file(writing.STANDARD_OUTPUT, overwrite=False)


@pytest.mark.parametrize("command", [
    "train t.txt --model unigram -o con", "score -m {uni} the -o aux.csv",
    "count t.txt --order 2 -o nul", "prepare t.txt -o prn", "filter t.txt -m {uni} --max-perplexity 9 -o com1",
    "report {uni} -o con.html", "export -m {uni} --arpa con.arpa", "vectors t.txt -o lpt1.vec",
    "train t.txt --model unigram -o runs/x.", "score -m {uni} the -o a:b.csv",
])  # fmt: skip
def test_commands_refuse_such_outputs(rnnlm, models, windows, here, command):
    (here / "t.txt").write_text("the cat sat on the mat\n" * 30)
    shown = rnnlm(*command.format(uni=models.unigram).split())
    assert shown.code != 0 and "on Windows, " in shown.err, shown.err
    assert sorted(path.name for path in here.iterdir()) == ["t.txt"]


def test_a_path_of_windows_has_no_reserved_character_in_its_drive(windows, monkeypatch):
    monkeypatch.setattr(writing, "Path", PureWindowsPath)
    writing.check_name(PureWindowsPath(r"C:\runs\model"))
    writing.check_name(PureWindowsPath(r"\\server\share\model"))
    with pytest.raises(OutputError, match="':'"):
        writing.check_name(PureWindowsPath(r"C:\runs\a:b"))


@pytest.mark.system("posix")
def test_names_of_either_case_are_one_file_where_the_system_says_so(monkeypatch, here):
    paths = [Path("a.txt"), Path("A.txt")]
    outputs.check_apart(paths, ["t.txt"])
    monkeypatch.setattr(os.path, "normcase", str.lower)
    with pytest.raises(UsageError, match="written twice"):
        outputs.check_apart(paths, ["t.txt"])
    with pytest.raises(UsageError, match="is also an input"):
        outputs.check_apart([Path("T.txt")], ["t.txt"])


ALIKE = [("my", "My"), ("stra\u00dfe", "STRASSE"), ("na\u00efve", "nai\u0308ve")]


@pytest.mark.parametrize(("existing", "name"), ALIKE)
def test_names_that_a_system_takes_for_one_are_refused(monkeypatch, here, existing, name):
    """As on Windows and macOS, where a folder of one name is found under the other."""
    Path(existing).mkdir()
    if os.name == "posix":
        lock.check(Path(name))
    monkeypatch.setattr(Path, "exists", lambda path: True)
    lock.check(Path(existing))
    for ask in (lock.check, lambda folder: lock.held(folder, "a test").__enter__()):
        with pytest.raises(OutputError, match=f"cannot write to {name}; here it is the same as"):
            ask(Path(name))


def test_a_finished_model_is_not_found_under_another_spelling(monkeypatch, here, rnnlm):
    (here / "t.txt").write_text("the cat sat on the mat\n" * 30)
    asked = ("train", "t.txt", "--model", "unigram", "-o")
    assert rnnlm(*asked, "m\u00f6del a").code == 0
    if not Path("M\u00d6DEL A").exists():
        Path("M\u00d6DEL A").symlink_to("m\u00f6del a")
        names = os.listdir
        listed = lambda folder=".": [name for name in names(folder) if name != "M\u00d6DEL A"]  # noqa: E731
        monkeypatch.setattr(os, "listdir", listed)
    shown = rnnlm(*asked, "M\u00d6DEL A")
    assert shown.code == 1 and "here it is the same as 'm\u00f6del a'" in shown.err


NO_DRIVE = "cannot write to .*; there is no drive"


def test_a_drive_that_is_not_there_is_named(monkeypatch, here):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    for ask in (lambda: check_place(Path("q/m"), "model", list), lambda: free_bytes(Path("q/m"))):
        with pytest.raises(OutputError, match=NO_DRIVE):
            ask()


@pytest.mark.system("windows")
@pytest.mark.parametrize("command", [
    "train t.txt --model unigram -o {}m", "count t.txt -o {}m", "prepare t.txt -o {}m",
    "score -m {uni} the -o {}m.csv",
])  # fmt: skip
def test_commands_name_a_drive_that_is_not_there(rnnlm, models, here, command):
    (here / "t.txt").write_text("the cat sat on the mat\n" * 30)
    shown = rnnlm(*command.format("Q:\\", uni=models.unigram).split())
    assert shown.code == 1 and "there is no drive Q:" in shown.err


# ---- Files that another program has open.


@pytest.fixture
def open_elsewhere(monkeypatch):
    """Return a list of Windows' errors that the next calls of os.replace raise, and how many
    seconds they were waited for."""
    errors, waited, replace = [], [], os.replace

    def replace_later(new, path):
        if errors:
            error = PermissionError(errno.EACCES, "Access denied")
            error.winerror = errors.pop(0)
            raise error
        replace(new, path)

    monkeypatch.setattr(os, "replace", replace_later)
    monkeypatch.setattr(writing, "_waited", 0.0)
    monkeypatch.setattr(writing.time, "sleep", waited.append)
    return errors, waited


def test_a_program_that_has_a_file_open_for_a_moment_is_waited_for(open_elsewhere, here):
    errors, waited = open_elsewhere
    errors += [5, 32, 32]
    outputs.save_file(Path("out.csv"), [b"x"])
    assert Path("out.csv").read_bytes() == b"x" and len(waited) == 3


def test_waiting_ends_after_some_seconds_of_a_run(open_elsewhere, here):
    errors, waited = open_elsewhere
    errors += [5] * 1000
    for seconds in (7.0, 0.0):  # the second file does not wait any more
        waited.clear()
        with pytest.raises(OutputError, match="cannot write to out.csv; another program has .*out"):
            outputs.save_file(Path("out.csv"), [b"x"])
        assert sum(waited) == pytest.approx(seconds, abs=0.1)
    assert os.listdir() == []


@pytest.mark.parametrize("number", [5, None])
def test_nobody_waits_for_a_folder_or_a_right(open_elsewhere, here, number):
    errors, waited = open_elsewhere
    errors.append(number)
    Path("out.csv").mkdir()
    with pytest.raises(OSError, match="Access denied"):
        writing.replace_file(Path("out.csv"), b"x")
    assert waited == []


def test_ctrl_c_ends_the_wait(open_elsewhere, here, monkeypatch):
    errors, _ = open_elsewhere
    errors.append(5)

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writing.replace_file(Path("out.csv"), b"x")
    assert os.listdir() == []


@pytest.mark.system("windows")
@pytest.mark.parametrize("seconds", [3, None])
def test_a_reader_at_the_moment_of_saving(here, monkeypatch, seconds):
    """One that closes the file after some seconds, and one that never does."""
    monkeypatch.setattr(writing, "_waited", 0.0)
    path = Path("out.csv")
    path.write_bytes(b"before")
    with open(path, "rb") as reader:
        if seconds:
            threading.Timer(seconds, reader.close).start()
            outputs.save_file(path, [b"after"])
        else:
            with pytest.raises(OutputError, match="another program has out.csv open"):
                outputs.save_file(path, [b"after"])
    assert path.read_bytes() == (b"after" if seconds else b"before")


def test_what_cannot_be_deleted_is_told(monkeypatch, here):
    Path("run-1").touch()

    def denied(*_):
        raise PermissionError(errno.EACCES, "Sharing violation")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", denied)
        with pytest.warns(RnnlmWarning, match="run-1 is open in a program, or protected"):
            remove_files(here, lambda name: True)
    remove_files(here, lambda name: True)
    assert os.listdir() == []


def test_a_temporary_folder_that_stays_is_deleted_at_the_end_or_told(monkeypatch, here):
    at_exit = []
    monkeypatch.setattr(private.atexit, "register", lambda *call: at_exit.append(call))
    folder = private.temporary(here)
    with monkeypatch.context() as patched:
        patched.setattr(tempfile.TemporaryDirectory, "cleanup", lambda folder: None)
        folder.cleanup()
    folder._finalizer.detach()
    [(remove, path)] = at_exit
    with monkeypatch.context() as patched:
        patched.setattr(private.shutil, "rmtree", lambda *_, **__: None)
        with pytest.warns(RnnlmWarning, match="has files that are in use: the next run deletes it"):
            remove(path)
    remove(path)
    assert os.listdir() == []


# ---- What a system does otherwise.


@pytest.mark.parametrize(("word", "posix", "windows_form"), [
    ("my-lstm", "my-lstm", "my-lstm"), (r"C:\runs\m", r"'C:\runs\m'", r"C:\runs\m"),
    ("two words", "'two words'", '"two words"'), ("it's", "'it'\"'\"'s'", '"it\'s"'),
    ("$5", "'$5'", "'$5'"), ("`it's", "'`it'\"'\"'s'", "'`it''s'"), ("", "''", '""'),
])  # fmt: skip
def test_hints_are_quoted_for_the_shell(monkeypatch, word, posix, windows_form):
    for is_windows, form in ((False, posix), (True, windows_form)):
        monkeypatch.setattr(system, "IS_WINDOWS", is_windows)
        assert system.quoted(word) == form


def test_a_closed_pipe_is_known(monkeypatch):
    monkeypatch.setattr(system, "IS_WINDOWS", False)
    invalid = OSError(errno.EINVAL, "Invalid argument")
    assert system.is_closed_pipe(BrokenPipeError()) and not system.is_closed_pipe(invalid)
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    assert system.is_closed_pipe(invalid)
    assert not system.is_closed_pipe(OSError(errno.EINVAL, "Invalid argument", "a?b"))


def test_break_ends_in_order(monkeypatch):
    """Ctrl-Break, a closed window and logging off come as that signal of Windows."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGABRT, raising=False)
    assert signal.SIGABRT in system.ending_signals()


# ---- What a system lacks.


def test_without_an_affinity_all_processors_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(system, "cpu_quota", lambda: float("inf"))
    for named, threads in (({}, {}), ({"PYTHON_CPU_COUNT": "7"}, {"OMP_NUM_THREADS": "7"})):
        # Python 3.13 itself takes the number that is named, and torch does not know it.
        monkeypatch.setattr(os, "environ", {**named})
        system.share_processors()
        assert system.processors() == 7 and os.environ == {**named, **threads}
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.processors() == 1


def test_without_hup_two_signals_end_a_process(monkeypatch):
    monkeypatch.delattr(signal, "SIGHUP", raising=False)
    assert system.ending_signals()[:2] == [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize(("code", "why"), [
    (3, "exited with code 3"), pytest.param(-9, "out of memory", marks=pytest.mark.system("signals")),
])  # fmt: skip
def test_a_dead_worker_is_explained_without_kill(monkeypatch, code, why):
    class Gone:
        def wait(self, timeout):
            return code

    worker = object.__new__(parallel.WorkerProcess)
    worker.process = Gone()
    usual = signal.Signals
    monkeypatch.delattr(signal, "SIGKILL", raising=False)
    monkeypatch.setattr(signal, "Signals", usual)
    assert why in str(worker._died().why)


def other(folder, *arguments, **variables):
    """Run a command on the system that lacks what only Unix has."""
    own = {"OMP_NUM_THREADS": "1", "USERNAME": "somebody"}  # as Windows names the user
    environment = {**os.environ, **own, **variables}
    return subprocess.run(
        [sys.executable, SHIM, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, timeout=300,
    )  # fmt: skip


COMMANDS = [
    ["train", "t.txt", "-o", "net", *SMALL],
    ["train", "t.txt", "--model", "ngram", "--order", "2", "-o", "kn"],
    ["score", "-m", "net", "--words", "the cat", "-o", "scores.csv"],
    ["eval", "-m", "kn", "t.txt"],
    ["count", "t.txt", "--order", "2", "-o", "counts", "--memory", "500M", "--temp", "tmp"],
    "filter t.txt u.txt -m kn --workers 2 -o kept --max-perplexity 9".split(),
    ["doctor", "net"],
]


@pytest.mark.soak
def test_commands_work_without_fork_signals_and_proc(here):
    for name in ("t.txt", "u.txt"):
        (here / name).write_text("the cat sat on the mat\na dog sat there\n" * 40)
    faults = []
    for command in COMMANDS:
        done = other(here, *command)
        if done.returncode or b"Traceback" in done.stderr:
            faults.append((command, done.stderr.decode()[-1500:]))
    assert faults == []


@pytest.mark.soak
def test_a_console_of_cp1252_shows_every_text(here, models):
    """Streams are UTF-8, whatever the console's encoding: nothing ends in UnicodeEncodeError."""
    console = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = other(here, "score", "-m", models.unigram, "日本 naïve → the", "--words", **console)
    assert done.returncode == 0, done.stderr
    assert "日本" in done.stdout.decode("utf-8")
    done = other(here, "score", "-m", "日本", "the", **console)
    assert done.returncode == 1 and "no model named '日本'" in done.stderr.decode("utf-8")
    (here / "é.txt").write_bytes("naïve 日本\n".encode() * 20)
    done = other(here, "train", "é.txt", "--model", "unigram", "-o", "ü", **console)
    assert done.returncode == 0, done.stderr
    assert "日本" in (here / "ü" / "vocab.txt").read_text(encoding="utf-8")
