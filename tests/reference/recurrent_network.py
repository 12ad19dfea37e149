"""Whole networks written from their equations in plain numpy, one step at a time: a second
implementation.

Weights go by the names of the network's state_dict; time comes first.
"""

import numpy as np

from reference import recurrent


def stack(settings, weights, x_TBE, state):
    """Return the outputs of a stack of layers and its final state. `state`: several (1, B, H)."""
    state, after = list(state), []
    for number in range(settings.layers):
        part = part_of(weights, f"body.layers.{number}.")
        # A quasi-recurrent layer reads all steps at once. The first one may look back at inputs of
        # the window before.
        if settings.model == "qrnn":
            c, before = state.pop(0)[0], []
            if number == 0 and settings.cell.convolution_words > 1:
                before = list(state.pop(0))
            y, c, before = recurrent.quasi_recurrent_layer(
                x_TBE, c, before, part["weight_ih"], part["bias_ih"], settings.cell.pooling
            )
            after.append(c[None])
            if before:
                after.append(np.stack(before))
            x_TBE = connect(settings, weights, number, x_TBE, y)
            continue
        # Any other goes step by step, from its own part of the state.
        own = [state.pop(0)[0] for _ in range(2 if settings.model == "lstm" else 1)]
        outputs = []
        for x in x_TBE:
            own = layer_step(settings, part, x, own)
            outputs.append(own[0])
        after += [tensor[None] for tensor in own]
        x_TBE = connect(settings, weights, number, x_TBE, np.stack(outputs))
    return x_TBE, after


def part_of(weights, prefix):
    found = [name for name in weights if name.startswith(prefix)]
    return {name.removeprefix(prefix): weights[name] for name in found}


def layer_step(settings, part, x, state):
    U, W, b = part["weight_ih"], part["weight_hh"], part["bias_ih"]
    if settings.model == "rnn":
        return [recurrent.elman_step(x, state[0], U, W, b, settings.cell.activation)]
    if settings.model == "gru":
        gates = settings.cell.reset_gate, settings.cell.update_gate
        return [recurrent.gru_step(x, state[0], U, W, b, part["bias_hh"], *gates)]
    factors = [value for name, value in part.items() if name.startswith("mogrifier.")]
    if factors:
        x, state[0] = recurrent.mogrify(
            x, state[0], recurrent.mogrifier_matrices(settings.cell.mogrifier_rounds, factors)
        )
    return list(
        recurrent.lstm_step(x, *state, U, W, b, part.get("peepholes"), settings.cell.coupled_gates)
    )


def connect(settings, weights, number, x, y, prefix="body."):
    """Return the input of the next layer, after a layer that read x and returned y."""
    if settings.connections == "dense":
        return np.concatenate([x, y], axis=-1)
    if number == 0 or settings.connections == "plain":
        return y
    if settings.connections == "residual":
        return x + y
    gate = part_of(weights, f"{prefix}highways.{number - 1}.")
    t = recurrent.sigmoid(x @ gate["weight"].T + gate["bias"])
    return t * y + (1 - t) * x


def word_window(settings, weights, x_TBE, state):
    """Run a feed-forward model: each word reads its vector and those before it, oldest first."""
    before = list(state[0])
    outputs = []
    for x in x_TBE:
        window = np.concatenate([*before, x], axis=1)
        h = recurrent.ACTIVATIONS[settings.activation](
            window @ weights["body.weight_ih"].T + weights["body.bias_ih"]
        )
        outputs.append(np.concatenate([h, window], axis=1) if settings.direct_connections else h)
        before = [*before, x][1:]
    return np.stack(outputs), [np.stack(before) if before else state[0]]


def jordan(settings, weights, x_TBE, state):
    h, outputs = state[0][0], []
    for x in x_TBE:
        fed_back = np.exp(log_softmax(logits(settings, weights, h)))
        if settings.feedback == "embedding":
            fed_back = fed_back @ weights["input.embedding.weight"]
        h = recurrent.ACTIVATIONS[settings.activation](
            x @ weights["body.weight_ih"].T
            + fed_back @ weights["body.weight_hh"].T
            + weights["body.bias_ih"]
        )
        outputs.append(h)
    return np.stack(outputs), [h[None]]


def logits(settings, weights, y):
    if "projection.weight" in weights:
        y = y @ weights["projection.weight"].T + weights["projection.bias"]
    output = weights["input.embedding.weight"] if settings.is_tied else weights["output.weight"]
    return y @ output.T + weights["output.bias"]


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def network_loss(settings, weights, inputs_TB, targets_TB, state):
    """Return the mean cross-entropy in nats and the final state, with a full softmax."""
    body = {"ffnn": word_window, "jordan": jordan}.get(settings.model, stack)
    y, state = body(settings, weights, weights["input.embedding.weight"][inputs_TB], state)
    logprob = log_softmax(logits(settings, weights, y))
    kept = targets_TB >= 0
    chosen = np.take_along_axis(logprob, np.maximum(targets_TB, 0)[..., None], axis=-1)[..., 0]
    return -(chosen * kept).sum() / max(1, kept.sum()), state
