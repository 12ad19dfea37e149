"""The rules of the house (HOUSE.md): rooms, floors and what a file may be. Each rule is one test
that names all offenders."""

import ast
import functools
import gc
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A room imports from rooms of lower floors only; the rooms of one floor do not know each other.
FLOORS = {
    0: "ground", 1: "files recipes corpora checkpoints work", 2: "text", 3: "models inference",
    4: "neural ngram generation",
    5: "evaluation", 6: "tasks", 7: "scoring training combinations conversion vectors",
    8: "rescoring filtering integrations inspection", 9: "serving", 10: "doors",
}  # fmt: skip
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
DOORS = {
    "__init__", "__main__", "kenlm", "pyctcdecode", "lm_eval", "model", "runs", "kinds",
}  # fmt: skip
DATA = {"corpora", "checkpoints"}  # packages that hold data, from folders of their own
FAMILIES = {"ngram", "neural"}
CODELESS_BUT = {
    "rnnlm",
    "rnnlm.text.tokenizers",
    "rnnlm.ngram.smoothing",
    "rnnlm.corpora",
    "rnnlm.checkpoints",
}
TORCHLESS = {"ground", "files", "recipes", "text", "ngram", "models"}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


LIBRARY = [*files("rnnlm"), *(ROOT / folder / "__init__.py" for folder in sorted(DATA))]
COMMAND_LINE = files("cli")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "rnnlm" else ("rnnlm", *parts)).removesuffix(".__init__")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


MODULES = {module_of(path): path for path in LIBRARY}


def room_of(module: str) -> str:
    """Return the room of a module: its folder below `rnnlm`. A module in `rnnlm` itself is a door
    or part of the ground."""
    parts = module.split(".")
    if len(parts) == 1 or (len(parts) == 2 and parts[1] in DOORS):
        return "doors"
    return parts[1] if len(parts) > 2 or parts[1] in FLOOR_OF else "ground"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_garbage():
    """Look for no garbage among the many objects of syntax trees: it would take longer than all
    else."""
    gc.disable()
    yield
    gc.enable()


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes_of_file(path: Path) -> list[ast.AST]:
    """Return each node of the syntax tree of a file."""
    return list(ast.walk(tree_of(path)))


def is_for_type_checkers(test: ast.expr) -> bool:
    """Return whether a condition names TYPE_CHECKING."""
    named = (getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(test))
    return "TYPE_CHECKING" in named


HOLD_IMPORTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


@functools.cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Return (line, dotted name) of all imports in a file, also inside functions, except those
    for type checkers only.

    `from a import b` counts as `a.b`.
    """
    found = []
    pending: list[ast.AST] = [tree_of(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and is_for_type_checkers(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level
            if node.module:
                module += f"{node.module}."
            found += [(node.lineno, module + alias.name) for alias in node.names]
        children = ast.iter_child_nodes(node)
        pending += [each for each in children if isinstance(each, HOLD_IMPORTS)]
    return sorted(found)


def modules_imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for each import of a module of the library."""
    for line, name in imports(path):
        if name.split(".")[0] == "rnnlm" and not name.startswith("rnnlm.cli"):
            module = name if name in MODULES else name.rpartition(".")[0]
            yield line, module


def rooms_imported(path: Path) -> set[str]:
    """Return the rooms that a file imports from."""
    return {room_of(imported) for _, imported in modules_imported(path)}


def nodes_of(paths: list[Path]) -> Iterator[tuple[Path, ast.AST]]:
    """Yield each node of the syntax trees of the files."""
    for path in paths:
        for node in nodes_of_file(path):
            yield path, node


def test_every_module_is_in_a_room():
    rooms = {room_of(module_of(path)) for path in LIBRARY}
    assert rooms == set(FLOOR_OF), (
        "put a new room into FLOORS and into HOUSE.md, take a gone one out"
    )


def test_no_import_climbs():
    assert climbs(LIBRARY) == []


def climbs(paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        module = module_of(path)
        room = room_of(module)
        for line, imported in modules_imported(path):
            other = room_of(imported)
            if other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
                found.append(f"{place(path)}:{line}: {room} imports {other}")
    return found


def test_no_imports_run_in_a_circle():
    by_file, by_room = {}, {}
    for module, path in MODULES.items():
        room = room_of(module)
        imported = {each for _, each in modules_imported(path)} - {"rnnlm"}
        by_file[module] = imported
        by_room.setdefault(room, set()).update({room_of(each) for each in imported} - {room})

    # These raise CycleError, which names the circle.
    graphlib.TopologicalSorter(by_file).prepare()
    graphlib.TopologicalSorter(by_room).prepare()


def test_the_families_do_not_know_each_other():
    for path in LIBRARY:
        room = room_of(module_of(path))
        if room in FAMILIES:
            others = FAMILIES - {room}
            assert not rooms_imported(path) & others, place(path)


def test_the_library_knows_nothing_of_the_command_line():
    found = []
    for path in LIBRARY:
        for _, name in imports(path):
            if name.startswith(("click", "rich", "rnnlm.cli")):
                found.append(f"{place(path)}: {name}")
    # What waits for a run in a terminal shows what the command line shows: the one exception.
    assert found == ["rnnlm/__main__.py: rnnlm.cli.main.main", "rnnlm/runs.py: rnnlm.cli.live"]


def test_only_the_tables_on_top_name_objects_by_texts():
    """A lower room that resolves "module:name" itself calls upwards unseen."""
    naming = set()
    for path, node in nodes_of(LIBRARY):
        text = getattr(node, "value", None)
        if isinstance(text, str) and re.fullmatch(r"rnnlm(\.\w+)+:\w+", text):
            naming.add(place(path))
    assert naming == {"rnnlm/kinds.py"}


def test_text_and_n_grams_do_without_torch():
    found = []
    for path in LIBRARY:
        module = module_of(path)
        if room_of(module) not in TORCHLESS or module in {"rnnlm.arrays", "rnnlm.system"}:
            continue  # these two say why
        for line, name in imports(path):
            if name.split(".")[0] == "torch":
                found.append(f"{place(path)}:{line}")
    assert found == []

    # In rnnlm.arrays, only functions import torch.
    door = tree_of(MODULES["rnnlm.arrays"])
    importing = [node for node in door.body if "import torch" in ast.unparse(node)]
    assert all(isinstance(node, ast.FunctionDef) for node in importing)


def test_training_imports_no_family_and_no_torch():
    for path in files("rnnlm/training"):
        assert not FAMILIES & rooms_imported(path), place(path)
        assert not [name for _, name in imports(path) if name.split(".")[0] == "torch"], place(path)


def test_rooms_hold_no_code_but_two_doors():
    for path in LIBRARY:
        if path.name == "__init__.py" and module_of(path) not in CODELESS_BUT:
            assert len(tree_of(path).body) == 1, place(path)
            assert ast.get_docstring(tree_of(path)), place(path)


def test_command_line_imports_are_relative_except_the_library():
    absolute, climbing = [], []
    for path in COMMAND_LINE:
        is_command = path.parent.name in ("commands", "inspections")
        for _, name in imports(path):
            if name.startswith("rnnlm.cli"):
                absolute.append(place(path))
            if name.startswith("..") and not is_command:
                climbing.append(place(path))
    assert absolute == []
    assert climbing == []


def test_nothing_in_the_library_prints():
    calls = [(path, node) for path, node in nodes_of(LIBRARY) if isinstance(node, ast.Call)]
    printing = [(path, call) for path, call in calls if ast.unparse(call.func) == "print"]
    assert [f"{place(path)}:{call.lineno}" for path, call in printing] == []


def test_files_open_with_what_they_do():
    files = [*LIBRARY, *COMMAND_LINE]
    assert [place(path) for path in files if not ast.get_docstring(tree_of(path))] == []


# Files that may ask which task or family they have before them.
OF_TASKS = ("rnnlm/tasks/", "rnnlm/kinds.py", "rnnlm/models/registry.py")
ASKED_FILES = [path for path in [*LIBRARY, *COMMAND_LINE] if not place(path).startswith(OF_TASKS)]

TASK_NAMES = {"language-model", "tagging", "classification", "seq2seq"}
TASK_CONSTANTS = {"LANGUAGE_MODEL", "TAGGING", "CLASSIFICATION", "SEQ2SEQ", "task"}


def names_a_task(node: ast.AST) -> bool:
    """Return whether an expression asks which task something belongs to."""
    for part in ast.walk(node):
        name = part.id if isinstance(part, ast.Name) else getattr(part, "attr", None)
        if name in TASK_CONSTANTS or getattr(part, "value", None) in TASK_NAMES:
            return True
    return False


def asks_for_the_task(node: ast.AST) -> bool:
    """Return whether a comparison, a match or the keys of a dictionary distinguish tasks."""
    if isinstance(node, ast.Dict):
        return any(names_a_task(key) for key in node.keys if key is not None)
    if isinstance(node, ast.Match):
        return names_a_task(node.subject)
    return isinstance(node, ast.Compare) and names_a_task(node)


def test_nobody_asks_for_the_task():
    """Outside tasks/ and the registry; a task answers through its object (HOUSE.md)."""
    asking = [(path, node) for path, node in nodes_of(ASKED_FILES) if asks_for_the_task(node)]
    assert [f"{place(path)}:{node.lineno}" for path, node in asking] == []


FAMILY_NAMES = {"ngram", "neural", "combination"}


def asks_for_the_family(node: ast.AST) -> bool:
    """Return whether a comparison, a match or the keys of a dictionary distinguish families of
    models."""
    if isinstance(node, ast.Dict):
        return any(getattr(key, "value", None) in FAMILY_NAMES for key in node.keys)
    if not isinstance(node, ast.Match | ast.Compare):
        return False
    asked = node.subject if isinstance(node, ast.Match) else node
    parts = list(ast.walk(asked))
    names = [part for part in parts if getattr(part, "value", None) in FAMILY_NAMES]
    families = [part for part in parts if getattr(part, "attr", None) == "family"]
    is_of_two = len(families) == 2  # whether a stored family is that of its kind
    return bool(names or families) and not is_of_two


def test_nobody_asks_for_the_family():
    """Outside tasks/ and the registry; a kind of model answers what is meant (`Kind`)."""
    asking = [(path, node) for path, node in nodes_of(ASKED_FILES) if asks_for_the_family(node)]
    assert [f"{place(path)}:{node.lineno}" for path, node in asking] == []


# ---- Messages name settings as Python does; the command line spells them as its options.

OPTION = re.compile(r"(?<![\w-])--[a-z]")
COMMANDS = re.compile(r"\b(rnnlm|dask|torchrun|compile-lm) [-a-z{]")  # what somebody is to type
# Modules that make command lines.
TYPED = ("rnnlm/models/card.py", "rnnlm/models/default.py", "rnnlm/recipes/", "rnnlm/tasks/task.py")


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a file with their lines, without docstrings."""
    nodes = nodes_of_file(path)
    inside: set[ast.AST] = set()  # of docstrings, and of strings that are yielded whole
    for node in nodes:
        if isinstance(node, ast.Expr):
            inside.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            inside.update(node.values)
    for node in nodes:
        if node in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (getattr(part, "value", "") for part in node.values)
            yield node.lineno, "".join(part if isinstance(part, str) else "{}" for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_message_names_an_option():
    naming = []
    for path in LIBRARY:
        for line, text in texts_of(path):
            if OPTION.search(text) and not COMMANDS.search(text):
                naming.append(f"{place(path)}:{line}: {text}")
    assert [each for each in naming if not each.startswith(TYPED)] == []


def test_the_rules_catch_what_they_are_for(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "rnnlm" / "text" / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from rnnlm.scoring import scorer\n"
        "def f():\n    from rnnlm.training import run\n    import rnnlm.neural.fitting\n    from "
        "rnnlm.cli import main\n"
    )  # fmt: skip
    assert climbs([path]) == [
        "rnnlm/text/bad.py:5: text imports training",
        "rnnlm/text/bad.py:6: text imports neural",
    ]
