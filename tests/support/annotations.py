"""Annotations of functions and classes, for tests of what is public."""

import typing
from typing import Any

import numpy as np


def annotations_of(source: object) -> dict[str, Any]:
    """Return the annotations of a function or a class. Names that only type checkers know become
    Any, except numpy's."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(source, localns=unknown or None)
        except NameError as error:
            name = str(error.name)
            unknown[name] = np if name == "np" else Any
