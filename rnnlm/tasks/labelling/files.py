"""Tag or classify files: read them, and write them again with labels and all else they hold."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnnlm.amounts import plural
from rnnlm.errors import TextError, UsageError, keyword
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import shown_name
from rnnlm.storage.files.tables import LINE_OF, Piece
from rnnlm.tasks.common.text_files import LEXICON, TEXT_LINES, TextFileSettings, no_table
from rnnlm.tasks.labelling.data import FORMAT, PLAIN, SOUNDS, Codec
from rnnlm.tasks.labelling.formats.conllu import EMPTY
from rnnlm.tasks.labelling.formats.documents import (
    PREDICTED,
    RAW,
    REASON,
    DocumentSentence,
    raw_sentence,
)
from rnnlm.tasks.labelling.formats.example import LABEL_SEPARATOR, LabelledSettings, labels_in
from rnnlm.tasks.labelling.formats.known_formats import (
    detect_document_format,
    open_document,
    written_as,
)
from rnnlm.tasks.labelling.formats.labelled_tables import words_of
from rnnlm.tasks.labelling.formats.schemes import BIOES, NONE
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.splitting import is_of_letters, split_text, words_in
from rnnlm.tasks.labelling.tagging import ClassifiedText, TaggedSentence, Tagger, classified
from rnnlm.text.lines import lines_with_ends, without_end
from rnnlm.text.named_columns import (
    KINDS,
    USUAL_WORDS,
    new_names,
    open_table,
    text_column,
    text_or_reason,
)

# ---- Files tagged: read sentence by sentence, and written again with labels and all else they
# hold.

DIGITS = 4  # of probabilities
PROBABILITY = "_probability"  # behind the name of a column, the probability of its labels


@dataclass(frozen=True)
class DocumentSettings:
    """Settings for reading and writing a file. format: "auto": inferred from its content. output:
    None: as the input is; raw text in the format of the model's training data. reading: the columns
    of tables, and the handling of bytes that are no text."""

    format: str
    output: str | None
    reading: LabelledSettings

    def raw_format(self, codec: Codec) -> str:
        """Return the format that raw text is written in."""
        return self.output or usual_format(codec)


def usual_format(codec: Codec) -> str:
    """Return the format of the training data, where it can hold all labels."""
    trained = str(codec.details.get(FORMAT))
    if is_of_letters(codec) or trained in ("tsv", "csv", "parquet"):
        return "tsv"
    if trained in ("conllu", "jsonl"):
        return trained
    return "tsv" if codec.text_columns else "columns"


@dataclass(frozen=True)
class Document:
    """The sentences of a document, and the format that they are written in. is_table: whether they
    are rows of a table."""

    sentences: Iterator[DocumentSentence]
    format: str
    is_table: bool = False


def of_texts(codec: Codec, texts: Iterable[str], settings: DocumentSettings) -> Document:
    """Split texts into words; for a model of letters each word into letters."""
    output = settings.raw_format(codec)
    return Document(_of_texts(codec, texts, output), output)


def _of_texts(codec: Codec, texts: Iterable[str], output: str) -> Iterator[DocumentSentence]:
    by_word = is_of_letters(codec)
    number = 0
    for text in texts:
        for item in (words_in(text) or [""]) if by_word else [text]:
            number += 1
            yield raw_sentence(item, split_text(codec, item), output, number, number == 1)


def of_file(codec: Codec, source: str, settings: DocumentSettings) -> Document:
    """Read the sentences of a file, or of standard input (`-`)."""
    reading, format = settings.reading, settings.format
    if format == "auto":
        format = detect_document_format(source, reading, _known_labels(codec))
    has_letters = is_of_letters(codec)

    # Raw text has no format to be written in, and no columns.
    if format == RAW:
        if reading.column:
            raise no_table(source)
        output = settings.raw_format(codec)
        if has_letters:
            lines = (
                without_end(line) for _, line in lines_with_ends(source, reading.encoding_errors)
            )
            sentences = _of_texts(codec, lines, output)
        else:
            sentences = open_document(source, RAW, reading, output)
        return Document(_not_empty(sentences, source), output)

    # All else is split into words already.
    if has_letters and format not in KINDS:
        raise UsageError(
            f"format {format} is for sentences",
            "the model transcribes single words",
            "use " + keyword("format") + " text, tsv or jsonl",
        )
    output = settings.output or written_as(format)
    sentences = _not_empty(open_document(source, format, reading, output), source)
    if has_letters:
        sentences = _spelled(codec, sentences, source)
    if output != format and format not in KINDS:
        sentences = _converted(sentences, output)
    return Document(sentences, output, format in KINDS)


def _known_labels(codec: Codec) -> set[str]:
    """Return the labels of words, in all schemes. A file with some of them is not raw text."""
    return set[str]().union(
        *(
            column.labels_in(NONE if column.scheme == NONE else BIOES)
            for column in codec.word_columns
            if column.form == PLAIN
        )
    )


def _not_empty(sentences: Iterable[DocumentSentence], source: str) -> Iterator[DocumentSentence]:
    # Blank lines alone are no sentences.
    rest = iter(sentences)
    first = []
    for sentence in rest:
        first.append(sentence)
        if sentence.words or sentence.reason:
            yield from itertools.chain(first, rest)
            return
    raise TextError(f"no sentences in {shown_name(source)}", "it is empty")


def tagged(
    tagger: Tagger, sentences: Iterable[DocumentSentence]
) -> Iterator[tuple[DocumentSentence, TaggedSentence]]:
    """Yield each sentence and its labels, in order."""
    kept, read = itertools.tee(sentences)
    labelled = tagger.tag((sentence.text, sentence.words) for sentence in read)
    for sentence, labels in zip(kept, labelled, strict=True):
        yield sentence, replace(labels, reason=sentence.reason or labels.reason)


def written(
    codec: Codec,
    sentence: DocumentSentence,
    predicted: TaggedSentence,
    format: str,
    is_table: bool = False,
) -> Piece:
    """Return the sentence as its document holds it, with its labels, and their probabilities where
    they were asked for. is_table: whether it is a row of a table, which says why it has none."""

    def number(p: float) -> float | str:
        return round(p, DIGITS) if format in ("jsonl", "xlsx") else f"{p:.{DIGITS}f}"

    word_labels: dict[str, Sequence[Any]] = {}
    text_labels: dict[str, Any] = {}
    for column in codec.word_columns:
        name, labels = column.name, predicted.labels[column.name]
        # A word has any number of sounds: they are no labels of its letters.
        if column.form == SOUNDS:
            text_labels[name] = " ".join(labels)
            continue
        word_labels[name] = labels
        if name in predicted.probabilities:
            pairs = zip(predicted.probabilities[name], labels, strict=True)
            word_labels[name + PROBABILITY] = [number(p[label]) for p, label in pairs]
    for column in codec.text_columns:
        name = column.name
        label = predicted.sentence_labels.get(name)  # None: there are no words
        text_labels[name] = label
        if name in predicted.sentence_probabilities:
            probability = predicted.sentence_probabilities[name].get(label or "", 0.0)
            text_labels[name + PROBABILITY] = None if label is None else number(probability)

    # A table can hold the reason; in a sentence that is too long, each word has no label.
    reason = predicted.reason
    if reason and sentence.words:
        empty = EMPTY if format in ("conllu", "columns") else ""
        word_labels = {name: [empty] * len(sentence.words) for name in word_labels}
    if (format in LINE_OF and is_table) or (format == "jsonl" and reason):
        text_labels[REASON] = reason
    return sentence.with_labels(word_labels, text_labels)


def _converted(sentences: Iterable[DocumentSentence], output: str) -> Iterator[DocumentSentence]:
    """Prepare the sentences for another format. It keeps their words and text."""
    for number, sentence in enumerate(sentences):
        text = sentence.text or " ".join(sentence.words)
        yield raw_sentence(text, sentence.words, output, sentence.line, is_first=number == 0)


def _spelled(
    codec: Codec, sentences: Iterable[DocumentSentence], source: str
) -> Iterator[DocumentSentence]:
    """Split the word of each row of a table into letters, unless it is already."""
    for sentence in sentences:
        if all(len(word) == 1 for word in sentence.words):
            yield sentence
            continue
        if len(sentence.words) > 1:
            raise TextError(
                f"{source}, line {sentence.line}: {plural(len(sentence.words), 'word')}",
                "the model transcribes single words; spaces may separate their letters",
                "write one word per row",
            )
        yield DocumentSentence(
            split_text(codec, sentence.words[0]), sentence.line, sentence.write, sentence.text
        )


# ---- Files of texts classified: lines of text or tables, each text with its labels and the other
# columns of its row.

NODE = "node"
RANK = "rank"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class RowText:
    """A text, or its words, and the row that holds it. reason: why the row has no text."""

    text: str | Sequence[str]
    row: Row
    reason: str | None = None


def read_texts(source: str, format: str, settings: TextFileSettings) -> Iterator[RowText]:
    """Yield the texts of a file, those without words, too."""
    read = _lines if format == TEXT_LINES else _rows
    text = None
    for text in read(source, format, settings):
        yield text
    if text is None:
        raise TextError(f"no texts in {shown_name(source)}", "it is empty")


def with_labels(
    model: TaskModel, texts: Iterable[RowText], nodes: bool = False
) -> Iterator[tuple[RowText, ClassifiedText]]:
    """Yield each text and its labels, in order."""
    kept, read = itertools.tee(texts)
    labelled = classified(model, (text.text for text in read), nodes)
    for text, labels in zip(kept, labelled, strict=True):
        yield text, replace(labels, reason=text.reason or labels.reason)


def labelled_rows(
    row: Row,
    predicted: ClassifiedText,
    names: Sequence[str],
    top: int | None,
    with_reasons: bool = False,
    with_nodes: bool = False,
) -> Iterator[Row]:
    """Yield the row of a text with its label and the label's probability for each of the model's
    columns `names`. The columns of the row stay, and "predicted_" comes before the name of a new
    one that is there already. top: the number of rows, one for each of the most probable labels.
    with_reasons: with a column that says why a row has no label. with_nodes: a row for each node of
    the text's tree, each before its children, with the node's words."""
    # A label and its probability keep similar names.
    taken = {*row, *(column.removesuffix(PROBABILITY) for column in row)}
    labels = new_names(names, taken, PREDICTED)
    others = new_names((NODE, RANK, REASON), {*taken, *labels.values()}, PREDICTED)
    reasons = {others[REASON]: predicted.reason} if with_reasons else {}
    if with_nodes and predicted.nodes:
        for node_row in _rows_of_nodes(row, predicted, labels, others[NODE]):
            yield {**node_row, **reasons}
        return
    if with_nodes:
        row = {**row, others[NODE]: None}
    for rank in range(1, (top or 1) + 1):
        added: dict[str, Any] = {}
        for name, new_name in labels.items():
            label, probability = _label(predicted, name, rank) if top else _best(predicted, name)
            added |= {new_name: label, new_name + PROBABILITY: probability}

        # A column with fewer labels than another one has none at this rank.
        has_labels = any(value is not None for value in added.values())
        if rank == 1 or has_labels:
            ranked = {others[RANK]: rank} if top else {}
            yield {**row, **ranked, **added, **reasons}


def _rows_of_nodes(
    row: Row, predicted: ClassifiedText, names: Mapping[str, str], node_name: str
) -> Iterator[Row]:
    """names: from the model's columns to those of the labels. node_name: column of the words."""
    by_node = zip(*(predicted.nodes[name] for name in names), strict=True)
    for nodes in sorted(by_node, key=lambda nodes: (nodes[0].start, -nodes[0].end)):
        added: dict[str, Any] = {
            node_name: " ".join(predicted.words[nodes[0].start : nodes[0].end])
        }
        for name, node in zip(names.values(), nodes, strict=True):
            added |= {name: node.label, name + PROBABILITY: node.probability}
        yield {**row, **added}


def writer(format: str) -> Callable[[Row, bool], Piece]:
    """Return the function that makes a piece of output of a row, with a header if it is the first.
    format: "tsv", "csv", "xlsx" or "jsonl"."""
    if format == "jsonl":
        return lambda row, is_first: json.dumps(row, ensure_ascii=False) + "\n"
    line = LINE_OF[format]
    as_text = tuple if format == "xlsx" else (float, tuple)

    def write(row: Row, is_first: bool) -> Any:
        # Numbers that are not ours keep their digits.
        cells = (
            cell(value) if name.endswith(PROBABILITY) and isinstance(value, as_text) else value
            for name, value in row.items()
        )
        return line(map(str, row)) + line(cells) if is_first else line(cells)

    return write


def cell(value: object) -> str:
    """Return a value of a row as text; several probabilities are joined as labels are."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, tuple):
        return LABEL_SEPARATOR.join(map(cell, value))
    return tables.cell_text(value)


def _best(
    predicted: ClassifiedText, name: str
) -> tuple[str | None, float | tuple[float, ...] | None]:
    label = predicted.labels.get(name)
    if label is None:
        return None, None
    probabilities = predicted.probabilities[name]
    if label in probabilities:
        return label, probabilities[label]
    return label, tuple(probabilities[part] for part in labels_in(label))


def _label(predicted: ClassifiedText, name: str, rank: int) -> tuple[str | None, float | None]:
    ranked = predicted.probabilities.get(name, {}).items()
    return next(itertools.islice(ranked, rank - 1, None), (None, None))


def _lines(source: str, format: str, settings: TextFileSettings) -> Iterator[RowText]:
    lines = (without_end(line) for _, line in lines_with_ends(source, settings.encoding_errors))
    return (RowText(line, {"text": line}) for line in lines)


def _rows(source: str, format: str, settings: TextFileSettings) -> Iterator[RowText]:
    # Find the column of the text by its name, or by the content of the first rows.
    table = open_table(
        source, KINDS[format], settings.encoding_errors, [settings.column],
        unreadable="report", line_format=LEXICON,
    )  # fmt: skip
    if not table.sample:
        return
    usual = tables.USUAL_TEXT + USUAL_WORDS
    column = text_column(table.names, table.sample, table.where, settings.column, usual)

    # A cell holds a text or a list of words; the other cells go along.
    for row in table.rows:
        text: str | Sequence[str]
        text, reason = text_or_reason(row, column)
        value = row.values.get(column)
        if isinstance(value, list) and tables.has_text(value):
            text, reason = words_of(value, row.where, column), None
        named = {name: value for name, value in row.values.items() if name is not None}
        cells = dict.fromkeys(table.names) | {
            name: tables.in_json(value) for name, value in named.items()
        }
        yield RowText(text, cells, reason)
