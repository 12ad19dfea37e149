"""`rnnlm inspect WHAT`: inspect the knowledge of a model. Each WHAT is a command of
rnnlm/tools/inspection/inspection_commands.py."""

import itertools

import click

from rnnlm.cli.declaring import CommandGroup

GROUPS = {  # as `rnnlm inspect --help` shows them
    "Over time": ("gradients", "spectrum", "gates", "units", "memory", "cloze", "beam"),
    "Word vectors": ("neighbours", "similarity"),
    "Layers": ("probe",),
    "Lessons": ("step", "activations", "surface", "gradcheck"),
}
WHATS = tuple(itertools.chain.from_iterable(GROUPS.values()))


class _InspectionCommands(CommandGroup):
    """Looks up the commands in rnnlm/tools/inspection/inspection_commands.py."""

    groups, unknown = GROUPS, "no such inspect command"

    def load(self, name: str) -> click.Command:
        from rnnlm.tools.inspection.inspection_commands import INSPECTIONS

        return INSPECTIONS[name]


@click.group(cls=_InspectionCommands)
def command() -> None:
    """Show what a model has learned, remembers and forgets.

    \b
    rnnlm inspect gates "the old man" --plot gates.svg
    rnnlm inspect memory -m my-model --on my.txt
    rnnlm inspect neighbours winter

    Each command prints tables and a sentence that explains them. --json prints JSON, and --plot
    FILE saves a plot. The model does not change.
    """
