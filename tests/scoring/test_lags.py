"""The columns of the words before, and frequencies from elsewhere: `--with lags`."""

import csv
import json
import math
import os
import re
from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import ModelError, RnnlmWarning, TextError, UsageError
from rnnlm.scoring.frequencies import bare, frequencies_from
from rnnlm.scoring.rows import LAG_COLUMNS, LAGGED, LAGS
from support.tiny_models import fit

ROOT = Path(__file__).parents[2]
SENTENCES = ["the cat's dog, sat", "a zorp — dog barked"]


def rows_of(model, sentences=SENTENCES, **settings):
    scores = rnnlm.Model(model).score_sentences(
        sentences, words=True, measures=("lags",), **settings
    )
    return scores.to_rows()


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_words_before_are_those_of_the_sentence():
    rows = rows_of(fit("unigram"))
    by_sentence = {1: [], 2: []}
    for row in rows:
        by_sentence[row["id"]].append(row)
    for words in by_sentence.values():
        for place, row in enumerate(words):
            for distance, lag in enumerate(LAGS, start=1):
                before = words[place - distance] if place >= distance else {}
                assert [row[lag + name] for name in LAGGED] == [before.get(name) for name in LAGGED]
    # Marks do not count, and the end has no length; what follows an unknown word is marked.
    assert [row["word_length"] for row in rows] == [3, 4, 3, 3, None, 1, 4, 0, 3, 6, None]
    assert [row["oov"] for row in by_sentence[2]] == [False, True, True, False, True, False]
    assert [row["previous_oov"] for row in by_sentence[2]] == [
        None, False, True, True, False, True
    ]  # fmt: skip
    assert [row["previous2_oov"] for row in by_sentence[2][-2:]] == [True, False]


def test_of_several_models_each_has_its_own(rnnlm, models, here):
    (here / "s.csv").write_text("item,sentence\n1,the man saw the boy\n2,the boy was here\n")
    asked = "score --input s.csv --column sentence --words --with lags"
    for name, chosen in {"a": "-m UNI", "b": "-m LSTM", "both": "-m UNI -m LSTM"}.items():
        chosen = chosen.replace("UNI", str(models.unigram)).replace("LSTM", str(models.lstm))
        assert rnnlm(f"{asked} {chosen} -o {name}.csv").code == 0

    def read(name):
        with open(here / f"{name}.csv", newline="") as stream:
            return [dict(row, model="") for row in csv.DictReader(stream)]

    both = read("both")
    assert all(row in both for row in read("a") + read("b"))
    assert len(both) == len(read("a")) + len(read("b")) == 22
    assert [*both[0]][-1 - len(LAG_COLUMNS) : -1] == list(LAG_COLUMNS)

    # JSON and the printed table have them, too.
    record = json.loads(rnnlm(f"{asked} -m {models.unigram} --json").out.splitlines()[0])
    assert {*LAG_COLUMNS} <= record["word_surprisals"][0].keys()
    assert "previous2_oov" in rnnlm(f"{asked} -m {models.unigram}").out


def test_a_row_a_word_has_the_words_before_it(here):
    (here / "t.csv").write_text("item,word,rt\n1,the,3\n1,cat,4\n2,a,5\n2,dog,6\n")
    settings = rnnlm.SentenceSettings(sentence_columns=("item",))
    rows = rows_of(fit("unigram"), rnnlm.read_sentences(here / "t.csv", settings))
    assert [row["previous_word_length"] for row in rows] == [None, 3, None, 1]
    assert rows[1]["previous_surprisal_bits"] == rows[0]["surprisal_bits"]


FILES = {
    "subtlex.txt": "Word\tFREQcount\tSUBTLWF\tLg10WF\nThe\t40\t2000\t1.61\nthe\t60\t3000\t2\n"
    "dog\t1\t50\t0.3\n",
    "counts.csv": "word,count\nThe,40\nthe,60\ndog,1\nzebra,19899\n",
    "log.tsv": f"Word\tLg10WF\nthe\t{math.log10(101)}\ndog\t{math.log10(2)}\n"
    f"zebra\t{math.log10(19900)}\n",
    "ours.tsv": "</s>\t7\n<s> the\t7\nthe\t100\ndog\t1\nthe dog\t4\n<unk>\t9\nzebra\t19899\n",
    "text.txt": "The dog\n" + '"the\n' * 99 + "zebra, " * 19899 + "\n",
}


@pytest.mark.parametrize("name", FILES)
def test_frequencies_from_tables_and_texts_by_hand(here, name):
    (here / name).write_text(FILES[name])
    with pytest.warns(RnnlmWarning, match=re.escape(f"frequencies from {name}: ")) as told:
        rows = rows_of(fit("unigram", tokenizer="char"), ["The dog, yak"], frequency_from=name)
    assert len(told) == 1  # none of the model's own
    assert [row["log10_frequency"] for row in rows] == [
        pytest.approx(math.log10(0.005), abs=3e-4), pytest.approx(math.log10(0.00005), abs=3e-4),
        None, None
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_frequencies_from_a_model(here):
    lines = ["the dog barked .", "the zorp , the"]  # 8 words
    (here / "t.txt").write_text("\n".join(lines))
    asked = {"text": "t.txt", "valid": "t.txt", "model": "unigram"}
    list(rnnlm.train(**asked, output="counted", split_punctuation=True))
    rows = rows_of(fit("unigram", tokenizer="char"), ["The dog. ,"], frequency_from="counted")
    expected = [math.log10(share) for share in (3 / 8, 1 / 8, 1 / 8)]
    assert [row["log10_frequency"] for row in rows[:-1]] == pytest.approx(expected)
    list(rnnlm.train(**asked, output="letters", tokenizer="char"))
    for name, kind, why in [
        ("letters", UsageError, "its tokens are not words"), ("nowhere", ModelError, "no such file")
    ]:  # fmt: skip
        with pytest.raises(kind, match=f"no frequencies from {name}.*{why}"):
            frequencies_from(name)


@pytest.mark.parametrize("text, why", [
    ("Word\tSUBTLWF\nthe\t12,5\n", "line 2: column 'SUBTLWF' holds '12,5'.*point"),
    ("Word\tlength\nthe\t3\n", "which column holds the counts of words.*Word, length"),
    ("Word\tcount\nthe\t0\n", "no words with counts"), ("", "is empty"),
], ids=str)  # fmt: skip
def test_bad_tables_of_counts(here, text, why):
    (here / "bad.tsv").write_text(text)
    with pytest.raises(TextError, match=why):
        frequencies_from("bad.tsv")


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_a_source_that_changes_is_read_again(here):
    for stamp, count in enumerate((1, 3), start=1):
        (here / "counts.tsv").write_text(f"word\tcount\nthe\t{count}\ndog\t1\n")
        os.utime(here / "counts.tsv", ns=(stamp, stamp))
        expected = math.log10(count / (count + 1))
        assert frequencies_from("counts.tsv").log10["the"] == pytest.approx(expected)


def test_a_source_without_a_use_is_refused():
    with pytest.raises(UsageError, match="frequency_from.* has no effect.*lags"):
        rnnlm.Model(fit("unigram")).score_sentences(["a"], words=True, frequency_from="x")


def test_a_changed_source_is_not_the_same_work(rnnlm, models, here):
    (here / "c.tsv").write_text("word\tcount\nthe\t3\n")
    asked = (
        f"score the --words --with frequency --frequency-from c.tsv -m {models.unigram} -o o.csv"
    )
    assert rnnlm(asked).code == 0
    assert "finished" in rnnlm(asked).err
    (here / "c.tsv").write_text("word\tcount\nthe\t3\nman\t5\n")
    assert rnnlm(asked).code != 0


def test_bare_words():
    assert [bare(word) for word in ('"Dog."', "don't", "--", "É,")] == ["dog", "don't", "--", "é"]


def test_pages_and_notebooks_lag_nothing_by_hand():
    texts = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/notebooks").glob("*.ipynb")]
    for path in texts:
        assert not re.search(r"\.shift\(|head\(x, -1\)", path.read_text(encoding="utf-8")), path
