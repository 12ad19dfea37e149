"""`rnnlm export`: a model, or its word vectors, for other programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import terminal
from ..help_sections import Command
from ..options import (
    PATH,
    STANDARD_OUTPUT,
    chosen_model,
    model_option,
    overwrite_option,
    own_file,
    refuse_if,
)

if TYPE_CHECKING:
    from rnnlm.tools.onnx_export.export import Target
    from rnnlm.tools.vectors.word_vectors import Which


@click.command(cls=Command)
@model_option
@click.option("--arpa", "file", type=PATH, metavar="FILE",
              help="Write an ARPA file, compressed if it ends in .gz, .xz, .bz2 or .zst; - is "
                   "standard output.")  # fmt: skip
@click.option(
    "--vectors",
    type=PATH,
    metavar="FILE",
    help="Write word vectors in word2vec's text format, compressed like --arpa; - is standard "
    "output.",
)
@click.option(
    "--which",
    type=click.Choice(["input", "output"]),
    help="With --vectors: write the input word vectors, or the words' softmax weights (output).  "
    "[default: input]",
)
@click.option(
    "--hf",
    type=PATH,
    metavar="DIR",
    help="Write a folder for Hugging Face's transformers: weights, tokenizer, and the code of the "
    "network.",
)
@click.option(
    "--onnx",
    type=PATH,
    metavar="DIR",
    help="Write a recurrent network as ONNX models, with a tokens.txt and a README.",
)
@click.option(
    "--for",
    "target",
    type=click.Choice(["sherpa"]),
    help="With --onnx: write one model, as sherpa-onnx reads it in shallow fusion.",
)
@click.option(
    "--tokens",
    type=PATH,
    metavar="FILE",
    help="With --for sherpa: number the tokens as the recogniser's tokens.txt does.",
)
@overwrite_option("Replace FILE or the files in DIR.")
def command(
    model_name: str | None, file: Path | None, vectors: Path | None,
    which: "Which | None", hf: Path | None, onnx: Path | None,
    target: "Target | None", tokens: Path | None, overwrite: bool,
) -> None:  # fmt: skip
    """Write an ARPA file, word vectors, or a model for transformers or ONNX.

    \b
    rnnlm export -m my-5gram --arpa my-5gram.arpa.gz
    rnnlm export -m my-5gram --arpa - | build_binary /dev/stdin my-5gram.binary
    rnnlm export -m my-lstm --vectors my-lstm.vec
    rnnlm export -m my-lstm --hf my-lstm-hf
    rnnlm export -m my-lstm --onnx my-lstm-onnx

    KenLM, SRILM and others read ARPA files. gensim, rnnlm train --embeddings and rnnlm inspect
    --file read word vectors. transformers and programs built on it read --hf DIR, onnxruntime and
    sherpa-onnx read --onnx DIR.
    """
    refuse_if(which and vectors is None, "--which needs --vectors FILE.")
    refuse_if((target or tokens) and onnx is None, "--for and --tokens need --onnx DIR.")
    outputs = {"--arpa FILE": file, "--vectors FILE": vectors, "--hf DIR": hf, "--onnx DIR": onnx}
    if list(outputs.values()).count(None) != len(outputs) - 1:
        raise click.UsageError(f"give one of {', '.join(outputs)}.")
    if hf is not None:
        _write_for_transformers(chosen_model(model_name, "layers"), hf, overwrite)
    elif onnx is not None:
        _write_onnx(chosen_model(model_name, "layers"), onnx, target, tokens, overwrite)
    elif vectors is not None:
        _write_vectors(chosen_model(model_name, "layers"), vectors, which or "input", overwrite)
    elif file is not None:
        _write_arpa(chosen_model(model_name, "n-grams"), file, overwrite)


def _write_arpa(name: str, file: Path, overwrite: bool) -> None:
    from rnnlm.lm.base.loading import load
    from rnnlm.lm.ngram.arpa import writing

    own_file(file, overwrite)
    writing.export_arpa(load(name, "cpu"), file, overwrite, terminal.Progress())
    if file != STANDARD_OUTPUT:
        terminal.say(f"written to {file}")


def _write_vectors(name: str, file: Path, which: "Which", overwrite: bool) -> None:
    from rnnlm.tools.vectors.word_vectors import word_vectors

    own_file(file, overwrite)
    vectors = word_vectors(name, which)
    count = vectors.save(file, overwrite)
    note = f" ({vectors.note})" if vectors.note else ""
    if file != STANDARD_OUTPUT:
        terminal.say(
            f"{vectors.source}{note}: {count:,} symbols, {vectors.width_in_words}, written to "
            f"{file}"
        )


def _write_for_transformers(name: str, folder: Path, overwrite: bool) -> None:
    from rnnlm.tools.huggingface.export import export

    export(name, folder, overwrite)
    terminal.say(f"written to {folder}; in Python:")
    terminal.say("from transformers import AutoModelForCausalLM")
    where = json.dumps(str(folder), ensure_ascii=False)
    terminal.say(f"AutoModelForCausalLM.from_pretrained({where}, trust_remote_code=True)")


def _write_onnx(
    name: str, folder: Path, target: "Target | None", tokens: Path | None, overwrite: bool
) -> None:
    from rnnlm.tools.onnx_export.export import export_onnx

    files = export_onnx(name, folder, target=target, tokens=tokens, overwrite=overwrite)
    terminal.say(f"written to {folder}: {', '.join(files)}")
    if target == "sherpa":
        terminal.say("for shallow fusion only (--lm-shallow-fusion=true), not for rescoring")
