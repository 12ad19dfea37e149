"""Check n-gram tables: whether they are in order, and after which contexts predictions differ.

Reading all of them takes a while, so it is done before work that reads them anyway.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from rnnlm.arrays import drop_pages
from rnnlm.errors import ModelError
from rnnlm.lm.ngram.tables import NOWHERE, NgramTables, find_many, make_keys, split_keys
from rnnlm.text.batches import with_boundary

TOLERANCE = 1e-5  # of a probability of 1, in fp32
AT_ONCE = 1 << 20  # n-grams whose tables are looked at together


def check_tables(model: NgramTables) -> None:
    """Make sure that the tables are sound."""
    for disorder in disorders(model):
        raise ModelError(
            "the tables of the model are damaged",
            disorder,
            "rebuild it; rnnlm doctor shows what is damaged",
        )


def examine(model: NgramTables) -> tuple[str, str]:
    """Return the faults of the tables, "" if there are none, and a summary of their content."""
    ngrams = "/".join(f"{len(values):,}" for values in model.values)
    return "; ".join(
        disorders(model)
    ), f"{ngrams} n-grams, sorted, each after one of the order below"


def disorders(model: NgramTables) -> Iterator[str]:
    """Yield each fault: keys that are not sorted or point nowhere, values that are not numbers,
    probabilities above 1."""
    for n in range(1, model.order + 1):
        if n > 1:
            yield from _odd_keys(model, n)
        yield from _odd_values(model, n)


def _odd_keys(model: NgramTables, n: int) -> Iterator[str]:
    unsorted, last_context, last_word = NOWHERE, 0, 0
    for first, block in _blocks(model.keys[n - 2]):
        at = np.flatnonzero(block[1:] <= block[:-1])
        if len(at) and unsorted == NOWHERE:
            unsorted = first + int(at[0]) + 1
        contexts, words = split_keys(block, model.size)
        last_context = max(last_context, int(contexts.max()))
        last_word = max(last_word, int(words.max()))
    if unsorted != NOWHERE:
        yield f"{n}-grams are not sorted, first at {unsorted:,}"
    if last_context >= len(model.values[n - 2]):
        yield f"{n}-grams follow {n - 1}-grams that do not exist"
    if last_word >= model.size:
        yield f"{n}-grams end in words that do not exist"


def _odd_values(model: NgramTables, n: int) -> Iterator[str]:
    odd = too_likely = NOWHERE
    largest = 0.0
    for first, block in _blocks(model.values[n - 1]):
        at = np.flatnonzero((np.isnan(block) | np.isposinf(block)).any(axis=1))
        if len(at) and odd == NOWHERE:
            odd = first + int(at[0])
        at = np.flatnonzero(block[:, 0] > TOLERANCE)
        if len(at) and too_likely == NOWHERE:
            too_likely, largest = first + int(at[0]), np.exp(block[at[0], 0])
    if odd != NOWHERE:
        yield f"a {n}-gram has values that are not numbers, first at {odd:,}"
    if too_likely != NOWHERE:
        yield f"a {n}-gram has a probability above 1, first at {too_likely:,}: {largest:.6g}"


def _blocks(table: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of a table with the number of the first one, in blocks that begin with the
    last row of the one before. Of a mapped file, no more than a block need be in memory."""
    for start in range(0, len(table), AT_ONCE):
        first = max(0, start - 1)
        yield first, table[first : start + AT_ONCE]
        drop_pages(table)


def contexts(
    model: NgramTables, most: int, generator: "np.random.Generator"
) -> tuple[list[np.ndarray], bool]:
    """Draw at most `most` contexts of an n-gram model. Return their ids by length, (S, T), and
    whether they are all there are.

    Contexts are the n-grams that another one continues, and one word that nothing continues, if
    there is one, after which the unigrams are left alone.
    """
    firsts = (split_keys(keys, model.size)[0] for keys in model.keys)
    # These are sorted; np.unique takes much longer.
    numbers = [sorted_M[np.diff(sorted_M, prepend=-1) > 0] for sorted_M in firsts]
    numbers = numbers or [np.zeros(0, dtype=np.int64)]
    alone = np.setdiff1d(np.arange(model.size), numbers[0], assume_unique=True)[:1]
    numbers[0] = np.append(alone, numbers[0])

    # Draw among the contexts of all lengths together.
    lengths = [len(numbers_S) for numbers_S in numbers]
    known = sum(lengths)
    is_chosen = np.zeros(known, dtype=bool)
    is_chosen[generator.choice(known, min(most, known), replace=False, shuffle=False)] = True
    parts = np.split(is_chosen, np.cumsum(lengths)[:-1])
    chosen = [numbers_S[part_S] for numbers_S, part_S in zip(numbers, parts, strict=True)]
    ids = [_words(model, length, numbers_S) for length, numbers_S in enumerate(chosen, start=1)]
    return ids, most >= known


def _words(model: NgramTables, length: int, numbers: np.ndarray) -> np.ndarray:
    """Return the ids of the n-grams of that length with these numbers; `<s>` is read as the
    boundary."""
    words_BT = np.stack(model.words(length, numbers), axis=1)
    return np.where(words_BT == model.size, model.tokenizer.boundary_id, words_BT)


# ---- The longest n-gram of a table that ends at each token of a text: how much of the context a
# model, or a training text, knows.


def longest_matches(
    ids_N: np.ndarray, keys: Sequence[np.ndarray], size: int, boundary_id: int
) -> np.ndarray:
    """Return how many words the longest n-gram has that ends at each token, (N,) int64; the start
    of the line counts as one. It is 1 where not even a bigram is there.

    ids_N: tokens below `size`, each line ending in the boundary. keys[n]: sorted keys of order n +
    2 (:mod:`rnnlm.lm.ngram.tables`).
    """
    words_N = ids_N.astype(np.int64)
    inputs_N = with_boundary(words_N, boundary_id)[:-1]
    starts_N = inputs_N == boundary_id
    contexts_N = np.where(starts_N, size, inputs_N)
    matched_N = np.ones(len(words_N), dtype=np.int64)
    # Each n-gram found is the context of the next word's (n + 1)-gram.
    for n, keys_M in enumerate(keys, start=2):
        numbers_N = find_many(keys_M, make_keys(np.maximum(contexts_N, 0), words_N, size))
        numbers_N[contexts_N < 0] = NOWHERE
        matched_N[numbers_N >= 0] = n
        contexts_N = np.append(NOWHERE, numbers_N[:-1])
        contexts_N[starts_N] = NOWHERE  # nothing lies before the start of a line
    return matched_N
