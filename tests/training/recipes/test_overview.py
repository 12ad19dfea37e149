"""The table of recipes follows from their [about]."""

import pytest

from rnnlm.training.recipes import recipe as overview
from rnnlm.training.recipes.recipe import MeasuredResult, Recipe, RecipeResult, load, names


def made(*, published=(), **about):
    return Recipe("x", {"model": "lstm"}, "of a test", published=published, **about)


def test_distance_is_relative_to_the_same_texts_result():
    pair = (RecipeResult("PTB valid", 80.0), RecipeResult("PTB test", 75.0))
    for value, distance in ((84.0, "+5.0%"), (79.6, "-0.5%"), (120.0, "+50%")):
        measured = MeasuredResult("PTB valid", value, minutes=30, cores=1)
        line = overview.recipe_row(made(published=pair, measured=measured))
        assert line.cells() == ["x", "of a test", "80.0", f"{value}", distance, "30 min/1"]


def test_a_test_only_result_is_converted_to_validation():
    """The ratio of the published pairs of PTB, worked out here again."""
    ratios = []
    for name in names():
        figures = {figure.on: figure.value for figure in load(name).published}
        if {"PTB valid", "PTB test"} <= figures.keys():
            ratios.append(figures["PTB valid"] / figures["PTB test"])
    ratio = sum(ratios) / len(ratios)
    assert overview.valid_over_test() == pytest.approx(ratio) and 1.03 < ratio < 1.05
    theirs, ours = (RecipeResult("PTB test", 100.0),), MeasuredResult("PTB valid", 110.0)
    recipe = made(published=theirs, measured=ours)
    share, is_estimated = overview.distance(recipe)
    assert is_estimated and share == pytest.approx(1.1 / ratio - 1)
    record, shown = overview.record(recipe), f"~{100 * share:+.1f}%"
    assert (record["distance"], record["off_by"]) == (share, shown)
    assert overview.recipe_row(recipe).distance == shown
    assert overview.record(made())["distance"] is None


def test_short_runs_have_no_distance():
    measured = MeasuredResult("PTB valid", 244.4, settings={"budget": "60m"})
    recipe = made(published=(RecipeResult("PTB valid", 60.0),), measured=measured)
    assert overview.recipe_row(recipe).distance == "-"
    assert overview.record(recipe)["off_by"] is None


@pytest.mark.parametrize(("theirs", "ours"), [
    (RecipeResult("PTB test", 1.38, "bits per character"),
     MeasuredResult("PTB valid", 1.4, "bits per character")),
    (RecipeResult("CoNLL-2003 test", 83.6, "F1"), MeasuredResult("CoNLL-2003 valid", 90.3, "F1")),
    (RecipeResult("PTB valid", 80.0), MeasuredResult("WikiText-2 valid", 80.0)),
])  # fmt: skip
def test_results_of_different_kinds_have_no_distance(theirs, ours):
    assert overview.distance(made(published=(theirs,), measured=ours)) is None
    assert overview.recipe_row(made(published=(theirs,), measured=ours)).distance == "-"


def test_what_differs_from_the_recipe_is_marked():
    assert overview.shown(None) == "-"
    for on, settings, shown in (
        ("PTB valid", {"budget": "1m"}, "80.0…"), ("WikiText-2 valid", {"layers": 1}, "80.0* WT2"),
        ("PTB valid", {"layers": 1, "budget": "1m"}, "80.0*…"),
    ):  # fmt: skip
        assert overview.shown(MeasuredResult(on, 80.0, settings=settings)) == shown
    assert overview.recipe_row(made(cpu_minutes=60)).time == "~60 min"
    part = MeasuredResult("PTB valid", 80.0, minutes=60, cores=1, settings={"budget": "60m"})
    assert overview.recipe_row(made(cpu_minutes=840, measured=part)).time == "60 min/1"
    assert overview.recipe_row(made(cpu_minutes=60, cpu_is_estimated=False)).time == "60 min"
