"""A prepared text is the encoded text, in the same bytes however it was made."""

import gzip
import json
import os
import threading
from dataclasses import fields

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import rnnlm
from rnnlm.errors import ModelError, OutputError, RnnlmError, RnnlmWarning, TextError, UsageError
from rnnlm.parallel import ProcessExecutor
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import LINE_COUNTS, EncodedText
from rnnlm.text.lines import Block, TextSettings
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.tools.prepared import prepared_text, shards as storing
from rnnlm.tools.prepared.index import EncodedLines, joined
from rnnlm.tools.prepared.preparation import Encoding, Prepared, Sampled, Sampling
from rnnlm.tools.prepared.shards import RawPiece, encoded_piece


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(found, wanted):
    for field in fields(EncodedText):
        if field.name == "unseen":
            continue  # not known of a prepared text
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(other, np.ndarray):
            assert np.array_equal(one, other), field.name
            assert one.dtype == other.dtype or field.name in LINE_COUNTS, field.name
        else:
            assert one == other, field.name


@pytest.mark.parametrize("settings", [
    {}, {"min_count": 2, "lowercase": True}, {"split_punctuation": True, "max_vocab": 500},
    {"tokenizer": "char", "max_vocab": 30},
    {"tokenizer": "byte"}, {"tokenizer": "sentencepiece", "vocab_size": 400},
    {"blank_lines": "documents"},
    {"blank_lines": "documents", "min_count": 3}, {"blank_lines": "keep"},
], ids=str)  # fmt: skip
def test_a_prepared_text_is_what_encoding_it_gives(tmp_path, text, prepared, settings):
    prepared(**settings)
    found = prepared_text.load(tmp_path / "prepared")
    assert len(found.index.shards) > 2
    settings = dict(settings)
    how = TextSettings(blank_lines=settings.pop("blank_lines", "skip"))
    corpus = Corpus((str(text),), how)
    wanted = tokenizers.train(NewTokenizerSettings(**settings), corpus.blocks())
    assert found.tokenizer.fingerprint == wanted.fingerprint and found.settings == how
    assert np.array_equal(found.tokenizer.counts_V, wanted.counts_V)
    assert_same(found.encode(wanted), corpus.encode(wanted))


def test_a_whole_folder_is_described_without_problems(tmp_path, prepared):
    """Damaged ones are in test_hostile_prepared_texts."""
    lines = prepared().lines
    assert not any(problem for _, problem, _ in prepared_text.problems(tmp_path / "prepared"))
    described = prepared_text.describe(tmp_path / "prepared")
    assert described["prepared text"] == "finished"
    assert described["counts"]["lines"] == lines and described["shards"] > 2


def test_events_report_sample_progress_and_outcome(tmp_path, text, small_shards):
    events = list(rnnlm.prepare(text, tmp_path / "prepared", workers=0))
    assert [type(event) for event in events[:3]] == [Sampling, Sampled, Encoding]
    assert events[1].how == "all" and events[1].bytes == text.stat().st_size
    *_, last, prepared = events
    tokens = [event.tokens for event in events if isinstance(event, Encoding)]
    assert isinstance(prepared, Prepared) and (last.share, last.seconds_left) == (1.0, 0.0)
    assert tokens == sorted(tokens)
    assert (last.text_bytes, last.tokens) == (prepared.bytes, prepared.tokens)


@pytest.mark.processes
@pytest.mark.parametrize(
    "workers", [2, *(pytest.param(each, marks=pytest.mark.soak) for each in (1, 3))]
)
def test_bytes_do_not_depend_on_workers_or_compression(tmp_path, text, prepared, workers):
    prepared("one")
    prepared("more", workers=workers)
    assert content(tmp_path / "one") == content(tmp_path / "more")
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(text.read_bytes()))
    # The text is unpacked before workers have it; with workers, too, in the long proofs.
    prepared("packed", source=packed, workers=0 if workers == 2 else workers)
    one, packed = (content(tmp_path / name) for name in ("one", "packed"))
    assert one.keys() == packed.keys()
    # it names the text
    assert [name for name in one if one[name] != packed[name]] == ["index.json"]


@pytest.mark.parametrize("settings", [{}, {"blank_lines": "documents"}], ids=str)
@pytest.mark.parametrize("shards", [0, 1, 3])
def test_interrupted_work_resumes_to_the_same_bytes(
    tmp_path, prepared, monkeypatch, settings, shards
):
    prepared("unbroken", **settings)
    with pytest.raises(KeyboardInterrupt):
        cut_off_after(shards, monkeypatch, prepared, settings)
    folder = tmp_path / "prepared"
    assert (folder / storing.JOURNAL).is_file() and not (folder / storing.INDEX).exists()
    assert len(list(folder.glob("shard-*.safetensors"))) == shards
    with pytest.raises(ModelError, match="only partly prepared"):
        prepared_text.load(folder)
    if shards == 3:
        shard = folder / "shard-00001.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    prepared(**settings)
    assert content(folder) == content(tmp_path / "unbroken")


def cut_off_after(shards, monkeypatch, prepared, settings):
    """Prepare until so many shards are written."""
    written = []

    def add(folder, index, shard, add=storing.add_shard):
        if len(written) == shards:
            raise KeyboardInterrupt
        written.append(shard)
        return add(folder, index, shard)

    with monkeypatch.context() as patched:
        patched.setattr("rnnlm.tools.prepared.preparation.add_shard", add)
        prepared(**settings)


def test_a_finished_text_is_only_replaced_on_request(tmp_path, prepared):
    first = prepared()
    before = content(tmp_path / "prepared")
    with pytest.raises(OutputError, match="holds another result.*`min_count` was 1 and is now 2"):
        prepared(min_count=2)
    with pytest.warns(RnnlmWarning, match="prepared is finished: "):
        assert prepared().lines_hash == first.lines_hash
    assert content(tmp_path / "prepared") == before
    assert prepared(overwrite=True, min_count=2).vocabulary_size < first.vocabulary_size


@pytest.mark.parametrize("name, change", [
    ("text.txt", lambda data: data.replace(b"the", b"teh")),
    ("prepared/vocab.txt", lambda data: data[:-1]),
    ("prepared/shard-00001.safetensors", lambda data: data[:-1]),
])  # fmt: skip
def test_a_text_or_result_that_changed_is_another(tmp_path, text, prepared, name, change):
    prepared()
    path = text if name == "text.txt" else tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    before = content(tmp_path / "prepared")
    with pytest.raises(OutputError, match="already holds another|changed since it was written"):
        prepared()
    assert content(tmp_path / "prepared") == before


@pytest.mark.parametrize("blank", [b"", b"\n \n\t\n"])
def test_a_blank_text_replaces_nothing(tmp_path, text, prepared, blank):
    prepared()
    before = content(tmp_path / "prepared")
    text.write_bytes(blank)
    with pytest.raises(TextError, match="no text in"):
        prepared(overwrite=True)
    assert content(tmp_path / "prepared") == before


def test_a_prepared_texts_tokenizer_serves_another_text(tmp_path, text, prepared):
    prepared(max_vocab=200)
    valid = tmp_path / "valid.txt"
    valid.write_text("the cat sat\nzzz the\n")
    tokenizer = rnnlm.load_tokenizer(tmp_path / "prepared")
    assert prepared("valid", source=valid, tokenizer=tokenizer).vocabulary_size == 200
    one, other = (prepared_text.load(tmp_path / name) for name in ("prepared", "valid"))
    assert one.tokenizer.fingerprint == other.tokenizer.fingerprint
    assert other.index.sample.bytes == 0
    with pytest.raises(UsageError, match="max_vocab"):
        prepared("third", tokenizer=tokenizer, max_vocab=300)
    with pytest.raises(UsageError, match="`sample`"):
        prepared("third", tokenizer=tokenizer, sample="1M")


def test_standard_input_is_read_once(tmp_path, text, prepared, stdin, chunk_bytes):
    prepared()
    stdin(text.read_bytes())
    chunk_bytes(5_000)
    prepared("piped", source="-")
    one, piped = (content(tmp_path / name) for name in ("prepared", "piped"))
    assert [name for name in one if one[name] != piped[name]] == ["index.json"]


@pytest.mark.system("signals")
@pytest.mark.processes
def test_a_dying_worker_stops_work_but_keeps_results(tmp_path, prepared, monkeypatch):
    submit = ProcessExecutor.submit

    def dying(self, function, task, *arguments):
        if isinstance(task, tuple) and task[0].first_line > 400:
            self.processes[0].process.kill()
        return submit(self, function, task, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ProcessExecutor, "submit", dying)
        with pytest.raises(RnnlmError, match="process died; it was killed by SIGKILL"):
            prepared(workers=1)
    prepared("unbroken")
    prepared()
    assert content(tmp_path / "prepared") == content(tmp_path / "unbroken")
    assert not [name for name in os.listdir(tmp_path / "prepared") if name.endswith(".new")]


@pytest.mark.processes
def test_the_first_bad_line_is_always_reported(tmp_path, text, prepared):
    lines = text.read_bytes().splitlines(keepends=True)
    lines[500] = lines[900] = lines[901] = b"bad \xff here\n"
    (tmp_path / "bad.txt").write_bytes(b"".join(lines))
    with pytest.raises(TextError, match="line 501, byte 5"):
        prepared(source=tmp_path / "bad.txt", workers=3, tokenizer="byte")


@pytest.mark.system("pipes")
def test_nothing_is_lost_from_a_pipe(tmp_path, text, prepared):
    first = prepared()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(text.read_bytes()))
    writer.start()
    piped = prepared("piped", source=tmp_path / "pipe", sample="10000")
    writer.join()
    assert (piped.lines_hash, piped.lines) == (first.lines_hash, first.lines)


@pytest.mark.system("pipes")
def test_what_a_pipe_holds_is_checked_without_reading_it_again(tmp_path, prepared):
    """Nobody would write the other end again."""
    os.mkfifo(tmp_path / "pipe")
    content = "ein Café\n".encode("cp1252")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    with pytest.raises(TextError, match="line 1, byte 8"):
        prepared(source=tmp_path / "pipe")
    writer.join()


def test_tables_and_data_sets_are_prepared_in_chunks(tmp_path, corpus_text, prepared):
    lines = [line for line in corpus_text.splitlines() if line.strip()]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "set").mkdir()
    rows = "".join(json.dumps({"text": line}) + "\n" for line in lines)
    (tmp_path / "set" / "train.jsonl").write_text(rows, encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.table({"text": lines}), tmp_path / "lines.parquet")
    names = "lines.txt", "set", "lines.parquet"
    ends = [prepared(f"of-{name}", source=tmp_path / name) for name in names]
    ends.append(prepared("of-set", source=tmp_path / "set"))
    assert len({(end.lines_hash, end.tokens, end.lines) for end in ends}) == 1
    shards = [len(prepared_text.load(tmp_path / f"of-{name}").index.shards) for name in names]
    assert min(shards) > 2


KNOWN = ["the cat sat", "on the mat .", "café au lait"]
TEXT = "the dog sat\non , the café\n\nau lait\n\n\nunseen words here\nthe the the\n"


def lines_of(settings, text=TEXT):
    tokenizer = tokenizers.train(settings, [Block(KNOWN, [])])
    piece = RawPiece("t.txt", 1, True, text.encode("utf-8"))
    return encoded_piece(piece, TextSettings(blank_lines="documents"), tokenizer).lines()


def same(one, other):
    names = EncodedLines.__dataclass_fields__
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


KINDS = [
    TokenizerSettings(), TokenizerSettings(split_punctuation=True),
    TokenizerSettings(tokenizer="char"),
    TokenizerSettings(tokenizer="byte"), TokenizerSettings(lowercase=True),
]  # fmt: skip


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_lines_come_back_from_arrays_and_from_parts(settings):
    lines = lines_of(settings)
    assert len(lines) == 5 and lines.document_lines.tolist() == [0, 2, 3]
    assert same(EncodedLines.from_arrays(lines.to_arrays()), lines)
    for at in range(len(lines) + 1):
        assert same(joined(lines.split_at(at)), lines)
    first, second = (part.totals() for part in lines.split_at(2))
    assert lines.totals() == {name: first[name] + second[name] for name in first}


def test_counts_take_the_smallest_type_that_holds_them():
    dtypes = {name: array.dtype for name, array in lines_of(KINDS[0]).to_arrays().items()}
    assert dtypes == {
        "ids": np.uint16, "oov": np.uint32, "tokens": np.uint8, "bytes": np.uint8,
        "characters": np.uint8, "document_lines": np.uint32,
    }  # fmt: skip
    assert lines_of(KINDS[0], "a" * 300 + "\n").to_arrays()["bytes"].dtype == np.uint16
    # Of ASCII, characters are bytes.
    ascii_alone = lines_of(KINDS[0], "the cat\nsat unseen\n").to_arrays()
    assert ascii_alone.keys() == dtypes.keys() - {"characters"}
