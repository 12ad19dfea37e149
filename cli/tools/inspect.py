"""`rnnlm inspect WHAT`: what a model learned, and why. Each WHAT is a command of
cli/tools/inspections.py."""

import itertools

import click

from ..help_sections import CommandGroup

GROUPS = {  # as `rnnlm inspect --help` shows them
    "Through time": ("gradients", "spectrum", "gates", "memory", "cloze"),
    "Word vectors": ("neighbours",),
    "Layers": ("probe",),
    "Lessons": ("step", "activations", "surface", "gradcheck"),
}
WHATS = tuple(itertools.chain.from_iterable(GROUPS.values()))


class _Looks(CommandGroup):
    """Looks up the commands in cli/tools/inspections.py."""

    groups, unknown = GROUPS, "there is nothing to inspect called"

    def load(self, name: str) -> click.Command:
        from .inspections import LOOKS

        return LOOKS[name]


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
