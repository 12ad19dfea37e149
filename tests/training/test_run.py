"""A run: its events, its saves, models to start from, and how it may end."""

import itertools
import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm.choices import taken_choices
from rnnlm.errors import OutputError, TrainingError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.events import (
    CheckpointSaved,
    Evaluating,
    Finished,
    Fitted,
    ModelSaved,
    Started,
    Step,
    Validated,
)
from rnnlm.lm.base import stored_model
from rnnlm.lm.neural.training import optimization, validation
from rnnlm.runs import train
from rnnlm.storage import model_folder, run_files
from rnnlm.storage.run_files import read_events
from rnnlm.training.plan import TrainingRequest, plan
from rnnlm.training.run import run
from support.small_runs import SMALL, assert_equal, numbers, write

WILD = {
    "learning_rate": 1e30, "optimizer": "sgd", "clip_norm": None, "schedule": "constant",
    "warmup": 0.0,
}  # fmt: skip


def test_events_come_in_order_and_the_best_model_is_saved(text):
    events = list(train(text, output="m", validate_every_steps=2, **SMALL))
    kinds = [type(event) for event in events]
    assert kinds[0] is Started and kinds[-4:] == [Fitted, CheckpointSaved, Evaluating, Finished]
    for at, event in enumerate(events):
        follows = isinstance(event, Validated) and event.improved
        assert (kinds[at + 1 : at + 2] == [ModelSaved]) == follows
    assert kinds.count(Validated) == 3 and kinds.count(Step) >= 3
    saved = [event.step for event in events if isinstance(event, ModelSaved)]
    assert saved and saved[-1] == events[-1].step
    assert (events[-1].folder, events[-1].steps, events[-1].stopped) == ("m", 6, "budget")

    validated = [event for event in events if isinstance(event, Validated)]
    best = min(validated, key=lambda event: event.ppl_token)
    assert model_folder.read_manifest(Path("m")).step == best.step
    fitted = next(event for event in events if isinstance(event, Fitted))
    assert_equal(numbers("m"), fitted.model.to_arrays())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_model_that_others_wrote_since_the_plan_is_kept(text, seed):
    planned = plan(TrainingRequest(text=(str(text),), output=Path("m"), flags=SMALL))
    train(text, output="m", **SMALL, seed=seed).wait()
    theirs = Path("m/config.json").read_bytes()
    with pytest.raises(OutputError, match="m has changed since this run was planned"):
        list(run(planned))
    assert Path("m/config.json").read_bytes() == theirs


def test_results_are_exact_evaluations_of_the_saved_model(text, tmp_path):
    test = write(tmp_path / "test.txt", "the dog was in the yard\nthe gate was shut\n")
    valid = write(tmp_path / "valid.txt", "the dog was shut\n" * 40)
    *_, finished = train(text, output="m", valid=str(valid), test=[str(test)], **SMALL)
    assert set(finished.results) == {"valid", "test"}
    again = evaluate(rnnlm.load("m", device="cpu"), test).to_dict()
    assert again["ppl_token"] == pytest.approx(finished.results["test"]["ppl_token"], rel=1e-6)
    assert again["signature"] == finished.results["test"]["signature"]
    assert model_folder.read_manifest(Path("m")).results == finished.results


def test_metrics_are_json_lines_one_per_event(text):
    events = list(train(text, output="m", validate_every_steps=3, **SMALL))
    lines = Path("m/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    kinds = [entry["event"] for entry in logged]
    assert kinds[0] == "started" and kinds[-1] == "finished" and "step" in kinds
    others = [event.kind for event in events if not isinstance(event, Step)]
    assert [kind for kind in kinds if kind != "step"] == others
    validated = [event for event in events if isinstance(event, Validated)]
    told = [entry["ppl_token"] for entry in logged if entry["event"] == "validated"]
    assert told == [event.ppl_token for event in validated]
    assert logged[0]["model"] == "lstm" and not any("object at" in str(entry) for entry in logged)


def test_the_card_tells_data_recipe_numbers_and_use(text):
    *_, finished = train(text, output="m", **SMALL)
    card = Path("m/README.md").read_text(encoding="utf-8")
    manifest = model_folder.read_manifest(Path("m"))
    assert card.startswith("# m\n")
    signature = finished.results["valid"]["signature"]
    for part in (str(text), "recipe | lstm", manifest.fingerprint, signature, "rnnlm score -m m"):
        assert part in card
    # Of the settings, those that are not the recipe's.
    assert "Those of `--recipe lstm`, except for:" in card
    assert "\nhidden_size = 8  # recipe: 512\n" in card
    recipe = card.split("```toml\n")[1].split("```")[0]
    settings = tomllib.loads(recipe)
    assert settings.pop("recipe") == "lstm"
    assert settings.pop("embeddings") == "none" and manifest.settings["embeddings"] is None
    assert settings.items() <= manifest.settings.items()
    of_text = {choice.name for choice in taken_choices(manifest.training)}
    assert of_text > {"loss", "samples", "learning_rate", "weight_decay"}  # few words and lines
    assert settings.keys() <= SMALL.keys() | of_text
    assert f"\nAll {len(manifest.settings)} settings: config.json\n" in card

    # They make the same model again.
    list(train(text, output="n", recipe=write(Path("again.toml"), recipe)))
    assert_equal(numbers("m"), numbers("n"))


def test_a_card_without_recipe_names_the_defaults(text):
    list(train(text, output="k", model="ngram", order=3))
    card = Path("k/README.md").read_text(encoding="utf-8")
    assert "\nThe defaults of kind `ngram`, except for:\n" in card
    assert "\n```toml\norder = 3  # default: 5\n```\n" in card
    list(train(text, output="usual", model="ngram"))
    card = Path("usual/README.md").read_text(encoding="utf-8")
    assert "\nThe defaults of kind `ngram`.\n" in card and "```toml" not in card


@pytest.mark.system("posix")  # Windows' names are UTF-16
def test_file_names_outside_utf8_are_recorded_unchanged(text):
    odd = os.fsdecode(b"\xff.txt")
    write(Path(odd), text.read_text(encoding="utf-8"))
    *_, finished = train(odd, output=f"m{odd}", **SMALL)
    manifest = model_folder.read_manifest(Path(finished.folder))
    assert manifest.training["text"] == [odd]
    logged = read_events(Path(finished.folder))
    assert logged[-1]["folder"] == finished.folder == f"m{odd}"
    assert "\\udcff.txt" in Path(finished.folder, "README.md").read_text(encoding="utf-8")


def test_documents_are_trained_on(text, lines):
    write(text, "\n\n".join("\n".join(lines[at : at + 5]) for at in range(0, 100, 5)))
    flags = {**SMALL, "blank_lines": "documents"}
    made = plan(TrainingRequest(text=(str(text),), output=Path("m"), flags=flags))
    assert len(made.data.train.document_offsets) - 1 == 19 and made.data.valid.sentences == 5
    *_, finished = run(made)
    assert finished.stopped == "budget"


def test_a_tokenizer_is_taken_from_another_model(text, tmp_path):
    list(train(text, model="unigram", output="u", lowercase=True))
    other = write(tmp_path / "other.txt", "THE zebra\n" * 30)
    made = plan(TrainingRequest(text=(str(other),), tokenizer_from="u", flags=SMALL))
    assert made.data.tokenizer.fingerprint == rnnlm.load("u").tokenizer.fingerprint
    assert "zebra" not in made.data.tokenizer.symbols()
    assert made.resolved.values["lowercase"] is True
    assert made.resolved.origins["lowercase"] == "tokenizer of u"
    *_, finished = run(made)
    model, _ = stored_model.load(Path(finished.folder), "cpu")
    assert model.tokenizer.fingerprint == made.data.tokenizer.fingerprint


@pytest.mark.parametrize("settings", [{"loss": "sampled"}, {"characters": "cnn"}])
def test_without_counts_in_the_tokenizer_those_of_the_text_are_taken(text, tmp_path, settings):
    words = "".join(f"-0.7\t{word}\n" for word in ("<unk>", "</s>", "line", "1", "2"))
    content = f"\\data\\\nngram 1=6\n\n\\1-grams:\n-99\t<s>\n{words}\n\\end\\\n"
    arpa = write(tmp_path / "u.arpa", content)
    rnnlm.import_arpa(arpa, "imported")
    other = write(tmp_path / "other.txt", "line 1 zebra\n" * 30)
    flags = {**SMALL, **settings}
    *_, finished = train(other, model="lstm", output="m", tokenizer_from="imported", **flags)
    tokenizer = rnnlm.load("m").tokenizer
    assert tokenizer.counts_V is None
    bias_V = numbers(finished.folder)["output.bias"]
    symbols = tokenizer.symbols()
    # "zebra" is unknown there, and as frequent as the line's end
    assert bias_V[tokenizer.unk_id] == pytest.approx(bias_V[tokenizer.boundary_id], abs=0.2)
    assert bias_V[symbols.index("1")] > bias_V[symbols.index("2")] + 3
    output = rnnlm.load("m").core.new_network().output
    assert output.needs_counts == (settings != {"characters": "cnn"})


def test_settings_contradicting_the_borrowed_tokenizer_are_refused(text):
    list(train(text, model="unigram", output="u"))
    asked = {"tokenizer_from": "u", "flags": {**SMALL, "lowercase": True}}
    match = "`tokenizer_from` has lowercase = False; True was requested"
    with pytest.raises(UsageError, match=match):
        plan(TrainingRequest(text=(str(text),), **asked))


def test_a_requested_stop_saves_the_best_model(text):
    validated = []
    run = train(text, output="m", stop=lambda: bool(validated), validate_every_steps=2, **SMALL)
    for event in run:
        if isinstance(event, Validated):
            validated.append(event)
        finished = event
    assert (finished.stopped, finished.steps) == ("request", 2)
    assert model_folder.read_manifest(Path("m")).step == finished.step == 2
    assert model_folder.read_manifest(Path("m")).training["stopped"] == "request"
    assert rnnlm.load("m", device="cpu").score_sentences(["the dog"])


def test_a_stop_before_validation_still_saves(text):
    steps = []
    stop = lambda: steps.append(1) or len(steps) > 2  # noqa: E731
    few_targets = {**SMALL, "batch_rows": 2, "bptt_tokens": 5}  # too few to be judged by their loss
    *_, finished = train(text, output="m", stop=stop, min_validations=0, **few_targets)
    assert (finished.stopped, finished.step) == ("request", 2)
    stored_model.load(Path("m"), "cpu")
    assert run_files.load_checkpoint(Path("m")).state.facts["step"] == 2


def test_divergence_before_any_model_leaves_only_its_log(text):
    match = r"none is saved; m.metrics\.jsonl has the log.*init_gain below 1"
    with pytest.raises(TrainingError, match=match):
        list(train(text, output="m", model="rnn", activation="elu", **SMALL, **WILD))
    assert os.listdir("m") == ["metrics.jsonl"]
    first, *_, last = read_events(Path("m"))
    assert (first["event"], last["event"], last["stopped"]) == ("started", "fitted", "diverged")
    list(train(text, output="m", **SMALL))
    kinds = [event["event"] for event in read_events(Path("m"))]
    assert kinds[-1] == "finished" and kinds.count("started") == 1


def test_the_old_model_survives_runs_that_fail_and_until_the_new_one(text):
    list(train(text, output="m", **SMALL))
    before, log = numbers("m"), read_events(Path("m"))
    with pytest.raises(TrainingError):
        list(train(text, output="m", overwrite=True, holdout=0.0, **SMALL, **WILD))
    with pytest.raises(TrainingError, match="stopped before the first step that lasts"):
        list(train(text, output="m", overwrite=True, stop=lambda: True, **SMALL))
    assert read_events(Path("m")) == log
    assert_equal(before, numbers("m"))
    before = model_folder.read_manifest(Path("m"))
    log = Path("m/metrics.jsonl").read_text()
    saved = False
    wider = {**SMALL, "hidden_size": 9}
    for event in train(text, output="m", overwrite=True, validate_every_steps=2, **wider):
        saved = saved or isinstance(event, ModelSaved)
        model, manifest = stored_model.load(Path("m"), "cpu")
        assert (manifest == before) != saved
        assert model.network.settings.hidden_size == (9 if saved else 8)
        if not saved:
            assert Path("m/metrics.jsonl").read_text() == log
    assert Path("m/metrics.jsonl").read_text().count('"started"') == 1


@pytest.fixture
def late(monkeypatch):
    """Let the learning rate be far too high from the middle of a run on."""

    def rate(self, progress, epochs):
        return 1e-3 if progress < 0.5 else 1e38

    monkeypatch.setattr(optimization.LearningRate, "at", rate)
    return {"optimizer": "sgd", "clip_norm": None, **SMALL}


def test_a_later_divergence_keeps_the_best_model(text, late):
    with pytest.raises(TrainingError, match="the best weights, of step 2, are in m"):
        list(train(text, output="m", validate_every_steps=2, **late))
    assert model_folder.read_manifest(Path("m")).step == 2
    assert all(np.isfinite(array).all() for array in numbers("m").values())


def test_divergence_without_validation_saves_the_last_good_weights(text, late, monkeypatch):
    # Each step is looked at, whatever that costs.
    monkeypatch.setattr(validation, "KEEP_STEPS", (1, 1))
    back = "not a number by step 4; rolled back 3 times, down to 0.125 of the learning rate.*"
    kept = "the last sound weights, of step 3, are in m.*lower learning_rate.*overwrite=True"
    with pytest.raises(TrainingError, match=back + kept) as caught:
        list(train(text, output="m", holdout=0.0, **late))
    assert caught.value.exit_code == 1
    manifest = model_folder.read_manifest(Path("m"))
    assert (manifest.step, manifest.training["stopped"], manifest.results) == (3, "diverged", {})
    assert "not a number" in manifest.training["divergence"] and manifest.training["rollbacks"] == 3
    assert all(np.isfinite(array).all() for array in numbers("m").values())


def test_too_high_a_rate_is_lowered_and_recorded(text):
    wild = {**SMALL, **WILD, "learning_rate": 1e9, "rollback_factor": 1e-5}
    *_, finished = train(text, output="m", holdout=0.0, **wild)
    assert finished.stopped == "budget"
    events = read_events(Path("m"))
    told = [event for event in events if event["event"] == "rolledback"]
    assert told and model_folder.read_manifest(Path("m")).training["rollbacks"] == len(told)
    for number, event in enumerate(told, start=1):
        assert (event["count"], event["to_step"]) == (number, 0) and event["why"]
        assert event["rate_factor"] == pytest.approx(1e-5**number)
    steps = [event for event in events if event["event"] == "step"]
    assert any({"gradient_norm", "gradient_norm_max"} <= step.keys() for step in steps)


def test_a_short_run_has_a_training_curve(text):
    list(rnnlm.train(text, output="m", **{**SMALL, "budget": "60steps"}))
    curve = learning_curve("m")
    steps = [point.steps for point in curve.training]
    assert len(steps) >= 20 and steps == sorted(set(steps))
    assert max(later - earlier for earlier, later in itertools.pairwise(steps)) <= 60 / 20
