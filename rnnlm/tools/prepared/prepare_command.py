"""`rnnlm prepare`: a text as a folder of token ids, for training on more than memory holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.amounts import plural
from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, IntRange, section
from rnnlm.cli.options import json_option, output_option, overwrite_option, without_none
from rnnlm.cli.signals import explaining
from rnnlm.cli.text_options import text_flags, text_options, tokenizer_options
from rnnlm.tools.prepared.folder import PREPARED

if TYPE_CHECKING:
    from rnnlm.tools.prepared.preparation import CountingWords, Encoding


@click.command(cls=Command)
@click.argument("text", nargs=-1, required=True)
@section(
    "Run",
    output_option("Folder for the prepared text.", "DIR", required=True),
    overwrite_option(
        "Replace the prepared text in DIR; the old one is deleted once the new vocabulary is built."
    ),
    click.option(
        "--workers",
        type=IntRange(1),
        metavar="N",
        help="Number of encoding processes.  [default: one per processor]",
    ),
)
@text_options
@tokenizer_options
@section(
    "Tokenizer",
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="Change a setting of the tokenizer; may be repeated.",
    ),
    click.option(
        "--sample",
        metavar="SIZE",
        help="Bytes of text to build the vocabulary from, such as 32M; all uses the whole text.  "
        "[default: 32M; sentencepiece: 10M]",
    ),
)
@section("Output", json_option)
def command(as_json: bool, **given: Any) -> None:
    """Encode TEXT of any size as token ids in DIR, to train from disk.

    \b
    rnnlm prepare big.txt.xz -o big --max-vocab 50000
    rnnlm prepare valid.txt -o valid --tokenizer-from big
    rnnlm train big --valid valid             reads from disk, not into memory

    TEXT: files, globs, - (standard input), or hf:OWNER/NAME (a data set).

    The vocabulary is built from a sample of TEXT, in evenly spaced parts. Sources that must be read
    in order (compressed files, tables, data sets, -) are sampled at their start. --sample all reads
    TEXT twice instead and includes every word. The number of workers does not change the result.
    Run the same command again to resume.
    """
    from rnnlm.config import parse_assignments
    from rnnlm.tools.prepared.preparation import CountingWords, Encoding, PreparationRequest, run

    request_fields = {
        name: given.pop(name) for name in PreparationRequest.__dataclass_fields__ if name in given
    }
    request_fields["assignments"] = parse_assignments(request_fields["assignments"])
    tokenizer_from = given.pop("tokenizer_from")
    if tokenizer_from:
        from rnnlm.lm.base.loading import load_tokenizer

        request_fields["shared_tokenizer"] = load_tokenizer(tokenizer_from)
        request_fields["tokenizer_name"] = tokenizer_from
    of_text = text_flags(given)
    flags = {**of_text, **without_none(given)}

    explained = explaining(lambda: _say_how_to_resume(request_fields["output"]))
    with (
        explained,
        terminal.Bar(["counting words", "encoding"], about=request_fields["output"]) as progress,
    ):
        for event in run(PreparationRequest(**request_fields, flags=flags)):
            line = _announcement(event)
            if line:
                terminal.say(line)
            elif isinstance(event, (CountingWords, Encoding)):
                progress(_how_far(event))

    # The last event describes the result.
    if as_json:
        terminal.print_json(event)
        return
    rows = [[name, terminal.amount(value)] for name, value in vars(event).items()]
    terminal.print_table(terminal.Table(["what", "value"], rows))


def _say_how_to_resume(folder: Path) -> None:
    """Say how to resume where something of the work is kept."""
    if PREPARED.is_in(folder):
        terminal.say(f"finished work is kept in {folder}; to resume, run the same command again")


def _announcement(event: object) -> str | None:
    """Return the line that announces an event; None for those that only show progress."""
    from rnnlm.tools.prepared.preparation import Sampled, Sampling

    ways = {
        "all": "the whole text",
        "even": "{} of the text, in evenly spaced parts",
        "start": "the first {} of the text",
    }
    if isinstance(event, Sampling):
        size = terminal.amount(event.bytes, unit="bytes")
        return f"building the vocabulary from {ways[event.how].format(size)} ..."
    if isinstance(event, Sampled):
        # A shared tokenizer was made of no sample: how says whose it is.
        size = terminal.amount(event.bytes, unit="bytes")
        of = ways[event.how].format(size) if event.how in ways else event.how
        return (
            f"tokenizer {event.tokenizer}, {event.vocabulary_size:,} symbols, from {of}, "
            f"{terminal.duration(event.seconds)}"
        )
    return None


def _how_far(event: "CountingWords | Encoding") -> str:
    from rnnlm.tools.prepared.preparation import Encoding

    parts = []
    if event.share is not None:
        parts.append(f"{event.share:.0%}")
    what = "counting words"
    if isinstance(event, Encoding):
        what = "encoding"
        parts += [
            f"{terminal.amount(event.text_bytes, unit='bytes')} of text",
            "rereading finished text" if event.is_skipping else plural(event.tokens, "token"),
            f"{terminal.amount(event.bytes_per_second, unit='bytes')}/s",
        ]
    if event.seconds_left is not None:
        parts.append(f"{terminal.duration(event.seconds_left)} left")
    return f"{what}: {', '.join(parts)}".removesuffix(": ")
