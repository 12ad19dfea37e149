"""A model on disk: it comes back equal, is replaced whole or not at all, and nothing damaged or hostile gets in."""

import dataclasses
import errno
import json
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rnnlm.errors import ModelError, OutputError, RnnlmError
from rnnlm.files import writing
from rnnlm.models import info, loading, model_folder
from rnnlm.models.manifest import HINT
from rnnlm.ngram.unigram import UnigramModel
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Block
from rnnlm.text.tokenizers import TokenizerSettings
from support.tiny_models import fit, save

LINES = ["the cat sat", "the dog sat down", "a cat <unk>"]
SETTINGS = {"model": "lstm", "embedding_size": 4, "hidden_size": 6, "layers": 1}


def make_tokenizer(lines=LINES):
    return tokenizers.train(TokenizerSettings(), [Block(list(lines), [])])


def make_unigram(k=0.5, lines=LINES):
    tokenizer = make_tokenizer(lines)
    return UnigramModel.from_counts(tokenizer.counts_V, k, tokenizer)


def make_lstm():
    import torch

    from rnnlm.neural import settings as network_settings
    from rnnlm.neural.language_model import NeuralLanguageModel
    from rnnlm.neural.network import make_network

    torch.manual_seed(1)
    tokenizer = make_tokenizer()
    return NeuralLanguageModel(make_network(network_settings.stored(SETTINGS), tokenizer), tokenizer)


def save_unigram(folder, k=0.5, step=1, lines=LINES):
    return model_folder.save(folder, make_unigram(k, lines), "unigram", {"model": "unigram", "additive_k": k}, step, {})


def save_lstm(folder):
    return model_folder.save(folder, make_lstm(), "lstm", SETTINGS, 7, {"text": ["x"]})


def edit_config(folder, change):
    """Apply `change` to the content of config.json."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_model_of_before_its_settings_were_renamed_is_the_same_model(tmp_path):
    model = fit("lstm", output_layer="class", classes=3, tied=False)
    today = save(tmp_path / "m", model, "lstm", output_layer="class", classes=3, tied=False)
    edit_config(tmp_path / "m", lambda content: content["settings"].update(output=content["settings"].pop("output_layer")))
    loaded, manifest = model_folder.load(tmp_path / "m", "cpu")
    assert (manifest.settings, manifest.fingerprint) == (today.settings, today.fingerprint)
    assert {name: array.tolist() for name, array in loaded.to_arrays().items()} == {
        name: array.tolist() for name, array in model.to_arrays().items()
    }
    assert info.describe(str(tmp_path / "m"))["settings"]["output_layer"] == "class"


def weights_file(folder):
    return next(folder.glob("weights-*.safetensors"))


def logprob(folder):
    return model_folder.load(folder, "cpu")[0].to_arrays()["logprob"]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


# ---- saved and loaded


@pytest.mark.parametrize("save, make", [(save_unigram, make_unigram), (save_lstm, make_lstm)], ids=["unigram", "lstm"])
def test_a_model_comes_back_as_it_was(tmp_path, save, make):
    saved, model = save(tmp_path / "m"), make()
    loaded, manifest = model_folder.load(tmp_path / "m", "cpu")
    assert manifest == saved
    assert loaded.fingerprint == manifest.fingerprint
    assert loaded.tokenizer.fingerprint == model.tokenizer.fingerprint
    assert (loaded.tokenizer.counts_V == model.tokenizer.counts_V).all()
    before, after = model.to_arrays(), loaded.to_arrays()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)
    ids = np.arange(6).reshape(2, 3)
    scored = [np.asarray(m.score(ids, ids, m.initial_state(2))[0]) for m in (model, loaded)]
    assert np.array_equal(*scored)


def test_the_folder_names_each_file_with_length_and_hash(tmp_path):
    manifest = save_lstm(tmp_path)
    assert set(manifest.files) == {"weights-00000007.safetensors", "vocab.txt"}
    assert names(tmp_path) == sorted([*manifest.files, "config.json"])
    for name, entry in manifest.files.items():
        assert (tmp_path / name).stat().st_size == entry.bytes
    assert model_folder.damaged_files(tmp_path, manifest) == []


def test_the_fingerprint_is_of_the_content(tmp_path):
    same, again, other = (save_unigram(tmp_path / name, k, step) for name, k, step in (("a", 0.5, 1), ("b", 0.5, 9), ("c", 0.6, 1)))
    assert same.fingerprint == again.fingerprint != other.fingerprint


def test_a_newer_model_replaces_the_older_and_its_files(tmp_path):
    save_unigram(tmp_path, 0.5, 1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "weights-of-mine.safetensors").write_text("mine")
    save_unigram(tmp_path, 2.0, 2, [*LINES, "new words"])
    assert np.array_equal(logprob(tmp_path), make_unigram(2.0, [*LINES, "new words"]).logprob_V)
    data = [name for name in names(tmp_path) if name not in ("notes.txt", "weights-of-mine.safetensors")]
    assert len(data) == 3 and "weights-00000002.safetensors" in data and "config.json" in data


def test_other_weights_of_the_same_step_get_another_name(tmp_path):
    """A file is immutable once named: who opened it goes on reading the same."""
    first = save_unigram(tmp_path, 0.5, 1)
    opened = open(weights_file(tmp_path), "rb")
    second = save_unigram(tmp_path, 2.0, 1)
    assert set(first.files) & set(second.files) == {"vocab.txt"}
    assert len(opened.read()) == first.files["weights-00000001.safetensors"].bytes
    opened.close()
    assert np.array_equal(logprob(tmp_path), make_unigram(2.0).logprob_V)


def test_results_are_added_without_touching_the_weights(tmp_path):
    manifest = save_unigram(tmp_path)
    before = weights_file(tmp_path).stat().st_mtime_ns
    model_folder.save_results(tmp_path, manifest, {"test": {"ppl_token": 3.0}}, {"seconds": 2})
    _, loaded = model_folder.load(tmp_path, "cpu")
    assert loaded.results == {"test": {"ppl_token": 3.0}} and loaded.files == manifest.files
    assert weights_file(tmp_path).stat().st_mtime_ns == before


# ---- written whole or not at all

FAILURES = {
    "replace": ("os.replace", 3),
    "fsync": ("os.fsync", 6),  # a file and its folder, three times
    "open": ("open", 3),
}


def fail_at(monkeypatch, what, number, error=errno.ENOSPC):
    """The `number`-th call of os.replace, os.fsync or open for writing fails; how many calls there were."""
    calls = []

    def failing(original):
        def call(*arguments, **more):
            if what != "open" or "w" in str(arguments[1:2]):
                calls.append(arguments)
                if len(calls) == number:
                    raise OSError(error, os.strerror(error))
            return original(*arguments, **more)

        return call

    if what == "open":
        monkeypatch.setattr(writing, "open", failing(open), raising=False)
    else:
        monkeypatch.setattr(os, what, failing(getattr(os, what)))
    return calls


@pytest.mark.parametrize("what, number", [(what, number + 1) for what, (_, count) in FAILURES.items() for number in range(count)])
def test_a_failing_write_leaves_the_old_or_the_new_model_and_no_litter(tmp_path, monkeypatch, what, number):
    save_unigram(tmp_path, 0.5, 1)
    before = names(tmp_path)
    with monkeypatch.context() as patch:
        calls = fail_at(patch, what, number)
        with pytest.raises(OutputError, match="No space left") as caught:
            save_unigram(tmp_path, 2.0, 2, [*LINES, "new words"])
    assert len(calls) >= number and str(tmp_path) in caught.value.what and "make space" in caught.value.hint
    replaced = what == "fsync" and number == 6  # the folder's, after config.json was put in place
    expected = make_unigram(2.0, [*LINES, "new words"]) if replaced else make_unigram(0.5)
    assert np.array_equal(logprob(tmp_path), expected.logprob_V)
    left = set(names(tmp_path)) - set(before)
    assert replaced or not left
    assert not list(tmp_path.glob("*.new"))


def test_the_calls_that_can_fail_are_all_tried(tmp_path, monkeypatch):
    save_unigram(tmp_path, 0.5, 1)
    for what, (_, count) in FAILURES.items():
        with monkeypatch.context() as patch:
            calls = fail_at(patch, what, 10**9)
            save_unigram(tmp_path, 2.0 + len(what), 2, [*LINES, what])
            assert len(calls) == count, what


def test_a_disk_that_fills_up_in_the_middle_of_a_file(tmp_path, monkeypatch):
    save_unigram(tmp_path, 0.5, 1)
    before = names(tmp_path)

    def filling(path, data):
        with open(path, "wb") as stream:
            stream.write(b"".join(data)[:50])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "_write_synced", filling)
    with pytest.raises(OutputError, match="No space left"):
        save_unigram(tmp_path, 2.0, 2)
    assert names(tmp_path) == before and np.array_equal(logprob(tmp_path), make_unigram(0.5).logprob_V)


def test_an_interruption_leaves_no_litter_either(tmp_path, monkeypatch):
    save_unigram(tmp_path, 0.5, 1)
    before = names(tmp_path)

    def interrupted(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_unigram(tmp_path, 2.0, 2)
    assert names(tmp_path) == before


def test_what_a_killed_writer_left_goes_with_the_next_save(tmp_path):
    save_unigram(tmp_path, 0.5, 1)
    for name in ("weights-00000002.safetensors", "weights-00000003.safetensors.new", "vocab-0a1b2c3d.txt"):
        (tmp_path / name).write_text("cut off")
    manifest = save_unigram(tmp_path, 2.0, 4)
    assert names(tmp_path) == sorted([*manifest.files, "config.json"])


def test_a_failing_write_over_a_model_we_cannot_read_deletes_nothing_of_it(tmp_path, monkeypatch):
    save_unigram(tmp_path, 0.5, 1)
    edit_config(tmp_path, lambda content: content.update(format_version=99))
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    fail_at(monkeypatch, "replace", 2)
    with pytest.raises(OutputError):
        save_unigram(tmp_path, 2.0, 2)
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


def test_files_are_synced_before_they_are_put_in_place(tmp_path, monkeypatch):
    order = []
    for what in ("fsync", "replace"):
        original = getattr(os, what)
        monkeypatch.setattr(os, what, lambda *a, what=what, original=original: (order.append(what), original(*a))[1])
    save_unigram(tmp_path)
    assert order == ["fsync", "replace", "fsync"] * 3


def test_a_reader_whose_model_is_replaced_meanwhile_gets_the_new_one(tmp_path, monkeypatch):
    save_unigram(tmp_path, 0.5, 1)
    read, times = model_folder.read_manifest, []

    def replaced_after_reading(folder):
        manifest = read(folder)
        times.append(1)
        if len(times) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(model_folder, "read_manifest", read)
                save_unigram(tmp_path, 2.0, 2)
        return manifest

    monkeypatch.setattr(model_folder, "read_manifest", replaced_after_reading)
    assert np.array_equal(logprob(tmp_path), make_unigram(2.0).logprob_V)


# ---- where a model may go


def test_an_existing_model_is_refused_unless_it_may_be_replaced(tmp_path):
    save_unigram(tmp_path)
    with pytest.raises(OutputError, match="already holds a model.*--overwrite") as caught:
        model_folder.check_output(tmp_path, overwrite=False)
    assert str(tmp_path) in caught.value.what
    model_folder.check_output(tmp_path, overwrite=True)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["thesis.tex", "README.md", "vocab.txt", "metrics.jsonl", "weights.safetensors", "config.json.bak"])
def test_a_folder_of_other_things_is_refused(tmp_path, name, overwrite):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="is not empty and holds no model") as caught:
        model_folder.check_output(tmp_path, overwrite)
    assert name in caught.value.why
    assert (tmp_path / name).read_text() == "mine"


def test_what_a_killed_first_save_left_is_no_obstacle(tmp_path):
    for name in ("weights-00000002.safetensors", "vocab.txt", "config.json.new"):
        (tmp_path / name).write_text("cut off")
    model_folder.check_output(tmp_path, overwrite=False)
    manifest = save_unigram(tmp_path)
    assert set(manifest.files) <= set(names(tmp_path))
    assert np.array_equal(logprob(tmp_path), make_unigram().logprob_V)


@pytest.mark.parametrize("where", ["file", "file/below", "broken"])
def test_a_file_in_the_way_is_refused(tmp_path, where):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="cannot write") as caught:
        model_folder.check_output(tmp_path / where, overwrite=True)
    assert str(tmp_path / where) in caught.value.what
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_an_unwritable_folder_is_noticed_before_the_work(tmp_path, monkeypatch, error):
    def refuse(*arguments, **more):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(model_folder.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError) as caught:
        model_folder.check_output(tmp_path / "m", overwrite=False)
    assert str(tmp_path / "m") in caught.value.what and os.strerror(error) in caught.value.why


@pytest.mark.parametrize("where", ["m", "new/deep/m"])
def test_looking_whether_a_model_can_be_written_leaves_nothing(tmp_path, where):
    model_folder.check_output(tmp_path / where, overwrite=False)
    assert names(tmp_path) == []
    save_unigram(tmp_path / where)
    model_folder.load(tmp_path / where, "cpu")


# ---- damaged, hostile, missing


def damage(path, change):
    data = path.read_bytes()
    path.write_bytes(change(data))


def record(folder, path):
    """Length and hash that the file at `path` has now, put right in config.json."""
    entry = {"bytes": path.stat().st_size, "sha256": writing.sha256(path)}
    edit_config(folder, lambda content: content["files"][path.name].update(entry))


def replace_weights(folder, arrays):
    """Other arrays under the same name, with length and hash in order."""
    save_file(arrays, weights_file(folder))
    record(folder, weights_file(folder))


def replace_weights_bytes(folder, data):
    weights_file(folder).write_bytes(data)
    record(folder, weights_file(folder))


class Explosive:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def reshape(arrays, name, shape):
    return {**arrays, name: np.zeros(shape, dtype=arrays[name].dtype)}


def rename_file(content, new):
    content["files"] = {new if name.startswith("weights") else name: entry for name, entry in content["files"].items()}


def outside(folder):
    """The weights, moved out of the folder."""
    path = folder.parent / "outside.safetensors"
    weights_file(folder).rename(path)
    return path


def link_weights(folder):
    path = weights_file(folder)
    path.symlink_to(outside(folder))


DAMAGES = {
    "no folder": lambda f: f.rename(f.parent / "elsewhere"),
    "empty folder": lambda f: [entry.unlink() for entry in f.iterdir()],
    "truncated weights": lambda f: damage(weights_file(f), lambda data: data[:-5]),
    "longer weights": lambda f: damage(weights_file(f), lambda data: data + b"x"),
    "empty weights": lambda f: replace_weights_bytes(f, b""),
    "weights cut, length adapted": lambda f: replace_weights_bytes(f, weights_file(f).read_bytes()[:-5]),
    "weights are noise": lambda f: replace_weights_bytes(f, bytes(range(256)) * 8),
    "weights are a pickle": lambda f: replace_weights_bytes(f, pickle.dumps(Explosive())),
    "wrong shape": lambda f: replace_weights(f, reshape(make_lstm().to_arrays(), "output.bias", (99,))),
    "wrong type": lambda f: replace_weights(f, {k: v.astype(np.float64) for k, v in make_lstm().to_arrays().items()}),
    "an array too few": lambda f: replace_weights(f, {k: v for k, v in make_lstm().to_arrays().items() if k != "output.bias"}),
    "an array too many": lambda f: replace_weights(f, {**make_lstm().to_arrays(), "more": np.zeros(3)}),
    "weights missing": lambda f: weights_file(f).unlink(),
    "weights are a folder": lambda f: (weights_file(f).unlink(), (f / "weights-00000007.safetensors").mkdir()),
    "weights are a link": link_weights,
    "vocabulary missing": lambda f: (f / "vocab.txt").unlink(),
    "vocabulary cut": lambda f: damage(f / "vocab.txt", lambda data: data[:-3]),
    "vocabulary is noise": lambda f: damage(f / "vocab.txt", lambda data: b"\xff" * len(data)),
    "vocabulary of another size": lambda f: (damage(f / "vocab.txt", lambda data: data + b"1\tmore\n"), record(f, f / "vocab.txt")),
    "a name above": lambda f: edit_config(f, lambda c: rename_file(c, f"../{outside(f).name}")),
    "an absolute name": lambda f: edit_config(f, lambda c: rename_file(c, str(outside(f)))),
    "an empty name": lambda f: edit_config(f, lambda c: rename_file(c, "")),
    "dots for a name": lambda f: edit_config(f, lambda c: rename_file(c, "..")),
    "a NUL in a name": lambda f: edit_config(f, lambda c: rename_file(c, "weights\0.safetensors")),
    "an endless name": lambda f: edit_config(f, lambda c: rename_file(c, "w" * 5000)),
    "no weights named": lambda f: edit_config(f, lambda c: c["files"].pop("weights-00000007.safetensors")),
    "no vocabulary named": lambda f: edit_config(f, lambda c: c["files"].pop("vocab.txt")),
    "newer format": lambda f: edit_config(f, lambda c: c.update(format_version=2)),
    "unknown model": lambda f: edit_config(f, lambda c: c.update(model="transformer")),
    "unknown tokenizer": lambda f: edit_config(f, lambda c: c["tokenizer"].update(tokenizer="telepathy")),
    "config not JSON": lambda f: (f / "config.json").write_text("{"),
    "config not an object": lambda f: (f / "config.json").write_text("[1]"),
    "config empty": lambda f: (f / "config.json").write_text(""),
    "config not UTF-8": lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"),
    "config of endless depth": lambda f: (f / "config.json").write_text("[" * 100_000),
    "config too large": lambda f: (f / "config.json").write_text(" " * ((16 << 20) + 1)),
    "config with a wrong type": lambda f: edit_config(f, lambda c: c.update(files=[1])),
    "config without files": lambda f: edit_config(f, lambda c: c.pop("files")),
    "config is a folder": lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
    "hidden size of a thousand million": lambda f: edit_config(f, lambda c: c["settings"].update(hidden_size=10**9)),
    "hidden size of a million": lambda f: edit_config(f, lambda c: c["settings"].update(hidden_size=10**6)),
    "layers of a thousand million": lambda f: edit_config(f, lambda c: c["settings"].update(layers=10**9)),
    "layers of a hundred": lambda f: edit_config(f, lambda c: c["settings"].update(layers=100)),
    "negative size": lambda f: edit_config(f, lambda c: c["settings"].update(hidden_size=-1)),
    "a size in words": lambda f: edit_config(f, lambda c: c["settings"].update(hidden_size="many")),
    "a size beyond integers": lambda f: edit_config(f, lambda c: c["settings"].update(hidden_size=10**40)),
    "settings that are not numbers": lambda f: edit_config(f, lambda c: c["settings"].update(forget_bias=float("nan"))),
}


def put_nan_into_weights(folder):
    from safetensors.numpy import load_file

    arrays = load_file(weights_file(folder))
    arrays["output.bias"][0] = np.nan
    replace_weights(folder, arrays)


DAMAGES["weights that are not numbers"] = put_nan_into_weights


@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_refused_with_its_name(tmp_path, monkeypatch, damaged):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my-model"
    save_lstm(folder)
    damaged(folder)
    began = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        model_folder.load(folder, "cpu")
    assert str(folder) in caught.value.what
    assert caught.value.why and "\n" not in str(caught.value)
    assert time.perf_counter() - began < 60  # neither hangs nor allocates; no measure of speed
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("damaged", ["unknown model", "vocabulary cut", "layers of a thousand million", "config not JSON", "newer format"])
def test_a_damaged_model_is_not_described_either(tmp_path, damaged):
    save_lstm(tmp_path / "m")
    DAMAGES[damaged](tmp_path / "m")
    with pytest.raises(ModelError) as caught:
        info.describe(str(tmp_path / "m"))
    assert str(tmp_path / "m") in caught.value.what


def test_a_newer_format_says_to_upgrade(tmp_path):
    save_lstm(tmp_path)
    DAMAGES["newer format"](tmp_path)
    with pytest.raises(ModelError, match="has format 2; this rnnlm reads up to 1; upgrade rnnlm"):
        model_folder.load(tmp_path, "cpu")


def test_giant_sizes_allocate_nothing(tmp_path):
    import resource

    save_lstm(tmp_path)
    DAMAGES["hidden size of a million"](tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="the settings imply"):
        model_folder.load(tmp_path, "cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def flip_a_bit(path):
    damage(path, lambda data: data[:-1] + bytes([data[-1] ^ 1]))


def test_a_flipped_bit_is_found_by_its_hash(tmp_path):
    manifest = save_lstm(tmp_path)
    path = weights_file(tmp_path)
    flip_a_bit(path)
    assert model_folder.damaged_files(tmp_path, manifest) == [path.name]
    path.unlink()
    assert model_folder.damaged_files(tmp_path, manifest) == [path.name]


@pytest.mark.parametrize("save", [save_unigram, save_lstm])
@pytest.mark.parametrize("name", ["weights-*", "vocab.txt"])
def test_a_model_that_is_held_in_memory_is_hashed_when_it_is_loaded(tmp_path, save, name):
    folder = tmp_path / "m"
    save(folder)
    (path,) = folder.glob(name)
    flip_a_bit(path) if name == "weights-*" else damage(path, lambda data: data.replace(b"cat", b"cot"))
    with pytest.raises(ModelError) as caught:
        model_folder.load(folder, "cpu")
    assert (caught.value.what, caught.value.hint) == (f"the model at {folder} is damaged", HINT)
    assert caught.value.why == f"{path.name} has changed: its SHA-256 is not the one recorded"


def test_what_is_hashed_is_what_is_used(tmp_path, monkeypatch):
    """A file that changes after it was hashed makes no difference: it is read once."""
    save_lstm(tmp_path)
    path, check = weights_file(tmp_path), model_folder.check_hash
    before = model_folder.load(tmp_path, "cpu")[0].to_arrays()

    def check_and_damage(checked, *hashes):
        check(checked, *hashes)
        if checked == path:
            path.write_bytes(b"\xff" * path.stat().st_size)

    monkeypatch.setattr(model_folder, "check_hash", check_and_damage)
    after = model_folder.load(tmp_path, "cpu")[0].to_arrays()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_files_much_larger_than_the_settings_imply_are_not_read(tmp_path, monkeypatch):
    save_lstm(tmp_path)
    with open(weights_file(tmp_path), "ab") as stream:
        stream.truncate(1 << 40)  # with a hole: it takes no space
    edit_config(tmp_path, lambda content: content["files"][weights_file(tmp_path).name].update(bytes=1 << 40))
    with pytest.raises(ModelError, match="the weights do not fit the settings: they take more than"):
        model_folder.load(tmp_path, "cpu")


def test_a_description_reads_no_weights(tmp_path):
    save_lstm(tmp_path)
    told = info.describe(str(tmp_path))
    flip_a_bit(weights_file(tmp_path))
    assert info.describe(str(tmp_path)) == told


def test_a_wrong_device_is_not_blamed_on_the_model(tmp_path):
    save_lstm(tmp_path)
    with pytest.raises(RnnlmError, match="abacus") as caught:
        model_folder.load(tmp_path, "abacus")
    assert not isinstance(caught.value, ModelError)


def test_unknown_settings_of_a_model_are_ignored_and_missing_ones_take_the_default(tmp_path):
    """So that a setting may be added to the format without a new version."""
    save_lstm(tmp_path)
    edit_config(tmp_path, lambda content: content["settings"].update(colour="blue"))
    edit_config(tmp_path, lambda content: content["settings"].pop("layers"))
    model_folder.load(tmp_path, "cpu")


# ---- found by path or name


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


def test_shipped_models_are_found_by_name(tmp_path, monkeypatch):
    from rnnlm import checkpoints

    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(checkpoints, "NAMES", ("tiny",))
    save_unigram(tmp_path / "shipped" / "tiny")
    assert loading.find("tiny") == tmp_path / "shipped" / "tiny"


def test_a_run_beside_the_shipped_models_is_none_of_them(tmp_path, monkeypatch):
    from rnnlm import checkpoints

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "shipped")
    save_unigram(tmp_path / "shipped" / "demo")
    save_unigram(tmp_path / "shipped" / "english")
    with pytest.raises(ModelError, match="there are: demo$"):
        loading.find("english")


def test_a_model_that_is_not_there_names_those_that_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_unigram(tmp_path / "checkpoints" / "mine")
    with pytest.raises(ModelError, match="no model at yours; .*there are: .*mine"):
        loading.find("yours")


@pytest.mark.parametrize("name, why", [("empty", "holds no config.json"), ("file", "it is a file"), ("w" * 5000, "no such folder")])
def test_what_is_no_model_is_said_to_be_none(tmp_path, monkeypatch, name, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=why):
        loading.find(name)


def test_load_opens_what_find_finds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = save_unigram(tmp_path / "checkpoints" / "mine")
    assert loading.load("mine").fingerprint == loading.load(tmp_path / "checkpoints" / "mine").fingerprint == saved.fingerprint


def test_describe_tells_a_model_from_its_folder(tmp_path):
    manifest = save_lstm(tmp_path)
    told = info.describe(str(tmp_path))
    model = make_lstm()
    assert told["parameters"] == sum(array.size for array in model.to_arrays().values())
    assert (told["model"], told["step"], told["fingerprint"]) == ("lstm", 7, manifest.fingerprint)
    assert told["vocabulary_size"] == model.tokenizer.size
    assert told["bytes"] == sum(entry.bytes for entry in manifest.files.values())


def test_manifest_is_plain_json_with_the_documented_keys(tmp_path):
    manifest = save_lstm(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["format_version"] == 1 and content["family"] == "neural"
    assert set(content) == {field.name for field in dataclasses.fields(manifest)}
    assert set(next(iter(content["files"].values()))) == {"role", "bytes", "sha256"}


def test_a_failing_first_save_leaves_no_empty_folder(tmp_path, monkeypatch):
    def full(path, pieces):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "_write_synced", full)
    with pytest.raises(OutputError, match="No space left"):
        save_unigram(tmp_path / "new", 2.0, 1)
    assert not (tmp_path / "new").exists()


def test_what_was_kept_for_a_model_goes_with_it_unless_its_training_goes_on(tmp_path):
    folder = tmp_path / "m"
    settings = {"model": "unigram", "additive_k": 0.5}

    def save_again(goes_on):
        model_folder.save(folder, make_unigram(0.5), "unigram", settings, 1, {}, goes_on=goes_on)
        return sorted(path.name for path in folder.iterdir() if path.name in ("training", "adapt-unigram.json", "notes.txt"))

    save_again(False)
    (folder / "training").mkdir()
    for name in ("training/state-00000001-0a1b2c3d.json", "adapt-unigram.json", "notes.txt"):
        (folder / name).write_text("{}", encoding="utf-8")
    assert save_again(True) == ["adapt-unigram.json", "notes.txt", "training"]
    assert save_again(False) == ["notes.txt"]
