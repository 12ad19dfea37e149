"""Encoder-decoders as kinds of models."""

from typing import Any

from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.kinds import OF_NETWORKS, Network
from rnnlm.registry import imported


class EncoderDecoder(Network):
    """An encoder-decoder."""

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import cell_class
        from rnnlm.lm.neural.training.settings import RunSettings
        from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings

        return (Seq2SeqSettings, cell_class(self.name), Seq2SeqFittingSettings, RunSettings)

    fit = imported(__package__, "fitting:fit")

    def words_read(self, codec: Any) -> int:
        return int(codec.source.size)

    array_shapes = imported(__package__, "weights:array_shapes")
    from_arrays = imported(__package__, "model:from_arrays")


def kinds() -> list[EncoderDecoder]:
    """Return the encoder-decoders of each cell."""
    return [
        EncoderDecoder(
            cell.name,
            f"reads a line and writes another: {cell.about}",
            OF_NETWORKS | cell.has | {"conditions"},
            "seq2seq",
        )
        for cell in cells().values()
    ]
