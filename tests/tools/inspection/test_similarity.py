"""Cosines of lines, and rank correlation with ratings, against other programs."""

import itertools

import numpy as np
import pytest

import rnnlm.corpora as corpora
from rnnlm.errors import TextError, UsageError
from rnnlm.tools.inspection.similarity import inspect_similarity, read_ratings
from rnnlm.tools.vectors.embedding import Embedder
from rnnlm.tools.vectors.word_vectors import WordVectors
from support import tiny_models
from support.pictures import faults_of

WORDS = tuple(f"w{number}" for number in range(30))
VECTORS = WordVectors(WORDS, np.random.default_rng(1).standard_normal((30, 5)).astype(np.float32))

SPELLED = {"characters": "cnn", "character_size": 4, "character_filters": "0,6"}


def cosine(first, second):
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


def test_cosines_of_lines_are_those_of_counts_of_words_and_of_states():
    model = tiny_models.fit("lstm")
    lines = ["The cat cat", "cat dog", "dog cat", "cat qqq"]
    found = inspect_similarity(model, lines)
    states = Embedder(model).vectors(lines)
    assert [pair.state for pair in found.pairs][:3] == pytest.approx(
        [cosine(states[0], states[other]) for other in (1, 2, 3)], abs=1e-6
    )
    first, _, _, same_words, *_ = found.pairs
    assert first.one_hot == pytest.approx(2 / (5**0.5 * 2**0.5))
    assert same_words.words == pytest.approx(1) and same_words.state < 0.9999
    assert faults_of(found.figure()) == []


@pytest.mark.parametrize("first, second", [
    ("qqq", "zzz"), ("qqq zzz", "cat"), ("cat qqq", "cat zzz"), ("cat qqq", "cat qqq"),
])  # fmt: skip
def test_lines_that_differ_in_unknown_words_alone_are_not_compared(first, second):
    model = tiny_models.fit("lstm")
    vectors = WordVectors(("cat",), np.ones((1, 2), np.float32))
    for known in (model, vectors):
        found = inspect_similarity(known, [first, second])
        [[*_, one_hot, words, state]] = found.tables()[0].rows
        assert (words, state) == (None, None) and one_hot is not None
        assert str(found).splitlines()[3].split()[-2:] == ["-", "-"]
        assert found.to_dict()["pairs"][0]["state"] is None
    assert faults_of(found.figure()) == []


def test_unknown_words_that_are_spelled_are_compared(tmp_path):
    tiny_models.save(tmp_path, tiny_models.fit("lstm", **SPELLED), "lstm", **SPELLED)
    [pair] = inspect_similarity(tmp_path, ["qqq", "zzz"]).pairs
    assert pair.words is None and -1 <= pair.state < 0.9999


def test_a_line_without_words_of_the_model_is_like_no_other():
    model = tiny_models.fit("lstm", remove_punctuation=True)
    [pair] = inspect_similarity(model, ["...", "the cat"]).pairs
    assert (pair.one_hot, pair.words, pair.state) == (None, None, None)


def test_lines_are_split_into_the_words_that_the_model_reads():
    glued, apart = (
        inspect_similarity("demo", [f"the house{mark}", f"the dog{mark}"]).pairs[0]
        for mark in (".", " .")
    )
    assert (glued.words, glued.one_hot) == (apart.words, apart.one_hot)
    assert glued.words < 0.999 and glued.one_hot == pytest.approx(2 / 3)


def test_correlation_with_ratings_is_that_of_scipy(tmp_path):
    rows = [(*pair, (7 * n) % 11) for n, pair in enumerate(itertools.pairwise(WORDS))]
    unit = VECTORS.unit_VE
    from scipy.stats import spearmanr  # it takes a second, in each worker

    expected = spearmanr([row[2] for row in rows], [unit[n] @ unit[n + 1] for n in range(29)])
    layouts = {
        "men.txt": ("", "{} {} {}\n"),
        "simlex.txt": ("word1\tword2\tPOS\tSimLex999\tconc\n", "{}\t{}\tN\t{}\t3.3\n"),
        "wordsim.csv": ("Word 1,Word 2,Human (mean)\n", "{},{},{}\n"),
    }
    for name, (header, layout) in layouts.items():
        lines = [layout.format(*row) for row in [*rows, ("W1", "unknown", 3)]]
        (tmp_path / name).write_text(header + "".join(lines), encoding="utf-8")
        found = inspect_similarity(VECTORS, ratings=tmp_path / name)
        assert found.spearman == pytest.approx(expected.statistic, abs=1e-6)
        assert (found.known, len(found.pairs)) == (29, 30)
        assert found.low < found.spearman < found.high and "29 of 30 pairs" in found.verdict
    assert faults_of(found.figure()) == []


READ = [("w1", "w2", 8.5), ("w3", "w4", 8), ("new york", "w5", 1)]


@pytest.mark.parametrize("name, text, columns", [
    ("wordsim.csv", "Word 1,Word 2,Human (mean)\nw1,w2,8.5\nw3,w4,8\nnew york,w5,1.0\n",
        ("Word 1", "Word 2", "Human (mean)")),
    ("comma.tsv", "word1\tword2\trating\nw1\tw2\t8,5\nw3\tw4\t8\nnew york\tw5\t1,0\n",
        ("word1", "word2", "rating")),
    ("numbered.tsv", "2\tw1\tw2\t8.5\n1\tw3\tw4\t8\n9\tnew york\tw5\t1\n", ("2", "3", "4")),
    ("relations.txt", "t\tw1\tw2\t8.5\ni\tw3\tw4\t8\ni\tnew york\tw5\t1\n", ("2", "3", "4")),
    ("semicolons.txt", "w1; w2; 8,5\nw3; w4; 8\nnew york; w5; 1\n", ("1", "2", "3")),
    ("lines.txt", """{"a": "w1", "b": "w2", "s": 8.5}\n{"a": "w3", "b": "w4", "s": 8}
        {"a": "new york", "b": "w5", "s": 1}""", ("a", "b", "s")),
    ("quoted.csv", 'score,word1,word2\n"8,5",w1,w2\n8,w3,w4\n1,new york,w5\n',
        ("word1", "word2", "score")),
])  # fmt: skip
def test_ratings_are_read_as_the_tables_that_people_have(tmp_path, name, text, columns):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_ratings(tmp_path / name) == (READ, columns)
    known = WordVectors((*WORDS, "new", "york"), np.eye(32, dtype=np.float32) + 1)
    with pytest.raises(TextError, match="2 of 3 pairs have vectors"):
        inspect_similarity(known, ratings=tmp_path / name)
    (tmp_path / name).write_text(text.replace("new york", "w7"), encoding="utf-8")
    verdict = inspect_similarity(VECTORS, ratings=tmp_path / name).verdict
    assert f"columns {', '.join(columns)}" in verdict


def test_bundled_ratings_are_of_words_of_the_corpus_that_the_shipped_model_ranks():
    pairs = read_ratings(corpora.list_named("ratings"))[0]
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(pairs) >= 200
    assert {0 < rating < 10 for *_, rating in pairs} == {True}
    found = inspect_similarity("demo", ratings="ratings")
    assert found.known == len(pairs) and found.low > 0.2


@pytest.mark.parametrize("text, message", [
    ("", "too few different pairs"), ("w1 w2 3\nw3 w4 3\nw5 w6 3\n", "too few different pairs"),
    ("w1 w2 3\nw3 w4\n", "line 2: no rating"), ("a b nan\nc d 1\n", "line 1: no rating"),
    ("w1 w2\nw3 w4\n", "which column holds the words"),
    ("w1,w2,8,5\nw3,w4,8\n", "line 2: no rating"), ("w1,w2,8\nw3,w4,8,5\n", "more cells"),
])  # fmt: skip
def test_ratings_that_rank_nothing_are_an_error(tmp_path, text, message):
    (tmp_path / "rated.txt").write_text(text, encoding="utf-8")
    with pytest.raises(TextError, match=message):
        inspect_similarity(VECTORS, ratings=tmp_path / "rated.txt")


def test_one_line_is_not_compared():
    with pytest.raises(UsageError, match="two lines at least"):
        inspect_similarity(VECTORS, ["w1"])
