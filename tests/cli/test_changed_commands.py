"""The same command finds its result; one change is refused and named, any other is listed here."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from rnnlm.cli.main import cli
from rnnlm.registry import all_tasks, kinds_of
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from rnnlm.training.run_folder import identity_of
from support.failures import contents

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tasks/seq2seq", "tools/filtering", "tools/grids", "tools/mixtures"
)

# What does not matter: where and how fast a command works, and which of its results it writes
# where. More files to filter resume.
FREE = {"device", "threads", "memory", "temp", "workers", "dask",
        "output", "overwrite", "as_json", "shards"}  # fmt: skip
# Pairs have no identity, as their files are never taken for finished, and sorted rows are printed
# alone. What is tuned for a model is in its folder.
WITHOUT = {
    "count": {"plot", "probabilities", "zipf", "only", "min_count"},
    "score": {"pairs_source", "pairs_scoring", "plot", "sort"},
    "tune": {"model_name"},
}
FREE_IN_TRAINING = {
    "device", "threads", "memory", "temp", "workers", "dask", "cuda_graphs", "save_every",
    "keep_checkpoints", "rollbacks", "rollback_factor", "accumulation", "rank_timeout",
    "min_validations",
}  # fmt: skip

# Commands, and by parameter what is added to them, or replaced in them.
# A finished result that was read strictly holds no errors, so the change back is free.
REPLACE = "--encoding-errors replace"
CSV = f"data.csv --column text {REPLACE}"
TOKENIZING = {
    "lowercase": "--lowercase", "normalise": "--normalise nfc",
    "split_punctuation": "--split-punctuation", "remove_punctuation": "--remove-punctuation",
    "vocab": "--vocab words.txt",
}  # fmt: skip
COLUMNS = {"column": "--column other", "encoding_errors": "--encoding-errors strict"}
READING = COLUMNS | {"special_symbols": "--special-symbols drop"}
UNWRAP = {"unwrap": "--unwrap"}
BY_WORD = {"sentence_columns": "--sentence-columns other"}
OF_LINES = UNWRAP | {"blank_lines": "--blank-lines keep", "split": "--split test"}
OF_TEXTS = READING | BY_WORD | OF_LINES
CASES = {
    f"score --input {CSV} -m UNI -o OUT.tsv": READING | {
        "model_names": "-m LSTM", "inputs": "--input data.csv", "region_mark": "--regions |",
        "given": "--given was", "strip": "--strip", "id_column": "--id-column other",
        "keep": "--keep other", "given_column": "--given-column other", "tokens": "--tokens",
        "words": "--words", "measures": "--with frequency --words", "next_words": "--next-words 2",
        "frequency_from": "--frequency-from LSTM --with lags --words",
        "probabilities": "--probabilities", "eos": "--no-eos", "context": "--context carry",
        "where": "--where other=c",
    },
    "score --input words.csv --column word -m UNI -o OUT.tsv": BY_WORD,
    "score --input data.csv --region-columns text -m UNI -o OUT.tsv": {
        "region_columns": "--region-columns other"
    },
    "score --input text.txt -m UNI -o OUT.tsv": UNWRAP,
    "score man -m UNI -o OUT.tsv": {"sentences": ("man", "boy")},
    "score --input numbers.tsv --column english --target-column french -m FRA -o OUT.tsv": {
        "target_column": "--target-column english"
    },
    "score un --source one -m FRA -o OUT.tsv": {"given_source": "--source two"},
    "score --input english.txt --target french.txt -m FRA -o OUT.tsv": {
        "targets": "--target english.txt --input french.txt"
    },
    f"count {CSV} -o OUT": OF_TEXTS | TOKENIZING | {
        "text": "data.csv", "order": "--order 2", "tokenizer": "--tokenizer char",
        "model_name": "-m UNI", "tokenizer_from": "--tokenizer-from UNI",
    },
    f"filter data.jsonl -m UNI --max-perplexity 900 {REPLACE} -o OUT": READING | UNWRAP | {
        "model_names": ("UNI", "LSTM"), "min_perplexity": "--min-perplexity 1",
        "max_perplexity": "--max-perplexity 800", "blank_lines": "--blank-lines documents",
        "perplexity_column": "--perplexity-column ppl",
    },
    "filter data.jsonl -m UNI --reference text.txt -o OUT": {
        "reference": "--reference data.jsonl", "quantiles": "--quantiles 0.2,0.5",
        "bucket_column": "--bucket-column b", "keep": "--keep head",
    },
    "filter data.jsonl -m UNI --cutoffs 10,900 -o OUT": {
        "cutoffs": "--cutoffs 10,800", "model_names": ("UNI", "UNI+unigram")
    },
    "filter data.jsonl -m UNI --against LSTM --max-difference 0 -o OUT": {
        "against": "--against UNI", "max_difference": "--max-difference 1",
    },
    "filter data.jsonl -m a=CHAR -m b=CHAR -o OUT": {
        "min_probability": "--min-probability 0.9", "language_column": "--language-column l"
    },
    f"prepare {CSV} -o OUT --workers 1": OF_TEXTS | TOKENIZING | {
        "text": "data.csv", "tokenizer": "--tokenizer char", "min_count": "--min-count 2",
        "max_vocab": "--max-vocab 9", "literal_unk": "--tokenizer char --literal-unk spell",
        "tokenizer_from": "--tokenizer-from UNI", "assignments": "--set min_count=2",
        "sample": "--sample 1M",
    },
    "tune -m COPY+dynamic --on data.csv --column text --tokens 9 --statistics text.txt": {
        "on": "--on text.txt", "column": "--column other", "tokens": "--tokens 10",
        "statistics": "--statistics data.csv", **BY_WORD,
    },
}  # fmt: skip
NAMES = ("score", "count", "filter", "prepare", "tune")


@pytest.fixture
def place(here):
    rows = [{"text": "the man was here", "other": "the boy"}, {"text": "a b", "other": "c"}] * 9
    (here / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cells = "".join(f"{row['text']},{row['other']}\n" for row in rows)
    (here / "data.csv").write_text("text,other\n" + cells)
    (here / "text.txt").write_text("".join(f"{row['text']}\n" for row in rows))
    (here / "words.txt").write_text("man\nhere\n")
    (here / "words.csv").write_text("word,other\nthe,1\nman,1\nwas,2\nhere,2\n")
    (here / "english.txt").write_text("one\ntwo\n")
    (here / "french.txt").write_text("un\ndeux\n")
    (here / "numbers.tsv").write_text("english\tfrench\none\tun\n")
    return here


@pytest.fixture
def run(rnnlm, models, translator, place):
    """Return a function that runs a command line with the models' short names in it."""
    names = {"LSTM": models.lstm, "UNI": models.unigram, "FRA": translator.folder}

    def command(line):
        words = line.split()
        for short, folder in names.items():
            words = [word.replace(short, str(folder)) for word in words]
        return rnnlm(*words)

    return command


def refuses(outcome) -> bool:
    return outcome.code == 1 and "already holds another result" in outcome.err


@pytest.mark.parametrize("line", CASES)
def test_a_changed_command_is_refused(run, models, place, line):
    if "CHAR" in line:
        done = run("train text.txt --model unigram --tokenizer char --holdout 0 -o CHAR")
        assert done.code == 0, done.err
    if "COPY" in line:
        shutil.copytree(models.lstm, "COPY")
    first = run(line)
    assert first.code == 0, first.err
    for parameter, more in CASES[line].items():
        changed = line.replace(*more) if isinstance(more, tuple) else f"{line} {more}"
        outcome = run(changed)
        assert refuses(outcome), f"{parameter}: {changed}: {outcome.code} {outcome.err}"
    assert "is finished" in run(line).err


@pytest.mark.parametrize("name", NAMES)
def test_each_option_of_a_command_is_changed_above_or_does_not_matter(name):
    command = cli.get_command(None, name)
    changed = {word for line in CASES if line.startswith(f"{name} ") for word in CASES[line]}
    parameters = {parameter.name for parameter in command.params}
    assert parameters - FREE - WITHOUT.get(name, set()) == changed


@pytest.mark.parametrize("line", [
    "score -m UNI --input data.txt -o OUT.tsv", "count data.txt -o OUT", "prepare data.txt -o OUT --workers 1",
    "train data.txt --model unigram --holdout 0 -o OUT",
    "train text.txt --model unigram --valid data.txt -o OUT",
    "train text.txt --model unigram --test data.txt -o OUT",
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv.gz", pytest.param(".jsonl", marks=pytest.mark.soak)])
def test_a_text_of_another_format_is_another_text(run, place, line, suffix):
    data = place / ("data.jsonl" if suffix == ".jsonl" else "data.csv")
    data.rename("data.txt")
    assert run(line).code == 0
    Path("data.txt").rename(f"data{suffix}")
    outcome = run(line.replace("data.txt", f"data{suffix}"))
    assert refuses(outcome) and "read as text before" in outcome.err, outcome.err


@pytest.mark.parametrize("line", [
    "score -m COPY+unigram --input text.txt -o OUT.tsv",
    "filter text.txt -m COPY+unigram --max-perplexity 900 -o OUT",
])  # fmt: skip
def test_what_was_tuned_for_a_model_is_signed(run, models, place, line):
    shutil.copytree(models.unigram, "COPY")
    (place / "repeated.txt").write_text("the man was here\n" * 20)
    assert run(line).code == 0
    assert run("tune -m COPY+unigram --on repeated.txt").code == 0
    assert refuses(run(line))


# ---- Training: its settings and requests are compared without a run.


def identity(**request) -> dict[str, str]:
    asked = TrainingRequest(**{"text": ("text.txt",), "model": "unigram"} | request)
    return identity_of(asked, resolve_request(asked).resolved)


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test_each_setting_of_training_is_in_the_identity_of_a_run(place, task):
    left_out = set()
    for kind in kinds_of(task.name).values():
        if not kind.is_trained:
            continue
        asked = TrainingRequest(text=("text.txt",), model=kind.name, task=task.name)
        resolved = resolve_request(asked).resolved
        left_out |= resolved.values.keys() - identity_of(asked, resolved).keys()
    assert left_out and left_out <= FREE_IN_TRAINING


def test_each_part_of_a_request_changes_the_identity_of_a_run(models, translator, place):
    (place / "set.toml").write_text("max_vocab = 7\n")
    changed = {
        "text": {"text": ("data.csv",)}, "valid": {"valid": ("data.csv",)},
        "test": {"test": ("data.csv",)},
        "counts": {"text": (), "counts": "data.csv", "model": "ngram"},
        "recipe": {"recipe": "set.toml"}, "model": {"model": "ngram"},
        "assignments": {"assignments": {"max_vocab": "7"}}, "flags": {"flags": {"max_vocab": 7}},
        "tokenizer_from": {"tokenizer_from": str(models.unigram)},
        "init_from": {"model": "lstm", "init_from": str(models.lstm)},
        "task": {"model": "lstm", "task": "tagging"},
        "contextual": {"model": "lstm", "task": "tagging", "contextual": (str(models.lstm),)},
    }  # fmt: skip
    pairs = {"model": "lstm", "task": "seq2seq", "target": ("french.txt",)}
    for name in ("target", "valid_target", "test_target"):
        changed[name] = pairs | {name: ("english.txt",)}
    for name in ("init_encoder_from", "init_decoder_from"):
        changed[name] = pairs | {name: str(models.lstm)}
    identities = {
        name: tuple(sorted(identity(**request).items())) for name, request in changed.items()
    }
    identities |= {"nothing": tuple(sorted(identity().items()))}
    identities |= {"pairs": tuple(sorted(identity(**pairs).items()))}
    assert len(set(identities.values())) == len(identities) - 2  # a setting by three ways

    fields = {field.name for field in dataclasses.fields(TrainingRequest)}
    assert fields - changed.keys() == {"from_file", "extra_layers", "output", "overwrite"}


def test_each_option_of_train_is_a_setting_or_part_of_a_request():
    command = cli.get_command(None, "train")
    known = {field.name for field in dataclasses.fields(TrainingRequest)} | FREE_IN_TRAINING
    for task in all_tasks():
        for kind in kinds_of(task.name).values():
            for group in kind.all_settings:
                known |= {field.name for field in dataclasses.fields(group)}
    others = {parameter.name for parameter in command.params} - known
    assert others == {"grid", "dry_run", "as_json"}


COMMANDS = {
    "count to a folder": "count text.txt -o OUT",
    "count, added up": "count a b -o OUT",
    "filter": "filter text.txt -m {unigram} --max-perplexity 900 -o OUT",
    "prepare": "prepare text.txt -o OUT --workers 1",
    "score": "score -m {unigram} --input text.txt -o OUT.tsv",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_command_finds_its_result(rnnlm, models, here, name):
    (here / "text.txt").write_text("the man was here\nthe boy was there\n" * 20)
    for folder in "ab" if "count a b" in COMMANDS[name] else "":
        assert rnnlm("count", "text.txt", "-o", folder).code == 0
    line = COMMANDS[name].format(unigram=models.unigram)
    first = rnnlm(line)
    assert first.code == 0, first.err
    before = contents(here)

    again = rnnlm(line)
    assert again.code == 0 and contents(here) == before, again.err
    notes = [note for note in again.err.splitlines() if note.startswith("note: OUT")]
    assert notes and all("is finished: " in note for note in notes), again.err
    assert all(note.endswith("; --overwrite makes it again") for note in notes)

    # What is read has changed, if only its time.
    for path in here.glob("[!.]*.t*"):
        if not path.name.startswith("OUT"):
            os.utime(path, ns=(1, 1))
    if "count a b" in line:
        os.utime("a/counts.json", ns=(1, 1))
    other = rnnlm(line)
    assert (other.code, other.out) == (1, "") and contents(here) == before
    assert (
        "already holds another result" in other.err and "1970-01-01" in other.err
    ) or "a b" in line
    assert "try: choose another -o, or replace it with --overwrite" in other.err
    assert rnnlm(f"{line} --overwrite").code == 0
    assert rnnlm(line).code == 0


@pytest.mark.parametrize("command, more, why", [
    ("score", "--workers 2", None), ("score", "--words", "--words differs"),
    ("filter", "--column content", "--column was none and is now content"),
])  # fmt: skip
def test_what_differs_is_named_as_it_is_given(rnnlm, models, here, command, more, why):
    (here / "text.txt").write_text("the man was here\nthe boy was there\n" * 20)
    line = COMMANDS[command].format(unigram=models.unigram)
    assert rnnlm(line).code == 0
    again = rnnlm(f"{line} {more}")
    expected = (1, True) if why else (0, False)
    assert (again.code, f"why: {why}" in again.err) == expected, again.err
