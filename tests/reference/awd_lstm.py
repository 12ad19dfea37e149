"""One training window of AWD-LSTM (Merity et al. 2018) word by word, gate by gate, in float64: slow
and by the paper's text.

Weights are given by name, masks as what multiplies (0, or 1 / (1 - p)); gradients come from
autograd over these loops.
"""

import torch


def lstm_step(x_E, h_H, c_H, weight_ih, weight_hh, bias):
    """Take one step for one row. Gates are in the order i, f, g, o."""
    H = len(h_H)
    a = [sum_of(weight_ih[k], x_E) + sum_of(weight_hh[k], h_H) + bias[k] for k in range(4 * H)]
    i, f, g, o = (torch.stack(a[at * H : (at + 1) * H]) for at in range(4))
    c_H = torch.sigmoid(f) * c_H + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_H), c_H


def sum_of(weights, values):
    return (weights * values).sum()


def awd_loss(weights, layers, inputs, targets, state, masks, alpha, beta):
    """Return (cross-entropy in nats per word, AR + TAR, states after the window).

    inputs, targets: rows of ids. state: for each layer, (h, c) of each row. masks: `words` (V,),
    `input` (rows, E), `between` (rows, H) by layer, `output` (rows, E), `recurrent` (4H, H) by
    layer: none depends on the place in the window.
    """
    vectors = weights["input.embedding.weight"]
    losses, squares, changes, after = [], [], [], []
    for row, (read, wanted) in enumerate(zip(inputs, targets, strict=True)):
        cells = [state[layer][row] for layer in range(layers)]
        before = None
        for word, target in zip(read, wanted, strict=True):
            # Through the layers, whose recurrent weights are the dropped-out ones.
            x = vectors[word] * masks["words"][word] * masks["input"][row]
            for layer in range(layers):
                if layer:
                    x = x * masks["between"][layer - 1][row]
                name = f"body.layers.{layer}"
                dropped = weights[f"{name}.weight_hh"] * masks["recurrent"][layer]
                weight_ih, bias = weights[f"{name}.weight_ih"], weights[f"{name}.bias_ih"]
                cells[layer] = lstm_step(x, *cells[layer], weight_ih, dropped, bias)
                x, _ = cells[layer]
            # TAR: how much the output changes, before dropout. AR: how large it is, after dropout.
            if before is not None:
                changes.append((x - before) ** 2)
            before = x
            features = x * masks["output"][row]
            squares.append(features**2)
            # The softmax, tied to the word vectors.
            products = torch.stack([sum_of(vector, features) for vector in vectors])
            logits = products + weights["output.bias"]
            losses.append(torch.logsumexp(logits, 0) - logits[target])
        after.append(cells)
    penalty = alpha * torch.cat(squares).mean() + beta * torch.cat(changes).mean()
    by_layer = [[row[layer] for row in after] for layer in range(layers)]
    return sum(losses) / len(losses), penalty, by_layer
