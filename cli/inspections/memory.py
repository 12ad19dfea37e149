"""`rnnlm inspect memory`: perplexity by how much of the past a model sees."""

from pathlib import Path
from typing import Any

import click

from .. import options, terminal
from ..help import Command
from ..inspecting import show
from ..plots import check_plot, plot_option


@click.command(cls=Command)
@options.section("Model", options.models_or_demo_option, options.device_option)
@options.section(
    "Text",
    click.option("--on", "text", multiple=True, metavar="TEXT", help="Text; may be repeated.  [default: the bundled English, test part]"),
    options.context_option,
    options.text_options,
)
@options.section(
    "Measuring",
    click.option("--positions", type=click.IntRange(2), default=2000, show_default=True, metavar="N", help="Tokens to predict."),
    click.option("--window", type=click.IntRange(101), default=200, show_default=True, metavar="N",
                 help="Tokens read where those further back than k are shuffled."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of positions and shuffling."),
)  # fmt: skip
@options.section("Output", plot_option, options.json_option)
def show_memory(
    model_names: tuple[str, ...], device: str, text: tuple[str, ...], plot: Path | None, overwrite: bool, as_json: bool, **given: Any
) -> None:
    """How far back language models remember.

    \b
    rnnlm inspect memory
    rnnlm inspect memory -m my-lstm -m my-5gram --on test.txt --plot memory.svg
    rnnlm inspect memory --on test.txt --context reset    each line alone

    At tokens drawn at random from TEXT: perplexity where only the last k tokens are seen, and where those further back than k are in
    random order (at one token of four), for k of 1, 2, 5, 10, 20, 50 and 100; above that with all by how much, with 95 % intervals, the
    same tokens compared (bootstrap). The last k tokens are read from the initial state without a boundary before them; where fewer stand
    before, from the true beginning. The effective context is the smallest k that comes within 1 % of the perplexity with all.

    The model is not trained anew for short contexts. Any language model: n-grams, networks, mixtures, caches (NAME+cache).
    """
    from rnnlm.inspection.memory.memory import inspect_memory
    from rnnlm.inspection.texts import sources_of

    check_plot(plot, overwrite)
    names = options.models_or_demo(model_names)
    corpus = options.corpus_of(sources_of(text), options.text_flags(given))
    show(inspect_memory(names, corpus, device=device, progress=terminal.Progress(), **given), as_json, plot)
