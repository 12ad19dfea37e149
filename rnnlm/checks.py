"""Check arguments from Python where a wrong type would do harm.

One text where several are meant would be read letter by letter, a table by the names of its
columns; kernels would read beyond the end of another model's state, or of ids of another shape.
Elsewhere Python itself reports the fault.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np

from rnnlm.config import plain
from rnnlm.errors import ArgumentTypeError, UsageError, given, with_article
from rnnlm.interface import Array, ModelHandle

T = TypeVar("T")


def several(values: Iterable[T], name: str) -> list[T]:
    """Return `values` as a list; a message calls them `name`.

    Raises:
        ArgumentTypeError: it is one text or path instead, or a table.
    """
    return list(_iterable(values, name))


def items_of(values: Iterable[T], kind: type[T] | tuple[type, ...], name: str) -> Iterator[T]:
    """Return `values` one by one, each checked to be of a class as it comes.

    Raises:
        ArgumentTypeError: it is one text instead, or a table; while iterating: an item is of
            another class.
    """
    return _checked_items(_iterable(values, name), kind, name)


def _iterable(values: Iterable[T], name: str) -> Iterable[T]:
    is_one = isinstance(values, (str, bytes, bytearray, os.PathLike, ModelHandle))
    is_table = hasattr(values, "columns")
    is_single = getattr(values, "ndim", 1) == 0  # an array of numpy
    is_wrong = is_one or is_table or is_single or isinstance(values, Mapping)
    if not is_wrong and isinstance(values, Iterable):
        return values

    hint = ""
    if is_one:
        hint = "put it in a list, even if it is the only one"
    elif is_table:
        hint = 'give one of its columns: table["NAME"]'
    raise ArgumentTypeError(f"{name} must be a list, not {given(values)}", hint=hint)


def _checked_items(values: Iterable[T], kind: type[T] | tuple[type, ...], name: str) -> Iterator[T]:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    for index, value in enumerate(values):
        if not isinstance(value, kinds):
            value = plain(value)
        if not isinstance(value, kinds):
            wanted = " or ".join(with_article(kind.__name__) for kind in kinds)
            is_bytes = isinstance(value, bytes) and str in kinds
            raise ArgumentTypeError(
                f"{name}[{index}] must be {wanted}, not {given(value)}",
                hint="decode the bytes first" if is_bytes else "",
            )
        yield value


def check_no_dataset(value: object, name: str) -> None:
    """Check that `value`, which is a text, is no data set or data frame itself.

    Raises:
        ArgumentTypeError: it is.
    """
    if hasattr(value, "column_names") or hasattr(value, "columns"):
        raise ArgumentTypeError(
            f"{name} must be a path or a rnnlm.Corpus, not {given(value)}",
            hint="write rnnlm.Corpus.from_dataset(data)",
        )


def check_class(value: object, kind: type, name: str) -> None:
    """Check that `value`, which a message calls `name`, is of a class.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not isinstance(value, kind):
        raise ArgumentTypeError(f"{name} must be {with_article(kind.__name__)}, not {given(value)}")


def check_path(value: object, name: str) -> None:
    """Check that `value`, which a message calls `name`, names a file or folder.

    Raises:
        ArgumentTypeError: it does not.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise ArgumentTypeError(name + f" must be a str or a path, not {given(value)}")


# ---- Ids that models read, their shapes, and states.


def token_ids(ids_BT: Array) -> Array:
    """Return `ids_BT`, an array of numpy or torch that holds token ids, T in each of B rows; lists
    become an array of numpy.

    Raises:
        ArgumentTypeError: it holds something else.
    """
    if not hasattr(ids_BT, "dtype"):
        with contextlib.suppress(ValueError):  # lists of different lengths
            ids_BT = np.asarray(ids_BT)

    # torch has no kinds of types, so its types are known by their names.
    dtype = getattr(ids_BT, "dtype", None)
    if isinstance(dtype, np.dtype):
        is_whole = dtype.kind in "iu"
    else:
        is_whole = str(dtype).startswith(("torch.int", "torch.uint"))
    if is_whole and ids_BT.ndim == 2:
        return ids_BT

    description = given(ids_BT)
    if dtype is not None:
        description = f"a {ids_BT.ndim}-dimensional array of {dtype}"
    raise ArgumentTypeError(
        f"token ids must be a numpy or torch array of integers with shape (B, T), not {description}"
    )


def check_state(state: object, kind: type) -> None:
    """Check that a model was given a state of its own kind.

    Raises:
        ArgumentTypeError: it was not.
    """
    if not isinstance(state, kind):
        raise ArgumentTypeError(
            f"the state must be {with_article(kind.__name__)} of this model, not {given(state)}",
            hint="start from model.initial_state(rows), then pass on the state that score or "
            "predict returns",
        )


def check_shapes(
    inputs_BT: Array, targets_BT: Array | None = None, rows: int | None = None
) -> None:
    """Check that a model scores as many targets as it reads, and reads as many rows as its state
    has: kernels rely on it.

    Raises:
        UsageError: it would not.
    """
    if targets_BT is not None and inputs_BT.shape != targets_BT.shape:
        raise UsageError(
            f"inputs and targets have different shapes, {tuple(inputs_BT.shape)} and "
            f"{tuple(targets_BT.shape)}",
            "each input needs one target, the token after it",
        )
    if rows is not None and len(inputs_BT) != rows:
        raise UsageError(
            f"the inputs have {len(inputs_BT):,} rows, but the state has {rows:,}",
            hint="start from model.initial_state(rows), or pick rows of the state with select",
        )
