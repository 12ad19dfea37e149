import json

import pytest

from rnnlm import recipes, registry

ISSUED = ["demo", "gru", "lstm", "lstm-char", "lstm-sentencepiece", "ngram-3", "ngram-5", "ngram-char", "rnn", "unigram"]


def test_all_recipes_are_listed_with_what_they_are_for(rnnlm):
    columns, *rows = [line.split("\t") for line in rnnlm("recipes").out.splitlines()]
    assert columns == ["recipe", "model", "about"]
    assert [row[0] for row in rows] == ISSUED
    assert all(row[1] in registry.KINDS and row[2] for row in rows)


def test_json_has_one_line_per_recipe(rnnlm):
    records = [json.loads(line) for line in rnnlm("recipes", "--json").out.splitlines()]
    assert [record["recipe"] for record in records] == ISSUED


@pytest.mark.parametrize("name", ISSUED)
def test_the_settings_of_one_recipe_are_shown(rnnlm, name):
    shown = json.loads(rnnlm("recipes", name, "--json").out)
    assert shown == recipes.load(name)[1]
    table = dict(line.split("\t") for line in rnnlm("recipes", name).out.splitlines()[1:])
    assert table == {key: str(value) for key, value in shown.items()}


def test_an_unknown_recipe_is_wrong_usage_with_the_nearest_suggested(rnnlm):
    ended = rnnlm("recipes", "gruu")
    assert (ended.code, ended.out) == (2, "")
    assert ended.errors == ["error: unknown recipe 'gruu'", "  try: did you mean 'gru'?"]
