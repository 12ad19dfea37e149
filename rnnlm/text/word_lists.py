"""Read lists of words as other programs write them: a word a line, alone or with a number, or JSON.

Numbers are ids where they are 0 to n - 1, else counts. Lists of pieces are refused: a tokenizer
that makes pieces is more than their list.
"""

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rnnlm.amounts import plural
from rnnlm.errors import TextError, first_of, keyword, notice
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN
from rnnlm.storage.files.file_types import marked_encoding, unmarked_encoding
from rnnlm.storage.files.reading import START_BYTES, opened, text_lines
from rnnlm.storage.files.tables import check_halves, json_value
from rnnlm.storage.files.writing import digest
from rnnlm.text.lines import split_words

WORDS_HASH = re.compile("sha256:[0-9a-f]{12}")
ONE_A_LINE = "write one word a line"  # the hint
# Where tokenizers, corpora, dictionaries and vocabularies of torchtext keep their words.
HOLDERS = ("model", "dictionary", "vocab", "idx2word", "word2idx", "itos", "stoi")
# A line of another list may begin with a bracket.
_JSON = re.compile(r'\s*[\[{]\s*(["\[{]|[]}]\s*$)')
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
# Of sentencepiece, GPT-2, BERT and CLIP
_PIECE = re.compile("[\u2581\u0120].+|##.+|.+</w>")
_OF_PIECES = ("BPE", "Unigram", "WordPiece")
MOST_PIECES = 0.1  # of a list: a word may look like a piece
# Empty, silence and noise, symbols of disambiguation, and those of networks
_SYMBOL = re.compile(
    r"<eps>|#[0-9]+|!SIL|<(SIL|NOISE|SPOKEN_NOISE|sil|noise|spoken_noise)>|SIL"
    r"|<(eos|bos|pad)>|\[(PAD|UNK|CLS|SEP|MASK)\]"
)


class WordList(str):
    """The words of a file, in UTF-8, ascending, without `<s>`, `</s>` and `<unk>`. As text, their
    hash, which is all that records hold: a path would not say which words they are. source: the
    file, for messages."""

    words: tuple[bytes, ...]
    source: str


def word_list(source: str) -> WordList:
    """Read the vocabulary that a file lists."""
    words = {*read_words(source)} - {BOUNDARY, SENTENCE_START, UNKNOWN, "<UNK>"}
    symbols = sorted(filter(_SYMBOL.fullmatch, words))
    if symbols:
        notice(
            f"{source}: {first_of(symbols)} seem to be symbols of Kaldi or of a network, and "
            "become words of the vocabulary; leave them out"
        )
    if not words:
        raise TextError(f"{source} has no words", hint=ONE_A_LINE)
    ordered = tuple(sorted(map(str.encode, words)))
    made = WordList("sha256:" + digest([b"\n".join(ordered)])[:12])
    made.words, made.source = ordered, source
    return made


def read_words(source: str, needs_order: bool = False) -> list[str]:
    """Return the words of a list in the order of their ids, or as they come. needs_order: refuse a
    list that may have another order than that of ids."""
    lines = _lines(source)
    first = next(lines, "")
    lines = itertools.chain([first], lines)
    words = None
    if first.lstrip().startswith(("[", "{")):
        text = "".join(lines)
        lines = iter(text.split("\n"))
        if _JSON.match(text):
            try:
                words = words_in(json_value(text), source, needs_order)
            except ValueError as error:
                raise TextError(f"{source} is not JSON", str(error), ONE_A_LINE) from None
    words = words or _words_of_lines(lines, source, needs_order)
    check_halves(" ".join(words), source)
    pieces = list(filter(_PIECE.fullmatch, words))
    if len(pieces) > MOST_PIECES * len(words):
        raise _pieces(source, f"it has {pieces[0]!r}")
    return words


def _lines(source: str) -> Iterator[str]:
    """Yield the lines of a list, which may be in UTF-16, too."""
    with opened(source, wanted="a list of words", is_utf8=False) as stream:
        start = stream.peek(START_BYTES)[:START_BYTES]  # type: ignore[attr-defined]
        encoding = marked_encoding(start) or unmarked_encoding(start)
        try:
            yield from (
                codecs.getreader(encoding)(stream)
                if encoding
                else text_lines(source, stream, "strict")
            )
        except UnicodeDecodeError as error:
            raise TextError(f"{source} is not in {encoding}", str(error)) from None


def _words_of_lines(lines: Iterable[str], source: str, needs_order: bool) -> list[str]:
    """Return the words of lines that hold a word each, or a word and its number."""
    words: list[str] = []
    numbers: list[float] = []
    for line_number, line in enumerate(lines, start=1):
        cells = split_words(line)
        is_numbered = len(cells) == 2 and _NUMBER.fullmatch(cells[1]) is not None
        is_odd = len(cells) > 1 + is_numbered or (words and is_numbered != bool(numbers))
        if line.startswith("#version"):
            raise _pieces(source, "it has the merges of BPE")
        if cells and is_odd:
            column = 2 if len(cells) == 2 and _NUMBER.fullmatch(cells[0]) else 1
            raise TextError(
                f"{source}, line {line_number}: {plural(len(cells), 'word')}",
                "each line must hold one word, or all of them a word and its number",
                f"of a lexicon with pronunciations or another table, take column {column}: "
                f"awk '!seen[${column}]++ {{print ${column}}}' FILE > NEW",
            )
        words += cells[:1]
        numbers += map(float, cells[1:])
    if needs_order and sorted(numbers) == list(range(len(words))) != numbers:
        raise TextError(
            f"{source}: ids or counts?",
            f"its numbers are 0 to {len(words) - 1:,}, but do not ascend",
            "if they are ids, sort it by them: sort -n -k 2 FILE > NEW; if they are counts, take "
            "column 1: awk '{print $1}' FILE > NEW",
        )
    return words


def _pieces(source: str, why: str) -> TextError:
    reader = "take the tokenizer that makes them: " + keyword("tokenizer_from", "hf:FOLDER")
    return TextError(f"{source} is a list of pieces, not of words", why, reader + " or MODEL")


def words_in(content: Any, source: str, needs_order: bool = False) -> list[str]:
    """Return the words of JSON or of a pickle: of a list, of ids by word, of words by id, or of a
    corpus, a dictionary or a tokenizer that holds one of these; see :func:`read_words`."""
    if isinstance(content, dict):
        if content.get("type") in _OF_PIECES or isinstance(content.get("merges"), list):
            raise _pieces(source, f"its model is {content.get('type', 'BPE')}")
        held = [name for name in HOLDERS if isinstance(content.get(name), dict | list)]
        if held:
            words, *others = [words_in(content[name], source, needs_order) for name in held]
            if any(other != words for other in others):
                raise TextError(f"{source} holds lists of words that differ", " and ".join(held))
            return words

        # Of words by id, the two change places. Numbers that are no ids are counts.
        ids, content = content, []
        if all(isinstance(word, str) for word in ids.values()):
            ids = {word: int(id) for id, word in ids.items() if re.fullmatch("[0-9]+", str(id))}
        if all(type(id) in (int, float) for id in ids.values()):
            content = sorted(ids, key=ids.__getitem__)
            if needs_order and [ids[word] for word in content] != list(range(len(ids))):
                raise TextError(
                    f"{source} does not say the order of its words",
                    f"its numbers are not 0 to {len(ids) - 1:,}",
                    "list the words in the order of their ids",
                )
    is_list = isinstance(content, list) and content != []
    if not is_list or not all(isinstance(word, str) for word in content):
        raise TextError(f"{source} holds no list of words", hint=ONE_A_LINE)
    return list(content)
