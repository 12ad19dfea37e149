"""What a model's folder is checked for when it is loaded."""

import numpy as np
import pytest

from rnnlm.errors import ModelError, RnnlmError
from rnnlm.lm.base import stored_model
from rnnlm.storage.files.folder import FolderFiles
from rnnlm.storage.manifest import HINT
from support.saved_models import edit_config, save_lstm, save_unigram, weights_file
from support.systems import hole


def damage(path, change):
    data = path.read_bytes()
    path.write_bytes(change(data))


def flip_a_bit(path):
    damage(path, lambda data: data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("save", [save_unigram, save_lstm])
@pytest.mark.parametrize("name", ["weights-*", "vocab.txt"])
def test_in_memory_model_is_hashed_on_loading(tmp_path, save, name):
    folder = tmp_path / "m"
    save(folder)
    (path,) = folder.glob(name)
    if name == "weights-*":
        flip_a_bit(path)
    else:
        damage(path, lambda data: data.replace(b"cat", b"cot"))
    with pytest.raises(ModelError) as caught:
        stored_model.load(folder, "cpu")
    assert (caught.value.what, caught.value.hint) == (f"the model at {folder} is damaged", HINT)
    why = f"{path.name} has changed: its SHA-256 does not match the recorded one"
    assert caught.value.why == why


def test_what_is_hashed_is_what_is_used(tmp_path, monkeypatch):
    """A file that changes after it was hashed makes no difference: it is read once."""
    save_lstm(tmp_path)
    path, check = weights_file(tmp_path), FolderFiles.check_hash
    before = stored_model.load(tmp_path, "cpu")[0].to_arrays()

    def check_and_damage(files, name, *hashes):
        check(files, name, *hashes)
        if name == path.name:
            path.write_bytes(b"\xff" * path.stat().st_size)

    monkeypatch.setattr(FolderFiles, "check_hash", check_and_damage)
    after = stored_model.load(tmp_path, "cpu")[0].to_arrays()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.system("holes")
def test_files_too_large_for_settings_are_not_read(tmp_path, monkeypatch):
    save_lstm(tmp_path)
    hole(weights_file(tmp_path), 1 << 40)
    name = weights_file(tmp_path).name
    edit_config(tmp_path, lambda content: content["files"][name].update(bytes=1 << 40))
    what = "the weights do not fit the settings: they take more than"
    with pytest.raises(ModelError, match=what):
        stored_model.load(tmp_path, "cpu")


def test_wrong_device_is_not_blamed_on_the_model(tmp_path):
    save_lstm(tmp_path)
    with pytest.raises(RnnlmError, match="abacus") as caught:
        stored_model.load(tmp_path, "abacus")
    assert not isinstance(caught.value, ModelError)


def test_unknown_settings_are_ignored_and_missing_ones_defaulted(tmp_path):
    """So that a setting may be added to the format without a new version."""
    save_lstm(tmp_path)
    edit_config(tmp_path, lambda content: content["settings"].update(colour="blue"))
    edit_config(tmp_path, lambda content: content["settings"].pop("layers"))
    stored_model.load(tmp_path, "cpu")
