import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.scoring.generation.search import BLOCK, best_tokens


@pytest.mark.parametrize("of", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("width", [3, BLOCK, 1000])
@pytest.mark.parametrize("levels", [3, 40, 1 << 20])  # few levels: most numbers are tied
@pytest.mark.parametrize("count", [1, 5, 70])
def test_they_are_those_of_a_stable_sort(of, width, levels, count):
    levels_RV = np.random.default_rng(width + levels).integers(0, levels, (6, width))
    values_RV = ((levels_RV - levels) / 8).astype(np.float32)  # no log-probability is above 0
    values_RV[0] = -np.inf
    values_RV[1, 2:] = -np.inf
    at_RK, value_RK = best_tokens(of(values_RV), count)
    expected_RK = np.argsort(-values_RV, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(value_RK, np.take_along_axis(values_RV, expected_RK, axis=1))
    is_possible_RK = value_RK > -np.inf
    np.testing.assert_array_equal(at_RK[is_possible_RK], expected_RK[is_possible_RK])


@pytest.mark.parametrize("of", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("column", [3, 1000])
def test_what_is_not_a_number_is_an_error(of, column):
    values_RV = np.zeros((2, 1001), dtype=np.float32)
    values_RV[1, column] = np.nan
    with pytest.raises(ModelError, match="not numbers"):
        best_tokens(of(values_RV), 2)
