"""Map the sensitivity of each step of a sentence to each earlier word (after Graves 2012, figures
4.1 and 4.4).

A cell is ||dloss(t)/dx(s)||: how much the surprisal of the token predicted after step t changes
with the vector of the token read at step s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rnnlm.errors import TextError
from rnnlm.evaluation.plotting import Axes, Figure
from rnnlm.interface import Device
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.tabular import Row, Table
from rnnlm.text.unknown_words import tell_unknown
from rnnlm.tools.inspection.common import Inspection, Models, checked_sentence, load_models_for
from rnnlm.tools.inspection.gradients.flow import draw_maps, unit_of
from rnnlm.tools.inspection.gradients.jacobians import loss_gradients

MOST_TOKENS = 200
FAR = 5  # tokens


@dataclass(frozen=True)
class SensitivityMap:
    """The map of one model over T tokens.

    Attributes:
        model: Name of the model.
        read: The T tokens read.
        predicted: The T tokens predicted.
        norms: `norms[t, s]` is the sensitivity of predicted[t] to read[s], (T, T), in nats per unit
            of length; NaN for s > t, which is not read by then.
        surprisal_nats: Surprisal of each predicted token, (T,), in nats.
        unit: The unit it reads, "word" or "token".
    """

    model: str
    read: tuple[str, ...]
    predicted: tuple[str, ...]
    norms: np.ndarray
    surprisal_nats: np.ndarray
    unit: str = "word"

    def share(self, nearest: int, farthest: int | None = None) -> float:
        """Return the share of all sensitivity that goes to tokens at some distances before the last
        one read.

        Args:
            nearest: Smallest distance, in tokens.
            farthest: Largest distance, in tokens. None: any.
        """
        norms = np.nan_to_num(self.norms)
        total = norms.sum()
        if not total:
            return 0.0
        chosen = np.tril(norms, -nearest)
        if farthest is not None:
            chosen = chosen - np.tril(norms, -farthest - 1)
        return float(chosen.sum() / total)


@dataclass(frozen=True, repr=False)
class SentenceSensitivity(Inspection):
    """The result of :func:`inspect_sensitivity`; an
    :class:`~rnnlm.tools.inspection.common.Inspection`.

    Attributes:
        models: Map of each model.
    """

    models: tuple[SensitivityMap, ...]
    verdict_first = True

    @property
    def verdict(self) -> str:
        """How much of the sensitivity goes to near tokens."""
        return "\n".join(
            f"{model.model}: {model.share(0, 0):.0%} of the sensitivity of predictions is to the "
            f"token read last, {model.share(1, FAR):.0%} to the {FAR} before it, "
            f"{model.share(FAR + 1):.0%} to earlier ones."
            for model in self.models
        )

    def tables(self) -> Sequence[Table]:
        """Return the map of each model: a row for each predicted token, a column for each token
        read."""
        return list(map(_table, self.models))

    def to_rows(self, table: int | str = 0) -> list[Row]:
        """Return the map of a model in long form: a row for each prediction and each token read
        before it, with their places, from 0.

        Args:
            table: Number of the table, from 0, or its title.

        Raises:
            UsageError: The table does not exist.
        """
        sensitivity = self.models[self.tables().index(self.table(table))]
        norms, surprisals = sensitivity.norms.tolist(), sensitivity.surprisal_nats.tolist()
        rows: list[Row] = []
        for place, predicted in enumerate(sensitivity.predicted):
            rows += [
                {
                    "model": sensitivity.model,
                    "place": place,
                    "predicted": predicted,
                    "surprisal_nats": surprisals[place],
                    "read_place": read_place,
                    "read": sensitivity.read[read_place],
                    "norm": norms[place][read_place],
                }
                for read_place in range(place + 1)
            ]
        return rows

    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw the heat maps, side by side.

        Args:
            axes: Draw there instead of in a new figure; only if the picture has one panel.
        """
        maps = [
            (model.model, model.unit, model.read, model.predicted, model.norms)
            for model in self.models
        ]
        return draw_maps(maps, axes)


def inspect_sensitivity(
    models: Models = (SHIPPED,), sentence: str = "", *, device: str | Device = "auto"
) -> SentenceSensitivity:
    """Measure how much the prediction of each word of a sentence, read from the initial state on,
    depends on each word before it.

    models: recurrent language models, themselves or by their names; also as a mapping from names.
    sentence: one line, of 200 tokens at most.

    Raises:
        UsageError: a model has no recurrent layers.
        ModelError: the model does not exist.
        TextError: the sentence has no words, too many tokens, or a newline, `<s>` or `</s>`.
    """
    sentence = checked_sentence(sentence)
    given = load_models_for("gradients", models, device)
    return SentenceSensitivity(
        tuple(_map(inspected.name, inspected.model, sentence) for inspected in given)
    )


def _map(name: str, model: NeuralLanguageModel, sentence: str) -> SensitivityMap:
    """Measure the map of one model."""
    tokenizer = model.tokenizer
    ids_T = np.asarray(tokenizer.encode([sentence]).ids)
    T = len(ids_T)
    if T > MOST_TOKENS:
        raise TextError(
            f"the sentence has {T:,} tokens",
            f"a map shows at most {MOST_TOKENS}",
            "choose a shorter one",
        )
    tell_unknown([sentence], tokenizer)

    # Read the sentence in T rows side by side, each of which has the loss of another step.
    shifted_T = np.concatenate(([tokenizer.boundary_id], ids_T[:-1]))
    inputs_T, targets_T = model.ids(np.stack([shifted_T, ids_T]))
    at_T = torch.arange(T, device=model.device)
    with model.reading():
        x_TTE = model.network.input.vectors(inputs_T.unsqueeze(1)).expand(-1, T, -1)
        state = model.network.initial_state(T)
        norms_TT, surprisal_T = loss_gradients(model.network, x_TTE, at_T, targets_T, state)

    # Rows are predictions, and later tokens were not read.
    norms = np.where(np.tri(T, dtype=bool), norms_TT.t().cpu().numpy(), np.nan)
    words = tokenizer.surfaces([sentence])[0]
    boundary = tokenizer.symbols()[tokenizer.boundary_id]
    return SensitivityMap(
        name,
        (boundary, *words[:-1]),
        tuple(words),
        norms,
        surprisal_T.double().cpu().numpy(),
        unit_of(tokenizer),
    )


def _table(sensitivity: SensitivityMap) -> Table:
    """Return a map as a table. Columns are numbered, so that a word read twice has two different
    ones."""
    read = [f"{place} {word}" for place, word in enumerate(sensitivity.read)]
    surprisals, all_norms = sensitivity.surprisal_nats.tolist(), sensitivity.norms.tolist()
    rows = tuple(
        (word, surprisal, *(None if math.isnan(norm) else norm for norm in norms_T))
        for word, surprisal, norms_T in zip(
            sensitivity.predicted, surprisals, all_norms, strict=True
        )
    )
    gradient = f"d(surprisal)/d(vector of the {sensitivity.unit} read)"
    title = f"{sensitivity.model}: norm of {gradient}, in nats"
    return Table(("predicted", "surprisal (nats)", *read), rows, title)
