"""`rnnlm inspect WHAT`: what a model learned, and why. Each WHAT is a command of cli/looks.py."""

import importlib
from typing import Any

import click

from rnnlm.errors import UsageError, nearest

from ..options import write_sections

GROUPS = {  # as `rnnlm inspect --help` shows them
    "Through time": ("gradients", "spectrum", "gates", "memory", "cloze"),
    "Word vectors": ("neighbours", "analogy", "analogies", "similarity", "map"),
    "Layers": ("probe",),
    "Lessons": ("surface", "gradcheck"),
}
WHATS = tuple(name for names in GROUPS.values() for name in names)


class _Looks(click.Group):
    """Finds each look in cli/looks.py."""

    def list_commands(self, context: click.Context | None) -> list[str]:
        return list(WHATS)

    def get_command(self, context: click.Context | None, name: str) -> click.Command | None:
        if name not in WHATS:
            return None
        return getattr(importlib.import_module("...looks", __name__), f"show_{name}")

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - max(map(len, WHATS)) - 6
        groups = {
            title: [
                (name, self.get_command(context, name).get_short_help_str(width)) for name in names
            ]
            for title, names in GROUPS.items()
        }
        write_sections(
            formatter,
            groups
            | {"Options": [option.get_help_record(context) for option in self.get_params(context)]},
        )

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        if arguments and arguments[0] not in WHATS and not context.resilient_parsing:
            raise UsageError(
                f"there is nothing to inspect called {arguments[0]!r}",
                hint=nearest(arguments[0], WHATS),
            )
        return super().resolve_command(context, arguments)


@click.group(cls=_Looks)
def command() -> None:
    """See what a model learned, remembers and forgets, and why.

    \b
    rnnlm inspect gates "the old man" --plot gates.svg
    rnnlm inspect memory -m my-model --on my.txt
    rnnlm inspect neighbours winter

    Each prints tables and a sentence on what they mean; --json, --plot FILE. The model is not
    changed.
    """
