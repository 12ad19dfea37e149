"""Evaluate encoder-decoders: perplexity of the target, metrics of their outputs, and checks for
`rnnlm doctor`; and compare them on the same pairs.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

import numpy as np

import rnnlm.corpora as corpora
from rnnlm import arrays
from rnnlm.checks import several
from rnnlm.errors import ComparisonError, TextError, UsageError, keyword
from rnnlm.evaluation.comparison.comparison import (
    PARTS,
    EvaluatedModel,
    differing_by,
    disagreements,
    find_comparable,
)
from rnnlm.evaluation.comparison.pairing import (
    ComparableMetrics,
    Comparer,
    Difference,
    RefusedMetric,
    Side,
)
from rnnlm.evaluation.comparison.stored import StoredModel
from rnnlm.evaluation.perplexity import LineSums, text_evaluation
from rnnlm.evaluation.soundness import TOLERANCE, Check
from rnnlm.events import never
from rnnlm.interface import UNKNOWN, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.scoring.generation.drawing import TextStarts
from rnnlm.scoring.generation.search import search
from rnnlm.scoring.generation.settings import SearchSettings
from rnnlm.tasks.common.example_texts import resolved_reading, stored_reading
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, encode_pairs, lines_of
from rnnlm.tasks.seq2seq.decoding import Translator
from rnnlm.tasks.seq2seq.evaluation.pair_evaluation import (
    DecodingInfo,
    PairEvaluation,
    TranslationEvaluation,
)
from rnnlm.tasks.seq2seq.evaluation.translation import (
    BLEU_ORDER,
    TRANSLATION_METRICS,
    Translations,
    TranslationSettings,
    TranslationSignature,
    by_length,
    measure as measure_translations,
    measures,
    tell_phrases,
    tokenizer_metrics,
)
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import GREEDY, DecodingSettings, PairOptions, ParallelSettings
from rnnlm.tasks.seq2seq.pairs import ParallelText, read_pairs
from rnnlm.text.encoding import EncodedText, encode_block, joined
from rnnlm.text.lines import Block, as_bytes
from rnnlm.text.marks import count_marks, tell_unseen

# ---- Pairs that a model is evaluated on: read as its training data were, unless requested
# otherwise.

PARALLEL = "parallel"
Pathname = str | PathLike[str]


def open_pairs(
    model: Seq2SeqModel,
    paths: Sequence[Pathname],
    target: Sequence[Pathname] = (),
    overrides: Mapping[str, Any] | None = None,
    called: str = "",
) -> PairedData:
    """Read the pairs of some files as `model` needs them. The name of a bundled corpus means its
    test split.

    target: files with the targets, line by line, if these are in separate files: one for each of
    `paths`, and as many again for each further reference. overrides: settings of
    :class:`~rnnlm.tasks.seq2seq.options.ParallelSettings` that differ from those of the training
    data. called: the model, in notices.
    """
    # Each round of target files is one reference of all sources.
    target = several(target, "target")
    if len(target) % len(paths):
        why = f"there are {len(paths)} source files and {len(target)} target files"
        raise UsageError(
            "the numbers of source and target files do not match",
            why,
            "name one target for each source, or as many again for more references",
        )
    references = [target[start : start + len(paths)] for start in range(0, len(target), len(paths))]

    # A file with the name of a corpus comes first; a folder is no data, but perhaps a model.
    files: list[Pathname] = []
    bundled = None
    for path in paths:
        corpus = None if Path(path).is_file() else corpora.paired(str(path))
        files.append(path if corpus is None else corpus.test)
        bundled = bundled or corpus

    # Read as the training data were, changed as requested; tables are files that hold targets, too.
    # A model in memory does not know how its data were read.
    tables = [] if target else files
    stored: dict[str, Any] = {}
    if model.origin is not None:
        names = [fspath(table) for table in tables]
        stored = stored_reading(model.origin[0], ParallelSettings, names)
    if bundled is not None:
        stored |= {
            "format": "auto",
            "column": bundled.column,
            "target_column": bundled.target_column,
        }

    # Files of targets determine the format, and without them it cannot be the format of the
    # training data.
    requested = {name: value for name, value in (overrides or {}).items() if value is not None}
    if not tables or stored.get("format") == PARALLEL:
        requested.setdefault("format", "auto" if tables else PARALLEL)
    settings = resolved_reading(ParallelSettings, stored, requested)
    return encoded_pairs(model, read_pairs(files, settings, references), called)


def encoded_pairs(model: Seq2SeqModel, text: ParallelText, called: str = "") -> PairedData:
    """Encode the pairs of a text as the model reads them. A notice names marks, such as quotes of
    some form, that its tokenizers never saw."""
    if not text.pairs:
        raise TextError("there are no pairs to read", "the text is empty")
    name = called or "the model"
    codec = model.codec
    sources = [pair.source for pair in text.pairs]
    _, targets = lines_of(text)
    tell_unseen(count_marks(sources), {f"what {name} reads": codec.source})
    tell_unseen(count_marks(targets), {f"what {name} writes": codec.target})
    return encode_pairs(codec, text)


# ---- Lines that a model writes for the sources that it is measured on.

LINES = 256  # decoded between two looks at whether to stop


def hypotheses(
    model: Seq2SeqModel,
    sources: Sequence[str],
    settings: DecodingSettings = GREEDY,
    stop: Callable[[], bool] = never,
) -> list[str] | None:
    """Return the best line that the model writes for each source; None if `stop`, asked now and
    then, cut it off."""
    translator = Translator(model, settings)
    texts = [""] * len(sources)
    # Batches of sources of about the same length have little padding.
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    for start in range(0, len(order), LINES):
        if stop():
            return None
        chosen = order[start : start + LINES]
        lines = translator.translate_window([sources[number] for number in chosen])
        for number, line in zip(chosen, lines, strict=True):
            texts[number] = line.text
    return texts


# ---- An encoder-decoder measured on pairs: perplexity of the references, and metrics of its
# outputs.


def measure(
    model: Seq2SeqModel,
    data: PairedData,
    decoding: DecodingSettings = GREEDY,
    lowercase: bool = False,
) -> PairEvaluation:
    """Evaluate a model on pairs. lowercase: the output is compared without upper case, as always if
    the model has none."""
    began = time.perf_counter()
    scores = target_scores(model, data)
    assert scores is not None  # nothing asked it to stop
    logprob_N, _ = scores
    encoded = references_of(data, model.codec.target)
    references = text_evaluation(model.decoder, logprob_N, encoded, "reset", began)
    return PairEvaluation(
        signature=references.signature,
        seconds=time.perf_counter() - began,
        sources=len(data.groups),
        references=replace(references, lines=source_sums(data, encoded, logprob_N), block_lines=1),
        written=_written(model, data, decoding, lowercase),
    )


def decoded(
    model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never
) -> dict[str, float] | None:
    """Return the metrics of the model's greedy outputs, by name; None if `stop` cut it off."""
    texts = hypotheses(model, [group.source for group in data.groups], stop=stop)
    if texts is None:
        return None
    metrics = measure_translations(translations_of(model.codec, data, texts))
    return {name: getattr(metrics, name) or 0.0 for name in TRANSLATION_METRICS}


def is_informative(model: Seq2SeqModel, data: PairedData, criterion: str) -> bool:
    """Return whether a metric of the output can distinguish good weights from bad ones. It cannot
    where all targets are the same, or where it is 0 even for the references, as BLEU is for targets
    of one word."""
    references = [group.references for group in data.groups]
    if len(set(references)) == 1:
        return False
    translations = translations_of(
        model.codec, data, [group_references[0] for group_references in references]
    )
    perfect = getattr(measure_translations(translations), criterion)
    return perfect > 0 or not TRANSLATION_METRICS[criterion].higher_is_better


def translations_of(
    codec: PairCodec, data: PairedData, texts: Sequence[str], lowercase: bool = False
) -> Translations:
    """Put the outputs for the sources of the data beside their references. lowercase: as for
    :func:`measure`."""
    has_no_case = lowercase or not codec.target.keeps_case
    settings = TranslationSettings(lowercase=has_no_case, spelled=codec.spelled)
    return Translations(texts, [group.references for group in data.groups], settings)


def _written(
    model: Seq2SeqModel, data: PairedData, decoding: DecodingSettings, lowercase: bool
) -> TranslationEvaluation:
    """Measure the outputs of the model for the sources of the data."""
    sources = [group.source for group in data.groups]
    texts = hypotheses(model, sources, decoding)
    assert texts is not None  # nothing asked it to stop
    translations = translations_of(model.codec, data, texts, lowercase)
    tell_phrases(translations)
    by_name = measures(translations)
    lengths_N = np.diff(model.codec.source.encode(sources).offsets) - 1
    main = _main(model.codec, translations)

    # Even perfect translations lose characters that the tokenizer of the target cannot write.
    limit = tokenizer_metrics(model.codec.target, translations.references, translations.settings)

    # A source that comes several times is decoded once.
    text_of = dict(zip(sources, texts, strict=True))
    return TranslationEvaluation(
        figures=measure_translations(translations),
        main=main,
        by_length=tuple(by_length(by_name, lengths_N)),
        of_tokenizer=None if limit.is_perfect else limit,
        decoding=DecodingInfo(decoding.width, decoding.power, decoding.max_length),
        signatures=_signatures(model, data, translations.settings, decoding),
        has_bleu=main == "bleu" or bool(limit.bleu),
        translations=translations,
        lines=tuple(text_of[pair.source] for pair in data.text.pairs),
        measures=by_name,
    )


def _main(codec: PairCodec, translations: Translations) -> str:
    """Return the name of the main metric: BLEU, unless references have too few words for it."""
    if codec.spelled:
        return "word_error_rate"
    references = itertools.chain.from_iterable(translations.references)
    longest = max(len(translations.words(reference)) for reference in references)
    return "bleu" if longest >= BLEU_ORDER else "exact_match"


def _signatures(
    model: Seq2SeqModel, data: PairedData, settings: TranslationSettings, decoding: DecodingSettings
) -> dict[str, str]:
    parts = {
        "beam": f"{decoding.width}",
        "length_power": f"{decoding.power:g}",
        "max_length": f"{decoding.max_length:g}",
        "data": data.lines_hash,
        "model": loading.fingerprint_in_signature(model),
    }
    return {
        name: str(TranslationSignature.of(name, settings, **parts)) for name in TRANSLATION_METRICS
    }


# ---- Pairs, given in memory or as files, as a model reads them.

Pairs = Pathname | Sequence[Pathname] | ParallelText | PairedData


def read(
    model: Seq2SeqModel, data: Pairs, options: PairOptions | None = None, called: str = ""
) -> PairedData:
    """Read pairs as `model` reads them. called: the model, in notices, where there are several."""
    if isinstance(data, PairedData):
        return data
    if isinstance(data, ParallelText):
        return encoded_pairs(model, data, called)
    paths = [data] if isinstance(data, (str, PathLike)) else data
    pair_options = options or PairOptions()
    return open_pairs(model, paths, pair_options.target, pair_options.reading, called)


# ---- The checks of `rnnlm doctor` for an encoder-decoder: probabilities that sum to one, the same
# ones for a source alone and in any company, and greedy search that takes the likeliest token at
# each step.
#
# Sources and targets are made up: tokens drawn at random.

SOURCES, LONGEST, TARGET_TOKENS = 32, 20, 8
SOURCES_PER_CALL = 32


def checks(model: Seq2SeqModel, sample: int | None, seed: int) -> Iterator[Check]:
    """Yield the checks of a model whose arrays are whole. sample: how many sources are made up."""
    yield Check("tokenizers", "ok", _tokenizers(model.codec))

    # Sources of different lengths, and targets.
    source, target = model.codec.source, model.codec.target
    generator = np.random.default_rng(seed)
    count = sample or SOURCES
    sources = []
    for length in 1 + np.arange(count) % LONGEST:
        sources.append(np.append(generator.integers(source.size, size=length), source.boundary_id))
    targets_BT = generator.integers(target.size, size=(count, TARGET_TOKENS))
    targets_BT[:, 0] = target.boundary_id

    # The probabilities of some sources at a time.
    parts = [slice(start, start + SOURCES_PER_CALL) for start in range(0, count, SOURCES_PER_CALL)]
    together_BTV = np.concatenate(
        [_probabilities(model, sources[part], targets_BT[part]) for part in parts]
    )
    yield _sums(together_BTV)
    yield _padding(model, sources, targets_BT, together_BTV)
    yield _greedy(model, sources)


def _tokenizers(codec: PairCodec) -> str:
    def of(tokenizer: Tokenizer) -> str:
        return f"{tokenizer.name}, V = {tokenizer.size:,}"

    if codec.is_shared:
        return f"{of(codec.source)}, of both sides"
    return f"source {of(codec.source)}; target {of(codec.target)}"


def _probabilities(
    model: Seq2SeqModel, sources: list[np.ndarray], inputs_BT: np.ndarray
) -> np.ndarray:
    """Return the probabilities of all tokens after each input, (B, T, V) float64."""
    logprob_BTV, _ = model.decoder.predict(inputs_BT, model.states_of(sources))
    return np.exp(arrays.as_numpy(logprob_BTV).astype(np.float64))


def _sums(p_BTV: np.ndarray) -> Check:
    worst = float(np.nan_to_num(np.abs(p_BTV.sum(axis=2) - 1), nan=np.inf).max())
    detail = (
        f"{p_BTV.shape[0] * p_BTV.shape[1]:,} contexts of {len(p_BTV):,} random sources: the "
        f"largest deviation from 1 is {worst:.1e}"
    )
    return Check("sums", "ok" if worst <= TOLERANCE else "failed", detail)


def _padding(
    model: Seq2SeqModel, sources: list[np.ndarray], inputs_BT: np.ndarray, together_BTV: np.ndarray
) -> Check:
    """Check that a source alone gives the same probabilities as among others."""
    worst = 0.0
    for row, source in enumerate(sources):
        alone_TV = _probabilities(model, [source], inputs_BT[row : row + 1])[0]
        differences_TV = np.nan_to_num(np.abs(alone_TV - together_BTV[row]), nan=np.inf)
        worst = max(worst, float(differences_TV.max()))
    detail = f"probabilities given a source alone and in a batch differ by at most {worst:.1e}"
    return Check("padding", "ok" if worst <= TOLERANCE else "failed", detail)


def _greedy(model: Seq2SeqModel, sources: list[np.ndarray]) -> Check:
    """Check that the tokens that a beam of 1 takes are the likeliest ones."""
    boundary = model.codec.target.boundary_id
    inputs_B, limits_B = (np.full(len(sources), value) for value in (boundary, LONGEST))
    starts = TextStarts(model.states_of(sources), inputs_B, limits_B)
    lines = search(model.decoder, starts, SearchSettings(1, 0.0, unknown=True))
    worst = 0.0
    for source, [translation] in zip(sources, lines, strict=True):
        p_TV = _probabilities(model, [source], np.array([[boundary, *translation.ids[:-1]]]))[0]
        taken_T = p_TV[np.arange(len(p_TV)), translation.ids]
        worst = max(worst, float(np.nan_to_num(p_TV.max(axis=1) - taken_T, nan=np.inf).max()))
    detail = f"a beam of 1 takes the likeliest tokens, within {worst:.1e}"
    return Check("greedy", "ok" if worst <= TOLERANCE else "failed", detail)


# ---- The probabilities of references given their sources.


def target_scores(
    model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the log-probability (nats, float64) of each token of the references given their
    sources, as `data.target.ids` has them, and whether it is the likeliest one there; None if
    `stop`, asked before each batch, cut it off."""
    logprob_N = np.zeros(len(data.target.ids))
    is_likeliest_N = np.zeros(len(logprob_N), bool)
    offsets = data.target.offsets
    for chosen_B in model.batches(data):
        if stop():
            return None
        scores_TB, hits_TB = model.score_pairs(data, chosen_B)
        logprob_TB, is_likeliest_TB = scores_TB.double().cpu().numpy(), hits_TB.cpu().numpy()
        for row, pair in enumerate(chosen_B.tolist()):
            start, end = offsets[pair], offsets[pair + 1]
            logprob_N[start:end] = logprob_TB[: end - start, row]
            is_likeliest_N[start:end] = is_likeliest_TB[: end - start, row]
    return logprob_N, is_likeliest_N


def references_of(data: PairedData, tokenizer: Tokenizer) -> EncodedText:
    """Encode the references as a text of one line each, in the order of the data, with the counts
    that perplexities are taken per. tokenizer: of the target."""
    _, lines = lines_of(data.text)
    encoded = encode_block(Block(lines, []), as_bytes(lines), tokenizer)
    return joined([encoded], data.lines_hash)


def source_sums(data: PairedData, encoded: EncodedText, logprob_N: np.ndarray) -> LineSums:
    """Return the contribution of each different source to the perplexity of the references, with
    all of its references, in the order of `data.groups`."""
    number_of = {pair.source: number for number, pair in enumerate(data.groups)}
    sources, _ = lines_of(data.text)
    source_P = [number_of[source] for source in sources]
    of_pairs = LineSums.of(encoded, logprob_N)
    sums = {
        field.name: np.bincount(source_P, getattr(of_pairs, field.name), minlength=len(number_of))
        for field in fields(LineSums)
    }
    return LineSums(**sums)


# ---- Comparison. Sources are left out, each with all its references. Perplexities compare under
# the same conditions as for language models (rnnlm.evaluation.comparison.comparison); metrics of
# outputs compare between any models.


def comparable_stored(models: Sequence[StoredModel]) -> ComparableMetrics:
    """Return which of the metrics compare that were stored when the models were trained."""
    subjects = []
    for model in models:
        evaluation = cast(PairEvaluation, model.evaluation)
        target = cast(PairCodec, model.codec).target
        subjects.append(EvaluatedModel.of_stored(model.name, evaluation.references, target))
    return _with_written(_comparable_perplexities(subjects))


def _comparable_perplexities(
    subjects: Sequence[EvaluatedModel], holds_unk: bool = True
) -> ComparableMetrics:
    """Return which perplexities compare, if any do: the metrics of outputs always do."""
    try:
        return find_comparable(subjects, holds_unk)
    except ComparisonError as error:
        return ComparableMetrics((), "", (RefusedMetric("perplexity", None, error.why),))


def _with_written(perplexities: ComparableMetrics) -> ComparableMetrics:
    """Add the metrics of outputs, which compare between any models, and which models are compared
    by."""
    return replace(
        perplexities,
        names=(*perplexities.names, *TRANSLATION_METRICS),
        main="",
        may_differ=PARTS - {"data", "case"} | TranslationSignature.may_differ,
    )


_Side = Side[Seq2SeqModel, PairedData]


class PairComparer(Comparer[Seq2SeqModel, PairedData, PairEvaluation]):
    """Encoder-decoders on the same pairs."""

    task = "seq2seq"

    def __init__(self, data: Pairs, options: PairOptions) -> None:
        self.data, self.options, self.lowercase = data, options, False

    def read(self, model: Seq2SeqModel, called: str) -> PairedData:
        return read(model, self.data, self.options, called)

    def comparable(self, sides: Sequence[_Side]) -> ComparableMetrics:
        if len({side.data.lines_hash for side in sides}) > 1:
            raise ComparisonError(
                "the models do not read the same pairs",
                "they read different columns, or one of them rewrites the text",
                "name the columns with " + keyword("column") + " and " + keyword("target_column"),
            )

        # For models that know no upper case, outputs are compared without it.
        self.lowercase = not all(side.model.codec.target.keeps_case for side in sides)

        read = [references_of(side.data, side.model.codec.target) for side in sides]
        subjects = [
            EvaluatedModel.of(side.name, side.model.decoder, encoded, "reset")
            for side, encoded in zip(sides, read, strict=True)
        ]
        _, references = lines_of(sides[0].data.text)
        has_unknown = any(UNKNOWN in reference.lower() for reference in references)
        comparable = _comparable_perplexities(subjects, has_unknown)

        unknown = len(references_of(sides[0].data, sides[0].model.codec.target).oov)
        differing = (*differing_by(comparable.main, unknown), *TRANSLATION_METRICS)
        return replace(_with_written(comparable), differing=differing, block_lines=1)

    def measure(self, side: _Side) -> PairEvaluation:
        return measure(side.model, side.data, self.options.search, self.lowercase)

    def notes(
        self, evaluations: Sequence[PairEvaluation], differences: Sequence[Difference]
    ) -> list[str]:
        return disagreements([evaluation.references for evaluation in evaluations], differences)
