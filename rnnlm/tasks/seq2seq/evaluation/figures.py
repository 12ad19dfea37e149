"""An encoder-decoder measured on pairs: perplexity of the references, and figures of what it writes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison.intervals import LineSums, intervals_of
from rnnlm.evaluation.counts import Measure
from rnnlm.evaluation.perplexity import Evaluation
from rnnlm.evaluation.resampling import RESAMPLES
from rnnlm.evaluation.significance import figure_interval
from rnnlm.evaluation.translation.by_length import LengthFigures, by_length
from rnnlm.evaluation.translation.figures import TranslationFigures, measures
from rnnlm.evaluation.translation.figures import measure as measure_translations
from rnnlm.evaluation.translation.overlap import BLEU_ORDER
from rnnlm.evaluation.translation.signature import TranslationSignature
from rnnlm.evaluation.translation.tokenizer_loss import tokenizer_figures
from rnnlm.evaluation.translation.translations import Translations, TranslationSettings
from rnnlm.events import never
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.decoding.settings import DecodingSettings
from rnnlm.tasks.seq2seq.evaluation.hypotheses import GREEDY, hypotheses
from rnnlm.tasks.seq2seq.evaluation.target_scores import references_of, source_sums, target_scores
from rnnlm.tasks.seq2seq.model import Seq2SeqModel

WRITTEN = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")  # figures of what a model writes
_DECODING = {"beam": "width", "length_power": "power", "max_length": "max_length", "copy_unknown": "copy_unknown"}


@dataclass(frozen=True)
class Written:
    """What a model writes for sources, and how good that is.

    main: the name of the figure that counts: word_error_rate of spelled sources, of others bleu, or exact_match where no reference has the
    four words that BLEU looks for. by_length: by tokens of the source, without `</s>`. of_tokenizer: the figures of references put through
    the target's tokenizer, beyond which no model gets; None where it loses nothing. signatures: of each figure. translations: in the order
    in which the sources first appear. lines: what it writes for each pair that was read. measures: the figures with what each source
    contributes; without BLEU where no reference is long enough for it.
    """

    figures: TranslationFigures
    main: str
    by_length: tuple[LengthFigures, ...]
    of_tokenizer: TranslationFigures | None
    decoding: DecodingSettings
    signatures: Mapping[str, str]
    translations: Translations = field(repr=False, compare=False)
    lines: tuple[str, ...] = field(repr=False)
    measures: Mapping[str, Measure] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures by name, in JSON's types."""
        figures = self.figures.to_dict() | ({} if "bleu" in self.measures else {"bleu": None})
        of_all = {name: figures.pop(name) for name in ("lowercase", "spelled")}
        decoding = {name: getattr(self.decoding, place) for name, place in _DECODING.items()}
        sacrebleu = {name: figures.pop(f"{name}_signature") for name in ("bleu", "chrf")}
        return {
            "main": self.main, **{name: figures[name] for name in WRITTEN}, **of_all, "signatures": dict(self.signatures),
            "sacrebleu_signatures": sacrebleu, "decoding": decoding, "by_length": [each.to_dict() for each in self.by_length],
            "of_tokenizer": None if self.of_tokenizer is None else {name: getattr(self.of_tokenizer, name) for name in WRITTEN},
        }  # fmt: skip


@dataclass(frozen=True)
class PairEvaluation:
    """The figures of an encoder-decoder on pairs.

    references: their perplexity given the sources, each reference a line of its own. written: None where nothing was decoded.
    sums: what each source, with all its references, adds to the perplexity.
    """

    references: Evaluation
    written: Written | None
    seconds: float
    sums: LineSums = field(repr=False, compare=False)
    task: str = "seq2seq"

    @property
    def signature(self) -> str:
        """Of the perplexity."""
        return self.references.signature

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, in JSON's types; those of the references as for language models."""
        written = {} if self.written is None else self.written.to_dict()
        return {"task": self.task, "sources": len(self.sums.logprob_S), **self.references.to_dict(), **written, "seconds": self.seconds}


def measure(
    model: Seq2SeqModel, data: PairedData, decoding: DecodingSettings | None = GREEDY, lowercase: bool = False
) -> PairEvaluation:  # fmt: skip
    """The figures that `rnnlm eval` prints. decoding: None where perplexity is enough. lowercase: what is written is compared without upper
    case, as it is anyway where the model knows none.

    Raises:
        ModelError: the model's scores are not numbers. UsageError: the model cannot decode so.
    """
    began = time.perf_counter()
    logprob_N = target_scores(model, data)
    assert logprob_N is not None  # nothing asked it to stop
    encoded = references_of(data, model.codec.target)
    references = perplexity.summary(model.decoder, logprob_N, encoded, "reset", began)
    written = None if decoding is None else _written(model, data, decoding, lowercase)
    sums = source_sums(data, encoded, logprob_N)
    return PairEvaluation(references, written, time.perf_counter() - began, sums)


def evaluate_as_json(model: Seq2SeqModel, data: PairedData, has_intervals: bool = False) -> dict[str, Any]:
    """The same in JSON's types. has_intervals: with the bounds of 95 % intervals, over sources: `low` and `high` of the figure that counts,
    `ppl_token_low` and `ppl_token_high`."""
    found = measure(model, data)
    return found.to_dict() | (_bounds(found) if has_intervals else {})


def _bounds(measured: PairEvaluation) -> dict[str, float | None]:
    assert measured.written is not None  # training decodes
    of_ppl = intervals_of(measured.references, measured.sums, ["ppl_token"], RESAMPLES, seed=1).get("ppl_token")
    of_main = figure_interval(measured.written.measures[measured.written.main])
    found: dict[str, float | None] = {}
    for name, its in (("", of_main), ("ppl_token_", of_ppl)):
        found |= {f"{name}low": None if its is None else its.low, f"{name}high": None if its is None else its.high}
    return found


def decoded(model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never) -> dict[str, float] | None:
    """The figures of what the model writes greedily, by name; None where `stop` cut it off."""
    texts = hypotheses(model, [each.source for each in data.groups], stop=stop)
    if texts is None:
        return None
    figures = measure_translations(translations_of(model.codec, data, texts))
    return {name: getattr(figures, name) or 0.0 for name in WRITTEN}


def translations_of(codec: PairCodec, data: PairedData, texts: Sequence[str], lowercase: bool = False) -> Translations:
    """What was written for the sources of the data, beside their references. lowercase: as for :func:`measure`."""
    settings = TranslationSettings(lowercase=lowercase or not codec.target.keeps_case, spelled=codec.spelled)
    return Translations(texts, [each.references for each in data.groups], settings)


def _written(model: Seq2SeqModel, data: PairedData, decoding: DecodingSettings, lowercase: bool) -> Written:
    sources = [each.source for each in data.groups]
    texts = hypotheses(model, sources, decoding)
    assert texts is not None  # nothing asked it to stop
    translations = translations_of(model.codec, data, texts, lowercase)
    of_tokenizer = tokenizer_figures(model.codec.target, translations.references, translations.settings)
    lengths_N = np.diff(model.codec.source.encode(sources).offsets) - 1
    by_name, text_of = measures(translations), dict(zip(sources, texts, strict=True))
    of_lengths = tuple(by_length(by_name, lengths_N))
    main = _main(model.codec, translations)
    if main != "bleu" and not of_tokenizer.bleu:
        del by_name["bleu"]
    return Written(
        measure_translations(translations), main, of_lengths, None if of_tokenizer.is_perfect else of_tokenizer, decoding,
        _signatures(model, data, translations.settings, decoding),
        translations, tuple(text_of[each.source] for each in data.text.pairs), by_name,
    )  # fmt: skip


def _main(codec: PairCodec, translations: Translations) -> str:
    if codec.spelled:
        return "word_error_rate"
    longest = max(len(translations.words(each)) for references in translations.references for each in references)
    return "bleu" if longest >= BLEU_ORDER else "exact_match"


def _signatures(model: Seq2SeqModel, data: PairedData, settings: TranslationSettings, decoding: DecodingSettings) -> dict[str, str]:
    how = {"beam": f"{decoding.width}", "length_power": f"{decoding.power:g}", "max_length": f"{decoding.max_length:g}"}
    parts = how | {"data": data.lines_hash, "model": model.fingerprint or "unsaved", "copy_unknown": "yes" if decoding.copy_unknown else ""}
    return {name: str(TranslationSignature.of(name, settings, **parts)) for name in WRITTEN}
