"""Encoder-decoders measured: perplexity of the target, and figures of what they write."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

import rnnlm.corpora as corpora
from rnnlm import arrays
from rnnlm.config import Layer, from_stored, resolve
from rnnlm.errors import TextError, UsageError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison.comparison import LineSums, intervals_of
from rnnlm.evaluation.perplexity import Evaluation
from rnnlm.evaluation.soundness import TOLERANCE, Check
from rnnlm.evaluation.statistics import RESAMPLES, Measure, figure_interval
from rnnlm.evaluation.translation import (
    BLEU_ORDER,
    LengthFigures,
    TranslationFigures,
    Translations,
    TranslationSettings,
    TranslationSignature,
    by_length,
    measures,
    tokenizer_figures,
)
from rnnlm.evaluation.translation import measure as measure_translations
from rnnlm.events import never
from rnnlm.generation.drawing import Starts
from rnnlm.generation.search import SearchSettings, search
from rnnlm.interface import Device, Tokenizer
from rnnlm.models import loading
from rnnlm.models.manifest import read_manifest
from rnnlm.tasks.bundled_data import bundled_corpus_of
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, encode_pairs
from rnnlm.tasks.seq2seq.decoding import Translator
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.results import DecodingSettings
from rnnlm.text.encoding import EncodedText, as_bytes, encode_block, joined
from rnnlm.text.lines import Block
from rnnlm.text.marks import count_marks, tell_unseen
from rnnlm.text.pairs import ParallelSettings, ParallelText, read_pairs

# ---- Pairs that a model is evaluated on: read as its training data were, unless something else is
# asked for.

PARALLEL = "parallel"
Pathname = str | PathLike[str]


def open_pairs(
    model: Seq2SeqModel, paths: Sequence[Pathname], target: Sequence[Pathname] = (),
    overrides: Mapping[str, Any] | None = None,
    called: str = "",
) -> PairedData:  # fmt: skip
    """The pairs of some files as `model` reads them. A bundled corpus is named, and stands for its
    test part.

    target: files with the targets, line by line, where these are in files of their own: one for
    each of `paths`, and as many again for each further reference. overrides: settings of
    :class:`~rnnlm.text.pairs.ParallelSettings` that are not to be those of the training data.
    called: the model, in notices.

    Raises:
        TextError: a file cannot be read, lacks a column, or has another number of lines than its
            target. UsageError: the targets are not as many as the files. ModelError: the model's
            folder is damaged.
    """
    if len(target) % len(paths):
        why = f"there are {len(paths)} of sources and {len(target)} of targets"
        raise UsageError(
            "the files do not go together",
            why,
            "name one target for each source, or as many again for more references",
        )
    references = [target[start : start + len(paths)] for start in range(0, len(target), len(paths))]
    bundled = next((found for path in paths if (found := _bundled(path))), None)
    settings = _settings(model, bool(target), overrides or {}, bundled)
    files = [path if (corpus := _bundled(path)) is None else corpus.test for path in paths]
    return encoded_pairs(model, read_pairs(files, settings, references), called)


def encoded_pairs(model: Seq2SeqModel, text: ParallelText, called: str = "") -> PairedData:
    """The pairs of a text as the model reads them; a notice names marks, such as quotes of some
    form, that its tokenizers never saw.

    Raises:
        TextError: there are none.
    """
    if not text.pairs:
        raise TextError("there are no pairs to read", "the text is empty")
    name = called or "the model"
    codec = model.codec
    tell_unseen(
        count_marks(each.source for each in text.pairs), {f"what {name} reads": codec.source}
    )
    targets = (reference for each in text.pairs for reference in each.references)
    tell_unseen(count_marks(targets), {f"what {name} writes": codec.target})
    return encode_pairs(codec, text)


def _bundled(path: Pathname) -> corpora.Paired | None:
    """The bundled corpus of that name. A file of that name comes first; a folder is no data, but
    perhaps a model."""
    return None if Path(path).is_file() else corpora.paired(str(path))


def _settings(
    model: Seq2SeqModel,
    has_targets: bool,
    overrides: Mapping[str, Any],
    bundled: corpora.Paired | None,
) -> ParallelSettings:
    """How the model's training data were read, but for what is asked for; a model in memory knows
    nothing of that."""
    stored: dict[str, Any] = {}
    if model.origin is not None:
        stored = asdict(
            from_stored(ParallelSettings, read_manifest(Path(model.origin[0])).settings)
        )
    if bundled is not None:
        stored |= {
            "format": "auto",
            "column": bundled.column,
            "target_column": bundled.target_column,
            "delimiter": None,
        }
    asked = {name: value for name, value in overrides.items() if value is not None}
    if has_targets or stored.get("format") == PARALLEL:
        asked = {"format": PARALLEL if has_targets else "auto", **asked}
    # columns of another format have other names
    if asked.get("format", stored.get("format")) != stored.get("format"):
        stored = {name: value for name, value in stored.items() if "column" not in name}
    return resolve(
        [ParallelSettings], [Layer("the model", stored), Layer("what is asked for", asked)]
    ).make(ParallelSettings)


# ---- What a model writes for the sources that it is measured on.

GREEDY = DecodingSettings()
LINES = 256  # decoded between two looks at whether to stop


def hypotheses(
    model: Seq2SeqModel,
    sources: Sequence[str],
    settings: DecodingSettings = GREEDY,
    stop: Callable[[], bool] = never,
) -> list[str] | None:
    """The best line that the model writes for each source; None where `stop`, asked now and then,
    cut it off.

    Raises:
        UsageError: the model cannot decode so.
    """
    translator = Translator(model, settings)
    found = [""] * len(sources)
    # so that batches have little padding
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    for start in range(0, len(order), LINES):
        if stop():
            return None
        chosen = order[start : start + LINES]
        for number, line in zip(
            chosen, translator.translate([sources[each] for each in chosen]), strict=True
        ):
            found[number] = line.text
    return found


# ---- An encoder-decoder measured on pairs: perplexity of the references, and figures of what it
# writes.

# figures of what a model writes
WRITTEN = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")
_DECODING = {
    "beam": "width",
    "length_power": "power",
    "max_length": "max_length",
    "copy_unknown": "copy_unknown",
}


@dataclass(frozen=True)
class Written:
    """What a model writes for sources, and how good that is.

    main: the name of the figure that counts: word_error_rate of spelled sources, of others bleu, or
    exact_match where no reference has the four words that BLEU looks for. by_length: by tokens of
    the source, without `</s>`. of_tokenizer: the figures of references put through the target's
    tokenizer, beyond which no model gets; None where it loses nothing. signatures: of each figure.
    translations: in the order in which the sources first appear. lines: what it writes for each
    pair that was read. measures: the figures with what each source contributes; without BLEU where
    no reference is long enough for it.
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
            "main": self.main, **{name: figures[name] for name in WRITTEN}, **of_all,
            "signatures": dict(self.signatures),
            "sacrebleu_signatures": sacrebleu, "decoding": decoding,
            "by_length": [each.to_dict() for each in self.by_length],
            "of_tokenizer": None if self.of_tokenizer is None else {name: getattr(self.of_tokenizer,
                name) for name in WRITTEN},
        }  # fmt: skip


@dataclass(frozen=True)
class PairEvaluation:
    """The figures of an encoder-decoder on pairs.

    references: their perplexity given the sources, each reference a line of its own. written: None
    where nothing was decoded. sums: what each source, with all its references, adds to the
    perplexity.
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
        return {
            "task": self.task,
            "sources": len(self.sums.logprob_S),
            **self.references.to_dict(),
            **written,
            "seconds": self.seconds,
        }


def measure(
    model: Seq2SeqModel, data: PairedData, decoding: DecodingSettings | None = GREEDY,
    lowercase: bool = False
) -> PairEvaluation:  # fmt: skip
    """The figures that `rnnlm eval` prints. decoding: None where perplexity is enough. lowercase:
    what is written is compared without upper case, as it is anyway where the model knows none.

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


def evaluate_as_json(
    model: Seq2SeqModel, data: PairedData, has_intervals: bool = False
) -> dict[str, Any]:
    """The same in JSON's types. has_intervals: with the bounds of 95 % intervals, over sources:
    `low` and `high` of the figure that counts, `ppl_token_low` and `ppl_token_high`."""
    found = measure(model, data)
    return found.to_dict() | (_bounds(found) if has_intervals else {})


def _bounds(measured: PairEvaluation) -> dict[str, float | None]:
    assert measured.written is not None  # training decodes
    of_ppl = intervals_of(measured.references, measured.sums, ["ppl_token"], RESAMPLES, seed=1).get(
        "ppl_token"
    )
    of_main = figure_interval(measured.written.measures[measured.written.main])
    found: dict[str, float | None] = {}
    for name, its in (("", of_main), ("ppl_token_", of_ppl)):
        found |= {
            f"{name}low": None if its is None else its.low,
            f"{name}high": None if its is None else its.high,
        }
    return found


def decoded(
    model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never
) -> dict[str, float] | None:
    """The figures of what the model writes greedily, by name; None where `stop` cut it off."""
    texts = hypotheses(model, [each.source for each in data.groups], stop=stop)
    if texts is None:
        return None
    figures = measure_translations(translations_of(model.codec, data, texts))
    return {name: getattr(figures, name) or 0.0 for name in WRITTEN}


def translations_of(
    codec: PairCodec, data: PairedData, texts: Sequence[str], lowercase: bool = False
) -> Translations:
    """What was written for the sources of the data, beside their references. lowercase: as for
    :func:`measure`."""
    settings = TranslationSettings(
        lowercase=lowercase or not codec.target.keeps_case, spelled=codec.spelled
    )
    return Translations(texts, [each.references for each in data.groups], settings)


def _written(
    model: Seq2SeqModel, data: PairedData, decoding: DecodingSettings, lowercase: bool
) -> Written:
    sources = [each.source for each in data.groups]
    texts = hypotheses(model, sources, decoding)
    assert texts is not None  # nothing asked it to stop
    translations = translations_of(model.codec, data, texts, lowercase)
    of_tokenizer = tokenizer_figures(
        model.codec.target, translations.references, translations.settings
    )
    lengths_N = np.diff(model.codec.source.encode(sources).offsets) - 1
    by_name, text_of = measures(translations), dict(zip(sources, texts, strict=True))
    of_lengths = tuple(by_length(by_name, lengths_N))
    main = _main(model.codec, translations)
    if main != "bleu" and not of_tokenizer.bleu:
        del by_name["bleu"]
    return Written(
        measure_translations(translations), main, of_lengths,
        None if of_tokenizer.is_perfect else of_tokenizer, decoding,
        _signatures(model, data, translations.settings, decoding),
        translations, tuple(text_of[each.source] for each in data.text.pairs), by_name,
    )  # fmt: skip


def _main(codec: PairCodec, translations: Translations) -> str:
    if codec.spelled:
        return "word_error_rate"
    longest = max(
        len(translations.words(each))
        for references in translations.references
        for each in references
    )
    return "bleu" if longest >= BLEU_ORDER else "exact_match"


def _signatures(
    model: Seq2SeqModel, data: PairedData, settings: TranslationSettings, decoding: DecodingSettings
) -> dict[str, str]:
    how = {
        "beam": f"{decoding.width}",
        "length_power": f"{decoding.power:g}",
        "max_length": f"{decoding.max_length:g}",
    }
    parts = how | {
        "data": data.lines_hash,
        "model": loading.fingerprint_in_signature(model),
        "copy_unknown": "yes" if decoding.copy_unknown else "",
    }
    return {name: str(TranslationSignature.of(name, settings, **parts)) for name in WRITTEN}


# ---- Encoder-decoders evaluated on pairs.

Pairs = Pathname | Sequence[Pathname] | ParallelText | PairedData


def evaluate(
    model: Seq2SeqModel | str | Path, data: Pairs | None = None, *, target: Sequence[Pathname] = (),
    decode: bool = True,
    decoding: DecodingSettings | None = None, reading: Mapping[str, Any] | None = None,
    device: str | Device = "auto",
) -> PairEvaluation:  # fmt: skip
    """The figures of a model, itself or by its name, on pairs: files, which are read as its
    training data were, or pairs that were read.

    data: None stands for the test part of the bundled corpus that the model was trained on. target:
    for each file one with its targets, where these are in files of their own; as many again for
    each further reference. decode: whether the sources are decoded; else perplexity is all that is
    found. decoding: how; None: greedily. reading: those of
    :class:`~rnnlm.text.pairs.ParallelSettings` that are to differ from the training data's.

    Raises:
        TextError: a file cannot be read, lacks a column, or has another number of lines than its
            target. UsageError: the targets are not as many as the files, or the model cannot decode
            so. ModelError: there is no such model, or it is damaged. DeviceError: `device` is not
            available.
    """
    data = bundled_corpus_of(model, "test.tsv") if data is None else data
    its = cast(
        Seq2SeqModel, model if isinstance(model, Seq2SeqModel) else loading.load(model, device)
    )
    return measure(
        its, opened(its, data, target, reading), (decoding or GREEDY) if decode else None
    )


def opened(
    model: Seq2SeqModel,
    data: Pairs,
    target: Sequence[Pathname] = (),
    reading: Mapping[str, Any] | None = None,
    called: str = "",
) -> PairedData:
    """Pairs as `model` reads them; what is given is as for :func:`evaluate`. called: the model, in
    notices, where there are several."""
    if isinstance(data, PairedData):
        return data
    if isinstance(data, ParallelText):
        return encoded_pairs(model, data, called)
    return open_pairs(
        model, [data] if isinstance(data, (str, PathLike)) else data, target, reading, called
    )


# ---- What `rnnlm doctor` asks of an encoder-decoder: probabilities that sum to one, the same ones
# for a source alone and in any company, and greedy search that takes the likeliest token at each
# step.
#
# It is asked about made-up sources and targets: tokens drawn at random.

SOURCES, LONGEST, TARGET_TOKENS = 32, 20, 8
SOURCES_PER_CALL = 32


def checks(model: Seq2SeqModel, sample: int | None, seed: int) -> Iterator[Check]:
    """The checks of a model whose arrays are whole. sample: how many sources are made up."""
    yield Check("tokenizers", "ok", _tokenizers(model.codec))
    generator = np.random.default_rng(seed)
    count, source, target = sample or SOURCES, model.codec.source, model.codec.target
    lengths = 1 + np.arange(count) % LONGEST
    sources = [
        np.append(generator.integers(source.size, size=length), source.boundary_id)
        for length in lengths
    ]
    targets_BT = generator.integers(target.size, size=(count, TARGET_TOKENS))
    targets_BT[:, 0] = target.boundary_id
    together_BTV = np.concatenate([
        _probabilities(model, sources[start : start + SOURCES_PER_CALL],
                       targets_BT[start : start + SOURCES_PER_CALL])
        for start in range(0, count, SOURCES_PER_CALL)
    ])  # fmt: skip
    yield _sums(together_BTV)
    yield _padding(model, sources, targets_BT, together_BTV)
    yield _greedy(model, sources)


def _tokenizers(codec: PairCodec) -> str:
    def of(tokenizer: Tokenizer) -> str:
        return f"{tokenizer.name}, V = {tokenizer.size:,}"

    return (
        f"{of(codec.source)}, of both sides"
        if codec.is_shared
        else f"source {of(codec.source)}; target {of(codec.target)}"
    )


def _probabilities(
    model: Seq2SeqModel, sources: list[np.ndarray], inputs_BT: np.ndarray
) -> np.ndarray:
    """Of all tokens after each input, (B, T, V) float64."""
    logprob_BTV, _ = model.decoder.predict(inputs_BT, model.states_of(sources))
    return np.exp(arrays.as_numpy(logprob_BTV).astype(np.float64))


def _sums(p_BTV: np.ndarray) -> Check:
    worst = float(np.nan_to_num(np.abs(p_BTV.sum(axis=2) - 1), nan=np.inf).max())
    detail = (
        f"{p_BTV.shape[0] * p_BTV.shape[1]:,} contexts of {len(p_BTV):,} random sources: "
        f"farthest from 1 by {worst:.1e}"
    )
    return Check("sums", "ok" if worst <= TOLERANCE else "failed", detail)


def _padding(
    model: Seq2SeqModel, sources: list[np.ndarray], inputs_BT: np.ndarray, together_BTV: np.ndarray
) -> Check:
    """By how much probabilities change if a source is read alone."""
    worst = 0.0
    for row, source in enumerate(sources):
        alone_1TV = _probabilities(model, [source], inputs_BT[row : row + 1])
        worst = max(
            worst, float(np.nan_to_num(np.abs(alone_1TV[0] - together_BTV[row]), nan=np.inf).max())
        )
    detail = f"probabilities given a source alone and among others differ by {worst:.1e} at most"
    return Check("padding", "ok" if worst <= TOLERANCE else "failed", detail)


def _greedy(model: Seq2SeqModel, sources: list[np.ndarray]) -> Check:
    """By how much the tokens that a beam of 1 takes are less likely than the likeliest ones."""
    boundary = model.codec.target.boundary_id
    starts = Starts(
        model.states_of(sources), np.full(len(sources), boundary), np.full(len(sources), LONGEST)
    )
    worst = 0.0
    for source, [found] in zip(
        sources, search(model.decoder, starts, SearchSettings(1, 0.0, unknown=True)), strict=True
    ):
        inputs_1T = np.array([[boundary, *found.ids[:-1]]])
        p_TV = _probabilities(model, [source], inputs_1T)[0]
        taken_T = p_TV[np.arange(len(p_TV)), found.ids]
        worst = max(worst, float(np.nan_to_num(p_TV.max(axis=1) - taken_T, nan=np.inf).max()))
    detail = f"the tokens that a beam of 1 takes are the likeliest to {worst:.1e}"
    return Check("greedy", "ok" if worst <= TOLERANCE else "failed", detail)


# ---- The probabilities of references given their sources.


def target_scores(
    model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never
) -> np.ndarray | None:
    """Log-probability (nats, float64) of each token of the references given their sources, as
    `data.target.ids` has them; None where `stop`, asked before each batch, cut it off."""
    logprob_N = np.zeros(len(data.target.ids))
    offsets = data.target.offsets
    for chosen_B in model.batches(data):
        if stop():
            return None
        logprob_TB = model.score_pairs(data, chosen_B).double().cpu().numpy()
        for row, pair in enumerate(chosen_B.tolist()):
            start, end = offsets[pair], offsets[pair + 1]
            logprob_N[start:end] = logprob_TB[: end - start, row]
    return logprob_N


def references_of(data: PairedData, tokenizer: Tokenizer) -> EncodedText:
    """The references as a text of one line each, in the order of the data, with all that
    perplexities are taken per. tokenizer: of the target."""
    lines = [reference for pair in data.text.pairs for reference in pair.references]
    return joined(
        [encode_block(Block(lines, []), as_bytes(lines), tokenizer)], data.lines_hash, "skip"
    )


def source_sums(data: PairedData, encoded: EncodedText, logprob_N: np.ndarray) -> LineSums:
    """What each different source adds to the perplexity of the references, all of them together, in
    the order of `data.groups`."""
    number_of = {pair.source: number for number, pair in enumerate(data.groups)}
    source_P = [number_of[pair.source] for pair in data.text.pairs for _ in pair.references]
    of_pairs = LineSums.of(encoded, logprob_N)
    return LineSums(
        *(
            np.bincount(source_P, getattr(of_pairs, each.name), minlength=len(number_of))
            for each in fields(LineSums)
        )
    )
