"""The evaluation of an encoder-decoder: perplexity of the references, and metrics of what it
writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from rnnlm.evaluation.metrics import Evaluation, Metric, Table, interval_of
from rnnlm.evaluation.perplexity import TextEvaluation
from rnnlm.evaluation.resampling import Measure
from rnnlm.evaluation.translation import LengthFigures, TranslationFigures, Translations

# metrics of what a model writes
WRITTEN = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")
BY_SACREBLEU = ("bleu", "chrf")


@dataclass(frozen=True)
class Decoded:
    """How sources were decoded. beam: its width, 1 is greedy; max_length: of a line, as a multiple
    of its source's length."""

    beam: int
    length_power: float
    max_length: float
    copy_unknown: bool


@dataclass(frozen=True)
class Written:
    """What a model writes for sources, and how good that is.

    main: the name of the metric that counts: word_error_rate of spelled sources, of others bleu, or
    exact_match where no reference has the four words that BLEU looks for. by_length: by tokens of
    the source, without `</s>`. of_tokenizer: the metrics of references put through the target's
    tokenizer, beyond which no model gets; None where it loses nothing. signatures: of each metric.
    has_bleu: whether a reference is long enough for it. translations: in the order in which the
    sources first appear. lines: what it writes for each pair that was read. measures: what each
    source contributes to the metrics. What a model has written is not stored.
    """

    figures: TranslationFigures
    main: str
    by_length: tuple[LengthFigures, ...]
    of_tokenizer: TranslationFigures | None
    decoding: Decoded
    signatures: Mapping[str, str]
    has_bleu: bool = True
    translations: Translations | None = field(default=None, repr=False, compare=False)
    lines: tuple[str, ...] = field(default=(), repr=False)
    measures: Mapping[str, Measure] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that apply."""
        return WRITTEN if self.has_bleu else WRITTEN[1:]

    def to_dict(self) -> dict[str, Any]:
        """The metrics by name, in JSON's types."""
        values = {name: getattr(self.figures, name) for name in WRITTEN}
        lost = self.of_tokenizer
        return {
            "main": self.main,
            **(values if self.has_bleu else values | {"bleu": None}),
            "lowercase": self.figures.lowercase,
            "spelled": self.figures.spelled,
            "signatures": dict(self.signatures),
            "sacrebleu_signatures": self.sacrebleu_signatures,
            "decoding": asdict(self.decoding),
            "by_length": [each.to_dict() for each in self.by_length],
            "of_tokenizer": None if lost is None else {name: getattr(lost, name)
                                                       for name in WRITTEN},
        }  # fmt: skip

    @property
    def sacrebleu_signatures(self) -> dict[str, str]:
        """What sacrebleu says of its metrics."""
        return {name: getattr(self.figures, f"{name}_signature") for name in BY_SACREBLEU}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Make it again of what was stored."""
        has_bleu = stored["bleu"] is not None
        values = {name: stored[name] for name in WRITTEN}
        figures = TranslationFigures(
            sentences=stored["sources"],
            references=stored["sentences"],
            **(values if has_bleu else values | {"bleu": 0.0}),
            lowercase=stored["lowercase"],
            spelled=stored["spelled"],
            **{f"{name}_signature": its for name, its in stored["sacrebleu_signatures"].items()},
        )
        lost = stored["of_tokenizer"]
        return cls(
            figures,
            stored["main"],
            tuple(LengthFigures(**each) for each in stored["by_length"]),
            None if lost is None else replace(figures, **lost),
            Decoded(**stored["decoding"]),
            stored["signatures"],
            has_bleu,
        )


@dataclass(frozen=True, kw_only=True)
class PairEvaluation(Evaluation):
    """The metrics of an encoder-decoder on pairs.

    sources: how many different ones. references: their perplexity given the sources, each reference
    a line of its own; `signature` is its. written: None where nothing was decoded.
    """

    sources: int
    references: TextEvaluation
    written: Written | None
    task: str = "seq2seq"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        names = () if self.written is None else self.written.names
        perplexities = [
            replace(each, interval=self.intervals.get(("", each.name)))
            for each in self.references.metrics
        ]
        return (*perplexities, *map(self._written, names))

    def _written(self, name: str) -> Metric:
        assert self.written is not None
        return Metric(
            name,
            getattr(self.written.figures, name),
            self.written.signatures[name],
            counts=self.written.measures.get(name),
            interval=self.intervals.get(("", name)),
        )

    @property
    def mains(self) -> tuple[Metric, ...]:
        names = ["ppl_token"] if self.written is None else [self.written.main, "ppl_token"]
        return tuple(each for name in names for each in self.metrics if each.name == name)

    @property
    def summary(self) -> tuple[Metric, ...]:
        return tuple(each for each in self.brief if each.name in ("ppl_token", *WRITTEN))

    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        its = self.references
        rare = {"oov_words": its.oov_words, "zero_probability_tokens": its.zero_probability_tokens}
        return {
            "sources": self.sources,
            "sentences": its.sentences,
            "tokens": its.tokens,
            "words": its.words,
            **{name: count for name, count in rare.items() if count},
        }

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"logprob_nats": self.references.logprob_nats}

    @property
    def signatures(self) -> Mapping[str, str]:
        found = {"perplexity": self.signature}
        if self.written is not None:
            theirs = self.written.sacrebleu_signatures
            for name in self.written.names:
                of_both = f"  (sacrebleu: {theirs[name]})" if name in theirs else ""
                found[name] = self.written.signatures[name] + of_both
        return found

    @property
    def remarks(self) -> Sequence[str]:
        found = list(self.references.remarks)
        if self.written is not None and self.written.figures.lowercase:
            found.append(
                "the model knows no upper case: both sides are lower-cased for these metrics"
            )
        if self.written is not None and (lost := self.written.of_tokenizer) is not None:
            each = [Metric(name, getattr(lost, name)) for name in self.written.names]
            values = ", ".join(f"{its.name} {its.shown()}" for its in each)
            found.append(
                "the target's tokenizer does not give all text back: references that it encodes "
                f"and decodes have {values}"
            )
        return found

    def tables(self, most_confusions: int | None = None) -> Iterator[Table]:
        if self.written is None or len(self.written.by_length) < 2:
            return
        names = [
            name for name in self.written.names if getattr(self.written.figures, name) is not None
        ]
        rows = []
        for each in self.written.by_length:
            values = [Metric(name, getattr(each, name)).shown() for name in names]
            rows.append([each.name, f"{each.sentences:,}", *values])
        yield Table(["source tokens", "sources", *names], rows, left=0)

    def to_dict(self) -> dict[str, Any]:
        """All numbers by name, in JSON's types; those of the references as for language models."""
        written = {} if self.written is None else self.written.to_dict()
        found = {
            "task": self.task,
            "sources": self.sources,
            **self.references.to_dict(),
            **written,
            "seconds": self.seconds,
        }
        main = self.mains[0].name
        for (_, name), interval in self.intervals.items():
            prefix = "" if name == main else f"{name}_"
            found[f"{prefix}low"] = None if interval is None else interval.low
            found[f"{prefix}high"] = None if interval is None else interval.high
        return found

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        found = cls(
            signature=stored["signature"],
            seconds=stored["seconds"],
            sources=stored["sources"],
            references=replace(TextEvaluation.from_dict(stored), intervals={}),
            written=Written.from_dict(stored) if "main" in stored else None,
        )
        intervals = {
            ("", name): interval_of(stored, name, "" if name == found.main else f"{name}_")
            for name in (each.name for each in found.mains)
            if "low" in stored
        }
        return replace(found, intervals=intervals)
