"""Encoder-decoders as kinds of models."""

from typing import Any

from rnnlm.lm.neural.kinds import CELLS, OF_NETWORKS, Network
from rnnlm.registry import Function


class EncoderDecoder(Network):
    """An encoder-decoder."""

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import CELLS
        from rnnlm.lm.neural.training.settings import RunSettings
        from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings

        return (Seq2SeqSettings, CELLS[self.name], Seq2SeqFittingSettings, RunSettings)

    @property
    def fit(self) -> Function:
        from rnnlm.tasks.seq2seq.fitting import fit

        return fit

    def words_read(self, codec: Any) -> int:
        return int(codec.source.size)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.tasks.seq2seq.weights import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.tasks.seq2seq.model import from_arrays

        return from_arrays


KINDS = [
    EncoderDecoder(
        name,
        f"reads a line and writes another: {about}",
        OF_NETWORKS | of_states | {"sources", "beam"},
        "seq2seq",
    )
    for name, (about, of_states) in CELLS.items()
]
