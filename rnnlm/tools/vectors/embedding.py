"""Compute vectors of lines, or of each of their words in its context, from the layers of a network.

Lines are read a few thousand at a time, lines of about the same length side by side, each alone
from the initial state: a vector depends neither on the batch nor on the order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rnnlm.amounts import plural
from rnnlm.checks import items_of
from rnnlm.errors import ModelError, TextError, UsageError, keyword, notice
from rnnlm.interface import Device
from rnnlm.lm.base import loading
from rnnlm.lm.base.layer_outputs import (
    FEATURES,
    DirectionOutput,
    LayerInputs,
    LayerOutputs,
    LayerReader,
    LineWords,
)
from rnnlm.text.batches import by_length, why_too_long
from rnnlm.text.lines import by_kind, check_reserved, is_blank
from rnnlm.text.sources import in_lists
from rnnlm.text.unknown_words import UnknownWords
from rnnlm.tools.vectors.settings import EmbeddingSettings, Pooling

# ---- From a layer's outputs for the tokens of lines to one vector a line, or one a word.
#
# Shapes: T places, B lines, H width of the layer, W words of all lines together.


def of_lines(outputs: LayerOutputs, pooling: Pooling) -> torch.Tensor:
    """Return (B, H) float32, on the layer's device. Pooling "last" takes each direction where it
    has read all of the line, the others the mean or the largest number over the line's tokens."""
    return torch.cat([_pooled(part, outputs, pooling) for part in outputs.parts], dim=1).float()


def _pooled(part: DirectionOutput, outputs: LayerOutputs, pooling: Pooling) -> torch.Tensor:
    values_TBH = part.values_TBH
    device = values_TBH.device
    if pooling == "last":
        last_B = torch.from_numpy(part.last_B).to(device)
        return values_TBH[last_B, torch.arange(values_TBH.shape[1], device=device)]
    begins_B = torch.from_numpy(outputs.begins_B).to(device)
    ends_B = torch.from_numpy(outputs.ends_B).to(device)
    place_T1 = torch.arange(len(values_TBH), device=device).unsqueeze(1)
    is_token_TB1 = ((place_T1 >= begins_B) & (place_T1 < ends_B)).unsqueeze(2)
    if pooling == "max":
        return values_TBH.masked_fill(~is_token_TB1, -torch.inf).amax(dim=0)
    return values_TBH.masked_fill(~is_token_TB1, 0).sum(dim=0) / (ends_B - begins_B).unsqueeze(1)


def of_words(outputs: LayerOutputs, tokens: Sequence[np.ndarray]) -> torch.Tensor:
    """Return (W, H) float32, the words of the first line first, each direction where it has read
    all of the word. tokens: for each line the first token of each word and the one past its last,
    (W, 2)."""
    row_W = np.repeat(np.arange(len(tokens)), list(map(len, tokens)))
    tokens_W2 = np.concatenate(tokens) + outputs.begins_B[row_W, None]
    vectors = []
    for part in outputs.parts:
        at_W = tokens_W2[:, 0] if part.is_backward else tokens_W2[:, 1] - 1
        device = part.values_TBH.device
        places_W, rows_W = torch.from_numpy(at_W).to(device), torch.from_numpy(row_W).to(device)
        vectors.append(part.values_TBH[places_W, rows_W])
    return torch.cat(vectors, dim=1).float()


# ---- Lines embedded, a chunk at a time.

LINES_PER_CHUNK = 4096
# By whether each word has a vector: all vectors of a chunk are in memory at once.
CHARACTERS_PER_CHUNK = {False: 1 << 21, True: 1 << 17}
TOKENS, ROWS = 1 << 13, 128  # the model reads about this many tokens and lines in one call
_POOLINGS = ("last", "mean", "max")


@dataclass(frozen=True)
class EmbeddedLines:
    """Lines that were read together. first: the number of the first one, from 1. words: of each
    line; () where they have no vectors. vectors_NH: one per line, or one per word, in their order,
    float32. reasons: why a line has no vector (it is NaN) and no words; None where it has."""

    first: int
    lines: tuple[str, ...]
    words: tuple[LineWords, ...]
    vectors_NH: np.ndarray
    reasons: tuple[str | None, ...]


class Embedder:
    """Makes vectors of lines, from the chosen layer and pooling."""

    def __init__(
        self,
        model: loading.ScoringModel,
        settings: EmbeddingSettings = EmbeddingSettings(),
        device: str | Device = "auto",
    ) -> None:
        self.settings = settings
        self.reader = reader_of(model, device)
        self.layer = _layer(self.reader, settings)
        if settings.pooling not in (None, *_POOLINGS):
            raise UsageError(
                f"unknown pooling {settings.pooling!r}", hint=f"choose {', '.join(_POOLINGS)}"
            )
        if settings.pooling and settings.words:
            raise UsageError("words are not pooled: pooling has no effect", hint="leave it out")
        if settings.pooling and self.layer in self.reader.text_layers:
            raise UsageError(
                f"layer {self.layer} of this model has one vector per text: pooling has no effect",
                hint="leave it out, or choose another layer",
            )
        self.pooling: Pooling = settings.pooling or "last"

    @property
    def width(self) -> int:
        """H, the width of a vector. Finding it runs the network on an empty line."""
        return self._lines(self.reader.encode([""])).shape[1]

    def vectors(self, lines: Iterable[str]) -> np.ndarray:
        """Return the vectors of lines, (N, H) float32; NaN for one that has none, with a notice."""
        vectors = [np.empty((0, self.width), np.float32)]
        vectors.extend(chunk.vectors_NH for chunk in self.chunks(lines))
        return np.concatenate(vectors)

    def chunks(self, lines: Iterable[str]) -> Iterator[EmbeddedLines]:
        """Yield the vectors of lines, chunk by chunk. Notices at the end count the lines that have
        none, and name or count unknown words."""
        # Read a chunk of lines at a time; lines that cannot be read count as empty.
        with_words = self.settings.words
        first = 1
        without: Counter[str] = Counter()
        unknown = UnknownWords()
        most_characters = CHARACTERS_PER_CHUNK[with_words]
        for chunk in in_lists(items_of(lines, str, "lines"), LINES_PER_CHUNK, most_characters, len):
            reasons = [getattr(line, "reason", None) for line in chunk]
            checked = [self._checked(line, first + place) for place, line in enumerate(chunk)]
            encoded = self.reader.encode(checked, with_words=with_words)
            too_long = list(map(why_too_long, encoded.lengths_L.tolist()))

            # Lines that are too long have no vector.
            if any(too_long):
                for place, reason in enumerate(too_long):
                    if reason:
                        checked[place], reasons[place] = "", reason
                encoded = self.reader.encode(checked, with_words=with_words)

            # One vector per word, or one per line.
            if with_words:
                [vectors_NH] = words_of_layers(self.reader, encoded, [self.layer])
            else:
                vectors_NH = self._lines(encoded)
            if not np.isfinite(vectors_NH).all():
                raise ModelError(
                    "the model's vectors are not numbers",
                    "its weights are damaged",
                    "see rnnlm doctor",
                )

            # Lines without a vector have NaN, so that rows stay aligned.
            if any(reasons) and not with_words:
                vectors_NH[[reason is not None for reason in reasons]] = np.nan
            words = encoded.words if with_words else ()
            yield EmbeddedLines(first, tuple(checked), words, vectors_NH, tuple(reasons))
            first += len(chunk)
            without.update(filter(None, reasons))
            unknown.add(self.reader.lines_read(checked), self.reader.tokenizer)
        unknown.tell()
        for reason, count in by_kind(without).items():
            of_all = f"of {first - 1:,} lines"
            notice(plural(count, f"{of_all} has", f"{of_all} have") + " no vector: " + reason)

    def _checked(self, line: str, number: int) -> str:
        """Return the line as it is read; its words refer to this text."""
        if "\n" in line:
            raise TextError(f"line {number} holds a newline", hint="give each line separately")
        if is_blank(line):
            return ""
        hint = "remove it, or use " + keyword("special_symbols") + " drop or replace"
        return check_reserved(line, f"line {number}", self.settings.special_symbols, hint)

    def _lines(self, encoded: LayerInputs) -> np.ndarray:
        return lines_of_layers(self.reader, encoded, [self.layer], self.pooling)[0]


def lines_of_layers(
    reader: LayerReader, encoded: LayerInputs, layers: Sequence[str], pooling: Pooling
) -> list[np.ndarray]:
    """Return the vectors of lines, one at least, (L, H) float32 of each layer."""
    parts = (
        (chosen_B, [of_lines(output, pooling) for output in reader.read(encoded, chosen_B, layers)])
        for chosen_B in by_length(encoded.lengths_L, TOKENS, ROWS)
    )
    return _in_order(parts, len(encoded.lengths_L))


def words_of_layers(
    reader: LayerReader, encoded: LayerInputs, layers: Sequence[str]
) -> list[np.ndarray]:
    """Return the vectors of all words of the lines, (W, H) float32 of each layer, the words of the
    first line first."""
    words_L = np.array([len(line.words) for line in encoded.words])
    ends_L = np.cumsum(words_L)
    starts_L = ends_L - words_L

    def parts() -> Iterator[tuple[np.ndarray, list[torch.Tensor]]]:
        for chosen_B in by_length(encoded.lengths_L, TOKENS, ROWS):
            outputs = reader.read(encoded, chosen_B, layers)
            tokens = [encoded.words[line].tokens_W2 for line in chosen_B]
            at_W = np.concatenate([np.arange(starts_L[line], ends_L[line]) for line in chosen_B])
            yield at_W, [of_words(output, tokens) for output in outputs]

    return _in_order(parts(), int(words_L.sum()))


def _in_order(
    parts: Iterable[tuple[np.ndarray, Sequence[torch.Tensor]]], count: int
) -> list[np.ndarray]:
    """Put vectors that are read by the length of lines where they belong: return (N, H) float32 of
    each layer.

    parts: the places of some vectors, (n,), and these vectors of each layer, (n, H). count: N.
    """
    in_order: list[np.ndarray] = []
    for at_n, vectors_of_layers in parts:
        if not in_order:
            in_order = [
                np.empty((count, vectors_nH.shape[1]), np.float32)
                for vectors_nH in vectors_of_layers
            ]
        for values_NH, vectors_nH in zip(in_order, vectors_of_layers, strict=True):
            values_NH[at_n] = vectors_nH.cpu().numpy()
    return in_order


def reader_of(model: loading.ScoringModel, device: str | Device = "auto") -> LayerReader:
    """Return a reader of lines with the layers of a network. UsageError: it has no layers
    itself."""
    core = loading.load_if_named(model, device)
    if not hasattr(core, "layer_reader"):
        raise UsageError(
            f"{loading.name_if_saved(model) or 'this model'} has no vectors of text",
            "n-gram models, mixtures and adapted models have no layers",
            "name a network, such as demo or a part of a combination",
        )
    return core.layer_reader()


def _layer(reader: LayerReader, settings: EmbeddingSettings) -> str:
    of_tokens = [layer for layer in reader.layers if layer not in reader.text_layers]
    if settings.layer is None:
        # The features of a classifier are of the whole text: there is no word in them.
        return of_tokens[-1] if settings.words or settings.pooling else FEATURES
    layer = str(settings.layer)
    if layer not in reader.layers:
        raise UsageError(
            f"there is no layer {layer!r}", f"the model has {', '.join(reader.layers)}"
        )
    if settings.words and layer in reader.text_layers:
        raise UsageError(
            f"layer {layer} of this model has one vector per text, but none per word",
            hint=f"choose {', '.join(of_tokens)}",
        )
    return layer
