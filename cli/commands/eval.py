"""`rnnlm eval`: perplexity and its companions; of models of labels accuracy, of encoder-decoders
BLEU, and theirs."""

from typing import TYPE_CHECKING, Any, cast

import click

from .. import options, task_options, terminal, translation_options
from ..options import Command, check_plot

if TYPE_CHECKING:
    from rnnlm.evaluation.label_evaluation import LabelEvaluation
    from rnnlm.evaluation.pair_evaluation import PairEvaluation


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
@translation_options.written_option
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
    from rnnlm.models import registry
    from rnnlm.models.loading import task_of

    from .. import metrics

    # Options that other tasks have, and files that are in the way, are wrong usage.
    name, confusions = options.named(model_name), given["confusions"]
    plot, output, overwrite = given["plot"], given["output"], given["overwrite"]
    task = registry.task(task_of(name))
    task_options.check(task, name)
    options.refuse_if(
        output and given["no_decode"],
        "--no-decode: nothing is written, and -o has nothing to take.",
    )
    options.refuse_if(
        output == options.STANDARD_OUTPUT, "standard output takes the figures: name a FILE with -o."
    )
    options.refuse_if(
        overwrite and not (plot or output), "--overwrite is for a file: name it with --plot or -o."
    )
    check_plot(plot, overwrite and plot is not None)
    options.check_output(output, overwrite and output is not None, None)

    data = task_options.data_of(task, text, given)
    asked = task_options.options_of(task, given)
    model = options.load_model(name, device, given["kind"], given["settings"])
    found = task.evaluate(model, data, asked)

    if plot:
        metrics.draw(cast("LabelEvaluation", found), plot, overwrite)
    if output:
        written = cast("PairEvaluation", found).written
        if written is not None:
            options.put((f"{line}\n" for line in written.lines), output)
            terminal.say(f"saved in {output}")
    if as_json:
        terminal.print_json(found.with_details(confusions))
    else:
        metrics.show_evaluation(found, confusions)
