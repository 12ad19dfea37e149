"""Splitting raw text into words: as a treebank does, at marks, or at white space."""

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

# ---- How a treebank splits its raw text: the comment `# text` of a sentence beside its forms.

_MISC = FIELDS.index("misc")
_NO_SPACE = "SpaceAfter=No"


@dataclass(frozen=True, slots=True)
class Surface:
    """A form as the text has it, and the words that it is made of: itself alone, unless it is a
    multiword form."""

    form: str
    words: tuple[str, ...]
    is_glued: bool | None  # whether no space follows; None where the file does not say

    @property
    def is_multiword(self) -> bool:
        """Whether it is made of other words than itself."""
        return self.words != (self.form,)


def surfaces(sentence: ConlluSentence) -> list[Surface]:
    """Return the forms of a sentence in order. Spaces are known from its comment `# text`, or else
    from SpaceAfter=No in the last column."""
    # A multiword form takes the place of its words.
    cells = sentence.cells
    spans = {first: (last, form) for first, last, form in sentence.ranges}
    forms: list[str] = []
    words: list[tuple[str, ...]] = []
    is_marked: list[bool] = []
    place = 0
    while place < len(cells):
        end, form = spans.get(place, (place + 1, cells[place][1]))
        forms.append(form)
        words.append(tuple(row[1] for row in cells[place:end]))
        is_marked.append(_NO_SPACE in cells[end - 1][_MISC].split("|"))
        place = end

    text = sentence.comment("text")
    glued: Sequence[bool | None] | None = None
    if text:
        glued = _glued(text, forms)
    elif any(is_marked):
        glued = is_marked
    if glued is None:
        glued = [None] * len(forms)
    return list(map(Surface, forms, words, glued))


def _glued(text: str, forms: list[str]) -> list[bool] | None:
    """Return for each form whether the next one follows it in `text` without a space; None where
    they are not the forms of that text."""
    starts = []
    ends = []
    position = 0
    for form in forms:
        # Skip white space, unless the form begins with it.
        while (
            position < len(text)
            and (text[position] in WORD_SPACE or text[position].isspace())
            and not text.startswith(form, position)
        ):
            position += 1
        if not form or not text.startswith(form, position):
            return None
        starts.append(position)
        position += len(form)
        ends.append(position)
    return [end == start for end, start in zip(ends, starts[1:], strict=False)] + [False]


def chunks(forms: list[Surface]) -> list[list[Surface]]:
    """Return the forms that follow each other without a space, together. There are none where the
    file does not say where spaces are, or in forms that hold some."""
    found: list[list[Surface]] = [[]]
    for form in forms:
        if form.is_glued is None:
            return []
        found[-1].append(form)
        if not form.is_glued:
            found.append([])
    return [chunk for chunk in found if chunk and not any(map(_holds_space, chunk))]


def _holds_space(form: Surface) -> bool:
    return any(character in WORD_SPACE for character in form.form)


# ---- Where a treebank cuts a chunk, the text between two spaces: `15-year` into `15 - year`, but
# not `e-mail`.
#
# A cut may lie beside each mark and between a letter and a digit. The piece since the last cut with
# the two characters that follow decides, where the treebank treats four out of five such places
# alike; else the characters on both sides, as many as were seen before: letters count as "a" or
# "A", digits as "0". Addresses (those with @, :// or www.) are treated separately.

LONGEST_PIECE = 15  # characters of a piece that is remembered
LEAST_CUTS, LEAST_CUT_SHARE = 2, 0.8  # how often such a piece must be seen, and what share alike
# Characters before and behind the place, beside the one before, from specific to general
_SIDES = ((3, 3), (2, 2), (1, 1), (0, 1))
_ADDRESS = re.compile(r"://|www\.|@")
_EDGE = "\0"  # white space


@dataclass(frozen=True)
class MarkCuts:
    """Contexts (of :class:`Context`) in which there is a cut, and those in which there is none; the
    most specific one decides."""

    cuts: frozenset[str]
    keeps: frozenset[str]

    def pieces(self, chunk: str) -> list[str]:
        """Return the pieces of a chunk."""
        found = []
        start = 0
        context = Context.of(chunk)
        for place in context.places():
            if self._is_cut(context.keys(start, place)):
                found.append(chunk[start:place])
                start = place
        return [*found, chunk[start:]]

    def _is_cut(self, keys: Iterator[str]) -> bool:
        for key in keys:
            if key in self.cuts:
                return True
            if key in self.keeps:
                return False
        return False


@dataclass(frozen=True)
class Context:
    """What may decide about cuts of a chunk. shape: its characters by kind. addresses: where marks
    of an address begin."""

    chunk: str
    shape: str
    addresses: list[int]

    @classmethod
    def of(cls, chunk: str) -> "Context":
        """Return the context of a chunk."""
        shape = "".join(map(_shape, chunk))
        addresses = [match.start() for match in _ADDRESS.finditer(chunk)]
        return cls(chunk, shape, addresses)

    def places(self) -> Iterator[int]:
        """Yield where cuts may lie: not between two letters, nor between two digits."""
        kinds = self.shape.replace("A", "a")
        for place in range(1, len(kinds)):
            if kinds[place] != kinds[place - 1] or kinds[place] not in "a0":
                yield place

    def keys(self, start: int, place: int) -> Iterator[str]:
        """Yield what may decide whether there is a cut at `place`, the last one being at `start`,
        from specific to general."""
        address = self._address(start, place)
        if not address and place - start <= LONGEST_PIECE:
            yield f"{self.chunk[start:place].lower()} {self._behind(place, 2)}"
        for before, behind in _SIDES:
            first = place - 1 - before
            edge = _EDGE if first < start else ""
            piece = self.shape[max(start, first) : place]
            yield f"{address} {edge}{piece} {self._behind(place, behind)}"

    def _address(self, start: int, place: int) -> str:
        """Return whether the next mark of an address is before the place, behind it, or nowhere."""
        following = bisect_left(self.addresses, start)
        if following == len(self.addresses):
            return ""
        return "<" if self.addresses[following] < place else ">"

    def _behind(self, place: int, count: int) -> str:
        edge = _EDGE if place + count > len(self.shape) else ""
        return self.shape[place : place + count] + edge


def learn_mark_cuts(chunks: Iterable[Sequence[str]]) -> MarkCuts:
    """Return the cuts of some chunks, each given as its pieces. Contexts that decide as more
    general ones do are left out."""
    # Count in which contexts there is a cut.
    seen: list[tuple[list[str], bool]] = []
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for pieces in chunks:
        for keys, is_cut in _examples(pieces):
            seen.append((keys, is_cut))
            for key in keys:
                counts[key][is_cut] += 1

    # The majority decides; of pieces, which have one space in their keys, only a clear one.
    decisions: dict[str, bool] = {}
    for key, count in counts.items():
        if key.count(" ") == 2 or _is_sure(count):
            decisions[key] = count[1] > count[0]

    # At each place, keep the most general context, and those that overrule the next general one.
    needed: set[str] = set()
    for keys, _ in seen:
        known = [key for key in keys if key in decisions]
        needed.add(known[-1])
        for key, general in pairwise(known):
            if decisions[key] != decisions[general]:
                needed.add(key)
    cuts = frozenset(key for key in needed if decisions[key])
    return MarkCuts(cuts, frozenset(needed - cuts))


def _is_sure(count: Sequence[int]) -> bool:
    return sum(count) >= LEAST_CUTS and max(count) >= LEAST_CUT_SHARE * sum(count)


def _examples(pieces: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Yield the contexts of each place of a chunk, and whether there is a cut."""
    context = Context.of("".join(pieces))
    starts = [0, *accumulate(map(len, pieces))]
    for place in context.places():
        following = bisect_left(starts, place)
        yield list(context.keys(starts[following - 1], place)), starts[following] == place


@functools.lru_cache(1 << 12)
def _shape(character: str) -> str:
    if character.isupper():
        return "A"
    if character.isalpha():
        return "a"
    if character.isdigit():
        return "0"
    return character


# ---- Multiword forms of a treebank, which are made of several words (don't -> do n't).
#
# A form that was seen is split as most of its occurrences are, whatever their case. An unseen form
# is split where it ends as multiword forms do: in a last word (n't, 's) that is the last word of
# nearly all forms with that end.

# In how many different forms an end must be a word, and in what share of those that end so
LEAST_WORDS, LEAST_WORD_SHARE = 3, 0.9
LONGEST_END = 8  # characters


@dataclass(frozen=True)
class Multiwords:
    """forms: words of a form, both in lower case; forms of one word are listed only where they end
    in one of the `ends`. ends: last words that are split off forms which were never seen."""

    forms: Mapping[str, tuple[str, ...]]
    ends: frozenset[str]

    def words(self, form: str) -> tuple[str, ...]:
        """Return the words that a form is made of, in its case: itself, unless it is a multiword
        form."""
        lower = form.lower()
        parts = self.forms.get(lower)
        if parts is None:
            end = _end_of(lower, self.ends)
            # In few scripts, lower case has more characters.
            if not end or len(lower) != len(form):
                return (form,)
            return form[: -len(end)], form[-len(end) :]
        if len(parts) > 1:
            return _in_case_of(form, parts)
        return (form,)


def learn_multiwords(forms: Iterable[Surface]) -> Multiwords:
    """Return the multiword forms of a treebank that has all these forms."""
    # Count how each form is split.
    seen: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for form in forms:
        words = form.words if form.is_multiword else (form.form,)
        seen[form.form.lower()][tuple(map(str.lower, words))] += 1

    # Keep what is usual, unless it follows from the form's end.
    ends = _ends(seen)
    kept = {}
    for lower, counts in seen.items():
        [(usual, _)] = counts.most_common(1)
        is_special = len(usual) > 1 or _end_of(lower, ends)
        if is_special and usual != _by_its_end(lower, ends):
            kept[lower] = usual
    return Multiwords(kept, ends)


def _ends(seen: Mapping[str, Counter[tuple[str, ...]]]) -> frozenset[str]:
    """Return the words that are the last word of nearly all forms which end so."""
    # How often each is the last of two words, and in how many forms.
    as_word: Counter[str] = Counter()
    stems: Counter[str] = Counter()
    for form, counts in seen.items():
        for words, count in counts.items():
            if len(words) == 2 and "".join(words) == form and len(words[1]) <= LONGEST_END:
                as_word[words[1]] += count
                stems[words[1]] += 1

    # How often a form ends so at all.
    in_all: Counter[str] = Counter()
    for form, counts in seen.items():
        for end in _possible_ends(form):
            if end in as_word:
                in_all[end] += counts.total()

    ends = set()
    for end, count in as_word.items():
        if stems[end] >= LEAST_WORDS and count >= LEAST_WORD_SHARE * in_all[end]:
            ends.add(end)
    return frozenset(ends)


def _possible_ends(form: str) -> Iterator[str]:
    """Yield the ends of a form, from the longest, which leave something of it."""
    for length in range(min(LONGEST_END, len(form) - 1), 0, -1):
        yield form[-length:]


def _end_of(form: str, ends: frozenset[str]) -> str:
    """Return the longest of the `ends` that a form has, and that leaves something of it, or
    nothing."""
    for end in _possible_ends(form):
        if end in ends:
            return end
    return ""


def _by_its_end(form: str, ends: frozenset[str]) -> tuple[str, ...]:
    end = _end_of(form, ends)
    if not end:
        return (form,)
    return form[: -len(end)], end


def _in_case_of(form: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a multiword form in its case."""
    # Cut them out of the form where they make it up.
    if "".join(parts) == form.lower() and len(form.lower()) == len(form):
        found = []
        start = 0
        for part in parts:
            end = start + len(part)
            found.append(form[start:end])
            start = end
        return tuple(found)

    # Otherwise capitalise them like the form.
    if len(form) > 1 and form.isupper():
        return tuple(map(str.upper, parts))
    if form[:1].isupper():
        first, *others = parts
        return (first[:1].upper() + first[1:], *others)
    return parts


# ---- A text that is split into words; splitting at white space, and at marks by the rule of the
# word tokenizer.

# The first word of a multiword form (from 0), the one after its last, and the form
Range = tuple[int, int, str]


@dataclass(frozen=True)
class SplitText:
    """A text that is split into words.

    ranges: its multiword forms. are_glued: of each word, whether no space follows it or the
    multiword form that it ends; () where that is not known.
    """

    words: tuple[str, ...]
    ranges: tuple[Range, ...] = ()
    are_glued: tuple[bool, ...] = ()


def at_white_space(text: str) -> SplitText:
    """Split a text that is tokenised already."""
    return SplitText(tuple(split_words(text)))


def at_marks(text: str) -> SplitText:
    """Split a text at white space, with punctuation marks as words, as the setting
    `split_punctuation` does."""
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
    """Learn the splitter of some CoNLL-U files."""
    files = sources.expand(tuple(fspath(path) for path in paths))

    def in_all_files() -> Iterator[ConlluSentence]:
        for source in files:
            yield from sentences(source, lines_with_ends(source, settings.encoding_errors))

    return Splitter.learn(in_all_files())


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    cuts: list[str]
    keeps: list[str]
    forms: dict[str, tuple[str, ...]]
    ends: list[str]


@dataclass(frozen=True)
class Splitter:
    """How a treebank splits text. mark_cuts: None where it does not say where its spaces are; then
    marks are split off as by the word tokenizer."""

    mark_cuts: MarkCuts | None
    multiwords: Multiwords

    @classmethod
    def learn(cls, sentences: Iterable[ConlluSentence]) -> "Splitter":
        """Learn the splitter of a treebank's training part."""
        forms: list[Surface] = []
        cut: list[list[str]] = []
        for sentence in sentences:
            found = surfaces(sentence)
            forms += found
            cut += [[form.form for form in chunk] for chunk in chunks(found)]
        mark_cuts = learn_mark_cuts(cut) if cut else None
        return cls(mark_cuts, learn_multiwords(forms))

    def split(self, text: str) -> SplitText:
        """Return the words of a raw text, its multiword forms, and where there are no spaces."""
        words: list[str] = []
        ranges: list[Range] = []
        are_glued: list[bool] = []
        for chunk in split_words(text):
            # Cut the chunk at marks.
            if self.mark_cuts:
                pieces = self.mark_cuts.pieces(chunk)
            else:
                pieces = split_words(split_punctuation(chunk))

            # A piece may be a multiword form; no space follows any but the last one.
            for number, piece in enumerate(pieces, start=1):
                parts = self.multiwords.words(piece)
                if len(parts) > 1:
                    ranges.append((len(words), len(words) + len(parts), piece))
                words += parts
                are_glued += [False] * (len(parts) - 1) + [number < len(pieces)]
        return SplitText(tuple(words), tuple(ranges), tuple(are_glued))

    def to_dict(self) -> dict[str, Any]:
        """Return texts, lists and tables of them from which :meth:`from_dict` makes it again."""
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
        """Return the splitter that was stored as `stored`; raise ModelError where it is damaged."""
        what, hint = "how the model splits text is damaged", "train it again"
        try:
            parts = msgspec.convert(stored, _Stored)
        except (ValueError, RecursionError) as error:
            raise ModelError(what, str(error), hint) from None
        if not all(words and all(words) for words in parts.forms.values()) or "" in parts.ends:
            raise ModelError(what, "a word is empty", hint)
        cuts = None
        if parts.cuts or parts.keeps:
            cuts = MarkCuts(frozenset(parts.cuts), frozenset(parts.keeps))
        return cls(cuts, Multiwords(parts.forms, frozenset(parts.ends)))
