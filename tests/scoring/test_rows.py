import json

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.scoring.rows import SentenceScores, layout, record
from rnnlm.scoring.scorer import score_chunks
from rnnlm.scoring.sentences import OWN, Sentence, read_sentences
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
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
    chunks = score_chunks(fit("unigram"), sentences, settings)
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
