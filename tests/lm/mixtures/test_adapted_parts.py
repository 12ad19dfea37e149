"""Mixtures of models that adapt themselves, stored and read back as the same model."""

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.lm.base import span_scoring
from rnnlm.lm.mixtures import adapted_model
from rnnlm.training.derived.mixing import mix
from rnnlm.training.derived.tuning import tune
from support.saved_models import sealed
from support.tiny_models import HELD_OUT, LINES, fit, save

TEXT = "text.txt"
pytestmark = pytest.mark.filterwarnings("ignore:.*default settings; rnnlm tune finds better ones")


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [*HELD_OUT, "the dog sat on a mat", "speech is hard", "a cat sat"]
    (tmp_path / TEXT).write_text("\n".join(lines) + "\n")
    (tmp_path / "train.txt").write_text("\n".join(LINES) + "\n")
    save(tmp_path / "lstm", fit("lstm"), "lstm")
    save(tmp_path / "kn", fit("ngram", order=3), "ngram", order=3)


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
    mix(["lstm+cache", "kn"], None, "adapting", weights=[0.5, 0.5])
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
    mix(["lstm+cache", "kn"], None, "both", weights=[0.5, 0.5])
    path = Path("both/config.json")
    config = json.loads(path.read_text())
    config["settings"]["adaptations"] = adaptations
    path.write_text(json.dumps(sealed(config)))
    with pytest.raises(ModelError, match="the model at both is damaged"):
        rnnlm.load("both", "cpu")
