"""Every `--json` that shows results, and every result that a model's folder keeps: names, order and
numbers stay as scripts know them.

`python tests/cli/test_json_of_results.py` writes the file of what is expected anew.
"""

import contextlib
import io
import json
import re
import sys
import warnings
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from rnnlm.cli.main import run
from rnnlm.errors import RnnlmWarning
from rnnlm.models import model_folder, registry
from rnnlm.tasks.labels import evaluation as labels
from rnnlm.tasks.labels.data import MULTI
from rnnlm.tasks.seq2seq import evaluation as pairs
from rnnlm.text.lines import silent
from rnnlm.training import grid
from rnnlm.training.grid_request import Combination
from rnnlm.training.request import Request
from support import tiny_models, tiny_seq2seq, tiny_tasks, tiny_translators
from support.tiny_models import LINES

EXPECTED = Path(__file__).with_name("json_of_results.jsonl")
TEXT = [
    "the cat sat on the mat",
    "it is a dog",
    "the dog saw a cat",
    "hard to recognize",
    "a bird sat",
] * 2
PAIRS = [
    ("the cat sat", "le chat est assis"),
    ("a dog", "un chien"),
    ("on the mat", "la chatte"),
    ("a dog", "la chatte est assis"),
] * 3
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
        ("tagger", "tagging", "lstm", {}),
        ("gru", "tagging", "gru", {}),
        ("slots", "tagging", "lstm", {"both": True}),
        ("slots2", "tagging", "lstm", {"both": True, "hidden_size": 4}),
        ("classes", "classification", "lstm", {}),
        ("bag", "classification", "bag", {}),
        ("several", "classification", "lstm", {"form": MULTI}),
    ):
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
        return pairs.read_pairs_for(model, tiny_translators.parallel_text(PAIRS))
    if model.task != "language-model":
        text = tiny_tasks.labelled(tiny_tasks.VALID, model.task, name == "slots")
        return labels.read_labelled_for(model, text)
    return tiny_models.Lines(TEXT).encode(model.tokenizer)


def measured(place: Path, name: str, has_intervals: bool) -> dict[str, object]:
    """Evaluate the model and store the results in its folder, as its training run would. Return
    them."""
    model, manifest = model_folder.load(place / name, "cpu")
    task = registry.task(manifest.task)
    valid = data_of(model, name)
    found = {"valid": task.evaluate_trained(model, valid, has_intervals, "valid", silent).to_dict()}
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
    asked = Combination("run", {"model": name}, Request(output=place / name), None, None)
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
    return {name: plain(each, place) for name, each in found.items()}


VARYING = ("seconds", "tokens_per_second")


def plain(value: object, place: Path, key: str = "") -> object:
    """Remove from a value what differs between runs and machines, and the settings, which are not
    results."""
    if isinstance(value, dict):
        untold = ("settings", "made_by")
        kept = {name: each for name, each in value.items() if name not in untold}
        return {name: plain(each, place, name) for name, each in kept.items()}
    if isinstance(value, list):
        return [plain(each, place) for each in value]
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{12}\b", "#", value.replace(f"{place}/", ""))
    return type(value)(1) if key in VARYING and value is not None else value


def differences(found: object, expected: object, where: str = "") -> list[str]:
    """List where two values differ: in types, in names and their order, or by more than
    rounding."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(found) != list(expected):
            return [f"{where}: {list(found)}, not {list(expected)}"]
        parts = [(f"{where}/{key}", found[key], expected[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        parts = [
            (f"{where}/{number}", *each)
            for number, each in enumerate(zip(found, expected, strict=True))
        ]
    elif isinstance(expected, float) and isinstance(found, float):
        is_same = found == pytest.approx(expected, rel=1e-4, abs=1e-6)
        return [] if is_same else [f"{where}: {found}, not {expected}"]
    else:
        is_same = type(found) is type(expected) and found == expected
        return [] if is_same else [f"{where}: {found}, not {expected}"]
    return [each for name, one, other in parts for each in differences(one, other, name)]


def expected() -> dict[str, object]:
    lines = EXPECTED.read_text(encoding="utf-8").splitlines()
    return dict(json.loads(line) for line in lines)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    place = tmp_path_factory.mktemp("results")
    with contextlib.chdir(place), warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return everything(place)


@pytest.mark.parametrize("name", expected())
def test_results_are_printed_and_stored_as_ever(found, name):
    assert differences(found[name], expected()[name]) == []


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        results = everything(Path(folder).resolve())
    records = [json.dumps(each, ensure_ascii=False) for each in results.items()]
    EXPECTED.write_text("\n".join(records) + "\n", encoding="utf-8")
