"""Count characters that messy text writes in several forms, and send notices: in training, if the
text mixes forms; in evaluation, if the model has never seen a form.

A mark is a curly quotation mark, a dash, a space that is not plain, a soft hyphen, an HTML entity,
or a letter with a separate accent behind it. White space other than single spaces between words is
reported, and so are punctuation marks that are parts of words, lines that are no sentences, and
scripts without blanks between words. Words that a model does not know are named or counted.
"""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import first_of, keyword, notice
from rnnlm.interface import BOUNDARY, Encoded, Tokenizer
from rnnlm.text.lines import (
    WORD_SPACE,
    Block,
    Lines,
    as_bytes,
    place_of_words,
    split_cells,
    split_words,
)
from rnnlm.text.normalisation import DASHES, ENTITY, QUOTES, SOFT_HYPHEN, WIDE_SPACES, meaning
from rnnlm.text.tokenizer_settings import FORMS, TokenizerSettings

# A notice is sent only if the rarer form occurs LEAST_COUNT times or more, and makes up LEAST_SHARE
# of both forms or more.
LEAST_COUNT, LEAST_SHARE = 3, 0.001
MOST_SHOWN = 4
_CHARACTERS = {
    **dict.fromkeys(QUOTES, "quotes"),
    **dict.fromkeys(DASHES, "dashes"),
    **dict.fromkeys(WIDE_SPACES + SOFT_HYPHEN, "spaces"),
}
_MARKS = re.compile(f"[{re.escape(''.join(_CHARACTERS))}]")
_ACCENT = re.compile("[\u0300-\u036f]")
# How texts write the plain form of a mark. A hyphen inside a word is no dash.
_PLAIN = {"'": (b"'",), '"': (b'"',), "-": (b" - ", b"--")}


def count_marks(lines: Iterable[str]) -> Counter[str]:
    """Return how often each mark occurs in `lines`."""
    # Most lines are plain ASCII, which is cheap to check: search only the others.
    if isinstance(lines, Lines):
        bytes_N = np.frombuffer(lines.data, dtype=np.uint8)
        places = np.flatnonzero((bytes_N >= 0x80) | (bytes_N == ord("&")))
        line_of_place = np.searchsorted(lines.ends, places, side="right")
        others = line_of_place[np.diff(line_of_place, prepend=-1) > 0]
        starts = np.append(0, lines.ends)[others].tolist()
        stops = lines.ends[others].tolist()
        form_bytes = [lines.data[start:stop] for start, stop in zip(starts, stops, strict=True)]
        text = b"".join(form_bytes).decode("utf-8")
    else:
        text = "\n".join([line for line in lines if not line.isascii() or "&" in line])
    counts = Counter(_MARKS.findall(text))
    if _ACCENT.search(text):
        counts.update(_accented(text))
    if "&" in text:
        counts.update(filter(meaning, ENTITY.findall(text)))
    return counts


def _accented(text: str) -> dict[str, int]:
    """Return how often each character comes before an accent that NFC joins it with."""
    # Texts may be full of accents, so pairs are counted in numpy: as one number of two code points.
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    places = np.flatnonzero((points[1:] >= 0x0300) & (points[1:] <= 0x036F))
    codes = points[places].astype(np.int64) << 32 | points[places + 1]
    different, counts = np.unique(codes, return_counts=True)

    pairs = [chr(code >> 32) + chr(code & 0xFFFFFFFF) for code in different.tolist()]
    counted = zip(pairs, counts.tolist(), strict=True)
    return {pair: count for pair, count in counted if not unicodedata.is_normalized("NFC", pair)}


def form_of(mark: str) -> str:
    """Return the form of :mod:`rnnlm.text.normalisation` that reads a mark as its plain form."""
    return _CHARACTERS.get(mark) or ("entities" if mark[0] == "&" else "nfc")


def tell_unseen(marks: Mapping[str, int], tokenizers: Mapping[str, Tokenizer]) -> None:
    """Send a notice of those `marks` of a text that a model never saw, if there are any.
    tokenizers: by the names of their models."""
    if not marks:
        return
    # Collect the marks that at least one model does not know, and these models.
    unseen: Counter[str] = Counter()
    models = []
    for name, tokenizer in tokenizers.items():
        unseen_marks = {mark: count for mark, count in marks.items() if _is_unseen(mark, tokenizer)}
        unseen |= Counter(unseen_marks)
        if unseen_marks:
            models.append(name)
    if not unseen:
        return

    forms = ",".join(sorted({form_of(mark) for mark in unseen}))
    *others, last = models
    unknown_to = f"{', '.join(others)} and {last}" if others else last
    which = "these" if others else "this one"
    notice(
        f"{_counts_in_words(unseen)}: unknown to {unknown_to}. A model trained with "
        + keyword("normalise", forms)
        + f" reads their plain forms; for {which}, normalise the text first "
        "(rnnlm.normalise)"
    )


# ---- White space that a person does not see, and marks that are parts of words.

_ODD_SPACE = re.compile(rf"(?m)^[{WORD_SPACE}]|[{WORD_SPACE}]$|[{WORD_SPACE}]{{2}}|[\t\r]")
_GLUED = '.,;:!?"()'
_GLUED_KINDS = ("Pe", "Pf", "Pi", "Po", "Ps")  # Unicode's closing, quotation, other, opening marks
_SINGLE_QUOTES = "\u2018\u2019"
MOST_UNKNOWN = 1000  # different unknown words that are looked at


def count_odd_spaces(lines: Sequence[str]) -> int:
    """Return how many lines hold white space other than one space between words."""
    # Most lines have none, which is found much faster without the pattern.
    text = "\n".join(["", *lines, ""])
    if not any(space in text for space in ("  ", "\n ", " \n", *WORD_SPACE[1:])):
        return 0
    suspects = [
        line
        for line in lines
        if "  " in line or not line.isprintable() or line != line.strip(WORD_SPACE)
    ]
    return sum(_ODD_SPACE.search(line) is not None for line in suspects)


def tell_odd_spaces(
    count: int,
    tokenizers: Mapping[str, Tokenizer],
    hint: str = ": " + keyword("strip", True) + " reads one space",
) -> None:
    """Send a notice of `count` sentences with such white space, if a model reads it. tokenizers: by
    the names of their models. hint: the way out."""
    models = [name for name, tokenizer in tokenizers.items() if count and _keeps_space(tokenizer)]
    if not models:
        return
    which = "1 sentence holds" if count == 1 else f"{count:,} sentences hold"
    notice(
        f"{which} irregular white space (leading, trailing or doubled), which changes the scores "
        f"of {' and '.join(models)}" + hint
    )


def _keeps_space(tokenizer: Tokenizer) -> bool:
    encoded = tokenizer.encode(["a b", "a  b", " a b", "a b "])
    once, *others = np.split(encoded.ids, encoded.offsets[1:-1])
    return any(not np.array_equal(once, other) for other in others)


def glues_marks(tokenizer: Tokenizer) -> bool:
    """Return whether a mark next to a word is a part of it."""
    settings = tokenizer.to_settings()
    splits = settings.get("split_punctuation") or settings.get("remove_punctuation")
    return tokenizer.name == "word" and not splits


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


# ---- Words that a model does not know: those of a few texts are named, those of more are counted.

MOST_TEXTS = 10  # whose unknown words are named
MOST_NAMES = 20


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


def tell_glued_in(lines: Sequence[str], tokenizer: Tokenizer, name: str) -> None:
    """Send the notice of :func:`tell_glued` of the words in some lines."""
    if glues_marks(tokenizer):
        normalised = tokenizer.normalise(lines)
        tell_glued(
            unknown_words(normalised, tokenizer.encode(normalised), tokenizer), tokenizer, name
        )


# ---- Scripts without blanks between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana and Han.

_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff"
    "\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
)
LEAST_UNSPACED = 8  # characters between blanks; texts divided into words have up to 5.5


def lacks_blanks(lines: Iterable[str]) -> bool:
    """Return whether a text is not divided into words by blanks: at least half of its letters are
    of a script without them, and there are LEAST_UNSPACED of these or more between two blanks."""
    text = "\n".join(lines)
    unspaced = "".join(_UNSPACED.findall(text))
    if len(unspaced) < LEAST_UNSPACED * max(1, len(split_words(text))):
        return False
    return 2 * sum(map(str.isalpha, unspaced)) >= sum(map(str.isalpha, text))


def tell_unspaced(lines: Iterable[str], hint: str) -> None:
    """Send a notice if the words of a text are not separated by blanks. hint: what that means."""
    if lacks_blanks(lines):
        notice(
            "the script of the text has no blanks between words (as Chinese, Japanese, Thai, Lao, "
            "Khmer, Myanmar and Tibetan): " + hint
        )


def tell_unspaced_words(lines: Iterable[str], tokenizer: str) -> None:
    """Send a notice if a tokenizer of that kind, for a training text, takes phrases for words."""
    if tokenizer == "word":
        tell_unspaced(
            lines,
            "what is learned as words are whole phrases; "
            + keyword("tokenizer", "char")
            + " reads characters, "
            + keyword("tokenizer", "sentencepiece")
            + " learns parts of words",
        )


# ---- Lines of hard-wrapped prose.

_OPENING = "\"'\u201c\u2018\u201e\u00ab\u00bf\u00a1([*_"
_SENTENCE_END = re.compile(r"""[.!?\u3002\uff01\uff1f\u2026]["'\u201d\u2019)\]\u00bb*_]*$""")


def wrapped_at(lines: Sequence[str]) -> int:
    """Return the width at which the lines of a text are wrapped; 0 where they are not.

    A line is full if the first word of the next would not have fitted. In wrapped prose, at least a
    quarter of the lines end neither a sentence nor a paragraph, and six in ten of these are full.
    """
    stripped = [line.rstrip() for line in lines]
    lengths = sorted(len(line) for line in stripped if line.strip())
    if len(lengths) < 50:
        return 0
    width = lengths[int(0.98 * (len(lengths) - 1))]
    # Records of one form are as long as each other: they repeat, or begin with numbers and signs.
    unended = {
        (line, following)
        for line, following in itertools.pairwise(stripped)
        if line.strip() and following.strip() and not _SENTENCE_END.search(line)
    }
    full = 0
    for line, following in unended:
        word = following.split()[0]
        is_full = len(line) + 1 + len(word) > 0.94 * width
        full += is_full and word.lstrip(_OPENING)[:1].isalpha()
    is_prose = 40 <= width <= 130 and len(unended) >= len(lengths) / 4 and not lacks_blanks(lines)
    return width if is_prose and full >= 0.6 * len(unended) else 0


def tell_wrapped(lines: Sequence[str]) -> None:
    """Send a notice if the lines of a training text look wrapped."""
    width = wrapped_at(lines)
    if width:
        notice(
            f"the text looks wrapped at {width} characters, so most of its lines are no sentences, "
            "and line ends are learned as sentence ends: "
            + keyword("unwrap", True)
            + " joins the lines, and divides the text into sentences"
        )


# ---- Lines that hold more than the words of a sentence.

BETWEEN = " "  # follows each part of a sample: a blank line that no text has in this form
LEAST_ROWS = 5  # lines that show times or mark-up
LEAST_IDS = 200  # lines that show ids
ALMOST_ALL = 0.99  # of the lines: a sample may cut one off
LEAST_MARKED = 0.1  # of the lines of a text with mark-up
# Lines of transcripts with two columns of times, and the command that takes their words. Those of
# CTM, one a line, are divided where half a second passes between two.
_TIMES = r"\d+(?:\.\d*)?\s+\d+(?:\.\d*)?"
_TIMED = {
    "STM": (
        re.compile(rf"(?=.*[^\W\d_])((?:\S+\s+){{3}}{_TIMES})(?:\s.*)?"),
        """awk '!/^;;/ {$1 = $2 = $3 = $4 = $5 = ""; sub(/^ +(<[^>]*> *)?/, ""); print}'""",
    ),
    "CTM": (
        re.compile(rf"(?=.*[^\W\d_])((?:\S+\s+){{2}}{_TIMES})\s+\S.*"),
        (
            r"""awk '!/^;;/ {space = $1 $2 != id || $3 > end + 0.5 ? "\n" : " "; """
            """printf "%s%s", n++ ? space : "", $5; id = $1 $2; end = $3 + $4} END {print ""}'"""
        ),
    ),
}
# A closing tag, one with attributes, a link or template of a wiki; <s>, </s> and <unk> are words.
_MARKUP = re.compile(
    r"</(?!s>)[a-z][\w:.-]*>|<[a-z][\w:.-]* [^<>=]*=[^<>]*>|<br ?/?>|\[\[[^][]+\]\]|\{\{[^{}]+",
    re.IGNORECASE,
)
_MARKUP_START = re.compile(r"\s*<(?:!doctype|\?xml|html|mediawiki)\b", re.IGNORECASE)


def tell_form(lines: Sequence[str], unwraps: bool) -> None:
    """Send a notice if a sample of a training text has lines that are no plain sentences: rows of a
    table, transcripts with times or ids, mark-up or, unless they will be joined, wrapped prose."""
    for what, command in _forms(lines):
        notice(f"{what}, and all of it is read as text. The words alone: {command} FILE > NEW")
        return
    if not unwraps:
        tell_wrapped(lines)


def _forms(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what the lines of a sample look like, and the command that leaves their words."""
    # A table of the CoNLL shared tasks: a column numbers the words of several sentences. Only the
    # first part of a sample begins with a sentence.
    first_part = itertools.takewhile(lambda line: line != BETWEEN, lines)
    words = [line for line in first_part if line.strip(WORD_SPACE) and line[0] != "#"]
    has_tabs, count, rows = split_cells(words)
    whole = [row for row in rows if len(row) == count]
    place = place_of_words(whole)
    numbers = [row[place - 1] for row in whole]
    if place > 0 and numbers.count(numbers[0]) > 1 and 3 * len(whole) >= 2 * len(rows):
        tabs = r"-F'\t' " if has_tabs else ""
        command = (
            f'awk {tabs}\'${place} ~ /^[0-9]+$/ {{line = line " " ${place + 1}}} '
            r'/^[ \t\r]*$/ && line {print substr(line, 2); line = ""} '
            "END {if (line) print substr(line, 2)}'"
        )
        yield f"the text looks like a table with a row a word, in column {place + 1}", command

    # A transcript with names and times, which seldom repeat, and comments.
    filled = [line for line in lines if line.strip(WORD_SPACE)]
    spoken = [line for line in filled if not line.startswith(";;")]
    for name, (pattern, command) in _TIMED.items():
        timed = list(filter(None, map(pattern.fullmatch, spoken)))
        differ = 2 * len({match[1] for match in timed}) > len(timed)
        if differ and len(timed) >= max(LEAST_ROWS, ALMOST_ALL * len(spoken)):
            yield f"the text looks like a transcript with times ({name})", command

    marked = sum(_MARKUP.search(line) is not None for line in filled)
    is_marked = marked >= max(LEAST_ROWS, LEAST_MARKED * len(filled))
    if is_marked or any(map(_MARKUP_START.match, filled[:1])):
        yield (
            "the text holds mark-up (HTML, XML or of a wiki)",
            r"sed -E 's/<[^>]*>|\{\{[^}]*\}\}|\[\[([^]|]*\|)?|\]\]//g'",
        )

    # Ids: words that occur once, at all beginnings or ends. (Samples may overlap, and phrases of
    # scripts without blanks seldom occur twice.)
    rows = [split_words(line) for line in dict.fromkeys(filled)]
    counts = Counter(itertools.chain.from_iterable(rows))
    cut = "cut -f2- -s" if "\t" in "".join(filled[:1]) else "cut -d' ' -f2- -s"
    without_last = "sed 's/[[:space:]]*[^[:space:]]*[[:space:]]*$//'"
    for side, place, command in (("begins", 0, cut), ("ends", -1, without_last)):
        once = [row[place] for row in rows if counts[row[place]] == 1]
        ids = sum(not _UNSPACED.search(word) for word in once)
        are_sentences = 2 * sum(len(row) > 1 for row in rows) >= len(rows)
        if are_sentences and ids >= max(LEAST_IDS, ALMOST_ALL * len(rows)):
            yield f"each line {side} with a word that occurs once, as ids do", command


def _is_unseen(mark: str, tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer reads the mark as it is, and it is neither part of a symbol that
    occurs in the training text, nor made of pieces that do."""
    settings = tokenizer.to_settings()
    form = form_of(mark)
    is_removed = settings.get("remove_punctuation") and form in ("quotes", "dashes")
    if is_removed or form in (settings.get("normalise") or "").split(","):
        return False
    text, data = tokenizer.seen_text
    mark = tokenizer.normalise([mark])[0].strip(" ")
    if not tokenizer.keeps_case:
        mark = mark.lower()
    if tokenizer.name == "word":
        return mark not in text
    return any(part not in text and not set(part.encode("utf-8")) <= set(data) for part in mark)


def watch_forms(blocks: Iterable[Block], settings: "TokenizerSettings") -> Iterator[Block]:
    """Yield the blocks of a training text. At its end, a notice names characters that it writes in
    two forms, which `settings` keep apart."""
    marks: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for block in blocks:
        yield block
        marks.update(count_marks(block.lines))
        plain.update(count_plain(as_bytes(block.lines)))
    tell_mixed(marks, plain, settings)


def count_plain(data: bytes) -> dict[str, int]:
    """Return how often lines hold the plain form of a mark, by its character."""
    return {character: sum(map(data.count, ways)) for character, ways in _PLAIN.items()}


def tell_mixed(
    marks: Mapping[str, int], plain: Mapping[str, int], settings: "TokenizerSettings"
) -> None:
    """Send a notice of characters that a training text writes in two forms, if there are any.
    marks, plain: results of :func:`count_marks` and :func:`count_plain`."""
    # The forms that the tokenizer's settings leave as they are: it would learn both.
    apart = {*FORMS} - {*(settings.normalise or "").split(",")}
    if settings.remove_punctuation:
        apart -= {"dashes", "quotes"}

    mixed = []
    forms: set[str] = set()
    for character, others in _by_plain_form(marks).items():
        counts = Counter({mark: marks[mark] for mark in others if form_of(mark) in apart})
        text = _counts_in_words(counts)
        # A space, an entity or an accent has no plain form that is worth counting.
        rarer = total = counts.total()
        if character in _PLAIN:
            rarer = min(rarer, plain[character])
            total += plain[character]
            text = f"{character} {plain[character]:,} times and {text}"
        if rarer >= LEAST_COUNT and rarer >= LEAST_SHARE * total:
            mixed.append(text)
            forms.update(map(form_of, counts))
    if mixed:
        notice(
            "the training text writes characters in two forms, which the model treats as "
            f"different: {'; '.join(mixed)}. "
            + keyword("normalise", ",".join(sorted(forms)))
            + " turns both into the plain form"
        )


def _by_plain_form(marks: Iterable[str]) -> dict[str, list[str]]:
    """Return the marks by ', " and -, which they are other forms of; spaces, entities and letters
    by their kind."""
    by: dict[str, list[str]] = {}
    for mark in marks:
        by.setdefault(QUOTES.get(mark) or DASHES.get(mark) or form_of(mark), []).append(mark)
    return by


def _counts_in_words(counts: Counter[str]) -> str:
    """Return the most frequent marks with how often they occur."""
    most_common = counts.most_common(MOST_SHOWN)
    shown = [f"{_mark_in_words(mark)} {plural(count, 'time')}" for mark, count in most_common]
    others = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {plural(others, 'other')}" if others else "")


def _mark_in_words(mark: str) -> str:
    form = form_of(mark)
    if form == "spaces":
        return f"U+{ord(mark):04X} ({unicodedata.name(mark, 'a control character').lower()})"
    return f"{mark[0]} + U+{ord(mark[1]):04X}" if form == "nfc" else mark
