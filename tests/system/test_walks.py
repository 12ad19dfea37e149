"""How many rooms a command walks through, measured: a line of text reaches its number by few rooms,
and no room is come back to from another. The command line itself, the ground, files, recipes and
data packages are not counted."""

import json
import os
import subprocess
import sys

import pytest

ROOMS_AT_MOST = {"eval": 5, "score": 6, "train": 6, "train an n-gram model": 6}
WALK = """
import contextlib, io, json, os, sys
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
            inside = [each for _, each in stack]
            if inside and inside[-1] != room and room in inside:
                way = " > ".join([*dict.fromkeys(inside[inside.index(room):]), room])
                returns.setdefault(way, f"{code.co_qualname}, called by {frame.f_back.f_code.co_qualname}")
        stack.append((frame, room))
    elif event == "return" and stack and stack[-1][0] is frame:
        stack.pop()

for arguments in json.loads(sys.argv[1]):
    seen, returns, stack = {}, {}, []
    with contextlib.redirect_stdout(io.StringIO()):
        sys.setprofile(watch)
        code = run(arguments)
        sys.setprofile(None)
    print(json.dumps({"code": code, "rooms": seen, "returns": returns}))
"""


@pytest.fixture(scope="module")
def walks(tmp_path_factory, models):
    """Each command's walk: the rooms with a function called there first, and the ways back with the
    call that takes them."""
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
    commands = {
        "eval": ["eval", "-m", str(models.lstm), str(models.valid)],
        "score": ["score", "-m", str(models.lstm), "the man was here"],
        "train": ["train", text, "--model", "lstm", *small, "-o", str(folder / "lstm")],
        "train an n-gram model": ["train", text, "--model", "ngram", "-o", str(folder / "ngram")],
    }
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", WALK, json.dumps(list(commands.values()))],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    found = dict(zip(commands, map(json.loads, ended.stdout.splitlines()), strict=True))
    assert not any(each["code"] for each in found.values()), ended.stderr
    return found


@pytest.mark.parametrize("name", ROOMS_AT_MOST)
def test_a_command_walks_through_few_rooms(walks, name):
    rooms = walks[name]["rooms"]
    assert "models" in rooms and len(rooms) <= ROOMS_AT_MOST[name], rooms


@pytest.mark.parametrize("name", ROOMS_AT_MOST)
def test_no_room_is_come_back_to_from_another(walks, name):
    assert walks[name]["returns"] == {}
