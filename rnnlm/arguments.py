"""Arguments of public functions, checked against the functions' annotations before anything is
done.

A wrong type is an :class:`rnnlm.errors.ArgumentTypeError` that names the parameter, what it takes
and what it was given. The items of a collection are checked with it, those of an iterator as they
come, the fields of settings with their settings. Ranges and known names are the functions' own
matter.
"""

import contextlib
import dataclasses
import functools
import importlib
import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union

from rnnlm.errors import ArgumentTypeError, UsageError, given, with_article
from rnnlm.interface import Array

F = TypeVar("F", bound=Callable[..., Any])

_ACCEPTED: dict[object, tuple[type, ...]] = {  # where an annotation means more than its class
    int: (numbers.Integral,), float: (numbers.Real,), bool: (numbers.Integral,),
    Path: (os.PathLike,),
}  # fmt: skip
_NAMED = {
    str: ("a str", "str"), int: ("an int", "int"), float: ("a number", "numbers"),
    bool: ("True or False", "True or False"),
    types.NoneType: ("None", "None"), Path: ("a Path", "Path"),
    "LanguageModel": ("a language model", "language models"),
    "Tokenizer": ("a tokenizer", "tokenizers"), "Text": ("a text such as rnnlm.Corpus", "texts"),
    "EncodedText": ("an encoded text", "encoded texts"),
}  # fmt: skip
_NEEDED = {
    "LanguageModel": ("tokenizer", "initial_state", "score", "predict"),
    "Tokenizer": ("boundary_id", "encode", "decode"),
}
# classes that keep a protocol, which takes a while to find out
_KNOWN: set[tuple[type, type]] = set()
_NAME_OR_PATH = ("a name or path", "names or paths")
_MODEL_OR_NAME = ("a language model or its name", "language models or their names")


class _Mismatch(NamedTuple):
    """A value at a place (`sentences[0]`) that is not what the annotation there says."""

    where: str
    hint: object
    value: object

    def error(self, function: str) -> ArgumentTypeError:
        what = f"{function}: {self.where} must be {_words(self.hint)}, not {given(self.value)}"
        if isinstance(self.value, str) and "a list of" in what:
            return ArgumentTypeError(what, hint="put it in a list, even if it is the only one")
        return ArgumentTypeError(
            what,
            hint="decode the bytes first"
            if isinstance(self.value, bytes) and "str" in what
            else "",
        )


def checked(function: F, name: str) -> F:
    """`function`, called `name` in :mod:`rnnlm`, which checks the types of its arguments when it is
    called."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def with_checks(*arguments: Any, **keywords: Any) -> Any:
        try:
            bound = signature.bind(*arguments, **keywords)
        except TypeError:
            # Python says itself what is missing, or too much
            return function(*arguments, **keywords)
        hints = hints_of(function)
        for parameter, value in bound.arguments.items():
            if (
                parameter in hints
                and signature.parameters[parameter].kind is not inspect.Parameter.VAR_KEYWORD
            ):
                bound.arguments[parameter] = _checked(value, hints[parameter], parameter, name)
        return function(*bound.args, **bound.kwargs)

    with_checks.__module__, with_checks.__qualname__ = "rnnlm", name  # where pickle finds it
    return typing.cast(F, with_checks)


def check(function: str, values: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    """Check `values` of parameters of that function by name, where `hints` has an annotation for
    them.

    Raises:
        ArgumentTypeError: one is of another type.
    """
    for name in values.keys() & hints.keys():
        _checked(values[name], hints[name], name, function)


def check_fields(settings: object) -> None:
    """Check the fields of settings against their annotations.

    Raises:
        ArgumentTypeError: one is of another type.
    """
    if found := _mismatch_of_fields(settings, "settings"):
        raise found.error(type(settings).__name__)


def token_ids(ids_BT: Any) -> Array:
    """`ids_BT`, an array of numpy or torch (lists become one of numpy), which holds token ids, T in
    each of B rows.

    Raises:
        ArgumentTypeError: it does not.
    """
    import numpy as np  # settings are checked here, too, and must not wait for it

    if not hasattr(ids_BT, "dtype"):
        with contextlib.suppress(ValueError):  # lists of different lengths
            ids_BT = np.asarray(ids_BT)
    numbers_are = getattr(ids_BT, "dtype", None)
    is_whole = (
        numbers_are.kind in "iu"
        if isinstance(numbers_are, np.dtype)
        else str(numbers_are).startswith(("torch.int", "torch.uint"))
    )
    if is_whole and ids_BT.ndim == 2:
        return ids_BT
    found = (
        given(ids_BT) if numbers_are is None else f"{ids_BT.ndim}-dimensional ones of {numbers_are}"
    )
    raise ArgumentTypeError(
        "token ids must be whole numbers in an array of numpy or torch, of shape (B, T), not "
        f"{found}"
    )


def check_state(state: object, kind: type) -> None:
    """Check that a model was given a state of its own kind.

    Raises:
        ArgumentTypeError: it was not.
    """
    if not isinstance(state, kind):
        what = f"the state must be {with_article(kind.__name__)} of this model, not {given(state)}"
        raise ArgumentTypeError(
            what,
            hint="the first one is model.initial_state(rows), the next ones are what score "
            "and predict return",
        )


def check_shapes(
    inputs_BT: Array, targets_BT: Array | None = None, rows: int | None = None
) -> None:
    """Check that a model scores as many targets as it reads, and reads as many rows as its state
    has: kernels take that for granted.

    Raises:
        UsageError: it would not.
    """
    if targets_BT is not None and inputs_BT.shape != targets_BT.shape:
        shapes = f"{tuple(inputs_BT.shape)} and {tuple(targets_BT.shape)}"
        raise UsageError(
            f"inputs and targets have different shapes, {shapes}",
            "each input has one target, the token after it",
        )
    if rows is not None and len(inputs_BT) != rows:
        what = f"inputs of {len(inputs_BT):,} rows, and a state of {rows:,}"
        raise UsageError(
            what, hint="begin with model.initial_state(rows), or choose its rows with select"
        )


@functools.cache
def hints_of(source: object) -> dict[str, Any]:
    """The annotations of a function or a class; a name in them that only type checkers know is
    Any, but for numpy's."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(source, localns=unknown or None)
        except NameError as error:
            name = str(error.name)
            unknown[name] = importlib.import_module("numpy") if name == "np" else Any


def _checked(value: object, hint: object, where: str, function: str) -> Any:
    """`value`; an iterator as a list where several reads are expected, else as one that checks its
    items.

    Raises:
        ArgumentTypeError: it is not what `hint` says.
    """
    if isinstance(value, Iterator) and (
        several := [each for each in _alternatives(hint) if _item_hint(each)]
    ):
        if typing.get_origin(several[0]) is Iterable:
            return _items_as_they_come(value, several[0], where, function)
        value = list(value)
    if found := _mismatch(value, hint, where) or _mismatch_of_fields(value, where):
        raise found.error(function)
    return value


def _items_as_they_come(
    items: Iterator[object], hint: object, where: str, function: str
) -> Iterator[object]:
    [known] = typing.get_args(hint)
    for index, item in enumerate(items):
        if type(item) is not known and (found := _mismatch(item, known, f"{where}[{index}]")):
            raise found.error(function)
        yield item


@functools.cache
def _alternatives(hint: object) -> tuple[object, ...]:
    """The members of a union, or the annotation alone."""
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


@functools.cache
def _item_hint(hint: object) -> object:
    """What the items of a collection are, where the annotation is of one that is not a mapping."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    is_several = (
        isinstance(origin, type)
        and issubclass(origin, Iterable)
        and not issubclass(origin, Mapping)
    )
    return arguments[0] if is_several and arguments[1:] in ((), (...,)) else None


def _mismatch(value: object, hint: object, where: str) -> _Mismatch | None:
    """What of `value` does not match the annotation. Unions of the same members are one to Python,
    in whatever order they were written.

    Raises:
        UsageError: nothing matches, and `value` itself says why: a model of another task.
    """
    if type(value) in _alternatives(hint):
        return None
    found, refusal = [], None
    for each in _alternatives(hint):
        try:
            found.append(_mismatch_of_one(value, each, where))
        except UsageError as error:
            refusal = error
            continue
        if found[-1] is None:
            return None
    if refusal is not None:
        raise refusal
    # the right kind of collection
    inside = next((each for each in found if each and each.where != where), None)
    return inside or _Mismatch(where, hint, value)


def _mismatch_of_one(value: object, hint: object, where: str) -> _Mismatch | None:
    origin = typing.get_origin(hint)
    if item_hint := _item_hint(hint):
        is_text = isinstance(value, (str, bytes, bytearray, os.PathLike))
        is_table = isinstance(value, Mapping) or hasattr(value, "columns")
        if isinstance(value, Iterable) and not is_text and not is_table:
            return _mismatch_inside(value, item_hint, where)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return _mismatch_of_items(value, typing.get_args(hint), where)
    elif _is_a(value, hint, origin):
        return None
    return _Mismatch(where, hint, value)


def _mismatch_of_items(
    value: Mapping[object, object], hints: tuple[object, ...], where: str
) -> _Mismatch | None:
    keys = (_mismatch(key, hints[0], f"a key of {where}") for key in value)
    values = (_mismatch(each, hints[-1], f"{where}[{key!r}]") for key, each in value.items())
    return next(filter(None, (*keys, *values)), None)


def _mismatch_inside(items: Iterable[object], hint: object, where: str) -> _Mismatch | None:
    if not isinstance(items, Collection) or hint in (Any, Ellipsis):
        return None
    unseen = set(map(type, items))
    for index, item in enumerate(items):
        if not unseen:
            break
        if type(item) in unseen and (found := _mismatch(item, hint, f"{where}[{index}]")):
            return found
        unseen.discard(type(item))
    return None


def _is_a(value: object, kind: Any, origin: object) -> bool:
    """Whether `value` is of that class, or has the methods of that protocol."""
    if kind in (Any, object) or isinstance(kind, TypeVar):
        return True
    if origin is Literal:
        return isinstance(value, tuple(map(type, typing.get_args(kind))))
    if origin is Callable:
        return callable(value)
    kind = origin or kind
    if getattr(kind, "_is_protocol", False):
        if (type(value), kind) not in _KNOWN and (
            isinstance(value, type) or not _has_parts(value, kind)
        ):
            return False
        _KNOWN.add((type(value), kind))
        return True
    if kind is bool and type(value).__name__ in ("bool", "bool_"):  # Python's or numpy's
        return True
    return isinstance(value, _ACCEPTED.get(kind, kind))


def _has_parts(value: object, protocol: type) -> bool:
    """Whether `value` has what every function needs of the protocol; which parts it can do without
    is its own matter."""
    # A model of another task is a model: the function itself says what it is, and what takes it.
    if protocol.__name__ == "LanguageModel" and hasattr(value, "task"):
        return True
    needed = _NEEDED.get(protocol.__name__) or [
        part for part in vars(protocol) if not part.startswith("_")
    ]
    return all(hasattr(value, part) for part in needed)


def _mismatch_of_fields(value: object, where: str) -> _Mismatch | None:
    """The first wrong field of settings, or of settings in them."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return None
    hints = hints_of(type(value))
    places = [
        (getattr(value, field.name), hints[field.name], f"{where}.{field.name}")
        for field in dataclasses.fields(value)
    ]
    return next(
        (
            found
            for each in places
            if (found := _mismatch(*each) or _mismatch_of_fields(each[0], each[2]))
        ),
        None,
    )


def _words(hint: object, several: bool = False) -> str:
    """What an annotation takes, in words; `several`: of such things."""
    named = list(_alternatives(hint))
    words: list[tuple[str, str]] = []
    names = [
        kind for kind in named if getattr(kind, "__name__", "") in ("LanguageModel", "LabelModel")
    ]
    if str in named and (Path in named or names):
        words.append(_MODEL_OR_NAME if names else _NAME_OR_PATH)
        named = [kind for kind in named if kind not in (str, Path, *names)]
    words += [_words_of_one(kind) for kind in named]
    chosen = [each[several] for each in words]
    return " or ".join([*([", ".join(chosen[:-1])] if chosen[1:] else []), chosen[-1]])


def _words_of_one(hint: object) -> tuple[str, str]:
    """One of it, and several."""
    origin = typing.get_origin(hint)
    if item_hint := _item_hint(hint):
        return (
            f"a list of {_words(item_hint, several=True)}",
            f"lists of {_words(item_hint, several=True)}",
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        values = typing.get_args(hint)[-1]
        return "a dict" if values is Any else f"a dict of {_words(values, several=True)}", "dicts"
    if origin is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint))), "names"
    if origin is Callable:
        return "a function", "functions"
    name = getattr(origin or hint, "__name__", str(hint))
    return _NAMED.get(hint) or _NAMED.get(name) or (with_article(name), name)
