"""Cells under equal conditions: widths, the choice among trials, the interval, and what a folder
already has."""

import math

import pytest

from rnnlm.benchmarks import cells
from rnnlm.benchmarks.cells import (
    CELLS,
    Question,
    Result,
    Run,
    compare,
    parameters_of,
    result_of,
    settings_of,
    width_for,
)
from rnnlm.config import parse_assignments
from rnnlm.errors import ModelError, RnnlmError, UsageError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.training.request import Request, resolve_request

# E = 30 and H units: weights for what is read, recurrent ones, biases; then the projection to E
# with its bias
BY_HAND = {
    "elman": lambda E, H: H * (E + H) + H, "irnn": lambda E, H: H * (E + H) + H,
    "gru": lambda E, H: 3 * H * (E + H) + 6 * H, "lstm": lambda E, H: 4 * H * (E + H) + 4 * H,
    "coupled-lstm": lambda E, H: 3 * H * (E + H) + 3 * H, "qrnn": lambda E,
    H: 3 * 2 * E * H + 3 * H,
    "mogrifier": lambda E, H: 4 * H * (E + H) + 4 * H + 5 * 64 * (E + H),
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_are_those_counted_by_hand(cell):
    assert parameters_of(cell, 50, 30) == BY_HAND[cell](30, 50) + 50 * 30 + 30
    assert parameters_of(cell, 30, 30) == BY_HAND[cell](30, 30)  # no projection


@pytest.mark.parametrize("cell", CELLS)
def test_no_other_width_comes_nearer(cell):
    width = width_for(cell, 100_000, 32)
    off = {
        near: abs(parameters_of(cell, near, 32) - 100_000) for near in (width - 1, width, width + 1)
    }
    assert min(off, key=off.get) == width


@pytest.mark.parametrize("cell", CELLS)
def test_trained_model_has_the_counted_parameters(cell):
    settings = settings_of(cell, 40, 16)
    kind = settings.pop("model")
    text = parse_assignments(
        f"{name}={'none' if value is None else value}" for name, value in settings.items()
    )
    _, kind, resolved = resolve_request(Request(model=kind, assignments=text))
    shapes = kind.array_shapes(
        resolved.values,
        WordTokenizer(TokenizerSettings(), Vocabulary(("</s>", "<unk>", "a"), None)),
    )
    counted = sum(
        math.prod(shape)
        for name, (_, shape) in shapes.items()
        if name.startswith(("body.", "projection."))
    )
    assert counted == parameters_of(cell, 40, 16)


def test_a_number_that_no_width_has_is_refused():
    with pytest.raises(UsageError, match="no width has 5 parameters"):
        width_for("gru", 5, 300)


def test_the_interval_is_students_of_the_logarithms():
    """Worked out by hand: logs 0, 1, 2 have the mean 1 and the deviation 1; t(0.975, 2) is
    4.3027."""
    runs = [
        Run("gru", 0.1, 0.2, seed, math.exp(nats), 10 * seed, 100.0, 5)
        for seed, nats in ((1, 0.0), (2, 1.0), (3, 2.0))
    ]
    result = result_of(runs, 7, 99, 4)
    assert result.ppl == pytest.approx(math.e)
    assert math.log(result.high) == pytest.approx(1 + 4.30265 / math.sqrt(3), abs=1e-4)
    assert math.log(result.low) == pytest.approx(1 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert (
        result.steps,
        result.tokens_per_second,
        result.peak_bytes,
        result.seeds,
        result.trials,
    ) == (20, 100.0, 5, 3, 4)
    assert result_of(runs[:1], 7, 99, 4).low is None
    diverged = Run("gru", 0.1, 0.2, 4, None, 3, 100.0, None)
    assert result_of([*runs, diverged], 7, 99, 4).ppl is None


@pytest.fixture
def trained(monkeypatch):
    """Replace training by made-up runs, with perplexity 100 + 1000 |rate - 0.02| + 10 dropout +
    seed. Return the list of runs asked for."""
    asked = []

    def train(self, cell, width, rate, dropout, seed, is_short):
        asked.append((cell, rate, dropout, seed, is_short))
        ppl = (
            None
            if rate == 9
            else 100 + 1000 * abs(rate - 0.02) + 10 * dropout + seed + 50 * is_short
        )
        return Run(cell, rate, dropout, seed, ppl, 5, 100.0, 1000, is_short)

    monkeypatch.setattr(cells._Done, "_trained", train)
    return asked


QUESTION = Question(
    cells=("gru", "elman"),
    parameters=5000,
    embedding_size=8,
    rates=(9, 0.01, 0.02),
    dropouts=(0.1, 0.2),
    seeds=(1, 2),
)


def tries(is_short):
    """Return the runs that are asked for first: each trial of all cells before the next trial."""
    return [
        (cell, rate, dropout, 1, is_short)
        for rate in (9, 0.01, 0.02)
        for dropout in (0.1, 0.2)
        for cell in ("gru", "elman")
    ]


def test_best_trial_per_cell_reruns_with_other_seeds(trained, tmp_path):
    found = list(compare(QUESTION, tmp_path))
    assert QUESTION.runs == len(trained) == 14
    assert trained == [*tries(False), ("gru", 0.02, 0.1, 2, False), ("elman", 0.02, 0.1, 2, False)]
    results = [each for each in found if isinstance(each, Result)]
    assert [(each.cell, each.learning_rate, each.dropout, each.trials,
             each.seeds) for each in results] == [
        ("gru", 0.02, 0.1, 6, 2), ("elman", 0.02, 0.1, 6, 2),
    ]  # fmt: skip
    assert results[0].ppl == pytest.approx(math.sqrt(102 * 103))


def test_best_short_trial_runs_with_all_seeds(trained, tmp_path):
    question = Question(**{**vars(QUESTION), "trial_budget": "1m"})
    found = list(compare(question, tmp_path))
    assert question.runs == len(trained) == 16
    assert trained == [
        *tries(True),
        *((cell, 0.02, 0.1, seed, False) for seed in (1, 2) for cell in ("gru", "elman")),
    ]
    assert next(each for each in found if isinstance(each, Result)).ppl == pytest.approx(
        math.sqrt(102 * 103)
    )
    trained.clear()
    assert list(compare(question, tmp_path)) == found and trained == []
    with pytest.raises(UsageError, match="its trial_budget is 1m, not None"):
        list(compare(QUESTION, tmp_path))
    assert not Question(**{**vars(QUESTION), "trial_budget": QUESTION.budget}).has_short_trials


def test_what_the_folder_has_is_not_trained_again(trained, tmp_path):
    first = list(compare(QUESTION, tmp_path))
    trained.clear()
    assert list(compare(QUESTION, tmp_path)) == first and trained == []
    more = Question(**{**vars(QUESTION), "seeds": (1, 2, 3)})
    list(compare(more, tmp_path))
    assert trained == [("gru", 0.02, 0.1, 3, False), ("elman", 0.02, 0.1, 3, False)]
    other = Question(**{**vars(QUESTION), "budget": "1m"})
    with pytest.raises(UsageError, match="holds another comparison"):
        list(compare(other, tmp_path))
    (tmp_path / cells.RECORD).write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        list(compare(QUESTION, tmp_path))


@pytest.mark.parametrize("name", ["cells", "rates", "dropouts", "seeds"])
def test_empty_lists_and_unknown_cells_are_refused(name, tmp_path):
    with pytest.raises(UsageError, match=f"no {name} are named"):
        list(compare(Question(**{**vars(QUESTION), name: ()}), tmp_path))
    with pytest.raises(UsageError, match="unknown cell 'gruu'"):
        list(compare(Question(cells=("gruu",)), tmp_path))


def test_failed_run_is_an_error_unlike_diverged_one(monkeypatch, tmp_path):
    def fails(*arguments):
        raise RnnlmError("rnnlm train failed", "no such file: gone.txt")

    monkeypatch.setattr(cells, "run_rnnlm", fails)
    with pytest.raises(RnnlmError, match="gone.txt"):
        list(compare(QUESTION, tmp_path))
    monkeypatch.setattr(
        cells,
        "fitted",
        lambda folder: {"stopped": "diverged", "steps": 4, "tokens": 8, "seconds": 2.0},
    )
    assert next(compare(QUESTION, tmp_path)) == Run("gru", 9, 0.1, 1, None, 4, 4.0, None)


def test_short_trial_has_its_own_budget_and_folder(monkeypatch, tmp_path):
    given = []

    def notes(*arguments):
        given.append(arguments)
        raise RnnlmError("rnnlm train failed")

    monkeypatch.setattr(cells, "run_rnnlm", notes)
    monkeypatch.setattr(
        cells,
        "fitted",
        lambda folder: {"stopped": "diverged", "steps": 4, "tokens": 8, "seconds": 2.0},
    )
    list(
        compare(
            Question(
                **{
                    **vars(QUESTION),
                    "cells": ("gru",),
                    "rates": (0.02,),
                    "dropouts": (0.1,),
                    "trial_budget": "1m",
                }
            ),
            tmp_path,
        )
    )
    assert [words[words.index("--budget") + 1] for words in given] == ["1m", "10m", "10m"]
    assert len({words[words.index("-o") + 1] for words in given}) == 3
