"""Show the computations of a model at each word of a line: gates of networks, the influence of
earlier words on each prediction, and the orders at which n-grams were found."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from rnnlm.errors import UsageError
from rnnlm.interface import BOUNDARY, SENTENCE_START, LanguageModel
from rnnlm.lm.base import loading
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.registry import LabelModel, kind_of
from rnnlm.text.lines import check_reserved
from rnnlm.tools.serving import schemas

FIRST_UNITS = 32  # whose gates are listed one by one
DECIMALS = 6  # networks compute in fp32
# The inspection of the library that says which models have it
_KINDS = {"gates": "gates", "influence": "gradients"}


def inspections_of(core: LanguageModel | LabelModel) -> list[str]:
    """Return the names of the inspections that apply to a model."""
    if isinstance(core, NgramModel):
        return ["orders"]
    if getattr(core, "adaptation", "none") != "none":
        return []
    from rnnlm.tools.inspection.common import NEEDS

    kind = kind_of(loading.kind_of(core), loading.task_of(core))
    return [name for name, inspection in _KINDS.items() if kind.has_what(NEEDS[inspection])]


def gates(core: LanguageModel | LabelModel, text: str) -> schemas.GatesAnswer:
    """Show the gates of each layer at each token that is read."""
    from rnnlm.tools.inspection.gates import inspect_gates

    found = inspect_gates(core, text)
    layers = []
    for number, layer in enumerate(found.layers, start=1):
        shown = [
            schemas.GateRecord(
                gate=name,
                mean=values_TH.mean(axis=1).round(DECIMALS).tolist(),
                units=values_TH[:, :FIRST_UNITS].round(DECIMALS).tolist(),
            )
            for name, values_TH in layer.gates.items()
        ]
        layers.append(schemas.LayerRecord(layer=number, name=layer.name, gates=shown))
    return schemas.GatesAnswer(words=list(found.tokens), layers=layers)


def influence(core: LanguageModel | LabelModel, text: str) -> schemas.InfluenceAnswer:
    """Show how much each prediction depends on each token that was read before it."""
    from rnnlm.tools.inspection.gradients.sensitivity import inspect_sensitivity

    [found] = inspect_sensitivity({"": core}, text).models
    rows = [norms[: place + 1] for place, norms in enumerate(found.norms.tolist())]
    return schemas.InfluenceAnswer(
        words=list(found.predicted), read=list(found.read), influence=rows
    )


def orders(core: LanguageModel | LabelModel, text: str) -> schemas.OrdersAnswer:
    """Show of which order the n-gram was that each token was found with, and the contexts that were
    given up on the way."""
    if not isinstance(core, NgramModel):
        raise UsageError("this model has no n-grams of several orders")
    text = check_reserved(text, "the text", "error", "remove it")
    tokenizer = core.tokenizer
    encoded = tokenizer.encode([text])  # refuses anything but one line
    [surface] = tokenizer.surfaces([text])
    symbols = tokenizer.symbols()

    # `<s>` has no name in the vocabulary: a context has the boundary in its place.
    words = []
    for word, lookup in zip(surface, core.lookups(encoded.ids), strict=True):
        backoffs = []
        for ids, nats in lookup.given_up:
            names = [SENTENCE_START if symbols[id] == BOUNDARY else symbols[id] for id in ids]
            backoffs.append(schemas.BackoffRecord(context=" ".join(names), nats=_finite(nats)))
        found = (lookup.order, _finite(lookup.logprob_nats), backoffs)
        words.append(schemas.OrderRecord(word, *found))
    return schemas.OrdersAnswer(words=words)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Inspection:
    """The computations of a model at each word of a line. numbers: how many are answered for a line
    of so many tokens."""

    show: Callable[[LanguageModel | LabelModel, str], schemas.InspectAnswer]
    numbers: Callable[[LanguageModel | LabelModel, int], int]


def _gate_numbers(core: Any, tokens: int) -> int:
    from rnnlm.lm.neural.layers.layers import named_layers

    return tokens * sum(
        max(1, layer.gates) * (1 + min(layer.width, FIRST_UNITS))
        for layer in named_layers(core.network).values()
    )


INSPECTIONS = {
    "gates": Inspection(gates, _gate_numbers),
    "influence": Inspection(influence, lambda core, tokens: tokens * (tokens + 1) // 2),
    "orders": Inspection(orders, lambda core, tokens: 2 * tokens * cast(NgramModel, core).order),
}
