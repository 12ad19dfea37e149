import json

import numpy as np
import pytest

from rnnlm.errors import ModelError
from rnnlm.lm.mixtures import adapted_model
from rnnlm.lm.mixtures.adapted_model import STATISTICS, TunedSettings
from rnnlm.storage.files import tensors
from support.saved_models import sealed

TUNED = TunedSettings(
    "cache", {"cache_tokens": 5, "cache_weight": 0.25}, "0123456789ab", "abc", 10, 20.0, 19.0
)
SQUARES = {"a": np.float32([[1, 2], [3, 4]]), "b": np.float32([0, 0.5])}
SHAPES = {"a": (2, 2), "b": (2,)}


def test_settings_come_back_as_they_were_saved(tmp_path):
    assert adapted_model.read_tuned(tmp_path, "cache") is None
    adapted_model.save_tuned(tmp_path, TUNED)
    assert adapted_model.read_tuned(tmp_path, "cache") == TUNED
    assert adapted_model.read_tuned(tmp_path, "unigram") is None


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff", b'{"kind": "cache"}', b"[" * 100_000,
    json.dumps(sealed({"kind": "cache", "settings": {"cache_tokens": 0}})).encode(),
    json.dumps(sealed({"kind": "cache", "settings": {"cache_size": 5}})).encode(),
    json.dumps(sealed({"kind": "cache", "settings": {"cache_weight": "much"}})).encode(),
])  # fmt: skip
def test_damaged_settings_error_names_the_file(tmp_path, content):
    (tmp_path / "adapt-cache.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"adapt-cache\.json are damaged.*rnnlm tune -m .*.cache"):
        adapted_model.read_tuned(tmp_path, "cache")


def test_statistics_come_back_for_their_own_weights_only(tmp_path):
    assert adapted_model.read_statistics(tmp_path, SHAPES, "0123456789ab") is None
    adapted_model.save_statistics(tmp_path, SQUARES, "0123456789ab")
    found = adapted_model.read_statistics(tmp_path, SHAPES, "0123456789ab")
    assert found.keys() == SQUARES.keys()
    assert all(np.array_equal(found[name], SQUARES[name]) for name in SQUARES)
    what = "belong to other weights.*rnnlm tune -m NAME.dynamic --statistics"
    refuse_statistics(tmp_path, what, "ba9876543210")


def refuse_statistics(folder, what, fingerprint="0123456789ab"):
    with pytest.raises(ModelError, match=what):
        adapted_model.read_statistics(folder, SHAPES, fingerprint)


@pytest.mark.parametrize("squares", [
    {"a": SQUARES["a"]}, {**SQUARES, "c": SQUARES["b"]}, {**SQUARES, "b": np.float32([1])},
    {**SQUARES, "b": np.float64([1, 2])}, {**SQUARES, "b": np.float32([-1, 2])},
    {**SQUARES, "b": np.float32([np.nan, 2])}, {**SQUARES, "b": np.float32([np.inf, 2])},
])  # fmt: skip
def test_statistics_that_do_not_fit_weights_are_refused(tmp_path, squares):
    adapted_model.save_statistics(tmp_path, squares, "0123456789ab")
    refuse_statistics(tmp_path, "are damaged")


def test_statistics_of_another_hash_or_none_are_refused(tmp_path):
    adapted_model.save_statistics(tmp_path, SQUARES, "0123456789ab")
    path = tmp_path / STATISTICS
    path.write_bytes(path.read_bytes().replace(np.float32(4).tobytes(), np.float32(5).tobytes()))
    what = "are damaged; their SHA-256 does not match the recorded one"
    refuse_statistics(tmp_path, f"{what}; collect them again")
    owner = np.frombuffer(b"0123456789ab", dtype=np.uint8)
    path.write_bytes(b"".join(tensors.chunks({**SQUARES, "model": owner})))
    refuse_statistics(tmp_path, what)
