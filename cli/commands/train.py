"""`rnnlm train`: train a model on text."""

import os
import warnings
from typing import Any

import click

from rnnlm.errors import RnnlmWarning, TrainingError, UsageError
from rnnlm.models.registry import LANGUAGE_MODEL

from .. import terminal
from ..help import Command
from ..options import json_option, refuse_if, section, text_flags, text_options
from ..training_options import model_options, ngram_options, run_options, saving_options, task_options, tokenizer_options


class _Command(Command):
    """Takes `--resume auto` beside `--resume`, which other words may follow."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        end = arguments.index("--") if "--" in arguments else len(arguments)
        words: list[str] = []
        for word in arguments[:end]:
            if word == "auto" and words[-1:] == ["--resume=yes"]:
                words[-1] = "--resume=auto"
            else:
                words.append("--resume=yes" if word == "--resume" else word)
        return super().parse_args(context, [*words, *arguments[end:]])


@click.command(cls=_Command)
@click.argument("text", nargs=-1)
@section(
    "Text",
    click.option("--valid", multiple=True, metavar="TEXT", help="Validation text.  [default: the last 5 % of TEXT]"),
    click.option("--test", multiple=True, metavar="TEXT", help="Test text, evaluated once at the end."),
    text_options,
)
@task_options
@model_options
@tokenizer_options
@ngram_options
@run_options
@saving_options
@section("Output", json_option)
@click.pass_context
def command(context: click.Context, **given: Any) -> None:
    """Train a model on TEXT; without TEXT, on the bundled corpus.

    \b
    rnnlm train                                   the demo, in about three minutes
    rnnlm train my.txt --model gru --budget 10m   your own text
    rnnlm train my.txt --model ngram --order 3    an n-gram model, in seconds
    rnnlm train my.txt --recipe zaremba-small     of the literature: rnnlm recipes
    rnnlm train my.txt --grid model=rnn,gru,lstm  compare networks, in a table
    rnnlm train my.txt --set hidden_size=512 --dry-run

    TEXT: files, globs, - (standard input), or hf:OWNER/NAME (a data set).

    With --grid, a run goes to DIR/model=gru and so on, all with one text, tokenizer, budget and seed, and DIR/grid.tsv and
    DIR/curves.svg tell what came of them. The same command again trains only what is missing.

    The model is saved whenever it got better on the validation text. Ctrl-C, TERM or HUP end training at once, all of it
    stored; USR1 stores it and training goes on. To be safe overnight, repeat the same command with --resume auto until it ends well.
    When loss, gradients or weights are no longer numbers, or the loss is far above a uniform guess, training goes back to its last
    good state at half the learning rate, three times at most (--set rollbacks=3, rollback_factor=0.5).
    """
    as_json, dry_run, count = given.pop("as_json"), given.pop("dry_run"), given.pop("processes") or 1
    grid, equal = given.pop("grid"), given.pop("equal")
    refuse_if(equal and not grid, "--equal is about the runs of a grid: name its settings with --grid.")
    if grid:
        from ..grid import train_grid

        refuse_if(count > 1, "a grid is trained by one process: leave --processes out.")
        context.exit(train_grid(_request(given), grid, equal, as_json, dry_run))
    from ..processes import end_with_parent, launch, reported_once

    if _is_to_launch(count) and not dry_run:
        context.exit(launch(count, context.find_root().obj, given["threads"]))
    end_with_parent()
    with reported_once(context):
        _run(context, given, as_json, dry_run)


def _run(context: click.Context, given: dict[str, Any], as_json: bool, dry_run: bool) -> None:
    """This process's part of the command; of several, the first one speaks."""
    from rnnlm.system import current_rank, planning_together
    from rnnlm.text.lines import silent
    from rnnlm.training.plan import plan as plan_of

    from ..signals import Signals, saving_ignored

    context.with_resource(saving_ignored())
    here = current_rank()
    if here.rank:
        warnings.simplefilter("ignore", RnnlmWarning)
    request = _request(given)
    with planning_together():
        if here.count > 1 and "-" in (*request.text, *request.valid, *request.test):
            raise UsageError("several processes cannot share standard input", hint="write the text to a file and name the file")
        with terminal.Progress() as progress:
            plan = plan_of(request, silent if here.rank else progress)
    if dry_run:
        if not here.rank:
            _show_plan(plan, as_json)
        return
    signals = Signals(ends_in_order=plan.kind.family == "neural")
    try:
        finished = _train(plan, signals, speaks=not here.rank)
        if not here.rank:
            _show_results(plan, finished, as_json, bool(signals.ending))
    except TrainingError as error:
        if not signals.ending:
            raise
        terminal.show_error(error.what, error.why, error.hint)
    if signals.ending:
        context.exit(128 + signals.ending)


def _is_to_launch(count: int) -> bool:
    """Whether processes are to be started: this one is not one of them."""
    from rnnlm.system import current_rank

    from ..processes import LAUNCHED

    if count > 1 and current_rank().count > 1 and LAUNCHED not in os.environ:
        raise UsageError("--processes and torchrun both start processes", hint="leave one out")
    return count > 1 and LAUNCHED not in os.environ


def _request(given: dict[str, Any]) -> Any:
    from rnnlm.config import parse_assignments
    from rnnlm.training.request import Request

    own = {name: given.pop(name) for name in Request.__dataclass_fields__ if name in given}
    own["assignments"] = parse_assignments(own["assignments"])
    own["resume"] = {None: False, "yes": True, "auto": "auto"}[own["resume"]]
    flags = text_flags(given) | {name: value for name, value in given.items() if value is not None}
    return Request(**own, flags=flags)


def _train(plan: Any, signals: Any, speaks: bool = True) -> Any:
    """Run the plan under the display, if this process is the one that `speaks`; the last event. Signals are handled until
    the exact evaluation at the end, by when all is saved: it may be cut off."""
    from rnnlm.events import Evaluating
    from rnnlm.training import run as training

    from ..live import announce_counting, display_for

    if not speaks:
        with signals:
            for event in training.run(plan, signals.wants_end, signals.wants_saving):
                last = event  # and keep no other: some hold what a checkpoint holds
        return last
    terminal.say(f"training: {plan.kind.name}" + (f", recipe {plan.recipe}" if plan.recipe else ""))
    if plan.finished:
        terminal.say(f"the run in {plan.output} has already ended: no steps are left")
    elif plan.request.resume:
        terminal.say(f"continuing the run in {plan.output} after step {plan.initial.facts['step']:,}")
    announce_counting(plan)
    if plan.data.valid is not None:
        terminal.say(f"validation on {plan.valid_is}")
    with signals, display_for(plan.kind.family, plan.kind.task) as display:
        for event in training.run(plan, signals.wants_end, signals.wants_saving):
            display.show(event)
            if isinstance(event, Evaluating):
                signals.restore()
    return event


def _show_results(plan: Any, finished: Any, as_json: bool, signalled: bool = False) -> None:
    from rnnlm.config import Budget

    if finished.stopped == "request" or signalled:
        terminal.say(f"stopped on request; the best model (step {finished.step:,}) is saved in {finished.folder}")
        if plan.resolved.values.get("resumable"):
            terminal.say(f"to continue: run the same command with -o {finished.folder} --resume")
    else:
        early = " (stopped early: no improvement)" if finished.stopped == "early" else ""
        timed = Budget.parse(plan.resolved.values.get("budget", "1steps")).seconds
        if timed and finished.stopped == "budget":
            terminal.say(f"{finished.steps:,} steps in the time given; about the same run again: --budget {finished.steps}steps")
        terminal.say(f"saved in {finished.folder}, step {finished.step:,}, after {terminal.duration(finished.seconds)}{early}")
    if as_json:
        shown = {name: getattr(finished, name) for name in ("folder", "step", "steps", "stopped", "seconds", "results")}
        terminal.print_json(shown | {"seconds": round(finished.seconds, 2)})
        return
    if not finished.results:
        return
    if plan.kind.task != LANGUAGE_MODEL:
        from .. import label_figures, translation_figures

        if plan.kind.task == "seq2seq":
            translation_figures.show_translation_metrics(finished.results)
        else:
            label_figures.show_label_metrics(finished.results)
        return
    keys = ("tokens", "ppl_token", "ppl_token_no_oov", "ppl_word", "oov_words")
    rows = [[name, *(terminal.cell(result[key]) for key in keys)] for name, result in finished.results.items()]
    terminal.print_table(["text", *keys], rows, right=keys)
    for name, result in finished.results.items():
        click.echo(f"{name} signature: {result['signature']}")


def _show_plan(plan: Any, as_json: bool) -> None:
    sizes = {
        "model": plan.kind.name,
        "parameters": plan.parameters(),
        "vocabulary_size": plan.data.tokenizer.size,
        "train_tokens": plan.data.train.tokens,
        "valid_tokens": plan.data.valid.tokens if plan.data.valid else 0,
        "validation": plan.valid_is,
        "output": str(plan.output),
    }
    if as_json:
        settings = {name: {"value": value, "origin": origin} for name, value, origin, _ in plan.describe()}
        terminal.print_json({**sizes, "settings": settings})
        return
    rows = [[name, str(value), origin, about] for name, value, origin, about in plan.describe()]
    terminal.print_table(["setting", "value", "origin", "what it is"], rows, gap=2)
    for name, value in sizes.items():
        if value is None:
            value = "known once counted"
        click.echo(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {terminal.visible(value)}")
