"""Recognise lines that are no sentences of words, and send notices of them: wrapped prose, rows of
a table, transcripts, mark-up, lines with ids, and scripts without blanks between words."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rnnlm.errors import keyword, notice
from rnnlm.text.lines import WORD_SPACE, place_of_words, split_cells, split_words

# ---- Scripts without blanks between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana and Han.

_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff"
    "\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
)
LEAST_UNSPACED = 8  # characters between blanks; texts divided into words have up to 5.5


def lacks_blanks(lines: Iterable[str], least: int = LEAST_UNSPACED) -> bool:
    """Return whether a text is not divided into words by blanks: at least half of its letters are
    of a script without them, and there are `least` of these or more between two blanks."""
    text = "\n".join(lines)
    unspaced = "".join(_UNSPACED.findall(text))
    if len(unspaced) < least * max(1, len(split_words(text))):
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

    # Prose that was wrapped by hand or by a program.
    width = 0 if unwraps else wrapped_at(lines)
    if width:
        notice(
            f"the text looks wrapped at {width} characters, so most of its lines are no sentences, "
            "and line ends are learned as sentence ends: "
            + keyword("unwrap", True)
            + " joins the lines, and divides the text into sentences"
        )


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

    # Ids: words that occur once and are spelled like no word, at all beginnings or ends. (Samples
    # may overlap, and phrases of scripts without blanks seldom occur twice.) In lists of words and
    # counts, the rest of a line does not recur, or the counts fall.
    rows = [split_words(line) for line in dict.fromkeys(filled)]
    counts = Counter(itertools.chain.from_iterable(rows))
    cut = "cut -f2- -s" if "\t" in "".join(filled[:1]) else "cut -d' ' -f2- -s"
    without_last = "sed 's/[[:space:]]*[^[:space:]]*[[:space:]]*$//'"
    for side, place, command in (("begins", 0, cut), ("ends", -1, without_last)):
        once = [row[place] for row in rows if counts[row[place]] == 1]
        ids = list(filter(_is_like_no_word, once))
        recur = sum(any(counts[word] > 1 for word in row) for row in rows)
        integers = [int(word) for word in ids if word.isdecimal()]
        are_counts = len(integers) == len(ids) and integers == sorted(integers, reverse=True)
        is_text = 2 * recur >= len(rows) and not are_counts
        if is_text and len(ids) >= max(LEAST_IDS, ALMOST_ALL * len(rows)):
            yield f"each line {side} with a word that occurs once, as ids do", command


def _is_like_no_word(word: str) -> bool:
    """Return whether a word has digits, an underscore, or capitals behind small letters, as ids
    have and headwords do not."""
    has_signs = any(character.isdigit() or character == "_" for character in word)
    has_inner_capitals = word not in (word.lower(), word.upper(), word.capitalize())
    return (has_signs or has_inner_capitals) and not _UNSPACED.search(word)
