"""Word vectors: what is planted comes out, what is shuffled is at chance."""

import json

import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.tools.inspection.similarity import inspect_analogy, inspect_neighbours
from rnnlm.tools.vectors.word_vectors import WordVectors
from support import tiny_models
from support.pictures import faults_of

COUNTRIES, WIDTH = 40, 30


def planted(shuffled=False):
    """Return vectors of countries and capitals: a capital is its country plus one step that all
    share, and some noise. shuffled: no vector belongs to its word."""
    draw = np.random.default_rng(1)
    places, step = draw.standard_normal((COUNTRIES, WIDTH)), draw.standard_normal(WIDTH)
    capitals = places + step + 0.1 * draw.standard_normal((COUNTRIES, WIDTH))
    rows = np.concatenate([places, capitals, [step]])
    words = [f"{kind}{n}" for kind in ("country", "capital") for n in range(COUNTRIES)]
    if shuffled:
        rows[:-1] = rows[draw.permutation(len(rows) - 1)]
    return WordVectors((*words, "</s>"), rows.astype(np.float32), "planted vectors")


def test_neighbours_are_sorted_cosines_beside_those_of_all_pairs():
    vectors = planted()
    found = inspect_neighbours(vectors, ["country3"], count=5)
    unit = vectors.matrix_VE / np.linalg.norm(vectors.matrix_VE, axis=1, keepdims=True)
    cosines = dict(zip(vectors.words, (unit @ unit[3]).tolist(), strict=True))
    del cosines["country3"], cosines["</s>"]
    expected = sorted(cosines, key=cosines.get, reverse=True)[:5]
    assert [each.word for each in found.neighbours[0]] == expected and expected[0] == "capital3"
    for each in found.neighbours[0]:
        assert each.cosine == pytest.approx(cosines[each.word], abs=1e-6)
    assert '"country3" lies nearest to "capital3"' in found.verdict
    unit = vectors.unit_VE[:-1]
    off = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    found = inspect_neighbours(vectors, ["country1"])
    moments = (found.random_mean, found.random_deviation)
    assert moments == pytest.approx((off.mean(), off.std()), abs=0.01)


def test_analogy_excludes_its_words_and_reports_the_unfiltered():
    found = inspect_analogy(planted(), ["capital1", "country1", "country2"], count=3)
    assert found.answers[0].word == "capital2" and len(found.answers) == 3
    rows = np.array([[1, 0], [0, 1], [0.05, 1], [-1, 0]], dtype=np.float32)
    found = inspect_analogy(
        WordVectors(("king", "man", "woman", "cat"), rows), ["king", "man", "woman"]
    )
    assert [each.word for each in found.answers] == ["cat"] and found.unfiltered.word == "king"
    assert 'once the three words of the question are left out: "king" is nearer' in found.verdict


def test_planted_analogies_are_solved_shuffled_ones_by_chance():
    """A capital minus its country plus another country is the other capital."""

    def share_right(vectors):
        right = []
        for i in range(8):
            for j in range(8):
                if i != j:
                    words = [f"capital{i}", f"country{i}", f"country{j}"]
                    found = inspect_analogy(vectors, words, count=1)
                    right.append(found.answers[0].word == f"capital{j}")
        return np.mean(right)

    assert share_right(planted()) == 1.0
    assert share_right(planted(shuffled=True)) < 0.08


def test_every_inspection_has_tables_json_and_picture():
    model = tiny_models.fit("lstm")
    analogy = inspect_analogy(model, ["cat", "the", "a"], which="output")
    for inspection in (inspect_neighbours(model, ["cat", "dog"]), analogy):
        (table,) = inspection.tables()
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert "vectors of this model" in table.title
        assert json.loads(json.dumps(inspection.to_dict())) and inspection.verdict.endswith(".")
        assert inspection.figure().axes


@pytest.mark.parametrize(
    ("words", "count", "fits_a_slide"), [(1, 5, True), (3, 10, True), (3, 20, False)]
)
def test_neighbours_are_named_without_touching(words, count, fits_a_slide):
    chosen = [f"country{number}" for number in range(1, words + 1)]
    drawn = inspect_neighbours(planted(), chosen, count=count).figure()
    assert faults_of(drawn, fits_a_slide=fits_a_slide) == []
    assert drawn.get_suptitle().replace("\n", " ").endswith("of two words (planted vectors)")


@pytest.mark.parametrize(("ask", "message"), [
    (lambda: inspect_neighbours(planted(), ["Country1"]),
     "unknown word 'Country1'.*did you mean 'country1'"),
    (lambda: inspect_neighbours(planted(), []), "nothing to look up"),
    (lambda: inspect_neighbours(tiny_models.fit("ngram", order=2), ["cat"]),
     "nothing to show for .* no word vectors"),
    (lambda: inspect_analogy(planted(), ["a", "b"]), "needs three words, not 2"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(ask, message):
    with pytest.raises(UsageError, match=message):
        ask()
