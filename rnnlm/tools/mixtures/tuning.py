"""Choose the settings of an adaptation on held-out text: move one after the other along a ladder
while that helps.

The weight of a cache is not tried but computed: given the probabilities of each token under model
and cache, the weight under which the text is likeliest is the maximum of a concave function. The
network runs once over the text for a cache; each trial of dynamic evaluation reads the text again.
"""

import contextlib
import json
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import arrays
from rnnlm.amounts import plural
from rnnlm.config import USER, SettingsLayer, SettingValue, resolve
from rnnlm.errors import OutputError, UsageError, keyword, notice
from rnnlm.evaluation.perplexity import as_text
from rnnlm.interface import Array, Device, LanguageModel, State
from rnnlm.lm.base import loading, span_scoring, stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.files import lock
from rnnlm.storage.files.folder import remove_files
from rnnlm.storage.files.outputs import Journal
from rnnlm.storage.files.resuming import (
    ExistingWork,
    Identity,
    merged,
    next_step,
    settings_identity,
    tell_finished,
)
from rnnlm.storage.files.writing import writing
from rnnlm.storage.manifest import is_unfinished
from rnnlm.text.batches import with_boundary
from rnnlm.text.corpus import Text, identity_of
from rnnlm.text.encoding import known_ids
from rnnlm.tools.mixtures.adaptation import adapt, load_statistics, settings_class
from rnnlm.tools.mixtures.adapted_model import (
    OF_RMS,
    AdaptationSettings,
    DynamicSettings,
    NeuralCacheSettings,
    TunedSettings,
    UnigramCacheSettings,
    journal_path,
    read_tuned,
    save_statistics,
    save_tuned,
    settings_path,
    with_hidden_states,
)
from rnnlm.tools.mixtures.unigram_cache import UnigramCache

DEFAULT_TOKENS = {"dynamic": 10_000, "cache": 100_000, "unigram": 1_000_000}
LARGEST_WEIGHT, BISECTIONS = 0.999, 40
# The setting of each adaptation with which there is none if it is 0.
OFF = {"dynamic": "adaptation_rate", "cache": "cache_weight", "unigram": "cache_weight"}

_TOKENS = (50, 100, 200, 500, 1000, 2000, 4000, 8000)
_DECAYS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
LADDERS: dict[str, dict[str, tuple[float, ...]]] = {
    "unigram": {"cache_tokens": _TOKENS},
    "cache": {
        "cache_flatness": (0.0, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0),
        "cache_tokens": _TOKENS,
    },
    "sgd": {
        "adaptation_rate": tuple(0.0125 * 2**n for n in range(-2, 10)),
        "adaptation_decay": _DECAYS,
    },
    "rms": {
        "adaptation_rate": tuple(0.0000625 * 2**n for n in range(-2, 12)),
        "adaptation_decay": _DECAYS,
    },
}


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and the perplexity with them."""

    settings: dict[str, Any]
    ppl: float


FINISHED = {"finished": True}  # the last line of a journal

TrialFunction = Callable[[Any], Trial]  # of settings
CacheShares = Callable[[Any], np.ndarray]  # settings of a cache: its probability of each token


def tune(
    name: LanguageModel | str | Path,
    kind: str,
    on: str | Path | Sequence[str | Path] | Text,
    *,
    given: Mapping[str, SettingValue] | None = None,
    statistics: str | Path | Sequence[str | Path] | Text | None = None,
    tokens: int | None = None,
    device: str | Device = "auto",
    overwrite: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Iterator[Trial | TunedSettings]:
    """Choose the settings of the adaptation `kind` for the model called `name`, or loaded from its
    folder, and save them there.

    The held-out text `on` is read as one stream, of which the first `tokens` are used, by default
    DEFAULT_TOKENS. Settings in `given` are not chosen. If there is a training text `statistics`,
    gradient statistics are gathered on it first, and saved; then the rule rms is tuned. Settings
    that were chosen otherwise are replaced with `overwrite`. `report` is called with the segments
    done, and all.

    Interrupted tuning is resumed. Finished tuning is yielded at once.

    Raises:
        UsageError: the kind is unknown or not for this model, or another library stores the model;
            statistics are missing, or are for another kind.
        SettingsError: a given setting is unknown or invalid.
        TextError: a text cannot be read, or is empty.
        ModelError: there is no such model, or it is damaged.
        DeviceError: `device` is not available.
        OutputError: the folder cannot be written to, or holds settings that were tuned differently.
    """
    folder = loading.find(name)
    if model_folder.read_manifest(folder).kind.library:
        raise UsageError(
            f"{loading.name_of(name)} cannot be tuned",
            "its settings would be saved in the folder of another library",
            f"use {loading.name_of(name)}+{kind} as it is",
        )
    given = given or {}
    on = as_text(on)
    settings = _start(kind, given, on, tokens, statistics is not None)
    identity = _identity(
        folder=folder,
        kind=kind,
        settings=settings,
        given=given,
        on=on,
        statistics=statistics,
        tokens=tokens,
    )
    with lock.held(folder, "tuning"):
        remove_files(folder, is_unfinished)  # of writers that were killed
        # The state there: nothing, trials of this tuning, or its result.
        journal = Journal(journal_path(folder, kind))
        tuned = None if overwrite else read_tuned(folder, kind)
        noted = [] if overwrite else _read_trials(journal, identity, tuned)
        if tuned is not None and FINISHED in noted:
            tell_finished(settings_path(folder, kind), f"on {plural(tuned.tokens, 'token')}")
            yield tuned
            return
        model, _ = stored_model.load(folder, device)
        if kind != "unigram":
            with_hidden_states(model)
        encoded = on.encode(model.tokenizer)
        loading.warn_if_trained_on(encoded.lines_hash, {loading.name_of(name): folder}, "settings")

        # The journal begins once the statistics are there.
        if statistics is not None and not noted:
            assert isinstance(settings, DynamicSettings)  # as no other kind uses any
            training_ids = as_text(statistics).encode(model.tokenizer).ids
            _save_statistics(folder, model, training_ids, settings.segment_tokens, report)
        with writing(folder):
            journal.write(noted or [identity])

        # Measure settings, beside the model's own scores.
        ids = encoded.ids[: tokens or DEFAULT_TOKENS[kind]]
        logprob_N, measure = _measuring(kind, model, folder, ids, settings, given)
        span_scoring.check_scores(logprob_N)
        of = settings.adaptation_rule if isinstance(settings, DynamicSettings) else kind
        free = {key: ladder for key, ladder in LADDERS[of].items() if key not in given}
        best = yield from descend(free, settings, _recording(measure, journal, noted[1:]))

        # Without adaptation the model may be better than with any settings.
        ppl_before = span_scoring.perplexity(float(logprob_N.sum(dtype=np.float64)), len(ids))
        if ppl_before is not None and best.ppl >= ppl_before and OFF[kind] not in given:
            best = Trial(best.settings | {OFF[kind]: 0.0}, ppl_before)
            yield best
            notice(
                "no settings beat the model without adaptation: "
                + keyword(OFF[kind])
                + " is set to 0"
            )
        tuned = TunedSettings(
            kind,
            best.settings,
            model.fingerprint,
            encoded.lines_hash,
            len(ids),
            ppl_before=ppl_before,
            ppl_after=best.ppl if math.isfinite(best.ppl) else None,
        )
        save_tuned(folder, tuned)
        journal.append(FINISHED)
        yield tuned


def _measuring(
    kind: str,
    model: LanguageModel,
    folder: Path,
    ids: np.ndarray,
    settings: AdaptationSettings,
    given: Mapping[str, SettingValue],
) -> tuple[np.ndarray, TrialFunction]:
    """Return the model's own scores of the tokens `ids`, and a function that measures settings on
    them."""
    if kind == "dynamic":
        assert isinstance(settings, DynamicSettings)
        return _dynamic(model, ids, load_statistics(folder, model, settings))
    read = _unigram if kind == "unigram" else _cache
    logprob_N, shares = read(model, ids)
    return logprob_N, _with_best_weight(logprob_N, shares, "cache_weight" in given)


def descend(
    ladders: Mapping[str, tuple[float, ...]], settings: AdaptationSettings, measure: TrialFunction
) -> Generator[Trial, None, Trial]:
    """Move up and down each ladder while perplexity falls, until a whole round changes nothing:
    coordinate descent. Yield each :class:`Trial`, and return the best."""
    best = measure(settings)
    known = {settings: best}
    yield best
    is_moving = True
    while is_moving:
        is_moving = False
        for name, ladder in ladders.items():
            # Each direction ends where perplexity rises. Where it stays, there may be less beyond.
            here = getattr(settings, name)
            upwards = [value for value in ladder if value > here]
            downwards = [value for value in reversed(ladder) if value < here]
            for values in (upwards, downwards):
                for value in values:
                    candidate = replace(settings, **{name: value})
                    if candidate not in known:
                        known[candidate] = measure(candidate)
                        yield known[candidate]
                    if known[candidate].ppl > best.ppl:
                        break
                    if known[candidate].ppl < best.ppl:
                        settings, best, is_moving = candidate, known[candidate], True
    return best


def best_weight(p_N: np.ndarray, share_N: np.ndarray) -> float:
    """Find the w in [0, 1) that makes the product of (1 - w) p + w share largest.

    The derivative of its logarithm, sum (share - p) / ((1 - w) p + w share), falls with w: its zero
    is found by bisection.
    """
    is_possible = (p_N > 0) | (share_N > 0)
    p_N, share_N = p_N[is_possible], share_N[is_possible]
    low, high = 0.0, LARGEST_WEIGHT
    for _ in range(BISECTIONS):
        w = (low + high) / 2
        derivative = ((share_N - p_N) / ((1 - w) * p_N + w * share_N)).sum()
        if derivative > 0:
            low = w
        else:
            high = w
    return low


def _start(
    kind: str, given: Mapping[str, Any], on: Text, tokens: int | None, has_statistics: bool
) -> AdaptationSettings:
    """Return the settings that are tried first; refuse contradictions."""
    cls = settings_class(kind)
    if has_statistics and kind != "dynamic":
        raise UsageError(
            f"the adaptation {kind} does not use gradient statistics",
            hint="leave out " + keyword("statistics"),
        )
    if tokens is not None and tokens < 1:
        raise UsageError(f"{plural(tokens, 'token')} is not valid", hint="give a number above zero")
    if on.settings.blank_lines == "documents":
        raise UsageError(
            "adaptations are tuned on one stream of text",
            hint="leave out " + keyword("blank_lines"),
        )

    # Statistics imply the rule rms, which has different defaults.
    layers = [SettingsLayer(USER, given, is_text=True)]
    rule = resolve([cls], layers).values.get("adaptation_rule")
    if rule == "sgd" and has_statistics and "adaptation_rule" in given:
        raise UsageError(
            "the rule sgd does not use gradient statistics",
            hint="leave out " + keyword("statistics") + " or " + keyword("adaptation_rule"),
        )
    if rule == "rms" or (has_statistics and "adaptation_rule" not in given):
        layers.insert(0, SettingsLayer("the rule rms", OF_RMS))
    return resolve([cls], layers).make(cls)


def _identity(
    folder: Path,
    kind: str,
    settings: AdaptationSettings,
    given: Mapping[str, SettingValue],
    on: Text,
    statistics: str | Path | Sequence[str | Path] | Text | None,
    tokens: int | None,
) -> dict[str, str]:
    """Return the facts that the chosen settings depend on."""
    identity = {
        "model": model_folder.read_manifest(folder).fingerprint,
        "kind": kind,
        "given": ", ".join(sorted(given)),
        "tokens": str(tokens or DEFAULT_TOKENS[kind]),
    }
    identity = merged(identity, settings_identity(settings), identity_of(on))
    if statistics is not None:
        of_statistics = identity_of(as_text(statistics))
        identity |= {f"statistics {name}": value for name, value in of_statistics.items()}
    return identity


def _read_trials(
    journal: Journal, identity: Identity, tuned: TunedSettings | None
) -> list[dict[str, Any]]:
    """Return the lines that tuning of this identity has left in the journal: the identity, trials,
    perhaps FINISHED. Refuse to replace settings that were tuned otherwise."""
    lines: list[dict[str, Any]] = []
    with contextlib.suppress(FileNotFoundError, ValueError):  # a damaged one says nothing
        lines = journal.read(dict)
    if lines or tuned is not None:
        stored = ExistingWork(lines[0] if lines else None)
        try:
            next_step(journal.path.with_suffix(".json"), stored, identity)
        except OutputError as error:
            error.hint = "replace it with " + keyword("overwrite", True)
            raise
    return lines


def _recording(
    measure: TrialFunction, journal: Journal, trials: list[dict[str, Any]]
) -> TrialFunction:
    """Return `measure`, which notes each trial in the journal, and takes those that are there."""
    known = {json.dumps(trial["tried"]): trial for trial in trials if trial != FINISHED}

    def measured(settings: AdaptationSettings) -> Trial:
        tried = asdict(settings)
        noted = known.get(json.dumps(tried))
        if noted is not None:
            return Trial(noted["settings"], noted["ppl"] or math.inf)
        trial = measure(settings)
        ppl = trial.ppl if math.isfinite(trial.ppl) else None
        journal.append({"tried": tried, "settings": trial.settings, "ppl": ppl})
        return trial

    return measured


def _save_statistics(
    folder: Path,
    model: LanguageModel,
    ids: np.ndarray,
    segment_tokens: int,
    report: Callable[[int, int], None] | None,
) -> None:
    """Gather gradient statistics on the text `ids`, and save them in the model's folder."""
    from rnnlm.tools.mixtures.dynamic_evaluation import gather_statistics

    assert model.fingerprint is not None  # as it lies in a folder
    squares = gather_statistics(model, ids, segment_tokens, report)
    statistics = {name: arrays.as_numpy(square) for name, square in squares.items()}
    save_statistics(folder, statistics, model.fingerprint)


def _dynamic(
    model: LanguageModel, ids: np.ndarray, statistics: Mapping[str, Any] | None
) -> tuple[np.ndarray, TrialFunction]:
    """Return the model's own log-probabilities, and a measure that reads the text again."""

    def measure(settings: DynamicSettings) -> Trial:
        adapted = adapt(model, "dynamic", settings, statistics)
        return Trial(asdict(settings), span_scoring.stream_perplexity(adapted, ids))

    return span_scoring.score_spans(model, ids, span_scoring.whole_text(ids)), measure


def _unigram(model: LanguageModel, ids: np.ndarray) -> tuple[np.ndarray, CacheShares]:
    """Return the model's own log-probabilities, and the probabilities of the cache of words as a
    function of its settings."""
    stream_1M = with_boundary(ids, model.tokenizer.boundary_id)[None].astype(np.int64)
    words_1M = known_ids(stream_1M, model.tokenizer)
    logprob_N = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))

    def shares(settings: UnigramCacheSettings) -> np.ndarray:
        return UnigramCache(model, settings).shares(words_1M[:, :-1], words_1M[:, 1:])[0]

    return logprob_N, shares


def _cache(given: LanguageModel, ids: np.ndarray) -> tuple[np.ndarray, CacheShares]:
    """Return the same for the neural cache, and keep the hidden states of the whole text for it."""
    from rnnlm.tools.mixtures.neural_cache import NeuralCache

    model = with_hidden_states(given)
    stream_N = with_boundary(ids, model.tokenizer.boundary_id)
    inputs_1T = stream_N[None, :-1].astype(np.int64)
    targets_1T = ids[None].astype(np.int64)

    def read(
        inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[tuple[Array, Array], State]:
        hidden_BTH, after = model.hidden(inputs_BT, state)
        return (hidden_BTH, model.score_hidden(hidden_BTH, targets_BT)), after

    # The network reads the text once; caches of any settings compare the same hidden states.
    hidden, logprob = [], []
    for _, _, (hidden_1tH, logprob_1t) in span_scoring.windows(
        model, ids, span_scoring.whole_text(ids), read
    ):
        hidden.append(hidden_1tH)
        logprob.append(arrays.as_numpy(logprob_1t)[0])
    logprob_N = np.concatenate(logprob).astype(np.float64)
    hidden_1TH = arrays.library(hidden[0]).concatenate(hidden, axis=1)

    def shares(settings: NeuralCacheSettings) -> np.ndarray:
        cache = NeuralCache(model, settings)
        share_1T, is_filled_1T = cache.text_shares(hidden_1TH, inputs_1T, targets_1T)
        is_filled_N, share_N = arrays.as_numpy(is_filled_1T)[0], arrays.as_numpy(share_1T)[0]
        return np.where(is_filled_N, share_N, np.exp(logprob_N))

    return logprob_N, shares


def _with_best_weight(logprob_N: np.ndarray, shares: CacheShares, is_given: bool) -> TrialFunction:
    """Return a measure of a cache's settings, with the best weight unless that is given."""
    p_N = np.exp(logprob_N)

    def measure(settings: Any) -> Trial:
        share_N = shares(settings)
        if not is_given:
            w = round(best_weight(p_N, share_N), 4)
            settings = replace(settings, cache_weight=w)
        w = settings.cache_weight
        with np.errstate(divide="ignore"):
            total = float(np.log((1 - w) * p_N + w * share_N).sum())
        ppl = span_scoring.perplexity(total, len(p_N)) or math.inf
        return Trial(asdict(settings), ppl)

    return measure
