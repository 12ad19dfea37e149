"""`rnnlm bench`: how fast this machine is, beside bare references in the same run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from . import terminal
from .options import json_option


@click.group()
def command() -> None:
    """Measure speed beside a bare reference, in one run."""


@command.command()
@click.argument("text", nargs=-1)
@click.option("--recipe", default=None, help="Whose settings to time.  [default: demo]")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="One setting; may be repeated.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds after the one to warm up.")
@click.option("--steps", type=click.IntRange(1), default=50, show_default=True, help="Steps of each loop in a round.")
@json_option
def train(text: tuple[str, ...], recipe: str | None, assignments: tuple[str, ...], rounds: int, steps: int, as_json: bool) -> None:
    """Tokens/s of training: ours, a bare loop over the same network, and a plain textbook loop, in turns.

    On TEXT, or the bundled corpus. Nothing is saved.
    """
    import tempfile

    from rnnlm.benchmark import Round, bench_training
    from rnnlm.config import parse_assignments
    from rnnlm.planning import Request, plan

    with tempfile.TemporaryDirectory() as folder:
        request = Request(text=text, recipe=recipe or "demo", assignments=parse_assignments(assignments), output=Path(folder))
        results = list(bench_training(plan(request), rounds, steps))
    if as_json:
        terminal.print_json(asdict(results[-1]))
        return
    _show([result for result in results if isinstance(result, Round)], results[-1])


def _show(rounds: list[Any], summary: Any) -> None:
    columns = ["round", "rnnlm tokens/s", "same network, bare loop", "plain loop", "ratio to bare", "ratio to plain"]
    rows = [[str(r.number), r.ours, r.bare, r.plain, r.ours / r.bare, r.ours / r.plain] for r in rounds]
    rows.append(["median", *asdict(summary).values()])
    cells = [[row[0], *(f"{v:,.0f}" for v in row[1:4]), *(f"{v:.3f}" for v in row[4:])] for row in rows]
    terminal.print_table(columns, cells, right=columns[1:])
