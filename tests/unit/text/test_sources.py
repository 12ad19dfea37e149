import io
import json
import os
from pathlib import Path

import pytest

from rnnlm.errors import TextError, UsageError
from rnnlm.files import reading
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


@pytest.fixture
def stdin(monkeypatch):
    reading.standard_input.cache_clear()

    def put(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    yield put
    reading.standard_input.cache_clear()


def test_a_glob_stands_for_its_files_in_order(tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name)
    assert expand((str(tmp_path / "*.txt"),)) == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_a_file_whose_name_looks_like_a_glob_is_read(tmp_path):
    (tmp_path / "a[1].txt").write_text("one\n")
    assert read(tmp_path / "a[1].txt") == ["one"]


def test_a_glob_without_files_is_an_error(tmp_path):
    with pytest.raises(TextError, match="no file matches"):
        expand((str(tmp_path / "*.txt"),))


def test_a_missing_file_suggests_a_similar_one(tmp_path):
    (tmp_path / "train.txt").write_text("x")
    with pytest.raises(TextError) as error:
        expand((str(tmp_path / "trian.txt"),))
    assert "trian.txt" in error.value.what and "'train.txt'" in error.value.hint


def test_a_directory_of_text_files_is_an_error_that_shows_the_glob(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")  # no data set for all that
    with pytest.raises(TextError, match="directory") as error:
        read(tmp_path)
    assert f"{tmp_path}/*.txt" in error.value.hint


@pytest.mark.parametrize("most_in_memory", [1, 1 << 20])
def test_standard_input_can_be_read_twice(stdin, monkeypatch, most_in_memory):
    monkeypatch.setattr(reading, "MOST_SMALL_BYTES", most_in_memory)
    stdin(TEXT.encode())
    assert read("-") == LINES
    assert read("-") == LINES


def test_an_unreadable_file_is_an_error(tmp_path):
    path = tmp_path / "loop.txt"
    path.symlink_to(path)
    with pytest.raises(TextError):
        read(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(TextError, match="cannot read"):
        read(path)


class TestJsonLines:
    def test_column_is_read(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps({"body": line, "id": 1}) for line in LINES))
        assert read(path, column="body") == LINES

    def test_text_column_needs_no_name(self, tmp_path):
        path = tmp_path / "rows.json"
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
        assert read(path) == LINES

    def test_a_record_of_several_lines_is_several_lines(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps({"text": "one\r\n\ntwo"}) + "\n" + json.dumps({"text": "three\u2028still\n"}))
        assert read(path) == ["one", "two", "three\u2028still"]

    def test_byte_order_mark_is_dropped(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"text": "a"}\r\n{"text": "b"}\r\n', encoding="utf-8-sig")
        assert read(path) == ["a", "b"]

    def test_missing_column_names_the_line_and_the_nearest(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"text": "a"}\n{"txt": "b"}\n')
        with pytest.raises(TextError, match="line 2: no column 'text'") as error:
            read(path, column="text")
        assert "'txt'" in error.value.hint

    def test_an_ambiguous_column_is_an_error_that_lists_them(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"a": "x", "b": "y"}\n')
        with pytest.raises(TextError) as error:
            read(path)
        assert "a, b" in error.value.why and "--column" in error.value.hint

    @pytest.mark.parametrize("line", ['{"text": "a"', "plain text", "[1, 2]", '{"text": 7}', '{"text": null}', '{"text": "\\ud800"}'])
    def test_what_is_no_text_record_is_an_error_naming_the_line(self, tmp_path, line):
        path = tmp_path / "rows.jsonl"
        path.write_text('{"text": "fine"}\n' + line + "\n")
        with pytest.raises(TextError, match="rows.jsonl, line 2"):
            read(path)

    def test_bad_utf8_names_line_and_byte_or_is_replaced(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(b'{"text": "a"}\n{"text": "b\xff"}\n')
        with pytest.raises(TextError, match="line 2, byte 12: not UTF-8"):
            read(path)
        assert read(path, errors="replace") == ["a", "b\ufffd"]


class TestCsv:
    def test_quotes_commas_and_line_ends_inside_a_field(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"one, ""two"""\r\n2,"three\nfour"\r\n')
        assert read(path, column="text") == ['one, "two"', "three", "four"]

    def test_tabs_separate_a_tsv(self, tmp_path):
        path = tmp_path / "rows.tsv"
        path.write_text("id\ttext\n1\tone, two\n2\tthree\n")
        assert read(path, column="text") == ["one, two", "three"]

    def test_a_tsv_without_column_is_plain_text(self, tmp_path):
        path = tmp_path / "rows.tsv"
        path.write_text("one\ttwo\n")
        assert read(path) == ["one\ttwo"]

    def test_a_csv_needs_its_column_named(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_text("id,text\n1,one\n")
        with pytest.raises(TextError) as error:
            read(path)
        assert "--column" in error.value.hint

    def test_missing_column_suggests_the_nearest(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_text("id,text\n1,one\n")
        with pytest.raises(TextError, match="no column 'texts'") as error:
            read(path, column="texts")
        assert "'text'" in error.value.hint

    def test_a_short_row_is_an_error_naming_the_line(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_text("id,text\n1,one\n2\n")
        with pytest.raises(TextError, match="line 3"):
            read(path, column="text")

    def test_an_unfinished_quote_is_an_error(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_text('id,text\n1,"one\n')
        with pytest.raises(TextError, match="not readable as a table"):
            read(path, column="text")

    def test_bad_utf8_names_line_and_byte_or_is_replaced(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_bytes(b"id,text\n1,\xe9a\n")
        with pytest.raises(TextError, match="line 2, byte 3: not UTF-8"):
            read(path, column="text")
        assert read(path, column="text", errors="replace") == ["\ufffda"]


class TestParquet:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
        return tmp_path / "rows.parquet"

    def test_column_is_read(self, path):
        assert read(path, column="text") == LINES
        assert read(path) == LINES

    def test_missing_column_is_an_error(self, path):
        with pytest.raises(TextError, match="no column 'txt'"):
            read(path, column="txt")

    def test_a_column_of_numbers_is_an_error(self, path):
        with pytest.raises(TextError, match="holds int, not text"):
            read(path, column="id")

    def test_truncated_is_an_error(self, path):
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(TextError, match="cannot read"):
            read(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A data set of two splits, saved; one of its splits saved alone; a folder of Parquet; one of JSON-lines."""
    import datasets

    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("data")
    train = datasets.Dataset.from_list(ROWS)
    test = datasets.Dataset.from_list([{"id": 9, "text": "held out"}])
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(str(folder / "splits"))
    train.save_to_disk(str(folder / "alone@home#1"))
    (folder / "parquet").mkdir()
    train.to_parquet(str(folder / "parquet" / "train-00000-of-00001.parquet"))
    test.to_parquet(str(folder / "parquet" / "test-00000-of-00001.parquet"))
    (folder / "jsonl").mkdir()
    (folder / "jsonl" / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return folder


class TestDatasets:
    @pytest.mark.parametrize("name", ["splits", "alone@home#1", "parquet", "jsonl"])
    def test_a_local_folder_is_read(self, saved, name):
        assert read(saved / name) == LINES

    def test_a_local_folder_may_be_named_as_hf(self, saved):
        assert read(f"hf:{saved / 'splits'}", column="text") == LINES
        assert read(f"hf:{saved / 'parquet'}", column="text") == LINES

    @pytest.mark.parametrize("name", ["splits", "parquet"])
    def test_a_split_is_chosen(self, saved, name):
        assert read(saved / name, split="test") == ["held out"]

    @pytest.mark.parametrize("name", ["splits", "parquet"])
    def test_an_unknown_split_is_an_error(self, saved, name):
        with pytest.raises(TextError):
            read(saved / name, split="dev")

    def test_a_missing_column_is_an_error(self, saved):
        with pytest.raises(TextError, match="no column 'body'"):
            read(saved / "splits", column="body")

    def test_folders_are_streamed(self, saved):
        rows = sources._load_dataset(str(saved / "jsonl"), None, None, "train")
        assert type(rows).__name__ == "IterableDataset"


def test_hub_names_are_taken_apart():
    assert parse_hub_name("owner/name@v1#config") == ("owner/name", "v1", "config")
    assert parse_hub_name("owner/name#config") == ("owner/name", None, "config")
    assert parse_hub_name("owner/name") == ("owner/name", None, None)
    with pytest.raises(UsageError):
        parse_hub_name("")


def test_a_row_with_more_cells_than_columns_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("text\nHe came, he saw\n")
    with pytest.raises(TextError, match="line 2: the row has more cells than columns"):
        read(tmp_path / "a.csv", column="text")
