"""How metrics are shown: those of taggers, classifiers and encoder-decoders, and their differences
between models."""

from pathlib import Path
from typing import Any

import click

from rnnlm.events import OF_100

from . import terminal

# ---- The figures of labels as tables.

MAIN = (
    "f1",
    "precision",
    "recall",
    "accuracy",
    "accuracy_known",
    "accuracy_unknown",
    "macro_f1",
    "exact_match",
    "ece",
)
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
    """The figures of a :class:`rnnlm.tasks.labels.evaluation.TaskEvaluation`: of each column of
    labels all that apply, then by type, and confusions; the signatures last."""
    names = [each.column for each in found.columns]
    rows = [
        [key, *(terminal.cell(getattr(each, key)) for each in found.columns)]
        for key in LABEL_COUNTS
        if _applies(found, key)
    ]
    rows += [
        [key, *(percent(getattr(each, key)) for each in found.columns)]
        for key in (*MAIN, *ERRORS)
        if _applies(found, key)
    ]
    rows += (
        [["loss_nats", terminal.number(found.loss_nats, 4), *[""] * (len(names) - 1)]]
        if found.loss_nats is not None
        else []
    )
    rows += (
        [["all columns right", percent(found.exact_match), *[""] * (len(names) - 1)]]
        if len(names) > 1
        else []
    )
    terminal.print_table(["measure", *names], rows, right=names)
    for column, predictions in zip(found.columns, found.predictions, strict=True):
        name = f" of {column.column}" if len(names) > 1 else ""
        _show_types(column, name)
        _show_confusions(predictions, name, MOST if confusions is None else confusions)
    click.echo()
    for column in found.columns:
        click.echo(
            f"signature of {terminal.visible(column.column)}: {column.signature}"
            if names[1:]
            else f"signature: {column.signature}"
        )


def _applies(found: Any, key: str) -> bool:
    """Whether a figure says something of one of the columns."""
    values = [getattr(each, key) for each in found.columns]
    return any(value is not None for value in values) and (
        any(values) or key not in ("words", "unseen_count")
    )


def _show_types(column: Any, name: str) -> None:
    types = sorted(column.by_type.items(), key=lambda pair: (-pair[1].gold, pair[0]))
    if len(types) < 2:
        return
    click.echo()
    keys = (*OF_TYPES, "right", "predicted", "gold")
    rows = []
    for kind, its in types:
        shares, counts = (
            [getattr(its, key) for key in chosen] for chosen in (OF_TYPES, keys[len(OF_TYPES) :])
        )
        rows.append([kind, *map(percent, shares), *map(terminal.cell, counts)])
    terminal.print_table(
        [f"{'type' if column.mode else 'label'}{name}", *keys], rows[:MOST_TYPES], right=keys
    )
    if len(rows) > MOST_TYPES:
        terminal.say(f"and {len(rows) - MOST_TYPES:,} rarer ones, which --json holds")


def _show_confusions(predictions: Any, name: str, most: int) -> None:
    confused = _confusion(predictions).most_frequent(most) if most else []
    if confused:
        click.echo()
        rows = [[gold, predicted, f"{count:,}"] for gold, predicted, count in confused]
        terminal.print_table([f"gold{name}", "predicted", "times"], rows, right=["times"])


def _confusion(predictions: Any) -> Any:
    from rnnlm.evaluation.labels import confusion

    gold, predicted = predictions.gold, predictions.predicted
    if predictions.multi_label:  # what a text bears, as one
        gold, predicted = (
            [["|".join(sorted(each))] for each in labels] for labels in (gold, predicted)
        )
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
    """The confusion matrix of each column, in a file; of several columns the name of each becomes
    part of the file's."""
    from rnnlm.evaluation import plotting
    from rnnlm.evaluation.labels import plot
    from rnnlm.files.outputs import check_file

    columns = [each for each in found.predictions if each.gold]
    if not columns:
        terminal.say(f"{path} is not drawn: sounds have no confusion matrix")
    for each in columns:
        file = (
            path.with_stem(f"{path.stem}-{each.column.replace('/', '_')}")
            if len(found.predictions) > 1
            else path
        )
        check_file(file, overwrite)
        plotting.save(plot(_confusion(each), each.column), file)
        terminal.say(f"saved in {file}")


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.2f}"


# ---- Models of one task side by side: figures with intervals, and the differences of each pair.

KEYS = (*MAIN, *ERRORS)


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


# ---- The figures of an encoder-decoder as tables.

WRITTEN = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")
TRANSLATION_COUNTS = (
    "sources",
    "sentences",
    "tokens",
    "words",
    "oov_words",
    "zero_probability_tokens",
)
PERPLEXITIES = (
    "ppl_token",
    "ppl_token_no_oov",
    "ppl_word",
    "ppl_word_no_oov",
    "bits_per_char",
    "bits_per_byte",
)


def shown(name: str, value: float | None) -> str:
    """A figure from 0 to 100, or a share in percent; a dash where there is none."""
    return terminal.number(value) if name in OF_100 else percent(value)


def show_translation_metrics(results: dict[str, dict[str, Any]]) -> None:
    """A row for each text that a model was measured on after training; then the signatures."""
    keys = (
        "ppl_token",
        *(key for key in WRITTEN if any(each[key] is not None for each in results.values())),
    )
    rows = [[name, *(_cell(key, each[key]) for key in keys)] for name, each in results.items()]
    terminal.print_table(["text", *keys], rows, right=keys)
    for name, each in results.items():
        click.echo(f"{name} signature: {each['signature']}")
        click.echo(f"{name} {each['main']} signature: {_signature(each, each['main'])}")


def show_translation_evaluation(found: Any) -> None:
    """The figures of a :class:`rnnlm.tasks.seq2seq.evaluation.PairEvaluation`, then those by length
    of the source, what the tokenizer loses, and the signatures."""
    result = found.to_dict()
    rows = [
        [key, terminal.cell(result[key])]
        for key in TRANSLATION_COUNTS
        if result[key] or key in TRANSLATION_COUNTS[:4]
    ]
    rows += [["logprob_nats", terminal.cell(result["logprob_nats"], 4)]]
    closed = " (closed vocabulary)" if result["closed_vocabulary"] else ""
    notes = {"ppl_word": closed, "ppl_word_no_oov": closed}
    kept = [key for key in PERPLEXITIES if result[key] is not None or key == "ppl_token"]
    kept = [key for key in kept if result["oov_words"] or not key.endswith("_no_oov")]
    rows += [[key, terminal.cell(result[key], 4) + notes.get(key, "")] for key in kept]
    rows += [[key, shown(key, result[key])] for key in WRITTEN if result.get(key) is not None]
    terminal.print_table(["measure", "value"], rows, right=["value"])
    if found.written is not None:
        _show_written(found.written, result)
    click.echo()
    click.echo(f"signature of perplexity: {result['signature']}")
    for name in [each for each in WRITTEN if result.get(each) is not None]:
        click.echo(f"signature of {name}: {_signature(result, name)}")


def _show_written(written: Any, result: dict[str, Any]) -> None:
    if result["lowercase"]:
        terminal.say("the model knows no upper case: both sides are lower-cased for these figures")
    keys = [key for key in WRITTEN if result[key] is not None]
    if len(written.by_length) > 1:
        click.echo()
        rows = [
            [each.name, f"{each.sentences:,}", *(shown(key, getattr(each, key)) for key in keys)]
            for each in written.by_length
        ]
        terminal.print_table(
            ["source tokens", "sources", *keys], rows, right=["source tokens", "sources", *keys]
        )
    if lost := result["of_tokenizer"]:
        figures = ", ".join(f"{key} {shown(key, lost[key])}" for key in keys)
        terminal.say(
            "the target's tokenizer does not give all text back: references that it encodes "
            f"and decodes have {figures}"
        )


def _signature(result: dict[str, Any], name: str) -> str:
    """Of a figure, with that of sacrebleu."""
    theirs = result["sacrebleu_signatures"].get(name)
    return f"{result['signatures'][name]}" + (f"  (sacrebleu: {theirs})" if theirs else "")


def _cell(name: str, value: float | None) -> str:
    return terminal.number(value) if name.startswith("ppl") else shown(name, value)


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
