"""Fitting models of every task: in parts as at once, on random and on odd data."""

import math
import random
import warnings

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmWarning, SettingsError
from rnnlm.events import Validated, never
from rnnlm.tasks.labelling.data import MULTI, encode_examples
from rnnlm.tasks.labelling.evaluation import evaluation
from rnnlm.tasks.labelling.fitting import make_trainer
from rnnlm.tasks.labelling.model import LabelSearch, predict
from rnnlm.tasks.seq2seq.decoding import translate
from support import tiny_pairs
from support.tiny_tasks import TRAIN, VALID, data_of, fit, labelled, run, settings_of


def trainer_of(task, name, rows=TRAIN, valid=VALID, both=False, form="plain", **settings):
    if task == "seq2seq":
        return tiny_pairs.trainer_of(name, **settings)
    resolved = settings_of(task, name, **settings)
    text = labelled(rows, task, both)
    data = data_of(resolved, text, valid and labelled(valid, task, both), form)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return make_trainer(resolved, data)


@pytest.mark.parametrize("task, name, settings", [
    ("tagging", "lstm", {"output_layer": "crf", "both": True, "characters": "lstm"}),
    ("classification", "gru", {"form": MULTI}), ("seq2seq", "gru", {"input_feeding": True}),
    ("seq2seq", "gru", {"attention": None, "label_smoothing": 0.0}),
], ids=str)  # fmt: skip
def test_gradients_of_batch_parts_give_the_full_step(task, name, settings):
    own = {"optimizer": "sgd", "learning_rate": 0.5, "budget": "2steps", "batch_rows": 8}
    own |= {"dropout_input": 0, "dropout_output": 0, **settings}
    found = []
    for parts in (1, 3):
        *_, fitted = trainer_of(task, name, accumulation=parts, **own).train(never)
        found.append(fitted.model.to_arrays())
    for key, array in found[0].items():
        np.testing.assert_allclose(found[1][key], array, atol=2e-6, err_msg=key)


@pytest.mark.parametrize(
    "task, settings", [("tagging", {"output_layer": "crf"}), ("classification", {})], ids=str
)
def test_random_labels_are_memorised_but_not_generalised(task, settings):
    draw = random.Random(3)

    def rows(count):
        """Yield words and two labels, drawn independently."""
        for _ in range(count):
            words = [draw.choice("abcdefghijkl") for _ in range(6)]
            yield words, [draw.choice("xy") for _ in words], draw.choice(["buy", "sell"])

    train, valid = (labelled([*rows(count)], task, scheme="none") for count in (16, 60))
    model = fit(task, "gru", train, budget="50steps", characters=None, **settings)
    found = []
    for text in (train, valid):
        measured = evaluation.measure(model, encode_examples(model.codec, text, text))
        found.append(measured.columns[0].accuracy)
    chances = 360 if task == "tagging" else 60
    assert found[0] > 0.85
    assert abs(found[1] - 0.5) < 4 * math.sqrt(0.25 / chances)


def test_random_targets_are_memorised_but_not_generalised():
    draw = random.Random(3)
    rows = [(" ".join(draw.choices("abcdefghijkl", k=5)), draw.choice("xy")) for _ in range(96)]
    train, valid = rows[:16], rows[16:]
    own = {"hidden_size": 24, "learning_rate": 0.02, "batch_rows": 16, "label_smoothing": 0.0}
    own |= {"dropout_input": 0.0, "dropout_output": 0.0}
    model = tiny_pairs.fit("lstm", train, budget="80steps", **own)
    assert exact(model, train) > 0.85
    assert abs(exact(model, valid) - 0.5) < 4 * math.sqrt(0.25 / 80)


def exact(model, rows):
    """Return the share of pairs whose target the model writes."""
    found = translate(model, [source for source, _ in rows])
    right = [line.text == target for line, (_, target) in zip(found, rows, strict=True)]
    return sum(right) / len(rows)


ONE = [(["fly"], ["O"], "flight")]


@pytest.mark.filterwarnings("ignore:the vocabulary has only")
@pytest.mark.parametrize("task, name, settings", [
    ("tagging", "lstm", {"output_layer": "crf"}), ("tagging", "lstm", {"both": True}),
    ("classification", "lstm", {}), ("classification", "lstm", {"form": MULTI}),
    ("classification", "cnn", {}), ("classification", "bag", {}),
], ids=str)  # fmt: skip
def test_one_word_with_one_label_is_enough(task, name, settings):
    text = labelled(ONE, task, "both" in settings)
    *_, fitted = run(task, name, text, text, budget="2steps", **settings)
    (found,) = predict(fitted.model, [["walk"]])
    labels = [each.best[0].labels if each.best else each.label for each in found]
    assert fitted.steps == 2 and labels[0] in (("O",), "flight")


@pytest.mark.filterwarnings("ignore:the vocabulary has only")
@pytest.mark.parametrize(
    "settings", [{}, {"attention": None}, {"input_feeding": True, "own_words": 0.5}], ids=str
)
def test_one_pair_of_one_word_is_enough(settings):
    pairs = [("fly", "vole")]
    *_, fitted = tiny_pairs.run("lstm", pairs, pairs, budget="2steps", **settings)
    assert fitted.steps == 2 and len(translate(fitted.model, ["fly", "never seen"])) == 2


@pytest.mark.parametrize("task", ["tagging", "classification"])
def test_validation_labels_all_unknown_count_as_wrong(task):
    strange = [(["fly", "home"], ["B-planet", "I-planet"], "escape")] * 2
    valid = labelled(strange, task)
    *events, fitted = run(task, "gru", valid=valid, budget="4steps", validate_every_steps=2)
    found = [event.figures for event in events if isinstance(event, Validated)]
    assert found and all(each["accuracy"] == 0 for each in found)
    assert all(math.isnan(each["loss_nats"]) for each in found)  # of nothing
    assert fitted.stopped == "budget"


@pytest.mark.parametrize("task, settings", [
    ("tagging", {"characters": "lstm"}), ("tagging", {"characters": "cnn", "output_layer": "crf"}),
    ("classification", {}),
], ids=str)  # fmt: skip
def test_a_word_of_100000_characters_stays_whole(task, settings):
    model = fit(task, "qrnn", budget="1steps", batch_rows=2, **settings)
    for each in predict(model, [["fly", "x" * 100_000], ["fly"]]):
        assert each[0].label or len(each[0].best[0].labels) in (1, 2)


def test_a_line_of_10000_words_stays_whole():
    model = tiny_pairs.fit("qrnn", budget="1steps")
    (line,) = translate(model, ["one " * 10_000])
    assert line.hypotheses


@pytest.mark.parametrize("task, settings", [
    ("tagging", {}), ("tagging", {"output_layer": "crf", "both": True}),
    ("classification", {}), ("classification", {"form": MULTI}),
    ("seq2seq", {}), ("seq2seq", {"input_feeding": True, "criterion": "bleu"}),
], ids=str)  # fmt: skip
def test_validation_of_nan_weights_is_the_worst(task, settings):
    trainer = trainer_of(task, "gru", **settings)
    with torch.no_grad():
        for weight in trainer.network.parameters():
            weight.fill_(torch.nan)
    assert trainer.validation.validation.run(never).loss_nats == math.inf
    if task != "seq2seq":
        search, texts = LabelSearch(probabilities=True), [["a", "b"], ["c"]]
        assert len(predict(trainer.objective.model(), texts, search)) == 2


@pytest.mark.parametrize("task, settings", [
    ("tagging", {}), ("tagging", {"output_layer": "crf", "loss_weights": "0.5"}),
    ("classification", {}), ("classification", {"form": MULTI}), ("seq2seq", {}),
], ids=str)  # fmt: skip
def test_a_blind_guess_is_not_taken_for_divergence(task, settings):
    """Output weights of zeros guess; with many labels of a text that costs log 2 for each of
    them."""
    trainer = trainer_of(task, "gru", **settings)
    with torch.no_grad():
        for name, weight in trainer.network.named_parameters():
            if task == "seq2seq" or name.startswith("heads."):
                weight.zero_()
    nats = trainer.objective.loss(trainer.source.next().tensors, ()).mean_nats.item()
    assert nats == pytest.approx(trainer.objective.uniform_nats, rel=1e-5)


@pytest.mark.parametrize("given, what", [
    ("1,2", "has 2 weights; 1 label column is learned"), ("0", "leaves nothing to learn"),
])  # fmt: skip
def test_weights_of_losses_are_as_many_as_columns(given, what):
    with pytest.raises(SettingsError, match=f"loss_weights = {given} {what}"):
        trainer_of("tagging", "gru", loss_weights=given)


# ---- Validation data whose labels are all the same: no metric of them can choose weights.

OUTSIDE = [(["fly", "me"], ["O", "O"], "flight"), (["show", "flights"], ["O", "O"], "flight")]
ELSEWHERE = [OUTSIDE[0], (["what", "costs", "it"], ["O", "O", "O"], "fare")]
NO_LABELS = [(["fly", "me"], ["O", "O"], ""), (["show", "flights"], ["O", "O"], "")]
NO_SPANS = "no spans in column slots"


@pytest.mark.parametrize("task, valid, settings, named", [
    ("tagging", OUTSIDE, {}, NO_SPANS),
    ("tagging", OUTSIDE, {"output_layer": "crf"}, NO_SPANS),
    ("tagging", OUTSIDE, {"criterion": "accuracy"}, NO_SPANS),
    ("tagging", OUTSIDE, {"both": True},
     f"{NO_SPANS} and the same labels everywhere in column intent"),
    ("classification", OUTSIDE, {}, "the same labels everywhere in column intent"),
    ("classification", NO_LABELS, {"form": MULTI}, "no labels in column intent"),
], ids=str)  # fmt: skip
def test_where_no_metric_can_tell_the_loss_chooses(task, valid, settings, named):
    own = {"budget": "12steps", "validate_every_steps": 3, **settings}
    with pytest.warns(RnnlmWarning, match=f"{named}: the loss chooses"):
        *events, fitted = trainer_of(task, "gru", valid=valid, **own).train(never)
    assert fitted.criterion == "loss_nats"
    found = [event for event in events if isinstance(event, Validated)]
    best = min(found, key=lambda event: (event.figures["loss_nats"], -event.step))
    assert fitted.step == best.step


def test_of_two_columns_the_one_that_can_tell_chooses():
    with pytest.warns(RnnlmWarning, match="no spans in column slots: the metrics of the other"):
        trainer = trainer_of("tagging", "gru", valid=ELSEWHERE, both=True, budget="4steps")
        *events, _ = trainer.train(never)
    for event in events:
        if isinstance(event, Validated):
            assert event.criterion == "mean"
            assert event.figures["mean"] == event.figures["intent_accuracy"]
