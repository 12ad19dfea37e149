"""Who was trained on a text is said when something is to be found on it."""

import pytest

from rnnlm.lm.base.loading import warn_if_trained_on
from rnnlm.storage import model_folder
from support.failures import notices_of
from support.tiny_models import fit, mixture


@pytest.fixture
def folders(tmp_path):
    """Save models: one trained on the text `a`, one on `b`, and a mixture of both. Return their
    folders by name."""
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
    (notice,) = said("b", folders)
    assert notice == (
        "other and both were trained on this very text: weights found on it "
        "flatter them; use held-out text"
    )
    (notice,) = said("a", {"one": folders["one"], "other": folders["other"]})
    assert notice == (
        "one was trained on this very text: weights found on it flatter it; use held-out text"
    )


def test_of_a_held_out_text_nothing_is_said(folders):
    assert said("c", folders) == said("a", {"other": folders["other"]}) == []
