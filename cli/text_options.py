"""Options of commands that read texts, and of the tokenizers and labels of these texts."""

from typing import Any

import click

from rnnlm.text.lines import TextSettings
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.training.request import TrainingRequest

from .help_sections import section, stacked
from .options import PATH, complete_model, overwrite_option, without_none
from .setting_options import IntRange, options_of
from .task_settings import LabelledSettings

special_symbols_option = options_of(TextSettings, "special_symbols")
column_option = options_of(SourceSettings, "column")
sentence_columns_option = options_of(SourceSettings, "sentence_columns")
column_options = stacked(column_option, sentence_columns_option)
encoding_option = options_of(TextSettings, "encoding_errors")
unwrap_option = options_of(TextSettings, "unwrap")
text_options = stacked(
    section("Text", column_option),
    section(
        "Text",
        sentence_columns_option,
        options_of(SourceSettings, "split"),
        encoding_option,
        options_of(TextSettings, "blank_lines"),
        unwrap_option,
        special_symbols_option,
        rare=True,
    ),
)  # fmt: skip


split_punctuation_option = options_of(
    NewTokenizerSettings, "split_punctuation", declared=["--split-punctuation/--keep-punctuation"]
)
tokenizer_options = stacked(
    section(
        "Tokenizer",
        options_of(TokenizerSettings, "tokenizer", default_is=""),
        options_of(TokenizerSettings, "lowercase", declared=["--lowercase/--keep-case"]),
        options_of(TokenizerSettings, "min_count", default_is=""),
    ),
    section(
        "Tokenizer",
        options_of(TokenizerSettings, "normalise"),
        split_punctuation_option,
        options_of(
            TokenizerSettings, "remove_punctuation", "max_vocab", "literal_unk", default_is=""
        ),
        options_of(TrainingRequest, "tokenizer_from", shell_complete=complete_model),
        rare=True,
    ),
)


_LABELS = "Labels (taggers and classifiers)"
label_options = stacked(
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
confusion_options = section(
    _LABELS,
    click.option("--confusions", type=IntRange(0), metavar="N",
                 help="Show the N most frequent confusions.  [default: 10]"),
    click.option("--plot", type=PATH, metavar="FILE.svg",
                 help="Draw the confusion matrix of each label column as .svg, .png or .pdf."),
    overwrite_option(),
)  # fmt: skip


def text_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Take the values of `text_options` that a command has out of `given`; return the settings that
    they make."""
    names = (
        "column", "sentence_columns", "split", "encoding_errors", "blank_lines", "special_symbols",
        "unwrap",
    )  # fmt: skip
    return without_none({name: given.pop(name, None) for name in names})
