"""The model of a folder: its tokenizer and codec, its arrays, the models that it is made of, and
its way to other processes."""

import copy
import os
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnlm import registry
from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import Device, LanguageModel, Shapes, Tokenizer
from rnnlm.storage import model_folder
from rnnlm.storage.files import tensors
from rnnlm.storage.manifest import CONFIG, Manifest, part_folders, read_manifest
from rnnlm.text import tokenizers

Loaded = dict[tuple[Path, str], LanguageModel]  # parts of a mixture, by folder and fingerprint


def load(
    folder: Path, device: str | Device = "auto", loaded: Loaded | None = None
) -> tuple[LanguageModel, Manifest]:
    """Load the model in `folder`, on `device`, with the models it is made of. Names, lengths, types
    and shapes are checked, and the hashes of all files except large weights that stay mapped;
    nothing is allocated beyond the sizes that the settings imply. loaded: parts of the same mixture
    that are in memory already: a part that is named twice is loaded once.
    """
    loaded = {} if loaded is None else loaded
    manifest = read_manifest(folder)
    library = _library(folder, manifest)
    if library is not None:
        model: Any = library.model(folder, manifest, str(device))
        model.origin = os.path.abspath(folder), str(device)
        return model, manifest

    # A model that was replaced while it was read is not damaged: read again.
    try:
        kind, codec, arrays = _content_with_arrays(folder, manifest)
        parts = _load_parts(folder, manifest, device, loaded)
    except ModelError:
        if read_manifest(folder) == manifest:
            raise
        return load(folder, device, loaded)

    # A SettingsError is passed on: a wrong device is not the folder's fault.
    try:
        made_of = {"parts": parts} if parts and kind.takes_parts else {}
        model = kind.from_arrays(
            manifest.settings, codec, arrays, device, manifest.fingerprint, **made_of
        )
        model.origin = os.path.abspath(folder), str(device)
        model.is_unchecked = model_folder.is_unchecked(manifest) or any(
            getattr(part, "is_unchecked", False) for part in parts
        )
        return model, manifest
    except ModelError as error:
        with model_folder.naming_folder(folder):
            raise error


def load_arrays(folder: Path) -> tuple[Manifest, Tokenizer, dict[str, np.ndarray]]:
    """Read the arrays of the model in `folder`, checked as :func:`load` does, with its manifest and
    its codec; no model is made of them."""
    manifest = read_manifest(folder)
    try:
        _, codec, arrays = _content_with_arrays(folder, manifest)
        return manifest, codec, arrays
    except ModelError:
        if read_manifest(folder) == manifest:
            raise
        return load_arrays(folder)


def _content_with_arrays(
    folder: Path, manifest: Manifest
) -> tuple[registry.Kind, Tokenizer, dict[str, np.ndarray]]:
    kind, codec, shapes = content(folder, manifest)
    with model_folder.naming_folder(folder):
        files = model_folder.checked_files(folder, manifest, "weights")
        return kind, codec, model_folder.read_arrays(files, shapes, kind)


def _load_parts(
    folder: Path, manifest: Manifest, device: str | Device, loaded: Loaded
) -> list[LanguageModel]:
    parts = []
    for path, entry in zip(part_folders(folder, manifest), manifest.parts, strict=True):
        key = path, entry.fingerprint
        if key not in loaded:
            loaded[key], _ = load(path, device, loaded)
        parts.append(loaded[key])
    return parts


def content(folder: Path, manifest: Manifest) -> tuple[registry.Kind, Tokenizer, Shapes]:
    """Return the kind of the model in `folder`, its codec (of language models the tokenizer) and
    the types and shapes of its arrays. No weights are read."""
    with model_folder.naming_folder(folder):
        kind = manifest.kind
        if kind.library:
            tokenizer = kind.library.tokenizer(folder)
            return kind, tokenizer, kind.library.shapes(folder, manifest)
        if manifest.settings.get("model", kind.name) != kind.name or manifest.family != kind.family:
            raise ModelError(
                "the kind of model is ambiguous",
                f"{CONFIG} names {manifest.model} in one place and another kind elsewhere",
            )
        files = model_folder.read_codec_files(folder, manifest)
        tokenizer = tokenizers.load(manifest.tokenizer, files)
        # That of a language model is its tokenizer alone.
        codec = tokenizer
        if kind.task != registry.LANGUAGE_MODEL:
            codec = registry.task(kind.task).codec(tokenizer, files)
        shapes = kind.array_shapes(manifest.settings, codec)
        # The shapes of some kinds follow from the file alone.
        if shapes is None:
            path = next(iter(model_folder.checked_files(folder, manifest, "weights")))
            shapes = kind.array_shapes(manifest.settings, codec, tensors.shapes(path))
        return kind, codec, shapes


def load_tokenizer(folder: Path, manifest: Manifest) -> Tokenizer:
    """Load the tokenizer of the model in `folder`, a model of any kind."""
    library = _library(folder, manifest)
    if library is not None:
        return library.tokenizer(folder)
    with model_folder.naming_folder(folder):
        return tokenizers.load(manifest.tokenizer, model_folder.read_codec_files(folder, manifest))


def _library(folder: Path, manifest: Manifest) -> registry.Library | None:
    """Return the library that stores the model in `folder`; None: rnnlm does."""
    with model_folder.naming_folder(folder):
        return manifest.kind.library


# ---- Pickles for other processes and machines: a model's folder and fingerprint, without weights.
# Unpickling loads the model from there, on the device that was asked for when it was loaded ("auto"
# is decided again), and gives the model that was pickled or an error. On disk nothing is ever a
# pickle.


class PickledByOrigin:
    """A model that pickles as the place it was loaded from: its `origin`, which
    :func:`rnnlm.lm.base.stored_model.load` sets. One that was made in memory has none."""

    task = registry.LANGUAGE_MODEL
    fingerprint: str | None
    # The folder that it was loaded from, and the device that was asked for.
    origin: tuple[str, str] | None = None
    # Whether the hashes of its arrays were left to `rnnlm doctor`.
    is_unchecked = False

    def __reduce__(self) -> tuple[object, ...]:
        """Return how to load the model; refuse one that was not loaded from a folder."""
        if self.origin is None:
            raise UsageError(
                "this model cannot be pickled",
                "it was not loaded from a folder, and a pickle holds no weights",
                "save it first, and load it with rnnlm.load",
            )
        return _unpickled, (*self.origin, self.fingerprint)

    def __copy__(self) -> Self:
        return self._copied(vars(self))

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Copy the model as it is in memory, which may differ from its files."""
        return self._copied(copy.deepcopy(vars(self), memo))

    def _copied(self, attributes: dict[str, Any]) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(attributes)
        return copied


def _unpickled(folder: str, device: str, fingerprint: str) -> LanguageModel:
    """Load the model that was pickled, unless it is another one now."""
    model, manifest = load(Path(folder), device)
    if manifest.fingerprint != fingerprint:
        raise ModelError(
            f"the model at {folder} has changed since it was pickled",
            f"its fingerprint was {fingerprint} and is now {manifest.fingerprint}",
            "load it with rnnlm.load and pickle it again",
        )
    return model
