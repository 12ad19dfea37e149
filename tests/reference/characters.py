"""Words read by their characters, written from the papers' equations in plain numpy, one word at a
time: a second implementation.

Weights are given under torch's names and shapes. A word is a list of rows of the table of character
vectors.
"""

import numpy as np

from reference.recurrent import lstm_step, sigmoid
from reference.recurrent_network import part_of


def alphabet(words):
    """Map characters to rows, after begin, end, unknown, </s> and <unk>, in Unicode order."""
    return {character: row for row, character in enumerate(sorted(set("".join(words))), start=5)}


def rows_of(word, rows, special=None):
    """Return the rows of begin, the characters (or a special symbol's one row), and end."""
    inner = [special] if special else [rows.get(character, 2) for character in word]
    return [0, *inner, 1]


def cnn(weights, rows, highways, overhang=False):
    """Apply Kim et al. 2016, eq. 5 to 8, to one word. overhang: endless zeros follow the word."""
    vectors_LC = weights["vectors.weight"][rows]
    C = vectors_LC.shape[1]
    best = []
    for w in range(1, 1000):
        if f"filters.{w}.weight" not in weights:
            continue
        kernel_FCw = weights[f"filters.{w}.weight"].reshape(-1, C, w)
        zeros = w if overhang else max(0, w - len(rows))
        word_LC = np.concatenate([vectors_LC, np.zeros((zeros, C))])
        starts = range(len(word_LC) - w + 1)
        places = [np.einsum("fcj,jc->f", kernel_FCw, word_LC[p : p + w]) for p in starts]
        best.append(np.tanh(np.array(places) + weights[f"filters.{w}.bias"]).max(axis=0))
    y = np.concatenate(best)
    for layer in range(highways):
        part = part_of(weights, f"highways.{layer}.")
        t = sigmoid(part["gate.weight"] @ y + part["gate.bias"])
        y = t * np.maximum(part["candidate.weight"] @ y + part["candidate.bias"], 0) + (1 - t) * y
    return y


def lstm(weights, rows):
    """Return the last states of an LSTM over the word and of one over the word backwards."""
    ends = []
    for name, read in (("onwards", rows), ("backwards", rows[::-1])):
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        U, W, b, c = (weights[f"{name}.{kind}_l0"] for kind in kinds)
        h = cell = np.zeros((1, W.shape[1]))
        for row in read:
            h, cell = lstm_step(weights["vectors.weight"][row][None], h, cell, U, W, b + c)
        ends.append(h[0])
    return np.concatenate(ends)
