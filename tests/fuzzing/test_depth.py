"""Values nested as deeply as JSON can just still be read: what then shows or compares them must not
go deeper."""

import json

import pytest

from rnnlm.models import model_folder
from rnnlm.rescoring.files import read_nbest
from rnnlm.scoring.pairs.files import read_pairs
from rnnlm.scoring.sentences import read_sentences
from rnnlm.scoring.settings import SentenceSettings
from support.odd_inputs import put, value_or_error
from support.tiny_models import fit, save

DEPTHS = range(850, 1000)  # Python goes a thousand calls deep, less those made so far


def pairs(path):
    return read_pairs(path)


def utterances(path):
    return read_nbest(str(path))


def sentences(path):
    return list(read_sentences((str(path),), SentenceSettings(column="text")))


FILES = {
    "pairs.json": (pairs, b'[{"sentence": "a _ b", "option1": "a", "option2": "b", "answer": %s}]'),
    "kinds.jsonl": (pairs, b'{"good": "a b", "bad": "b a", "kind": %s}\n'),
    "list.json": (utterances, b'{"utt": %s}'),
    "rows.jsonl": (sentences, b'{"text": "a b", "id": %s}\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_can_just_be_read(tmp_path, name):
    read, text = FILES[name]
    for depth in DEPTHS:
        put(tmp_path / name, text % (b"[" * depth + b"]" * depth))
        value_or_error(lambda: read(tmp_path / name))


def test_a_config_that_can_just_be_read(tmp_path):
    save(tmp_path / "model", fit("unigram"), "unigram")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_bytes())
    del config["settings_sha256"]
    for depth in DEPTHS:
        deep = {**config, "tokenizer": {"tokenizer": "here"}}
        path.write_text(json.dumps(deep).replace('"here"', "[" * depth + "]" * depth))
        value_or_error(lambda: model_folder.load(tmp_path / "model", "cpu"))
