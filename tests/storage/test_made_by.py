"""What a model's folder says of how it was made, and what does not depend on it."""

import dataclasses
import json
import platform
import sys
from pathlib import Path

import pytest

import rnnlm
from rnnlm import version
from rnnlm.cli.main import run
from rnnlm.lm.base.loading import warn_if_trained_on
from rnnlm.storage import model_folder
from rnnlm.storage.model_folder import read_manifest
from rnnlm.training import card
from rnnlm.version import made_by_command, made_now, shown_command
from support.commands import words_of
from support.failures import notices_of
from support.saved_models import edit_config, save_unigram
from support.tiny_models import fit, mixture

DATE = "2026-11-26T01:02:03Z"
NOW = {}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """Work in a folder, at a fixed time."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(version, "clock", lambda: NOW["seconds"])
    NOW["seconds"] = 1795654923.7


@pytest.mark.parametrize(("given", "told"), [
    ("train my.txt --budget 3m", "train my.txt --budget 3m"),
    ("train 'my text.txt' -o 'a;b'", "train 'my text.txt' -o 'a;b'"),
    ("train data/my.txt ./x.txt", "train data/my.txt ./x.txt"),
    ("train {work}/data/my.txt", "train data/my.txt"), ("train data/../my.txt", "train my.txt"),
    ("train ../my.txt --valid /data/secret/valid.txt", "train my.txt --valid valid.txt"),
    ("train a --valid=/data/v.txt -o/data/m -o../m", "train a --valid=v.txt -om -om"),
    ("train ~/texts/my.txt", "train my.txt"),
    ("filter x -m good=/data/m,bad=/data/n", "filter x -m good=m,bad=n"),
    ("mix /data/a,/data/b,c", "mix a,b,c"),
    ("train hf:org/set --set lr=0.5", "train hf:org/set --set lr=0.5"),
    ("rescore x -m nbest:/data/m", "rescore x -m nbest:m"),
    ("train a --dask tcp://10.0.0.1:8786", "train a --dask tcp://..."),
    ("train a --dask=tcp://10.0.0.1:8786", "train a --dask=tcp://..."),
    ("train / ..", "train '' {parent}"),
    pytest.param(r"train C:\data\x.txt -oD:\m -m kind:E:/n", "train x.txt -om -m kind:n",
                 marks=pytest.mark.system("windows")),
])  # fmt: skip
def test_commands_name_no_place_elsewhere(tmp_path, given, told):
    places = {"work": tmp_path / "work", "parent": tmp_path.name}
    assert shown_command(words_of(given.format(**places))) == f"rnnlm {told.format(**places)}"


@pytest.mark.system("links")
def test_a_link_keeps_its_name(tmp_path):
    (tmp_path / "work" / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    (tmp_path / "also-work").symlink_to(tmp_path / "work")
    for place in ("work", "also-work"):
        assert shown_command([str(tmp_path / place / "link.txt")]) == "rnnlm link.txt"


def test_versions_and_date_are_those_of_now(monkeypatch):
    import torch

    told = made_now()
    assert (told.rnnlm, told.python) == (rnnlm.__version__, platform.python_version())
    assert (told.torch, told.date, told.command) == (torch.__version__, DATE, None)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert made_now().torch is None


def test_a_command_is_named_while_it_runs():
    with made_by_command(["train", "a"]):
        with made_by_command(["mix"]):
            assert made_now().command == "rnnlm mix"
        assert made_now().command == "rnnlm train a"
    assert made_now().command is None


@pytest.mark.needs("tools/mixtures")
def test_commands_that_save_are_named(monkeypatch, capsys):
    """By `config.json`, the card and `rnnlm info`."""
    Path("my.txt").write_text("the cat sat\n" * 40)
    commands = {
        "kn": "train my.txt --model ngram --order 2 -o kn",
        "uni": "train my.txt --model unigram --tokenizer-from kn -o uni",
        "wb": "train my.txt --model ngram --order 2 --smoothing witten-bell -o wb",
        "both": "mix kn uni --weights 0.5,0.5 -o both",
        "joined": "mix kn wb --static --weights 0.5,0.5 -o joined",
        "small": "prune -m kn --threshold 0.5 -o small",
        "imported": "import kn.arpa -o imported",
    }
    for name, command in commands.items():
        if name == "imported":
            assert run(["export", "-m", "kn", "--arpa", "kn.arpa"]) == 0
        assert run(command.split()) == 0, capsys.readouterr().err
        told = read_manifest(Path(name)).made_by
        assert (told.command, told.date) == (f"rnnlm {command}", DATE)
        shown = Path(name, "README.md").read_text()
        assert f"```sh\nrnnlm {command}\n```\n\nWith {told}.\n" in shown
        assert ("made by", f"{told}: rnnlm {command}") in card.summary(name)
        assert card.describe(name)["made_by"] == dataclasses.asdict(told)


def test_fingerprints_do_not_depend_on_it():
    """The fingerprint does not depend on it, and a manifest equals one that differs in it alone; all
    other facts are the same."""
    with made_by_command(["train", "my.txt"]):
        here = save_unigram(Path("one"))
    NOW["seconds"] = 0.0
    there = save_unigram(Path("two"))
    assert here.made_by != there.made_by and there.made_by.date == "1970-01-01T00:00:00Z"
    assert here == there and here.fingerprint == there.fingerprint
    stored = [json.loads(Path(name, "config.json").read_text()) for name in ("one", "two")]
    assert [each.pop("made_by")["command"] for each in stored] == ["rnnlm train my.txt", None]
    assert stored[0].pop("hash") != stored[1].pop("hash")
    assert stored[0] == stored[1]


def test_it_may_be_missing():
    with made_by_command(["train", "my.txt"]):
        save_unigram(Path("m"))
    edit_config(Path("m"), lambda stored: stored.pop("made_by"))
    assert card.describe("m")["made_by"] is None
    assert "made by" not in dict(card.summary("m"))


@pytest.fixture
def folders(tmp_path):
    """Save models trained on the texts `a` and `b`, and their mixture. Return their folders."""
    found = {name: tmp_path / name for name in ("one", "other", "both")}
    for name, text in (("one", "a"), ("other", "b")):
        model_folder.save(found[name], fit("unigram"), "unigram", {}, 0, {"train_data": text})
    both = mixture([("unigram", {})] * 2, [0.5, 0.5])
    parts = [found["one"], found["other"]]
    model_folder.save(found["both"], both, "mixture", {}, 0, {}, parts)
    return found


def said(lines_hash, folders) -> list[str]:
    return notices_of(lambda: warn_if_trained_on(lines_hash, folders, "weights"))


def test_models_and_mixtures_trained_on_text_are_named(folders):
    assert said("c", folders) == said("a", {"other": folders["other"]}) == []  # it is held out
    (notice,) = said("b", folders)
    assert notice == (
        "other and both were trained on this very text: weights found on it "
        "flatter them; use held-out text"
    )
    (notice,) = said("a", {"one": folders["one"], "other": folders["other"]})
    assert notice == (
        "one was trained on this very text: weights found on it flatter it; use held-out text"
    )
