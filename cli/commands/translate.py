"""`rnnlm translate`: what an encoder-decoder writes for lines."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from rnnlm.errors import TextError, notice

from .. import options, terminal, translated
from ..help import Command

FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "seed")
_ABOUT_INPUT = {"--format": "form", "--column": "column", "--delimiter": "delimiter", "--encoding-errors": "encoding_errors"}

input_options = options.section(
    "Input",
    click.option("--input", "source", metavar="FILE", help="Sources, one a line, or those of a table (see --column); compressed or not; - "
                 "is standard input."),
    click.option("--format", "form", type=click.Choice(["auto", *FORMATS]), default="auto", metavar="NAME",
                 help="text (a source a line), tsv, csv, jsonl or parquet.  [default: told by suffix and content]"),
    click.option("--column", metavar="NAME", help="Column of the sources in a table.  [default: as in training data, or as usual]"),
    options.delimiter_option,
    options.encoding_option,
    click.option("--interactive", is_flag=True, help="A conversation: a line in, a line out."),
)  # fmt: skip
search_options = options.section(
    "Search",
    click.option("--beam", type=click.IntRange(1, 1 << 16), metavar="N", help="Lines kept at each step.  [default: 1, greedy search; or as "
                 "many as --nbest]"),
    click.option("--length-power", type=click.FloatRange(0), metavar="A",
                 help="Lines are ranked by log p / ((5 + tokens) / 6)^A: 0 favours short ones, 1 ranks nearly per token.  [default: 1]"),
    click.option("--nbest", type=click.IntRange(1), default=1, metavar="N", help="The N best lines for each source."),
    click.option("--max-length", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, metavar="X",
                 help="A line has at most X times the tokens of its source, and 10 more."),
)  # fmt: skip
unknown_options = options.section(
    "Unknown words",
    click.option("--unknown", is_flag=True, help="<unk> may be written."),
    click.option("--copy-unknown", is_flag=True, help="Where <unk> is likeliest, write the word of the source that attention points at."),
)
output_options = options.section(
    "Output",
    options.json_option,
    click.option("--attention", is_flag=True, help="With --json: what each token of a line looked at."),
    click.option("--attention-plot", "plot", type=options.PATH, metavar="FILE.svg", help="Draw that of one source: .svg, .png or .pdf."),
    click.option("-o", "--output", type=options.PATH, metavar="FILE", help="Write there; - is standard output."),
    click.option("--overwrite", is_flag=True, help="Replace files that are there."),
)


@click.command(cls=Command)
@click.argument("lines", nargs=-1)
@options.section("Model", options.model_option, options.device_option)
@input_options
@search_options
@unknown_options
@output_options
def command(
    lines: tuple[str, ...], model_name: str | None, device: str, source: str | None, as_json: bool, output: Path | None, overwrite: bool,
    plot: Path | None, **given: Any,
) -> None:  # fmt: skip
    """Write a line for each line: translations, spellings, answers.

    \b
    rnnlm translate -m fra "how are you ?"
    rnnlm translate -m fra --input train.en --beam 5 -o train.fr
    rnnlm translate -m dates "the third of May 2024" --attention-plot attention.svg
    rnnlm translate -m answers --interactive

    A line comes out for each that goes in, in their order; for one without words an empty one. With --nbest they are the rows of a table.

    --json prints, for each source, its hypotheses with their log-probabilities; rnnlm rescore reads them.
    """
    options.refuse_if(lines and source is not None, "give lines or --input, one of them.")
    idle = [option for option, name in _ABOUT_INPUT.items() if given[name] not in (None, "auto")]
    options.refuse_if(lines and idle, f"{', '.join(idle)}: this is about --input, not about lines that stand there.")
    options.refuse_if(given["attention"] and not as_json, "--attention is shown by --json; --attention-plot draws it.")
    options.check_output(output, overwrite, source)
    from rnnlm.tasks.labelling.opening import model_for
    from rnnlm.tasks.seq2seq.decoding.translator import Translator

    settings = _settings(given)
    model = model_for("translate", options.named(model_name), device)
    translator = Translator(model, settings)
    found = _counted(translator.translate(_of_arguments(lines) if lines else _of_file(source, given)))
    options.put(map(translated.as_json if as_json else translated.as_text, found), output)


def _settings(given: dict[str, Any]) -> Any:
    from rnnlm.config import Layer, resolve
    from rnnlm.tasks.seq2seq.decoding.settings import DecodingSettings

    values = {name: given[name] for name in DecodingSettings.__dataclass_fields__ if given[name] is not None}
    return resolve([DecodingSettings], [Layer("the command line", values)]).make(DecodingSettings)


def _of_arguments(lines: tuple[str, ...]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not options.checked_utf8(line, f"line {number}").split():
            raise TextError(f"line {number} has no words", "nothing stands in it")
    if file := next(filter(os.path.isfile, lines), None):  # who names a file means what is in it, more often than not
        notice(f"{file!r} is translated as a line; there is a file of that name, too: --input {shlex.quote(file)} translates its lines")
    return iter(lines)


def _of_file(source: str | None, given: dict[str, Any]) -> Iterator[str]:
    from rnnlm.tasks.labelling.text_files import TextFileSettings
    from rnnlm.tasks.seq2seq.decoding.source_files import read_sources

    if source is None and sys.stdin is not None and sys.stdin.isatty():
        terminal.say("reading lines from the terminal; Ctrl-D ends; --interactive answers each at once")
    settings = TextFileSettings(given["form"], given["column"], given["delimiter"], given["encoding_errors"] or "strict")
    return read_sources("-" if source is None else source, settings)


def _counted(found: Iterable[Any]) -> Iterator[Any]:
    """What is found, while stderr says how far it is, and in the end which lines are not what one would expect."""
    empty = cut = 0
    with terminal.Progress() as said:
        for number, each in enumerate(found, start=1):
            said(f"{number:,} lines translated")
            empty += not each.hypotheses
            cut += bool(each.hypotheses) and not each.hypotheses[0].complete
            yield each
    if empty:
        terminal.say(f"note: {empty:,} {'line has' if empty == 1 else 'lines have'} no words, and an empty line as the translation")
    if cut:
        terminal.say(f"note: {cut:,} {'line was' if cut == 1 else 'lines were'} cut off at --max-length")
