"""`rnnlm count`: n-gram counts as text, Parquet or a folder, and sums of them."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import terminal
from ..help_sections import Command, section
from ..options import (
    corpus_of,
    one_model_option,
    output_option,
    overwrite_option,
    refuse_if,
    text_flags,
    text_options,
)
from ..setting_options import NGRAMS, TOKENIZER, options_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rnnlm.interface import Tokenizer
    from rnnlm.ngram.counting.counted import Counted
    from rnnlm.text.corpus import Text
    from rnnlm.text.tokenizer_settings import TokenizerSettings

DEFAULT_ORDER = 3
# Options that are about counts, not about the text
_COUNTING = ("order", "highest_only", "min_count", "memory", "temp", "workers", "dask")
FOLDER, TSV, PARQUET = "folder", "tsv", "parquet"

tokenizer_options = section(
    "Tokenizer",
    options_of(
        TOKENIZER, "tokenizer", type=click.Choice(["word", "char", "byte"]), help="Unit to count."
    ),
    options_of(TOKENIZER, "lowercase"),
    options_of(TOKENIZER, "normalise", metavar="FORMS"),
    options_of(TOKENIZER, "split_punctuation", "remove_punctuation"),
    one_model_option("Count the tokens of this model's tokenizer."),
    click.option(
        "--tokenizer-from",
        metavar="DIR",
        help="The vocabulary of other counts, a model or a prepared text; other words are <unk>.",
    ),
    click.option(
        "--extend",
        is_flag=True,
        help="With --tokenizer-from: add the other words to the vocabulary, after its own.",
    ),
)


@click.command(cls=Command)
@click.argument("text", nargs=-1, required=True)
@section(
    "Counts",
    click.option(
        "--order",
        type=click.IntRange(1, 64),
        metavar="N",
        help=f"Longest n-gram.  [default: {DEFAULT_ORDER}; of counts: theirs]",
    ),
    click.option(
        "--only", "highest_only", is_flag=True, help="Show n-grams of the highest order only."
    ),
    click.option(
        "--min-count",
        type=click.IntRange(1),
        default=1,
        metavar="K",
        help="Leave out n-grams that occur less than K times.",
    ),
    click.option(
        "--merge",
        is_flag=True,
        help="Add up the counts in TEXT, which are folders of counts or files of them.",
    ),
    options_of(NGRAMS, "memory", metavar="SIZE", default_is=""),
    options_of(NGRAMS, "temp", metavar="DIR", default_is=""),
    options_of(NGRAMS, "workers", metavar="N", default_is=""),
    options_of(NGRAMS, "dask", metavar="ADDRESS", default_is=""),
)
@section(
    "Output",
    output_option(
        "Folder or file of counts; a file is compressed by suffix: .gz, .xz, .bz2, .zst.  "
        "[default: -, stdout]",
        "DIR|FILE",
    ),
    click.option(
        "--format",
        "--output-format",
        "form",
        type=click.Choice([FOLDER, TSV, PARQUET]),
        help="folder: all counts, to be printed, merged and trained from; tsv: rows of text; "
        "parquet: a folder with one file an order.  [default: folder where -o names a folder, or "
        "something new without a suffix; else tsv]",
    ),
    click.option("--ids", is_flag=True, help="With parquet: ids instead of words; <s> is -1."),
    overwrite_option("Replace FILE, or the counts in DIR."),
)
@tokenizer_options
@text_options
def command(
    text: tuple[str, ...],
    merge: bool,
    output: Path | None,
    overwrite: bool,
    form: str | None,
    ids: bool,
    **given: Any,
) -> None:
    """Count the n-grams of TEXT.

    \b
    rnnlm count a.txt --order 5 -o a              a folder of counts
    rnnlm count b.txt --order 5 -o b --tokenizer-from a
    rnnlm count --merge a b -o both               the counts of both texts
    rnnlm count both                              as text
    rnnlm train --counts both --model ngram       a model of both texts
    rnnlm count a.txt -o a.counts.gz              as text, compressed
    rnnlm count --merge a.counts.gz b.counts.gz   files of text are added up, too

    All of TEXT is one text; or it is a folder of counts. Rows of text are `n-gram TAB count`, the
    n-grams sorted as LC_ALL=C sort sorts.

    A sentence begins with <s> and ends with </s>. In rows of text, backslash, white space and
    control characters of words are written as in Python: \\\\, \\x20, \\t. An n-gram with a
    quotation mark is quoted as in CSV, so that Python's csv, pandas and R read it.

    A folder of counts has its vocabulary. Counts of one vocabulary and order can be merged, in
    bounded memory (--memory; 1G unless given).
    """
    from rnnlm.files import outputs
    from rnnlm.ngram.counting import counts_folder, parquet, strings
    from rnnlm.text import sources

    # What is read, and how it is written.
    folders = list(filter(counts_folder.is_counts, text))
    are_files = merge and not folders
    if output == Path("-"):
        output = None
    form = _checked_form(form, output, given, ids, are_files)
    _check_input(text, folders, merge, form, given)

    # What is written is checked before time goes into it.
    if output and form == TSV:
        outputs.check_file(output, overwrite)
        outputs.check_apart([output], folders or sources.expand(text))
    elif output:
        outputs.check_apart([output], folders)
        check = parquet.check_output if form == PARQUET else counts_folder.check_output
        check(output, overwrite)

    # Without a folder of counts, rows of text are made in their order from the beginning.
    progress = terminal.Progress()
    shown = {"highest_only": given["highest_only"], "min_count": given["min_count"]}
    if are_files:
        _put_rows(strings.merge_counts(text, given["min_count"]), output, progress)
        return
    if form == TSV and not folders and not given["tokenizer_from"]:
        order = given["order"] or DEFAULT_ORDER
        corpus, tokenizer = _text_and_tokenizer(text, given)
        rows = strings.count_text(corpus, tokenizer, order, **shown, report=progress)
        _put_rows(rows, output, progress)
        return

    with contextlib.ExitStack() as stack:
        if output and form == FOLDER:
            stack.enter_context(counts_folder.owned(output, overwrite))
        found = stack.enter_context(_counted(text, folders, given, progress))
        if output and form == FOLDER:
            counts_folder.save(output, found.levels, found.order, found.source, found.tokenizer)
        elif output and form == PARQUET:
            parquet.save(
                output, found.levels, found.tokenizer, found.order,
                ids=ids, **shown, overwrite=overwrite,
            )  # fmt: skip
        else:
            rows = strings.rows_of(
                found.levels, found.tokenizer, found.order, **shown, report=progress
            )
            _put_rows(rows, output, progress)
    if given["extend"]:
        terminal.say(f"the vocabulary has {found.tokenizer.size:,} symbols now")
    elif given["tokenizer_from"]:
        words, new = found.source.words, found.source.new_words
        terminal.say(
            f"{new / max(words, 1):.2%} of the words are not in the vocabulary of "
            f"{given['tokenizer_from']}: {new:,} of {words:,} are <unk>"
        )


def _checked_form(
    form: str | None, output: Path | None, given: dict[str, Any], ids: bool, are_files: bool
) -> str:
    """Return how counts are written; refuse what does not go with it. are_files: files of counts
    are added up, which makes another one."""
    if form is None:
        form = FOLDER if output and _names_folder(output) and not are_files else TSV
        refuse_if(
            output and output.suffix == ".parquet",
            f"{output}: Parquet files are written to a folder, one an order: "
            "add --format parquet -o DIR.",
        )
    refuse_if(form != TSV and not output, f"--format {form} needs -o DIR.")
    refuse_if(ids and form != PARQUET, "--ids needs --format parquet.")
    refuse_if(
        form == FOLDER and (given["highest_only"] or given["min_count"] > 1),
        "a folder holds all counts: give --only and --min-count when it is printed.",
    )
    return form


def _check_input(
    text: tuple[str, ...], folders: list[str], merge: bool, form: str, given: dict[str, Any]
) -> None:
    """Refuse what cannot be combined with counts that are read."""
    from rnnlm.ngram.counting import counts_folder

    # A folder without counts is no file of them, either.
    for name in filter(os.path.isdir, text):
        if merge:
            counts_folder.load(name)

    of_text = _given_of_text(given)
    has_workers = given["workers"] or given["dask"]
    is_limited = given["memory"] or given["temp"] or has_workers
    limits = "--memory, --temp, --workers and --dask"
    if not folders:
        counting = of_text or given["order"] or given["highest_only"] or is_limited
        refuse_if(
            merge and counting,
            "--merge adds up counts: options for reading, tokenizing and counting text have "
            "no effect.",
        )
        refuse_if(merge and form != TSV, f"--format {form}: {text[0]} is not a folder of counts.")
        refuse_if(is_limited and form == TSV, f"{limits} need a folder: add -o DIR.")
        needs_memory = given["temp"] and not (given["memory"] or has_workers)
        refuse_if(needs_memory, "--temp needs --memory.")
        return

    first = f"{folders[0]} is a folder of counts"
    others = [name for name in text if name not in folders]
    refuse_if(others, f"{first}, and cannot be combined with {', '.join(others)}.")
    refuse_if(of_text, f"{first}: options for reading and tokenizing text have no effect.")
    refuse_if(len(folders) > 1 and not merge, f"{first}: add up several with --merge.")
    refuse_if(not merge and is_limited, f"{first}: {limits} have no effect.")
    refuse_if(
        has_workers,
        f"{first}: counts are added up by this process: leave --workers and --dask out.",
    )
    refuse_if(not merge and form == FOLDER, f"{first}: copy it, or add up several with --merge.")


def _names_folder(output: Path) -> bool:
    """Return whether `output` is a folder of counts, or by its name may become one."""
    from rnnlm.ngram.counting import counts_folder

    is_file = output.exists() and not output.is_dir()
    return counts_folder.is_counts(output) or (not output.suffix and not is_file)


def _put_rows(counts: Any, output: Path | None, progress: terminal.Progress) -> None:
    """Write rows of text to a file, or print them."""
    from rnnlm.ngram.counting import strings

    lines = strings.count_lines(counts, progress)
    if output:
        strings.save(output, lines)
        return
    for part in lines:
        click.echo(part, nl=False)


def _given_of_text(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options about text and tokenizer that were given."""
    return {name: value for name, value in given.items() if value and name not in _COUNTING}


def _counted(
    text: tuple[str, ...], folders: list[str], given: dict[str, Any], progress: terminal.Progress
) -> "AbstractContextManager[Counted]":
    """Return what provides the counts of a text, of a folder, or the sums over several."""
    from rnnlm.ngram.counting import counted
    from rnnlm.work.teams import Workers

    memory, temp = given["memory"], given["temp"]
    if folders:
        return counted.of_folders(folders, given["order"], memory, temp, progress)
    order = given["order"] or DEFAULT_ORDER
    extend = given["extend"]
    corpus, tokenizer = _text_and_tokenizer(text, given)
    workers = Workers(given["workers"], given["dask"])
    return counted.of_text(corpus, tokenizer, order, memory, temp, progress, extend, workers)


def _text_and_tokenizer(
    text: tuple[str, ...], given: dict[str, Any]
) -> "tuple[Text, Tokenizer | TokenizerSettings]":
    """Return the text, and its tokenizer or the settings of the one to make."""
    flags = text_flags(given)
    names = [parameter for parameter in given if parameter not in _COUNTING]
    return corpus_of(text, flags), _tokenizer({name: given[name] for name in names})


def _tokenizer(given: dict[str, Any]) -> "Tokenizer | TokenizerSettings":
    """Return the tokenizer of another model or counts, or the settings of the one that the options
    describe."""
    model, shared = given.pop("model_name"), given.pop("tokenizer_from")
    refuse_if(given.pop("extend") and not shared, "--extend needs --tokenizer-from.")
    flags = {option: value for option, value in given.items() if value}
    refuse_if(model and shared, "-m and --tokenizer-from both bring a tokenizer: give one of them.")
    if not model and not shared:
        from rnnlm.text.tokenizer_settings import TokenizerSettings

        return TokenizerSettings(**flags)
    named = ", ".join(f"--{option.replace('_', '-')}" for option in flags)
    brings = "-m MODEL" if model else f"--tokenizer-from {shared}"
    refuse_if(flags, f"{brings} brings its own tokenizer: leave {named} out.")

    from rnnlm.models.loading import load_tokenizer
    from rnnlm.ngram.counting import counts_folder

    if shared and counts_folder.is_counts(shared):
        return counts_folder.load(shared).tokenizer
    return load_tokenizer(model or shared)
