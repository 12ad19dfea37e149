"""`rnnlm eval`: perplexities of language models, accuracy and F1 of taggers and classifiers, BLEU
and chrF of encoder-decoders."""

from typing import TYPE_CHECKING, Any, cast

import click

from .. import options, terminal
from ..help_sections import Command, section
from ..tasks import task_options, translation_options

if TYPE_CHECKING:
    from rnnlm.tasks.labelling.evaluation.label_evaluation import LabelEvaluation
    from rnnlm.tasks.seq2seq.evaluation.pair_evaluation import PairEvaluation


@click.command(cls=Command)
@click.argument("text", nargs=-1, required=True)
@section("Model", options.model_option, options.device_option)
@section("Text", options.context_option, options.text_options)
@options.label_options
@options.confusion_options
@translation_options.pair_options
@translation_options.decoding_options
@translation_options.written_option
@section("Output", options.json_option)
def command(
    text: tuple[str, ...], model_name: str | None, device: str, as_json: bool, **given: Any
) -> None:
    """Evaluate a model on TEXT: perplexity, accuracy of labels, BLEU.

    \b
    rnnlm eval -m my-model test.txt
    rnnlm eval -m my-model test.txt --context reset     each line alone
    rnnlm eval -m my-model+cache test.txt               adapting as it reads
    rnnlm eval -m my-tagger test.conllu                 accuracy, F1 of spans
    rnnlm eval -m my-tagger test.conllu --confusions 20 --plot matrix.svg
    rnnlm eval -m fra test.tsv --beam 5                 BLEU, chrF, exact match
    rnnlm eval -m fra test.en --target test.fr -o written.fr

    Every token is scored exactly once, in IEEE fp32.

    words and ppl_word count the words of the text, split on white space, whatever the tokenizer
    takes for words (`rnnlm score` counts those of the tokenizer).

    -m NAME+KIND adapts the model to what it has read so far, with the settings that `rnnlm tune`
    chose for it, else with defaults. KIND is dynamic, cache or unigram.

    For a tagger or classifier TEXT holds gold labels too, for an encoder-decoder pairs. It is read
    as the training data were: the same format and columns, unless options say otherwise. Name a
    bundled corpus to evaluate on its test split. Labels that training never saw count as wrong.

    An encoder-decoder decodes each source once, greedily unless --beam says otherwise; its metrics
    are against the nearest of all references that the source has. Perplexity is that of the
    references given their sources.
    """
    from rnnlm import registry
    from rnnlm.lm.base import loading
    from rnnlm.system import keep_freed

    from .. import metrics

    # Options of other tasks, and files that are in the way, are refused before the model is loaded.
    name = options.chosen_model(model_name)
    confusions = given["confusions"]
    plot, output, overwrite = given["plot"], given["output"], given["overwrite"]
    task = registry.task(loading.task_of(name))
    task_options.check(task, name)
    options.refuse_if(
        output == options.STANDARD_OUTPUT, "standard output takes the metrics: name a FILE with -o."
    )
    options.refuse_if(
        overwrite and not (plot or output), "--overwrite needs --plot FILE or -o FILE."
    )
    # --overwrite is allowed if one of the two files is named; don't pass it on for the other.
    options.check_plot(plot, overwrite and plot is not None)
    options.check_output(output, overwrite and output is not None, None)

    keep_freed()  # each part of a text takes the memory of the one before
    data = task_options.data_of(task, text, given)
    asked = task_options.options_of(task, given)
    model = loading.load(name, device)
    found = task.evaluate(model, data, asked)

    # Files that only some tasks have; the others refused these options above.
    if plot:
        metrics.draw(cast("LabelEvaluation", found), plot, overwrite)
    if output:
        written = cast("PairEvaluation", found).written
        options.put((f"{line}\n" for line in written.lines), output)
        terminal.say(f"saved in {output}")
    if as_json:
        terminal.print_json(found.with_details(confusions))
    else:
        metrics.show(found.printed(confusions))
