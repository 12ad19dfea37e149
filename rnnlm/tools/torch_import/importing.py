"""Import the recurrent language models of PyTorch's word_language_model, colorlessgreenRNNs,
neural-complexity and awd-lstm-lm.

All of them have an `encoder`, recurrent layers (`rnn`, in awd-lstm-lm `rnns.N`) and a `decoder`.
LSTM and Elman layers add their two biases; the GRU keeps the second one, which its reset gate
multiplies.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.config import SettingsLayer, as_stored, resolve
from rnnlm.errors import ModelError, UsageError, first_of, keyword, notice
from rnnlm.interface import BOUNDARY, UNKNOWN
from rnnlm.storage import model_folder
from rnnlm.storage.files import tensors
from rnnlm.storage.files.reading import binary_at
from rnnlm.storage.manifest import ModelArrays
from rnnlm.text import word_lists
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.tools.torch_import import FILE_KINDS
from rnnlm.tools.torch_import.reading import Stub, Tensor, TorchFile, as_float32, naming, read_torch
from rnnlm.training import card
from rnnlm.training.imported import note_unreachable

ENDS = ("<eos>", BOUNDARY)  # of a line
ITS_WORDS = "name the words that the network was trained with, one a line"  # the hint
KINDS = {4: "lstm", 3: "gru", 1: "rnn"}  # by the number of gates
ACTIVATIONS = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}
REPOSITORIES = "word_language_model, colorlessgreenRNNs, neural-complexity and awd-lstm-lm"
THOSE_READ = f"models of {REPOSITORIES} are read"
# By the names of tensors and classes in a file: what it holds, and a hint.
SPLIT = {
    r"\btail_vectors\b": ("a network whose softmax is split (SplitCrossEntropyLoss)", THOSE_READ)
}
OTHERS = {
    r"qrnn|rnns\.\d+\.(module\.)?linear\.": ("a QRNN", THOSE_READ),
    r"transformer|self_attn|pos_encoder": ("a Transformer", THOSE_READ),
    r"weight_hr_l\d": ("an LSTM with projections (proj_size)", THOSE_READ),
    r"_l\d+_reverse": ("a network of two directions", "a language model reads in one"),
    r"_packed_params|_all_weight_values|qtensor": (
        "a network that is quantised", "save it before it is quantised",
    ),
    r"\bparametrizations\.": (
        "a weight that is parametrised, as dropout, softplus and orthogonal leave it alike",
        "if it is the weight drop of awd-lstm-lm: " + keyword("weight_drop", True),
    ),
}  # fmt: skip
ENCODER, DECODER = "input.embedding.weight", "output.weight"
OURS = {"encoder.weight": ENCODER, "decoder.weight": DECODER, "decoder.bias": "output.bias"}
RAW = ("_raw", ".original")  # the ends of names of weights whose elements are dropped
_OF_LAYER = re.compile(
    r"(?P<of>rnns?\.(?:(?P<rnn>\d+)\.)?(?:module\.)?(?P<is_changed>parametrizations\.)?"
    r"(?P<weight>(?:weight|bias)_[ih]h)_l(?P<layer>\d+))(_raw|\.original)?"
)


def import_torch(
    path: Path,
    output: Path,
    overwrite: bool = False,
    *,
    vocab: Path | None,
    activation: str | None = None,
    part: str | None = None,
    weight_drop: bool = False,
    settings: TokenizerSettings = TokenizerSettings(),
) -> str:
    """Read a network from a PyTorch file, and save it in a folder; return a description of it.

    vocab: file of its words. activation: of an Elman network, where the file does not say it.
    part: the network to read of several, by the beginning of its names. weight_drop: parametrised
    weights are those whose elements are dropped in training.

    Raises:
        UsageError: the words or the activation are not given.
        ModelError: a file cannot be read or is damaged, it holds another kind of network, or its
            words do not fit.
        TextError: there is no list of words.
        OutputError: the folder cannot be written, or already holds another model.
    """
    if vocab is None:
        why = "a PyTorch file holds the weights alone"
        hint = "name the list of words, or the corpus, that it was trained with: "
        raise UsageError(f"{path} has no words", why, hint + keyword("vocab"))
    began = time.perf_counter()
    with model_folder.owned(output, overwrite, "import"):
        with naming(path):
            arrays, chosen = read_network(path, activation, part, weight_drop)
            symbols = _arranged(arrays, read_words(vocab), vocab)

        # The shapes of all arrays follow from the settings.
        tokenizer = WordTokenizer(settings, Vocabulary(tuple(symbols), None))
        kind = registry.kind_of(chosen["model"])
        layer = SettingsLayer(str(path), chosen | tokenizer.to_settings())
        stored = as_stored(resolve(kind.all_settings, [layer]).values)
        with model_folder.naming_folder(path):
            tensors.check_shapes(arrays, kind.array_shapes(stored, tokenizer))
        note_unreachable(tokenizer)

        # Save it as if it had been trained here, with where it comes from.
        seconds = round(time.perf_counter() - began, 1)
        facts = {"imported_from": f"{path} (PyTorch)", "seconds": seconds}
        saved = ModelArrays(tokenizer, arrays)
        manifest = model_folder.save(output, saved, kind.name, stored, 0, facts)
        card.write(output, manifest, tokenizer)
    return f"a network of kind {kind.name}, V = {tokenizer.size:,}"


def read_network(
    path: Path, activation: str | None = None, part: str | None = None, drops_weights: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the weights of a network in a file by our names, and its settings; the arguments are
    those of :func:`import_torch`."""
    file = read_torch(path)
    network = _chosen_network(file, path, part, drops_weights)
    arrays = _weights(file, network, path)

    # The settings follow from the shapes: an LSTM has four gates.
    count = sum(name.endswith("weight_hh") for name in arrays)
    recurrent = [arrays[f"body.layers.{number}.weight_hh"] for number in range(count)]
    sizes = [weight.shape[1] for weight in recurrent]
    gates = len(recurrent[0]) // sizes[0]
    if gates not in KINDS:
        raise ModelError(
            f"{path} holds no model that is read here", f"its cells have {gates} gates"
        )
    kind = KINDS[gates]
    chosen = {
        "model": kind,
        "embedding_size": arrays[ENCODER].shape[1],
        "hidden_size": sizes[-1],
        "layers": len(sizes),
        "layer_sizes": ",".join(map(str, sizes)) if len(set(sizes)) > 1 else None,
        "tied": np.array_equal(arrays[ENCODER], arrays[DECODER]),
    }
    if chosen["tied"]:
        del arrays[DECODER]

    # But Elman layers of tanh and of ReLU have the same weights.
    known = " and ".join(sorted(network.activations))
    if activation and (kind != "rnn" or known):
        raise UsageError(keyword("activation") + f" is not for {path}", f"it is {known or kind}")
    if kind == "rnn":
        chosen["activation"] = known or activation
        if not chosen["activation"]:
            hint = "give it: " + keyword("activation", "tanh") + " or relu"
            raise UsageError(f"{path} does not say which activation it has", hint=hint)
        if len(network.activations) > 1:
            raise ModelError(f"{path} holds layers of {known}", "all layers have one activation")

    # A GRU alone multiplies its second bias.
    for name in [name for name in arrays if name.endswith("bias_hh") and kind != "gru"]:
        arrays[name.replace("bias_hh", "bias_ih")] += arrays.pop(name)
    return arrays, chosen


# ---- The networks of a file. One may lie beside other things, such as its optimizer, or a second
# network: the best one, or averaged weights.


@dataclass(frozen=True)
class Network:
    """A network in a file, or what there is of one.

    prefix: the beginning of its names. tensors: by our names. strange: names of other tensors.
    gaps: layers that are missing below others. activations: of Elman modules.
    """

    prefix: str
    tensors: dict[str, Tensor]
    strange: list[str]
    gaps: list[str]
    activations: frozenset[str]

    @property
    def name(self) -> str:
        """What `part` calls it; "." is all of the file."""
        return self.prefix.removesuffix(".") or "."

    @property
    def is_whole(self) -> bool:
        """Whether it has an encoder, layers and a decoder, all of sizes that fit."""
        if self.strange or not {ENCODER, DECODER, "body.layers.0.weight_hh"} <= self.tensors.keys():
            return False
        size = self.tensors[ENCODER].shape[-1]
        for number in range(sum(name.endswith("weight_hh") for name in self.tensors)):
            below = self.tensors.get(f"body.layers.{number}.weight_ih")
            if below is None or below.shape[-1] != size:
                return False
            size = self.tensors[f"body.layers.{number}.weight_hh"].shape[-1]
        return bool(self.tensors[DECODER].shape[-1] == size)


def _chosen_network(file: TorchFile, path: Path, part: str | None, drops_weights: bool) -> Network:
    """Return the network of a file, or the one called `part`; refuse to choose between several."""
    parts = dict(file.parts())
    prefixes = [
        name.removesuffix("encoder.weight")
        for name in parts
        if re.fullmatch(r"(.*\.)?encoder\.weight", name)
    ]
    found = [_network(parts, prefix, prefixes, drops_weights) for prefix in prefixes]
    whole = [network for network in found if network.is_whole]
    _refuse_others(parts, has_network=bool(whole), path=path)

    # What somebody names is taken, if it is there.
    by_name = {network.name: network for network in whole or found}
    if part is not None:
        if part not in by_name:
            why = f"it holds {first_of([*by_name]) or 'none'}"
            raise ModelError(f"{path} holds no network called {part!r}", why)
        return by_name[part]

    # Networks that are equal are one.
    if any(not _is_equal(file, whole[0], other) for other in whole[1:]):
        hint = "name one with " + keyword("part", whole[0].name)
        raise ModelError(f"{path} holds {plural(len(whole), 'network')}", ", ".join(by_name), hint)
    if whole or found:
        return (whole or found)[0]
    held = [name for name in parts if name] or ["no named tensors"]
    raise _no_model(path, first_of(held))


def _network(
    parts: dict[str, Tensor | Stub], prefix: str, prefixes: list[str], drops_weights: bool
) -> Network:
    """Return what there is of a network under a prefix; others may lie within it."""
    inner = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
    own = {
        name.removeprefix(prefix): part
        for name, part in parts.items()
        if name.startswith(prefix) and not (inner and name.startswith(inner))
    }
    tensors: dict[str, Tensor] = {}
    layers: dict[tuple[int, int, str], Tensor] = {}
    strange = []
    # A weight that is dropped is there twice: NAME is stale, NAME_raw comes after it.
    for name in sorted(own, key=lambda name: (name.endswith(RAW), name)):
        part, match = own[name], _OF_LAYER.fullmatch(name)
        if not isinstance(part, Tensor):
            continue
        if name in OURS:
            tensors[OURS[name]] = part
        elif match and (drops_weights or not match["is_changed"] or _is_dropped(own, match["of"])):
            layers[int(match["rnn"] or 0), int(match["layer"]), match["weight"]] = part
        else:
            strange.append(name)

    # Layers are numbered from the lowest up, those of several modules one after the other.
    places = sorted({(rnn, layer) for rnn, layer, _ in layers})
    for (rnn, layer, name), tensor in layers.items():
        tensors[f"body.layers.{places.index((rnn, layer))}.{name}"] = tensor
    modes = {part.fields.get("mode") for part in own.values() if isinstance(part, Stub)}
    activations = frozenset(ACTIVATIONS[mode] for mode in modes if mode in ACTIVATIONS)
    return Network(prefix, tensors, strange, _gaps(places), activations)


def _gaps(places: list[tuple[int, int]]) -> list[str]:
    """Return the names of layers that are missing between or below others, given as numbers of
    modules and of layers within them."""
    highest = dict(places)
    gaps = [f"rnns.{rnn}" for rnn in range(max(highest, default=0)) if rnn not in highest]
    return gaps + [
        f"layer {layer}"
        for rnn, last in highest.items()
        for layer in range(last)
        if (rnn, layer) not in places
    ]


def _is_dropped(own: dict[str, Tensor | Stub], parametrised: str) -> bool:
    """Return whether all that changes a parametrised weight are dropouts, by their classes, which
    a state_dict does not hold."""
    of_weight = re.compile(re.escape(parametrised) + r"\.\d+")
    classes = [
        part.name.rpartition(".")[2]
        for name, part in own.items()
        if isinstance(part, Stub) and of_weight.fullmatch(name)
    ]
    return bool(classes) and all("drop" in name.lower() for name in classes)


def _refuse_others(parts: dict[str, Tensor | Stub], has_network: bool, path: Path) -> None:
    """Refuse a network of another kind by what it is. Beside one that is read, only what changes
    its softmax counts."""
    classes = [part.name for part in parts.values() if isinstance(part, Stub)]
    names = "\n".join([*parts, *classes])
    for pattern, (other, hint) in (SPLIT if has_network else SPLIT | OTHERS).items():
        if re.search(pattern, names, re.IGNORECASE | re.MULTILINE):
            raise ModelError(f"{path} holds {other}", hint=hint)


def _no_model(path: Path, held: str) -> ModelError:
    return ModelError(f"{path} holds no model that is read here", f"it holds {held}", THOSE_READ)


def _is_equal(file: TorchFile, one: Network, other: Network) -> bool:
    """Return whether two networks have the same weights and activations."""
    if one.tensors.keys() != other.tensors.keys() or one.activations != other.activations:
        return False
    return all(
        np.array_equal(file.array(tensor), file.array(other.tensors[name]))
        for name, tensor in one.tensors.items()
    )


def _weights(file: TorchFile, network: Network, path: Path) -> dict[str, np.ndarray]:
    """Return the weights of a network by our names, float32, the layers from the lowest up."""
    if network.gaps:
        raise ModelError(f"{path} lacks {first_of(network.gaps)}", "the layers above it are there")
    if network.strange or not {ENCODER, DECODER, "body.layers.0.weight_hh"} <= {*network.tensors}:
        raise _no_model(path, first_of(network.strange or [network.prefix + "encoder.weight"]))

    # Tied weights are there twice. More numbers than bytes are tensors that overlap.
    views = {name: file.array(tensor) for name, tensor in network.tensors.items()}
    if sum(view.size for view in views.values()) > len(file.bytes_N):
        raise ModelError(f"{path} is damaged", "its tensors overlap")
    arrays = {name: as_float32(view) for name, view in views.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{path} is damaged", f"{name} holds NaN or infinity")

    # Without biases (bias=False), they are zero.
    for name in [name for name in arrays if name.endswith("weight_hh")]:
        layer = name.removesuffix("weight_hh")
        biases = [f"{layer}bias_ih", f"{layer}bias_hh"]
        if not arrays.keys() & {*biases}:
            arrays |= {bias: np.zeros(len(arrays[name]), np.float32) for bias in biases}
    arrays.setdefault("output.bias", np.zeros(len(arrays[DECODER]), np.float32))
    return arrays


# ---- The words of its rows.


def read_words(path: Path) -> list[str]:
    """Return the words of a file in the order of their ids: a list, or a dictionary as these
    repositories keep it, in a pickle or a PyTorch file of a corpus."""
    with naming(path):
        if binary_at(path) in FILE_KINDS:
            content = _without_stubs(read_torch(path).content)
            words = word_lists.words_in(content, str(path), needs_order=True)
        else:
            words = word_lists.read_words(str(path), needs_order=True)
    word, count = Counter(words).most_common(1)[0]
    if count > 1:
        raise ModelError(f"{path} lists {word!r:.80} {count} times", hint=ITS_WORDS)
    return words


def _without_stubs(part: Any) -> Any:
    """Return a corpus or what it holds as a dictionary of its attributes; other parts as they
    are."""
    if isinstance(part, Stub):
        part = part.fields
    if isinstance(part, dict):
        held = {name: _without_stubs(part[name]) for name in word_lists.HOLDERS if name in part}
        return part | held
    return part


def _arranged(arrays: dict[str, np.ndarray], words: list[str], vocab: Path) -> list[str]:
    """Put the rows of words into the order of our vocabularies; return its symbols."""
    rows = len(arrays[ENCODER])
    if len(words) != rows:
        raise ModelError(
            f"{vocab} has {plural(len(words), 'word')}, the embedding {rows:,} rows", hint=ITS_WORDS
        )
    ends = [word for word in words if word in ENDS]
    if len(ends) != 1:
        why = "it has both <eos> and </s>" if ends else "it has no <eos>"
        raise ModelError(f"{vocab} does not say which word ends a line", why, ITS_WORDS)

    of_words = [name for name in (ENCODER, DECODER, "output.bias") if name in arrays]
    if UNKNOWN not in words:
        words = [*words, UNKNOWN]
        notice(f"{vocab} has no <unk>: unknown words get probability zero, and are read as zeros")
        for name in of_words:
            row = np.full((1, *arrays[name].shape[1:]), 0 if name != "output.bias" else -np.inf)
            arrays[name] = np.concatenate([arrays[name], row.astype(np.float32)])
    number_of = {word: number for number, word in enumerate(words)}
    number_of = {ends[0]: 0, UNKNOWN: 0} | number_of
    order_V = list(number_of.values())
    for name in of_words:
        arrays[name] = arrays[name][order_V]
    return [BOUNDARY, *list(number_of)[1:]]
