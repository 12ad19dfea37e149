"""Use taggers and classifiers: raw text or lists of words in, labels out."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rnnlm.amounts import plural
from rnnlm.checks import items_of
from rnnlm.errors import TextError, UsageError
from rnnlm.lm.base import loading
from rnnlm.lm.base.loading import ScoringModel
from rnnlm.tasks.common.text_files import windows
from rnnlm.tasks.labelling import trees
from rnnlm.tasks.labelling.answers import written
from rnnlm.tasks.labelling.data import SOUNDS, TEXT, encode_texts, lines_of
from rnnlm.tasks.labelling.evaluation import results
from rnnlm.tasks.labelling.evaluation.results import (
    ClassifiedText,
    ClassifiedTexts,
    LabelledNode,
    LabelSequence,
    TaggedSentence,
    TaggedSentences,
)
from rnnlm.tasks.labelling.model import (
    ColumnPrediction,
    LabelSearch,
    Prediction,
    TaskModel,
    predict,
)
from rnnlm.tasks.labelling.splitting import is_of_letters, split_text, words_in
from rnnlm.text.batches import NO_WORDS, is_surely_short, why_too_long
from rnnlm.text.marks import UnknownWords

# ---- Sentences tagged: raw text or lists of words in, their labels out, in order and a window of
# sentences at a time.


def tag(
    model: ScoringModel, sentences: Sequence[str | Sequence[str]], *, nbest: int = 1,
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
        _check_single_words(sentences)

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


def _check_single_words(sentences: Sequence[str | Sequence[str]]) -> None:
    for place, sentence in enumerate(sentences):
        if isinstance(sentence, str) and len(words_in(sentence)) > 1:
            raise UsageError(
                f"tag: sentences[{place}] has {plural(len(sentence.split()), 'word')}",
                "the model transcribes single words",
                "give each word separately",
            )


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
                probabilities[name] = results.of_words(
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
    return results.highest_first(zip(prediction.symbols, prediction.p_TK[0].tolist(), strict=True))


# ---- Texts classified: raw text or lists of words in, their labels and probabilities out.


def classify(
    model: ScoringModel, texts: Sequence[str | Sequence[str]], *, nodes: bool = False
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
