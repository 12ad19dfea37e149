"""`rnnlm eval`: perplexities of language models, and the metrics of other tasks."""

from typing import Any

import click

from .. import metrics, options, task_options, terminal
from ..declaring import Command, section
from ..text_options import text_options


@click.command(cls=Command, needs={"overwrite": ["plot", "output"]})
@click.argument("text", nargs=-1, required=True)
@section("Model", options.model_option, options.device_option)
@section(
    "Text",
    options.context_option,
    click.option("--group-by", metavar="COLUMN",
                 help="Evaluate the rows of a table by group, too, such as by speaker."),
    text_options,
)  # fmt: skip
@options.options_added_to("eval")
@section(
    "Output",
    click.option("--intervals", is_flag=True,
                 help="Show 95 % intervals, by leaving out each line."),
    options.json_option,
)  # fmt: skip
def command(
    text: tuple[str, ...], model_name: str | None, device: str, intervals: bool, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Evaluate a model on TEXT by the metrics of its task.

    \b
    rnnlm eval -m my-model test.txt
    rnnlm eval -m my-model test.txt --context reset     each line alone
    rnnlm eval -m my-model talks.csv --group-by speaker

    words and ppl_word count words separated by white space, regardless of the tokenizer. `rnnlm
    score` counts the tokenizer's words.

    Unless options say otherwise, TEXT has the format and columns of the training data. Name a
    bundled corpus to evaluate on its test split.
    """
    from rnnlm import registry
    from rnnlm.evaluation.metrics import with_intervals
    from rnnlm.lm.base import loading
    from rnnlm.storage.files import outputs
    from rnnlm.system import keep_freed
    from rnnlm.text import sources

    # Options of other tasks, and files that are in the way, are refused before the model is loaded.
    name = options.chosen_model(model_name)
    confusions, plot = given.get("confusions"), given.get("plot")
    output, overwrite = given.get("output"), given.get("overwrite", False)
    task = registry.task(loading.task_of(name))
    task_options.check(task, name)
    options.refuse_if(
        output == options.STANDARD_OUTPUT,
        "standard output is for the metrics: name a FILE with -o.",
    )
    written = [path for path in (plot, output) if path]
    if written:
        files = task_options.files_of(task, text, given)
        outputs.check_apart(written, sources.expand(files))
    options.check_plot(plot, overwrite)
    if output:
        options.own_file(output, overwrite)

    keep_freed()  # each part of a text takes the memory of the one before
    data = task_options.data_of(task, text, given)
    evaluation_options = task_options.options_of(task, given)
    evaluation = task.evaluate(loading.load(name, device), data, evaluation_options)
    if intervals:
        evaluation = with_intervals(evaluation, evaluation.brief)

    # Files that only some tasks have; the others refused these options above.
    if plot:
        metrics.draw(evaluation, plot, overwrite)
    if output:
        options.put((f"{line}\n" for line in evaluation.written.lines), output)
        terminal.say(f"saved in {output}")
    if as_json:
        terminal.print_json(evaluation.with_details(confusions))
    else:
        metrics.show(evaluation.printed(confusions))
