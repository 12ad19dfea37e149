"""Text from outside, made harmless to show: a terminal obeys control characters, and a reader is misled by those that turn text around."""

import re

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def visible(text: str, kept: str = "") -> str:
    """`text` with control characters (terminal escapes, line ends, bidirectional overrides) written out as in Python's strings, but those
    `kept`."""
    return CONTROL.sub(lambda match: match[0] if match[0] in kept else _written_out(match[0]), text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
