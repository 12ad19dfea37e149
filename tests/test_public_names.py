"""The names people are told of: importable, documented, and listed in docs/python.md."""

import ast
import contextlib
import dataclasses
import importlib
import inspect
import re
import sys
import typing
from pathlib import Path

import pytest

import rnnlm
from rnnlm.config import describe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"
PUBLIC = [name for name in rnnlm.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name):
    value = getattr(rnnlm, name)
    assert inspect.getdoc(value) and not inspect.ismodule(value)


def classes_of_recipes():
    """Yield the classes that CONTRIBUTING.md names."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z]\w+)`", page))
    for path in sorted((ROOT / "rnnlm").rglob("*.py")):
        code = path.read_text(encoding="utf-8")
        for name in sorted(named.intersection(re.findall(r"^class (\w+)", code, re.MULTILINE))):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield getattr(importlib.import_module(module.removesuffix(".__init__")), name)


def returned_by(function):
    """Return the type that a function returns, looking up names imported for annotations alone."""
    module = sys.modules[function.__module__]
    names = dict(vars(module))
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                with contextlib.suppress(ImportError):  # of an optional package
                    exec(ast.unparse(statement), names)
    with contextlib.suppress(NameError, AttributeError):
        return typing.get_type_hints(function, names).get("return")


def classes_in(annotation):
    """Yield our classes in an annotation, such as Sample in RecordList[Sample]."""
    if inspect.isclass(annotation) and annotation.__module__.startswith("rnnlm"):
        yield annotation
    for part in typing.get_args(annotation):
        yield from classes_in(part)


def is_ours(function):
    is_python = inspect.isfunction(function) or inspect.ismethod(function)
    return is_python and function.__module__.startswith("rnnlm")


def methods_of(cls):
    """Yield the public methods of a class, and whether each is a property."""
    for name, method in inspect.getmembers_static(cls):
        getter = getattr(method, "fget", getattr(method, "func", None))
        function = getter or getattr(cls, name)
        if is_ours(function) and not name.startswith("_") and name not in fields_of(cls):
            yield function, getter is not None


def fields_of(cls):
    """Return the public fields of a dataclass or named tuple."""
    names = getattr(cls, "_fields", ())
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    return {name for name in names if not name.startswith("_")}


def parameters_of(function):
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def named_in(text, section):
    """Return the names that a docstring describes in a section such as Args."""
    blocks = re.findall(rf"^{section}:\n((?:(?: {{4}}.*)?\n)*)", f"{text}\n", re.MULTILINE)
    return set(re.findall(r"^    \**(\w+): ", "".join(blocks), re.MULTILINE))


def faults_of(cls):
    """Yield the names that the docstrings of a class and its bases lack, or have in excess."""
    texts = [inspect.cleandoc(vars(base).get("__doc__") or "") for base in cls.__mro__]
    arguments = set().union(*(named_in(text, "Args") for text in texts))
    attributes = set().union(*(named_in(text, "Attributes") for text in texts))
    if fields_of(cls):
        yield from attributes.difference(dir(cls), inspect.get_annotations(cls), fields_of(cls))
        with contextlib.suppress(NameError, TypeError):  # no settings
            attributes |= {name for name, about in describe(cls).items() if about}
        yield from fields_of(cls) - attributes
    elif not dataclasses.is_dataclass(cls) and is_ours(cls.__init__):
        yield from arguments ^ parameters_of(cls.__init__)


def test_docstrings_describe_every_parameter_and_attribute():
    """Of the public names, the classes that they return, and those that recipes name."""
    todo, seen, faults = list(classes_of_recipes()), set(), {}
    for name in PUBLIC:
        value = getattr(rnnlm, name)
        todo += [value] if inspect.isfunction(value) else classes_in(value)
    while todo:
        documented = todo.pop()
        if documented in seen:
            continue
        seen.add(documented)
        functions = [(documented, False)]
        if inspect.isclass(documented):
            faults[documented] = set(faults_of(documented))
            functions = list(methods_of(documented))
            for base in getattr(documented, "__orig_bases__", ()):
                todo += classes_in(base)
        for function, is_property in functions:
            if not is_property:
                described = named_in(inspect.getdoc(function), "Args")
                faults[function] = described ^ parameters_of(function)
            todo += classes_in(returned_by(inspect.unwrap(function)))
    assert len(seen) > 100
    assert not {name: missing for name, missing in faults.items() if missing}


def test_the_page_on_python_lists_the_public_names():
    table = PAGE.read_text(encoding="utf-8").split("| to | names |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(PUBLIC)
