"""The columns of labels: what training saw becomes symbols and labels again."""

import json
import shutil

import pytest

from rnnlm.errors import ModelError
from rnnlm.lm.base import loading, stored_model
from rnnlm.tasks.labelling import data as codecs
from rnnlm.tasks.labelling.data import EDIT, FILE, MULTI, PLAIN, TEXT, WORD, Codec, codec, column_of
from rnnlm.tasks.labelling.formats import schemes
from support.damages import config, edited
from support.tiny_models import make_tokenizer
from support.tiny_tasks import fit, save

COLUMN = {
    "name": "slots", "level": "word", "symbols": ["O", "B-x", "I-x"], "scheme": "bio",
    "inner": "bio", "form": "plain",
}  # fmt: skip
EDITS = {**COLUMN, "form": "edit", "scheme": "none", "inner": "none"}
TEXTS = {"name": "intent", "level": "text", "symbols": ["buy", "sell"]}


def test_spans_are_learned_in_another_scheme_and_restored():
    rows = [(["B-x", "I-x", "I-x", "O"], "abcd"), (["O", "B-y"], "ab")]
    column = column_of("slots", WORD, rows, schemes.BIO, schemes.BIOES, PLAIN)
    assert set(column.symbols) == {"O", "B-x", "I-x", "E-x", "S-y", "S-x"}
    for labels, words in [*rows, (["B-x", "B-x", "I-x"], "abc")]:
        assert list(column.decode_words(column.encode_words(labels, words), words)) == labels
    # no span of two words was seen of y
    assert column.encode_words(["B-y", "I-y"], "ab") == [-1, -1]
    assert column.labels_in(schemes.BIO) >= {"O", "B-x", "I-x", "B-y"}


def test_lemmas_are_scripts_and_texts_have_several_labels():
    no_spans = (schemes.NONE, schemes.NONE)
    column = column_of("lemma", WORD, [(["try", "be"], ["tries", "is"])], *no_spans, EDIT)
    (number,) = column.encode_words(["cry"], ["cries"])
    assert column.decode_words([number], ["flies"]) == ("fly",)
    column = column_of("topics", TEXT, [(["a", "b"], ()), (["b"], ())], *no_spans, MULTI)
    assert column.symbols == ("b", "a")
    expected = [[1, 1], [1, 0], [0, 0], [0, 0], [0, 1]]
    assert [column.encode_text(each).tolist() for each in ("a|b", "b", "", "z", "z|a")] == expected


def test_a_codec_comes_back_from_its_file():
    columns = [
        codecs.LabelColumn("slots", WORD, ("O", "B-x"), "bio", "bioes"),
        codecs.LabelColumn("intent", TEXT, ("a",), form=MULTI),
    ]
    stored = Codec(make_tokenizer(["a b"]), columns, {"more": {"x": 1}})
    loaded = codec(stored.tokenizer, stored.to_files())
    assert loaded.columns == stored.columns
    assert loaded.details == stored.details
    assert loaded.fingerprint == stored.fingerprint


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{}", b"null", b"\xff", b'{"columns": {}}', b"[" * 100_000,
    b'{"columns": [' + b"1," * 1000 + b"1]}",
    *(json.dumps({"columns": columns}).encode() for columns in (
        [], [{}], [None], [{"name": "x"}], [COLUMN, COLUMN],
        *([{**COLUMN, **change}] for change in (
            {"name": None}, {"level": "row"}, {"level": 1}, {"symbols": []}, {"symbols": "O"},
            {"symbols": ["O", "O"]}, {"symbols": [1]}, {"symbols": ["O", "\ud800"]},
            {"symbols": {"O": 1}}, {"scheme": "xyz"}, {"inner": "none"}, {"scheme": "none"},
            {"form": "?"}, {"symbols": ["O", "Q-x"]}, {"symbols": ["O", "B-x", "S-x"]},
            {"symbols": ["O", "NOUN"]}, {"inner": "iob1"}, {"form": "multi"},
            {"form": "edit", "scheme": "none", "inner": "none"}, {"level": "text"},
        )),
        *([{**EDITS, "symbols": [each]}] for each in ("=\\ud800", "lower;$-3+\\ud800", "=\\x1",
                                                      "low;^-1")),
        *([{**TEXTS, **change}] for change in ({"form": "edit"}, {"form": "sounds"},
                                               {"scheme": "bio", "inner": "bio"})),
    )),
], ids=lambda content: content[-60:].decode("latin-1"))  # fmt: skip
def test_a_damaged_label_file_is_a_model_error(content):
    with pytest.raises(ModelError, match=r"labels\.json is damaged"):
        codec(make_tokenizer(["a b"]), {FILE: content})


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Save a tagger and a classifier, and return their folders."""
    found = {}
    for task, settings in (("tagging", {"characters": None}), ("classification", {})):
        found[task] = tmp_path_factory.mktemp(task) / "m"
        save(found[task], fit(task, "gru", budget="1steps", **settings), **settings)
    return found


def reworked(columns):
    """Change the columns of a stored model's labels, and have its config agree."""
    return edited(
        FILE, lambda data: json.dumps({"columns": columns(json.loads(data)["columns"])}).encode()
    )


@pytest.mark.parametrize("task, change, why", [
    ("tagging", lambda columns: [{**columns[0], "symbols": columns[0]["symbols"][:-1]}], "heads"),
    ("tagging",
     lambda columns: [{**columns[0],
                       "symbols": [*columns[0]["symbols"],
                                   *(f"S-{each}" for each in range(10**5))]}], "heads"),
    ("tagging", lambda columns: [*columns, TEXTS], "heads"),
    ("tagging", lambda columns: [TEXTS], "not those of a model for tagging"),
    ("classification", lambda columns: [COLUMN], "not those of a model for classification"),
    ("classification", lambda columns: [*columns, COLUMN],
     "not those of a model for classification"),
])  # fmt: skip
def test_labels_not_fitting_the_model_are_an_error(stored, tmp_path, task, change, why):
    folder = shutil.copytree(stored[task], tmp_path / "m")
    reworked(change)(folder)
    with pytest.raises(ModelError, match=f"the model at .*{folder.name} is damaged.*{why}"):
        stored_model.load(folder, "cpu")


@pytest.mark.parametrize("task", ["translation", "", 5, ["tagging"], None])
def test_an_unknown_task_is_a_model_error(stored, tmp_path, task):
    folder = shutil.copytree(stored["tagging"], tmp_path / "m")
    config(lambda content: content["settings"].update(task=task))(folder)
    with pytest.raises(ModelError, match=f"{folder.name} is damaged.*is not a task"):
        loading.task_of(folder)


def test_a_folder_without_labels_is_a_model_error(stored, tmp_path):
    folder = shutil.copytree(stored["tagging"], tmp_path / "m")
    (folder / FILE).unlink()
    with pytest.raises(ModelError, match="labels"):
        stored_model.load(folder, "cpu")
