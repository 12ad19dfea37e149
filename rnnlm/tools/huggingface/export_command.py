"""`rnnlm export --hf`."""

import json
from pathlib import Path

import click

from rnnlm.cli import terminal
from rnnlm.cli.options import PATH
from rnnlm.satellites import Export


def _write_for_transformers(name: str, folder: Path, overwrite: bool) -> None:
    from rnnlm.tools.huggingface.export import export

    export(name, folder, overwrite)
    terminal.say(f"written to {folder}; in Python:")
    terminal.say("from transformers import AutoModelForCausalLM")
    where = json.dumps(str(folder), ensure_ascii=False)
    terminal.say(f"AutoModelForCausalLM.from_pretrained({where}, trust_remote_code=True)")


TRANSFORMERS = Export(
    "hf",
    called="--hf DIR",
    options=click.option(
        "--hf",
        type=PATH,
        metavar="DIR",
        help="Write a folder for Hugging Face's transformers: weights, tokenizer, and the code of "
        "the network.",
    ),
    write=_write_for_transformers,
    place=2,
)
