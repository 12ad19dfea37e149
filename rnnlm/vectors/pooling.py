"""From what a layer gives for the tokens of lines to one vector a line, or one a word.

Shapes: T places, B lines, H width of the layer, W words of all lines together.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rnnlm.inference.layer_outputs import LayerOutputs, Part

Pooling = Literal["last", "mean", "max"]


def of_lines(outputs: LayerOutputs, pooling: Pooling) -> Tensor:
    """(B, H) float32, on the layer's device: last, each direction where it has read all of the line; or the mean or the largest number
    over the line's tokens."""
    return torch.cat([_pooled(part, outputs, pooling) for part in outputs.parts], dim=1).float()


def _pooled(part: Part, outputs: LayerOutputs, pooling: Pooling) -> Tensor:
    values_TBW = part.values_TBW
    device = values_TBW.device
    if pooling == "last":
        return values_TBW[torch.from_numpy(part.last_B).to(device), torch.arange(values_TBW.shape[1], device=device)]
    begins_B, ends_B = (torch.from_numpy(each).to(device) for each in (outputs.begins_B, outputs.ends_B))
    place_T1 = torch.arange(len(values_TBW), device=device).unsqueeze(1)
    is_token_TB1 = ((place_T1 >= begins_B) & (place_T1 < ends_B)).unsqueeze(2)
    if pooling == "max":
        return values_TBW.masked_fill(~is_token_TB1, -torch.inf).amax(dim=0)
    return values_TBW.masked_fill(~is_token_TB1, 0).sum(dim=0) / (ends_B - begins_B).unsqueeze(1)


def of_words(outputs: LayerOutputs, tokens: Sequence[np.ndarray]) -> Tensor:
    """(W, H) float32, the words of the first line first: each direction where it has read all of the word. tokens: of each line the first
    token of each word and the one behind its last, (W, 2)."""
    row_W = np.repeat(np.arange(len(tokens)), list(map(len, tokens)))
    tokens_W2 = np.concatenate(tokens) + outputs.begins_B[row_W, None]
    found = []
    for part in outputs.parts:
        at_W = tokens_W2[:, 0] if part.is_backward else tokens_W2[:, 1] - 1
        device = part.values_TBW.device
        found.append(part.values_TBW[torch.from_numpy(at_W).to(device), torch.from_numpy(row_W).to(device)])
    return torch.cat(found, dim=1).float()
