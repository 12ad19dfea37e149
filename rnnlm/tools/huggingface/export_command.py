"""`rnnlm export --hf`."""

import json
from pathlib import Path

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import explained, stacked
from rnnlm.cli.options import PATH
from rnnlm.satellites import Export


def _write_for_transformers(name: str, folder: Path, overwrite: bool) -> None:
    from rnnlm.tools.huggingface.export import export

    export(name, folder, overwrite)
    terminal.say(f"written to {folder}; in Python:")
    terminal.say("from transformers import AutoModelForCausalLM")
    where = json.dumps(str(folder), ensure_ascii=False)
    terminal.say(f"AutoModelForCausalLM.from_pretrained({where}, trust_remote_code=True)")


doctor_options = explained("rnnlm doctor hf:gpt2")
TRANSFORMERS = Export(
    "hf",
    called="--hf DIR",
    options=stacked(
        click.option(
            "--hf",
            type=PATH,
            metavar="DIR",
            help="Write a folder for Hugging Face's transformers: weights, tokenizer, and the code "
            "of the network.",
        ),
        explained(
            "rnnlm export -m my-lstm --hf my-lstm-hf",
            more="transformers and programs built on it read --hf DIR.",
        ),
    ),
    write=_write_for_transformers,
    place=2,
)
