"""`rnnlm score`: log-probabilities of sentences, ranked; surprisals; likely next words; minimal pairs."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from rnnlm.errors import notice

from .. import options, score_plot, terminal
from ..pairs import pairs_options, show_pairs, take_request

input_options = options.stacked(
    click.option("--input", "inputs", multiple=True, metavar="FILE", help="Sentences of a text, one a line, or of a table (see --column); "
                 "compressed or not; - is standard input. May be repeated."),
    options.source_options,
    click.option("--id-column", metavar="NAME", help="Column of a table that names its rows.  [default: id, if there; else their number]"),
    click.option("--given", default="", metavar="TEXT", help="Text before each sentence in its line: the score is conditional on it."),
    click.option("--given-column", metavar="NAME", help="Column of a table that holds what is given."),
    options.special_symbols_option,
    click.option("--strict", is_flag=True, help="A line that has no score is an error, not a record without one."),
)  # fmt: skip
result_options = options.stacked(
    click.option("--tokens", "with_tokens", is_flag=True, help="Each token's surprisal, in bits."),
    click.option("--words", "with_words", is_flag=True, help="Each word's surprisal, in bits, whatever the model's tokens are."),
    click.option("--word-surprisal", type=click.Choice(["exact", "naive"]), default="exact", show_default=True,
                 help="Of models of subwords, characters, bytes: that the word ends is a part of it; or the sum of its pieces."),
    click.option("--next", "next_words", type=click.IntRange(0), default=0, metavar="K", help="The K likeliest words at each place."),
    click.option("--no-eos", "eos", flag_value=False, default=True, type=bool, help="Score sentences without their end."),
    click.option("--context", type=click.Choice(["reset", "carry"]), default="reset", show_default=True,
                 help="Each line alone, or all lines as one stream."),
    click.option("--rank", type=click.Choice(["logprob", "word", "token"]), default=None,
                 help="What the table is sorted by: log-probability, or that by word or token.  [default: logprob]"),
)  # fmt: skip
output_options = options.stacked(
    click.option("--format", "form", type=click.Choice(["table", "tsv", "jsonl"]), default=None,
                 help="A ranked table; or records in input order.  [default: table, with --output as its name says]"),
    click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl."),
    click.option("--output", "-o", type=options.PATH, metavar="FILE", help="Write records there, as they come."),
    click.option("--resume", is_flag=True, help="Go on with the --output of a run that was broken off."),
    click.option("--overwrite", is_flag=True, help="Replace files that are there."),
)  # fmt: skip


_ABOUT_INPUT = {"column": "--column", "id_column": "--id-column", "given_column": "--given-column", "split": "--split"}


@click.command()
@click.argument("sentences", nargs=-1)
@options.models_or_demo_option
@input_options
@result_options
@pairs_options
@output_options
@options.device_option
def command(sentences: tuple[str, ...], model_names: tuple[str, ...], inputs: tuple[str, ...], device: str, form: str | None,
            as_json: bool, output: Path | None, resume: bool, overwrite: bool, rank: str | None, **given: Any) -> None:  # fmt: skip
    """Score sentences: the likeliest first, or records in input order.

    \b
    rnnlm score "recognize speech" "wreck a nice beach"
    rnnlm score -m demo --input sentences.txt --words --format tsv
    rnnlm score -m demo --input stimuli.csv --column sentence --output scores.jsonl
    rnnlm score -m demo --pairs homophones.tsv

    Each sentence is scored alone from the start and with its end, unless options say otherwise. Every input line has its record; one
    that cannot be scored has none of the figures, and the reason. Words are those of the model's tokenizer: a mark that it splits off is
    one. ppl_word counts the end as a word, as perplexities do.
    """
    pairs = take_request(given, as_json, overwrite)
    options.refuse_if(sentences and inputs, "give sentences or --input, one of them.")
    idle = [option for name, option in _ABOUT_INPUT.items() if given[name]]
    options.refuse_if(sentences and idle, f"{', '.join(idle)}: this is about --input, not about sentences that stand there.")
    form = _format(form, as_json, output)
    _check_options(form, output, resume, overwrite and not pairs, rank, given)
    plot = None if pairs else given["plot"]
    _check_files(output, plot, inputs, overwrite)
    if file := next(filter(os.path.isfile, sentences), None):  # who names a file means what is in it, more often than not
        notice(f"{file!r} is scored as a sentence; there is a file of that name, too: --input {shlex.quote(file)} scores its lines")
    models = options.load_models(model_names, device)
    if pairs:
        show_pairs(models, pairs)
        return
    settings = _settings(given)
    read = _sentences(sentences, inputs, given)
    read = score_plot.keeping(read, plotted := []) if plot else read
    if output:
        _write(output, models, read, settings, form, resume, overwrite)
    else:
        _print(models, read, settings, form, rank or "logprob", bool(inputs))
    if plot:
        score_plot.draw(plot, models, plotted, settings)


def _check_files(output: Path | None, plot: Path | None, inputs: tuple[str, ...], overwrite: bool) -> None:
    """Make sure that the files asked for can be written and are none of those that are read, before time goes into scoring."""
    if plot:
        score_plot.check(plot, overwrite)
    if output or plot:
        from rnnlm.files import writing
        from rnnlm.text import sources

        writing.check_apart(filter(None, (output, plot)), sources.expand(inputs))


def _format(form: str | None, as_json: bool, output: Path | None) -> str:
    options.refuse_if(as_json and form not in (None, "jsonl"), f"--json and --format {form} contradict each other.")
    named = {".jsonl": "jsonl", ".ndjson": "jsonl", ".tsv": "tsv"}.get(output.suffix) if output else "table"
    chosen = "jsonl" if as_json else form or named
    why = "--output holds records: name a FILE.jsonl or FILE.tsv, or add --format jsonl or tsv."
    options.refuse_if(chosen is None or (output and chosen == "table"), why)
    return chosen


def _check_options(form: str, output: Path | None, resume: bool, overwrite: bool, rank: str | None, given: dict[str, Any]) -> None:
    options.refuse_if(resume and not output, "--resume is about a file: name it with --output.")
    options.refuse_if(overwrite and not (output or given["plot"]), "--overwrite is about a file: name it with --output or --plot.")
    options.refuse_if(resume and overwrite, "--resume and --overwrite contradict each other.")
    options.refuse_if(rank and form != "table", "--rank sorts the table; records keep the order of the input.")
    are_two = given["with_tokens"] and _with_words(given)
    options.refuse_if(form == "tsv" and are_two, "--tokens and --words are two tables: choose one, or --format jsonl.")


def _with_words(given: dict[str, Any]) -> bool:
    return bool(given["with_words"] or given["next_words"] or given["plot"])


def _settings(given: dict[str, Any]) -> Any:
    from rnnlm.scoring.records import ScoringSettings

    return ScoringSettings(
        given["with_tokens"], _with_words(given), given["word_surprisal"], given["next_words"], given["eos"],
        given["context"], given["special_symbols"] or "error", "raise" if given["strict"] else "null",
    )  # fmt: skip


def _sentences(sentences: tuple[str, ...], inputs: tuple[str, ...], given: dict[str, Any]) -> Iterator[Any]:
    from rnnlm.scoring.sentences import SentenceSettings, of_texts, read_sentences

    if sentences:
        return of_texts(sentences, given["given"])
    if not inputs and sys.stdin is not None and sys.stdin.isatty():
        terminal.say("reading sentences from the terminal, one a line; Ctrl-D ends")
    return read_sentences(inputs or ("-",), SentenceSettings(
        given["column"], given["id_column"], given["given_column"], given["given"], given["split"] or "train",
        given["encoding_errors"] or "strict",
    ))  # fmt: skip


def _print(models: dict[str, Any], sentences: Iterator[Any], settings: Any, form: str, rank: str, with_ids: bool) -> None:
    from rnnlm.scoring.scorer import signature_before
    from rnnlm.scoring.several_models import score_chunks_of_models

    from .. import score_side_by_side, score_table

    chunks = score_chunks_of_models(models, sentences, settings)
    signatures = {name: signature_before(model, settings) for name, model in models.items()}
    without, scores = Counter(), []
    header, text = _text_of(form, settings, models) if form != "table" else ("", None)
    click.echo(header, nl=False)
    for chunk in chunks:
        without, signatures = without + _without_score(chunk), chunk.signatures
        if text:
            click.echo("".join(map(text, chunk)), nl=False)
        else:
            scores += chunk.scores
    if not text and len(models) > 1:
        score_side_by_side.show(scores, settings, rank, with_ids)
    elif not text:
        score_table.show([score for each in scores for score in each.values()], settings, rank, with_ids)
    _say_about(without, signatures)


def _write(
    path: Path, models: dict[str, Any], sentences: Iterator[Any], settings: Any, form: str, resume: bool, overwrite: bool
) -> None:  # fmt: skip
    from rnnlm.scoring import resumable_output
    from rnnlm.scoring.scorer import signature_before
    from rnnlm.scoring.several_models import describe_run_of_models, score_chunks_of_models

    signatures = {name: signature_before(model, settings) for name, model in models.items()}
    header, text = _text_of(form, settings, models)
    run = describe_run_of_models(models, settings) | {"format": form}
    file = resumable_output.resume(path, run) if resume else resumable_output.begin(path, run, header, overwrite)
    without, say = Counter(), terminal.Progress()
    for chunk in score_chunks_of_models(models, sentences, settings, skip=file.done):
        file.write(chunk.sentences, "".join(map(text, chunk)))
        without, signatures = without + _without_score(chunk), chunk.signatures
        if chunk.scores:
            say(f"{file.sentences:,} sentences written")
    file.finish()
    terminal.say(f"{file.sentences:,} {'sentence' if file.sentences == 1 else 'sentences'} written to {path}")
    _say_about(without, signatures)


def _text_of(form: str, settings: Any, models: dict[str, Any]) -> tuple[str, Callable[[dict[str, Any]], str]]:
    """What stands before all records, and what makes the text of a sentence's scores by model."""
    from .. import score_side_by_side, score_text

    if len(models) > 1:
        return getattr(score_side_by_side, form)(settings)
    header, text = getattr(score_text, form)(settings)
    return header, lambda scores: "".join(map(text, scores.values()))


def _without_score(chunk: Any) -> Counter[str]:
    """How many sentences have no score, by model."""
    return Counter(name for scores in chunk for name, score in scores.items() if score.logprob_nats is None)


def _say_about(without: Counter[str], signatures: dict[str, Any]) -> None:
    for name, lines in without.items():
        by = f" by {name}" if len(signatures) > 1 else ""
        terminal.say(f"note: {lines:,} {'line has' if lines == 1 else 'lines have'} no score{by}: each with its reason")
    terminal.say_signatures(signatures)
