"""Models that adapt another model to the text they read: their base, the settings of each way to
adapt, and the files in a model's folder that hold tuned settings and gradient statistics. Does not
import torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta

from rnnlm.config import Count, NonNegative, Positive, Probability, SettingsLayer, about, resolve
from rnnlm.errors import ModelError, SettingsError, UsageError
from rnnlm.interface import HiddenStateModel, LanguageModel, core_of, keeps
from rnnlm.lm.base import loading
from rnnlm.storage.files import tensors
from rnnlm.storage.files.reading import read_json
from rnnlm.storage.files.writing import digest, replace_file, write_facts, writing
from rnnlm.system import quoted

NO_WORD = -1  # in a cache, before its first word
PART = "model."  # prefix of the inner model's arrays in a state's
CacheTokens = Annotated[int, Meta(ge=1, le=1 << 24)]


@dataclass(frozen=True)
class AdaptationSettings:
    """Settings of a way to adapt a model."""

    @property
    def needs_statistics(self) -> bool:
        """Whether gradient statistics, gathered on training text, are needed."""
        return False


@dataclass(frozen=True)
class UnigramCacheSettings(AdaptationSettings):
    """Settings of :class:`rnnlm.tools.mixtures.unigram_cache.UnigramCache`."""

    cache_tokens: Annotated[CacheTokens, about("number of tokens to remember")] = 1000
    cache_weight: Annotated[Probability, about("weight of the cache in each probability")] = 0.05


@dataclass(frozen=True)
class NeuralCacheSettings(AdaptationSettings):
    """Settings of :class:`rnnlm.tools.mixtures.neural_cache.NeuralCache`."""

    cache_tokens: Annotated[CacheTokens, about("number of tokens to remember")] = 2000
    cache_weight: Annotated[
        Probability, about("lambda: weight of the cache in each probability")
    ] = 0.1
    cache_flatness: Annotated[
        NonNegative,
        about(
            "theta: 0 weights all remembered tokens equally; larger values require more "
            "similar hidden states"
        ),
    ] = 0.3


@dataclass(frozen=True)
class DynamicSettings(AdaptationSettings):
    """Settings of :class:`rnnlm.tools.mixtures.dynamic_evaluation.DynamicEvaluation`."""

    segment_tokens: Annotated[Count, about("tokens between two updates of the weights")] = 5
    adaptation_rule: Annotated[
        Literal["sgd", "rms"],
        about(
            "plain gradients (sgd), or gradients divided by their root mean square on training "
            "text (rms)"
        ),
    ] = "sgd"
    adaptation_rate: Annotated[NonNegative, about("eta: step size along a gradient")] = 0.05
    adaptation_decay: Annotated[
        float,
        about(
            "lambda: share of the distance by which weights return to the trained ones after "
            "each segment",
            ge=0,
            le=1,
        ),
    ] = 0.005
    adaptation_epsilon: Annotated[Positive, about("rule=rms: added to the root mean square")] = (
        0.001
    )

    @property
    def needs_statistics(self) -> bool:
        return self.adaptation_rule == "rms"


KINDS: dict[str, type[AdaptationSettings]] = {
    "dynamic": DynamicSettings,
    "cache": NeuralCacheSettings,
    "unigram": UnigramCacheSettings,
}

# The defaults of the rule rms, whose steps have another scale.
OF_RMS = {"adaptation_rule": "rms", "adaptation_rate": 0.00025, "adaptation_decay": 0.002}


def describe(
    kind: str, settings: AdaptationSettings, more: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Name kind, settings and everything else that results depend on, as a signature does:
    `cache(tokens=2000,weight=0.1,flatness=0.3)`."""
    values = {
        field.name.removeprefix("cache_").removeprefix("adaptation_"): getattr(settings, field.name)
        for field in fields(settings)
    }
    listed = ",".join(f"{name}={value}" for name, value in {**values, **more}.items())
    return f"{kind}({listed})"


def joined(adaptations: Iterable[str]) -> str:
    """Name several adaptations at work in one model, each once, as a signature does."""
    named = dict.fromkeys(adaptation for adaptation in adaptations if adaptation != "none")
    return "+".join(named) or "none"


# ---- The files in a model's folder that adapt it. They are companions of the model, not part of
# it.

STATISTICS = "adapt-dynamic.safetensors"
FORMAT_VERSION = 1
_OWNER = "model"  # the array that holds the fingerprint of the model whose gradients they are
_HASH = "sha256"  # and the one that holds the hash of all others
_AGAIN = (
    "collect them again with rnnlm tune -m NAME+dynamic --statistics TRAINING_TEXT --overwrite, "
    "or set adaptation_rule=sgd"
)


@dataclass(frozen=True)
class TunedSettings:
    """Tuned settings of an adaptation.

    Attributes:
        kind: Kind of adaptation.
        settings: The settings, by name.
        model: Fingerprint of the model that they were tuned for.
        data: Hash of the lines of the text that they were tuned on.
        tokens: Number of tokens of that text.
        ppl_before: Perplexity of that text without adaptation.
        ppl_after: Perplexity of that text with these settings.
        format_version: Version of the file format.
    """

    kind: str
    settings: dict[str, Any]
    model: str | None = None
    data: str = ""
    tokens: int = 0
    ppl_before: float | None = None
    ppl_after: float | None = None
    format_version: int = FORMAT_VERSION


def save_tuned(folder: Path, tuned: TunedSettings) -> Path:
    """Write tuned settings into the model's folder, in the place of earlier ones."""
    path = settings_path(folder, tuned.kind)
    with writing(folder):
        write_facts(path, tuned)
    return path


def read_tuned(folder: Path, kind: str) -> TunedSettings | None:
    """Read the tuned settings for `kind`, and check them; return None if there are none."""
    path = settings_path(folder, kind)
    if not path.exists():
        return None
    damaged = f"the settings in {path} are damaged"
    hint = f"tune again: rnnlm tune -m {quoted(folder.name)}+{kind} --overwrite"
    format = (path, FORMAT_VERSION)
    tuned = read_json(path, TunedSettings, ModelError, damaged, hint, format=format, has_hash=True)
    # Their values must be valid settings, too.
    try:
        resolve([KINDS[kind]], [SettingsLayer(path.name, tuned.settings)])
    except SettingsError as error:
        raise ModelError(damaged, str(error), hint) from None
    return tuned


def settings_path(folder: Path, kind: str) -> Path:
    """Return where the tuned settings for `kind` are kept."""
    return folder / f"adapt-{kind}.json"


def journal_path(folder: Path, kind: str) -> Path:
    """Return the folder where tuning for `kind` records its request, its trials and its end."""
    return folder / f"adapt-{kind}.journal"


def save_statistics(folder: Path, statistics: dict[str, np.ndarray], fingerprint: str) -> Path:
    """Write MS_g of each weight into the folder of the model with that fingerprint."""
    path = folder / STATISTICS
    owned = {**statistics, _OWNER: _as_array(fingerprint)}
    owned[_HASH] = _as_array(digest(tensors.chunks(owned)))
    with writing(folder):
        replace_file(path, tensors.chunks(owned))
    return path


def read_statistics(
    folder: Path, weights: dict[str, tuple[int, ...]], fingerprint: str | None
) -> dict[str, np.ndarray] | None:
    """Read MS_g of each of the `weights` (shape by name) of the model with that fingerprint; return
    None if none were gathered."""
    path = folder / STATISTICS
    if not path.exists():
        return None
    statistics = _statistics(path)

    # Statistics of gradients are valid for the weights that they were gathered with, and no others.
    if statistics.pop(_OWNER, _as_array("")).tobytes() != (fingerprint or "").encode():
        raise ModelError(
            f"the gradient statistics in {path} belong to other weights",
            "the model was retrained after they were collected",
            _AGAIN,
        )
    is_whole = {name: array.shape for name, array in statistics.items()} == weights
    if not is_whole or not all(
        array.dtype == np.float32 and (array >= 0).all() and np.isfinite(array).all()
        for array in statistics.values()
    ):
        raise ModelError(
            f"the gradient statistics in {path} are damaged",
            "there must be one number, zero or more, for each weight",
            _AGAIN,
        )
    return statistics


def check(folder: Path) -> list[str]:
    """Check the files in `folder` that are kept for adapting its model; return their names."""
    names = [settings_path(folder, kind).name for kind in KINDS if read_tuned(folder, kind)]
    if (folder / STATISTICS).exists():
        _statistics(folder / STATISTICS)
        names.append(STATISTICS)
    return names


def _statistics(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of the file but their hash, and check that."""
    try:
        by_name = {name: np.array(array) for name, array in tensors.mapped(path).items()}
    except ModelError as error:
        raise ModelError(
            f"the gradient statistics in {path} are damaged", error.why, _AGAIN
        ) from None
    recorded = by_name.pop(_HASH, _as_array(""))
    if recorded.tobytes() != digest(tensors.chunks(by_name)).encode():
        raise ModelError(
            f"the gradient statistics in {path} are damaged",
            "their SHA-256 does not match the recorded one",
            _AGAIN,
        )
    return by_name


def _as_array(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


# ---- The base of models that adapt another one.


@keeps(LanguageModel)
class AdaptedModel:
    """A language model around another one, `model`, which has the weights, the tokenizer and the
    fingerprint."""

    kind: ClassVar[str]
    description = "a model that adapts itself already"
    boundary_resets_state = False

    def __init__(self, model: LanguageModel, settings: AdaptationSettings) -> None:
        self.model = model
        self.settings = settings
        self.tokenizer = model.tokenizer
        self.normalised = model.normalised
        self.sum_error = getattr(model, "sum_error", 0.0)
        self.max_rows = model.max_rows
        self.call_tokens = model.call_tokens
        self.precision = model.precision
        self.fingerprint = model.fingerprint
        self.is_unchecked = getattr(model, "is_unchecked", False)
        self.window = loading.window_of(model)
        # Digests, by name, of data that results depend on besides model and settings. Signatures
        # show them.
        self.digests: dict[str, str] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the model within, in its own way, and how it adapts."""
        return type(self), (self.model, self.settings)

    @property
    def adaptation(self) -> str:
        """The part of a signature that names the adaptations."""
        return joined([self.model.adaptation, describe(self.kind, self.settings, self.digests)])

    @property
    def model_kind(self) -> str:
        """The kind of the model within."""
        return loading.kind_of(self.model)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.model.to_arrays()


def with_hidden_states(model: LanguageModel) -> HiddenStateModel:
    """Return `model` itself if it has hidden states; refuse it otherwise."""
    model = core_of(model)
    if not isinstance(model, HiddenStateModel):
        raise cannot_adapt(model)
    return model


def cannot_adapt(model: LanguageModel) -> UsageError:
    """Return the error that a model has no hidden states, or no gradients."""
    return UsageError(
        f"{getattr(model, 'description', 'this model')} cannot be adapted in this way",
        "this needs a neural network, with hidden states and gradients",
        "use the cache of words, which works for every model: NAME+unigram",
    )


def one_row(rows: Sequence[int] | np.ndarray | int) -> None:
    """Refuse more rows than one, or none."""
    count = rows if isinstance(rows, int) else len(rows)
    if count != 1:
        raise UsageError(
            f"{count} texts cannot be read at once",
            "the weights adapt to a single text",
            "read the texts one at a time",
        )
