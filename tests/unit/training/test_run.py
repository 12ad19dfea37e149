"""From a request to a model on disk: settings and their origins, texts, events, what is saved when and where."""

import errno
import json
import math
import os
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, OutputError, RnnlmWarning, SettingsError, TextError, TrainingError, UsageError
from rnnlm.events import CheckpointSaved, Evaluating, Finished, Fitted, ModelSaved, Started, Step, Validated
from rnnlm.files import writing
from rnnlm.models import model_folder
from rnnlm.models.metrics_log import read_events
from rnnlm.training import run as training
from rnnlm.training.plan import Request, plan, resolve_request
from rnnlm.training.run import run, train

SMALL = {
    "hidden_size": 8,
    "embedding_size": 6,
    "batch_rows": 4,
    "bptt_tokens": 10,
    "budget": "6steps",
    "device": "cpu",
    "precision": "fp32",
}


@pytest.fixture
def lines():
    text = Path(rnnlm.corpora.part("english", "valid")).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line.strip()][:100]


@pytest.fixture
def text(tmp_path, lines, monkeypatch):
    """The path of a small text, in the working directory of the test."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def settled(*, flags=None, **request):
    _, _, resolved = resolve_request(Request(flags=flags or {}, **request))
    return {name: (value, resolved.origins[name]) for name, value in resolved.values.items()}


def numbers(folder):
    model, _ = model_folder.load(Path(folder), "cpu")
    return model.to_arrays()


# ---- settings


def test_later_layers_win_and_each_setting_remembers_its_origin(tmp_path):
    config = write(tmp_path / "mine.toml", "hidden_size = 301\nembedding_size = 302\nlearning_rate = 0.5\n")
    values = settled(
        recipe="lstm", config=config, assignments={"embedding_size": "303", "learning_rate": "0.25"}, flags={"learning_rate": 0.125}
    )
    assert values["budget"] == ("20epochs", "recipe lstm")
    assert values["hidden_size"] == (301, str(config))
    assert values["embedding_size"] == (303, "--set")
    assert values["learning_rate"] == (0.125, "the command line")
    assert values["momentum"] == (0.0, "default")


@pytest.mark.parametrize("request_, expected", [
    ({}, ("demo", "lstm")),
    ({"text": ("x",)}, ("lstm", "lstm")),
    ({"model": "gru"}, ("gru", "gru")),
    ({"text": ("x",), "assignments": {"model": "rnn"}}, ("rnn", "rnn")),
    ({"recipe": "gru"}, ("gru", "gru")),
    ({"recipe": "lstm", "assignments": {"model": "gru"}}, ("lstm", "gru")),
    ({"recipe": "unigram"}, ("unigram", "unigram")),
])  # fmt: skip
def test_recipe_and_kind_follow_from_the_request(request_, expected):
    recipe, kind, resolved = resolve_request(Request(**request_))
    assert (recipe, kind.name) == expected
    assert resolved.values["model"] == kind.name


@pytest.mark.parametrize("way", ["config", "assignments", "flags"])
def test_a_setting_by_its_name_of_before_still_holds_and_the_new_name_is_told(tmp_path, way):
    given = write(tmp_path / "old.toml", 'output = "class"\n') if way == "config" else {"output": "class"}
    origin = {"config": str(given), "assignments": "--set", "flags": "the command line"}[way]
    with pytest.warns(RnnlmWarning, match=r"the setting output \(.*\) is called output_layer now") as told:
        *_, resolved = resolve_request(Request(**{way: given}))
    assert (resolved.values["output_layer"], resolved.origins["output_layer"]) == ("class", origin) and origin in str(told[0].message)
    with pytest.raises(SettingsError, match="a model of kind unigram has no setting 'output_layer'"), pytest.warns(RnnlmWarning):
        resolve_request(Request(model="unigram", **{way: given}))


def test_from_python_the_output_is_a_folder_and_the_output_layer_a_setting(text):
    *_, finished = train(text, output="m", output_layer="class", classes=3, **SMALL)
    assert finished.folder == "m" and model_folder.read_manifest(Path("m")).settings["output_layer"] == "class"


def test_a_config_file_may_name_the_model(tmp_path):
    recipe, kind, _ = resolve_request(Request(config=write(tmp_path / "mine.toml", 'model = "gru"\n')))
    assert (recipe, kind.name) == ("gru", "gru")


def test_a_recipe_of_another_kind_than_the_model_is_refused():
    with pytest.raises(UsageError, match="recipe gru is of kind gru, not lstm"):
        resolve_request(Request(recipe="gru", model="lstm"))


@pytest.mark.parametrize("request_, message", [
    ({"recipe": "lstn"}, "unknown recipe 'lstn'; did you mean 'lstm'"),
    ({"model": "grru"}, "unknown model 'grru'; did you mean 'gru'"),
    ({"assignments": {"hiden_size": "3"}}, "unknown setting 'hiden_size' in --set; did you mean 'hidden_size'"),
    ({"flags": {"learning_rat": 1.0}}, "unknown setting 'learning_rat' in the command line; did you mean 'learning_rate'"),
    ({"assignments": {"hidden_size": "many"}}, "hidden_size = 'many'"),
    ({"assignments": {"hidden_size": "2.5"}}, "hidden_size = '2.5'"),
    ({"assignments": {"hidden_size": "-2"}}, "hidden_size = '-2'.*at least 1"),
    ({"assignments": {"hidden_size": "1000000000"}}, "hidden_size = '1000000000'.*at most 1,048,576"),
    ({"assignments": {"layers": "0"}}, "layers = '0'.*at least 1"),
    ({"assignments": {"learning_rate": "nan"}}, "learning_rate = 'nan'"),
    ({"assignments": {"learning_rate": "inf"}}, "learning_rate = 'inf'"),
    ({"assignments": {"learning_rate": "-1"}}, "learning_rate = '-1'"),
    ({"assignments": {"dropout_input": "1.0"}}, "dropout_input = '1.0'"),
    ({"assignments": {"tied": "perhaps"}}, "tied = 'perhaps'"),
    ({"assignments": {"optimizer": "magic"}}, "optimizer = 'magic'"),
    ({"assignments": {"budget": "soon"}}, "budget 'soon' is not understood"),
    ({"assignments": {"budget": "0steps"}}, "budget '0steps' is not understood"),
    ({"assignments": {"holdout": "1"}}, "holdout = '1'"),
    ({"flags": {"hidden_size": float("nan")}}, "hidden_size = nan"),
    ({"flags": {"seed": -1}}, "seed = -1"),
])  # fmt: skip
def test_settings_that_are_not_valid_are_wrong_usage(request_, message):
    with pytest.raises(SettingsError, match=message) as caught:
        resolve_request(Request(**request_))
    assert caught.value.exit_code == 2


def test_settings_in_a_file_that_are_not_valid_name_the_file(tmp_path):
    for content, message in (
        ("hiden_size = 3\n", "in .*mine.toml; did you mean"),
        ("[network]\nx = 1\n", "section"),
        ("x = [", "not TOML"),
    ):
        with pytest.raises(SettingsError, match=message):
            resolve_request(Request(config=write(tmp_path / "mine.toml", content)))
    with pytest.raises(SettingsError, match="cannot read settings from .*none.toml"):
        resolve_request(Request(config=tmp_path / "none.toml"))


def test_general_flags_a_kind_has_no_use_for_are_ignored_with_a_word():
    with pytest.warns(RnnlmWarning, match="--budget has no effect on a model of kind unigram"):
        values = settled(model="unigram", flags={"budget": "3m"})
    assert "budget" not in values


def test_a_plan_describes_every_setting(text):
    made = plan(Request(text=(str(text),), flags=SMALL))
    described = {name: (value, origin, about) for name, value, origin, about in made.describe()}
    assert described["hidden_size"][:2] == (8, "the command line")
    assert described["holdout"][:2] == (0.05, "default")
    assert all(about for _, _, about in described.values())
    assert {"tokenizer", "blank_lines", "column"} <= set(described)


def test_a_plan_knows_the_size_of_the_model_it_will_make(text):
    made = plan(Request(text=(str(text),), flags=SMALL))
    *_, finished = run(made)
    assert made.parameters() == sum(array.size for array in numbers(finished.folder).values())


# ---- texts


def test_without_validation_text_the_last_lines_are_held_out_and_it_is_said(text, lines):
    made = plan(Request(text=(str(text),), flags={**SMALL, "holdout": 0.1}))
    assert (made.data.train.sentences, made.data.valid.sentences) == (90, 10)
    assert made.valid_is == "the last 10% of the training text, held out"
    assert made.data.tokenizer.decode(made.data.train.ids).split("\n")[-1].split() == lines[89].split()


def test_a_vocabulary_comes_from_what_is_trained_on_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "t.txt", "a b\n" * 9 + "held out\n")
    made = plan(Request(text=(str(path),), flags={**SMALL, "holdout": 0.1}))
    assert set(made.data.tokenizer.symbols()) == {"</s>", "<unk>", "a", "b"}
    assert made.data.valid.oov_words == 2


def test_a_validation_text_is_used_as_it_is(text, tmp_path):
    valid = write(tmp_path / "v.txt", "the dog\n")
    made = plan(Request(text=(str(text),), valid=(str(valid),), flags=SMALL))
    assert (made.data.train.sentences, made.data.valid.sentences) == (100, 1)
    assert made.valid_is == str(valid)


def test_nothing_is_held_out_when_that_is_asked_for_or_the_model_has_no_use_for_it(text):
    assert plan(Request(text=(str(text),), flags={**SMALL, "holdout": 0.0})).data.valid is None
    assert plan(Request(text=(str(text),), model="unigram")).data.valid is None


def test_a_text_of_a_single_line_trains_with_a_word_about_validation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "one.txt", "a single line of text and nothing else")
    with pytest.warns(RnnlmWarning, match="single line: nothing is held out"):
        *events, finished = train(path, output="m", **SMALL)
    assert finished.results == {} and finished.step == 6
    model_folder.load(Path("m"), "cpu")


@pytest.mark.parametrize("content", ["", "\n\n \n"])
def test_a_text_without_words_is_an_error_and_no_folder_is_made(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "empty.txt", content)
    with pytest.raises(TextError, match="no text in .*empty.txt"), warnings.catch_warnings():
        warnings.simplefilter("error")
        list(train(path, output="m", **SMALL))
    assert not Path("m").exists()


def test_a_missing_text_is_an_error_and_no_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextError, match="no such file: none.txt"):
        list(train("none.txt", output="m", **SMALL))
    assert os.listdir() == []


def test_without_text_the_bundled_corpus_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = plan(Request(model="unigram"))
    assert made.data.train.words > 200_000
    assert {Path(source).name for source in (*made.valid.sources, *made.test.sources)} == {"valid.txt", "test.txt"}
    assert made.output == Path("checkpoints/unigram")


def test_a_default_folder_is_a_fresh_one(text):
    folders = []
    for _ in range(3):
        *_, finished = train(text, model="unigram")
        folders.append(finished.folder)
    assert folders == ["checkpoints/unigram", "checkpoints/unigram-2", "checkpoints/unigram-3"]
    write(Path("checkpoints/unigram-4"), "a file")
    assert plan(Request(text=(str(text),), model="unigram")).output == Path("checkpoints/unigram-5")


# ---- a run


def test_events_come_in_order_and_the_model_is_saved_when_it_got_better(text):
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


def test_the_saved_model_is_the_best_one(text):
    events = list(train(text, output="m", validate_every_steps=2, **SMALL))
    best = min((event for event in events if isinstance(event, Validated)), key=lambda event: event.ppl_token)
    manifest = model_folder.read_manifest(Path("m"))
    assert manifest.step == best.step
    fitted = next(event for event in events if isinstance(event, Fitted))
    kept = numbers("m")
    assert all(np.array_equal(kept[name], array) for name, array in fitted.model.to_arrays().items())


def test_results_are_exact_evaluations_of_the_saved_model(text, tmp_path):
    test = write(tmp_path / "test.txt", "the dog was in the yard\nthe gate was shut\n")
    valid = write(tmp_path / "valid.txt", "the dog was shut\n" * 40)
    *_, finished = train(text, output="m", valid=str(valid), test=[str(test)], **SMALL)
    assert set(finished.results) == {"valid", "test"}
    again = rnnlm.evaluate(rnnlm.load("m", device="cpu"), test).to_dict()
    assert again["ppl_token"] == pytest.approx(finished.results["test"]["ppl_token"], rel=1e-6)
    assert again["signature"] == finished.results["test"]["signature"]
    assert model_folder.read_manifest(Path("m")).results == finished.results


def test_a_held_out_part_is_evaluated_exactly_too(text):
    *_, finished = train(text, output="m", **SMALL)
    assert finished.results["valid"]["sentences"] == 5 and finished.results["valid"]["context"] == "carry"


def test_metrics_are_json_lines_one_per_event(text):
    events = list(train(text, output="m", validate_every_steps=3, **SMALL))
    logged = [json.loads(line, parse_constant=pytest.fail) for line in Path("m/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds = [entry["event"] for entry in logged]
    assert kinds[0] == "started" and kinds[-1] == "finished" and "step" in kinds
    others = [event.kind for event in events if not isinstance(event, Step)]
    assert [kind for kind in kinds if kind != "step"] == others
    validated = [event for event in events if isinstance(event, Validated)]
    assert [entry["ppl_token"] for entry in logged if entry["event"] == "validated"] == [event.ppl_token for event in validated]
    assert logged[0]["model"] == "lstm" and not any("object at" in str(entry) for entry in logged)


def test_infinities_become_null_in_the_metrics(tmp_path):
    from rnnlm.models.metrics_log import MetricsLog

    log = MetricsLog(tmp_path)
    log.add(Validated(1, 0.5, float("inf"), float("nan"), False, 1.0, None))
    log.write_to_folder()
    entry = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert entry["ppl_token"] is None and entry["best_ppl_token"] is None and entry["step"] == 1


def test_the_card_tells_data_recipe_numbers_and_use(text):
    *_, finished = train(text, output="m", **SMALL)
    card = Path("m/README.md").read_text(encoding="utf-8")
    manifest = model_folder.read_manifest(Path("m"))
    assert card.startswith("# m\n")
    for part in (str(text), "recipe | lstm", manifest.fingerprint, finished.results["valid"]["signature"], "rnnlm score -m m"):
        assert part in card
    settings = tomllib.loads(card.split("```toml\n")[1].split("```")[0])
    assert settings["hidden_size"] == 8 and settings["model"] == "lstm"
    assert settings == {name: "none" if value is None else value for name, value in manifest.settings.items()}


def test_file_names_that_are_not_utf8_are_noted_as_they_are(text):
    odd = os.fsdecode(b"\xff.txt")
    write(Path(odd), text.read_text(encoding="utf-8"))
    *_, finished = train(odd, output=f"m{odd}", **SMALL)
    manifest = model_folder.read_manifest(Path(finished.folder))
    assert manifest.training["text"] == [odd]
    logged = [json.loads(line) for line in Path(finished.folder, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert logged[-1]["folder"] == finished.folder == f"m{odd}"
    assert "\\udcff.txt" in Path(finished.folder, "README.md").read_text(encoding="utf-8")


def test_the_settings_of_a_card_make_the_same_model_again(text):
    list(train(text, output="m", **SMALL))
    card = Path("m/README.md").read_text(encoding="utf-8")
    config = write(Path("again.toml"), card.split("```toml\n")[1].split("```")[0])
    list(train(text, output="n", config=config))
    first, second = numbers("m"), numbers("n")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_same_seed_and_steps_give_the_same_model_and_another_seed_another(text):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(train(text, output=name, seed=seed, validate_every_steps=3, **SMALL))
    prints = [model_folder.read_manifest(Path(name)).fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_a_unigram_is_trained_and_saved_through_the_same_door(text):
    *_, finished = train(text, model="unigram", output="m", test=[str(text)])
    model = rnnlm.load("m")
    p = np.exp(model.to_arrays()["logprob"])
    assert p.sum() == pytest.approx(1)
    assert finished.results["test"]["tokens"] == plan(Request(text=(str(text),), model="unigram")).data.train.tokens


def test_documents_are_trained_on(text, lines):
    write(text, "\n\n".join("\n".join(lines[at : at + 5]) for at in range(0, 100, 5)))
    made = plan(Request(text=(str(text),), output=Path("m"), flags={**SMALL, "blank_lines": "documents"}))
    assert len(made.data.train.document_offsets) - 1 == 19 and made.data.valid.sentences == 5
    *_, finished = run(made)
    assert finished.stopped == "budget"


# ---- other models to start from


def test_a_tokenizer_is_taken_from_another_model(text, tmp_path):
    list(train(text, model="unigram", output="u", lowercase=True))
    other = write(tmp_path / "other.txt", "THE zebra\n" * 30)
    made = plan(Request(text=(str(other),), tokenizer_from="u", flags=SMALL))
    assert made.data.tokenizer.fingerprint == rnnlm.load("u").tokenizer.fingerprint
    assert "zebra" not in made.data.tokenizer.symbols()
    assert made.resolved.values["lowercase"] is True and made.resolved.origins["lowercase"] == "tokenizer of u"
    *_, finished = run(made)
    assert model_folder.load(Path(finished.folder), "cpu")[0].tokenizer.fingerprint == made.data.tokenizer.fingerprint


def test_a_tokenizer_setting_against_the_model_it_comes_from_is_refused(text):
    list(train(text, model="unigram", output="u"))
    with pytest.raises(UsageError, match="--tokenizer-from brings lowercase = False; True was asked for"):
        plan(Request(text=(str(text),), tokenizer_from="u", flags={**SMALL, "lowercase": True}))


def test_training_goes_on_from_the_weights_of_another_model(text):
    list(train(text, output="a", **SMALL))
    tiny = {**SMALL, "budget": "1steps", "optimizer": "sgd", "learning_rate": 1e-30, "clip_norm": None}
    list(train(text, output="b", init_from="a", tokenizer_from="a", **tiny))
    first, second = numbers("a"), numbers("b")
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("difference", [{"hidden_size": 9}, {"lowercase": True}, {"layers": 2}, {"model": "gru"}])
def test_weights_that_do_not_fit_are_refused(text, difference):
    list(train(text, output="a", **SMALL))
    with pytest.raises(UsageError, match="--init-from a: its weights do not fit"):
        list(train(text, output="b", init_from="a", **{**SMALL, **difference}))
    assert not model_folder.is_model(Path("b"))


@pytest.mark.parametrize("name", ["tokenizer_from", "init_from"])
def test_a_model_to_start_from_must_be_there(text, name):
    with pytest.raises(ModelError, match="no model at nowhere"):
        list(train(text, output="m", **{name: "nowhere"}, **SMALL))


# ---- endings


def test_a_request_to_stop_ends_with_the_best_model_saved(text):
    steps = []
    *_, finished = train(text, output="m", stop=lambda: steps.append(1) or len(steps) > 4, validate_every_steps=2, **SMALL)
    assert (finished.stopped, finished.steps) == ("request", 3)  # it is asked while the validation after step 2 lasts, too
    assert model_folder.read_manifest(Path("m")).step == finished.step == 2
    assert model_folder.read_manifest(Path("m")).training["stopped"] == "request"
    assert rnnlm.score_sentences(rnnlm.load("m", device="cpu"), ["the dog"])


def test_a_request_to_stop_before_any_validation_saves_what_there_is(text):
    steps = []
    *_, finished = train(text, output="m", stop=lambda: steps.append(1) or len(steps) > 2, **SMALL)
    assert (finished.stopped, finished.step) == ("request", 2)
    model_folder.load(Path("m"), "cpu")


@pytest.mark.parametrize("holdout", [0.0, 0.1])
def test_a_diverging_run_is_an_error_and_saves_no_garbage(text, holdout):
    wild = {**SMALL, "optimizer": "sgd", "learning_rate": 1e30, "clip_norm": None, "schedule": "constant", "warmup": 0.0}
    with pytest.raises(TrainingError, match="training diverged.*no good model was reached.*lower learning_rate"):
        list(train(text, output="m", holdout=holdout, **wild))
    assert not model_folder.is_model(Path("m"))


def test_a_run_that_diverges_without_a_model_leaves_its_log_and_the_next_one_may_go_there(text):
    wild = {"learning_rate": 1e30, "optimizer": "sgd", "clip_norm": None, "schedule": "constant", "warmup": 0.0}
    with pytest.raises(TrainingError, match=r"none is saved; m/metrics\.jsonl tells how it went.*init_gain below 1"):
        list(train(text, output="m", model="rnn", activation="elu", **SMALL, **wild))
    assert os.listdir("m") == ["metrics.jsonl"]
    told = read_events(Path("m"))
    assert told[0]["event"] == "started" and told[-1]["event"] == "fitted" and told[-1]["stopped"] == "diverged"
    list(train(text, output="m", **SMALL))
    assert read_events(Path("m"))[-1]["event"] == "finished" and [event["event"] for event in read_events(Path("m"))].count("started") == 1


def test_a_folder_with_somebody_elses_metrics_is_left_alone(text):
    os.mkdir("m")
    write(Path("m/metrics.jsonl"), '{"loss": 1.0}\n')
    with pytest.raises(OutputError, match="m is not empty and holds no model; it has metrics.jsonl"):
        plan(Request(text=(str(text),), output=Path("m"), flags=SMALL))


def test_a_diverging_run_leaves_the_model_it_was_to_replace(text):
    list(train(text, output="m", **SMALL))
    before, log = numbers("m"), read_events(Path("m"))
    wild = {**SMALL, "optimizer": "sgd", "learning_rate": 1e30, "clip_norm": None, "schedule": "constant", "warmup": 0.0}
    with pytest.raises(TrainingError):
        list(train(text, output="m", overwrite=True, holdout=0.0, **wild))
    after = numbers("m")
    assert read_events(Path("m")) == log
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_run_that_diverges_later_keeps_its_best_model(text, monkeypatch):
    from rnnlm.neural.fitting import schedule

    monkeypatch.setattr(schedule.LearningRate, "at", lambda self, progress, epochs: 1e-3 if progress < 0.5 else 1e38)
    with pytest.raises(TrainingError, match="the best weights, of step 2, are in m"):
        list(train(text, output="m", validate_every_steps=2, optimizer="sgd", clip_norm=None, **SMALL))
    assert model_folder.read_manifest(Path("m")).step == 2
    assert all(np.isfinite(array).all() for array in numbers("m").values())


def test_a_run_that_diverges_without_validation_saves_its_last_good_weights(text, monkeypatch):
    from rnnlm.neural.fitting import budget, rollbacks, schedule
    from rnnlm.neural.fitting import progress as report

    monkeypatch.setattr(report, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(rollbacks, "GOOD_STATE_SECONDS", 0.0)
    monkeypatch.setattr(budget, "MOST_COST", math.inf)
    monkeypatch.setattr(schedule.LearningRate, "at", lambda self, progress, epochs: 1e-3 if progress < 0.5 else 1e38)
    with pytest.raises(
        TrainingError,
        match="not a number by step 4; gone back 3 times, to 0.125 of the learning rate.*the last good weights, of step 3, are in m.*lower learning_rate",
    ) as caught:
        list(train(text, output="m", holdout=0.0, optimizer="sgd", clip_norm=None, **SMALL))
    assert caught.value.exit_code == 1
    manifest = model_folder.read_manifest(Path("m"))
    assert (manifest.step, manifest.training["stopped"], manifest.results) == (3, "diverged", {})
    assert "not a number" in manifest.training["divergence"] and manifest.training["rollbacks"] == 3
    assert all(np.isfinite(array).all() for array in numbers("m").values())


def test_a_rate_that_is_too_high_is_lowered_and_metrics_tell_of_it(text):
    wild = {**SMALL, "optimizer": "sgd", "learning_rate": 1e9, "clip_norm": None, "schedule": "constant", "warmup": 0.0}
    *_, finished = train(text, output="m", rollback_factor=1e-5, holdout=0.0, **wild)
    assert finished.stopped == "budget"
    events = [json.loads(line) for line in Path("m/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [event for event in events if event["event"] == "rolledback"]
    assert [(event["count"], event["to_step"]) for event in told] == [(number, 0) for number in range(1, len(told) + 1)] and told
    assert all(event["why"] and event["rate_factor"] == pytest.approx(1e-5 ** event["count"]) for event in told)
    assert any(event["event"] == "step" and "gradient_norm" in event and "gradient_norm_max" in event for event in events)
    assert model_folder.read_manifest(Path("m")).training["rollbacks"] == len(told)


def test_an_existing_model_stays_unless_it_may_be_replaced(text):
    list(train(text, output="m", **SMALL))
    before = model_folder.read_manifest(Path("m"))
    with pytest.raises(OutputError, match="m already holds a model"):
        list(train(text, output="m", **SMALL))
    assert model_folder.read_manifest(Path("m")) == before


def test_the_old_model_is_whole_until_the_new_one_is_saved(text):
    list(train(text, output="m", **SMALL))
    before = model_folder.read_manifest(Path("m"))
    log = Path("m/metrics.jsonl").read_text()
    saved = False
    for event in train(text, output="m", overwrite=True, validate_every_steps=2, **{**SMALL, "hidden_size": 9}):
        saved = saved or isinstance(event, ModelSaved)
        model, manifest = model_folder.load(Path("m"), "cpu")
        assert (manifest == before) != saved
        assert model.network.settings.hidden_size == (9 if saved else 8)
        if not saved:
            assert Path("m/metrics.jsonl").read_text() == log
    assert Path("m/metrics.jsonl").read_text().count('"started"') == 1


@pytest.mark.parametrize("way", ["file", "below a file"])
def test_an_output_in_the_way_of_a_file_is_an_error_before_training(text, way):
    output = write(Path("taken"), "mine") if way == "file" else write(Path("taken"), "mine") / "m"
    events = []
    with pytest.raises(OutputError, match="cannot write"):
        for event in train(text, output=output, **SMALL):
            events.append(event)
    assert events == [] and Path("taken").read_text() == "mine"


def test_a_disk_that_fills_up_during_training_keeps_the_best_model_so_far(text, monkeypatch):
    from rnnlm.neural.fitting import validation

    perplexities = iter([9.0, 8.0, 7.0])
    monkeypatch.setattr(validation, "_perplexity", lambda *_: next(perplexities))
    original, saves = writing._write_synced, []

    def filling(path, data):
        saves.append(path.name)
        if saves.count("config.json.new") >= 1 and path.name.startswith("weights"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(path, data)

    monkeypatch.setattr(writing, "_write_synced", filling)
    with pytest.raises(OutputError, match="No space left"):
        list(train(text, output="m", validate_every_steps=2, **SMALL))
    assert model_folder.load(Path("m"), "cpu")[1].step == 2
    assert not list(Path("m").glob("*.new"))


def test_a_listener_who_leaves_early_leaves_a_whole_model(text):
    events = train(text, output="m", validate_every_steps=2, **SMALL)
    for event in events:
        if isinstance(event, ModelSaved):
            break
    events.close()
    assert model_folder.load(Path("m"), "cpu")[1].step == event.step
    assert [json.loads(line) for line in Path("m/metrics.jsonl").read_text().splitlines()]


def test_a_missing_device_is_an_error_that_leaves_nothing(text):
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(rnnlm.RnnlmError, match="device cuda is not available"):
        list(train(text, output="m", **{**SMALL, "device": "cuda"}))
    assert not model_folder.is_model(Path("m"))


def test_training_knows_no_mathematics():
    """training.py picks the family through the registry: it imports neither torch nor a family."""
    import ast

    tree = ast.parse(Path(training.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.split(".")[0] == "torch" or name.startswith(("rnnlm.neural", "rnnlm.ngram")) for name in imported)


def test_a_stop_before_the_first_step_saves_nothing_and_leaves_what_was_there(text):
    list(train(text, output="m", **SMALL))
    before = numbers("m")
    with pytest.raises(TrainingError, match="before the first step"):
        list(train(text, output="m", overwrite=True, stop=lambda: True, **SMALL))
    for name, array in numbers("m").items():
        np.testing.assert_array_equal(array, before[name])


def test_an_empty_list_of_texts_is_not_the_bundled_corpus():
    with pytest.raises(UsageError, match="no text"):
        list(train([]))


# ---- a run that goes on


RUN = {"model": "lstm", "hidden_size": 8, "embedding_size": 8, "batch_rows": 4, "device": "cpu", "schedule": "constant", "warmup": 0.0}


@pytest.fixture
def cut(tmp_path):
    """A text, and the folder of a run of five steps over it."""
    text = tmp_path / "t.txt"
    text.write_text("\n".join(f"the cat number {number % 17} sat on mat {number % 5}" for number in range(200)), encoding="utf-8")
    list(train(text, output=tmp_path / "run", budget="5steps", validate_every_steps=2, **RUN))
    return text, tmp_path / "run"


def test_a_run_that_goes_on_saves_what_the_unbroken_one_would(cut, tmp_path):
    text, folder = cut
    *_, finished = train(text, output=folder, resume=True, budget="12steps")
    *_, whole = train(text, output=tmp_path / "whole", budget="12steps", validate_every_steps=2, **RUN)
    assert finished.steps == whole.steps == 12
    assert {name: result["ppl_token"] for name, result in finished.results.items()} == {
        name: result["ppl_token"] for name, result in whole.results.items()
    }
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["event"] for event in events].count("started") == 2  # one log of both pieces
    assert (events[-1]["event"], events[-1]["steps"]) == ("finished", 12)
    first, last = (event["seconds"] for event in events if event["event"] == "finished")
    assert finished.seconds == last > first  # of the run, like its steps
    assert not list(model_folder.damaged_files(folder, model_folder.read_manifest(folder)))


def test_a_budget_that_is_spent_is_told_and_the_model_stays(cut):
    text, folder = cut
    before = numbers(folder)
    with pytest.warns(rnnlm.RnnlmWarning, match="budget, which counts from its start, is spent: raise it with --budget"):
        *_, finished = train(text, output=folder, resume=True)
    assert finished.steps == 5
    assert all(np.array_equal(before[name], array) for name, array in numbers(folder).items())


@pytest.mark.parametrize("change, words", [
    ({"hidden_size": 16}, "hidden_size is 8 there, 16 was asked for"), ({"learning_rate": 0.5}, "learning_rate is"),
    ({"recipe": "gru"}, "not the same: recipe;"), ({"text": "other"}, "not the same: training text, validation text;"),
    ({"lowercase": True}, "--resume brings lowercase = False; True was asked for"),
])  # fmt: skip
def test_another_run_is_not_gone_on_with(cut, tmp_path, change, words):
    text, folder = cut
    if change.pop("text", None):
        text = tmp_path / "other.txt"
        text.write_text("the mat sat on cat\n" * 200, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        list(train(text, output=folder, resume=True, budget="12steps", **change))


def test_what_is_kept_for_going_on_is_whole_or_refused(cut):
    text, folder = cut
    for arrays in (folder / "training").glob("state-*.safetensors"):
        content = bytearray(arrays.read_bytes())
        content[-1] ^= 1
        arrays.write_bytes(content)
    with pytest.raises(ModelError, match="missing or damaged"):
        list(train(text, output=folder, resume=True, budget="12steps"))
    for facts in (folder / "training").glob("state-*.json"):
        facts.write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        list(train(text, output=folder, resume=True, budget="12steps"))


def test_there_may_be_nothing_to_go_on_with(cut, tmp_path):
    text, folder = cut
    with pytest.raises(UsageError, match="nothing to resume"):
        list(train(text, output=tmp_path / "none", resume=True))
    with pytest.raises(UsageError, match="name it with -o DIR|folder of the run"):
        list(train(text, resume=True))
    with pytest.raises(UsageError, match="cannot be combined"):
        list(train(text, output=folder, resume=True, overwrite=True))
    list(train(text, output=folder, overwrite=True, budget="2steps", resumable=False, **RUN))
    with pytest.raises(UsageError, match="nothing to resume"):
        list(train(text, output=folder, resume=True))


def test_what_a_run_can_go_on_from_is_written_now_and_then(cut, tmp_path):
    """A run that is killed goes on from the last time."""
    text, folder = cut
    *_, whole = train(text, output=tmp_path / "whole", budget="12steps", validate_every_steps=2, **RUN)
    for event in train(text, output=tmp_path / "killed", budget="12steps", validate_every_steps=2, save_every="3steps", **RUN):
        if isinstance(event, Validated) and event.step == 8:
            break
    assert [state.name.split("-")[1] for state in sorted((tmp_path / "killed" / "training").glob("*.json"))] == ["00000003", "00000006"]
    *_, finished = train(text, output=tmp_path / "killed", resume=True, budget="12steps")
    assert finished.results["valid"]["ppl_token"] == whole.results["valid"]["ppl_token"]


def test_without_validation_checkpoints_have_the_model_and_the_end_has_the_last_weights(cut, tmp_path):
    text, _ = cut
    saved = []
    for event in train(text, output=tmp_path / "m", budget="5steps", holdout=0.0, save_every="2steps", **RUN):
        if isinstance(event, ModelSaved):
            saved.append((event.step, model_folder.read_manifest(tmp_path / "m").step))
    assert saved == [(2, 2), (4, 4), (5, 5)]
    *_, whole = train(text, output=tmp_path / "whole", budget="5steps", holdout=0.0, **RUN)
    expected = numbers(tmp_path / "whole")
    assert all(np.array_equal(expected[name], array) for name, array in numbers(tmp_path / "m").items())


def test_another_budget_is_told_where_the_rate_follows_it(text):
    list(train(text, output="m", budget="3steps", **{**RUN, "schedule": "cosine"}))
    with pytest.warns(RnnlmWarning, match="depends on the budget: the steps so far used the rates of 3steps"):
        list(train(text, output="m", resume=True, budget="5steps"))


def test_a_new_model_does_not_adapt_as_the_one_before_it_did(text):
    list(train(text, output="m", budget="3steps", **RUN))
    (Path("m") / "adapt-cache.json").write_text("{}", encoding="utf-8")
    list(train(text, output="m", resume=True, budget="4steps"))
    assert (Path("m") / "adapt-cache.json").exists()
    list(train(text, output="m", overwrite=True, budget="3steps", **RUN))
    assert not (Path("m") / "adapt-cache.json").exists()


def test_a_width_that_a_recipe_gives_for_each_layer_is_told(text):
    with pytest.warns(RnnlmWarning, match="hidden_size has no effect: layer_sizes = 1150,1150,400"):
        plan(Request(text=(str(text),), recipe="awd-lstm-fast", assignments={"hidden_size": "32"}))
