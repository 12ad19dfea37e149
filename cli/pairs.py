"""What `rnnlm score --pairs` reads, prints and writes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from . import terminal
from .options import PATH, one_on_stdout, refuse_if, section

pairs_options = section(
    "Minimal pairs",
    click.option("--pairs", "pairs_source", metavar="FILE|FOLDER",
                 help="Accuracy on minimal pairs: BLiMP, columns good and bad, agreement templates, Winograd schemas, SyntaxGym suites."),
    click.option("--pairs-scoring", type=click.Choice(["full", "partial", "word"]),
                 help="Compare whole sentences; what follows the part that differs; or that part itself, after the same beginning.  "
                      "[default: word for agreement templates, partial for Winograd schemas, else full]"),
    click.option("--pairs-details", type=PATH, metavar="FILE.jsonl", help="Write one record a pair, JSON-lines; - is standard output."),
    click.option("--plot", type=PATH, metavar="FILE.svg",
                 help="Plot accuracy by distance and attractors, or by kind; .svg, .png or .pdf."),
)  # fmt: skip


@dataclass(frozen=True)
class PairsRequest:
    """What is asked for about pairs, and how the file and its sentences are read."""

    source: str
    scoring: str | None
    details: Path | None
    plot: Path | None
    special_symbols: str
    encoding_errors: str
    delimiter: str | None
    as_json: bool
    overwrite: bool

    @property
    def outputs(self) -> list[Path]:
        """The files to write."""
        return list(filter(None, (self.details, self.plot)))


_BESIDE = {"model_name", "pairs_source", "pairs_scoring", "pairs_details", "plot", "overwrite", "special_symbols", "encoding_errors",
           "delimiter", "device", "as_json"}  # fmt: skip


def take_request(given: dict[str, Any], as_json: bool, overwrite: bool) -> PairsRequest | None:
    """Takes the values of `pairs_options` out of `given`; None where no pairs are named."""
    source, scoring = given.pop("pairs_source"), given.pop("pairs_scoring")
    details, plot = given.pop("pairs_details"), given.pop("plot")
    if source is None:
        refuse_if(scoring or details or plot, "--pairs-scoring, --pairs-details and --plot are for --pairs.")
        return None
    _refuse_others()
    refuse_if(overwrite and not (details or plot), "--overwrite is about a file: name it with --pairs-details or --plot.")
    policy, errors = given["special_symbols"] or "error", given["encoding_errors"] or "strict"
    request = PairsRequest(source, scoring, details, plot, policy, errors, given["delimiter"], as_json, overwrite)
    _check_files(request)  # before a model is loaded
    return request


def _refuse_others() -> None:
    """What scores sentences has no meaning for pairs, and would be ignored."""
    context = click.get_current_context()
    for parameter in context.command.params:
        asked = context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
        if asked and parameter.name not in _BESIDE:
            name = "a sentence" if isinstance(parameter, click.Argument) else parameter.opts[0]
            raise click.UsageError(f"{name} is not for --pairs; see --pairs-scoring and --pairs-details.")


def show_pairs(model: Any, request: PairsRequest) -> None:
    """Score the pairs of a file or folder, print their accuracies, write what else is asked for."""
    from rnnlm.scoring.pairs.accuracy import pair_accuracies, score_set
    from rnnlm.scoring.pairs.files import read_pairs

    test_set = read_pairs(request.source, request.encoding_errors, request.delimiter)
    scores = score_set(model, test_set, request.special_symbols, request.scoring)
    accuracies = pair_accuracies(scores)
    if request.details:
        _write_details(request.details, scores)
    if request.plot:
        from rnnlm.evaluation import plotting
        from rnnlm.scoring.pairs.plots import accuracy_figure

        plotting.save(accuracy_figure(accuracies), request.plot)
    if request.as_json:
        terminal.print_json(*map(asdict, accuracies))
        return
    with one_on_stdout(request.outputs, as_json=False):
        _show(accuracies)


def _check_files(request: PairsRequest) -> None:
    """Make sure that the pairs are there and the files asked for can be written, before time goes into scoring."""
    from rnnlm.evaluation import plotting
    from rnnlm.files.writing import check_apart, check_file
    from rnnlm.scoring.pairs.files import files_of

    one_on_stdout(request.outputs, request.as_json)
    check_apart(request.outputs, files_of(request.source))
    for path in request.outputs:
        check_file(path, request.overwrite)
        is_inside = Path(request.source).is_dir() and path.parent.samefile(request.source)
        refuse_if(is_inside, f"{path} would be among what --pairs reads: choose another folder.")
    if request.plot:
        plotting.check_path(request.plot)


def _write_details(path: Path, scores: Sequence[Any]) -> None:
    from rnnlm.files.writing import save_file
    from rnnlm.scoring.pairs.accuracy import record_of

    lines = (json.dumps(record_of(score), ensure_ascii=False, allow_nan=False) + "\n" for score in scores)
    save_file(path, (line.encode("utf-8", "backslashreplace") for line in lines))  # names of files may be no UTF-8


def _show(accuracies: Sequence[Any]) -> None:
    columns = ["by", "group", "pairs", "accuracy", "95 % interval", "ties", "with unknown words", "accuracy without"]
    rows = []
    for each in accuracies:
        interval = "-" if each.low is None else f"{100 * each.low:.1f} to {100 * each.high:.1f}"
        share = each.oov_pairs / each.pairs if each.pairs else None
        accuracy, unknown, known = (terminal.cell(value, ".1%") for value in (each.accuracy, share, each.known_accuracy))
        rows.append([each.by, str(each.group), f"{each.pairs:,}", accuracy, interval, f"{each.ties:,}", unknown, known])
    terminal.print_table(columns, rows, right=columns[2:])
