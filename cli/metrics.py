"""How metrics are shown: those of one model on a text, and the differences between models."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import terminal

if TYPE_CHECKING:
    from rnnlm.evaluation.label_evaluation import LabelEvaluation
    from rnnlm.evaluation.metrics import Evaluation, Metric

# ---- One model: all that was measured, as a table, details below it, and the signatures last.


def show_evaluation(found: "Evaluation", most_confusions: int | None = None) -> None:
    """Print counts, metrics and facts of a model on one text, a column for each column of labels;
    then details and signatures."""
    columns = found.column_names
    heads = columns if any(columns) else ["value"]
    rows = []

    # What was counted, then what was measured.
    counts = [found.counts_of(column) for column in columns]
    for name in dict.fromkeys(name for its in counts for name in its):
        note = f" ({found.count_notes[name]})" if name in found.count_notes else ""
        rows.append([name, *(terminal.cell(its.get(name)) + note for its in counts)])
    for name in dict.fromkeys(each.name for each in found.brief):
        rows.append([name, *(_cell(found.metric(name, column)) for column in columns)])

    # Facts are of all columns together.
    for name, value in found.facts.items():
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
        rows.append([name, terminal.cell(text, 4), *[""] * (len(columns) - 1)])
    terminal.print_table(["measure", *heads], rows, right=heads)
    for remark in found.remarks:
        terminal.say(remark)

    tables = list(found.tables(most_confusions))
    for table in tables:
        click.echo()
        terminal.print_table(table.columns, table.rows, right=table.columns[table.left :])
        if table.remark:
            terminal.say(table.remark)
    if tables or len(found.signatures) > 1:
        click.echo()
    for of, signature in found.signatures.items():
        of_what = f" of {terminal.visible(of)}" if of else ""
        click.echo(f"signature{of_what}: {signature}")


def show_results(evaluations: "Mapping[str, Evaluation]") -> None:
    """Print a row for each text, and column of labels, that a model was measured on after its
    training; then the signatures."""
    pairs = [
        (text, its, column) for text, its in evaluations.items() for column in its.column_names
    ]
    counted = list(dict.fromkeys(name for _, its, _ in pairs for name in its.brief_counts))
    names = list(dict.fromkeys(m.name for its in evaluations.values() for m in its.summary))
    has_columns = any(column for _, _, column in pairs)
    rows = []
    for text, its, column in pairs:
        counts, metrics = its.counts_of(column), [its.metric(name, column) for name in names]
        cells = [*(terminal.cell(counts.get(name)) for name in counted), *map(_short, metrics)]
        rows.append([text, *([column] if has_columns else []), *cells])
    heads = ["text", *(["labels"] if has_columns else [])]
    terminal.print_table([*heads, *counted, *names], rows, right=[*counted, *names])
    for text, its in evaluations.items():
        for each in its.mains:
            of = "" if each.signature == its.signature else f" {each.label}"
            click.echo(f"{text}{of} signature: {each.signature}")


def _cell(metric: "Metric | None") -> str:
    if metric is None:
        return "-"
    return metric.shown(4) + (f" ({metric.note})" if metric.note else "")


def _short(metric: "Metric | None") -> str:
    return "-" if metric is None else metric.shown()


def draw(found: "LabelEvaluation", path: Path, overwrite: bool) -> None:
    """Draw the confusion matrix of each column in a file; of several columns the name of each
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
        check_file(file, overwrite)
        plotting.save(plot, file)
        terminal.say(f"saved in {file}")


# ---- Models of one task side by side: figures with intervals, and the differences of each pair.

KEYS = (
    "f1", "precision", "recall", "accuracy", "accuracy_known", "accuracy_unknown", "macro_f1",
    "exact_match", "ece", "word_error_rate", "symbol_error_rate",
)  # fmt: skip
WRITTEN = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")
OF_100 = ("bleu", "chrf")


def show_label_differences(result: Any) -> None:
    """The figures of a :class:`rnnlm.tasks.labels.comparison.TaskComparison` in percent, each with
    its interval; differences, in points; the signatures last."""
    names = [model.name for model in result.models]
    columns = list(result.models[0].intervals)
    rows = [
        [
            _named(key, column, columns),
            *(
                interval(model.intervals[column].get(key), ".2f", scale=100)
                for model in result.models
            ),
        ]
        for column in columns
        for key in KEYS
        if any(key in model.intervals[column] for model in result.models)
    ]
    terminal.print_table(["measure", *names], rows, right=names)
    click.echo()
    rows = [
        [
            f"{each.second} - {each.first}",
            _named(key, column, columns),
            interval(found[key].interval, "+.2f", scale=100),
            f"{found[key].p:.4f}",
        ]
        for each in result.differences
        for column, found in each.figures.items()
        for key in KEYS
        if key in found
    ]
    terminal.print_table(["difference", "measure", "points", "p"], rows, right=["points", "p"])
    click.echo()
    for model in result.models:
        for column in model.evaluation.columns:
            click.echo(f"signature of {terminal.visible(model.name)}: {column.signature}")


def _named(key: str, column: str, columns: list[str]) -> str:
    return key if columns == [column] else f"{column} {key}"


def interval(found: Any, form: str, shift: float = 0.0, scale: float = 1.0) -> str:
    """A figure with the bounds of its interval; a dash where there is none. shift: is taken off;
    scale: 100 of percentages."""
    if found is None:
        return "-"
    estimate, low, high = (
        format(scale * (value - shift), form) for value in (found.estimate, found.low, found.high)
    )
    return f"{estimate} [{low}, {high}]"


# ---- Encoder-decoders side by side: figures with intervals, and the differences of each pair.


def show_translation_differences(result: Any) -> None:
    """The figures of a :class:`rnnlm.tasks.seq2seq.comparison.PairComparison`, each with its
    interval; differences, of shares in points; the signatures last."""
    names = [model.name for model in result.models]
    has_oov = any(model.evaluation.references.oov_words for model in result.models)
    keys = list(
        dict.fromkeys(
            key
            for model in result.models
            for key in model.intervals
            if has_oov or not key.endswith("_no_oov")
        )
    )
    rows = [
        [
            key,
            *(
                interval(model.intervals.get(key), _form(key), scale=_scale(key))
                for model in result.models
            ),
        ]
        for key in keys
    ]
    terminal.print_table(["measure", *names], rows, right=names)
    for refused in result.refused:
        terminal.say(f"{refused.figure} is not compared: {refused.why}")
    click.echo()
    terminal.print_table(
        ["difference", "measure", "by", "p"], list(_differences(result)), right=["by", "p"]
    )
    click.echo()
    for model in result.models:
        name, evaluation = terminal.visible(model.name), model.evaluation.to_dict()
        click.echo(f"signature of {name}: {evaluation['signature']}")
        for figure in ("bleu", "chrf") if "signatures" in evaluation else ():
            click.echo(f"signature of {name}, {figure}: {evaluation['signatures'][figure]}")


def _differences(result: Any) -> Any:
    for each in result.differences:
        name = f"{each.second} - {each.first}"
        if each.perplexity is not None:
            of_all, p = each.perplexity, terminal.cell(each.perplexity.p, ".4f")
            yield [name, f"bits per {result.per}", interval(of_all.difference_bits, "+.4f"), p]
            yield [
                name,
                "perplexity, in %",
                interval(of_all.ppl_ratio, "+.1f", shift=1, scale=100),
                p,
            ]
        for key in WRITTEN:
            if key in each.figures:
                found = each.figures[key]
                yield [
                    name,
                    key,
                    interval(found.interval, "+.2f", scale=_scale(key)),
                    f"{found.p:.4f}",
                ]


def _form(key: str) -> str:
    return ".4f" if key.startswith("bits") else ".2f"


def _scale(key: str) -> float:
    return 100.0 if key in WRITTEN and key not in OF_100 else 1.0
