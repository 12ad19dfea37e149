"""The recurrent networks written from their equations in plain numpy, one step at a time: a second implementation.

Weights are given under torch's names and shapes (gates stacked: GRU r z n, LSTM i f g o); x_TBE, states (L, B, H).
"""

import numpy as np

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "sigmoid": lambda a: 1 / (1 + np.exp(-a))}
sigmoid = ACTIVATIONS["sigmoid"]


def elman_step(x, h, U, W, b, c, activation):
    return ACTIVATIONS[activation](x @ U.T + b + h @ W.T + c)


def gru_step(x, h, U, W, b, c):
    """Reset applied after the recurrent product."""
    (xr, xz, xn), (hr, hz, hn) = np.split(x @ U.T + b, 3, axis=1), np.split(h @ W.T + c, 3, axis=1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    return (1 - z) * n + z * h


def lstm_step(x, h, cell, U, W, b, c):
    i, f, g, o = np.split(x @ U.T + b + h @ W.T + c, 4, axis=1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def gru_variant_step(x, h, U, W, b, c, reset_gate, update_gate):
    (Ur, Uz, Un), (Wr, Wz, Wn) = np.split(U, 3), np.split(W, 3)
    (br, bz, bn), (cr, cz, cn) = np.split(b, 3), np.split(c, 3)
    r, z = sigmoid(x @ Ur.T + br + h @ Wr.T + cr), sigmoid(x @ Uz.T + bz + h @ Wz.T + cz)
    recurrent = r * (h @ Wn.T + cn) if reset_gate == "after" else (r * h) @ Wn.T + cn
    n = np.tanh(x @ Un.T + bn + recurrent)
    return (1 - z) * n + z * h if update_gate == "keep" else z * n + (1 - z) * h


def lstm_variant_step(x, h, cell, U, W, b, c, peepholes, coupled):
    names = "fgo" if coupled else "ifgo"
    a = dict(zip(names, np.split(x @ U.T + b + h @ W.T + c, len(names), axis=1)))
    p = dict.fromkeys("ifo", 0.0)
    if peepholes is not None:
        p.update(zip(names.replace("g", ""), np.split(peepholes, len(names) - 1)))
    f = sigmoid(a["f"] + p["f"] * cell)
    i = 1 - f if coupled else sigmoid(a["i"] + p["i"] * cell)
    cell = f * cell + i * np.tanh(a["g"])
    return sigmoid(a["o"] + p["o"] * cell) * np.tanh(cell), cell


def layer(kind, form, x_TBE, *given):
    """y_TBH and the last states of one layer of any form; `given`: states, weights, biases, peepholes."""
    outputs = []
    if kind == "lstm":
        h, cell, *weights = given
        peepholes = weights[4] if form["with_peepholes"] else None
        for x in x_TBE:
            h, cell = lstm_variant_step(x, h, cell, *weights[:4], peepholes, form["coupled"])
            outputs.append(h)
        return np.stack(outputs), h, cell
    h, *weights = given
    for x in x_TBE:
        h = gru_variant_step(x, h, *weights, **form) if kind == "gru" else elman_step(x, h, *weights, 0.0, **form)
        outputs.append(h)
    return np.stack(outputs), h


def stack(kind, weights, x_TBE, state, layers, activation="tanh"):
    """y_TBH and the final state of `layers` layers; `weights` without a prefix, `state` a tuple of (L, B, H)."""
    state = [part.copy() for part in state]
    y = x_TBE
    for layer in range(layers):
        part = [weights[f"{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        outputs = []
        for x in y:
            if kind == "lstm":
                state[0][layer], state[1][layer] = lstm_step(x, state[0][layer], state[1][layer], *part)
            elif kind == "gru":
                state[0][layer] = gru_step(x, state[0][layer], *part)
            else:
                state[0][layer] = elman_step(x, state[0][layer], *part, activation)
            outputs.append(state[0][layer].copy())
        y = np.stack(outputs)
    return y, tuple(state)


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def network_loss(settings, weights, inputs_TB, targets_TB, state):
    """Mean cross-entropy in nats and the final state; `weights` under the names of the network's state_dict."""
    kernel = {name.removeprefix("stack.kernel."): value for name, value in weights.items() if name.startswith("stack.")}
    y, state = stack(settings.model, kernel, weights["embedding.weight"][inputs_TB], state, settings.layers, getattr(settings, "activation", "tanh"))
    if "projection.weight" in weights:
        y = y @ weights["projection.weight"].T + weights["projection.bias"]
    output = weights["embedding.weight"] if settings.is_tied else weights["output.weight"]
    logprob = log_softmax(y @ output.T + weights["output.bias"])
    kept = targets_TB >= 0
    chosen = np.take_along_axis(logprob, np.maximum(targets_TB, 0)[..., None], axis=-1)[..., 0]
    return -(chosen * kept).sum() / max(1, kept.sum()), state
