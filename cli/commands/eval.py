"""`rnnlm eval`: perplexity and its companions; of models of labels accuracy, of encoder-decoders
BLEU, and theirs."""

from pathlib import Path
from typing import Any

import click

from .. import options, terminal, translation_options
from ..options import Command, check_plot

_OF_LANGUAGE_MODELS = ("context", "kind", "settings")


@click.command(cls=Command)
@click.argument("text", nargs=-1, required=True)
@options.section(
    "Model",
    options.model_option,
    options.adapt_option,
    options.settings_option,
    options.device_option,
)
@options.section("Text", options.context_option, options.text_options)
@options.label_options
@options.confusion_options
@translation_options.pair_options
@translation_options.decoding_options
@translation_options.output_option
@options.section("Output", options.json_option)
def command(
    text: tuple[str, ...], model_name: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Evaluate a model on TEXT: perplexity, accuracy of labels, BLEU.

    \b
    rnnlm eval -m my-model test.txt
    rnnlm eval -m my-model test.txt --context reset     each line alone
    rnnlm eval -m my-model test.txt --adapt cache       adapting as it reads
    rnnlm eval -m my-tagger test.conllu                 accuracy, F1 of spans
    rnnlm eval -m my-tagger test.conllu --confusions 20 --plot matrix.svg
    rnnlm eval -m fra test.tsv --beam 5                 BLEU, chrF, exact match
    rnnlm eval -m fra test.en --target test.fr -o written.fr

    Every token is scored exactly once, in IEEE fp32.

    words, and with them ppl_word, are those of the text, split on white space, whatever the
    tokenizer takes for words (`rnnlm score` counts those of the tokenizer).

    With --adapt the model adapts itself to what it has read so far: the settings are those that
    `rnnlm tune` chose for it, else defaults, and --set changes them.

    Of a tagger or classifier TEXT holds gold labels too, of an encoder-decoder pairs, and is read
    as the training data were: the same format and columns, unless options say otherwise. The
    bundled corpora are named, and stand for their test part. Labels that training never saw count
    as wrong.

    An encoder-decoder decodes each source once, greedily unless --beam says otherwise; its figures
    are against the nearest of all references that the source has. Perplexity is that of the
    references given their sources.
    """
    from rnnlm.models.loading import task_of

    name = options.named(model_name)
    task = task_of(name)
    if translation_options.check_task(task, name, _OF_LANGUAGE_MODELS):
        evaluate = _evaluate_pairs
    elif options.check_task(task, name, _OF_LANGUAGE_MODELS, options.CONFUSION_OPTIONS):
        evaluate = _evaluate_labels
    else:
        evaluate = _evaluate_language_model
    evaluate(name, text, given, device, as_json)


def _evaluate_language_model(
    name: str, text: tuple[str, ...], given: dict[str, Any], device: str, as_json: bool
) -> None:
    """Perplexity. given: how the text is read, and how the model adapts itself."""
    corpus = options.corpus_of(text, options.text_flags(given))
    model = options.load_model(name, device, given["kind"], given["settings"])
    from rnnlm.evaluation.perplexity import evaluate

    result = evaluate(
        model, corpus, context=given["context"], progress=terminal.Progress()
    ).to_dict()
    terminal.print_json(result) if as_json else _show(result)


def _show(result: dict[str, Any]) -> None:
    notes = _notes(result)
    shown = result | {
        name: "yes" if result[name] else "no" for name in ("closed_vocabulary", "normalised")
    }
    rows = [
        [name, terminal.cell(value, 4) + notes.get(name, "")]
        for name, value in shown.items()
        if name != "signature"
    ]
    terminal.print_table(["measure", "value"], rows, right=["value"])
    click.echo(f"signature: {result['signature']}")


def _evaluate_labels(
    model_name: str, text: tuple[str, ...], given: dict[str, Any], device: str, as_json: bool
) -> None:
    """The figures of a tagger or classifier. given: how the data are read, and what is shown."""
    from .. import metrics

    plot: Path | None = given.pop("plot")
    overwrite, most = given.pop("overwrite"), given.pop("confusions")
    check_plot(plot, overwrite)
    from rnnlm.tasks.labels.evaluation import evaluate

    found = evaluate(model_name, text, device=device, **options.take_label_options(given))
    if plot:
        metrics.draw(found, plot, overwrite)
    if as_json:
        terminal.print_json(metrics.as_json(found, metrics.MOST if most is None else most))
    else:
        metrics.show_label_evaluation(found, most)


def _evaluate_pairs(
    model_name: str, text: tuple[str, ...], given: dict[str, Any], device: str, as_json: bool
) -> None:
    """The figures of an encoder-decoder. given: how the data are read and decoded, and where what
    it writes goes."""
    from ..metrics import show_translation_evaluation

    asked, output = translation_options.take(given), given["output"]
    options.refuse_if(
        output and not asked["decode"],
        "--no-decode: nothing is written, and -o has nothing to take.",
    )
    options.refuse_if(
        output == options.STANDARD_OUTPUT, "standard output takes the figures: name a FILE with -o."
    )
    options.check_output(output, given["overwrite"], None)
    from rnnlm.tasks.seq2seq.evaluation import evaluate

    found = evaluate(model_name, text, device=device, **asked)
    if output:
        options.put((f"{line}\n" for line in found.written.lines), output)
        terminal.say(f"saved in {output}")
    terminal.print_json(found.to_dict()) if as_json else show_translation_evaluation(found)


def _notes(result: dict[str, Any]) -> dict[str, str]:
    """What a reader must know about a figure, beside it."""
    notes = {"words": " (split on white space)"}
    if result["closed_vocabulary"]:
        notes["ppl_word"] = notes["ppl_word_no_oov"] = " (closed vocabulary)"
    if result["zero_probability_tokens"]:
        notes["ppl_token"] = " (a token has probability zero)"
    if not result["normalised"]:
        notes["ppl_token"] = notes.get("ppl_token", "") + " (not normalised)"
    return notes
