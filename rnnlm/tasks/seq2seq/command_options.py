"""Options of commands that measure encoder-decoders: how pairs are read and sources decoded."""

import click

from rnnlm.cli.help_sections import section, stacked
from rnnlm.cli.options import output_option
from rnnlm.cli.setting_options import options_of
from rnnlm.cli.task_settings import DecodingSettings, ParallelSettings

_PAIRS, _DECODING = "Pairs (encoder-decoders)", "Decoding (encoder-decoders)"
pair_options = stacked(
    section(
        _PAIRS,
        click.option("--target", multiple=True, metavar="FILE",
                     help="File with the reference for each line of TEXT; repeat for several "
                          "references."),
        options_of(ParallelSettings, "target_column"),
    ),
    section(_PAIRS, options_of(ParallelSettings, "skip_empty"), rare=True),
)  # fmt: skip
decoding_options = section(_DECODING, options_of(DecodingSettings, "beam", default_is="1"))
written_option = section(
    "Output", output_option("Write the outputs of an encoder-decoder, one line per pair.")
)
