"""`rnnlm train`: train a model on text."""

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm import registry
from rnnlm.errors import ReportedByOtherProcess, RnnlmWarning, TrainingError
from rnnlm.lm.neural.training.settings import OptimizationSettings, RunSettings
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.system import quoted
from rnnlm.text.lines import HoldoutSettings, silent
from rnnlm.training.request import TrainingRequest

from .. import metrics, options, terminal
from ..declaring import Command, options_of, section
from ..text_options import text_options, tokenizer_options

if TYPE_CHECKING:
    from rnnlm.events import Finished
    from rnnlm.training.plan import Plan

# ---- The options of `rnnlm train`, by section.

_TRAINED = [kind for kind in registry.all_kinds() if kind.is_trained]
_OF_TEXT = [kind.name for kind in _TRAINED if kind.task == registry.LANGUAGE_MODEL]
_OF_TASKS = list(dict.fromkeys(kind.name for kind in _TRAINED if kind.name not in _OF_TEXT))
_ALSO = f"; with --task also {', '.join(_OF_TASKS[:-1])} and {_OF_TASKS[-1]}" if _OF_TASKS else ""

_TASKS = list(dict.fromkeys(kind.task for kind in _TRAINED if kind.task != registry.LANGUAGE_MODEL))
_ANY_TASK = " or ".join(filter(None, [", ".join(_TASKS[:-1]), *_TASKS[-1:]])) or "a task"

_several = functools.partial(options_of, TrainingRequest, multiple=True, default_is="")


@click.command(cls=Command)
@click.argument("text", nargs=-1)
@section(
    "Text",
    _several("valid", default_is="the end of TEXT, see --holdout"),
    options_of(HoldoutSettings, "holdout"),
    _several("test"),
    text_options,
)
@section(
    "Model",
    options_of(TrainingRequest, "model",
               help=f"Kind of model: {', '.join(_OF_TEXT)}{_ALSO}."),
    options_of(TrainingRequest, "recipe", shell_complete=options.complete_recipe),
    click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                 shell_complete=options.complete_setting,
                 help="Change one setting; may be repeated."),
    options_of(TrainingRequest, "task",
               help=f"Train for {_ANY_TASK} instead of language modelling."),
    options_of(TrainingRequest, "init_from"),
)  # fmt: skip
@section("Model", options_of(OptimizationSettings, "embeddings"), rare=True)
@tokenizer_options
@section(
    "N-grams", options_of(NgramSettings, "order"), options_of(NgramSettings, "smoothing", type=str)
)
@section(
    "N-grams",
    options_of(NgramSettings, "prune", "discounts", "quantize"),
    goes_with=options.OF_NGRAMS,
)
@options.options_added_to("train")
@section(
    "Run",
    options_of(RunSettings, "budget", "device", "seed", default_is=""),
    click.option("--dry-run", is_flag=True,
                 help="Show every setting with its origin, sizes and token counts, but do not "
                      "train."),
    options.json_option,
)  # fmt: skip
@section("Run", options_of(RunSettings, "precision", "threads", default_is=""), rare=True)
@section(
    "Saving",
    options.output_option(
        "Model folder; run the same command again to resume.  [default: checkpoints/TEXT-KIND]",
        "DIR",
    ),
    options.overwrite_option("Replace the model in DIR."),
)
@section("Saving", options_of(RunSettings, "save_every"), rare=True)
@click.pass_context
def command(context: click.Context, **given: Any) -> None:
    """Train a model on TEXT, by default on the bundled corpus.

    \b
    rnnlm train                                   the demo, in about three minutes
    rnnlm train my.txt --model gru --budget 10m   your own text
    rnnlm train my.txt --model ngram --order 3    an n-gram model, in seconds
    rnnlm train my.txt --recipe zaremba-small     see rnnlm list recipes
    rnnlm train my.txt --set hidden_size=512 --dry-run

    TEXT: files, globs, - (standard input), or hf:OWNER/NAME (a data set). The model is saved in
    ./checkpoints, where rnnlm score, generate, eval and compare find it by its name (-m).

    \f
    The run keeps the model with the best of the validations shown. Validations take at most a tenth
    of the training time, or 4 % of a --budget in time. In a short run they read only a part of the
    validation text. The exact evaluation at the end reads all of it.

    What nobody sets, rnnlm chooses by the data, the size of the text, the time and the machine, and
    says so before training; --dry-run lists each choice with its reason. What you set stays.

    Ctrl-C, TERM and HUP save the state and stop training at once; USR1 saves the state and
    continues. Run the same command again to resume, with a larger --budget if you like.

    Training returns to its last good state if loss, gradients or weights are not numbers, or if the
    loss is far above the loss of a uniform guess. It continues with half the learning rate, and
    does so at most three times (--set rollbacks=3, rollback_factor=0.5).
    """
    as_json, dry_run = given.pop("as_json"), given.pop("dry_run")
    # Of several ranks, the one that fails first reports it.
    try:
        _run(context, given, as_json, dry_run)
    except ReportedByOtherProcess as error:
        context.exit(error.exit_code)


def _run(context: click.Context, given: dict[str, Any], as_json: bool, dry_run: bool) -> None:
    """Run this rank's part of the command. Of several ranks, only the first one prints."""
    from rnnlm.system import current_rank, planning_together
    from rnnlm.training.plan import dry_plan, plan as plan_of
    from rnnlm.training.run_folder import CompletedRun

    from ..live import follow, say_ended
    from ..signals import Signals, saving_ignored

    context.with_resource(saving_ignored())
    here = current_rank()
    # Each process would give the same notes.
    if here.rank:
        warnings.simplefilter("ignore", RnnlmWarning)
    request = request_from(given)
    with planning_together(), terminal.Progress() as progress:
        report = silent if here.rank else progress
        plan: Plan | CompletedRun = (
            dry_plan(request, report) if dry_run else plan_of(request, report)
        )

    # Nothing is trained in a dry run, or where the model is there.
    if isinstance(plan, CompletedRun) or dry_run:
        if here.rank:
            return
        if isinstance(plan, CompletedRun):
            plan.notify()
            _show_results(plan.finished, as_json)
        else:
            _show_plan(plan, as_json)
        return

    # Name the folder if nobody has chosen it.
    if not here.rank and not request.output:
        terminal.say(f"the model will be saved in {plan.output}")

    signals = Signals(ends_in_order=plan.kind.trains_in_steps)
    try:
        finished = follow(plan, signals, speaks=not here.rank)
        if finished is not None:
            is_stopped = finished.stopped == "request" or bool(signals.ending)
            say_ended(plan, finished, is_stopped)
            _show_results(finished, as_json, is_stopped)
    except TrainingError as error:
        # Somebody who stops a run too early for a model still gets the exit code of the signal.
        if not signals.ending:
            raise
        terminal.show_error(error.what, error.why, error.hint)
    if signals.ending:
        context.exit(128 + signals.ending)


def request_from(given: dict[str, Any]) -> TrainingRequest:
    """Return the request that the options of `rnnlm train` make."""
    from rnnlm.config import parse_assignments
    from rnnlm.training.resolution import request_of

    assignments = parse_assignments(given.pop("assignments"))
    text = given.pop("text") or None
    return request_of(text, {**options.without_none(given), "assignments": assignments})


def _show_results(finished: "Finished", as_json: bool, is_stopped: bool = False) -> None:
    """Show the metrics of a run, if its exact evaluation came to its end, and the commands to
    continue with."""
    from rnnlm.lm.base.loading import short_name
    from rnnlm.storage.manifest import read_manifest

    manifest = read_manifest(Path(finished.folder))
    if as_json:
        choices = manifest.training.get("choices", [])
        seconds = round(finished.seconds, 2)
        terminal.print_json({**vars(finished), "seconds": seconds, "choices": choices})
    elif finished.results:
        from rnnlm.evaluation.metrics import stored_evaluations

        metrics.show_results(stored_evaluations(manifest))

    # The next steps with the model. A run that was stopped has to be continued first.
    if not is_stopped:
        name = quoted(short_name(Path(finished.folder)))
        terminal.say(f"next: {registry.task(manifest.task).usage[0].format(name=name)}")


def _show_plan(plan: "Plan", as_json: bool) -> None:
    if as_json:
        terminal.print_json(plan.to_dict())
        return
    rows = [[str(cell) for cell in setting] for setting in plan.describe()]
    columns = ["setting", "value", "instead of", "origin", "description"]
    terminal.print_table(terminal.Table(columns, rows), gap=2)

    # The parameters of an n-gram model are not known before its text is counted.
    for name, value in plan.sizes().items():
        shown = f"{value:,}" if isinstance(value, int) else terminal.visible(str(value))
        click.echo(f"{name}: {'known after counting' if value is None else shown}")
