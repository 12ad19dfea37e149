"""`rnnlm score --pairs`: read the request, print accuracies, write the files."""

import json
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from rnnlm.cli import terminal
from rnnlm.cli.options import (
    STANDARD_OUTPUT,
    chosen_models,
    load_models,
    one_on_stdout,
    own_file,
    refuse_if,
)
from rnnlm.errors import RnnlmWarning, notice
from rnnlm.evaluation import plotting
from rnnlm.storage.files.outputs import check_apart, save_file
from rnnlm.system import keep_freed
from rnnlm.tools.pairs.accuracy import (
    AccuracyDifference,
    PairAccuracy,
    PairScores,
    accuracy_figure,
    record_of,
    score_set,
    signature_of_set,
)
from rnnlm.tools.pairs.pair import TestSet, files_of, read_pairs

Scores = dict[str, PairScores]  # by model
Accuracies = Mapping[str, Sequence[PairAccuracy]]


@dataclass(frozen=True)
class PairsRequest:
    """The treatment of pairs, and how the file and its sentences are read."""

    source: str
    scoring: str | None
    details: Path | None
    plot: Path | None
    special_symbols: str
    encoding_errors: str
    strip: bool
    eos: bool
    as_json: bool
    overwrite: bool

    @property
    def outputs(self) -> list[Path]:
        """The files to write."""
        return [path for path in (self.details, self.plot) if path]


# Options of `rnnlm score` that go with --pairs.
_BESIDE = {"model_names", "pairs_source", "pairs_scoring", "output", "plot", "overwrite",
           "special_symbols", "encoding_errors", "strip",
           "device", "eos", "as_json"}  # fmt: skip


def score_pairs(source: str, **given: Any) -> None:
    """Do what `rnnlm score` does with `--pairs`. All that can be wrong is found before a model is
    loaded."""
    request = _pairs_request(source, given)
    names = chosen_models(given["model_names"], [{"text"}])
    keep_freed()  # each part of the sentences takes the memory of the one before
    show_pairs(load_models(names, given["device"]), request)


def _pairs_request(source: str, given: Mapping[str, Any]) -> PairsRequest:
    """Return what is asked for. given: other options of the command."""
    _refuse_others()
    output = given["output"]
    refuse_if(
        output is not None and output != STANDARD_OUTPUT and output.suffix.lower() != ".jsonl",
        "with --pairs, the name after -o must end in .jsonl.",
    )
    request = PairsRequest(
        source=source,
        scoring=given["pairs_scoring"],
        details=output,
        plot=given["plot"],
        special_symbols=given["special_symbols"] or "error",
        encoding_errors=given["encoding_errors"] or "strict",
        strip=bool(given["strip"]),
        eos=given["eos"] is not False,
        as_json=given["as_json"],
        overwrite=given["overwrite"],
    )
    _check_files(request)
    return request


def _refuse_others() -> None:
    """Refuse options for scoring sentences: pairs would ignore them."""
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is ParameterSource.COMMANDLINE and parameter.name not in _BESIDE:
            if isinstance(parameter, click.Argument):
                raise click.UsageError("give either sentences or --pairs, not both.")
            raise click.UsageError(f"{parameter.opts[0]} cannot be used with --pairs.")


def show_pairs(models: dict[str, Any], request: PairsRequest) -> None:
    """Score the pairs of a file or folder with each model, print the accuracies, and write the
    files that the request names."""
    test_set = read_pairs(request.source, request.encoding_errors, request.strip)
    scores = _scores(models, test_set, request)
    accuracies = {name: model_scores.accuracies() for name, model_scores in scores.items()}
    if request.details:
        _write_details(request.details, scores)
    if request.plot:
        plotting.save(accuracy_figure(accuracies), request.plot)
    with one_on_stdout(request.outputs, request.as_json):
        _print(scores, accuracies, request.as_json)

    # The accuracies of a single model have its signature already.
    if len(models) > 1:
        signatures = {
            name: signature_of_set(model, test_set, request.scoring, request.eos)
            for name, model in models.items()
        }
        terminal.say_signatures(signatures)


def _print(scores: Scores, accuracies: Accuracies, as_json: bool) -> None:
    """Print the accuracies; of several models one below the other, then how each differs from the
    first."""
    if not as_json:
        _show(accuracies)
        if len(scores) > 1:
            click.echo()
            _show_differences(scores)
        return
    for name, groups in accuracies.items():
        of_model = {"model": name} if len(scores) > 1 else {}
        terminal.print_json(*(of_model | vars(group) for group in groups))
    for (first, second), differences in _differences(scores).items():
        compared = {"first": first, "second": second}
        terminal.print_json(*(compared | vars(group) for group in differences))


def _scores(models: dict[str, Any], test_set: TestSet, request: PairsRequest) -> Scores:
    """Return the scores of a set by each model. A notice that several models give is shown once,
    with the names of those models unless all give it."""
    scores, models_by_message = {}, defaultdict(list)
    for name, model in models.items():
        with warnings.catch_warnings(record=True, action="always") as caught:
            scores[name] = score_set(
                model, test_set, request.special_symbols, request.scoring, request.eos
            )
        ours = [warning for warning in caught if issubclass(warning.category, RnnlmWarning)]
        for message in dict.fromkeys(str(warning.message) for warning in ours):
            models_by_message[message].append(name)
    for message, names in models_by_message.items():
        if len(names) < len(models):
            message = f"{', '.join(names)}: {message}"
        notice(message)
    return scores


def _check_files(request: PairsRequest) -> None:
    """Make sure that the pairs are there and the files can be written, before time goes into
    scoring."""
    one_on_stdout(request.outputs, request.as_json)
    check_apart(request.outputs, files_of(request.source))
    for path in request.outputs:
        own_file(path, request.overwrite)
        # The next run would read a file in the folder of the pairs as pairs.
        is_inside = Path(request.source).is_dir() and path.parent.samefile(request.source)
        refuse_if(
            is_inside, f"{path} would be among the files that --pairs reads: choose another folder."
        )
    if request.plot:
        plotting.check_path(request.plot)


def _write_details(path: Path, scores: Scores) -> None:
    def lines() -> Iterator[bytes]:
        # One record a pair and model: for all models, then for the next pair.
        for of_pair in zip(*scores.values(), strict=True):
            for name, score in zip(scores, of_pair, strict=True):
                of_model = {"model": name} if len(scores) > 1 else {}
                record = of_model | record_of(score)
                line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
                yield line.encode("utf-8", "backslashreplace")  # names of files may not be UTF-8

    save_file(path, lines())


def _show(accuracies: Accuracies) -> None:
    columns = [
        "by",
        "group",
        "pairs",
        "accuracy",
        "95 % interval",
        "ties",
        "with unknown words",
        "accuracy without",
        "margin bits",
    ]
    rows = []
    for name, groups in accuracies.items():
        for accuracy in groups:
            unknown = accuracy.oov_pairs / accuracy.pairs if accuracy.pairs else None
            row = [
                accuracy.by,
                str(accuracy.group),
                f"{accuracy.pairs:,}",
                terminal.amount(accuracy.accuracy, ".1%"),
                terminal.bounds(accuracy.low, accuracy.high, ".1%"),
                f"{accuracy.ties:,}",
                terminal.amount(unknown, ".1%"),
                terminal.amount(accuracy.known_accuracy, ".1%"),
                terminal.amount(accuracy.margin_bits, ".2f"),
            ]
            rows.append([name, *row] if len(accuracies) > 1 else row)
    shown = ["model", *columns] if len(accuracies) > 1 else columns
    terminal.print_table(terminal.Table(shown, rows, right=columns[2:]))


def _show_differences(scores: Scores) -> None:
    columns = ["difference", "by", "group", "pairs", "accuracy", "95 % interval", "p"]
    rows = []
    for (first, second), differences in _differences(scores).items():
        for difference in differences:
            numbers = [
                f"{difference.pairs:,}",
                terminal.amount(difference.difference, "+.1%"),
                terminal.bounds(difference.low, difference.high, "+.1%"),
                terminal.amount(difference.p, ".4f"),
            ]
            rows.append([f"{second} - {first}", difference.by, str(difference.group), *numbers])
    terminal.print_table(terminal.Table(columns, rows, right=columns[3:]))


def _differences(scores: Scores) -> dict[tuple[str, str], list[AccuracyDifference]]:
    """Return how each model differs from the first, group by group, by the names of the two."""
    first, *others = scores
    return {(first, later): scores[first].differences(scores[later]) for later in others}
