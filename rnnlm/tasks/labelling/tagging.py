"""Use taggers and classifiers: raw text or lists of words in, labels out, with their probabilities
and as tables."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.checks import items_of
from rnnlm.errors import TextError, UsageError, visible
from rnnlm.evaluation import plotting
from rnnlm.lm.base import loading
from rnnlm.tabular import Cell, RecordList, Result, Row, named_rows, to_builtins
from rnnlm.tasks.common.text_files import windows
from rnnlm.tasks.labelling import trees
from rnnlm.tasks.labelling.answers import written
from rnnlm.tasks.labelling.data import EDIT, SOUNDS, TEXT, LabelColumn, encode_texts, lines_of
from rnnlm.tasks.labelling.formats import edit_scripts, schemes
from rnnlm.tasks.labelling.model import (
    ColumnPrediction,
    LabelSearch,
    Prediction,
    TaskModel,
    predict,
)
from rnnlm.tasks.labelling.splitting import is_of_letters, split_text, words_in
from rnnlm.text.batches import NO_WORDS, is_surely_short, why_too_long
from rnnlm.text.unknown_words import UnknownWords

# ---- The results of tagging a sentence and of classifying a text.


@dataclass(frozen=True)
class LabelSequence:
    """Labels of the words of a sentence (or the sounds of a word).

    Attributes:
        labels: The labels.
        probability: Probability of all of them together, 0 to 1; if several sequences or
            probabilities were requested, with all that is written alike.
        logprob_nats: Its natural logarithm.
    """

    labels: tuple[str, ...]
    probability: float
    logprob_nats: float


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence with labels.

    Attributes:
        text: The sentence as it was given; None if words were given.
        words: Labelled words, or the letters of a word.
        labels: For each label column of words, the label of each word; for a model of letters, the
            sounds of the word, however many.
        sentence_labels: For each label column of sentences, the label; empty if the sentence has no
            words.
        reason: Reason why it has no labels.
        nbest: For each label column of words, the requested number of different label sequences,
            the most probable first.
        probabilities: If requested, for each label column of words the probabilities of each word's
            labels, highest first, without those below 0.001.
        sentence_probabilities: If probabilities or several label sequences were requested, for each
            label column of sentences the probabilities of all labels.
    """

    text: str | None
    words: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    sentence_labels: Mapping[str, str]
    reason: str | None
    nbest: Mapping[str, tuple[LabelSequence, ...]]
    probabilities: Mapping[str, tuple[Mapping[str, float], ...]]
    sentence_probabilities: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the sentence in the form of `rnnlm tag --json`. Fields that were not requested are
        left out."""
        sentence = vars(self).copy()
        if all(len(best) < 2 for best in self.nbest.values()):
            del sentence["nbest"]
        for name in ("reason", "probabilities", "sentence_probabilities"):
            if not sentence[name]:
                del sentence[name]
        return dict(to_builtins(sentence))


@dataclass(frozen=True)
class LabelledNode:
    """A node of the tree over a text.

    Attributes:
        start: Number of its first word, from 0.
        end: Number of the word after its last.
        parent: Number of the node above it; -1 for the root.
        height: 0 of a word, else one more than that of its higher child.
        label: Its most likely label.
        probability: Probability of that label, 0 to 1.
    """

    start: int
    end: int
    parent: int
    height: int
    label: str
    probability: float


@dataclass(frozen=True)
class ClassifiedText(Result):
    """A text with labels.

    Attributes:
        text: The text as it was given; None if words were given.
        words: Its words.
        labels: For each label column its label, or with multi-label its labels joined by `|` ("" is
            none); empty if the text has no words.
        probabilities: For each label column the probability of each label, highest first. They sum
            to one; with multi-label, each label has its own.
        reason: Reason why it has no labels.
        nodes: For each label column, if they were asked for, the nodes of the text's tree: the
            words, then the inner nodes, each after its children, the root last.
    """

    text: str | None
    words: tuple[str, ...]
    labels: Mapping[str, str]
    probabilities: Mapping[str, Mapping[str, float]]
    reason: str | None = None
    nodes: Mapping[str, tuple[LabelledNode, ...]] = field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The label of the first column, usually the only one; None where the text has no
        words."""
        return next(iter(self.labels.values()), None)

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """Return the text in the form of `rnnlm classify --json`, without its words, which are in
        the text.

        Args:
            top: Number of labels to return, most probable first. None: all.
        """
        text = super().to_dict()
        del text["words"]
        for name, by_label in text["probabilities"].items():
            text["probabilities"][name] = dict(islice(by_label.items(), top))
        for name in ("reason", "nodes"):
            if not text[name]:
                del text[name]
        return text


# ---- The picture of a tree.

LEVEL = 0.55  # inches between the heights of a tree
MOST_WORDS = 300


def draw_tree(classified: ClassifiedText) -> "plotting.Figure":
    """Draw the nodes of a text's tree over its words, each with its label in the first label column
    and the probability as text: colours are labels, the deeper the more probable."""
    words, [(name, nodes), *_] = classified.words, classified.nodes.items()
    styles = plotting.series_styles(sorted(classified.probabilities[name]))
    if len(words) > MOST_WORDS:
        raise UsageError(f"a tree of {len(words):,} words cannot be drawn", f"{MOST_WORDS} can")
    # Each node is above the middle of its words.
    places = [((node.start + node.end - 1) / 2, node.height) for node in nodes]

    # A word has the width of a node's text; longer words are upright.
    texts = [f"{plotting.short_name(node.label, 12)}\n{node.probability:.2f}" for node in nodes]
    letter, levels = plotting.LETTER * plotting.SMALL / 72, nodes[-1].height + 1
    across = (max(4, *(len(text.partition("\n")[0]) for text in texts)) + 1.5) * letter
    is_upright = max(map(len, words)) * letter > across
    below = 0.9 if is_upright else 0.3  # inches
    width, height = max(3.5, across * len(words) + 0.4), LEVEL * levels + below + 0.5
    figure, axes = plotting.new_figure(
        "Each node's most likely label, and its probability", "", "", width, height
    )
    axes.set(xlim=(-0.5, len(words) - 0.5), ylim=(-0.5 - below / LEVEL, levels - 0.5))
    axes.set_axis_off()
    style: dict[str, Any] = {"ha": "center", "fontsize": plotting.SMALL, "parse_math": False}
    for place, word in enumerate(words):
        axes.text(place, -0.5, visible(word), rotation=90 * is_upright, va="top", **style)

    # A white box hides the lines below the colour, which is not opaque.
    for node, (x, y), text in zip(nodes, places, texts, strict=True):
        if node.parent >= 0:
            ends = zip((x, y), places[node.parent], strict=True)
            axes.plot(*ends, color=plotting.REFERENCE, linewidth=0.8, zorder=1)
        colour = styles[node.label].colour
        for order, face in enumerate(("white", (colour, 0.7 * node.probability)), start=2):
            box = {"boxstyle": "round,pad=0.25", "edgecolor": colour, "facecolor": face}
            axes.text(x, y, text, va="center", bbox=box, zorder=order, **style)
    return figure


# ---- Probabilities of a network's symbols as probabilities of the labels that people read.

LEAST = 1e-3  # less probable labels are left out


def of_words(
    column: LabelColumn, p_TK: np.ndarray, words: Sequence[str], labels: Sequence[str]
) -> tuple[Mapping[str, float], ...]:
    """Return the probabilities of each word's labels, highest first. labels: those that were found,
    one a word."""
    by_word = []
    before = schemes.OUTSIDE  # the label of the word before, which IOB1 needs
    for p_K, word, label in zip(p_TK, words, labels, strict=False):
        # Several symbols may be the same label of this word.
        likely = np.flatnonzero(p_K >= LEAST).tolist()
        symbols = (column.symbols[number] for number in likely)
        labels_of_word = [_written(column, symbol, word, before) for symbol in symbols]
        probabilities = highest_first(zip(labels_of_word, p_K[likely].tolist(), strict=True))
        probabilities.setdefault(label, 0.0)
        by_word.append(probabilities)
        before = label
    return tuple(by_word)


def highest_first(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return labels and their probabilities, highest first; probabilities of the same label are
    added up."""
    totals: defaultdict[str, float] = defaultdict(float)
    for label, p in pairs:
        totals[label] += p
    rounded = {label: round(p, 6) for label, p in totals.items()}
    return dict(sorted(rounded.items(), key=lambda pair: -pair[1]))


def _written(column: LabelColumn, symbol: str, word: str, before: str) -> str:
    """Write a symbol as the label of a word. before: the label of the word before it."""
    if column.form == EDIT:
        return edit_scripts.apply(symbol, word)
    if column.inner == column.scheme or symbol == schemes.OUTSIDE:
        return symbol

    # The letter of the other scheme that means the same.
    letter, kind = schemes.parse(symbol)
    inner = schemes.LETTERS[column.inner]
    begins = letter in (inner[0], inner[3])
    letter = schemes.LETTERS[column.scheme][inner.index(letter)]

    # IOB1 writes B only where a span follows one of its type.
    if column.scheme == schemes.IOB1 and begins and before != schemes.OUTSIDE:
        _, kind_before = schemes.parse(before)
        if kind_before == kind:
            letter = "B"
    return f"{letter}-{kind}" if kind else letter


# ---- Lists of them, which are tables, too. All rows have all columns. A label column with the name
# of another column is numbered.


class TaggedSentences(RecordList[TaggedSentence]):
    """Tagged sentences, in a list that is also a table with a row per word."""

    def to_rows(self) -> list[Row]:
        """Return a row for each word: the number of its sentence and its own, from 1, the word, and
        its label in each column."""
        columns = dict.fromkeys(chain.from_iterable(sentence.labels for sentence in self))
        of_sentences = dict.fromkeys(
            chain.from_iterable(sentence.sentence_labels for sentence in self)
        )
        headings = ["sentence", "word_index", "word", *columns, *of_sentences]
        rows: list[list[Cell]] = []
        for number, sentence in enumerate(self, start=1):
            # A model of letters writes sounds, of which there may be fewer or more.
            by_word = zip_longest(*(sentence.labels.get(column, ()) for column in columns))
            none = (None,) * len(columns)
            sentence_labels = list(map(sentence.sentence_labels.get, of_sentences))
            for place, word in enumerate(sentence.words, start=1):
                rows.append([number, place, word, *next(by_word, none), *sentence_labels])
        return named_rows(headings, rows)


class ClassifiedTexts(RecordList[ClassifiedText]):
    """Classified texts, in a list that is also a table with a row per text."""

    def to_rows(self) -> list[Row]:
        """Return a row for each text, with its label in each column and the probability of this
        label."""
        columns = dict.fromkeys(chain.from_iterable(classified.labels for classified in self))
        headings = ["text"]
        for column in columns:
            headings += column, f"{column} probability"
        rows: list[list[Cell]] = []
        for classified in self:
            values: list[Cell] = [classified.text or " ".join(classified.words)]
            for column in columns:
                label = classified.labels.get(column)
                # With several labels none of the probabilities belongs to all together.
                values += label, classified.probabilities.get(column, {}).get(label or "")
            rows.append(values)
        return named_rows(headings, rows)


# ---- Sentences tagged: raw text or lists of words in, their labels out, in order and a window of
# sentences at a time.


def tag(
    model: loading.ScoringModel, sentences: Sequence[str | Sequence[str]], *, nbest: int = 1,
    probabilities: bool = False,
) -> TaggedSentences:  # fmt: skip
    """Label the words of sentences.

    model: a tagger or its name. sentences: each a str with words separated by white space, or a
    list of words; for a letters-to-sounds model, a word or a list of its letters. nbest: number of
    label sequences for each sentence: 1 is the one that the network finds most probable; from 2 on
    they are ranked by their whole probability, the sum over all that are written alike.
    probabilities: also return the probabilities of each word's labels; for a CRF, the marginals.

    Raises:
        UsageError: the model is not a tagger.
        ModelError: there is no such model, or it is damaged.
    """
    sentences = list(items_of(sentences, (str, list, tuple), "sentences"))
    tagger = Tagger(loading.model_for("tag", model), nbest, probabilities)
    codec = tagger.model.codec
    by_word = is_of_letters(codec)
    if by_word:
        for place, sentence in enumerate(sentences):
            if isinstance(sentence, str) and len(words_in(sentence)) > 1:
                raise UsageError(
                    f"tag: sentences[{place}] has {plural(len(sentence.split()), 'word')}",
                    "the model transcribes single words",
                    "give each word separately",
                )

    texts: list[tuple[str | None, tuple[str, ...]]] = []
    for sentence in sentences:
        if isinstance(sentence, str):
            if by_word:
                # "c a t" is the word "cat": spaces between letters are not letters.
                sentence = "".join(words_in(sentence))
            texts.append((sentence, split_text(codec, sentence)))
        else:
            texts.append((None, tuple(sentence)))
    return TaggedSentences(tagger.tag(texts))


def predicted(
    model: TaskModel, texts: Sequence[Sequence[str]], search: LabelSearch | None = None
) -> Iterator[Prediction | str]:
    """Yield the prediction for each text, a list of words, or why there is none: it has no words,
    or too many."""
    reasons = [_why_not_read(model, words) for words in texts]
    readable = [words for words, reason in zip(texts, reasons, strict=True) if not reason]
    predictions = iter(predict(model, readable, search) if readable else ())
    for reason in reasons:
        yield reason or next(predictions)


def _why_not_read(model: TaskModel, words: Sequence[str]) -> str | None:
    if not words:
        return NO_WORDS
    if is_surely_short(" ".join(words)):
        return None
    [tokens] = encode_texts(model.codec, [words]).token_lengths
    return why_too_long(int(tokens))


@dataclass(frozen=True)
class Tagger:
    """A model and a request; the fields are arguments of :func:`tag`."""

    model: TaskModel
    nbest: int = 1
    probabilities: bool = False

    def tag(self, texts: Iterable[tuple[str | None, tuple[str, ...]]]) -> Iterator[TaggedSentence]:
        """Yield each text and its words with their labels, in order; the first ones come when a
        WINDOW of them is read, or all. A notice at the end names or counts unknown words."""
        search = self._search
        unknown = UnknownWords()
        for window in windows(texts, lambda text: len(text[1])):
            texts_words = [words for _, words in window]
            unknown.add(lines_of(texts_words), self.model.codec.tokenizer)
            predictions = predicted(self.model, texts_words, search)
            for (text, words), prediction in zip(window, predictions, strict=True):
                yield self._tagged(text, words, prediction)
        unknown.tell()

    @cached_property
    def _search(self) -> LabelSearch:
        if self.nbest < 1:
            raise UsageError(f"nbest = {self.nbest}: at least one label sequence is needed")
        return LabelSearch(self.nbest, self.probabilities)

    def _tagged(
        self, text: str | None, words: tuple[str, ...], prediction: Prediction | str
    ) -> TaggedSentence:
        codec = self.model.codec
        if isinstance(prediction, str):
            nothing: dict[str, tuple[()]] = {column.name: () for column in codec.word_columns}
            of_texts: dict[str, dict[str, float]] = {
                column.name: {} for column in codec.text_columns
            }
            return TaggedSentence(
                text=text,
                words=(),
                labels=nothing,
                sentence_labels={},
                reason=prediction,
                nbest=nothing,
                probabilities=nothing if self.probabilities else {},
                sentence_probabilities=of_texts if self.probabilities or self.nbest > 1 else {},
            )

        # Labels of words, and of the whole sentence.
        nbest: dict[str, tuple[LabelSequence, ...]] = {}
        probabilities: dict[str, tuple[Mapping[str, float], ...]] = {}
        sentence_labels: dict[str, str] = {}
        sentence_probabilities: dict[str, Mapping[str, float]] = {}
        for column, predicted in zip(codec.columns, prediction, strict=True):
            name = column.name
            if column.level == TEXT:
                sentence_labels[name] = predicted.label
                if self.probabilities or self.nbest > 1:
                    sentence_probabilities[name] = probabilities_of_text(predicted)
                continue
            nbest[name] = tuple(
                LabelSequence(
                    written(column, answer.labels),
                    math.exp(answer.logprob_nats),
                    answer.logprob_nats,
                )
                for answer in predicted.best
            )
            # The probabilities of a letter's sounds are no probabilities of the word's.
            if self.probabilities and column.form != SOUNDS:
                assert predicted.p_TK is not None  # they were asked for
                probabilities[name] = of_words(
                    column, predicted.p_TK, words, predicted.best[0].labels
                )
        return TaggedSentence(
            text=text,
            words=words,
            labels={name: best[0].labels for name, best in nbest.items()},
            sentence_labels=sentence_labels,
            reason=None,
            nbest=nbest,
            probabilities=probabilities,
            sentence_probabilities=sentence_probabilities,
        )


def probabilities_of_text(prediction: ColumnPrediction) -> dict[str, float]:
    """Return the probability of each label of a text, highest first."""
    assert prediction.p_TK is not None  # texts always have them
    return highest_first(zip(prediction.symbols, prediction.p_TK[0].tolist(), strict=True))


# ---- Texts classified: raw text or lists of words in, their labels and probabilities out.


def classify(
    model: loading.ScoringModel, texts: Sequence[str | Sequence[str]], *, nodes: bool = False
) -> ClassifiedTexts:
    """Label whole texts, as :meth:`rnnlm.Model.classify` does; model: a classifier or its name."""
    texts = list(items_of(texts, (str, list, tuple), "texts"))
    return ClassifiedTexts(classified(loading.model_for("classify", model), texts, nodes))


def classified(
    model: TaskModel, texts: Iterable[str | Sequence[str]], nodes: bool = False
) -> Iterator[ClassifiedText]:
    """Yield each text with its labels, in order; the first ones come when a WINDOW of them is read,
    or all. A notice at the end names or counts unknown words."""
    if nodes and model.codec.node_loss is None:
        why = f"a model of kind {model.model_kind} reads no trees"
        raise UsageError("there are no nodes to label", why, "use a recursive one")

    # A text that cannot be labelled keeps its place, with the reason.
    unknown = UnknownWords()
    for window in windows(texts, len):
        split = [_words_or_fault(model, given) for given in window]
        texts_words = [text_words for text_words, _ in split]
        unknown.add(lines_of(texts_words), model.codec.tokenizer)
        found = predicted(model, texts_words)
        for given, (text_words, fault), prediction in zip(window, split, found, strict=True):
            text = given if isinstance(given, str) else None
            if isinstance(prediction, str):
                yield ClassifiedText(text, text_words, {}, {}, fault or prediction)
                continue
            labels = {column.column: column.label for column in prediction}
            probabilities = {column.column: probabilities_of_text(column) for column in prediction}
            by_node = {column.column: _nodes(column, text_words) for column in prediction if nodes}
            yield ClassifiedText(text, text_words, labels, probabilities, None, by_node)
    unknown.tell()


def _words_or_fault(
    model: TaskModel, text: str | Sequence[str]
) -> tuple[tuple[str, ...], str | None]:
    """Return the words of a text; none, and why, if it is a damaged tree."""
    if not isinstance(text, str):
        return tuple(text), None
    try:
        return split_text(model.codec, text), None
    except TextError as error:
        return (), error.what + f" ({error.why})" if error.why else error.what


def _nodes(prediction: ColumnPrediction, words: Sequence[str]) -> tuple[LabelledNode, ...]:
    """Return the nodes of a text's tree with their most likely labels."""
    assert prediction.p_NK is not None  # the network reads trees
    nodes_4N, nodes = trees.nodes_of(words), []
    rows = nodes_4N.T.tolist()
    for span, row, p_K in zip(trees.spans(nodes_4N), rows, prediction.p_NK, strict=True):
        label, p = prediction.symbols[p_K.argmax()], round(float(p_K.max()), 6)
        nodes.append(LabelledNode(*span, row[trees.PARENT], row[trees.HEIGHT], label, p))
    return tuple(nodes)
