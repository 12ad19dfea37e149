"""Make batches of labelled examples, and their tensors."""

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.common.batches import LengthBatches, on_device
from rnnlm.tasks.labelling.data import MULTI, Codec, EncodedWords, LabelledData
from rnnlm.text.batches import padded


class ExampleBatches(LengthBatches):
    """Batches of labelled examples. Raises as :class:`LengthBatches`."""

    def __init__(
        self,
        data: LabelledData,
        codec: Codec,
        rows: int,
        seed: int,
        device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        lengths_E = data.words_encoded.token_lengths
        words_E = np.diff(data.words_encoded.word_offsets)
        targets_E = words_E if codec.word_columns else np.ones_like(words_E)
        # A network that reads trees learns from all nodes that have labels.
        if codec.node_loss is not None and codec.columns[0].form != MULTI:
            is_label_N = data.labels[0] != PADDING
            targets_E = np.add.reduceat(is_label_N, data.label_offsets[:-1], dtype=np.int64)
        self.data, self.codec = data, codec
        super().__init__(
            order_E=lengths_E,
            tokens_E=lengths_E,
            targets_E=targets_E,
            rows=rows,
            seed=seed,
            device=device,
            ranks=ranks,
        )

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        inputs = batch_tensors(self.data.words_encoded, chosen_B, self.device)
        return (*inputs, *label_tensors(self.data, chosen_B, self.device))


def batch_tensors(
    encoded: EncodedWords, chosen_B: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """Return inputs_SB, tokens_1B and, where words have several tokens, first_TB and last_TB, the
    places of each word's first and last token, and words_1B, int64; of language models that are
    read beside them states_TBX. On the device; 0 in padding. For a network that reads trees,
    nodes_MB comes last, the rows of their arrays (:mod:`rnnlm.tasks.labelling.trees`) one below the
    other, -1 in padding; it stays on the host, which plans the computation by it."""
    # Where the tokens of each word begin, and where the last one ends.
    offsets = []
    for text in chosen_B:
        first, end = encoded.word_offsets[text], encoded.word_offsets[text + 1]
        offsets.append(encoded.token_offsets[first : end + 1])

    tokens = [encoded.ids[int(bounds[0]) : int(bounds[-1])] for bounds in offsets]
    arrays = [padded(tokens, 0), np.array([list(map(len, tokens))])]
    if not encoded.is_by_word:
        arrays.append(padded([bounds[:-1] - bounds[0] for bounds in offsets], 0))
        arrays.append(padded([bounds[1:] - bounds[0] - 1 for bounds in offsets], 0))
        arrays.append(np.array([[len(bounds) - 1 for bounds in offsets]]))
    inputs = [on_device(array, device) for array in arrays]
    if encoded.beside is not None:
        inputs.append(encoded.beside.states(encoded, chosen_B, device))
    if encoded.trees is not None:
        nodes = zip(*(encoded.trees[text] for text in chosen_B), strict=True)
        inputs.append(torch.from_numpy(np.concatenate([padded(row, PADDING) for row in nodes])))
    return tuple(inputs)


def label_tensors(
    data: LabelledData, chosen_B: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """Return the labels of each column: labels_TB of words, or labels_NB of the nodes of trees, -1
    in padding; labels_1B of texts; is_label_KB where a text has several."""
    arrays, offsets = [], data.label_offsets
    for labels in data.labels:
        # Labels of words and nodes lie end to end; a text has one row.
        if labels.ndim == 1:
            rows = [labels[offsets[text] : offsets[text + 1]] for text in chosen_B]
            arrays.append(padded(rows, PADDING))
        else:
            arrays.append(labels[chosen_B].T)
    return tuple(on_device(array, device) for array in arrays)
