"""Where a treebank cuts what stands between two spaces: `15-year` into `15 - year`, but not `e-mail`.

A cut may lie beside each mark and between a letter and a digit. What decides is the piece since the last cut with the two characters that
follow, where the treebank cuts four out of five such places alike; else the characters on both sides, as many as were seen before: letters
count as "a" or "A", digits as "0". Addresses (those with @, :// or www.) are told apart.
"""

import functools
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

LONGEST_PIECE = 15  # characters of a piece that is remembered
LEAST_CUTS, LEAST_CUT_SHARE = 2, 0.8  # how often such a piece is seen, and how much of that alike
_SIDES = ((3, 3), (2, 2), (1, 1), (0, 1))  # characters before and behind the place, beside the one before, from specific to general
_ADDRESS = re.compile(r"://|www\.|@")
_EDGE = "\0"  # white space


@dataclass(frozen=True)
class MarkCuts:
    """Contexts (of :class:`Context`) in which there is a cut, and those in which there is none; the most specific decides."""

    cuts: frozenset[str]
    keeps: frozenset[str]

    def pieces(self, chunk: str) -> list[str]:
        """The pieces of what stands between two spaces."""
        found, start, context = [], 0, Context.of(chunk)
        for place in context.places():
            known = (key for key in context.keys(start, place) if key in self.cuts or key in self.keeps)
            if next(known, None) in self.cuts:
                found.append(chunk[start:place])
                start = place
        return [*found, chunk[start:]]


@dataclass(frozen=True)
class Context:
    """What may decide about cuts of a chunk. shape: its characters as they count. addresses: where marks of an address begin."""

    chunk: str
    shape: str
    addresses: list[int]

    @classmethod
    def of(cls, chunk: str) -> "Context":
        """That of what stands between two spaces."""
        return cls(chunk, "".join(map(_shape, chunk)), [match.start() for match in _ADDRESS.finditer(chunk)])

    def places(self) -> Iterator[int]:
        """Where cuts may lie: not between two letters, nor between two digits."""
        kinds = self.shape.replace("A", "a")
        return (place for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1] or kinds[place] not in "a0")

    def keys(self, start: int, place: int) -> Iterator[str]:
        """What may decide whether there is a cut at `place`, the last one being at `start`, from specific to general."""
        following = bisect_left(self.addresses, start)
        address = "" if following == len(self.addresses) else "<" if self.addresses[following] < place else ">"
        if not address and place - start <= LONGEST_PIECE:
            yield f"{self.chunk[start:place].lower()} {self._behind(place, 2)}"
        for before, behind in _SIDES:
            first = place - 1 - before
            yield f"{address} {_EDGE if first < start else ''}{self.shape[max(start, first) : place]} {self._behind(place, behind)}"

    def _behind(self, place: int, count: int) -> str:
        return self.shape[place : place + count] + (_EDGE if place + count > len(self.shape) else "")


def learn_mark_cuts(chunks: Iterable[Sequence[str]]) -> MarkCuts:
    """The cuts of some chunks, each given as its pieces. Contexts that decide as more general ones do are left out."""
    seen: list[tuple[list[str], bool]] = []
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for pieces in chunks:
        for keys, is_cut in _examples(pieces):
            seen.append((keys, is_cut))
            for key in keys:
                counts[key][is_cut] += 1
    decisions = {key: count[1] > count[0] for key, count in counts.items() if key.count(" ") == 2 or _is_sure(count)}
    needed: set[str] = set()
    for keys, _ in seen:
        known = [key for key in keys if key in decisions]
        needed.add(known[-1])
        needed.update(key for key, general in pairwise(known) if decisions[key] != decisions[general])
    return MarkCuts(frozenset(key for key in needed if decisions[key]), frozenset(key for key in needed if not decisions[key]))


def _is_sure(count: Sequence[int]) -> bool:
    return sum(count) >= LEAST_CUTS and max(count) >= LEAST_CUT_SHARE * sum(count)


def _examples(pieces: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """The contexts of each place of a chunk, and whether there is a cut."""
    context = Context.of("".join(pieces))
    starts = [0, *accumulate(map(len, pieces))]
    for place in context.places():
        following = bisect_left(starts, place)
        yield list(context.keys(starts[following - 1], place)), starts[following] == place


@functools.lru_cache(1 << 12)
def _shape(character: str) -> str:
    return "A" if character.isupper() else "a" if character.isalpha() else "0" if character.isdigit() else character
