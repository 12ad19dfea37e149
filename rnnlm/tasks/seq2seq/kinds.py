"""Encoder-decoders as kinds of models."""

from typing import Any

from rnnlm.lm.neural.kinds import CELLS, OF_NETWORKS, Network
from rnnlm.registry import imported


class EncoderDecoder(Network):
    """An encoder-decoder."""

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import CELLS
        from rnnlm.lm.neural.training.settings import RunSettings
        from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings

        return (Seq2SeqSettings, CELLS[self.name], Seq2SeqFittingSettings, RunSettings)

    fit = imported(__package__, "fitting:fit")

    def words_read(self, codec: Any) -> int:
        return int(codec.source.size)

    array_shapes = imported(__package__, "weights:array_shapes")
    from_arrays = imported(__package__, "model:from_arrays")


KINDS = [
    EncoderDecoder(
        name,
        f"reads a line and writes another: {about}",
        OF_NETWORKS | of_states | {"conditions"},
        "seq2seq",
    )
    for name, (about, of_states) in CELLS.items()
]
