"""The language model that a run starts from, of whatever task."""

import numpy as np

from rnnlm import registry
from rnnlm.errors import UsageError, keyword
from rnnlm.interface import Tokenizer
from rnnlm.lm.base import loading, stored_model
from rnnlm.lm.neural import settings as network_settings
from rnnlm.lm.neural.settings import InputSettings
from rnnlm.storage import model_folder


def settings_of(name: str, option: str) -> InputSettings:
    """Return the settings of the neural language model called `name`, which `option` asks for."""
    manifest = model_folder.read_manifest(loading.find(name))
    if manifest.task != registry.LANGUAGE_MODEL:
        raise UsageError(
            keyword(option) + f" {name}: it is not a language model",
            f"it is {registry.task(manifest.task).singular}",
            "name a language model",
        )
    if not manifest.kind.trains_in_steps:
        raise UsageError(
            keyword(option)
            + f" {name}: a model of kind {manifest.model} has no weights to start from",
            hint="train one with " + keyword("model", "lstm"),
        )
    return network_settings.stored(manifest.settings)


def arrays_of(name: str, option: str, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Return the weights of the language model that `option` names, which has to have the given
    tokenizer."""
    _, model_tokenizer, arrays = stored_model.load_arrays(loading.find(name))
    if model_tokenizer.fingerprint != tokenizer.fingerprint:
        raise UsageError(
            keyword(option) + f" {name}: its weights do not fit",
            "its tokenizer differs",
            "leave out " + keyword("tokenizer_from") + f", or name {name}",
        )
    return arrays
