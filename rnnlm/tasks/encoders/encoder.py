"""From words to features: word input, dropout, recurrent layers that read each text from both ends, dropout.

Shapes: T time, B rows, E width of what is read for each word, H of the features. Time comes first, as the recurrent kernels want
it. A row is a text, followed by padding; what a row gives is the same alone and beside any others.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import Tokenizer
from rnnlm.neural.embeddings.word_input import WordInput
from rnnlm.neural.layer_outputs import of_stack
from rnnlm.neural.layers.bidirectional import BidirectionalStack, first_state
from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.neural.regularization import dropout
from rnnlm.tasks.encoders.lower_case import LowerCasedForms
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.settings import RecurrentTaskSettings, TaskSettings


class Reader(nn.Module):
    """What all networks of tasks have: the words' vectors, and features of `width` that are dropped out before an output layer."""

    def __init__(self, settings: TaskSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.settings, self.width = settings, settings.output_width
        self.padding_id = tokenizer.boundary_id
        self.input = WordInput(settings, tokenizer)
        self.forms = LowerCasedForms(tokenizer) if settings.lowercase_vectors and settings.characters else None
        self.unknown_V: Tensor | None
        self.register_buffer("unknown_V", _unknown_chances(settings.unknown_words, tokenizer), persistent=False)

    def vectors(self, inputs_TB: Tensor, is_word_TB: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """(T, B, E), dropped out; what is read beside the words comes last. The ids of padding, which may be any, are read as `</s>`."""
        inputs_TB = inputs_TB.masked_fill(~is_word_TB, self.padding_id)
        vector_ids_TB = self.input.known(inputs_TB) if self.forms is None else self.forms(inputs_TB)
        if self.training and self.unknown_V is not None and self.input.unk_id is not None:
            is_unknown_TB = torch.rand_like(inputs_TB, dtype=torch.float32) < self.unknown_V[vector_ids_TB]
            vector_ids_TB = vector_ids_TB.masked_fill(is_unknown_TB, self.input.unk_id)
        x_TBE = self.input(inputs_TB, vector_ids_TB)
        if context_TBC is not None:
            x_TBE = torch.cat([x_TBE, context_TBC.to(x_TBE.dtype)], dim=2)
        return dropout(x_TBE, self.settings.dropout_input, self.training, self.settings.locked_dropout)

    def drop(self, features: Tensor) -> Tensor:
        """Features of words (T, B, H) or texts (B, H) after `dropout_output`."""
        is_locked = self.settings.locked_dropout and features.dim() == 3
        return dropout(features, self.settings.dropout_output, self.training, is_locked)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised; the word vectors and the output layer apart."""
        raise NotImplementedError

    def levels(self) -> list[list[nn.Module]]:
        """The layers above the words, the lowest first, each with all that belongs to it."""
        raise NotImplementedError


def _unknown_chances(alpha: float, tokenizer: Tokenizer) -> Tensor | None:
    """How likely each word is to be read as `<unk>` in training, (V,); None where none is."""
    counts_V = tokenizer.counts_V
    if not alpha or counts_V is None or tokenizer.unk_id is None:
        return None
    chance_V = alpha / (alpha + np.maximum(counts_V, 1))
    chance_V[tokenizer.boundary_id] = 0
    return torch.from_numpy(chance_V.astype(np.float32))


class Encoder(Reader):
    """A text's words as features, one vector a word: [forward; backward] of the highest layer. With dense connections the word's vector
    stands before them, and both directions of each layer, the lowest first."""

    def __init__(self, settings: RecurrentTaskSettings, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.reads_boundary = settings.reads_boundary
        self.body = BidirectionalStack(settings) if settings.bidirectional else RecurrentStack(settings)

    def forward(self, inputs_TB: Tensor, lengths_B: Tensor) -> Tensor:
        """Features (T, B, H) of the words `inputs_TB`, the first `lengths_B` of each row, after dropout; zeros in padding."""
        return self.drop(self.read(inputs_TB, lengths_B))

    def read(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """The features before dropout."""
        x_SBE = self.read_vectors(inputs_TB, lengths_B, context_TBC)
        return self._at_words(self._states(x_SBE, lengths_B + (len(x_SBE) - len(inputs_TB))), len(inputs_TB), lengths_B)

    def layers(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> list[Tensor]:
        """What is read of each word, what each layer gives, [forward; backward], the lowest first, and the features; without the dropout
        between layers."""
        x_SBE = self.read_vectors(inputs_TB, lengths_B, context_TBC)
        if isinstance(self.body, BidirectionalStack):
            y_SBH, layers = self.body.read(x_SBE, lengths_B + (len(x_SBE) - len(inputs_TB)))
        else:
            layers, y_SBH = of_stack(self.body, x_SBE)
        return [self._at_words(each, len(inputs_TB), lengths_B) for each in (x_SBE, *layers, y_SBH)]

    def read_vectors(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """What the layers read: a vector for each word and, where they read it, for `</s>` at either end."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        if not self.reads_boundary:
            return self.vectors(inputs_TB, is_word_TB, context_TBC)
        around_SB = F.pad(inputs_TB.masked_fill(~is_word_TB, self.padding_id), (0, 0, 1, 1), value=self.padding_id)
        beside_SBC = None if context_TBC is None else F.pad(context_TBC, (0, 0, 0, 0, 1, 1))
        return self.vectors(around_SB, is_word(len(around_SB), lengths_B + 2), beside_SBC)

    def _at_words(self, y_SBH: Tensor, T: int, lengths_B: Tensor) -> Tensor:
        """What is given for the words alone, zeros in padding: each direction begins with one `</s>`; the other one is dropped."""
        return (y_SBH[1:-1] if self.reads_boundary else y_SBH) * is_word(T, lengths_B).unsqueeze(2)

    def _states(self, x_TBE: Tensor, lengths_B: Tensor) -> Tensor:
        if isinstance(self.body, BidirectionalStack):
            return self.body(x_TBE, lengths_B)
        y_TBH, _ = self.body(x_TBE, tuple(part for layer in self.body.layers for part in first_state(layer, x_TBE)))
        return y_TBH  # padding comes after all words

    def levels(self) -> list[list[nn.Module]]:
        body = self.body
        both = zip(body.onwards, body.backwards, strict=True) if isinstance(body, BidirectionalStack) else zip(body.layers, strict=True)
        found: list[list[nn.Module]] = [list(layers) for layers in both]
        for level, highway in zip(found[1:], body.highways, strict=False):
            level.append(highway)
        return found

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return self.body.matrices()
