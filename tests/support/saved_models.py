"""Two small models in folders of their own, to be replaced, damaged and found."""

import contextlib
import json

import torch

from rnnlm.lm.base import stored_model
from rnnlm.lm.neural import settings as network_settings
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.storage import model_folder
from rnnlm.storage.files.writing import HASH, hash_of_facts
from support.tiny_models import make_tokenizer

LINES = ["the cat sat", "the dog sat down", "a cat <unk>"]
SETTINGS = {"model": "lstm", "embedding_size": 4, "hidden_size": 6, "layers": 1}


def make_unigram(k=0.5, lines=LINES):
    tokenizer = make_tokenizer(lines)
    return UnigramModel.from_counts(tokenizer.counts_V, k, tokenizer)


def make_lstm():
    torch.manual_seed(1)
    tokenizer = make_tokenizer(LINES)
    return NeuralLanguageModel(
        make_network(network_settings.stored(SETTINGS), tokenizer), tokenizer
    )


def save_unigram(folder, k=0.5, step=1, lines=LINES):
    return model_folder.save(
        folder, make_unigram(k, lines), "unigram", {"model": "unigram", "additive_k": k}, step, {}
    )


def save_lstm(folder):
    return model_folder.save(folder, make_lstm(), "lstm", SETTINGS, 7, {"text": ["x"]})


def edit_config(folder, change):
    """Apply `change` to the content of config.json, whose hash is right afterwards."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(sealed(content)))


def sealed(content):
    """Return the content of a file of facts with a hash that is right, if it can have one."""
    with contextlib.suppress(AttributeError, TypeError, RecursionError, ValueError):
        others = {name: value for name, value in content.items() if name != HASH}
        return others | {HASH: hash_of_facts(others)}
    return content


def weights_file(folder):
    return next(folder.glob("weights-*.safetensors"))


def logprob(folder):
    return stored_model.load(folder, "cpu")[0].to_arrays()["logprob"]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())
