"""Settings that were asked for and change nothing are named with the settings they need; and it
is true that they change nothing."""

import re

import pytest

from rnnlm import errors, registry
from rnnlm.config import describe, names_of, needs_of
from rnnlm.errors import RnnlmWarning
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.storage import model_folder
from rnnlm.text.lines import HoldoutSettings
from rnnlm.text.prepared.preparation import PreparationRequest
from rnnlm.text.prepared.preparation import resolve_request as resolve_prepare
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.plan import plan
from rnnlm.training.request import TrainingRequest
from rnnlm.training.run import run
from support.failures import notices_of
from support.small_runs import SMALL, write


def idle(work) -> list[str]:
    return [each for each in notices_of(work) if each.startswith("without effect")]


SGD = {
    "optimizer": "sgd", "learning_rate": 0.5, "schedule": "constant", "rollbacks": 0, "layers": 1,
    "layer_sizes": "8", "keep_checkpoints": 0,
}  # fmt: skip
OF_SGD = {
    "rms_decay": 0.5, "beta1": 0.1, "beta2": 0.2, "penalised": "recurrent", "plateau_factor": 0.3,
    "plateau_patience": 7, "plateau_gain": 0.5, "decay_after_epochs": 1, "decay_every_epochs": 3,
    "decay_factor": 0.1, "min_improvement": 2.0, "final_rate": 0.5, "rollback_factor": 0.1,
    "hidden_size": 99, "dropout_between": 0.7, "init_gain": 3.0, "save_every": "1steps",
    "vocab_size": 77, "sentencepiece_model": "bpe",
}  # fmt: skip
SPELLED = {"characters": "cnn", "loss": "full", "character_filters": "4,4", "character_size": 4}
OF_SPELLED = {"embedding_size": 99, "init_embedding": "he", "samples": 1024}


CASES = {"sgd": (SGD, OF_SGD), "characters": (SPELLED, OF_SPELLED)}


@pytest.mark.parametrize(("chosen", "others"), CASES.values(), ids=CASES)
def test_settings_reported_as_idle_change_nothing(text, tmp_path, monkeypatch, chosen, others):
    monkeypatch.setattr(errors, "LONGEST_MESSAGE", 10_000)
    weights = []
    for name, added in (("with", others), ("without", {})):
        flags = {**SMALL, **chosen, **added}
        request = TrainingRequest(text=(str(text),), flags=flags, output=tmp_path / name)
        told = idle(lambda request=request: list(run(plan(request))))
        [notice] = told
        each_idle = notice.removeprefix("without effect: ").split("; ")
        named = {each.split(" = ")[0] for each in each_idle}
        assert named == (others.keys() if added else SMALL.keys() & others.keys())
        files = model_folder.read_manifest(tmp_path / name).files.values()
        weights.append([entry.sha256 for entry in files if entry.role == "weights"])
    assert weights[0] == weights[1] != []


def of(**request) -> list[str]:
    return idle(lambda: plan(TrainingRequest(**{"text": ("text.txt",), **request})))


def test_only_requested_settings_are_reported_with_their_needs(text, tmp_path):
    # the recipe's decay_factor
    assert of(recipe="zaremba-small", assignments={"schedule": "cosine"}) == []
    smoothing = "without effect: backoff_factor = 0.3 needs smoothing = stupid (it is mkn); "
    pieces = "vocab_size = 300 needs tokenizer = sentencepiece (it is word)"
    assigned = {"vocab_size": "300", "min_count": "2"}
    asked = {"model": "ngram", "flags": {"backoff_factor": 0.3}, "assignments": assigned}
    assert of(**asked) == [smoothing + pieces]
    expected = ["without effect: patience = 3 needs valid or holdout (they are none, 0.0)"]
    assert of(flags={"patience": 3, "holdout": 0.0}) == expected
    expected = ["without effect: holdout = 0.2 needs valid = none (it is text.txt)"]
    assert of(flags={"holdout": 0.2}, valid=("text.txt",)) == expected
    by_steps = "without effect: min_validations = 40 needs validate_every_steps = none (it is 5)"
    assert of(flags={"min_validations": 40, "validate_every_steps": 5}) == [by_steps]
    expected = ["without effect: dropout_between = 0.3 needs layers = 2 or more (it is 1)"]
    assert of(flags={"dropout_between": 0.3}) == expected
    content = "beta1 = 0.8\nbeta2 = 0.999\noptimizer = 'sgd'\nnesterov = false\n"
    config = write(tmp_path / "c.toml", content)
    # beta2 is as it always is
    expected = ["without effect: beta1 = 0.8 needs optimizer = adam or adamw (it is sgd)"]
    assert of(recipe=str(config)) == expected
    flags = {"plateau_factor": 0.3, "schedule": "plateau", "beta1": 0.8}
    assert of(flags={**flags, "dropout_between": 0.3, "layers": 2}) == []
    request = PreparationRequest(("text.txt",), tmp_path, flags={"vocab_size": 300})
    assert idle(lambda: resolve_prepare(request)) == ["without effect: " + pieces]


def test_settings_of_a_smoothing_need_it(text):
    for name, description in describe(NgramSettings).items():
        smoothings = {word for word in re.findall(r"[\w-]+", description) if word in ESTIMATORS}
        # Other smoothings refuse `interpolate`.
        if smoothings and name not in ("smoothing", "interpolate"):
            assert set(needs_of(NgramSettings)[name]["smoothing"]) == smoothings, name
    expected = "without effect: additive_k = 1.0 needs smoothing = additive (it is witten-bell)"
    flags = {"smoothing": "witten-bell", "additive_k": 1.0}
    assert of(model="ngram", flags=flags) == [expected]
    expected = "without effect: discounts = lmplz needs smoothing = mkn (it is kn)"
    assert of(model="ngram", flags={"smoothing": "kn", "discounts": "lmplz"}) == [expected]
    assert of(model="unigram", flags={"additive_k": 1.0}) == []


def test_the_ineffective_way_to_start_is_reported(text, tmp_path):
    flags = {**SMALL, "budget": "1steps"}
    list(run(plan(TrainingRequest(text=("text.txt",), flags=flags, output=tmp_path / "first"))))
    write(tmp_path / "vectors.txt", "the 1 2 3 4 5 6\n")
    again = {"init_from": "first"}
    again["flags"] = {**flags, "init_range": 0.5, "embeddings": "vectors.txt"}
    told = "\n".join(notices_of(lambda: plan(TrainingRequest(text=("text.txt",), **again))))
    kept = "the weights come from `init_from` first, except in layers that it lacks"
    assert f"without effect: init_range; {kept}" in told
    replaced = "vectors of embeddings = vectors.txt replace vectors of `init_from` first"
    assert f"for the same words, {replaced}" in told


def test_vectors_of_words_for_other_tokens_are_told(text, tmp_path):
    write(tmp_path / "vectors.txt", "a 1 2 3 4 5 6\nthe 1 2 3 4 5 6\n")
    flags = {**SMALL, "budget": "1steps", "embeddings": "vectors.txt", "tokenizer": "char"}
    match = r"vectors.txt has vectors of words: .* only the char tokens that are words"
    with pytest.warns(RnnlmWarning, match=match):
        list(run(plan(TrainingRequest(text=("text.txt",), flags=flags, output=tmp_path / "m"))))


def test_needs_join_settings_that_exist():
    classes = {
        cls for kind in registry.kinds_of().values() if kind.is_trained for cls in kind.settings
    }
    classes |= {TokenizerSettings, HoldoutSettings}
    known = names_of(classes) | {"valid"}
    needs = {name: needed for cls in classes for name, needed in needs_of(cls).items()}
    assert needs and {*needs, *(other for needed in needs.values() for other in needed)} <= known
