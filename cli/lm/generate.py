"""`rnnlm generate`: text drawn from a model, or the likeliest text."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rnnlm.scoring.generation.settings import BeamSettings, GenerationSettings

from .. import options, terminal
from ..declaring import Command, option_called, options_of, section

if TYPE_CHECKING:
    from rnnlm.scoring.generation.drawing import Sample


@click.command(cls=Command, needs={"length_power": ["beam"]})
@click.argument("beginnings", nargs=-1, metavar="[BEGINNING]...")
@section("Model", options.model_option, options.device_option)
@section(
    "Sampling",
    options_of(GenerationSettings, "num"),
    options_of(GenerationSettings, but=["prompt", "num"]),
)
@section(
    "Beam search, instead of sampling",
    options_of(
        BeamSettings,
        "beam",
        metavar="K",
        help="Search for the likeliest texts with a beam of width K.",
        default_is="",
    ),
    options_of(BeamSettings, "length_power", before="With --beam: ", metavar="A"),
)
@section("Output", options.json_option)
def command(
    beginnings: tuple[str, ...], model_name: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Generate sentences from a model, one per line.

    \b
    rnnlm generate -m demo --num 5 --temperature 0.8
    rnnlm generate "the old man" "a woman" --top-p 0.9
    rnnlm generate -m demo --beam 10 --num 3 --length-power 0.7

    Each BEGINNING starts its own samples; - reads beginnings from standard input, one per line.

    Sampling options apply in this order, each to the tokens that remain: repetition penalty,
    temperature, top-k, top-p, min-p, typical-p.
    """
    from rnnlm.lm.base.loading import load

    # All that can be wrong is found before a model is loaded.
    prompts = options.typed_or_arriving(beginnings or ("",), "used as a beginning", "a beginning")
    settings, texts_of = _search(given)
    name = options.chosen_model(model_name)
    model = load(name, device)
    texts = (texts_of(model, replace(settings, prompt=prompt)) for prompt in prompts)
    _show(itertools.chain.from_iterable(texts), as_json, given["running"])


def _search(given: dict[str, Any]) -> tuple[Any, "Callable[..., Iterable[Sample]]"]:
    """Return the settings, and the function that draws texts or, with --beam, searches for
    them."""
    from rnnlm.config import names_of
    from rnnlm.scoring.generation.drawing import generate
    from rnnlm.scoring.generation.search import likeliest

    if given["beam"] is None:
        return options.settings_of(GenerationSettings, given), generate
    source = click.get_current_context().get_parameter_source
    named = {name for name in given if source(name) is click.core.ParameterSource.COMMANDLINE}
    idle = sorted(map(option_called, named - names_of([BeamSettings])))
    options.refuse_if(
        idle,
        f"--beam cannot be combined with {' and '.join(idle)}: it searches for the likeliest "
        "texts and draws no samples.",
    )
    return options.settings_of(BeamSettings, given), likeliest


def _show(samples: "Iterable[Sample]", as_json: bool, is_running: bool) -> None:
    for place, sample in enumerate(samples):
        if as_json:
            terminal.print_json(sample)
        elif is_running:
            # A sample may have several lines, so that a blank line separates samples.
            if place:
                click.echo()
            click.echo("\n".join(map(terminal.visible, sample.text.split("\n"))))
        else:
            click.echo(terminal.visible(sample.text))
