"""`rnnlm score`: log-probabilities of sentences; surprisals."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.storage.files import outputs
from rnnlm.text import sources

from .. import options, terminal
from ..declaring import Command, IntRange, options_of, section
from ..text_options import column_options, encoding_option, special_symbols_option, unwrap_option

if TYPE_CHECKING:
    from .score_output import ScoreRequest

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
    "column", "id_column", "given_column", "keep", "region_columns", "sentence_columns", "unwrap",
    "where",
)  # fmt: skip
# Options without effect but beside one of others
_NEEDS = {"overwrite": ["output", "plot"], "workers": ["output"]}


@click.command(cls=Command, needs=_NEEDS)
@click.argument("sentences", nargs=-1)
@section("Model", options.models_option, options.device_option)
@input_options
@rare_input_options
@result_options
@rare_result_options
@options.options_added_to("score")
@output_options
@rare_output_options
def command(**given: Any) -> None:
    """Score sentences.

    \b
    rnnlm score "recognize speech" "wreck a nice beach"
    rnnlm score - < sentences.txt
    rnnlm score -m demo --input stimuli.csv --words --with entropy -o words.csv

    With -o, run the same command again to resume an interrupted run.

    \f
    Unless options say otherwise, each sentence is scored alone, including its end. Every input line
    gets a record, in the order of the file; a line that cannot be scored gets the reason instead of
    numbers. Sentences given as arguments are ranked. Words are those
    of the model's tokenizer: a punctuation mark that it splits off is a word. ppl_word counts the
    sentence end as a word.
    """
    # All that can be wrong is found before a model is loaded.
    request = _request(given)
    _check_files(request)

    from rnnlm.scoring.rows import layout
    from rnnlm.scoring.sentences import first_columns, of_arguments, read_sentences
    from rnnlm.system import keep_freed

    from . import score_output

    keep_freed()  # each part of the sentences takes the memory of the one before
    models = options.load_models(request.model_names, request.device)
    request = replace(request, reading=request.reading.for_models(models))
    if request.sentences:
        read = of_arguments(request.sentences, request.reading)
    else:
        _notice_terminal_input(request)
        read = read_sentences(request.inputs or ("-",), request.reading)

    # The first sentences are read for the names of their columns.
    carried, read = first_columns(read)
    columns = layout(
        request.scoring,
        carried,
        region_names=bool(request.reading.region_columns),
        several_models=len(models) > 1,
        probabilities=request.probabilities,
    )
    if request.output is None:
        score_output.show(request, models, read, columns)
        return
    identity = _identity(request)
    score_output.write(request, request.output, models, read, columns, identity)


def _request(given: Mapping[str, Any]) -> "ScoreRequest":
    """Return what is asked for."""
    output, as_json = given["output"], given["as_json"]
    if output == options.STANDARD_OUTPUT:
        output, as_json = None, True
    sentences, inputs = options.texts_or_input(
        given["sentences"],
        given["inputs"],
        noun="sentence",
        of_input=_OF_INPUT,
        standard_input=("-",),
    )
    form = _format(as_json, output)
    if form != "table":
        options.refuse_given(["sort", "plot"], "only for the table that is printed.")
    scoring, reading = _settings(given, form)
    model_names = options.chosen_models(given["model_names"], [{reading.need}])
    from .score_output import ScoreRequest

    return ScoreRequest(
        sentences=sentences,
        inputs=inputs,
        model_names=model_names,
        device=given["device"],
        scoring=scoring,
        reading=reading,
        form=form,
        output=output,
        plot=given["plot"],
        overwrite=given["overwrite"],
        probabilities=given["probabilities"],
        is_sorted=given["sort"],
        workers=given["workers"] or 1,
    )


def _check_files(request: "ScoreRequest") -> None:
    files = request.inputs
    for name in request.reading.beside:
        files += getattr(request.reading, name)
    options.check_texts(*files)
    written = request.output or request.plot  # one of them at most
    if written:
        outputs.check_apart([written], sources.expand(files))
    if request.output:
        # The record of a file that grows says whether it may be written.
        grows = request.output.suffix.lower() not in (".parquet", ".xlsx")
        outputs.check_file(request.output, request.overwrite or grows)
    options.check_plot(request.plot, request.overwrite)
    options.notice_file(
        request.sentences, "scored as a sentence", "to score its lines: --input {file}"
    )


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


def _settings(given: Mapping[str, Any], form: str) -> tuple[ScoringSettings, SentenceSettings]:
    """Return how sentences are scored, and how they are read."""
    # None keeps all columns of the input; a printed table would have no room for them.
    keep = given["keep"]
    if keep == ("all",) or (keep is None and form != "table"):
        keep = None
    elif keep in (("none",), None):
        keep = ()
    reading = options.settings_of(SentenceSettings, {**given, "keep": keep})

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


def _notice_terminal_input(request: "ScoreRequest") -> None:
    """Say which input is read, where a person types it."""
    if not request.inputs and sys.stdin is not None and sys.stdin.isatty():
        what, how = request.reading.typed
        terminal.say(f"reading {what} from the terminal, {how}; press Ctrl-D to end")


def _identity(request: "ScoreRequest") -> dict[str, str]:
    """Return the facts that determine which sentences are scored and with which frequencies, by
    name."""
    from rnnlm.storage.files.resuming import merged, settings_identity, text_signatures

    # Lines with bad bytes have records, too: how these are read is not free.
    reading = request.reading
    how_read = settings_identity(reading)
    how_read["bad UTF-8"] = how_read.pop("encoding_errors")
    frequencies = text_signatures(filter(None, [request.scoring.frequency_from]), "frequencies")
    texts = {"sentences": repr(request.sentences)}
    if not request.sentences:
        texts = text_signatures(sources.expand(request.inputs or ("-",)))

    # Files are known by their content, whatever they are called.
    for name, what in reading.beside.items():
        del how_read[name]
        texts |= text_signatures(sources.expand(getattr(reading, name)), what)
    if request.probabilities:
        texts["probabilities"] = "true"
    return merged(how_read, texts, frequencies)
