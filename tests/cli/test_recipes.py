import dataclasses

import pytest

from rnnlm.training.recipes import recipe as overview


def test_all_recipes_are_listed_with_purpose_and_results(rnnlm):
    columns, *rows = rnnlm("list", "recipes").rows
    assert columns == ["recipe", "purpose", "published", "ours", "off by", "time"]
    assert [tuple(row) for row in rows] == [tuple(line.cells()) for line in overview.recipe_rows()]
    assert [row[0] for row in rows] == [*overview.names()] and all(all(row) for row in rows)


def test_the_list_fits_80_columns_a_line_each(rnnlm, terminal_of):
    piped = rnnlm("list recipes")
    assert max(map(len, [*piped.out.splitlines(), *piped.err.splitlines()])) <= 80
    terminal_of(80)
    lines = rnnlm("list recipes").plain.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [*overview.names()]
    assert max(map(len, lines)) <= 80


def test_json_has_one_line_per_recipe(rnnlm):
    records = rnnlm("list", "recipes", "--json").records
    assert records == [overview.record(overview.load(name)) for name in overview.names()]


@pytest.mark.parametrize("name", overview.names())
def test_one_recipe_is_shown_with_settings_and_source(rnnlm, name):
    recipe = overview.load(name)
    record = rnnlm("list", "recipes", name, "--json").json
    assert record == overview.record(recipe)
    facts, _, table = rnnlm("list", "recipes", name).out.partition("setting\tvalue\n")
    settings = {key: str(value) for key, value in recipe.settings.items()}
    assert dict(line.split("\t") for line in table.splitlines()) == settings
    shown = dict(line.split(": ", 1) for line in facts.splitlines())
    expected = {
        "about": recipe.description, "published": record["published"], "ours": record["measured"],
        "off by": record["off_by"], "source": recipe.source or None,
        "differences": recipe.differs or None,
    }  # fmt: skip
    assert {fact: shown.get(fact) for fact in expected} == expected
    assert shown["on your text"].endswith(f"--recipe {name}")


def test_the_command_of_our_result_is_understood(rnnlm, here, models):
    """What a recipe says of its figure resolves: texts of their own, the settings in the place of
    the recipe's, the budget."""
    (here / "ptb.train.txt").symlink_to(models.text)
    (here / "ptb.valid.txt").symlink_to(models.valid)
    recipe = overview.load("awd-lstm-fast")
    told = rnnlm("list", "recipes", recipe.name).out
    assert f"measured with: {recipe.command_of_figure()}\n" in told
    settings = {"layers": 1, "layer_sizes": "none", "hidden_size": 640, "budget": "60m"}
    narrower = dataclasses.replace(recipe.measured, settings=settings)
    command = dataclasses.replace(recipe, measured=narrower).command_of_figure()
    begin = "rnnlm train ptb.train.txt --valid ptb.valid.txt --recipe awd-lstm-fast "
    assert command.startswith(begin)
    plan = rnnlm(*command.split()[1:], "--dry-run", "--json").json
    assert plan["settings"]["hidden_size"] == {"value": 640, "origin": "user"}
    assert plan["settings"]["budget"]["value"] == "60m"
