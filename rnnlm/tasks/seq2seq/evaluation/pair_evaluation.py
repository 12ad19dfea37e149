"""Hold the evaluation of an encoder-decoder: perplexity of the references, and metrics of its
outputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from rnnlm.evaluation.metrics import Evaluation, Metric, bounds, interval_of, restored
from rnnlm.evaluation.perplexity import TextEvaluation
from rnnlm.tabular import Table, to_builtins
from rnnlm.tasks.common.counted_metrics import CountedMetric
from rnnlm.tasks.seq2seq.evaluation.translation import (
    BLEU_LENGTHS,
    TRANSLATION_METRICS,
    LengthMetrics,
    TranslationMetrics,
    Translations,
)


@dataclass(frozen=True)
class DecodingInfo:
    """The settings with which sources were decoded. beam: its width, 1 for greedy search.
    max_length: of a line, as a multiple of its source's length."""

    beam: int
    length_power: float
    max_length: float


@dataclass(frozen=True)
class TranslationEvaluation:
    """The output of a model for sources, and its metrics.

    main: the name of the main metric: word_error_rate for spelled sources, otherwise bleu, or
    exact_match if no reference has the four words that BLEU needs. by_length: by tokens of the
    source, without `</s>`. of_tokenizer: the metrics of references that the target's tokenizer
    encodes and decodes, an upper bound for the model; None if it loses nothing. signatures:
    signatures of each metric. has_bleu: whether a reference is long enough for it. translations: in
    the order in which the sources first appear. lines: the output for each pair that was read.
    measures: contributions of each source to the metrics. The output itself is not stored.
    """

    figures: TranslationMetrics
    main: str
    by_length: tuple[LengthMetrics, ...]
    of_tokenizer: TranslationMetrics | None
    decoding: DecodingInfo
    signatures: Mapping[str, str]
    has_bleu: bool = True
    translations: Translations | None = field(default=None, repr=False, compare=False)
    lines: tuple[str, ...] = field(default=(), repr=False)
    measures: Mapping[str, CountedMetric] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that apply."""
        if self.has_bleu:
            return tuple(TRANSLATION_METRICS)
        return tuple(name for name in TRANSLATION_METRICS if name != "bleu")

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics by name, in JSON types: the entries of `figures` beside the others."""
        values = {name: getattr(self.figures, name) for name in TRANSLATION_METRICS}
        if not self.has_bleu:
            values["bleu"] = None
        parts = ("bleu_precisions", "brevity_penalty", *BLEU_LENGTHS)
        of_bleu = {name: getattr(self.figures, name) for name in parts}
        of_tokenizer = None
        if self.of_tokenizer is not None:
            of_tokenizer = {name: getattr(self.of_tokenizer, name) for name in TRANSLATION_METRICS}
        return dict(
            to_builtins(
                {
                    "main": self.main,
                    **values,
                    **of_bleu,
                    "lowercase": self.figures.lowercase,
                    "spelled": self.figures.spelled,
                    "signatures": self.signatures,
                    "sacrebleu_signatures": self.sacrebleu_signatures,
                    "decoding": self.decoding,
                    "by_length": self.by_length,
                    "of_tokenizer": of_tokenizer,
                }
            )
        )

    @property
    def sacrebleu_signatures(self) -> dict[str, str]:
        """The signatures that sacrebleu gives its metrics."""
        names = [name for name, metric in TRANSLATION_METRICS.items() if metric.by_sacrebleu]
        return {name: getattr(self.figures, f"{name}_signature") for name in names}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore the metrics from their stored form."""
        known: dict[str, Any] = {"sentences": stored["sources"], "references": stored["sentences"]}
        signatures = stored["sacrebleu_signatures"]
        known |= {f"{name}_signature": signature for name, signature in signatures.items()}
        has_bleu = stored.get("bleu") is not None
        if not has_bleu:
            known["bleu"] = 0.0
        metrics = restored(TranslationMetrics, stored, **known)
        of_tokenizer = None
        if stored["of_tokenizer"] is not None:
            values = {name: stored["of_tokenizer"].get(name) for name in TRANSLATION_METRICS}
            of_tokenizer = replace(metrics, **values)
        return cls(
            figures=metrics,
            main=stored["main"],
            by_length=tuple(
                restored(LengthMetrics, metrics_of_length)
                for metrics_of_length in stored["by_length"]
            ),
            of_tokenizer=of_tokenizer,
            decoding=DecodingInfo(**stored["decoding"]),
            signatures=stored["signatures"],
            has_bleu=has_bleu,
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class PairEvaluation(Evaluation):
    """The metrics of an encoder-decoder on pairs.

    sources: how many different ones. references: their perplexity given the sources, each reference
    a line by itself, with its `signature`.
    """

    sources: int
    references: TextEvaluation
    written: TranslationEvaluation
    task: str = "seq2seq"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        of_references = (
            replace(metric, interval=self.intervals.get(("", metric.name)))
            for metric in self.references.metrics
        )
        return (*of_references, *map(self._written, self.written.names))

    def _written(self, name: str) -> Metric:
        return Metric(
            TRANSLATION_METRICS[name],
            getattr(self.written.figures, name),
            self.written.signatures.get(name, ""),
            counts=self.written.measures.get(name),
            interval=self.intervals.get(("", name)),
        )

    @property
    def mains(self) -> tuple[Metric, ...]:
        metrics = [self.metric(name) for name in (self.written.main, "ppl_token")]
        return tuple(metric for metric in metrics if metric is not None)

    @property
    def summary(self) -> tuple[Metric, ...]:
        return tuple(
            metric for metric in self.brief if metric.name in ("ppl_token", *TRANSLATION_METRICS)
        )

    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        references = self.references
        counts = {
            "sources": self.sources,
            "sentences": references.sentences,
            "tokens": references.tokens,
            "words": references.words,
        }
        rare = {
            "oov_words": references.oov_words,
            "zero_probability_tokens": references.zero_probability_tokens,
        }
        return counts | {name: count for name, count in rare.items() if count}

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"logprob_nats": self.references.logprob_nats}

    @property
    def signatures(self) -> Mapping[str, str]:
        signatures = {"perplexity": self.signature}
        of_sacrebleu = self.written.sacrebleu_signatures
        for name in self.written.names:
            if name not in self.written.signatures:
                continue
            signatures[name] = self.written.signatures[name]
            if name in of_sacrebleu:
                signatures[name] += f"  (sacrebleu: {of_sacrebleu[name]})"
        return signatures

    @property
    def remarks(self) -> Sequence[str]:
        remarks = list(self.references.remarks)
        if self.written.figures.lowercase:
            remarks.append(
                "the model knows no upper case: both sides are lower-cased for these metrics"
            )
        bound = self.written.of_tokenizer
        if bound is not None:
            values = [
                f"{name} {Metric(TRANSLATION_METRICS[name], getattr(bound, name)).shown()}"
                for name in self.written.names
            ]
            remarks.append(
                "the target tokenizer is lossy: references, encoded and decoded, score "
                f"{', '.join(values)}"
            )
        return remarks

    def tables(self, most_confusions: int | None = None) -> Iterator[Table]:
        if len(self.written.by_length) < 2:
            return
        metrics = self.written.figures
        names = [name for name in self.written.names if getattr(metrics, name) is not None]
        rows = []
        for bucket in self.written.by_length:
            values = [
                Metric(TRANSLATION_METRICS[name], getattr(bucket, name)).shown() for name in names
            ]
            rows.append([bucket.name, f"{bucket.sentences:,}", *values])
        columns = ["source tokens", "sources", *names]
        yield Table(columns, rows, right=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, in JSON types; the numbers of the references as for language
        models."""
        evaluation = {
            "task": self.task,
            "sources": self.sources,
            **self.references.to_dict(),
            **self.written.to_dict(),
            "seconds": self.seconds,
        }
        for (_, name), interval in self.intervals.items():
            evaluation |= bounds(interval, self._prefix(name))
        return evaluation

    def _prefix(self, name: str) -> str:
        """Return the prefix that the bounds of a metric are stored with; the main one has none."""
        return "" if name == self.main else f"{name}_"

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        evaluation = cls(
            signature=stored["signature"],
            seconds=stored["seconds"],
            sources=stored["sources"],
            references=replace(TextEvaluation.from_dict(stored), intervals={}),
            written=TranslationEvaluation.from_dict(stored),
        )
        if "low" not in stored:
            return evaluation
        names = [metric.name for metric in evaluation.mains]
        intervals = {
            ("", name): interval_of(stored, name, evaluation._prefix(name)) for name in names
        }
        return replace(evaluation, intervals=intervals)
