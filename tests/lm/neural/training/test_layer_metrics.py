"""What validations tell of recurrent layers equals what one finds by hand, and changes nothing."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.events import TrainingState, Validated, never
from rnnlm.lm.neural.layers.steps import CellStep
from rnnlm.lm.neural.spectrum import recurrent_matrices, spectral_radius
from rnnlm.lm.neural.training import progress, state as state_module
from rnnlm.lm.neural.training.contracts import Batch
from rnnlm.lm.neural.training.progress import LayerStatistics, saturated_share
from rnnlm.lm.neural.training.step import GraphedStep
from rnnlm.storage.run_files import MetricsLog

OWN = {
    "batch_rows": 4, "bptt_tokens": 10, "schedule": "constant", "warmup": 0.0, "min_validations": 0,
    "validate_every_steps": 3,
}  # fmt: skip


@pytest.fixture
def make(make_data, make_trainer, sentences, eager_snapshots):
    """Return a function that makes a trainer with all metrics of layers at each validation."""
    data = make_data(sentences[:20], sentences[20:40])
    return lambda **settings: make_trainer(data, **{**OWN, **settings})


def validated(events):
    return [event for event in events if isinstance(event, Validated)]


def first_validation(trainer):
    return next(event for event in trainer.train(never) if isinstance(event, Validated))


BLOCKS = {
    "rnn": ["recurrent"], "gru": ["reset", "update", "candidate"],
    "lstm": ["input", "forget", "candidate", "output"],
}  # fmt: skip


def shares_of(traced, names):
    """Return which gates are saturated, or, where there are none, which units."""
    gates = traced.gates.items() if traced.gates else [("candidate", traced.hidden_TBH)]
    shares = []
    for name, values in gates:
        is_tanh = name == "candidate"
        shares.append(values.abs() > 0.9 if is_tanh else (values < 0.1) | (values > 0.9))
    return float(torch.stack(shares).float().mean())


@pytest.mark.parametrize("model", BLOCKS)
def test_metrics_equal_those_found_by_hand(model, make):
    trainer = make(model=model, clip_norm=0.01, layers=2, learning_rate=0.2)
    # The third validation; the trainer is as it was then.
    events = (event for event in trainer.train(never) if isinstance(event, Validated))
    event = next(itertools.islice(events, 2, None))
    assert event.step == 9 and list(event.layers) == ["layer 1", "layer 2"]
    ids = np.asarray(trainer.validation.validation.text.ids[:127], dtype=np.int64)
    boundary = trainer.objective.reader.tokenizer.boundary_id
    inputs_TB = torch.from_numpy(np.concatenate([[boundary], ids]).reshape(8, 16)).t()
    trace = trainer.network.trace(inputs_TB, trainer.network.initial_state(8))
    layers, told = trainer.network.body.layers, list(event.layers.values())
    for layer, traced, figures in zip(layers, trace.layers, told, strict=True):
        blocks = np.split(layer.weight_hh.detach().double().numpy(), layer.gates)
        radii = [float(np.abs(np.linalg.eigvals(block)).max()) for block in blocks]
        expected = dict(zip(BLOCKS[model], radii, strict=True))
        assert figures["spectral_radius"] == pytest.approx(expected, rel=1e-3)
        share = shares_of(traced, BLOCKS[model])
        assert 0.01 < figures["saturated"] == pytest.approx(share, rel=1e-3, abs=1e-4)

    def norm_of(module):
        return torch.stack([weight.grad.norm() for weight in module.parameters()]).norm()

    # before clipping
    everything = norm_of(trainer.network)
    before = float(trainer.gradient_norm / everything)
    norms = [figures["gradient_norm"] for figures in told]
    assert norms == pytest.approx([float(norm_of(layer)) * before for layer in layers], rel=1e-3)
    assert float(everything) == pytest.approx(0.01, rel=1e-3)
    assert float(trainer.gradient_norm) > 0.05


def test_weights_and_random_numbers_are_as_without_them(make):
    settings = {"dropout_output": 0.3, "weight_drop": 0.2, "state_reset": 0.1}
    *events, fitted = make(**settings).train(never)
    random = torch.get_rng_state()
    without = make(**settings)
    without.layers.measure = lambda step, stop: {}
    *_, plain = without.train(never)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(event.layers for event in validated(events))
    weights = zip(fitted.model.network.parameters(), plain.model.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


@pytest.mark.parametrize("steps", [2, 3])
def test_a_run_that_goes_on_tells_the_same(steps, make):
    expected = [(event.step, event.layers) for event in validated(make().train(never))]
    cut = make()
    # at 3, a validation is cut off, and made up for
    *some, stopped = cut.train(lambda: cut.step_count >= steps)
    facts = json.loads(json.dumps(stopped.state.facts, allow_nan=False))
    state = TrainingState(facts, stopped.state.arrays)
    later = make()
    state_module.load_state_dict(later, state_module.checked(state))
    found = validated([*some, *later.train(never)])
    assert [(event.step, event.layers) for event in found] == expected
    assert all("saturated" in layers["layer 1"] for _, layers in expected)
    del state.facts["layers"]
    with pytest.raises(ModelError, match="damaged, or belongs to another run"):
        state_module.load_state_dict(make(), state)


@pytest.mark.parametrize("cost, looks", [
    (0.0, [True] * 5), (0.5, [True, False, True, False, True]), (9.0, [True] + [False] * 4),
])  # fmt: skip
def test_looks_cost_a_hundredth(cost, looks, make_data, make_trainer, sentences, monkeypatch):
    clock = SimpleNamespace(now=0.0, elapsed=lambda: clock.now)
    network = make_trainer(make_data(sentences[:20])).network
    monkeypatch.setattr(progress.time, "perf_counter", clock.elapsed)

    def radius(weight_HH):
        clock.now += cost / 4  # of each of an LSTM's four blocks
        return 1.0

    monkeypatch.setattr(progress, "spectral_radius", radius)
    figures, found = LayerStatistics(network, None, clock), []
    for number in range(5):
        clock.now = 30.0 * number + cost * sum(found)
        found.append("spectral_radius" in figures.measure(number)["layer 1"])
        figures, before = LayerStatistics(network, None, clock), figures
        # as if the run had been resumed
        figures.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert found == looks


def test_metrics_hold_metrics_with_null_for_non_finite(make, tmp_path):
    trainer = make()
    event = first_validation(trainer)
    log = MetricsLog(tmp_path)
    log.add(event)
    assert json.loads(log.pending[0])["layers"] == event.layers
    with torch.no_grad():
        trainer.network.body.layers[0].weight_hh[0] = float("nan")
    trainer.layers.norms = dict.fromkeys(trainer.network.parameters(), torch.tensor(float("inf")))
    told = trainer.layers.measure(trainer.step_count)["layer 1"]
    assert told["spectral_radius"]["input"] is None and told["spectral_radius"]["forget"] > 0
    assert told["gradient_norm"] is None


def test_each_recorded_step_keeps_its_own_norms():
    def plain(batch, carry, rate):
        """Take a step whose one norm is the number of tokens of its batch."""
        plain.norms = {"weight": batch.tensors[0].sum()}
        return torch.zeros(()), torch.zeros(()), ()

    def record(run):
        results = run()
        return lambda: results

    plain.set_rate = lambda rate: None
    step = GraphedStep(plain, SimpleNamespace(warm_up=lambda run: run(), record=record))
    found = []
    for count in [3] * 5 + [7] * 5 + [3]:
        step(Batch((torch.ones(count),), np.ones(1), slice(0, 1)), (), 0.1)
        found.append(int(step.norms["weight"]))
    assert found == [3] * 5 + [7] * 5 + [3]


@pytest.mark.parametrize("settings, names", [
    ({"model": "ffnn"}, 1), ({"model": "jordan"}, 1), ({"model": "qrnn", "layers": 2}, 2),
])  # fmt: skip
def test_layers_without_square_recurrent_weights_have_no_spectrum(settings, names, make):
    told = first_validation(make(**settings)).layers
    assert len(told) == names
    for layer in told.values():
        assert layer["spectral_radius"] is None and layer["gradient_norm"] > 0
        assert 0 <= layer["saturated"] <= 1


@pytest.mark.parametrize("settings", [{"coupled_gates": True}, {"mogrifier_rounds": 2}])
def test_variant_lstms_have_the_blocks_of_inspect_spectrum(make, settings):
    network = make(model="lstm", **settings).network
    matrices = (matrix for matrix in recurrent_matrices(network) if matrix.is_state_map)
    expected = {each.name: np.abs(np.linalg.eigvals(each.values)).max() for each in matrices}
    blocks = network.body.layers[0].recurrent_blocks()
    found = {name: spectral_radius(weight_HH) for name, weight_HH in blocks.items()}
    assert found == pytest.approx(expected)


def test_saturation_is_judged_by_the_activation(make):
    values = {
        "tanh": [-0.95, -0.85, 0.05, 0.95], "sigmoid": [0.05, 0.15, 0.85, 0.95],
        "relu": [0.0, 0.05, 0.95, 3.0],
        "elu": [-0.95, -0.85, 0.95, 3.0], "leaky_relu": [-0.95, 0.0, 0.95, 3.0],
    }  # fmt: skip
    shares = {}
    for activation, hidden in values.items():
        layer = make(model="rnn", activation=activation).network.body.layers[0]
        shares[activation] = float(saturated_share(layer, [CellStep(torch.tensor([hidden]))]))
    assert shares == {"tanh": 0.5, "sigmoid": 0.5, "relu": 0.25, "elu": 0.25, "leaky_relu": 0}


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.usefixtures("eager_snapshots")
@pytest.mark.parametrize("settings", [{"input_feeding": True}, {"attention": None}, None], ids=str)
def test_taggers_and_encoder_decoders_have_layers_of_both_sides(settings):
    from support import tiny_pairs, tiny_tasks

    own = {"budget": "4steps", "validate_every_steps": 2}
    if settings is None:
        valid = tiny_tasks.labelled(tiny_tasks.TRAIN[:20], "tagging")
        events = tiny_tasks.run("tagging", "lstm", valid=valid, **own)
    else:
        events = tiny_pairs.trainer_of("lstm", **own, **settings).train(never)
    told = validated(events)[-1].layers
    if settings is None:
        assert list(told) == ["layer 1 forward", "layer 1 backward"]
    else:
        assert {name.split()[0] for name in told} == {"encoder", "decoder"}
    for layer in told.values():
        assert layer["saturated"] is not None and layer["gradient_norm"] > 0


def test_updates_over_weights_are_of_the_first_step_after_a_validation(make):
    trainer = make(model="lstm", optimizer="sgd", learning_rate=0.5, budget="6steps")
    layer, seen, take = trainer.layers.layers["layer 1"], [], trainer.step

    def watched(*arguments):
        """Take a step, and note how far it went."""
        before = torch.cat([weight.detach().flatten().clone() for weight in layer.parameters()])
        result = take(*arguments)
        after = torch.cat([weight.detach().flatten() for weight in layer.parameters()])
        seen.append(float((after - before).norm() / before.norm()))
        return result

    trainer.step = watched
    told = [event.layers["layer 1"]["update_ratio"] for event in validated(trainer.train(never))]
    assert told[:2] == [pytest.approx(seen[0], rel=1e-3), pytest.approx(seen[3], rel=1e-3)]
    assert seen[0] > 0 and len(seen) == 6
