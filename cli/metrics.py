"""How metrics are shown: those of one model on a text, and the differences between models."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import terminal

if TYPE_CHECKING:
    from rnnlm.evaluation.comparison.pairing import ComparedModel, ModelComparison
    from rnnlm.evaluation.label_evaluation import LabelEvaluation
    from rnnlm.evaluation.metrics import Evaluation, Metric

# ---- One model: a table of all that was measured, details below it, the signatures last.


def show_evaluation(found: "Evaluation", most_confusions: int | None = None) -> None:
    """Print counts, metrics and facts of a model on one text, a column for each column of labels;
    then details and signatures."""
    columns = found.column_names
    heads = columns if any(columns) else ["value"]
    rows = []

    # What was counted, then what was measured.
    counts = [found.counts_of(column) for column in columns]
    for name in dict.fromkeys(itertools.chain.from_iterable(counts)):
        note = f" ({found.count_notes[name]})" if name in found.count_notes else ""
        rows.append([name, *(terminal.cell(its.get(name)) + note for its in counts)])
    for name in dict.fromkeys(each.name for each in found.brief):
        rows.append([name, *(_cell(found.metric(name, column)) for column in columns)])

    # Facts hold for all columns together.
    for name, value in found.facts.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        rows.append([name, terminal.cell(value, 4), *[""] * (len(columns) - 1)])
    terminal.print_table(["measure", *heads], rows, right=heads)
    for remark in found.remarks:
        terminal.say(remark)

    tables = list(found.tables(most_confusions))
    for table in tables:
        click.echo()
        terminal.print_table(table.columns, table.rows, right=table.numbers)
        if table.remark:
            terminal.say(table.remark)

    # A single signature right below the metrics needs no blank line.
    if tables or len(found.signatures) > 1:
        click.echo()
    for of, signature in found.signatures.items():
        of_what = f" of {terminal.visible(of)}" if of else ""
        click.echo(f"signature{of_what}: {signature}")


def show_results(evaluations: "Mapping[str, Evaluation]") -> None:
    """Print a row for each text, and column of labels, that a model was measured on after its
    training; then the signatures."""
    from rnnlm.evaluation.metrics import summary_table

    table = summary_table(evaluations)
    terminal.print_table(table.columns, table.rows, right=table.numbers)
    for text, its in evaluations.items():
        # Columns of labels with the same signature need no names.
        for each in its.mains:
            of = "" if each.signature == its.signature else f" {each.label}"
            click.echo(f"{text}{of} signature: {each.signature}")


def _cell(metric: "Metric | None") -> str:
    if metric is None:
        return "-"
    shown = metric.shown(4)
    if metric.note:
        shown += f" ({metric.note})"
    return shown


def draw(found: "LabelEvaluation", path: Path, overwrite: bool) -> None:
    """Draw the confusion matrix of each column; where there are several, the name of the column
    becomes part of the file's."""
    from rnnlm.evaluation import plotting
    from rnnlm.files.outputs import check_file

    plots = found.plots()
    if not plots:
        terminal.say(f"{path} is not drawn: sounds have no confusion matrix")
    for column, plot in plots.items():
        file = path
        if len(found.columns) > 1:
            file = path.with_stem(f"{path.stem}-{column.replace('/', '_')}")
        # The command cannot check it earlier: only the results have the names of the columns.
        check_file(file, overwrite)
        plotting.save(plot, file)
        terminal.say(f"saved in {file}")


# ---- Several models side by side: metrics with intervals, and the differences of each pair.


def show_comparison(result: "ModelComparison", top: int) -> None:
    """Print counts and metrics of each model, each metric with its interval; differences; where the
    models differ; the signatures last. top: how many lines and words to list of each side."""
    models = result.compared
    names = [model.name for model in models]
    columns = models[0].evaluation.column_names
    rows = []

    # The text is the same for all columns of labels: the counts of the first one are shown.
    counts = [model.evaluation.counts_of(columns[0]) for model in models]
    for name in dict.fromkeys(itertools.chain.from_iterable(counts)):
        rows.append([name, *(terminal.cell(its.get(name)) for its in counts)])
    for column, name in result.keys:
        label = f"{column} {name}" if len(columns) > 1 else name
        rows.append([label, *(_with_interval(model, column, name) for model in models)])
    terminal.print_table(["measure", *names], rows, right=names)
    for remark in result.remarks:
        terminal.say(remark)

    # Differences of each pair of models, then examples of what one of them does better.
    for table in (result.difference_table(), *result.tables(top)):
        click.echo()
        terminal.print_table(table.columns, table.rows, right=table.numbers)
    click.echo()
    for model in models:
        for each in model.evaluation.mains:
            click.echo(f"signature of {terminal.visible(model.name)}: {each.signature}")


def _with_interval(model: "ComparedModel[Any]", column: str, name: str) -> str:
    """Return a metric with the bounds of its interval, where it has one."""
    from rnnlm.evaluation.metrics import shown_bounds

    metric = model.evaluation.metric(name, column)
    if metric is None:
        return "-"
    digits = 4 if name.startswith("bits") else 2
    shown = metric.shown(digits)
    found = model.found.get((column, name))
    if found is not None:
        shown += f" {shown_bounds(found, metric.unit, digits)}"
    return shown


# ---- Metrics of several models in one table: a column in which all agree is shown once; of the
# others each model has one, with its name behind a dot.

Cell = Callable[[Any], str]


def own(cells: Mapping[str, Cell], results: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return the columns that `cells` makes of the results of each model, one model after the
    other."""
    columns = {}
    for name, its in results.items():
        for title, cell in cells.items():
            columns[f"{title}.{name}"] = [cell(each) for each in its]
    return columns


def shared(cells: Mapping[str, Cell], results: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return the columns that `cells` makes: one for all models where they agree, none where it is
    empty."""
    columns: dict[str, list[str]] = {}
    for title, cell in cells.items():
        made = own({title: cell}, results)
        first = next(iter(made.values()))
        if all(column == first for column in made.values()):
            columns[title] = first
        else:
            columns |= made
    return {title: column for title, column in columns.items() if any(column)}


def print_columns(columns: dict[str, list[str]], left: Sequence[str]) -> None:
    """Print a table of these columns, right-aligned except those whose titles begin with one of
    `left`."""
    right = [title for title in columns if not title.startswith(tuple(left))]
    rows = list(zip(*columns.values(), strict=True))
    terminal.print_table([*columns], rows, right, break_at=".")
