"""`rnnlm score`: log-probabilities of sentences; surprisals."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.storage.files import outputs
from rnnlm.text import sources

from .. import options, terminal
from ..declaring import Command, IntRange, options_of, section
from ..text_options import column_options, encoding_option, special_symbols_option, unwrap_option

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}

input_options = section(
    "Input",
    click.option("--input", "inputs", multiple=True, metavar="FILE",
                 help="Text file (one sentence per line) or table (see --column), compressed or "
                      "not; - is standard input. May be repeated."),
    column_options,
    encoding_option,
    options_of(SentenceSettings, "region_mark", declared=["--regions"]),
    options_of(SentenceSettings, "given", metavar="TEXT"),
)  # fmt: skip
rare_input_options = section(
    "Input",
    options_of(SentenceSettings, "strip", "id_column"),
    options_of(SentenceSettings, "keep", default_is="all; for a printed table none"),
    options_of(SentenceSettings, "region_columns", "given_column"),
    options_of(SentenceSettings, "where", multiple=True, default_is=""),
    unwrap_option,
    special_symbols_option,
    rare=True,
)
source_options = section(
    "Sources (encoder-decoders)",
    options_of(SentenceSettings, "given_source", declared=["--source"]),
    click.option("--target", "targets", multiple=True, metavar="FILE",
                 help="File with the target of each source in --input, line by line. Repeat once "
                      "per --input."),
)  # fmt: skip
rare_source_options = section(
    "Sources (encoder-decoders)", options_of(SentenceSettings, "target_column"), rare=True
)
result_options = section(
    "Scores",
    options_of(ScoringSettings, "tokens", "words"),
    options_of(ScoringSettings, "measures", declared=["--with"]),
    click.option("--probabilities", is_flag=True,
                 help="Report probabilities of sentences, tokens and words, too."),
    options_of(ScoringSettings, "eos", declared=["--no-eos"], flag_value=False,
               help="Leave the end of each sentence, </s>, out of its score."),
    options_of(ScoringSettings, "context"),
)  # fmt: skip
rare_result_options = section(
    "Scores", options_of(ScoringSettings, "frequency_from", "next_words"), rare=True
)
output_options = section(
    "Output",
    click.option("--sort", is_flag=True,
                 help="Print the sentences of --input with the likeliest first, not in the order "
                      "of the file; sentences given as arguments always are."),
    options.output_option(
        "Write to FILE.csv, .tsv, .jsonl, .parquet or .xlsx; - prints JSON."
    ),
    click.option("--plot", type=options.PATH, metavar="FILE.svg",
                 help="Plot the printed log-probabilities of sentences (or --probabilities) as "
                      ".svg, .png or .pdf. Several models appear side by side."),
    options.overwrite_option("Replace existing files."),
    options.json_option,
)  # fmt: skip
rare_output_options = section("Output",
    click.option("--workers", type=IntRange(1), metavar="N",
                 help="Number of processes that score parts of the input for -o FILE.  "
                      "[default: 1]"),
    rare=True,
)  # fmt: skip
# Options that say which sentences of the input are read, and how
_OF_INPUT = (
    "column", "targets", "target_column", "id_column", "given_column", "keep", "region_columns",
    "sentence_columns", "unwrap", "where",
)  # fmt: skip
# Options without effect but beside one of others
_NEEDS = {"overwrite": ["output", "plot"], "workers": ["output"]}


@click.command(cls=Command, needs=_NEEDS)
@click.argument("sentences", nargs=-1)
@section("Model", options.models_option, options.device_option)
@input_options
@rare_input_options
@source_options
@rare_source_options
@result_options
@rare_result_options
@options.options_added_to("score")
@output_options
@rare_output_options
def command(sentences: tuple[str, ...], model_names: tuple[str, ...], inputs: tuple[str, ...],
            targets: tuple[str, ...], device: str, as_json: bool, output: Path | None,
            plot: Path | None, overwrite: bool, probabilities: bool, sort: bool,
            workers: int | None, **given: Any) -> None:  # fmt: skip
    """Score sentences (or translations, given their sources).

    \b
    rnnlm score "recognize speech" "wreck a nice beach"
    rnnlm score - < sentences.txt
    rnnlm score -m demo --input stimuli.csv --words --with entropy -o words.csv
    rnnlm score -m demo --pairs homophones.tsv
    rnnlm score -m fra --source "how are you ?" "comment vas-tu ?" "tu vas bien ?"
    rnnlm score -m fra --input pairs.tsv --column english --target-column french

    With -o, run the same command again to resume an interrupted run.

    \f
    Unless options say otherwise, each sentence is scored alone, including its end. Every input line
    gets a record, in the order of the file; a line that cannot be scored gets the reason instead of
    numbers. Sentences given as arguments are ranked. Words are those
    of the model's tokenizer: a punctuation mark that it splits off is a word. ppl_word counts the
    sentence end as a word. Encoder-decoders give log p(target | source).
    """
    # All that can be wrong is found before a model is loaded.
    if output == options.STANDARD_OUTPUT:
        output, as_json = None, True
    sentences, inputs = options.texts_or_input(
        sentences, inputs, noun="sentence", of_input=_OF_INPUT, standard_input=("-",)
    )
    options.refuse_if(targets and not inputs, "--target needs --input FILE with the sources.")
    form = _format(as_json, output)
    if form != "table":
        options.refuse_given(["sort", "plot"], "only for the table that is printed.")
    wants_sources = bool(given["given_source"] or given["target_column"] or targets)
    model_names = options.chosen_models(model_names, [{"sources" if wants_sources else "text"}])
    scoring, reading = _settings(given, form)
    _check_files(sentences, (*inputs, *targets), output, plot, overwrite)

    from rnnlm.scoring.rows import layout
    from rnnlm.scoring.sentences import first_columns, of_arguments, read_sentences
    from rnnlm.scoring.several_models import reading_for
    from rnnlm.system import keep_freed

    from . import score_output

    keep_freed()  # each part of the sentences takes the memory of the one before
    models = options.load_models(model_names, device)
    reading = reading_for(models, reading, targets)
    if sentences:
        read = of_arguments(sentences, reading)
    else:
        _notice_terminal_input(inputs, reading)
        read = read_sentences(inputs or ("-",), reading, targets)

    # The first sentences are read for the names of their columns.
    carried, read = first_columns(read)
    columns = layout(
        scoring,
        carried,
        region_names=bool(reading.region_columns),
        several_models=len(models) > 1,
        probabilities=probabilities,
    )
    if output is None:
        score_output.show(
            models=models,
            sentences=read,
            settings=scoring,
            layout=columns,
            form=form,
            with_ids=bool(inputs),
            ranked=bool(sentences) or sort,
            plot=plot,
            given=reading.given,
        )
        return
    identity = _identity(sentences, inputs, targets, reading, scoring.frequency_from)
    score_output.write(
        path=output,
        models=models,
        sentences=read,
        settings=scoring,
        layout=columns,
        form=form,
        identity=identity | ({"probabilities": "true"} if probabilities else {}),
        overwrite=overwrite,
        names=model_names,
        device=device,
        workers=workers or 1,
    )


def _check_files(
    sentences: tuple[str, ...],
    inputs: tuple[str, ...],
    output: Path | None,
    plot: Path | None,
    overwrite: bool,
) -> None:
    options.check_texts(*inputs)
    written = output or plot  # one of them at most
    if written:
        outputs.check_apart([written], sources.expand(inputs))
    if output:
        # The record of a file that grows says whether it may be written.
        grows = output.suffix.lower() not in (".parquet", ".xlsx")
        outputs.check_file(output, overwrite or grows)
    options.check_plot(plot, overwrite)
    options.notice_file(sentences, "scored as a sentence", "to score its lines: --input {file}")


def _format(as_json: bool, output: Path | None) -> str:
    """Return the format of the result, by the suffix of its file."""
    if output is None:
        return "jsonl" if as_json else "table"
    options.refuse_if(
        as_json, "--json prints to standard output: use -o FILE.jsonl to write JSON to a file."
    )
    form = _SUFFIXES.get(output.suffix.lower())
    if form is None:
        raise click.UsageError(f"the name after -o must end in {', '.join(_SUFFIXES)}.")
    return form


def _settings(given: dict[str, Any], form: str) -> tuple[ScoringSettings, SentenceSettings]:
    """Return how sentences are scored, and how they are read."""
    # None keeps all columns of the input; a printed table would have no room for them.
    keep = given["keep"]
    if keep == ("all",) or (keep is None and form != "table"):
        keep = None
    elif keep in (("none",), None):
        keep = ()
    reading = options.settings_of(SentenceSettings, given | {"keep": keep})

    # A table has rows of one kind.
    scoring = options.settings_of(ScoringSettings, given)
    options.refuse_if(
        scoring.tokens and reading.sentence_columns,
        "with --sentence-columns, each word has a row: leave --tokens out.",
    )
    scoring = replace(
        scoring,
        unscorable="null",
        words=scoring.words or bool(reading.sentence_columns),
        with_regions=reading.has_regions,
    )
    options.refuse_if(
        form not in ("table", "jsonl") and scoring.tokens and scoring.needs_words,
        "one table cannot hold both tokens and words or regions: choose one, or use -o FILE.jsonl.",
    )
    return scoring, reading


def _notice_terminal_input(inputs: tuple[str, ...], settings: SentenceSettings) -> None:
    """Say which input is read, where a person types it."""
    if not inputs and sys.stdin is not None and sys.stdin.isatty():
        pairs, lines = ("a table of pairs", "with a header"), ("sentences", "one per line")
        what, how = pairs if settings.are_pairs else lines
        terminal.say(f"reading {what} from the terminal, {how}; press Ctrl-D to end")


def _identity(
    sentences: tuple[str, ...],
    inputs: tuple[str, ...],
    targets: tuple[str, ...],
    settings: SentenceSettings,
    frequency_from: str | None,
) -> dict[str, str]:
    """Return the facts that determine which sentences are scored and with which frequencies, by
    name."""
    from rnnlm.storage.files.resuming import merged, settings_identity, text_signatures

    # Lines with bad bytes have records, too: how these are read is not free.
    how_read = settings_identity(settings)
    how_read["bad UTF-8"] = how_read.pop("encoding_errors")
    frequencies = text_signatures(filter(None, [frequency_from]), "frequencies")
    if sentences:
        return merged(how_read, {"sentences": repr(sentences)}, frequencies)
    texts = text_signatures(sources.expand(inputs or ("-",)))
    target_texts = text_signatures(sources.expand(targets), "target")
    return merged(how_read, texts, target_texts, frequencies)
