"""Name or count the words of texts that a model does not know, and find punctuation marks that are
parts of words, as in raw prose: in training, a notice is sent if many words of a text have some; in
scoring, if a model knows an unknown word with another one.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.errors import first_of, keyword, notice
from rnnlm.interface import BOUNDARY, Encoded, Tokenizer
from rnnlm.text.lines import split_words

MOST_UNKNOWN = 1000  # different unknown words that are looked at
MOST_TEXTS = 10  # whose unknown words are named
MOST_NAMES = 20


def unknown_words(lines: Sequence[str], encoded: Encoded, tokenizer: Tokenizer) -> list[str]:
    """Return the unknown words of the first MOST_UNKNOWN lines that have any."""
    line_of = np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1
    # numpy's own unique() would import numpy.ma first, which takes as long as scoring a line.
    is_first = np.diff(line_of, prepend=-1) > 0
    touched = line_of[is_first][:MOST_UNKNOWN].tolist()
    surfaces = tokenizer.surfaces([lines[line] for line in touched])
    surface_of = dict(zip(touched, surfaces, strict=True))
    places = zip(line_of.tolist(), encoded.oov.tolist(), strict=True)
    return [
        surface_of[line][at - encoded.offsets[line]] for line, at in places if line in surface_of
    ]


@dataclass
class UnknownWords:
    """The words of some texts that a model reads as `<unk>`, for one notice after all of them.

    A model that reads characters or pieces, be it of unknown words alone, has none.
    """

    texts: int = 0
    words: int = 0
    unknown: int = 0
    names: dict[str, None] = field(default_factory=dict)

    def add(self, lines: Sequence[str], tokenizer: Tokenizer) -> None:
        """Add texts, as the tokenizer of the model reads them."""
        if not lines or tokenizer.name != "word" or tokenizer.spells:
            return
        encoded = tokenizer.encode(lines)
        names: dict[str, None] = {}
        if self.texts + len(lines) <= MOST_TEXTS:
            names = dict.fromkeys(unknown_words(lines, encoded, tokenizer))
        words = len(encoded.ids) - len(lines)
        self.join(UnknownWords(len(lines), words, len(encoded.oov), names))

    def join(self, others: "UnknownWords") -> None:
        """Add the words of other texts."""
        self.texts += others.texts
        self.words += others.words
        self.unknown += others.unknown
        self.names |= others.names

    def tell(self, model: str = "the model") -> None:
        """Send the notice, if there are such words. model: what it is called."""
        if not self.unknown:
            return
        shown = f"{self.unknown:,} of {self.words:,}"
        if self.texts <= MOST_TEXTS:
            shown = f"{first_of(list(self.names), MOST_NAMES)} ({shown})"
        notice(f"words {model} does not know, read as <unk>: {shown}")


def tell_unknown(lines: Sequence[str], tokenizer: Tokenizer) -> None:
    """Send a notice of the words of texts that a model does not know, if there are any."""
    unknown = UnknownWords()
    unknown.add(lines, tokenizer)
    unknown.tell()


# ---- Punctuation marks that are parts of words.

_GLUED = '.,;:!?"()'
_GLUED_KINDS = ("Pe", "Pf", "Pi", "Po", "Ps")  # Unicode's closing, quotation, other, opening marks
_SINGLE_QUOTES = "\u2018\u2019"


def glues_marks(tokenizer: Tokenizer) -> bool:
    """Return whether a mark next to a word is a part of it."""
    settings = tokenizer.to_settings()
    splits = settings.get("split_punctuation") or settings.get("remove_punctuation")
    return tokenizer.name == "word" and not splits


def tell_glued(words: Iterable[str], tokenizer: Tokenizer, name: str) -> None:
    """Send a notice of the unknown `words` that the model of that name knows with a punctuation
    mark at their side, or without the one they have."""
    forms: list[tuple[str, str]] = []
    for word in dict.fromkeys(words):
        bare = word.strip(_GLUED)
        with_marks = [word + mark for mark in _GLUED] + [mark + word for mark in _GLUED]
        if bare not in ("", word):
            with_marks.append(bare)
        forms += [(word, form) for form in with_marks]
    if not forms or not glues_marks(tokenizer):
        return

    # A form is known if no token of it is unknown.
    encoded = tokenizer.encode([form for _, form in forms])
    unknown = set(np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1)
    known: dict[str, str] = {}
    for number, (word, form) in enumerate(forms):
        if number not in unknown:
            known.setdefault(word, form)
    if known:
        word, form = next(iter(known.items()))
        more = f", and {len(known) - 1:,} more like that" if len(known) > 1 else ""
        notice(
            f"for {name}, punctuation marks are parts of words: it knows {form!r}, but not "
            f"{word!r}{more}. rnnlm train TEXT --split-punctuation separates them"
        )


def tell_glued_in(lines: Sequence[str], tokenizer: Tokenizer, name: str) -> None:
    """Send the notice of :func:`tell_glued` of the words in some lines."""
    if glues_marks(tokenizer):
        normalised = tokenizer.normalise(lines)
        tell_glued(
            unknown_words(normalised, tokenizer.encode(normalised), tokenizer), tokenizer, name
        )


# ---- Marks that are parts of words in a whole text, as in raw prose.

LEAST_GLUED = 0.05  # raw prose has 0.09 to 0.28, tokenized text up to 0.02
LEAST_WORDS = 500  # of a third of a text that is judged alone


def share_of_glued(lines: Sequence[str]) -> tuple[float, str]:
    """Return the share of the words in the lines of a text that have punctuation marks as parts,
    and of which words it is; 0 where more marks stand alone, as in a text that is tokenized
    already.

    Raw and tokenized text may follow each other, so each third is judged, too.
    """
    share = _glued_if_raw(lines)
    if share >= LEAST_GLUED:
        return share, "the words"
    third = len(lines) // 3 + 1
    thirds = [lines[start : start + third] for start in range(0, len(lines), third)]
    raw = max((_glued_if_raw(part, LEAST_WORDS) for part in thirds), default=0.0)
    return (raw, "the words in a part") if raw >= LEAST_GLUED else (share, "the words")


def _glued_if_raw(lines: Sequence[str], least_words: int = 0) -> float:
    words = Counter(split_words("\n".join(lines)))
    glued, alone = _glued_and_alone(words)
    return glued / words.total() if glued > alone and words.total() >= least_words else 0.0


def _glued_and_alone(words: Mapping[str, int]) -> tuple[int, int]:
    """Return how many words have marks as parts, and how many are marks alone."""
    # Marks of other scripts are split from words, too; apostrophes are parts of words.
    characters = set().union(*words)
    others = [mark for mark in characters if mark > "\x7f" and mark not in _SINGLE_QUOTES]
    marks = _GLUED + "".join(mark for mark in others if unicodedata.category(mark) in _GLUED_KINDS)
    glued = sum(count for word, count in words.items() if word.strip(marks) not in ("", word))
    alone = sum(count for word, count in words.items() if not word.strip(marks))
    return glued, alone


def tell_unsplit(tokenizer: Tokenizer) -> None:
    """Send a notice if marks are parts of many words of a text, of which the tokenizer was made
    without splitting them as a sample of the text had few."""
    if not glues_marks(tokenizer) or tokenizer.counts_V is None:
        return
    words = dict(zip(tokenizer.symbols(), tokenizer.counts_V.tolist(), strict=True))
    words.pop(BOUNDARY, None)
    share = _glued_and_alone(words)[0] / max(1, sum(words.values()))
    if share >= LEAST_GLUED:
        notice(
            f"punctuation marks are parts of {share:.0%} of the words, though not where the text "
            "begins: " + keyword("split_punctuation", True) + " separates them"
        )
