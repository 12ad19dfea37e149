"""The arrays of a network by name and shape, from settings and tokenizer alone: its size is known,
and a file is checked, before torch is imported or a network made.

The modules of layers/, outputs/, words.py and network.py make their weights under these names.
Shapes: V vocabulary, E width of the word vectors, H of the body's outputs.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rnnlm import satellites
from rnnlm.errors import SettingsError
from rnnlm.interface import Shapes, Tokenizer
from rnnlm.lm.neural import settings as network_settings
from rnnlm.lm.neural.alphabet import Alphabet
from rnnlm.lm.neural.settings import (
    FeedForwardSettings,
    InputSettings,
    JordanSettings,
    NetworkSettings,
    RecurrentSettings,
    Size,
    array_sizes,
    gate_sizes,
    sizes,
)

INTEGERS = ("order_V", "starts_C", "parent_M", "alias_V")  # arrays of int32; others are float32
NOISE = ("keep_V", "alias_V")  # arrays that only training reads, to draw noise words


def is_noise(name: str) -> bool:
    """Return whether the array of that name only serves to draw noise words."""
    return name.rpartition(".")[2] in NOISE


def array_shapes(
    settings: Mapping[str, Any], tokenizer: Tokenizer, stored: Shapes | None = None
) -> Shapes:
    """Return the (safetensors type, shape) by name of the arrays that a language model of these
    settings has."""
    shape = network_settings.stored(settings)
    arrays = {
        **within("input", words(shape, tokenizer)),
        **within("body", body(shape, tokenizer.size)),
        **within("output", output(shape, tokenizer.size)),
    }
    if shape.features_width != shape.output_width:
        arrays |= linear("projection", shape.output_width, shape.features_width)
    return typed(arrays)


def typed(arrays: Mapping[str, Size]) -> Shapes:
    """Return the (safetensors type, shape) of arrays."""
    return {
        name: ("I32" if name.rpartition(".")[2] in INTEGERS else "F32", size)
        for name, size in arrays.items()
    }


def within(module: str, arrays: Mapping[str, Size]) -> dict[str, Size]:
    """Return the arrays of a module by their names in the one that holds it."""
    return {f"{module}.{name}": size for name, size in arrays.items()}


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> dict[str, Size]:
    """Return the arrays of a linear layer of this name."""
    arrays: dict[str, Size] = {f"{name}.weight": (outputs, inputs)}
    if bias:
        arrays[f"{name}.bias"] = (outputs,)
    return arrays


def batch_norm(name: str, width: int) -> dict[str, Size]:
    """Return the arrays of a :class:`rnnlm.lm.neural.layers.batch_norm.BatchNorm` of this name."""
    return dict.fromkeys(
        (f"{name}.weight", f"{name}.bias", f"{name}.running_mean", f"{name}.running_var"), (width,)
    )


# ---- The parts that read words.


def words(settings: InputSettings, tokenizer: Tokenizer) -> dict[str, Size]:
    """Return the arrays of a :class:`rnnlm.lm.neural.words.WordInput`."""
    arrays: dict[str, Size] = {}
    if settings.has_word_vectors:
        arrays["embedding.weight"] = (tokenizer.size, settings.embedding_size)
    if settings.characters:
        arrays |= within("characters.reader", _characters(settings, Alphabet(tokenizer).size))
    return arrays


def _characters(settings: InputSettings, alphabet_size: int) -> dict[str, Size]:
    width = settings.character_size
    arrays: dict[str, Size] = {"vectors.weight": (alphabet_size, width)}

    # A bidirectional LSTM over the characters.
    if settings.characters == "lstm":
        hidden = settings.character_hidden_size
        matrices: dict[str, Size] = {
            "weight_ih_l0": (4 * hidden, width),
            "weight_hh_l0": (4 * hidden, hidden),
        }
        layer = matrices | dict.fromkeys(("bias_ih_l0", "bias_hh_l0"), (4 * hidden,))
        return {**arrays, **within("onwards", layer), **within("backwards", layer)}

    # Convolutions, one size of filter for each length of n-gram, then highways.
    counts = sizes(settings.character_filters)
    for characters, count in enumerate(counts, start=1):
        if count:
            arrays |= linear(f"filters.{characters}", characters * width, count)
    filters = sum(counts)
    for number in range(settings.character_highways):
        arrays |= linear(f"highways.{number}.candidate", filters, filters)
        arrays |= linear(f"highways.{number}.gate", filters, filters)
    return arrays


# ---- The body: recurrent layers, a Jordan layer or a window of words.


def body(settings: NetworkSettings, size: int) -> dict[str, Size]:
    """Return the arrays of the body of a language model of V = `size` words."""
    if isinstance(settings, RecurrentSettings):
        return stack(settings)
    if isinstance(settings, JordanSettings):
        feeds_vectors = settings.feedback == "embedding"
        fed_back = settings.embedding_size if feeds_vectors else size
        return gate_sizes(1, settings.input_width, settings.hidden_size, fed_back)
    assert isinstance(settings, FeedForwardSettings)

    # The layer that reads the window of words, and the layers above it.
    window, width = settings.context_words * settings.input_width, settings.hidden_size
    if not settings.layers:
        return {}
    arrays = gate_sizes(1, window, width)
    for number in range(settings.layers - 1):
        arrays |= linear(f"above.{number}", width, width)
    if settings.batch_norm:
        for number in range(settings.layers):
            arrays |= batch_norm(f"norms.{number}", width)
    return arrays


def stack(settings: RecurrentSettings) -> dict[str, Size]:
    """Return the arrays of recurrent layers, in one direction or both."""
    assert settings.cell is not None
    directions = ["layers"] if settings.directions == 1 else ["onwards", "backwards"]
    arrays: dict[str, Size] = {}
    below = settings.input_width
    for number, width in enumerate(settings.widths):
        with satellites.blaming("cells", settings.model):
            weights = array_sizes(settings.cell.of_layer(number), below, width)
        for direction in directions:
            arrays |= within(f"{direction}.{number}", weights)
        # The next layer's input: all directions, with dense connections all layers below, too.
        given = settings.directions * width
        below = below + given if settings.connections == "dense" else given
        if settings.connections == "highway" and number:
            arrays |= linear(f"highways.{number - 1}", given, given)
    return arrays


# ---- Output layers.


def output(settings: NetworkSettings, size: int) -> dict[str, Size]:
    """Return the arrays of the output layer for V = `size` words."""
    width = settings.features_width

    # Output layers with their own layout.
    if settings.output_layer == "adaptive":
        cutoffs = None if settings.cutoffs is None else sizes(settings.cutoffs)
        return _adaptive(size, width, cutoffs, settings.cluster_shrink)
    if settings.output_layer == "hierarchical":
        return {"weight": (size - 1, width), "bias": (size - 1,), "parent_M": (2 * size - 2,)}
    if settings.output_layer == "class":
        classes = class_count(size, settings.classes)
        arrays = softmax(size, width, settings.is_tied)
        arrays |= {"class_weight": (classes, width), "class_bias": (classes,)}
        return arrays | {"order_V": (size,), "starts_C": (classes,)}
    if settings.output_layer == "mos":
        latent, components = settings.embedding_size, settings.mixture_components
        arrays = softmax(size, latent, settings.is_tied)
        arrays |= {"prior_weight": (components, width), "latent_bias": (components * latent,)}
        return arrays | {"latent_weight": (components * latent, width)}

    # The full softmax; sampled losses add an alias table.
    arrays = softmax(size, width, settings.is_tied)
    if settings.loss != "full":
        arrays |= dict.fromkeys(NOISE, (size,))
    return arrays


def softmax(size: int, width: int, tied: bool) -> dict[str, Size]:
    """Return the arrays of a softmax over V = `size` words, of features of `width`."""
    return {"bias": (size,)} if tied else {"weight": (size, width), "bias": (size,)}


def _adaptive(
    size: int, width: int, cutoffs: tuple[int, ...] | None, shrink: float
) -> dict[str, Size]:
    head, *_ = ends = cluster_ends(size, cutoffs, shrink)
    head += len(ends) - 1
    arrays: dict[str, Size] = {"head_weight": (head, width), "head_bias": (head,)}
    for number, (start, end) in enumerate(pairwise(ends)):
        narrow = cluster_width(width, shrink, number + 1)
        arrays[f"projections.{number}"] = (narrow, width)
        arrays[f"weights.{number}"] = (end - start, narrow)
        arrays[f"biases.{number}"] = (end - start,)
    return arrays | {"order_V": (size,)}


# Clusters of the adaptive softmax (Grave et al. 2017; outputs/classes.py).

SMALLEST_HEAD = 2048
NARROWEST_CLUSTER = 16


def cluster_ends(size: int, cutoffs: tuple[int, ...] | None, shrink: float) -> tuple[int, ...]:
    """Return the ranks at which the clusters of V = `size` words end, the head's first; refuse
    cut-offs that do not ascend between 1 and V - 1."""
    if cutoffs is None:
        cutoffs = default_cutoffs(size, shrink)
    if any(end <= start for start, end in pairwise((0, *cutoffs, size))):
        raise SettingsError(
            f"cutoffs = {','.join(map(str, cutoffs))} is not valid",
            "cut-offs must ascend, starting at 1 or later, and stay below the vocabulary's "
            f"{size} words",
            "change them, or leave cutoffs out",
        )
    return (*cutoffs, size)


def default_cutoffs(size: int, shrink: float) -> tuple[int, ...]:
    """Return where clusters end by default, from V and the shrinking factor s alone, taking counts
    to be Zipf's, p ~ 1 / rank.

    With a head of k words and one tail, a token costs k + p_tail (V - k) / s columns of width E
    (the paper's cost model without its constant; p_tail = ln(V / k) / ln V), which is least near k
    = V / (s ln V). A second cut-off at the geometric mean of k and V halves the tail's mass and its
    cost more than that; the head is then most of the whole. A third could save another quarter, but
    gives the words behind it still narrower vectors. A head below 2,048 words saves nothing beside
    the hidden layers (an LSTM of 512 units has 4,096 columns of that width) and costs quality;
    where that is half of the vocabulary there are no clusters.
    """
    if size <= 2 * SMALLEST_HEAD:
        return ()
    head = max(SMALLEST_HEAD, round(size / (shrink * math.log(size))))
    return head, round(math.sqrt(head * size))


def cluster_width(width: int, shrink: float, i: int) -> int:
    """Return the width of the i-th tail: E / shrink^i, but not below 16 (narrower products save no
    time), nor above E."""
    return min(width, max(NARROWEST_CLUSTER, int(width / shrink**i)))


def class_count(size: int, classes: int | None) -> int:
    """Return the number of classes of V = `size` words; by default the square root of V."""
    if classes is None:
        return round(math.sqrt(size))
    if classes > size:
        raise SettingsError(
            f"classes = {classes} is more than the vocabulary's {size} words",
            hint="lower it, or leave it out",
        )
    return classes
