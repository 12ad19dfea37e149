import json
from dataclasses import asdict

import pytest

from rnnlm.models import registry
from rnnlm.recipes import recipe as recipes


def test_all_recipes_are_listed_with_what_they_are_for_and_what_they_reach(rnnlm):
    columns, *rows = [line.split("\t") for line in rnnlm("recipes").out.splitlines()]
    assert columns == ["recipe", "model", "about", "published", "measured", "time on 2 cores", "time on a GPU"]
    assert [row[0] for row in rows] == recipes.names()
    assert all(row[1] in registry.KINDS and all(row) for row in rows)


def test_json_has_one_line_per_recipe(rnnlm):
    records = [json.loads(line) for line in rnnlm("recipes", "--json").out.splitlines()]
    assert records == [asdict(recipes.load(name)) for name in recipes.names()]


@pytest.mark.parametrize("name", recipes.names())
def test_one_recipe_is_shown_with_its_settings_figures_and_source(rnnlm, name):
    recipe = recipes.load(name)
    assert json.loads(rnnlm("recipes", name, "--json").out) == asdict(recipe)
    out = rnnlm("recipes", name).out
    table = dict(line.split("\t") for line in out.splitlines()[1:] if "\t" in line)
    assert table == {key: str(value) for key, value in recipe.settings.items()}
    assert f"published: {recipe.published}\nsource: {recipe.source}\nmeasured: {recipe.measured}\n" in out
