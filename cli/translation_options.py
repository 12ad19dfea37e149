"""Options for pairs, and for what an encoder-decoder writes for them, of commands that measure
models."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from .options import (
    CONFUSION_OPTIONS,
    LABEL_OPTIONS,
    PATH,
    refuse_given,
    refuse_if,
    section,
    settings_of,
)
from .setting_options import DECODING, PAIRS, options_of

if TYPE_CHECKING:
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

_PAIRS, _DECODING = "Pairs, of encoder-decoders", "Decoding, of encoder-decoders"
pair_options = section(
    _PAIRS,
    click.option("--target", multiple=True, metavar="FILE",
                 help="What is to be written for each line of TEXT; several are several "
                 "references."),
    options_of(PAIRS, "target_column", metavar="NAME"),
    options_of(PAIRS, "skip_empty"),
    )  # fmt: skip
decoding_options = section(
    _DECODING,
    options_of(DECODING, "beam", default_is="1"),
    options_of(DECODING, "length_power", metavar="A"),
    options_of(DECODING, "max_length", "copy_unknown"),
    click.option("--no-decode", is_flag=True, help="Perplexity alone, which takes less time."),
)  # fmt: skip
output_option = section(
    "Output",
    click.option(
        "-o",
        "--output",
        type=PATH,
        metavar="FILE",
        help="Write what an encoder-decoder writes, a line for each pair.",
    ),
)
_OF_DECODING = ("beam", "length_power", "max_length", "copy_unknown")
_OF_PAIRS = ("target", "target_column", "skip_empty", *_OF_DECODING, "no_decode", "output")
_READING = (
    "format",
    "column",
    "target_column",
    "skip_empty",
    "encoding_errors",
    "delimiter",
    "special_symbols",
)
_OF_LABELS = tuple(
    name for name in (*LABEL_OPTIONS, *CONFUSION_OPTIONS) if name not in ("format", "overwrite")
)
_OF_PLAIN_TEXT = ("split", "keep_blank_lines", "documents")


def check_task(task: str, name: str, of_language_models: Collection[str]) -> bool:
    """Whether the model of that name is an encoder-decoder; options that do not go with it, or that
    only go with it, are wrong usage. of_language_models: options of the command that are for these,
    beside those for reading text."""
    if task != "seq2seq":
        from rnnlm.models.registry import WHAT

        refuse_given(_OF_PAIRS, f"{name} is {WHAT[task]}, and this is for encoder-decoders.")
        return False
    refuse_given(
        (*_OF_PLAIN_TEXT, *of_language_models),
        f"{name} is an encoder-decoder, and this is for language models.",
    )
    refuse_given(_OF_LABELS, f"{name} is an encoder-decoder, and this is for models of labels.")
    return True


def take(given: dict[str, Any]) -> dict[str, Any]:
    """The values of `pair_options`, `decoding_options` and of those that read text: keywords of
    :func:`rnnlm.evaluate` for pairs."""
    decoding = {name: given[name] for name in _OF_DECODING if given[name] is not None}
    refuse_if(given["no_decode"] and decoding,
              "--no-decode: nothing is written, and "
              f"--{next(iter(decoding), '').replace('_', '-')} is "
              "about how.")  # fmt: skip
    reading = {name: given[name] for name in _READING if given[name] is not None}
    return {
        "target": given["target"],
        "reading": reading,
        "decode": not given["no_decode"],
        "decoding": _settings(decoding),
    }


def _settings(values: dict[str, Any]) -> "DecodingSettings":
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

    return settings_of(DecodingSettings, values, values)
