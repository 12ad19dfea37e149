"""What a model writes for the sources that it is measured on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.events import never
from rnnlm.generation.search import SearchSettings, search
from rnnlm.generation.starts import Starts
from rnnlm.tasks.seq2seq.data import rows
from rnnlm.tasks.seq2seq.model import Seq2SeqModel

BATCH_LINES = 64


@dataclass(frozen=True)
class DecodingSettings:
    """How lines are searched for."""

    beam: int = 1
    max_length: float = 2.0


def hypotheses(
    model: Seq2SeqModel, sources: Sequence[str], settings: DecodingSettings = DecodingSettings(), stop: Callable[[], bool] = never
) -> list[str] | None:
    """The line that the model writes for each source; None where `stop`, asked before each batch, cut it off."""
    found = [""] * len(sources)
    encoded = model.codec.source.encode(sources)
    lengths = np.diff(encoded.offsets)
    order = np.argsort(-lengths, kind="stable")
    power = 1.0 if settings.beam > 1 else 0.0
    for chosen_B in np.split(order, range(BATCH_LINES, len(order), BATCH_LINES)):
        if stop():
            return None
        limits_B = (settings.max_length * lengths[chosen_B]).astype(np.int64) + 10
        starts = Starts(model.states_of(rows(encoded, chosen_B)), np.full(len(chosen_B), model.codec.target.boundary_id), limits_B)
        texts = search(model.decoder, starts, SearchSettings(beam=settings.beam, length_power=power))
        for number, its in zip(chosen_B.tolist(), texts, strict=True):
            found[number] = model.codec.target.decode(its[0].ids)
    return found
