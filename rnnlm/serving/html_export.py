"""A model as one HTML file that needs no server: the page of `rnnlm serve`, with the model packed
in it and computed by the browser.

Weights of a network are those of its compact form with 8 bits; an n-gram model is packed as it is.
Arrays (a file of the safetensors format) and vocabulary are in base64, so that nothing of a model
is read as HTML or as a script.
"""

import base64
import dataclasses
import html.entities
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.comparison.pairing import names_of
from rnnlm.files import outputs, tensors
from rnnlm.inference.distributions import predict
from rnnlm.interface import LanguageModel, answers_of
from rnnlm.models import loading, model_folder
from rnnlm.serving import page
from rnnlm.serving.schemas import ModelRecord
from rnnlm.serving.served import record_of
from rnnlm.text.tokenizers.sentencepiece import SentencePieceTokenizer
from rnnlm.text.tokenizers.vocabulary import VOCABULARY_FILE

if TYPE_CHECKING:
    from rnnlm.neural.settings import NetworkSettings
    from rnnlm.ngram.model import NgramModel

LARGEST = 20_000_000  # bytes of the models in a page, before base64
MOST_TIMES_SMALLER = 4  # than its files a packed model is: 8 bits of 32
BITS = 8
ABILITIES = ("score", "next", "generate", "gates", "orders")
ENGINE = Path(__file__).parent / "page" / "local"
# The engine's files, each of which uses those before it.
PARTS = (
    "arrays.js", "network.js", "models.js", "normalisation.js", "tokenizers.js", "words.js",
    "engine.js",
)  # fmt: skip
# What a network's settings say of its forward pass; texts and training stay out of the page.
SHAPING = (
    "model", "layers", "connections", "output_layer", "activation", "reset_gate", "update_gate",
    "peepholes", "coupled_gates", "mogrifier_rounds", "convolution_words", "pooling", "feedback",
    "context_words", "direct_connections",
    "characters", "character_filters", "character_highways", "character_overhang",
)  # fmt: skip


def export_html(names: Sequence[str | Path], file: Path, overwrite: bool = False) -> int:
    """Write a page that shows the models called `names` side by side to `file`, compressed as its
    suffix says; - is standard output. Return how many bytes the page has.

    UsageError: the page cannot compute with one of the models, or it would be too large.
    """
    outputs.check_file(file, overwrite)
    for name in names:
        # What is much too large is refused before it is read.
        stored = model_folder.read_manifest(loading.find(str(name))).files.values()
        _check_size(str(name), sum(entry.bytes for entry in stored) // MOST_TIMES_SMALLER)
    called = names_of(list(map(str, names)), None)
    models = [packed(name, its_name) for name, its_name in zip(names, called, strict=True)]
    size = sum(len(model["arrays"]) + len(model["vocabulary"]) for model in models) * 3 // 4
    _check_size(" and ".join(map(str, names)), size)
    text = _without_network(page.html_text(engine_text(), models)).encode("utf-8")
    outputs.save_file(file, [text])
    return len(text)


def _without_network(html: str) -> str:
    """Have the page itself forbid what the header of a server would: any script but its own, and
    any request."""
    policy = page.content_security_policy(html).replace("connect-src 'self'", "connect-src 'none'")
    # A page cannot say by itself who may show it in a frame.
    policy = policy.replace("; frame-ancestors 'none'", "")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return html.replace("<head>", f"<head>\n{meta}", 1)


def engine_text() -> str:
    """Return the script that defines `makeEngine(packed)`, for a list of :func:`packed` models."""
    parts = [(ENGINE / part).read_text(encoding="utf-8") for part in PARTS]
    joined = "\n".join(['"use strict";', *parts, "return makeLocalEngine;"])
    return f"const makeEngine = (() => {{\n{joined}\n}})();\n"


def packed(name: str | Path, called: str | None = None) -> dict[str, Any]:
    """Return the model called `name` in JSON's types, as the engine in page/local reads it. called:
    what the page calls it; None: the last part of its folder.

    UsageError: the page cannot compute with such a model.
    """
    folder = loading.find(str(name))
    loading.language_model_of(str(folder))
    model, manifest = model_folder.load(folder, "cpu")
    tokenizer = model.tokenizer
    if tokenizer.is_reversed:
        raise UsageError(
            f"{name} cannot be a page", "it reads lines from their end", "rnnlm serve shows it"
        )

    # The arrays, and the settings that say what to do with them.
    network = answers_of(model).with_gradients
    ngrams = answers_of(model).with_ngrams
    shape: dict[str, Any]
    if network is not None:
        shape = {"network": _network_settings(network.network.settings)}
        arrays = model_folder.compacted(network.to_arrays(), BITS)
    elif ngrams is not None:
        unseen = ngrams.unseen_context_logprob
        shape = {"ngrams": {"order": ngrams.order, "unseen_context_logprob": unseen}}
        arrays = ngram_arrays(ngrams)
    elif manifest.kind.is_counted:
        shape = {"ngrams": {"order": 1, "unseen_context_logprob": 0.0}}
        arrays = word_arrays(model)
    else:
        raise UsageError(
            f"{name} cannot be a page",
            f"it is a {manifest.model} of other models",
            "export its parts one by one, or show it with rnnlm serve",
        )
    if tokenizer.name == SentencePieceTokenizer.name:
        arrays["scores"] = cast(SentencePieceTokenizer, tokenizer).scores_V
    data = b"".join(tensors.chunks(arrays))
    vocabulary = tokenizer.to_files()[VOCABULARY_FILE]
    return {
        **shape,
        "card": msgspec.to_builtins(_card(called or Path(name).name, model)),
        "tokenizer": tokenizer.to_settings(),
        "entities": _entities() if tokenizer.rewriting else {},
        "vocabulary": base64.b64encode(vocabulary).decode(),
        "arrays": base64.b64encode(data).decode(),
    }


def _card(name: str, model: LanguageModel) -> ModelRecord:
    """Return what the page says of the model, as the server does, with what the page can do."""
    record = record_of(name, model)
    can = [each for each in record.can if each in ABILITIES]
    return msgspec.structs.replace(record, can=can)


def _entities() -> dict[str, str]:
    """Return the characters of HTML's named entities, for texts in which these are decoded."""
    return {name: text for name, text in html.entities.html5.items() if name.endswith(";")}


def _network_settings(settings: "NetworkSettings") -> dict[str, Any]:
    """Return what the forward pass of a network depends on."""
    known = dataclasses.asdict(settings)
    known |= known.pop("cell", None) or {}
    shaping = {setting: known[setting] for setting in SHAPING if setting in known}
    return {**shaping, "is_tied": settings.is_tied}


def ngram_arrays(model: "NgramModel") -> dict[str, np.ndarray]:
    """Return the tables of an n-gram model as the page searches them.

    For each order n: logprob_n; cost_n of giving up the n-gram as a context, but for the highest
    order; and above the first the last words of the n-grams, words_n, of which those that follow
    context c run from first_n[c] to first_n[c + 1].
    """
    arrays = {}
    contexts = 0
    for n, level in enumerate(model.levels(), start=1):
        arrays[f"logprob_{n}"] = level.logprob_M
        if n < model.order:
            arrays[f"cost_{n}"] = level.logbackoff_M
        if n > 1:
            narrow = np.uint16 if model.size < 1 << 16 else np.uint32
            arrays[f"words_{n}"] = level.words_M.astype(narrow)
            counts = np.bincount(level.contexts_M, minlength=contexts)
            arrays[f"first_{n}"] = np.append(0, np.cumsum(counts)).astype(np.uint32)
        contexts = len(level)
    return arrays


def word_arrays(model: LanguageModel) -> dict[str, np.ndarray]:
    """Return the tables of a model that predicts the same words everywhere, one of unigrams."""
    boundary_B = np.array([model.tokenizer.boundary_id])
    [logprob_V], _ = predict(model, boundary_B, model.initial_state(1))
    return {"logprob_1": np.ascontiguousarray(logprob_V)}


def _check_size(name: str, size: int) -> None:
    if size > LARGEST:
        raise UsageError(
            f"{name} is too large for a page",
            f"it takes {size / 1e6:,.0f} MB or more, and a page holds {LARGEST / 1e6:,.0f} MB",
            "rnnlm prune makes n-gram models smaller; train a network with fewer words or units; "
            "or show it with rnnlm serve",
        )
