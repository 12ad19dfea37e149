"""Satellites can be taken away from language models; other packages can add some."""

import ast
import itertools
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm import checkpoints, cli, corpora, satellites
from rnnlm.satellites import HERE, PLACES
from support import satellite_files

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "support" / "example_satellite"
FOLDERS = sorted(
    f"{place}/{path.stem}"
    for place in PLACES
    for path in (HERE / place).iterdir()
    if not path.name.startswith("_")
)
FEW = (
    "--help", "list satellites",
    "train text.txt --valid valid.txt --budget 3steps --set hidden_size=8 -o lstm",
    "eval -m lstm valid.txt",
)  # fmt: skip
COMMANDS = (
    *FEW, "list", "list recipes",
    "train text.txt --valid valid.txt --model ngram --tokenizer-from lstm --order 3 -o ngram",
    "train text.txt --dry-run --json", "eval -m ngram valid.txt --json",
    "score -m lstm --words --tokens", "generate -m ngram --max-tokens 4",
    "next -m lstm the", "compare lstm ngram --on valid.txt --plot bits.svg", "compare lstm ngram",
    "export -m ngram --arpa ngram.arpa", "import ngram.arpa -o back",
    "doctor lstm", "info lstm", "info lstm --json",
)  # fmt: skip
# A line for each use of a satellite that may be gone, and the one that has it.
USES = {
    "count text.txt -o counts": ("rnnlm count", "tools/counting"),
    "train text.txt --model ngram --memory 1G": ("--memory", "tools/counting"),
    "train text.txt --model ngram --set workers=2": ("--set workers=2", "tools/counting"),
    "train --model ngram --counts counts": ("--counts", "tools/counting"),
    "prepare text.txt -o prepared": ("rnnlm prepare", "tools/prepared"),
    "eval -m lstm prepared": ("prepared", "tools/prepared"),
    "mix lstm ngram": ("rnnlm mix", "tools/mixtures"),
    "prune -m ngram -o pruned": ("rnnlm prune", "tools/pruning"),
    "report lstm -o report.html": ("rnnlm report", "tools/reports"),
    "serve": ("rnnlm serve", "tools/serving"),
    "tag a": ("rnnlm tag", "tasks/labelling"),
    "train text.txt --task seq2seq": ("the task seq2seq", "tasks/seq2seq"),
    "score -m hf:some/model a": ("hf:some/model", "tools/huggingface"),
    "eval -m tagger valid.txt": ("the model at tagger", "tasks/labelling"),
}
PROGRAM = """
import contextlib, dataclasses, io, json, sys
from pathlib import Path

# An editable installation would find modules in the checkout that the copy lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
import rnnlm
from rnnlm.cli.main import run
from rnnlm.storage.manifest import read_manifest, write_manifest

site, commands, uses = sys.argv[1], *map(json.loads, sys.argv[2:])
assert rnnlm.__file__.startswith(site), rnnlm.__file__
for command in commands:
    words = command.split() + ["the dog barked"] * command.startswith("score")
    assert run(words) == 0, command

manifest = read_manifest(Path("lstm"))
tagger = manifest.settings | {"task": "tagging"}
Path("tagger").mkdir()
Path("prepared").mkdir()
Path("prepared", "shard-00000.safetensors").touch()
write_manifest(Path("tagger"), dataclasses.replace(manifest, settings=tagger))
for command, (called, satellite) in uses.items():
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert run(command.split()) == 2, command
    line = f"error: {called} needs the satellite {satellite}, which is not installed here\\n"
    assert said.getvalue() == line, said.getvalue()
model = rnnlm.load("lstm")
assert "generate" in dir(model) and all(getattr(rnnlm, name) for name in rnnlm.__all__)
if "serve" in uses and "tag a" in uses:
    for holder, name, folder in ((rnnlm, "rescore", "rescoring"), (model, "embed", "vectors")):
        assert name not in dir(holder)
        try:
            getattr(holder, name)
        except AttributeError as error:
            assert f"{name} needs the satellite tools/{folder}, which" in str(error).replace("()", "")
        else:
            raise AssertionError(name)
"""


def test_files_of_satellites_are_those_that_the_script_writes():
    for name, content in satellite_files.FILES.items():
        assert (HERE / name).read_text(encoding="utf-8") == content(), name


def test_only_commands_of_satellites_parse_options_and_draw():
    for path in itertools.chain.from_iterable((HERE / place).rglob("*.py") for place in PLACES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [
                alias.name for alias in getattr(node, "names", ()) if isinstance(node, ast.Import)
            ]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = {name.partition(".")[0] for name in names} & {"click", "rich"}
            assert not used or "command" in path.name or path.name == "satellite.py", path


def test_what_satellites_name_exists():
    for table in ("commands", "options", "tasks", "tokenizers", "libraries", "adaptations",
                  "companions", "scorers", "names"):  # fmt: skip
        for entry in satellites.entries(table):
            assert entry.load() is not None, (table, entry.name)


def imported_satellites(node):
    """Return the satellites that a part of a test file imports, itself or by a file of support."""
    modules = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Import | ast.ImportFrom):
            package = getattr(each, "module", None)
            modules |= {f"{package}.{name.name}" if package else name.name for name in each.names}
    found = {name for name in FOLDERS for module in modules if of_satellite(name, module)}
    for module in modules:
        package, _, rest = module.partition(".")
        file = ROOT / "tests" / package / f"{rest.partition('.')[0]}.py"
        if package == "support" and file.exists():
            parts = ast.parse(file.read_text(encoding="utf-8")).body
            at_once = [part for part in parts if isinstance(part, ast.Import | ast.ImportFrom)]
            found |= imported_satellites(ast.Module(at_once, []))
    return found


def of_satellite(name, module):
    return f"{module}.".startswith(f"rnnlm.{name.replace('/', '.')}.")


def marked_needs(*nodes):
    calls = [call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call)]
    needs = [call for call in calls if getattr(call.func, "attr", "") == "needs"]
    return {argument.value for call in needs for argument in call.args}


def test_tests_of_the_core_say_which_satellites_they_need():
    tests = ROOT / "tests"
    for path in tests.rglob("test_*.py"):
        if path.relative_to(tests).parts[0] in (*PLACES, "reference", path.name):
            continue
        parts = ast.parse(path.read_text(encoding="utf-8")).body
        marks = [part for part in parts if isinstance(part, ast.Assign)]
        of_file = marked_needs(
            *(m for m in marks if getattr(m.targets[0], "id", "") == "pytestmark")
        )
        assert of_file <= {*FOLDERS}, path
        for part in parts:
            needed = of_file | marked_needs(*getattr(part, "decorator_list", ()))
            assert needed <= {*FOLDERS} and imported_satellites(part) <= needed, (path, part.lineno)


def test_what_is_imported_on_use_exists():
    for path in HERE.rglob("*.py"):
        package = ".".join(path.relative_to(HERE.parent).parent.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if re.fullmatch("imported|(all_)?on_use", getattr(getattr(node, "func", 0), "id", "")):
                given = getattr(node.args[0], "value", package)  # else __package__
                for place in node.args[1:]:
                    if isinstance(place, ast.Constant):
                        assert pkgutil.resolve_name(f"{given}.{place.value}"), (path, place.value)


# ---- Taken away.


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the installed package, with texts in the folder above."""
    site = tmp_path / "site"
    # With the compiled modules, which are valid there: compiling them anew takes seconds.
    own = shutil.ignore_patterns("cli", "corpora", "checkpoints")
    shutil.copytree(HERE, site / "rnnlm", ignore=own)
    for package in (cli, corpora):
        folder = Path(package.__file__).parent
        shutil.copytree(folder, site / "rnnlm" / package.__name__.rpartition(".")[2])
    shipped = site / "rnnlm" / "checkpoints"
    shutil.copytree(checkpoints.FOLDER / "demo", shipped / "demo")
    shutil.copy(checkpoints.__file__, shipped)

    for part, lines in {"text": 200, "valid": 40}.items():
        source = corpora.part("english", "train" if part == "text" else "valid")
        text = source.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]
        (tmp_path / f"{part}.txt").write_text("".join(text), encoding="utf-8")
    return site


def remove(site, names):
    for name in names:
        path = site / "rnnlm" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.with_suffix(".py").unlink()


def run_core(site, uses, commands=COMMANDS):
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", PROGRAM, str(site), json.dumps(commands), json.dumps(uses)]
    given = {"cwd": site.parent, "env": environment, "capture_output": True, "text": True}
    ended = subprocess.run(program, **given)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.processes
def test_core_works_without_what_all_tasks_share(copied):
    remove(copied, ["tasks/common"])
    run_core(copied, {}, FEW)


@pytest.mark.processes
@pytest.mark.soak
@pytest.mark.parametrize("gone", FOLDERS)
def test_core_works_without_one_satellite(copied, gone):
    remove(copied, [gone])
    run_core(copied, {use: said for use, said in USES.items() if said[1] == gone})


LINT = ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"]


@pytest.mark.system("links")
@pytest.mark.processes
@pytest.mark.soak
@pytest.mark.parametrize("gone", FOLDERS)
def test_what_is_left_is_linted_built_and_collected(tmp_path, gone):
    """A satellite is deleted with its tests, and nothing else is touched."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    place, name = gone.split("/")
    deleted = (
        f"rnnlm/{gone}/", f"rnnlm/{gone}.py", f"tests/{gone}/", f"tests/{place}/test_{name}.py",
    )  # fmt: skip
    for path in filter(None, listed.split("\0")):
        if not path.startswith(deleted):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tmp_path / path, follow_symlinks=False)

    paths = os.pathsep.join([str(tmp_path), str(tmp_path / "tests")])
    given = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": paths}, "capture_output": True}
    collect = ["-m", "pytest", "-q", "--collect-only", "-p", "support.core_alone"]
    for command in (LINT, "-m build --wheel --no-isolation".split(), collect):
        if command is collect:  # what stands beside rnnlm is within it, as where it is installed
            for beside in ("corpora", "checkpoints"):
                (tmp_path / "rnnlm" / beside).symlink_to(tmp_path / beside)
        ended = subprocess.run([sys.executable, *command], **given, text=True)
        assert ended.returncode == 0, (command, ended.stdout[-5000:], ended.stderr[-5000:])


@pytest.mark.processes
@pytest.mark.soak
def test_core_works_without_satellites(copied):
    remove(copied, PLACES)
    run_core(copied, USES)

    # The fast tests pass, too. This file is not in the copy: its tests would start themselves.
    root = copied.parent
    for folder in ("tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", Path(__file__).name)
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    shutil.copy(ROOT / "setup.cfg", root)
    path = os.pathsep.join([str(copied), str(root / "tests")])
    given = {"cwd": root, "env": os.environ | {"PYTHONPATH": path}, "capture_output": True}
    options = ["-q", "-p", "no:cacheprovider", "-p", "support.core_alone", "-n", "2"]
    command = [sys.executable, "-m", "pytest", *options, "-m", "fast"]
    ended = subprocess.run(command, **given, text=True)
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", ended.stdout)[1]) > 3000


# ---- What is left does not name what is gone.

# Prints, for each list of satellites that are gone, the options and helps of the commands that are
# left, which are imported anew, and what they list.
LEFT = """
import contextlib, importlib, io, json, sys
import click
from rnnlm import satellites

everything = satellites.own()
for gone in json.loads(sys.argv[1]):
    satellites.own = lambda: tuple(each for each in everything if each.name not in gone)
    for name in [*sys.modules]:
        if name.startswith("rnnlm.cli") or name.startswith("rnnlm.t") and "command" in name:
            del sys.modules[name]
    main = importlib.import_module("rnnlm.cli.main")
    lines = [["--help"], ["list", "satellites"]]
    options, left = [*main.ANYWHERE], {}

    def look(command, path):
        lines.append([*path, "--help-all"])
        options.extend(word for option in command.params for word in option.opts)
        if isinstance(command, click.Group):
            for name in command.list_commands(None):
                look(command.get_command(None, name), [*path, name])

    for name in main.cli.list_commands(None):
        look(main.cli.get_command(None, name), [name])
    for line in lines:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            main.run(line)
        left[" ".join(line)] = printed.getvalue()
    print(json.dumps([options, left]))
"""


def deleted_with(name):
    """Return a satellite and those that need it."""
    others = (other.name for other in satellites.own() if name in other.needs)
    return {name}.union(*map(deleted_with, others))


def words_of(gone, options):
    """Return a pattern of what the satellites that are gone bring: commands as they are typed,
    options, models by name, tasks and kinds."""
    words = [rf"(?<![\w-]){option}(?![\w-])" for option in options if option.startswith("--")]
    for satellite in satellites.own():
        if satellite.name in gone:
            names = satellites.names_in(satellite)
            words += [rf"rnnlm {name}\b" for name in names["commands"]]
            words += [rf"\+{name}\b" for name in names["adaptations"]]
            words += [rf"\b{name}:(?=[A-Za-z])(?!OWNER)" for name in names["libraries"]]
            if not names["tasks"]:  # kinds of theirs are called like those of language models
                words += [rf"\b{name}\b(?! of softmaxes)" for name in names["kinds"]]
            words += [rf"\b{name}\b" for name in names["tasks"]]
            words += [rf"\brnnlm\.{name}\b" for name in names["names"]]
    return re.compile("|".join(words) or "(?!)")


def strings_in(path):
    """Yield the strings of a module that users may see, with their lines: options, and what has a
    blank, but no docstrings; helps of commands are looked at as they are printed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            hidden.add(node.body[0].value)
    for node in ast.walk(tree):
        text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and node not in hidden and (" " in text or text.startswith("--")):
            yield node.lineno, text


@pytest.mark.processes
def test_nothing_that_is_left_names_what_is_gone():
    """Of no satellite is an option, a command or an example in a help, list, message or public
    docstring of all that is there without it."""
    sets = [set()] + [deleted_with(satellite.name) for satellite in satellites.own()]
    command = [sys.executable, "-c", LEFT, json.dumps([[*gone] for gone in sets])]
    printed = subprocess.check_output(command, text=True, env={**os.environ, "COLUMNS": "1000"})
    (everything, _), *left = map(json.loads, printed.splitlines())
    modules = [*Path(cli.__file__).parent.rglob("*.py"), *HERE.rglob("*.py")]
    strings = {path: list(strings_in(path)) for path in modules}
    found = set()
    for gone, (options, helps) in zip(sets[1:], left, strict=True):
        words = words_of(gone, {*everything} - {*options})
        for line, text in helps.items():
            found |= {(f"rnnlm {line}", word) for word in words.findall(text)}
        for path, texts in strings.items():
            if not any(path.is_relative_to(HERE / name) for name in gone):
                for number, text in texts:
                    found |= {(f"{path}:{number}", word) for word in words.findall(text)}
    assert not found, "\n".join(sorted(f"{place}: {word}" for place, word in found))


# ---- Added by packages of others.


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that makes satellites of entry points and their packages' files."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(satellites, "_others", [])
    modules = set(sys.modules)

    def install(entries, **files):
        for name, code in files.items():
            (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        metadata = tmp_path / "others-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Name: others\nVersion: 1\n", encoding="utf-8")
        lines = ["[rnnlm.satellites]", *(f"{name} = {value}" for name, value in entries.items())]
        (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        satellites.look_for_others.cache_clear()

    yield install
    satellites.look_for_others.cache_clear()
    for name in {*sys.modules} - modules:
        if name.startswith("others"):
            del sys.modules[name]


BROKEN = """
from rnnlm.evaluation.perplexity import TextMetric
from rnnlm.lm.kinds import kinds
from rnnlm.satellites import Command, Named, Satellite, methods_of, names_of

__all__ = ["load", "whisper"]

def fail(*arguments):
    raise RuntimeError("no good")

class Methods:
    evaluate = whisper = fail

load = whisper = fail
"""
EARLY, IN_HELP, AT_EVAL, LATE = (
    ("--help", "list", "eval"), ("--help", "list"), ("list", "eval"), ("list",)
)  # fmt: skip
GROUPS = "not one line, or group not in ('Language models', 'Tasks', 'More')"
PER = "per is token, word, character, byte, and without_unknown is for tokens and words"
METRIC = "metrics=lambda: [TextMetric('{}', per='{}', is_perplexity=True)]"
BROKEN_MODULES = {  # and the error that the notice quotes
    "import no_module": "ModuleNotFoundError: No module named 'no_module'",
    "raise SystemExit(3)": "SystemExit: 3",
    "class Odd(BaseException): pass\nraise Odd('no')": "Odd: no",
    "SATELLITE = None": "TypeError: None is not a Satellite",
    "": "AttributeError: module 'others_broken' has no attribute 'SATELLITE'",
    "Command('hey', 'Other', 'hey', fail)": f"ValueError: 'hey': {GROUPS}",
    "Command('hey', 'More', 'a\\nb', fail)": f"ValueError: 'a\\nb': {GROUPS}",
}
BROKEN_TABLES = [  # with the error, or the names that are taken; and the commands that tell
    ("commands=None", "TypeError: 'NoneType' object is not callable", IN_HELP),
    ("commands=lambda: [5]", "TypeError: 5 is not a Command", IN_HELP),
    ("commands=lambda: [Command(5, 'More', 'hey', fail)]", "TypeError: 5 is not a str", IN_HELP),
    ("adaptations=lambda: {'cache': fail}", "TypeError: 'cache' is not a Named", LATE),
    ("kinds=fail", "RuntimeError: no good", LATE),
    ("kinds=lambda: [1, 2]", "TypeError: 1 is not a Kind", LATE),
    ("metrics=fail", "RuntimeError: no good", AT_EVAL),
    ("metrics=5", "TypeError: 'int' object is not callable", AT_EVAL),
    ("metrics=lambda: ['a']", "TypeError: 'a' is not a TextMetric", AT_EVAL),
    (METRIC.format("m", "words"), f"ValueError: m: nothing counts wordss_S; {PER}", AT_EVAL),
    ("names=fail", "RuntimeError: no good", LATE),
    ("names=lambda: [5]", "TypeError: 5 is not a Named", LATE),
    ("methods=lambda: [5]", "TypeError: 5 is not a Method", LATE),
    (
        "commands=lambda: [Command(it, 'More', 'a', fail) for it in ('tag', 'eval')]",
        "tag, eval",
        IN_HELP,
    ),
    ("adaptations=lambda: [Named('cache', fail), Named('whisper', fail)]", "cache", LATE),
    ("libraries=lambda: [Named(it, fail) for it in ('hf', '', 'whisper')]", "hf", LATE),
    ("tasks=lambda: [Named('tagging', fail), Named('whisper', lambda: 5)]", "tagging", LATE),
    ("kinds=lambda: kinds()[:1]", "rnn", LATE),
    (METRIC.format("tokens", "word"), "tokens", AT_EVAL),
    ("methods=methods_of(__name__, 'Methods')", "evaluate", LATE),
    ("names=names_of(__name__)", "load", LATE),
    ("commands=lambda: [Command('hey', 'More', 'hey', fail)], needs=5", "", ()),
]


@pytest.mark.parametrize("code, why, told", [
    *((BROKEN + code, why, EARLY) for code, why in BROKEN_MODULES.items()), *BROKEN_TABLES
])  # fmt: skip
def test_broken_package_is_one_notice_and_all_else_works(
    rnnlm, installed, models, here, code, why, told
):
    (here / "a.txt").write_text("a b\nb a\n" * 9, encoding="utf-8")
    is_module = code.startswith(BROKEN)
    satellite = f"print('noise'); SATELLITE = Satellite(None, {code})"
    broken = code if is_module else BROKEN + satellite
    installed({"others": "others_broken:SATELLITE"}, others_broken=broken)
    table = "others_broken:SATELLITE" if is_module else code.partition("=")[0]
    note = f"note: the package others: {table} cannot be used; {why}"
    if ": " not in why:
        note = f"note: the package others: ignored {table}, whose names are taken: {why}"
    for command in (
        "--help", "train --help", "list satellites", f"eval -m {models.unigram} a.txt",
        "train a.txt --model unigram -o unigram",
    ):  # fmt: skip
        satellites._others.clear()  # as in a new process
        satellites.look_for_others.cache_clear()
        outcome = rnnlm(command)
        notes = [line for line in outcome.err.splitlines() if "package" in line]
        assert (outcome.code, notes) == (0, [note] * command.startswith(told)), command
        is_listed = command.startswith("list") and "ignored" in note and why
        assert "noise" not in outcome.out and (
            not is_listed or f"ignored {table}: {why}" in outcome.out
        )


def test_broken_functions_of_a_package_are_told_where_they_are_used(rnnlm, installed):
    commands = "Command('fail', 'More', 'a', fail), Command('none', 'More', 'b', lambda: None)"
    tables = f"tasks=lambda: [Named('broken', fail)], commands=lambda: [{commands}]"
    satellite = f"SATELLITE = Satellite('', {tables})"
    installed({"others": "others_broken:SATELLITE"}, others_broken=BROKEN + satellite)
    for command, place, why in (
        ("fail", "commands['fail']", "RuntimeError: no good"),
        ("none --help", "commands['none']", "TypeError: None is not a Command"),
        ("train a.txt --task broken", "tasks['broken']", "RuntimeError: no good"),
    ):
        what = f"error: the package others: {place} cannot be used"
        outcome = rnnlm(command)
        assert (outcome.code, outcome.errors) == (1, [what, f"  why: {why}"]), command


METHODS = """
from rnnlm.interface import ModelHandle
from rnnlm.satellites import Named, Satellite, methods_of, names_of

__all__ = ["greet"]

def greet():
    return "hello"

class Methods(ModelHandle):
    _commands = {"shout": "generate", "label": "tag"}

    def shout(self):
        return f"{self._core_for('shout').model_kind} of {self.name}!"

    def label(self):
        return self._core_for("label")

def same(model, kind, folder):
    return model

SATELLITE = Satellite(
    "others", methods=methods_of(__name__, "Methods"), names=names_of(__name__),
    adaptations=lambda: [Named("same", lambda: same)],
)
"""


def test_satellite_adds_methods_names_and_adaptations(installed, models, monkeypatch):
    import rnnlm
    from rnnlm.errors import UsageError

    installed({"others": "others_methods:SATELLITE"}, others_methods=METHODS)
    monkeypatch.setattr(rnnlm.Model, "_commands", rnnlm.Model._commands.copy())
    assert rnnlm.greet() == "hello" and "greet" in dir(rnnlm)
    model = rnnlm.load(f"{models.lstm}+same")
    try:
        assert model.shout() == f"lstm of {models.lstm.name}!"
        assert "shout" in dir(model) and "label" not in dir(model)
        with pytest.raises(UsageError, match=r"is a language model, which has no label\(\)"):
            model.label()
    finally:
        for name in ("shout", "label"):
            delattr(rnnlm.Model, name)
    with pytest.raises(AttributeError, match="this model has no 'whisper'"):
        model.whisper()


def test_ours_are_found_without_looking_for_others(rnnlm, models, here):
    satellites.look_for_others.cache_clear()
    (here / "a.txt").write_text("a b\nb a\n" * 9, encoding="utf-8")
    for command in (
        f"score -m {models.lstm} a", "train a.txt --model unigram -o unigram",
        "train a.txt --dry-run", f"generate -m {models.lstm}+cache --max-tokens 2", "tag --help",
    ):  # fmt: skip
        assert rnnlm(command).code == 0, command
    assert satellites.look_for_others.cache_info().misses == 0


@pytest.mark.processes
@pytest.mark.soak
def test_installed_package_adds_a_command_a_kind_and_a_metric(tmp_path):
    """The package that CONTRIBUTING.md shows."""
    code = (EXAMPLE / "rnnlm_example" / "__init__.py").read_text(encoding="utf-8")
    assert f"```python\n{code}```" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 30
    site, source = tmp_path / "site", tmp_path / "source"
    shutil.copytree(EXAMPLE, source)
    how = ["--no-deps", "--no-index", "--no-build-isolation", "--no-compile", "--target", site]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *how, source], check=True)
    (tmp_path / "text.txt").write_text("a b\nb a b\n" * 9, encoding="utf-8")

    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words):
        program = [sys.executable, "-m", "rnnlm", *words]
        given = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run(program, **given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("longest", "text.txt") == "b a b\n"
    assert "longest (longest line)" in " ".join(run("--help").split())
    run("train", "text.txt", "--valid", "text.txt", "--model", "flat", "-o", "flat")
    result = json.loads(run("eval", "-m", "flat", "text.txt", "--json"))
    # <unk>, </s>, a and b are equally likely.
    assert result["ppl_token"] == pytest.approx(4) and result["bits_per_word"] == pytest.approx(2)
