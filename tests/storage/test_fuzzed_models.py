"""Fuzzed model folders and arrays: a model or an RnnlmError, in no more memory than the file."""

import contextlib
import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, strategies as st

import rnnlm
from rnnlm.errors import RnnlmError
from rnnlm.lm.base import stored_model
from rnnlm.scoring.generation.drawing import generate
from rnnlm.scoring.generation.settings import GenerationSettings
from rnnlm.storage import model_folder
from rnnlm.storage.files import tensors
from rnnlm.storage.files.tensors import DTYPES
from rnnlm.storage.manifest import read_manifest
from rnnlm.training.card import describe, summary
from support import odd_inputs
from support.saved_models import sealed
from support.tiny_models import fit, save

pytestmark = pytest.mark.soak

KINDS = {
    "unigram": {}, "ngram": {"order": 2}, "lstm": {},
    "mixture": {"parts": [("unigram", {}), ("ngram", {"order": 2})], "weights": [0.5, 0.5]},
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(place):
    for name, settings in KINDS.items():
        with odd_inputs.quiet():
            save(place / name, fit(name, **settings), name, **settings)
    return {name: place / name for name in KINDS}


def loads(folder):
    """Open a model folder in every way. Return the loaded model, or the error."""
    odd_inputs.value_or_error(lambda: read_manifest(folder).fingerprint)
    odd_inputs.value_or_error(lambda: describe(str(folder)))
    odd_inputs.value_or_error(lambda: summary(str(folder)))
    odd_inputs.value_or_error(lambda: model_folder.file_faults(folder, read_manifest(folder)))
    return odd_inputs.value_or_error(lambda: stored_model.load(folder, "cpu"))


@pytest.mark.parametrize("name", KINDS)
@given(st.data())
def test_a_damaged_config(folders, name, data):
    path = folders[name] / "config.json"
    whole = path.read_bytes()
    config = json.loads(whole)
    setting = st.builds(
        lambda key, value: {**config, "settings": {**config["settings"], key: value}},
        st.sampled_from(sorted(config["settings"])),
        odd_inputs.odd_json,
    )
    of_values = (odd_inputs.changed(config) | setting).map(sealed).map(odd_inputs.json_bytes)
    odd_inputs.put(path, data.draw(odd_inputs.damaged(whole) | odd_inputs.deep_json | of_values))
    try:
        loads(folders[name])
    finally:
        odd_inputs.put(path, whole)


@contextlib.contextmanager
def weights_of(folder, data):
    """Replace the weights of the model, and their recorded hash, inside this context."""
    path, config = next(folder.glob("weights-*")), folder / "config.json"
    whole, recorded = path.read_bytes(), config.read_bytes()
    odd_inputs.put(path, data)
    before, after = (hashlib.sha256(found).hexdigest().encode() for found in (whole, data))
    odd_inputs.put(config, recorded.replace(before, after))
    try:
        yield
    finally:
        odd_inputs.put(path, whole)
        odd_inputs.put(config, recorded)


@pytest.mark.parametrize("name", ["unigram", "ngram", "lstm"])
@odd_inputs.fewer
@given(st.data())
def test_damaged_numbers_are_scored_or_refused(folders, name, data):
    """Whoever makes a hostile model gives it the right hash; whatever the arrays hold, scoring
    ends, in numbers or in an error."""
    path = next(folders[name].glob("weights-*"))
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    numbers = data.draw(odd_inputs.damaged(whole[begin:]))
    with weights_of(
        folders[name], (whole[:begin] + numbers + whole[begin + len(numbers) :])[: len(whole)]
    ):
        loaded = loads(folders[name])
        if not isinstance(loaded, RnnlmError):
            odd_inputs.value_or_error(
                lambda: rnnlm.Model(loaded[0]).score_sentences(["the cat sat", "a dog zorp"])
            )
            odd_inputs.value_or_error(
                lambda: list(generate(loaded[0], GenerationSettings(max_tokens=5)))
            )


ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros(0, dtype=np.int64), "c": np.ones((), dtype=np.uint8),
}  # fmt: skip
ENTRIES = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "c": {"dtype": "BF16", "shape": [2], "data_offsets": [24, 28]},
}


ENTRY = {
    "dtype": st.sampled_from(sorted(DTYPES)), "shape": st.lists(st.integers(0, 3), max_size=3),
    "data_offsets": st.tuples(st.just(0), st.integers(0, 28)),
}  # fmt: skip


def of_header(header: bytes, data: bytes = bytes(28)) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


@example(
    of_header(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}')
)
@example(b"\xff" * 8)
@given(
    st.one_of(
        odd_inputs.damaged(b"".join(tensors.chunks(ARRAYS)), safetensors.numpy.save(ARRAYS)),
        odd_inputs.changed(ENTRIES).map(lambda entries: of_header(odd_inputs.json_bytes(entries))),
        st.dictionaries(
            st.sampled_from(["a", "a@scale", "b@scale", "@scale"]) | odd_inputs.odd_text,
            st.fixed_dictionaries(ENTRY),
            max_size=3,
        ).map(lambda entries: of_header(odd_inputs.json_bytes(entries))),
        odd_inputs.deep_json.map(of_header),
        st.builds(
            lambda size, rest: size.to_bytes(8, "little") + rest,
            st.integers(0, 2**64 - 1),
            st.binary(max_size=60),
        ),
    )
)
def test_any_file_of_arrays(place, data):
    path = place / "any.safetensors"
    odd_inputs.put(path, data)
    odd_inputs.value_or_error(lambda: tensors.shapes(path))
    arrays = odd_inputs.value_or_error(lambda: tensors.mapped(path))
    if not isinstance(arrays, RnnlmError):
        assert sum(array.nbytes for array in arrays.values()) <= len(arrays) * len(data)
        joined = odd_inputs.value_or_error(lambda: model_folder.joined([arrays]))
        if not isinstance(joined, RnnlmError):
            odd_inputs.value_or_error(
                lambda: tensors.check_shapes(joined, dict.fromkeys(joined, ("F32", (2, 3))))
            )


def test_what_is_damaged_above_was_whole(folders):
    """One model of each kind is sound, so that the tests above damage something that works."""
    for name, folder in folders.items():
        assert not isinstance(loads(folder), RnnlmError), name
        assert describe(str(folder))["model"] == name
