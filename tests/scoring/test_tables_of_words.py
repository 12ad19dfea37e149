"""Scores of tables with a row a word: a row for each of their rows, as `score --words` has them."""

import csv
import json

import pytest

import rnnlm
from rnnlm.errors import UsageError
from support import workbooks
from support.tiny_models import fit

SENTENCES = ["the cat sat", "a dog saw the cat", "the cat sat", "a yak"]
ROWS = [
    {"subject": f"s{number}", "item": text[:5], "word": word, "word_index": place, "rt": 7 * place}
    for number, text in enumerate(SENTENCES)
    for place, word in enumerate(text.split(), start=1)
]
ITEM = rnnlm.SentenceSettings(sentence_columns=("item",))

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


@pytest.fixture
def table(here):
    with open(here / "t.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    return here / "t.csv"


@pytest.mark.parametrize("settings", [
    {"tokenizer": "word"}, {"tokenizer": "char"}, {"tokenizer": "word", "lowercase": True}
], ids=str)  # fmt: skip
@pytest.mark.parametrize("context", ["reset", "carry"])
def test_each_row_has_the_surprisal_of_its_word_in_its_sentence(table, settings, context):
    model = rnnlm.Model(fit("ngram", order=2, **settings))
    asked = {"words": True, "context": context}
    expected = model.score_sentences(SENTENCES, **asked)
    scores = model.score_sentences(rnnlm.read_sentences(table, ITEM), **asked)
    rows = scores.to_rows()
    assert [(row["word"], row["subject"], row["rt"]) for row in rows] == [
        (row["word"], row["subject"], str(row["rt"])) for row in ROWS
    ]
    words = [word for score in expected for word in score.word_scores if word.word != "</s>"]
    bits = [word.surprisal_bits for word in words]
    assert [row["surprisal_bits"] for row in rows] == pytest.approx(bits, rel=1e-6)
    assert [row["position"] for row in rows] == [row["word_index"] for row in ROWS]
    assert [row["id"] for row in rows] == [1] * 3 + [2] * 5 + [3] * 3 + [4] * 2
    assert scores.signature == expected.signature

    by_sentence = scores.to_rows("sentence")
    assert [row["text"] for row in by_sentence] == SENTENCES
    assert [(row["subject"], row["rt"]) for row in by_sentence] == [
        (f"s{number}", None) for number in range(4)
    ]


def test_a_sentence_of_several_subjects_is_scored_once(table, monkeypatch):
    read = []
    scorer = rnnlm.scoring.scorer.SentenceScorer
    original = scorer._read
    monkeypatch.setattr(
        scorer, "_read", lambda self, each: read.append(each) or original(self, each)
    )
    rnnlm.Model(fit("unigram")).score_sentences(rnnlm.read_sentences(table, ITEM))
    [sentences] = read
    assert sorted(sentence.text for sentence in sentences) == sorted(set(SENTENCES))


def test_a_row_that_the_model_joins_with_another_says_so(here):
    (here / "t.csv").write_text("word,item\nthe,1\n-,1\ncat,1\n")
    model = rnnlm.Model(fit("unigram", remove_punctuation=True))
    rows = model.score_sentences(rnnlm.read_sentences("t.csv", ITEM), words=True).to_rows()
    assert [row["word"] for row in rows] == ["the", "-", "cat"]
    assert [row["surprisal_bits"] is None for row in rows] == [False, True, False]
    assert rows[1]["reason"] == "the model reads it as one word with another row"


def test_a_sentence_without_a_score_gives_its_rows_the_reason(here):
    (here / "t.csv").write_text("word,item\nthe,1\n<s>,1\ncat,2\n")
    asked = {"words": True, "unscorable": "null"}
    scores = rnnlm.Model(fit("unigram")).score_sentences(
        rnnlm.read_sentences("t.csv", ITEM), **asked
    )
    rows = scores.to_rows("word")
    assert [row["reason"] for row in rows] == ["the text holds <s>"] * 2 + [None]
    assert [row["word"] for row in rows] == ["the", "<s>", "cat"]


@pytest.mark.parametrize("more", [{"split": "tokens"}, {"special_symbols": "drop"}], ids=str)
def test_words_that_are_not_the_rows_are_refused(here, more):
    (here / "t.csv").write_text("word,item\nthe,1\n<s>,1\ncat-like,2\n")
    asked = {"words": True, "unscorable": "null"} | more
    model = rnnlm.Model(fit("unigram", split_punctuation=True))
    scores = model.score_sentences(rnnlm.read_sentences("t.csv", ITEM), **asked)
    with pytest.raises(UsageError, match="are not the rows of its table"):
        scores.to_rows("word")


@pytest.mark.parametrize("more", [
    {"region_mark": "|"}, {"given_column": "rt"}, {"id_column": "rt"}, {"region_columns": ("word",)},
    pytest.param({"are_pairs": True}, marks=pytest.mark.needs("tasks/seq2seq")),
])  # fmt: skip
def test_what_needs_a_row_a_sentence_is_refused(table, more):
    settings = rnnlm.SentenceSettings(sentence_columns=("item",), **more)
    with pytest.raises(UsageError, match="cannot be combined"):
        rnnlm.read_sentences(table, settings)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
def test_the_command_writes_a_row_a_word_in_order(table, models, rnnlm, suffix):
    line = f"score --input t.csv --sentence-columns item -m {models.unigram} -o out.{suffix}"
    done = rnnlm(*line.split())
    assert done.code == 0, done.err
    assert "4 sentences, of which 1 repeats" in done.err or "of which 1 repeat" in done.err
    assert "word_index to input_word_index" in done.err
    rows = _rows(f"out.{suffix}")
    assert [(row["word"], row["item"], str(row["input_word_index"])) for row in rows] == [
        (row["word"], row["item"], str(row["word_index"])) for row in ROWS
    ]
    assert all(float(row["surprisal_bits"]) > 0 for row in rows)
    again = rnnlm(*line.split()).err
    other = rnnlm(*line.replace("item", "subject").split()).err
    if suffix in ("parquet", "xlsx"):
        assert "already exists" in again and "already exists" in other
    else:
        assert "is finished" in again and "--sentence-columns was item" in other
    refused = rnnlm(*f"{line} --tokens".split())
    assert refused.code == 2 and "leave --tokens out" in refused.err


@pytest.mark.parametrize("columns, ids, words", [
    ("item", {1, 3, 4}, 8), ("word_index", {1, 3, 4}, 8), (None, {1, 2, 3, 9, 10, 11, 12, 13}, 8),
])  # fmt: skip
def test_rows_that_are_left_out_keep_the_ids_of_the_others(
    table, models, rnnlm, columns, ids, words
):
    sentences = f"--sentence-columns {columns}" if columns else ""
    line = f"score --input t.csv --column word {sentences} -m {models.unigram} -o out.csv"
    for where in ("subject!=s1", "subject != s1", "item!=a dog"):
        done = rnnlm(*line.split(), "--where", where, "--overwrite")
        assert done.code == 0 and "5 of 13 rows are left out, by --where" in done.err
        rows = _rows("out.csv")
        assert {int(row["id"]) for row in rows} == ids and len(rows) == words
        assert {row["subject"] for row in rows} == {"s0", "s2", "s3"}
    assert "--where was" in rnnlm(*line.split()).err
    refused = rnnlm(*line.split(), "--where", "subject!=s9", "--overwrite")
    assert refused.code == 1 and "why: it has 's0', 's1', 's2', 's3'" in refused.err


def test_the_last_of_several_tables_knows_all_values(table, here):
    (here / "u.csv").write_text((here / "t.csv").read_text().replace("s1,", "s7,"))
    settings = rnnlm.SentenceSettings(sentence_columns=("item",), where=("subject!=s1",))
    texts = [each.text for each in rnnlm.read_sentences(["t.csv", "u.csv"], settings)]
    assert texts == ["the cat sat", "the cat sat", "a yak", *SENTENCES]


def _rows(name):
    if name.endswith("jsonl"):
        with open(name) as stream:
            return list(map(json.loads, stream))
    if name.endswith("xlsx"):
        return workbooks.rows_of(name)
    if name.endswith("parquet"):
        parquet = pytest.importorskip("pyarrow.parquet")
        return parquet.read_table(name).to_pylist()
    with open(name, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t" if name.endswith("tsv") else ","))
