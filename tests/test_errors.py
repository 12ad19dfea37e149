"""Errors: text from outside is made harmless; packages that are missing are named."""

import pytest

from rnnlm import errors
from rnnlm.errors import RnnlmWarning, UsageError


@pytest.mark.parametrize(("text", "shown"), [
    ("plain [red] é 日本\u00a0", "plain [red] é 日本\u00a0"), ("\x1b[31m", "\\x1b[31m"),
    ("a\tb\r\n", "a\\tb\\r\\n"), ("\x9b\x00\x7f", "\\x9b\\x00\\x7f"),
    ("\u202eevil\u2066\u2028", "\\u202eevil\\u2066\\u2028"), ("\udcff", "\\udcff"),
])  # fmt: skip
def test_only_control_characters_are_escaped(text, shown):
    assert errors.visible(text) == shown


def test_missing_package_is_named_with_its_extra():
    install = r"pip install no_such_thing, or pip install -e '\.\[dask\]'"
    match = f"beam searches need the package no_such_thing.*{install}"
    with pytest.raises(UsageError, match=match):
        errors.require_package("no_such_thing.inside", "dask", "CTC beam searches")


EXTRAS = [
    ("serve", "httptools prometheus_client starlette uvicorn"),
    ("plots", "jinja2 matplotlib"),
]


@pytest.mark.parametrize("extra, packages", EXTRAS)
def test_missing_half_of_an_extra_brings_the_whole(extra, packages):
    for name in packages.split():
        missing = errors.missing_package(ModuleNotFoundError("no module", name=name))
        assert missing.hint.startswith(f"pip install {packages}, or pip install -e '.[{extra}]'")


@pytest.mark.parametrize("name", ["rnnlm.none_such", "numpy.none_such", "_lzma", "rnnlm", None])
def test_only_packages_are_to_be_installed(name):
    assert errors.missing_package(ModuleNotFoundError("no module", name=name)) is None


def test_notices_of_one_kind_are_gathered():
    notices = errors.NoticeCollector()
    for order in (2, 3, 4, 5, 6):
        notices.add(f"order {order}", "too little text")
    notices.add("order 2", "all counts are equal")
    with pytest.warns(RnnlmWarning) as told:
        notices.send()
        notices.send()  # those notices are not sent again
    first, second = (str(each.message) for each in told)
    assert first == "order 2, order 3, order 4 and 2 more: too little text"
    assert second == "order 2: all counts are equal"


def test_hint_lists_the_names_only_if_none_is_near():
    known = ("katz", "kn", "mkn")
    expected = "did you mean 'katz'?"
    assert errors.nearest("katx", known) == errors.did_you_mean("katx", known) == expected
    assert errors.nearest("other", known) == "choose one of: katz, kn, mkn"
    assert errors.did_you_mean("other", known) == ""
