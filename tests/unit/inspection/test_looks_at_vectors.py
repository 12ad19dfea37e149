"""Looks at word vectors: what is planted comes out, what is shuffled is at chance, and bad input is
one clear line."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.inspection.word_tables import read_analogies, read_pairs
from rnnlm.vectors.word_vectors import WordVectors
from support import tiny_models
from support.pictures import faults_of

COUNTRIES, WIDTH = 40, 30


def planted(shuffled=False):
    """Return vectors of countries and capitals: a capital is its country plus one step that all
    share, and some noise. shuffled: no vector belongs to its word."""
    draw = np.random.default_rng(1)
    places, step = draw.standard_normal((COUNTRIES, WIDTH)), draw.standard_normal(WIDTH)
    rows = np.concatenate(
        [places, places + step + 0.1 * draw.standard_normal((COUNTRIES, WIDTH)), [step]]
    )
    words = [
        *(f"country{n}" for n in range(COUNTRIES)),
        *(f"capital{n}" for n in range(COUNTRIES)),
        "</s>",
    ]
    if shuffled:
        rows[:-1] = rows[draw.permutation(len(rows) - 1)]
    return WordVectors(tuple(words), rows.astype(np.float32), "planted vectors")


def written(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def analogies(tmp_path):
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    there = [f"country{i} capital{i} country{j} capital{j}" for i, j in pairs]
    back = [f"capital{i} country{i} capital{j} country{j}" for i, j in pairs]
    return written(
        tmp_path / "analogies.txt",
        ": to capitals",
        *there,
        ": to countries",
        *back,
        "atlantis x y z",
    )


def test_neighbours_are_sorted_cosines_without_the_word_itself():
    vectors = planted()
    found = rnnlm.inspect_neighbours(vectors, ["country3"], count=5)
    unit = vectors.matrix_VE / np.linalg.norm(vectors.matrix_VE, axis=1, keepdims=True)
    cosines = {
        word: float(unit[3] @ unit[row])
        for row, word in enumerate(vectors.words)
        if word not in ("country3", "</s>")
    }
    expected = sorted(cosines, key=cosines.get, reverse=True)[:5]
    assert [each.word for each in found.neighbours[0]] == expected and expected[0] == "capital3"
    assert [each.cosine for each in found.neighbours[0]] == pytest.approx(
        [cosines[word] for word in expected], abs=1e-6
    )
    assert '"country3" lies nearest to "capital3"' in found.verdict


def test_random_word_cosine_is_that_of_all_pairs():
    vectors = planted()
    unit = vectors.unit_VE[:-1]
    off = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    found = rnnlm.inspect_neighbours(vectors, ["country1"])
    assert (found.random_mean, found.random_deviation) == pytest.approx(
        (off.mean(), off.std()), abs=0.01
    )


def test_analogy_excludes_its_words_and_reports_the_unfiltered():
    found = rnnlm.inspect_analogy(planted(), ["capital1", "country1", "country2"], count=3)
    assert found.answers[0].word == "capital2" and len(found.answers) == 3
    near = WordVectors(
        ("king", "man", "woman", "cat"),
        np.array([[1, 0], [0, 1], [0.05, 1], [-1, 0]], dtype=np.float32),
    )
    found = rnnlm.inspect_analogy(near, ["king", "man", "woman"])
    assert [each.word for each in found.answers] == ["cat"] and found.unfiltered.word == "king"
    assert 'once the three words of the question are left out: "king" is nearer' in found.verdict


def test_planted_analogies_are_solved_shuffled_ones_by_chance(tmp_path):
    file = analogies(tmp_path)
    found = rnnlm.inspect_analogies(planted(), file)
    counts = [(each.type, each.questions, each.known) for each in found.types]
    assert counts == [("to capitals", 56, 56), ("to countries", 57, 56), ("all", 113, 112)]
    assert (
        found.types[-1].accuracy == 1.0
        and "come out; guesses would be right in 1.250%" in found.verdict
    )
    assert rnnlm.inspect_analogies(planted(shuffled=True), file).types[-1].accuracy < 0.08


def test_accuracy_equals_asking_one_analogy_after_the_other(tmp_path):
    vectors = planted()
    noisy = WordVectors(
        vectors.words,
        vectors.matrix_VE
        + np.random.default_rng(2).normal(0, 0.9, vectors.matrix_VE.shape).astype("f4"),
    )
    file = analogies(tmp_path)
    asked = [question for question in read_analogies(str(file)) if question.a in noisy.numbers]
    right = [
        rnnlm.inspect_analogy(noisy, [each.b, each.a, each.c], count=1).answers[0].word == each.d
        for each in asked
    ]
    assert rnnlm.inspect_analogies(noisy, file).types[-1].right == sum(right) and 0 < sum(
        right
    ) < len(right)


def test_similarity_is_scipys_spearman_over_known_pairs(tmp_path):
    vectors, draw = planted(), np.random.default_rng(3)
    rows = [
        (vectors.words[i], vectors.words[j], vectors.unit_VE[i] @ vectors.unit_VE[j])
        for i, j in draw.integers(0, 80, (200, 2))
    ]
    lines = [
        f"{one}-n\t{two}\t{cosine + 0.05 * draw.standard_normal():.4f}" for one, two, cosine in rows
    ]
    file = written(tmp_path / "pairs.tsv", "word1\tword2\tscore", *lines, "nowhere-n\tcapital1\t3")
    found = rnnlm.inspect_similarity(vectors, file, strip_tags=True)
    known = [(pair.score, pair.cosine) for pair in found.pairs if pair.cosine is not None]
    assert (len(found.pairs), found.known) == (201, 200)
    assert found.spearman == pytest.approx(spearmanr(*zip(*known, strict=True)).statistic, abs=1e-9)
    assert 0.9 < found.low < found.spearman < found.high < 1
    control = rnnlm.inspect_similarity(planted(shuffled=True), file, strip_tags=True)
    assert control.low < 0 < control.high and "nothing shows" in control.verdict


@pytest.mark.parametrize(("name", "lines", "columns"), [
    ("a.txt", ["sun light 4.5", "car   bus 2"], None),
    ("a.tsv", ["w\tv\tpos\tscore\tsd", "sun\tlight\tN\t4.5\t1", "car\tbus\tN\t2\t1"], None),
    ("a.csv", [",w,v,score", "0,sun,light,4.5", "1,car,bus,2"], None),
    ("a.txt", ["sun;light;4.5", "car;bus;2"], None),
    ("a.csv", ["score,w,v", "4.5,sun,light", "2,car,bus"], "w,v,score"),
    ("a.csv", ["score,w,v", "4.5,sun,light", "2,car,bus"], "2,3,1"),
    ("a.jsonl", ['{"w": "sun", "v": "light", "s": 4.5}', '{"w": "car", "v": "bus", "s": 2}'], None),
])  # fmt: skip
def test_pairs_are_read_from_tables_of_all_shapes(tmp_path, name, lines, columns):
    read = read_pairs(str(written(tmp_path / name, *lines)), columns)
    assert [(each.word1, each.word2, each.score) for each in read] == [
        ("sun", "light", 4.5),
        ("car", "bus", 2.0),
    ]


@pytest.mark.parametrize("pairs", [19, 20])
def test_too_few_known_pairs_give_no_interval(tmp_path, pairs):
    lines = [f"country{number}\tcapital{(number * 7) % 40}\t{number}" for number in range(pairs)]
    found = rnnlm.inspect_similarity(planted(), written(tmp_path / "pairs.tsv", *lines))
    assert (
        found.known == pairs
        and (found.low is None, found.high is None, "too few to tell" in found.verdict)
        == (pairs < 20,) * 3
    )
    assert found.to_dict()["low"] == found.low == found.tables()[0].rows[0][5]


def test_tags_are_stripped_and_inner_hyphens_kept(tmp_path):
    file = written(tmp_path / "a.txt", "sun-n x-ray_NN 1", "t-shirt well-known/JJ 2")
    assert [(each.word1, each.word2) for each in read_pairs(str(file), strip_tags=True)] == [
        ("sun", "x-ray"),
        ("t-shirt", "well-known"),
    ]


def test_table_analogies_take_types_from_their_column(tmp_path):
    file = written(tmp_path / "a.csv", ",type,a,b,c,d", "0,capital,Athens,Greece,Oslo,Norway")
    for columns in (None, "type,a,b,c,d", "2,3,4,5,6"):
        (question,) = read_analogies(str(file), columns)
        assert (question.kind, *question.words) == ("capital", "Athens", "Greece", "Oslo", "Norway")


def test_lowercase_vocabulary_lowercases_the_file_with_a_notice(tmp_path):
    file = written(tmp_path / "a.txt", "Country1 Capital1 Country2 Capital2")
    with pytest.warns(RnnlmWarning, match="4 words are lower-cased"):
        assert rnnlm.inspect_analogies(planted(), file).types[-1].right == 1


def test_every_inspection_has_tables_json_and_picture(tmp_path):
    model = tiny_models.fit("lstm")
    pairs = written(tmp_path / "pairs.txt", "cat dog 3", "cat mat 2", "dog sat 1", "the a 1")
    questions = written(tmp_path / "questions.txt", "cat sat dog saw", "the cat a dog")
    looks = [
        rnnlm.inspect_neighbours(model, ["cat", "dog"]),
        rnnlm.inspect_analogy(model, ["cat", "the", "a"], which="output"),
        rnnlm.inspect_similarity(model, pairs), rnnlm.inspect_analogies(model, questions),
    ]  # fmt: skip
    for look in looks:
        (table,) = look.tables()
        assert (
            all(len(row) == len(table.columns) for row in table.rows)
            and "vectors of this model" in table.title
        )
        assert json.loads(json.dumps(look.to_dict())) and look.verdict.endswith(".")
        assert look.figure().axes


@pytest.mark.parametrize(
    ("words", "count", "fits_a_slide"), [(1, 5, True), (3, 10, True), (3, 20, False)]
)
def test_neighbours_are_named_without_touching(words, count, fits_a_slide):
    chosen = [f"country{number}" for number in range(1, words + 1)]
    drawn = rnnlm.inspect_neighbours(planted(), chosen, count=count).figure()
    assert faults_of(drawn, fits_a_slide=fits_a_slide) == []
    assert drawn.get_suptitle().replace("\n", " ").endswith("of two words (planted vectors)")


def pairs_of(*lines, **settings):
    return lambda folder: rnnlm.inspect_similarity(
        planted(), written(folder / "pairs.tsv", *lines), **settings
    )


def analogies_of(name, *lines):
    return lambda folder: rnnlm.inspect_analogies(planted(), written(folder / name, *lines))


@pytest.mark.parametrize(("ask", "message"), [
    (lambda _: rnnlm.inspect_neighbours(planted(), ["Country1"]),
     "unknown word 'Country1'.*did you mean 'country1'"),
    (lambda _: rnnlm.inspect_neighbours(planted(), []), "nothing to look up"),
    (lambda _: rnnlm.inspect_neighbours(tiny_models.fit("ngram", order=2), ["cat"]),
     "nothing to show for .* no word vectors"),
    (lambda _: rnnlm.inspect_analogy(planted(), ["a", "b"]), "needs three words, not 2"),
    (pairs_of("word1\tword2\tscore", "sun\tmoon\thigh"), "which columns are the pairs"),
    (pairs_of("w\tv\ts", "sun\tmoon\t1", "car\tbus\tx"), "line 3: 'x' is not a number"),
    (pairs_of("w\tv\ts", "sun\tmoon\t1", "car"), "line 3: nothing in column 'v'"),
    (pairs_of("w\tv\ts", "sun\tmoon\t1", columns="w,v,score"), "no column 'score'"),
    (pairs_of("w\tv\ts", "sun\tmoon\t1", columns="w,v"), "names 2 columns.*3 are needed"),
    (pairs_of("w\tv\ts", "sun\tmoon\t1"), "too few pairs.*0 of 1 pairs"),
    (pairs_of(), "no pairs of words"),
    (pairs_of("w\tv\ts", *(f"country{n}\tcapital{n}\t1" for n in range(5))), "nothing to rank"),
    (lambda folder: rnnlm.inspect_similarity(planted(), folder / "absent.tsv"), "absent.tsv"),
    (analogies_of("a.txt", ": t", "a b c"), "line 2: four words are needed, not 3"),
    (analogies_of("a.txt", ": t"), "no analogies"),
    (analogies_of("a.txt", "a b c d"), "no analogy of .* is known"),
    (analogies_of("a.tsv", "a\tb", "x\ty"), "fewer than four columns"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(tmp_path, ask, message):
    with pytest.raises((UsageError, TextError), match=message):
        ask(tmp_path)


@pytest.mark.parametrize("look", [
    lambda file: rnnlm.inspect_cloze(["demo"], file),
    lambda file: rnnlm.inspect_similarity(planted(), file), rnnlm.read_vectors,
    lambda file: rnnlm.inspect_analogies(planted(), file),
])  # fmt: skip
def test_non_utf_8_file_error_advises_conversion(tmp_path, look):
    (tmp_path / "bad.txt").write_bytes(b"bad \xff\n")
    with pytest.raises(TextError, match="bad.txt, line 1, byte 5: not UTF-8") as caught:
        look(tmp_path / "bad.txt")
    assert (
        "convert it to UTF-8" in caught.value.hint and "--encoding-errors" not in caught.value.hint
    )
