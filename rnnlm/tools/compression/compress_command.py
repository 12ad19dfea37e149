"""`rnnlm compress` and `rnnlm decompress`: a text by the probabilities of a model, and back."""

import codecs
import math
import sys
from pathlib import Path

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, section


@click.command(cls=Command)
@click.argument("text")
@section("Model", options.model_option, options.device_option)
@section(
    "Output",
    options.output_option("File to write.", required=True),
    options.overwrite_option(),
    options.json_option,
)
def compress_command(
    text: str, model_name: str | None, device: str, output: Path, overwrite: bool, as_json: bool
) -> None:
    """Compress TEXT by the probabilities of a model.

    \b
    rnnlm compress english -m demo -o english.rnz
    rnnlm decompress english.rnz -m demo -o english.txt

    Perplexity is file size: arithmetic coding writes a token of probability p in -log2 p bits. The
    row "-log2 p" is the sum of these, of which rnnlm eval makes its metrics. The file has a few
    bytes more, and unknown words, capitals and blanks that the tokenizer drops. xz and zstd need no
    model.

    TEXT is a file of any kind, which comes back byte by byte; - is standard input. A bundled corpus
    is its test split. The model takes a step for each token, here and in decompress.
    """
    import rnnlm.corpora as corpora
    from rnnlm.storage.files.file_types import compressed
    from rnnlm.storage.files.outputs import save_file
    from rnnlm.tools.compression.compression import Compressor

    # What cannot be read or written is refused before the model is loaded.
    results_apart = options.one_on_stdout([output], as_json)
    options.check_texts(text)
    source = str(corpora.part(text, "test")) if text in corpora.names() else text
    options.own_output(output, overwrite, source)
    name = options.chosen_model(model_name)
    data = _bytes_of(source)
    with terminal.Progress(about=output) as progress:
        packed, model_bits = Compressor(name, device).compress(data, progress)
    save_file(output, [packed], as_is=True)

    # Sizes, with those of programs without a model. Impossible tokens have no -log2 p.
    sizes = {"text": len(data), "file": len(packed), "-log2 p": model_bits / 8}
    for program, suffix in {"xz": ".xz", "zstd": ".zst"}.items():
        sizes[program] = sum(map(len, compressed([data], suffix)))
    characters = max(1, len(data.decode("utf-8", "replace")))
    rows = [
        [what, round(size), 8 * size / characters]
        for what, size in sizes.items()
        if math.isfinite(size)
    ]
    table = terminal.Table(["what", "bytes", "bits_per_char"], rows)
    with results_apart:
        if as_json:
            terminal.print_json({"output": str(output), "sizes": table.to_rows()})
        else:
            terminal.print_table(table)


@click.command(cls=Command, needs={"overwrite": ["output"]})
@click.argument("file")
@section("Model", options.model_option, options.device_option)
@section(
    "Output",
    options.output_option("Write to FILE, not to standard output."),
    options.overwrite_option(),
)
def decompress_command(
    file: str, model_name: str | None, device: str, output: Path | None, overwrite: bool
) -> None:
    """Give back the text in FILE, which rnnlm compress wrote by the same model.

    \b
    rnnlm decompress english.rnz -m demo -o english.txt

    Where probabilities differ in their last bits, as they may on another machine or with another
    number of threads, this ends with an error before it writes text that is wrong.
    """
    from rnnlm.errors import visible
    from rnnlm.storage.files.outputs import save_file
    from rnnlm.tools.compression.compression import Compressor

    options.own_output(output, overwrite, file)
    name = options.chosen_model(model_name)
    with terminal.Progress(about=file) as progress:
        blocks = Compressor(name, device).decompress(_bytes_of(file), progress)
        if output is None and sys.stdout.isatty():
            texts = codecs.iterdecode(blocks, "utf-8", "replace")
            blocks = (visible(text, kept="\t\n\r").encode("utf-8") for text in texts)
        save_file(output or options.STANDARD_OUTPUT, blocks, as_is=True)


def _bytes_of(source: str) -> bytes:
    from rnnlm.storage.files.reading import opened

    with opened(source, as_is=True) as stream:
        return stream.read()
