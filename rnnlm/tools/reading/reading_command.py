"""`rnnlm reading`: what surprisals add to a regression of reading times."""

from pathlib import Path
from typing import Any

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, options_of, section
from rnnlm.storage.files import tables
from rnnlm.storage.files.outputs import check_apart
from rnnlm.storage.files.workbooks import is_workbook
from rnnlm.tools.reading.settings import REASONS, ReadingSettings

COLUMNS = (
    "word_column", "time_column", "subject_column", "item_column", "condition_column",
    "sentence_column", "number_column", "region_column",
)  # fmt: skip
# How R reads the file, by its format
READERS = {
    tables.CSV: 'read.csv("{}", check.names = FALSE)',
    tables.TSV: 'read.delim("{}", check.names = FALSE)',
    "xlsx": 'readxl::read_excel("{}")',
}


@click.command(cls=Command, needs={"overwrite": ["output", "plot"]})
@click.argument("table")
@section("Model", options.models_option, options.device_option,
         options_of(ReadingSettings, "orders", "counts"))  # fmt: skip
@section(
    "Regression",
    options_of(ReadingSettings, "response", "baseline", "frequency_from", "average"),
    options_of(ReadingSettings, "exclude", default_is=",".join(REASONS)),
    options_of(ReadingSettings, "min_time", "max_time"),
    options_of(ReadingSettings, "where", multiple=True, default_is=""),
)
@section("Regression", options_of(ReadingSettings, "folds", "seed", "resamples"), rare=True)
@section("Columns of TABLE", options_of(ReadingSettings, *COLUMNS), rare=True)
@section(
    "Output",
    options.output_option("Write the rows with their predictors to FILE.csv, .tsv or .xlsx."),
    click.option("--plot", type=options.PATH, metavar="FILE.svg",
                 help="Plot gain over perplexity, coefficients by lag, and times and surprisals "
                      "by region and condition as .svg, .png or .pdf."),
    options.overwrite_option("Replace existing files."),
    options.json_option,
    options.latex_option,
)  # fmt: skip
def command(table: str, model_names: tuple[str, ...], device: str, output: Path | None,
            plot: Path | None, overwrite: bool, as_json: bool, as_latex: bool,
            **given: Any) -> None:  # fmt: skip
    """Measure what surprisal adds to a regression of reading times.

    \b
    rnnlm reading simulated -m demo --plot reading.png
    rnnlm reading times.csv -m kn -m lstm --response log
    rnnlm reading times.csv -m my-lstm --frequency-from SUBTLEX.txt -o words.csv
    rnnlm reading times.csv --orders 1-5 --counts counts

    TABLE has a row for each word and subject, with the columns word, time (ms), item, and where
    there are some subject, condition, sentence and word number; "simulated" is a bundled table of
    made-up times. Columns are found by their usual names, or named.

    Two regressions are compared on items that are held out: the baseline, and the baseline with
    the surprisals of the word and of the two words before. Response and predictors are centred by
    subject. Random effects are lme4's: -o writes the table for it.
    """
    options.refuse_if(as_json and as_latex, "--json and --latex cannot be combined.")
    written = [path for path in (output, plot) if path is not None]
    check_apart(written, [table])
    options.check_plot(plot, overwrite)
    if output is not None:
        form = "xlsx" if is_workbook(output) else str(tables.kind_of(str(output)))
        reader = READERS.get(form)
        options.refuse_if(not reader, "the name after -o must end in .csv, .tsv or .xlsx.")
        options.own_file(output, overwrite)
    settings = options.settings_of(ReadingSettings, given)
    if model_names or settings.orders is None:
        model_names = options.chosen_models(model_names, [{"text"}])

    from rnnlm.tools.reading.analysis import analyse

    with terminal.Progress() as progress:
        models = options.load_models(model_names, device)
        analysis = analyse(models, table, settings, progress)
    if as_json:
        terminal.print_json(analysis.to_dict())
    elif as_latex:
        click.echo(analysis.to_latex())
    else:
        _show(analysis)
    if output is not None:
        analysis.save(output, overwrite=True)
        terminal.say(f"{len(analysis.words['model']):,} rows written to {output}")
        terminal.say(f"in R: library(lme4); words <- {reader}".format(output))
        one = "" if len(analysis.gains) == 1 else ", for one model at a time"
        terminal.say(
            f"with random effects{one} (coefficients are per standard deviation): {analysis.r_line}"
        )
    else:
        terminal.say("for random effects in R: -o words.csv writes the rows, and says how")
    if plot is not None:
        options.save_plot(analysis.plot(), plot)
    terminal.say(f"signature: {analysis.signature}")


def _show(analysis: Any) -> None:
    """Print the gains, the coefficients and the differences, and what was left out."""
    from rnnlm.tools.reading.gains import in_words

    gains = [
        {
            "model": gain.model,
            "perplexity": terminal.amount(gain.perplexity, ",.2f"),
            "gain (nats per row)": f"{gain.gain.estimate:+.5f}",
            "95 % interval": in_words(gain.gain),
            "p (gain > 0)": f"{gain.p:.2g}",
            "p (any effect)": f"{gain.p_any:.2g}",
            "in-sample": f"{gain.in_sample:.1f}",
            "R2 without": f"{gain.r2_baseline:.4f}",
            "R2 with": f"{gain.r2:.4f}",
        }
        for gain in analysis.gains
    ]
    differences = [
        {
            "models": f"{found.second} - {found.first}",
            "difference of gains": f"{found.difference.estimate:+.5f}",
            "95 % interval": in_words(found.difference),
            "p": f"{found.p:.2g}",
        }
        for found in analysis.differences
    ]
    terminal.print_table(terminal.Table.of_records(gains, left=["model"]))
    click.echo()
    terminal.print_table(analysis.coefficient_table())
    if differences:
        click.echo()
        terminal.print_table(terminal.Table.of_records(differences, left=["models"]))
    left_out = ", ".join(f"{why} {count:,}" for why, count in analysis.excluded.items())
    terminal.say(
        f"{analysis.rows_read:,} rows, of which {sum(analysis.excluded.values()):,} are left out"
        + (f": {left_out}" if left_out else "")
    )
    terminal.say(
        f"{analysis.rows:,} rows analysed, of {terminal.plural(analysis.subjects, 'subject')} and "
        f"{terminal.plural(analysis.items, analysis.items_are)}"
    )
