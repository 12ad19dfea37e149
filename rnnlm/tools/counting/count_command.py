"""`rnnlm count`: n-gram counts as a table or a folder, and sums of folders; the options of
`rnnlm train` on counts, and on texts that are counted beyond memory."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, IntRange, options_of, section
from rnnlm.cli.options import (
    OF_NGRAMS,
    PATH,
    check_plot,
    one_model_option,
    output_option,
    overwrite_option,
    own_file,
    refuse_if,
    save_plot,
    without_none,
)
from rnnlm.cli.text_options import split_punctuation_option, text_flags, text_options
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.storage.files import outputs
from rnnlm.system import quoted
from rnnlm.text import sources
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.counting.source import COUNTED
from rnnlm.training.request import TrainingRequest

if TYPE_CHECKING:
    from rnnlm.tools.counting.memory_limit import MemoryUse
    from rnnlm.tools.counting.run import CountingRequest

DEFAULT_ORDER = 3

train_options = section(
    "N-grams",
    options_of(TrainingRequest, "counts"),
    options_of(NgramSettings, "memory", "temp", "workers", "dask", default_is=""),
    goes_with=OF_NGRAMS,
)

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
    click.option("--only", is_flag=True, help="Show n-grams of the highest order only."),
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
    from rnnlm.tools.counting import strings
    from rnnlm.tools.counting.memory_limit import measured_memory
    from rnnlm.tools.counting.run import CountsFinished, Ngrams, run

    # A folder, or a name that may become one, holds all counts; any other output is a table.
    if output == Path("-"):
        output = None
    folder, table = output, None
    if output and not output.is_dir() and (output.suffix or output.exists()):
        folder, table = None, output
    pictures = {name: given[name] for name in ("plot", "zipf") if given[name]}
    draws_probabilities = given["probabilities"]
    _check_pictures([*pictures, *["probabilities"] * draws_probabilities], folder, given)
    shared = given["tokenizer_from"]
    request = _request(text, folder, overwrite, given)
    written = [path for path in (table, *pictures.values()) if path]
    if written:
        read = list(filter(COUNTED.is_in, text)) or sources.expand(text)
        outputs.check_apart([*written, *filter(None, [folder])], read)
    if table:
        own_file(table, overwrite)
    for picture in pictures.values():
        check_plot(picture, overwrite)

    ended: list[CountsFinished] = []
    progress = terminal.Bar(_phases(request), about=output or "")

    def rows() -> Iterator[strings.NgramCount]:
        for event in run(request, progress):
            if isinstance(event, Ngrams):
                yield from event.counts
            elif isinstance(event, CountsFinished):
                ended.append(event)

    # Workers have their own limit each.
    measures = request.memory and not request.has_workers
    with measured_memory() if measures else nullcontext() as memory_use:
        counts = rows()
        if pictures:
            counts = iter(_drawn(list(counts), pictures, draws_probabilities))
        lines = strings.count_lines(counts, progress)
        if table:
            strings.save(table, lines)
        elif not pictures:
            for part in lines:
                click.echo(part, nl=False)
    [finished] = ended
    if finished.was_there:
        return

    if shared:
        words, new = finished.words or 0, finished.new_words or 0
        terminal.say(
            f"{new / max(words, 1):.2%} of the words are not in the vocabulary of {shared}: "
            f"{new:,} of {words:,} are <unk>"
        )
    if memory_use and request.memory:
        _say_memory_use(memory_use, request.memory)


def _check_pictures(drawn: Sequence[str], folder: Path | None, given: dict[str, Any]) -> None:
    """Refuse pictures of what is not all counted here, or is not counted at all."""
    names = ", ".join(f"--{name}" for name in drawn)
    refuse_if(drawn and folder, f"{names}: draw what is counted, without a folder as -o.")
    refuse_if(
        drawn and (given["only"] or given["min_count"] > 1),
        f"{names}: all counts are drawn: leave out --only and --min-count.",
    )


def _request(
    text: tuple[str, ...], folder: Path | None, overwrite: bool, given: dict[str, Any]
) -> "CountingRequest":
    """Return the request that the options make. Another model or counts may bring the tokenizer."""
    from rnnlm.tools.counting.run import CountingRequest

    for name in ("plot", "probabilities", "zipf"):
        del given[name]
    fields = CountingRequest.__dataclass_fields__
    requested = {name: given.pop(name) for name in list(given) if name in fields}
    kind = requested.pop("tokenizer")
    model, shared = given.pop("model_name"), given.pop("tokenizer_from")
    of_text = text_flags(given)
    flags = without_none({**given, "tokenizer": kind})
    refuse_if(
        model and shared, "-m and --tokenizer-from both name a tokenizer: give only one of them."
    )
    tokenizer = None
    if model or shared:
        named = ", ".join(f"--{option.replace('_', '-')}" for option in flags)
        brings = "-m MODEL" if model else f"--tokenizer-from {quoted(str(shared))}"
        refuse_if(flags, f"{brings} determines the tokenizer: leave out {named}.")
        from rnnlm.lm.base.loading import load_tokenizer

        tokenizer = load_tokenizer(model or shared)
    return CountingRequest(
        text=text,
        output=folder,
        overwrite=overwrite,
        tokenizer=tokenizer,
        flags={**of_text, **flags},
        **requested,
    )


def _phases(request: "CountingRequest") -> list[str]:
    """Return how the messages of each part of the work begin. Counts that go into a folder may be
    made with little memory, in more parts."""
    order = request.order or DEFAULT_ORDER
    if request.output:
        return ["words counted", "text encoded", *terminal.counting_phases(order)]
    return [f"order {n}:" for n in range(1, order + 1)]


def _say_memory_use(use: "MemoryUse", limit: str) -> None:
    """Say how much memory was used, and how much was allowed."""
    from rnnlm.amounts import amount
    from rnnlm.system import parse_size

    allowed = amount(parse_size(limit), unit="bytes")
    used = f"at most {amount(use.private_bytes, unit='bytes')} private (limit {allowed})"
    mapped = f"; {amount(use.mapped_bytes, unit='bytes')} of mapped files"
    terminal.say(f"memory: {used}{mapped if use.mapped_bytes else ''}")


def _drawn(
    counts: "list[tuple[str, int]]", pictures: dict[str, Path], draws_probabilities: bool
) -> "list[tuple[str, int]]":
    """Draw bigrams and frequencies by rank, and print how steep these are. Return the counts."""
    from rnnlm.tools.counting import ngram_pictures

    if "plot" in pictures:
        save_plot(ngram_pictures.bigram_map(counts, draws_probabilities), pictures["plot"])
    if "zipf" in pictures:
        fits = ngram_pictures.zipf_fits(counts)
        rows = [
            [fit.order, f"{fit.total:,}", f"{fit.ngrams:,}", f"{fit.once:.1%}", f"{fit.slope:.2f}"]
            for fit in fits
        ]
        columns = ["order", "n-grams", "different", "once", "slope"]
        terminal.print_table(terminal.Table(columns, rows, right=columns))
        save_plot(ngram_pictures.draw_zipf(fits), pictures["zipf"])
    return counts
