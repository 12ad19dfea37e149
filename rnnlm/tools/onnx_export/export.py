"""Write a recurrent network as ONNX models (https://onnx.ai), which decoders run without rnnlm.

The layers are ONNX's own operators LSTM, GRU and RNN. Two models have the same weights:

step.onnx: ids (B, T), states -> logprobs (B, V) of the token after the last id, states.
score.onnx: ids (B, T), targets (B, T), states -> logprobs (B, T) of the targets, states.

With `target="sherpa"` there is one, lm.onnx, with the inputs, outputs and metadata that icefall
gives to a language model with states, and that sherpa-onnx reads in shallow fusion.

Shapes: T time, B rows, V vocabulary, E width of a layer's input, H width of a layer. The gates of a
layer are blocks of H rows in its matrices. If the signs of a gate's weights change, it becomes one
minus itself: so forms of cells that ONNX lacks are written as forms that it has.
"""

import codecs
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnnlm.amounts import amount
from rnnlm.errors import TextError, UsageError, first_of, keyword, notice, require_package, shown
from rnnlm.interface import BOUNDARY, UNKNOWN, LanguageModel, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.neural.settings import Activation, ElmanCell, GruCell, LstmCell
from rnnlm.lm.neural.trained_network import PortableNetwork, portable_network
from rnnlm.lm.ngram.arpa.writing import spell_symbols
from rnnlm.storage.files.outputs import exported_folder, save_folder
from rnnlm.storage.files.reading import read_small
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import VOCABULARY_FILE
from rnnlm.training.card import not_defaults
from rnnlm.version import __version__

OPSET, IR_VERSION = 17, 8
LARGEST = (1 << 31) - (1 << 20)  # bytes of weights: an ONNX file has less than 2 GiB
STEP, SCORE, SHERPA = "step.onnx", "score.onnx", "lm.onnx"
TOKENS, README = "tokens.txt", "README.md"
INTEGERS = ("ids", "targets", "x")  # the inputs that are no states
Target = Literal["sherpa"]


def export_onnx(
    model: LanguageModel | str | Path,
    folder: str | Path,
    *,
    target: Target | None = None,
    tokens: str | Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a network, or the one of that name, as ONNX models into a folder, with the symbols of
    its ids and a README. Return the names of the files.

    target: the program that they are for. tokens: the tokens.txt of a recogniser, whose ids the
    model is to have; with `target="sherpa"`.

    Raises:
        UsageError: the model has no ONNX form, or the package onnx is missing.
        ModelError: the model does not exist.
        TextError: `tokens` cannot be read.
        OutputError: the folder holds something else, and `overwrite` is not given, or it cannot be
            written.
    """
    folder = Path(folder)
    index = STEP if target is None else SHERPA
    model = loading.language_model_of(model, "cpu")
    network = portable_network(model)
    _check_has_operators(network)
    if target == "sherpa":
        _check_fits_sherpa(network)
    elif tokens is not None:
        raise UsageError(
            keyword("tokens") + " is the file of a recogniser",
            hint="add " + keyword("target", "sherpa"),
        )
    _onnx()
    noun = f"model in {index}"
    with exported_folder(folder, noun, index, overwrite):
        files = _contents(model, network, target, tokens)
        save_folder(folder, files)
    return list(files)


def _contents(
    model: LanguageModel, network: PortableNetwork, target: Target | None, tokens: str | Path | None
) -> dict[str, list[bytes]]:
    """Return the content of the files by name, first the one that describes the folder."""
    tokenizer = model.tokenizer
    # Without the file of a recogniser, the ids are our own.
    symbols = spell_symbols(tokenizer.symbols(), TOKENS)
    token_file = "".join(f"{symbol} {id}\n" for id, symbol in enumerate(symbols)).encode()
    size, boundary_id = tokenizer.size, tokenizer.boundary_id
    own_ids = None
    if tokens is not None:
        token_file, theirs = _read_tokens(Path(tokens))
        own_ids = _own_ids(theirs, symbols, tokenizer)
        size, boundary_id = len(own_ids), len(own_ids) - 1

    metadata = {"vocab_size": size, "fingerprint": loading.fingerprint_in_signature(model)}
    if target is None:
        models = {STEP: _step_model(network), SCORE: _score_model(network)}
        metadata |= {"boundary_id": boundary_id, "unk_id": tokenizer.unk_id}
    else:
        models = {SHERPA: _sherpa_model(network, own_ids)}
        metadata |= {
            "model_type": "rnnlm",
            "version": 1,
            "comment": "for shallow fusion only",
            "sos_id": boundary_id,
            "eos_id": boundary_id,
            "num_layers": network.settings.layers,
            "hidden_size": network.settings.widths[0],
        }

    files = {name: [_encoded(graph, metadata)] for name, graph in models.items()}
    files[TOKENS] = [token_file]
    for name, content in tokenizer.to_files().items():
        if name != VOCABULARY_FILE:  # which describes the file of tokens
            files[name] = [content]
    files[README] = [_readme(models, tokenizer, boundary_id).encode()]
    return files


# ---- Which networks fit.


def _check_has_operators(network: PortableNetwork) -> None:
    """Refuse cells that ONNX has no operator for."""
    cell, why = network.settings.cell, ""
    if not isinstance(cell, ElmanCell | GruCell | LstmCell):
        why = f"ONNX has no operator for the layers of a {network.settings.model}"
    elif isinstance(cell, LstmCell) and cell.mogrifier_rounds:
        why = "a Mogrifier changes input and state before each step, which no operator does"
    if why:
        hint = "train one of plain layers: rnnlm train --model lstm"
        raise UsageError("this model has no ONNX form", why, hint)


def _check_fits_sherpa(network: PortableNetwork) -> None:
    """Refuse networks whose states are not one h0 and one c0."""
    settings = network.settings
    hint = "leave out " + keyword("target") + ", or train one: rnnlm train --model lstm"
    if not isinstance(settings.cell, LstmCell):
        raise UsageError("sherpa reads LSTMs only", f"this is a {settings.model}", hint)
    if len(set(settings.widths)) > 1:
        why = f"the widths are {settings.layer_sizes}"
        raise UsageError("sherpa reads LSTMs with layers of one width only", why, hint)


# ---- Graphs.


def _onnx() -> Any:
    return require_package("onnx", "onnx", "ONNX models")


@dataclass
class _Graph:
    """An ONNX graph while it is built: nodes, weights by name, inputs and outputs with their
    shapes."""

    nodes: list[Any] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)

    def node(
        self, operator: str, *inputs: str, names: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Add a node. names: of its outputs. Return the name of the first one."""
        outputs = names or [f"{operator}_{len(self.nodes)}"]
        self.nodes.append(_onnx().helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add a weight, and return its name."""
        self.weights[name] = array
        return name

    def integers(self, *numbers: int) -> str:
        """Add a short list of whole numbers, and return its name."""
        return self.weight("_".join(["integers", *map(str, numbers)]), np.array(numbers))

    def linear(self, name: str, network: PortableNetwork, x_TBE: str) -> str:
        """Add the product with a matrix of the network, and its bias."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        product = self.node("MatMul", x_TBE, self.weight(weight, network.arrays[weight].T))
        return self.node("Add", product, self.weight(bias, network.arrays[bias]))


def _encoded(graph: _Graph, metadata: Mapping[str, object]) -> bytes:
    """Return a graph as an ONNX file."""
    # Protocol buffers hold less than 2 GiB.
    size = sum(array.nbytes for array in graph.weights.values())
    if size > LARGEST:
        why = f"its weights take {amount(size, unit='bytes')}; an ONNX file has less than 2 GiB"
        raise UsageError("this model has no ONNX form", why, "train one with fewer words")

    # Describe inputs and outputs, add the weights, and put the graph together.
    onnx = _onnx()

    def described(name: str, shape: Sequence[int | str]) -> Any:
        kind = onnx.TensorProto.INT64 if name in INTEGERS else onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    sides = [itertools.starmap(described, side.items()) for side in (graph.inputs, graph.outputs)]
    weights = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        for name, array in graph.weights.items()
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "language_model", *sides, weights),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="rnnlm",
        producer_version=__version__,
    )

    # Facts of the model, and a check that runtimes will accept the file.
    facts = {name: str(value) for name, value in metadata.items() if value is not None}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


# ---- Layers as operators.

# ONNX's names of activations, with their parameters.
_ACTIVATIONS: dict[Activation, dict[str, Any]] = {
    "tanh": {"activations": ["Tanh"]},
    "relu": {"activations": ["Relu"]},
    "sigmoid": {"activations": ["Sigmoid"]},
    "elu": {"activations": ["Elu"], "activation_alpha": [1.0]},
    "leaky_relu": {"activations": ["LeakyRelu"], "activation_alpha": [0.01]},
}
# For each gate in the order of ONNX, its place in ours and the sign of its weights.
_Order = tuple[tuple[int, int], ...]
_RNN: _Order = ((0, 1),)
_GRU: _Order = ((1, 1), (0, 1), (2, 1))  # z r h, of r z n
_LSTM: _Order = ((0, 1), (3, 1), (1, 1), (2, 1))  # i o f c, of i f g o
_LSTM_COUPLED: _Order = ((0, -1), (2, 1), (0, 1), (1, 1))  # of f g o: i is one minus f
_PEEPHOLES: _Order = ((0, 1), (2, 1), (1, 1))  # i o f, of i f o
_PEEPHOLES_COUPLED: _Order = ((0, -1), (1, 1), (0, 1))  # of f o


def _parts(network: PortableNetwork) -> tuple[str, ...]:
    """Return the states of each layer."""
    return ("h", "c") if isinstance(network.settings.cell, LstmCell) else ("h",)


def _add_layer(
    graph: _Graph, network: PortableNetwork, number: int, x_TBE: str, states: Sequence[str]
) -> tuple[str, list[str]]:
    """Add layer `number`, counted from 0. Return its outputs (T, B, H), and its states."""
    cell, width = network.settings.cell, network.settings.widths[number]
    attributes: dict[str, Any] = {"hidden_size": width}
    peephole_order = _PEEPHOLES
    if isinstance(cell, ElmanCell):
        operator, order = "RNN", _RNN
        attributes |= _ACTIVATIONS[cell.activation]
    elif isinstance(cell, GruCell):
        operator, order = "GRU", _GRU
        attributes["linear_before_reset"] = int(cell.reset_gate == "after")
    else:
        assert isinstance(cell, LstmCell)
        operator, order = "LSTM", _LSTM
        if cell.coupled_gates:
            order, peephole_order = _LSTM_COUPLED, _PEEPHOLES_COUPLED

    def arranged(name: str, order: _Order) -> np.ndarray:
        """Return the blocks of an array in this order, below an axis of directions."""
        array = network.arrays.get(f"layers.{number}.{name}")
        if array is None:  # all but GRUs have one bias
            array = np.zeros_like(network.arrays[f"layers.{number}.bias_ih"])
        blocks = np.split(array, len(array) // width)
        return np.concatenate([sign * blocks[place] for place, sign in order])[np.newaxis]

    # The fifth input is the rows' lengths, which are all T.
    matrices = {name: arranged(name, order) for name in ("weight_ih", "weight_hh")}
    biases = [arranged(name, order) for name in ("bias_ih", "bias_hh")]
    matrices["bias"] = np.concatenate(biases, axis=1)
    inputs = [graph.weight(f"layers.{number}.{name}", array) for name, array in matrices.items()]
    inputs = [x_TBE, *inputs, "", *states]
    if f"layers.{number}.peepholes" in network.arrays:
        seen = arranged("peepholes", peephole_order)
        inputs.append(graph.weight(f"layers.{number}.peepholes", seen))
    after = [f"next_{part}_{number + 1}" for part in _parts(network)]
    output = f"layers.{number}.output"
    graph.node(operator, *inputs, names=[output, *after], **attributes)
    return graph.node("Squeeze", output, graph.integers(1)), after


def _add_connection(
    graph: _Graph, network: PortableNetwork, number: int, x_TBE: str, y_TBH: str
) -> str:
    """Add the computation of :meth:`rnnlm.lm.neural.layers.layers.Stack.connect`."""
    connections = network.settings.connections
    if connections == "dense":
        return graph.node("Concat", x_TBE, y_TBH, axis=2)
    if number == 0 or connections == "plain":
        return y_TBH
    if connections == "residual":
        return graph.node("Add", x_TBE, y_TBH)
    t_TBH = graph.node("Sigmoid", graph.linear(f"highways.{number - 1}", network, x_TBE))
    return graph.node("Add", x_TBE, graph.node("Mul", t_TBH, graph.node("Sub", y_TBH, x_TBE)))


# ---- Networks as graphs.


def _without_negative(graph: _Graph, ids_BT: str, size: int) -> str:
    """Put `size`, which no table has, in the place of ids below 0: `Gather` would count them from
    the end of the table, where an error is due."""
    is_negative_BT = graph.node("Less", ids_BT, graph.integers(0))
    return graph.node("Where", is_negative_BT, graph.integers(size), ids_BT)


def _add_network(
    graph: _Graph, network: PortableNetwork, ids_BT: str, states: Sequence[str]
) -> tuple[str, list[str]]:
    """Add words, layers and projection. Return the output layer's input, (T, B, E), and the states,
    (1, B, H) each."""
    table = graph.weight("embedding.weight", network.arrays["embedding.weight"])
    ids_BT = _without_negative(graph, ids_BT, len(network.arrays["embedding.weight"]))
    x_TBE = graph.node("Gather", table, graph.node("Transpose", ids_BT, perm=[1, 0]))
    after: list[str] = []
    for number in range(network.settings.layers):
        before = states[len(after) :][: len(_parts(network))]
        y_TBH, layer_after = _add_layer(graph, network, number, x_TBE, before)
        x_TBE = _add_connection(graph, network, number, x_TBE, y_TBH)
        after += layer_after
    if "projection.weight" in network.arrays:
        x_TBE = graph.linear("projection", network, x_TBE)
    return x_TBE, after


def _add_softmax(graph: _Graph, network: PortableNetwork, x_NE: str, name: str) -> str:
    """Add the log-probabilities (N, V) of all tokens, of that name."""
    weight = "embedding.weight"  # of a tied output, and in the graph already
    if not network.is_tied:
        weight = graph.weight("output.weight", network.arrays["output.weight"])
    bias = graph.weight("output.bias", network.arrays["output.bias"])
    logits_NV = graph.node("Gemm", x_NE, weight, bias, transB=1)
    return graph.node("LogSoftmax", logits_NV, names=[name], axis=1)


def _add_last(graph: _Graph, network: PortableNetwork, x_TBE: str, name: str) -> str:
    """Add the log-probabilities (B, V) of the token after the last id, of that name."""
    last_1BE = graph.node("Gather", x_TBE, graph.integers(-1))
    return _add_softmax(graph, network, graph.node("Squeeze", last_1BE, graph.integers(0)), name)


def _with_states(network: PortableNetwork, *inputs: str) -> tuple[_Graph, str]:
    """Return a graph that reads these inputs (B, T), ids first, and has states before and after;
    and its output layer's input, (T, B, E)."""
    graph = _Graph(inputs=dict.fromkeys(inputs, ("B", "T")))
    states = {}
    for number, width in enumerate(network.settings.widths, start=1):
        for part in _parts(network):
            states[f"{part}_{number}"] = (1, "B", width)
    x_TBE, after = _add_network(graph, network, inputs[0], list(states))
    graph.inputs |= states
    graph.outputs = dict(zip(["logprobs", *after], [(), *states.values()], strict=True))
    return graph, x_TBE


def _step_model(network: PortableNetwork) -> _Graph:
    graph, x_TBE = _with_states(network, "ids")
    _add_last(graph, network, x_TBE, "logprobs")
    graph.outputs["logprobs"] = ("B", len(network.arrays["output.bias"]))
    return graph


def _score_model(network: PortableNetwork) -> _Graph:
    graph, x_TBE = _with_states(network, "ids", "targets")
    flat = graph.integers(-1, network.settings.features_width)
    logprob_NV = _add_softmax(graph, network, graph.node("Reshape", x_TBE, flat), "all_logprobs")

    # Look up the targets, whose padding of -1 scores 0.
    targets_TB = graph.node("Transpose", "targets", perm=[1, 0])
    target_N1 = graph.node("Reshape", targets_TB, graph.integers(-1, 1))
    found_N1 = graph.node("GatherElements", logprob_NV, target_N1, axis=1)
    is_padding_N1 = graph.node("Less", target_N1, graph.integers(0))
    zero = graph.weight("zero", np.zeros(1, np.float32))
    logprob_N1 = graph.node("Where", is_padding_N1, zero, found_N1)
    logprob_TB = graph.node("Reshape", logprob_N1, graph.node("Shape", targets_TB))
    graph.node("Transpose", logprob_TB, names=["logprobs"], perm=[1, 0])
    graph.outputs["logprobs"] = ("B", "T")
    return graph


# ---- sherpa-onnx: its OnlineRnnLM calls a model by position, and reads the shape of h0 and c0, and
# the first input, from the metadata. In shallow fusion the first output is the log-probabilities of
# all next tokens. Otherwise it would be the score of a line: another model.


def _sherpa_model(network: PortableNetwork, own_ids: Sequence[int] | None) -> _Graph:
    layers = network.settings.layers
    shape = (layers, "N", network.settings.widths[0])
    graph = _Graph(inputs={"x": ("N", "L"), "h0": shape, "c0": shape})

    # Cut the states apart, h and c of each layer.
    states = []
    for number in range(layers):
        for name in ("h0", "c0"):
            states.append(graph.node("Gather", name, graph.integers(number)))
    if own_ids is None:
        x_TBE, after = _add_network(graph, network, "x", states)
        _add_last(graph, network, x_TBE, "log_softmax")
    else:
        ids_V = graph.weight("own_ids", np.array(own_ids))
        theirs_NL = _without_negative(graph, "x", len(own_ids))
        x_TBE, after = _add_network(graph, network, graph.node("Gather", ids_V, theirs_NL), states)
        logprob_NV = _add_last(graph, network, x_TBE, "all_logprobs")
        graph.node("Gather", logprob_NV, ids_V, names=["log_softmax"], axis=1)
    graph.outputs["log_softmax"] = ("N", len(own_ids or network.arrays["output.bias"]))
    for place, name in enumerate(("next_h0", "next_c0")):
        graph.node("Concat", *after[place::2], names=[name], axis=0)
        graph.outputs[name] = shape
    return graph


def _read_tokens(path: Path) -> tuple[bytes, list[str]]:
    """Return the file of a recogniser, and its symbols by id. Each line is a symbol and its id; an
    id alone is the id of a space."""
    try:
        content = read_small(path).removeprefix(codecs.BOM_UTF8)
        return content, _symbols_by_id(content.decode("utf-8").split("\n"))
    except OSError as error:
        raise TextError(f"cannot read {path}", error.strerror or str(error)) from None
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
        hint = "each line must be a symbol and its id, and ids must be 0, 1, 2 and so on"
        raise TextError(f"{path} is not a list of tokens", why, hint) from None


def _symbols_by_id(lines: Sequence[str]) -> list[str]:
    # Each line is a symbol and its id; a line with an id alone is a space.
    symbols: dict[int, str] = {}
    places: dict[int | str, int] = {}  # lines of ids and of symbols
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        *start, last = line.rsplit(maxsplit=1)
        symbol = start[0] if start else "\u2581"
        if not (last.isascii() and last.isdigit()):
            raise ValueError(f"line {number} has no id: {shown(line)}")
        id = int(last)
        for value in (symbol, id):
            if value in places:
                raise ValueError(f"line {number} has {value} again, after line {places[value]}")
            places[value] = number
        symbols[id] = symbol

    # The ids must be 0, 1, 2 and so on.
    for id, found in enumerate(sorted(symbols)):
        if found != id:
            raise ValueError(f"line {places[found]} has the id {found}, and no line has {id}")
    return [symbols[id] for id in range(len(symbols))]


def _own_ids(theirs: Sequence[str], ours: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """Return our id for each symbol of a recogniser, and then the id of the boundary. Send a notice
    of symbols that are unknown to us."""
    ids = {symbol: id for id, symbol in enumerate(ours)}
    unknown = [symbol for symbol in theirs if symbol not in ids]
    if len(unknown) == len(theirs):
        raise UsageError(
            "the model has none of these tokens",
            f"its tokens are {first_of(ours[2:])}",
            "train it on text in the recogniser's tokens, with spaces between them",
        )
    if unknown:
        notice(f"{first_of(unknown, 5)}: tokens that are {UNKNOWN} to the model")
    default = tokenizer.boundary_id if tokenizer.unk_id is None else tokenizer.unk_id
    return [*(ids.get(symbol, default) for symbol in theirs), tokenizer.boundary_id]


# ---- The README beside the models.

_README = f"""# A language model for ONNX

Written by rnnlm {__version__}. Text is split into tokens with {{settings}}.
{TOKENS} has each symbol and its id.

The id {{boundary}} is the boundary, {BOUNDARY}: the first input of every text, and the end of each
line. States are zeros before it. No call changes its states: they may be used again.
"""
_ABOUT = {
    STEP: "Natural log-probabilities of all tokens that can follow the last of `ids`.",
    SCORE: "Natural log-probabilities of `targets`, each after the ids up to its place. A target "
    "of -1 is padding, and scores 0. Memory grows with B T V.",
    SHERPA: "Natural log-probabilities of all tokens that can follow the last of `x`.",
}
_TABLE = """
## {name}

{about}

| | name | type | shape |
|---|---|---|---|
"""
_EXAMPLE = """
## Example

The log-probabilities of a line: of its tokens, and of the boundary after the last one.

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("score.onnx")
states = {{}}
for value in session.get_inputs()[2:]:
    states[value.name] = np.zeros((1, 1, value.shape[2]), np.float32)
line = [{first}, {second}]  # ids of tokens
ids, targets = np.array([[{boundary}, *line]]), np.array([[*line, {boundary}]])
logprobs, *states = session.run(None, {{"ids": ids, "targets": targets, **states}})
print(logprobs)
```
"""
_SHERPA = """
## Use

    sherpa-onnx --decoding-method=modified_beam_search --lm=lm.onnx --lm-scale=0.3 ...

The ids must be those of the recogniser: `rnnlm export --tokens` takes its tokens.txt.

For shallow fusion only, which is sherpa's default (`--lm-shallow-fusion=true`). Its rescoring takes
the first output for the score of a whole line, which it is not.
"""


def _readme(models: Mapping[str, _Graph], tokenizer: Tokenizer, boundary_id: int) -> str:
    """Return the facts that a person needs to run the models."""
    settings = not_defaults(tokenizer.to_settings(), TokenizerSettings)
    shown = ", ".join([f"tokenizer={tokenizer.name}", *settings])
    text = _README.format(settings=shown, boundary=boundary_id)
    for name, graph in models.items():
        text += _TABLE.format(name=name, about=_ABOUT[name])
        for side, values in (("input", graph.inputs), ("output", graph.outputs)):
            for value, shape in values.items():
                type_ = "int64" if value in INTEGERS else "float32"
                text += f"| {side} | `{value}` | {type_} | ({', '.join(map(str, shape))}) |\n"
    if SHERPA in models:
        return text + _SHERPA
    first, second = [id for id in range(3) if id != boundary_id][:2]
    return text + _EXAMPLE.format(first=first, second=second, boundary=boundary_id)
