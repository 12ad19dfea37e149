"""Models are found by path and by name."""

from pathlib import Path

import pytest

from rnnlm.errors import ModelError
from rnnlm.lm.base import loading
from support.saved_models import save_unigram


def refuse(name, what, look=loading.find):
    with pytest.raises(ModelError, match=what):
        look(name)


def test_models_are_found_by_path_and_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_unigram(tmp_path / "checkpoints" / "mine")
    save_unigram(tmp_path / "here")
    assert loading.find("mine") == Path("checkpoints/mine")
    assert loading.find("checkpoints/mine") == Path("checkpoints/mine")
    assert loading.find("here") == Path("here")
    assert loading.find(str(tmp_path / "here")) == tmp_path / "here"
    save_unigram(tmp_path / "mine")
    assert loading.find("mine") == Path("mine")  # a path comes first


@pytest.mark.needs("tools/mixtures")
def test_a_text_stands_for_its_model(here):
    save_unigram(here / "checkpoints" / "my-unigram")
    (here / "my").mkdir()  # no model
    (here / "checkpoints" / "my-notes").mkdir()
    assert loading.find("my") == Path("checkpoints/my-unigram")
    assert loading.base_folder("my+unigram") == Path("checkpoints/my-unigram")
    for name in ("m", "my-", "my-uni", "checkpoints/my"):
        refuse(name, f"no model (at|named) .*{name}")
    save_unigram(here / "checkpoints" / "my-gru")
    refuse("my", "my is ambiguous; models with that prefix: my-gru, my-unigram")
    save_unigram(here / "checkpoints" / "my")
    assert loading.find("my") == Path("checkpoints/my")


def test_run_beside_shipped_models_is_not_shipped(tmp_path, monkeypatch, shipped):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = shipped("shipped", "demo")
    save_unigram(folder / "demo")
    save_unigram(folder / "english")
    assert loading.find("demo") == folder / "demo"
    refuse("english", "available models: demo$")


@pytest.mark.needs("tools/mixtures")
def test_missing_model_error_lists_the_available_ones(here):
    save_unigram(here / "checkpoints" / "mine")
    refuse("yours", "no model named 'yours'; .*available models: .*mine")
    refuse("./checkpoints", "holds no config.json; name one of the models in it: checkpoints/mine")
    what = "no model named 'mine\\+cach'; there is no adaptation 'cach'; did you mean 'cache'"
    refuse("mine+cach", what, loading.load)
    # as `rnnlm export` looks for its model
    what = "'mine\\+cache'; only eval, score, .* support adaptation 'cache'; use mine alone"
    refuse("mine+cache", what)


@pytest.mark.parametrize("name, why", [
    ("empty", "holds no config.json"), ("file", "it is a file"),
    ("w" * 5000, "no model named 'www"),
    ("no/where", "no model at no/where; there is no such folder"),
])  # fmt: skip
def test_non_model_is_reported_as_such(here, name, why):
    (here / "empty").mkdir()
    (here / "file").touch()
    refuse(name, why)


def test_the_shortest_name_is_one_that_is_found(here):
    assert loading.short_name(loading.SHIPPED) == "demo"
    folder = Path("checkpoints/mine")
    save_unigram(folder)
    assert loading.short_name(folder) == "mine"
    save_unigram(Path("elsewhere/mine"))
    assert loading.short_name(Path("elsewhere/mine")) == "elsewhere/mine"
    save_unigram(Path("mine"))  # a path comes first
    assert loading.short_name(folder) == "checkpoints/mine"
    assert loading.short_name(Path("mine")) == "mine"


def test_folders_are_named_by_shortest_unique_path_end():
    assert loading.distinct_names(["runs/a", "b+cache", "c/"]) == ["a", "b+cache", "c"]
    assert loading.distinct_names(["runs/x/a", "/home/y/a", "b"]) == ["x/a", "y/a", "b"]
    assert loading.distinct_names(["a", "a"]) == ["a (1)", "a (2)"]
    assert loading.distinct_names(["x/a", "y/b"], ["x/1", "y/2"]) == ["x/1", "y/2"]
