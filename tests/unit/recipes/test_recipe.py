"""Every shipped recipe resolves, and trains."""

from pathlib import Path

import pytest

import rnnlm.corpora
from rnnlm.config import Budget
from rnnlm.errors import SettingsError
from rnnlm.models import model_folder, registry
from rnnlm.recipes import recipe as recipes
from rnnlm.training.request import Request, resolve_request
from rnnlm.training.run import train

# Narrower, where two steps at full width take seconds.
NARROW = {
    "mogrifier-ptb": {"hidden_size": 96, "embedding_size": 96, "mogrifier_rank": 8},
    "mos-ptb": {"layer_sizes": "96,96,62", "embedding_size": 28},
    "qrnn-ptb": {"layer_sizes": "155,155,155,40", "embedding_size": 40},
    "awd-lstm-ptb": {"layer_sizes": "115,115,40", "embedding_size": 40},
}  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "tiny.txt"
    lines = Path(rnnlm.corpora.part("english", "valid")).read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join(lines[:60]), encoding="utf-8")
    return path


def test_the_recipes_promised_are_shipped():
    issued = (
        "demo rnn lstm lstm-char lstm-sentencepiece unigram mikolov-rnn ffnn irnn gru zaremba-small zaremba-medium zaremba-large "
        "char-lstm-ptb char-cnn-lstm cpu-10m mos-ptb mogrifier-ptb qrnn qrnn-ptb"
    )
    assert set(issued.split()) <= set(recipes.names())
    assert recipes.names() == sorted(recipes.names())


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_resolves_to_valid_settings_from_itself(name):
    recipe = recipes.load(name)
    values = recipe.settings
    assert recipe.description and recipe.published and recipe.measured and recipe.cpu_time and recipe.gpu_time
    assert recipe.source or recipe.published == "none"
    found, kind, resolved = resolve_request(Request(recipe=name))
    assert (found, kind.name) == (name, values["model"])
    assert all(resolved.values[key] == value and resolved.origins[key] == f"recipe {name}" for key, value in values.items())


def test_the_demo_has_a_budget_in_steps_so_that_a_second_run_gives_the_same_figures():
    assert Budget.parse(recipes.load("demo").settings["budget"]).steps == 2000


WIDE = {"awd-lstm-char-ptb", "awd-lstm-fast", "awd-lstm-wt2", "zaremba-large", "char-lstm-ptb"}  # seconds each: the others show the same


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.soak if name in WIDE else ()) for name in recipes.names()])
def test_a_recipe_trains_on_a_tiny_text(name, text, tmp_path):
    fewer = {} if name == "unigram" else {"budget": "2steps", "device": "cpu", **NARROW.get(name, {})}
    *_, finished = train(text, recipe=name, output=tmp_path / "m", **fewer)
    assert finished.stopped == ("complete" if registry.kind_of(recipes.load(name).settings["model"]).family == "ngram" else "budget")
    model, manifest = model_folder.load(tmp_path / "m", "cpu")
    assert manifest.training["recipe"] == name and manifest.model == recipes.load(name).settings["model"]
    for result in finished.results.values():
        assert 1 < result["ppl_token"] < 10 * model.tokenizer.size


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(SettingsError, match="unknown recipe 'lstm-chr'; did you mean 'lstm-char'"):
        recipes.load("lstm-chr")
