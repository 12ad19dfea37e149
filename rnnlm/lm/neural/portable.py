"""Describe a recurrent language model by settings and arrays, for other programs that compute it
again."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnlm import registry
from rnnlm.errors import UsageError, notice
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import kind_of
from rnnlm.lm.neural.layers.kernels.choice import swap_update_gate
from rnnlm.lm.neural.outputs.softmax import SoftmaxOutput
from rnnlm.lm.neural.settings import GruCell, RecurrentModelSettings
from rnnlm.lm.neural.shapes import is_noise
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.neural.words import input_table


@dataclass(frozen=True)
class PortableNetwork:
    """A recurrent language model with one softmax, or a mixture of them, in evaluation mode.

    arrays: float32, by name, shapes as in rnnlm/lm/neural/layers/:

    * `embedding.weight` (V, E): the vector that is read for each word. Where words are read by
      characters, these are folded in.
    * `layers.N.weight_ih`, `weight_hh`, `bias_ih`, and `bias_hh` of a GRU, `peepholes`,
      `mogrifier.K`. A GRU always keeps its state while the update gate is open.
    * `highways.N.weight` and `.bias`; `projection.weight` and `.bias`, where there are any.
    * `output.weight` (V, F), unless it is the embedding, and `output.bias` (V); of a mixture of
      softmaxes also `mixture.prior_weight`, `latent_weight` and `latent_bias`.
    """

    settings: RecurrentModelSettings
    arrays: dict[str, np.ndarray]

    @property
    def is_tied(self) -> bool:
        """Whether the output weights are the rows of `embedding.weight`."""
        return "output.weight" not in self.arrays


def portable_network(
    model: LanguageModel, name: str = "this model", takes_mixtures: bool = False
) -> PortableNetwork:
    """Return the parts of a recurrent language model. takes_mixtures: its output layer may be a
    mixture of softmaxes.

    Raises:
        UsageError: it is another kind of model, or has another output layer.
    """
    what = f"{name} cannot be exported in this form"
    if getattr(model, "adaptation", "none") != "none":
        raise UsageError(
            what,
            "it adapts to what it reads, which an exported network does not",
            "export the model without +KIND",
        )
    if not isinstance(model, NeuralLanguageModel):
        hint = "export an n-gram model with --arpa FILE, and each network of a mixture by itself"
        kind = registry.kind_of(kind_of(model))
        if kind.library:
            hint = f"{kind.made_with}, which stores it, exports it"
        raise UsageError(what, f"a model of kind {kind.name} is not a network of rnnlm", hint)
    network, settings = model.network, model.network.settings
    if not isinstance(settings, RecurrentModelSettings):
        raise UsageError(
            what,
            f"a model of kind {settings.model} has no recurrent layers that read their own state",
            "rnnlm train --model lstm trains one that can be exported",
        )
    if settings.cell is not None and settings.cell.layer_norm:
        raise UsageError(
            what,
            "its layers are normalised (layer_norm), for which the form has no place",
            "rnnlm train --set layer_norm=false trains one that can be",
        )
    if settings.output_layer not in (("softmax", "mos") if takes_mixtures else ("softmax",)):
        raise UsageError(
            what,
            f"its output layer is {settings.output_layer}, not one softmax over all words",
            "rnnlm train --set output_layer=softmax trains one that can be exported",
        )
    assert isinstance(network.output, SoftmaxOutput)

    weights = {"embedding.weight": input_table(network.input)}
    for part, prefix in ((network.body, ""), (network.projection, "projection.")):
        weights |= {prefix + key: weight for key, weight in part.state_dict().items()}
    for key, weight in network.output.state_dict().items():
        if not is_noise(key):
            owner = "output" if key in ("weight", "bias") else "mixture"
            weights[f"{owner}.{key}"] = weight
    if settings.characters:
        notice(
            f"{name} reads words by their characters, which are stored as one vector for each word "
            "of the vocabulary: unseen words are read as <unk>"
        )
        # The word vectors are only a part of the input.
        if network.tied_VE is not None:
            weights["output.weight"] = network.tied_VE
    if isinstance(settings.cell, GruCell) and settings.cell.update_gate == "renew":
        of_layers = [key for key in weights if key.startswith("layers.")]
        weights |= {key: swap_update_gate(weights[key]) for key in of_layers}
    return PortableNetwork(settings, {key: _array(weight) for key, weight in weights.items()})


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().to("cpu", torch.float32).contiguous().numpy()
