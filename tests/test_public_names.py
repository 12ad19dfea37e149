"""The names people are told of: importable, documented, and listed in docs/python.md."""

import inspect
import re
from pathlib import Path

import pytest

import rnnlm

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
PUBLIC = [name for name in rnnlm.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name):
    assert inspect.getdoc(getattr(rnnlm, name))


def test_dir_and_all_agree_and_hide_no_module():
    assert set(rnnlm.__all__) <= set(dir(rnnlm))
    for name in PUBLIC:
        assert not inspect.ismodule(getattr(rnnlm, name))


def test_the_page_on_python_lists_the_public_names():
    table = PAGE.read_text(encoding="utf-8").split("| to | names |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(PUBLIC)
