import itertools

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.scoring.rows import SentenceScores, layout, record
from rnnlm.scoring.scorer import score_chunks
from rnnlm.scoring.sentences import OWN, Sentence, read_sentences
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from support.tiny_models import fit

ASKED = [
    {}, {"with_tokens": True}, {"with_words": True}, {"next_words": 2}, {"with_regions": True},
    {"with_words": True, "with_regions": True, "next_words": 2,
     "measures": ("frequency", "entropy")},
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_rows_have_the_tables_columns_in_order(asked):
    settings = ScoringSettings(unscorable="null", **asked)
    sentences = [
        Sentence("the cat sat", 7, columns={"item": 3}),
        Sentence("", 8),
        Sentence("</s>", 9),
    ]
    scores = [
        score for chunk in score_chunks(fit("unigram"), sentences, settings) for score in chunk
    ]
    table = layout(settings, ["item"], region_names=True)
    rows = [row for score in scores for row in table.rows({"one": score})]
    assert {tuple(row) for row in rows} == {tuple(table.columns)} == {tuple(table.types)}
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows) and {
        row["id"] for row in rows
    } == {7, 8, 9}
    assert rows[0]["item"] == 3 and rows[-1]["item"] is None
    assert [row["reason"] for row in rows if row["reason"]] == ["the text holds </s>"]
    made = record(scores[0], settings)
    assert {*table.own} <= OWN and {*made} - {"item"} <= OWN
    for items in (
        made.get("surprisals"),
        made.get("word_surprisals") if not settings.next_words else None,
    ):
        for row, item in zip(rows, items or (), strict=False):
            assert {name: row[name] for name in item if name in row} == {
                name: its for name, its in item.items() if name in row
            }


def test_rows_from_python_are_dicts():
    scores = rnnlm.Model(fit("unigram")).score_sentences(
        ["the cat | sat"], with_words=True, with_tokens=True, measures=["entropy"], regions="|"
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
    ("token", "with_tokens=True", {"with_tokens": True}),
    ("word", "with_words=True", {"with_words": True}),
    ("region", 'regions="|"', {"regions": "|"}),
])  # fmt: skip
def test_rows_of_unrequested_parts_are_an_error(by, asked, fitting):
    model, sentences = rnnlm.Model(fit("unigram")), ["", "the cat | sat"]
    with pytest.raises(UsageError, match=f"sentence 2 was scored without its {by}s") as error:
        model.score_sentences(sentences, eos=False).to_rows(by)
    assert asked in error.value.hint
    assert len(model.score_sentences(sentences, eos=False, **fitting).to_rows(by)) > 2


def read(*names, **settings):
    return [
        dict(s.columns)
        for s in read_sentences(
            tuple(map(str, names)), SentenceSettings(column="sentence", **settings)
        )
    ]


def test_input_columns_keep_types_and_never_replace_ours(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text(
        '{"id": 1, "item": 5, "sentence": "a", "word": "w", "input_word": null}\n{"id": 2, '
        '"sentence": "b", "more": 1}\n'
    )
    with pytest.warns(RnnlmWarning) as told:
        assert read(path) == [
            {"item": 5, "input_input_word": "w", "input_word": None},
            dict.fromkeys(["item", "input_input_word", "input_word"]),
        ]
    assert [str(each.message) for each in told] == [
        ("columns with the name of a score are renamed in the result: word is input_input_word"),
        f"{path}, line 2 has columns that the first row does not have (more): such columns are left out",
    ]
    assert read(path, keep=()) == [{}, {}]
    assert read(path, keep=("item",)) == [{"item": 5}, {"item": None}]
    with pytest.warns(RnnlmWarning, match="sentence is|id is input_id"):
        assert read(path, keep=("id", "sentence")) == [
            {"input_id": 1, "sentence": "a"},
            {"input_id": 2, "sentence": "b"},
        ]
    with pytest.raises(TextError, match="no column 'itme'.*did you mean 'item'"):
        read(path, keep=("itme",))


def test_several_tables_have_the_columns_of_the_first(tmp_path):
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text("sentence,a,b\nx,1,2\n")
    two.write_text("sentence,b,c\ny,3,4\n")
    with pytest.warns(RnnlmWarning) as told:
        assert list(itertools.chain(read(one, two))) == [
            {"a": "1", "b": "2"},
            {"a": None, "b": "3"},
        ]
    assert [str(each.message).removeprefix(f"{two} ") for each in told] == [
        "does not have the columns a of the first table: such cells are empty",
        "has columns that the first table does not have (c): such columns are left out",
    ]
