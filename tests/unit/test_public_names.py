"""The names people are told of: importable, documented, and listed in docs/python.md."""

import inspect
import re
from pathlib import Path

import pytest

import rnnlm

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
PUBLIC = [name for name in rnnlm.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name):
    value = getattr(rnnlm, name)
    assert inspect.getdoc(value)
    assert value.__doc__, f"{name} has no docstring of its own"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_classes_and_functions_have_documented_parts(name):
    value = getattr(rnnlm, name)
    if inspect.isclass(value):
        methods = [
            part
            for key, part in vars(value).items()
            if inspect.isfunction(part) and not key.startswith("_")
        ]
        # what needs no sentence: a method that returns a plain view of the value, in one line
        assert not [
            part.__qualname__
            for part in methods
            if not part.__doc__ and len(inspect.getsource(part).splitlines()) > 4
        ]


def test_dir_and_all_agree_and_hide_no_module():
    assert set(rnnlm.__all__) <= set(dir(rnnlm))
    for name in PUBLIC:
        assert not inspect.ismodule(getattr(rnnlm, name))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        rnnlm.lode


def test_the_page_on_python_lists_the_public_names():
    table = PAGE.read_text(encoding="utf-8").split("| to | names |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(PUBLIC)
