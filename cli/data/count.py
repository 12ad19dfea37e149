"""`rnnlm count`: n-gram counts as a table or a folder, and sums of folders."""

import contextlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.storage.files import lock, outputs
from rnnlm.text import sources
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings

from .. import terminal
from ..declaring import Command, IntRange, options_of, section
from ..options import (
    PATH,
    check_plot,
    corpus_of,
    one_model_option,
    output_option,
    overwrite_option,
    own_file,
    refuse_if,
    save_plot,
)
from ..text_options import split_punctuation_option, text_flags, text_options

if TYPE_CHECKING:
    from rnnlm.lm.ngram.counting.counted_data import Counted
    from rnnlm.lm.ngram.counting.memory_limit import MemoryUse
    from rnnlm.text.corpus import Text

DEFAULT_ORDER = 3
# Options that are about counts, not about the text
_DRAWING = ("plot", "probabilities", "zipf")
_COUNTING = (
    "order", "highest_only", "min_count", "memory", "temp", "workers", "dask", *_DRAWING
)  # fmt: skip
LIMITS = "--memory, --temp, --workers and --dask"

tokenizer_options = section(
    "Tokenizer",
    options_of(
        TokenizerSettings,
        "tokenizer",
        type=click.Choice(["word", "char", "byte"]),
        help="Unit of the n-grams.",
    ),
    options_of(TokenizerSettings, "lowercase"),
    options_of(TokenizerSettings, "normalise"),
    split_punctuation_option,
    options_of(TokenizerSettings, "remove_punctuation"),
    options_of(TokenizerSettings, "vocab", default_is=""),
    one_model_option("Split text with this model's tokenizer."),
    click.option(
        "--tokenizer-from",
        metavar="DIR",
        help="Use the vocabulary of other counts, a model or a prepared text; other words become "
        "<unk>.",
    ),
)


@click.command(cls=Command, needs={"probabilities": ["plot"]})
@click.argument("text", nargs=-1, required=True)
@section(
    "Counts",
    click.option(
        "--order",
        type=IntRange(1, 64),
        metavar="N",
        help=f"Length of the longest n-grams.  [default: {DEFAULT_ORDER}; for folders of counts, "
        "their order]",
    ),
    click.option(
        "--only", "highest_only", is_flag=True, help="Show n-grams of the highest order only."
    ),
    click.option(
        "--min-count",
        type=IntRange(1),
        default=1,
        metavar="K",
        help="Leave out n-grams that occur fewer than K times.",
    ),
    options_of(NgramSettings, "memory", "temp", "workers", "dask", default_is=""),
)
@section(
    "Output",
    output_option(
        "A folder, or a new name without a suffix, for all counts, to print, add up or train "
        "from. Or a file for a table, compressed if it ends in .gz, .xz, .bz2 or .zst.  "
        "[default: -, standard output]",
        "DIR|FILE",
    ),
    overwrite_option("Replace FILE, or the counts in DIR."),
)
@section(
    "Pictures, instead of a printed table",
    click.option(
        "--plot",
        type=PATH,
        metavar="FILE.svg",
        help="Draw which word or character follows which as .svg, .png or .pdf: the "
        "most frequent words, or all of at most 64.",
    ),
    click.option(
        "--probabilities", is_flag=True, help="With --plot: relative frequencies, not counts."
    ),
    click.option(
        "--zipf",
        type=PATH,
        metavar="FILE.svg",
        help="Draw frequencies by rank of each order, and print the slopes of the fitted lines.",
    ),
)
@tokenizer_options
@text_options
def command(text: tuple[str, ...], output: Path | None, overwrite: bool, **given: Any) -> None:
    """Count the n-grams of TEXT, or add up counts.

    \b
    rnnlm count a.txt --order 5 -o a              a folder of counts
    rnnlm count b.txt --order 5 -o b
    rnnlm count a b -o both                       the counts of both texts
    rnnlm count both                              printed as a table
    rnnlm train --counts both --model ngram       a model of both texts
    rnnlm count a.txt -o a.tsv.gz                 a table, compressed
    rnnlm count a.txt --plot bigrams.svg --zipf ranks.svg

    TEXT is either texts, which are counted as one, or folders of counts. Rows of a table are
    `n-gram TAB count`, sorted by n-gram in the order of LC_ALL=C sort.

    A sentence begins with <s> and ends with </s>. In a table, backslashes, white space and control
    characters of words are escaped as in Python: \\\\, \\x20, \\t. An n-gram with a quotation mark
    is quoted as in CSV, so Python's csv module, pandas and R can read it.

    Folders of counts of the same order are added up, with the words of all of them, in bounded
    memory (--memory, by default 1G).

    Run the same command again to resume from --temp DIR, or to be told that a folder of counts is
    finished.
    """
    from rnnlm.lm.ngram.counting import counts_folder, memory_limit, strings
    from rnnlm.storage.files.resuming import NextStep, in_one_spelling, text_signatures

    # Input and output: before time goes into them.
    if output == Path("-"):
        output = None
    folders = list(filter(counts_folder.is_counts, text))
    # A folder, or a name that may become one.
    target = output
    if output and not output.is_dir() and (output.suffix or output.exists()):
        target = None
    _check(text, folders, output, target, given)
    table = output if not target else None
    if table:
        own_file(table, overwrite)
    for picture in filter(None, (given["plot"], given["zipf"])):
        check_plot(picture, overwrite)
    order, shown = given["order"], {name: given[name] for name in ("highest_only", "min_count")}
    to_count = None
    identity = text_signatures(folders, "counts")
    if not folders:
        order = order or DEFAULT_ORDER
        to_count = _text_and_tokenizer(text, given)
        identity = _identity_of_text(*to_count)
    shaping = {"order": order, **shown}
    identity |= {name: in_one_spelling(value) for name, value in shaping.items()}
    progress = terminal.Bar(_phases(order or DEFAULT_ORDER, bool(target)), about=output or "")
    memory_use = None
    with contextlib.ExitStack() as stack:
        if target:
            stack.enter_context(lock.held(target, "counting"))
            if counts_folder.next_step_in(target, identity, overwrite) is NextStep.FINISHED:
                return

        # Without a folder of counts, rows of a table are made in their order from the beginning.
        if not target and to_count and not given["tokenizer_from"]:
            rows = strings.count_text(*to_count, order, **shown, report=progress)
            _put_rows(rows, table, progress, given)
            return

        # Workers have their own limit each.
        if given["memory"] and not _has_workers(given):
            memory_use = stack.enter_context(memory_limit.measured_memory())
        counted = stack.enter_context(_counted(to_count, folders, order, given, progress))
        if target:
            counts_folder.save(
                target, counted.levels, counted.order, counted.source, counted.tokenizer, identity
            )
        else:
            rows = strings.rows_of(
                counted.levels, counted.tokenizer, counted.order, **shown, report=progress
            )
            _put_rows(rows, table, progress, given)
    if given["tokenizer_from"]:
        words, new = counted.source.words, counted.source.new_words
        terminal.say(
            f"{new / max(words, 1):.2%} of the words are not in the vocabulary of "
            f"{given['tokenizer_from']}: {new:,} of {words:,} are <unk>"
        )
    if memory_use:
        _say_memory_use(memory_use, given["memory"])


def _say_memory_use(use: "MemoryUse", limit: str) -> None:
    """Say how much memory was used, and how much was allowed."""
    from rnnlm.amounts import amount
    from rnnlm.system import parse_size

    allowed = amount(parse_size(limit), unit="bytes")
    used = f"at most {amount(use.private_bytes, unit='bytes')} private (limit {allowed})"
    mapped = f"; {amount(use.mapped_bytes, unit='bytes')} of mapped files"
    terminal.say(f"memory: {used}{mapped if use.mapped_bytes else ''}")


def _check(
    text: tuple[str, ...],
    folders: list[str],
    output: Path | None,
    target: Path | None,
    given: dict[str, Any],
) -> None:
    """Refuse options that have no effect together, and an output that is one of the inputs.
    folders: the folders of counts among TEXT. target: the folder to write, if it is one."""
    drawn = [f"--{name}" for name in _DRAWING if given[name]]
    refuse_if(
        drawn and target, f"{', '.join(drawn)}: draw what is counted, without a folder as -o."
    )
    refuse_if(
        drawn and (given["highest_only"] or given["min_count"] > 1),
        f"{', '.join(drawn)}: all counts are drawn: leave out --only and --min-count.",
    )
    refuse_if(
        target and (given["highest_only"] or given["min_count"] > 1),
        "a folder holds all counts: use --only and --min-count when you print it.",
    )
    if folders:
        _check_folders(text, folders, target, given)
    else:
        refuse_if(_is_limited(given) and not target, f"{LIMITS} need a folder: add -o DIR.")
        needs_memory = given["temp"] and not (given["memory"] or _has_workers(given))
        refuse_if(needs_memory, "--temp needs --memory.")
    written = [path for path in (target or output, given["plot"], given["zipf"]) if path]
    if written:
        outputs.check_apart(written, folders or sources.expand(text))


def _phases(order: int, in_folder: bool) -> list[str]:
    """Return how the messages of each part of the work begin. Counts that go into a folder may be
    made with little memory, in more parts."""
    if in_folder:
        return ["words counted", "text encoded", *terminal.counting_phases(order)]
    return [f"order {n}:" for n in range(1, order + 1)]


def _has_workers(given: dict[str, Any]) -> bool:
    return bool(given["workers"] or given["dask"])


def _is_limited(given: dict[str, Any]) -> bool:
    return bool(given["memory"] or given["temp"] or _has_workers(given))


def _check_folders(
    text: tuple[str, ...], folders: list[str], target: Path | None, given: dict[str, Any]
) -> None:
    """Refuse options that cannot be combined with counts that are read."""
    from rnnlm.lm.ngram.counting import counts_folder

    # A folder without counts, or one that is missing, is no text to be counted, either.
    others = [name for name in text if name not in folders]
    for name in others:
        if os.path.isdir(name) or not os.path.exists(name):
            counts_folder.load(name)

    first = f"{folders[0]} is a folder of counts"
    refuse_if(others, f"{first}, and cannot be combined with {', '.join(others)}.")
    refuse_if(
        any(value for name, value in given.items() if name not in _COUNTING),
        f"{first}: options for reading and tokenizing text have no effect.",
    )
    if len(folders) == 1:
        refuse_if(_is_limited(given), f"{first}: {LIMITS} have no effect.")
        refuse_if(target, f"{first}: copy it, or name several folders to add them up.")
    refuse_if(
        _has_workers(given),
        f"{first}: this process adds up the counts: leave out --workers and --dask.",
    )


def _put_rows(
    counts: Any, output: Path | None, progress: terminal.Progress, given: dict[str, Any]
) -> None:
    """Write a table to a file, or print it, or draw what the options ask for."""
    from rnnlm.lm.ngram.counting import strings

    if given["plot"] or given["zipf"]:
        counts = list(counts)
        _draw(counts, given)
        if output is None:
            return
    lines = strings.count_lines(counts, progress)
    if output:
        strings.save(output, lines)
        return
    for part in lines:
        click.echo(part, nl=False)


def _draw(counts: "list[tuple[str, int]]", given: dict[str, Any]) -> None:
    """Draw bigrams and frequencies by rank, and print how steep these are."""
    from rnnlm.evaluation import ngram_pictures

    if given["plot"]:
        save_plot(ngram_pictures.bigram_map(counts, given["probabilities"]), given["plot"])
    if given["zipf"]:
        fits = ngram_pictures.zipf_fits(counts)
        rows = [
            [fit.order, f"{fit.total:,}", f"{fit.ngrams:,}", f"{fit.once:.1%}", f"{fit.slope:.2f}"]
            for fit in fits
        ]
        columns = ["order", "n-grams", "different", "once", "slope"]
        terminal.print_table(terminal.Table(columns, rows, right=columns))
        save_plot(ngram_pictures.draw_zipf(fits), given["zipf"])


def _counted(
    to_count: "tuple[Text, Tokenizer | TokenizerSettings] | None",
    folders: list[str],
    order: int | None,
    given: dict[str, Any],
    progress: terminal.Progress,
) -> "contextlib.AbstractContextManager[Counted]":
    """Return a provider of the counts of a text, of a folder, or the sums over several."""
    from rnnlm.lm.ngram.counting import counted_data
    from rnnlm.lm.ngram.counting.workers import WorkerOptions

    memory, temp = given["memory"], given["temp"]
    if to_count is None:
        return counted_data.of_folders(folders, order, memory, temp, progress)
    text, tokenizer = to_count
    workers = WorkerOptions(given["workers"], given["dask"])
    return counted_data.of_text(
        text=text,
        tokenizer=tokenizer,
        order=order or DEFAULT_ORDER,
        memory=memory,
        temp=temp,
        report=progress,
        workers=workers,
    )


def _text_and_tokenizer(
    text: tuple[str, ...], given: dict[str, Any]
) -> "tuple[Text, Tokenizer | TokenizerSettings]":
    """Return the text, and its tokenizer or the settings of the one to make."""
    flags = text_flags(given)
    names = [parameter for parameter in given if parameter not in _COUNTING]
    return corpus_of(text, flags), _tokenizer({name: given[name] for name in names})


def _identity_of_text(text: "Text", tokenizer: "Tokenizer | TokenizerSettings") -> dict[str, str]:
    """Return the facts that determine the tokens of a text."""
    from rnnlm.storage.files.resuming import merged, settings_identity
    from rnnlm.text.corpus import identity_of

    if isinstance(tokenizer, TokenizerSettings):
        return merged(identity_of(text), settings_identity(tokenizer))
    return merged(identity_of(text), {"tokenizer": tokenizer.fingerprint})


def _tokenizer(given: dict[str, Any]) -> "Tokenizer | TokenizerSettings":
    """Return the tokenizer of another model or counts, or the settings of the one that the options
    describe."""
    model, shared = given.pop("model_name"), given.pop("tokenizer_from")
    flags = {option: value for option, value in given.items() if value is not None}
    refuse_if(
        model and shared, "-m and --tokenizer-from both name a tokenizer: give only one of them."
    )
    if not model and not shared:
        return NewTokenizerSettings(**flags).with_files_read()
    named = ", ".join(f"--{option.replace('_', '-')}" for option in flags)
    brings = "-m MODEL" if model else f"--tokenizer-from {shlex.quote(str(shared))}"
    refuse_if(flags, f"{brings} determines the tokenizer: leave out {named}.")

    from rnnlm.lm.base.loading import load_tokenizer

    return load_tokenizer(model or shared)
