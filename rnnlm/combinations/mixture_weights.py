"""The weights of a mixture under which a text is most probable.

Linear: EM (Dempster, Laird & Rubin 1977; Jelinek & Mercer 1980). With g_k the mean over the tokens of p_k / sum over j of
weight_j p_j, each round multiplies weight_k by g_k; the text never gets less probable. With other weights v in place of w, the mean
of log(sum v_k p_k / sum w_k p_k) is by Jensen's inequality at most log(sum v_k g_k), so at most log(max over k of g_k): that is how
far the best weights can be, and when to stop.

Log-linear: Newton's method. With s_k = log p_k, the mean of -log p is convex in the weights; its gradient is the mean of
E[s_k] - s_k(target), its Hessian the mean of Cov[s_j, s_k], both exact: over the whole vocabulary, under the mixture as it is.

Tokens that are impossible under any weights are left out, as no weights change that. Shapes: K parts, N tokens, R places, V vocabulary.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.combinations.mixture import Mixture, MixtureState, at_targets, multiplied
from rnnlm.inference import span_scoring
from rnnlm.interface import Array
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import Progress, silent

TOLERANCE_NATS = 1e-7  # a token: how far the mean log-probability may stay below the best
MOST_ROUNDS, MOST_STEPS = 20_000, 100
KEPT_BYTES = 1 << 30  # predictions are kept where they take no more, else computed again at each step
SMALLEST_CURVATURE = 1e-6  # of the largest: directions in which the parts are the same to rounding

Predicted = tuple[list[Array], np.ndarray]  # logprob_RV of each part, the targets, (R,)


@dataclass(frozen=True)
class MixtureWeights:
    """The weights found. iterations: how often the text was gone through for them."""

    weights_K: np.ndarray
    iterations: int


def linear_weights(scores_KN: np.ndarray, report: Progress = silent) -> MixtureWeights:
    """EM on the log-probabilities (nats) that each part gave to each token."""
    parts = len(scores_KN)
    best_N = scores_KN.max(axis=0)
    possible_KN = scores_KN[:, np.isfinite(best_N)]
    prob_KN = np.exp(possible_KN - best_N[np.isfinite(best_N)])  # relative to the best part: nothing underflows
    weights_K = np.full(parts, 1 / parts)
    rounds = 0
    while prob_KN.size and rounds < MOST_ROUNDS:
        gain_K = prob_KN @ (1 / (weights_K @ prob_KN)) / prob_KN.shape[1]
        rounds += 1
        if math.log(gain_K.max()) <= TOLERANCE_NATS:
            break
        weights_K = weights_K * gain_K
        weights_K /= weights_K.sum()
        report(f"EM, round {rounds:,}")
    return MixtureWeights(weights_K, rounds)


def log_linear_weights(predictions: Iterable[Predicted], parts: int, report: Progress = silent) -> MixtureWeights:
    """Newton's method on what the parts predict at each place, gone through once a step; starts at equal weights."""
    weights_K = np.full(parts, 1 / parts)
    good_K, good_loss = weights_K, math.inf
    for step in range(1, MOST_STEPS + 1):
        loss, gradient_K, hessian_KK = _moments(predictions, weights_K)
        report(f"Newton, step {step}: {loss:.4f} nats per token")
        if not loss <= good_loss + TOLERANCE_NATS:  # too far, perhaps beyond what numbers can hold
            weights_K = (good_K + weights_K) / 2
            continue
        good_K, good_loss = weights_K, loss
        change_K = -np.linalg.pinv(hessian_KK, rcond=SMALLEST_CURVATURE, hermitian=True) @ gradient_K
        if -gradient_K @ change_K / 2 <= TOLERANCE_NATS:
            break
        weights_K = weights_K + change_K
    return MixtureWeights(good_K, step)


@dataclass(frozen=True)
class Predictions:
    """What the parts of a mixture predict at each place of a text, some places at a time; computed again in each iteration."""

    mixture: Mixture
    ids: np.ndarray
    spans: np.ndarray

    def __iter__(self) -> Iterator[Predicted]:
        for _, _, predicted in span_scoring.windows(self.mixture, self.ids, self.spans, self._predict):
            yield predicted

    def _predict(self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: MixtureState) -> tuple[Predicted, MixtureState]:
        predicted_KBTV, after = self.mixture.predict_parts(inputs_BT, state)
        size = self.mixture.tokenizer.size
        target_R = known_ids(targets_BT, self.mixture.tokenizer).reshape(-1)
        return ([each.reshape(-1, size) for each in predicted_KBTV], target_R), after

    def kept(self) -> Iterable[Predicted]:
        """The same, in memory where there is room."""
        cells = len(self.mixture.parts) * len(self.ids) * self.mixture.tokenizer.size
        return list(self) if cells * np.dtype(np.float64).itemsize <= KEPT_BYTES else self


def _moments(predictions: Iterable[Predicted], weights_K: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean of -log p(target), in nats, its gradient and its Hessian."""
    parts = len(weights_K)
    total, gradient_K, hessian_KK, counted = 0.0, np.zeros(parts), np.zeros((parts, parts)), 0
    for logprobs_KRV, target_R in predictions:
        with np.errstate(invalid="ignore"):  # a weight of 0 times the log of 0
            logprob_RV = multiplied(logprobs_KRV, weights_K)
        xp = array_types.library(logprob_RV)
        score_R = array_types.as_numpy(at_targets(logprob_RV, target_R))
        counts_R = np.isfinite(score_R) & (target_R >= 0)
        total -= float(score_R[counts_R].sum(dtype=np.float64))
        counted += int(counts_R.sum())
        prob_RV = xp.exp(logprob_RV) * array_types.as_array_of(counts_R, logprob_RV)[:, None]
        weighted, centred = [], []
        for k, each_RV in enumerate(logprobs_KRV):
            each_RV = xp.where(xp.isneginf(logprob_RV), 0.0, each_RV)
            centred_RV = each_RV - xp.sum(prob_RV * each_RV, axis=-1, keepdims=True)
            gradient_K[k] -= array_types.as_numpy(at_targets(centred_RV, target_R))[counts_R].sum(dtype=np.float64)
            weighted.append((prob_RV * centred_RV).reshape(-1))
            centred.append(centred_RV.reshape(-1))
        hessian_KK += [[float(one @ other) for other in centred] for one in weighted]
    counted = max(1, counted)
    return total / counted, gradient_K / counted, hessian_KK / counted
