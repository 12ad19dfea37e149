"""`rnnlm doctor`: whether a model is complete, and whether scores are what they should be, for a
model, a function or a server."""

from typing import Any

import click

from .. import terminal
from ..declaring import Command
from ..options import (
    chosen_model,
    device_option,
    json_option,
    model_option,
    options_added_to,
    refuse_given,
)


@click.command(cls=Command)
@click.argument("model", required=False)
@model_option
@device_option
@options_added_to("doctor")
@json_option
def command(
    model: str | None, model_name: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Check a model's files and probabilities, or any other scorer.

    \b
    rnnlm doctor my-model

    Probabilities must sum to one: probabilities of tokens after any context, of labels at any word.
    A score must not depend on later tokens, on other texts of a batch, on padding, or on what was
    scored before; each token counts once, with the probability that it had before it was read.
    "not checked": this access cannot show it. The exit code is 0 if no check fails, else 1.
    """
    from rnnlm import registry
    from rnnlm.errors import notice
    from rnnlm.evaluation.soundness import check_model

    if foreign_installation():
        notice(
            "another project called rnnlm is installed, too, and has the same command and import "
            "name; run pip uninstall rnnlm rnnlm-cli, then install this one again"
        )
    # Satellites open what is no model by its name, such as an address.
    name = model or model_name or ""
    open_scorer = None if model and model_name else registry.scorer_of(name)
    if open_scorer:
        checks = list(open_scorer(name, **given).checks())
    else:
        refuse_given([*given], "this is not for models")
        name = chosen_model(model_name, argument=model)
        checks = list(check_model(name, device=device))
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
