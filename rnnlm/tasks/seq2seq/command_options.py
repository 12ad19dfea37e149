"""Options of commands of the core that concern pairs: how they are read and sources decoded."""

import click

from rnnlm.cli.help_sections import section, stacked
from rnnlm.cli.options import output_option
from rnnlm.cli.setting_options import options_of
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.tasks.seq2seq.pairs import ParallelSettings
from rnnlm.training.request import TrainingRequest

_TASK = ("--task seq2seq",)
_train_options = stacked(
    section(
        "Model",
        options_of(TrainingRequest, "init_encoder_from", "init_decoder_from"),
        goes_with=_TASK,
    ),
    section(
        "Pairs",
        options_of(
            TrainingRequest,
            "target", "valid_target", "test_target",
            multiple=True, default_is="",
        ),
        options_of(ParallelSettings, "target_column", "skip_empty", before="With seq2seq: "),
        goes_with=_TASK,
    ),
)  # fmt: skip

_PAIRS, _DECODING = "Pairs (encoder-decoders)", "Decoding (encoder-decoders)"
_compare_options = stacked(
    section(
        _PAIRS,
        click.option("--target", multiple=True, metavar="FILE",
                     help="File with the reference for each line of TEXT; repeat for several "
                          "references."),
        options_of(ParallelSettings, "target_column"),
    ),
    section(_PAIRS, options_of(ParallelSettings, "skip_empty"), rare=True),
    section(_DECODING, options_of(DecodingSettings, "beam", default_is="1")),
)  # fmt: skip
_eval_options = stacked(
    _compare_options,
    section("Output", output_option("Write the outputs of an encoder-decoder, one line per pair.")),
)

OPTIONS = {"train": _train_options, "eval": _eval_options, "compare": _compare_options}
