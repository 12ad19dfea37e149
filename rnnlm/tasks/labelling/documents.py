"""Files tagged: read sentence by sentence, and written again with labels and all else they hold."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rnnlm.errors import TextError, UsageError
from rnnlm.files.reading import shown_name
from rnnlm.tasks.codec import PLAIN, SOUNDS, Codec
from rnnlm.tasks.labelling.results import TaggedSentence
from rnnlm.tasks.labelling.tagging import Tagger, windows
from rnnlm.tasks.splitting import FORMAT, is_of_letters, splitter_of, words_in
from rnnlm.text.file_lines import lines_with_ends
from rnnlm.text.labelled.documents.opening import RAW, TABLES, detect_document_format, open_document
from rnnlm.text.labelled.documents.raw_documents import raw_sentence
from rnnlm.text.labelled.documents.sentence import Sentence
from rnnlm.text.labelled.schemes import BIOES, NONE
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.labelled.splitting.split_text import SplitText, at_white_space

DIGITS = 4  # of probabilities
PROBABILITY = "_probability"  # behind the name of a column, that of the probability of its labels


@dataclass(frozen=True)
class DocumentSettings:
    """How a file is read and written. format: "auto": told by its content. output: None: as the input is; raw text in the format
    `raw_output`, None: that of the model's training data. column: of the words. tokenised: raw text is split at white space alone."""

    format: str = "auto"
    output: str | None = None
    column: str | None = None
    tokenised: bool = False
    encoding_errors: Literal["strict", "replace"] = "strict"
    raw_output: str | None = None

    def raw_format(self, codec: Codec) -> str:
        """The format that raw text is written in."""
        return self.output or self.raw_output or usual_format(codec)


def usual_format(codec: Codec) -> str:
    """That of the training data, where it has room for all labels."""
    trained = str(codec.details.get(FORMAT))
    if is_of_letters(codec) or trained in ("tsv", "csv", "parquet"):
        return "tsv"
    if trained in ("conllu", "jsonl") or (trained == "slashes" and len(codec.columns) == 1):
        return trained
    return "tsv" if codec.text_columns else "columns"


@dataclass(frozen=True)
class Document:
    """The sentences of a document, and the format that they are written in."""

    sentences: Iterator[Sentence]
    format: str


def of_texts(codec: Codec, texts: Iterable[str], settings: DocumentSettings) -> Document:
    """Texts at hand as sentences; for a model of letters each word of them."""
    output = settings.raw_format(codec)
    return Document(_of_texts(codec, texts, settings, output), output)


def _of_texts(codec: Codec, texts: Iterable[str], settings: DocumentSettings, output: str) -> Iterator[Sentence]:
    split = at_white_space if settings.tokenised else splitter_of(codec)
    by_word = is_of_letters(codec) and not settings.tokenised
    items = (item for text in texts for item in (words_in(text) if by_word else [text]))
    for number, item in enumerate(items, start=1):
        yield raw_sentence(item, split(item), output, number, number == 1)


def of_file(codec: Codec, source: str, settings: DocumentSettings) -> Document:
    """The sentences of a file, or of standard input (`-`).

    Raises:
        TextError: it cannot be read, is not as its format has it, or holds no sentences. UsageError: it holds words, and the model reads
            letters.
    """
    labelled = LabelledSettings(column=settings.column, encoding_errors=settings.encoding_errors)
    format = detect_document_format(source, labelled, _known_labels(codec)) if settings.format == "auto" else settings.format
    has_letters = is_of_letters(codec)
    if format == RAW:
        output = settings.raw_format(codec)
        if has_letters and not settings.tokenised:
            lines = (line for _, line in lines_with_ends(source, settings.encoding_errors))
            found = _of_texts(codec, lines, settings, output)
        else:
            split = at_white_space if settings.tokenised else splitter_of(codec)
            found = open_document(source, RAW, labelled, split, output)
        return Document(_not_empty(found, source), output)
    if has_letters and format not in TABLES:
        raise UsageError(f"format {format} holds sentences", "the model gives the sounds of a word", "use --format text, tsv or jsonl")
    found = _not_empty(open_document(source, format, labelled), source)
    if has_letters:
        found = _spelled(found, splitter_of(codec), source)
    output = settings.output or format
    return Document(found if output == format else _converted(found, output), output)


def _known_labels(codec: Codec) -> set[str]:
    """The labels of words, in all schemes, by which a file is known to hold some."""
    plain = [column for column in codec.word_columns if column.form == PLAIN]
    return {label for column in plain for label in column.labels_in(NONE if column.scheme == NONE else BIOES)}


def _not_empty(sentences: Iterable[Sentence], source: str) -> Iterator[Sentence]:
    sentence = None
    for sentence in sentences:
        yield sentence
    if sentence is None:
        raise TextError(f"no sentences in {shown_name(source)}", "nothing stands in it")


def tagged(tagger: Tagger, sentences: Iterable[Sentence]) -> Iterator[tuple[Sentence, TaggedSentence]]:
    """Each sentence and its labels, in order."""
    for window in windows(sentences, lambda sentence: len(sentence.words)):
        found = tagger.tag((each.text, SplitText(each.words, each.ranges)) for each in window)
        yield from zip(window, found, strict=True)


def written(codec: Codec, sentence: Sentence, found: TaggedSentence, format: str) -> str:
    """The sentence as its document holds it, with its labels, and their probabilities where they were asked for.

    Raises:
        UsageError: the format has no place for them.
    """
    figure: Callable[[float], Any] = (lambda p: round(p, DIGITS)) if format == "jsonl" else (lambda p: f"{p:.{DIGITS}f}")
    word_labels: dict[str, Sequence[Any]] = {}
    text_labels: dict[str, Any] = {}
    for column in codec.word_columns:
        name, labels = column.name, found.labels[column.name]
        if column.form == SOUNDS:
            text_labels[name] = " ".join(labels)
            continue
        word_labels[name] = labels
        if name in found.probabilities:
            pairs = zip(found.probabilities[name], labels, strict=True)
            word_labels[name + PROBABILITY] = [figure(p[label]) for p, label in pairs]
    for name, label in found.sentence_labels.items():
        text_labels[name] = label
        if name in found.sentence_probabilities:
            text_labels[name + PROBABILITY] = figure(found.sentence_probabilities[name].get(label, 0.0))
    return sentence.with_labels(word_labels, text_labels)


def _converted(sentences: Iterable[Sentence], output: str) -> Iterator[Sentence]:
    """The sentences to be written in another format, which keeps their words, text and multiword forms."""
    for number, each in enumerate(sentences):
        yield raw_sentence(each.text or " ".join(each.words), SplitText(each.words, each.ranges), output, each.line, number == 0)


def _spelled(sentences: Iterable[Sentence], split: Callable[[str], SplitText], source: str) -> Iterator[Sentence]:
    """The rows of a table, in which words stand as such or letter by letter, letter by letter.

    Raises:
        TextError: one has several words.
    """
    for each in sentences:
        if all(len(word) == 1 for word in each.words):
            yield each
            continue
        if len(each.words) > 1:
            why = "the model gives the sounds of one word; letters may have spaces between them"
            raise TextError(f"{source}, line {each.line}: {len(each.words):,} words", why, "write a word in each row")
        yield Sentence(split(each.words[0]).words, each.line, each.write, each.text)
