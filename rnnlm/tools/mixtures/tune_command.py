"""`rnnlm tune`: the settings with which a model adapts itself best to held-out text."""

from typing import Any

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, WholeNumber, explained, section
from rnnlm.cli.text_options import column_options, text_flags
from rnnlm.system import quoted

# Examples for commands of the core, which take a model NAME+KIND, too.
eval_options = explained(
    "rnnlm eval -m my-model+cache test.txt               adapted to the text",
    more="-m NAME+KIND adapts the model to the text read so far. KIND is dynamic, cache or "
    "unigram. The settings are those that `rnnlm tune` saved, or the defaults.",
)
compare_options = explained(
    "rnnlm compare demo demo+cache --on test.txt    with and without a cache"
)
doctor_options = explained("rnnlm doctor my-model+cache")


@click.command(cls=Command)
@section(
    "Model",
    options.one_model_option("Model and adaptation, NAME+KIND. KIND is dynamic (dynamic "
                             "evaluation), cache (neural cache) or unigram (a cache of words, "
                             "for any model)."),
    options.device_option,
)  # fmt: skip
@section(
    "Text",
    click.option("--on", multiple=True, required=True, metavar="TEXT",
                 help="Held-out text; may be repeated."),
    click.option("--statistics", multiple=True, metavar="TEXT",
                 help="Training text, to compute mean squared gradients and tune NAME+dynamic "
                      "with the rule rms."),
    click.option("--tokens", type=WholeNumber(), metavar="N",
                 help="Number of tokens of --on to read.  [default: dynamic 10000, cache 100000, "
                      "unigram 1000000]"),
    column_options,
)  # fmt: skip
@section(
    "Output",
    options.overwrite_option("Replace saved settings that were tuned differently."),
    options.json_option,
)
def command(
    model_name: str | None, on: tuple[str, ...], statistics: tuple[str, ...],
    tokens: int | None, device: str, overwrite: bool, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Tune the settings of adaptation on held-out text.

    \b
    rnnlm tune -m demo+cache --on valid.txt
    rnnlm tune -m demo+dynamic --on valid.txt --statistics train.txt
    rnnlm eval -m demo+dynamic test.txt

    The best settings are saved in the model's folder, where NAME+KIND finds them. Run the same
    command again to resume, or to show the settings.

    The search changes settings as long as perplexity falls. --on is read as one stream. Dynamic
    evaluation has two rules: sgd uses plain gradients; rms divides them by their root mean square
    on training text, which --statistics computes and saves.
    """
    flags = text_flags(given)
    from rnnlm.lm.base.loading import without_adaptation

    name, kind = without_adaptation(options.chosen_model(model_name))
    if kind is None:
        raise click.UsageError(
            f"name an adaptation: -m {name}+dynamic, {name}+cache or {name}+unigram."
        )
    from rnnlm.tools.mixtures.tuning import Trial, tune

    progress = terminal.Progress()

    def report(done: int, segments: int) -> None:
        progress(f"gradient statistics: {done:,} of {segments:,} segments")

    text = options.corpus_of(on, flags)
    training = options.corpus_of(statistics, flags) if statistics else None
    for event in tune(
        name, kind, text, statistics=training, tokens=tokens, device=device, overwrite=overwrite,
        report=report,
    ):  # fmt: skip
        if isinstance(event, Trial):
            settings = [
                f"{name}={terminal.amount(value, 'g', whole='d')}"
                for name, value in event.settings.items()
            ]
            progress.say(f"perplexity {terminal.amount(event.ppl)}: {' '.join(settings)}")

    # The last event is the result.
    if as_json:
        terminal.print_json(event)
    else:
        keys = ("tokens", "ppl_before", "ppl_after")
        shown = {**event.settings, **{key: getattr(event, key) for key in keys}}
        rows = [[key, terminal.amount(value, "g", whole="d")] for key, value in shown.items()]
        terminal.print_table(terminal.Table(["what", "value"], rows, right=["value"]))
    terminal.say(f"saved in the folder of {name}: rnnlm eval -m {quoted(name)}+{kind} uses them")
