"""`rnnlm score`: log-probabilities of sentences, ranked; surprisals; likely next words; minimal
pairs."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import options, terminal
from ..help_sections import Command, section
from ..options import list_of, refuse_if
from ..pairs import pairs_options, show_pairs, take_request
from ..setting_options import SCORING, SENTENCES, options_of

if TYPE_CHECKING:
    from rnnlm.scoring.sentences import Sentence
    from rnnlm.scoring.settings import ScoringSettings, SentenceSettings

# ---- Sources, for encoder-decoders: where they are read from, and what goes with them.

source_options = section(
    "Sources, for encoder-decoders",
    click.option("--source", metavar="TEXT",
                 help="Source of all sentences: log p(sentence | source)."),
    click.option("--target", "targets", multiple=True, metavar="FILE",
                 help="Targets, line by line, of the sources in --input. May be repeated, as often "
                      "as --input."),
)  # fmt: skip
rare_source_options = section(
    "Sources, for encoder-decoders",
    options_of(SENTENCES, "target_column", metavar="NAME"),
    rare=True,
)
_NAMES = {"source": "--source", "targets": "--target", "target_column": "--target-column"}
_OF_TABLES = {
    "column": "--column", "target_column": "--target-column",
    "id_column": "--id-column",
    "given_column": "--given-column", "keep": "--keep", "region_columns": "--region-columns",
}  # fmt: skip


def are_pairs(
    models: dict[str, Any],
    sentences: Sequence[str],
    inputs: Sequence[str],
    given: dict[str, Any],
    wants_minimal: bool,
) -> bool:
    """Return whether tables of the input hold pairs of a source and a target. Refuse options that
    contradict each other or the models. wants_minimal: minimal pairs are asked for."""
    from rnnlm.inference.span_scoring import reads_sources

    conditional = [name for name, model in models.items() if reads_sources(model)]
    asked = [option for name, option in _NAMES.items() if given[name]]
    if not conditional:
        refuse_if(
            asked,
            f"{', '.join(asked)}: {next(iter(models))} is a language model, which reads no source.",
        )
        return False

    # What an encoder-decoder cannot do.
    name = conditional[0]
    refuse_if(
        wants_minimal,
        f"--pairs compares sentences alone: {name} is an encoder-decoder, which scores a "
        "target given its source.",
    )
    refuse_if(
        given["context"] == "carry",
        f"--context carry: {name} is an encoder-decoder, which reads each target from its own "
        "source.",
    )

    # Each target needs a source, from one place.
    has_source = given["source"] is not None
    refuse_if(
        sentences and not has_source,
        f"{name} is an encoder-decoder: these sentences need a source: name it with --source; "
        "--input takes pairs.",
    )
    refuse_if(has_source and len(asked) > 1, f"{' and '.join(asked)}: the source is named twice.")
    if given["targets"]:
        idle = [option for its, option in _OF_TABLES.items() if given[its]]
        refuse_if(
            idle, f"{', '.join(idle)}: only for tables; --target names a file of plain lines."
        )
        refuse_if(not inputs, "--target: name the file of the sources with --input.")
    return not has_source and not given["targets"]


# ---- score

_MEASURES = ("entropy", "frequency")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tsv": "tsv",
    ".csv": "csv",
    ".parquet": "parquet",
}


_names = list_of(str, "names")


def _measures(
    context: click.Context, option: click.Parameter, value: str | None
) -> tuple[str, ...]:
    names = _names(context, option, value) or ()
    for name in names:
        if name not in _MEASURES:
            raise click.BadParameter(
                f"{name!r} is none of {', '.join(_MEASURES)}.", context, option
            )
    return names


input_options = section(
    "Input",
    click.option("--input", "inputs", multiple=True, metavar="FILE",
                 help="Sentences of a text, one a line, or of a table (see --column); "
                 "compressed or not; - is standard input. May be repeated."),
    options.column_option,
    options_of(SENTENCES, "region_mark", declared=["--regions"], metavar="MARK"),
    options_of(SENTENCES, "given", metavar="TEXT", default=""),
)  # fmt: skip
rare_input_options = section(
    "Input",
    options.encoding_option,
    options_of(SENTENCES, "strip"),
    options_of(SENTENCES, "id_column", metavar="NAME"),
    options_of(
        SENTENCES,
        "keep",
        metavar="A,B,...",
        callback=_names,
        default_is="all; for a ranked table none",
    ),
    options_of(SENTENCES, "region_columns", metavar="A,B,...", callback=_names),
    options_of(SENTENCES, "given_column", metavar="NAME"),
    options.special_symbols_option,
    rare=True,
)  # fmt: skip
result_options = section(
    "Scores",
    options_of(SCORING, "with_tokens", declared=["--tokens"]),
    options_of(SCORING, "with_words", declared=["--words"]),
    options_of(
        SCORING, "measures", declared=["--with"], metavar="NAME,...", callback=_measures
    ),
    options_of(SCORING, "next_words", declared=["--next"], metavar="K", default=0, default_is=""),
    click.option("--no-eos", "eos", flag_value=False, default=True, type=bool,
                 help="Score sentences without their end."),
    options_of(SCORING, "context", default="reset"),
)  # fmt: skip
output_options = section(
    "Output",
    options.output_option(
        "FILE.csv, .tsv, .jsonl or .parquet; - is --json on standard output. "
        "With --pairs: one record a pair."
    ),
    options.overwrite_option("Replace existing files."),
    options.json_option,
)

_ABOUT_INPUT = {
    "column": "--column",
    "targets": "--target",
    "target_column": "--target-column",
    "id_column": "--id-column",
    "given_column": "--given-column",
    "keep": "--keep",
    "region_columns": "--region-columns",
}


@click.command(cls=Command)
@click.argument("sentences", nargs=-1)
@section("Model", options.models_option, options.device_option)
@input_options
@rare_input_options
@source_options
@rare_source_options
@result_options
@pairs_options
@output_options
def command(sentences: tuple[str, ...], model_names: tuple[str, ...], inputs: tuple[str, ...],
            device: str, as_json: bool, output: Path | None, overwrite: bool,
            **given: Any) -> None:  # fmt: skip
    """Score sentences, or targets given their sources.

    \b
    rnnlm score "recognize speech" "wreck a nice beach"
    rnnlm score - < sentences.txt
    rnnlm score -m demo --input stimuli.csv --words --with entropy -o words.csv
    rnnlm score -m demo --pairs homophones.tsv
    rnnlm score -m fra --source "how are you ?" "comment vas-tu ?" "tu vas bien ?"
    rnnlm score -m fra --input pairs.tsv --column english --target-column french

    The same command with -o goes on where it was interrupted.

    \f
    Each sentence is scored alone from the start and with its end, unless options say otherwise.
    Every input line has a record; a line that cannot be scored has the reason instead of numbers.
    Words are counted as the model's tokenizer cuts them: a mark that it splits off is a word.
    ppl_word counts the end as a word, as perplexities do. Encoder-decoders give log p(target |
    source).
    """
    # All that can be wrong is found before a model is loaded.
    if options.is_standard_input(sentences):
        options.refuse_if(inputs, "- is standard input: leave --input out.")
        sentences, inputs = (), ("-",)
    pairs = take_request(given, output, as_json, overwrite)
    if output == options.STANDARD_OUTPUT and not pairs:
        output, as_json = None, True
    _check_input(sentences, inputs, given)
    form = ""
    if not pairs:
        form = _format(as_json, output)
        _check_options(form, output, overwrite, given)
    has_sources = any(given[name] for name in _NAMES)
    model_names = options.chosen_models(model_names, "sources" if has_sources else "text")
    if not pairs:
        _check_files(sentences, (*inputs, *given["targets"]), output)

    from rnnlm.system import keep_freed

    keep_freed()  # each part of the sentences takes the memory of the one before
    models = options.load_models(model_names, device)
    given["are_pairs"] = are_pairs(models, sentences, inputs, given, pairs is not None)
    if pairs:
        show_pairs(models, pairs)
        return
    settings = _settings(given)
    sentence_settings = _sentence_settings(given, form)
    read = _sentences(sentences, inputs, given, sentence_settings)
    has_region_names = bool(given["region_columns"])
    from .. import score_output

    if output:
        identity = _identity(sentences, inputs, given["targets"], sentence_settings)
        score_output.write(
            path=output,
            models=models,
            sentences=read,
            settings=settings,
            form=form,
            identity=identity,
            overwrite=overwrite,
            has_region_names=has_region_names,
        )
    else:
        score_output.show(models, read, settings, form, bool(inputs), has_region_names)


def _check_input(
    sentences: tuple[str, ...], inputs: tuple[str, ...], given: dict[str, Any]
) -> None:
    options.refuse_if(sentences and inputs, "give either sentences or --input.")
    idle = [option for name, option in _ABOUT_INPUT.items() if given[name]]
    options.refuse_if(
        sentences and idle,
        f"{', '.join(idle)}: only for --input, not for sentences given as arguments.",
    )


def _check_files(sentences: tuple[str, ...], inputs: tuple[str, ...], output: Path | None) -> None:
    options.check_texts(*inputs)
    if output:
        from rnnlm.files import outputs
        from rnnlm.text import sources

        outputs.check_file(output, overwrite=True)
        outputs.check_apart([output], sources.expand(inputs))
    options.notice_file(sentences, "scored as a sentence", "--input {file} scores its lines")


def _format(as_json: bool, output: Path | None) -> str:
    """Return the format of the result, by the suffix of its file."""
    if output is None:
        return "jsonl" if as_json else "table"
    refuse_if(as_json, "--json is for standard output: name a FILE.jsonl with -o.")
    form = _SUFFIXES.get(output.suffix.lower())
    if form is None:
        raise click.UsageError(
            "-o holds rows or records: name a FILE.csv, .tsv, .jsonl or .parquet."
        )
    return form


def _check_options(form: str, output: Path | None, overwrite: bool, given: dict[str, Any]) -> None:
    # Options for files, and what each format allows.
    options.refuse_if(overwrite and not output, "--overwrite needs --output FILE.")

    # Options for words and regions. A table has rows of one kind.
    has_words = given["with_words"] or given["next_words"]
    has_regions = given["region_mark"] is not None or given["region_columns"]
    is_file_of_rows = form in ("tsv", "csv", "parquet")
    options.refuse_if(
        is_file_of_rows and given["with_tokens"] and (has_words or has_regions),
        "--tokens and words or regions are two tables: choose one, or -o FILE.jsonl.",
    )
    options.refuse_if(given["measures"] and not has_words, "--with needs --words.")


def _settings(given: dict[str, Any]) -> "ScoringSettings":
    from rnnlm.scoring.settings import ScoringSettings

    # Next words belong to words, whether or not these are asked for.
    return ScoringSettings(
        with_tokens=bool(given["with_tokens"]),
        with_words=bool(given["with_words"] or given["next_words"]),
        next_words=given["next_words"],
        eos=given["eos"],
        context=given["context"],
        special_symbols=given["special_symbols"] or "error",
        unscorable="null",
        measures=given["measures"],
        with_regions=given["region_mark"] is not None or bool(given["region_columns"]),
    )


def _sentence_settings(given: dict[str, Any], form: str) -> "SentenceSettings":
    from rnnlm.scoring.settings import SentenceSettings

    # None keeps all columns of the input; a ranked table would have no room for them.
    keep = given["keep"]
    if keep == ("all",) or (keep is None and form != "table"):
        keep = None
    elif keep in (("none",), None):
        keep = ()
    return SentenceSettings(
        column=given["column"],
        id_column=given["id_column"],
        given_column=given["given_column"],
        given=given["given"],
        encoding_errors=given["encoding_errors"] or "strict",
        keep=keep,
        region_mark=given["region_mark"],
        region_columns=given["region_columns"] or (),
        are_pairs=given["are_pairs"],
        target_column=given["target_column"],
        given_source=given["source"],
        strip=bool(given["strip"]),
    )


def _sentences(
    sentences: tuple[str, ...],
    inputs: tuple[str, ...],
    given: dict[str, Any],
    settings: "SentenceSettings",
) -> "Iterator[Sentence]":
    """Return the sentences to score."""
    from rnnlm.scoring.sentences import of_texts, read_sentences
    from rnnlm.text.lines import single_spaced

    if sentences:
        if given["strip"]:
            sentences = tuple(map(single_spaced, sentences))
        return of_texts(sentences, given["given"], given["region_mark"], given["source"])
    if not inputs and sys.stdin is not None and sys.stdin.isatty():
        what = "sentences from the terminal, one a line"
        if given["are_pairs"]:
            what = "a table of pairs from the terminal, with a header"
        terminal.say(f"reading {what}; Ctrl-D ends")
    return read_sentences(inputs or ("-",), settings, given["targets"])


def _identity(
    sentences: tuple[str, ...],
    inputs: tuple[str, ...],
    targets: tuple[str, ...],
    settings: "SentenceSettings",
) -> dict[str, str]:
    """Return what determines which sentences are scored, by name."""
    from rnnlm.files.resuming import settings_identity, text_signatures
    from rnnlm.text.sources import expand

    # Lines with bad bytes have records, too: how these are read is not free.
    how_read = settings_identity(settings)
    how_read["bad UTF-8"] = how_read.pop("encoding_errors")
    if sentences:
        return how_read | {"sentences": repr(sentences)}
    texts = text_signatures(expand(inputs or ("-",)))
    return how_read | texts | text_signatures(expand(targets), "target")
