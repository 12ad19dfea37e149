"""Compute perplexity and related metrics: every token of a text is scored exactly once, and totals
are float64.

context "carry": one stream, the state carries over across lines (as PTB and WikiText results are
reported). context "reset": each line alone. With documents, the state is reset at each document.
"""

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

from rnnlm import satellites
from rnnlm.amounts import plural
from rnnlm.checks import several
from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation.metrics import (
    Evaluation,
    Metric,
    MetricDefinition,
    Unit,
    bounds,
    interval_of,
    named,
    restored,
    signature_parts,
    with_intervals,
)
from rnnlm.evaluation.resampling import (
    PERMUTATIONS,
    ROUNDING,
    Interval,
    PairedDifference,
    Resampling,
    by_block,
    permutation_p,
    ratio_interval,
)
from rnnlm.interface import LanguageModel, core_of
from rnnlm.lm.base import loading, span_scoring
from rnnlm.parallel import in_threads
from rnnlm.system import processors
from rnnlm.tabular import Table
from rnnlm.text.corpus import Text, WatchedText, by_group, open_text
from rnnlm.text.encoding import MOST_THREADS, EncodedText, LinesHash, as_bytes, encode_block, joined
from rnnlm.text.lines import Block, Progress, TextSettings, no_text, silent
from rnnlm.text.marks import tell_unseen

# ---- The signature: one line that says on which data and how a number was measured, and so which
# numbers compare.

VERSION = "0.1"
CHECKED = "checked"  # the hash of most models; a signature leaves it out


@dataclass(frozen=True)
class Signature:
    """The parts of a signature, in the order in which they are printed."""

    data: str  # hash over the scored lines
    tok: str  # tokenizer kind, fingerprint and size
    case: str  # kept | lower
    ctx: str  # carry | reset
    blank: str  # skip | keep | documents
    unk: str  # literal | spell
    eos: str  # yes | no
    prec: str
    adapt: str
    model: str
    hash: str = CHECKED  # unchecked: of arrays that are too large to hash them each time
    window: str = ""  # the most tokens that the model reads at once, where it has such a limit
    unwrap: str = "no"  # yes: the lines are the sentences of hard-wrapped text

    def __str__(self) -> str:
        values = [(part, getattr(self, part.name)) for part in fields(self)]
        parts = (f"{part.name}:{value}" for part, value in values if value != part.default)
        return "|".join([f"rnnlm:{VERSION}", *parts])

    @classmethod
    def parse(cls, text: str) -> "Signature":
        """Read a signature that str() wrote.

        Raises:
            UsageError: `text` is not a signature.
        """
        parts = signature_parts(text.split("|"))
        parts.pop("rnnlm", None)
        try:
            return cls(**parts)
        except TypeError:
            raise UsageError(f"not a signature: {text!r}") from None


# ---- The contributions of lines to perplexity, for intervals and differences.

MOST_BLOCKS = 10_000  # units left out; a text of more lines is left out in blocks


@dataclass(frozen=True, kw_only=True)
class LineSums:
    """The contributions of S lines to an evaluation. All arrays have the shape (S,).

    Attributes:
        logprob_S: Log-probabilities, nats.
        logprob_no_oov_S: Log-probabilities without unknown tokens, nats.
        logprob_adjusted_S: Log-probabilities adjusted for unknown tokens, nats; NaN if the number
            of different unknown words is not known.
        tokens_S: Number of tokens.
        oov_S: Number of unknown tokens.
        words_S: Number of words, plus one for the end of the line.
        characters_S: Number of characters, plus one for the end of the line.
        bytes_S: Number of bytes, plus one for the end of the line.
    """

    logprob_S: np.ndarray
    logprob_no_oov_S: np.ndarray
    logprob_adjusted_S: np.ndarray
    tokens_S: np.ndarray
    oov_S: np.ndarray
    words_S: np.ndarray
    characters_S: np.ndarray
    bytes_S: np.ndarray

    @classmethod
    def of(cls, encoded: EncodedText, logprob_N: np.ndarray) -> "LineSums":
        """Add up the tokens of each line of a text.

        Args:
            encoded: The text, with N tokens in S lines.
            logprob_N: Log-probability of each token, nats, (N,).

        Returns:
            The sums of each of the S lines.
        """
        starts = encoded.line_offsets[:-1]
        known_N = logprob_N.copy()
        known_N[encoded.oov] = 0.0
        line_of_oov = np.searchsorted(starts, encoded.oov, side="right") - 1
        logprob_S = np.add.reduceat(logprob_N, starts)
        oov_S = np.bincount(line_of_oov, minlength=len(starts))
        return cls(
            logprob_S=logprob_S,
            logprob_no_oov_S=np.add.reduceat(known_N, starts),
            logprob_adjusted_S=logprob_S - oov_S * nats_to_choose(encoded),
            tokens_S=np.diff(encoded.line_offsets),
            oov_S=oov_S,
            words_S=encoded.words_L.astype(np.int64) + 1,
            characters_S=encoded.characters_L.astype(np.int64),
            bytes_S=encoded.bytes_L.astype(np.int64),
        )

    @property
    def known_tokens_S(self) -> np.ndarray:
        """The number of tokens that are not unknown."""
        return self.tokens_S - self.oov_S

    @property
    def known_words_S(self) -> np.ndarray:
        """The number of words that are not unknown, if each token is a word."""
        return self.words_S - self.oov_S

    def blocks(self, lines: int) -> "LineSums":
        """Return the sums of consecutive blocks of lines.

        Args:
            lines: Number of lines per block; the last block may have fewer.
        """
        if lines == 1:
            return self
        return LineSums(
            **{field.name: by_block(getattr(self, field.name), lines) for field in fields(self)}
        )


def nats_to_choose(encoded: EncodedText) -> float:
    """Return the cost of choosing one of the different unknown words of a text, each as likely as
    the others (Ueberla 1994); NaN if their number is not known."""
    types = encoded.oov_types
    return math.nan if types is None else math.log(max(1, types))


NO_OOV = "_no_oov"  # the end of the names of metrics that leave unknown tokens out
Per = Literal["token", "word", "character", "byte"]


@dataclass(frozen=True, kw_only=True)
class TextMetric(MetricDefinition):
    """A perplexity, or bits, per token, word, character or byte.

    Attributes:
        per: Unit that the log-probability is divided by.
        is_perplexity: Whether it is e to the power of nats per unit; otherwise it is bits per unit.
        in_summary: Whether it is printed in the line that `train` ends with, and in the model card.
    """

    unit: Unit = "plain"
    higher_is_better: bool = False
    per: Per
    is_perplexity: bool
    in_summary: bool = False

    def __post_init__(self) -> None:
        if self.counts not in {*dir(LineSums), *LineSums.__dataclass_fields__}:
            raise ValueError(
                f"{self.name}: nothing counts {self.counts}; per is {', '.join(get_args(Per))}, "
                "and without_unknown is for tokens and words"
            )

    @property
    def counts(self) -> str:
        """The attribute of :class:`LineSums` with the units of each line."""
        known = "known_" if self.without_unknown else ""
        return f"{known}{self.per}s_S"

    @property
    def difference_unit(self) -> str:
        return f"bits per {self.per}"

    def parts(self, sums: LineSums) -> tuple[np.ndarray, np.ndarray]:
        """Return the two sums per line whose ratio is the metric.

        Args:
            sums: Sums of S lines.

        Returns:
            Log-probabilities in nats, (S,), and numbers of units (tokens, words, characters or
            bytes), (S,).
        """
        logprob_S = sums.logprob_no_oov_S if self.without_unknown else sums.logprob_S
        if self.is_adjusted:
            logprob_S = sums.logprob_adjusted_S
        return logprob_S, getattr(sums, self.counts)

    def value(self, sums: LineSums) -> float | None:
        """Return the metric of lines; None if nothing is counted, or a token has probability zero.

        Args:
            sums: Sums of the lines.
        """
        logprob_S, counts_S = self.parts(sums)
        nats = -logprob_S.sum() / max(1, counts_S.sum())
        value = np.exp(nats) if self.is_perplexity else nats / math.log(2)
        return float(value) if counts_S.sum() and math.isfinite(value) else None


TEXT_METRICS = named(
    TextMetric("ppl_token", per="token", is_perplexity=True, in_summary=True),
    TextMetric(
        "ppl_token_no_oov", per="token", is_perplexity=True, in_summary=True, without_unknown=True
    ),
    # exp(-(logprob_nats - n ln r) / tokens) with n unknown tokens, r of them different: an unknown
    # word costs as much as <unk>, and the choice of one among r.
    TextMetric("ppl_adjusted", per="token", is_perplexity=True, is_adjusted=True),
    TextMetric("ppl_word", per="word", is_perplexity=True, in_summary=True),
    # Has a value only where words are tokens, or none is unknown
    TextMetric("ppl_word_no_oov", per="word", is_perplexity=True, without_unknown=True),
    TextMetric("bits_per_char", per="character", is_perplexity=False, digits=4),
    TextMetric("bits_per_byte", per="byte", is_perplexity=False, digits=4),
)


def text_metrics() -> dict[str, TextMetric]:
    """Return the metrics of language models by name, ours before those of satellites."""
    return TEXT_METRICS | satellites.by_name("metrics")


def metrics_per(*units: Per) -> tuple[str, ...]:
    """Return the names of the metrics that are taken per one of these units."""
    return tuple(name for name, metric in text_metrics().items() if metric.per in units)


@dataclass(frozen=True)
class PerEvent:
    """The contributions of lines to one metric: nats or bits per token, word, character or byte.

    Attributes:
        sums: Sums of each line.
        metric: The metric.
        block_lines: Number of lines to leave out together. None: as in the resampling.
    """

    sums: LineSums
    metric: TextMetric
    block_lines: int | None = None

    def interval(self, resampling: Resampling = Resampling()) -> Interval | None:
        """Return the 95 % interval of the metric; None if a bound is too large for a float.

        Args:
            resampling: Number of permutations, blocks and seed.
        """
        lines = self.block_lines or lines_per_block(len(self.sums.tokens_S), resampling.block_lines)
        logprob_S, counts_S = self.metric.parts(self.sums.blocks(lines))

        # Without unknown tokens, a line of nothing else has nothing to count.
        held = counts_S > 0
        is_perplexity = self.metric.is_perplexity
        amount_S = -logprob_S[held]
        if not is_perplexity:
            amount_S = amount_S / math.log(2)
        interval = ratio_interval(amount_S, counts_S[held])
        if is_perplexity:
            with np.errstate(over="ignore"):
                interval = interval.map(np.exp)
        return interval if interval.high is None or math.isfinite(interval.high) else None

    def difference(
        self, other: "PerEvent", resampling: Resampling = Resampling()
    ) -> PairedDifference | None:
        """Return the difference of the metrics of two models; None if a token has probability zero.

        Args:
            other: Contributions of the same lines for the second model.
            resampling: Number of permutations, blocks and seed.

        Returns:
            The metric of `other` minus this one, in bits.
        """
        first, counts_S = self.metric.parts(self.sums)
        second, _ = self.metric.parts(other.sums)
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            return None

        # Both models have read the same lines, so their counts are the same.
        lines = self.block_lines or lines_per_block(len(first), resampling.block_lines)
        bits_N = by_block((first - second) / math.log(2), lines)
        bits = ratio_interval(bits_N, by_block(counts_S, lines))
        p = permutation_p(
            bits_N, resamples=resampling.resamples or PERMUTATIONS, seed=resampling.seed
        )
        return PairedDifference(bits, p, int(np.count_nonzero(abs(bits_N) > ROUNDING)))


def lines_per_block(lines: int, wanted: int | None) -> int:
    """Return how many lines are left out together: as many as are wanted, or as give
    MOST_BLOCKS blocks at most."""
    return wanted or -(-lines // MOST_BLOCKS)


# ---- Perplexity and the other metrics of a text.

Context = Literal["carry", "reset"]
COUNTS = (
    "tokens", "words", "characters", "bytes", "sentences", "oov_words", "oov_types",
    "zero_probability_tokens",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class TextEvaluation(Evaluation):
    """The metrics of a language model on a text. Perplexities are None if a token has probability
    zero.

    Attributes:
        tokens: Number of tokens, each line's `</s>` included.
        words: Number of words, split on white space.
        characters: Number of characters, plus one for the end of each line.
        bytes: Number of bytes in UTF-8, plus one for the end of each line.
        sentences: Number of lines.
        oov_words: Number of unknown words.
        oov_types: Number of different unknown words. None if tokens are not words, or the text is a
            prepared one.
        zero_probability_tokens: Number of tokens with probability zero.
        logprob_nats: Log-probability of the text, nats.
        ppl_token: Perplexity per token.
        ppl_token_no_oov: Perplexity per token, without unknown tokens in sum and count.
        ppl_adjusted: exp(-(logprob_nats - n ln(oov_types)) / tokens) with n unknown tokens.
        ppl_word: exp(-logprob_nats / (words + sentences)): each line's `</s>` counts as one word.
        ppl_word_no_oov: The same without unknown words in sum and count. None if words are not
            tokens, since a part of a word may be unknown.
        bits_per_char: Bits per character. None if `closed_vocabulary`.
        bits_per_byte: Bits per byte. None if `closed_vocabulary`.
        closed_vocabulary: Whether something was unknown, or the tokenizer does not preserve the
            text.
        normalised: Whether the model's probabilities sum to 1.
        context: "carry" (all lines read as one stream) or "reset" (each line alone).
        lines: Contributions of each line; None in a stored evaluation.
        block_lines: Number of lines that are left out together, as in :class:`PerEvent`.
        groups: The evaluations of groups of lines with 95 % intervals, if they were requested, by
            name in the order of their first lines. The name None: rows without one.
    """

    tokens: int
    words: int
    characters: int
    bytes: int
    sentences: int
    oov_words: int
    oov_types: int | None
    zero_probability_tokens: int
    logprob_nats: float | None
    ppl_token: float | None
    ppl_token_no_oov: float | None
    ppl_adjusted: float | None
    ppl_word: float | None
    ppl_word_no_oov: float | None
    bits_per_char: float | None
    bits_per_byte: float | None
    closed_vocabulary: bool
    normalised: bool = True
    context: Context
    lines: LineSums | None = field(default=None, repr=False, compare=False)
    block_lines: int | None = field(default=None, repr=False, compare=False)
    groups: Mapping[str | None, "TextEvaluation"] = field(
        default_factory=dict, repr=False, compare=False
    )
    summary_counts: ClassVar[tuple[str, ...]] = ("tokens", "oov_words")
    count_notes: ClassVar[Mapping[str, str]] = {"words": "split on white space"}

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(map(self._metric, text_metrics().values()))

    def _metric(self, definition: TextMetric) -> Metric:
        name, counts = definition.name, None
        if self.lines is not None:
            counts = PerEvent(self.lines, definition, self.block_lines)

        # Fields hold ours. Those of satellites are computed of the lines, if ours that counts the
        # same units has a value.
        like = TEXT_METRICS.get(name) or next(
            own for own in TEXT_METRICS.values() if own.counts == definition.counts
        )
        value = getattr(self, like.name)
        if name not in TEXT_METRICS and value is not None:
            value = None if self.lines is None else definition.value(self.lines)
        return Metric(
            definition,
            value,
            self.signature,
            note=self._note(definition),
            counts=counts,
            interval=self.intervals.get(("", name)),
        )

    def _note(self, definition: TextMetric) -> str:
        """Return a note that a reader of a metric needs, to be printed beside it."""
        is_of_all_tokens = definition.per == "token" and not definition.without_unknown
        notes = {
            "closed vocabulary": definition.per == "word" and self.closed_vocabulary,
            "a token has probability zero": is_of_all_tokens and self.zero_probability_tokens,
            "not normalised": is_of_all_tokens and not self.normalised,
        }
        return ", ".join(note for note, applies in notes.items() if applies)

    @property
    def mains(self) -> tuple[Metric, ...]:
        return (self._metric(TEXT_METRICS["ppl_token"]),)

    @property
    def summary(self) -> tuple[Metric, ...]:
        known = text_metrics()
        return tuple(metric for metric in self.brief if known[metric.name].in_summary)

    def with_details(self, most_confusions: int | None = None) -> dict[str, Any]:
        values = {metric.name: metric.value for metric in self.metrics}
        added = {name: value for name, value in values.items() if name not in TEXT_METRICS}
        groups = [{"group": name} | group.to_dict() for name, group in self.groups.items()]
        return self.to_dict() | added | ({"groups": groups} if groups else {})

    def tables(self, most_confusions: int | None = None) -> Iterator[Table]:
        if not self.groups:
            return
        # Bits, and the perplexities of the summary.
        shown = [metric.name for metric in self.brief]
        summary = [metric.name for metric in self.summary]
        records = []
        for name, group in self.groups.items():
            counts = {count: f"{getattr(group, count):,}" for count in ("sentences", "tokens")}
            record = {"group": name or "-", **counts}
            for metric in group.metrics:
                is_plain = metric.name in summary or not metric.definition.is_perplexity
                if metric.name in shown and is_plain:
                    digits = metric.definition.digits
                    record[metric.name] = metric.shown(digits)
                    record[f"{metric.name} 95 %"] = metric.shown_interval(digits)
            records.append(record)
        remark = (
            "groups are sums over lines of one reading (context carry): a line may follow one of "
            "another group"
        )
        table = Table.of_records(records, left=["group"])
        yield table if self.context == "reset" else replace(table, remark=remark)

    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def facts(self) -> Mapping[str, Any]:
        names = ("logprob_nats", "closed_vocabulary", "normalised", "context", "seconds")
        return {name: getattr(self, name) for name in names}

    @property
    def remarks(self) -> Sequence[str]:
        if self.normalised:
            return ()
        return ("not normalised: these numbers are not perplexities",)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, with the bounds of the perplexity's interval if requested."""
        numbers = super().to_dict()
        for (_, name), interval in self.intervals.items():
            numbers |= bounds(interval, f"{name}_")
        return numbers

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        intervals = {}
        if "ppl_token_low" in stored:
            intervals["", "ppl_token"] = interval_of(stored, "ppl_token", "ppl_token_")
        return restored(cls, stored, signature=stored["signature"], intervals=intervals)


def evaluate(
    model: LanguageModel | str | Path,
    text: str | Path | Sequence[str | Path] | Text | EncodedText,
    *,
    context: Context = "carry",
    text_settings: TextSettings | None = None,
    progress: Progress = silent,
    group_by: str | None = None,
) -> TextEvaluation:
    """Evaluate `model` on `text`: a path or several, a text, one encoded by its tokenizer, or the
    folder of a prepared text.

    model: a language model, or the name of one, which is then loaded again by each call. progress:
    called with the progress of reading and scoring. group_by: the column of a table that names the
    group of each row.
    """
    began = time.perf_counter()
    check_context(context)
    model = loading.language_model_of(model)
    watched = None
    if not isinstance(text, EncodedText):
        text = as_text(text, text_settings)
        if group_by is not None:
            text = by_group(text, group_by)
        if text.tokenizer is None:
            text = watched = WatchedText(text, model.tokenizer)

    # Where lines do not depend on each other, and are not encoded yet, threads can do both at once.
    if isinstance(text, Text) and text.tokenizer is None and model.boundary_resets_state:
        encoded, logprob_N = _in_parts(model, text, progress)
    else:
        encoded = text if isinstance(text, EncodedText) else text.encode(model.tokenizer, progress)
        spans = spans_of(encoded, context)
        logprob_N = span_scoring.score_spans(model, encoded.ids, spans, report=progress)

    if text is not encoded:
        tell_unseen(encoded.marks, {"the model": model.tokenizer})
    if watched is not None:
        watched.tell()
    evaluation = text_evaluation(model, logprob_N, encoded, context, began)
    if watched is None or not watched.groups:
        return evaluation

    # Each group is evaluated by its lines of this reading.
    lines_of: dict[str | None, list[int]] = {}
    for line, name in enumerate(watched.groups):
        lines_of.setdefault(name, []).append(line)
    groups = {}
    for name, lines in lines_of.items():
        tokens, part = encoded.of_lines(np.array(lines))
        if encoded.unseen is not None:
            part = replace(part, unseen=np.array([*watched.unknown_of.get(name, ())]))
        group = text_evaluation(model, logprob_N[tokens], part, context, began)
        groups[name] = with_intervals(group, group.metrics)
        progress(f"{len(groups):,} of {plural(len(lines_of), 'group')} evaluated")
    return replace(evaluation, groups=groups)


def _in_parts(
    model: LanguageModel, text: Text, progress: Progress
) -> tuple[EncodedText, np.ndarray]:
    """Encode a text and score it with a model that forgets at boundaries, in threads that do both,
    each with some of the lines. Return it, and the log-probability (nats) of each token."""

    def read(block: Block) -> tuple[Block, bytes, EncodedText, np.ndarray]:
        data = as_bytes(block.lines)
        encoded = encode_block(block, data, model.tokenizer)
        spans = span_scoring.whole_text(encoded.ids)
        return block, data, encoded, span_scoring.score_spans(model, encoded.ids, spans)

    # With a thread more than processors, none of them waits for the next block. Unseen words of a
    # tokenizer that spells are numbered in the order of reading.
    threads = 1 if model.tokenizer.spells else min(processors() + 1, MOST_THREADS)
    lines_hash = LinesHash()
    parts, scores = [], []
    tokens = 0

    for block, data, encoded, logprob_N in in_threads(read, _parts_of(text.blocks()), threads):
        lines_hash.update_block(block, data)
        parts.append(encoded)
        scores.append(logprob_N)
        tokens += encoded.tokens
        progress(f"{plural(tokens, 'token')} scored")
    if not parts:
        raise no_text(text.sources)
    whole = joined(parts, lines_hash.hexdigest(), text.settings)
    return whole, np.concatenate(scores)


LINES_OF_PART = 500  # so many are worth a separate thread


def _parts_of(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, the first ones in parts, so that a short text has work for all threads. In
    whole blocks n-grams are looked up faster: those sought one after the other are neighbours."""
    for number, block in enumerate(blocks):
        parts = min(MOST_THREADS >> number, len(block.lines) // LINES_OF_PART)
        for left in range(parts, 1, -1):
            part, block = block.split_at(len(block.lines) // left)
            yield part
        yield block


def check_context(context: str) -> None:
    """Refuse an unknown `context`."""
    if context not in get_args(Context):
        raise UsageError(f"unknown context {context!r}", hint=nearest(context, get_args(Context)))


def as_text(
    text: str | Path | Sequence[str | Path] | Text, settings: TextSettings | None = None
) -> Text:
    """Return a text, given itself or by its path or paths; a prepared one by its folder."""
    if isinstance(text, Text):
        return text
    names = [text] if isinstance(text, (str, os.PathLike)) else several(text, "text")
    return open_text(names, settings or TextSettings())


def sign(model: LanguageModel, encoded: EncodedText, context: Context) -> Signature:
    """Return the signature of numbers measured with `model` on that text."""
    signature = signature_of(model, encoded.lines_hash, context, encoded.blank_lines)
    return replace(signature, unwrap="yes" if encoded.unwrap else "no")


def signature_of(
    model: LanguageModel, lines_hash: str, context: Context, blank_lines: str, eos: str = "yes"
) -> Signature:
    """Return the signature of numbers measured with `model` on the lines of that hash. eos: "no"
    where `</s>` is not scored."""
    tokenizer = model.tokenizer
    tok = f"{tokenizer.name}:{tokenizer.fingerprint},V={tokenizer.size}"
    if tokenizer.rewriting:
        tok += f",{tokenizer.rewriting}"
    return Signature(
        data=lines_hash,
        tok=tok,
        case="kept" if tokenizer.keeps_case else "lower",
        ctx=context,
        blank=blank_lines,
        unk="spell" if tokenizer.literal_unk == "spell" else "literal",
        eos=eos,
        prec=model.precision,
        adapt=model.adaptation,
        model=loading.fingerprint_in_signature(model),
        hash="unchecked" if getattr(core_of(model), "is_unchecked", False) else CHECKED,
        window=loading.window_of(model),
    )


def spans_of(encoded: EncodedText, context: Context) -> np.ndarray:
    """Return the spans that are each read from the initial state: lines, documents, or the whole
    text."""
    if context == "reset":
        return span_scoring.spans_between(encoded.line_offsets)
    if encoded.document_offsets is not None:
        return span_scoring.spans_between(encoded.document_offsets)
    return span_scoring.whole_text(encoded.ids)


def text_evaluation(
    model: LanguageModel,
    logprob_N: np.ndarray,
    encoded: EncodedText,
    context: Context,
    began: float,
) -> TextEvaluation:
    """Evaluate a text whose tokens have these log-probabilities (nats)."""
    span_scoring.check_scores(logprob_N)
    zeros = int(np.isneginf(logprob_N).sum())
    total = float(logprob_N.sum(dtype=np.float64))
    total_no_oov = float(np.delete(logprob_N, encoded.oov).sum(dtype=np.float64))
    adjusted = total - len(encoded.oov) * nats_to_choose(encoded)

    # Where only a part of a word may be unknown, it is not clear which words are known.
    words = encoded.words + encoded.sentences
    ppl_word_no_oov = None
    if encoded.tokens == words or not len(encoded.oov):
        ppl_word_no_oov = span_scoring.perplexity(total_no_oov, words - encoded.oov_words)

    # Bits per character need the probability of the text itself, nothing of it replaced.
    closed = bool(len(encoded.oov)) or not model.tokenizer.keeps_text
    bits_per_char = bits_per_byte = None
    if not closed and not zeros:
        bits = -total / math.log(2)
        bits_per_char, bits_per_byte = bits / encoded.characters, bits / encoded.bytes
    return TextEvaluation(
        tokens=encoded.tokens,
        words=encoded.words,
        characters=encoded.characters,
        bytes=encoded.bytes,
        sentences=encoded.sentences,
        oov_words=encoded.oov_words,
        oov_types=encoded.oov_types,
        zero_probability_tokens=zeros,
        logprob_nats=None if zeros else total,
        ppl_token=span_scoring.perplexity(total, encoded.tokens),
        ppl_token_no_oov=span_scoring.perplexity(total_no_oov, encoded.tokens - len(encoded.oov)),
        ppl_adjusted=None
        if math.isnan(adjusted)
        else span_scoring.perplexity(adjusted, encoded.tokens),
        ppl_word=span_scoring.perplexity(total, words),
        ppl_word_no_oov=ppl_word_no_oov,
        bits_per_char=bits_per_char,
        bits_per_byte=bits_per_byte,
        closed_vocabulary=closed,
        normalised=model.normalised,
        context=context,
        signature=str(sign(model, encoded, context)),
        seconds=time.perf_counter() - began,
        lines=LineSums.of(encoded, logprob_N),
    )
