"""A second writer of a folder or file is refused, whatever the two commands are."""

import os
import re
import shutil
from pathlib import Path

import pytest

from rnnlm.storage.files import lock
from rnnlm.storage.files.lock import OWNER
from support.commands import TINY
from support.failures import contents

pytestmark = pytest.mark.needs(
    "tasks/labelling",
    "tasks/seq2seq",
    "tools/grids",
    "tools/inspection",
    "tools/mixtures",
    "tools/pairs",
    "tools/rescoring",
    "tools/vectors",
)

SHORT = (*TINY, "--budget", "2steps")
# what each command is given, by what it writes; OUT is that
FOLDERS = {
    "train": ("train", "text.txt", "--model", "unigram", "-o", "OUT"),
    "train, a network": ("train", "text.txt", *SHORT, "-o", "OUT"),
    "grid": ("train", "text.txt", "--grid", "model=unigram,ngram", "-o", "OUT"),
    "prepare": ("prepare", "text.txt", "-o", "OUT", "--workers", "1"),
    "prune": ("prune", "-m", "kn", "-o", "OUT", "--max-order", "1"),
    "import": ("import", "kn.arpa", "-o", "OUT"),
    "mix": ("mix", "kn", "uni", "--weights", "0.5,0.5", "-o", "OUT"),
    "mix, a bundle": ("mix", "kn", "uni", "--weights", "0.5,0.5", "-o", "OUT", "--bundle"),
    "tune": ("tune", "-m", "OUT+unigram", "--on", "valid.txt"),
}


FILES = {
    "score": "score -m uni --input valid.txt -o OUT.tsv",
    "score, Parquet": "score -m uni --input valid.txt -o OUT.parquet",
    "score, pairs": "score -m uni --pairs pairs.tsv -o OUT.jsonl",
    "score, a plot": "score -m uni --pairs pairs.tsv --plot OUT.svg",
    "embed": "embed -m tagger --input valid.txt -o OUT.jsonl",
    "embed, words": "embed -m tagger --input valid.txt --words -o OUT.npy",
    "vectors": "vectors text.txt --width 2 --min-count 1 -o OUT.vec",
    "rescore": "rescore -m uni --tune lists.tsv -o OUT.txt --nbest-output OUT.tsv",
    "count": "count text.txt -o OUT.tsv", "tag": "tag -m tagger --input valid.txt -o OUT.tsv",
    "classify": "classify -m classifier --input valid.txt -o OUT.jsonl",
    "translate": "translate -m fra --input numbers.tsv -o OUT.txt",
    "eval": "eval -m fra numbers.tsv -o OUT.txt",
    "eval, a plot": "eval -m classifier labelled.tsv --plot OUT.svg",
    "compare": "compare uni kn --on valid.txt --plot OUT.svg",
    "report": "report tagger -o OUT.html", "report, curves": "report tagger -o OUT.svg",
    "inspect": "inspect spectrum -m tagger --plot OUT.svg",
    "mix": "mix kn kn --weights 0.5,0.5 --static -o OUT.arpa",
    "export, ARPA": "export -m kn --arpa OUT.arpa",
    "export, vectors": "export -m tagger --vectors OUT.vec",
}  # fmt: skip


@pytest.fixture(scope="session")
def place(trained, tagger, classifier, translator, tmp_path_factory):
    """Make a folder with all files that the commands read."""
    folder = tmp_path_factory.mktemp("locked")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    for name, its in (("tagger", tagger), ("classifier", classifier), ("fra", translator)):
        shutil.copytree(its.folder, folder / name)
    shutil.copy(trained / "train.txt", folder / "text.txt")
    shutil.copy(translator.valid, folder / "numbers.tsv")
    shutil.copy(classifier.valid, folder / "labelled.tsv")
    (folder / "pairs.tsv").write_text("good\tbad\nthe man\tman the\n", encoding="utf-8")
    lists = "a\tREF\t\tthe man\na\t1\t0\tthe man\na\t2\t-1\tman the\n"
    (folder / "lists.tsv").write_text(lists, encoding="utf-8")
    return folder


@pytest.fixture
def inputs(place, here):
    shutil.copytree(place, here, dirs_exist_ok=True)
    return here


@pytest.fixture
def replaced(monkeypatch, here):
    """Return the list of files put in place, and check each time that their lock is held."""
    seen, original = [], os.replace

    def replace(new, path):
        path = Path(os.path.abspath(path))
        locks = [up / OWNER for up in path.parents]
        locks.append(path.with_name(f".{path.name}.{OWNER}"))
        if "OUT" in path.parts or path.name.startswith("OUT."):
            assert any(each.exists() for each in locks), f"{path} is not locked"
        seen.append(path)
        original(new, path)

    monkeypatch.setattr(os, "replace", replace)
    return seen


def refusal(outcome, target: str) -> bool:
    """Return whether a command was refused because this process is writing `target`."""
    said = (
        rf"error: another process is writing {re.escape(target)}\n  why: process {os.getpid()} on"
    )
    return outcome.code == 1 and re.search(said, outcome.err) is not None


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_written_by_one_command_alone(rnnlm, inputs, replaced, name):
    if name == "grid":
        (inputs / "OUT").mkdir()
    elif name != "prepare":
        shutil.copytree(inputs / "uni", inputs / "OUT")
        (inputs / "OUT" / ".config.json.run").write_text("of rnnlm 0.1")
    if name == "import":
        assert rnnlm("export", "-m", "kn", "--arpa", "kn.arpa").code == 0
    words = (*FOLDERS[name], *(["--overwrite"] if name != "tune" else []))
    with lock.held(inputs / "OUT", "a test"):
        before = contents(inputs / "OUT")
        assert refusal(rnnlm(*words), "OUT")
        assert contents(inputs / "OUT") == before
    replaced.clear()
    done = rnnlm(*words)
    assert done.code == 0, done.err
    assert replaced and not list(inputs.rglob(f"*{OWNER}"))
    if name != "tune":
        assert not (inputs / "OUT" / ".config.json.run").exists()


def test_a_model_with_a_record_of_an_earlier_version_loads(rnnlm, inputs):
    (inputs / "uni" / ".config.json.run").write_text("of rnnlm 0.1")
    assert rnnlm("score", "-m", "uni", "the man").code == 0
    assert rnnlm("doctor", "uni").code == 0


FURTHER = {"score, a plot", "eval, a plot", "report, curves", "inspect"}  # pictures as of compare


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.soak if name in FURTHER else ()) for name in FILES
])  # fmt: skip
def test_a_file_is_written_by_one_command_alone(rnnlm, inputs, replaced, name):
    words = FILES[name].split()
    (output,) = [word for word in words[::-1] if word.startswith("OUT.")][-1:]
    left = Path(f"{output}.0123456789abcdef.new")
    record = Path(f".{output}.run")  # as rnnlm 0.1 left them
    for path in (Path(output), left, record):
        path.write_text("mine")
    with lock.file_held(Path(output)):
        assert refusal(rnnlm(*words, "--overwrite"), output)
        assert Path(output).read_text() == "mine"
    replaced.clear()
    done = rnnlm(*words, "--overwrite")
    assert done.code == 0, done.err
    written = Path(output).read_bytes()
    assert written != b"mine" and not list(inputs.rglob(f"*{OWNER}"))
    assert not left.exists()

    # What is there needs --overwrite, but the scores of the same sentences are finished.
    again = rnnlm(*words)
    grows = name == "score"
    assert (again.code, record.exists()) == (0 if grows else 1, grows)
    said = f"{output} is finished" if grows else f"error: {output} already exists"
    assert said in again.err and Path(output).read_bytes() == written


def test_two_processes_do_not_write_one_file(inputs, start):
    """Of two, started together, one is refused, or begins after the other has ended."""
    lines = "".join(f"the man {number}\n" for number in range(4000))
    (inputs / "many.txt").write_text(lines, encoding="utf-8")
    command = ("score", "-m", "uni", "--input", "many.txt", "-o", "out.tsv", "--overwrite")
    processes = [start(*command), start(*command)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 1], [0, 0])
    if codes == [0, 1]:
        (refused,) = [err for err in said if "error: " in err]
        assert "another process is writing out.tsv" in refused
    assert len((inputs / "out.tsv").read_text().splitlines()) == 4001
    assert '"finished"' in (inputs / ".out.tsv.run").read_text()
