"""`rnnlm export`: a model, or its word vectors, for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import terminal
from ..options import PATH, STANDARD_OUTPUT, chosen_model, model_option, overwrite_option, refuse_if

if TYPE_CHECKING:
    from rnnlm.vectors.word_vectors import Which


@click.command()
@model_option
@click.option("--arpa", "file", type=PATH, metavar="FILE",
              help="Write an ARPA file; compressed if it ends in .gz, .xz, .bz2 or .zst. - is "
                   "stdout.")  # fmt: skip
@click.option(
    "--compact",
    type=PATH,
    metavar="DIR",
    help="Write a model folder with weights in bf16, or with n-grams in few bits.",
)
@click.option(
    "--bits",
    "--quantise",
    type=click.Choice(["16", "8"]),
    help="With --compact: bits of a weight (16 is bf16), or of the probability and the backoff "
    "weight of an n-gram.  [default: 16]",
)
@click.option(
    "--test",
    metavar="TEXT",
    help="With --compact: a text to evaluate the compact model on, for its card.",
)
@click.option(
    "--vectors",
    type=PATH,
    metavar="FILE",
    help="Write word vectors as text of word2vec; compressed as with --arpa. - is stdout.",
)
@click.option(
    "--which",
    type=click.Choice(["input", "output"]),
    help="With --vectors: what the network reads for a word, or the word's weights in its "
    "softmax.  [default: input]",
)
@overwrite_option("Replace FILE, or the model in DIR.")
def command(
    model_name: str | None, file: Path | None, compact: Path | None, bits: str | None,
    test: str | None, vectors: Path | None,
    which: "Which | None", overwrite: bool,
) -> None:  # fmt: skip
    """Write an ARPA file, a compact model, or word vectors.

    \b
    rnnlm export -m my-5gram --arpa my-5gram.arpa.gz
    rnnlm export -m my-5gram --arpa - | build_binary /dev/stdin my-5gram.binary
    rnnlm export -m my-lstm --compact small
    rnnlm export -m my-lstm --compact smaller --bits 8 --test test.txt
    rnnlm export -m my-5gram --compact few --bits 8
    rnnlm export -m my-lstm --vectors my-lstm.vec

    KenLM, SRILM and others read ARPA files. The compact form of a network takes half the bytes, or
    a quarter. That of an n-gram model takes a third with 8 bits: keys are packed, and probabilities
    and backoff weights are in bins with an equal share of them, as in KenLM's build_binary -q 8 -b
    8, so that it no longer sums to one. gensim, rnnlm train --embeddings and rnnlm inspect --file
    read word vectors.
    """
    # One result is written, and each option belongs to one kind of result.
    given = [each for each in (file, compact, vectors) if each is not None]
    refuse_if(len(given) != 1, "say what to write: --arpa FILE, --compact DIR or --vectors FILE.")
    refuse_if((bits or test) and compact is None, "--bits and --test need --compact DIR.")
    refuse_if(which and vectors is None, "--which needs --vectors FILE.")
    need = ""
    if file is not None:
        need = "n-grams"
    elif vectors is not None:
        need = "layers"
    model_name = chosen_model(model_name, need)

    # The imports of each kind of result take time: only its own are made.
    if vectors is not None:
        _write_vectors(model_name, vectors, which or "input", overwrite)
        return
    if compact is not None:
        from rnnlm.conversion import compaction

        sizes = compaction.compact(model_name, compact, overwrite, int(bits or 16), test)
        terminal.say(
            f"written to {compact}: {len(sizes)} files, {sum(sizes.values()) / 1e6:,.1f} MB"
        )
        _say_metrics(compact)
        return
    if file is not None:
        from rnnlm.models.loading import load
        from rnnlm.ngram.arpa import writing

        model = load(model_name, "cpu")
        writing.export_arpa(model, file, overwrite, terminal.Progress())
        if file != STANDARD_OUTPUT:
            terminal.say(f"written to {file}")


def _write_vectors(name: str, file: Path, which: "Which", overwrite: bool) -> None:
    from rnnlm.files.outputs import check_file
    from rnnlm.vectors.word_vectors import save_vectors, word_vectors

    check_file(file, overwrite)
    vectors = word_vectors(name, which)
    count = save_vectors(vectors, file, overwrite)
    note = f" ({vectors.note})" if vectors.note else ""
    if file != STANDARD_OUTPUT:
        terminal.say(
            f"{vectors.source}{note}: {count:,} symbols, {vectors.width_in_words}, written to "
            f"{file}"
        )


def _say_metrics(folder: Path) -> None:
    """Print how good an encoder-decoder was, and is in its compact form."""
    from rnnlm.models.manifest import read_manifest

    for text, its in read_manifest(folder).evaluations.items():
        for column in its.column_names:
            terminal.say(f"{text}: {its.line(column)}")
