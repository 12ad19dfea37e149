"""`rnnlm doctor`: whether a model is complete, and its probabilities sum to one."""

import click

from .. import terminal
from ..help_sections import Command
from ..options import chosen_model, device_option, json_option, model_option


@click.command(cls=Command)
@click.argument("model", required=False)
@model_option
@device_option
@json_option
def command(model: str | None, model_name: str | None, device: str, as_json: bool) -> None:
    """Check a model's files, hashes, arrays and probabilities.

    \b
    rnnlm doctor my-model

    Probabilities must sum to one: probabilities of tokens after any context, of labels at any word.
    Labels and translations must not depend on the other sentences in a batch. The exit code is 0 if
    no check fails, else 1.
    """
    from rnnlm.errors import notice
    from rnnlm.evaluation.soundness import audit

    if foreign_installation():
        notice(
            "another project called rnnlm is installed, too, and has the same command and import "
            "name; run pip uninstall rnnlm rnnlm-cli, then install this one again"
        )
    checks = list(audit(chosen_model(model_name, argument=model), device=device))
    is_well = all(check.result != "failed" for check in checks)
    if as_json:
        terminal.print_json({"well": is_well, "checks": checks})
    else:
        rows = [[check.name, check.result, check.detail] for check in checks]
        terminal.print_table(terminal.Table(["check", "result", "detail"], rows))
    if not is_well:
        click.get_current_context().exit(1)


def foreign_installation() -> bool:
    """Return whether this Python has the `rnnlm` of PyPI, which is not ours: ours is the
    distribution rnnlm-cli. One that starts our command is an older checkout."""
    import importlib.metadata

    try:
        distribution = importlib.metadata.distribution("rnnlm")
    except importlib.metadata.PackageNotFoundError:
        return False
    scripts = distribution.entry_points.select(group="console_scripts", name="rnnlm")
    return all(script.value != "rnnlm.cli.main:main" for script in scripts)
