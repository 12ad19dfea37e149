"""How many rooms, modules and functions a command walks through, measured.

A line of text reaches its number by few of each, and no room is entered again from another. The
command line itself, the ground, files, recipes and data packages are not counted; nor is what runs
while a module is imported."""

import json
import os
import subprocess
import sys

import pytest

from support.forked import Forked

# One of the rooms is tasks: what is learned answers there, for language models too, in two modules.
ROOMS_AT_MOST = {
    "train": 7, "train an n-gram model": 7, "eval": 6, "score": 7, "tag": 6, "inspect gates": 6,
}  # fmt: skip
MODULES_AT_MOST = {"train": 50, "eval": 28, "score": 32, "tag": 32, "inspect gates": 24}
FUNCTIONS_AT_MOST = {"train": 555, "eval": 245, "score": 225, "tag": 225, "inspect gates": 155}
# The settings of a task extend those of a network, and a registry of tasks calls them by name.
CALLED_BACK = {"tag"}
WALK = """
import contextlib, gc, io, json, os, sys
import rnnlm, torch, torch._dynamo
from rnnlm.cli.main import run

LIBRARY = os.path.dirname(rnnlm.__file__) + os.sep
NOT_COUNTED = {"files", "recipes", "corpora", "checkpoints"}

def room_of(path):
    parts = path.removeprefix(LIBRARY).split(os.sep)
    counted = path.startswith(LIBRARY) and len(parts) > 1 and parts[0] not in NOT_COUNTED
    return parts[0] if counted else None

rooms = {}
IMPORT = "import"  # what runs while a module is imported is no part of a walk

def watch(frame, event, _):
    code = frame.f_code
    if event == "call":
        if code.co_filename not in rooms:
            rooms[code.co_filename] = room_of(code.co_filename)
        room = IMPORT if code.co_name == "<module>" or stack and stack[-1][1] == IMPORT else rooms[code.co_filename]
        if room is None:
            return
        if room != IMPORT:
            seen.setdefault(room, code.co_qualname)
            if not code.co_name.startswith("<"):  # comprehensions and lambdas are no functions
                functions.add((code.co_filename.removeprefix(LIBRARY), code.co_qualname))
            inside = [each for _, each in stack]
            if inside and inside[-1] != room and room in inside:
                way = " > ".join([*dict.fromkeys(inside[inside.index(room):]), room])
                returns.setdefault(way, f"{code.co_qualname}, called by {frame.f_back.f_code.co_qualname}")
        stack.append((frame, room))
    elif event == "return" and stack and stack[-1][0] is frame:
        stack.pop()

gc.disable()  # what goes with garbage of the command before is no part of a walk
for arguments in json.loads(sys.argv[1]):
    seen, returns, stack, functions = {}, {}, [], set()
    with contextlib.redirect_stdout(io.StringIO()):
        sys.setprofile(watch)
        code = run(arguments)
        sys.setprofile(None)
    modules = sorted({module for module, _ in functions})
    print(json.dumps({
        "code": code, "rooms": seen, "returns": returns, "modules": modules,
        "functions": len(functions),
    }))
"""


@pytest.fixture(scope="module")
def walks(tmp_path_factory, models):
    """Return each command's walk: the rooms with the function that is called there first, the ways
    back with the call that takes them, the modules, and the number of functions."""
    folder = tmp_path_factory.mktemp("walks")
    text = str(models.valid)
    small = [
        "--set",
        "hidden_size=8",
        "--set",
        "embedding_size=8",
        "--precision",
        "fp32",
        "--budget",
        "3steps",
    ]
    words = "".join(f"the\tD\nman{number % 3}\tN\nran\tV\n\n" for number in range(80))
    (folder / "words.conll").write_text(words)
    tagged = [str(folder / "words.conll"), "--task", "tagging"]
    commands = {
        "eval": ["eval", "-m", str(models.lstm), str(models.valid)],
        "score": ["score", "-m", str(models.lstm), "the man was here"],
        "train": ["train", text, "--model", "lstm", *small, "-o", str(folder / "lstm")],
        "train an n-gram model": ["train", text, "--model", "ngram", "-o", str(folder / "ngram")],
        "train a tagger": ["train", *tagged, *small, "-o", str(folder / "tagger")],
        "tag": ["tag", "-m", str(folder / "tagger"), "the man was here"],
        "inspect gates": ["inspect", "gates", "-m", str(models.lstm), "the man was here"],
    }
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = Forked(
        [sys.executable, "-c", WALK, json.dumps(list(commands.values()))],
        is_code=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    found = dict(zip(commands, map(json.loads, out.splitlines()), strict=True))
    assert not any(each["code"] for each in found.values()), err
    return found


@pytest.mark.parametrize("name", ROOMS_AT_MOST)
def test_a_command_walks_through_few_rooms(walks, name):
    rooms = walks[name]["rooms"]
    assert "models" in rooms and len(rooms) <= ROOMS_AT_MOST[name], rooms


@pytest.mark.parametrize("name", MODULES_AT_MOST)
def test_a_command_runs_few_modules_and_functions(walks, name):
    walk = walks[name]
    assert 0 < len(walk["modules"]) <= MODULES_AT_MOST[name], walk["modules"]
    assert walk["functions"] <= FUNCTIONS_AT_MOST[name]


@pytest.mark.parametrize("name", sorted(ROOMS_AT_MOST.keys() - CALLED_BACK))
def test_no_room_is_come_back_to_from_another(walks, name):
    assert walks[name]["returns"] == {}
