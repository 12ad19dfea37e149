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

CHECKED_SAMPLES = 500
NOT_SAMPLING = {"beam", "length_power", "ban", "ban_list", "as_finished", "check", "interactive"}
_OF_BEAMS = {"beam", "length_power", "num", "max_tokens", "unknown", "ban", "ban_list"}


@click.command(cls=Command)
@click.argument("beginnings", nargs=-1, metavar="[BEGINNING]...")
@section("Model", options.model_option, options.device_option)
@section(
    "Samples",
    click.option(
        "--num",
        type=int,
        metavar="N",
        help=f"How many samples of each beginning.  [default: 1; with --check {CHECKED_SAMPLES}]",
    ),
    options_of(SAMPLING, "max_tokens", "running", "seed"),
)
@section(
    "What is drawn",
    options_of(SAMPLING, "temperature"),
    options_of(SAMPLING, "top_k", metavar="K"),
    options_of(SAMPLING, "top_p", metavar="P"),
    click.option("--ban", multiple=True, metavar="WORD",
                 help="A word not to write; may be repeated."),
)  # fmt: skip
@section(
    "What is drawn",
    options_of(SAMPLING, "min_p", "typical_p", metavar="P"),
    options_of(SAMPLING, "repetition_penalty", metavar="R"),
    click.option("--ban-list", metavar="FILE", help="A file of words not to write."),
    options_of(SAMPLING, "unknown"),
    rare=True,
)
@section(
    "Instead of samples",
    options_of(
        BEAM, "beam", metavar="K", help="Find the likeliest texts; the beam keeps K.", default_is=""
    ),
    options_of(BEAM, "length_power", before="With --beam: ", metavar="A"),
    click.option("--interactive", is_flag=True,
                 help="Type, and see the likeliest next words and continuations."),
    click.option("--check", is_flag=False, flag_value="", metavar="[TEXT]",
                 help="Compare statistics of samples with those of TEXT (none: the bundled "
                      "corpus)."),
)  # fmt: skip
@section(
    "Output",
    click.option(
        "--as-finished",
        is_flag=True,
        help="Print samples as they finish, not in the order of their numbers.",
    ),
    options.json_option,
)
def command(
    beginnings: tuple[str, ...], model_name: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Draw sentences from a model, one a line.

    \b
    rnnlm generate -m demo --num 5 --temperature 0.8
    rnnlm generate "the old man" "a woman" --top-p 0.9 --ban was
    rnnlm generate -m demo --beam 10 --num 3 --length-power 0.7
    rnnlm generate -m demo --check train.txt

    Each BEGINNING is the start of its own samples; - is standard input, with one a line.

    Restrictions of what is drawn apply in this order, each to what the last one left: repetition
    penalty, temperature, top-k, top-p, min-p, typical-p.
    """
    from rnnlm.models.loading import load

    _check_together(given, as_json)
    options.check_texts(given["check"])
    options.refuse_if(
        given["interactive"] and (beginnings == ("-",) or len(beginnings) > 1),
        "--interactive reads keys, after one BEGINNING at most: put it in quotes.",
    )
    plan = _Plan(beginnings, given)
    name = options.chosen_model(model_name)
    options.notice_file(beginnings, "a beginning", "- < {file} reads its lines as beginnings")
    model = load(name, device)
    if given["interactive"]:
        from ..interactive import run_interactive

        run_interactive(model, plan.prompts[0], plan.sampling)
    elif given["check"] is not None:
        _show_check(plan.texts(model), given["check"], model, as_json)
    else:
        _show(plan.texts(model), as_json, given["running"])


class _Plan:
    """What to generate. The options are checked here, before a model is loaded."""

    def __init__(self, beginnings: tuple[str, ...], given: dict[str, Any]) -> None:
        from rnnlm.generation.settings import BeamSettings, SamplingSettings

        # Without a beginning, samples begin as lines do.
        self.prompts = [options.checked_utf8(text, "a beginning") for text in beginnings] or [""]
        if options.is_standard_input(beginnings):
            self.prompts = options.lines_of("-")
        self.ban = [options.checked_utf8(word, "a word of --ban") for word in given["ban"]]
        self.ban += _words_of(given["ban_list"])
        # Statistics of a single sample would say nothing.
        self.num = 1 if given["check"] is None else CHECKED_SAMPLES
        if given["num"] is not None:
            self.num = given["num"]
        self.as_finished = given["as_finished"]
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

            return likeliest(model, prompt=prompt, num=self.num, settings=self.beams, ban=self.ban)
        from rnnlm.generation.drawing import generate

        return generate(
            model,
            prompt=prompt,
            num=self.num,
            settings=self.sampling,
            ban=self.ban,
            as_finished=self.as_finished,
        )


def _check_together(given: dict[str, Any], as_json: bool) -> None:
    """Refuse options that contradict each other."""
    source = click.get_current_context().get_parameter_source
    named = {name for name in given if source(name) is click.core.ParameterSource.COMMANDLINE}

    def refuse(mode: str, names: set[str], why: str) -> None:
        if names:
            shown = " and ".join(f"--{name.replace('_', '-')}" for name in sorted(names))
            raise click.UsageError(f"{mode} does not go with {shown}: {why}.")

    if given["beam"] is not None:
        refuse("--beam", named - _OF_BEAMS, "it finds the likeliest texts and draws no samples")
    else:
        options.refuse_if(given["length_power"] is not None, "--length-power needs --beam.")
    if given["interactive"]:
        # Restrictions of what is drawn hold for the continuations that it shows.
        restrictions = set(given) - NOT_SAMPLING - {"num", "running", "max_tokens"}
        unfit = named - {"interactive"} - restrictions
        if as_json:
            unfit.add("json")
        refuse("--interactive", unfit, "it shows what may follow the text that is typed")


def _words_of(file: str | None) -> list[str]:
    """Return the words of a file."""
    from rnnlm.text.lines import split_words

    if not file:
        return []
    return split_words("\n".join(options.lines_of(file)))


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


def _show_check(
    samples: "Iterable[Sample]", text: str, model: "LanguageModel", as_json: bool
) -> None:
    """Print statistics of samples and of a text, side by side."""
    import rnnlm.corpora as corpora
    from rnnlm.generation.statistics import QUANTILES, compare

    corpus = options.corpus_of((text or str(corpora.part("english", "train")),), {})
    drawn = [sample.text for sample in samples]
    ours, theirs = map(asdict, compare(drawn, corpus, model.tokenizer, terminal.Progress()))
    if as_json:
        terminal.print_json({"samples": ours, "text": theirs})
        return

    # Two of the measures are lists: each of their numbers has a row with its own name.
    names = {
        "length_quantiles": [f"length_quantile_{share:g}" for share in QUANTILES],
        "new_ngrams": [f"new_{n}grams" for n in range(1, len(ours["new_ngrams"]) + 1)],
    }
    rows = []
    for name, value in ours.items():
        measures = [(name, value, theirs[name])]
        if name in names:
            measures = list(zip(names[name], value, theirs[name], strict=True))
        for measure, our, their in measures:
            rows.append([measure, terminal.cell(our, 3), terminal.cell(their, 3)])
    terminal.print_table(["measure", "samples", "text"], rows, right=["samples", "text"])
