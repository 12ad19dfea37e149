"""Hard-wrapped prose is read as its sentences, one by one, by every reader."""

import gzip
import itertools
import json
import textwrap

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.errors import TextError, UsageError
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.scoring.sentences import read_sentences
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.storage.files.reading import LONGEST_LINE
from rnnlm.text import lines as text_lines
from rnnlm.text.corpus import Corpus, identity_of
from rnnlm.text.lines import TextSettings, unwrapped
from rnnlm.text.word_rows import split_sentences

UNWRAP = TextSettings(unwrap=True)
WRAPPED = 'The man\nwas here. "Was\nhe?" The boys were\nhere, too.\n\n  A new\n  paragraph\nends\n'
SENTENCES = ["The man was here.", '"Was he?"', "The boys were here, too.", "A new paragraph ends"]


@pytest.mark.parametrize("text, sentences", [
    (WRAPPED, [*SENTENCES[:3], "", *SENTENCES[3:]]),
    # lower case, single letters, abbreviations and numbers go on; any other word ends
    ("He met Mr. Fox and Dr.\nLee of Smith Co. at J. R.\nHall.", None),
    ("It is 3.14 or .5 etc. Then he. said so, e.g. This. I\nsaw A. D. 12.", [
        "It is 3.14 or .5 etc. Then he. said so, e.g. This.", "I saw A. D. 12."]),
    ("I don't. He didn\u2019t. She did! Did\nshe? yes. No. 5.", [
        "I don't.", "He didn\u2019t.", "She did!", "Did she? yes.", "No.", "5."]),
    ('"Go!" he said. "Go." (He went.) _So?_ \u201cYes.\u201d No... yes.\n\u00abOui.\u00bb Et. 12 men.', [
        '"Go!" he said.', '"Go."', "(He went.)", "_So?_", "\u201cYes.\u201d", "No... yes.",
        "\u00abOui.\u00bb", "Et.", "12 men."]),
    ("He left . . . \u00c9mile did. \u00e9t\u00e9 came.", ["He left . . .", "\u00c9mile did. \u00e9t\u00e9 came."]),
    # a hyphen at a line end stays within its word; a dash between blanks stays between blanks
    ("a right-\nhand man\n- said he --\nand she--\nleft", [
        "a right-hand man - said he -- and she--left"]),
    # an indented line after one that is not begins a paragraph; an indented one after another does not
    ("    One\ntwo\n    Three\n\tfour\nfive\n", ["One two", "Three four five"]),
    ("  Mr.  Fox   goes\r\n  on\r\n\r\n\r\nnow\r\n", ["Mr. Fox goes on", "", "", "now"]),
    ("one line", ["one line"]), ("", [""]), ("\n \n", ["", ""]),
], ids=itertools.count())  # fmt: skip
@pytest.mark.parametrize("at_once", [1, 20, 1 << 16])
def test_sentences_by_hand(monkeypatch, text, sentences, at_once):
    monkeypatch.setattr(text_lines, "DIVIDED_AT_ONCE", at_once)
    lines = text.removesuffix("\n").split("\n")
    assert list(unwrapped(lines)) == (sentences or [text.replace("\n", " ")])


@pytest.mark.parametrize("width", [20, 60, 72, 100])
@pytest.mark.parametrize("indent", ["", "   "])
def test_what_was_wrapped_is_unwrapped(width, indent):
    prose = corpora.part("english", "valid").read_text("utf-8").split("\n")
    prose = list(filter(None, prose))[:400]
    paragraphs = [" ".join(prose[start : start + 7]) for start in range(0, 400, 7)]
    between = "\n" if indent else "\n\n"
    wrapped = between.join(textwrap.fill(text, width, initial_indent=indent) for text in paragraphs)
    expected = list(itertools.chain.from_iterable(map(split_sentences, paragraphs)))
    assert len(expected) > 300
    assert list(filter(None, unwrapped(wrapped.split("\n")))) == expected


def test_a_sentence_without_an_end_is_held_up_to_a_limit(monkeypatch):
    assert list(unwrapped(["and on"] * 9)) == [" ".join(["and on"] * 9)]
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 100)
    monkeypatch.setattr(text_lines, "DIVIDED_AT_ONCE", 1)
    assert len(list(unwrapped(["and on. And"] * 99))) == 100
    with pytest.raises(TextError, match="my.txt: an unwrapped sentence is longer than 100 "):
        list(unwrapped(itertools.repeat("and on"), "my.txt"))
    assert LONGEST_LINE > 1 << 20


def lines_of(names, **settings):
    corpus = Corpus(tuple(map(str, names)), TextSettings(unwrap=True, **settings))
    return [line for block in corpus.blocks() for line in block.lines]


@pytest.mark.parametrize("chunk", [1, 5, None])
def test_every_source_is_unwrapped(tmp_path, chunk_bytes, chunk):
    if chunk:
        chunk_bytes(chunk)
    plain, packed, rows = (tmp_path / name for name in ("a.txt", "b.txt.gz", "c.jsonl"))
    plain.write_text(WRAPPED)
    packed.write_bytes(gzip.compress(WRAPPED.encode()))
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in (WRAPPED, "", "b\nc")))
    assert lines_of([plain]) == SENTENCES
    assert lines_of([plain, packed]) == SENTENCES * 2  # a paragraph ends with its file
    assert lines_of([rows]) == [*SENTENCES, "b c"]
    assert lines_of([plain], blank_lines="keep") == [*SENTENCES[:3], "", *SENTENCES[3:]]
    blocks = list(Corpus((str(plain),), TextSettings("strict", "documents", unwrap=True)).blocks())
    assert sum(len(block.document_starts) for block in blocks) == 2


def test_errors_name_the_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(TextError, match="a.txt, line 3"):
        lines_of([path])
    assert lines_of([path], encoding_errors="replace") == ["a b \ufffd"]
    path.write_text("a\nbee. A\n<s> c.")
    with pytest.raises(TextError, match="a.txt, sentence 2: the text holds <s>"):
        lines_of([path])


@pytest.mark.needs("tools/prepared")
@pytest.mark.parametrize("sample", ["all", "1K", None])
def test_a_prepared_text_is_unwrapped(tmp_path, sample):
    path, folder, plain = tmp_path / "a.txt", tmp_path / "p", tmp_path / "plain.txt"
    path.write_text((WRAPPED + "\n") * 30)
    plain.write_text("\n".join(SENTENCES * 30))
    list(rnnlm.prepare(path, folder, unwrap=True, sample=sample, workers=2))
    assert "paragraph" in rnnlm.load_tokenizer(folder).symbols()
    list(rnnlm.train(folder, output=tmp_path / "m", model="unigram", holdout=0))
    prepared = evaluate(str(tmp_path / "m"), folder)
    read = evaluate(str(tmp_path / "m"), path, text_settings=UNWRAP)
    of_plain = evaluate(str(tmp_path / "m"), plain)
    assert prepared.sentences == read.sentences == 120
    assert prepared.ppl_token == read.ppl_token == of_plain.ppl_token
    assert prepared.signature == read.signature == f"{of_plain.signature}|unwrap:yes"
    assert identity_of(Corpus((str(path),), UNWRAP))["unwrap"] == "true"
    with pytest.raises(UsageError, match="was prepared with unwrap = True"):
        list(rnnlm.train(folder, output=tmp_path / "o", model="unigram", unwrap=False))


def test_sentences_of_wrapped_files_are_scored(tmp_path):
    path, table = tmp_path / "a.txt", tmp_path / "a.csv"
    path.write_text(WRAPPED)
    table.write_text("text\na b\n")
    read = list(read_sentences(path, SentenceSettings(unwrap=True)))
    assert [sentence.text for sentence in read] == SENTENCES
    assert [sentence.id for sentence in read] == [1, 2, 3, 4]
    for settings in ({}, {"column": "text"}):
        with pytest.raises(UsageError, match="a table: its rows are the sentences"):
            list(read_sentences(table, SentenceSettings(unwrap=True, **settings)))


@pytest.mark.needs("tools/filtering")
def test_documents_of_wrapped_files_are_filtered(tmp_path):
    from rnnlm.tools.filtering.shards import ShardReadSettings, open_shard

    def documents(path, **settings):
        reading = ShardReadSettings(text=TextSettings(unwrap=True, **settings))
        chunks = list(open_shard(str(path), reading).chunks())
        found = []
        for chunk in chunks:
            starts = itertools.pairwise(chunk.documents.starts_D)
            found += [chunk.documents.lines[start:stop] for start, stop in starts]
        return chunks[0], found

    plain, rows, table = (tmp_path / name for name in ("a.txt", "a.jsonl", "a.parquet"))
    plain.write_text(WRAPPED)
    rows.write_text(json.dumps({"text": WRAPPED}) + "\n")
    pyarrow.parquet.write_table(pyarrow.table({"text": [WRAPPED]}), table)
    chunk, found = documents(plain)
    assert found == [[sentence] for sentence in SENTENCES]
    assert chunk.chosen(np.array([1]), {}) == b'"Was he?"\n'
    assert documents(plain, blank_lines="documents")[1] == [SENTENCES[:3], SENTENCES[3:]]
    for path in (rows, table):
        assert documents(path)[1] == [SENTENCES]
    assert documents(rows)[0].chosen(np.array([0]), {}).decode() == rows.read_text()
