"""`rnnlm vectors`: word vectors learned from a text, and `rnnlm export --vectors`: those of a
model."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.amounts import plural
from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, explained, options_of, section, stacked
from rnnlm.cli.options import (
    PATH,
    STANDARD_OUTPUT,
    corpus_of,
    output_option,
    overwrite_option,
    own_file,
    refuse_given,
    without_none,
)
from rnnlm.cli.text_options import (
    column_options,
    encoding_option,
    split_punctuation_option,
    text_flags,
    unwrap_option,
)
from rnnlm.satellites import Export
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.tools.vectors.settings import LearningSettings

if TYPE_CHECKING:
    from rnnlm.tools.vectors.word_vectors import Which

_OF_WORDS = ("lowercase", "normalise", "split_punctuation", "remove_punctuation")


@click.command(cls=Command)
@click.argument("text", nargs=-1)
@section(
    "Vectors",
    options_of(LearningSettings, "method", "width", "window"),
    options_of(LearningSettings, "min_count", metavar="K"),
    options_of(LearningSettings, "epochs", "negative", "learning_rate", "seed", "threads"),
)
@section(
    "Words",
    options_of(TokenizerSettings, "lowercase"),
    options_of(TokenizerSettings, "normalise"),
    split_punctuation_option,
    options_of(TokenizerSettings, "remove_punctuation"),
)
@section("Text", column_options, unwrap_option, encoding_option)
@section(
    "Output",
    output_option(
        "File in word2vec's text format, compressed if it ends in .gz, .xz, .bz2 or .zst; - is "
        "standard output.",
        required=True,
    ),
    overwrite_option(),
)
def command(text: tuple[str, ...], output: Path, overwrite: bool, **given: Any) -> None:
    """Learn word vectors from TEXT, or from the bundled corpus.

    \b
    rnnlm vectors my.txt --lowercase -o my.vec
    rnnlm vectors my.txt --method glove -o glove.vec
    rnnlm train my.txt --embeddings my.vec --set embedding_size=100

    TEXT: files, globs, - (standard input), hf:OWNER/NAME (a data set), the name of a bundled
    corpus, or a prepared text.

    svd computes the positive pointwise mutual information of words and contexts, and its truncated
    singular value decomposition (Levy et al. 2015). glove is GloVe (Pennington et al. 2014).
    skipgram and cbow use negative sampling (Mikolov et al. 2013).
    """
    from rnnlm.storage.files import outputs
    from rnnlm.text import sources
    from rnnlm.tools.vectors.word_vectors import learn_vectors, named_text

    # Options that the method would ignore.
    flags = text_flags(given)
    if given["method"] in (None, "svd"):
        refuse_given(
            ("epochs", "negative", "learning_rate", "threads"),
            "not valid with --method svd, which counts once.",
        )
    if given["method"] == "glove":
        refuse_given(
            ("negative",), "only valid for skip-gram and CBOW; GloVe draws no noise words."
        )
    names = named_text(text)
    if output != STANDARD_OUTPUT:
        outputs.check_apart([output], sources.expand(names))
    own_file(output, overwrite)

    # A prepared text keeps its own tokenizer, which none of these options may change.
    words = without_none({name: given.pop(name) for name in _OF_WORDS})

    opened = corpus_of(names, flags)
    began = time.monotonic()
    with terminal.Progress(about=output) as progress:
        vectors = learn_vectors(
            opened,
            tokenizer=NewTokenizerSettings(**words) if words else None,
            progress=progress,
            **without_none(given),
        )
        count = vectors.save(output, overwrite=True)
    took = terminal.duration(time.monotonic() - began)
    written = "" if output == STANDARD_OUTPUT else f"; written to {output}"
    terminal.say(
        f"{vectors.source}: {plural(count, 'word')}, {vectors.width_in_words}, in {took}{written}"
    )


# ---- `rnnlm export --vectors`.


def _write_vectors(name: str, file: Path, overwrite: bool, which: "Which | None") -> None:
    from rnnlm.lm.base.loading import load_if_named
    from rnnlm.tools.vectors.word_vectors import word_vectors

    own_file(file, overwrite)
    model = load_if_named(name, "cpu")
    vectors = word_vectors(model, which or "input")
    count = vectors.save(file, overwrite=True)
    note = f" ({vectors.note})" if vectors.note else ""
    if file != STANDARD_OUTPUT:
        terminal.say(
            f"{vectors.source}{note}: {count:,} symbols, {vectors.width_in_words}, written to "
            f"{file}"
        )


VECTORS = Export(
    "vectors",
    called="--vectors FILE",
    options=stacked(
        click.option(
            "--vectors",
            type=PATH,
            metavar="FILE",
            help="Write word vectors in word2vec's text format, compressed like --arpa; - is "
            "standard output.",
        ),
        click.option(
            "--which",
            type=click.Choice(["input", "output"]),
            help="With --vectors: write the input word vectors, or the words' softmax weights "
            "(output).  [default: input]",
        ),
        explained(
            "rnnlm export -m my-lstm --vectors my-lstm.vec",
            more="gensim and rnnlm train --embeddings read word vectors.",
        ),
    ),
    details=("which",),
    write=_write_vectors,
    place=1,
)
