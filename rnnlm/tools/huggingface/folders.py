"""Folders in which transformers stores models: which files belong to a model, and which models are
read.

Nothing in a folder is run, unless the user trusts its code, and weights are read as safetensors
alone.
"""

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from rnnlm.errors import ModelError
from rnnlm.interface import Shapes, Tokenizer, keeps
from rnnlm.registry import Library
from rnnlm.storage.files import tensors
from rnnlm.storage.files.reading import decode_json, read_small
from rnnlm.storage.files.writing import FileEntry, sha256
from rnnlm.storage.manifest import CONFIG, Manifest
from rnnlm.storage.model_folder import naming_folder
from rnnlm.tools.huggingface import hub
from rnnlm.tools.huggingface.tokenizer import tokenizer_in

if TYPE_CHECKING:
    from rnnlm.tools.huggingface.model import HuggingFaceModel

WEIGHTS = "*.safetensors"
DESCRIBING = (CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json")
ENDS_OF_CAUSAL = ("CausalLM", "LMHeadModel", "WithLMHead")  # of the names of classes


@dataclass(frozen=True)
class TransformersSettings:
    """A model that transformers stores."""

    model: Annotated[
        Literal["transformers"], Meta(description="kind of model: one of transformers")
    ] = "transformers"


@keeps(Library)
class TransformersFolders:
    """The folders of transformers as :class:`rnnlm.registry.Library` asks for them."""

    def folder(self, name: str, needs_model: bool = True) -> Path:
        folder = hub.folder_of(name, needs_model)
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
        for path in [*described, *sorted(folder.glob(WEIGHTS))]:
            role = path.name if path in described else "weights"
            stat = path.stat()
            digest = _sha256(path, stat.st_size, stat.st_mtime_ns)
            files[path.name] = FileEntry(role, stat.st_size, digest)
        names = config.get("architectures") or [config.get("model_type")]
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
        for path in sorted(folder.glob(WEIGHTS)):
            shapes |= tensors.shapes(path)
        return shapes

    def model(self, folder: Path, manifest: Manifest, device: str) -> "HuggingFaceModel":
        from rnnlm.tools.huggingface.loading import load

        _check_folder(folder)
        return load(folder, device, manifest.fingerprint)


FOLDERS = TransformersFolders()


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Return the hash of a file of that size, changed at that time: it is computed once."""
    return sha256(path) or ""


def _config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json; {} if it is not JSON."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        content = decode_json(read_small(folder / CONFIG), Any)
        if isinstance(content, dict) and "format_version" not in content:
            return content
    return {}


# ---- What is wrong with a folder, before time goes into loading it.


def _check_folder(folder: Path) -> None:
    """Refuse a folder whose model cannot be read, or is not a causal language model."""
    config = _config(folder)
    if "auto_map" in config and not hub.trusts_remote_code():
        raise ModelError(
            f"the model at {folder} needs code of its folder",
            f"{CONFIG} has an auto_map",
            "if you trust that code, add --trust-remote-code",
        )
    names = config.get("architectures") or []
    causal = [name for name in names if name.endswith(ENDS_OF_CAUSAL)]
    if names and not causal:
        raise ModelError(
            f"the model at {folder} is no causal language model",
            f"it is a {names[0]}",
            "name a model whose class ends in ForCausalLM or LMHeadModel",
        )
    quantised = config.get("quantization_config")
    if quantised is not None:
        method = quantised.get("quant_method", "quantised") if isinstance(quantised, dict) else ""
        raise _in_8_bits(folder, f"{CONFIG} has a quantization_config: {method}")

    paths = sorted(folder.glob(WEIGHTS))
    if not paths:
        others = sorted(path.name for path in folder.glob("*.bin"))
        why = f"{others[0]} runs code when it is loaded" if others else "there are none"
        raise ModelError(
            f"the model at {folder} has no weights in safetensors",
            why,
            "save it again with save_pretrained of transformers",
        )
    for path in paths:
        with naming_folder(folder):
            shapes = tensors.shapes(path)
        for name, (kind, shape) in shapes.items():
            if (len(shape) == 2 and kind.endswith("8")) or kind.startswith("F8"):
                raise _in_8_bits(folder, f"{name} is of type {kind}")


def _in_8_bits(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"the weights of the model at {folder} are quantised",
        why,
        "take the model in 16 or 32 bits",
    )
