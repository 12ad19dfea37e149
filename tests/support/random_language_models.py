"""Language models with random weights, as networks of tasks start from them or read them."""

import torch

from rnnlm import registry
from rnnlm.config import SettingsLayer, resolve
from rnnlm.lm.neural import settings as network_settings
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.storage import model_folder
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.tiny_tasks import TRAIN

LINES = [" ".join(words) for words, _, _ in TRAIN]
SIZES = {"embedding_size": 5, "hidden_size": 6, "layers": 2}
SUBWORDS = {"tokenizer": "sentencepiece", "vocab_size": 300}


def language_model(folder, tokenizer=None, seed=1, model="lstm", **settings):
    """Save a language model with random weights in `folder`."""
    given = tokenizer or {"tokenizer": "word"}
    trained = tokenizers.train(TokenizerSettings(**given), [Block(LINES, [])])
    kind = registry.kind_of(model)
    values = {name: value for name, value in {**SIZES, **settings}.items() if value is not None}
    resolved = resolve(kind.settings, [SettingsLayer("test", {"model": model, **values})])
    spelled = trained.spelling() if resolved.values["characters"] else trained
    torch.manual_seed(seed)
    network = make_network(resolved.make(network_settings.kinds()[model]), spelled)
    with torch.no_grad():
        for weight in network.body.parameters():
            weight.uniform_(-0.7, 0.7)
        # the words of all models: a network takes those of the forward one
        draw = torch.Generator().manual_seed(9)
        for weight in network.input.parameters():
            weight.uniform_(-1, 1, generator=draw)
    found = NeuralLanguageModel(network.eval(), spelled)
    model_folder.save(folder, found, model, resolved.values, 1, {})
    return found
