"""`rnnlm count`: n-gram counts as text, and sums of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import terminal
from ..options import (
    Command,
    corpus_of,
    one_model_option,
    output_option,
    overwrite_option,
    refuse_if,
    section,
    text_flags,
    text_options,
)
from ..setting_options import TOKENIZER, options_of

if TYPE_CHECKING:
    from rnnlm.interface import Tokenizer
    from rnnlm.text.tokenizer_settings import TokenizerSettings

DEFAULT_ORDER = 3

tokenizer_options = section(
    "Tokenizer",
    options_of(
        TOKENIZER, "tokenizer", type=click.Choice(["word", "char", "byte"]), help="Unit to count."
    ),
    options_of(TOKENIZER, "lowercase"),
    options_of(TOKENIZER, "normalise", metavar="FORMS"),
    options_of(TOKENIZER, "split_punctuation", "remove_punctuation"),
    one_model_option("Count the tokens of this model's tokenizer."),
)


@click.command(cls=Command)
@click.argument("text", nargs=-1, required=True)
@section(
    "Counts",
    click.option(
        "--order",
        type=click.IntRange(1, 64),
        metavar="N",
        help=f"Longest n-gram.  [default: {DEFAULT_ORDER}]",
    ),
    click.option(
        "--only", "highest_only", is_flag=True, help="Count n-grams of the highest order only."
    ),
    click.option(
        "--min-count",
        type=click.IntRange(1),
        default=1,
        metavar="K",
        help="Leave out n-grams that occur less than K times.",
    ),
    click.option(
        "--merge", is_flag=True, help="Add up the counts in TEXT, which are files of counts."
    ),
)
@section(
    "Output",
    output_option(
        "File of counts, compressed by suffix: .gz, .xz, .bz2, .zst.  [default: -, stdout]"
    ),
    overwrite_option(),
)
@tokenizer_options
@text_options
def command(
    text: tuple[str, ...],
    min_count: int,
    merge: bool,
    output: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Count the n-grams of TEXT.

    \b
    rnnlm count a.txt --order 5 -o a.counts.gz
    rnnlm count --merge a.counts.gz b.counts.gz       the counts of both texts

    All of TEXT is one text. Rows are `n-gram TAB count`, the n-grams sorted as LC_ALL=C sort sorts.

    A sentence begins with <s> and ends with </s>. In words, backslash, white space and control
    characters are written as in Python: \\\\, \\x20, \\t. An n-gram with a quotation mark is quoted
    as in CSV, so that Python's csv, pandas and R read it.
    """
    from rnnlm.files import outputs
    from rnnlm.ngram.counting import strings
    from rnnlm.text import sources

    flags = text_flags(given)
    if output == Path("-"):
        output = None
    if output:
        outputs.check_file(output, overwrite)
        outputs.check_apart([output], sources.expand(text))

    progress = terminal.Progress()
    if merge:
        # Counts are read as they are: nothing is left of the text to treat.
        refuse_if(
            flags or any(given.values()),
            "--merge adds up counts: options for reading, tokenizing and counting text have "
            "no effect.",
        )
        counts = strings.merge_counts(text, min_count)
    else:
        order = given.pop("order") or DEFAULT_ORDER
        highest_only = given.pop("highest_only")
        counts = strings.count_text(
            corpus_of(text, flags),
            _tokenizer(given),
            order,
            highest_only=highest_only,
            min_count=min_count,
            report=progress,
        )
    lines = strings.count_lines(counts, progress)
    if output:
        strings.save(output, lines)
        return
    for part in lines:
        click.echo(part, nl=False)


def _tokenizer(given: dict[str, Any]) -> "Tokenizer | TokenizerSettings":
    """Return the tokenizer of `-m`, or the settings of the one that the options describe."""
    name = given.pop("model_name")
    flags = {option: value for option, value in given.items() if value}
    if name is None:
        from rnnlm.text.tokenizer_settings import TokenizerSettings

        return TokenizerSettings(**flags)
    named = ", ".join(f"--{option.replace('_', '-')}" for option in flags)
    refuse_if(flags, f"-m MODEL brings its own tokenizer: leave {named} out.")
    from rnnlm.models.loading import load_tokenizer

    return load_tokenizer(name)
