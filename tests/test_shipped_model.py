"""The model that comes with rnnlm: small, whole, as good as its card says, and there without being asked for."""

import json
import tomllib

import pytest

import rnnlm
from rnnlm import checkpoints, corpora, loading, model_folder, recipes

FOLDER = checkpoints.FOLDER / "demo"
MOST_BYTES = 4_000_000


@pytest.fixture(scope="module")
def model():
    return rnnlm.load(device="cpu")


def test_it_takes_four_megabytes_at_most():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= MOST_BYTES


def test_its_files_are_those_of_its_config():
    manifest = model_folder.read_manifest(FOLDER)
    assert model_folder.damaged_files(FOLDER, manifest) == []
    assert {path.name for path in FOLDER.iterdir()} == {"config.json", "README.md", *manifest.files}


def test_it_reaches_the_figures_of_its_card_on_the_bundled_test_text(model):
    stated = model_folder.read_manifest(FOLDER).results["test"]
    found = rnnlm.evaluate(model, corpora.part("english", "test"))
    assert found.signature == stated["signature"]
    assert found.ppl_token == pytest.approx(stated["ppl_token"], rel=1e-4)
    assert found.ppl_token_no_oov == pytest.approx(stated["ppl_token_no_oov"], rel=1e-4)
    assert f"{stated['ppl_token_no_oov']:.2f}" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_it_has_the_settings_of_the_recipe_that_its_card_names():
    manifest, recipe = model_folder.read_manifest(FOLDER), recipes.load("demo-long")
    assert manifest.training["recipe"] == "demo-long" and manifest.settings["seed"] == 1
    assert {name: manifest.settings[name] for name in recipe.settings} == recipe.settings
    made_with = (checkpoints.FOLDER / "README.md").read_text(encoding="utf-8")
    assert "rnnlm train --recipe demo-long --seed 1" in made_with and "--bits 8" in made_with
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    settings = tomllib.loads(card.split("```toml\n")[1].split("```")[0])
    assert settings["seed"] == 1 and settings["hidden_size"] == recipe.settings["hidden_size"]


def test_nothing_in_it_tells_where_it_was_made():
    text = json.dumps(json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))) + (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "/" not in "".join(model_folder.read_manifest(FOLDER).training["text"])
    assert str(checkpoints.FOLDER) not in text


def test_it_finds_recognize_speech_likelier(model):
    better, worse = rnnlm.score_sentences(model, ["it is hard to recognize speech", "it is hard to wreck a nice beach"])
    assert better.logprob_nats > worse.logprob_nats


def test_its_name_finds_it_where_there_is_no_other_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert loading.find("demo") == FOLDER
