"""What `rnnlm score --pairs` reads, prints and writes."""

import json
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rnnlm.errors import RnnlmWarning, notice

from . import terminal
from .metrics import Cell, own, print_columns, shared
from .options import PATH, one_on_stdout, refuse_if, section

if TYPE_CHECKING:
    from rnnlm.scoring.pairs.accuracy import AccuracyDifference, PairAccuracy, TestSet
    from rnnlm.scoring.pairs.scoring import PairScore
    from rnnlm.scoring.pairs.suites import PredictionScore

    Scores = dict[str, list[PairScore | PredictionScore]]  # by model
    Accuracies = dict[str, list[PairAccuracy]]

pairs_options = section(
    "Minimal pairs",
    click.option("--pairs", "pairs_source", metavar="FILE|FOLDER",
                 help="Accuracy on minimal pairs: BLiMP, columns good and bad, agreement "
                      "templates, Winograd schemas, SyntaxGym suites."),
    click.option("--pairs-scoring", type=click.Choice(["full", "partial", "word"]),
                 help="Compare whole sentences; what follows the part that differs; or that part "
                      "itself, after the same beginning.  "
                      "[default: word for agreement templates, partial for Winograd schemas, else "
                      "full]"),
    click.option("--pairs-details", type=PATH, metavar="FILE.jsonl",
                 help="Write one record a pair, JSON-lines; - is standard output."),
    click.option("--plot", type=PATH, metavar="FILE.svg",
                 help="Plot surprisal by word, with or without --words; with --pairs, accuracy by "
                      "distance and attractors, or by kind. "
                      "Several models are drawn side by side; .svg, .png or .pdf."),
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


_BESIDE = {"model_names", "pairs_source", "pairs_scoring", "pairs_details", "plot", "overwrite",
           "special_symbols", "encoding_errors",
           "delimiter", "device", "as_json"}  # fmt: skip


def take_request(given: dict[str, Any], as_json: bool, overwrite: bool) -> PairsRequest | None:
    """Takes the values of `pairs_options` out of `given`; None where no pairs are named."""
    source, scoring = given.pop("pairs_source"), given.pop("pairs_scoring")
    details, plot = given.pop("pairs_details"), given["plot"]
    if source is None:
        refuse_if(scoring or details, "--pairs-scoring and --pairs-details are for --pairs.")
        return None
    _refuse_others()
    refuse_if(
        overwrite and not (details or plot),
        "--overwrite is about a file: name it with --pairs-details or --plot.",
    )
    policy, errors = given["special_symbols"] or "error", given["encoding_errors"] or "strict"
    request = PairsRequest(
        source, scoring, details, plot, policy, errors, given["delimiter"], as_json, overwrite
    )
    _check_files(request)  # before a model is loaded
    return request


def _refuse_others() -> None:
    """What scores sentences has no meaning for pairs, and would be ignored."""
    context = click.get_current_context()
    for parameter in context.command.params:
        asked = context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
        if asked and parameter.name not in _BESIDE:
            name = "a sentence" if isinstance(parameter, click.Argument) else parameter.opts[0]
            raise click.UsageError(
                f"{name} is not for --pairs; see --pairs-scoring and --pairs-details."
            )


def show_pairs(models: dict[str, Any], request: PairsRequest) -> None:
    """Score the pairs of a file or folder with each model, print their accuracies, write what else
    is asked for."""
    from rnnlm.scoring.pairs.accuracy import pair_accuracies, signature_of_set
    from rnnlm.scoring.pairs.files import read_pairs

    test_set = read_pairs(request.source, request.encoding_errors, request.delimiter)
    scores = _scores(models, test_set, request)
    accuracies = {name: pair_accuracies(its) for name, its in scores.items()}
    if request.details:
        _write_details(request.details, scores)
    if request.plot:
        from rnnlm.evaluation import plotting
        from rnnlm.scoring.pairs.accuracy import accuracy_figure

        plotting.save(accuracy_figure(accuracies), request.plot)
    with one_on_stdout(request.outputs, request.as_json):
        _print(scores, accuracies, request.as_json)
    if len(models) > 1:
        terminal.say_signatures(
            {
                name: signature_of_set(model, test_set, request.scoring)
                for name, model in models.items()
            }
        )


def _print(scores: "Scores", accuracies: "Accuracies", as_json: bool) -> None:
    if len(scores) > 1:
        (print_records if as_json else print_tables)(scores, accuracies)
        return
    (only,) = accuracies.values()
    if as_json:
        terminal.print_json(*map(asdict, only))
    else:
        _show(only)


def _scores(models: dict[str, Any], test_set: "TestSet", request: PairsRequest) -> "Scores":
    """The scores of a set by each model. What is to be said of them is said once, with the models
    that it is about, unless of all."""
    from rnnlm.scoring.pairs.accuracy import score_set

    scores, said = {}, defaultdict(list)
    for name, model in models.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scores[name] = score_set(model, test_set, request.special_symbols, request.scoring)
        for message in dict.fromkeys(
            str(each.message) for each in caught if issubclass(each.category, RnnlmWarning)
        ):
            said[message].append(name)
    for message, names in said.items():
        notice(message if len(names) == len(models) else f"{', '.join(names)}: {message}")
    return scores


def _check_files(request: PairsRequest) -> None:
    """Make sure that the pairs are there and the files asked for can be written, before time goes
    into scoring."""
    from rnnlm.evaluation import plotting
    from rnnlm.files.outputs import check_apart, check_file
    from rnnlm.scoring.pairs.files import files_of

    one_on_stdout(request.outputs, request.as_json)
    check_apart(request.outputs, files_of(request.source))
    for path in request.outputs:
        check_file(path, request.overwrite)
        is_inside = Path(request.source).is_dir() and path.parent.samefile(request.source)
        refuse_if(is_inside, f"{path} would be among what --pairs reads: choose another folder.")
    if request.plot:
        plotting.check_path(request.plot)


def _write_details(path: Path, scores: "Scores") -> None:
    from rnnlm.files.outputs import save_file
    from rnnlm.scoring.pairs.accuracy import record_of, record_of_models

    if len(scores) == 1:
        records = (record_of(score) for its in scores.values() for score in its)
    else:
        records = (
            record_of_models(dict(zip(scores, each, strict=True)))
            for each in zip(*scores.values(), strict=True)
        )
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    # names of files may be no UTF-8
    save_file(path, (line.encode("utf-8", "backslashreplace") for line in lines))


def _show(accuracies: "Sequence[PairAccuracy]") -> None:
    columns = [
        "by",
        "group",
        "pairs",
        "accuracy",
        "95 % interval",
        "ties",
        "with unknown words",
        "accuracy without",
    ]
    rows = []
    for each in accuracies:
        accuracy, unknown, known = (
            share(value) for value in (each.accuracy, unknown_share(each), each.known_accuracy)
        )
        rows.append(
            [
                each.by,
                str(each.group),
                f"{each.pairs:,}",
                accuracy,
                interval(each),
                f"{each.ties:,}",
                unknown,
                known,
            ]
        )
    terminal.print_table(columns, rows, right=columns[2:])


def share(value: float | None) -> str:
    """A share as a percentage."""
    return terminal.cell(value, ".1%")


def interval(accuracy: "PairAccuracy") -> str:
    """The bounds of an accuracy's interval."""
    if accuracy.low is None or accuracy.high is None:
        return "-"
    return f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}"


def unknown_share(accuracy: "PairAccuracy") -> float | None:
    """The share of the pairs of a group that hold an unknown word."""
    return accuracy.oov_pairs / accuracy.pairs if accuracy.pairs else None


# ---- What `rnnlm score --pairs` prints of several models: their accuracies side by side, and how
# each differs from the first.

_SHARED: dict[str, Cell] = {
    "pairs": lambda each: f"{each.pairs:,}", "ties": lambda each: f"{each.ties:,}",
    "with unknown words": lambda each: share(unknown_share(each)),
}  # fmt: skip
_OWN: dict[str, Cell] = {"accuracy": lambda each: share(each.accuracy), "95 % interval": interval}
_WITHOUT: dict[str, Cell] = {"accuracy without": lambda each: share(each.known_accuracy)}


def print_records(scores: "Scores", accuracies: "Accuracies") -> None:
    """A line of JSON for each group: what each model gets, and how each differs from the first."""
    differences = _differences(scores)
    for number, group in enumerate(zip(*accuracies.values(), strict=True)):
        of_model = {name: _without_group(each) for name, each in zip(scores, group, strict=True)}
        differing = [
            {"first": first, "second": other, **_without_group(its[number])}
            for (first, other), its in differences.items()
        ]
        terminal.print_json(
            {
                "by": group[0].by,
                "group": group[0].group,
                "models": of_model,
                "differences": differing,
            }
        )


def print_tables(scores: "Scores", accuracies: "Accuracies") -> None:
    """A row for each group with the columns of each model; a row for each group and model less the
    first."""
    has_unknown = any(each.oov_pairs for its in accuracies.values() for each in its)
    groups = next(iter(accuracies.values()))
    columns = {"by": [each.by for each in groups], "group": [str(each.group) for each in groups]}
    columns |= shared(_SHARED, accuracies) | own(
        _OWN | (_WITHOUT if has_unknown else {}), accuracies
    )
    print_columns(columns, left=("by", "group"))
    click.echo()
    _print_differences(scores)


def _print_differences(scores: "Scores") -> None:
    columns = ["difference", "by", "group", "pairs", "accuracy", "95 % interval", "p"]
    rows = []
    for (first, second), its in _differences(scores).items():
        for each in its:
            bounds = "-"
            if each.low is not None and each.high is not None:
                bounds = f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
            figures = [
                f"{each.pairs:,}",
                terminal.cell(each.difference, "+.1%"),
                bounds,
                terminal.cell(each.p, ".4f"),
            ]
            rows.append([f"{second} - {first}", each.by, str(each.group), *figures])
    terminal.print_table(columns, rows, right=columns[3:])


def _differences(scores: "Scores") -> "dict[tuple[str, str], list[AccuracyDifference]]":
    """By the names of two models, how the second differs from the first, group by group."""
    from rnnlm.scoring.pairs.accuracy import accuracy_differences

    first, *others = scores
    return {(first, other): accuracy_differences(scores[first], scores[other]) for other in others}


def _without_group(figures: "PairAccuracy | AccuracyDifference") -> dict[str, Any]:
    return {name: value for name, value in asdict(figures).items() if name not in ("by", "group")}
