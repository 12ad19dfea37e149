"""The figures of labels as tables."""

from pathlib import Path
from typing import Any

import click

from . import terminal

MAIN = ("f1", "precision", "recall", "accuracy", "accuracy_known", "accuracy_unknown", "macro_f1", "exact_match", "ece")
ERRORS = ("word_error_rate", "symbol_error_rate")
MOST = 10  # confusions that are shown, unless something else is asked for
MOST_TYPES = 40  # on the terminal; --json has all of them
LABEL_COUNTS = ("sentences", "words", "words_unknown", "unseen_count")
OF_TYPES = ("precision", "recall", "f1")


def show_label_metrics(results: dict[str, dict[str, Any]]) -> None:
    """A row for each text and column of labels, figures in percent; then the signatures."""
    columns = [(name, each) for name, result in results.items() for each in result["columns"]]
    keys = [key for key in (*MAIN, *ERRORS) if any(each[key] is not None for _, each in columns)]
    rows = [[name, each["column"], *(percent(each[key]) for key in keys)] for name, each in columns]
    terminal.print_table(["text", "labels", *keys], rows, right=keys)
    for name, each in columns:
        click.echo(f"{name}, {each['column']} signature: {each['signature']}")


def show_label_evaluation(found: Any, confusions: int | None = None) -> None:
    """The figures of a :class:`rnnlm.tasks.evaluation.figures.TaskEvaluation`: of each column of labels all that apply, then by
    type, and confusions; the signatures last."""
    names = [each.column for each in found.columns]
    rows = [[key, *(terminal.cell(getattr(each, key)) for each in found.columns)] for key in LABEL_COUNTS if _applies(found, key)]
    rows += [[key, *(percent(getattr(each, key)) for each in found.columns)] for key in (*MAIN, *ERRORS) if _applies(found, key)]
    rows += [["loss_nats", terminal.number(found.loss_nats, 4), *[""] * (len(names) - 1)]] if found.loss_nats is not None else []
    rows += [["all columns right", percent(found.exact_match), *[""] * (len(names) - 1)]] if len(names) > 1 else []
    terminal.print_table(["measure", *names], rows, right=names)
    for column, predictions in zip(found.columns, found.predictions, strict=True):
        name = f" of {column.column}" if len(names) > 1 else ""
        _show_types(column, name)
        _show_confusions(predictions, name, MOST if confusions is None else confusions)
    click.echo()
    for column in found.columns:
        click.echo(f"signature of {terminal.visible(column.column)}: {column.signature}" if names[1:] else f"signature: {column.signature}")


def _applies(found: Any, key: str) -> bool:
    """Whether a figure says something of one of the columns."""
    values = [getattr(each, key) for each in found.columns]
    return any(value is not None for value in values) and (any(values) or key not in ("words", "unseen_count"))


def _show_types(column: Any, name: str) -> None:
    types = sorted(column.by_type.items(), key=lambda pair: (-pair[1].gold, pair[0]))
    if len(types) < 2:
        return
    click.echo()
    keys = (*OF_TYPES, "right", "predicted", "gold")
    rows = []
    for kind, its in types:
        shares, counts = ([getattr(its, key) for key in chosen] for chosen in (OF_TYPES, keys[len(OF_TYPES) :]))
        rows.append([kind, *map(percent, shares), *map(terminal.cell, counts)])
    terminal.print_table([f"{'type' if column.mode else 'label'}{name}", *keys], rows[:MOST_TYPES], right=keys)
    if len(rows) > MOST_TYPES:
        terminal.say(f"and {len(rows) - MOST_TYPES:,} rarer ones, which --json holds")


def _show_confusions(predictions: Any, name: str, most: int) -> None:
    confused = _confusion(predictions).most_frequent(most) if most else []
    if confused:
        click.echo()
        rows = [[gold, predicted, f"{count:,}"] for gold, predicted, count in confused]
        terminal.print_table([f"gold{name}", "predicted", "times"], rows, right=["times"])


def _confusion(predictions: Any) -> Any:
    from rnnlm.evaluation.labels.confusion import confusion

    gold, predicted = predictions.gold, predictions.predicted
    if predictions.multi_label:  # what a text bears, as one
        gold, predicted = ([["|".join(sorted(each))] for each in labels] for labels in (gold, predicted))
    return confusion(gold, predicted)


def as_json(found: Any, confusions: int) -> dict[str, Any]:
    """All figures, with the most frequent confusions of each column."""
    result: dict[str, Any] = found.to_dict()
    for column, predictions in zip(result["columns"], found.predictions, strict=True):
        column["confusions"] = [
            {"gold": gold, "predicted": predicted, "count": count}
            for gold, predicted, count in _confusion(predictions).most_frequent(confusions)
        ]
    return result


def draw(found: Any, path: Path, overwrite: bool) -> None:
    """The confusion matrix of each column, in a file; of several columns the name of each becomes part of the file's."""
    from rnnlm.evaluation import plotting
    from rnnlm.evaluation.labels.confusion import plot
    from rnnlm.files.writing import check_file

    columns = [each for each in found.predictions if each.gold]
    if not columns:
        terminal.say(f"{path} is not drawn: sounds have no confusion matrix")
    for each in columns:
        file = path.with_stem(f"{path.stem}-{each.column.replace('/', '_')}") if len(found.predictions) > 1 else path
        check_file(file, overwrite)
        plotting.save(plot(_confusion(each), each.column), file)
        terminal.say(f"saved in {file}")


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.2f}"
