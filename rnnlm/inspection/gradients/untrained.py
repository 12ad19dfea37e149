"""A network as it was before training: the same settings, the same seed."""

from pathlib import Path

import torch

from rnnlm.inspection.subjects import Subject
from rnnlm.models.manifest import read_manifest
from rnnlm.neural.fitting.settings import RunSettings
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.network import make_network

NAME = "{} untrained"


def untrained(subject: Subject) -> Subject:
    """The same model at its start, with random weights of the seed it was trained from (1, the default, where it was made in memory). Word
    vectors from a file are not read: they are random, too.

    Raises:
        SettingsError: its output layer needs counts of words, which its tokenizer lacks.
    """
    model = subject.model
    stored = read_manifest(Path(model.origin[0])).settings if model.origin else {}
    with torch.random.fork_rng(devices=[]):  # what others draw stays as it was
        torch.manual_seed(int(stored.get("seed", RunSettings.seed)))
        network = make_network(model.network.settings, model.tokenizer).to(model.device).eval()
    return Subject(NAME.format(subject.name), NeuralLanguageModel(network, model.tokenizer), subject.task, subject.kind)
