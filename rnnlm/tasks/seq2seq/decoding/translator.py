"""Lines translated: batched by length in windows, in the order in which they came."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.generation.samples import draw_samples
from rnnlm.generation.sampling import SamplingSettings
from rnnlm.generation.search import SearchSettings, search
from rnnlm.generation.starts import Found, Starts
from rnnlm.interface import Device
from rnnlm.tasks.labelling.opening import Labeller, model_for
from rnnlm.tasks.labelling.tagging import windows
from rnnlm.tasks.seq2seq.data import rows
from rnnlm.tasks.seq2seq.decoding.alignments import Aligner, attended
from rnnlm.tasks.seq2seq.decoding.results import Attention, TranslatedLine, Translation
from rnnlm.tasks.seq2seq.decoding.settings import DecodingSettings
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.text.lines import is_blank

BATCH_LINES, BATCH_ROWS = 64, 256  # rows: beams of all lines
BATCH_TOKENS = 1 << 13  # of sources, padding counted


@dataclass(frozen=True)
class Translator:
    """A model and what it is asked for. sampling: lines are drawn, `num` for each source, instead of searched for.

    Raises:
        UsageError: attention is asked for, and the model has none; samples are asked for, and a beam.
    """

    model: Seq2SeqModel
    settings: DecodingSettings = DecodingSettings()
    sampling: SamplingSettings | None = None
    num: int = 1

    def __post_init__(self) -> None:
        if self.sampling is not None and (self.settings.beam or self.settings.nbest > 1):
            raise UsageError("samples do not go with a beam, nor with nbest", "they are drawn, not searched for", "leave one of them out")
        if (self.settings.attention or self.settings.copy_unknown) and self.model.network.settings.attention is None:
            what = "copy_unknown" if self.settings.copy_unknown else "attention"
            why = f"{what} needs it, and the model was trained with attention=none"
            raise UsageError(f"{self.model.name} has no attention", why, "train one with attention=general")

    def translate(self, sources: Iterable[str], first: int = 1) -> Iterator[TranslatedLine]:
        """What the model writes for each source, in order; the first ones come when a window of sources is read, or all. A source without
        words has no hypotheses. first: the number of the first source.

        Raises:
            TextError: a source holds a newline.
        """
        for window in windows(sources, len):
            yield from self._window(window, first)
            first += len(window)

    def _window(self, sources: Sequence[str], first: int) -> list[TranslatedLine]:
        found = [TranslatedLine(source, number, ()) for number, source in enumerate(sources, start=first)]
        encoded = self.model.codec.source.encode(sources)
        lengths = np.diff(encoded.offsets)
        worded = np.array([number for number, source in enumerate(sources) if not is_blank(source) and lengths[number] > 1], dtype=np.int64)
        for chosen_B in batches(lengths, worded, min(BATCH_LINES, BATCH_ROWS // self.settings.width)):
            lines = [found[number] for number in chosen_B.tolist()]
            for line, hypotheses in zip(lines, self._hypotheses(lines, rows(encoded, chosen_B)), strict=True):
                found[line.number - first] = TranslatedLine(line.source, line.number, tuple(hypotheses))
        return found

    def _hypotheses(self, lines: Sequence[TranslatedLine], sources: list[np.ndarray]) -> list[list[Translation]]:
        limits_B = np.array([self.settings.limit(len(source)) for source in sources])
        inputs_B = np.full(len(sources), self.model.codec.target.boundary_id)
        starts = Starts(self.model.states_of(sources), inputs_B, limits_B)
        if self.sampling is None:
            found_B = search(self.model.decoder, starts, self._search)
        else:
            sampling, numbers = replace(self.sampling, unknown=self._unknown, running=False), [line.number for line in lines]
            found_B = draw_samples(self.model.decoder, starts, self.num, sampling, numbers=numbers)
        aligned = self._aligned(lines, sources, found_B)
        return [[self._hypothesis(each, aligned.get((row, rank))) for rank, each in enumerate(found)] for row, found in enumerate(found_B)]

    def _hypothesis(self, found: Found, aligned: tuple[str, Attention] | None) -> Translation:
        text, attention = aligned or (self.model.codec.target.decode(found.ids), None)
        text = text.replace("\n", " ")  # a byte like any other to some tokenizers, and a line is one line
        attention = attention if self.settings.attention else None
        return Translation(text, len(found.ids), found.logprob_nats, found.score, found.ended, attention)

    def _aligned(
        self, lines: Sequence[TranslatedLine], sources: list[np.ndarray], found_B: list[list[Found]]
    ) -> dict[tuple[int, int], tuple[str, Attention]]:
        """By row and rank the text and attention of each line found that needs a look at its source."""
        wanted = [(row, rank) for row, found in enumerate(found_B) for rank, each in enumerate(found) if self._looks_back(each)]
        if not wanted:
            return {}
        ids = [found_B[row][rank].ids for row, rank in wanted]
        weights = attended(self.model, [sources[row] for row, _ in wanted], [np.array(each) for each in ids])
        copies = self.settings.copy_unknown
        return {
            (row, rank): self._aligner.aligned(lines[row].source, its_ids, weights_TS, copies)
            for (row, rank), its_ids, weights_TS in zip(wanted, ids, weights, strict=True)
        }

    def _looks_back(self, found: Found) -> bool:
        return self.settings.attention or (self.settings.copy_unknown and self.model.codec.target.unk_id in found.ids)

    @cached_property
    def _aligner(self) -> Aligner:
        return Aligner(self.model.codec)

    @property
    def _search(self) -> SearchSettings:
        settings = self.settings
        return SearchSettings(settings.width, settings.power, settings.nbest, self._unknown)

    @property
    def _unknown(self) -> bool:
        return self.settings.unknown or self.settings.copy_unknown


def translate(
    model: Labeller, sources: Sequence[str], *, settings: DecodingSettings = DecodingSettings(), sampling: SamplingSettings | None = None,
    num: int = 1, device: str | Device = "auto",
) -> list[TranslatedLine]:  # fmt: skip
    """What an encoder-decoder writes for lines.

    model: an encoder-decoder or its name. settings: greedy search unless they ask for a beam or n best. sampling: draw `num` lines for each
    source instead; sample n of line l is the same whatever the other lines. Of its settings those of length and <unk> do not count here.
    device: where a model given by name is loaded.

    Raises:
        UsageError: the model is no encoder-decoder, or lacks the attention that is asked for; samples and a beam are asked for.
            SettingsError: `num` is below 1. ModelError: there is no such model, or it is damaged. TextError: a source holds a newline.
    """
    translator = Translator(cast(Seq2SeqModel, model_for("translate", model, device)), settings, sampling, num)
    return list(translator.translate(sources))


def batches(lengths_N: np.ndarray, chosen: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """The chosen numbers of sources in batches of `most` at most, those of about the same length together, the longest first."""
    order = chosen[np.argsort(-lengths_N[chosen], kind="stable")]
    start = 0
    while start < len(order):
        count = max(1, min(most, BATCH_TOKENS // int(lengths_N[order[start]])))
        yield order[start : start + count]
        start += count
