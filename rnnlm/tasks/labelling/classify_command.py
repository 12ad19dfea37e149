"""`rnnlm classify`: labels of whole texts, with probabilities."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, IntRange, section
from rnnlm.cli.text_options import encoding_option
from rnnlm.errors import notice
from rnnlm.tasks.common.command_texts import check_arguments, file_or_terminal, texts_or_file

if TYPE_CHECKING:
    from rnnlm.tasks.labelling.files import RowText

FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
_SUFFIXES = {".tsv": "tsv", ".csv": "csv", ".xlsx": "xlsx", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@click.command(cls=Command, needs={"overwrite": ["output", "plot"]})
@click.argument("texts", nargs=-1)
@section("Model", options.model_option, options.device_option)
@section(
    "Input",
    click.option("--input", "source", metavar="FILE",
                 help="Text file (one text per line) or table (see --column), compressed or not; "
                      "- is standard input."),
    click.option("--input-format", "form", type=click.Choice(["auto", *FORMATS]),
                 default="auto", metavar="NAME",
                 help="text (one text per line), tsv, csv, jsonl or parquet.  [default: inferred "
                      "from suffix and content]"),
    click.option("--column", metavar="NAME",
                 help="Column of a table that holds the texts.  [default: text or sentence]"),
    encoding_option,
)  # fmt: skip
@section(
    "Output",
    click.option("--top", type=IntRange(1), metavar="N",
                 help="Show the N most probable labels of each text, one per row."),
    click.option("--nodes", is_flag=True,
                 help="Show the label of each node of the tree over a text, one per row "
                      "(--model recursive)."),
    click.option("--plot", type=options.PATH, metavar="FILE",
                 help="With --nodes, which it implies: draw the tree over the first text, as .svg, "
                      ".png or .pdf."),
    options.json_option,
    options.output_option("File to write; - is standard output."),
    options.overwrite_option("Replace existing files."),
)  # fmt: skip
def command(
    texts: tuple[str, ...], model_name: str | None, device: str, source: str | None,
    top: int | None, nodes: bool, plot: Path | None, as_json: bool,
    output: Path | None, overwrite: bool, **given: Any,
) -> None:  # fmt: skip
    """Label whole texts: opinions, topics, intents.

    \b
    rnnlm classify -m opinions "a warm, funny film" "two lost hours"
    rnnlm classify -m opinions --input reviews.csv --column review -o labelled.csv
    rnnlm classify -m intents "fly me to oslo" --top 3
    rnnlm classify -m trees "it was not bad" --nodes --plot tree.svg

    Each text is printed with its label and the label's probability; rows of a table keep their
    other columns. Plain text and Parquet become TSV. Other tables keep their format, unless the
    suffix of -o says otherwise. A text without words gets no label; in a table, the column `reason`
    says why.

    --json prints the labels of each text and the probabilities of all labels, or of the --top N.
    """
    texts, source = texts_or_file(texts, source, "text")
    options.refuse_if(
        output and output.suffix.lower() == ".parquet",
        "the name after -o must end in .csv, .tsv, .xlsx or .jsonl; Parquet is not supported.",
    )
    nodes = nodes or plot is not None
    options.refuse_if(top and nodes, "--nodes and --plot show one label of each node, not --top N.")
    options.refuse_if(plot and not texts, "--plot draws the tree of a text given as an argument.")
    options.own_output(output, overwrite, source)
    options.check_plot(plot, overwrite)
    options.check_texts(source)
    name = options.chosen_model(model_name)
    from rnnlm.lm.base import loading
    from rnnlm.storage.files.tables import json_text
    from rnnlm.tasks.labelling import files

    # A table stays one of its kind; plain lines become TSV.
    model = loading.model_for("classify", name, device)
    if texts:
        form, read, is_table = "tsv", _of_arguments(texts), False
    else:
        form, read, is_table = _of_file(source, given)
    if output:
        form = _SUFFIXES.get(output.suffix.lower(), form)
    classified = terminal.counting_reasons(
        files.with_labels(model, read, nodes), "classified", ("text", "texts"), "label"
    )
    if plot:
        from rnnlm.tasks.labelling.tagging import draw_tree

        in_memory = list(classified)
        first = in_memory[0][1]
        if first.nodes:
            options.save_plot(draw_tree(first), plot)
        else:
            notice(f"{plot} is not written: the text has no tree to draw")
        classified = iter(in_memory)

    if as_json:
        options.put(
            (json_text(prediction.to_dict(top)) + "\n" for _, prediction in classified), output
        )
        return

    # Arguments are shown as a table; a file is written while it is read.
    names = [column.name for column in model.codec.columns]

    rows = itertools.chain.from_iterable(
        files.labelled_rows(
            text.row,
            prediction,
            names,
            top,
            bool(prediction.reason) if form == "jsonl" else is_table,
            nodes,
        )
        for text, prediction in classified
    )
    if texts and not output:
        shown = list(rows)
        cells = [list(map(files.cell, row.values())) for row in shown]
        right = [name for name in shown[0] if name == "rank" or name.endswith("_probability")]
        terminal.print_table(terminal.Table(list(shown[0]), cells, right=right))
        return
    write = files.writer(form)
    options.put((write(row, number == 0) for number, row in enumerate(rows)), output)


def _of_arguments(texts: tuple[str, ...]) -> "Iterator[RowText]":
    from rnnlm.tasks.labelling.files import RowText

    check_arguments(texts, "text", "classified as a text", "to classify its texts: --input {file}")
    return (RowText(text, {"text": text}) for text in texts)


def _of_file(source: str | None, given: dict[str, Any]) -> "tuple[str, Iterator[RowText], bool]":
    """Return the format in which the texts are to be written, the texts, and whether they are of a
    table."""
    from rnnlm.tasks.common.text_files import TEXT_LINES, TextFileSettings, detect_text_format
    from rnnlm.tasks.labelling.files import read_texts

    source = file_or_terminal(source, "texts from the terminal, one per line")
    settings = TextFileSettings(
        given["form"], given["column"], given["encoding_errors"] or "strict"
    )
    form = detect_text_format(source, settings)
    texts = read_texts(source, form, settings)
    return form if form in ("csv", "jsonl") else "tsv", texts, form != TEXT_LINES
