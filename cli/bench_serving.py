"""`rnnlm bench serve`: how fast a server of models answers, beside calls in process, the command
and an empty application."""

from dataclasses import asdict

import click

from . import terminal
from .options import (
    chosen_model,
    device_option,
    json_option,
    load_model,
    model_option,
    number_option,
)


@click.command("serve")
@click.argument("text", nargs=-1)
@model_option
@number_option("--requests", default=1000, help="Requests of each round, sentences of ten words.")
@number_option("--rounds", default=3, help="Rounds of each number; medians are shown.")
@device_option
@json_option
def serving(
    text: tuple[str, ...],
    model_name: str | None,
    requests: int,
    rounds: int,
    device: str,
    as_json: bool,
) -> None:
    """Measure how fast `rnnlm serve` answers.

    \b
    rnnlm bench serve
    rnnlm bench serve -m my-model my.txt

    A server in a process of its own scores sentences of TEXT, or of the bundled corpus: its start
    beside `rnnlm score`, one client beside calls in process, 64 clients beside `rnnlm score
    --input`, whose start does not count; and an n-gram model, which is trained on TEXT for it,
    beside an application that answers as many bytes without looking. Ratios are of numbers that
    were taken in turns.
    """
    import rnnlm.corpora as corpora
    from rnnlm.benchmarks.serving import bench_serving
    from rnnlm.text.corpus import Corpus

    name = chosen_model(model_name)
    corpus = Corpus(text or (str(corpora.part("english", "train")),))
    done, records = [], []
    for figure in bench_serving(name, load_model(name, device), corpus, requests, rounds):
        terminal.say(f"{figure.what}: {figure.served:,.3g} {figure.unit}")
        done.append(figure)
        records.append(
            {
                "what": figure.what,
                "served": f"{figure.served:,.4g} {figure.unit}",
                "beside": f"{figure.beside:,.4g} {figure.unit}",
                "reference": figure.reference,
                "ratio": terminal.number(figure.ratio, 3),
            }
        )
    if as_json:
        terminal.print_json(*map(asdict, done))
    else:
        terminal.print_records(records, left=["what", "reference"])
