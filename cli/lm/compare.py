"""`rnnlm compare`: models on one text, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.evaluation.comparison.settings import ComparisonSettings

from .. import metrics, task_options, terminal
from ..declaring import Command, options_of, section
from ..options import (
    PATH,
    check_plot,
    context_option,
    device_option,
    json_option,
    latex_option,
    model_by_default,
    options_added_to,
    overwrite_option,
    refuse_given,
    refuse_if,
    save_plot,
    settings_of,
)
from ..text_options import text_options

if TYPE_CHECKING:
    from rnnlm.evaluation.comparison.pairing import Comparison
    from rnnlm.interface import Task


# Parameters of a comparison of stored metrics; all others need a text
ALLOWED_WITHOUT_TEXT = ("models", "as_json", "as_latex")


@click.command(cls=Command, needs={"overwrite": ["plot"]})
@click.argument("models", nargs=-1, metavar="MODEL MODEL...")
@section(
    "Text",
    click.option("--on", multiple=True, metavar="TEXT",
                 help="Text to compare on; may be repeated.  [default: none, compare the stored "
                      "validation metrics]"),
    click.option("--train", multiple=True, metavar="TEXT",
                 help="Training text, to tell seen from unseen n-grams; may be repeated."),
    context_option,
    text_options,
)  # fmt: skip
@section(
    "Intervals and significance tests",
    options_of(ComparisonSettings, "block_lines", declared=["--block"]),
    options_of(ComparisonSettings, "resamples", "seed"),
    rare=True,
)
@options_added_to("compare")
@section("Run", device_option)
@section(
    "Output",
    click.option("--plot", type=PATH, metavar="FILE",
                 help="Draw the differences with their intervals as .svg, .png or .pdf."),
    overwrite_option("Replace an existing plot."),
    options_of(ComparisonSettings, "top", default_is="3; JSON 20"),
    json_option,
    latex_option,
)  # fmt: skip
def command(
    models: tuple[str, ...], on: tuple[str, ...], train: tuple[str, ...],
    plot: Path | None, overwrite: bool, top: int | None,
    device: str, as_json: bool, as_latex: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare models on a text by the metrics of their task.

    \b
    rnnlm compare my-lstm my-ngram                 by stored validation metrics
    rnnlm compare demo kn5 --on test.txt
    rnnlm compare demo --on test.txt               with the model trained last
    rnnlm compare demo kn5 --on test.txt --train train.txt

    Without --on, the table shows the validation metrics that training stored, if all models have
    the same validation text. With --on, metrics and differences have 95 % intervals, and
    differences also have p-values.

    Models with different tokenizers are compared per word, character and byte, provided that every
    model knows all words of the text. If results are not comparable, the error names the part of
    the signature that differs. If models do not know some words, each difference is given with and
    without these.
    """
    from rnnlm.storage.files.file_types import without_suffix
    from rnnlm.storage.manifest import is_model

    refuse_if(as_json and as_latex, "--json and --latex cannot be combined.")
    check_plot(plot, overwrite)
    for name in models:
        is_arpa = without_suffix(name).endswith(".arpa")  # which is to be imported
        is_text = Path(name).is_file() and not is_arpa and not is_model(Path(name))
        refuse_if(is_text, f"{name} is a file, not a model; to compare models on it: --on {name}")
    result = _measured(models, on, train, device, given | {"top": top}) if on else _stored(models)
    if as_json:
        terminal.print_json(result.to_dict())
    elif as_latex:
        click.echo(result.to_latex())
    else:
        metrics.show(result.printed() if top is None else result.printed(top))
    if plot:
        _draw(plot, result)


def _stored(models: tuple[str, ...]) -> "Comparison":
    """Compare by the metrics that were stored when the models were trained."""
    parameters = click.get_current_context().command.params
    of_a_text = [
        str(option.name) for option in parameters if option.name not in ALLOWED_WITHOUT_TEXT
    ]
    refuse_given(of_a_text, "only valid with --on TEXT.")
    from rnnlm.evaluation.comparison.stored import compare_stored

    return compare_stored(models)


def _measured(
    models: tuple[str, ...], on: tuple[str, ...], train: tuple[str, ...], device: str,
    given: dict[str, Any],
) -> "Comparison":  # fmt: skip
    """Compare on a text."""
    # Beside a single model, or none, the default one is compared.
    if len(models) < 2:
        used_by = _task_of(models).own_command if models else "compare"
        models = tuple(dict.fromkeys((*models, model_by_default(used_by))))
    task = _task_of(models)
    task_options.check(task, models[0], comparing=True, common=("plot", "overwrite"))
    given["train"] = task_options.data_of(task, train, given) if train else None
    # Each task takes some of the settings.
    chosen = {name: given[name] for name in task.compares_by if name in given}
    return task.compare(
        models,
        task_options.data_of(task, on, given),
        task_options.options_of(task, given),
        settings_of(ComparisonSettings, chosen),
        device=device,
    )


def _draw(plot: Path, result: "Comparison") -> None:
    from rnnlm.evaluation.comparison.verdict import figure_of

    figure = figure_of(result.contrasts)
    if figure is None:
        terminal.say("note: no plot, because no difference has a value")
        return
    save_plot(figure, plot)


def _task_of(models: tuple[str, ...]) -> "Task":
    """Return the task that all models were trained for; refuse models of several tasks."""
    from rnnlm import registry
    from rnnlm.lm.base.loading import task_of

    tasks = {name: task_of(name) for name in models}
    registry.check_same_task(tasks)
    return registry.task(tasks[models[0]])
