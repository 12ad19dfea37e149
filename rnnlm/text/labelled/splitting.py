"""Raw text split into words: the way a treebank does it, at marks, or at white space."""

import functools
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from os import PathLike, fspath
from typing import Any

import msgspec

from rnnlm.errors import ModelError
from rnnlm.text import sources
from rnnlm.text.labelled.conllu import FIELDS, ConlluSentence, sentences
from rnnlm.text.labelled.example import LabelledSettings
from rnnlm.text.lines import WORD_SPACE, lines_with_ends, split_words
from rnnlm.text.tokenizers.word import split_punctuation

# ---- How a treebank splits its raw text: the comment `# text` of a sentence laid beside its forms.

_MISC = FIELDS.index("misc")
_NO_SPACE = "SpaceAfter=No"


@dataclass(frozen=True, slots=True)
class Surface:
    """A form as it stands in the text, and the words that it stands for: itself alone, unless it is
    a multiword form."""

    form: str
    words: tuple[str, ...]
    is_glued: bool | None  # whether no space follows; None where the file does not say

    @property
    def is_multiword(self) -> bool:
        """Whether it stands for other words than itself."""
        return self.words != (self.form,)


def surfaces(sentence: ConlluSentence) -> list[Surface]:
    """The forms of a sentence in order; spaces are known by its comment `# text`, or else by
    SpaceAfter=No in the last column."""
    words = [row[1] for row in sentence.cells]
    spans = {first: (last, form) for first, last, form in sentence.ranges}
    found: list[tuple[str, tuple[str, ...], bool]] = []
    place = 0
    while place < len(words):
        end, form = spans.get(place, (place + 1, words[place]))
        found.append(
            (form, tuple(words[place:end]), _NO_SPACE in sentence.cells[end - 1][_MISC].split("|"))
        )
        place = end
    text = sentence.comment("text")
    glued = _glued(text, [form for form, _, _ in found]) if text else None
    if not text and any(says_so for _, _, says_so in found):
        glued = [says_so for _, _, says_so in found]
    return [
        Surface(form, parts, glued[place] if glued else None)
        for place, (form, parts, _) in enumerate(found)
    ]


def _glued(text: str, forms: list[str]) -> list[bool] | None:
    """Of each form whether the next one follows it in `text` without a space; None where they are
    not the forms of that text."""
    places = []
    position = 0
    for form in forms:
        while (
            position < len(text)
            and (text[position] in WORD_SPACE or text[position].isspace())
            and not text.startswith(form, position)
        ):
            position += 1
        if not form or not text.startswith(form, position):
            return None
        places.append(position)
        position += len(form)
    ends = [place + len(form) for place, form in zip(places, forms, strict=True)]
    return [end == start for end, (_, start) in zip(ends, pairwise(places), strict=False)] + [False]


def chunks(forms: list[Surface]) -> list[list[Surface]]:
    """The forms that follow each other without a space; none where the file does not say where
    spaces are, or in forms that hold some."""
    found: list[list[Surface]] = [[]]
    for form in forms:
        if form.is_glued is None:
            return []
        found[-1].append(form)
        if not form.is_glued:
            found.append([])
    return [
        chunk
        for chunk in found
        if chunk and not any(character in WORD_SPACE for form in chunk for character in form.form)
    ]


# ---- Where a treebank cuts what stands between two spaces: `15-year` into `15 - year`, but not
# `e-mail`.
#
# A cut may lie beside each mark and between a letter and a digit. What decides is the piece since
# the last cut with the two characters that follow, where the treebank cuts four out of five such
# places alike; else the characters on both sides, as many as were seen before: letters count as "a"
# or "A", digits as "0". Addresses (those with @, :// or www.) are told apart.

LONGEST_PIECE = 15  # characters of a piece that is remembered
LEAST_CUTS, LEAST_CUT_SHARE = 2, 0.8  # how often such a piece is seen, and how much of that alike
# characters before and behind the place, beside the one before, from specific to general
_SIDES = ((3, 3), (2, 2), (1, 1), (0, 1))
_ADDRESS = re.compile(r"://|www\.|@")
_EDGE = "\0"  # white space


@dataclass(frozen=True)
class MarkCuts:
    """Contexts (of :class:`Context`) in which there is a cut, and those in which there is none; the
    most specific decides."""

    cuts: frozenset[str]
    keeps: frozenset[str]

    def pieces(self, chunk: str) -> list[str]:
        """The pieces of what stands between two spaces."""
        found, start, context = [], 0, Context.of(chunk)
        for place in context.places():
            known = (
                key for key in context.keys(start, place) if key in self.cuts or key in self.keeps
            )
            if next(known, None) in self.cuts:
                found.append(chunk[start:place])
                start = place
        return [*found, chunk[start:]]


@dataclass(frozen=True)
class Context:
    """What may decide about cuts of a chunk. shape: its characters as they count. addresses: where
    marks of an address begin."""

    chunk: str
    shape: str
    addresses: list[int]

    @classmethod
    def of(cls, chunk: str) -> "Context":
        """That of what stands between two spaces."""
        return cls(
            chunk,
            "".join(map(_shape, chunk)),
            [match.start() for match in _ADDRESS.finditer(chunk)],
        )

    def places(self) -> Iterator[int]:
        """Where cuts may lie: not between two letters, nor between two digits."""
        kinds = self.shape.replace("A", "a")
        return (
            place
            for place in range(1, len(kinds))
            if kinds[place] != kinds[place - 1] or kinds[place] not in "a0"
        )

    def keys(self, start: int, place: int) -> Iterator[str]:
        """What may decide whether there is a cut at `place`, the last one being at `start`, from
        specific to general."""
        following = bisect_left(self.addresses, start)
        address = (
            ""
            if following == len(self.addresses)
            else "<"
            if self.addresses[following] < place
            else ">"
        )
        if not address and place - start <= LONGEST_PIECE:
            yield f"{self.chunk[start:place].lower()} {self._behind(place, 2)}"
        for before, behind in _SIDES:
            first = place - 1 - before
            yield (
                f"{address} "
                f"{_EDGE if first < start else ''}{self.shape[max(start, first) : place]} "
                f"{self._behind(place, behind)}"
            )

    def _behind(self, place: int, count: int) -> str:
        return self.shape[place : place + count] + (
            _EDGE if place + count > len(self.shape) else ""
        )


def learn_mark_cuts(chunks: Iterable[Sequence[str]]) -> MarkCuts:
    """The cuts of some chunks, each given as its pieces. Contexts that decide as more general ones
    do are left out."""
    seen: list[tuple[list[str], bool]] = []
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for pieces in chunks:
        for keys, is_cut in _examples(pieces):
            seen.append((keys, is_cut))
            for key in keys:
                counts[key][is_cut] += 1
    decisions = {
        key: count[1] > count[0]
        for key, count in counts.items()
        if key.count(" ") == 2 or _is_sure(count)
    }
    needed: set[str] = set()
    for keys, _ in seen:
        known = [key for key in keys if key in decisions]
        needed.add(known[-1])
        needed.update(
            key for key, general in pairwise(known) if decisions[key] != decisions[general]
        )
    return MarkCuts(
        frozenset(key for key in needed if decisions[key]),
        frozenset(key for key in needed if not decisions[key]),
    )


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
    return (
        "A"
        if character.isupper()
        else "a"
        if character.isalpha()
        else "0"
        if character.isdigit()
        else character
    )


# ---- Multiword forms: which forms of a text stand for several words (don't -> do n't), as a
# treebank has them.
#
# A form that was seen is what most of its occurrences are, whatever their case. One that was not is
# split where it ends as multiword forms do: in a last word (n't, 's) that nearly all forms with
# that end have as theirs.

# of how many different forms an end is a word, and of how many that it ends
LEAST_WORDS, LEAST_WORD_SHARE = 3, 0.9
LONGEST_END = 8  # characters


@dataclass(frozen=True)
class Multiwords:
    """forms: by a form in lower case its words, also in lower case; forms of one word are there
    only where they end in one of the `ends`: last words that are split off forms which were never
    seen."""

    forms: Mapping[str, tuple[str, ...]]
    ends: frozenset[str]

    def words(self, form: str) -> tuple[str, ...]:
        """The words that a form stands for, in its case: itself, unless it is a multiword form."""
        lower = form.lower()
        if (parts := self.forms.get(lower)) is not None:
            return _in_case_of(form, parts) if len(parts) > 1 else (form,)
        for length in range(min(LONGEST_END, len(form) - 1), 0, -1):
            if lower[-length:] in self.ends and len(lower) == len(form):
                return form[:-length], form[-length:]
        return (form,)


def learn_multiwords(forms: Iterable[Surface]) -> Multiwords:
    """The multiword forms of a treebank, of which these are all forms."""
    seen: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for form in forms:
        seen[form.form.lower()][
            tuple(word.lower() for word in form.words)
            if form.is_multiword
            else (form.form.lower(),)
        ] += 1
    usual = {
        form: max(counts.items(), key=lambda item: item[1])[0] for form, counts in seen.items()
    }
    ends = _ends(seen)
    kept = {form: words for form, words in usual.items() if len(words) > 1 or _end_of(form, ends)}
    return Multiwords(
        {form: words for form, words in kept.items() if words != _by_its_end(form, ends)}, ends
    )


def _ends(seen: Mapping[str, Counter[tuple[str, ...]]]) -> frozenset[str]:
    """The last words that nearly all forms which end so have as theirs."""
    as_word: Counter[str] = Counter()
    stems: Counter[str] = Counter()
    for form, counts in seen.items():
        for words, count in counts.items():
            if len(words) == 2 and "".join(words) == form and len(words[1]) <= LONGEST_END:
                as_word[words[1]] += count
                stems[words[1]] += 1
    in_all: Counter[str] = Counter()
    for form, counts in seen.items():
        for length in range(1, min(LONGEST_END, len(form) - 1) + 1):
            if form[-length:] in as_word:
                in_all[form[-length:]] += counts.total()
    return frozenset(
        end
        for end, count in as_word.items()
        if stems[end] >= LEAST_WORDS and count >= LEAST_WORD_SHARE * in_all[end]
    )


def _end_of(form: str, ends: frozenset[str]) -> str:
    """The longest of the `ends` with which a form ends, and which leaves something of it."""
    return next(
        (
            form[-length:]
            for length in range(min(LONGEST_END, len(form) - 1), 0, -1)
            if form[-length:] in ends
        ),
        "",
    )


def _by_its_end(form: str, ends: frozenset[str]) -> tuple[str, ...]:
    end = _end_of(form, ends)
    return (form[: -len(end)], end) if end else (form,)


def _in_case_of(form: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a multiword form: cut out of it where they make it up, else capitalised as it
    is."""
    if "".join(parts) == form.lower() and len(form.lower()) == len(form):
        found, start = [], 0
        for part in parts:
            found.append(form[start : start + len(part)])
            start += len(part)
        return tuple(found)
    if len(form) > 1 and form.isupper():
        return tuple(part.upper() for part in parts)
    return (parts[0][:1].upper() + parts[0][1:], *parts[1:]) if form[:1].isupper() else parts


# ---- A text that is split into words; splitting at white space, and at marks by the rule of the
# word tokenizer.

# of a multiword form its first word (from 0), the one behind its last, and its form
Range = tuple[int, int, str]


@dataclass(frozen=True)
class SplitText:
    """A text that is split into words.

    ranges: its multiword forms. are_glued: of each word, whether no space follows it or the
    multiword form that it ends; () where nobody knows.
    """

    words: tuple[str, ...]
    ranges: tuple[Range, ...] = ()
    are_glued: tuple[bool, ...] = ()


def at_white_space(text: str) -> SplitText:
    """A text that is tokenised already."""
    return SplitText(tuple(split_words(text)))


def at_marks(text: str) -> SplitText:
    """A text split at white space, with punctuation marks as words of their own, as the setting
    `split_punctuation` has it."""
    words: list[str] = []
    are_glued: list[bool] = []
    for chunk in split_words(text):
        parts = split_words(split_punctuation(chunk))
        words += parts
        are_glued += [True] * (len(parts) - 1) + [False]
    return SplitText(tuple(words), (), tuple(are_glued))


# ---- Raw text split into words as a treebank splits its own: cuts at marks, then multiword forms,
# which become ranges of words.


def learn_splitter(paths: Iterable[str | PathLike[str]], settings: LabelledSettings) -> "Splitter":
    """The splitter of some CoNLL-U files.

    Raises:
        TextError: one cannot be read, or is not as the format has it.
    """
    files = sources.expand(tuple(fspath(path) for path in paths))
    return Splitter.learn(
        each
        for source in files
        for each in sentences(source, lines_with_ends(source, settings.encoding_errors))
    )


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    cuts: list[str]
    keeps: list[str]
    forms: dict[str, tuple[str, ...]]
    ends: list[str]


@dataclass(frozen=True)
class Splitter:
    """How a treebank splits text. mark_cuts: None where it does not say where its spaces are; marks
    are split off by the rule of the word tokenizer then."""

    mark_cuts: MarkCuts | None
    multiwords: Multiwords

    @classmethod
    def learn(cls, sentences: Iterable[ConlluSentence]) -> "Splitter":
        """The splitter of a treebank's training part."""
        forms: list[Surface] = []
        cut: list[list[str]] = []
        for sentence in sentences:
            found = surfaces(sentence)
            forms += found
            cut += [[form.form for form in chunk] for chunk in chunks(found)]
        return cls(learn_mark_cuts(cut) if cut else None, learn_multiwords(forms))

    def split(self, text: str) -> SplitText:
        """The words of a raw text, its multiword forms, and where there are no spaces."""
        words: list[str] = []
        ranges: list[Range] = []
        are_glued: list[bool] = []
        for chunk in split_words(text):
            pieces = (
                self.mark_cuts.pieces(chunk)
                if self.mark_cuts
                else split_words(split_punctuation(chunk))
            )
            for number, piece in enumerate(pieces, start=1):
                parts = self.multiwords.words(piece)
                if len(parts) > 1:
                    ranges.append((len(words), len(words) + len(parts), piece))
                words += parts
                are_glued += [False] * (len(parts) - 1) + [number < len(pieces)]
        return SplitText(tuple(words), tuple(ranges), tuple(are_glued))

    def to_dict(self) -> dict[str, Any]:
        """What :meth:`from_dict` makes it of again: texts, lists and tables of them."""
        cuts = self.mark_cuts or MarkCuts(frozenset(), frozenset())
        multiwords = self.multiwords
        forms = {form: list(words) for form, words in sorted(multiwords.forms.items())}
        return {
            "cuts": sorted(cuts.cuts),
            "keeps": sorted(cuts.keeps),
            "forms": forms,
            "ends": sorted(multiwords.ends),
        }

    @classmethod
    def from_dict(cls, stored: object) -> "Splitter":
        """The splitter that was stored so.

        Raises:
            ModelError: it is damaged.
        """
        try:
            parts = msgspec.convert(stored, _Stored)
        except (ValueError, RecursionError) as error:
            raise ModelError(
                "how the model splits text is damaged", str(error), "train it again"
            ) from None
        if not all(words and all(words) for words in parts.forms.values()) or "" in parts.ends:
            raise ModelError(
                "how the model splits text is damaged", "a word is empty", "train it again"
            )
        cuts = (
            MarkCuts(frozenset(parts.cuts), frozenset(parts.keeps))
            if parts.cuts or parts.keeps
            else None
        )
        return cls(cuts, Multiwords(parts.forms, frozenset(parts.ends)))
