"""`rnnlm generate`: text drawn from a model."""

from dataclasses import asdict
from typing import Any

import click

from . import terminal
from .options import checked_utf8, device_option, json_option, load_model, model_option


@click.command()
@model_option
@click.option("--prompt", default="", help="How each sample begins.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Below 1: safer; 0: always the likeliest.")
@click.option("--top-k", type=int, metavar="K", help="Draw from the K likeliest tokens only.")
@click.option("--top-p", type=float, metavar="P", help="Draw from the fewest tokens that hold probability P.")
@click.option("--num", type=int, default=1, show_default=True, help="How many samples.")
@click.option("--max-tokens", type=int, default=100, show_default=True, help="Tokens per sample at most.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed and number give the same sample.")
@click.option("--unknown", is_flag=True, help="<unk> may be drawn.")
@device_option
@json_option
def command(model_name: str | None, prompt: str, num: int, device: str, as_json: bool, **sampling: Any) -> None:
    """Draw sentences from a model, one a line."""
    from rnnlm.config import Layer, resolve
    from rnnlm.generation import SamplingSettings, generate

    settings = resolve([SamplingSettings], [Layer("the command line", sampling)]).make(SamplingSettings)
    model = load_model(model_name, device)
    for sample in generate(model, prompt=checked_utf8(prompt, "the prompt"), num=num, settings=settings):
        if as_json:
            terminal.print_json(asdict(sample))
        else:
            click.echo(terminal.visible(sample.text))
