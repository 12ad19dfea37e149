"""The synthetic tasks are what their definitions say, and the search ends where a layer fails."""

import numpy as np
import pytest
import torch

from rnnlm.benchmarks import memory
from rnnlm.benchmarks.memory import (
    CELLS,
    Budget,
    Reach,
    Reader,
    Trained,
    bench_memory,
    draw,
    train,
    verdict_of,
)
from rnnlm.benchmarks.memory_tasks import TASKS
from rnnlm.errors import RnnlmError
from support.pictures import faults_of

CPU = torch.device("cpu")


def copied(steps):
    """Return the letter `lag` steps before each sign."""
    symbols = [step.index(1) for step in steps]
    lag = symbols.index(9)
    return [symbols[place - lag] for place, symbol in enumerate(symbols) if symbol == 9]


def added(steps):
    return [sum(number for number, mark in steps if mark == 1)]


def odd(steps):
    return [[bit for (bit,) in steps].count(1) % 2]


def ordered(steps):
    found = "".join("XY......"[step.index(1)] for step in steps).replace(".", "")
    return [["XX", "XY", "YX", "YY"].index(found)]


@pytest.mark.parametrize("lag", [5, 6, 20])
@pytest.mark.parametrize(
    ("name", "answer"), [("copy", copied), ("adding", added), ("parity", odd), ("order", ordered)]
)
def test_answers_are_those_of_a_plain_definition(name, answer, lag):
    x_TBI, answers_AB = TASKS[name].draw(np.random.default_rng(0), lag, 40)
    assert x_TBI.dtype == np.float32 and x_TBI.shape == (
        lag + 3 if name == "copy" else lag,
        40,
        TASKS[name].width,
    )
    found_BA = [
        answer([[float(value) for value in step] for step in steps_TI])
        for steps_TI in x_TBI.transpose(1, 0, 2)
    ]
    assert answers_AB.T.tolist() == [pytest.approx(each) for each in found_BA]


def test_adding_marks_and_order_letters_are_placed_correctly():
    random = np.random.default_rng(0)
    marks_TB = TASKS["adding"].draw(random, 20, 500)[0][..., 1]
    assert (marks_TB[:10].sum(axis=0) == 1).all() and (marks_TB[10:].sum(axis=0) == 1).all()
    letters_TB = TASKS["order"].draw(random, 20, 500)[0][..., :2].any(axis=2)
    assert sorted(set(np.nonzero(letters_TB)[0])) == [2, 3, 4, 10, 11, 12]


def test_task_is_solved_by_accuracy_or_error_threshold():
    assert [TASKS["copy"].is_solved(accuracy) for accuracy in (0.989, 0.99, float("nan"))] == [
        False,
        True,
        False,
    ]
    assert [TASKS["adding"].is_solved(error) for error in (0.0099, 0.01, float("nan"))] == [
        True,
        False,
        False,
    ]


def test_irnn_is_a_relu_layer_starting_as_identity():
    (layer,) = Reader(TASKS["copy"], "irnn", 8).body.layers
    assert layer.activation == "relu" and torch.equal(layer.weight_hh.detach(), torch.eye(8))


def test_judging_sequences_differ_from_training_sequences(monkeypatch):
    drawn = []

    def draw(task, random, lag, rows, device):
        drawn.append(real(task, random, lag, rows, device))
        return drawn[-1]

    real = memory._draw_tensors
    monkeypatch.setattr(memory, "_draw_tensors", draw)
    train("adding", "elman", 5, Budget(steps=1, rows=1000, width=4), CPU)
    assert [len(x_TBI[0]) for x_TBI, _ in drawn] == [1000, 1000] and not torch.equal(
        drawn[0][0], drawn[1][0]
    )


@pytest.mark.parametrize("name", TASKS)
def test_chance_is_the_best_guess_without_the_input(name):
    task = TASKS[name]
    _, answers_AB = task.draw(np.random.default_rng(0), 10, 20_000)
    best = (
        np.var(answers_AB)
        if task.classes is None
        else max(np.bincount(answers_AB.ravel())) / answers_AB.size
    )
    assert best == pytest.approx(task.chance, rel=0.05)
    assert not task.is_solved(task.chance)


@pytest.mark.parametrize("cell", CELLS)
def test_untrained_network_is_no_better_than_chance(cell):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for task in TASKS.values():
            drawn = [
                torch.from_numpy(array) for array in task.draw(np.random.default_rng(0), 20, 2000)
            ]
            figure = Reader(task, cell, 16).figure(*drawn)
            assert (
                figure > task.chance
                if task.classes is None
                else figure == pytest.approx(task.chance, abs=0.07)
            )


def test_a_gru_learns_order_at_a_short_lag():
    found = train("order", "gru", 5, Budget(steps=200, rows=16, width=24, learning_rate=0.01), CPU)
    assert found.solved and found.figure >= 0.99
    assert found.parameters == 3 * (24 * 6 + 24 * 24 + 2 * 24) + 24 * 4 + 4


def test_runs_repeat_with_the_same_seed_only():
    first, again, other = (
        train("adding", "elman", 5, Budget(steps=3, seed=seed), CPU) for seed in (1, 1, 2)
    )
    assert first == again and not first.solved and first.figure != other.figure


def test_search_goes_from_shortest_lag_to_first_failure(monkeypatch):
    def trained(task, cell, lag, budget, device):
        return Trained(task, cell, lag, lag <= {"gru": 10, "lstm": 50}.get(cell, 0), 1, 0.5, 7)

    monkeypatch.setattr(memory, "train", trained)
    found = list(
        bench_memory(["copy"], ["gru", "lstm", "irnn"], lags=[50, 5, 10, 20], device="cpu")
    )
    runs = [(each.cell, each.lag) for each in found if isinstance(each, Trained)]
    assert runs == [
        *(("gru", lag) for lag in (5, 10, 20)),
        *(("lstm", lag) for lag in (5, 10, 20, 50)),
        ("irnn", 5),
    ]
    reaches = [each for each in found if not isinstance(each, Trained)]
    assert [(each.cell, each.longest, each.failed and each.failed.lag) for each in reaches] == [
        ("gru", 10, 20), ("lstm", 50, None), ("irnn", 0, 5),
    ]  # fmt: skip
    figure = draw(reaches)
    (axes,) = figure.axes
    assert faults_of(figure) == []
    assert [text.get_text() for text in axes.texts] == ["10", "50", "0"]


def test_verdict_names_longest_lag_layers_of_each_task():
    def reach(task, cell, longest, failed):
        runs = [
            lag and Trained(task, cell, lag, lag == longest, 1, 0.5, 7) for lag in (longest, failed)
        ]
        return Reach(task, cell, 7, runs[0] or None, runs[1] or None)

    found = [
        reach("copy", "elman", 5, 10),
        reach("copy", "gru", 20, None),
        reach("copy", "lstm", 20, None),
        reach("parity", "gru", 0, 5),
    ]
    said = (
        "The longest lag that a layer solves: copy, 20 steps (gru and lstm); parity, none "
        "(not even 5 steps). "
    )
    assert verdict_of(found).startswith(said)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"tasks": ["adding", "ading"]}, "unknown task 'ading'"),
        ({"cells": ["qrnn"]}, "unknown layer 'qrnn'"),
        ({"lags": [10, 4]}, "a lag of 4 is too short"),
    ],
)
def test_what_is_not_there_is_refused(arguments, what):
    with pytest.raises(RnnlmError, match=what):
        next(bench_memory(**arguments, device="cpu"))
