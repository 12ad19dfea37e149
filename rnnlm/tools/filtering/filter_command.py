"""`rnnlm filter`: documents of many files, kept by their perplexity or their language."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, IntRange, Number, list_of, options_of, section
from rnnlm.cli.options import (
    DEFAULT_MODEL,
    chosen_models,
    device_option,
    json_option,
    output_option,
    overwrite_option,
    refuse_if,
    settings_of,
    several_models_option,
)
from rnnlm.cli.signals import explaining
from rnnlm.cli.text_options import encoding_option, unwrap_option
from rnnlm.errors import ModelError
from rnnlm.text.lines import TextSettings
from rnnlm.text.sources import SourceSettings
from rnnlm.tools.filtering.settings import FilterSettings

if TYPE_CHECKING:
    from rnnlm.tools.filtering.run import Event, FilterFinished

LEAST_BYTES = 100_000  # of text, whose speed says anything
OptionalFloats = tuple[float, ...] | None
OptionalNames = tuple[str, ...] | None

text_options = section(
    "Text",
    options_of(SourceSettings, "column",
               help="Column that holds the text, in JSON Lines and Parquet.  [default: text, "
                    "sentence, or the only one]"),
    unwrap_option,
    encoding_option,
    options_of(TextSettings, "blank_lines", before="In plain text: "),
    options_of(TextSettings, "special_symbols", default_is="replace"),
)  # fmt: skip


@click.command(cls=Command, needs={"quantiles": ["reference"]})
@click.argument("shards", nargs=-1, required=True, metavar="INPUT...")
@section(
    "Run",
    output_option("Folder for the results, one file per INPUT file.", "DIR", required=True),
    overwrite_option("Start over and replace earlier results in DIR."),
    click.option("--workers", type=IntRange(1), metavar="N",
                 help="Number of processors, each working on one file at a time.  [default: all; "
                      "for networks, one process]"),
    device_option,
)  # fmt: skip
@section(
    "Selection",
    several_models_option("Model folder, or a name in ./checkpoints; or NAME=MODEL for each "
                          f"language. {DEFAULT_MODEL}"),
    options_of(FilterSettings, "min_perplexity", "max_perplexity"),
    click.option("--against", metavar="MODEL",
                 help="A general model: select by the difference of the bits of -m and this one."),
    options_of(FilterSettings, "max_difference"),
    click.option("--reference", multiple=True, metavar="TEXT",
                 help="Sort into head, middle and tail by quantiles of the perplexities of this "
                      "text; may be repeated."),
    options_of(FilterSettings, "quantiles", metavar="X,X", default_is="0.3,0.6",
               callback=list_of(Number.read, "numbers, such as 0.3,0.6")),
    options_of(FilterSettings, "cutoffs", metavar="X,X",
               callback=list_of(Number.read, "numbers, such as 200,500")),
    options_of(FilterSettings, "min_probability"),
    options_of(FilterSettings, "keep"),
)  # fmt: skip
@text_options
@section(
    "Added columns",
    options_of(FilterSettings, "perplexity_column", "bucket_column", "language_column"),
    rare=True,
)  # fmt: skip
@section("Output", json_option)
def command(
    shards: tuple[str, ...],
    output: Path,
    model_names: tuple[str, ...],
    against: str | None,
    reference: tuple[str, ...],
    overwrite: bool,
    workers: int | None,
    device: str,
    as_json: bool,
    column: str | None,
    blank_lines: str | None,
    encoding_errors: str | None,
    special_symbols: str | None,
    unwrap: bool | None,
    **given: float | str | OptionalNames | OptionalFloats,
) -> None:
    """Select documents by perplexity or language.

    \b
    rnnlm filter web/*.jsonl.gz -o good -m my-5gram --max-perplexity 500
    rnnlm filter web/*.parquet -o sorted -m my-5gram --reference good.txt
    rnnlm filter web/*.jsonl -o by-language -m en=english -m de=german
    rnnlm filter web/*.jsonl -o legal -m law --against all --max-difference 0

    INPUT: JSON Lines or Parquet files with one document per row, or plain text with one document
    per line. With --blank-lines documents, blank lines separate the documents of plain text. Files
    may be compressed or given as globs.

    With --reference, documents are sorted into DIR/head, DIR/middle and DIR/tail, as in CCNet. The
    head has perplexities below the 30 % quantile of the reference, the middle below the 60 %
    quantile. With one character model for each of several languages, the likeliest language is
    chosen. DIR then has a folder for each language, and one for none.

    Rows keep their columns; the perplexity and the bucket or language are added. Columns of these
    names, from an earlier filter, are renamed to input_NAME. Documents without words are counted
    but not written.

    A file that cannot be read does not stop the others: all such files are named, and the exit code
    is 1. To resume, run the same command again, with more files if you like.
    """
    from rnnlm.tools.filtering.run import FilterFinished, FilterRequest, run

    text = {
        "encoding_errors": encoding_errors,
        "special_symbols": special_symbols or "replace",
        "blank_lines": blank_lines,
        "unwrap": unwrap,
    }
    request = FilterRequest(
        shards=shards,
        output=output,
        models=_models(model_names or chosen_models((), [{"text"}])),
        settings=settings_of(FilterSettings, given),
        against=against,
        column=column,
        text=settings_of(TextSettings, text),
        reference=reference,
        device=device,
        workers=workers,
        overwrite=overwrite,
    )

    # Finished shards are reported as they come; the last event holds the whole.
    result = None
    explained = explaining(lambda: _say_how_to_resume(output))
    try:
        with explained, terminal.Bar(about=output) as progress:
            for event in run(request, progress):
                if isinstance(event, FilterFinished):
                    result = event
                else:
                    _show_event(event, progress)
    finally:
        # Files that cannot be read are an error in the end, when all others are finished.
        if result is not None:
            if as_json:
                terminal.print_json(result)
            else:
                _show(result)


def _models(names: tuple[str, ...]) -> dict[str, str]:
    """Return the models of `-m`, by language; one that is not called NAME=MODEL has the name ""."""
    if len(names) == 1 and _is_model(names[0]):
        return {"": names[0]}
    models: dict[str, str] = {}
    for name in names:
        label, separator, model = name.partition("=")
        if not separator and len(names) == 1:
            return {"": name}
        refuse_if(
            not separator,
            f"-m {name}: several models need the name of a language each: -m NAME=MODEL.",
        )
        refuse_if(
            not label or not model, f"-m {name}: give both the name of a language and a model."
        )
        refuse_if(label in models, f"-m {name}: {label} already has a model.")
        models[label] = model
    return models


def _is_model(name: str) -> bool:
    """Return whether there is a model of that name, which may have an equals sign in it."""
    from rnnlm.lm.base.loading import base_folder

    with contextlib.suppress(ModelError, OSError, ValueError):
        return base_folder(name).is_dir()
    return False


def _say_how_to_resume(folder: Path) -> None:
    """Say how to go on where something of the work is kept."""
    from rnnlm.tools.filtering.journal import JOURNAL

    if (folder / JOURNAL).exists():
        terminal.say(f"finished files are kept in {folder}; to resume, run the same command again")


def _show_event(event: "Event", progress: terminal.Progress) -> None:
    """Say how far the work is."""
    from rnnlm.tools.filtering.run import BordersFound, ShardFailed, ShardFiltered

    if isinstance(event, ShardFailed):
        terminal.say(f"{event.shard} could not be filtered: " + event.why)
    elif isinstance(event, BordersFound):
        low, high = event.cutoffs
        terminal.say(
            f"head: perplexity below {low:,.2f}; middle: below {high:,.2f} (from "
            f"{event.documents:,} documents of the reference)"
        )
    elif isinstance(event, ShardFiltered):
        speed = terminal.amount(event.text_bytes_per_second, unit="bytes")
        progress(f"{event.done:,} of {event.shards:,} files filtered, {event.share:.0%}, {speed}/s")


def _show(result: "FilterFinished") -> None:
    """Print the results, by group."""
    records = [
        {
            "group": group.name,
            "documents": f"{group.documents:,}",
            "share": "-" if group.share is None else f"{group.share:.2%}",
            "words": f"{group.words:,}",
            "written": "yes" if group.kept else "no",
        }
        for group in result.groups
    ]
    terminal.print_table(terminal.Table.of_records(records, left=["group", "written"]))

    # Below the table: how to sort other texts in the same way, and how much was read.
    if result.cutoffs is not None and result.reference_documents is not None:
        low, high = result.cutoffs
        terminal.say(f"to reuse these limits: --cutoffs {low:.6g},{high:.6g}")
    if result.difference_unit is not None:
        terminal.say(f"differences: in bits per {result.difference_unit}")
    if result.shards_before == result.shards:
        return
    files = terminal.plural(result.shards, "file")
    if result.shards_before:
        files += f", {result.shards_before:,} of them finished earlier"
    line = f"{files}; {terminal.plural(result.documents, 'document')} in {result.output}"
    if result.text_bytes >= LEAST_BYTES:
        speed = terminal.amount(result.text_bytes_per_second, unit="bytes")
        line += (
            f"; {terminal.amount(result.text_bytes, unit='bytes')} of text in "
            f"{terminal.duration(result.seconds)}, {speed}/s"
        )
    terminal.say(line)
