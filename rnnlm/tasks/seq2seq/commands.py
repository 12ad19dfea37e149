"""`rnnlm translate`: write a line for each line with an encoder-decoder; and the options about
pairs that commands of the core get."""

import functools
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.amounts import plural
from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import (
    Command,
    IntRange,
    explained,
    option_called,
    options_of,
    section,
    stacked,
)
from rnnlm.cli.text_options import encoding_option
from rnnlm.errors import notice
from rnnlm.scoring.generation.settings import GenerationSettings, SamplingSettings
from rnnlm.tasks.common.command_texts import check_arguments, file_or_terminal, texts_or_file
from rnnlm.tasks.seq2seq.options import DecodingSettings, ParallelSettings, TargetSentences
from rnnlm.training.request import TrainingRequest

if TYPE_CHECKING:
    from rnnlm.tasks.seq2seq.data import PairCodec
    from rnnlm.tasks.seq2seq.decoding import TranslatedLine, Translator

FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
# Each of these asks for samples
_SAMPLING = ("sample", "num", "seed", "temperature")


input_options = section(
    "Input",
    click.option("--input", "source", metavar="FILE",
                 help="Text file (one source per line) or table (see --column), compressed or "
                      "not; - is standard input."),
    click.option("--input-format", "form", type=click.Choice(["auto", *FORMATS]),
                 default="auto", metavar="NAME",
                 help="text (one source per line), tsv, csv, jsonl or parquet.  [default: "
                      "inferred from suffix and content]"),
    options_of(
        ParallelSettings,
        "column",
        default_is="that of the training data, or a usual name",
    ),
)  # fmt: skip
rare_input_options = section("Input", encoding_option, rare=True)
search_options = section(
    "Search",
    options_of(DecodingSettings, "beam", default_is="1, or as many as --nbest"),
    options_of(DecodingSettings, "length_power", before="With --beam: ", metavar="A"),
    options_of(DecodingSettings, "nbest", "max_length", "mbr"),
)
sampling_options = section(
    "Sampling, instead of search",
    click.option(
        "--sample", is_flag=True, help="Sample outputs; the other options of this section imply it."
    ),
    click.option(
        "--num",
        type=IntRange(1),
        metavar="N",
        help="Number of samples for each source.  [default: 1]",
    ),
    options_of(
        GenerationSettings,
        "seed",
        help="Random seed; the same seed, line and sample number give the same sample.",
    ),
    options_of(GenerationSettings, "temperature"),
)
output_options = section(
    "Output",
    options.json_option,
    click.option(
        "--attention-plot",
        "plot",
        type=options.PATH,
        metavar="FILE.svg",
        help="Draw the attention of the first line as .svg, .png or .pdf.",
    ),
    options.output_option("File to write; - is standard output."),
    options.overwrite_option("Replace existing files."),
)


@click.command(cls=Command, needs={"overwrite": ["output", "plot"]})
@click.argument("lines", nargs=-1)
@section("Model", options.model_option, options.device_option)
@input_options
@rare_input_options
@search_options
@sampling_options
@output_options
def command(
    lines: tuple[str, ...], model_name: str | None, device: str, source: str | None, as_json: bool,
    output: Path | None, overwrite: bool,
    plot: Path | None, **given: Any,
) -> None:  # fmt: skip
    """Map each line to another: translations, spellings, answers.

    \b
    rnnlm translate -m fra "how are you ?"
    rnnlm translate -m fra --input train.en --beam 5 -o train.fr
    rnnlm translate -m dates "the third of May 2024" --attention-plot a.svg

    Each input line produces one output line, in the same order; a line without words produces an
    empty one. With --nbest or --num, outputs are rows of a table; --mbr chooses one of them. In -o
    FILE.csv, .tsv or .xlsx they follow the columns of the input.

    --json prints all outputs of each source with their log-probabilities, as n-best lists.
    """
    lines, source = texts_or_file(lines, source, "line")
    is_drawn = _check_search(given)
    _check_outputs(output, plot, overwrite, source)
    options.check_texts(source)
    name = options.chosen_model(model_name)
    from rnnlm.lm.base import loading
    from rnnlm.storage.files.tables import LINE_OF, json_text

    sampling = options.settings_of(SamplingSettings, given) if is_drawn else None
    settings = options.settings_of(DecodingSettings, given)
    from rnnlm.tasks.seq2seq.decoding import Translator

    model = loading.model_for("translate", name, device)
    translator = Translator(model, settings, sampling, given["num"] or 1)
    suffix = output.suffix.lower() if output else ""
    table_line = LINE_OF.get(suffix.removeprefix("."))
    cells: deque[Mapping[str, Any]] = deque({"text": line} for line in lines)
    if lines:
        check_arguments(
            lines, "line", "translated as a line", "to translate its lines: --input {file}"
        )
        read = iter(lines)
    else:
        keep = cells.append if table_line and not as_json else None
        read = _of_file(translator.model.codec, source, given, keep)
    kept: list[TranslatedLine] = []
    translated = _counted(translator.translate(read), kept)

    # One output for each source is plain text; several are rows of a table.
    if as_json:
        options.put((json_text(line.to_dict()) + "\n" for line in translated), output)
    elif table_line:
        added = [*(_columns(is_drawn)[1:-1] if translator.outputs > 1 else ()), "translation"]
        rows = _beside_input(translated, cells, added, is_drawn, suffix == ".xlsx")
        options.put(map(table_line, rows), output)
    elif translator.outputs == 1:
        options.put((f"{line.text}\n" for line in translated), output)
    elif lines and not output:
        show([*translated], is_drawn)
    else:
        options.put(as_rows(translated, is_drawn), output)
    if plot:
        _draw(translator, kept, plot)


def _check_search(given: dict[str, Any]) -> bool:
    """Return whether lines are drawn, instead of searched for; refuse options of both."""
    searched = [name for name in ("beam", "length_power", "nbest") if given[name] is not None]
    # A seed of 0 asks for samples, too.
    drawn = [name for name in _SAMPLING if given[name] is not None and given[name] is not False]
    if searched and drawn:
        flags = [", ".join(map(option_called, names)) for names in (searched, drawn)]
        raise click.UsageError(
            f"{' and '.join(flags)}: give options for search or for sampling, not both."
        )
    return bool(drawn)


def _check_outputs(
    output: Path | None, plot: Path | None, overwrite: bool, source: str | None
) -> None:
    """Make sure that files can be written, before time goes into their content."""
    from rnnlm.storage.files import outputs

    if plot:
        outputs.check_apart([plot, output] if output else [plot], [source] if source else [])
    options.own_output(output, overwrite, source)
    options.check_plot(plot, overwrite)


def _of_file(
    codec: "PairCodec", source: str | None, given: dict[str, Any],
    on_row: Callable[[Mapping[str, Any]], None] | None,
) -> Iterator[str]:  # fmt: skip
    from rnnlm.tasks.common.text_files import TextFileSettings
    from rnnlm.tasks.seq2seq.decoding import USUAL_COLUMNS, read_sources

    source = file_or_terminal(source, "lines from the terminal")
    settings = TextFileSettings(
        given["form"], given["column"], given["encoding_errors"] or "strict"
    )
    usual = USUAL_COLUMNS if codec.column is None else (codec.column, *USUAL_COLUMNS)
    return read_sources(source, settings, usual, on_row)


def _counted(
    translated: "Iterable[TranslatedLine]", kept: "list[TranslatedLine]"
) -> "Iterator[TranslatedLine]":
    """Pass on the results; show the progress, and at the end how many lines are empty or cut off.
    kept: takes the first two lines that have words."""
    cut_off = 0
    reasons: Counter[str] = Counter()
    with terminal.Progress() as progress:
        for number, line in enumerate(translated, start=1):
            progress(f"{plural(number, 'line')} translated")
            if line.reason:
                reasons[line.reason] += 1
            elif not line.hypotheses[0].complete:
                cut_off += 1
            if line.hypotheses and len(kept) < 2:
                kept.append(line)
            yield line

    # Nobody would see in a file that some of its lines are not translations.
    terminal.print_reasons(reasons, "line", "lines", "translation")
    if cut_off:
        were_cut_off = terminal.plural(cut_off, "line was cut off", "lines were cut off")
        terminal.say(f"note: {were_cut_off} at the length limit (--max-length)")


def _draw(translator: "Translator", kept: "list[TranslatedLine]", plot: Path) -> None:
    """Plot the attention of the first line that has words. It is translated once more, as no other
    line needs its attention."""
    from rnnlm.tasks.seq2seq.decoding import plot_attention

    if not kept:
        notice(f"{plot} is not drawn: no line has words")
        return
    if len(kept) > 1:
        notice(f"{plot} shows line {kept[0].number}, the first one with words")
    looking = replace(translator, settings=replace(translator.settings, attention=True))
    [line] = looking.translate_window([kept[0].source], kept[0].number)
    attention = line.hypotheses[0].attention
    assert attention is not None  # it was asked for
    plot_attention(attention, plot)


# ---- Translated lines as they are printed: lines alone, rows of a table, or JSON.

DIGITS = 4


def as_rows(translated: "Iterable[TranslatedLine]", is_drawn: bool) -> Iterator[str]:
    """Yield a row of TSV for each of several outputs of a source, below a header."""
    yield terminal.tsv_line(_columns(is_drawn))
    for line in translated:
        yield "".join(terminal.tsv_line(_shown(row)) for row in _rows(line, is_drawn))


def _beside_input(
    translated: "Iterable[TranslatedLine]", cells: "deque[Mapping[str, Any]]",
    added: list[str], is_drawn: bool, are_exact: bool,
) -> Iterator[list[object]]:  # fmt: skip
    """Yield a header, and for each output the cells of its source's row with those `added`. cells:
    of the sources that were read, and have no output yet. are_exact: whether numbers stay."""
    from rnnlm.text.named_columns import new_names

    for place, line in enumerate(translated):
        own = cells.popleft()
        if not place:
            yield [*new_names(list(own), added).values(), *added]
        for row in _rows(line, is_drawn):
            yield [*own.values(), *(row if are_exact else _shown(row))[-len(added) :]]


def show(translated: "Sequence[TranslatedLine]", is_drawn: bool) -> None:
    """Print the rows of :func:`as_rows` as a table; a single source has no number."""
    first = 0 if len(translated) > 1 else 1
    columns = _columns(is_drawn)[first:]
    all_rows = itertools.chain.from_iterable(_rows(line, is_drawn) for line in translated)
    rows = [_shown(row)[first:] for row in all_rows]
    terminal.print_table(terminal.Table(columns, rows, right=columns[:-1]))


def _columns(is_drawn: bool) -> list[str]:
    if is_drawn:
        return ["line", "sample", "logprob_nats", "text"]
    return ["line", "rank", "logprob_nats", "score", "text"]


def _shown(row: Iterable[object]) -> list[str]:
    return [f"{value:z.{DIGITS}f}" if isinstance(value, float) else str(value) for value in row]


def _rows(line: "TranslatedLine", is_drawn: bool) -> list[list[object]]:
    rows: list[list[object]] = []
    for number, hypothesis in enumerate(line.hypotheses, start=1):
        numbers = (
            [hypothesis.logprob_nats] if is_drawn else [hypothesis.logprob_nats, hypothesis.score]
        )
        rows.append([line.number, number, *numbers, hypothesis.text])
    return rows or [[line.number, *[""] * (len(_columns(is_drawn)) - 1)]]


# ---- Options of commands of the core that concern pairs: how they are read and sources decoded.

_TASK = ("--task seq2seq",)
train_options = stacked(
    section(
        "Model",
        options_of(
            TrainingRequest, "init_encoder_from", "init_decoder_from", before="With seq2seq: "
        ),
        goes_with=_TASK,
    ),
    section(
        "Pairs",
        options_of(
            TrainingRequest, "target", multiple=True, default_is="", before="With seq2seq: "
        ),
        options_of(
            TrainingRequest, "valid_target", "test_target", multiple=True, default_is=""
        ),
        options_of(ParallelSettings, "target_column", "skip_empty", before="With seq2seq: "),
        goes_with=_TASK,
    ),
)  # fmt: skip

_PAIRS, _DECODING = "Pairs (encoder-decoders)", "Decoding (encoder-decoders)"
_pair_options = stacked(
    section(
        _PAIRS,
        click.option("--target", multiple=True, metavar="FILE",
                     help="File with the reference for each line of TEXT; repeat for several "
                          "references."),
        options_of(ParallelSettings, "target_column"),
    ),
    section(_PAIRS, options_of(ParallelSettings, "skip_empty"), rare=True),
    section(_DECODING, options_of(DecodingSettings, "beam", default_is="1")),
)  # fmt: skip


def _without_model(function: Callable[..., None]) -> Callable[..., None]:
    """Let `rnnlm eval` compare files with `--hypotheses`, without a model."""

    @functools.wraps(function)
    def command(hypotheses: str | None, **given: Any) -> None:
        if hypotheses is None:
            function(**given)
            return
        options.refuse_given(given.keys() - {"text", "as_json"}, "--hypotheses needs no model.")
        options.check_texts(hypotheses, *given["text"])
        from rnnlm.cli import metrics
        from rnnlm.tasks.seq2seq.evaluation.translation import measure, translations_of_files

        found = measure(translations_of_files(hypotheses, given["text"]))
        if given["as_json"]:
            terminal.print_json(found)
        else:
            metrics.show(found.parts())

    return command


compare_options = stacked(
    explained(
        "rnnlm compare fra fra-plain --on test.tsv      encoder-decoders: BLEU, ...",
        more="Encoder-decoders are compared by all metrics of `rnnlm eval`, regardless of their "
        "tokens; their perplexities are compared only if they count the same tokens, words or "
        "characters.",
    ),
    _pair_options,
)


eval_options = stacked(
    explained(
        "rnnlm eval -m fra test.tsv --beam 5                 BLEU, chrF, exact match",
        "rnnlm eval -m fra test.en --target test.fr -o written.fr",
        "rnnlm eval --hypotheses written.fr test.fr           BLEU without a model",
        more="For an encoder-decoder, TEXT holds pairs. It decodes each source once, greedily "
        "unless --beam is given. Metrics compare each output with the nearest of its references. "
        "The perplexity is computed for the references given their sources.",
    ),
    _without_model,
    _pair_options,
    section(
        _PAIRS,
        click.option("--hypotheses", metavar="FILE",
                     help="Compare the lines of FILE with those of the references TEXT..., without "
                          "a model: BLEU with its precisions and brevity penalty, chrF."),
    ),
    section(
        "Output",
        options.output_option("Write the outputs of an encoder-decoder, one line per pair."),
    ),
)  # fmt: skip


def _with_targets(function: Callable[..., None]) -> Callable[..., None]:
    """Let `rnnlm score` refuse files of targets without files of sources."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        has_input = given["inputs"] or options.is_standard_input(given["sentences"])
        if given["sentences"] and not has_input:
            why = "only valid with --input, not for sentences given as arguments."
            options.refuse_given(["targets", "target_column"], why)
        no_sources = given["targets"] and not has_input
        options.refuse_if(no_sources, "--target needs --input FILE with the sources.")
        function(**given)

    return command


_SOURCES = "Sources (encoder-decoders)"
score_options = stacked(
    explained(
        'rnnlm score -m fra --source "how are you ?" "comment vas-tu ?" "tu vas bien ?"',
        "rnnlm score -m fra --input pairs.tsv --column english --target-column french",
        more="Encoder-decoders score translations, given their sources: log p(target | source).",
    ),
    _with_targets,
    section(
        _SOURCES,
        options_of(TargetSentences, "given_source", declared=["--source"]),
        click.option("--target", "targets", multiple=True, metavar="FILE",
                     help="File with the target of each source in --input, line by line. Repeat "
                          "once per --input."),
    ),
    section(_SOURCES, options_of(TargetSentences, "target_column"), rare=True),
)  # fmt: skip
