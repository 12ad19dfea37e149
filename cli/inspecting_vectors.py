"""What the looks at word vectors share: which vectors, of a model or a file."""

from pathlib import Path
from typing import Any

import click

from .options import PATH, model_or_demo_option, or_demo, refuse_given, stacked

vectors_options = stacked(
    model_or_demo_option,
    click.option("--which", type=click.Choice(["input", "output"]), default="input", show_default=True,
                 help="Of a model: what it reads for a word, or the word's weights in its softmax."),
    click.option("--file", "vectors_file", type=PATH, metavar="FILE",
                 help="Instead of a model: a file of word vectors, text of word2vec or GloVe."),
)  # fmt: skip


def vectors_or_model(model_name: str | None, vectors_file: Path | None) -> Any:
    """The vectors of --file, or the name of the model."""
    if vectors_file is None:
        return or_demo(model_name)
    refuse_given(("model_name", "which"), "for vectors of a model; --file brings its own.")
    from rnnlm.vectors.word_vectors import read_vectors

    return read_vectors(vectors_file)
