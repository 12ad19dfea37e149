import json
import os
from pathlib import Path

import pytest

from rnnlm.errors import TextError, UsageError
from rnnlm.storage.files import reading
from rnnlm.text import sources
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.text.sources import SourceSettings, expand, parse_hub_name

TEXT = "the cat\nsat on\nthe mät\n"
LINES = ["the cat", "sat on", "the mät"]
ROWS = [{"id": number, "text": line} for number, line in enumerate(LINES)]


def read(*names, column=None, split="train", errors="strict") -> list[str]:
    settings = SourceSettings(column=column, split=split)
    corpus = Corpus(tuple(map(str, names)), TextSettings(encoding_errors=errors), settings)
    return [line for block in corpus.blocks() for line in block.lines]


def test_a_glob_gives_its_files_in_order(tmp_path):
    for name in ("b.txt", "a.txt", "c.md", "a[1].py"):
        (tmp_path / name).write_text(name)
    assert expand((str(tmp_path / "*.txt"),)) == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert read(tmp_path / "a[1].py") == ["a[1].py"]
    with pytest.raises(TextError, match="no file matches"):
        expand((str(tmp_path / "*.gz"),))


def test_a_missing_file_suggests_a_similar_one(tmp_path):
    (tmp_path / "train.txt").write_text("x")
    with pytest.raises(TextError) as error:
        expand((str(tmp_path / "trian.txt"),))
    assert "trian.txt" in error.value.what and "'train.txt'" in error.value.hint


@pytest.mark.parametrize("address, hint", [
    ("https://example.org/a.txt", "download it first"), ("s3://bucket/*.txt", "download it first"),
    ("HTTP:/example.org/a.txt", "download it first"),  # as a path has it
    ("https://huggingface.co/datasets/some-one/a.set/tree/main", "name it hf:some-one/a.set"),
])  # fmt: skip
def test_an_address_is_refused_as_one(address, hint):
    with pytest.raises(TextError, match="rnnlm reads files and hf: data sets") as error:
        expand((address,))
    assert (error.value.what, error.value.hint) == (f"no such file: {address}", hint)


@pytest.mark.needs("tools/prepared")
def test_names_are_checked_without_reading(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff")
    for file in ("prepared/shard-0.safetensors", "set/a.jsonl"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    (tmp_path / "empty").mkdir()
    found = [tmp_path / name for name in ("a.txt", "prepared", "set", "*.txt")]
    sources.check_names([*found, "-", "hf:some-one/a.set"])
    for wrong in (tmp_path / "b.txt", tmp_path / "*.gz", tmp_path / "empty"):
        with pytest.raises(TextError):
            sources.check_names([*found, wrong])


def test_an_error_on_a_directory_shows_the_glob(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")  # no data set for all that
    with pytest.raises(TextError, match="directory") as error:
        read(tmp_path)
    assert f"{tmp_path}/*.txt" in error.value.hint


@pytest.mark.parametrize("long", ["", "x" * (1 << 24)], ids=["small", "beyond memory"])
def test_standard_input_can_be_read_twice(stdin, long):
    stdin(f"{TEXT}{long}\n".encode())
    for _ in range(2):
        assert read("-") == ([*LINES, long] if long else LINES)


@pytest.mark.system("proc")
def test_pipes_can_be_read_twice():
    here, there = os.pipe()
    os.write(there, f"{TEXT}\n".encode())
    os.close(there)
    for _ in range(2):
        assert read(f"/dev/fd/{here}") == LINES
    os.close(here)


def test_standard_input_is_read_as_it_arrives(stdin, monkeypatch):
    stdin(b"")
    here, there = os.pipe()
    monkeypatch.setattr("sys.stdin", os.fdopen(here))
    os.write(there, b"one\ntw")
    with reading.opened("-") as stream:
        assert stream.readline() == b"one\n" and reading.standard_input_waits()
        os.write(there, b"o\nthree")
        assert not reading.standard_input_waits() and stream.readline(1) == b"t"
        assert stream.readline() == b"wo\n" and reading.standard_input_waits()
        os.close(there)
        assert not reading.standard_input_waits()
        assert (stream.read(2), stream.readline(), stream.readline()) == (b"th", b"ree", b"")


@pytest.mark.system("modes")
def test_a_file_without_permission_is_an_error(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(TextError, match="cannot read"):
        read(path)


def records(**columns) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows)


@pytest.mark.parametrize("name, content, column, lines", [
    ("x.jsonl", records(body=LINES, id=[1, 2, 3]), "body", LINES),
    # a column called text needs no name
    ("x.json", records(id=[1, 2, 3], text=LINES) + "\n\n", None, LINES),
    ("lines.jsonl", records(text=["one\r\n\ntwo", "three\u2028still\n"]), None,
     ["one", "two", "three\u2028still"]),
    ("mark.jsonl", '\ufeff{"text": "a"}\r\n{"text": "b"}\r\n', None, ["a", "b"]),
    ("x.csv", '\ufeffid,text\r\n1,"one, ""two"""\r\n2,"three\nfour"\r\n', "text",
     ['one, "two"', "three", "four"]),
    ("x.tsv", "id\ttext\n1\tone, two\n2\tthree\n", "text", ["one, two", "three"]),
    ("unnamed.csv", "id,text\n1,one\n2,two\n", None, ["one", "two"]),
    ("plain.tsv", "one\ttwo\n", None, ["one\ttwo"]),  # without a column it is plain text
])  # fmt: skip
def test_the_column_of_a_table_is_read(tmp_path, name, content, column, lines):
    (tmp_path / name).write_bytes(content.encode())
    assert read(tmp_path / name, column=column) == lines


@pytest.mark.parametrize("name, content, column, what, hint", [
    ("a.jsonl", '{"text": "a"}\n{"txt": "b"}\n', "text", "line 2: no column 'text'", "'txt'"),
    ("a.jsonl", '{"a": "x", "b": "y"}\n', None, "a, b", '`column="a"`'),
    ("a.csv", "x,y\none,two\n", None, "a.csv", '`column="1"`, or `column="2"`'),
    ("a.csv", "id,text\n1,one\n", "texts", "no column 'texts'", "'text'"),
])  # fmt: skip
def test_a_missing_column_is_an_error_suggesting_one(tmp_path, name, content, column, what, hint):
    """More are in test_hostile_texts."""
    (tmp_path / name).write_text(content)
    with pytest.raises(TextError, match=what) as error:
        read(tmp_path / name, column=column)
    assert hint in error.value.hint


@pytest.mark.parametrize("name, content, place, replaced", [
    ("a.jsonl", b'{"text": "a"}\n{"text": "b\x81"}\n', "line 2, byte 12", ["a", "b\ufffd"]),
    ("a.csv", b"id,text\n1,\x81a\n", "line 2, byte 3", ["\ufffda"]),
])  # fmt: skip
def test_bad_utf8_in_tables_is_named_or_replaced(tmp_path, name, content, place, replaced):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TextError, match=f"{place}: not UTF-8"):
        read(tmp_path / name, column="text")
    assert read(tmp_path / name, column="text", errors="replace") == replaced


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Save a data set of two splits, one of them alone, a folder of Parquet, one of JSON lines."""
    import datasets

    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("data")
    train = datasets.Dataset.from_list(ROWS)
    test = datasets.Dataset.from_list([{"id": 9, "text": "held out"}])
    splits = {"train": train, "test": test}
    datasets.DatasetDict(splits).save_to_disk(str(folder / "splits"))
    train.save_to_disk(str(folder / "alone@home#1"))
    (folder / "parquet").mkdir()
    for name, rows in splits.items():
        rows.to_parquet(str(folder / "parquet" / f"{name}-00000-of-00001.parquet"))
    (folder / "jsonl").mkdir()
    (folder / "jsonl" / "train.jsonl").write_text(records(text=LINES))
    return folder


@pytest.mark.parametrize("name", ["splits", "alone@home#1", "parquet", "jsonl"])
def test_a_local_data_set_folder_is_read(saved, name):
    assert read(saved / name) == LINES
    if name in ("splits", "parquet"):
        assert read(f"hf:{saved / name}", column="text") == LINES
        assert read(saved / name, split="test") == ["held out"]
        with pytest.raises(TextError):
            read(saved / name, split="dev")
        with pytest.raises(TextError, match="no column 'body'"):
            read(saved / name, column="body")


def test_hub_names_are_taken_apart():
    assert parse_hub_name("owner/name@v1#config") == ("owner/name", "v1", "config")
    assert parse_hub_name("owner/name#config") == ("owner/name", None, "config")
    assert parse_hub_name("owner/name") == ("owner/name", None, None)
    with pytest.raises(UsageError):
        parse_hub_name("")


def test_a_folder_that_is_not_finished_is_no_data_set(tmp_path):
    (tmp_path / "unfinished.json").write_text("{}")
    with pytest.raises(TextError, match="is not finished; .*run the same command again to resume"):
        sources.check_names([tmp_path])
