"""`rnnlm translate`: what an encoder-decoder writes for lines."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.errors import TextError, notice

from .. import options, terminal
from ..options import Command
from ..setting_options import DECODING, PAIRS, SAMPLING, options_of

if TYPE_CHECKING:
    from rnnlm.generation.settings import SamplingSettings
    from rnnlm.tasks.seq2seq.data import PairCodec
    from rnnlm.tasks.seq2seq.decoding import Translator
    from rnnlm.tasks.seq2seq.results import TranslatedLine
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
# any asks for samples
_SAMPLING = (
    "sample",
    "num",
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
)
_ABOUT_INPUT = {
    "--input-format": "form",
    "--column": "column",
    "--delimiter": "delimiter",
    "--encoding-errors": "encoding_errors",
}

input_options = options.section(
    "Input",
    click.option("--input", "source", metavar="FILE",
                 help="Lines to translate, or a table of them (see --column); compressed or not; - "
                      "is "
                 "standard input."),
    click.option("--input-format", "form", type=click.Choice(["auto", *FORMATS]),
                 default="auto", metavar="NAME",
                 help="text (plain lines), tsv, csv, jsonl or parquet.  [default: told by suffix "
                      "and content]"),
    options_of(
        PAIRS, "column", metavar="NAME", default_is="as in the training data, or as usual"
    ),
    options.delimiter_option,
    options.encoding_option,
    click.option("--interactive", is_flag=True,
                 help="A conversation: each line is answered before the next one is read."),
)  # fmt: skip
search_options = options.section(
    "Search",
    options_of(DECODING, "beam", default_is="1, or as many as --nbest"),
    options_of(DECODING, "length_power", before="With --beam: ", metavar="A"),
    options_of(DECODING, "nbest", "max_length"),
)
sampling_options = options.section(
    "Samples, instead of a search",
    click.option("--sample", is_flag=True, help="Draw lines. Any option of this section does so."),
    click.option(
        "--num",
        type=click.IntRange(1),
        metavar="N",
        help="How many samples for each source.  [default: 1]",
    ),
    options_of(SAMPLING, "seed", help="The same seed, line and number give the same sample."),
    options_of(SAMPLING, "temperature"),
    options_of(SAMPLING, "top_k", metavar="K"),
    options_of(SAMPLING, "top_p", "min_p", "typical_p", metavar="P"),
    options_of(SAMPLING, "repetition_penalty", metavar="R"),
)
unknown_options = options.section("Unknown words", options_of(DECODING, "unknown", "copy_unknown"))
output_options = options.section(
    "Output",
    options.json_option,
    options_of(DECODING, "attention", help="With --json: what each token of a line looked at."),
    click.option(
        "--attention-plot",
        "plot",
        type=options.PATH,
        metavar="FILE.svg",
        help="Draw that of the first line: .svg, .png or .pdf.",
    ),
    options.output_option("Write there; - is standard output."),
    options.overwrite_option("Replace files that are there."),
)


@click.command(cls=Command)
@click.argument("lines", nargs=-1)
@options.section("Model", options.model_option, options.device_option)
@input_options
@search_options
@sampling_options
@unknown_options
@output_options
def command(
    lines: tuple[str, ...], model_name: str | None, device: str, source: str | None, as_json: bool,
    output: Path | None, overwrite: bool,
    plot: Path | None, **given: Any,
) -> None:  # fmt: skip
    """Write a line for each line: translations, spellings, answers.

    \b
    rnnlm translate -m fra "how are you ?"
    rnnlm translate -m fra --input train.en --beam 5 -o train.fr
    rnnlm translate -m dates "the third of May 2024" --attention-plot a.svg
    rnnlm translate -m answers --interactive

    For each line that goes in one comes out, in the same order: an empty one where there are no
    words. With --nbest or --num they are rows of a table.

    --json prints, for each source, all its lines with their log-probabilities (rnnlm rescore reads
    that).
    """
    _check(lines, source, as_json, given)
    _check_outputs(output, plot, overwrite, source, given)
    settings, sampling = _settings(given)
    from rnnlm.tasks.seq2seq.decoding import Translator, encoder_decoder

    model = encoder_decoder(options.named(model_name), device)
    translator = Translator(model, settings, sampling, given["num"] or 1)
    if given["interactive"]:
        _converse(translator, as_json, given)
        return
    kept: list[TranslatedLine] = []
    found = _counted(
        translator.translate(
            _of_arguments(lines) if lines else _of_file(translator.model.codec, source, given)
        ),
        kept,
    )
    if as_json:
        options.put(translation_as_json(found), output)
    elif settings.nbest == translator.num == 1:
        options.put(as_lines(found), output)
    elif lines and not output:
        show([*found], sampling is not None)
    else:
        options.put(as_rows(found, sampling is not None), output)
    if plot:
        _draw(translator, kept, plot)


def _check(
    lines: tuple[str, ...], source: str | None, as_json: bool, given: dict[str, Any]
) -> None:
    options.refuse_if(lines and source is not None, "give lines or --input, one of them.")
    idle = [option for option, name in _ABOUT_INPUT.items() if given[name] not in (None, "auto")]
    options.refuse_if(
        lines and idle,
        f"{', '.join(idle)}: this is about --input, not about lines that stand there.",
    )
    options.refuse_if(
        given["attention"] and not as_json,
        "--attention is shown by --json; --attention-plot draws it.",
    )
    searched = [
        f"--{name.replace('_', '-')}"
        for name in ("beam", "length_power", "nbest")
        if given[name] is not None
    ]
    drawn = [f"--{name.replace('_', '-')}" for name in _asked(given)]
    options.refuse_if(
        searched and drawn,
        f"{', '.join(searched)} and {', '.join(drawn)}: lines are searched for or drawn, not both.",
    )
    if given["interactive"]:
        options.refuse_if(
            lines or source is not None,
            "--interactive reads what is typed, or standard input: give no lines or --input.",
        )
        more = (given["nbest"] or given["num"] or 1) > 1
        options.refuse_if(
            more and not as_json, "--interactive answers with one line: --json shows several."
        )
        about = [
            option
            for option in ("--input-format", "--column", "--delimiter")
            if given[_ABOUT_INPUT[option]] not in (None, "auto")
        ]
        options.refuse_if(about, f"{', '.join(about)}: --interactive reads plain lines.")


def _asked(given: dict[str, Any]) -> list[str]:
    """The parameters that ask for samples."""
    return [name for name in _SAMPLING if given[name] is not None and given[name] is not False]


def _check_outputs(
    output: Path | None,
    plot: Path | None,
    overwrite: bool,
    source: str | None,
    given: dict[str, Any],
) -> None:
    """Whether files can be written, before time goes into what goes there."""
    options.refuse_if(
        given["interactive"] and (output or plot),
        "--interactive answers on standard output: leave -o and plots out.",
    )
    options.check_output(output, overwrite and not (plot and output is None), source)
    if plot:
        from rnnlm.evaluation import plotting
        from rnnlm.files import outputs

        plotting.check(plot, overwrite)
        outputs.check_apart([plot, *([output] if output else [])], [source] if source else [])


def _settings(given: dict[str, Any]) -> "tuple[DecodingSettings, SamplingSettings | None]":
    """Those of the search, and those of samples, None where nobody asks for any."""
    from rnnlm.generation.settings import SamplingSettings
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

    sampling = None
    if _asked(given):
        sampling = options.settings_of(SamplingSettings, _SAMPLING[2:], given)
    decoding = options.settings_of(DecodingSettings, DecodingSettings.__dataclass_fields__, given)
    return decoding, sampling


def _of_arguments(lines: tuple[str, ...]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not options.checked_utf8(line, f"line {number}").split():
            raise TextError(f"line {number} has no words", "nothing stands in it")
    # who names a file means what is in it, more often than not
    if file := next(filter(os.path.isfile, lines), None):
        notice(
            f"{file!r} is translated as a line; there is a file of that name, too: --input "
            f"{shlex.quote(file)} translates its lines"
        )
    return iter(lines)


def _of_file(codec: "PairCodec", source: str | None, given: dict[str, Any]) -> Iterator[str]:
    from rnnlm.tasks.labels.files import TextFileSettings
    from rnnlm.tasks.seq2seq.decoding import USUAL_COLUMNS, read_sources

    if source is None and sys.stdin is not None and sys.stdin.isatty():
        terminal.say(
            "reading lines from the terminal, until Ctrl-D; --interactive answers each at once"
        )
    settings = TextFileSettings(
        given["form"], given["column"], given["delimiter"], given["encoding_errors"] or "strict"
    )
    usual = USUAL_COLUMNS if codec.column is None else (codec.column, *USUAL_COLUMNS)
    return read_sources("-" if source is None else source, settings, usual)


def _converse(translator: "Translator", as_json: bool, given: dict[str, Any]) -> None:
    """Answers each line as it is typed."""
    make = translation_as_json if as_json else as_lines
    for number, line in enumerate(lines(given["encoding_errors"] or "strict"), start=1):
        options.put(make(translator.translate([line], number)), None)


def _counted(
    found: "Iterable[TranslatedLine]", kept: "list[TranslatedLine]"
) -> "Iterator[TranslatedLine]":
    """What is found, while stderr says how far it is, and in the end which lines are not what one
    would expect. kept: takes the first two of those that have words."""
    empty = cut = 0
    with terminal.Progress() as said:
        for number, each in enumerate(found, start=1):
            said(f"{number:,} lines translated")
            empty += not each.hypotheses
            cut += bool(each.hypotheses) and not each.hypotheses[0].complete
            if each.hypotheses and len(kept) < 2:
                kept.append(each)
            yield each
    if empty:
        terminal.say(
            f"note: {empty:,} {'line has' if empty == 1 else 'lines have'} no words, and so "
            "no translation"
        )
    if cut:
        what = (
            "line was cut off: it reached its"
            if cut == 1
            else "lines were cut off: they reached their"
        )
        terminal.say(f"note: {cut:,} {what} greatest length (--max-length)")


def _draw(translator: "Translator", kept: "list[TranslatedLine]", plot: Path) -> None:
    """The plot of the first line that was translated."""
    from rnnlm.tasks.seq2seq.results import plot_attention

    if not kept:
        notice(f"{plot} is not drawn: no line has words")
        return
    if len(kept) > 1:
        notice(f"{plot} shows line {kept[0].number}, the first one with words")
    looking = replace(translator, settings=replace(translator.settings, attention=True))
    [line] = looking.translate([kept[0].source], kept[0].number)
    attention = line.hypotheses[0].attention
    assert attention is not None  # it was asked for
    plot_attention(attention, plot)


# ---- Lines as somebody types them, each of which is answered before the next one is read.

PROMPT = "> "


def lines(errors: str) -> Iterator[str]:
    """What is typed at a terminal, after a prompt, with editing keys and a history, until Ctrl-D;
    else the lines of standard input, each as soon as it is there. errors: "strict" or "replace", of
    bad UTF-8.

    Raises:
        TextError: a line is not UTF-8, or standard input is closed.
    """
    from rnnlm.files.reading import text_lines
    from rnnlm.text.lines import without_end

    if sys.stdin is None:
        raise TextError("cannot read standard input", "it is closed")
    if not sys.stdin.isatty():
        yield from map(without_end, text_lines("-", sys.stdin.buffer, errors))
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 (input() then has a history)
    while True:
        try:
            line = _typed()
        except EOFError:
            terminal.say("")
            return
        if line.strip():
            yield line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _typed() -> str:
    """The next line. The prompt never gets into a file that the answers go to.

    Raises:
        EOFError: Ctrl-D.
    """
    if sys.stdout.isatty():
        return input(PROMPT)
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    return input()


# ---- Translated lines as they are printed: lines alone, rows of a table, or JSON.

DIGITS = 4


def as_lines(found: "Iterable[TranslatedLine]") -> Iterator[str]:
    """The best line for each source."""
    return (f"{each.text}\n" for each in found)


def translation_as_json(found: "Iterable[TranslatedLine]") -> Iterator[str]:
    """All that is known of each source's lines."""
    return (terminal.json_text(each.to_dict()) + "\n" for each in found)


def as_rows(found: "Iterable[TranslatedLine]", is_drawn: bool) -> Iterator[str]:
    """A row of TSV for each of several lines of a source, below a header."""
    yield terminal.tsv_line(_columns(is_drawn))
    for each in found:
        yield "".join(map(terminal.tsv_line, _rows(each, is_drawn)))


def show(found: "Sequence[TranslatedLine]", is_drawn: bool) -> None:
    """Print the rows of :func:`as_rows` as a table; of a single source they have no number."""
    first = 0 if len(found) > 1 else 1
    columns = _columns(is_drawn)[first:]
    terminal.print_table(
        columns,
        [row[first:] for each in found for row in _rows(each, is_drawn)],
        right=columns[:-1],
    )


def _columns(is_drawn: bool) -> list[str]:
    return (
        ["line", "sample", "logprob_nats", "text"]
        if is_drawn
        else ["line", "rank", "logprob_nats", "score", "text"]
    )


def _rows(line: "TranslatedLine", is_drawn: bool) -> list[list[str]]:
    rows = []
    for number, each in enumerate(line.hypotheses, start=1):
        figures = [each.logprob_nats] if is_drawn else [each.logprob_nats, each.score]
        rows.append(
            [
                str(line.number),
                str(number),
                *(f"{figure:.{DIGITS}f}" for figure in figures),
                each.text,
            ]
        )
    return rows
