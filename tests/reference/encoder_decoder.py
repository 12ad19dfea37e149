"""An encoder-decoder written from its papers' equations in plain numpy, for one source and one
target, word by word.

Weights go by the names of the network's state_dict.
"""

import numpy as np

from reference.recurrent_network import connect, layer_step, log_softmax, part_of


def direction(settings, part, xs, width):
    """Return the outputs of one layer over the vectors xs, from a state of zeros."""
    state = [np.zeros((1, width))] * (2 if settings.model == "lstm" else 1)
    outputs = []
    for x in xs:
        state = layer_step(settings, part, x[None], list(state))
        outputs.append(state[0][0])
    return outputs


def encode(settings, weights, source):
    """Return the vector of each token of the source, and for each layer [its last state, the
    backward layer's state at the first token]."""
    words = "target_words" if settings.tied_embeddings == "all" else "source_words"
    xs, last = [weights[f"{words}.embedding.weight"][id] for id in source], []
    for number, width in enumerate(settings.widths):
        names = ["onwards", "backwards"] if settings.bidirectional else ["layers"]
        parts = [part_of(weights, f"encoder.body.{name}.{number}.") for name in names]
        given = [direction(settings, parts[0], xs, width)]
        last.append(given[0][-1])
        if settings.bidirectional:
            given.append(direction(settings, parts[1], xs[::-1], width)[::-1])
            last[-1] = np.concatenate([given[0][-1], given[1][0]])
        ys = [np.concatenate(both) for both in zip(*given, strict=True)]
        xs = connect(settings, weights, number, np.array(xs), np.array(ys), "encoder.body.")
    return xs, last


def first_state(settings, weights, memory, last):
    """Return h and, of an LSTM, c for each layer of the decoder: tanh(W s + b)."""
    states, place = [], 0
    for number in range(settings.decoder_layers):
        above = max(0, len(last) - settings.decoder_layers)
        s = (
            memory.mean(axis=0)
            if settings.bridge == "mean"
            else last[min(number + above, len(last) - 1)]
        )
        states.append([])
        for _ in range(2 if settings.decoder.model == "lstm" else 1):
            if settings.bridge is None:
                states[-1].append(np.zeros((1, settings.decoder.hidden_size)))
                continue
            part = part_of(weights, f"bridge.maps.{place}.")
            states[-1].append(np.tanh(part["weight"] @ s + part["bias"])[None])
            place += 1
    return states


def attend(settings, weights, h, memory):
    """Return the context vector and the attention weights."""
    key, query, scale = (
        weights.get(f"decoder.attention.{name}") for name in ("key.weight", "query.weight", "scale")
    )
    if settings.attention == "dot":
        scores = np.array([h @ m for m in memory])
    elif settings.attention == "general":
        scores = np.array([h @ key @ m for m in memory])
    else:
        scores = np.array([scale[0] @ np.tanh(query @ h + key @ m) for m in memory])
    a = np.exp(scores - scores.max())
    a /= a.sum()
    return sum(weight * m for weight, m in zip(a, memory, strict=True)), a


def decode(settings, weights, source, inputs):
    """Return the output layer's input after each input (T, E), and weights (T, S) or None."""
    shape, prefix = settings.decoder, "decoder.body."
    memory, last = encode(settings, weights, source)
    states = first_state(settings, weights, memory, last)
    a, features, seen = np.zeros(settings.fed_width), [], []
    for id in inputs:
        x = np.concatenate(
            [weights["target_words.embedding.weight"][id], a if settings.input_feeding else []]
        )
        for number in range(settings.decoder_layers):
            states[number] = layer_step(
                shape, part_of(weights, f"{prefix}layers.{number}."), x[None], list(states[number])
            )
            x = connect(shape, weights, number, x, states[number][0][0], prefix)
        if settings.attention:
            context, alpha = attend(settings, weights, x, memory)
            x = a = np.tanh(weights["decoder.combination.weight"] @ np.concatenate([x, context]))
            seen.append(alpha)
        elif "decoder.projection.weight" in weights:
            x = weights["decoder.projection.weight"] @ x + weights["decoder.projection.bias"]
        features.append(x)
    return np.array(features), np.array(seen) if seen else None


def loss(settings, weights, pairs, label_smoothing=0.0):
    """Return the mean over all target words of (1 - e) nll + e (mean over V of nll), for pairs of
    (source, inputs, targets)."""
    tied = settings.tied_embeddings
    output = weights["target_words.embedding.weight" if tied else "output.weight"]
    losses = []
    for source, inputs, targets in pairs:
        features, _ = decode(settings, weights, source, inputs)
        for feature, target in zip(features, targets, strict=True):
            nll = -log_softmax(output @ feature + weights["output.bias"])
            losses.append((1 - label_smoothing) * nll[target] + label_smoothing * nll.mean())
    return np.mean(losses)
