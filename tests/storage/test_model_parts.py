"""What a combination is made of, on disk: found, checked, copied; whole or not at all."""

import itertools
import os
import shutil

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, OutputError, UsageError
from rnnlm.evaluation.soundness import audit
from rnnlm.lm.base import span_scoring, stored_model
from rnnlm.storage import manifest as model_parts, model_folder
from rnnlm.storage.files import tensors
from rnnlm.tools.mixtures.mixture import Mixture
from rnnlm.training import card
from support.damages import edited
from support.failing_files import failing
from support.saved_models import edit_config, names
from support.tiny_models import LINES, Lines, fit, save

pytestmark = pytest.mark.needs("tools/mixtures")

SETTINGS = {"model": "mixture"}


@pytest.fixture(scope="module")
def saved(place):
    for name, smoothing in (("a", "mkn"), ("b", "witten-bell")):
        settings = {"order": 2, "smoothing": smoothing}
        save(place / name, fit("ngram", **settings), "ngram", **settings)
    return place


@pytest.fixture
def parts(saved, tmp_path):
    """Return two models in one folder each."""
    return [shutil.copytree(saved / name, tmp_path / name) for name in ("a", "b")]


def mixed(folder, parts, weights=(0.5, 0.5), bundle=False):
    models = [stored_model.load(part)[0] for part in parts]
    return model_folder.save(
        folder, Mixture(models, weights), "mixture", SETTINGS, 0, {}, parts, bundle
    )


def score(folder) -> float:
    model, _ = stored_model.load(folder)
    text = Lines(LINES).encode(model.tokenizer)
    return float(span_scoring.score_spans(model, text.ids, span_scoring.whole_text(text.ids)).sum())


def test_parts_are_identified_by_relative_path_and_fingerprint(tmp_path, parts):
    manifest = mixed(tmp_path / "deep" / "mix", parts)
    assert [part.path for part in manifest.parts] == ["../../a", "../../b"]
    expected = [model_folder.read_manifest(part).fingerprint for part in parts]
    assert [part.fingerprint for part in manifest.parts] == expected
    found = [part["path"] for part in card.describe(str(tmp_path / "deep" / "mix"))["parts"]]
    assert found == ["../../a", "../../b"]


def test_a_mixture_moves_with_its_parts(tmp_path, parts, monkeypatch):
    mixed(tmp_path / "mix", parts)
    before = score(tmp_path / "mix")
    (tmp_path / "elsewhere").mkdir()
    for name in ("a", "b", "mix"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    assert score(tmp_path / "elsewhere" / "mix") == before
    monkeypatch.chdir(tmp_path / "elsewhere" / "mix")
    assert score(model_folder.Path(".")) == before


@pytest.mark.system("links")
def test_a_part_is_found_through_links(tmp_path, parts):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    mixed(tmp_path / "link" / "mix", parts)
    assert score(tmp_path / "far" / "away" / "mix") == score(tmp_path / "link" / "mix")


def test_fingerprint_covers_parts_weights_and_kind_without_places(tmp_path, parts):
    first, again = (mixed(tmp_path / place, parts) for place in ("one", "x/y"))
    bundle = mixed(tmp_path / "z", parts, bundle=True)
    assert first.fingerprint == again.fingerprint == bundle.fingerprint
    others = [
        mixed(tmp_path / "two", parts, (0.4, 0.6)),
        mixed(tmp_path / "three", parts[::-1]),
        mixed(tmp_path / "four", [parts[0]] * 2),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_missing_part_is_named_with_a_remedy(tmp_path, parts):
    mixed(tmp_path / "mix", parts)
    shutil.rmtree(parts[1])
    with pytest.raises(ModelError) as error:
        stored_model.load(tmp_path / "mix")
    assert error.value.what == f"part 2 of the combination at {tmp_path / 'mix'} is missing"
    assert error.value.why == f"there is no model at {parts[1]}"
    assert (
        "restore the model" in error.value.hint and "combine the models again" in error.value.hint
    )
    (check,) = [check for check in audit(str(tmp_path / "mix")) if check.result == "failed"]
    assert check.name == "parts" and "part 2" in check.detail
    assert len(card.describe(str(tmp_path / "mix"))["parts"]) == 2


def test_a_changed_part_is_named_with_both_fingerprints(tmp_path, parts):
    manifest = mixed(tmp_path / "mix", parts)
    now = save(parts[0], fit("unigram"), "unigram").fingerprint
    with pytest.raises(ModelError) as error:
        stored_model.load(tmp_path / "mix")
    assert error.value.what == f"part 1 of the combination at {tmp_path / 'mix'} has changed"
    assert now in error.value.why and manifest.parts[0].fingerprint in error.value.why


def test_a_damaged_part_is_found_by_the_doctor(tmp_path, parts):
    mixed(tmp_path / "mix", parts)
    healthy = list(audit(str(tmp_path / "mix")))
    assert {check.result for check in healthy} == {"ok"}
    assert {"part 1: sums", "part 2: files", "sums"} <= {check.name for check in healthy}
    weights = next(parts[1].glob("weights-*"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    found = next(check.name for check in audit(str(tmp_path / "mix")) if check.result == "failed")
    assert found == "part 2: files"


def test_mixtures_of_mixtures_are_loaded_and_bundled_whole(tmp_path, parts):
    mixed(tmp_path / "inner", parts)
    mixed(tmp_path / "outer", [tmp_path / "inner", parts[0]])
    bundle = mixed(tmp_path / "bundle", [tmp_path / "inner", parts[0]], bundle=True)
    expected = score(tmp_path / "outer")
    assert bundle.fingerprint == model_folder.read_manifest(tmp_path / "outer").fingerprint
    for name in ("inner", "outer", "a", "b"):
        shutil.rmtree(tmp_path / name)
    shutil.move(tmp_path / "bundle", tmp_path / "moved")
    assert {"part-1", "part-2", "config.json"} <= {*names(tmp_path / "moved" / "part-1")}
    assert score(tmp_path / "moved") == expected
    assert {check.result for check in audit(str(tmp_path / "moved"))} == {"ok"}


def test_a_circle_ends_in_an_error(tmp_path, parts):
    mixed(tmp_path / "one", parts)
    mixed(tmp_path / "two", [tmp_path / "one", parts[0]])
    edit_config(tmp_path / "one", lambda config: config["parts"][0].update(path="../two"))
    with pytest.raises(ModelError, match="part 1 of the combination at .*one has changed"):
        stored_model.load(tmp_path / "two")
    edit_config(tmp_path / "one", lambda config: config["parts"][0].update(path="."))
    with pytest.raises(ModelError, match="part 1 of the combination at .*one has changed"):
        stored_model.load(tmp_path / "one")


def nested(folder, model, levels, parts=2):
    """Save mixtures of `parts` times the one below, `levels` deep; return the last one's folder."""
    part = model
    for number in range(1, levels + 1):
        mixed(folder / str(number), [model, model])
        entry = {"path": os.path.relpath(part, folder / str(number))}
        entry["fingerprint"] = model_folder.read_manifest(part).fingerprint
        part = folder / str(number)
        edit_config(part, lambda config, entry=entry: config.update(parts=[entry] * parts))
        weights = {"weights": np.full(parts, 1 / parts)}
        edited("weights", lambda data, weights=weights: b"".join(tensors.chunks(weights)))(part)
    return part


def test_nesting_depth_of_models_is_limited(tmp_path, parts):
    outer = nested(tmp_path, parts[0], model_parts.DEEPEST)
    assert score(outer) < 0
    outer = nested(tmp_path, parts[0], model_parts.DEEPEST + 1)
    with pytest.raises(ModelError, match="nested too deep.*more than 4 levels deep"):
        stored_model.load(outer)
    with pytest.raises(ModelError, match="nested too deep"):
        rnnlm.mix([outer, parts[0]], output=tmp_path / "new", weights=[0.5, 0.5])


def test_parts_are_limited_in_all(tmp_path, parts):
    assert score(nested(tmp_path / "flat", parts[0], 1, parts=64)) < 0
    for levels, number in ((2, 9), (4, 10)):
        outer = nested(tmp_path / f"{number}", parts[0], levels, parts=number)
        with pytest.raises(ModelError, match="has too many parts; it has .*64 at most"):
            stored_model.load(outer)
        with pytest.raises(ModelError, match="has too many parts"):
            model_parts.part_folders(outer, model_folder.read_manifest(outer))
        failed = [check.name for check in audit(str(outer)) if check.result == "failed"]
        assert failed


def test_a_part_named_twice_is_loaded_once(tmp_path, parts, monkeypatch):
    outer = nested(tmp_path, parts[0], 3, parts=3)
    reads = []
    read_arrays = model_folder.read_arrays

    def counted(files, shapes, kind):
        reads.append(kind.name)
        return read_arrays(files, shapes, kind)

    monkeypatch.setattr(model_folder, "read_arrays", counted)
    model, _ = stored_model.load(outer)
    assert sorted(reads) == ["mixture"] * 3 + ["ngram"]
    assert len({id(part) for part in model.parts}) == 1


@pytest.mark.parametrize("where", ["parts", "files", "settings", "tokenizer"])
def test_lists_of_a_config_are_limited(tmp_path, parts, where):
    mixed(tmp_path / "mix", parts)

    def many(config):
        if where == "parts":
            config["parts"] *= 50_000
        elif where == "files":
            [entry] = list(config["files"].values())[:1]
            config["files"] |= {f"weights-{number:08d}": entry for number in range(100)}
        else:
            config[where]["adaptations"] = [None] * 100_000

    edit_config(tmp_path / "mix", many)
    with pytest.raises(ModelError, match=r"config.json lists [\d,]+ .* of 64 at most"):
        stored_model.load(tmp_path / "mix")


def test_parts_in_another_kinds_config_are_ignored(tmp_path, parts):
    entry = {"path": "../b", "fingerprint": model_folder.read_manifest(parts[1]).fingerprint}
    edit_config(parts[0], lambda config: config.update(parts=[entry]))
    assert score(parts[0]) < 0


def test_replacing_a_bundle_removes_unneeded_files(tmp_path, parts):
    mixed(tmp_path / "mix", parts, bundle=True)
    (tmp_path / "mix" / "part-1" / "mine.txt").write_text("a user's own")
    again = mixed(tmp_path / "mix", parts[::-1], (0.3, 0.7), bundle=True)
    left = [name for name in names(tmp_path / "mix") if name.startswith("part-")]
    assert sorted(part.path for part in again.parts) == sorted(set(left) - {"part-1"})
    assert names(tmp_path / "mix" / "part-1") == ["mine.txt"]
    assert {check.result for check in audit(str(tmp_path / "mix"))} == {"ok"}


def test_the_same_bundle_again_copies_nothing(tmp_path, parts):
    mixed(tmp_path / "mix", parts, bundle=True)
    weights = next((tmp_path / "mix" / "part-1").glob("weights-*"))
    before = weights.stat().st_ino
    found = [part.path for part in mixed(tmp_path / "mix", parts, (0.3, 0.7), bundle=True).parts]
    assert found == ["part-1", "part-2"]
    assert weights.stat().st_ino == before

    # Another model in its place removes the copies.
    save(tmp_path / "mix", fit("unigram"), "unigram")
    assert not [name for name in names(tmp_path / "mix") if name.startswith("part-")]


def test_bundle_can_be_mixed_in_place(tmp_path, parts):
    mixed(tmp_path / "mix", parts)
    before = score(tmp_path / "mix")
    with pytest.raises(
        UsageError, match="the combination cannot replace .*mix, which is one of its parts"
    ):
        mixed(tmp_path / "mix", [tmp_path / "mix", parts[0]])
    assert score(tmp_path / "mix") == before
    mixed(tmp_path / "mix", [tmp_path / "mix", parts[0]], (1.0, 0.0), bundle=True)
    assert score(tmp_path / "mix") == pytest.approx(before)


def test_failing_copy_leaves_the_old_mixture_without_litter(tmp_path, parts):
    mixed(tmp_path / "mix", parts, bundle=True)
    before = names(tmp_path / "mix")
    expected = score(tmp_path / "mix")
    for number in itertools.count():
        with failing(tmp_path, ("replace",), calls=range(number, number + 1)) as failed:
            try:
                mixed(tmp_path / "mix", parts[::-1], bundle=True)
            except OutputError as error:
                assert error.what == f"cannot write to {tmp_path / 'mix'}"
        if not failed:
            break
        assert (names(tmp_path / "mix"), score(tmp_path / "mix")) == (before, expected)
    assert 5 < number < 12


def test_failed_first_bundle_leaves_nothing_or_is_replaceable(tmp_path, parts, monkeypatch):
    with failing(tmp_path, ("replace",), part="part-2"), pytest.raises(OutputError):
        mixed(tmp_path / "mix", parts, bundle=True)
    assert not (tmp_path / "mix").exists()
    # killed: nobody cleans up
    monkeypatch.setattr(model_folder, "_remove_unnamed", lambda *arguments: None)
    with failing(tmp_path, ("replace",), part="part-2"), pytest.raises(OutputError):
        mixed(tmp_path / "mix", parts, bundle=True)
    assert "part-1" in names(tmp_path / "mix")
    model_folder.check_output(tmp_path / "mix", overwrite=False)


def test_a_damaged_model_is_not_copied(tmp_path, parts):
    manifest = model_folder.read_manifest(parts[0])
    with open(next(parts[0].glob("weights-*")), "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x07")
    with pytest.raises(ModelError, match="is damaged; weights-.* has changed: its SHA-256"):
        model_parts.bundled(tmp_path / "mix", parts)
    assert model_folder.file_faults(parts[0], manifest)


@pytest.mark.system("links")
def test_nothing_is_copied_through_a_link(tmp_path, parts):
    """Not even what one keeps beside a model, where the link leads to that very model."""
    (tmp_path / "mix").mkdir()
    (tmp_path / "mix" / "part-1").symlink_to(tmp_path / "a")
    shutil.copytree(parts[0], tmp_path / "tuned")
    (tmp_path / "tuned" / "adapt-unigram.json").write_text("{}")
    manifest = mixed(tmp_path / "mix", [tmp_path / "tuned", parts[1]], bundle=True)
    its = manifest.parts[0]
    assert its.path == f"part-1-{its.fingerprint}"
    assert not (tmp_path / "a" / "adapt-unigram.json").exists()
    shutil.rmtree(tmp_path / "mix" / its.path)
    (tmp_path / "mix" / its.path).symlink_to(tmp_path / "b")
    before = names(tmp_path / "b")
    with pytest.raises(OutputError, match="it is a link"):
        mixed(tmp_path / "mix", parts, bundle=True)
    assert names(tmp_path / "b") == before
