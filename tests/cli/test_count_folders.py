"""`rnnlm count` with folders of counts and Parquet: what it writes, adds up and refuses."""

import pyarrow.parquet
import pytest

from support.failures import checked_error


@pytest.fixture
def texts(here):
    """Write two texts and count both with the vocabulary of the first."""
    (here / "a.txt").write_text("a b a c\n\nb b a\n")
    (here / "b.txt").write_text("c b\na b a d\n")
    return here


@pytest.fixture
def counts(rnnlm, texts):
    assert rnnlm("count", "a.txt", "-o", "a").code == 0
    assert rnnlm("count", "b.txt", "-o", "b", "--tokenizer-from", "a").code == 0
    return texts


def test_a_folder_prints_what_the_text_prints(rnnlm, counts):
    assert rnnlm("count", "a").out == rnnlm("count", "a.txt").out
    assert rnnlm("count", "a", "-o", "a.tsv.gz").code == 0
    assert rnnlm("count", "a", "--order", "2", "--only").out == (
        rnnlm("count", "a.txt", "--order", "2", "--only").out
    )
    limited = rnnlm("count", "a", "--min-count", "2").out
    assert limited == rnnlm("count", "a.txt", "--min-count", "2").out


def test_the_share_of_unknown_words_is_printed(rnnlm, counts):
    counted = rnnlm("count", "b.txt", "-o", "again", "--tokenizer-from", "a")
    assert counted.err == ("16.67% of the words are not in the vocabulary of a: 1 of 6 are <unk>\n")
    assert "a <unk> </s>\t1\n" in rnnlm("count", "again").out


def test_extended_counts_merge_and_train(rnnlm, counts):
    asked = ("count", "b.txt", "-o", "more", "--tokenizer-from", "a", "--extend")
    assert rnnlm(*asked).err == "the vocabulary has 6 symbols now\n"
    assert rnnlm("count", "--merge", "a", "more", "-o", "both").code == 0
    assert rnnlm("count", "both").out == rnnlm("count", "a.txt", "b.txt").out
    trained = rnnlm("train", "--counts", "both", "--model", "ngram", "-o", "model")
    assert trained.code == 0, trained.err
    [first, *_] = checked_error(rnnlm("count", "b.txt", "--extend"), 2, "")
    assert "--extend needs --tokenizer-from" in first


def test_folders_are_merged_in_any_order(rnnlm, counts, here):
    assert rnnlm("count", "--merge", "a", "b", "-o", "both", "--memory", "2G").code == 0
    whole = rnnlm("count", "a.txt", "b.txt", "--tokenizer-from", "a").out
    assert rnnlm("count", "both").out == whole
    assert rnnlm("count", "--merge", "b", "a").out == whole
    assert rnnlm("count", "--merge", "b", "a", "a", "--order", "1", "--min-count", "7").out == (
        "a\t8\nb\t8\n"
    )


@pytest.mark.parametrize(("options", "name", "first"), [
    ([], "words", ["<s>", "a"]), (["--ids"], "ids", [-1, 2]),
])  # fmt: skip
def test_parquet_has_a_file_an_order(rnnlm, counts, options, name, first):
    for source in ("a", "a.txt"):
        output = f"{source}.p"
        assert rnnlm("count", source, "-o", output, "--format", "parquet", *options).code == 0
        table = pyarrow.parquet.read_table(counts / output / "order-2.parquet")
        assert table.column_names == [name, "count"]
        assert first in table[name].to_pylist()
        assert (counts / output / "order-3.parquet").is_file()


def test_a_memory_limit_counts_the_same(rnnlm, counts):
    asked = ("count", "a.txt", "-o", "limited", "--memory", "2G", "--temp", "work")
    assert rnnlm(*asked).code == 0
    assert rnnlm("count", "limited").out == rnnlm("count", "a").out
    assert not (counts / "work").exists()
    assert rnnlm("count", "--merge", "a", "b", "-o", "ab", "--temp", "work").code == 0
    assert not list((counts / "work").iterdir())


def test_prepared_texts_bring_their_tokenizer(rnnlm, counts):
    assert rnnlm("prepare", "a.txt", "-o", "ready").code == 0
    assert rnnlm("count", "ready", "-o", "of-ready").code == 0
    assert rnnlm("count", "of-ready").out == rnnlm("count", "a").out
    assert rnnlm("count", "ready", "-o", "again", "--tokenizer-from", "of-ready").code == 0
    for options in (["--lowercase"], ["--tokenizer-from", "of-ready", "--extend"]):
        ended = rnnlm("count", "ready", "-o", "x", *options)
        checked_error(ended, 2, "ready is prepared with another tokenizer")


def test_a_name_with_a_suffix_is_a_file(rnnlm, counts):
    assert rnnlm("count", "a.txt", "-o", "a.counts").code == 0
    assert (counts / "a.counts").read_text() == rnnlm("count", "a").out
    assert rnnlm("count", "a.txt", "-o", "a.1", "--format", "folder").code == 0
    assert rnnlm("count", "a.1").out == rnnlm("count", "a").out


def test_counts_are_replaced_only_where_asked(rnnlm, counts):
    checked_error(rnnlm("count", "b.txt", "-o", "a"), 1, "a already holds counts")
    assert rnnlm("count", "b.txt", "-o", "a", "--overwrite").code == 0
    assert rnnlm("count", "a").out == rnnlm("count", "b.txt").out


@pytest.mark.parametrize(("arguments", "what"), [
    (["a", "-o", "c"], "copy it"),
    (["a", "b"], "add up several with --merge"),
    (["a", "a.txt"], "cannot be combined with a.txt"),
    (["a", "--memory", "1G"], "--memory, --temp, --workers and --dask have no effect"),
    (["a", "--lowercase"], "options for reading and tokenizing text have no effect"),
    (["a.txt", "--memory", "1G"], "--memory, --temp, --workers and --dask need a folder"),
    (["a.txt", "-o", "x", "--temp", "t"], "--temp needs --memory"),
    (["a.txt", "-o", "x", "--min-count", "2"], "a folder holds all counts"),
    (["a.txt", "--format", "parquet"], "--format parquet needs -o DIR"),
    (["a.txt", "--ids"], "--ids needs --format parquet"),
    (["a.txt", "-o", "x.parquet"], "add --format parquet -o DIR"),
    (["a.txt", "-m", "demo", "--tokenizer-from", "a"], "both bring a tokenizer"),
    (["a.txt", "--lowercase", "--tokenizer-from", "a"], "brings its own tokenizer"),
    (["--merge", "a", "b.tsv"], "cannot be combined with b.tsv"),
    (["--merge", "b.tsv", "--format", "folder", "-o", "x"], "b.tsv is not a folder of counts"),
])  # fmt: skip
def test_what_cannot_be_combined_is_wrong_usage(rnnlm, counts, arguments, what):
    (counts / "b.tsv").write_text("a\t1\n")
    [first, *_] = checked_error(rnnlm("count", *arguments), 2, "")
    assert what in first


@pytest.mark.parametrize(("arguments", "code", "what"), [
    (["a", "other"], 2, "a and other have different vocabularies"),
    (["a", "short"], 2, "a and short have different orders"),
    (["a", "empty"], 1, "no counts in empty"),
    (["a", "damaged"], 1, "the counts in damaged are damaged"),
    (["a.tsv", "p/order-1.parquet"], 1, "p/order-1.parquet is a Parquet file"),
    (["a.tsv", "foreign.parquet"], 1, "foreign.parquet is a Parquet file"),
    (["a", "p"], 1, "no counts in p"),
])  # fmt: skip
def test_what_cannot_be_added_is_an_error(rnnlm, counts, arguments, code, what):
    (counts / "c.txt").write_text("z z a\n")
    rnnlm("count", "c.txt", "-o", "other")
    rnnlm("count", "b.txt", "-o", "short", "--order", "2", "--tokenizer-from", "a")
    rnnlm("count", "b.txt", "-o", "damaged", "--tokenizer-from", "a")
    rnnlm("count", "a", "-o", "p", "--format", "parquet")
    rnnlm("count", "a", "-o", "a.tsv")
    (counts / "empty").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), counts / "foreign.parquet")
    piece = next((counts / "damaged").glob("*order-1*"))
    piece.write_bytes(piece.read_bytes()[:-1])
    checked_error(rnnlm("count", "--merge", *arguments), code, what)
