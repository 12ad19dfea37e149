"""Words in descending count, and rows put together by group."""

import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.neural.outputs.word_groups import order_by_count, ranks, rows_by_group


def test_words_are_in_descending_count_equal_ones_in_ascending_id():
    order_V = order_by_count(torch.tensor([0, 7, 3, 7, 3]))
    assert order_V.tolist() == [1, 3, 2, 4, 0] and order_V.dtype == torch.int32
    assert ranks(order_V).tolist() == [4, 0, 2, 1, 3]


@pytest.mark.parametrize("order", [[0, 0, 2], [0, 1, 3], [-1, 0, 1]])
def test_an_order_that_is_no_permutation_is_an_error(order):
    with pytest.raises(ModelError, match="order of words is damaged"):
        ranks(torch.tensor(order, dtype=torch.int32))


def test_rows_of_a_group_come_together():
    order_N, counts = rows_by_group(torch.tensor([3, 0, 1, 3, 0]), 3)
    assert order_N.tolist() == [1, 4, 2, 0, 3] and counts == [2, 1, 0, 2]
