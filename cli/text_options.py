"""Options of commands that read texts, and of the tokenizers of these texts."""

from typing import Any, cast

from rnnlm.text.lines import TextSettings
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.training.request import TrainingRequest

from .declaring import options_of, section, stacked
from .options import TextFlags, complete_model, without_none

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
            TokenizerSettings,
            "remove_punctuation",
            "max_vocab",
            "vocab",
            "literal_unk",
            default_is="",
        ),
        options_of(TrainingRequest, "tokenizer_from", shell_complete=complete_model),
        rare=True,
    ),
)


def text_flags(given: dict[str, Any]) -> TextFlags:
    """Take the values of `text_options` that a command has out of `given`; return the settings that
    they make."""
    names = TextFlags.__annotations__
    return cast(TextFlags, without_none({name: given.pop(name, None) for name in names}))
