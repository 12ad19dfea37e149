"""Runs that are killed, at random and within each step of a save, end bit by bit alike."""

import random
import shutil
import tempfile
from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import OutputError
from rnnlm.storage import model_folder
from rnnlm.storage.manifest import read_manifest
from support import tiny_tasks, tiny_translators
from support.killed_runs import checked, command, newest_step, outcome
from support.small_runs import SMALL

pytestmark = [pytest.mark.processes, pytest.mark.needs("tasks/labelling", "tasks/seq2seq")]

VARIANTS = {
    "adamw, dropout of weights": {
        "optimizer": "adamw", "dropout_input": 0.3, "dropout_output": 0.2, "weight_drop": 0.3,
        "weight_decay": 0.01,
    },
    "nt-asgd": {"optimizer": "asgd", "nonmonotone_interval": 2, "learning_rate": 3.0,
                "schedule": "constant", "dropout_output": 0.2},
    "moving average, drawn windows": {
        "ema_decay": 0.9, "bptt_deviation": 3.0, "bptt_short": 0.2, "locked_dropout": True,
        "dropout_input": 0.3, "long_windows": 0.5,
    },
    "plateau, two layers of gru": {"model": "gru", "layers": 2, "schedule": "plateau",
                                   "plateau_factor": 0.3, "dropout_between": 0.2},
}  # fmt: skip
FIRST, *OTHERS = VARIANTS  # unit/neural/fitting/test_state.py cuts off and resumes runs of all
SOAK = pytest.mark.soak
STEPS = {"budget": "60steps", "save_every": "3steps"}
FEWER_STEPS = {"budget": "24steps", "save_every": "4steps"}
SHORT = {"budget": "7steps", "save_every": "3steps"}


def unbroken(runs, texts, settings, **options):
    """Return the outcome of a run that is not killed, and how it ended."""
    folder = runs.folder / "unbroken" / "m"
    ended = runs.run(command(*texts, folder, settings, **options), point=("", ""))
    assert ended.code == 0, ended.said
    return outcome(folder), ended


def killed_at_random(runs, texts, variant, seed, kills, validate_every_steps=10, **steps):
    """Kill a run so many times, each time followed by the same command again, which comes to its
    end now and then. Return how many steps each has lost, of those that took any."""
    settings = {"validate_every_steps": validate_every_steps, **VARIANTS[variant]}
    runs.folder /= variant
    runs.folder.mkdir()
    expected, whole = unbroken(runs, texts, settings, **steps)
    draw, lost, folder = random.Random(seed), [], Path(tempfile.mkdtemp(dir=runs.folder))
    done = 0
    while done < kills:
        after = draw.uniform(0.0, whole.seconds)
        ended = runs.run(command(*texts, folder, settings, **steps), kill_after=after)
        checked(folder)
        if ended.code == 0:
            assert outcome(folder) == expected
            folder = Path(tempfile.mkdtemp(dir=runs.folder))
            continue
        assert ended.code == -9, ended.said
        done += 1
        if ended.steps:
            lost.append(ended.steps - newest_step(folder))
    ended = runs.run(command(*texts, folder, settings, **steps))
    assert ended.code == 0, ended.said
    assert outcome(folder) == expected
    return lost


def killed_within_a_save(runs, texts, settings, expected, moment, call):
    """Kill a run before or after (`moment`) such a system call, and resume it. Return whether the
    call came: the number of log lines at a given time varies."""
    folder = runs.folder / "killed" / "m"
    ended = runs.run(command(*texts, folder, settings, **SHORT), point=(moment, call))
    assert ended.code == -9 or "metrics" in call, ended.said
    checked(folder)
    again = runs.run(command(*texts, folder, settings, **SHORT))
    assert again.code == 0, again.said
    assert outcome(folder) == expected, call
    shutil.rmtree(folder)
    return ended.code == -9


def kind_of(call):
    """Return the kind of a call, the same for all that is saved more than once."""
    kind, name, _ = call.split()
    return kind, "".join(letter for letter in name if not letter.isdigit())


@pytest.mark.parametrize("variant", [FIRST, *(pytest.param(each, marks=SOAK) for each in OTHERS)])
def test_run_killed_at_random_ends_like_uninterrupted_one(runs, texts, variant):
    # nt-asgd averages from the fourth validation on
    killed_at_random(runs, texts, variant, 7, kills=1, validate_every_steps=4, **FEWER_STEPS)


def test_run_killed_during_save_ends_like_uninterrupted_one(runs, texts):
    settings = {"validate_every_steps": 4}
    expected, whole = unbroken(runs, texts, settings, **SHORT)
    kinds = {kind_of(call): call for call in whole.operations}  # the last of each
    assert {kind for kind, _ in kinds} == {"mkdir", "open", "write", "fsync", "replace", "unlink"}
    for call in random.Random(1).sample(sorted(kinds.values()), 2):
        killed_within_a_save(runs, texts, settings, expected, "after", call)


LABELLED = [tiny_tasks.columns(examples) for examples in (tiny_tasks.TRAIN, tiny_tasks.VALID)]
NUMBERS = [tiny_translators.table(tiny_translators.numbers(n, seed)) for n, seed in ((40, 1), (7, 2))]  # fmt: skip
OF_PAIRS = {"tokenizer": "word", "input_feeding": True, "own_words": 0.3, "dropout_input": 0.3}
OF_TASKS = {
    "tagging": (LABELLED, {"output_layer": "crf", "dropout_input": 0.3, "ema_decay": 0.9}),
    "seq2seq": (NUMBERS, OF_PAIRS),
}


@pytest.mark.parametrize("task", ["tagging", pytest.param("seq2seq", marks=SOAK)])
def test_task_run_killed_during_save_ends_like_uninterrupted(runs, tmp_path, task):
    contents, settings = OF_TASKS[task]
    texts = tmp_path / "text", tmp_path / "valid"
    for path, content in zip(texts, contents, strict=True):
        path.write_text(content, encoding="utf-8")
    settings = {"validate_every_steps": 4, **settings}
    options = {"task": task, "budget": "9steps", "save_every": "3steps"}
    expected, whole = unbroken(runs, texts, settings, **options)
    folder = tmp_path / "killed" / "m"
    writes = [call for call in whole.operations if "weights" in call or "state" in call]
    point = ("after", writes[len(writes) // 2])
    ended = runs.run(command(*texts, folder, settings, **options), point=point)
    assert ended.code == -9 and 0 < newest_step(folder) < 9, ended.said
    assert runs.run(command(*texts, folder, settings, **options)).code == 0
    assert outcome(folder) == expected


@pytest.mark.soak
def test_a_hundred_kills_at_random_moments(runs, texts):
    lost = []
    for seed, variant in enumerate(VARIANTS):
        lost += killed_at_random(runs, texts, variant, seed, 25, **STEPS)
    assert max(lost) <= 3 + 1  # a step may be under way, or a save
    print(f"100 kills survived, {len(lost)} of them after a step")


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_at_every_step_of_every_save(runs, texts, moment):
    settings = {"validate_every_steps": 4, "ema_decay": 0.9, "weight_drop": 0.2}
    expected, whole = unbroken(runs, texts, settings, **SHORT)
    given = (runs, texts, settings, expected, moment)
    kills = sum(killed_within_a_save(*given, call) for call in whole.operations)
    print(f"{kills} kills survived, {moment} each call")


NETWORK = {name: value for name, value in SMALL.items() if name != "bptt_tokens"}
REQUESTS = {
    "language model": {"text": "text.txt", "model": "gru"},
    "n-grams": {"text": "text.txt", "model": "ngram", "order": 2},
    "tagging": {"text": "slots.tsv", "task": "tagging"},
    "seq2seq": {"text": "pairs.tsv", "task": "seq2seq", "column": "1", "target_column": "2"},
}
TEXTS = {
    "text.txt": "the dog barked at the cat\n",
    "slots.tsv": "dog\tNOUN\nbarks\tVERB\n\n",
    "pairs.tsv": "one two\tun deux\n",
}


@pytest.fixture
def killed(tmp_path, monkeypatch, request):
    """Return the arguments of a run whose folder m was left before config.json."""
    monkeypatch.chdir(tmp_path)
    for name, content in TEXTS.items():
        Path(name).write_text(content * 40, encoding="utf-8")
    write = model_folder.write_manifest

    def write_after_copying(folder, manifest):
        if not Path("m").exists():
            shutil.copytree(folder, "m")
        write(folder, manifest)

    asked = dict(REQUESTS[request.param])
    if request.param != "n-grams":
        asked |= NETWORK
    with monkeypatch.context() as patched:
        patched.setattr(model_folder, "write_manifest", write_after_copying)
        list(rnnlm.train(**asked, output="whole"))
    return asked


@pytest.mark.parametrize("killed", REQUESTS, indirect=True)
def test_a_killed_run_is_replaced(killed):
    list(rnnlm.train(**killed, output="m"))
    assert set(read_manifest(Path("m")).files) <= {path.name for path in Path("m").iterdir()}
    assert not Path("m", model_folder.UNFINISHED_FILES).exists()


@pytest.mark.parametrize("killed", ["seq2seq"], indirect=True)
def test_a_killed_run_of_another_task_leaves_nothing(killed):
    list(rnnlm.train("text.txt", model="unigram", output="m"))
    companions = {"README.md", "config.json", "metrics.jsonl"}
    left = {path.name for path in Path("m").iterdir()} - companions
    assert left == set(read_manifest(Path("m")).files)


@pytest.mark.parametrize("killed", ["seq2seq"], indirect=True)
def test_files_of_others_are_left_alone(killed):
    Path("m", "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="holds no model"):
        list(rnnlm.train(**killed, output="m"))
