"""What is typed is set, also where it equals what the recipe has."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import rnnlm
from rnnlm import registry
from rnnlm.choices import THE_MACHINE, THE_TIME, stored_choices
from rnnlm.config import AUTO, as_text
from rnnlm.errors import OutputError
from rnnlm.lm.neural.training import fitting
from rnnlm.storage.manifest import read_manifest
from rnnlm.training.plan import _facts_for_choices, dry_plan, plan
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from rnnlm.training.run_folder import CompletedRun
from support.killed_runs import cut_off_after
from support.saved_models import edit_config
from support.tiny_models import english_lines

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
HERE = {"device": "cpu", "threads": 1}
SMALL = {"hidden_size": 8, "embedding_size": 8, "budget": "5steps", "device": "cpu", "threads": 1}
# Lines of the bundled text, which make a text of each size of small texts, and a larger one.
SIZES = {"lines": 3, "page": 40, "pages": 150, "chapter": 500, "larger": 1200}
TWO_SIZES = ("page", "larger")
PAIRS = "source\ttarget\n" + "a b\tb a\nc a\ta c\nb c\tc b\na c\tc a\n" * 5
LABELLED = "text,label\n" + "a good film,pos\na bad film,neg\nthe film was good,pos\nbad,neg\n" * 5
TAGGED = "Ada PER\nlives O\nin O\nTurin LOC\n\nthe O\nRhine LOC\nis O\nwide O\n\n" * 8


BUDGETS = {"": {}, "time": {"budget": "100s"}, "steps": {"budget": "900steps"}}


def cases():
    """Yield what is trained: its kind of model, the size of its text, and what is typed. Most sizes
    of other kinds than one, and budgets on other texts than a page, are long proofs."""
    for kind in registry.all_kinds():
        if not kind.is_trained:
            continue
        # Of other tasks, examples count, of which there are as many in texts of each size.
        sizes = SIZES if kind.task == registry.LANGUAGE_MODEL else TWO_SIZES
        budgets = BUDGETS if kind.trains_in_steps else [""]
        for size, budget in itertools.product(sizes, budgets):
            is_further = size != "page" and (budget or kind.name != "lstm")
            marks = pytest.mark.soak if is_further else ()
            name = f"{kind.task} {kind.name}-{size}-{budget}"
            yield pytest.param(kind, size, BUDGETS[budget], id=name, marks=marks)


def write_text(folder, task, size):
    """Write a training text of a task; return its path."""
    if task == registry.LANGUAGE_MODEL:
        path, content = folder / "text.txt", "\n".join(english_lines()[: SIZES[size]]) + "\n"
    else:
        name, content = {
            "tagging": ("text.tsv", TAGGED), "classification": ("text.csv", LABELLED),
            "seq2seq": ("text.tsv", PAIRS),
        }[task]  # fmt: skip
        path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def requested(path, task, model, **flags):
    task = None if task == registry.LANGUAGE_MODEL else task
    return TrainingRequest((str(path),), task=task, model=model, flags=flags)


@pytest.mark.parametrize("kind, size, budget", cases())
def test_what_is_typed_stands_in_the_plan_whatever_chooses(
    tmp_path, monkeypatch, kind, size, budget
):
    """Each choice of each kind of model, typed as the recipe has it."""
    task, model = kind.task, kind.name
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 300.0)
    path = write_text(tmp_path, task, size)
    made = dry_plan(requested(path, task, model, **budget))
    choices = made.resolved.choices
    assert choices or not kind.trains_in_steps

    # Each choice alone is typed. The texts are there already, and what they brought stays.
    for choice in choices:
        if choice.was == AUTO:  # which leaves the choice open
            continue
        flags = {**budget, choice.name: choice.was}
        request = requested(path, task, model, **flags)
        recipe, _, resolved = resolve_request(request)
        typed = replace(made.resolved.with_layer("text", {}), values=resolved.values)
        typed = replace(typed, free=resolved.free, origins=resolved.origins, all_choices=())
        facts = _facts_for_choices(request, recipe, is_new=True)
        settled, _ = kind.choose(typed, made.data, facts)
        assert settled.values[choice.name] == resolved.values[choice.name], choice
        assert choice.name not in [choice.name for choice in settled.choices]


@pytest.mark.parametrize("content, name, typed", [
    ("label,text,id\npos,a good film,1\nneg,a bad film,2\n", "t.csv", {"column": "label"}),
    ("a good film, it was.\n" * 30, "t.txt", {"split_punctuation": False}),
])  # fmt: skip
def test_what_the_data_choose_can_be_typed(tmp_path, content, name, typed):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    request = TrainingRequest((str(path),), model="ngram", flags={"holdout": 0})
    [setting] = typed
    chosen = dry_plan(request).resolved
    assert chosen.values[setting] not in (*typed.values(), AUTO, None)
    assert [choice.name for choice in chosen.choices if choice.name == setting] == [setting]
    asked = replace(request, flags={**request.flags, **typed})
    assert dry_plan(asked).resolved.values[setting] == typed[setting]


# ---- The same run, or another one: decided by the record in the model's folder.


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name, lines in {
        "text.txt": english_lines()[:60],
        "valid.txt": english_lines()[60:90],
    }.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def asked(page, output, **flags):
    return TrainingRequest(
        (str(page / "text.txt"),), valid=(str(page / "valid.txt"),), output=output,
        flags={**SMALL, **flags},
    )  # fmt: skip


def trained(page, output, **flags):
    request = asked(page, output, **flags)
    return rnnlm.train(
        request.text[0], valid=request.valid[0], output=request.output, **request.flags
    )


@pytest.fixture(scope="module")
def finished(page, tmp_path_factory):
    """Return the folder of a run for which much was chosen, and what was."""
    folder = tmp_path_factory.mktemp("run") / "m"
    list(trained(page, folder))
    choices = [
        choice
        for choice in stored_choices(read_manifest(folder).training)
        if (choice.is_taken and choice.by.startswith("recipe ")) or choice.by == "the vocabulary"
    ]
    assert len(choices) > 8
    return folder, choices


def test_typed_as_it_was_chosen_is_the_same_run_and_otherwise_another(page, finished):
    folder, choices = finished
    for choice in choices:
        if choice.name in ("patience", "samples"):  # which may change; without its loss it is none
            continue
        with pytest.raises(OutputError, match=f"`{choice.name}`|{choice.name} ") as refused:
            plan(asked(page, folder, **{choice.name: choice.was}))
        was, now = (as_text(value) for value in (choice.value, choice.was))
        expected = f"was {was.replace('none', 'none')} and is now {now}"
        assert expected in refused.value.why.replace(".0 ", " ").replace(".0;", ";") or (
            float(choice.value) == 0
        )
    for choice in choices:
        assert isinstance(plan(asked(page, folder, **{choice.name: choice.value})), CompletedRun)
    everything = {choice.name: choice.value for choice in choices}
    assert isinstance(plan(asked(page, folder, **everything)), CompletedRun)


def test_an_interrupted_run_of_any_version_goes_on_with_what_was_chosen_and_typed(page, tmp_path):
    flags = {"save_every": "2steps", "budget": "9steps"}
    cut_off_after(trained(page, tmp_path / "m", **flags), step=4)
    stored = read_manifest(tmp_path / "m")
    with pytest.raises(OutputError, match="was 1 and is now 20"):
        plan(asked(page, tmp_path / "m", **flags, batch_rows=20))

    # Typed as it was chosen, it goes on, and stays the run that it was.
    resumed = plan(asked(page, tmp_path / "m", **flags, batch_rows=1, learning_rate=0.005))
    assert resumed.is_resumed and resumed.identity == stored.training["identity"]
    assert resumed.resolved.values["learning_rate"] == 0.005
    untyped = plan(asked(page, tmp_path / "m", **flags))
    assert resumed.resolved.values == untyped.resolved.values
    kept = [choice for choice in resumed.resolved.choices if choice.by != THE_MACHINE]
    assert kept == [choice for choice in untyped.resolved.choices if choice.by != THE_MACHINE]
    before = untyped.resolved

    def without_record(config):
        del config["training"]["choices"], config["training"]["given"]

    edit_config(tmp_path / "m", without_record)
    resumed = plan(asked(page, tmp_path / "m", **flags)).resolved
    assert resumed.values == before.values
    # Its tokenizer is the one that it has, whatever decided on its marks.
    names = {made.name for made in before.choices} - {"split_punctuation"}
    assert {made.name for made in resumed.choices} == names


def test_left_out_where_it_was_typed_against_a_choice_is_another_run(page, tmp_path):
    list(trained(page, tmp_path / "m", batch_rows=20, learning_rate=0.005))
    same = plan(asked(page, tmp_path / "m", batch_rows=20, learning_rate=0.005))
    assert isinstance(same, CompletedRun)
    # What would have been chosen anyway may be left out.
    assert isinstance(plan(asked(page, tmp_path / "m", batch_rows=20)), CompletedRun)
    with pytest.raises(OutputError, match="was 20 and is now 1"):
        plan(asked(page, tmp_path / "m", learning_rate=0.005))


def test_a_run_of_an_earlier_version_is_judged_as_before(page, finished, tmp_path):
    folder = Path(shutil.copytree(finished[0], tmp_path / "m"))

    def without_record(config):
        del config["training"]["choices"], config["training"]["given"]

    edit_config(folder, without_record)
    assert isinstance(plan(asked(page, folder)), CompletedRun)
    assert isinstance(plan(asked(page, folder, batch_rows=20)), CompletedRun)


@pytest.mark.needs("tools/grids")
def test_the_runs_of_a_grid_know_what_was_typed(page, tmp_path):
    from rnnlm.tools.grids.grid import plan_grid
    from rnnlm.tools.grids.grid_request import GridRequest

    request = asked(page, tmp_path / "g")
    axes = {"dropout_input": ("0", "0.4")}
    for path in ("0", "0.4"):
        list(trained(page, tmp_path / "g" / f"dropout_input={path}", dropout_input=float(path)))
    planned = plan_grid(GridRequest(request, axes))
    assert all(isinstance(run, CompletedRun) for run in planned.plans)

    # A run for which 0 was chosen is not the one of 0.4, which the recipe has.
    shutil.rmtree(tmp_path / "g" / "dropout_input=0.4")
    list(trained(page, tmp_path / "g" / "dropout_input=0.4"))
    with pytest.raises(OutputError, match=r"was 0 and is now 0\.4"):
        plan_grid(GridRequest(request, axes))


def test_a_recipe_that_is_named_keeps_the_size_that_a_time_would_choose(
    page, tmp_path, monkeypatch
):
    """So without its name the run is another one, and with it, too."""
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 1e5)
    long = {name: SMALL[name] for name in ("device", "threads")}
    long |= {"budget": "1s", "batch_rows": 2, "bptt_tokens": 5}
    text = page / "long.txt"
    text.write_text("the goats saw lamps near the mill\n" * 2000, encoding="utf-8")
    ways = {"named": {"recipe": "lstm"}, "open": {}}
    for name, way in ways.items():
        list(rnnlm.train(text, output=tmp_path / name, **long, **way))
        for other, asked_for in ways.items():
            request = TrainingRequest((str(text),), output=tmp_path / name, flags=long, **asked_for)
            if other == name:
                assert isinstance(plan(request), CompletedRun)
            else:
                with pytest.raises(OutputError, match="hidden_size"):
                    plan(request)
    choices = stored_choices(read_manifest(tmp_path / "open").training)
    assert {choice.name for choice in choices if choice.by == THE_TIME} >= {"hidden_size"}


def test_a_named_recipe_keeps_what_the_size_of_the_text_chooses_in_a_time(page, tmp_path):
    way = {"recipe": "lstm", "budget": "1s", **HERE}
    list(rnnlm.train(page / "text.txt", valid=page / "valid.txt", output=tmp_path / "m", **way))
    made = read_manifest(tmp_path / "m")
    assert made.settings["hidden_size"] == 64
    flags = {"budget": "1s", **HERE}
    same = TrainingRequest(
        (str(page / "text.txt"),), valid=(str(page / "valid.txt"),), recipe="lstm",
        output=tmp_path / "m", flags=flags,
    )  # fmt: skip
    assert isinstance(plan(same), CompletedRun)
    for name, value in {"hidden_size": 512, "embedding_size": 300, "batch_rows": 20}.items():
        with pytest.raises(OutputError, match=f"{name}` was .* and is now {value}"):
            plan(replace(same, flags={**flags, name: value}))


def test_rows_that_somebody_sets_leave_a_text_as_small_as_it_is(page, tmp_path):
    small = dry_plan(asked(page, tmp_path, batch_rows=1)).resolved
    assert small.values["warmup"] == dry_plan(asked(page, tmp_path)).resolved.values["warmup"]
    assert small.values["learning_rate"] == 0.005 and small.values["batch_rows"] == 1


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("task, typed, chosen", [
    ("tagging", {"label_column": "xpos"}, "upos"),
    ("seq2seq", {"column": "b", "target_column": "a"}, "a"),
])  # fmt: skip
def test_a_column_that_somebody_names_is_no_choice(tmp_path, task, typed, chosen):
    """So the same command without it is another run."""
    words = "1\tAda\tAda\tPROPN\tNNP\t_\t_\t_\t_\t_\n2\tsees\tsee\tVERB\tVBZ\t_\t_\t_\t_\t_\n\n"
    rows = "a\tb\n" + "one two\tzwei eins\nthree one\teins drei\n" * 9
    name, content = {"tagging": ("t.conllu", words * 12), "seq2seq": ("t.tsv", rows)}[task]
    text = tmp_path / name
    text.write_text(content, encoding="utf-8")
    [setting, *_] = typed
    tiny = {"hidden_size": 4, "embedding_size": 4, "budget": "1steps", **HERE}
    list(rnnlm.train(text, task=task, output=tmp_path / "m", **tiny, **typed))
    request = TrainingRequest((str(text),), task=task, output=tmp_path / "m", flags=tiny)
    assert isinstance(plan(replace(request, flags={**tiny, **typed})), CompletedRun)
    with pytest.raises(OutputError, match=f"{setting}` was {typed[setting]} and is now none"):
        plan(request)
    assert dry_plan(request).resolved.values[setting] == chosen
