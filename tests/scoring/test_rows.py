"""Rows of scores: their columns, regions, the words before (`--with lags`), frequencies."""

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
from rnnlm.scoring.rows import LAG_COLUMNS, LAGGED, LAGS, SentenceScores, layout, record
from rnnlm.scoring.scorer import Scorers, score_chunks
from rnnlm.scoring.sentences import OWN, Sentence, read_sentences
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings, check_mark
from rnnlm.scoring.word_scores import joined, split_regions
from support.tiny_models import fit

ASKED = [
    {}, {"tokens": True}, {"words": True}, {"with_regions": True},
    {"words": True, "with_regions": True, "measures": ("frequency", "entropy")},
]  # fmt: skip


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_rows_have_the_tables_columns_in_order(asked, probabilities):
    settings = ScoringSettings(unscorable="null", **asked)
    sentences = [Sentence("the cat sat", 7, columns={"item": 3}), Sentence("", 8)]
    sentences.append(Sentence("</s>", 9))
    chunks = score_chunks(Scorers(fit("unigram")).of(settings), sentences)
    scores = [score for chunk in chunks for score in chunk.scores]
    table = layout(settings, ["item"], region_names=True, probabilities=probabilities)
    rows = [row for score in scores for row in table.rows({"one": score})]
    assert {tuple(row) for row in rows} == {tuple(table.columns)} == {tuple(table.types)}
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids) and set(ids) == {7, 8, 9}
    assert rows[0]["item"] == 3 and rows[-1]["item"] is None
    assert [row["reason"] for row in rows if row["reason"]] == ["the text holds </s>"]
    made = record(scores[0], settings, probabilities)
    assert {*table.own} <= OWN and {*made} - {"item"} <= OWN
    for part in ("surprisals", "word_surprisals"):
        for row, item in zip(rows, made.get(part) or (), strict=False):
            assert all(row[name] == item[name] for name in item.keys() & row.keys())


def test_rows_from_python_are_dicts():
    scores = rnnlm.Model(fit("unigram")).score_sentences(
        ["the cat | sat"], words=True, tokens=True, measures=["entropy"], regions="|"
    )
    words, regions = scores.to_rows(), scores.to_rows("region")
    assert [row["word"] for row in words] == ["the", "cat", "sat", "</s>"]
    assert [row["region_index"] for row in words] == [1, 1, 2, None]
    assert words[0]["entropy_bits"] > 0 and words[0]["log10_frequency"] is None
    assert [row["text"] for row in regions] == ["the cat", "sat"]
    assert [len(scores.to_rows(by)) for by in ("sentence", "token")] == [1, 4]
    assert SentenceScores().to_rows() == []
    with pytest.raises(UsageError, match="letter"):
        scores.to_rows("letter")


@pytest.mark.parametrize("by, asked, fitting", [
    ("token", "tokens=True", {"tokens": True}), ("word", "words=True", {"words": True}),
    ("region", 'regions="|"', {"regions": "|"}),
])  # fmt: skip
def test_rows_of_unrequested_parts_are_an_error(by, asked, fitting):
    model, sentences = rnnlm.Model(fit("unigram")), ["", "the cat | sat"]
    with pytest.raises(UsageError, match=f"sentence 2 was scored without its {by}s") as error:
        model.score_sentences(sentences, eos=False).to_rows(by)
    assert asked in error.value.hint
    assert len(model.score_sentences(sentences, eos=False, **fitting).to_rows(by)) > 2


def read(*names, **settings):
    settings = SentenceSettings(column="sentence", **settings)
    return [dict(each.columns) for each in read_sentences(tuple(map(str, names)), settings)]


def test_input_columns_keep_types_and_never_replace_ours(tmp_path):
    path = tmp_path / "s.jsonl"
    first = {"id": 1, "item": 5, "sentence": "a", "word": "w", "input_word": None}
    second = {"id": 2, "sentence": "b", "more": 1}
    path.write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n")
    with pytest.warns(RnnlmWarning) as told:
        assert read(path) == [
            {"item": 5, "input_input_word": "w", "input_word": None, "more": None},
            {**dict.fromkeys(["item", "input_input_word", "input_word"]), "more": 1},
        ]
    [renamed] = (str(each.message) for each in told)
    assert "renamed in the result: word to input_input_word" in renamed
    assert read(path, keep=()) == [{}, {}]
    assert read(path, keep=("item",)) == [{"item": 5}, {"item": None}]
    with pytest.warns(RnnlmWarning, match="sentence to|id to input_id"):
        kept = read(path, keep=("id", "sentence"))
    assert kept == [{"input_id": 1, "sentence": "a"}, {"input_id": 2, "sentence": "b"}]
    with pytest.raises(TextError, match="no column 'itme'.*did you mean 'item'"):
        read(path, keep=("itme",))


def test_several_tables_have_the_columns_of_the_first(tmp_path):
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text("sentence,a,b\nx,1,2\n")
    two.write_text("sentence,b,c\ny,3,4\n")
    lacks, more = (
        "2.csv lacks the columns a of the first",
        "that the first table lacks .c.: .* left",
    )
    with pytest.warns(RnnlmWarning, match=lacks), pytest.warns(RnnlmWarning, match=more):
        assert read(one, two) == [{"a": "1", "b": "2"}, {"a": None, "b": "3"}]


@pytest.mark.parametrize("text, read, regions", [
    ("The dog | barked .", "The dog barked .", ["The dog", "barked ."]),
    ("The dog| barked", "The dog barked", ["The dog", "barked"]),
    ("a  |\tb  c |d", "a b  c d", ["a", "b  c", "d"]), ("no mark ", "no mark ", ["no mark "]),
    (" a | b ", " a b ", [" a", "b "]),
    ("| a || b |", "a b", ["", "a", "", "b", ""]), ("|", "", ["", ""]), ("", "", [""]),
])  # fmt: skip
def test_marks_separate_regions_without_changing_the_sentence(text, read, regions):
    found = split_regions(text, "|", "line 1")
    assert ([region.text for region in found], joined(found)) == (regions, read)
    assert [region.index for region in found] == list(range(1, len(regions) + 1))


@pytest.mark.parametrize("text", ["the dog|barked", "the dog |barked a|b", "dog||barked", "a |b|c"])
def test_a_mark_inside_a_word_is_an_error(text):
    message = r"s.txt, line 7: region mark \d is inside a word: (dog\|+barked|a\|b|b\|c)"
    with pytest.raises(TextError, match=message):
        split_regions(text, "|", "s.txt, line 7")


@pytest.mark.parametrize("mark", ["", " ", "\t"])
def test_white_space_separates_no_regions(mark):
    with pytest.raises(UsageError, match="white space"):
        check_mark(mark)


@pytest.mark.parametrize("settings", [
    {"split_punctuation": True}, {"tokenizer": "char"},
    {"tokenizer": "sentencepiece", "vocab_size": 280},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("split", ["whitespace", "tokens"])
def test_regions_sum_their_words_and_marks_stay_unscored(settings, split):
    model = rnnlm.Model(fit("ngram", order=2, smoothing="witten-bell", **settings))
    asked = {"words": True, "split": split, "given": "a dog"}
    marked = ["the cat, | sat | on a mat.", "| zebra || sat", ""]
    plain = ["the cat, sat on a mat.", "zebra sat", ""]
    scores = model.score_sentences(marked, regions="|", **asked)
    for score, expected in zip(scores, model.score_sentences(plain, **asked), strict=True):
        assert (score.text, score.logprob_nats) == (expected.text, expected.logprob_nats)
        assert score.word_scores == expected.word_scores
        regions = score.region_scores
        for region in regions:
            assert score.text[region.start : region.end] == region.text
            its = [word for word in score.word_scores if region.start <= word.start < region.end]
            bits = sum(word.surprisal_bits for word in its)
            assert region.surprisal_bits == pytest.approx(bits) and region.words == len(its)
            assert region.tokens == sum(word.tokens for word in its)
            assert region.is_oov == any(word.is_oov for word in its)
        following = [*(region.surprisal_bits for region in regions[1:]), None]
        assert [region.next_surprisal_bits for region in regions] == following[: len(regions)]
        assert sum(region.words for region in regions) == len(score.word_scores) - 1
    assert [region.index for region in scores[1].region_scores] == [2, 4]
    assert model.score_sentences(marked, regions="|")[0].word_scores == ()


def test_columns_are_named_regions_keeping_their_numbers(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("item,r1,r2,r3,next\n1,the cat,,sat <s>,x\n2,,a  dog ,,y\n")
    settings = SentenceSettings(region_columns=("r1", "r2", "r3"))
    sentences = list(read_sentences((str(path),), settings))
    assert [(each.text, each.columns) for each in sentences] == [
        ("the cat sat <s>", {"item": "1", "input_next": "x"}),
        ("a  dog", {"item": "2", "input_next": "y"})
    ]  # fmt: skip
    scoring = ScoringSettings(with_regions=True, special_symbols="drop")
    [chunk] = score_chunks(Scorers(fit("unigram")).of(scoring), sentences)
    first, second = chunk.scores
    regions = [*first.region_scores, *second.region_scores]
    expected = [(1, "r1", "the cat"), (3, "r3", "sat"), (2, "r2", "a  dog")]
    assert [(region.index, region.name, region.text) for region in regions] == expected
    assert first.text == "the cat sat"
    with pytest.raises(UsageError, match="choose one"):
        list(read_sentences((str(path),), SentenceSettings(column="r1", region_columns=("r1",))))
    with pytest.raises(TextError, match="no column 'r9'"):
        list(read_sentences((str(path),), SentenceSettings(region_columns=("r9",))))


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
        os.utime(here / "counts.tsv", (stamp, stamp))
        expected = math.log10(count / (count + 1))
        assert frequencies_from("counts.tsv").log10["the"] == pytest.approx(expected)


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
