"""`rnnlm train`: train a model on text."""

import contextlib
import functools
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.errors import ReportedElsewhere, RnnlmWarning, TrainingError, UsageError
from rnnlm.models.registry import KINDS

from .. import terminal
from ..help_sections import Command, section, stacked
from ..options import (
    json_option,
    output_option,
    overwrite_option,
    text_flags,
    text_options,
    without_none,
)
from ..setting_options import (
    HOLDOUT,
    LABELS,
    NGRAMS,
    OPTIMIZATION,
    PAIRS,
    REQUEST,
    RUN,
    TOKENIZER,
    options_of,
)

if TYPE_CHECKING:
    from rnnlm.events import Finished
    from rnnlm.training.plan import Plan
    from rnnlm.training.settings import Request

    from ..signals import Signals

# ---- The options of `rnnlm train`, by section.

_TRAINED = [name for name, kind in KINDS.items() if kind.fitting is not None]

LABELLING = ("--task tagging", "--task classification")
SEQ2SEQ = ("--task seq2seq",)
OF_NGRAMS = ("--model ngram", "--model unigram")
_several = functools.partial(options_of, REQUEST, multiple=True, default_is="")

tokenizer_options = stacked(
    section(
        "Tokenizer",
        options_of(TOKENIZER, "tokenizer", default_is=""),
        options_of(TOKENIZER, "lowercase", declared=["--lowercase/--keep-case"]),
        options_of(TOKENIZER, "min_count", default_is=""),
    ),
    section(
        "Tokenizer",
        options_of(TOKENIZER, "normalise", metavar="FORMS"),
        options_of(
            TOKENIZER, "split_punctuation", declared=["--split-punctuation/--keep-punctuation"]
        ),
        options_of(TOKENIZER, "remove_punctuation", "max_vocab", "literal_unk", default_is=""),
        options_of(REQUEST, "tokenizer_from", metavar="MODEL"),
        rare=True,
    ),
)


@click.command(cls=Command)
@click.argument("text", nargs=-1)
@section(
    "Text",
    _several("valid", metavar="TEXT", default_is="the end of TEXT, see --holdout"),
    options_of(HOLDOUT, "holdout", metavar="SHARE", default_is="5%"),
    _several("test", metavar="TEXT"),
    text_options,
)
@section(
    "Model",
    options_of(REQUEST, "model", metavar="KIND",
               help=f"{', '.join(_TRAINED)}; with --task also bag, cnn."),
    options_of(REQUEST, "recipe", metavar="NAME|FILE.toml"),
    click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                 help="One setting; may be repeated."),
    click.option("--grid", multiple=True, metavar="NAME=V,V",
                 help="Several values of a setting, or of model or recipe: one run for each "
                      "combination; may be repeated."),
    options_of(REQUEST, "task", metavar="TASK"),
    options_of(REQUEST, "init_from", metavar="MODEL"),
)  # fmt: skip
@section("Model", options_of(OPTIMIZATION, "embeddings", metavar="FILE"), rare=True)
@section("Model", _several("contextual", metavar="MODEL"), goes_with=LABELLING)
@section(
    "Model",
    options_of(REQUEST, "init_encoder_from", "init_decoder_from", metavar="MODEL"),
    goes_with=SEQ2SEQ,
)
@section(
    "Labels",
    options_of(LABELS, "label_column", metavar="NAME,..."),
    options_of(LABELS, "sentence_column", metavar="NAME", before="With tagging: "),
    options_of(LABELS, "format", declared=["--input-format"], type=str, metavar="FORMAT"),
    options_of(LABELS, "scheme", type=str, metavar="SCHEME"),
    options_of(LABELS, "multi_label", before="With classification: "),
    options_of(LABELS, "align", before="With tagging: "),
    goes_with=LABELLING,
)
@section(
    "Pairs",
    _several("target", "valid_target", "test_target", metavar="FILE"),
    options_of(PAIRS, "target_column", before="With seq2seq: ", metavar="NAME"),
    options_of(PAIRS, "skip_empty", before="With seq2seq: "),
    goes_with=SEQ2SEQ,
)
@tokenizer_options
@section(
    "N-grams",
    options_of(NGRAMS, "order"),
    options_of(NGRAMS, "smoothing", type=str, metavar="NAME"),
)
@section(
    "N-grams",
    options_of(REQUEST, "counts", metavar="DIR"),
    options_of(NGRAMS, "prune", metavar="0,0,1"),
    options_of(NGRAMS, "discounts"),
    options_of(NGRAMS, "memory", metavar="SIZE", default_is=""),
    options_of(NGRAMS, "temp", metavar="DIR", default_is=""),
    options_of(NGRAMS, "workers", metavar="N", default_is=""),
    options_of(NGRAMS, "dask", metavar="ADDRESS", default_is=""),
    goes_with=OF_NGRAMS,
)
@section(
    "Run",
    options_of(RUN, "budget", metavar="BUDGET", default_is=""),
    options_of(RUN, "device", metavar="DEVICE", default_is=""),
    options_of(RUN, "seed", default_is=""),
    click.option("--dry-run", is_flag=True,
                 help="Show every setting with its origin, sizes and tokens; train nothing."),
    json_option,
)  # fmt: skip
@section("Run", options_of(RUN, "precision", "threads", default_is=""), rare=True)
@section(
    "Saving",
    output_option(
        "Model folder; the same command goes on there where it was cut off.  [default: "
        "checkpoints/TEXT-KIND]",
        "DIR",
    ),
    overwrite_option("Replace the model in DIR."),
)
@section("Saving", options_of(RUN, "save_every", metavar="INTERVAL"), rare=True)
@click.pass_context
def command(context: click.Context, **given: Any) -> None:
    """Train a model on TEXT; without TEXT, on the bundled corpus.

    \b
    rnnlm train                                   the demo, in about three minutes
    rnnlm train my.txt --model gru --budget 10m   your own text
    rnnlm train my.txt --model ngram --order 3    an n-gram model, in seconds
    rnnlm train my.txt --recipe zaremba-small     see rnnlm list recipes
    rnnlm train my.txt --grid model=rnn,gru,lstm  compare networks, in a table
    rnnlm train my.txt --set hidden_size=512 --dry-run

    TEXT: files, globs, - (standard input), or hf:OWNER/NAME (a data set). The model is saved in
    ./checkpoints, where rnnlm score, generate, eval and compare find it by its name (-m).

    \f
    With --grid, a run goes to DIR/model=gru and so on, all with one text, tokenizer, budget and
    seed; DIR/grid.tsv and DIR/curves.svg have the results. The same command again trains only what
    is missing.

    The model that is kept is the one with the best validation; each validation whose metric is
    shown takes part. Validations cost a tenth of training at most; in a short run they read a part
    of the validation text, and a note says so. The exact evaluation at the end reads all of it.

    Ctrl-C, TERM or HUP end training at once, and store all of it; USR1 stores it and training goes
    on. The same command again goes on where a run was cut off, perhaps with a larger --budget.

    When loss, gradients or weights are no longer numbers, or the loss is far above a uniform guess,
    training goes back to its last good state at half the learning rate, three times at most (--set
    rollbacks=3, rollback_factor=0.5).
    """
    as_json, dry_run = given.pop("as_json"), given.pop("dry_run")
    grid = given.pop("grid")
    if grid:
        from ..grid import train_grid

        context.exit(train_grid(_request(given), grid, as_json, dry_run))
    # Of several ranks, the one that fails first reports it.
    try:
        _run(context, given, as_json, dry_run)
    except ReportedElsewhere as error:
        context.exit(error.exit_code)


def _run(context: click.Context, given: dict[str, Any], as_json: bool, dry_run: bool) -> None:
    """Run this rank's part of the command. Of several ranks, only the first one prints."""
    from rnnlm.system import current_rank, farewell, planning_together
    from rnnlm.text.lines import silent
    from rnnlm.training.plan import dry_plan
    from rnnlm.training.plan import plan as plan_of
    from rnnlm.training.resume import Done

    from ..signals import Signals, saving_ignored

    context.with_resource(saving_ignored())
    here = current_rank()
    # Each process would give the same notes.
    if here.rank:
        warnings.simplefilter("ignore", RnnlmWarning)
    request = _request(given)
    with planning_together():
        if here.count > 1 and "-" in (*request.text, *request.valid, *request.test):
            raise UsageError(
                "several processes cannot share standard input",
                hint="write the text to a file and name the file",
            )
        with terminal.Progress() as progress:
            shown = silent if here.rank else progress
            plan: Plan | Done
            if dry_run:
                plan = dry_plan(request, shown)
            else:
                announce = _announce if not here.rank and request.output is None else None
                plan = plan_of(request, shown, announce=announce)

    # Nothing is trained in a dry run, or where the model is there.
    if dry_run or isinstance(plan, Done):
        if not here.rank and isinstance(plan, Done):
            plan.tell()
            _show_results(plan.finished, as_json)
        elif not here.rank and not isinstance(plan, Done):
            _show_plan(plan, as_json)
        # The first rank may hold the store, in which the others still read that all went well.
        if here.count > 1:
            farewell("plan", here)
        return

    signals = Signals(ends_in_order=plan.kind.trains_in_steps)
    try:
        finished = _train(plan, signals, speaks=not here.rank)
        if finished is not None:
            is_stopped = finished.stopped == "request" or bool(signals.ending)
            _say_ended(plan, finished, is_stopped)
            _show_results(finished, as_json, is_stopped)
    except TrainingError as error:
        # Somebody who stops a run too early for a model still gets the exit code of the signal.
        if not signals.ending:
            raise
        terminal.show_error(error.what, error.why, error.hint)
    if signals.ending:
        context.exit(128 + signals.ending)


def _announce(folder: Path) -> None:
    """Say where a run saves that names no folder, before its texts are read."""
    terminal.say(f"the model goes to {folder}")


def _request(given: dict[str, Any]) -> "Request":
    from rnnlm.config import parse_assignments
    from rnnlm.training.settings import Request

    own = {name: given.pop(name) for name in Request.__dataclass_fields__ if name in given}
    own["assignments"] = parse_assignments(own["assignments"])

    # All other options set settings, by their names.
    flags = text_flags(given)
    flags |= without_none(given)
    return Request(**own, flags=flags)


def _train(plan: "Plan", signals: "Signals", speaks: bool = True) -> "Finished | None":
    """Run the plan, and show it if this process is the one that `speaks`. Return the last event.

    A signal lets the run save its work only while there is work to save. Before the first step and
    during the exact evaluation at the end, when all is saved, it ends the program at once.
    """
    from rnnlm.events import Evaluating, Finished, Started
    from rnnlm.training import run as training

    from ..live import announce, display_for

    # A rank that does not speak takes part in the training, and shows nothing.
    if not speaks:
        with contextlib.ExitStack() as trained:
            for event in training.run(plan, signals.wants_end, signals.wants_saving):
                if isinstance(event, Started):
                    trained.enter_context(signals)
        return None

    announce(plan)
    with contextlib.ExitStack() as trained, display_for(plan.kind) as display:
        events = training.run(plan, signals.wants_end, signals.wants_saving, display.evaluating)
        for event in events:
            display.show(event)
            if isinstance(event, Started):
                trained.enter_context(signals)
            if isinstance(event, Evaluating):
                signals.restore()
    assert isinstance(event, Finished)
    return event


def _say_ended(plan: "Plan", finished: "Finished", is_stopped: bool) -> None:
    """Say how a run ended, and where its model is."""
    from rnnlm.config import Budget

    if is_stopped:
        terminal.say(
            f"stopped on request; the best model (step {finished.step:,}) is saved in "
            f"{finished.folder}"
        )
        if plan.resolved.values.get("keep_checkpoints"):
            without = " without --overwrite" if plan.request.overwrite else ""
            terminal.say(f"to continue: run the same command again{without}")
    else:
        saved = f"saved in {finished.folder}"
        if plan.kind.trains_in_steps:
            saved += f", step {finished.step:,} of {finished.steps:,}"
        if finished.seconds >= 1:
            saved += f", after {terminal.duration(finished.seconds)}"
        if finished.stopped == "early":
            saved += " (stopped early: no improvement)"
        # A budget of time gives another number of steps on another day.
        timed = Budget.parse(plan.resolved.values.get("budget", "1steps")).seconds
        if timed and finished.stopped == "budget":
            saved += f"; about the same run again: --budget {finished.steps}steps"
        terminal.say(saved)


def _show_results(finished: "Finished", as_json: bool, is_stopped: bool = False) -> None:
    """Show the metrics of a run, if its exact evaluation came to its end, and say what to do
    next."""
    from rnnlm.models import registry
    from rnnlm.models.loading import short_name
    from rnnlm.models.manifest import read_manifest

    manifest = read_manifest(Path(finished.folder))
    if as_json:
        terminal.print_json(
            {
                "folder": finished.folder,
                "step": finished.step,
                "steps": finished.steps,
                "stopped": finished.stopped,
                "seconds": round(finished.seconds, 2),
                "results": finished.results,
            }
        )
    elif finished.results:
        from ..metrics import show_results

        show_results(manifest.evaluations)

    # What to do with the model. A run that was stopped has to be continued first.
    if not is_stopped:
        name = shlex.quote(short_name(Path(finished.folder)))
        terminal.say(f"next: {registry.task(manifest.task).usage[0].format(name=name)}")


def _show_plan(plan: "Plan", as_json: bool) -> None:
    sizes = {
        "model": plan.kind.name,
        "parameters": plan.parameters(),
        "vocabulary_size": plan.data.tokenizer.size,
        "train_tokens": plan.data.train.tokens,
        "valid_tokens": plan.data.valid.tokens if plan.data.valid else 0,
        "validation": plan.valid_is,
        "output": str(plan.output),
        **plan.kind.foresee(plan.resolved, plan.data),
    }
    if as_json:
        settings = {}
        for name, value, origin, _ in plan.describe():
            settings[name] = {"value": value, "origin": origin}
        terminal.print_json({**sizes, "settings": settings})
        return
    rows = [[name, str(value), origin, about] for name, value, origin, about in plan.describe()]
    terminal.print_table(terminal.Table(["setting", "value", "origin", "what it is"], rows), gap=2)

    # The parameters of an n-gram model are not known before its text is counted.
    for name, value in sizes.items():
        if value is None:
            shown = "known once counted"
        elif isinstance(value, int):
            shown = f"{value:,}"
        else:
            shown = terminal.visible(value)
        click.echo(f"{name}: {shown}")
