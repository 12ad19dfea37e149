"""Prepared texts: the index, the journal and the shards' files; a text or an RnnlmError, and no
more memory than the files ask for."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlm
from rnnlm.files import tensors
from rnnlm.text.prepared import encoder, prepared_text
from rnnlm.text.prepared.index import INDEX, JOURNAL, read_index
from support.odd_inputs import changed, damaged, deep_json, json_bytes, put, value_or_error

MOST_BYTES = 50 << 20
SHARD = "shard-00001.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("prepared")
    (place / "text.txt").write_text(
        "\n".join(f"line {number % 7} of many\n" for number in range(90)), encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "SHARD_BYTES", 500)
        list(
            rnnlm.prepare(
                place / "text.txt", place / "text", workers=0, min_count=20, blank_lines="documents"
            )
        )
    return place / "text"


def read_all(folder):
    """Call loading, info, doctor and reading, each as far as it gets."""
    tracemalloc.start()
    try:
        text = value_or_error(lambda: prepared_text.load(folder))
        value_or_error(lambda: prepared_text.describe(folder))
        checks = value_or_error(lambda: list(prepared_text.problems(folder)))
        if isinstance(text, prepared_text.PreparedText):
            encoded = value_or_error(lambda: text.encode(text.tokenizer))
            value_or_error(lambda: text.split(0.3).encode(text.tokenizer))
        else:
            encoded = text
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        return encoded, checks
    finally:
        tracemalloc.stop()


@given(st.data())
def test_a_damaged_index(folder, data):
    whole = (folder / INDEX).read_bytes()
    content = data.draw(
        st.one_of(damaged(whole), changed(json.loads(whole)).map(json_bytes), deep_json)
    )
    put(folder / INDEX, content)
    try:
        read_all(folder)
    finally:
        put(folder / INDEX, whole)


@given(st.data())
def test_a_damaged_journal(folder, data):
    whole = (folder / INDEX).read_bytes()
    put(
        folder / JOURNAL,
        data.draw(st.one_of(damaged(whole), changed(json.loads(whole)).map(json_bytes))),
    )
    try:
        value_or_error(lambda: read_index(folder, JOURNAL))
    finally:
        (folder / JOURNAL).unlink()


def replaced(folder, content: bytes) -> dict[str, bytes]:
    """Replace a shard by `content`, and its length in the index. Return the files as they were
    before."""
    before = {name: (folder / name).read_bytes() for name in (INDEX, SHARD)}
    index = json.loads(before[INDEX])
    index["shards"][1]["file_bytes"] = len(content)
    put(folder / SHARD, content)
    put(folder / INDEX, json_bytes(index))
    return before


@given(st.data())
def test_a_damaged_header_of_a_shard(folder, data):
    whole = (folder / SHARD).read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    header = data.draw(
        st.one_of(
            damaged(whole[8:end]), changed(json.loads(whole[8:end])).map(json_bytes), deep_json
        )
    )
    size = data.draw(st.sampled_from([len(header), len(header), len(header), 0, 2**63, end]))
    content = size.to_bytes(8, "little") + header + whole[end:]
    before = replaced(folder, content)
    try:
        _, checks = read_all(folder)
        # its hash is not the one recorded
        assert any(problem for _, problem, _ in checks) or content == whole
    finally:
        for name, original in before.items():
            put(folder / name, original)


@given(st.data())
def test_odd_numbers_in_a_shard(folder, data):
    arrays = {name: np.array(array) for name, array in tensors.mapped(folder / SHARD).items()}
    name = data.draw(st.sampled_from(sorted(arrays)))
    most = np.iinfo(arrays[name].dtype).max
    for at in data.draw(
        st.lists(st.integers(0, max(0, len(arrays[name]) - 1)), min_size=1, max_size=3)
    ):
        arrays[name][at : at + 1] = data.draw(st.sampled_from([0, 1, 2, 100, most // 2, most]))
    before = replaced(folder, b"".join(tensors.chunks(arrays)))
    try:
        encoded, _ = read_all(folder)
        if not isinstance(encoded, Exception):
            assert encoded.ids.max() < 12 and (np.diff(encoded.line_offsets) >= 0).all()
    finally:
        for name, content in before.items():
            put(folder / name, content)
