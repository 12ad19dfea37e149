"""`rnnlm doctor`: whether a model is complete, and its probabilities sum to one."""

import click

from .. import terminal
from ..options import chosen_model, device_option, json_option, model_option


@click.command()
@click.argument("model", required=False)
@model_option
@device_option
@json_option
def command(model: str | None, model_name: str | None, device: str, as_json: bool) -> None:
    """Check a model: files, hashes, arrays, and that it sums to one.

    \b
    rnnlm doctor my-model

    The probabilities of all tokens must sum to one after any context, those of labels at any word;
    and labels or translations must not depend on the other sentences in a batch. Exit
    code 0 when all is well, 1 otherwise.
    """
    from rnnlm.errors import notice
    from rnnlm.evaluation.soundness import audit

    if foreign_installation():
        notice(
            "another project's rnnlm is installed here, too: it has the same command and import; "
            "pip uninstall rnnlm, then install this one again"
        )
    name = chosen_model(model_name, argument=model)
    checks = list(audit(name, device=device))
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
        found = importlib.metadata.distribution("rnnlm")
    except importlib.metadata.PackageNotFoundError:
        return False
    scripts = found.entry_points.select(group="console_scripts", name="rnnlm")
    return all(script.value != "rnnlm.cli.main:main" for script in scripts)
