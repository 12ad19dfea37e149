"""`rnnlm eval`: perplexity and its companions; of models of labels accuracy, of encoder-decoders
BLEU, and theirs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import options, terminal, translation_options
from ..options import Command, check_plot

if TYPE_CHECKING:
    from rnnlm.evaluation.metrics import Evaluation

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

    from ..metrics import show_evaluation

    name, confusions = options.named(model_name), given["confusions"]
    task = task_of(name)
    if translation_options.check_task(task, name, _OF_LANGUAGE_MODELS):
        evaluate = _evaluate_pairs
    elif options.check_task(task, name, _OF_LANGUAGE_MODELS, options.CONFUSION_OPTIONS):
        evaluate = _evaluate_labels
    else:
        evaluate = _evaluate_language_model
    found = evaluate(name, text, given, device)
    if as_json:
        terminal.print_json(found.with_details(confusions))
    else:
        show_evaluation(found, confusions)


def _evaluate_language_model(
    name: str, text: tuple[str, ...], given: dict[str, Any], device: str
) -> "Evaluation":
    """given: how the text is read, and how the model adapts itself."""
    corpus = options.corpus_of(text, options.text_flags(given))
    model = options.load_model(name, device, given["kind"], given["settings"])
    from rnnlm.evaluation.perplexity import evaluate

    return evaluate(model, corpus, context=given["context"], progress=terminal.Progress())


def _evaluate_labels(
    name: str, text: tuple[str, ...], given: dict[str, Any], device: str
) -> "Evaluation":
    """given: how the data are read, and where confusions are drawn."""
    from .. import metrics

    plot: Path | None = given.pop("plot")
    overwrite = given.pop("overwrite")
    given.pop("confusions")
    check_plot(plot, overwrite)
    from rnnlm.tasks.labels.evaluation import evaluate

    found = evaluate(name, text, device=device, **options.take_label_options(given))
    if plot:
        metrics.draw(found, plot, overwrite)
    return found


def _evaluate_pairs(
    name: str, text: tuple[str, ...], given: dict[str, Any], device: str
) -> "Evaluation":
    """given: how the data are read and decoded, and where what it writes goes."""
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

    found = evaluate(name, text, device=device, **asked)
    if output and found.written is not None:
        options.put((f"{line}\n" for line in found.written.lines), output)
        terminal.say(f"saved in {output}")
    return found
