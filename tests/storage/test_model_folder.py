"""A model on disk: it comes back equal, and is replaced whole or not at all."""

import dataclasses
import json

import numpy as np
import pytest

from rnnlm.errors import ModelError, OutputError
from rnnlm.lm.base import loading, stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.manifest import write_manifest
from rnnlm.training import card
from support.failing_files import Watch, failing
from support.saved_models import (
    LINES,
    edit_config,
    logprob,
    make_lstm,
    make_unigram,
    names,
    save_lstm,
    save_unigram,
    weights_file,
)
from support.tiny_models import fit, save


def test_folder_manifest_and_description_agree(tmp_path):
    manifest = save_lstm(tmp_path)
    assert set(manifest.files) == {"weights-00000007.safetensors", "vocab.txt"}
    assert names(tmp_path) == sorted([*manifest.files, "config.json"])
    for name, entry in manifest.files.items():
        assert (tmp_path / name).stat().st_size == entry.bytes
    assert model_folder.file_faults(tmp_path, manifest) == []
    told = card.describe(str(tmp_path))
    model = make_lstm()
    assert told["parameters"] == sum(array.size for array in model.to_arrays().values())
    assert (told["model"], told["step"], told["fingerprint"]) == ("lstm", 7, manifest.fingerprint)
    assert told["vocabulary_size"] == model.tokenizer.size
    assert told["bytes"] == sum(entry.bytes for entry in manifest.files.values())

    # config.json is plain JSON with the documented keys.
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["format_version"] == 1 and content["family"] == "neural"
    assert set(content) == {"hash", *(field.name for field in dataclasses.fields(manifest))}
    assert set(next(iter(content["files"].values()))) == {"role", "bytes", "sha256"}


def test_the_fingerprint_is_of_the_content(tmp_path):
    same, again, other = (
        save_unigram(tmp_path / name, k, step)
        for name, k, step in (("a", 0.5, 1), ("b", 0.5, 9), ("c", 0.6, 1))
    )
    assert same.fingerprint == again.fingerprint != other.fingerprint


def test_newer_model_replaces_the_older_and_its_files(tmp_path):
    save_unigram(tmp_path, 0.5, 1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "weights-of-mine.safetensors").write_text("mine")
    save_unigram(tmp_path, 2.0, 2, [*LINES, "new words"])
    assert np.array_equal(logprob(tmp_path), make_unigram(2.0, [*LINES, "new words"]).logprob_V)
    data = [
        name for name in names(tmp_path) if name not in ("notes.txt", "weights-of-mine.safetensors")
    ]
    assert len(data) == 3 and "weights-00000002.safetensors" in data and "config.json" in data


def test_different_weights_of_one_step_get_different_names(tmp_path):
    """A file is immutable once named: who opened it goes on reading the same."""
    first = save_unigram(tmp_path, 0.5, 1)
    opened = open(weights_file(tmp_path), "rb")  # noqa: SIM115
    second = save_unigram(tmp_path, 2.0, 1)
    assert set(first.files) & set(second.files) == {"vocab.txt"}
    assert len(opened.read()) == first.files["weights-00000001.safetensors"].bytes
    opened.close()
    assert np.array_equal(logprob(tmp_path), make_unigram(2.0).logprob_V)


def test_results_are_added_without_touching_the_weights(tmp_path):
    manifest = save_unigram(tmp_path)
    before = weights_file(tmp_path).stat().st_mtime_ns
    model_folder.save_results(tmp_path, manifest, {"test": {"ppl_token": 3.0}}, {"seconds": 2})
    _, loaded = stored_model.load(tmp_path, "cpu")
    assert loaded.results == {"test": {"ppl_token": 3.0}} and loaded.files == manifest.files
    assert weights_file(tmp_path).stat().st_mtime_ns == before

    # What killed writers left goes.
    left = [f"{name}.0123456789abcdef.new" for name in ("config.json", "README.md")]
    for name in [*left, "notes.new"]:
        (tmp_path / name).write_text("half")
    model_folder.save_results(tmp_path, manifest, {}, {})
    assert not {*left} & {*names(tmp_path)}
    assert (tmp_path / "notes.new").exists()  # a person's


# fsync: a file and its folder, three times
@pytest.mark.parametrize("kind, calls", [("open", 3), ("fsync", 6), ("replace", 3)])
def test_failing_write_leaves_a_complete_model_without_litter(tmp_path, kind, calls):
    for at in range(calls):
        folder = tmp_path / str(at)
        save_unigram(folder, 0.5, 1)
        before = names(folder)
        with (
            failing(folder, (kind,), calls=range(at, at + 1)),
            pytest.raises(OutputError, match="No space left") as caught,
        ):
            save_unigram(folder, 2.0, 2, [*LINES, "new words"])
        assert str(folder) in caught.value.what and "free some space" in caught.value.hint
        replaced = (kind, at) == ("fsync", 5)  # the folder's, after config.json was put in place
        expected = make_unigram(2.0, [*LINES, "new words"]) if replaced else make_unigram(0.5)
        assert np.array_equal(logprob(folder), expected.logprob_V)
        assert not list(folder.glob("*.new"))
        assert replaced or names(folder) == before
    with failing(folder, (kind,), calls=range(calls, 99)):  # no call is left to try
        save_unigram(folder, 3.0, 3, [*LINES, "new words again"])


def test_killed_writers_leftovers_are_removed_by_next_save(tmp_path):
    save_unigram(tmp_path, 0.5, 1)
    for name in (
        "weights-00000002.safetensors", f"weights-00000003.safetensors.{'3' * 16}.new",
        "vocab-0a1b2c3d.txt", f"config.json.{'0' * 16}.new", f"README.md.{'1' * 16}.new",
        f"adapt-unigram.json.{'2' * 16}.new",
    ):  # fmt: skip
        (tmp_path / name).write_text("cut off")
    manifest = save_unigram(tmp_path, 2.0, 4)
    assert names(tmp_path) == sorted([*manifest.files, "config.json"])


def test_failing_write_deletes_nothing_of_an_unreadable_model(tmp_path):
    save_unigram(tmp_path, 0.5, 1)
    edit_config(tmp_path, lambda content: content.update(format_version=99))
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with failing(tmp_path, ("replace",), calls=range(1, 2)), pytest.raises(OutputError):
        save_unigram(tmp_path, 2.0, 2)
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


def test_files_are_synced_before_being_moved_into_place(tmp_path):
    order = []
    with Watch(tmp_path, lambda kind, name, is_after: is_after or order.append(kind)):
        save_unigram(tmp_path)
    order = [kind for kind in order if kind in ("fsync", "replace")]
    # Two files, each after the list that names it; config.json.
    assert order == ["fsync", "replace", "fsync"] * 5


def test_reader_gets_the_new_model_when_replaced_meanwhile(tmp_path, monkeypatch):
    save_unigram(tmp_path, 0.5, 1)
    read, times = model_folder.read_manifest, []

    def replaced_after_reading(folder):
        manifest = read(folder)
        times.append(1)
        if len(times) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(stored_model, "read_manifest", read)
                save_unigram(tmp_path, 2.0, 2)
        return manifest

    monkeypatch.setattr(stored_model, "read_manifest", replaced_after_reading)
    assert np.array_equal(logprob(tmp_path), make_unigram(2.0).logprob_V)


def test_existing_model_is_refused_unless_overwriting(tmp_path):
    save_unigram(tmp_path)
    with pytest.raises(OutputError, match="already holds a model.*`overwrite=True`") as caught:
        model_folder.check_output(tmp_path, overwrite=False)
    assert str(tmp_path) in caught.value.what
    model_folder.check_output(tmp_path, overwrite=True)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", [
    "thesis.tex", "README.md", "vocab.txt", "metrics.jsonl", "weights.safetensors",
    "config.json.bak",
])  # fmt: skip
def test_a_folder_of_other_things_is_refused(tmp_path, name, overwrite):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="is not empty and holds no model") as caught:
        model_folder.check_output(tmp_path, overwrite)
    assert name in caught.value.why
    assert (tmp_path / name).read_text() == "mine"


def test_leftovers_of_a_killed_first_save_are_harmless(tmp_path):
    for name in ("weights-00000002.safetensors", "vocab.txt", f"config.json.{'0' * 16}.new"):
        (tmp_path / name).write_text("cut off")
    model_folder.check_output(tmp_path, overwrite=False)
    manifest = save_unigram(tmp_path)
    assert set(manifest.files) <= set(names(tmp_path))
    assert np.array_equal(logprob(tmp_path), make_unigram().logprob_V)


@pytest.mark.parametrize("where", ["m", "new/deep/m"])
def test_output_check_leaves_nothing_behind(tmp_path, where):
    model_folder.check_output(tmp_path / where, overwrite=False)
    assert names(tmp_path) == []
    save_unigram(tmp_path / where)
    stored_model.load(tmp_path / where, "cpu")


def test_companion_files_are_removed_unless_training_continues(tmp_path):
    folder = tmp_path / "m"
    settings = {"model": "unigram", "additive_k": 0.5}

    def save_again(continues_run):
        model_folder.save(
            folder, make_unigram(0.5), "unigram", settings, 1, {}, continues_run=continues_run
        )
        companions = {"training", "adapt-unigram.json", "notes.txt"}
        return sorted(companions & {path.name for path in folder.iterdir()})

    save_again(False)
    (folder / "training").mkdir()
    for name in ("training/state-00000001-0a1b2c3d.json", "adapt-unigram.json", "notes.txt"):
        (folder / name).write_text("{}", encoding="utf-8")
    assert save_again(True) == ["adapt-unigram.json", "notes.txt", "training"]
    assert save_again(False) == ["notes.txt"]


@pytest.mark.system("links")
def test_links_to_files_are_replaced(tmp_path):
    """Also one that leads to the same content: a model is made of plain files."""
    manifest = save_unigram(tmp_path / "m", 0.5, 1)
    for name in manifest.files:
        (tmp_path / name).write_bytes((tmp_path / "m" / name).read_bytes())
        (tmp_path / "m" / name).unlink()
        (tmp_path / "m" / name).symlink_to(tmp_path / name)
    again = save_unigram(tmp_path / "m", 0.5, 1)
    assert again.files == manifest.files
    stored_model.load(tmp_path / "m", "cpu")


def test_all_files_of_a_replaced_model_go(tmp_path):
    """By its own list: files of roles that the next kind of model does not know, and its log."""
    manifest = save_unigram(tmp_path, 0.5, 1)
    entry = manifest.files["vocab.txt"]
    for name in ("pairs.json", "target-vocab.txt"):
        (tmp_path / name).write_bytes((tmp_path / "vocab.txt").read_bytes())
        manifest.files[name] = dataclasses.replace(entry, role=name)
    write_manifest(tmp_path, manifest)
    (tmp_path / "metrics.jsonl").write_text('{"event": "started"}\n')
    (tmp_path / "target-labels.json").write_text("mine")
    again = save_unigram(tmp_path, 2.0, 1)
    assert names(tmp_path) == sorted([*again.files, "config.json", "target-labels.json"])
    (tmp_path / "metrics.jsonl").write_text('{"mine": 1}\n')
    (tmp_path / "pairs.json").write_text("mine")
    save_unigram(tmp_path, 0.5, 1)
    assert {"metrics.jsonl", "pairs.json"} <= set(names(tmp_path))


@pytest.mark.parametrize(("part", "change"), [
    ("settings", {"activation": "relu"}), ("tokenizer", {"lowercase": True}),
    ("tokenizer", {"split_punctuation": True}), ("hash", None),
], ids=["activation", "lowercase", "split_punctuation", "no hash"])  # fmt: skip
def test_a_changed_setting_is_noticed(tmp_path, part, change):
    save(tmp_path, fit("rnn"), "rnn")
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    if part == "hash":
        del content["hash"]
    else:
        content[part].update(change)
    path.write_text(json.dumps(content))
    for read in (stored_model.load, card.describe, loading.load_tokenizer):
        with pytest.raises(ModelError, match="is damaged; config.json: it was changed"):
            read(tmp_path)
