"""Import the recurrent language models of PyTorch's word_language_model, colorlessgreenRNNs,
neural-complexity and awd-lstm-lm.

All of them have an `encoder`, recurrent layers (`rnn`, in awd-lstm-lm `rnns.N`) and a `decoder`.
LSTM and Elman layers add their two biases; the GRU keeps the second one, which its reset gate
multiplies.
"""

import re
import time
from collections import Counter
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
from rnnlm.storage.files.reading import binary_at, decode, decode_json, read_small
from rnnlm.storage.manifest import ModelArrays
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.tools.torch_import import FILE_KINDS
from rnnlm.tools.torch_import.reading import Stub, Tensor, TorchFile, naming, read_torch
from rnnlm.training import card
from rnnlm.training.imported import note_unreachable

ENDS = ("<eos>", BOUNDARY)  # of a line
ITS_WORDS = "name the words that the network was trained with, one a line"  # the hint
KINDS = {4: "lstm", 3: "gru", 1: "rnn"}  # by the number of gates
ACTIVATIONS = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}
REPOSITORIES = "word_language_model, colorlessgreenRNNs, neural-complexity and awd-lstm-lm"
OTHERS = {
    r"qrnn|rnns\.\d+\.(module\.)?linear\.": "a QRNN",
    r"transformer|self_attn|pos_encoder": "a Transformer",
    r"\btail_vectors\b": "a network whose softmax is split (SplitCrossEntropyLoss)",
}  # by the names in a file
ENCODER, DECODER = "input.embedding.weight", "output.weight"
OURS = {"encoder.weight": ENCODER, "decoder.weight": DECODER, "decoder.bias": "output.bias"}
_OF_LAYER = re.compile(r"rnns?\.(?:(\d+)\.)?(?:module\.)?((?:weight|bias)_[ih]h)_l(\d+)(_raw)?")


def import_torch(
    path: Path,
    output: Path,
    overwrite: bool = False,
    *,
    vocab: Path | None,
    activation: str | None = None,
    settings: TokenizerSettings = TokenizerSettings(),
) -> str:
    """Read a network from a PyTorch file, and save it in a folder; return a description of it.

    vocab: file of its words. activation: of an Elman network, where the file does not say it.

    Raises:
        UsageError: the words or the activation are not given.
        ModelError: a file cannot be read or is damaged, it holds another kind of network, or its
            words do not fit.
        OutputError: the folder cannot be written, or already holds another model.
    """
    if vocab is None:
        why = "a PyTorch file holds the weights alone"
        hint = "name the list of words, or the corpus, that it was trained with: "
        raise UsageError(f"{path} has no words", why, hint + keyword("vocab"))
    began = time.perf_counter()
    with model_folder.owned(output, overwrite, "import"):
        with naming(path):
            arrays, chosen = read_network(path, activation)
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
    path: Path, activation: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the weights of the network in a file by our names, and its settings."""
    file = read_torch(path)
    parts = dict(file.parts())
    modules = [part for part in parts.values() if isinstance(part, Stub)]
    arrays = _weights(file, parts, path)

    # The settings follow from the shapes: an LSTM has four gates.
    count = sum(name.endswith("weight_hh") for name in arrays)
    recurrent = [arrays[f"body.layers.{number}.weight_hh"] for number in range(count)]
    sizes = [weight.shape[1] for weight in recurrent]
    kind = KINDS[len(recurrent[0]) // sizes[0]]
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
    modes = [module.fields.get("mode") for module in modules]
    known = next((ACTIVATIONS[mode] for mode in modes if mode in ACTIVATIONS), None)
    if activation and (kind != "rnn" or known):
        raise UsageError(keyword("activation") + f" is not for {path}", f"it is {known or kind}")
    if kind == "rnn":
        chosen["activation"] = known or activation
        if not chosen["activation"]:
            hint = "give it: " + keyword("activation", "tanh") + " or relu"
            raise UsageError(f"{path} does not say which activation it has", hint=hint)

    # A GRU alone multiplies its second bias.
    for name in [name for name in arrays if name.endswith("bias_hh") and kind != "gru"]:
        arrays[name.replace("bias_hh", "bias_ih")] += arrays.pop(name)
    return arrays, chosen


def _weights(file: TorchFile, parts: dict[str, Tensor | Stub], path: Path) -> dict[str, np.ndarray]:
    """Return the weights of a file by our names, float32, the layers from the lowest up."""
    classes = [part.name for part in parts.values() if isinstance(part, Stub)]
    hint = f"models of {REPOSITORIES} are read"
    for pattern, other in OTHERS.items():
        if re.search(pattern, " ".join([*parts, *classes]), re.IGNORECASE):
            raise ModelError(f"{path} holds {other}", hint=hint)

    # The model may lie beside other things, such as its optimizer.
    found = next((name for name in parts if re.fullmatch(r"(.*\.)?encoder\.weight", name)), "")
    prefix = found.removesuffix("encoder.weight")
    tensors_found = {
        name.removeprefix(prefix): part
        for name, part in parts.items()
        if isinstance(part, Tensor) and name.startswith(prefix)
    }
    named: dict[str, Tensor] = {}
    layers: dict[tuple[int, int, str], Tensor] = {}
    strange = []
    for name, tensor in sorted(tensors_found.items()):
        match = _OF_LAYER.fullmatch(name)
        if name in OURS:
            named[OURS[name]] = tensor
        elif match:  # awd-lstm-lm drops elements of NAME_raw, which comes last
            layers[int(match[1] or 0), int(match[3]), match[2]] = tensor
        else:
            strange.append(name)
    numbers = {place: n for n, place in enumerate(sorted({(rnn, n) for rnn, n, _ in layers}))}
    for (rnn, n, name), tensor in layers.items():
        named[f"body.layers.{numbers[rnn, n]}.{name}"] = tensor
    if strange or not {ENCODER, DECODER, "body.layers.0.weight_hh"} <= named.keys():
        held = first_of(
            [part for part in strange or classes or parts if part] or ["no named tensors"]
        )
        raise ModelError(f"{path} holds no model that is read here", f"it holds {held}", hint)

    # Tied weights are there twice. More numbers than bytes are tensors that overlap.
    views = {name: file.array(tensor) for name, tensor in named.items()}
    if sum(view.size for view in views.values()) > len(file.bytes_N):
        raise ModelError(f"{path} is damaged", "its tensors overlap")
    arrays = {name: np.array(view, np.float32, order="C") for name, view in views.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{path} is damaged", f"{name} holds NaN or infinity")
    return arrays


# ---- The words of its rows.


def read_words(path: Path) -> list[str]:
    """Return the words of a file in the order of their ids: a line for each, or a dictionary as
    these repositories keep it, in JSON, a pickle, or a PyTorch file of a corpus."""
    with naming(path):
        if binary_at(path) in FILE_KINDS:
            words = _words_in(read_torch(path).content)
        else:
            text = decode(read_small(path), str(path), 1, None).removeprefix("\ufeff")
            try:
                words = _words_in(decode_json(text, Any))
            except ValueError:
                # Only line ends: a word may hold a no-break space.
                words = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if words is None:
        raise ModelError(f"{path} holds no list of words", hint="write one word a line")
    word, count = Counter(words).most_common(1)[0]
    if count > 1:
        raise ModelError(f"{path} lists {word!r:.80} {count} times", hint=ITS_WORDS)
    return words


def _words_in(content: Any) -> list[str] | None:
    """Return the words of a corpus, of its dictionary, of a list, or of the ids by word."""
    fields = content.fields if isinstance(content, Stub) else content
    if isinstance(fields, dict):
        for key in ("dictionary", "idx2word", "word2idx"):
            if isinstance(fields.get(key), Stub | dict | list):
                return _words_in(fields[key])
        if sorted(fields.values()) == list(range(len(fields))):
            fields = sorted(fields, key=fields.__getitem__)
    if isinstance(fields, list) and fields and all(isinstance(word, str) for word in fields):
        return fields
    return None


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
