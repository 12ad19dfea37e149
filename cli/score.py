"""`rnnlm score`: log-probabilities of sentences, ranked; surprisals; minimal pairs."""

import math
import sys
from collections.abc import Iterator
from typing import Any

import click

from . import terminal
from .options import (
    checked_utf8,
    corpus_of,
    device_option,
    json_option,
    load_model,
    model_option,
    source_options,
    special_symbols_option,
)
from .pairs import pairs_options, show_pairs, take_request


@click.command()
@click.argument("sentences", nargs=-1)
@model_option
@click.option("--input", "input_file", metavar="FILE", help="Sentences from a file, one a line; - is standard input.")
@click.option("--tokens", "with_tokens", is_flag=True, help="Each token's surprisal, in bits.")
@pairs_options
@source_options
@special_symbols_option
@device_option
@json_option
def command(sentences: tuple[str, ...], model_name: str | None, input_file: str | None, with_tokens: bool,
            special_symbols: str | None, device: str, as_json: bool, **reading: Any) -> None:  # fmt: skip
    """Score sentences, each alone from the start and with its end: the likeliest first, or JSON-lines in input order.

    \b
    rnnlm score -m demo "recognize speech" "wreck a nice beach"
    rnnlm score -m demo --input sentences.txt --json
    rnnlm score -m demo --pairs homophones.tsv
    """
    policy = special_symbols or "error"
    pairs = take_request(reading, policy, as_json)
    if bool(sentences) + bool(pairs) + bool(input_file) > 1:
        raise click.UsageError("give sentences, --input or --pairs, one of them.")
    model = load_model(model_name, device)
    if pairs:
        show_pairs(model, pairs)
        return
    from rnnlm.scoring import score_lines

    lines = _arguments(sentences) if sentences else _lines(input_file or "-", reading)
    scores = score_lines(model, lines, with_tokens=with_tokens, special_symbols=policy)
    if as_json:
        for score in scores:
            terminal.print_json(_record(score, with_tokens))
        return
    _show(list(scores), with_tokens)


def _arguments(sentences: tuple[str, ...]) -> Iterator[str]:
    for number, sentence in enumerate(sentences, start=1):
        yield checked_utf8(sentence, f"sentence {number}")


def _lines(source: str, reading: dict[str, Any]) -> Iterator[str]:
    """Every line of the input, blank ones too."""
    from rnnlm import sources
    from rnnlm.corpus import numbered_lines

    if source == "-" and sys.stdin is not None and sys.stdin.isatty():
        terminal.say("reading sentences from the terminal, one a line; Ctrl-D ends")
    corpus = corpus_of((source,), {name: value for name, value in reading.items() if value is not None})
    for each in sources.expand(corpus.sources):
        for _, lines in numbered_lines(each, corpus.settings, corpus.source_settings):
            yield from lines


def _record(score: Any, with_tokens: bool) -> dict[str, Any]:
    record = {
        "text": score.text, "logprob_nats": score.logprob_nats, "tokens": score.tokens, "words": score.words,
        "ppl_word": score.ppl_word, "oov": list(score.oov),
    }  # fmt: skip
    if with_tokens:
        record["surprisals"] = [
            {"token": token.token, "surprisal_bits": token.surprisal_bits, "oov": token.is_oov} for token in score.token_scores
        ]
    return record


def _show(scores: list[Any], with_tokens: bool) -> None:
    if not scores:
        from rnnlm.errors import TextError

        raise TextError("nothing to score", "the input has no line", "give sentences, or --input FILE")
    ranked = sorted(scores, key=lambda score: -math.inf if score.logprob_nats is None else score.logprob_nats, reverse=True)
    columns = ["logprob_nats", "words", "ppl_word", "sentence"]
    oov = any(score.oov for score in ranked)
    rows = []
    for score in ranked:
        row = [terminal.number(score.logprob_nats), str(score.words), terminal.number(score.ppl_word), score.text]
        rows.append([*row, ", ".join(score.oov)] if oov else row)
    terminal.print_table([*columns, "unknown words"] if oov else columns, rows, right=columns[:3])
    if with_tokens:
        for score in ranked:
            _show_tokens(score)
    if len(ranked) == 2:
        _show_odds(*ranked)


def _show_tokens(score: Any) -> None:
    click.echo()
    rows = [[token.token, terminal.number(token.surprisal_bits), "unknown" if token.is_oov else ""] for token in score.token_scores]
    terminal.print_table(["token", "surprisal_bits", ""], rows, right=["surprisal_bits"])


def _show_odds(better: Any, worse: Any) -> None:
    """How many times likelier the first of two sentences is, in total and per word."""
    from rnnlm.scoring import likelihood_ratio

    ratio = likelihood_ratio(better, worse)
    if ratio is None:
        return
    total, per_word = ratio
    if total == 0:
        click.echo("Both are equally likely.")
        return
    text = f'"{terminal.visible(better.text)}" is {times(total)} likelier'
    direction = f"{times(per_word)} likelier" if per_word >= 0 else f"{times(-per_word)} less likely"
    click.echo(f"{text} in total; per word, {direction}.")


def times(log10: float) -> str:
    """A ratio in words: "about 3.2 times", "about 10^6 times"."""
    if log10 < math.log10(1.05):
        return "hardly (less than 1.05 times)"
    if log10 < 2:
        return f"about {10**log10:.2g} times"
    if log10 < 4:
        return f"about {round(10**log10, -1):,.0f} times"
    return f"about 10^{round(log10)} times"
