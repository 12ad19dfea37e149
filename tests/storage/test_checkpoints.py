"""Checkpoints: the last few stay, and a damaged one gives way to the one before it."""

import json

import numpy as np
import pytest

from rnnlm.errors import ModelError, OutputError, RnnlmWarning
from rnnlm.events import TrainingState
from rnnlm.storage import model_folder, run_files
from rnnlm.storage.files import reading, writing
from rnnlm.storage.run_files import LoadedCheckpoint
from support.failing_files import failing

IDENTITY = {"hidden_size": "8", "training text": "in memory, hash aa"}
SETTINGS = {"hidden_size": 8, "learning_rate": 0.1, "clip_norm": None}


def at(step: int) -> LoadedCheckpoint:
    return LoadedCheckpoint(IDENTITY, SETTINGS, state(step))


def state(step: int) -> TrainingState:
    weight, random = np.full((3, 2), step, np.float32), np.arange(9, dtype=np.uint8)
    arrays = {"network.weight": weight, "random.cpu": random}
    return TrainingState({"step": step, "seconds": step / 3}, arrays)


@pytest.fixture
def folder(tmp_path):
    """Make a folder with checkpoints of steps 3, 6 and 9."""
    for step in (3, 6, 9):
        run_files.save_checkpoint(tmp_path, at(step), keep=3)
    return tmp_path


def steps(folder):
    paths = sorted((folder / "training").glob("state-*.json"))
    return [int(path.name.split("-")[1]) for path in paths]


def newest(folder, suffix):
    return max((folder / "training").glob(f"state-*{suffix}"))


def test_what_was_saved_comes_back(folder):
    stored = run_files.load_checkpoint(folder)
    assert (stored.identity, stored.settings) == (IDENTITY, SETTINGS)
    found = stored.state
    assert found.facts == state(9).facts
    for name, array in state(9).arrays.items():
        assert np.array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert found.arrays["network.weight"].flags.writeable


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_so_many_of_the_last_checkpoints_stay(tmp_path, keep):
    for step in range(1, 6):
        run_files.save_checkpoint(tmp_path, at(step), keep)
    assert steps(tmp_path) == [1, 2, 3, 4, 5][-keep:]
    assert len(list((tmp_path / "training").iterdir())) == 2 * keep


def test_checkpoints_of_an_abandoned_branch_are_removed(folder):
    run_files.save_checkpoint(folder, at(6), keep=3)
    assert steps(folder) == [3, 6]


def test_interrupted_saves_leftovers_are_removed_before_saving(folder):
    place = folder / "training"
    for name in (
        "state-00000012-aaaaaaaa.safetensors",
        "state-00000012-bbbbbbbb.safetensors.new",
        "state-00000012-aaaaaaaa.json.new",
    ):
        (place / name).write_bytes(b"half")
    with failing(folder, ("write",)), pytest.raises(OutputError, match="cannot write"):
        run_files.save_checkpoint(folder, at(12), keep=3)
    assert steps(folder) == [3, 6, 9] and len(list(place.iterdir())) == 6
    assert run_files.load_checkpoint(folder).state.facts["step"] == 9


def newer(folder):
    """Rewrite the newest checkpoint as a later version might."""
    path = newest(folder, ".json")
    content = {**json.loads(path.read_bytes()), "format_version": 99}
    data = json.dumps(content).encode()
    path.unlink()
    path.with_name(f"state-00000009-{writing.digest([data])[:8]}.json").write_bytes(data)


def instead(suffix, change):
    """Return a damage: the newest file with that suffix has the bytes that `change` makes of it."""

    def damage(folder):
        path = newest(folder, suffix)
        path.write_bytes(change(path.read_bytes()))

    return damage


def arrays_of_another(folder):
    oldest = min((folder / "training").glob("*.safetensors"))
    newest(folder, ".safetensors").write_bytes(oldest.read_bytes())


def a_folder(folder):
    newest(folder, ".json").unlink()
    (folder / "training" / "state-00000009-00000000.json").mkdir()


DAMAGES = {
    "a bit of the arrays": instead(".safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "arrays cut short": instead(".safetensors", lambda data: data[:-3]),
    "no arrays": lambda folder: newest(folder, ".safetensors").unlink(),
    "arrays of another checkpoint": arrays_of_another,
    "a bit of the facts": instead(".json", lambda data: data.replace(b'"step": 9', b'"step": 8')),
    "facts cut short": instead(".json", lambda data: data[:-9]),
    "no facts": instead(".json", lambda data: b""), "a folder instead": a_folder,
    "a newer format": newer,
    "facts too large": instead(".json", lambda data: b" " * (reading.MOST_SMALL_BYTES + 1)),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_falls_back_to_the_previous_one(folder, damage):
    DAMAGES[damage](folder)
    note = "is damaged; trying the one before it: state-00000009"
    with pytest.warns(RnnlmWarning, match=note) as said:
        found = run_files.load_checkpoint(folder).state
    assert found.facts == state(6).facts and len(said) == 1
    np.testing.assert_array_equal(found.arrays["network.weight"], state(6).arrays["network.weight"])


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_all_are_damaged_that_is_an_error(tmp_path, damage):
    run_files.save_checkpoint(tmp_path, at(9))
    if damage == "arrays of another checkpoint":
        pytest.skip("there is none")
    DAMAGES[damage](tmp_path)
    what = "cannot resume the run of .*all its checkpoints are missing or damaged.*`overwrite=True`"
    with pytest.raises(ModelError, match=what), pytest.warns(RnnlmWarning):
        run_files.load_checkpoint(tmp_path)


def test_there_may_be_none(tmp_path):
    assert run_files.load_checkpoint(tmp_path) is None


def test_earlier_runs_checkpoints_are_forgotten(folder):
    (folder / "training" / "owner.json").write_text("{}", encoding="utf-8")
    run_files.remove_checkpoints(folder)
    assert [path.name for path in (folder / "training").iterdir()] == ["owner.json"]
    assert run_files.load_checkpoint(folder) is None


@pytest.mark.system("links")
def test_checkpoints_behind_a_link_are_left_alone(folder, tmp_path):
    """`training` of another model leads to these checkpoints."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "training").symlink_to(folder / "training")
    with pytest.raises(OutputError, match="cannot write to .*training; it is a link"):
        run_files.save_checkpoint(other, at(12))
    run_files.remove_checkpoints(other)
    assert steps(folder) == [3, 6, 9]
    with pytest.raises(OutputError, match="cannot write to .*training; it is a link"):
        model_folder.check_output(other, overwrite=True)
