"""`rnnlm inspect probe`: what each layer of a network knows of labels of words or texts."""

from pathlib import Path
from typing import Any

import click

from .. import inspecting, options, terminal
from ..help import Command
from ..plots import check_plot, plot_option

data_options = options.section(
    "Data",
    click.option("--label-column", metavar="NAME", help="Column of the labels.  [default: the only one]"),
    click.option("--test-data", multiple=True, metavar="FILE",
                 help="Data to test on. May be repeated.  [default: the test part of a bundled corpus; else a fifth of the sentences]"),
    click.option("--texts", is_flag=True, help="The labels belong to whole texts, not to words."),
    click.option("--format", metavar="FORMAT", help="As of rnnlm train: conllu, columns, slashes, tsv, csv, jsonl, ..."),
    click.option("--column", metavar="NAME", help="Column of the words or the text."),
    options.encoding_option,
    click.option("--most-items", type=click.IntRange(1), default=5000, show_default=True, metavar="N",
                 help="Most words (or texts) of each part; of more, sentences are drawn."),
    click.option("--seed", type=int, default=1, show_default=True, metavar="N",
                 help="Seed of drawing, control labels and the untrained network."),
)  # fmt: skip


@click.command(cls=Command)
@click.argument("data", default="words-and-tags", metavar="[DATA]")
@options.section("Model", options.model_or_demo_option, options.device_option)
@data_options
@options.section("Output", options.json_option, plot_option)
def show_probe(data: str, model_name: str | None, device: str, as_json: bool, plot: Path | None, overwrite: bool, **given: Any) -> None:
    """What each layer knows of labels, by linear probes.

    \b
    rnnlm inspect probe words-and-tags --label-column upos
    rnnlm inspect probe -m my-model news.conllu --label-column upos --json
    rnnlm inspect probe travel --label-column intent --plot intent.svg

    DATA is a file of labels as rnnlm train --task tagging reads it, or a bundled corpus. From the vectors of each layer a linear classifier
    learns the labels: beside it stand the embeddings, an untrained network of the same settings, and a control task, in which each word has
    a label drawn at random (Hewitt & Liang 2019). Selectivity is the accuracy minus that of the control.
    """
    from rnnlm.inspection.probing.probe import inspect_probe

    check_plot(plot, overwrite)
    names = ("format", "column", "encoding_errors")
    reading = {name: value for name in names if (value := given.pop(name)) is not None}
    level = "text" if given.pop("texts") else None
    with terminal.Progress() as say:
        found = inspect_probe(options.or_demo(model_name), data, level=level, reading=reading, device=device, progress=say, **given)
    inspecting.show(found, as_json, plot)
