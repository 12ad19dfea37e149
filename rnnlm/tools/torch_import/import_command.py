"""`rnnlm import` of PyTorch files."""

from pathlib import Path
from typing import Any

import click

from rnnlm.cli.declaring import explained, stacked
from rnnlm.cli.options import PATH
from rnnlm.satellites import Import
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.torch_import import FILE_KINDS


def _read(
    file: Path, output: Path, overwrite: bool, settings: TokenizerSettings, **details: Any
) -> str:
    from rnnlm.tools.torch_import.importing import import_torch

    return import_torch(file, output, overwrite, settings=settings, **details)


TORCH = Import(
    "a PyTorch file",
    kinds=FILE_KINDS,
    read=_read,
    options=stacked(
        explained(
            "rnnlm import model.pt --vocab vocab.txt -o my-lstm",
            more="Or import a network from a PyTorch file, of PyTorch's word_language_model, "
            "colorlessgreenRNNs, neural-complexity or awd-lstm-lm: the whole model, or its "
            "state_dict. No code of the file runs.",
        ),
        click.option(
            "--vocab",
            type=PATH,
            metavar="FILE",
            help="Words of a PyTorch file in the order of its rows: one a line, JSON, or the "
            "dictionary of its corpus (a pickle, or a PyTorch file).",
        ),
        click.option(
            "--activation",
            type=click.Choice(["tanh", "relu"]),
            help="Activation of an Elman network, where a PyTorch file does not say it.",
        ),
        click.option(
            "--part",
            metavar="NAME",
            help="Network to read of a PyTorch file that holds several, such as model or ema.",
        ),
        click.option(
            "--weight-drop",
            is_flag=True,
            help="Parametrised weights of a PyTorch file are those of weight drop.",
        ),
    ),
    details=("vocab", "activation", "part", "weight_drop"),
)
