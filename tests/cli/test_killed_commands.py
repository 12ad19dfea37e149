"""A command that is killed while it writes leaves what was there, or all of the new. Another try then
leaves what a whole run does."""

import itertools
import re
import shutil

import pytest

from rnnlm.parallel import inline_pool
from rnnlm.storage.files.writing import BESIDE, whole_name
from rnnlm.tools.prepared import preparation
from support import failing_files
from support.failures import contents
from support.forks import FORK, run_command
from support.tiny_models import LINES, fit, save
from support.tiny_seq2seq import saved

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("tasks/seq2seq", "tools/mixtures", "tools/onnx_export", "tools/prepared"),
    pytest.mark.system("fork"),
]

COMMANDS = {  # those of which the suite tries three moments, and more in the soak
    "export --hf": "export -m {lstm} --hf out",
    "export --hf --overwrite": "export -m {lstm} --hf out --overwrite",
    "export --onnx": "export -m {lstm} --onnx out",
    "export --onnx --overwrite": "export -m {lstm} --onnx out --overwrite",
    "export --arpa": "export -m {kn} --arpa out.arpa",
    "export --vectors": "export -m {lstm} --vectors out.vec",
    "export --vectors --overwrite": "export -m {lstm} --vectors out.vec --overwrite",
    "prepare": "prepare text.txt -o out --workers 1",
    "tune": "tune -m out+unigram --on text.txt",
    "prune": "prune -m {kn} -o out --max-order 2 --on text.txt",
    "prune --overwrite": "prune -m {kn} -o out --max-order 1 --overwrite",
    "mix": "mix {kn} {unigram} -o out --on text.txt",
    "mix --static": "mix {kn} {kn} --static -o out.arpa --weights 0.5,0.5",
    "import": "import {arpa} -o out",
    "translate": "translate -m {translator} --input text.txt -o out.txt",
    "count": "count text.txt -o out",
}
LESS_COMMON = {  # what writes them writes others of the commands, too
    "export --hf", "export --arpa", "export --onnx", "export --onnx --overwrite", "export --vectors",
    "prune", "prune --overwrite", "import", "mix --static", "count",
}  # fmt: skip
# What was there before, where anything was
BEFORE = {
    "export --hf --overwrite": "export -m {gru} --hf out",
    "export --onnx --overwrite": "export -m {gru} --onnx out",
    "export --vectors --overwrite": "export -m {gru} --vectors out.vec",
    "prune --overwrite": "prune -m {kn} -o out --max-order 2",
}
RESUMED = ("prepare", "tune", "count")
# These have times in them, but for what is exported.
TIMED = ("config.json", "README.md", "index.json", "counts.json", ".journal")
HASH = re.compile(r"-(?!0{5})[0-9a-f]{8}(?=[-.])")
INDEXES = {"export --hf": "config.json", "export --onnx": "step.onnx"}


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Return the paths of models to work with, by their names in COMMANDS."""
    folder = tmp_path_factory.mktemp("models")
    for name, kind, settings in (
        ("lstm", "lstm", {}), ("gru", "gru", {}), ("unigram", "unigram", {}),
        ("kn", "ngram", {"order": 3}),
    ):  # fmt: skip
        save(folder / name, fit(kind, **settings), kind, **settings)
    saved(folder / "translator")
    paths = {path.name: path for path in folder.iterdir()} | {"arpa": folder / "kn.arpa"}
    run(f"export -m {paths['kn']} --arpa {paths['arpa']}", folder)
    return paths


def run(line, folder, point=("", "")):
    """Run a command in a fork, which may kill itself at a call of the system below `folder`. Return
    its exit status, what it printed, and the calls that it made."""
    log, printed = (folder.with_name(f"{folder.name}.{name}") for name in ("calls", "printed"))
    printed.write_text("")
    process = FORK.Process(target=forked, args=(line.split(), folder, point, log, printed))
    process.start()
    process.join(120)
    return process.exitcode, printed.read_text("utf-8"), log.read_text("utf-8").splitlines()


def forked(arguments, folder, point, log, printed):
    preparation.process_pool = lambda count: inline_pool()
    failing_files.kill_at(folder, point, log)
    run_command(arguments, printed, printed)


@pytest.fixture
def place(tmp_path, monkeypatch, there):
    """Return a function that makes a working folder, the current one from then on."""
    numbers = itertools.count()

    def make(name):
        folder = tmp_path / f"{next(numbers)}" / "work"  # whose name is in its calls
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        (folder / "text.txt").write_text("\n".join(LINES * 3) + "\n", encoding="utf-8")
        if name == "tune":
            shutil.copytree(there["unigram"], "out")
        if name in BEFORE:
            assert run(BEFORE[name].format(**there), folder)[0] == 0
        return folder

    return make


def kept(name, folder):
    """Return the files in a folder: those with times in them without their content, and names
    without their random parts and hashes."""
    timed = () if name.startswith("export") else TIMED
    return {
        HASH.sub("", path): b"" if path.endswith(timed) else content
        for path, content in contents(folder).items()
    }


def killed(name, place, there, moments):
    """Kill a command at some of its calls, each time followed by the same command. `moments` are
    chosen from its calls, each before and after. Return how many kills there were."""
    line = COMMANDS[name].format(**there)
    unbroken = place(name)
    earlier = kept(name, unbroken)
    code, printed, calls = run(line, unbroken)
    assert code == 0, printed
    expected = kept(name, unbroken)
    points = [(moment, call) for call in calls for moment in ("before", "after")]
    kills = 0
    for point in moments(points):
        folder = place(name)
        code, printed, _ = run(line, folder, point)
        assert code == -9, (point, printed)
        kills += 1
        check_no_mixture(name, kept(name, folder), earlier, expected)
        code, printed, _ = run(line, folder)
        if code == 1 and name not in RESUMED:
            assert " already " in printed, (point, printed)
            code, printed, _ = run(f"{line} --overwrite", folder)
        assert code == 0, (point, printed)
        assert kept(name, folder) == expected, point
        assert not [found for found in contents(folder) if whole_name(found) != found], point
    return kills


def check_no_mixture(name, files, *whole):
    """Check that a folder with its index has the files of one export, besides leftovers, and that a
    file is that of one run."""
    for path in files:
        if path.startswith("out."):
            assert is_beside(path) or files[path] in [each.get(path) for each in whole]
    index = INDEXES.get(name.removesuffix(" --overwrite"))
    if index is not None and f"out/{index}" in files:
        files = {path: content for path, content in files.items() if not is_beside(path)}
        assert files in [
            {path: content for path, content in each.items() if not is_beside(path)}
            for each in whole
        ]


def is_beside(path):
    return BESIDE.fullmatch(path.rpartition("/")[2]) is not None


def three(points):
    """Return the first writing, the middle of all renames, and the last call."""
    renames = [point for point in points if point[1].startswith("replace")]
    writes = [point for point in points if point[1].startswith("write")]
    return [writes[0], renames[len(renames) // 2], points[-1]]


def thirty(points):
    """Return thirty points, or all of them, at even distances."""
    return [points[len(points) * number // 30] for number in range(min(30, len(points)))]


def needs(name):
    if "onnx" in name:
        pytest.importorskip("onnx")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LESS_COMMON])
def test_another_try_after_a_kill(name, place, there):
    needs(name)
    assert killed(name, place, there, three) == 3


@pytest.mark.soak
@pytest.mark.parametrize("name", COMMANDS)
def test_thirty_kills(name, place, there):
    needs(name)
    print(f"{killed(name, place, there, thirty)} kills of {name} survived")
