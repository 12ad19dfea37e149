"""The settings of each way to adapt a model while it reads. Does not import torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Count, NonNegative, Positive, Probability, about

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
    """Settings of :class:`rnnlm.lm.mixtures.unigram_cache.UnigramCache`."""

    cache_tokens: Annotated[CacheTokens, about("number of tokens to remember")] = 1000
    cache_weight: Annotated[Probability, about("weight of the cache in each probability")] = 0.05


@dataclass(frozen=True)
class NeuralCacheSettings(AdaptationSettings):
    """Settings of :class:`rnnlm.lm.mixtures.neural_cache.NeuralCache`."""

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
    """Settings of :class:`rnnlm.lm.mixtures.dynamic_evaluation.DynamicEvaluation`."""

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
