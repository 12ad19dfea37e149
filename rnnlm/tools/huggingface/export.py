"""Write a recurrent language model as a folder that `transformers` loads, without rnnlm."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.errors import UsageError, first_of
from rnnlm.interface import LanguageModel, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.neural.layers import steps
from rnnlm.lm.neural.portable import PortableNetwork, portable_network
from rnnlm.storage.files import outputs, tensors
from rnnlm.storage.files.result_file import exported_folder
from rnnlm.storage.manifest import CONFIG, read_manifest
from rnnlm.tools.huggingface import network_rnnlm
from rnnlm.tools.huggingface.tokenizer_export import tokenizer_files
from rnnlm.training import card

# The files that transformers runs: two lie beside this one, and the equations of layers.
CODE = {
    "modeling_rnnlm.py": Path(__file__).with_name("modeling_rnnlm.py"),
    "network_rnnlm.py": Path(__file__).with_name("network_rnnlm.py"),
    "steps_rnnlm.py": Path(steps.__file__),
}
# How far the bias of padding is below all others: its probability is zero. It is finite, so that
# entropies and divergences are numbers, and small enough to leave label smoothing as it is.
PADDING_BIAS = 100
_CARD_HEADER = """\
---
library_name: transformers
pipeline_tag: text-generation
tags: [rnnlm, {kind}]
---
"""
_USAGE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({folder}, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained({folder}, trust_remote_code=True)
```

`trust_remote_code=True` runs `modeling_rnnlm.py`, `network_rnnlm.py` and `steps_rnnlm.py` from
this folder: plain torch, without rnnlm, for transformers 4.57 and later. The tokenizer puts `</s>`
before each text; the model ends a line with the same symbol. Batches are padded with `<pad>`, whose
probability is 0.
"""


def export(name: str | Path, folder: Path, overwrite: bool = False) -> None:
    """Write the recurrent language model of that name as a folder for transformers. Do nothing if
    the same call has finished before.

    Raises:
        ModelError: there is no model of that name, or it is damaged.
        UsageError: the model is no recurrent network with a softmax over all words.
        SettingsError: transformers has no form for its tokenizer.
        OutputError: `folder` cannot be written, or it holds something else and `overwrite` is not
            set.
    """
    model = loading.language_model_of(name, "cpu")
    network = _portable(model, str(name))
    identity = {"model": loading.identity_of(model)}
    noun, mark = "model for transformers", next(iter(CODE))
    with exported_folder(folder, noun, CONFIG, identity, overwrite, mark) as exported:
        if not exported.are_finished:
            files = _files(name, folder, network, model.tokenizer)
            outputs.save_folder(folder, files)
            exported.finish(f"a {noun}", names=files)


def _portable(model: LanguageModel, name: str) -> PortableNetwork:
    """Return the parts of a recurrent network, if the code in the folder has its layers."""
    network = portable_network(model, name, takes_mixtures=True)
    if network.settings.model not in network_rnnlm.LAYERS:
        why = f"the exported code has no layers of a {network.settings.model}"
        hint = f"train one of {first_of([*network_rnnlm.LAYERS])}: rnnlm train --model lstm"
        raise UsageError("this model has no form for transformers", why, hint)
    return network


def _files(
    name: str | Path, folder: Path, network: PortableNetwork, tokenizer: Tokenizer
) -> dict[str, Any]:
    """Return the content of the files by name: first the one that describes the folder, last those
    that only our folders have, which get their names first."""
    tokenizer_content, padding_id = tokenizer_files(tokenizer)

    # Their settings; the vocabulary has a row for padding.
    special = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.boundary_id)
    special["pad_token_id"] = padding_id
    config = config_of(network, tokenizer) | special
    config["vocab_size"] = max(tokenizer.size, padding_id + 1)

    # Texts, code and weights.
    files: dict[str, Any] = {
        CONFIG: [_as_json(config)],
        "generation_config.json": [_as_json(special)],
        "README.md": [_card(name, folder, tokenizer).encode("utf-8", "backslashreplace")],
    }
    files |= {file: [data] for file, data in tokenizer_content.items()}
    arrays = {f"network.{key}": array for key, array in weights_of(network).items()}
    _pad(arrays, config["vocab_size"] - tokenizer.size)
    files["model.safetensors"] = tensors.chunks(arrays, {"format": "pt"})
    files |= {file: [CODE[file].read_bytes()] for file in reversed(CODE)}
    return files


def _pad(arrays: dict[str, np.ndarray], rows: int) -> None:
    """Add rows of padding, which is read as zeros and never predicted, to the words' arrays."""
    for name in ("network.embedding.weight", "network.output.weight", "network.output_bias.0"):
        if name in arrays:
            value = arrays[name].min() - PADDING_BIAS if name.endswith("bias.0") else 0
            widths = [(0, rows), *[(0, 0)] * (arrays[name].ndim - 1)]
            arrays[name] = np.pad(arrays[name], widths, constant_values=value)


def weights_of(network: PortableNetwork) -> dict[str, np.ndarray]:
    """Return the weights, by the names of network_rnnlm.py."""
    return {
        "output_bias.0" if key == "output.bias" else key: array
        for key, array in network.arrays.items()
    }


def config_of(network: PortableNetwork, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the content of config.json."""
    settings, arrays = network.settings, network.arrays
    projection = arrays.get("projection.bias")
    config: dict[str, Any] = {
        "model_type": "rnnlm",
        "architectures": ["RnnlmForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_rnnlm.RnnlmConfig",
            "AutoModelForCausalLM": "modeling_rnnlm.RnnlmForCausalLM",
        },
        "vocab_size": tokenizer.size,
        "predicted_size": tokenizer.size,
        "tie_word_embeddings": network.is_tied,
        "embedding_size": arrays["embedding.weight"].shape[1],
        "layer_sizes": list(settings.widths),
        "hidden_size": settings.widths[-1],
        "num_hidden_layers": settings.layers,
        "projection_size": None if projection is None else len(projection),
        "connections": settings.connections,
        "cell": settings.model,
    }
    if network.settings.output_layer == "mos":
        config |= {
            "mixture_components": settings.mixture_components,
            "mixture_size": settings.embedding_size,
        }
    # The direction of the update gate is in the weights.
    config |= settings.form
    config.pop("update_gate", None)
    return config


def _as_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


def _card(name: str | Path, folder: Path, tokenizer: Tokenizer) -> str:
    """Return the model's card, with the lines to type in Python."""
    manifest = read_manifest(loading.find(name))
    shown = folder.resolve().name
    usage = _USAGE.format(folder=json.dumps(shown, ensure_ascii=False))
    header = _CARD_HEADER.format(kind=manifest.model)
    return header + card.text(shown, manifest, tokenizer, usage)
