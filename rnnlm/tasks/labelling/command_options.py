"""Options of commands of the core that concern labelled data."""

import click

from rnnlm.cli.declaring import IntRange, explained, options_of, section, stacked
from rnnlm.cli.options import PATH, overwrite_option
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.training.request import TrainingRequest

_TASKS = ("--task tagging", "--task classification")
train_options = stacked(
    section(
        "Model",
        options_of(TrainingRequest, "contextual", multiple=True, default_is=""),
        goes_with=_TASKS,
    ),
    section(
        "Labels",
        options_of(LabelledSettings, "label_column"),
        options_of(LabelledSettings, "sentence_column", "align", before="With tagging: "),
        options_of(LabelledSettings, "format", declared=["--input-format"], type=str),
        options_of(LabelledSettings, "scheme", type=str),
        options_of(LabelledSettings, "multi_label", before="With classification: "),
        goes_with=_TASKS,
    ),
)

_LABELS = "Labels (taggers and classifiers)"
_gold_options = stacked(
    section(
        _LABELS,
        options_of(
            LabelledSettings,
            "label_column",
            help="Columns of the gold labels, by name or number, separated by commas.",
        ),
    ),
    section(
        _LABELS,
        options_of(LabelledSettings, "format", declared=["--input-format"], type=str),
        options_of(LabelledSettings, "scheme", type=str),
        rare=True,
    ),
)
compare_options = stacked(
    _gold_options,
    explained(
        "rnnlm compare crf softmax --on test.conll      taggers: F1, accuracy, ...",
        more="Taggers or classifiers of the same labels are compared by all metrics of `rnnlm "
             "eval`. Intervals leave sentences out; p-values come from approximate randomisation.",
    ),
)  # fmt: skip
eval_options = stacked(
    _gold_options,
    explained(
        "rnnlm eval -m my-tagger test.conllu                 accuracy, F1 of spans",
        "rnnlm eval -m my-tagger test.conllu --confusions 20 --plot matrix.svg",
        more="For a tagger or classifier, TEXT also holds the gold labels. Labels not seen in "
             "training count as wrong.",
    ),
    section(
        _LABELS,
        click.option("--confusions", type=IntRange(0), metavar="N",
                     help="Show the N most frequent confusions.  [default: 10]"),
        click.option("--plot", type=PATH, metavar="FILE.svg",
                     help="Draw the confusion matrix of each label column as .svg, .png or .pdf."),
        overwrite_option(),
    ),
)  # fmt: skip
