"""Settings that follow the vocabulary, the time of a run, its width and its batch's rows."""

from unittest.mock import Mock

import pytest

import rnnlm
from rnnlm import registry
from rnnlm.choices import THE_TIME, THE_VOCABULARY
from rnnlm.config import SettingsLayer, as_stored, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Evaluating
from rnnlm.lm.neural.training import fitting
from rnnlm.lm.neural.training.choosing import (
    REGULARISATION,
    SIZES,
    passes_of,
    rate_of,
    regularisation_for,
    suits_more_rows,
    widths_for,
    windows_for,
)
from rnnlm.storage.manifest import read_manifest
from rnnlm.training.plan import dry_plan, plan
from rnnlm.training.request import TrainingRequest
from support.killed_runs import cut_off, cut_off_after

pytestmark = pytest.mark.long

# Of few steps. The text has twenty batches of the usual size and more, so it is not small.
SHORT = {"batch_rows": 2, "bptt_tokens": 5, "device": "cpu", "threads": 1}
LONG = {"long_windows": 0.25}


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    lines = (f"the {n % 13} goats saw {n % 7} lamps near the {n % 5} mill" for n in range(2600))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def settled(text, recipe=None, model=None, **flags):
    """Return settings and their origins of a run on the text."""
    request = TrainingRequest((str(text),), recipe=recipe, model=model, flags={**SHORT, **flags})
    resolved = dry_plan(request).resolved
    return resolved.values, resolved.origins


def of_budget(origins):
    return {name for name, origin in origins.items() if origin == THE_TIME}


def test_the_size_grows_with_the_tokens_and_dropout_with_the_passes():
    widths = [widths_for(size.tokens + 1, 10**6)["hidden_size"] for size in SIZES]
    assert widths == sorted(set(widths))
    dropouts = [
        regularisation_for(passes_of(4e6, text_tokens, 512))["dropout_output"]
        for text_tokens in (10**5, 10**6, 10**7)
    ]
    assert dropouts == [0.6, 0.2, 0.1]


# Tokens a second of a network, relative to the usual one, in the runs of the table.
SPEEDS = {256: 2.1, 384: 1.5, 640: 0.75, 800: 0.54}


@pytest.mark.parametrize("tokens, text_tokens, width, dropout_output, weight_drop", [
    (0.42e6, 929_589, 256, 0.1, None),  # PTB: a minute, three, five, ten and ten in bf16
    (1.1e6, 929_589, 384, 0.1, None), (3.7e6, 929_589, 640, 0.2, None),
    (5.95e6, 929_589, 640, 0.3, None), (7.7e6, 929_589, 640, 0.4, None),
    (9.6e6, 929_589, 640, 0.4, None), (60e6, 929_589, 800, 0.5, 0.3),  # and an hour
    (2.6e6, 929_589, 384, 0.1, None),  # three minutes in bf16
    (8.3e6, 2_013_738, 640, 0.1, None),  # a text of 10 MB
    (0.41e6, 324_758, 256, 0.1, None), (2.1e6, 324_758, 384, 0.5, 0.3),  # the bundled text
    (7.7e6, 324_758, 384, 0.5, 0.3), (13e6, 324_758, 384, 0.6, 0.3),
])  # fmt: skip
def test_the_table_has_the_best_of_the_runs_that_it_was_made_of(
    tokens, text_tokens, width, dropout_output, weight_drop
):
    assert widths_for(tokens, text_tokens)["hidden_size"] == width
    passes = passes_of(tokens * SPEEDS[width], text_tokens, width)
    chosen = regularisation_for(passes)
    assert chosen["dropout_output"] == dropout_output
    assert chosen.get("weight_drop") == weight_drop
    assert windows_for(passes) == (LONG if dropout_output > 0.2 else {})


def test_more_rows_suit_the_runs_in_which_they_were_better():
    # As many passes over PTB, and over the bundled text.
    assert suits_more_rows(12e6, text_tokens=929_589, width=640)
    assert not suits_more_rows(4.1e6, text_tokens=324_758, width=384)


@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
def test_every_choice_has_settings_of_the_default_recipes(model):
    kind = registry.kind_of(model)
    for size in SIZES:
        for _, values in REGULARISATION:
            widths = widths_for(size.tokens + 1, 10**6)
            resolve(kind.all_settings, [SettingsLayer("size", widths | values | LONG)])


def rate_in(passes, ratio=1.0, processes=1, **settings):
    """Return the learning rate in so many passes over a text."""
    usual = {"hidden_size": 400, "batch_rows": 20, "learning_rate": 0.01}
    values = usual | settings
    return rate_of(values, usual, 0.005, ratio=ratio, passes=passes, processes=processes)


def test_the_rate_falls_with_the_width_and_rises_in_short_runs():
    assert rate_in(passes=20) == 0.01
    assert rate_in(passes=20, hidden_size=1600) == 0.005
    assert rate_in(passes=20, ratio=1 / 16) == 0.02
    assert rate_in(passes=80, ratio=16.0) == 0.01
    assert rate_in(passes=20, hidden_size=4) == 0.02  # no more than that


def test_the_rate_grows_with_the_rows_of_a_step_in_all_processes():
    assert rate_in(passes=20, batch_rows=5) == 0.005
    of_one = rate_in(passes=20, batch_rows=40)
    assert of_one == rate_in(passes=20, processes=2) == pytest.approx(0.0141, abs=1e-4)


def test_the_rate_over_new_text_is_lower_in_long_runs_whatever_their_rows():
    assert rate_in(passes=1) == rate_in(passes=0.1) == rate_in(passes=1, batch_rows=80) == 0.005
    assert rate_in(passes=1, hidden_size=1600) == 0.0025
    assert rate_in(passes=1, ratio=32.0) == 0.00125
    # In a short run, and when the text is read again, the usual rate is the lower one.
    assert rate_in(passes=1, ratio=1 / 32, batch_rows=5) == pytest.approx(0.0119, abs=1e-4)
    assert rate_in(passes=2) == pytest.approx(0.0071, abs=1e-4)


def test_the_time_of_a_named_recipe_does_not_lower_its_rate(text):
    # Its passes are unknown: they depend on the machine. A thousand steps read a part of the text.
    text.write_text("the goats saw lamps near the mill\n" * 15_000, encoding="utf-8")
    short = {"recipe": "lstm", "batch_rows": 40, "bptt_tokens": 1}
    assert settled(text, **short, budget="10m")[0]["learning_rate"] == round(0.008 * 2**0.5, 5)
    assert settled(text, **short, budget="1000steps")[0]["learning_rate"] < 0.008


def test_a_budget_in_time_chooses_what_nobody_sets(text):
    with pytest.warns(RnnlmWarning, match="1s is time for about .* another time: .*`hidden_size="):
        values, origins = settled(text, budget="1s", dropout_input=0.35)
    # How fast the machine is decides whether more follows.
    chosen = of_budget(origins)
    assert chosen >= {"hidden_size", "embedding_size"} and values["dropout_input"] == 0.35
    # Who sets the rows of a batch (SHORT) keeps them to the end.
    assert not chosen & {"dropout_input", "long_windows"}
    assert values["hidden_size"] in {size.hidden_size for size in SIZES}
    chosen = of_budget(settled(text, budget="1s", hidden_size=8)[1])
    assert not chosen & {"hidden_size", "embedding_size"}


def test_the_speed_of_the_chosen_network_is_measured(text, monkeypatch):
    speeds = {512: 10.0, 128: 30.0, 8: 70.0}

    def speed(resolved, data, seconds):
        return speeds[resolved.values["hidden_size"]]

    monkeypatch.setattr("rnnlm.lm.neural.training.fitting.tokens_per_second", speed)
    with pytest.warns(
        RnnlmWarning, match=r"100s is time for about 3,000 tokens .*`hidden_size=128`"
    ):
        settled(text, budget="100s")
    with pytest.warns(RnnlmWarning, match="100s is time for about 7,000 tokens"):
        settled(text, budget="100s", hidden_size=8)


def test_a_moment_of_other_work_does_not_make_training_seem_slow(monkeypatch):
    seconds = iter([9.0, 9.0, 0.5, 0.5, 1.0, 40.0, 1.0, 1.0])  # of the steps; two to warm up
    trainer = Mock(now=0.0, source=Mock(tokens=0))
    trainer.clock.elapsed.side_effect = lambda: trainer.now

    def step():
        trainer.now += next(seconds)
        trainer.source.tokens += 10

    trainer.train_step = step
    monkeypatch.setattr(fitting, "make_trainer", lambda *_: trainer)
    assert fitting.tokens_per_second(Mock(), Mock(), 5.0) == 20.0  # of the best part


# Tokens a second by the rows of a batch, and the windows chosen for 100 s on 120,000 tokens.
@pytest.mark.parametrize("speeds, windows", [
    ({20: 100.0, 32: 120.0, 48: 140.0, 64: 160.0, 96: 180.0}, {"batch_rows": 96}),
    ({20: 100.0, 32: 120.0, 48: 140.0, 64: 145.0, 96: 180.0}, {"batch_rows": 48}),
    ({20: 100.0, 32: 120.0, 48: 125.0, 64: 180.0}, {"batch_rows": 32}),  # 64 alone are not tried
    ({20: 100.0, 32: 105.0, 48: 140.0}, {}),
    # In more passes, windows of the usual rows are longer towards the end.
    ({20: 5000.0, 32: 6000.0, 48: 6300.0}, {"batch_rows": 32}),
    ({20: 5000.0, 32: 5200.0}, LONG),
    ({20: 7000.0, 32: 9000.0}, LONG),  # so many that the noise of few rows helps
])  # fmt: skip
def test_a_batch_has_more_rows_where_they_are_faster_in_few_passes(
    text, monkeypatch, speeds, windows
):
    text.write_text(
        "\n".join(["the goats saw lamps near the mill"] * 15_000) + "\n", encoding="utf-8"
    )

    def speed(resolved, data, seconds):
        return speeds[resolved.values["batch_rows"]]

    monkeypatch.setattr("rnnlm.lm.neural.training.fitting.tokens_per_second", speed)
    flags = {"device": "cpu", "threads": 1, "budget": "100s"}
    rows = windows.get("batch_rows", 20)
    said = f"is time for about {speeds[rows] * 100:,.0f} tokens"
    with pytest.warns(RnnlmWarning, match=said):
        resolved = dry_plan(TrainingRequest((str(text),), flags=flags)).resolved
    assert resolved.values["batch_rows"] == rows
    changed = {made.name for made in resolved.choices if made.value != made.was}
    assert changed & {"batch_rows", "long_windows"} == set(windows)

    # Who sets one of the windows' settings has set them all.
    flags |= {"bptt_tokens": 30}
    assert dry_plan(TrainingRequest((str(text),), flags=flags)).resolved.values["batch_rows"] == 20


def test_layers_of_their_own_widths_count_by_the_widest(text, monkeypatch):
    monkeypatch.setattr("rnnlm.lm.neural.training.fitting.tokens_per_second", lambda *_: 2000.0)
    of_widths = [{"hidden_size": 64}, {"layer_sizes": "32,64", "layers": 2}, {"hidden_size": 512}]
    one, two, usual = (settled(text, budget="100s", **widths)[0] for widths in of_widths)
    assert one["dropout_output"] == two["dropout_output"] < usual["dropout_output"]


def test_where_everything_is_set_nothing_is_said_to_follow(text, monkeypatch):
    monkeypatch.setattr("rnnlm.lm.neural.training.fitting.tokens_per_second", lambda *_: 1.0)
    given = {"hidden_size": 8, "embedding_size": 8, "dropout_input": 0.1, "dropout_output": 0.1}
    with pytest.warns(RnnlmWarning, match="times the text; for .*`learning_rate=[0-9.]*`$"):
        settled(text, budget="1s", **given)


@pytest.mark.parametrize("asked", [
    {"budget": "9steps"}, {"budget": "2epochs"}, {}, {"budget": "1s", "recipe": "lstm"},
    {"budget": "1s", "recipe": "none"}, {"budget": "1s", "model": "qrnn"},
])  # fmt: skip
def test_other_runs_keep_their_size(text, asked):
    assert not of_budget(settled(text, **asked)[1])


def test_a_resumed_run_keeps_the_choice(text, tmp_path):
    given = {**SHORT, "save_every": "3steps"}
    with pytest.warns(RnnlmWarning, match="is time for"):
        cut_off_after(rnnlm.train(text, output=tmp_path / "m", budget="60s", **given), step=9)
    stored = read_manifest(tmp_path / "m").settings
    assert stored["hidden_size"] in {size.hidden_size for size in SIZES}

    # The same command with a larger budget measures nothing.
    flags = {**given, "budget": "90s"}
    with pytest.warns(RnnlmWarning, match="resumes") as notices:
        resumed = plan(TrainingRequest((str(text),), flags=flags, output=tmp_path / "m"))
    assert not [notice for notice in notices if "is time for" in str(notice.message)]
    values = as_stored(resumed.resolved.values)
    assert {name for name in stored if stored[name] != values[name]} == {"budget"}
    # They are named at the end of the run.
    assert of_budget(resumed.resolved.origins) >= {"hidden_size", "embedding_size"}


def test_a_run_without_its_evaluation_keeps_the_choice(text, tmp_path):
    run = rnnlm.train(text, output=tmp_path / "m", budget="1s", **SHORT)
    with pytest.warns(RnnlmWarning, match="is time for"):
        next(event for event in run if isinstance(event, Evaluating))
    cut_off(run)
    stored = read_manifest(tmp_path / "m").settings
    flags = {**SHORT, "budget": "1s"}
    again = plan(TrainingRequest((str(text),), flags=flags, output=tmp_path / "m"))
    assert again.trained is not None and as_stored(again.resolved.values) == stored
    assert of_budget(again.resolved.origins) >= {"hidden_size", "embedding_size"}


def test_a_small_vocabulary_has_the_full_softmax(text):
    values, origins = settled(text, budget="9steps")
    assert (values["loss"], values["embeddings"], values["samples"]) == ("full", None, 1024)
    assert origins["loss"] == THE_VOCABULARY
    values, _ = settled(text, budget="9steps", samples=7)
    assert (values["loss"], values["samples"]) == ("sampled", 7)
    assert settled(text, budget="9steps", embeddings="svd")[0]["embeddings"] == "svd"

    # Of thousands of words, a few are drawn.
    words = " ".join(f"word{number}" for number in range(2100))
    text.write_text(f"{words}\n{words}\n", encoding="utf-8")
    values, _ = settled(text, budget="9steps")
    assert (values["loss"], values["embeddings"], values["samples"]) == ("sampled", "svd", 512)


def test_a_recipe_of_none_leaves_the_defaults(text):
    _, origins = settled(text, recipe="none", budget="9steps")
    assert not [origin for origin in origins.values() if origin.startswith("recipe")]
    values, origins = settled(text, budget="9steps", model="gru")
    assert origins["learning_rate"] == "the length of the run"
    assert settled(text, budget="9steps", learning_rate=0.3)[0]["learning_rate"] == 0.3
