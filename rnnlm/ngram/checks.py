"""Are the tables of an n-gram model in order? Reading all of them takes a while, so it is done before work that reads them anyway."""

from collections.abc import Iterator

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.ngram.model import NgramModel
from rnnlm.ngram.tables import split_keys

TOLERANCE = 1e-5  # of a probability of 1, in fp32


def check_tables(model: NgramModel) -> None:
    """Make sure that the tables are sound.

    Raises:
        ModelError: they are not.
    """
    for found in disorders(model):
        raise ModelError("the tables of the model are damaged", found, "make it anew; rnnlm doctor tells more")


def disorders(model: NgramModel) -> Iterator[str]:
    """What is wrong: keys that are not sorted or point nowhere, values that are no numbers, probabilities above 1."""
    for n, values in enumerate(model.values, start=1):
        if n > 1:
            yield from _odd_keys(model, n)
        at = np.flatnonzero(np.isnan(values).any(axis=1) | np.isposinf(values).any(axis=1))
        if len(at):
            yield f"a {n}-gram has values that are no numbers, first at {at[0]:,}"
        at = np.flatnonzero(values[:, 0] > TOLERANCE)
        if len(at):
            yield f"a {n}-gram has a probability above 1, first at {at[0]:,}: {np.exp(values[at[0], 0]):.6g}"


def _odd_keys(model: NgramModel, n: int) -> Iterator[str]:
    keys = model.keys[n - 2]
    contexts, words = split_keys(keys, model.size)
    at = np.flatnonzero(keys[1:] <= keys[:-1])
    if len(at):
        yield f"{n}-grams are not sorted, first at {at[0] + 1:,}"
    if len(contexts) and contexts.max() >= len(model.values[n - 2]):
        yield f"{n}-grams follow {n - 1}-grams that are not there"
    if len(words) and words.max() >= model.size:
        yield f"{n}-grams end in words that are not there"
