"""The recurrent networks written from their equations in plain numpy, one step at a time: a second
implementation.

Weights have torch's shapes (gates stacked: GRU r z n, LSTM i f g o); x_TBE, states (B, H).
"""

import numpy as np

ACTIVATIONS = {
    "tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "elu": lambda a: np.where(a > 0, a, np.exp(np.minimum(a, 0)) - 1),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
}  # fmt: skip
sigmoid = ACTIVATIONS["sigmoid"]


def elman_step(x, h, U, W, b, activation):
    return ACTIVATIONS[activation](x @ U.T + b + h @ W.T)


def gru_step(x, h, U, W, b, c, reset_gate, update_gate):
    (Ur, Uz, Un), (Wr, Wz, Wn) = np.split(U, 3), np.split(W, 3)
    (br, bz, bn), (cr, cz, cn) = np.split(b, 3), np.split(c, 3)
    r, z = sigmoid(x @ Ur.T + br + h @ Wr.T + cr), sigmoid(x @ Uz.T + bz + h @ Wz.T + cz)
    recurrent = r * (h @ Wn.T + cn) if reset_gate == "after" else (r * h) @ Wn.T + cn
    n = np.tanh(x @ Un.T + bn + recurrent)
    return (1 - z) * n + z * h if update_gate == "keep" else z * n + (1 - z) * h


def lstm_step(x, h, cell, U, W, b, peepholes=None, coupled=False):
    names = "fgo" if coupled else "ifgo"
    a = dict(zip(names, np.split(x @ U.T + b + h @ W.T, len(names), axis=1), strict=True))
    p = dict.fromkeys("ifo", 0.0)
    if peepholes is not None:
        p.update(zip(names.replace("g", ""), np.split(peepholes, len(names) - 1), strict=True))
    f = sigmoid(a["f"] + p["f"] * cell)
    cell = f * cell + (1 - f if coupled else sigmoid(a["i"] + p["i"] * cell)) * np.tanh(a["g"])
    return sigmoid(a["o"] + p["o"] * cell) * np.tanh(cell), cell


def mogrifier_matrices(rounds, factors):
    """Return the matrix of each round, given whole or as (rank, columns) and (rows, rank)."""
    if len(factors) == rounds:
        return factors
    return [left @ right for right, left in zip(factors[::2], factors[1::2], strict=True)]


def mogrify(x, h, matrices):
    """Apply equations 1 and 2 of Melis et al. 2020."""
    for number, matrix in enumerate(matrices, start=1):
        if number % 2:
            x = 2 * sigmoid(h @ matrix.T) * x
        else:
            h = 2 * sigmoid(x @ matrix.T) * h
    return x, h


def quasi_recurrent_layer(x_TBE, c, before, W, b, pooling):
    """Return y_TBH, the last c and the last inputs. `before`: a list of the inputs that the
    convolution reads before the first one."""
    outputs, before = [], list(before)
    for x in x_TBE:
        a = np.concatenate([*before, x], axis=1) @ W.T + b
        z, f, *more = np.split(a, 1 + len(pooling), axis=1)
        f = sigmoid(f)
        c = f * c + (sigmoid(more[1]) if pooling == "ifo" else 1 - f) * np.tanh(z)
        outputs.append(c if pooling == "f" else sigmoid(more[0]) * c)
        before = [*before, x][1:]
    return np.stack(outputs), c, before


def layer(kind, form, x_TBE, *given):
    """Return y_TBH and the last states of a layer. `given`: states, weights, biases, peepholes."""
    outputs = []
    if kind == "lstm":
        h, cell, *weights = given
        peepholes = weights[3] if form["peepholes"] else None
        for x in x_TBE:
            h, cell = lstm_step(x, h, cell, *weights[:3], peepholes, form["coupled_gates"])
            outputs.append(h)
        return np.stack(outputs), h, cell
    h, *weights = given
    step = gru_step if kind == "gru" else elman_step
    for x in x_TBE:
        h = step(x, h, *weights, **form)
        outputs.append(h)
    return np.stack(outputs), h
