"""A network of the same settings at its start: what a layer gives before anything is learned."""

from typing import Any

import torch

from rnnlm.errors import UsageError
from rnnlm.models.registry import LANGUAGE_MODEL
from rnnlm.neural import network
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.tasks.model import TaskModel
from rnnlm.tasks.network import make_network


def untrained(model: Any, task: str, seed: int) -> Any:
    """A model like this one with the random weights of `seed`, on the same device.

    Raises:
        UsageError: it cannot be made of what the model's folder holds.
    """
    device = model.device
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        if task == LANGUAGE_MODEL:
            if model.tokenizer.counts_V is None and model.network.output.needs_counts:
                raise UsageError("an untrained network cannot be made", "its output layer needs word counts, which the model does not have")
            made = network.make_network(model.network.settings, model.tokenizer)
            return NeuralLanguageModel(made.to(device).eval(), model.tokenizer)
        return TaskModel(make_network(model.network.settings, model.codec).to(device).eval(), model.codec)
