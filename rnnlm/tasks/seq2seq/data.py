"""Pairs of lines as numbers: what the encoder reads and what the decoder writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm.interface import Encoded
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.text.parallel.pair import Pair, ParallelText


@dataclass(frozen=True)
class PairedData:
    """P pairs of a source and one reference each, encoded.

    text: what was read. source, target: P lines each, one for each reference of the text in its order, but for those that are left out;
    the boundary ends them.
    """

    text: ParallelText
    source: Encoded
    target: Encoded

    @property
    def lines_hash(self) -> str:
        """Identifies the data when a run is resumed."""
        return self.text.content_hash

    @cached_property
    def groups(self) -> tuple[Pair, ...]:
        """Each source of the text once, with all references that it has: what is decoded and compared."""
        return self.text.grouped().pairs

    @cached_property
    def source_lengths(self) -> np.ndarray:
        """Tokens of each source, `</s>` counted, (P,)."""
        return np.diff(self.source.offsets)

    @cached_property
    def target_lengths(self) -> np.ndarray:
        """Tokens of each reference, `</s>` counted, (P,)."""
        return np.diff(self.target.offsets)

    @property
    def tokens(self) -> int:
        """Of both sides."""
        return len(self.source.ids) + len(self.target.ids)

    @property
    def words(self) -> int:
        """Of both sides, split at white space."""
        pairs = self.text.pairs
        return sum(len(each.source.split()) + sum(len(reference.split()) for reference in each.references) for each in pairs)

    @property
    def sentences(self) -> int:
        """How many pairs there are."""
        return len(self.source.offsets) - 1


@dataclass(frozen=True)
class PairTrainingData:
    """What an encoder-decoder is trained on; tokenizer: the codec. valid: None where nothing is held out."""

    tokenizer: PairCodec
    train: PairedData
    valid: PairedData | None


def encode_pairs(codec: PairCodec, text: ParallelText, longest: int | None = None) -> PairedData:
    """The pairs of a text as an encoder-decoder reads them. longest: pairs with more tokens on either side are left out."""
    source = codec.source.encode([each.source for each in text.pairs for _ in each.references])
    target = codec.target.encode([reference for each in text.pairs for reference in each.references])
    if longest is not None:
        is_short_P = (np.diff(source.offsets) <= longest) & (np.diff(target.offsets) <= longest)
        if not is_short_P.all():
            chosen = np.flatnonzero(is_short_P)
            source, target = taken(source, chosen), taken(target, chosen)
    return PairedData(text, source, target)


def taken(lines: Encoded, chosen: np.ndarray) -> Encoded:
    """The lines of these numbers, in that order; which of their tokens are unknown is not kept."""
    return joined(rows(lines, chosen))


def joined(lines: Sequence[np.ndarray]) -> Encoded:
    """Lines given as the tokens of each; which of them are unknown is not kept."""
    offsets = np.append(0, np.cumsum([len(line) for line in lines], dtype=np.int64))
    ids = np.concatenate(lines) if lines else np.zeros(0, dtype=np.int32)
    return Encoded(ids, offsets, np.zeros(0, dtype=np.int64))


def rows(lines: Encoded, chosen: np.ndarray | Sequence[int]) -> list[np.ndarray]:
    """The tokens of each of these lines."""
    return [lines.ids[lines.offsets[each] : lines.offsets[each + 1]] for each in chosen]
