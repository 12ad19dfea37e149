"""Add a language model to the search of an encoder-decoder of transformers, such as Whisper:

    fusion = ShallowFusion("my-lstm", weight=0.3)
    model.generate(features, num_beams=5, logits_processor=[fusion])

Each next token gets `weight` times its log-probability (nats) under the language model (Gulcehre et
al. 2015), which has to have the encoder-decoder's tokenizer: rnnlm train TEXT --tokenizer-from
hf:FOLDER. A hypothesis then scores log p(text | input) + weight * log p(text), the end included.
"""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm import arrays
from rnnlm.errors import ArgumentTypeError, SettingsError, UsageError, given
from rnnlm.interface import LanguageModel
from rnnlm.lm.base import loading
from rnnlm.scoring.prefixes import CachedPrefixes

if TYPE_CHECKING:
    import torch

_TIME = re.compile(r"<\|\d+\.\d+\|>")


class ShallowFusion:
    """A logits processor: `generate` of transformers calls it at each step.

    Tokens that are no text get nothing: special ones, but for the end token, and times such as
    <|0.00|>. The language model reads the text after the last special token, without the times. It
    finds its states by that text, since `generate` reorders beams without a word: the same object
    serves any number of searches, one after another. Up to 128 MiB of states are kept.
    """

    def __init__(self, model: LanguageModel | str | Path, weight: float) -> None:
        """Use `model`, or the one of that name, with this weight.

        Raises:
            ModelError: there is no such model, or it is damaged.
            SettingsError: the weight is not finite.
        """
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ArgumentTypeError(f"weight must be a float, not {given(weight)}")
        if not math.isfinite(weight):
            raise SettingsError(f"weight = {weight} is not a finite number", hint="try 0.3")
        self.model = loading.language_model_of(model)
        self.weight = weight
        self._prefixes = CachedPrefixes(self.model)

        # The kind of each token: a part of the text, a special one, or a time.
        tokenizer = self.model.tokenizer
        is_time_V = np.array([bool(_TIME.fullmatch(symbol)) for symbol in tokenizer.symbols()])
        special = np.array(getattr(tokenizer, "special_ids", [tokenizer.boundary_id]))
        self._is_special_V = np.zeros(tokenizer.size, dtype=bool)
        self._is_special_V[special] = True
        self._is_special_V &= ~is_time_V
        is_text_V = getattr(tokenizer, "is_text_V", ~self._is_special_V)
        self._is_text_V = is_text_V & ~is_time_V
        predicted_V = self._is_text_V.copy()
        predicted_V[tokenizer.boundary_id] = True
        self._predicted = np.flatnonzero(predicted_V)

    def __call__(
        self, input_ids: "torch.LongTensor", scores: "torch.FloatTensor"
    ) -> "torch.Tensor":
        """Return the scores (B, tokens) after these ids (B, T), with the language model's scores.

        Raises:
            UsageError: the encoder-decoder has fewer tokens than the language model.
        """
        if not self.weight:
            return scores
        if self._predicted[-1] >= scores.shape[-1]:
            raise UsageError(
                f"the language model has {self._predicted[-1] + 1:,} tokens, the other model "
                f"{scores.shape[-1]:,}",
                "they have to share their tokenizer",
                "train one with it: rnnlm train TEXT --tokenizer-from hf:FOLDER",
            )
        texts = [self._text_of(ids) for ids in arrays.as_numpy(input_ids)]
        entries = self._prefixes.distributions(list(map(self._prefixes.prefix_of, texts)))
        logprob_BP = np.stack([logprob_V[self._predicted] for logprob_V, _ in entries])

        # Tokens that the language model rules out are impossible, unless its weight is below zero.
        with np.errstate(invalid="ignore"):
            added_BP = self.weight * logprob_BP
        if self.weight < 0:
            added_BP[np.isneginf(logprob_BP)] = 0.0
        fused = scores.clone()
        fused[:, self._predicted] += arrays.as_array_of(added_BP, scores).to(scores.dtype)
        return fused

    def _text_of(self, ids: np.ndarray) -> tuple[int, ...]:
        """Return the language model's input for a hypothesis: the boundary, then the text after the
        last special token."""
        known = ids[ids < len(self._is_text_V)]
        special = np.flatnonzero(self._is_special_V[known])
        if len(special):
            known = known[special[-1] + 1 :]
        return (self.model.tokenizer.boundary_id, *known[self._is_text_V[known]].tolist())
