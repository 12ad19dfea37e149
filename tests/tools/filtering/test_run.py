"""Filters of several shards: what is kept, resumed and refused."""

import json
import math
import re
from concurrent.futures import Executor
from contextlib import nullcontext

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import rnnlm
from rnnlm.errors import (
    Keyword,
    ModelError,
    OutputError,
    RnnlmWarning,
    TextError,
    UsageError,
    parts_of,
)
from rnnlm.lm.base.loading import NamedModel, load_all
from rnnlm.parallel import InlineExecutor, WorkerPool
from rnnlm.storage.files.outputs import Journal
from rnnlm.text.lines import TextSettings
from rnnlm.tools.filtering import run as running, shards, work
from rnnlm.tools.filtering.journal import JOURNAL, JobEntry, ShardStarted
from rnnlm.tools.filtering.run import (
    BordersFound,
    FilterFinished,
    FilterRequest,
    ShardFailed,
    ShardFiltered,
    processes_and_threads,
    run,
)
from rnnlm.tools.filtering.settings import FilterSettings, OutputLayout
from support.failures import contents, notices_of
from support.tiny_models import fit, save


@pytest.fixture(scope="module")
def lines(corpus_lines):
    return [line for line in corpus_lines if line.strip()][:400]


@pytest.fixture(scope="module")
def model(tmp_path_factory, lines):
    """Save a model of pieces."""
    folder = tmp_path_factory.mktemp("models") / "pieces"
    given = {"order": 3, "tokenizer": "sentencepiece", "vocab_size": 600}
    save(folder, fit("ngram", lines[:200], **given), "ngram", **given)
    return str(folder)


@pytest.fixture
def texts(tmp_path, lines):
    """Write the same 60 documents in each format, and 100 lines as a reference."""
    rows = [{"id": number, "text": text} for number, text in enumerate(lines[200:260])]
    rows[7]["text"], rows[8]["text"] = None, " \n"
    rows[9]["text"] += "\n\n" + lines[300]
    as_json = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(as_json, encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "plain.txt").write_text("\n".join(lines[200:260]) + "\n", encoding="utf-8")
    (tmp_path / "reference.txt").write_text("\n".join(lines[300:400]) + "\n", encoding="utf-8")
    return tmp_path


def filtered(texts, model, *names, output="out", **request):
    """Filter shards. Return all events, the last of which is the result."""
    request.setdefault("workers", 1)
    models = request.pop("models", {"": model})
    paths = tuple(str(texts / name) for name in names)
    reference = tuple(str(texts / name) for name in request.pop("reference", ()))
    return list(run(FilterRequest(paths, texts / output, models, reference=reference, **request)))


def second_opinion(model, texts, unit="token"):
    """Return the perplexities of documents as `rnnlm score` has them, line by line."""
    found, loaded = [], rnnlm.load(model)
    for text in texts:
        scores = loaded.score_sentences([line for line in (text or "").split("\n") if line.strip()])
        tokens = sum(score.tokens for score in scores)
        tokens = tokens if unit == "token" else len(text.encode()) + 1
        nats = sum(score.logprob_nats for score in scores)
        found.append(math.exp(-nats / tokens) if tokens else None)
    return found


def test_progress_moves_within_files_and_is_about_all_of_them(texts, model):
    names = ("rows.jsonl", "rows.parquet", "plain.txt")
    messages = []
    paths = tuple(str(texts / name) for name in names)
    reference = (str(texts / "reference.txt"),)
    request = FilterRequest(paths, texts / "out", {"": model}, reference=reference, workers=1)
    [*_, last] = run(request, messages.append)
    shares = [int(re.search(r"(\d+)% of all files", message)[1]) for message in messages]
    assert shares == sorted(shares) and shares[-1] == 99  # until all is written
    stages = list(dict.fromkeys(message.split(",")[0] for message in messages))
    of_shards = [f"{done} of 3 files filtered" for done in range(3)]
    assert stages == ["reading the reference", *of_shards]
    assert last.shards == 3


class HalfDone(WorkerPool):
    """A pool whose tasks are seen when they have read 1,000 bytes, before they end."""

    begun = 1000.0

    def run(self, function, tasks, order):
        for task in tasks:
            yield None
            yield task, function(task)


def test_progress_counts_what_other_processes_have_read(texts, model, monkeypatch):
    sizes = []
    for name, copies in (("large.txt", 2), ("small.txt", 1)):
        (texts / name).write_bytes((texts / "plain.txt").read_bytes() * copies)
        sizes.append((texts / name).stat().st_size)
    pool = nullcontext(HalfDone(InlineExecutor(), 2))
    monkeypatch.setattr(running, "process_pool", lambda count: pool)
    messages = []
    paths = (str(texts / "large.txt"), str(texts / "small.txt"))
    settings = FilterSettings(max_perplexity=100.0)
    list(
        run(FilterRequest(paths, texts / "out", {"": model}, settings, workers=2), messages.append)
    )
    first, second = 1000 / sum(sizes), (sizes[0] + 1000) / sum(sizes)
    assert messages == [
        f"0 of 2 files filtered, {first:.0%} of all files",
        f"1 of 2 files filtered, {second:.0%} of all files",
    ]


def test_buckets_agree_with_scores_of_sentences(texts, model, lines):
    settings = FilterSettings(quantiles=(0.25, 0.7))
    names = ("rows.jsonl", "rows.parquet", "plain.txt")
    reference = ["reference.txt"]
    borders, *_, result = filtered(texts, model, *names, reference=reference, settings=settings)
    expected = np.quantile(second_opinion(model, lines[300:400]), (0.25, 0.7))
    assert isinstance(borders, BordersFound) and borders.documents == 100
    assert borders.cutoffs == pytest.approx(expected) == result.cutoffs
    # Sort the documents again.
    rows = [json.loads(row) for row in (texts / "rows.jsonl").read_text().splitlines()]
    sorted_rows = {"head": [], "middle": [], "tail": []}
    perplexities = second_opinion(model, [row["text"] for row in rows])
    for row, perplexity in zip(rows, perplexities, strict=True):
        if perplexity is not None:
            bucket = list(sorted_rows)[sum(perplexity >= border for border in expected)]
            row |= {"perplexity": float(f"{perplexity:.6g}"), "bucket": bucket}
            sorted_rows[bucket].append(row)
    assert all(len(rows) > 5 for rows in sorted_rows.values())
    out = texts / "out"
    for bucket, of_bucket in sorted_rows.items():
        found = (out / bucket / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        got = list(map(json.loads, found))
        assert [row["id"] for row in got] == [row["id"] for row in of_bucket]
        perplexities = [row["perplexity"] for row in of_bucket]
        assert [row["perplexity"] for row in got] == pytest.approx(perplexities, rel=2e-6)
        assert [row["bucket"] for row in got] == [bucket] * len(of_bucket)
        assert pyarrow.parquet.read_table(out / bucket / "rows.parquet").to_pylist() == got
    # The plain shard has the same documents but for those that were emptied or made longer.
    plain = {name: (out / name / "plain.txt").read_text().splitlines() for name in sorted_rows}
    assert sum(map(len, plain.values())) == 60
    kept = [row["text"] for row in sorted_rows["head"] if row["id"] != 9]
    assert set(kept) <= set(plain["head"])
    # What is said of it.
    counts = {group.name: group for group in result.groups}
    assert counts["empty"].documents == 4 and not counts["empty"].kept
    assert counts["head"].documents == 2 * len(sorted_rows["head"]) + len(plain["head"])
    assert result.documents == 180 and result.shards == 3
    words = len((texts / "plain.txt").read_text().split())
    assert result.words == words + 2 * sum(len((row["text"] or "").split()) for row in rows)
    assert sum(group.share for group in result.groups) == pytest.approx(1)


def test_documents_between_blank_lines(texts, model, lines):
    documents = ["\n".join(lines[one : one + 3]) for one in range(200, 230, 3)]
    (texts / "documents.txt").write_text("\n\n\n".join(documents) + "\n")
    perplexities = second_opinion(model, documents)
    low, high = np.quantile(perplexities, (0.2, 0.7))
    settings = FilterSettings(min_perplexity=low, max_perplexity=high)
    text = TextSettings(blank_lines="documents")
    *_, result = filtered(texts, model, "documents.txt", settings=settings, text=text)
    of_each = zip(documents, perplexities, strict=True)
    expected = [each for each, perplexity in of_each if low <= perplexity <= high]
    found = (texts / "out" / "documents.txt").read_text()
    assert found == "".join(document + "\n\n" for document in expected)
    assert sorted(contents(texts / "out")) == [JOURNAL, "documents.txt"]
    counts = {group.name: group.documents for group in result.groups}
    assert counts == {"kept": len(expected), "outside": 10 - len(expected), "empty": 0}
    assert 3 < len(expected) < 8 and result.documents == 10


@pytest.mark.parametrize(("unit", "size", "order"), [("token", 600, 1), ("byte", 500, 2)])
def test_text_is_chosen_by_the_difference_of_two_models(texts, model, lines, unit, size, order):
    given = {"order": order, "tokenizer": "sentencepiece", "vocab_size": size}
    general = str(texts / "general")
    save(texts / "general", fit("ngram", lines[:200], **given), "ngram", **given)
    bits, against = (
        np.log2(second_opinion(name, lines[200:260], unit)) for name in (model, general)
    )
    limit = float(np.median(bits - against))
    request = {"settings": FilterSettings(max_difference=limit), "against": general}
    filtered(texts, model, "plain.txt", **request)
    *_, result = filtered(texts, model, "plain.txt", "rows.jsonl", **request)
    assert (result.shards_before, result.difference_unit) == (1, unit)
    kept = [lines[200 + number] for number in np.flatnonzero(bits - against <= limit)]
    assert (texts / "out" / "plain.txt").read_text().splitlines() == kept and len(kept) == 30
    rows = [json.loads(row) for row in (texts / "out" / "rows.jsonl").read_text().splitlines()]
    found = {row["id"]: row["difference"] for row in rows if row["id"] != 9}
    expected = (bits - against)[list(found)]
    assert list(found.values()) == pytest.approx(expected, abs=1e-5) and len(found) > 20
    with pytest.raises(OutputError, match="already holds") as caught:
        filtered(texts, model, "plain.txt", **{**request, "against": model})
    assert "against" in caught.value.why


def test_workers_threads_and_chunks_change_nothing(texts, model, small_chunks):
    settings = FilterSettings(cutoffs=(40, 80))
    names = ("rows.jsonl", "rows.parquet", "plain.txt")
    filtered(texts, model, *names, settings=settings, output="one")
    filtered(texts, model, *names, settings=settings, output="two", workers=2)
    filtered(texts, model, "plain.txt", settings=settings, output="threads", workers=3)
    small_chunks(700)
    filtered(texts, model, *names, settings=settings, output="chunks")
    whole = contents(texts / "one")
    assert contents(texts / "two") == contents(texts / "chunks") == whole
    threads = contents(texts / "threads")
    assert threads.pop(JOURNAL) and threads.items() <= whole.items()


# ---- Work that is cut off, and goes on.


class Killed(BaseException):
    """What ends the work as a kill does."""


class KilledAfter(Executor):
    """Runs so many tasks, and cuts the next one off in its middle."""

    def __init__(self, tasks):
        self.left = tasks

    def submit(self, function, /, *arguments, **keywords):
        if self.left:
            self.left -= 1
            return InlineExecutor().submit(function, *arguments, **keywords)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(shards.LinesChunk, "chosen", self.kill)
            for name in ("added_columns", "perplexities"):
                patched.setattr(work, name, self.kill)
            function(*arguments, **keywords)
        raise AssertionError("the task came to its end")

    def kill(self, *arguments):
        raise Killed


@pytest.mark.parametrize("tasks", [0, 1, 2, 3])
def test_filter_that_is_killed_ends_like_uninterrupted(texts, model, monkeypatch, tasks):
    settings = FilterSettings(max_difference=0.5)
    request = {"reference": ["reference.txt"], "settings": settings, "against": model}
    names = ("rows.jsonl", "rows.parquet", "plain.txt")
    filtered(texts, model, *names, **request, output="unbroken")
    # The reference is the first task.
    killed = nullcontext(WorkerPool(KilledAfter(tasks), 1, most=1))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(running, "processes_and_threads", lambda *arguments: (1, 1))
        patched.setattr(running, "inline_pool", lambda: killed)
        filtered(texts, model, *names, **request)
    # What is finished is not filtered again.
    *events, result = filtered(texts, model, *names, **request)
    finished = max(0, tasks - 1)
    again = [event.shard for event in events if isinstance(event, ShardFiltered)]
    assert len(again) == 3 - finished and result.shards_before == finished
    assert contents(texts / "out") == contents(texts / "unbroken")


def test_half_a_line_of_the_journal_is_dropped(texts, model):
    settings = FilterSettings(cutoffs=(40, 80))
    filtered(texts, model, "rows.jsonl", "plain.txt", settings=settings)
    whole = contents(texts / "out")
    journal = texts / "out" / JOURNAL
    *before, last = Journal(journal).read(dict)
    Journal(journal).write([*before, ShardStarted("rows.jsonl"), last])
    journal.write_bytes(journal.read_bytes()[:-20])
    *_, result = filtered(texts, model, "rows.jsonl", "plain.txt", settings=settings)
    assert result.shards_before == 1 and contents(texts / "out") == whole


def test_finished_work_is_told_again_and_grows(texts, model):
    settings = FilterSettings(cutoffs=(40, 80))
    *_, first = filtered(texts, model, "plain.txt", settings=settings)
    with pytest.warns(RnnlmWarning, match="out is finished: 1 file, 60 documents"):
        (again,) = filtered(texts, model, "plain.txt", settings=settings)
    assert again.groups == first.groups and again.text_bytes == 0
    *_, more = filtered(texts, model, "plain.txt", "rows.jsonl", settings=settings)
    assert (more.shards, more.shards_before, more.documents) == (2, 1, 120)
    # To start again is another matter: what was written goes.
    (texts / "out" / "mine.txt").write_text("mine")
    only = FilterSettings(cutoffs=(40, 80), keep=("head",))
    filtered(texts, model, "rows.jsonl", settings=only, overwrite=True)
    assert sorted(contents(texts / "out")) == [JOURNAL, "head/rows.jsonl", "mine.txt"]
    # What is not the filter's is not replaced.
    (texts / "out" / "head" / "plain.txt").write_text("mine")
    with pytest.raises(OutputError, match="plain.txt already exists"):
        filtered(texts, model, "plain.txt", settings=only)


@pytest.mark.parametrize("name, why", [
    ("none", "`cutoffs` was 40,80 and is now 40,90"),
    ("plain.txt", "the text plain.txt has changed: .* bytes before, "),
    ("out/head/plain.txt", "plain.txt is missing, or its length has changed"),
    ("in place: plain.txt", "the text plain.txt has changed: changed .* before, "),
    ("in place: out/head/plain.txt", "plain.txt has changed: its SHA-256 does not match"),
])  # fmt: skip
def test_other_options_and_changed_files_are_refused(texts, model, name, why):
    settings = FilterSettings(cutoffs=(40, 80))
    filtered(texts, model, "plain.txt", settings=settings)
    if name == "none":
        settings = FilterSettings(cutoffs=(40, 90))
    elif name.startswith("in place: "):
        path = texts / name.removeprefix("in place: ")
        path.write_bytes(path.read_bytes().replace(b"e", b"o", 1))
    else:
        with open(texts / name, "a") as stream:
            stream.write("one more\n")
    with pytest.raises(OutputError, match="already holds|changed since it was") as caught:
        filtered(texts, model, "plain.txt", settings=settings)
    assert re.match(why, caught.value.why.replace(str(texts), "")) or why in caught.value.why


def test_bad_bytes_may_be_replaced_where_finished_files_had_none(texts, model):
    settings = FilterSettings(max_perplexity=50)
    (texts / "bad.txt").write_bytes(b"a \xff\n")
    with pytest.raises(TextError, match="bad.txt"):
        filtered(texts, model, "plain.txt", "bad.txt", settings=settings)
    replacing = TextSettings(encoding_errors="replace", special_symbols="replace")
    names = ("plain.txt", "bad.txt")
    *_, result = filtered(texts, model, *names, settings=settings, text=replacing)
    assert (result.shards, result.shards_before) == (2, 1)
    with pytest.raises(OutputError, match="already holds another result"):
        filtered(texts, model, *names, settings=settings)


# ---- What is refused.


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_bad_files_do_not_end_the_run(texts, model, lines, workers):
    """Files that cannot be read are named in the end; all others are finished, and the same command
    goes on with those that were repaired."""
    settings = FilterSettings(max_perplexity=50)
    large = "\n".join(lines[:200]).encode()
    (texts / "first.txt").write_bytes(large + b"\x81" + large)
    (texts / "last.jsonl").write_text('{"text": "a b"')
    names = ("plain.txt", "rows.parquet", "first.txt", "last.jsonl", "rows.jsonl")
    request = FilterRequest(
        tuple(str(texts / name) for name in names), texts / "out", {"": model}, settings,
        workers=workers,
    )  # fmt: skip
    events = []
    with pytest.raises(TextError, match="^2 of 5 files could not be filtered; .*first.txt, line"):
        events.extend(run(request))
    failed = {event.shard: event.why for event in events if isinstance(event, ShardFailed)}
    # Reasons hold settings, also across processes, for the door to spell.
    assert Keyword("encoding_errors", "replace") in parts_of(failed["first.txt"])
    assert "byte" in failed["first.txt"] and "last.jsonl, line 1" in failed["last.jsonl"]
    result = events[-1]
    assert isinstance(result, FilterFinished) and result.shards == 3
    assert {failure.shard: failure.why for failure in result.failed} == failed
    written = ["plain.txt", "rows.jsonl", "rows.parquet"]
    assert sorted(contents(texts / "out")) == [JOURNAL, *written]
    # The same files again, one of them repaired.
    (texts / "first.txt").write_bytes(large)
    with pytest.raises(TextError, match="^1 of 5 files could not be filtered; .*last.jsonl"):
        list(run(request))
    assert sorted(contents(texts / "out")) == [JOURNAL, "first.txt", *written]
    (texts / "last.jsonl").unlink()
    *_, result = filtered(texts, model, *names[:3], "rows.jsonl", settings=settings)
    assert (result.shards, result.shards_before, result.failed) == (4, 4, ())


def test_a_file_that_changes_while_it_is_read_is_refused(texts, model, monkeypatch):
    filter_shard = work.filter_shard

    def filter_and_change(*arguments):
        found = filter_shard(*arguments)
        (texts / "plain.txt").write_text("another text\n")
        return found

    monkeypatch.setattr(work, "filter_shard", filter_and_change)
    with pytest.raises(TextError, match="plain.txt changed while it was filtered"):
        filtered(texts, model, "plain.txt", settings=FilterSettings(max_perplexity=50))
    assert sorted(contents(texts / "out")) == [JOURNAL]


def test_results_are_the_input_of_another_filter(texts, model):
    """The journal is hidden, and the columns of the first filter stay."""
    (texts / "one.jsonl").write_bytes((texts / "rows.jsonl").read_bytes())
    names = ("one.jsonl", "rows.jsonl", "rows.parquet")
    filtered(texts, model, *names, output="likely", settings=FilterSettings(max_perplexity=80))
    likely, settings = ("likely/*.jsonl", "likely/*.parquet"), FilterSettings(cutoffs=(30, 50))
    *_, result = filtered(texts, model, *likely, settings=settings)
    assert result.shards == 3
    rows = [json.loads(row) for row in (texts / "out/middle/one.jsonl").read_text().splitlines()]
    assert rows and list(rows[0]) == ["id", "text", "input_perplexity", "perplexity", "bucket"]
    assert all(row["input_perplexity"] == row["perplexity"] for row in rows)
    assert pyarrow.parquet.read_table(texts / "out/middle/rows.parquet").to_pylist() == rows


def test_names_that_meet_are_refused(texts, model):
    settings = FilterSettings(max_perplexity=50)
    (texts / "other").mkdir()
    for name in ("other/plain.txt", JOURNAL, "a.csv"):
        (texts / name).write_text("a b\n")
    with pytest.raises(UsageError, match="two files are called plain.txt"):
        filtered(texts, model, "plain.txt", "other/plain.txt", settings=settings)
    with pytest.raises(UsageError, match=f"{JOURNAL} cannot be the name of a filtered file"):
        filtered(texts, model, JOURNAL, settings=settings)
    with pytest.raises(UsageError, match="the result is a folder"):
        filtered(texts, model, "plain.txt", settings=settings, output="out.txt")
    with pytest.raises(OutputError, match="is not empty"):
        filtered(texts, model, "plain.txt", settings=settings, output="other")
    assert not (texts / "out").exists()


def test_empty_references_give_no_borders(texts, model):
    (texts / "empty.txt").write_text("\n\n")
    with pytest.raises(TextError, match="no text in"):
        filtered(texts, model, "plain.txt", reference=["empty.txt"])
    # All that is there is what can be gone on with.
    assert sorted(contents(texts / "out")) == [JOURNAL]


def test_model_that_changes_meanwhile_is_noticed(model):
    with pytest.raises(ModelError, match="finds another model in"):
        load_all((NamedModel("", str(model), "0" * 12),), "cpu")


KEPT = OutputLayout(("kept",), ("kept",), has_folders=False)


@pytest.mark.parametrize("entries, why", [
    ([], "not enough values"),
    ([{"what": "filter"}], "missing required field"),
    ([ShardStarted("a")], "its first line"),
    ([JobEntry({}, OutputLayout(("../x",), ("../x",), has_folders=True))], "does not write"),
    ([JobEntry({}, KEPT), ShardStarted("../../x")], "does not write"),
    ([JobEntry({}, KEPT, 9)], "has format 9; this rnnlm reads"),
    (b"no hash\n", "line 1 of .filter.run was changed"),
])  # fmt: skip
def test_damaged_journals_are_errors(texts, model, entries, why):
    journal = texts / "out" / JOURNAL
    journal.parent.mkdir()
    if isinstance(entries, bytes):
        journal.write_bytes(entries)
    else:
        Journal(journal).write(entries)
    before = journal.read_bytes()
    for overwrite in (True, False):
        with pytest.raises(OutputError, match="cannot be resumed") as caught:
            settings = FilterSettings(max_perplexity=9)
            filtered(texts, model, "plain.txt", settings=settings, overwrite=overwrite)
        assert why in caught.value.why
    assert journal.read_bytes() == before


@pytest.mark.parametrize(("workers", "tasks", "processes", "threads"), [
    (4, 9, 4, 1), (4, 2, 2, 2), (4, 1, 1, 4), (2, 0, 1, 2),
])  # fmt: skip
def test_processors_are_shared_by_files(workers, tasks, processes, threads):
    assert processes_and_threads(workers, tasks, True) == (processes, threads)
    assert processes_and_threads(workers, tasks, False) == (processes, 1)


def test_words_of_scripts_without_blanks_are_said_to_be_phrases(tmp_path, model):
    names, settings = ["a.txt", "b.txt"], FilterSettings(max_perplexity=1e9)
    for name in names:
        (tmp_path / name).write_text("他今天很好我们去学校\n" * 9)
    found = notices_of(lambda: filtered(tmp_path, model, *names, settings=settings))
    assert sum("words are counted as phrases" in note for note in found) == 1
