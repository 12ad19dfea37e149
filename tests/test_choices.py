"""What the program chooses for its user: said once, stored, shown and repeatable."""

import itertools
import json
import re
import warnings
from types import SimpleNamespace

import pytest

import rnnlm
from rnnlm import choices
from rnnlm.choices import THE_DATA, THE_MACHINE, THE_TIME, said, stored_choices
from rnnlm.config import Budget, Choice, SettingsLayer, resolve
from rnnlm.errors import ModelError, RnnlmWarning
from rnnlm.events import Chosen, Fitted, Step
from rnnlm.lm.neural.training import fitting, settings as training_settings
from rnnlm.lm.neural.training.choosing import Forecast
from rnnlm.registry import kind_of
from rnnlm.storage.manifest import read_manifest
from rnnlm.training import card
from rnnlm.training.plan import dry_plan
from rnnlm.training.recipes import recipe as recipes
from rnnlm.training.request import TrainingRequest
from support.saved_models import edit_config
from support.tiny_models import english_lines

pytestmark = pytest.mark.long

HERE = {"device": "cpu", "threads": 1}
WORDS = 8  # of a reason, at most


def choice(name, value=1, was=2, by="recipe page", why="9 lines"):
    return Choice(name, value, was, by, why)


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "page.txt"
    path.write_text("\n".join(english_lines()[:60]) + "\n", encoding="utf-8")
    return path


# ---- One record.


def lstm(**typed):
    recipe = SettingsLayer("recipe lstm", recipes.load("lstm").settings, is_recipe=True)
    return resolve(kind_of("lstm").all_settings, [recipe, SettingsLayer("user", typed)])


def test_a_choice_is_taken_where_nobody_set_the_setting_and_is_on_record_in_any_case():
    resolved = lstm(batch_rows=20).choose("size", "9 lines", {"batch_rows": 1, "hidden_size": 64})
    assert (resolved.values["batch_rows"], resolved.values["hidden_size"]) == (20, 64)
    assert resolved.choices == (Choice("hidden_size", 64, 512, "size", "9 lines"),)
    [_, declined] = sorted(resolved.all_choices, key=lambda choice: choice.is_taken, reverse=True)
    assert declined == Choice("batch_rows", 1, 20, "size", "9 lines", is_taken=False)


def test_a_later_choice_replaces_an_earlier_one_and_names_what_the_recipe_had():
    resolved = (
        lstm().choose("size", "", {"hidden_size": 64}).choose("time", "", {"hidden_size": 256})
    )
    [made] = resolved.choices
    assert (made.value, made.was, made.by) == (256, 512, "time")
    # Back at the recipe's value, that replaces a choice, too; alone it is none.
    [back] = resolved.choose("time", "", {"hidden_size": 512}).choices
    assert (back.value, back.was) == (512, 512) and not said([back])
    assert not lstm().choose("time", "", {"hidden_size": 512}).choices


def test_a_choice_that_is_not_taken_replaces_none_that_is():
    resolved = lstm(layers=1).choose("size", "", {"hidden_size": 64})
    resolved = resolved.choose("time", "", {"hidden_size": 256}, together=("layers",))
    assert [(made.value, made.by) for made in resolved.all_choices] == [(64, "size")]


def test_who_sets_what_would_be_chosen_has_what_belongs_to_it():
    widths = {"hidden_size": 64, "embedding_size": 64}
    typed = lstm(hidden_size=64).choose("size", "", widths, together=("layers", *widths))
    assert typed.values["embedding_size"] == 64


def test_settings_that_belong_together_are_chosen_together_or_not_at_all():
    widths = {"hidden_size": 64, "embedding_size": 64}
    typed = lstm(layers=1).choose("size", "", widths, together=("layers", *widths))
    assert not typed.choices and typed.values["hidden_size"] == 512


def test_who_sets_auto_leaves_the_choice_open():
    assert lstm(device="auto").choose("machine", "", {"device": "cpu"}).values["device"] == "cpu"
    none = lstm(embeddings=None).choose("time", "", {"embeddings": "svd"})
    assert none.values["embeddings"] is None


# ---- What is said of it.


def test_each_chooser_has_a_line_with_three_settings_at_most():
    made = [choice(name) for name in "abcde"] + [choice("f", by=THE_MACHINE, why="2 processors")]
    assert said(made) == [
        "chosen by recipe page (9 lines): a=1 (not 2), b=1 (not 2), c=1 (not 2) and 2 more",
        "chosen by the machine (2 processors): f=1 (not 2)",
    ]
    whole = said(made, is_whole=True)
    assert whole[0].endswith("c=1 (not 2), d=1 (not 2), e=1 (not 2)") and len(whole) == 2


def test_there_are_three_lines_at_most():
    made = [choice(by, by=by, why="") for by in "abcde"]
    last = "chosen by c, d and e: c=1 (not 2), d=1 (not 2), e=1 (not 2)"
    assert len(said(made)) == 3 and said(made)[-1] == last
    assert len(said(made, is_whole=True)) == 5


def test_what_the_data_leave_off_is_listed_and_not_said():
    off = choice("split_punctuation", value=False, was="auto", by=THE_DATA)
    assert said([off]) == [] and len(said([off], is_whole=True)) == 1
    assert said([]) == []
    # Zero is a value like others.
    assert said([choice("dropout", value=0.0, was=0.4)])[0].endswith("dropout=0.0 (not 0.4)")


def test_the_first_lines_of_a_run_on_a_page(rnnlm, page):
    """What was chosen is said once, before the first step, and stands in the dry run."""
    command = f"train {page} --budget 5steps --threads 1 -o m"
    dry = rnnlm(f"{command} --dry-run --json").json["choices"]
    lines = rnnlm(command).err.splitlines()
    chosen = [line for line in lines if line.startswith("chosen by ")]
    assert 2 <= len(chosen) <= 3 and not lines[-1].startswith("chosen")
    assert chosen[0].startswith("chosen by the data (14% of the words have marks): split_")
    assert "hidden_size=64 (not 512)" in chosen[1]
    assert chosen[-1].endswith("; --dry-run lists all, --set NAME=VALUE keeps yours")
    for line in chosen[:-1]:
        assert len(line.split(": ")[1].split(", ")) <= choices.MOST_NAMED
        assert len(re.search(r"\((.*?)\): ", line)[1].split()) <= WORDS

    # The record of the model is that of the dry run; the card and info show it.
    stored = read_manifest(page.parent / "m").training["choices"]
    assert stored == dry and {"hidden_size", "learning_rate", "device"} <= {c["name"] for c in dry}
    text = (page.parent / "m" / "README.md").read_text(encoding="utf-8")
    assert "hidden_size = 64  # recipe: 512; by recipe page: 57 lines, 9" in text
    assert "Chosen by the machine (" in text and "precision=" in text
    assert "recipe page (57 lines, 9" in rnnlm("info m").facts["chosen"]
    assert rnnlm("info m --json").json["training"]["choices"] == stored
    # Done already, nothing is said again.
    assert "chosen by" not in rnnlm(command).err


def test_python_has_them_as_one_event(page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        events = list(rnnlm.train(page, budget="5steps", output="m", **HERE))
    [made] = [event for event in events if isinstance(event, Chosen)]
    assert events.index(made) < min(
        place for place, event in enumerate(events) if isinstance(event, Step)
    )
    assert [choice.name for choice in made.choices if choice.by == "recipe page"]
    [logged] = [
        json.loads(line)
        for line in (page.parent / "m" / "metrics.jsonl").read_text().splitlines()
        if json.loads(line)["event"] == "chosen"
    ]
    stored = read_manifest(page.parent / "m").training["choices"]
    assert logged["choices"] == [choice for choice in stored if "is_taken" not in choice]


def test_the_column_of_a_table_is_chosen_and_stored(rnnlm, page):
    texts = [re.sub('[,"]', "", line) for line in english_lines()[:40]]
    rows = "".join(f"pos,{text},{number}\n" for number, text in enumerate(texts))
    (page.parent / "t.csv").write_text("label,text,id\n" + rows, encoding="utf-8")
    shown = rnnlm("train t.csv --model ngram --order 2 --holdout 0 -o m")
    assert (
        "chosen by the data (one of 3 columns" in shown.err
        and "column=text" in shown.err
        and "(not none)" not in shown.err
    )
    assert read_manifest(page.parent / "m").settings["column"] == "text"
    dry = rnnlm("train t.csv --model ngram --order 2 --holdout 0 --dry-run").rows
    assert ["column", "text", "none"] in [row[:3] for row in dry]


def test_a_part_of_the_validation_text_is_on_record(rnnlm, page):
    (page.parent / "long.txt").write_text("\n".join(english_lines()) + "\n", encoding="utf-8")
    small = "--set hidden_size=8 --set embedding_size=8 --set validate_every_steps=none"
    shown = rnnlm(f"train {page} --valid long.txt --budget 5steps {small} -o m")
    assert "chosen by the cost of validations (a run of 5steps): validation_tokens=" in shown.err
    [*_, last] = stored_choices(read_manifest(page.parent / "m").training)
    assert last.name == "validation_tokens" and last.value < last.was


def test_a_damaged_record_is_an_error_of_one_line(rnnlm, page):
    assert rnnlm(f"train {page} --model ngram --order 2 -o m").code == 0
    edit_config(page.parent / "m", lambda config: config["training"].update(choices=[{"name": 1}]))
    for command in ("info m", f"train {page} --model ngram --order 2 -o m"):
        refused = rnnlm(command)
        assert refused.code == 1 and "damaged" in refused.err and "Traceback" not in refused.err
    with pytest.raises(ModelError, match="choices"):
        stored_choices(read_manifest(page.parent / "m").training)


# ---- A budget in time.


@pytest.mark.parametrize(("lines", "budget", "by"), [
    (5, "0.3s", "recipe lines"), (60, "0.3s", "recipe page"), (60, "0.005m", "recipe page"),
    (200, "0.3s", "recipe pages"), (500, "0.3s", "recipe chapter"), (60, "30steps", "recipe page"),
    (200, "1epochs", "recipe pages"),
    pytest.param(1500, "0.3s", "the time of the run", marks=pytest.mark.soak),
])  # fmt: skip
def test_a_run_is_repeated_by_what_it_prints(rnnlm, page, monkeypatch, lines, budget, by):
    """Two runs with the options at the end of one of some time have the same weights, of the step
    that it kept; so have those of another budget."""
    page.write_text("\n".join(english_lines()[:5] * (lines // 5)) + "\n", encoding="utf-8")
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 300.0)
    # A look at the clock takes a millisecond, on every machine.
    ticks = SimpleNamespace(perf_counter=itertools.count(step=0.001).__next__)
    monkeypatch.setattr(training_settings, "time", ticks)
    common = f"train {page} --device cpu --threads 1 --set bptt_tokens=9 --set batch_rows=2"
    common += " --set schedule=constant --set learning_rate=0.005"  # the loss falls to the end
    told = []
    monkeypatch.setattr(Forecast, "tell_if_slowed", lambda _, fitted, of: told.append(fitted.steps))
    shown = rnnlm(f"{common} --budget {budget} -o first")
    first = read_manifest(page.parent / "first")
    assert by in {choice["by"] for choice in first.training["choices"]}

    options = card.way_to_repeat(first)
    if Budget.parse(budget).seconds is None:
        assert not options
        options = f"--budget {budget}"
    else:
        assert len(told) == 1 and f"{budget} is time for about " in shown.err
        assert f"; to repeat about the same run: {options}\n" in shown.err
        assert rnnlm("info first").facts["about the same run"] == options
        assert f"`{options}`" in (page.parent / "first" / "README.md").read_text(encoding="utf-8")
        assert f"validate_every_steps={first.step}" in options.split() and "_size=" in options

        # Choices stand in the note before training, too.
        [note] = [line for line in shown.err.splitlines() if " is time for about " in line]
        assert set(note.split("; ")[-1].split(": ")[-1].split()) < set(options.split())
    for output in ("one", "two"):
        assert rnnlm(f"{common} {options} -o {output}").code == 0
    one, two = (read_manifest(page.parent / name) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint and one.step == first.step
    assert one.training["steps"] == first.training["steps"]
    assert one.settings["hidden_size"] == first.settings["hidden_size"] != 512


def test_a_run_that_was_stopped_names_no_way_to_repeat_it(page, monkeypatch):
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 300.0)
    run = stopped_run(page)
    assert run.training["stopped"] == "request" and card.way_to_repeat(run) == ""


def stopped_run(page):
    """Return the manifest of a timed run that its caller stopped after some steps."""
    steps = iter(range(100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        events = rnnlm.train(page, budget="60s", output="m", stop=lambda: next(steps) > 8, **HERE)
        list(events)
    return read_manifest(page.parent / "m")


def test_what_time_chooses_is_repeated_where_it_is_the_usual_value(page, monkeypatch):
    """A small text has less dropout; the time of this run gives it the recipe's again."""
    page.write_text("\n".join(english_lines()[:400]) + "\n", encoding="utf-8")
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 600.0)
    with pytest.warns(RnnlmWarning, match="is time for about") as notices:
        made = dry_plan(TrainingRequest((str(page),), flags={"budget": "10s", **HERE})).resolved
    by = {made.name: (made.value, made.was, made.by) for made in made.choices}
    assert by["dropout_input"][1:] == (0.4, THE_TIME)
    assert {"dropout_input", "dropout_output"}.isdisjoint(made.name for made in made.given())
    [note] = [str(notice.message) for notice in notices if "is time for" in str(notice.message)]
    pinned = set(re.findall(r"`(\w+)=", note))
    assert pinned >= {"hidden_size", "dropout_input", "dropout_output", "weight_drop", "batch_rows"}


def step(progress, tokens):
    return Step(
        step=1, epoch=1.0, tokens=tokens, loss_nats=1.0, learning_rate=0.1, tokens_per_second=1.0,
        progress=progress, seconds=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("tokens, says", [
    (1000, None), (1400, None), (700, None),
    (1600, "about 32,000 tokens in its time, not 20,000 as foreseen: hidden_size=51 would"),
    (600, "about 12,000 tokens in its time, not 20,000 as foreseen: hidden_size=19 would"),
    (100, "as foreseen: the same network would have been chosen"),
])  # fmt: skip
def test_a_run_that_reads_far_from_what_was_foreseen_says_so_once(tokens, says):
    choose = lambda ratio: {"hidden_size": int(32 * ratio) if ratio > 0.1 else 32}  # noqa: E731
    forecast = Forecast(20_000, 1000, {"hidden_size": 32}, choose, speed=1.0)
    assert not forecast.tell_if_far_off(step(0.04, 10_000))  # too early to tell
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        assert forecast.tell_if_far_off(step(0.05, tokens))
    assert [says in str(notice.message) for notice in notices] == ([True] if says else [])


@pytest.mark.parametrize("tokens, threads, says", [
    (100, 2, None), (72, 2, None), (50, 1, "times as long as foreseen: another program was busy"),
    (50, 2, "another program was busy; beside it, training is faster with `threads=1`"),
])  # fmt: skip
def test_a_run_beside_a_busy_program_says_so_at_its_end(tokens, threads, says):
    forecast = Forecast(1000, 1000, {}, lambda ratio: {}, speed=10.0)
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        fitted = Fitted(1, 100, tokens, 10.0, "budget", None)
        forecast.tell_if_slowed(fitted, {"device": "cpu", "threads": threads})
    assert [str(notice.message).endswith(says) for notice in notices] == ([True] if says else [])


@pytest.mark.parametrize("seconds, probe", [(20, 1), (180, 3), (600, 6), (28_800, 30)])
def test_the_probe_is_a_hundredth_of_the_time_within_bounds(page, monkeypatch, seconds, probe):
    page.write_text("\n".join(english_lines()) + "\n", encoding="utf-8")
    asked = []

    def speed(resolved, data, seconds):
        asked.append(seconds)
        return 300.0

    monkeypatch.setattr(fitting, "tokens_per_second", speed)
    flags = {"budget": f"{seconds}s", "batch_rows": 2, "bptt_tokens": 9, **HERE}
    with pytest.warns(RnnlmWarning, match="is time for about"):
        made = dry_plan(TrainingRequest((str(page),), flags=flags))
    assert set(asked) == {probe}
    assert [made.by for made in made.resolved.choices if made.name == "hidden_size"] == [THE_TIME]
