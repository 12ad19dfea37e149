"""Every `--json` that shows results, and every result that a model's folder keeps: names, their order
and types stay as scripts know them, and what is stored is read again.

`python tests/cli/test_json_of_results.py` writes the file of what is expected anew.
"""

import contextlib
import io
import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from rnnlm import registry
from rnnlm.cli.main import run
from rnnlm.errors import RnnlmWarning
from rnnlm.evaluation.metrics import Evaluation, with_intervals
from rnnlm.lm.base import stored_model
from rnnlm.storage import model_folder
from rnnlm.tasks.labelling.data import MULTI
from rnnlm.tasks.labelling.evaluation import evaluation as labels
from rnnlm.tasks.seq2seq.evaluation import evaluation as pairs
from rnnlm.tools.grids import grid
from rnnlm.tools.grids.grid_request import Combination
from rnnlm.training.request import TrainingRequest
from support import tiny_models, tiny_seq2seq, tiny_tasks, tiny_translators
from support.saved_models import edit_config
from support.tiny_models import LINES

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/grids")

EXPECTED = Path(__file__).with_name("json_of_results.jsonl")
TEXT = [
    "the cat sat on the mat", "it is a dog", "the dog saw a cat", "hard to recognize", "a bird sat",
] * 2  # fmt: skip
PAIRS = [
    ("the cat sat", "le chat est assis"), ("a dog", "un chien"), ("on the mat", "la chatte"),
    ("a dog", "la chatte est assis"),
] * 3  # fmt: skip
SLOTS = {"column": "words", "label_column": "slots", "sentence_label_column": "intent"}
FEW = ("--resamples=40",)
CASES = {
    "eval of n-grams": ("eval", "-m", "kn", "known.txt"),
    "eval of n-grams, unknown words": ("eval", "-m", "kn", "text.txt", "--context=reset"),
    "eval of a network": ("eval", "-m", "lstm", "text.txt"),
    "eval of a tagger": ("eval", "-m", "tagger", "valid.conll"),
    "eval of two columns": ("eval", "-m", "slots", "valid.jsonl", "--confusions=1"),
    "eval of a classifier": ("eval", "-m", "classes", "valid.tsv"),
    "eval of several labels": ("eval", "-m", "several", "valid.tsv"),
    "eval of an encoder-decoder": ("eval", "-m", "fra", "pairs.tsv"),
    "compare of language models": ("compare", "kn", "lstm", "--on=text.txt", *FEW, "--top=1"),
    "compare of tokenizers": ("compare", "chars", "kn", "--on=known.txt", *FEW, "--top=1"),
    "compare of taggers": ("compare", "tagger", "gru", "--on=valid.conll", *FEW),
    "compare of two columns": ("compare", "slots", "slots2", "--on=valid.jsonl", *FEW),
    "compare of classifiers": ("compare", "classes", "bag", "--on=valid.tsv", *FEW),
    "compare of encoder-decoders": ("compare", "fra", "fra2", "--on=pairs.tsv", *FEW),
    **{f"info of {name}": ("info", name) for name in ("kn", "lstm", "slots", "classes", "fra")},
    **{f"report of {name}": ("report", name) for name in ("lstm", "tagger")},
}
STORED = {"kn": "ngram", "lstm": "lstm", "tagger": "lstm", "slots": "lstm", "several": "lstm",
          "fra": "lstm"}  # fmt: skip


def build(place: Path) -> None:
    """Make tiny models of every task in a folder, and texts to evaluate them on."""
    lines = {"text.txt": TEXT, "known.txt": [each for each in LINES[:4] for _ in range(2)]}
    files = {name: "\n".join(each) + "\n" for name, each in lines.items()} | {
        "valid.conll": tiny_tasks.columns(tiny_tasks.VALID),
        "valid.tsv": tiny_tasks.table(tiny_tasks.VALID),
        "valid.jsonl": tiny_tasks.json_lines(tiny_tasks.VALID),
        "pairs.tsv": "source\ttarget\n" + "".join("\t".join(each) + "\n" for each in PAIRS),
    }
    for name, content in files.items():
        (place / name).write_text(content, encoding="utf-8")

    # Language models: of words by counts and by a network, and of characters.
    for folder, kind, settings in (
        ("kn", "ngram", {"order": 3}),
        ("lstm", "lstm", {}),
        ("chars", "ngram", {"order": 3, "tokenizer": "char"}),
    ):
        tiny_models.save(place / folder, tiny_models.fit(kind, **settings), kind, **settings)

    # Models of labels: of words, of words and their sentence, of texts.
    for folder, task, kind, settings in (
        ("tagger", "tagging", "lstm", {}), ("gru", "tagging", "gru", {}),
        ("slots", "tagging", "lstm", {"both": True}),
        ("slots2", "tagging", "lstm", {"both": True, "hidden_size": 4}),
        ("classes", "classification", "lstm", {}), ("bag", "classification", "bag", {}),
        ("several", "classification", "lstm", {"form": MULTI}),
    ):  # fmt: skip
        model = tiny_tasks.fit(task, kind, budget="12steps", **settings)
        is_multi = settings.pop("form", None) == MULTI
        if settings.pop("both", False):
            settings |= SLOTS
        tiny_tasks.save(place / folder, model, **settings, multi_label=is_multi)

    # Encoder-decoders, which have learned nothing.
    tiny_seq2seq.saved(place / "fra")
    tiny_seq2seq.saved(place / "fra2", model="gru")


def data_of(model: object, name: str) -> object:
    """Return the data that a model of :func:`build` is evaluated on, in the form that it reads."""
    if name == "fra":
        return pairs.read(model, tiny_translators.parallel_text(PAIRS))
    if model.task != "language-model":
        text = tiny_tasks.labelled(tiny_tasks.VALID, model.task, name == "slots")
        return labels.read(model, text)
    return tiny_models.Lines(TEXT).encode(model.tokenizer)


def measured(place: Path, name: str, has_intervals: bool) -> dict[str, object]:
    """Evaluate the model, store the results as its training run would, and return them."""
    model, manifest = stored_model.load(place / name, "cpu")
    task = registry.task(manifest.task)
    valid = data_of(model, name)
    evaluation = task.evaluate_encoded(model, valid)
    evaluation = with_intervals(evaluation) if has_intervals else evaluation
    found = {"valid": evaluation.to_dict()}
    model_folder.save_results(place / name, manifest, found, {})
    return found


def log(place: Path, name: str, **validated: object) -> None:
    """Write the log of a run with one validation."""
    events = [
        {"event": "started", "model": "lstm", "train_tokens": 30},
        {"event": "validated", "step": 5, "epoch": 1.5, "seconds": 2.0, **validated},
    ]
    text = "".join(json.dumps(event) + "\n" for event in events)
    (place / name / "metrics.jsonl").write_text(text)


def grid_row(place: Path, name: str) -> dict[str, object]:
    """Return the row of a grid for the run that left this model."""
    asked = Combination("run", {"model": name}, TrainingRequest(output=place / name), None, None)
    return grid.read(asked).to_dict()


def everything(place: Path) -> dict[str, object]:
    """Return all results, stored or printed, by name."""
    build(place)
    found: dict[str, object] = {}
    for name in STORED:
        for has_intervals in (False, True):
            with_intervals = " with intervals" * has_intervals
            found[f"results of {name}{with_intervals}"] = measured(place, name, has_intervals)
        found[f"grid of {name}"] = grid_row(place, name)
    log(place, "lstm", ppl_token=12.5, best_ppl_token=12.5)
    log(place, "tagger", loss_nats=0.5, f1=0.25, accuracy=0.5, best_f1=0.25)
    for name, arguments in CASES.items():
        out, err = io.StringIO(), io.StringIO()
        given = [arguments[0], "--json", *arguments[1:]]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            assert run(given) == 0, err.getvalue()
        found[name] = json.loads(out.getvalue())
    return found


# Settings and versions are no results, and tables by type or label have the labels as names.
UNTOLD = ("settings", "made_by", "by_type", "unseen_labels", "lines_in_train")


def types_of(value: object) -> object:
    """Return a value with the names of types in place of numbers and texts; of a list, the
    different types of what it holds."""
    if isinstance(value, dict):
        return {
            name: type(each).__name__ if name in UNTOLD else types_of(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        types = [types_of(each) for each in value]
        return [each for number, each in enumerate(types) if each not in types[:number]]
    return type(value).__name__


def expected() -> dict[str, object]:
    lines = EXPECTED.read_text(encoding="utf-8").splitlines()
    return dict(json.loads(line) for line in lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def found(place):
    with contextlib.chdir(place), warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return everything(place)


@pytest.mark.parametrize("name", expected())
def test_results_have_the_names_and_types_that_scripts_know(found, name):
    assert json.dumps(types_of(found[name])) == json.dumps(expected()[name])


# ---- What is stored is read again.

RESULTS = [name for name in expected() if name.startswith("results of ")]


def evaluation_of(place: Path, name: str, stored: object) -> Evaluation:
    """Read what is stored of the model in `name`, "results of MODEL"."""
    task = registry.task(model_folder.read_manifest(place / name.split()[2]).task)
    return task.evaluation_class.from_dict(stored)


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_stored_is_read_again(place, found, name):
    stored = found[name]["valid"]
    evaluation = evaluation_of(place, name, stored)
    assert json.dumps(evaluation.to_dict()) == json.dumps(stored)
    assert evaluation_of(place, name, stored | {"new": 1}).to_dict() == stored
    columns = {each["column"]: each for each in stored.get("columns", [])}
    for metric in evaluation.metrics:
        assert metric.value == columns.get(metric.column, stored)[metric.name]
        assert metric.signature.startswith(("rnnlm:", f"{metric.name}|"))
    # Few texts and sources have no interval.
    assert bool(evaluation.intervals) == ("intervals" in name)


def without(value: object, missing: str) -> object:
    """Return a value in which nothing has that name, as stored before there was such a metric."""
    if isinstance(value, dict):
        return {name: without(each, missing) for name, each in value.items() if name != missing}
    if isinstance(value, list):
        return [without(each, missing) for each in value]
    return value


@pytest.mark.parametrize("name", RESULTS)
def test_a_metric_that_is_not_stored_is_none_and_the_others_are_shown(place, found, rnnlm, name):
    stored = found[name]["valid"]
    whole = evaluation_of(place, name, stored)
    folder = shutil.copytree(place / name.split()[2], Path("m"))
    for missing in dict.fromkeys(each.name for each in whole.metrics):
        results = {"valid": without(stored, missing)}
        edit_config(folder, lambda content, results=results: content.update(results=results))
        evaluation = evaluation_of(place, name, results["valid"])
        shown = rnnlm("info", "m").out
        for each in whole.metrics:
            metric = evaluation.metric(each.name, each.column)
            if each.name == missing:
                assert metric is None or metric.value is None
            else:
                assert metric.value == each.value
                assert (each not in whole.summary) or f"{each.name} {each.shown()}" in shown


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        results = everything(Path(folder).resolve())
    records = [json.dumps([name, types_of(each)]) for name, each in results.items()]
    EXPECTED.write_text("\n".join(records) + "\n", encoding="utf-8")
