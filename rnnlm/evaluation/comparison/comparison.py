"""Compare two or more language models on one text: the comparable metrics, the effect of unknown
words on the result, and the places where the models differ.

All models read the same lines, and every token is scored exactly once; the metrics are defined in
:mod:`rnnlm.evaluation.perplexity`.
"""

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import ComparisonError, notice
from rnnlm.evaluation.comparison import tables as difference_tables
from rnnlm.evaluation.comparison.pairing import (
    HINTS,
    ComparableMetrics,
    Comparer,
    Difference,
    RefusedMetric,
    Side,
)
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.perplexity import (
    NO_OOV,
    Context,
    Signature,
    TextEvaluation,
    lines_per_block,
    metrics_per,
    nats_to_choose,
    sign,
    spans_of,
    text_evaluation,
    text_metrics,
)
from rnnlm.interface import UNKNOWN, LanguageModel, Tokenizer
from rnnlm.lm.base import span_scoring
from rnnlm.text.corpus import Text, TextInMemory
from rnnlm.text.encoding import EncodedText, as_bytes
from rnnlm.text.lines import Progress, prefixed
from rnnlm.text.marks import tell_unseen

# ---- Which metrics of several models on one text compare, and which part of their signatures
# forbids the others.
#
# Numbers compare when they describe the same events. Lines, case, blank lines, `<unk>` and line
# ends must be treated alike for anything to compare; how `<unk>` is read makes no difference to a
# text without it. Where tokenizers differ, tokens are different events; whole words, characters and
# bytes are the same ones, if no word is unknown: an unknown word is one event to a model of words,
# and many to a model of pieces.

# Models with different vocabularies of words have one comparable metric: it adds the cost of
# choosing one of the unknown words.

ADJUSTED = "ppl_adjusted"
# All parts of signatures: `find_comparable` has checked them, so nothing else need do so
PARTS = frozenset({"rnnlm", *(part.name for part in fields(Signature))})


@dataclass(frozen=True)
class EvaluatedModel:
    """The properties that decide whether a model's metrics on a text compare with another's.
    unknown_tokens: words and white space that are unknown to it. changes: those that the
    tokenizer makes to the text before it splits it, apart from the case."""

    name: str
    signature: Signature
    unknown_tokens: int
    keeps_text: bool
    changes: str

    @classmethod
    def of(
        cls, name: str, model: LanguageModel, encoded: EncodedText, context: Context
    ) -> "EvaluatedModel":
        """Collect the facts that decide on comparability, from a model and from the text as its
        tokenizer splits it."""
        signature, tokenizer = sign(model, encoded, context), model.tokenizer
        return cls(name, signature, len(encoded.oov), tokenizer.keeps_text, cls._changes(tokenizer))

    @classmethod
    def of_stored(
        cls, name: str, evaluation: TextEvaluation, tokenizer: Tokenizer
    ) -> "EvaluatedModel":
        """Collect the facts that decide on comparability, from a model's tokenizer and from its
        stored metrics."""
        unknown = evaluation.oov_words
        # White space may be unknown, too, of which nothing is stored but this.
        if evaluation.closed_vocabulary and tokenizer.keeps_text:
            unknown = max(1, unknown)
        signature = Signature.parse(evaluation.signature)
        return cls(name, signature, unknown, tokenizer.keeps_text, cls._changes(tokenizer))

    @staticmethod
    def _changes(tokenizer: Tokenizer) -> str:
        settings: dict[str, Any] = tokenizer.to_settings()
        splits = "punctuation split off" if settings.get("split_punctuation") else ""
        changes = filter(None, [tokenizer.rewriting, splits])
        return ", ".join(changes) or "the text unchanged"


def find_comparable(
    subjects: Sequence[EvaluatedModel], holds_unk: bool = True
) -> ComparableMetrics:
    """Find the metrics that compare between all of `subjects`; raise ComparisonError if none
    does. holds_unk: whether the text has `<unk>`."""
    for part, hint in HINTS.items():
        if _differ(subjects, part) and (part != "unk" or holds_unk):
            what = f"these models cannot be compared: their signatures differ in {part}"
            raise ComparisonError(what, _values(subjects, part), hint)

    # With one tokenizer everything compares.
    known = text_metrics()
    if not _differ(subjects, "tok"):
        return ComparableMetrics(tuple(known), next(iter(known)), may_differ=PARTS)

    # With several vocabularies of words, those that lack words pay for the choice among them.
    kinds = {subject.signature.tok.partition(":")[0] for subject in subjects}
    is_same_text = len({subject.changes for subject in subjects}) == 1
    if kinds == {"word"} and is_same_text and any(subject.unknown_tokens for subject in subjects):
        why = f"unknown words are other events: {_values(subjects, 'tok')}"
        others = [RefusedMetric(name, "tok", why) for name in known if name != ADJUSTED]
        return ComparableMetrics((ADJUSTED,), ADJUSTED, tuple(others), may_differ=PARTS)

    # With several tokenizers, metrics per token are not comparable.
    _check_same_words(subjects)
    why = f"their tokens are different events: {_values(subjects, 'tok')}"
    refused = [RefusedMetric(name, "tok", why) for name in metrics_per("token")]
    changing = [subject.name for subject in subjects if not subject.keeps_text]
    per_word, per_text = metrics_per("word"), metrics_per("character", "byte")
    if not changing:
        return ComparableMetrics(
            (*per_word, *per_text), per_text[0], tuple(refused), may_differ=PARTS
        )

    # Nor are metrics per character, if a tokenizer changes the characters.
    verb = "does" if len(changing) == 1 else "do"
    why = f"{' and '.join(changing)} {verb} not preserve the text"
    refused += [RefusedMetric(name, None, why) for name in per_text]
    return ComparableMetrics(per_word, per_word[0], tuple(refused), may_differ=PARTS)


def _check_same_words(subjects: Sequence[EvaluatedModel]) -> None:
    """Refuse models of different tokenizers that do not predict the same words, or do not know
    all of them."""
    what = "these models cannot be compared: their signatures differ in tok"
    changes = {subject.name: subject.changes for subject in subjects}
    if len(set(changes.values())) > 1:
        shown_changes = ", ".join(f"{change} for {name}" for name, change in changes.items())
        why = f"they predict different words: {shown_changes}"
        hint = "train both with one tokenizer: rnnlm train --tokenizer-from"
        raise ComparisonError(what, why, hint)

    # An unknown word is one event to one model, and several to another.
    unknown = [
        f"{plural(subject.unknown_tokens, 'token')} to {subject.name}"
        for subject in subjects
        if subject.unknown_tokens
    ]
    if unknown:
        why = f"{_values(subjects, 'tok')}; parts of the text are unknown ({', '.join(unknown)})"
        why += ", so nothing compares per word, character or byte"
        hint = (
            "retrain one with the tokenizer of the other (rnnlm train --tokenizer-from), or with "
            "one that can write every text (tokenizer = byte or sentencepiece)"
        )
        raise ComparisonError(what, why, hint)


def _differ(subjects: Sequence[EvaluatedModel], part: str) -> bool:
    """Return whether this part of their signatures differs."""
    return len({getattr(subject.signature, part) for subject in subjects}) > 1


def _values(subjects: Sequence[EvaluatedModel], part: str) -> str:
    """Write the values of this part of their signatures."""
    return ", ".join(
        f"{part}:{getattr(subject.signature, part)} for {subject.name}" for subject in subjects
    )


# ---- The effect of unknown words on a comparison.
#
# The probability of an unknown word says little about how a model predicts words, but may decide a
# comparison: where a text has such words, models are compared with them and without, and where the
# two disagree a sentence reports it.


def differing_by(metric: str, unknown: int) -> tuple[str, ...]:
    """Return the metrics whose differences have intervals. unknown: how many tokens of the text are
    unknown."""
    if not metric:
        return ()
    if not unknown or metric + NO_OOV not in text_metrics():
        return (metric,)
    return (metric, metric + NO_OOV)


def disagreements(
    evaluations: Sequence[TextEvaluation], differences: Sequence[Difference]
) -> list[str]:
    """Describe for each pair in a sentence how its differences with and without unknown tokens
    disagree, if they do."""
    lines = evaluations[0].lines
    unknown = 0 if lines is None else int(lines.oov_S.sum())
    by_metric = {
        (difference.first, difference.second, difference.metric): difference
        for difference in differences
    }

    # Compare the verdict on all tokens with the verdict on known ones, pair by pair.
    notes = []
    for with_all in differences:
        known = by_metric.get((with_all.first, with_all.second, with_all.metric + NO_OOV))
        if known is None:
            continue
        before, after = _verdict(with_all), _verdict(known)
        if before is None or after is None or before == after:
            continue
        tokens, less = f"the {unknown:,} unknown tokens", "without them"
        if unknown == 1:
            tokens, less = "the unknown token", "without it"
        notes.append(
            f"note: with {tokens}, {before}; {less}, {after}: only the latter compares words that "
            "the models know"
        )
    return notes


def _verdict(difference: Difference) -> str | None:
    """Say which model is better; None where a token has probability zero."""
    if difference.difference is None or difference.p is None:
        return None
    better = difference.better
    if better is None:
        return "neither model is significantly better"
    worse = difference.first if better == difference.second else difference.second
    return f"{better} is better than {worse}"


# ---- The comparison of language models.

_Side = Side[LanguageModel, EncodedText]


class TextComparer(Comparer[LanguageModel, EncodedText, TextEvaluation]):
    """Language models on one text, which is read once, and encoded once for each tokenizer. train:
    a training text, in which n-grams are looked up and, where the models do not know, words are
    counted. report: called with the progress of the work."""

    task = "language-model"

    def __init__(
        self, text: Text, train: Text | None, settings: ComparisonSettings, report: Progress
    ) -> None:
        self.began = time.perf_counter()
        self.unread = text
        self.train = train
        self.settings = settings
        self.report = report
        self.encoded: dict[str, EncodedText] = {}  # by the fingerprint of the tokenizer
        self.spelling: set[str] = set()  # fingerprints of tokenizers that spelled unseen words
        self.scores: list[np.ndarray] = []  # of the models, in order
        self.main = ""  # the name of the metric by which they are compared

    @functools.cached_property
    def text(self) -> TextInMemory:
        """The text, read when it is first needed."""
        return TextInMemory.read(self.unread, self.report)

    def read(self, model: LanguageModel, called: str) -> EncodedText:
        # Tokenizers of one fingerprint cut the text alike, except that some spell unseen words.
        # Text encoded by one that spells serves the others, too, but not the other way round.
        tokenizer = model.tokenizer
        fingerprint = tokenizer.fingerprint
        is_needed = tokenizer.spells and fingerprint not in self.spelling
        if is_needed or fingerprint not in self.encoded:
            self.encoded[fingerprint] = self.text.encode(tokenizer)
            if tokenizer.spells:
                self.spelling.add(fingerprint)
        return self.encoded[fingerprint]

    def comparable(self, sides: Sequence[_Side]) -> ComparableMetrics:
        data = sides[0].data
        tell_unseen(data.marks, {side.name: side.model.tokenizer for side in sides})
        subjects = [
            EvaluatedModel.of(side.name, side.model, side.data, self.settings.context)
            for side in sides
        ]

        # How <unk> is read matters only where the text has it.
        pieces = (as_bytes(block.lines).decode() for block in self.text.blocks())
        holds_unk = any(UNKNOWN in piece.lower() for piece in pieces)
        comparable = find_comparable(subjects, holds_unk)
        self.main = comparable.main

        block_lines = lines_per_block(data.sentences, self.settings.block_lines)
        differing = differing_by(comparable.main, len(data.oov))
        return replace(comparable, differing=differing, block_lines=block_lines)

    def measure(self, side: _Side) -> TextEvaluation:
        model, encoded, context = side.model, side.data, self.settings.context
        self.report(f"{side.name} reads {plural(encoded.tokens, 'token')}")
        progress = prefixed(self.report, side.name)
        spans = spans_of(encoded, context)
        scores = span_scoring.score_spans(model, encoded.ids, spans, report=progress)
        self.scores.append(scores)
        return text_evaluation(model, scores, encoded, context, self.began)

    def notes(
        self, evaluations: Sequence[TextEvaluation], differences: Sequence[Difference]
    ) -> list[str]:
        notes = disagreements(evaluations, differences)
        if evaluations[0].closed_vocabulary and self.main != ADJUSTED:
            notes.append(
                "closed vocabulary: ppl_word is comparable between these models, but not across "
                "tokenizers"
            )
        return notes

    def details(
        self, sides: Sequence[_Side], evaluations: Sequence[TextEvaluation]
    ) -> difference_tables.TextDetails:
        # Where the models differ is found in tokens, or in words where their tokenizers differ.
        tokenizers = [side.model.tokenizer for side in sides]
        encoded = [side.data for side in sides]
        main = text_metrics()[self.main]
        reference = difference_tables.reference_of(self.text, tokenizers, encoded)
        counts_V, source, ngrams = self._known_of(reference, sides)

        # Add up the units of each table. With adjusted metrics, an unknown token costs the choice
        # among unknown words, too.
        words = difference_tables.GroupSums(
            reference.tokenizer.symbols(), len(sides), lambda units: units.ids_U
        )
        positions = difference_tables.by_position(len(sides))
        bands = None
        if counts_V is not None:
            bands = difference_tables.by_frequency(reference.tokenizer, len(sides), counts_V)
        tables = [table for table in (words, positions, bands, ngrams) if table is not None]
        costs = [nats_to_choose(read) if main.is_adjusted else 0.0 for read in encoded]
        unaligned_lines = 0
        for units in difference_tables.units_in_parts(
            reference, tokenizers, encoded, self.scores, costs, self.report
        ):
            unaligned_lines += units.unaligned_lines
            for table in tables:
                table.add(units)
        if unaligned_lines:
            notice(
                f"{unaligned_lines:,} lines are one unit each in the tables: the tokenizers "
                "split them into different numbers of words"
            )

        # The lines and words on which each model differs most from the first.
        sums = (main.parts(evaluation.lines) for evaluation in evaluations if evaluation.lines)
        bits = [logprob_S / -math.log(2) for logprob_S, _ in sums]
        top = self.settings.top
        of_lines, of_words = [], []
        for k, side in enumerate(sides[1:], start=1):
            pair = (sides[0].name, side.name)
            bits_2S = np.stack([bits[0], bits[k]])
            of_lines.append(difference_tables.lines_apart(pair, self.text, bits_2S, top))
            of_words.append(difference_tables.words_apart(pair, words, (0, k), top))
        return difference_tables.TextDetails(
            context=self.settings.context,
            unit=reference.name,
            units=int(words.units_G.sum()),
            unaligned_lines=unaligned_lines,
            bands=() if bands is None else bands.rows(),
            positions=positions.rows(),
            ngrams=() if ngrams is None else ngrams.rows(),
            ngram_source=source,
            lines_apart=tuple(of_lines),
            words_apart=tuple(of_words),
        )

    def _known_of(
        self, reference: difference_tables.Reference, sides: Sequence[_Side]
    ) -> tuple[np.ndarray | None, str | None, difference_tables.GroupSums | None]:
        """Return how often units occurred in training, if known, an object that knows which n-grams
        did, and the groups of n-grams."""
        # The training text has all n-grams, and words are counted in it if no model knows how often
        # they occur.
        counts_V, tokenizer, models = reference.counts_V, reference.tokenizer, len(sides)
        if self.train is not None:
            encoded = self.train.encode(tokenizer, self.report)
            if counts_V is None:
                counts_V = difference_tables.counts_in(tokenizer, encoded)
            source = ", ".join(self.train.sources)
            return counts_V, source, difference_tables.by_ngram_in(tokenizer, models, encoded)

        # The first model that has n-grams of these units knows which it has seen.
        for side in sides:
            if side.model.tokenizer.fingerprint == tokenizer.fingerprint:
                ngrams = difference_tables.by_ngram_of(tokenizer, models, side.model)
                if ngrams is not None:
                    return counts_V, side.name, ngrams
        return counts_V, None, None
