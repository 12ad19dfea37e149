"""Options for pairs, and for what an encoder-decoder writes for them, of commands that measure
models."""

import click

from .options import output_option, section
from .setting_options import DECODING, PAIRS, options_of

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
written_option = section(
    "Output", output_option("Write what an encoder-decoder writes, a line for each pair.")
)
