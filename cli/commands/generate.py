"""`rnnlm generate`: text drawn from a model, or the likeliest text."""

import itertools
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .. import options, terminal
from ..help_sections import Command, section
from ..setting_options import BEAM, SAMPLING, options_of

if TYPE_CHECKING:
    from rnnlm.generation.drawing import Sample
    from rnnlm.interface import LanguageModel

_OF_BEAMS = {"beam", "length_power", "num", "max_tokens", "unknown"}


@click.command(cls=Command)
@click.argument("beginnings", nargs=-1, metavar="[BEGINNING]...")
@section("Model", options.model_option, options.device_option)
@section(
    "Samples",
    click.option(
        "--num", type=int, metavar="N", help="How many samples of each beginning.  [default: 1]"
    ),
    options_of(SAMPLING, "max_tokens", "running", "seed"),
)
@section(
    "What is drawn",
    options_of(SAMPLING, "temperature"),
    options_of(SAMPLING, "top_k", metavar="K"),
    options_of(SAMPLING, "top_p", metavar="P"),
)
@section(
    "What is drawn",
    options_of(SAMPLING, "min_p", metavar="P"),
    options_of(SAMPLING, "repetition_penalty", metavar="R"),
    options_of(SAMPLING, "unknown"),
    rare=True,
)
@section(
    "Instead of samples",
    options_of(
        BEAM, "beam", metavar="K", help="Find the likeliest texts; the beam keeps K.", default_is=""
    ),
    options_of(BEAM, "length_power", before="With --beam: ", metavar="A"),
)
@section("Output", options.json_option)
def command(
    beginnings: tuple[str, ...], model_name: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Draw sentences from a model, one a line.

    \b
    rnnlm generate -m demo --num 5 --temperature 0.8
    rnnlm generate "the old man" "a woman" --top-p 0.9
    rnnlm generate -m demo --beam 10 --num 3 --length-power 0.7

    Each BEGINNING is the start of its own samples; - is standard input, with one a line.

    Restrictions of what is drawn apply in this order, each to what the last one left: repetition
    penalty, temperature, top-k, top-p, min-p.
    """
    from rnnlm.models.loading import load

    _check_together(given)
    plan = _Plan(beginnings, given)
    name = options.chosen_model(model_name)
    options.notice_file(beginnings, "a beginning", "- < {file} reads its lines as beginnings")
    model = load(name, device)
    _show(plan.texts(model), as_json, given["running"])


class _Plan:
    """What to generate. The options are checked here, before a model is loaded."""

    def __init__(self, beginnings: tuple[str, ...], given: dict[str, Any]) -> None:
        from rnnlm.generation.settings import BeamSettings, SamplingSettings

        # Without a beginning, samples begin as lines do.
        self.prompts = [options.checked_utf8(text, "a beginning") for text in beginnings] or [""]
        if options.is_standard_input(beginnings):
            self.prompts = options.lines_of("-")
        self.num = 1 if given["num"] is None else given["num"]
        self.beams = None
        if given["beam"] is not None:
            names = BeamSettings.__dataclass_fields__
            self.beams = options.settings_of(BeamSettings, names, given)
        names = SamplingSettings.__dataclass_fields__
        self.sampling = options.settings_of(SamplingSettings, names, given)

    def texts(self, model: "LanguageModel") -> "Iterable[Sample]":
        """Return the samples of all beginnings, or the likeliest texts."""
        return itertools.chain.from_iterable(self._texts(model, each) for each in self.prompts)

    def _texts(self, model: "LanguageModel", prompt: str) -> "Iterable[Sample]":
        if self.beams:
            from rnnlm.generation.search import likeliest

            return likeliest(model, prompt=prompt, num=self.num, settings=self.beams)
        from rnnlm.generation.drawing import generate

        return generate(model, prompt=prompt, num=self.num, settings=self.sampling)


def _check_together(given: dict[str, Any]) -> None:
    """Refuse options that contradict each other."""
    if given["beam"] is None:
        options.refuse_if(given["length_power"] is not None, "--length-power needs --beam.")
        return
    source = click.get_current_context().get_parameter_source
    named = {name for name in given if source(name) is click.core.ParameterSource.COMMANDLINE}
    shown = " and ".join(f"--{name.replace('_', '-')}" for name in sorted(named - _OF_BEAMS))
    options.refuse_if(
        shown,
        f"--beam does not go with {shown}: it finds the likeliest texts and draws no samples.",
    )


def _show(samples: "Iterable[Sample]", as_json: bool, is_running: bool) -> None:
    for place, sample in enumerate(samples):
        if as_json:
            terminal.print_json(asdict(sample))
        elif is_running:
            # A sample may have several lines, so that a blank line separates samples.
            if place:
                click.echo()
            click.echo("\n".join(map(terminal.visible, sample.text.split("\n"))))
        else:
            click.echo(terminal.visible(sample.text))
