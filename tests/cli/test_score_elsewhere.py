"""`rnnlm score --dask`: files scored by workers are as this process scores them. The worker here is
this process; tests/system/test_dask.py has those of a cluster."""

import contextlib
import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from rnnlm.errors import RnnlmError
from rnnlm.scoring import elsewhere, scorer
from rnnlm.scoring.forms import TextForm
from rnnlm.work import dask_cluster
from rnnlm.work.executors import Inline
from rnnlm.work.tasks import Team
from support.tiny_seq2seq import saved


@pytest.fixture(autouse=True)
def workers(monkeypatch):
    """Let this process be the worker of any cluster."""

    @contextlib.contextmanager
    def connected(address):
        yield Team(Inline(), 1)

    monkeypatch.setattr(dask_cluster, "connected", connected)
    monkeypatch.setattr(scorer, "LINES_PER_CHUNK", 3)


@pytest.fixture
def lines(parts, here):
    """Write files of sentences: more than a chunk, one, none, undecodable ones, and again some."""
    texts = [
        b"the man was here\nthe zorp\n\nthe man\nwas <s> here\n", b"here", b"",
        b"\xff\n\xfe the\n", b"the man | was here\n" * 4,
    ]  # fmt: skip
    names = []
    for number, text in enumerate(texts):
        names += ["--input", f"part-{number}.txt"]
        (here / names[-1]).write_bytes(text)
    return names


@pytest.fixture
def tables(parts, here):
    """Write tables of which only the first one has all columns, and a carried one has our name."""
    (here / "a.csv").write_text("text,item,words,given\nthe man,1,x,was\nhere,2,y,zorp zorp\n")
    (here / "b.csv").write_text("given,text,words\nthe,man,z\n")
    rows = [{"text": "was here", "words": [1, None], "new": 3}, {"text": None}]
    (here / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--input", "?.*", "--column", "text"]


def same_as_here(rnnlm, *command):
    """Score with and without workers; return what both printed on standard output."""
    here, there = rnnlm("score", *command), rnnlm("score", *command, "--dask", "local:2")
    assert there.code == here.code == 0, there.err
    said = [line for line in there.err.splitlines() if not line.startswith("files scored")]
    assert sorted(said) == sorted(here.err.splitlines())
    assert there.out == here.out and there.out
    return there.out


FORMS = (
    ("--json",), ("--output-format", "tsv"), ("--output-format", "csv", "--words"),
    ("--json", "--words", "--next", "2"), ("--output-format", "csv", "--regions", "|"),
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_lines_of_files_score_as_here(rnnlm, lines, form):
    out = same_as_here(rnnlm, "-m", "kn", *lines, *form)
    assert "zorp" in out
    same_as_here(rnnlm, "-m", "kn", "-m", "uni", *lines, *form)


def test_tables_carry_the_columns_of_the_first(rnnlm, tables):
    out = same_as_here(rnnlm, "-m", "kn", *tables, "--output-format", "csv")
    assert out.splitlines()[0].startswith("id,item,input_words,given,")
    given = ("--given-column", "given", "--keep", "given", "--input", "a.csv", "--input", "b.csv")
    same_as_here(rnnlm, "-m", "kn", "--column", "text", *given, "--output-format", "tsv")
    both = ("-m", "uni", "-m", "kn")
    same_as_here(rnnlm, *both, *tables, "--long", "--output-format", "csv")


def test_pairs_of_files_score_side_by_side(rnnlm, here, tmp_path_factory):
    fra = saved(tmp_path_factory.mktemp("encoder-decoder") / "fra", attention="general")
    command = ["-m", str(fra), "--json"]
    (here / "0.en").write_text("a dog\nthe cat sat\n")
    (here / "0.fr").write_text("un chien\nle chat\n")
    (here / "1.en").write_text("the cat\n")
    (here / "1.fr").write_text("le chien\n")
    for number in range(2):
        command += ["--input", f"{number}.en", "--target", f"{number}.fr"]
    here, there = rnnlm("score", *command), rnnlm("score", *command, "--dask", "local:2")
    assert there.code == 0, there.err
    records = [[json.loads(line) for line in each.out.splitlines()] for each in (here, there)]
    assert len(records[0]) == 3
    # One row a batch, or two: a network's last digits differ.
    for expected, found in zip(*records, strict=True):
        assert found.pop("logprob_nats") == pytest.approx(expected.pop("logprob_nats"), rel=1e-6)
        assert found.pop("ppl_word") == pytest.approx(expected.pop("ppl_word"), rel=1e-6)
        assert found == expected


@pytest.mark.parametrize("fails_at", range(5))
def test_a_resumed_run_scores_what_is_left(rnnlm, lines, here, monkeypatch, fails_at):
    command = ("score", "-m", "kn", *lines, "-o")
    shared = ("--dask", "local:2")
    assert rnnlm(*command, "whole.csv").code == 0
    scored, run = [], elsewhere.ScoreSource.run

    def failing(task):
        scored.append(task.source.name[-5])
        if len(scored) == fails_at + 1:
            raise RnnlmError("stopped")
        return run(task)

    with monkeypatch.context() as broken:
        broken.setattr(elsewhere.ScoreSource, "run", failing)
        assert rnnlm(*command, "s.csv", *shared).code == 1
    assert rnnlm(*command, "s.csv").code != 0  # an unfinished file is not overwritten
    by_chunks = rnnlm(*command, "s.csv", "--resume")
    assert by_chunks.code == 2 and "--dask was given, is not there" in by_chunks.err

    # Only what was not written is scored again. The journal has the run and the header first.
    before = scored.copy()
    written = (here / "s.csv.run").read_bytes().count(b"\n") - 2
    with monkeypatch.context() as counted:
        counted.setattr(elsewhere.ScoreSource, "run", failing)
        resumed = rnnlm(*command, "s.csv", *shared, "--resume")
    assert resumed.code == 0, resumed.err
    assert (here / "s.csv").read_bytes() == (here / "whole.csv").read_bytes()
    assert set(scored[len(before) :]) | set(before) == set("01234")
    assert sorted(scored[len(before) :]) == list("01234")[written:]
    assert [path.name for path in here.glob("*.run")] == []


@contextlib.contextmanager
def stopped_at(file, monkeypatch):
    """Let the task of a file fail, in this context."""
    run = elsewhere.ScoreSource.run

    def failing(task):
        if task.source.name.endswith(file):
            raise RnnlmError("stopped")
        return run(task)

    with monkeypatch.context() as broken:
        broken.setattr(elsewhere.ScoreSource, "run", failing)
        yield


@pytest.mark.parametrize("where", [(), ("--dask", "local:2")])
def test_ctrl_c_says_how_to_go_on(rnnlm, lines, here, monkeypatch, where):
    command = ("score", "-m", "kn", *lines, "-o", "s.csv", *where)
    with monkeypatch.context() as broken:
        broken.setattr(TextForm, "text", Mock(side_effect=KeyboardInterrupt))
        stopped = rnnlm(*command)
    assert stopped.code == 130 and "run the same command with --resume" in stopped.err
    assert rnnlm(*command, "--resume").code == 0


def test_other_files_are_not_resumed(rnnlm, lines, here, monkeypatch):
    command = ("score", "-m", "kn", "--dask", "local:2", "-o", "s.csv")
    with stopped_at("3.txt", monkeypatch):
        assert rnnlm(*command, *lines).code == 1
    # The first file has other lines, or there are fewer files.
    (here / "other.txt").write_text("the man was not here\n")
    for inputs in (["--input", "other.txt", *lines[2:]], lines[:2]):
        other = rnnlm(*command, *inputs, "--resume")
        assert other.code == 2 and "was started with other sentences" in other.err


def test_a_worker_that_reads_other_lines(rnnlm, lines, here, monkeypatch):
    run = elsewhere.ScoreSource.run

    def changing(task):
        if task.source.name.endswith("1.txt"):
            (here / "part-1.txt").write_text("there")
        return run(task)

    monkeypatch.setattr(elsewhere.ScoreSource, "run", changing)
    shown = rnnlm("score", "-m", "kn", *lines, "--json", "--dask", "local:2")
    assert shown.code == 1 and "a worker reads another text in part-1.txt" in shown.err


def test_scores_that_are_gone_are_an_error(rnnlm, lines, here, monkeypatch):
    run = elsewhere.ScoreSource.run

    def losing(task):
        written = run(task)
        (Path(task.folder) / written.file).unlink()
        return written

    monkeypatch.setattr(elsewhere.ScoreSource, "run", losing)
    for output in (("--json",), ("-o", "s.csv")):
        shown = rnnlm("score", "-m", "kn", *lines, *output, "--dask", "local:2")
        assert shown.code == 1 and "cannot read the scores that a worker has" in shown.err


def test_what_is_there_stays_without_workers(rnnlm, lines, here, monkeypatch):
    command = ("score", "-m", "kn", *lines, "-o", "s.csv")
    assert rnnlm(*command).code == 0
    before = (here / "s.csv").read_bytes()

    # Neither a cluster that is not there, nor a folder that cannot be made, costs the file.
    for there in (dask_cluster.connected, Mock(side_effect=RnnlmError("no cluster"))):
        monkeypatch.setattr(dask_cluster, "connected", there)
        (here / "no-folder").write_text("")
        shared = ("--dask", "local:2", "--temp", "no-folder")
        assert rnnlm(*command, "--overwrite", *shared).code == 1
        assert (here / "s.csv").read_bytes() == before
        assert not (here / "s.csv.run").exists()


def test_a_rest_without_scores_resumes(rnnlm, lines, here, monkeypatch):
    (here / "bad.txt").write_text("<s>\n</s>\n")
    command = (
        "score",
        "-m",
        "kn",
        *lines[:2],
        "--input",
        "bad.txt",
        "-o",
        "s.csv",
        "--dask",
        "local:2",
    )
    with stopped_at("bad.txt", monkeypatch):
        assert rnnlm(*command).code == 1
    resumed = rnnlm(*command, "--resume")
    assert resumed.code == 0 and "2 lines of those scored now have no score" in resumed.err


def test_a_line_without_score_is_refused_if_strict(rnnlm, lines):
    command = ("score", "-m", "kn", *lines, "--json", "--strict")
    here, there = rnnlm(*command), rnnlm(*command, "--dask", "local:2")
    assert here.code == there.code and here.code != 0
    assert "sentence 5: " in there.err


REFUSED = {
    "sentences": (("the man",), "--dask scores files"),
    "a ranked table": (("--input", "part-0.txt"), "--dask writes rows or records"),
    "Parquet": (("--input", "part-0.txt", "-o", "s.parquet"), "--dask writes rows or records"),
    "a stream": (("--input", "part-0.txt", "--json", "--context", "carry"), "--context carry"),
    "standard input": (("--input", "-", "--json"), "workers elsewhere read files"),
    "a folder": (("--input", ".", "--json"), "workers elsewhere read files"),
    "minimal pairs": (("--input", "part-0.txt", "--pairs", "part-1.txt"), "--pairs"),
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_workers_cannot_score_is_refused(rnnlm, lines, given):
    arguments, said = REFUSED[given]
    shown = rnnlm("score", "-m", "kn", *arguments, "--dask", "local:2")
    assert shown.code == 2 and said in shown.err


def test_a_model_that_adapts_is_refused(rnnlm, lines):
    adapting = "uni+unigram"
    shown = rnnlm("score", "-m", adapting, *lines, "--json", "--dask", "local:2")
    assert shown.code == 2 and "workers elsewhere cannot load this model" in shown.err
    alone = rnnlm("score", "-m", "uni", "--temp", "x", "the man")
    assert alone.code == 2 and "--temp needs --dask" in alone.err
