"""Files that labels are written into: read sentence by sentence, with labels or without, and
written again with all else they hold."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rnnlm.errors import TextError, UsageError, nearest
from rnnlm.files import tables
from rnnlm.text.labelled import conllu, line_formats
from rnnlm.text.labelled.example import LabelledSettings, chunks, no_words
from rnnlm.text.labelled.labelled_tables import json_list, text_column, words_of
from rnnlm.text.labelled.line_formats import Layout, is_document_start, place_of
from rnnlm.text.labelled.reading import SAMPLE_LINES, is_word_of_conllu
from rnnlm.text.labelled.splitting import SplitText, at_white_space
from rnnlm.text.lines import WORD_SPACE, Line, is_blank, lines_with_ends, split_words, without_end
from rnnlm.text.named_columns import cell, read_rows

# ---- A sentence of a file into which labels are written.

WordLabels = Mapping[str, Sequence[str]]  # of each label column, a label of each word
TextLabels = Mapping[str, str]  # of each column of labels of the text, its label
_BREAKS = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Sentence:
    """A sentence of a document, of at least one word.

    line: where it begins, from 1 (the row of a table that is not made of lines). text: as it stands
    there, where that is known. ranges: of each multiword form its first word (from 0), the one
    behind its last, and its form.
    """

    words: tuple[str, ...]
    line: int
    write: Callable[[WordLabels, TextLabels], str]
    text: str | None = None
    ranges: tuple[tuple[int, int, str], ...] = ()

    def with_labels(self, word_labels: WordLabels, text_labels: TextLabels | None = None) -> str:
        """The sentence as its document holds it, with its line ends, and with these labels instead
        of those it has.

        Raises:
            ValueError: there are more or fewer labels than words. UsageError: the format has no
                place for them.
        """
        for name, labels in word_labels.items():
            if len(labels) != len(self.words):
                raise ValueError(f"{len(labels)} labels in {name!r} for {len(self.words)} words")
        return self.write(word_labels, text_labels or {})


def on_one_line(label: str) -> str:
    """A label with tabs and line ends written out, so that it stays in its cell."""
    return label.translate(_BREAKS)


def end_of(line: str) -> str:
    """The line end of a line."""
    return line[len(without_end(line)) :]


def refuse(text_labels: TextLabels, format: str) -> None:
    """Refuse labels of the whole sentence, for which a format has no place."""
    if text_labels:
        raise UsageError(
            f"format {format} has no place for labels of the whole sentence",
            ", ".join(text_labels),
            "use jsonl or tsv",
        )


def only_labels(word_labels: WordLabels) -> Sequence[str]:
    """The labels of the one column."""
    if len(word_labels) != 1:
        raise UsageError(
            "a word has room for one label behind its slash",
            f"there are {len(word_labels)}",
            "another --output-format has room",
        )
    return next(iter(word_labels.values()))


# ---- Documents that are lines: CoNLL-U, columns, words with their tags behind a slash.
#
# In CoNLL-U labels stand in the field of that name, else in MISC as `name=label`, and labels of the
# sentence in a comment `# name = label`; in columns, in the column of that number, else in one that
# is added behind the others. All that is no label stays as it is, byte by byte.

_CELL = re.compile(f"[^{WORD_SPACE}\n]+")


def read_conllu(source: str, settings: LabelledSettings) -> Iterator[Sentence]:
    """The sentences of a CoNLL-U file; comments, multiword ranges and empty nodes are written again
    as they are."""
    word_column, _ = conllu.columns_of(source, LabelledSettings(column=settings.column))
    lines = lines_with_ends(source, settings.encoding_errors)
    for chunk in chunks(lines, lambda line: not line.startswith("#")):
        block = [
            (number, without_end(line)) for number, line in chunk if not is_blank(without_end(line))
        ]
        # the comments at the end of a file belong to no sentence
        while block[-1][1].startswith("#"):
            block.pop()
        sentence = conllu.parse_block(source, block)
        words = tuple(row[word_column] for row in sentence.cells)
        if not all(words):
            raise no_words(f"{source}, line {sentence.line}")
        yield Sentence(
            words,
            sentence.line,
            _ConlluWriter(chunk, sentence),
            sentence.comment("text"),
            tuple(sentence.ranges),
        )


@dataclass(frozen=True)
class _ConlluWriter:
    lines: list[Line]
    sentence: conllu.ConlluSentence

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        filled = [
            place for place, (_, line) in enumerate(self.lines) if not is_blank(without_end(line))
        ]
        lines = [line for _, line in self.lines]
        for index, place in enumerate(self.sentence.places):
            row = list(self.sentence.cells[index])
            for name, labels in word_labels.items():
                conllu.set_field(row, name, on_one_line(labels[index]))
            lines[filled[place]] = "\t".join(row) + end_of(lines[filled[place]])
        first = filled[len(self.sentence.comments)]
        for name, label in text_labels.items():
            comment = f"# {name} = {on_one_line(label)}"
            places = [
                filled[place]
                for place, line in enumerate(self.sentence.comments)
                if conllu.comment_of(line, name) is not None
            ]
            for place in places[:1]:
                lines[place] = comment + end_of(lines[place])
            lines[first] = (
                lines[first] if places else comment + (end_of(lines[first]) or "\n") + lines[first]
            )
        return "".join(lines)


def read_columns(source: str, settings: LabelledSettings) -> Iterator[Sentence]:
    """The sentences of a file with columns; white space and lines with -DOCSTART- are written again
    as they are."""
    layout = Layout(source)
    for chunk in chunks(
        lines_with_ends(source, settings.encoding_errors), lambda line: not is_document_start(line)
    ):
        rows, places = [], []
        for place, (number, line) in enumerate(chunk):
            if is_blank(without_end(line)) or is_document_start(line):
                continue
            rows.append(layout.cells(number, without_end(line)))
            places.append(place)
        where = f"{source}, line {chunk[places[0]][0]}"
        column = place_of(settings.column or "1", layout.count, where)
        words = tuple(row[column] for row in rows)
        if not all(words):
            raise TextError(f"{source}, line {chunk[places[words.index('')]][0]}: no word")
        yield Sentence(
            words,
            chunk[places[0]][0],
            _ColumnsWriter([line for _, line in chunk], places, rows, layout),
        )


@dataclass(frozen=True)
class _ColumnsWriter:
    lines: list[str]
    places: list[int]
    rows: list[list[str]]
    layout: Layout

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        refuse(text_labels, "columns")
        lines = list(self.lines)
        for index, (place, row) in enumerate(zip(self.places, self.rows, strict=True)):
            own = {
                int(name) - 1: on_one_line(labels[index])
                for name, labels in word_labels.items()
                if self._has(name)
            }
            added = [
                on_one_line(labels[index])
                for name, labels in word_labels.items()
                if not self._has(name)
            ]
            line, end = without_end(lines[place]), end_of(lines[place])
            cells = [own.get(column, cell) for column, cell in enumerate(row)]
            gaps = ["", *["\t"] * (len(row) - 1), ""] if self.layout.has_tabs else _CELL.split(line)
            line = "".join(gap + cell for gap, cell in zip(gaps, [*cells, ""], strict=True))
            lines[place] = ("\t" if self.layout.has_tabs else " ").join([line, *added]) + end
        return "".join(lines)

    def _has(self, name: str) -> bool:
        return name.isascii() and name.isdigit() and 1 <= int(name[:9]) <= self.layout.count


def read_slashes(source: str, settings: LabelledSettings) -> Iterator[Sentence]:
    """The lines of a file of `word/TAG`, or of words alone: those of a line in which a word has no
    tag."""
    for chunk in chunks(
        _line_by_line(lines_with_ends(source, settings.encoding_errors)), lambda line: True
    ):
        number, line = next(each for each in chunk if not is_blank(without_end(each[1])))
        tokens = split_words(line)
        pairs = [line_formats.parse(token) for token in tokens]
        words = tuple(pair[0] for pair in pairs if pair) if all(pairs) else tuple(tokens)
        yield Sentence(
            words, number, _SlashesWriter([each for _, each in chunk], tokens, all(pairs))
        )


@dataclass(frozen=True)
class _SlashesWriter:
    lines: list[str]
    tokens: list[str]
    have_tags: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        refuse(text_labels, "slashes")
        tagged = line_formats.with_tag if self.have_tags else line_formats.written
        tokens = iter(
            [
                tagged(token, label)
                for token, label in zip(self.tokens, only_labels(word_labels), strict=True)
            ]
        )
        return "".join(_CELL.sub(lambda _: next(tokens), line) for line in self.lines)


def _line_by_line(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines, an empty one behind each: each is a sentence of its own."""
    for number, line in lines:
        yield number, line
        yield number, ""


# ---- A file that labels are to be written into, opened whatever its format.

RAW = "text"
LINES = {"conllu": read_conllu, "columns": read_columns, "slashes": read_slashes}
TABLES = ("tsv", "jsonl")
FORMATS = (*LINES, *TABLES, RAW)
LABELLED = 0.9  # the share of words with known labels by which columns and slashes are told


def detect_document_format(
    source: str, settings: LabelledSettings, labels: Collection[str] = ()
) -> str:
    """The format of a file where nobody names it: CoNLL-U, JSON-lines and tables with their suffix
    are told, and columns and slashes by the labels they hold; all else is raw text. labels: those
    that a model knows."""
    kind = tables.kind_of(source)
    if kind in (tables.TSV, tables.JSON_LINES):
        return "tsv" if kind == tables.TSV else "jsonl"
    lines = [
        line
        for _, line in islice(lines_with_ends(source, settings.encoding_errors), SAMPLE_LINES)
        if not is_blank(line.rstrip("\n"))
    ]
    if lines and tables.is_json(lines[0]):
        return "jsonl"
    if any(is_word_of_conllu(line) for line in lines):
        return "conllu"
    return _by_labels(
        [split_words(line.rstrip("\n")) for line in lines if not is_document_start(line)], labels
    )


def _by_labels(rows: list[list[str]], labels: Collection[str]) -> str:
    """Raw text, unless nearly all (LABELLED) of the words have a known label behind them: in a
    column or behind a slash."""
    if not rows or not labels:
        return RAW
    parsed = [line_formats.parse(token) for row in rows for token in row]
    if sum(each is not None and each[1] in labels for each in parsed) >= LABELLED * len(parsed):
        return "slashes"
    is_columns = len(rows) > 1 and len({len(row) for row in rows}) == 1
    columns = list(zip(*rows, strict=True))[1:] if is_columns else []
    return (
        "columns"
        if any(sum(cell in labels for cell in column) >= LABELLED * len(rows) for column in columns)
        else RAW
    )


def open_document(
    source: str, format: str, settings: LabelledSettings,
    split: Callable[[str], SplitText] = at_white_space, output: str = "conllu",
) -> Iterator[Sentence]:  # fmt: skip
    """The sentences of a file or of standard input (`-`), one after the other, whether they have
    labels or not.

    format: of FORMATS. settings: their `column` says where the words are. split, output: for raw
    text, how it is split into words, and in which of the other formats it is written."""
    if Path(source).is_dir():
        raise TextError(f"{source} is a directory", hint="name a file")
    for name, known in ((format, FORMATS), (output, FORMATS[:-1])):
        if name not in known:
            raise UsageError(
                f"format {name!r} is not one that labels are written in", hint=nearest(name, known)
            )
    if format == RAW:
        return read_raw(source, settings, split, output)
    if format in TABLES:
        return read_table(source, settings, format)
    return LINES[format](source, settings)


# ---- Documents that are raw text, a sentence a line: split into words, and written with labels in
# one of the formats.

_UNWRITTEN = str.maketrans("\t\r\n", "   ")


def read_raw(
    source: str, settings: LabelledSettings, split: Callable[[str], SplitText] = at_white_space,
    output: str = "conllu"
) -> Iterator[Sentence]:  # fmt: skip
    """The lines of a file that are not blank. output: "conllu", "columns", "slashes", "jsonl" or
    "tsv"."""
    is_first = True
    for number, line in lines_with_ends(source, settings.encoding_errors):
        if not is_blank(without_end(line)) and (parts := split(without_end(line))).words:
            yield raw_sentence(without_end(line), parts, output, number, is_first)
            is_first = False


def raw_sentence(
    text: str, parts: SplitText, output: str, line: int = 1, is_first: bool = True
) -> Sentence:
    """A text and its words as a sentence that is written as `output`; of a table, the first brings
    the header."""
    return Sentence(
        parts.words, line, _RawWriter(text, parts, output, is_first), text, parts.ranges
    )


@dataclass(frozen=True)
class _RawWriter:
    text: str
    parts: SplitText
    output: str
    is_first: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        if self.output == "jsonl":
            row = {
                "text": self.text,
                "words": self.parts.words,
                **{name: list(labels) for name, labels in word_labels.items()},
            }
            return json.dumps({**row, **text_labels}, ensure_ascii=False) + "\n"
        if self.output == "tsv":
            table = {"text": joined(self.parts.words) if word_labels else self.text}
            table |= {
                **{name: joined(labels) for name, labels in word_labels.items()},
                **text_labels,
            }
            return (tables.line(table) if self.is_first else "") + tables.line(table.values())
        if self.output == "conllu":
            return self._conllu(word_labels, text_labels)
        refuse(text_labels, self.output)
        if self.output == "columns":
            rows = zip(self.parts.words, *word_labels.values(), strict=True)
            return "".join("\t".join(map(on_one_line, row)) + "\n" for row in rows) + "\n"
        return (
            " ".join(map(line_formats.written, self.parts.words, only_labels(word_labels))) + "\n"
        )

    def _conllu(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        lines = [f"# text = {self.text.translate(_UNWRITTEN).strip()}"]
        lines += [f"# {name} = {on_one_line(label)}" for name, label in text_labels.items()]
        ranges = {first: (last, form) for first, last, form in self.parts.ranges}
        end_of_range = 0
        for place, word in enumerate(self.parts.words):
            if place in ranges:
                end_of_range, form = ranges[place]
                cells = [
                    f"{place + 1}-{end_of_range}",
                    form,
                    *[conllu.EMPTY] * 7,
                    self._misc(end_of_range - 1),
                ]
                lines.append("\t".join(cells))
            misc = conllu.EMPTY if place < end_of_range else self._misc(place)
            row = [str(place + 1), word, *[conllu.EMPTY] * 7, misc]
            for name, labels in word_labels.items():
                conllu.set_field(row, name, on_one_line(labels[place]))
            lines.append("\t".join(row))
        return "\n".join([*lines, "", ""])

    def _misc(self, place: int) -> str:
        """MISC of a word or a multiword form that ends there."""
        return (
            "SpaceAfter=No"
            if self.parts.are_glued and self.parts.are_glued[place]
            else conllu.EMPTY
        )


# ---- Documents that are tables: TSV, of which the first row brings its header, and JSON-lines.
# Labels stand in the columns of their names, which are added where there are none: labels of words
# as a list in JSON-lines, elsewhere split by spaces (a list where one holds a space).


def read_table(source: str, settings: LabelledSettings, kind: str) -> Iterator[Sentence]:
    """The rows of a table, "tsv" or "jsonl"; the text stands in the column that the settings name,
    else in one of a usual name."""
    column = None
    names: list[str] = []
    asked = [settings.column] if settings.column else []
    for row in read_rows(source, kind, settings, asked):
        is_first, names = column is None, names or [str(name) for name in row.values]
        column = column or text_column(names, row.where, settings)
        held = cell(row.values, column, row.where)
        words = words_of(held, row.where, column, lists=is_list(held))
        if not words:
            raise no_words(row.where)
        write = (
            _JsonWriter(row.values) if kind == "jsonl" else _TsvWriter(names, row.values, is_first)
        )
        yield Sentence(
            tuple(words),
            row.number,
            write,
            held if isinstance(held, str) and not is_list(held) else None,
        )


def is_list(cell: object) -> bool:
    """Whether a cell holds a JSON list of words: one that begins with a bracket which is no word of
    its own."""
    return isinstance(cell, str) and cell.startswith('["') and json_list(cell) is not None


def joined(labels: Sequence[str]) -> str:
    """The labels of words in a cell."""
    return (
        " ".join(labels)
        if all(split_words(label) == [label] for label in labels)
        else json.dumps(list(labels), ensure_ascii=False)
    )


@dataclass(frozen=True)
class _JsonWriter:
    row: dict[str | None, object]

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        row = dict(self.row)
        for name, labels in word_labels.items():
            row[name] = joined(labels) if isinstance(row.get(name), str) else list(labels)
        row.update(text_labels)
        return json.dumps(row, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class _TsvWriter:
    names: list[str]
    row: dict[str | None, object]
    is_first: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        row = dict(self.row)
        row.update({name: joined(labels) for name, labels in word_labels.items()})
        row.update(text_labels)
        names = list(dict.fromkeys([*self.names, *word_labels, *text_labels]))
        header = tables.line(names) if self.is_first else ""
        return header + tables.line(tables.cell_text(row.get(name)) for name in names)
