"""Language models that a task's network reads beside the words: the states of all their layers,
frozen (Peters et al. 2018).

Shapes: T words of the longest text, B rows, W words in all, X the widths of all layers of all
language models side by side, C the width of the network's combination of them, K inputs of the
longest text of one language model, `</s>` first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.config import ResolvedSettings
from rnnlm.errors import ModelError, UsageError, keyword
from rnnlm.interface import LanguageModel
from rnnlm.lm.base import loading, stored_model
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.layers.layers import RecurrentStack
from rnnlm.lm.neural.network import Network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel, of_network
from rnnlm.registry import LANGUAGE_MODEL
from rnnlm.tasks.labelling.data import EncodedWords, TaskData, encode_words
from rnnlm.tasks.labelling.settings import TaskSettings
from rnnlm.text.batches import padded
from rnnlm.training.request import TrainingRequest

# Of states that a training run keeps; states beyond that are read again in each step.
CACHE_BYTES = 1 << 30
TOKENS = 1 << 12  # read in one call, about


class FrozenModels:
    """Recurrent language models, each of which reads whole texts, from its initial state."""

    def __init__(self, models: Sequence[LanguageModel], names: Sequence[str]) -> None:
        networks: list[NeuralLanguageModel] = []
        for model, name in zip(models, names, strict=True):
            task = loading.task_of(model)
            if task != LANGUAGE_MODEL:
                raise UsageError(
                    keyword("contextual") + f" {name}: it is not a language model",
                    f"it is a model for {task}",
                )
            if not (
                isinstance(model, NeuralLanguageModel)
                and isinstance(model.network.body, RecurrentStack)
            ):
                raise UsageError(
                    keyword("contextual") + f" {name}: it has no recurrent layers to read",
                    hint="train one with " + keyword("model") + f" {', '.join(cells())}",
                )
            networks.append(model)
        self.models = tuple(networks)

    @property
    def setting(self) -> str:
        """The value of the setting `context_models`: of each model its fingerprint, and the widths
        of the words and of all layers."""
        widths = ["+".join(map(str, _widths(model.network))) for model in self.models]
        pairs = zip(self.models, widths, strict=True)
        return ",".join(f"{model.fingerprint}:{of_model}" for model, of_model in pairs)

    def to(self, device: torch.device) -> "FrozenModels":
        """Move the networks to `device`."""
        for model in self.models:
            model.network.to(device)
        return self

    @property
    def width(self) -> int:
        """The sum of the widths of all layers, X."""
        return sum(sum(_widths(model.network)) for model in self.models)

    def encode(self, texts: Sequence[Sequence[str]]) -> "WordStates":
        """Encode the words of texts as the tokens of each model, in reading order."""
        encoded = tuple(encode_words(model.tokenizer, texts) for model in self.models)
        return WordStates(self, encoded)

    def read(self, encoded: Sequence[EncodedWords], chosen_B: np.ndarray) -> Tensor:
        """Return (T, B, X): at each word of the chosen texts the states after its last token;
        zeros in padding."""
        pairs = zip(self.models, encoded, strict=True)
        return torch.cat([_read(model, words, chosen_B) for model, words in pairs], dim=2)


@dataclass(frozen=True)
class WordStates:
    """The words of texts as frozen models read them. kept_WX: their states at each word, where
    those are kept, and a last row of zeros (W + 1, X), on the CPU."""

    models: FrozenModels
    encoded: tuple[EncodedWords, ...]
    kept_WX: Tensor | None = None

    def states(self, words: EncodedWords, chosen_B: np.ndarray, device: torch.device) -> Tensor:
        """Return the states of the chosen texts on the device, (T, B, X). words: the same texts."""
        if self.kept_WX is None:
            return self.models.read(self.encoded, chosen_B)
        return self.kept_WX[_word_places(words, chosen_B)].to(device)

    def kept(self, words: EncodedWords, dtype: torch.dtype) -> "WordStates":
        """Return the same with the states of all words."""
        states_WX = torch.zeros((len(words.is_known) + 1, self.models.width), dtype=dtype)

        # Texts of about the same length are read together: they need little padding.
        lengths_E = np.diff(words.word_offsets)
        order = np.argsort(lengths_E, kind="stable")
        parts = np.cumsum(lengths_E[order]) // TOKENS
        for chosen_B in np.split(order, np.flatnonzero(np.diff(parts)) + 1):
            states_TBX = self.models.read(self.encoded, chosen_B)
            states_WX[_word_places(words, chosen_B)] = states_TBX.to("cpu", dtype)
        states_WX[-1] = 0  # padding was written there
        return replace(self, kept_WX=states_WX)


def _word_places(words: EncodedWords, chosen_B: np.ndarray) -> Tensor:
    """Return the number of each word of the chosen texts, (T, B); in padding that after the last
    word's."""
    rows = [np.arange(words.word_offsets[text], words.word_offsets[text + 1]) for text in chosen_B]
    return torch.from_numpy(padded(rows, len(words.is_known)))


def _widths(network: Network) -> list[int]:
    body = network.body
    assert isinstance(body, RecurrentStack)
    return [network.settings.input_width, *body.settings.widths]


def _read(model: NeuralLanguageModel, encoded: EncodedWords, chosen_B: np.ndarray) -> Tensor:
    """Return the states of one model at the words of the chosen texts, (T, B, X)."""
    boundary = [model.tokenizer.boundary_id]
    rows, places = [], []
    for text in chosen_B:
        first, end = encoded.word_offsets[text], encoded.word_offsets[text + 1]
        offsets = encoded.token_offsets[first : end + 1]
        # A word's state is the one after its last token, and `</s>` comes before all tokens.
        places.append(offsets[1:] - offsets[0])
        rows.append(np.concatenate((boundary, encoded.ids[offsets[0] : offsets[-1]])))

    inputs_KB = torch.from_numpy(padded(rows, 0)).to(model.device)
    at_TB = torch.from_numpy(padded(places, 0)).to(model.device)
    with model.reading():
        layers = [layer.float() for layer in of_network(model.network, inputs_KB)[0]]
        states_KBX = torch.cat(layers, dim=2)
        at_TBX = at_TB.unsqueeze(2).expand(-1, -1, states_KBX.shape[2])
        return states_KBX.gather(0, at_TBX) * (at_TB > 0).unsqueeze(2)


class LayerMixture(nn.Module):
    """A weighted sum of the layers of each language model (Peters et al. 2018, eq. 1, with a
    projection P of each layer):

        gamma sum over layers l of softmax(s)_l P_l h_l

    It has `context_size` numbers; the numbers of all language models lie side by side. All layers
    begin with the same weight.
    """

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__()
        self.widths = settings.context_widths
        self.scores = nn.ParameterList(torch.zeros(len(widths)) for widths in self.widths)
        self.gammas = nn.Parameter(torch.ones(len(self.widths)))
        size = settings.context_size
        self.projections = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, size, bias=False) for width in widths)
            for widths in self.widths
        )

    def forward(self, states_TBX: Tensor) -> Tensor:
        """Return the sums, (T, B, C)."""
        of_models = states_TBX.to(self.gammas.dtype).split(list(map(sum, self.widths)), dim=2)
        mixed = [self._mixed(number, of_model_TBX) for number, of_model_TBX in enumerate(of_models)]
        return torch.cat(mixed, dim=2)

    def _mixed(self, number: int, states_TBX: Tensor) -> Tensor:
        """Return the sum of one language model's layers: one product, of all layers side by
        side."""
        weights = self.gammas[number] * torch.softmax(self.scores[number], dim=0)
        projections = self.projections[number]
        assert isinstance(projections, nn.ModuleList)
        pairs = zip(weights, projections, strict=True)
        matrix = torch.cat([weight * linear.weight for weight, linear in pairs], dim=1)
        return F.linear(states_TBX, matrix)


def load_contextual(
    request: TrainingRequest, resolved: ResolvedSettings
) -> tuple[FrozenModels | None, ResolvedSettings]:
    """Load the language models of `--contextual`. Return them, None where there are none, and the
    settings, which name them."""
    names = list(request.contextual)
    if not names and resolved.values["context_models"]:
        raise UsageError(
            "context_models cannot be set directly",
            "the language models are missing",
            "name them with " + keyword("contextual"),
        )
    if not names:
        return None, resolved

    # The settings say which models they are, and how wide.
    models = [stored_model.load(loading.find(name), "cpu")[0] for name in names]
    frozen = FrozenModels(models, names)
    return frozen, resolved.with_layer("contextual", {"context_models": frozen.setting})


def loaded(settings: TaskSettings, parts: Sequence[LanguageModel]) -> FrozenModels | None:
    """Return the language models that a stored network reads."""
    if not parts and not settings.context_models:
        return None
    frozen = FrozenModels(parts, [f"part {number}" for number in range(1, len(parts) + 1)])
    if frozen.setting != settings.context_models:
        raise ModelError(
            "its language models are not those of its settings",
            "the settings and the stored parts differ",
        )
    return frozen


def cached(data: TaskData) -> TaskData:
    """Add the states of all words to the data, states of the training data in 16 bits, as far as
    CACHE_BYTES allow."""
    cached_parts, left = {}, CACHE_BYTES
    for name, dtype in (("train", torch.float16), ("valid", torch.float32)):
        part = getattr(data, name)
        if part is None or part.words_encoded.beside is None:
            continue
        words, beside = part.words_encoded, part.words_encoded.beside
        left -= part.words * beside.models.width * dtype.itemsize
        if left < 0:
            break
        kept = replace(words, beside=beside.kept(words, dtype))
        cached_parts[name] = replace(part, words_encoded=kept)
    return replace(data, **cached_parts)
