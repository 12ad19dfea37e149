"""Where a treebank cuts what stands between two spaces: `15-year` into `15 - year`, but not `e-mail`.

A cut may lie beside each mark and between a letter and a digit. What decides is the piece since the last cut with the two characters that
follow, where the treebank cuts four out of five such places alike; else the characters on both sides, as many as were seen before: letters
count as "a" or "A", digits as "0". Addresses (those with @, :// or www.) are told apart.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

LONGEST_PIECE = 15  # characters of a piece that is remembered
LEAST, LEAST_SHARE = 2, 0.8  # how often such a piece is seen, and how much of that alike
_SIDES = ((3, 3), (2, 2), (1, 1), (0, 1))  # characters before and behind the place, beside the one before, from specific to general
_ADDRESS = re.compile(r"://|www\.|@")
_EDGE = "\0"  # white space


@dataclass(frozen=True)
class MarkCuts:
    """Contexts (of :func:`contexts`) in which there is a cut, and those in which there is none; the most specific decides."""

    cuts: frozenset[str]
    keeps: frozenset[str]

    def pieces(self, chunk: str) -> list[str]:
        """The pieces of what stands between two spaces."""
        found, start = [], 0
        starts = [match.start() for match in _ADDRESS.finditer(chunk)]
        for place in places(chunk):
            known = (key for key in contexts(chunk, start, place, starts) if key in self.cuts or key in self.keeps)
            if next(known, None) in self.cuts:
                found.append(chunk[start:place])
                start = place
        return [*found, chunk[start:]]


def places(chunk: str) -> Iterator[int]:
    """Where cuts may lie: not between two letters, nor between two digits."""
    kinds = [_kind(character) for character in chunk]
    return (place for place in range(1, len(chunk)) if kinds[place] != kinds[place - 1] or kinds[place] == "mark")


def contexts(chunk: str, start: int, place: int, addresses: Sequence[int]) -> Iterator[str]:
    """What may decide whether there is a cut at `place`, the last one being at `start`, from specific to general.

    addresses: where in the chunk something stands that only addresses hold.
    """
    following = bisect_left(addresses, start)
    address = "" if following == len(addresses) else "<" if addresses[following] < place else ">"
    if not address and place - start <= LONGEST_PIECE:
        yield f"{chunk[start:place].lower()} {_shape(chunk[place : place + 2], 2)}"
    for before, behind in _SIDES:
        first = max(start, place - 1 - before)
        edge = _EDGE if first == start and place - 1 - before < start else ""
        yield f"{address} {edge}{_shape(chunk[first:place])} {_shape(chunk[place : place + behind], behind)}"


def learn(chunks: Iterable[Sequence[str]]) -> MarkCuts:
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
    return sum(count) >= LEAST and max(count) >= LEAST_SHARE * sum(count)


def _examples(pieces: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """The contexts of each place of a chunk, and whether there is a cut."""
    chunk = "".join(pieces)
    addresses = [match.start() for match in _ADDRESS.finditer(chunk)]
    starts = [0, *accumulate(map(len, pieces))]
    for place in places(chunk):
        following = bisect_left(starts, place)
        yield list(contexts(chunk, starts[following - 1], place, addresses)), starts[following] == place


def _kind(character: str) -> str:
    return "letter" if character.isalpha() else "digit" if character.isdigit() else "mark"


def _shape(characters: str, length: int = 0) -> str:
    shape = "".join("A" if each.isupper() else "a" if each.isalpha() else "0" if each.isdigit() else each for each in characters)
    return shape if len(shape) >= length else shape + _EDGE
