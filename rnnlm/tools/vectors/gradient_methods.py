"""Learn word vectors by gradients: skip-gram and CBOW with negative sampling (Mikolov et al. 2013a,
2013b), and GloVe.

Skip-gram maximises, for each word w and each word c in its window,

    log s(v_w . u_c) + sum over k noise words n of log s(-v_w . u_n)        (2013b, equation 4)

with s the logistic function, v the input vectors and u the output vectors. CBOW has the mean of the
window's input vectors in the place of v_w, and w itself in the place of c (2013a, section 3.1); as
in word2vec, each vector of the window moves by the whole gradient of the mean, not by its share.

As in word2vec, the window of each word is drawn from 1 to the one asked for, so that nearer words
count more; occurrences of words that are more than 1 in 1,000 of the text are left out at random;
noise words are drawn by counts to the power 0.75; the learning rate falls linearly.

word2vec takes one pair after the other. Here a step takes up to ROWS rows of ROW_WORDS words each
and multiplies matrices (Ji et al. 2016), and the words of a row share their noise words. In one
step the gradients of a frequent word add up, where word2vec would apply the first before it
computes the second; LARGEST_STEP bounds the sum.

Shapes: R rows, L words of a row, S = L + 2 window words around and in a row, K noise words of a
row, E width, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from rnnlm import arrays
from rnnlm.text.lines import Progress, silent
from rnnlm.text.vectors import Matrix

ROWS = 8
LEAST_STEPS = 512  # of an epoch, for short texts: fewer rows a step then
ROW_WORDS = 32
ROW_NOISE = 32
BLOCK_WORDS = 1 << 20
FREQUENT = 1e-3  # share of the text above which occurrences are left out at random
NOISE_POWER = 0.75
LEAST_RATE = 1e-4
LARGEST_STEP = 1.0  # the learning rate times the pairs of a word in one step, at most
NO_LINE = -1


@dataclass(frozen=True)
class Windows:
    """One step's words and the words around them.

    words_RL: the words. around_RS: these and `window` words on both sides. is_pair_RLS: 1.0 where a
    word around is in the window of a word, else 0.0. noise_RK: words drawn as noise.
    """

    words_RL: torch.Tensor
    around_RS: torch.Tensor
    is_pair_RLS: torch.Tensor
    noise_RK: torch.Tensor


@dataclass(frozen=True)
class Gradient:
    """The update of some rows of a matrix of vectors.

    rows: numbers of the vectors. values: the addend of each, (..., E). pairs: how much of the
    learning rate each takes, summed over its pairs; the curvature of the loss grows with it.
    """

    rows: torch.Tensor
    values: torch.Tensor
    pairs: torch.Tensor


def predicted_vectors(
    ids_N: np.ndarray,
    line_offsets: np.ndarray,
    counts_V: np.ndarray,
    method: Literal["skipgram", "cbow"],
    *,
    width: int,
    window: int,
    epochs: int,
    negative: int,
    learning_rate: float,
    seed: int,
    progress: Progress = silent,
) -> np.ndarray:
    """Learn input vectors (V, width) float32 of the words of a text.

    ids_N: the words of all lines. line_offsets: (lines + 1,) where each line begins, and the end.
    counts_V: how often each word occurs. One seed gives the same vectors on one number of threads.
    """
    draw = torch.Generator().manual_seed(seed)
    size = len(counts_V)
    input_VE = (torch.rand(size, width, generator=draw) - 0.5) / width
    output_VE = torch.zeros(size, width)
    gradients = _skipgram if method == "skipgram" else _cbow
    windows = _CorpusReader(ids_N, line_offsets, counts_V, window, draw)

    with torch.no_grad():
        for epoch in range(epochs):
            shown_percent = -1
            for share, step in windows.epoch():
                rate = max(LEAST_RATE, learning_rate * (1 - (epoch + share) / epochs))
                of_input, of_output = gradients(input_VE, output_VE, step, negative, rate)
                _add(input_VE, of_input)
                _add(output_VE, of_output)

                # There are thousands of steps: report progress only when the percentage changes.
                percent = int(100 * share)
                if percent > shown_percent:
                    progress(f"epoch {epoch + 1} of {epochs}: {percent}% of the text")
                    shown_percent = percent
    return input_VE.numpy()


class _CorpusReader:
    """Reads a text again and again as windows, with other draws each time."""

    def __init__(
        self,
        ids_N: np.ndarray,
        line_offsets: np.ndarray,
        counts_V: np.ndarray,
        window: int,
        draw: torch.Generator,
    ) -> None:
        self.ids_N = torch.from_numpy(np.ascontiguousarray(ids_N, dtype=np.int64))
        line_N = np.repeat(np.arange(len(line_offsets) - 1), np.diff(line_offsets))
        self.line_N = torch.from_numpy(line_N)
        self.window, self.draw = window, draw
        self.rows = min(ROWS, max(1, len(ids_N) // (ROW_WORDS * LEAST_STEPS)))

        # An occurrence of a word that is a share f of the text stays with this probability.
        share_V = torch.from_numpy(counts_V / counts_V.sum())
        self.kept_V = ((FREQUENT / share_V).sqrt() + FREQUENT / share_V).clamp(max=1)
        noise_V = torch.from_numpy(counts_V.astype(np.float64)) ** NOISE_POWER
        self.noise_bounds_V = noise_V.cumsum(0) / noise_V.sum()

        # How far each word around a row is from each word of the row.
        around_S = torch.arange(ROW_WORDS + 2 * window) - window
        self.distance_LS = (around_S - torch.arange(ROW_WORDS).unsqueeze(1)).abs()

    def epoch(self) -> Iterator[tuple[float, Windows]]:
        """Yield the steps of one pass over the text, each with the share of the text before it."""
        total = len(self.ids_N)
        for block in arrays.blocks(total, BLOCK_WORDS):
            for share_of_block, step in self._block(block):
                yield (block.start + share_of_block * (block.stop - block.start)) / total, step

    def _block(self, block: slice) -> Iterator[tuple[float, Windows]]:
        """Yield the steps of a block of words, each with the share before it."""
        window, draw = self.window, self.draw

        # Leave out some occurrences of frequent words; their neighbours then meet.
        ids_n, line_n = self.ids_N[block], self.line_N[block]
        is_kept_n = torch.rand(len(ids_n), generator=draw, dtype=torch.float64) < self.kept_V[ids_n]
        ids_n, line_n = ids_n[is_kept_n], line_n[is_kept_n]
        count = len(ids_n)
        if not count:
            return

        # Lay the words out in rows; the padding belongs to no line.
        rows = -(-count // ROW_WORDS)
        padded = rows * ROW_WORDS + 2 * window
        words_P = torch.zeros(padded, dtype=torch.int64)
        line_P = torch.full((padded,), NO_LINE)
        words_P[window : window + count] = ids_n
        line_P[window : window + count] = line_n
        around_RS = words_P.unfold(0, ROW_WORDS + 2 * window, ROW_WORDS)
        line_RS = line_P.unfold(0, ROW_WORDS + 2 * window, ROW_WORDS)
        reach_RL = torch.randint(1, window + 1, (rows, ROW_WORDS), generator=draw)
        drawn_RK = torch.rand(rows, ROW_NOISE, generator=draw, dtype=torch.float64)
        noise_RK = torch.searchsorted(self.noise_bounds_V, drawn_RK)
        noise_RK.clamp_(max=len(self.noise_bounds_V) - 1)

        for part in arrays.blocks(rows, self.rows):
            line_rS = line_RS[part]
            line_rL = line_rS[:, window : window + ROW_WORDS]
            is_pair_rLS = (
                (self.distance_LS <= reach_RL[part].unsqueeze(2))
                & (self.distance_LS > 0)
                & (line_rL.unsqueeze(2) == line_rS.unsqueeze(1))
                & (line_rL != NO_LINE).unsqueeze(2)
            )
            around_rS = around_RS[part]
            words_rL = around_rS[:, window : window + ROW_WORDS]
            step = Windows(words_rL, around_rS, is_pair_rLS.float(), noise_RK[part])
            yield part.start / rows, step


def _skipgram(
    input_VE: torch.Tensor, output_VE: torch.Tensor, step: Windows, negative: int, rate: float
) -> tuple[list[Gradient], list[Gradient]]:
    """Compute one step of skip-gram: gradients of the input and of the output vectors, times the
    rate."""
    v_RLE = input_VE[step.words_RL]
    u_RSE = output_VE[step.around_RS]
    noise_RKE = output_VE[step.noise_RK]

    # d/dx log s(x) = s(-x), of each pair; d/dx log s(-x) = -s(x), of each word and noise word. The
    # K noise words of a row take the place of the `negative` ones of each pair.
    pull_RLS = torch.bmm(v_RLE, u_RSE.mT).neg_().sigmoid_().mul_(step.is_pair_RLS).mul_(rate)
    pairs_RL = step.is_pair_RLS.sum(2)
    share_RL = pairs_RL * (rate * negative / ROW_NOISE)
    push_RLK = torch.bmm(v_RLE, noise_RKE.mT).sigmoid_().mul_(-share_RL.unsqueeze(2))

    of_v_RLE = torch.bmm(pull_RLS, u_RSE).baddbmm_(push_RLK, noise_RKE)
    of_u_RSE = torch.bmm(pull_RLS.mT, v_RLE)
    of_noise_RKE = torch.bmm(push_RLK.mT, v_RLE)
    noise_pairs_RK = share_RL.sum(1, keepdim=True).expand(-1, ROW_NOISE)
    return (
        [Gradient(step.words_RL, of_v_RLE, pairs_RL * (rate * (1 + negative)))],
        [
            Gradient(step.around_RS, of_u_RSE, step.is_pair_RLS.sum(1) * rate),
            Gradient(step.noise_RK, of_noise_RKE, noise_pairs_RK),
        ],
    )


def _cbow(
    input_VE: torch.Tensor, output_VE: torch.Tensor, step: Windows, negative: int, rate: float
) -> tuple[list[Gradient], list[Gradient]]:
    """Compute one step of CBOW: gradients of the input and of the output vectors, times the
    rate."""
    u_RLE = output_VE[step.words_RL]
    noise_RKE = output_VE[step.noise_RK]

    # The mean of the window's vectors; words without a neighbour take no part.
    neighbours_RL1 = step.is_pair_RLS.sum(2, keepdim=True)
    takes_part_RL1 = (neighbours_RL1 > 0).float()
    weight_RLS = step.is_pair_RLS / neighbours_RL1.clamp(min=1)
    mean_RLE = torch.bmm(weight_RLS, input_VE[step.around_RS])

    pull_RL1 = (mean_RLE * u_RLE).sum(2, keepdim=True).neg_().sigmoid_()
    pull_RL1.mul_(takes_part_RL1 * rate)
    share_RL1 = takes_part_RL1 * (rate * negative / ROW_NOISE)
    push_RLK = torch.bmm(mean_RLE, noise_RKE.mT).sigmoid_().mul_(-share_RL1)

    of_mean_RLE = torch.baddbmm(pull_RL1 * u_RLE, push_RLK, noise_RKE)
    of_around_RSE = torch.bmm(step.is_pair_RLS.mT, of_mean_RLE)
    of_noise_RKE = torch.bmm(push_RLK.mT, mean_RLE)
    noise_pairs_RK = share_RL1.sum(1).expand(-1, ROW_NOISE)
    return (
        [
            Gradient(
                step.around_RS, of_around_RSE, step.is_pair_RLS.sum(1) * (rate * (1 + negative))
            )
        ],
        [
            Gradient(step.words_RL, pull_RL1 * mean_RLE, takes_part_RL1.squeeze(2) * rate),
            Gradient(step.noise_RK, of_noise_RKE, noise_pairs_RK),
        ],
    )


def _add(vectors_VE: torch.Tensor, gradients: list[Gradient]) -> None:
    """Add gradients to the vectors; scale the gradients of a word down whose pairs in this step
    would take it further than LARGEST_STEP."""
    rows_M = torch.cat([gradient.rows.flatten() for gradient in gradients])
    values_ME = torch.cat([gradient.values.flatten(0, 1) for gradient in gradients])
    pairs_M = torch.cat([gradient.pairs.flatten() for gradient in gradients])
    pairs_V = torch.zeros(len(vectors_VE)).index_add_(0, rows_M, pairs_M)
    scale_M = (LARGEST_STEP / pairs_V[rows_M]).clamp_(max=1)
    vectors_VE.index_add_(0, rows_M, values_ME.mul_(scale_M.unsqueeze(1)))


# ---- GloVe: products of vectors are the logarithms of co-occurrence counts (Pennington, Socher &
# Manning 2014).
#
#     J = sum over X_ij > 0 of f(X_ij) (w_i . c_j + a_i + b_j - log X_ij)^2     (their equation 8)
#     f(x) = (x / X_MOST)^POWER below X_MOST, else 1                            (their equation 9)
#
# X_ij counts how often word j is within the window of word i, two words d apart as 1 / d (their
# section 4.2). J is minimised by AdaGrad (Duchi et al. 2011), at most CELLS at a time, in an order
# drawn for each epoch. The vectors of the words are the sums w + c (their section 4.2).

X_MOST = 10.0  # 100 for billions of words; the authors' demo has 10 for 17 million
POWER = 0.75
CELLS = 8192
# Steps that an epoch has at least: if there are few counts, a step takes fewer than CELLS.
LEAST_GLOVE_STEPS = 256


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

    cells_of_step = min(CELLS, max(1, len(words_N) // LEAST_GLOVE_STEPS))
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
