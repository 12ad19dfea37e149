"""`rnnlm export --onnx`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import explained, stacked
from rnnlm.cli.options import PATH
from rnnlm.satellites import Export

if TYPE_CHECKING:
    from rnnlm.tools.onnx_export.export import Target


def _write_onnx(
    name: str, folder: Path, overwrite: bool, target: "Target | None", tokens: Path | None
) -> None:
    from rnnlm.tools.onnx_export.export import export_onnx

    files = export_onnx(name, folder, target=target, tokens=tokens, overwrite=overwrite)
    terminal.say(f"written to {folder}: {', '.join(files)}")
    if target == "sherpa":
        terminal.say("for shallow fusion only (--lm-shallow-fusion=true), not for rescoring")


ONNX = Export(
    "onnx",
    called="--onnx DIR",
    options=stacked(
        click.option(
            "--onnx",
            type=PATH,
            metavar="DIR",
            help="Write a recurrent network as ONNX models, with a tokens.txt and a README.",
        ),
        click.option(
            "--for",
            "target",
            type=click.Choice(["sherpa"]),
            help="With --onnx: write one model, as sherpa-onnx reads it in shallow fusion.",
        ),
        click.option(
            "--tokens",
            type=PATH,
            metavar="FILE",
            help="With --for sherpa: number the tokens as the recogniser's tokens.txt does.",
        ),
        explained(
            "rnnlm export -m my-lstm --onnx my-lstm-onnx",
            more="onnxruntime and sherpa-onnx read --onnx DIR.",
        ),
    ),
    details=("target", "tokens"),
    write=_write_onnx,
    place=3,
)
