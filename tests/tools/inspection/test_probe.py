"""Probes: planted labels come out, shuffled ones do not."""

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import TextError, UsageError
from rnnlm.tools.inspection import probing
from rnnlm.tools.inspection.probing import (
    _CodedLabels,
    _inspection,
    _ProbeResult,
    inspect_probe,
    read_items,
)
from support import tiny_tasks
from support.tiny_models import LINES, fit

WORDS = sorted({word for line in LINES for word in line.split()} - {"<unk>"})
TEXTS = [" ".join(words) for words in np.random.default_rng(5).choice(WORDS, (160, 5))]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Save time: fewer penalties to choose from."""
    monkeypatch.setattr(probing, "PENALTIES", (0.01, 0.001))


@pytest.fixture(scope="module")
def model():
    """Return a language model with a layer that mixes the last words, untrained."""
    made = fit("gru", min_count=1)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in made.network.body.parameters():
            parameter.uniform_(-1.5, 1.5)
    return made


def planted(path, model, layer, shuffled=False):
    """Write words, each labelled with the largest of three projections of its vector."""
    vectors_WH = rnnlm.Model(model).embed(TEXTS, words=True, layer=layer)
    projection_HK = np.random.default_rng(1).normal(size=(vectors_WH.shape[1], 3))
    scores_WK = (vectors_WH - vectors_WH.mean(axis=0)) @ projection_HK
    labels = [f"L{label}" for label in scores_WK.argmax(axis=1)]
    if shuffled:
        np.random.default_rng(2).shuffle(labels)
    label, lines = iter(labels), []
    for text in TEXTS:
        lines += [*(f"{word}\t{next(label)}\n" for word in text.split()), "\n"]
    path.write_text("".join(lines))
    return path


def test_planted_label_is_found_but_not_its_control(tmp_path, model):
    found = inspect_probe(model, planted(tmp_path / "a.txt", model, 1))
    by_layer = {(each.network, each.layer): each for each in found.probes}
    best = by_layer["trained", "layer 1"]
    assert found.best is best
    assert best.accuracy.estimate > 0.95 > by_layer["trained", "embeddings"].accuracy.high
    assert best.control_accuracy < 0.8 and best.selectivity.low > 0
    selectivity = best.accuracy.estimate - best.control_accuracy
    assert best.selectivity.estimate == pytest.approx(selectivity)
    assert found.gain.low > 0 and found.over_untrained.low > 0
    assert "is predicted best from layer 1 of" in found.verdict and "supports it" in found.verdict
    assert (found.train_items, found.test_items, found.labels) == (640, 160, 3)


def test_control_labels_are_fixed_per_word(tmp_path):
    lines = [f"w{number % 900} {'ABBB'[number % 4]}\n\n" for number in range(2700)]
    (tmp_path / "a.txt").write_text("".join(lines))
    data = read_items(str(tmp_path / "a.txt"), (), None, None, 9000, 1)
    task = _CodedLabels.of(data, seed=1)
    words = [*data.train.words, *data.test.words]
    control = [*task.control_train_N.tolist(), *task.control_test_N.tolist()]
    pairs = set(zip(words, control, strict=True))
    assert len(pairs) == len(set(words)) == 900
    # A, the rarer one, is label 1
    assert np.mean([label for _, label in pairs]) == pytest.approx(0.25, abs=0.05)


def test_label_missing_in_training_always_counts_as_missed(tmp_path):
    (tmp_path / "a.txt").write_text("the X\ncat Y\n\n" * 4)
    (tmp_path / "b.txt").write_text("the X\ncat Z\nsat X\n\n" * 30)
    data = read_items(str(tmp_path / "a.txt"), [tmp_path / "b.txt"], None, None, 9000, 1)
    task = _CodedLabels.of(data, seed=1)
    assert task.test_N.tolist() == 30 * [0, -1, 0]
    right_N = np.repeat(np.arange(30) % 3 > 0, 3)  # of a sentence all words or none
    networks = ("trained", "untrained")
    answers = [_ProbeResult((network, "embeddings"), 4, 1.0, right_N, None) for network in networks]
    found = _inspection("it", data, task, answers, 1)
    accuracy, error = found.probes[0].accuracy, np.sqrt(2 / 3 * 1 / 3 / 30)
    assert accuracy.estimate == pytest.approx(2 / 3)
    # of words it would be 0.58 of that
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.96 * error, rel=0.3)
    # "cat" is missed; "sat", which training lacks, gets the most frequent label
    assert found.by_word == pytest.approx(2 / 3)


def test_shuffled_labels_are_at_chance(tmp_path, model):
    found = inspect_probe(model, planted(tmp_path / "a.txt", model, 1, shuffled=True))
    assert all(abs(each.accuracy.estimate - found.majority) < 0.1 for each in found.probes)
    assert "is not clearly above zero" in found.verdict and "not clearly more" in found.verdict


def test_word_identity_label_is_already_in_the_embeddings(tmp_path, model):
    found = inspect_probe(model, planted(tmp_path / "a.txt", model, "input"))
    assert found.best.layer == "embeddings" and found.gain is None and found.by_word == 1
    assert found.probes[0].accuracy.estimate > 0.99


def test_probe_is_a_stationary_point_of_its_loss():
    """l2 W = mean over examples of (1[y] - softmax(W x + b)) x, and the same without l2 for the
    biases."""
    random = np.random.default_rng(6)
    x_NH = random.normal(2, 3, size=(90, 4)).astype(np.float32)
    labels_N = np.argmax(x_NH[:, :3] + random.normal(size=(90, 3)), axis=1)
    fitted = probing.fit_probe(x_NH, labels_N, np.arange(90), 3)
    standard_NH = (x_NH - x_NH.mean(axis=0)) / x_NH.std(axis=0)
    p_NK = np.exp(standard_NH @ fitted.weight_KH.T + fitted.bias_K)
    error_NK = np.eye(3)[labels_N] - p_NK / p_NK.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        error_NK.T @ standard_NH / 90, fitted.l2 * fitted.weight_KH, atol=1e-3
    )
    np.testing.assert_allclose(error_NK.mean(axis=0), 0, atol=1e-3)


def test_text_labels_are_probed_in_mean_vectors(tmp_path, model):
    lines = [f"{'yes' if 'cat' in text.split() else 'no'}\t{text}" for text in TEXTS]
    (tmp_path / "a.tsv").write_text("\n".join(["label\ttext", *lines]) + "\n")
    asked = {"level": "text", "label_column": "label", "reading": {"column": "text"}}
    found = inspect_probe(model, tmp_path / "a.tsv", **asked)
    assert (
        found.probes[0].accuracy.estimate > found.majority and found.probes[0].selectivity is None
    )
    assert found.test_items == 32 and "test texts are right" in found.verdict
    assert "selectivity" not in found.verdict


def test_a_taggers_layers_are_probed_too(tmp_path):
    lines = []
    for words, slots, *_ in tiny_tasks.requests(60, seed=2):
        lines += [*(f"{word} {slot}\n" for word, slot in zip(words, slots, strict=True)), "\n"]
    (tmp_path / "a.txt").write_text("".join(lines))
    found = inspect_probe(tiny_tasks.fit("tagging", "lstm"), tmp_path / "a.txt")
    # its features are those of layer 1
    assert [each.layer for each in found.probes] == 2 * ["embeddings", "layer 1"]
    assert found.column and found.best.accuracy.estimate > found.majority


def test_excess_words_are_sampled_by_sentence_with_note(tmp_path, model):
    path = planted(tmp_path / "a.txt", model, 1)
    data = read_items(str(path), (), None, None, 100, 1)
    assert data.drawn == {"train": 640, "test": 160}
    assert len(data.train.labels) == 100 == 5 * len(data.train.texts)
    found, again = (inspect_probe(model, path, most_items=100) for _ in range(2))
    title = found.tables()[0].title
    assert "640 words, of which a random sample of sentences was used (seed 1)" in title
    # The same seed draws the same, and all is in the JSON and in the picture.
    assert found.to_dict() == again.to_dict()
    assert found.to_dict()["probes"][0]["accuracy"]["level"] == 0.95
    labels = [each.get_text() for each in found.figure().axes[0].get_xticklabels()]
    assert labels == ["embeddings", "layer 1", "features"]


@pytest.mark.parametrize("lines, column, error, message", [
    ("the X\ncat X\n\na X\n\n" * 5, "2", UsageError, "only one label"),
    ("the X\ncat X\n\na X\n\n" * 5, "7", TextError, "column"),
    ("the X\ncat Y\n", None, UsageError, "too few sentences"),
])  # fmt: skip
def test_what_cannot_be_probed_is_one_clear_error(tmp_path, model, lines, column, error, message):
    (tmp_path / "a.txt").write_text(lines)
    with pytest.raises(error, match=message):
        inspect_probe(model, tmp_path / "a.txt", label_column=column)
