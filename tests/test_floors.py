"""The house of DESIGN section 2, kept as data: a module imports only from its own room and from floors below."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST_MODULE, LONGEST_FUNCTION = 300, 40

FLOORS = {
    0: "extras interface arrays config errors memory signature events small_files control_characters corpora checkpoints",
    1: "byte_streams corpus sources tsv tables resampling compression vocabulary tokenizers encoding batches reading threads distributions parted_arrays",
    2: "ngram neural rendezvous",
    3: "adaptation_settings adapted_model unigram_cache neural_cache dynamic_evaluation gradient_statistics mixture mixture_tuning",
    4: "compact_arrays training_state model_folder array_files safe_files metrics_log model_card recipes registry loading adaptation_files manifest model_parts held_out run_lock prepared_text",
    5: "training_request training_texts preparation run_storage plotting compacting planning resuming training evaluation scoring minimal_pairs generation inspection benchmark ngram_benchmark counting count_files exchange reduction auditing processes bare_products training_growth textbook_loop adaptation tuning mixing textbook_weight_drop kernel_time comparison comparability comparison_plots comparison_report text_units difference_tables differences figure_intervals calibration stepping kenlm pyctcdecode lm_eval continuations score_records score_files sentences sentence_sources scoring_benchmark word_surprisals word_search sampling drawing word_constraints required_words beam_search typing_ahead sample_statistics nbest nbest_collecting nbest_files nbest_output speech_folders word_errors line_search hypothesis_features rescoring rescoring_weights",
    6: "__init__ __main__",  # the doors
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
DATA = {"corpora", "checkpoints"}  # packages that hold data, from folders of their own
MAY_IMPORT_CLI = {"__main__"}
TORCHLESS = {"ngram", *FLOORS[0].split(), *FLOORS[1].split()}
FAMILIES = {"ngram", "neural"}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


LIBRARY = [*modules("rnnlm"), *(ROOT / folder / "__init__.py" for folder in sorted(DATA))]
EVERYTHING = [*LIBRARY, *modules("cli")]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(path: Path) -> str:
    """The room a file is in: its package, or the module's own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] in DATA else parts[1]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of all imports in a file, those in functions too; those for type checkers only are left out.

    `from a import b` counts as `a.b`.
    """
    found = []
    pending: list[ast.AST] = [tree_of(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (f"{node.module}." if node.module else "")
            found += [(node.lineno, module + alias.name) for alias in node.names]
        pending.extend(ast.iter_child_nodes(node))
    return sorted(found)


def rooms_imported(path: Path) -> list[tuple[int, str]]:
    """(line, room) for each import of a part of the library."""
    return [(line, name.split(".")[1]) for line, name in imports(path) if name.startswith("rnnlm.")]


def test_every_module_is_in_the_table():
    rooms = {room_of(path) for path in LIBRARY}
    assert rooms == set(FLOOR_OF), "put new modules into FLOORS (and into DESIGN section 2), take gone ones out"


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_no_import_climbs(path):
    room = room_of(path)
    for line, imported in rooms_imported(path):
        if imported in FLOOR_OF:  # else a name of rnnlm/__init__, or cli
            assert FLOOR_OF[imported] <= FLOOR_OF[room], f"{name_of(path)}:{line} (floor {FLOOR_OF[room]}) imports {imported}"


def test_no_imports_run_in_a_circle():
    module_of = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path for path in LIBRARY}
    graph = {}
    for module, path in module_of.items():
        names = [name for _, name in imports(path) if name.startswith("rnnlm.")]
        graph[module] = {each for name in names for each in (name, name.rpartition(".")[0]) if each in module_of and each != "rnnlm"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_families_share_no_door(path):
    others = FAMILIES - {room_of(path)} if room_of(path) in FAMILIES else set()
    assert not [imported for imported in rooms_imported(path) if imported[1] in others]


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_knows_nothing_of_the_command_line(path):
    names = [name for _, name in imports(path)]
    assert not [name for name in names if name.startswith(("click", "rich"))]
    if room_of(path) not in MAY_IMPORT_CLI:
        assert not [name for name in names if name.startswith("rnnlm.cli")]


def torch_imports(path: Path) -> list[int]:
    return [line for line, name in imports(path) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", [path for path in LIBRARY if room_of(path) in TORCHLESS], ids=name_of)
def test_text_and_n_grams_do_without_torch(path):
    if room_of(path) == "arrays":  # the door between numpy and torch
        assert all(isinstance(node, ast.FunctionDef) for node in tree_of(path).body if "import torch" in ast.unparse(node))
    else:
        assert torch_imports(path) == []


def test_training_imports_no_torch_itself():
    assert torch_imports(ROOT / "rnnlm" / "training.py") == []


@pytest.mark.parametrize("path", modules("cli"), ids=name_of)
def test_in_the_command_line_imports_are_relative_and_of_the_library_absolute(path):
    assert not [name for _, name in imports(path) if name.startswith("rnnlm.cli")]
    assert not [name for _, name in imports(path) if name.startswith("..")]


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_nothing_in_the_library_prints(path):
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_modules_are_short_and_open_with_what_they_do(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < LONGEST_MODULE
    assert ast.get_docstring(tree_of(path)), "a file opens with what it does"


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_functions_are_short(path):
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION}


def test_the_rules_catch_what_they_are_for(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from rnnlm import scoring\n"
        "def f():\n    from rnnlm import training\n    import rnnlm.neural.fitting\n    from rnnlm.cli import main\n"
    )  # fmt: skip
    assert [room for _, room in rooms_imported(path)] == ["training", "neural", "cli"]
