"""Gaps that models fill: ranks, surprisals, shares by distance and kind."""

import numpy as np
import pytest

import rnnlm
from rnnlm import arrays
from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.tools.inspection.cloze import (
    Cloze,
    ClozeItem,
    ClozeScore,
    ModelCloze,
    inspect_cloze,
    metrics_of,
    read_items,
    score_items,
)
from support.tiny_models import LINES, fit, halves_model

ITEMS = [
    ClozeItem(" ".join(line.split()[:place]), line.split()[place])
    for line in LINES[:2]
    for place in range(len(line.split()))
]


def distribution(model, context):
    """Return the log-probabilities (nats) of the next token."""
    ids = np.array([[model.tokenizer.boundary_id, *model.tokenizer.encode([context]).ids[:-1]]])
    return arrays.as_numpy(model.predict(ids, model.initial_state(1))[0])[0, -1]


@pytest.mark.parametrize("name", ["lstm", "ngram", "unigram"])
def test_ranks_and_likeliest_words_are_those_of_the_sorted_predictions(name):
    model = fit(name)
    symbols = model.tokenizer.symbols()
    for score in score_items(model, ITEMS):
        logprob_V = distribution(model, score.item.context)
        words = [symbols[id] for id in np.argsort(-logprob_V, kind="stable")]
        assert score.rank == 1 + words.index(score.item.answer)
        assert list(score.likeliest) == words[:3]
        bits = -logprob_V[symbols.index(score.item.answer)] / np.log(2)
        assert score.surprisal_bits == pytest.approx(bits, abs=1e-5)


def test_words_of_pieces_are_ranked_as_whole_words():
    model = fit("ngram", order=4, tokenizer="char")
    expected = []
    for line in rnnlm.Model(model).score_sentences(LINES[:2], next_words=10):
        for next_words, score in zip(line.next_words, line.word_scores, strict=False):
            if score.word != "</s>":
                expected.append(([each.word for each in next_words], score))
    for score, (words, word) in zip(score_items(model, ITEMS), expected, strict=True):
        assert score.item.answer == word.word
        assert score.surprisal_bits == pytest.approx(word.surprisal_bits)
        assert score.rank == (words.index(word.word) + 1 if word.word in words else None)
        assert list(score.likeliest) == words[:3]


def test_surprisals_use_bits_and_ties_rank_by_id():
    a, b = score_items(halves_model(), [ClozeItem("a b", "a"), ClozeItem("", "b")])
    assert (a.rank, a.surprisal_bits) == (1, pytest.approx(1))
    # behind a, </s>, and <unk>, which is as likely
    assert (b.rank, b.surprisal_bits) == (4, pytest.approx(3))


def test_unknown_answers_count_as_missed_and_are_named(tmp_path):
    (tmp_path / "items.tsv").write_text("text\tanswer\na b ___ b\ta\nb ___ a\tunicorn\n")
    cloze = inspect_cloze({"halves": halves_model()}, tmp_path / "items.tsv")
    [model] = cloze.models
    (figures,) = model.figures
    assert (figures.items, figures.unknown) == (2, 1)
    assert [each.share for each in figures.accuracy] == [0.5, 0.5, 0.5]
    assert figures.mean_bits == model.scores[0].surprisal_bits and model.scores[1].rank is None
    told = "halves: 1 answer is not in its vocabulary and counts as missed: unicorn."
    assert told in cloze.verdict
    assert {axes.get_xlabel() for axes in cloze.figure().axes} == {"all"}


def test_rivals_have_surprisals_of_the_same_gap(tmp_path):
    """p(a) = 1/2 and p(b) = 1/8, in every gap; c is unknown."""
    (tmp_path / "items.tsv").write_text(
        "text\tanswer\trival\tkind\na ___ b\ta\tb\tgood\nb ___ a\tb\ta\tbad\n"
        "a ___\ta\t\t\nb ___\ta\tunicorn\tbad\n"
    )
    cloze = inspect_cloze({"halves": halves_model()}, tmp_path / "items.tsv", items=True)
    scores = cloze.models[0].scores
    three, one = pytest.approx(3), pytest.approx(1)
    assert [score.rival_bits for score in scores] == [three, one, None, None]
    assert [score.beats_rival for score in scores] == [True, False, None, None]
    told = "1 of 2 answers are likelier than their rivals: good 1 of 1, bad 0 of 1."
    assert told in cloze.verdict
    _, items = cloze.tables()
    assert items.rows[0][1:9] == ("good", None, "a", "a", 1, one, "b", three)


def test_lessons_are_bundled_and_long_contexts_cut(here):
    cloze = inspect_cloze({"halves": halves_model()}, "lessons", items=True)
    assert cloze.file == "lessons.tsv" and len(cloze.models[0].scores) == 20
    _, items = cloze.tables()
    assert items.rows[2][3] == "\u2026 a long day at work. Hana said hi to"
    # A file of that name is the user's.
    (here / "lessons").write_text("text\tanswer\na ___\tb\n")
    assert len(inspect_cloze({"halves": halves_model()}, "lessons").models[0].scores) == 1


def planted(ranks_near, ranks_far):
    near, far = ClozeItem("a", "b", 1, "topic"), ClozeItem("a", "b", 30)
    items = [*((near, rank) for rank in ranks_near), *((far, rank) for rank in ranks_far)]
    scores = tuple(ClozeScore(item, rank, 2.0, False) for item, rank in items)
    return Cloze("planted", (ModelCloze("it", metrics_of(scores), scores),))


def test_shares_by_distance_and_kind_have_wilson_bounds():
    cloze = planted([1, 1, 4, 40], [7, None])
    found = {each.group: each for each in cloze.models[0].figures}
    groups = [(each.by, each.group) for each in cloze.models[0].figures]
    assert groups == [("all", "all"), ("distance", "0-2"), ("distance", "21+"), ("kind", "topic")]
    near, far = found["0-2"], found["21+"]
    assert [each.share for each in near.accuracy] == [0.5, 0.75, 0.75]
    assert [each.share for each in far.accuracy] == [0, 0, 0.5]
    assert (near.median_rank, far.median_rank) == (2.5, None)
    # Wilson 1927: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) for p = 1/2, n = 4
    half = near.accuracy[0]
    z2 = 1.959964**2
    width = np.sqrt(z2 * (0.25 / 4 + z2 / 64)) / (1 + z2 / 4)
    assert (half.low, half.high) == pytest.approx((0.5 - width, 0.5 + width), abs=1e-5)


def test_distance_groups_include_both_bounds():
    items = [ClozeItem("a", "b", distance) for distance in (0, 2, 3, 5, 6, 10, 11, 20, 21, 99)]
    figures = metrics_of([ClozeScore(item, 1, 2.0, False) for item in items])
    assert [each.group for each in figures[1:]] == ["0-2", "3-5", "6-10", "11-20", "21+"]
    assert [each.items for each in figures[1:]] == [2] * 5


def test_the_verdict_says_whether_accuracy_falls_with_distance():
    assert "the first share falls from 100% to 0%" in planted([1] * 20, [30] * 20).verdict
    assert "the first share stays at 50%" in planted([1, 20], [1, 20]).verdict


@pytest.mark.parametrize(("table", "message"), [
    ("sentence\tanswer\na ___\tb\n", "no column 'text'"),
    ("text\tword\na ___\tb\n", "no column 'answer'"),
    ("text\tanswer\n", "holds no items"),
    ("text\tanswer\na b\tb\n", "line 2: no gap in the text"),
    ("text\tanswer\n___ a ___\tb\n", "line 2: 2 gaps in the text"),
    ("text\tanswer\na ___\tb c\n", "line 2: the answer 'b c' is not one word"),
    ("text\tanswer\n</s> a ___\tb\n", "line 2: the text holds </s>"),
    ("text\tanswer\trival\na ___\tb\tc d\n", "line 2: the rival 'c d' is not one word"),
    ("text\tanswer\trival\na ___\tb\tb\n", "line 2: answer and rival are the same word"),
    ("text\tanswer\trival\na ___\tb\t<s>\n", "line 2: the text holds <s>"),
    ("text\tanswer\tdistance\na ___\tb\tfar\n",
     "line 2: the distance 'far' is not a number of words"),
])  # fmt: skip
def test_invalid_cloze_table_gives_one_clear_line(tmp_path, table, message):
    (tmp_path / "items.tsv").write_text(table)
    with pytest.raises(TextError, match=message):
        read_items(tmp_path / "items.tsv")


def test_columns_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "items.tsv"
    path.write_text("id\ttext\tanswer\tcue\tdistances\n1\tthe ___\tcat\tthe\t1\n")
    with pytest.warns(RnnlmWarning, match=r"items.tsv: 1 field is not read: 'distances' \(did you"):
        assert read_items(path) == [ClozeItem("the", "cat")]


def test_what_stands_behind_the_gap_is_not_read(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text('text,answer,kind,distance\n"the cat ___, and more",sat,,\n')
    assert read_items(path) == [ClozeItem("the cat", "sat")]
