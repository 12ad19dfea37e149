"""`rnnlm rescore`: reorder n-best lists with language models and encoder-decoders, and count word
errors before and after."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, options_of, section
from rnnlm.cli.options import (
    DEFAULT_MODEL,
    STANDARD_OUTPUT,
    chosen_models,
    device_option,
    json_option,
    one_on_stdout,
    overwrite_option,
    own_file,
    refuse_if,
    settings_of,
    several_models_option,
)
from rnnlm.errors import UsageError
from rnnlm.tools.rescoring.settings import FORMATS, ListSettings, RescoreSettings, TextMapping

if TYPE_CHECKING:
    from rnnlm.tools.rescoring.features import Weights
    from rnnlm.tools.rescoring.nbest import Utterance
    from rnnlm.tools.rescoring.rescorer import Gain, Rates, Rescored, Stage, WordErrorRate

_OUTPUT = click.Path(path_type=Path, dir_okay=False)
list_options = section(
    "List format",
    options_of(
        ListSettings,
        "format",
        declared=["--input-format"],
        type=click.Choice(FORMATS),
    ),
    click.option("--ref", "references", multiple=True, metavar="FILE",
                 help="File of references, one `utt words...` per line, or for moses and srilm "
                      "one text per utterance; may be repeated."),
    click.option("--sources", multiple=True, metavar="FILE",
                 help="File of the sources of translations, one `utt words...` per line; may be "
                      "repeated."),
    click.option("--scores", "score_files", multiple=True, metavar="[NAME=][FACTOR*]FILE",
                 help="Scores of a Kaldi list: a file of `utt-N number`, by its path or its name "
                      "beside the list. The scores of several files add up; with NAME=, they are "
                      "a further score, whose weight is tuned."),
)  # fmt: skip
rare_list_options = section(
    "List format",
    options_of(ListSettings, "beam_size", "costs", "skip_incomplete", "encoding_errors"),
    rare=True,
)
rates_options = section(
    "Error rates", options_of(ListSettings, "group_by"), options_of(RescoreSettings, "cer")
)
mapping_options = section("Text", options_of(TextMapping, "lowercase", "remove_punctuation"))
rare_mapping_options = section(
    "Text", options_of(TextMapping, "normalise_wer", "special_symbols"), rare=True
)
tuning_options = section(
    "Weights",
    click.option("--no-words", is_flag=True, help="Do not use the number of words."),
    click.option("--no-oov", is_flag=True,
                 help="Do not use the number of words unknown to a model."),
    options_of(RescoreSettings, "seed"),
    rare=True,
)  # fmt: skip


@click.command(cls=Command, needs={"weights_file": ["apply_to"]})
@section(
    "Models and lists",
    several_models_option("A language model, or an encoder-decoder for translations; may be "
                          f"repeated. {DEFAULT_MODEL}"),
    click.option("--tune", "tune_on", metavar="LIST",
                 help="Tune the weights on this list, which must have references."),
    click.option("--apply", "apply_to", metavar="LIST",
                 help="Rescore this list.  [default: the list of --tune]"),
    click.option("--weights", "weights_file", metavar="FILE",
                 help="Use the weights of an earlier run instead of tuning."),
    click.option("--split", type=click.Choice(["even-odd"]),
                 help="Tune on the even utterances of --tune (counted from 0) and apply to the "
                      "odd ones."),
    device_option,
)  # fmt: skip
@mapping_options
@rare_mapping_options
@tuning_options
@list_options
@rare_list_options
@rates_options
@section(
    "Output",
    click.option(
        "-o",
        "--output",
        type=_OUTPUT,
        metavar="FILE",
        help="Write the new 1-best hypotheses, one `utt words...` per line; - is standard output.",
    ),
    click.option(
        "--nbest-output",
        type=_OUTPUT,
        metavar="FILE",
        help="Write the reordered list, as JSON Lines with all features or as .tsv; - is "
        "standard output.",
    ),
    click.option(
        "--weights-output",
        type=_OUTPUT,
        metavar="FILE.json",
        help="Write the weights; - is standard output.",
    ),
    overwrite_option("Replace existing files."),
    json_option,
)
def command(
    model_names: tuple[str, ...], weights_file: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Reorder n-best lists with language models, and show the WER before and after.

    \b
    rnnlm rescore --tune dev.tsv --apply test.tsv -m kn --weights-output w.json
    rnnlm rescore --weights w.json --apply test.tsv -m kn --output best.txt
    rnnlm rescore --tune list.tsv --split even-odd -m kn -m lstm

    The score of a hypothesis is its first-pass score + weights * (log-probability under each model
    in nats, number of words, number of words unknown to each model, further scores of the first
    pass). Tuning minimises the WER by
    exact line search (Och 2003) and takes the middle of the best interval; weights of models are
    never negative. An encoder-decoder gives log p(hypothesis | source). The 1-best is the first
    hypothesis of a list. 95 % intervals and p-values are over utterances. A run that is cut off
    starts again.

    \b
    tsv     utt TAB rank TAB score TAB text; a reference has rank REF, no score,
            and a source has rank SRC; a header may name further scores
    json    {"utt", "source", "ref", "hypotheses": [{"text", "score", "scores":
            {"am": ..., "lm": ...}}]}: lines, or one array
    kaldi   a text of `utt-N words...`, or its folder; scores or ac_cost, and ref
    espnet  a folder with 1best_recog, 2best_recog, ... in it or below it
    nemo    text TAB score; --beam-size or blank lines separate the utterances,
            which are numbered from 1
    moses   utt ||| text ||| NAME= numbers ... ||| total; utterances from 0
    srilm   am lm words text: a file, or a folder of files named by utterance
    """
    from rnnlm.lm.base.loading import scoring_model_of

    # Refuse options that contradict each other.
    split, apply_to = given["split"], given["apply_to"]
    refuse_if(
        bool(given["tune_on"]) == bool(weights_file), "give either --tune LIST or --weights FILE."
    )
    refuse_if(
        split and (weights_file or apply_to),
        "--split divides the list of --tune: leave out --apply and --weights.",
    )
    is_tuning = any(given[name] for name in ("no_words", "no_oov", "weights_output"))
    refuse_if(
        weights_file and is_tuning,
        "--weights gives fixed weights: leave out --no-words, --no-oov and --weights-output.",
    )

    outputs = _outputs(given, weights_file)
    for path in outputs.values():
        own_file(path, given["overwrite"])
    results_apart = one_on_stdout(outputs.values(), as_json)

    # A model that is named twice counts once.
    names = dict.fromkeys(chosen_models(model_names, [{"text"}]))
    models = {name: scoring_model_of(name, device) for name in names}
    stages: list[Stage] = []
    weights: Weights | None
    if weights_file:
        weights, rescored = _applied(weights_file, models, given)
    else:
        stages, rescored = _tuned(models, given)
        weights = stages[-1].weights
    _save(outputs, rescored, weights)
    with results_apart:
        if as_json:
            print_record(stages, rescored, weights)
        else:
            print_tables(stages, rescored, weights)
    _say_written(outputs, len(rescored.utterances))


def _outputs(given: dict[str, Any], weights_file: str | None) -> dict[str, Path]:
    """Return the files to write, by option; refuse one that is read, too."""
    from rnnlm.storage.files.outputs import check_apart

    names = ("output", "nbest_output", "weights_output")
    outputs = {name: given[name] for name in names if given[name]}
    lists = (given["tune_on"], given["apply_to"], weights_file)
    check_apart(outputs.values(), [*filter(None, lists), *given["references"], *given["sources"]])
    return outputs


def _read(source: str, given: dict[str, Any]) -> "list[Utterance]":
    from rnnlm.tools.rescoring.files import check_names, read_nbest

    utterances = read_nbest(
        source,
        settings_of(ListSettings, given),
        score_files=given["score_files"],
        references=given["references"],
        sources=given["sources"],
    )
    if given["output"]:
        check_names(utterances)
    return utterances


def _say_written(outputs: dict[str, Path], utterances: int) -> None:
    """Print where results were written, the last lines of a log."""
    for name, path in outputs.items():
        if path != STANDARD_OUTPUT:
            is_of_weights = name == "weights_output"
            what = "weights" if is_of_weights else terminal.plural(utterances, "utterance")
            terminal.say(f"{what} written to {path}")


def _applied(
    weights_file: str, models: dict[str, Any], given: dict[str, Any]
) -> "tuple[Weights, Rescored]":
    """Return the weights in the file, and the list rescored with them."""
    from rnnlm.tools.rescoring.features import read_weights
    from rnnlm.tools.rescoring.rescorer import rescore

    # The weights say how the text is read; refuse options that say otherwise.
    weights = read_weights(weights_file)
    if settings_of(TextMapping, given) not in (TextMapping(), weights.mapping):
        raise UsageError(
            f"the text options differ from those with which {weights_file} was tuned",
            "weights need text that is read as in tuning",
            "leave them out, or tune again",
        )
    utterances = _read(given["apply_to"], given)
    seed = 1 if given["seed"] is None else given["seed"]
    return weights, rescore(
        utterances, models, weights, seed=seed, cer=bool(given["cer"]), report=terminal.Progress()
    )


def _tuning(given: dict[str, Any]) -> RescoreSettings:
    return replace(
        settings_of(RescoreSettings, given),
        mapping=settings_of(TextMapping, given),
        words=not given["no_words"],
        oov=not given["no_oov"],
    )


def _tuned(models: dict[str, Any], given: dict[str, Any]) -> "tuple[list[Stage], Rescored]":
    """Tune weights and rescore with them. Return the stages, and the result of the last one."""
    from rnnlm.tools.rescoring.nbest import even_and_odd
    from rnnlm.tools.rescoring.rescorer import tune_and_rescore

    # The list to tune on, and the one to rescore.
    tune_on = _read(given["tune_on"], given)
    apply_to = _read(given["apply_to"], given) if given["apply_to"] else tune_on
    if given["split"]:
        tune_on, apply_to = even_and_odd(tune_on)

    stages = tune_and_rescore(tune_on, apply_to, models, _tuning(given), report=terminal.Progress())
    return stages, stages[-1].rescored


def _save(outputs: dict[str, Path], rescored: "Rescored", weights: "Weights | None") -> None:
    from rnnlm.tools.rescoring.features import save_weights
    from rnnlm.tools.rescoring.files import save_best, save_nbest

    for name, path in outputs.items():
        if name == "output":
            save_best(rescored, path)
        elif name == "nbest_output":
            save_nbest(rescored, path)
        elif weights is not None:
            save_weights(weights, path)


# ---- The output of `rnnlm rescore`.

_COLUMNS = [
    "",
    "WER %",
    "CER %",
    "95 % interval",
    "substitutions",
    "deletions",
    "insertions",
    "words",
    "gain",
    "p",
]


def print_tables(stages: "list[Stage]", rescored: "Rescored", weights: "Weights | None") -> None:
    """Print word-error rates, then weights, for people."""
    rates = rescored.rates
    if rates:
        rows = [_row("1-best", rates.first, None)]
        for stage in stages:
            if stage.rescored.rates:
                name = "with " + " + ".join(stage.models)
                rows.append(_row(name, stage.rescored.rates.rescored, stage.gain))
        if len(rows) == 1:
            rows.append(_row("rescored", rates.rescored, rates.gain))
        rows.append(_row("oracle", rates.oracle, None))
        columns = [name for name in _COLUMNS if name != "CER %" or rates.first.cer is not None]
        terminal.print_table(terminal.Table(columns, rows, right=columns[1:]))
        groups = rescored.groups
        if groups:
            click.echo()
            terminal.print_table(_group_table(groups))
    else:
        terminal.say("no references: the list is rescored, but there is no WER")

    if weights:
        from rnnlm.tools.rescoring.features import OOV

        if rates:
            click.echo(f"signature: {weights.mapping.signature}")
        rows = [["first pass", "1"]] if "score" in weights.scores else []
        has_one_count = sum(name.startswith(OOV) for name in weights.weights) == 1
        for name, value in weights.weights.items():
            if name.startswith(OOV) and has_one_count and len(weights.models) > 1:
                name = "oov, shared"
            rows.append([name, f"{value:z.4f}"])
        terminal.print_table(terminal.Table(["feature", "weight"], rows, right=["weight"]))

        # Weights of a file were tuned by an earlier run, which said so.
        tuned = weights.tuned
        if tuned and stages:
            words = max(1, tuned.words)
            terminal.say(
                f"tuned on {terminal.plural(tuned.utterances, 'utterance')}, "
                f"{terminal.plural(tuned.words, 'word')}: WER "
                f"{tuned.errors_before / words:.2%} before, {tuned.errors_after / words:.2%} after"
            )


def print_record(stages: "list[Stage]", rescored: "Rescored", weights: "Weights | None") -> None:
    """Print word-error rates and weights as one JSON object."""
    from rnnlm.tabular import to_builtins

    # Without references there are no rates, in any stage.
    rates = rescored.rates
    record: dict[str, Any] = {"utterances": len(rescored.utterances)}
    for name in ("first", "rescored", "oracle"):
        record[name] = _rate(getattr(rates, name)) if rates else None
    record["gain"] = rates.gain if rates else None
    groups = rescored.groups
    if groups:
        record["groups"] = [
            {
                "group": group,
                "first": _rate(of_group.first),
                "rescored": _rate(of_group.rescored),
                "gain": of_group.gain,
            }
            for group, of_group in groups.items()
        ]
    record["stages"] = [
        {
            "models": stage.models,
            "rescored": _rate(stage.rescored.rates.rescored) if stage.rescored.rates else None,
            "gain": stage.gain,
            "weights": stage.weights.weights,
        }
        for stage in stages
    ]
    # The hashes of the utterances are for later runs.
    record["weights"] = to_builtins(weights)
    if weights and weights.tuned:
        del record["weights"]["tuned"]["hashes"]
    terminal.print_json(record)


def _rate(rate: "WordErrorRate") -> dict[str, Any]:
    return {**vars(rate), "errors": rate.errors}


def _group_table(groups: "dict[str | None, Rates]") -> terminal.Table:
    records = []
    for group, rates in groups.items():
        record = {"group": group or "-", "utterances": f"{rates.first.utterances:,}"}
        for name, rate in (("1-best", rates.first), ("rescored", rates.rescored)):
            record[f"{name} WER %"] = terminal.amount(rate.wer, unit="share")
            if rate.cer is not None:
                record[f"{name} CER %"] = terminal.amount(rate.cer, unit="share")
            record[f"{name} 95 %"] = _bounds(rate)
        records.append(record | {"p": f"{rates.gain.p_value:.4f}"})
    return terminal.Table.of_records(records, left=["group"])


def _bounds(rate: "WordErrorRate") -> str:
    if rate.interval is None:
        return "-"
    return rate.interval.written(lambda bound: terminal.amount(bound, unit="share"))


def _row(name: str, rate: "WordErrorRate", gain: "Gain | None") -> list[str]:
    gained = p_value = ""
    if gain:
        gained = terminal.amount(gain.interval.estimate if gain.interval else None, unit="share")
        p_value = f"{gain.p_value:.4f}"
    return [
        name,
        terminal.amount(rate.wer, unit="share"),
        *([] if rate.cer is None else [terminal.amount(rate.cer, unit="share")]),
        _bounds(rate),
        f"{rate.substitutions:,}",
        f"{rate.deletions:,}",
        f"{rate.insertions:,}",
        f"{rate.words:,}",
        gained,
        p_value,
    ]
