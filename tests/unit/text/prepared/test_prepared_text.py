"""Damaged and hostile folders end in an error of one line each; `doctor` finds what loading does not look at."""

import json
import os
import shutil

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError
from rnnlm.files import tensor_files
from rnnlm.text.prepared import checks, encoder, prepared_text, request

LINES = [f"line number {number} of so many words" for number in range(200)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "text.txt").write_text("\n".join(LINES) + "\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "SHARD_BYTES", 2_000)
        patched.setattr(request, "SHARD_BYTES", 2_000)
        list(rnnlm.prepare(folder / "text.txt", folder / "text", workers=0))
    return folder / "text"


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def edited(folder, change):
    index = json.loads((folder / "index.json").read_text())
    change(index)
    (folder / "index.json").write_text(json.dumps(index))


def rewritten(folder, **change):
    """The second shard with other arrays, at the length that the index says."""
    path = folder / "shard-00001.safetensors"
    arrays = {name: np.array(array) for name, array in tensor_files.mapped(path).items()} | change
    path.write_bytes(b"".join(tensor_files.chunks(arrays)))
    edited(folder, lambda index: index["shards"][1].update(file_bytes=path.stat().st_size))


def swap(folder):
    one, other = folder / "shard-00000.safetensors", folder / "shard-00001.safetensors"
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)


DAMAGES = {
    "a shard is missing": lambda folder: (folder / "shard-00001.safetensors").unlink(),
    "a shard is cut short": lambda folder: os.truncate(folder / "shard-00001.safetensors", 100),
    "a shard is a link": lambda folder: link_away(folder / "shard-00001.safetensors"),
    "shards are swapped": swap,
    "the tokenizer is missing": lambda folder: (folder / "vocab.txt").unlink(),
    "the tokenizer has changed": lambda folder: (
        (folder / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes().replace(b"line", b"lime"))
    ),
    "no JSON": lambda folder: (folder / "index.json").write_text("{"),
    "no object": lambda folder: (folder / "index.json").write_text("[1]"),
    "deep JSON": lambda folder: (folder / "index.json").write_text("[" * 100_000),
    "a newer format": lambda folder: edited(folder, lambda index: index.update(format_version=9)),
    "a name that leads out": lambda folder: edited(folder, lambda index: index["shards"][0].update(name="../shard-00000.safetensors")),
    "a tokenizer's name that leads out": lambda folder: (
        edited(folder, lambda index: index.update(files={"../vocab.txt": index["files"]["vocab.txt"]}))
    ),
    "a huge count": lambda folder: edited(folder, lambda index: index["shards"][0]["counts"].update(tokens=10**15)),
    "a negative count": lambda folder: edited(folder, lambda index: index["shards"][0]["counts"].update(tokens=-1)),
    "huge counts that add up": lambda folder: edited(folder, huge),
    "a huge number": lambda folder: (
        (folder / "index.json").write_text((folder / "index.json").read_text().replace('"tokens": ', '"tokens": 1e400'))
    ),
    "shards out of order": lambda folder: edited(folder, lambda index: index["shards"].reverse()),
    "no shards": lambda folder: edited(folder, lambda index: index.update(shards=[])),
    "an unknown tokenizer": lambda folder: edited(folder, lambda index: index["tokenizer"].update(tokenizer="wordpiece")),
    "ids of another type": lambda folder: rewritten(folder, ids=np.zeros(10, dtype=np.float32)),
    "a pickle": lambda folder: (folder / "shard-00000.safetensors").write_bytes(b"\x80\x04K\x01."),
}  # fmt: skip


def link_away(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def huge(index):
    index["shards"][0]["counts"]["tokens"] += 10**15
    index["counts"]["tokens"] += 10**15


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_an_error_before_anything_is_read_or_trained(folder, damage):
    DAMAGES[damage](folder)
    with pytest.raises(ModelError) as error:
        prepared_text.load(folder)
    assert str(folder) in error.value.what and "\n" not in str(error.value)
    assert any(problem for _, problem, _ in checks.problems(folder))


def test_a_whole_folder_has_no_problems(whole):
    assert [problem for _, problem, _ in checks.problems(whole)] == ["", "", ""]
    described = checks.describe(whole)
    assert described["counts"]["lines"] == 200 and described["prepared text"] == "finished" and described["shards"] > 2


@pytest.mark.parametrize("wrong", ["ids", "oov", "tokens"])
def test_content_that_loading_does_not_look_at_is_found_by_doctor_and_stops_reading(folder, wrong):
    arrays = tensor_files.mapped(folder / "shard-00001.safetensors")
    values = np.array(arrays[wrong]) if wrong != "oov" else np.zeros(0, dtype=np.uint32)
    if len(values):
        values[0] = 60_000 if wrong == "ids" else values[0] + 1
        rewritten(folder, **{wrong: values})
        assert any("shard-00001" in problem for _, problem, _ in checks.problems(folder))
    if wrong == "ids":
        text = prepared_text.load(folder)
        with pytest.raises(ModelError, match="not below"):
            text.encode(text.tokenizer)
