"""The model that comes with rnnlm: small, whole, and as good as its card says."""

import itertools
import json
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm import checkpoints, corpora
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.lm.base import loading
from rnnlm.runs import train
from rnnlm.storage import model_folder
from rnnlm.training.recipes import recipe as recipes
from support.tiny_models import english_lines

FOLDER = checkpoints.FOLDER / "demo"
MOST_BYTES = 4_000_000


@pytest.fixture(scope="module")
def model():
    return rnnlm.load(device="cpu")


def test_it_takes_four_megabytes_at_most():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= MOST_BYTES


def test_its_files_are_those_of_its_config():
    manifest = model_folder.read_manifest(FOLDER)
    assert model_folder.file_faults(FOLDER, manifest) == []
    assert {path.name for path in FOLDER.iterdir()} == {"config.json", "README.md", *manifest.files}


@pytest.mark.soak
def test_shipped_model_reaches_the_metrics_of_its_card(model):
    stated = model_folder.read_manifest(FOLDER).results["test"]
    found = evaluate(model, corpora.part("english", "test"))
    assert found.signature == stated["signature"]
    assert found.ppl_token == pytest.approx(stated["ppl_token"], rel=1e-4)
    assert found.ppl_token_no_oov == pytest.approx(stated["ppl_token_no_oov"], rel=1e-4)
    assert f"{stated['ppl_token_no_oov']:.2f}" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_shipped_model_has_the_settings_of_its_commands():
    """The last training, which began with the weights of one by the recipe alone."""
    lines = (checkpoints.FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("rnnlm ")]
    (*recipe_alone, _, _), (*tuning,) = commands
    assert recipe_alone == ["rnnlm", "train", "--recipe", "demo-long", "--seed", "1"]
    assert "--init-from" in tuning and tuning[: len(recipe_alone)] == recipe_alone
    changed = dict(
        text.split("=") for option, text in itertools.pairwise(tuning) if option == "--set"
    )
    changed["budget"] = tuning[tuning.index("--budget") + 1]
    manifest, recipe = model_folder.read_manifest(FOLDER), recipes.load("demo-long")
    assert manifest.training["recipe"] == "demo-long" and manifest.settings["seed"] == 1
    for name, value in recipe.settings.items():
        expected = changed.get(name, value)
        found = str(manifest.settings[name])
        assert found == str(float(expected) if isinstance(value, float) else expected)
    card = tomllib.loads(
        (FOLDER / "README.md").read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    )
    assert card.keys() == {"recipe", *changed} and card["recipe"] == "demo-long"
    assert str(card["line_starts"]) == changed["line_starts"]


def test_the_program_of_its_page_writes_weights_in_8_bits(here):
    text = Path("corpora/english/test.txt")
    text.parent.mkdir(parents=True)
    text.write_text("\n".join(english_lines(200)) + "\n", encoding="utf-8")
    settings = {"model": "lstm", "hidden_size": 24, "embedding_size": 16, "device": "cpu"}
    list(train(text, output="checkpoints/demo-tuned", budget="4steps", **settings))
    page = (checkpoints.FOLDER / "README.md").read_text(encoding="utf-8")
    exec(page.split("```python\n")[1].split("```")[0], {})
    whole, small = Path("checkpoints/demo-tuned"), Path("checkpoints/demo")
    sizes = [next(each.glob("weights-*")).stat().st_size for each in (whole, small)]
    assert sizes[1] < 0.4 * sizes[0]
    # A weight is wrong by half a step at most, of which the largest one of its row is 127.
    before, after = (loading.load(each, "cpu").to_arrays() for each in (whole, small))
    for name, array in before.items():
        assert np.abs(after[name] - array).max() <= 0.6 * (np.abs(array).max() / 127)
    stored = model_folder.read_manifest(small)
    assert model_folder.file_faults(small, stored) == []
    found = evaluate(loading.load(small, "cpu"), text)
    assert stored.results["test"]["ppl_token"] == found.ppl_token
    assert f"{found.ppl_token:.2f}" in (small / "README.md").read_text(encoding="utf-8")
    assert found.ppl_token == pytest.approx(evaluate(str(whole), text).ppl_token, rel=0.02)


def test_nothing_in_it_tells_where_it_was_made():
    text = json.dumps(json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))) + (
        FOLDER / "README.md"
    ).read_text(encoding="utf-8")
    assert "/" not in "".join(model_folder.read_manifest(FOLDER).training["text"])
    assert str(checkpoints.FOLDER) not in text


@pytest.mark.parametrize("frame", ["{}", "it is hard to {}"])
def test_it_finds_recognize_speech_likelier(model, frame):
    better, worse = rnnlm.Model(model).score_sentences(
        [frame.format("recognize speech"), frame.format("wreck a nice beach")]
    )
    assert better.logprob_nats > worse.logprob_nats


def test_shipped_model_is_found_by_name_by_default(here):
    assert loading.find("demo") == FOLDER
