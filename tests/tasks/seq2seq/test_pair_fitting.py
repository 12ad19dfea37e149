"""Fitting encoder-decoders: copying and reversing are learned, by the defaults, too."""

import math
import random
import warnings

import pytest
import torch

from rnnlm import registry
from rnnlm.errors import RnnlmWarning
from rnnlm.events import never
from rnnlm.lm.neural.training.state import state_dict
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.fitting import PairValidation
from rnnlm.training.plan import plan
from rnnlm.training.request import TrainingRequest
from rnnlm.training.run import run as train
from support.tiny_pairs import TRAIN, fit, trainer_of

# ---- copying and reversing strings


def strings(count, letters, lengths, seed, turn):
    """Draw random strings of these letters, each paired with itself, or with itself reversed."""
    draw = random.Random(seed)
    rows = [" ".join(draw.choices(letters, k=draw.choice(lengths))) for _ in range(count)]
    return [(row, row[::-1] if turn else row) for row in rows]


def exact(model, rows):
    """Return the share of rows whose target the model writes."""
    lines = zip(translate(model, [source for source, _ in rows]), rows, strict=True)
    return sum(line.text == target for line, (_, target) in lines) / len(rows)


@pytest.mark.parametrize("turn", [
    pytest.param(False, id="copied", marks=pytest.mark.soak), pytest.param(True, id="reversed"),
])  # fmt: skip
def test_attention_alone_copies_and_reverses_short_strings(turn):
    train, valid = (strings(n, "abc", range(1, 6), seed, turn) for n, seed in ((1500, 1), (100, 2)))
    size = {"hidden_size": 32, "embedding_size": 32, "batch_rows": 64}
    exactly = {"dropout_input": 0.0, "dropout_output": 0.0, "label_smoothing": 0.0}
    own = {**size, **exactly, "learning_rate": 0.005, "budget": "220steps"}
    model = fit("rnn", train, bridge=None, **own)
    assert exact(model, valid) == 1.0


# ---- the defaults, and odd data


@pytest.mark.parametrize(
    "name", [kind.name for kind in registry.all_kinds() if kind.task == "seq2seq"]
)
def test_defaults_of_every_kind_learn_to_translate(name, tmp_path):
    small = {"embedding_size": 16, "hidden_size": 16, "budget": "2steps"}
    flags = {"device": "cpu", "precision": "fp32", "threads": 1, **small}
    asked = {"task": "seq2seq", "model": name, "flags": flags, "output": tmp_path / "m"}
    request = TrainingRequest(text=("answers",), **asked)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        *_, fitted = train(plan(request))
    (line,) = translate(str(tmp_path / "m"), ["Good morning ."])
    assert line.hypotheses and math.isfinite(line.hypotheses[0].score)


@pytest.mark.parametrize("criterion, valid, is_telling", [
    ("bleu", [("one two", "one"), ("two one", "two")], False),
    ("bleu", [("one two", "one two three four five"), ("two one", "two")], True),
    ("word_error_rate", [("one two", "one"), ("two one", "two")], True),
    ("exact_match", [("one two", "one"), ("two one", "one")], False),
    ("chrf", [("one two", "one")], False),
])  # fmt: skip
def test_where_the_metric_cannot_move_the_loss_chooses(criterion, valid, is_telling, recwarn):
    trainer = trainer_of("gru", TRAIN, valid)
    given = trainer.validation.validation
    verdict = PairValidation(given.data, given.model, criterion).run(never)
    assert verdict.name == (criterion if is_telling else "loss_nats")
    told = [str(each.message) for each in recwarn if "cannot tell" in str(each.message)]
    assert len(told) == (0 if is_telling else 1)


@pytest.mark.parametrize("budget", ["12steps", "2epochs"])
def test_the_share_of_own_words_rises_over_the_budget_also_when_resumed(budget):
    own = {"own_words": 0.6, "own_words_schedule": "linear", "budget": budget}
    trainer, shares = trainer_of("gru", **own), []
    for step in range(12):
        if step == 5:
            trainer = trainer_of("gru", initial=state_dict(trainer), **own)
        trainer.train_step()
        shares.append(trainer.batch.tensors[-1].unique().item())
    assert shares == pytest.approx([0.05 * step for step in range(12)])


def test_validation_counts_tokens_that_are_likeliest_after_the_right_ones():
    # Without weights the output's bias decides: "un" has the odds e : 1 to each other token.
    valid = [("one", "un"), ("one two", "un deux")]
    validation = trainer_of("gru", TRAIN, valid).validation.validation
    network, target = validation.model.network, validation.model.codec.target
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.output.bias[target.encode(["un"]).ids[0]] = 1.0
    verdict = validation.run(never)
    # un </s> un deux </s>
    assert verdict.metrics == {"token_accuracy": 2 / 5}
    nats = math.log(target.size - 1 + math.e) - 2 / 5
    assert verdict.loss_nats == pytest.approx(nats, abs=1e-6)
