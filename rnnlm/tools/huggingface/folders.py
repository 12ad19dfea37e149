"""Folders in which transformers stores models: which files belong to a model, and which models are
read.

Nothing in a folder is run, unless the user trusts its code, and weights are read as safetensors
alone.
"""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from rnnlm.config import about
from rnnlm.errors import ModelError, shown
from rnnlm.interface import Shapes, Tokenizer, keeps
from rnnlm.registry import Library
from rnnlm.storage.files import tensors
from rnnlm.storage.files.reading import decode_json, read_json, read_small
from rnnlm.storage.files.writing import entry_of
from rnnlm.storage.manifest import CONFIG, Manifest
from rnnlm.storage.model_folder import naming_folder
from rnnlm.tools.huggingface import hub
from rnnlm.tools.huggingface.tokenizer import tokenizer_in

if TYPE_CHECKING:
    from rnnlm.tools.huggingface.model import HuggingFaceModel

DESCRIBING = (CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json")
ADAPTER = "adapter_config.json"
# Names of the number of layers in configurations
LAYERS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
    "num_decoder_layers", "num_encoder_layers",
)  # fmt: skip
# Settings that are at most the length of the longest side of a weight, and other settings with the
# largest value that they may have
SIDES = (
    "vocab_size", "num_attention_heads", "num_key_value_heads", "num_heads", "n_head", "n_heads",
    "decoder_attention_heads", "encoder_attention_heads",
)  # fmt: skip
MOST_OF = {"num_labels": 1 << 20, "max_seq_len": 1 << 20}
MOST_EXPERTS = 1 << 10  # in a layer; of known models, half as many
PLAIN_ATTENTION = (None, "eager", "sdpa", "flex_attention")  # others load kernels from the hub
ENDS_OF_CAUSAL = ("CausalLM", "LMHeadModel", "WithLMHead")  # of the names of classes


class _Index(msgspec.Struct):
    """The part of the index of weights in several files that is read."""

    metadata: dict[str, Any]  # without it, transformers fails
    weight_map: dict[str, str]


@dataclass(frozen=True)
class TransformersSettings:
    """A model that transformers stores."""

    model: Annotated[Literal["transformers"], about("kind of model: one of transformers")] = (
        "transformers"
    )


@keeps(Library)
class TransformersFolders:
    """The folders of transformers as :class:`rnnlm.registry.Library` asks for them."""

    def folder(self, name: str, needs_model: bool = True) -> Path:
        folder = hub.folder_of(name, needs_model)

        # Reading a pipe or a device may never end.
        for path in folder.iterdir():
            if path.exists() and not path.is_file() and not path.is_dir():
                raise ModelError(f"{path} is no regular file", "it may have no end", "remove it")
        is_described = (folder / CONFIG).is_file() or any(folder.glob(f"*/{CONFIG}"))
        if needs_model and not is_described:
            raise ModelError(
                f"no model at {folder}",
                f"the folder holds no {CONFIG}",
                "save the model there with save_pretrained of transformers",
            )
        return folder

    def manifest(self, folder: Path) -> Manifest | None:
        config = _config(folder)
        if "model_type" not in config and "architectures" not in config:
            return None
        files = {}
        described = [folder / name for name in DESCRIBING if (folder / name).is_file()]
        # Code may be anywhere in the folder; it is run where the user trusts it.
        code = sorted(filter(Path.is_file, folder.rglob("*.py"))) if config.get("auto_map") else []
        for path in [*described, *code, *sorted(folder.glob(hub.WEIGHTS))]:
            name = path.relative_to(folder).as_posix()
            files[name] = entry_of(path, "weights" if path.match(hub.WEIGHTS) else name)
        names = _architectures(folder, config) or [str(config.get("model_type"))]
        return Manifest(
            model="transformers",
            family="foreign",
            settings={"model": "transformers"},
            tokenizer={"tokenizer": "huggingface"},
            files=files,
            training={"imported_from": f"transformers, {names[0]}"},
        )

    def tokenizer(self, folder: Path) -> Tokenizer:
        return tokenizer_in(folder)

    def shapes(self, folder: Path, manifest: Manifest) -> Shapes:
        shapes: Shapes = {}
        for path in sorted(folder.glob(hub.WEIGHTS)):
            shapes |= tensors.shapes(path)
        return shapes

    def model(self, folder: Path, manifest: Manifest, device: str) -> "HuggingFaceModel":
        from rnnlm.tools.huggingface.loading import load

        _check_folder(folder)
        return load(folder, device, manifest.fingerprint)


FOLDERS = TransformersFolders()


def _config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json; {} if it is not JSON."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        content = decode_json(read_small(folder / CONFIG), Any)
        if isinstance(content, dict) and "format_version" not in content:
            return content
    return {}


# ---- The faults of a folder, before time goes into loading it.


def _check_folder(folder: Path) -> None:
    """Refuse a folder whose model cannot be read, or is not a causal language model."""
    # Code of the folder runs only with permission.
    config = _config(folder)
    if "auto_map" in config and not isinstance(config["auto_map"], dict):
        raise _damaged(folder, "auto_map", config["auto_map"], "an object")
    if "auto_map" in config and not hub.trusts_remote_code():
        raise ModelError(
            f"the model at {folder} needs code of its folder",
            f"{CONFIG} has an auto_map",
            "if you trust that code, add --trust-remote-code",
        )

    # The class must be a causal language model, with its own weights in full precision.
    names = _architectures(folder, config)
    if names and not any(name.endswith(ENDS_OF_CAUSAL) for name in names):
        raise ModelError(
            f"the model at {folder} is no causal language model",
            f"it is a {names[0]}",
            "name a model whose class ends in ForCausalLM or LMHeadModel",
        )
    if (folder / ADAPTER).exists():
        raise ModelError(
            f"the model at {folder} is an adapter of another model",
            f"it has {ADAPTER}",
            "merge it into its model with merge_and_unload of peft, and save that",
        )
    quantised = config.get("quantization_config")
    if quantised is not None:
        method = quantised.get("quant_method", "quantised") if isinstance(quantised, dict) else ""
        raise _in_8_bits(folder, f"{CONFIG} has a quantization_config: {method}")

    # Then the weights and the settings themselves.
    shapes = _checked_weights(folder)
    widest = max((size for _, shape in shapes.values() for size in shape), default=0)
    most_of = dict.fromkeys(LAYERS, len(shapes)) | dict.fromkeys(SIDES, widest) | MOST_OF
    _check_settings(folder, config, most_of)


def _architectures(folder: Path, config: dict[str, Any]) -> list[str]:
    """Return the names of the classes of a model."""
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(folder, "architectures", names, "a list of names")
    return names


def _damaged(folder: Path, name: str, value: object, wanted: str) -> ModelError:
    why = f"{name} is {json.dumps(value)[:40]}, not {wanted}"
    return ModelError(f"{folder / CONFIG} is damaged", why)


def _checked_weights(folder: Path) -> Shapes:
    """Return the shapes of the weights that transformers will read: a single file, or the parts
    that an index names, of which each must be a file of this folder in safetensors."""
    # Weights in other formats may run code, so they are not read.
    paths = sorted(folder.glob(hub.WEIGHTS))
    if not paths:
        others = sorted(path.name for path in folder.glob("*.bin"))
        raise ModelError(
            f"the model at {folder} has no weights in safetensors",
            f"{others[0]} runs code when it is loaded" if others else "there are none",
            "save it again with save_pretrained of transformers",
        )

    # An index must name the files that are there.
    if not (folder / hub.WHOLE).exists() and (folder / hub.SHARDED).exists():
        what = f"{folder / hub.SHARDED} is damaged"
        index = read_json(folder / hub.SHARDED, _Index, ModelError, what)
        others = sorted({*index.weight_map.values()} - {path.name for path in paths})
        if others:
            raise ModelError(what, f"it names {shown(others[0])}, no .safetensors of the folder")

    # Quantised weights would be read as if they were numbers of full precision.
    shapes: Shapes = {}
    for path in paths:
        with naming_folder(folder):
            shapes |= tensors.shapes(path)
    for name, (kind, shape) in shapes.items():
        if (len(shape) == 2 and kind.endswith("8")) or kind.startswith("F8"):
            raise _in_8_bits(folder, f"{name} is of type {kind}")
    return shapes


def _check_settings(folder: Path, settings: dict[str, Any], most_of: dict[str, int]) -> None:
    """Refuse settings that would cost memory or time before the weights are looked at, or that
    load code. most_of: the largest value that a number may have, by its name."""
    for name, value in settings.items():
        # A number that makes weights, by itself or as experts.
        most = most_of.get(name, MOST_EXPERTS)
        is_number = type(value) is int and 0 <= value <= most
        is_counted = name in most_of or (name.endswith("experts") and type(value) is int)
        if is_counted and value is not None and not is_number:
            raise _damaged(folder, name, value, f"a number from 0 to {most:,}")

        # Code for attention, by itself or for parts of the model.
        if name.endswith("attn_implementation") and not hub.trusts_remote_code():
            for kind in value.values() if isinstance(value, dict) else [value]:
                if kind not in PLAIN_ATTENTION:
                    raise ModelError(
                        f"the model at {folder} names code of its own for attention",
                        f"{name} in {CONFIG} is {shown(str(kind))}",
                        f"remove {name}, or, if you trust that code, add --trust-remote-code",
                    )
        if isinstance(value, dict):
            _check_settings(folder, value, most_of)


def _in_8_bits(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"the weights of the model at {folder} are quantised",
        why,
        "take the model in 16 or 32 bits",
    )
