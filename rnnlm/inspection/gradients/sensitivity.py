"""The sensitivity of each step of a sentence to each earlier word, as a map (after Graves 2012,
figures 4.1 and 4.4).

A cell is ||dloss(t)/dx(s)||: how much the surprisal of the token predicted after step t changes
with the vector of the one read at step s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rnnlm.errors import TextError
from rnnlm.inspection.common import Models, Table, checked_sentence, plain, subjects
from rnnlm.inspection.gradients.flow import unit_of
from rnnlm.inspection.gradients.jacobians import loss_gradients
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.neural.language_model import NeuralLanguageModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TOKENS = 200
FAR = 5  # tokens


@dataclass(frozen=True)
class SensitivityMap:
    """Of one model: norms[t, s], (T, T), in nats per unit of length, is that of predicted[t] to
    read[s]; NaN for s > t, which is not read by then. surprisal_nats: of predicted[t]. unit: what
    is read, "word" or "token"."""

    model: str
    read: tuple[str, ...]
    predicted: tuple[str, ...]
    norms: np.ndarray
    surprisal_nats: np.ndarray
    unit: str = "word"

    def share(self, nearest: int, farthest: int | None = None) -> float:
        """Of all sensitivity, the share that goes to tokens read `nearest` to `farthest` tokens
        before the last one."""
        norms = np.nan_to_num(self.norms)
        chosen = np.tril(norms, -nearest) - (
            0 if farthest is None else np.tril(norms, -farthest - 1)
        )
        return float(chosen.sum() / norms.sum()) if norms.sum() else 0.0


@dataclass(frozen=True)
class SentenceSensitivity:
    """What :func:`inspect_sensitivity` found; an :class:`~rnnlm.inspection.common.Inspection`."""

    maps: tuple[SensitivityMap, ...]

    @property
    def verdict(self) -> str:
        """How much of the sensitivity goes to near tokens."""
        return "\n".join(
            f"{each.model}: {each.share(0, 0):.0%} of the sensitivity of predictions is to the "
            "token read last, "
            f"{each.share(1, FAR):.0%} to the {FAR} before it, {each.share(FAR + 1):.0%} to "
            "earlier ones."
            for each in self.maps
        )

    def tables(self) -> Sequence[Table]:
        """For each model its map: a row for each token predicted, a column for each token read."""
        return [_table(each) for each in self.maps]

    def to_dict(self) -> dict[str, Any]:
        """The maps, null where nothing was read yet."""
        return {"models": [plain(vars(each)) for each in self.maps]}

    def figure(self) -> "Figure":
        """The heat maps, side by side."""
        from rnnlm.inspection.gradients.flow import draw_maps

        return draw_maps(
            [(each.model, each.unit, each.read, each.predicted, each.norms) for each in self.maps]
        )


def inspect_sensitivity(
    models: Models = (SHIPPED,), sentence: str = "", *, device: str | Device = "auto"
) -> SentenceSensitivity:
    """How much the prediction of each word of a sentence, read from the initial state on, feels
    each word before it.

    models: recurrent language models, by their names, or themselves; also by name. sentence: one
    line, of 200 tokens at most.

    Raises:
        UsageError: a model has no recurrent layers. ModelError: there is no such model. TextError:
            the sentence has no words, too many tokens, or a newline, `<s>` or `</s>`.
    """
    sentence = checked_sentence(sentence)
    return SentenceSensitivity(
        tuple(
            _map(each.name, each.model, sentence) for each in subjects("gradients", models, device)
        )
    )


def _map(name: str, model: NeuralLanguageModel, sentence: str) -> SensitivityMap:
    tokenizer = model.tokenizer
    ids_T = np.asarray(tokenizer.encode([sentence]).ids)
    if len(ids_T) > MOST_TOKENS:
        raise TextError(
            f"the sentence has {len(ids_T):,} tokens",
            f"a map has room for {MOST_TOKENS}",
            "take a shorter one",
        )
    words = tokenizer.surfaces([sentence])[0]
    boundary = tokenizer.symbols()[tokenizer.boundary_id]
    inputs_T = model.ids(np.concatenate(([tokenizer.boundary_id], ids_T[:-1]))[np.newaxis])[0]
    T, at_T = len(ids_T), torch.arange(len(ids_T), device=model.device)
    with model.reading():  # in T rows, of which each has the loss of another step
        x_TTE = model.network.input.vectors(inputs_T.unsqueeze(1)).expand(-1, T, -1)
        norms_TT, surprisal_T = loss_gradients(
            model.network,
            x_TTE,
            at_T,
            model.ids(ids_T[np.newaxis])[0],
            model.network.initial_state(T),
        )
    norms = np.where(np.tri(T, dtype=bool), norms_TT.t().cpu().numpy(), np.nan)
    return SensitivityMap(
        name,
        (boundary, *words[:-1]),
        tuple(words),
        norms,
        surprisal_T.double().cpu().numpy(),
        unit_of(tokenizer),
    )


def _table(found: SensitivityMap) -> Table:
    """Words that are read twice have columns of different names."""
    columns = (
        "predicted",
        "surprisal (nats)",
        *(f"{place} {word}" for place, word in enumerate(found.read)),
    )
    rows = []
    for word, surprisal, norms_T in zip(
        found.predicted, found.surprisal_nats.tolist(), found.norms.tolist(), strict=True
    ):
        rows.append((word, surprisal, *(None if norm != norm else norm for norm in norms_T)))
    return Table(
        columns,
        tuple(rows),
        f"{found.model}: norm of d(surprisal)/d(vector of the {found.unit} read), in nats",
    )
