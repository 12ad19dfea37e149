"""`rnnlm embed`: vectors of lines, or of each word in its context, written to a file."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, options_of, section
from rnnlm.cli.text_options import column_options, encoding_option, special_symbols_option
from rnnlm.tools.vectors.settings import EmbeddingSettings

if TYPE_CHECKING:
    from rnnlm.scoring.settings import SentenceSettings

input_options = section(
    "Input",
    click.option("--input", "inputs", multiple=True, metavar="FILE",
                 help="Text file (one text per line) or table (see --column), compressed or not; "
                      "- is standard input. May be repeated."),
    column_options,
    encoding_option,
    special_symbols_option,
)  # fmt: skip
vector_options = section(
    "Vectors",
    options_of(EmbeddingSettings, "pooling"),
    options_of(EmbeddingSettings, "layer"),
    options_of(EmbeddingSettings, "words"),
)
output_options = section(
    "Output",
    options.output_option(
        "Write to FILE.npy, .parquet or .jsonl; - prints JSON Lines.", required=True
    ),
    options.overwrite_option("Replace an existing file."),
)


@click.command(cls=Command, needs={"overwrite": ["output"]})
@section("Model", options.model_option, options.device_option)
@input_options
@vector_options
@output_options
def command(
    model_name: str | None,
    device: str,
    inputs: tuple[str, ...],
    output: Path,
    overwrite: bool,
    **given: Any,
) -> None:
    """Write vectors of lines, or of words in context.

    \b
    rnnlm embed --input text.txt -o lines.npy
    rnnlm embed --input in.csv --column review --pooling mean -o out.parquet
    rnnlm embed -m pos --input text.txt --words --layer 1 -o words.jsonl

    Each line is read alone, after </s>, and gets one row, in the order of the input; an empty line
    gets the vector of </s>. Networks of any task have such vectors; an encoder-decoder's come from
    its encoder, which reads sources. With --words, each row is a word with its line, number and
    place; for FILE.npy these are in FILE.npy.words.tsv.
    """
    from rnnlm.scoring.settings import SentenceSettings
    from rnnlm.storage.files.outputs import check_apart
    from rnnlm.text import sources
    from rnnlm.tools.vectors.embedding_files import check_path, save_vectors, words_path

    # Find out whether the files can be written before the model is loaded.
    kind = check_path(output, bool(given["words"]), overwrite)
    check_apart([output], sources.expand(inputs))
    options.own_file(output, overwrite)
    if given["words"] and kind == ".npy":
        options.own_file(words_path(output), overwrite)
    name = options.chosen_model(model_name, [{"layers"}])
    settings = EmbeddingSettings(given["pooling"], given["layer"], bool(given["words"]))
    from rnnlm.tools.vectors.embedding import Embedder  # torch: only now that all is there

    embedder = Embedder(name, settings, device)
    reading = SentenceSettings(
        given["column"],
        encoding_errors=given["encoding_errors"] or "strict",
        keep=(),
        sentence_columns=given["sentence_columns"] or (),
    )
    special_symbols: Any = given["special_symbols"] or "error"
    with terminal.Progress(about=output) as say:
        lines = _lines(inputs, reading, special_symbols)
        count = save_vectors(output, embedder, lines, overwrite=True, progress=say)
    if output != options.STANDARD_OUTPUT:
        terminal.say(f"vectors of {terminal.plural(count, 'line')} written to {output}")


def _lines(
    inputs: tuple[str, ...], settings: "SentenceSettings", special_symbols: str
) -> "Iterator[str]":
    """Yield the texts of the input, as `rnnlm score` reads them."""
    from rnnlm.scoring.scorer import checked_text
    from rnnlm.scoring.sentences import read_texts
    from rnnlm.text.lines import MissingLine

    if not inputs and sys.stdin is not None and sys.stdin.isatty():
        terminal.say("reading lines from the terminal; press Ctrl-D to end")
    for where, text, reason in read_texts(inputs or ("-",), settings):
        if not reason and "\n" in text:
            reason = "it holds a newline"
        if reason:
            yield MissingLine(reason)
        else:
            yield checked_text(text, where, special_symbols)
