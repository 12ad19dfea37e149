"""Text from outside, made harmless to show: a terminal obeys control characters, and a reader is misled by those that turn text around."""

import re

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def visible(text: str) -> str:
    """`text` with control characters (terminal escapes, line ends, bidirectional overrides) written out as in Python's strings."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
