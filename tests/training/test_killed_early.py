"""What a run leaves that is killed while it saves its first model is replaced by the next run."""

import shutil
from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import OutputError
from rnnlm.storage import model_folder
from rnnlm.storage.manifest import read_manifest
from support.small_runs import SMALL

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
