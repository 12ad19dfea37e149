"""A plugin that runs the tests of a copy of rnnlm without satellites: those that need one are left
out. `-p support.core_alone` loads it."""

import re
import sys
from pathlib import Path

import pytest

# An editable installation would find modules in the checkout that the copy lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]

# What shows in the text of a test file that it needs a satellite.
NEEDS = re.compile(
    r"rnnlm[./](tasks|tools)|support(\.| import )(tiny_(pairs|seq2seq|tasks|translators|labellers)"
    r"|servers|foreign_\w+|exported_models|hostile)|inspect |rescore|serve |tagger|classifier"
    r"|seq2seq|huggingface|hf:|tagging|n_vectors|--task"
)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out test files that name a satellite."""
    if not collection_path.name.startswith("test_"):
        return None
    return bool(NEEDS.search(collection_path.read_text(encoding="utf-8"))) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests that use a fixture of a satellite."""
    known = [{"request", *item._fixtureinfo.name2fixturedefs, *_parameters(item)} for item in items]
    items[:] = [
        item for item, names in zip(items, known, strict=True) if names >= {*item.fixturenames}
    ]


def _parameters(item: pytest.Item) -> list[str]:
    return list(item.callspec.params) if hasattr(item, "callspec") else []
