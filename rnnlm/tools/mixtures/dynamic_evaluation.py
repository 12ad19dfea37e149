"""Evaluate dynamically (Krause, Kahembwe, Murray & Renals 2018): update the weights on the text
that is read.

The text is cut into segments of `segment_tokens`. When a segment is known whole, the weights take a
step on its loss L, a mean in nats over its tokens, and fall back by a share of the way to the
trained weights theta_0 (section 5):

    sgd:  theta <- theta - eta g + lambda (theta_0 - theta)
        g = grad L(segment)
    rms:  theta <- theta - eta g / (sqrt(MS_g) + epsilon) + min(1, lambda r) (theta_0 - theta)
        r = sqrt(MS_g) / mean sqrt(MS_g)

with MS_g = 1/N sum_k (grad L(segment k))^2 over the training text, element by element. A segment's
tokens are scored with the weights from before its step, and hidden states are carried on as they
were computed. Segments lie at fixed places of the stream. The target of a segment's last place is
the input after it, so the step is taken when that is read: scores depend on nothing that comes
later.

For MS_g a segment is `segment_tokens` long in each of ROWS streams that are read side by side, as
in the authors' own experiments, and its loss the mean over all of its tokens: with one row,
gradients would be larger, and a text would take up to a hundred times as long.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rnnlm.arrays import strip_prefix, with_prefix
from rnnlm.checks import check_shapes, check_state
from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import PADDING, Array, LanguageModel, State, core_of, keeps
from rnnlm.lm.neural.trained_network import Network, NeuralLanguageModel, NeuralState
from rnnlm.storage.files import writing
from rnnlm.text.batches import StreamWindows, gather, stream_bounds, with_boundary
from rnnlm.tools.mixtures.adapted_model import (
    PART,
    AdaptedModel,
    DynamicSettings,
    cannot_adapt,
    one_row,
    read_statistics,
)

ROWS = 100

Statistics = Mapping[str, Tensor]  # weight by name: MS_g

# A call asks for scores or for predictions; `Give` computes them for the places of one segment. Its
# arguments: the network, with the weights that hold there; the features of the places, (T, 1, E);
# the places, as a slice of the call's; and the log-probabilities of the inputs that follow them,
# (T, 1), or None where an input is not known yet.
Give = Callable[[Network, Tensor, slice, Tensor | None], Tensor]


@keeps(State)
@dataclass(frozen=True)
class DynamicState:
    """The weights (P,) as adapted so far, the unfinished segment's inputs, and the hidden state
    before them."""

    weights_P: Tensor
    hidden: NeuralState
    inputs_T: Tensor

    def select(self, rows: Sequence[int] | np.ndarray) -> "DynamicState":
        one_row(rows)
        return self

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            **with_prefix(PART, self.hidden.to_arrays()),
            "weights": self.weights_P[None].cpu().numpy(),
            "inputs": self.inputs_T[None].cpu().numpy(),
        }


@keeps(LanguageModel)
class DynamicEvaluation(AdaptedModel):
    """A neural network whose weights follow the text, one row at a time.

    The network that it is made of keeps its weights. Each call computes with a copy, into which it
    puts the weights of its state, so there are as many copies as threads have read at the same
    time.
    """

    kind = "dynamic"
    model: NeuralLanguageModel
    settings: DynamicSettings

    def __init__(
        self,
        model: LanguageModel,
        settings: DynamicSettings = DynamicSettings(),
        statistics: Statistics | None = None,
    ) -> None:
        super().__init__(with_gradients(model), settings)
        self.max_rows = 1
        self.idle: list[NeuralLanguageModel] = []  # copies that no call is using
        self.start_P = parameters_to_vector(self.model.network.parameters()).detach()
        self.rates, self.decays = self._rates_and_decays(statistics)

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.model, self.settings, self.digests)

    def initial_state(self, rows: int) -> DynamicState:
        one_row(rows)
        no_inputs = torch.zeros(0, dtype=torch.int64, device=self.model.device)
        return DynamicState(self.start_P, self.model.initial_state(1), no_inputs)

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: DynamicState
    ) -> tuple[Tensor, DynamicState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says, in torch, on the model's device."""
        inputs_BT, targets_BT = self.model.ids(inputs_BT), self.model.ids(targets_BT)
        check_shapes(inputs_BT, targets_BT)
        # If the targets are the next inputs, as in any text, the loss of a segment has scored them.
        is_text = torch.equal(inputs_BT[:, 1:], targets_BT[:, :-1])

        def give(
            network: Network, features_T1E: Tensor, places: slice, next_T1: Tensor | None
        ) -> Tensor:
            if is_text and next_T1 is not None:
                return next_T1
            return network.score_features(features_T1E, targets_BT.t()[places])

        logprob_T1, after = self._run(inputs_BT, state, give)
        return logprob_T1.t() * (targets_BT != PADDING), after

    def predict(self, inputs_BT: Array, state: DynamicState) -> tuple[Tensor, DynamicState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says, in torch, on the model's device."""
        logprob_T1V, after = self._run(
            self.model.ids(inputs_BT),
            state,
            lambda network, features_T1E, places, next_T1: network.predict_features(features_T1E),
        )
        return logprob_T1V.transpose(0, 1), after

    def concat_states(self, states: Sequence[DynamicState]) -> DynamicState:
        one_row(len(states))
        return states[0]

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> DynamicState:
        weights_P = torch.as_tensor(arrays["weights"][0], device=self.model.device)
        inputs_T = torch.as_tensor(arrays["inputs"][0], device=self.model.device)
        hidden = self.model.state_from_arrays(strip_prefix(PART, arrays))
        return DynamicState(weights_P, hidden, inputs_T)

    def _run(
        self, inputs_BT: Tensor, state: DynamicState, give: Give
    ) -> tuple[Tensor, DynamicState]:
        """Return the results of `give` for all places, side by side, and the state after the
        inputs."""
        check_state(state, DynamicState)
        one_row(len(inputs_BT))
        size, before = self.settings.segment_tokens, len(state.inputs_T)
        stream_S1 = torch.cat([state.inputs_T, inputs_BT[0]])[:, None]
        weights_P, hidden = state.weights_P, state.hidden.tensors
        parts = []
        with self._copy() as network:
            weights = list(network.parameters())
            vector_to_parameters(weights_P, weights)

            # Segments that are known whole, with the input after their last place.
            at = 0
            while at + size < len(stream_S1):
                if weights_P is state.weights_P:  # the caller's state stays as it is
                    weights_P = weights_P.clone()
                    vector_to_parameters(weights_P, weights)
                next_T1 = stream_S1[at + 1 : at + size + 1]
                with torch.enable_grad():
                    features_T1E, hidden = network.features(stream_S1[at : at + size], hidden)
                    logprob_T1 = network.score_features(features_T1E, next_T1)
                    loss = -logprob_T1.mean()

                # Inputs that were in the state have had their answers in an earlier call: answer
                # from the first place of this call on.
                new = max(at, before)
                if new < at + size:
                    features_n1E = features_T1E.detach()[new - at :]
                    logprob_n1 = logprob_T1.detach()[new - at :]
                    places = slice(new - before, at + size - before)
                    parts.append(give(network, features_n1E, places, logprob_n1))
                self._update_weights(weights, loss)
                hidden = tuple(tensor.detach() for tensor in hidden)
                at += size

            # The unfinished segment, which the next call reads again.
            features_T1E, _ = network.features(stream_S1[at:], hidden)
            new = max(at, before)
            parts.append(give(network, features_T1E[new - at :], slice(new - before, None), None))
        after = DynamicState(weights_P, NeuralState(hidden), stream_S1[at:, 0].clone())
        return torch.cat(parts), after

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Network]:
        """Give a copy of the network that no other thread uses in this context."""
        try:
            reader = self.idle.pop()
        except IndexError:
            reader = trainable_copy(self.model)
        try:
            with reader.reading():
                yield reader.network
        finally:
            self.idle.append(reader)

    def _update_weights(self, weights: Sequence[Tensor], loss: Tensor) -> None:
        """Take the weights a step down the loss, and a share of the way back to the start."""
        starts = self.start_P.split([weight.numel() for weight in weights])
        weight_gradients = gradients(loss, weights)
        for weight, start, gradient, rate, decay in zip(
            weights, starts, weight_gradients, self.rates, self.decays, strict=True
        ):
            weight.lerp_(start.view_as(weight), decay).addcmul_(gradient, rate, value=-1)

    def _rates_and_decays(self, statistics: Statistics | None) -> tuple[list[Tensor], list[Tensor]]:
        """Return for each weight the factor of its gradient, and the share of the way back to its
        trained value that it goes at each step."""
        settings = self.settings
        rate, decay = self.start_P.new_tensor([settings.adaptation_rate, settings.adaptation_decay])
        if settings.adaptation_rule == "sgd":
            count = len(list(self.model.network.parameters()))
            return [rate] * count, [decay] * count
        if statistics is None:
            raise UsageError(
                "rule rms needs gradient statistics",
                "none were collected for this model",
                "collect them with rnnlm tune -m NAME+dynamic --statistics TRAINING_TEXT, "
                "or set adaptation_rule=sgd",
            )
        self.digests = {"statistics": _digest(statistics)}

        # sqrt(MS_g) of each weight, and its mean over all.
        names = [name for name, _ in self.model.network.named_parameters()]
        roots = [statistics[name].to(self.start_P.device).sqrt() for name in names]
        mean = parameters_to_vector(roots).mean()
        rates = [rate / (root + settings.adaptation_epsilon) for root in roots]
        decays = [(decay * root / mean).clamp_(max=1) for root in roots]
        return rates, decays


def _digest(statistics: Statistics) -> str:
    """Return 8 hexadecimal digits that identify gradient statistics."""
    names = sorted(statistics)
    pieces = (name.encode() + statistics[name].cpu().numpy().tobytes() for name in names)
    return writing.digest(pieces)[:8]


def with_gradients(model: LanguageModel) -> NeuralLanguageModel:
    """Return `model` itself if gradients can change its weights; refuse it otherwise."""
    model = core_of(model)
    if not isinstance(model, NeuralLanguageModel):
        raise cannot_adapt(model)
    return model


def load_statistics(folder: Path, model: LanguageModel) -> Statistics | None:
    """Read the gradient statistics of `model` in its folder; return None if there are none."""
    network = with_gradients(model).network
    shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
    by_name = read_statistics(folder, shapes, model.fingerprint)
    if by_name is None:
        return None
    return {name: torch.from_numpy(array) for name, array in by_name.items()}


def _unpickled(
    model: NeuralLanguageModel, settings: DynamicSettings, digests: dict[str, str]
) -> DynamicEvaluation:
    """Make the model that was pickled, with the gradient statistics in the folder of `model`, which
    must be the same as then."""
    if not digests:
        return DynamicEvaluation(model, settings)
    folder = Path(model.origin[0]) if model.origin else Path()
    statistics = load_statistics(folder, model)
    if statistics is None or digests != {"statistics": _digest(statistics)}:
        raise ModelError(
            f"the gradient statistics in {folder} are not those of the model that was pickled",
            "a pickle refers to the statistics in the folder, which have changed or are missing",
            "load NAME+dynamic again and pickle it",
        )
    return DynamicEvaluation(model, settings, statistics)


def trainable_copy(model: NeuralLanguageModel) -> NeuralLanguageModel:
    """Copy a model, with separate weights, all of which take gradients."""
    network = copy.deepcopy(model.network).requires_grad_(True)
    return NeuralLanguageModel(network, model.tokenizer, model.precision, model.fingerprint)


def gather_statistics(
    model: LanguageModel,
    ids: np.ndarray,
    segment_tokens: int,
    report: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Compute MS_g of each weight over the text `ids`. report: called with the number of segments
    done, and of all."""
    reader = trainable_copy(with_gradients(model))
    network = reader.network
    names = [name for name, _ in network.named_parameters()]
    weights = list(network.parameters())
    sums = [torch.zeros_like(weight, requires_grad=False) for weight in weights]

    # The text as streams side by side, cut into segments.
    rows = max(1, min(ROWS, len(ids) // segment_tokens))
    streams = StreamWindows(stream_bounds(len(ids), rows))
    segments = list(iter(lambda: streams.next(segment_tokens), None))
    stream = with_boundary(ids, model.tokenizer.boundary_id)
    state = network.initial_state(rows)
    with reader.reading(), torch.enable_grad():
        for done, window in enumerate(segments, start=1):
            inputs_BT, targets_BT = gather(ids, stream, window.start_B, window.end_B)
            inputs_TB, targets_TB = reader.ids(inputs_BT).t(), reader.ids(targets_BT).t()
            logprob_TB, state = network.score(inputs_TB, targets_TB, state)
            loss = -logprob_TB.sum() / (targets_TB != PADDING).sum()
            for total, gradient in zip(sums, gradients(loss, weights), strict=True):
                total.addcmul_(gradient, gradient)
            state = tuple(tensor.detach() for tensor in state)
            if report:
                report(done, len(segments))
    return {name: total / len(segments) for name, total in zip(names, sums, strict=True)}


def gradients(loss: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Compute the gradients of `loss`, zero for weights that it does not depend on."""
    computed = torch.autograd.grad(loss, weights, materialize_grads=True)
    return [gradient.to_dense() if gradient.is_sparse else gradient for gradient in computed]
