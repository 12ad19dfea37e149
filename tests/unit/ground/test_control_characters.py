import pytest

from rnnlm.control_characters import visible


@pytest.mark.parametrize(
    "text, shown",
    [("plain [red] é 日本", "plain [red] é 日本"), ("\x1b[31m", "\\x1b[31m"), ("a\tb\r\n", "a\\tb\\r\\n"), ("\x9b\x00\x7f", "\\x9b\\x00\\x7f"),
     ("\u202eevil\u2066\u2028", "\\u202eevil\\u2066\\u2028"), ("\udcff", "\\udcff"), ("\u00a0", "\u00a0")],
)  # fmt: skip
def test_control_characters_are_written_out_and_all_else_is_left(text, shown):
    assert visible(text) == shown
