"""`rnnlm doctor`: is a model whole, and do its probabilities sum to one?"""

import dataclasses

import click

from .. import terminal
from ..options import (
    argument_or_option,
    device_option,
    json_option,
    model_or_demo_option,
    number_option,
    or_demo,
)


@click.command()
@click.argument("model", required=False)
@model_or_demo_option
@click.option("--sample", type=int, metavar="N",
              help="Take the sums after N contexts, sentences or sources, at random.  [default: "
                   "all, or what takes seconds]")  # fmt: skip
@number_option("--seed", default=0, help="Of the random sample.", least=0)
@device_option
@json_option
def command(
    model: str | None,
    model_name: str | None,
    sample: int | None,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Check a model: files, hashes, arrays, and that it sums to one.

    \b
    rnnlm doctor my-model
    rnnlm doctor my-model --sample 1000

    The probabilities of all tokens must sum to one after any context, those of labels at any word;
    and labels, or what is written, must be the same whatever else is read beside a sentence. Exit
    code 0 when all is well, 1 otherwise.
    """
    from rnnlm.evaluation.soundness import audit

    checks = list(
        audit(
            or_demo(argument_or_option(model, model_name)), sample=sample, seed=seed, device=device
        )
    )
    is_well = not any(check.result == "failed" for check in checks)
    if as_json:
        terminal.print_json(
            {"well": is_well, "checks": [dataclasses.asdict(check) for check in checks]}
        )
    else:
        terminal.print_table(
            ["check", "result", "detail"],
            [[check.name, check.result, check.detail] for check in checks],
        )
    if not is_well:
        click.get_current_context().exit(1)
