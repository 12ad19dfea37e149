"""Mixtures of models that adapt themselves, and the files of adaptations: stored, read, damaged."""

import contextlib
import json
import math
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.lm.base import span_scoring
from rnnlm.storage.files import tensors
from rnnlm.tools.mixtures import adapted_model
from rnnlm.tools.mixtures.adapted_model import STATISTICS, TunedSettings
from rnnlm.tools.mixtures.mixing import mix
from rnnlm.tools.mixtures.tuning import tune
from support.saved_models import sealed
from support.tiny_models import HELD_OUT, LINES, fit, save

TEXT = "text.txt"
pytestmark = pytest.mark.filterwarnings("ignore:.*default settings; rnnlm tune finds better ones")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder of two models, their texts, and a mixture in which one of them adapts."""
    folder = tmp_path_factory.mktemp("saved")
    lines = [*HELD_OUT, "the dog sat on a mat", "speech is hard", "a cat sat"]
    (folder / TEXT).write_text("\n".join(lines) + "\n")
    (folder / "train.txt").write_text("\n".join(LINES) + "\n")
    save(folder / "lstm", fit("lstm"), "lstm")
    save(folder / "kn", fit("ngram", order=3), "ngram", order=3)
    with contextlib.chdir(folder):
        mix(["lstm+cache", "kn"], None, "adapting", weights=[0.5, 0.5])
    return folder


@pytest.fixture(autouse=True)
def folders(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def _scores(name):
    model = rnnlm.load(name, "cpu")
    ids = model.tokenizer.encode(Path(TEXT).read_text().splitlines()).ids
    scores_N = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))
    return np.asarray(scores_N, dtype=np.float64)


@pytest.mark.parametrize("kind, bundle", [("cache", True), ("unigram", False), ("dynamic", False)])
def test_adapting_part_adds_probabilities_and_survives_reloading(kind, bundle):
    mixed = mix([f"lstm+{kind}", "kn"], TEXT, "both", bundle=bundle)
    weight, rest = (part.weight for part in mixed.parts)
    by_hand = np.log(weight * np.exp(_scores(f"lstm+{kind}")) + rest * np.exp(_scores("kn")))
    assert _scores("both") == pytest.approx(by_hand, rel=1e-5)
    assert mixed.evaluation.ppl_token == pytest.approx(math.exp(-by_hand.mean()), rel=1e-5)
    loaded = rnnlm.load("both", "cpu")
    again = evaluate(loaded, TEXT)
    assert again.signature == mixed.evaluation.signature and f"adapt:{kind}(" in again.signature
    assert mixed.parts[0].name == f"lstm+{kind}"
    assert pickle.loads(pickle.dumps(loaded)).adaptation == loaded.adaptation


def test_settings_are_those_of_the_moment_of_mixing():
    list(tune("lstm", "cache", TEXT))
    mix(["lstm+cache", "kn"], TEXT, "both")
    before = _scores("both")
    tuned = adapted_model.read_tuned(Path("lstm"), "cache")
    changed = replace(tuned, settings={**tuned.settings, "cache_weight": 0.9})
    adapted_model.save_tuned(Path("lstm"), changed)
    assert _scores("lstm+cache") != pytest.approx(before, rel=1e-5)
    assert (_scores("both") == before).all()


def test_only_adapting_parts_change_the_fingerprint():
    mix(["lstm", "kn"], None, "plain", weights=[0.5, 0.5])
    plain = json.loads(Path("plain/config.json").read_text())
    assert "adaptations" not in plain["settings"]
    assert "adaptation" not in plain["training"]["mixed"][0]
    adapting = json.loads(Path("adapting/config.json").read_text())["settings"]["adaptations"]
    assert adapting[1] is None and adapting[0]["kind"] == "cache"
    assert rnnlm.load("plain").fingerprint != rnnlm.load("adapting").fingerprint
    card = Path("adapting/README.md").read_text()
    assert "`lstm+cache`, weight 0.5" in card and ", cache(tokens=2000" in card
    assert "adaptations" not in card


def test_gradient_statistics_are_bundled_or_must_not_change():
    list(tune("lstm", "dynamic", TEXT, statistics="train.txt", tokens=20))
    mix(["lstm+dynamic", "kn"], TEXT, "referred")
    mix(["lstm+dynamic", "kn"], TEXT, "bundled", bundle=True)
    before = _scores("bundled")
    assert before == pytest.approx(_scores("referred"), rel=1e-6)
    list(tune("lstm", "dynamic", TEXT, statistics=TEXT, tokens=20, overwrite=True))
    assert (_scores("bundled") == before).all()
    with pytest.raises(ModelError, match=r"statistics in .*lstm have changed since the mixture"):
        rnnlm.load("referred", "cpu")


@pytest.mark.parametrize("name, error, what", [
    ("kn+cache", UsageError, "an n-gram model cannot be adapted in this way"),
    ("lstm+cash", ModelError, "no model named 'lstm[+]cash'"),
])  # fmt: skip
def test_what_cannot_adapt_itself_is_refused(name, error, what):
    with pytest.raises(error, match=what):
        mix([name, "kn"], TEXT, "both")
    assert not Path("both").exists()


@pytest.mark.parametrize("adaptations", [
    "cache", [None], [{"kind": "cache"}, None],
    [{"kind": "sleep", "settings": {}, "also": {}}, None],
    [{"kind": "cache", "settings": {"cache_weight": 7}, "also": {}}, None],
    [None, {"kind": "cache", "settings": {}, "also": {}}],
])  # fmt: skip
def test_damaged_settings_are_reported(adaptations):
    path = Path("adapting/config.json")
    config = json.loads(path.read_text())
    config["settings"]["adaptations"] = adaptations
    path.write_text(json.dumps(sealed(config)))
    with pytest.raises(ModelError, match="the model at adapting is damaged"):
        rnnlm.load("adapting", "cpu")


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
