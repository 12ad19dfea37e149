"""The probe: multinomial logistic regression on standardised vectors, its L2 penalty chosen on held-out training data.

    loss(W, b) = mean of -log softmax(W x + b)_y + l2 / 2 ||W||^2

Shapes: N examples, H numbers of a vector, K labels.
"""

from dataclasses import dataclass

import numpy as np

PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)  # strongest first: each fit begins where the last one ended
HELD_OUT = 5  # one in so many training groups is held out for choosing
ITERATIONS = 200


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe. l2: the penalty that was chosen."""

    weight_KH: np.ndarray
    bias_K: np.ndarray
    mean_H: np.ndarray
    scale_H: np.ndarray
    l2: float

    def predict(self, vectors_NH: np.ndarray) -> np.ndarray:
        """The number of the likeliest label of each vector, (N,)."""
        return np.argmax((vectors_NH - self.mean_H) * self.scale_H @ self.weight_KH.T + self.bias_K, axis=1)


def fit_probe(vectors_NH: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray, count: int) -> LinearProbe:
    """The probe of labels 0 to `count` - 1, with the penalty of :data:`PENALTIES` that labels most of the held-out examples right, of
    equal ones the strongest, fitted again on all.

    groups_N: the number of the sentence of each example; every :data:`HELD_OUT`-th one is held out, whole.
    """
    mean_H, deviation_H = vectors_NH.mean(axis=0), vectors_NH.std(axis=0)
    scale_H = 1 / np.where(deviation_H > 1e-6, deviation_H, 1)  # a unit that never changes says nothing
    x_NH = (vectors_NH - mean_H) * scale_H
    is_held_N = groups_N % HELD_OUT == HELD_OUT - 1
    if is_held_N.all() or not is_held_N.any():
        is_held_N = np.arange(len(labels_N)) % HELD_OUT == HELD_OUT - 1
    chosen, best, start = PENALTIES[0], -1, np.zeros((vectors_NH.shape[1] + 1) * count)
    for l2 in PENALTIES if is_held_N.any() else ():
        start = _minimum(x_NH[~is_held_N], labels_N[~is_held_N], count, l2, start)
        weight_KH, bias_K = _unpacked(start, count)
        right = int((np.argmax(x_NH[is_held_N] @ weight_KH.T + bias_K, axis=1) == labels_N[is_held_N]).sum())
        if right > best:
            chosen, best, found = l2, right, start
    weight_KH, bias_K = _unpacked(_minimum(x_NH, labels_N, count, chosen, found if best >= 0 else start), count)
    return LinearProbe(weight_KH.astype(np.float32), bias_K.astype(np.float32), mean_H, scale_H, chosen)


def _unpacked(parameters: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    both_KX = parameters.reshape(count, -1)
    return both_KX[:, :-1], both_KX[:, -1]


def _minimum(x_NH: np.ndarray, labels_N: np.ndarray, count: int, l2: float, start: np.ndarray) -> np.ndarray:
    """Weights and biases, (K (H + 1),), at the minimum of the loss, by L-BFGS; the products run in float32.

    In one thread: numpy and scipy each have threads of their own, which take turns thousands of times here and wait for each other.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    x_NX = np.concatenate([x_NH, np.ones((len(x_NH), 1), x_NH.dtype)], axis=1).astype(np.float32)
    at_N = np.arange(len(labels_N))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        both_KX = parameters.reshape(count, -1)
        a_NK = x_NX @ both_KX.T.astype(np.float32)
        a_NK -= a_NK.max(axis=1, keepdims=True)
        p_NK = np.exp(a_NK)
        total_N1 = p_NK.sum(axis=1, keepdims=True)
        nll = float((np.log(total_N1[:, 0]) - a_NK[at_N, labels_N]).mean(dtype=np.float64))
        p_NK /= total_N1
        p_NK[at_N, labels_N] -= 1
        gradient_KX = (p_NK.T @ x_NX).astype(np.float64) / len(labels_N)
        gradient_KX[:, :-1] += l2 * both_KX[:, :-1]
        return nll + l2 / 2 * float((both_KX[:, :-1] ** 2).sum()), gradient_KX.ravel()

    with threadpool_limits(1, "blas"):
        found: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "gtol": 1e-4}).x
    return found
