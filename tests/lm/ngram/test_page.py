"""The numbers beside the formulas of docs/ngrams.md, by the estimators and by fractions."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from reference import ngram_formulas as formulas
from support.tiny_ngrams import fit

PAGE = (Path(__file__).parents[3] / "docs" / "ngrams.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w-]+)` \|.*\| ([\d.]+), ([\d.]+) \|.*\|$", PAGE, re.MULTILINE)


class AddOne(formulas.UniformAdditive):
    k = Fraction(1)


class Weighted(formulas.Interpolated):
    def share(self, word, context):
        weight = Fraction(6, 10) if context else 1
        return weight * Fraction(self.after[context][word], self.total(context))


FORMULAS = {
    "mle": formulas.MaximumLikelihood, "additive": AddOne, "interpolated": Weighted,
    "witten-bell": formulas.WittenBell, "absolute": formulas.Absolute, "kn": formulas.KneserNey,
    "mkn": formulas.ModifiedKneserNey, "katz": formulas.Katz, "stupid": formulas.StupidBackoff,
}  # fmt: skip


def test_all_methods_with_numbers_are_on_the_page():
    assert {name for name, *_ in ROWS} == set(FORMULAS)


@pytest.mark.parametrize(("name", "ran", "jumped"), ROWS)
def test_the_numbers_of_the_page_follow_from_the_formulas(name, ran, jumped):
    the, dog, cat, ran_id, jumped_id = 2, 3, 4, 5, 6  # 1 is <unk>
    text = [[the, dog, ran_id], [the, cat, jumped_id]]
    formula = FORMULAS[name](text, 7, 2)
    model = fit(name, text, 7, additive_k=1, weights="0.4,0.6")
    for shown, word in ((ran, ran_id), (jumped, jumped_id)):
        assert float(shown) == pytest.approx(float(formula.p(word, (dog,))), rel=2e-4)
        assert float(shown) == pytest.approx(model.p(word, (dog,)), rel=2e-4)
