"""Docstrings: of all that is public, of what it returns, and of the classes that models, states and
tokenizers are."""

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Iterator
from typing import Any

import rnnlm
import rnnlm.kenlm
import rnnlm.neural.language_model
from support.annotations import annotations_of

PUBLIC = [getattr(rnnlm, name) for name in rnnlm.__all__ if name != "__version__"]
PROTOCOLS = {
    "LanguageModel": ("initial_state", "predict"),
    "State": ("select", "to_arrays"),
    "Tokenizer": ("encode", "decode"),
}


def implementations() -> list[type]:
    """Return the classes of models, states and tokenizers."""
    modules = [rnnlm.neural.language_model]
    for room in ("rnnlm.ngram", "rnnlm.combinations", "rnnlm.text.tokenizers"):
        package = importlib.import_module(room)
        modules += [
            importlib.import_module(f"{room}.{each.name}")
            for each in pkgutil.iter_modules(package.__path__)
            if not each.ispkg
        ]
    classes = {
        each
        for module in modules
        for each in vars(module).values()
        if inspect.isclass(each) and not each.__name__.startswith("_")
    }
    return [
        each
        for each in classes
        if any(all(hasattr(each, part) for part in parts) for parts in PROTOCOLS.values())
    ]


def hints_of(value: Any) -> list[Any]:
    """Return the types of a function's arguments and result, or of a class's fields and its
    methods' results."""
    if not inspect.isclass(value):
        return [*annotations_of(value).values()]
    return [
        *annotations_of(value).values(),
        *(annotations_of(part).get("return") for _, part in parts_of(value)),
    ]


def classes_in(hint: Any) -> Iterator[type]:
    if inspect.isclass(hint) and hint.__module__.split(".")[0] == "rnnlm":
        yield hint
    for argument in typing.get_args(hint):
        yield from classes_in(argument)


def parts_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class itself defines."""
    for name, part in vars(cls).items():
        part = part.__func__ if isinstance(part, (classmethod, staticmethod)) else part
        part = part.fget if isinstance(part, property) else part
        if not name.startswith("_") and inspect.isfunction(part):
            yield name, part


def reached() -> set[Any]:
    """Return everything public, and the classes that can be reached from there."""
    found: set[Any] = set()
    waiting = [*PUBLIC, rnnlm.kenlm.Model, *implementations()]
    while waiting:
        value = waiting.pop()
        if value not in found and not getattr(value, "__name__", "_").startswith("_"):
            found.add(value)
            waiting += [each for hint in hints_of(value) for each in classes_in(hint)]
    return found


def test_public_and_reachable_things_have_docstrings():
    lacking = []
    for value in reached():
        if not inspect.getdoc(value) or (inspect.isclass(value) and value.__doc__ is None):
            lacking.append(f"{value.__module__}.{value.__qualname__}")
        if inspect.isclass(value):
            lacking += [
                f"{value.__module__}.{part.__qualname__}"
                for name, part in parts_of(value)
                if not inspect.getdoc(getattr(value, name))
            ]
    assert sorted(lacking) == []


def test_a_docstring_says_which_errors_its_function_raises():
    silent = []
    for value in reached():
        for name, part in (
            parts_of(value) if inspect.isclass(value) else [(value.__name__, inspect.unwrap(value))]
        ):
            text = inspect.getdoc(getattr(value, name) if inspect.isclass(value) else part) or ""
            if re.search(r"\braise \w+Error\(", inspect.getsource(part)) and "Raises:" not in text:
                silent.append(f"{part.__module__}.{part.__qualname__}")
    assert sorted(silent) == []
