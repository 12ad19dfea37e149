"""Fitting a task: in parts as at once, nothing learned of labels that mean nothing, odd data."""

import math
import random
import warnings

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmWarning, SettingsError
from rnnlm.events import Validated, never
from rnnlm.tasks.labels import evaluation
from rnnlm.tasks.labels.data import MULTI, encode_examples
from rnnlm.tasks.labels.fitting import make_trainer
from rnnlm.tasks.labels.model import Search, predict
from support.tiny_tasks import TRAIN, VALID, data_of, fit, labelled, run, settings_of


def trainer_of(
    task, name, rows=TRAIN, valid=VALID, initial=None, both=False, form="plain", **settings
):
    resolved = settings_of(task, name, **settings)
    data = data_of(
        resolved, labelled(rows, task, both), valid and labelled(valid, task, both), form
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return make_trainer(resolved, data, initial)


@pytest.mark.parametrize("task, name, settings", [
    ("tagging", "lstm", {"output_layer": "crf", "both": True, "characters": "lstm"}),
    ("classification", "gru", {"form": MULTI}),
], ids=str)  # fmt: skip
def test_gradients_of_batch_parts_give_the_full_step(task, name, settings):
    own = {"optimizer": "sgd", "learning_rate": 0.5, "budget": "2steps", **settings}
    expected, other = (
        run(task, name, accumulation=parts, **own)[-1].model.to_arrays() for parts in (1, 3)
    )
    for key, array in expected.items():
        np.testing.assert_allclose(other[key], array, atol=2e-6, err_msg=key)


@pytest.mark.parametrize(
    "task, name, settings",
    [("tagging", "gru", {"output_layer": "crf"}), ("classification", "gru", {})],
    ids=str,
)
def test_random_labels_are_memorised_but_not_generalised(task, name, settings):
    draw = random.Random(3)

    def rows(count):
        """Yield words and two labels, drawn independently."""
        for _ in range(count):
            words = [draw.choice("abcdefghijkl") for _ in range(6)]
            yield words, [draw.choice("xy") for _ in words], draw.choice(["buy", "sell"])

    train, valid = ([*rows(count)] for count in (16, 60))
    model = fit(
        task,
        name,
        labelled(train, task, scheme="none"),
        budget="50steps",
        characters=None,
        **settings,
    )
    found = {}
    for kind, its in (("train", train), ("valid", valid)):
        text = labelled(its, task, scheme="none")
        measured = evaluation.measure(model, encode_examples(model.codec, text, text))
        found[kind] = measured.columns[0].accuracy
    chances = 360 if task == "tagging" else 60
    assert found["train"] > 0.85
    assert abs(found["valid"] - 0.5) < 4 * math.sqrt(0.25 / chances)


ONE = [(["fly"], ["O"], "flight")]


@pytest.mark.filterwarnings("ignore:the vocabulary has only")
@pytest.mark.parametrize("task, settings", [
    ("tagging", {"output_layer": "crf"}),
    ("tagging", {"both": True}), ("classification", {}),
    ("classification", {"form": MULTI}), ("classification", {"model": "cnn"}),
    ("classification", {"model": "bag"}),
], ids=str)  # fmt: skip
def test_one_word_with_one_label_is_enough(task, settings):
    name, both = settings.get("model", "lstm"), "both" in settings
    own = {key: value for key, value in settings.items() if key not in ("model", "both")}
    *_, fitted = run(
        task,
        name,
        labelled(ONE, task, both),
        labelled(ONE, task, both),
        both=both,
        budget="2steps",
        **own,
    )
    (found,) = predict(fitted.model, [["walk"]])
    assert fitted.steps == 2 and next(
        each.best[0].labels if each.best else each.label for each in found
    ) in (("O",), "flight")


@pytest.mark.parametrize("task", ["tagging", "classification"])
def test_validation_labels_all_unknown_count_as_wrong(task):
    strange = [(["fly", "home"], ["B-planet", "I-planet"], "escape")] * 2
    *events, fitted = run(
        task, "gru", valid=labelled(strange, task), budget="4steps", validate_every_steps=2
    )
    found = [event.figures for event in events if isinstance(event, Validated)]
    assert found and all(each["accuracy"] == 0 and each["loss_nats"] == 0 for each in found)
    assert fitted.stopped == "budget"


@pytest.mark.parametrize("task, settings", [
    ("tagging", {"characters": "lstm"}), ("tagging", {"characters": "cnn", "output_layer": "crf"}),
    ("classification", {}),
], ids=str)  # fmt: skip
def test_a_word_of_100000_characters_stays_whole(task, settings):
    model = fit(task, "qrnn", budget="1steps", batch_rows=2, **settings)
    for each in predict(model, [["fly", "x" * 100_000], ["fly"]]):
        assert each[0].label or len(each[0].best[0].labels) in (1, 2)


@pytest.mark.parametrize("task, settings", [
    ("tagging", {}), ("tagging", {"output_layer": "crf", "both": True}),
    ("tagging", {}), ("classification", {}),
    ("classification", {"form": MULTI}),
], ids=str)  # fmt: skip
def test_validation_of_nan_weights_is_the_worst(task, settings):
    trainer = trainer_of(task, "gru", **settings)
    with torch.no_grad():
        for weight in trainer.network.parameters():
            weight.fill_(torch.nan)
    verdict = trainer.validation.validation.run(never)
    assert verdict.loss_nats == math.inf
    assert (
        len(predict(trainer.objective.model(), [["a", "b"], ["c"]], Search(probabilities=True)))
        == 2
    )


@pytest.mark.parametrize("task, settings", [
    ("tagging", {}), ("tagging", {"output_layer": "crf", "loss_weights": "0.5"}),
    ("classification", {}),
    ("classification", {"form": MULTI}),
], ids=str)  # fmt: skip
def test_a_blind_guess_is_not_taken_for_divergence(task, settings):
    """Output weights of zeros guess; with many labels of a text that costs log 2 for each of
    them."""
    trainer = trainer_of(task, "gru", valid=None, **settings)
    with torch.no_grad():
        for name, weight in trainer.network.named_parameters():
            if name.startswith("heads."):
                weight.zero_()
    nats = trainer.objective.loss(trainer.source.next().tensors, ()).mean_nats.item()
    assert nats == pytest.approx(trainer.objective.uniform_nats, rel=1e-5)


@pytest.mark.parametrize(
    "given, what",
    [("1,2", "has 2 weights; 1 label column is learned"), ("0", "leaves nothing to learn")],
)
def test_weights_of_losses_are_as_many_as_columns(given, what):
    with pytest.raises(SettingsError, match=f"loss_weights = {given} {what}"):
        trainer_of("tagging", "gru", loss_weights=given)


# ---- Validation data whose labels are all the same: no metric of them can choose weights.

OUTSIDE = [(["fly", "me"], ["O", "O"], "flight"), (["show", "flights"], ["O", "O"], "flight")]
ELSEWHERE = [OUTSIDE[0], (["what", "costs", "it"], ["O", "O", "O"], "fare")]
NO_LABELS = [(["fly", "me"], ["O", "O"], ""), (["show", "flights"], ["O", "O"], "")]


@pytest.mark.parametrize("task, valid, settings, named", [
    ("tagging", OUTSIDE, {}, "no spans in column slots: the loss chooses"),
    ("tagging", OUTSIDE, {"output_layer": "crf"}, "no spans in column slots: the loss chooses"),
    ("tagging", OUTSIDE, {"criterion": "accuracy"}, "no spans in column slots: the loss chooses"),
    (
        "tagging",
        OUTSIDE,
        {"both": True},
        "no spans in column slots and the same labels everywhere in column intent: the loss chooses",
    ),
    ("classification", OUTSIDE, {}, "the same labels everywhere in column intent: the loss"),
    ("classification", NO_LABELS, {"form": MULTI}, "no labels in column intent: the loss chooses"),
], ids=str)  # fmt: skip
def test_where_no_metric_can_tell_the_loss_chooses(task, valid, settings, named):
    with pytest.warns(RnnlmWarning, match=named):
        trainer = trainer_of(
            task, "gru", valid=valid, budget="12steps", validate_every_steps=3, **settings
        )
        *events, fitted = trainer.train(never)
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
