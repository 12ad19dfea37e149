"""Settings that change nothing are named with those they need, and change nothing."""

import re

import pytest

from rnnlm import errors, registry
from rnnlm.config import describe, names_of, needs_of
from rnnlm.errors import RnnlmWarning, SettingsError
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.storage import model_folder
from rnnlm.text.lines import HoldoutSettings
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


@pytest.mark.long
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


@pytest.mark.needs("tools/prepared")
def test_idle_settings_of_a_preparation_are_told(text, tmp_path):
    from rnnlm.tools.prepared.preparation import PreparationRequest, resolve_request

    request = PreparationRequest(("text.txt",), tmp_path, flags={"vocab_size": 300})
    told = idle(lambda: resolve_request(request))
    needed = "tokenizer = sentencepiece (it is word)"
    assert told == [f"without effect: vocab_size = 300 needs {needed}"]


# By the rule of check_needs: what switches something on is refused, what tunes is noted.
REFUSED = {
    "optimizer=sgd nesterov=true": "nesterov = true needs momentum; it is 0.0; set momentum, or l",
    "optimizer=rmsprop momentum=.9 nesterov=true": "needs optimizer = sgd; it is rmsprop; set o",
    "nonmonotone_interval=5": "optimizer = asgd; it is adamw; set optimizer=asgd, or leave nonmo",
    "optimizer=asgd fine_tune_after=0.5": "needs nonmonotone_interval; it is none",
    "return_to_best=true": "needs schedule = plateau; it is linear; set schedule=plateau",
    "characters_beside=true": "needs characters = cnn or lstm; it is none; set characters=cnn, or",
    "cutoffs=10,20": "needs output_layer = adaptive; it is softmax",
    "classes=10": "needs output_layer = class; it is softmax",
    "mogrifier_rank=10": "needs mogrifier_rounds; it is 0",
    "patience=3 holdout=0": "needs valid or holdout; they are none, 0.0; set valid, or leave pati",
    "tokenizer=byte max_vocab=9": "needs tokenizer = word or char; it is byte",
    "model=ngram smoothing=kn additive_k=1": "needs smoothing = additive; it is kn",
    "model=lstm task=seq2seq attention=none input_feeding=true": "needs attention; it is none",
}
NOTED = {
    "momentum=.9": "momentum = 0.9 needs optimizer = sgd or rmsprop (it is adamw)",
    "rms_decay=.9": "rms_decay = 0.9 needs optimizer = rmsprop (it is adamw)",
    "optimizer=asgd momentum=.9": "momentum = 0.9 needs optimizer = sgd or rmsprop (it is asgd)",
    "asgd_start=5": "asgd_start = 5 needs optimizer = asgd (it is adamw)",
    "character_size=20": "character_size = 20 needs characters = cnn or lstm (it is none)",
    "loss=nce output_layer=class": "loss = nce needs output_layer = softmax (it is class)",
    "loss=full samples=9": "samples = 9 needs loss = sampled or nce (it is full)",
    "output_layer=class mixture_components=9": "needs output_layer = mos (it is class)",
    "output_layer=class dropout_latent=.1": "needs output_layer = mos (it is class)",
    "tokenizer=byte min_count=2": "min_count = 2 needs tokenizer = word or char (it is byte)",
}


def with_settings(text: str) -> TrainingRequest:
    assignments = dict(part.split("=") for part in text.split())
    settings = {"device": "cpu", **assignments} if "ngram" not in text else assignments
    names = ("text.txt",) if "seq2seq" not in text else ("travel",)
    return TrainingRequest(text=names, assignments=settings)


@pytest.mark.needs("tasks/seq2seq")
@pytest.mark.parametrize(("settings", "message"), REFUSED.items(), ids=REFUSED)
def test_what_is_switched_on_without_what_it_needs_is_refused(text, settings, message):
    with pytest.raises(SettingsError) as caught:
        plan(with_settings(settings))
    assert message in f"{caught.value.what}; {caught.value.why}; {caught.value.hint}"


@pytest.mark.parametrize(("settings", "message"), NOTED.items(), ids=NOTED)
def test_what_tunes_something_that_is_not_there_is_noted(text, settings, message):
    [told] = idle(lambda: plan(with_settings(settings)))
    assert told.startswith("without effect: ") and told.endswith(message)


def test_a_grid_and_a_file_are_requests_and_a_recipe_is_none(text, tmp_path):
    config = write(tmp_path / "c.toml", "nesterov = true\noptimizer = 'adam'\n")
    with pytest.raises(SettingsError, match="nesterov = true needs optimizer = sgd"):
        of(recipe=str(config))
    # A recipe's average goes with its optimizer, and fine-tuning with the average.
    request = TrainingRequest(
        text=("text.txt",), recipe="awd-lstm-ptb", assignments={"optimizer": "adam"}
    )
    values = plan(request).resolved.values
    assert values["nonmonotone_interval"] is None and values["fine_tune_after"] is None


def test_settings_of_a_smoothing_need_it(text):
    for name, description in describe(NgramSettings).items():
        smoothings = {word for word in re.findall(r"[\w-]+", description) if word in ESTIMATORS}
        # Other smoothings refuse `interpolate`.
        if smoothings and name not in ("smoothing", "interpolate"):
            [needed] = needs_of(NgramSettings)[name]
            assert set(needed["smoothing"]) == smoothings, name
    expected = "without effect: unseen = zero needs smoothing = interpolated (it is witten-bell)"
    flags = {"smoothing": "witten-bell", "unseen": "zero"}
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
    needs = {name: groups for cls in classes for name, groups in needs_of(cls).items()}
    others = {other for groups in needs.values() for needed in groups for other in needed}
    assert needs and {*needs, *others} <= known
