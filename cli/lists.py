"""Options that take a list: parts between commas."""

from collections.abc import Callable
from typing import Any

import click


def list_of(kind: Callable[[str], Any], what: str) -> Callable[..., tuple[Any, ...] | None]:
    """What reads an option as a list of `kind`; `what` names its parts in a message. None where the option is not given."""

    def parse(context: click.Context, option: click.Parameter, text: str | None) -> tuple[Any, ...] | None:
        if text is None:
            return None
        try:
            return tuple(kind(part) for part in map(str.strip, text.split(",")) if part)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a list of {what}") from None

    return parse
