"""Learn GloVe vectors, whose products are the logarithms of co-occurrence counts (Pennington,
Socher & Manning 2014).

    J = sum over X_ij > 0 of f(X_ij) (w_i . c_j + a_i + b_j - log X_ij)^2     (their equation 8)
    f(x) = (x / X_MOST)^POWER below X_MOST, else 1                            (their equation 9)

X_ij counts how often word j is within the window of word i, two words d apart as 1 / d (their
section 4.2). J is minimised by AdaGrad (Duchi et al. 2011), at most CELLS at a time, in an order
drawn for each epoch. The vectors of the words are the sums w + c (their section 4.2).
"""

from dataclasses import dataclass

import numpy as np
import torch

from rnnlm.text.lines import Progress, silent
from rnnlm.text.vectors import Matrix

X_MOST = 10.0  # 100 for billions of words; the authors' demo has 10 for 17 million
POWER = 0.75
CELLS = 8192
# Steps that an epoch has at least: if there are few counts, a step takes fewer than CELLS.
LEAST_STEPS = 256


@dataclass(frozen=True)
class Cells:
    """The counts that are not zero: words i, contexts j, and X_ij. Shapes (N,)."""

    words_N: np.ndarray
    contexts_N: np.ndarray
    counts_N: np.ndarray

    @classmethod
    def of(cls, counts_VV: Matrix) -> "Cells":
        """Take the cells of a sparse matrix of counts."""
        cells = counts_VV.tocoo()
        words_N, contexts_N = cells.coords
        return cls(words_N, contexts_N, cells.data)


class Adagrad:
    """AdaGrad over some rows of an array at a time: a step is g / sqrt(1 / rate^2 + sum of g^2).

    So the first steps have the learning rate `rate`, as in the authors' program. It falls as a
    number's sum of squared gradients comes near 1 / rate^2.
    """

    def __init__(self, values: torch.Tensor, rate: float) -> None:
        self.values = values
        self.squares = torch.full_like(values, rate**-2)

    def step(self, rows_M: torch.Tensor, gradient_M: torch.Tensor) -> None:
        """Take a step by gradients of the rows; rows that occur several times add up."""
        self.squares.index_add_(0, rows_M, gradient_M.square())
        scaled_M = gradient_M / self.squares[rows_M].sqrt()
        self.values.index_add_(0, rows_M, scaled_M, alpha=-1)


def glove_vectors(
    cells: Cells,
    size: int,
    *,
    width: int,
    epochs: int,
    learning_rate: float,
    seed: int,
    progress: Progress = silent,
) -> np.ndarray:
    """Learn vectors (V, width) float32 of the V = `size` words of co-occurrence counts. One seed
    gives the same vectors on one number of threads."""
    draw = torch.Generator().manual_seed(seed)

    # Words in the first V rows, contexts in the others.
    vectors = Adagrad((torch.rand(2 * size, width, generator=draw) - 0.5) / width, learning_rate)
    biases = Adagrad(torch.zeros(2 * size), learning_rate)

    words_N = torch.from_numpy(cells.words_N.astype(np.int64))
    contexts_N = torch.from_numpy(cells.contexts_N.astype(np.int64)) + size
    log_N = torch.from_numpy(np.log(cells.counts_N).astype(np.float32))
    weight_N = torch.from_numpy(weights(cells.counts_N).astype(np.float32))

    cells_of_step = min(CELLS, max(1, len(words_N) // LEAST_STEPS))
    for epoch in range(epochs):
        progress(f"epoch {epoch + 1} of {epochs}: {len(words_N):,} counts")
        for cells_n in torch.randperm(len(words_N), generator=draw).split(cells_of_step):
            words_n, contexts_n = words_N[cells_n], contexts_N[cells_n]
            w_nE, c_nE = vectors.values[words_n], vectors.values[contexts_n]
            error_n = (w_nE * c_nE).sum(1) + biases.values[words_n] + biases.values[contexts_n]
            error_n -= log_N[cells_n]

            # Half the gradient of J, as in the paper's reference code. The gradient of a word's
            # vector is f * error * the context's vector, and the other way round.
            pull_n = weight_N[cells_n] * error_n
            rows_M = torch.cat((words_n, contexts_n))
            vectors.step(rows_M, torch.cat((c_nE, w_nE)) * pull_n.repeat(2).unsqueeze(1))
            biases.step(rows_M, pull_n.repeat(2))
    return (vectors.values[:size] + vectors.values[size:]).numpy()


def weights(counts: np.ndarray) -> np.ndarray:
    """Weigh counts: f(x), 0 at 0 and at most 1."""
    return np.minimum(counts / X_MOST, 1.0) ** POWER
