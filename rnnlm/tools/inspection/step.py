"""Compute an Elman network of a few units by hand: states, probabilities, losses, and gradients
through time."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm.amounts import NUMBER, number, plural
from rnnlm.errors import TextError, UsageError, nearest, shown
from rnnlm.evaluation import plotting
from rnnlm.lm.neural.activations import BY_NAME, Activation
from rnnlm.storage.files.reading import decode_json, read_by_hand
from rnnlm.tabular import Table, to_builtins
from rnnlm.tools.inspection.common import Inspection, check_positive

# ---- A network and the words that it reads, as a person writes them: in a file or as options.
#
# Vectors are rows, as on a blackboard: x (1, E) times U (E, H).

MOST = 50  # words, units, numbers of a vector: a size that a person can follow
MOST_BYTES = 1 << 20
# The strings of JSON, and the numbers outside of them as people type them
_NUMBERS = re.compile(rf'("(?:[^"\\]|\\.)*")|(?<![\w.]){NUMBER}(?![\w.])')


class LessonFile(msgspec.Struct, forbid_unknown_fields=True):
    """A lesson as it is written. words: the words to read, separated by spaces. targets: the word
    that each prediction should be, for the first words if there are fewer; None: the next word.
    labels: names of the predictions, in the order of V's columns, as in a tagger; None: words.
    vectors: vectors of each word that may be read, and predicted if there are no labels, in the
    order of V's columns; None: one-hot, in the order in which words and targets have them. b, c,
    initial: zeros where they are None."""

    U: list[list[float]]
    W: list[list[float]]
    V: list[list[float]]
    words: str
    targets: str | None = None
    labels: str | None = None
    vectors: dict[str, list[float]] | None = None
    b: list[float] | None = None
    c: list[float] | None = None
    initial: list[float] | None = None
    activation: str = "tanh"


# The lecture's example: after "a", "rusty", "can" and the end of the line
RUSTY_CAN: dict[str, object] = {
    "words": "a rusty can </s>",
    "targets": "rusty can </s> a",
    "activation": "relu",
    "U": [[1, 1], [2, 0], [0.5, 1]],
    "W": [[0, 1], [1, 0]],
    "V": [[0, 0.5, 0, -0.5], [0, 0, 0.5, 0.5]],
    "b": [0, 0],
    "c": [0, 0, 0, 0],
    "initial": [0, 0],
    "vectors": {"a": [1, 0, 0], "rusty": [1, 1, 2], "can": [1, -1, 1], "</s>": [-4, -1, 0]},
}
_FIELDS = LessonFile.__struct_fields__


@dataclass(frozen=True)
class ElmanNetwork:
    """h_t = f(x_t U + h_{t-1} W + b), y_t = softmax(h_t V + c). vocabulary: the words that it
    reads, with their vectors as rows. outputs: names of V's columns: the same words, or labels."""

    vocabulary: tuple[str, ...]
    outputs: tuple[str, ...]
    vectors_VE: np.ndarray
    U_EH: np.ndarray
    W_HH: np.ndarray
    V_HV: np.ndarray
    b_H: np.ndarray
    c_V: np.ndarray
    initial_H: np.ndarray
    activation: Activation

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The parameters to train, by the names of the textbook."""
        return {"U": self.U_EH, "W": self.W_HH, "V": self.V_HV, "b": self.b_H, "c": self.c_V}


@dataclass(frozen=True)
class Lesson:
    """A network, the numbers of the T words that it reads, and the numbers of the first words'
    targets among its outputs."""

    network: ElmanNetwork
    words_T: tuple[int, ...]
    targets: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as it is written in a file."""
        network = self.network
        names = network.vocabulary
        labels = {} if network.outputs == names else {"labels": " ".join(network.outputs)}
        content = {
            "words": " ".join(names[word] for word in self.words_T),
            "targets": " ".join(network.outputs[target] for target in self.targets),
            **labels,
            "activation": network.activation.name,
            **network.weights,
            "initial": network.initial_H,
            "vectors": dict(zip(names, network.vectors_VE, strict=True)),
        }
        return dict(to_builtins(content))


def read_lesson(
    source: str | Path | Mapping[str, object] | None = None, assignments: Sequence[str] = ()
) -> Lesson:
    """Read a lesson from a TOML or JSON file, or take it as it is; None: `RUSTY_CAN`. assignments:
    NAME=VALUE, in JSON or as plain text, which replace values of the file."""
    if source is None:
        name, content = 'the lesson "a rusty can"', dict(RUSTY_CAN)
    elif isinstance(source, Mapping):
        name, content = "the lesson", dict(source)
    else:
        name, content = str(source), read_by_hand(Path(source), TextError, MOST_BYTES)
    given = dict(map(_assigned, assignments))
    if "words" in given:  # the targets belonged to other words
        content.pop("targets", None)

    written = _written(name, (content | given))
    activation = BY_NAME.get(written.activation)
    if activation is None:
        raise TextError(
            f"{name}: unknown activation {written.activation!r}",
            hint=nearest(written.activation, BY_NAME),
        )
    words, targets = _words_and_targets(name, written)
    labels = _labels(name, written, targets)
    vocabulary, vectors_VE = _vectors(name, written, words if labels else [*words, *targets])
    outputs = labels or vocabulary
    matrices = _matrices(name, written, vectors_VE, len(outputs))
    network = ElmanNetwork(
        vocabulary=tuple(vocabulary),
        outputs=tuple(outputs),
        vectors_VE=vectors_VE,
        U_EH=matrices["U"],
        W_HH=matrices["W"],
        V_HV=matrices["V"],
        b_H=matrices["b"],
        c_V=matrices["c"],
        initial_H=matrices["initial"],
        activation=activation,
    )
    return Lesson(network, tuple(map(vocabulary.index, words)), tuple(map(outputs.index, targets)))


def _assigned(text: str) -> tuple[str, object]:
    """Split NAME=VALUE. A value that is not JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or name not in _FIELDS:
        raise UsageError(f"{shown(text)} sets nothing", hint=nearest(name, _FIELDS))
    try:
        in_json = _NUMBERS.sub(lambda match: match[1] or str(number(match[0])), value)
        return name, decode_json(in_json, object)
    except ValueError:
        return name, value


def _written(name: str, content: Mapping[str, object]) -> LessonFile:
    """Return the lesson with the types that its parts should have."""
    unknown = [key for key in content if key not in _FIELDS]
    if unknown:
        raise TextError(
            f"{name} has an unknown part {unknown[0]!r}", hint=nearest(unknown[0], _FIELDS)
        )
    missing = [key for key in ("words", "U", "W", "V") if key not in content]
    if missing:
        raise TextError(
            f"{name} has no {missing[0]}",
            hint="words, U, W and V are needed: rnnlm inspect step --json shows an example",
        )
    try:
        return msgspec.convert(content, LessonFile)
    except (ValueError, OverflowError) as error:
        raise TextError(f"{name} is not a lesson", str(error).replace("$.", "")) from None


def _words_and_targets(name: str, written: LessonFile) -> tuple[list[str], list[str]]:
    """Return the words to read, and the words or labels to predict."""
    words, targets = written.words.split(), (written.targets or "").split()
    if written.targets is None and written.labels is None:
        targets = words[1:]
    if not words:
        raise TextError(f"{name} has no words", "words is empty")
    if len(targets) > len(words):
        raise TextError(
            f"{name} has {plural(len(targets), 'target')} for {plural(len(words), 'word')}"
        )
    if not targets:
        why = "it has one word and no target" if written.labels is None else "it has no targets"
        raise TextError(f"{name} predicts nothing", why, "name one: targets")
    _check_sizes(name, {"words": len(words)})
    return words, targets


def _labels(name: str, written: LessonFile, targets: Sequence[str]) -> list[str]:
    """Return the labels to predict; none where words are predicted."""
    if written.labels is None:
        return []
    labels = written.labels.split()
    _check_sizes(name, {"labels": len(labels)})
    for label, count in Counter(labels).items():
        if count > 1:
            raise TextError(f"{name} has the label {label!r} {count} times")
    for target in targets:
        if target not in labels:
            raise TextError(f"{name} has no label {target!r}", hint=nearest(target, labels))
    return labels


def _vectors(name: str, written: LessonFile, words: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the vocabulary and the vector of each of its words. words: the words that need a
    vector."""
    vocabulary = list(written.vectors or dict.fromkeys(words))
    _check_sizes(name, {"words with vectors": len(vocabulary)})
    given = written.vectors
    vectors_VE = (
        np.eye(len(vocabulary)) if given is None else _array(name, "vectors", [*given.values()])
    )
    for word in words:
        if word not in vocabulary:
            raise TextError(f"{name} has no vector for {word!r}", hint=nearest(word, vocabulary))
    return vocabulary, vectors_VE


def _matrices(
    name: str, written: LessonFile, vectors_VE: np.ndarray, V: int
) -> dict[str, np.ndarray]:
    """Return the weights and the initial state, whose sizes must go together. V: how many words or
    labels are predicted."""
    units, E = len(written.W), vectors_VE.shape[1]
    output = "word" if written.labels is None else "label"
    _check_sizes(name, {"units": units, "numbers of a vector": E})
    given = {
        "W": (written.W, (units, units), "a row and a column for each unit"),
        "U": (written.U, (E, units), "a row for each number of a vector, a column for each unit"),
        "V": (written.V, (units, V), f"a row for each unit, a column for each {output}"),
        "b": (written.b, (units,), "a number for each unit"),
        "c": (written.c, (V,), f"a number for each {output}"),
        "initial": (written.initial, (units,), "a number for each unit"),
    }
    arrays = {}
    for part, (values, shape, why) in given.items():
        arrays[part] = np.zeros(shape) if values is None else _array(name, part, values)
        if arrays[part].shape != shape:
            raise TextError(
                f"{name}: {part} is {_shape(arrays[part].shape)}, not {_shape(shape)}", why
            )
    return arrays


def _check_sizes(name: str, sizes: Mapping[str, int]) -> None:
    """Refuse sizes that are too large to follow, before anything is made of them."""
    for what, size in sizes.items():
        if size > MOST:
            raise TextError(
                f"{name} has {size:,} {what}",
                "the steps are meant to be followed by hand",
                f"use at most {MOST}",
            )


def _array(name: str, part: str, values: Sequence[float] | Sequence[list[float]]) -> np.ndarray:
    """Return a matrix or vector of finite numbers, or report its fault."""
    if not values or values[0] == []:
        raise TextError(f"{name}: {part} is empty")
    rows = [row for row in values if isinstance(row, list)]
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        why = ", ".join(map(str, lengths[:MOST]))
        raise TextError(f"{name}: the rows of {part} have different lengths", why)
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise TextError(f"{name}: {part} holds nan or inf", hint="write finite numbers")
    return array


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


# ---- Forward and back through time.
#
#     a_t = x_t U + h_{t-1} W + b,  h_t = f(a_t),  y_t = softmax(h_t V + c)      (Elman 1990)
#     L = sum_t L_t,  L_t = -ln y_t[target]
#
# and backwards, from the last word to the first (Rumelhart et al. 1986, Werbos 1990; Goodfellow et
# al. 2016, section 10.2.2):
#
#     dL/dz_t = y_t - onehot(target),   z_t = h_t V + c
#     dL/dh_t = dL/dz_t V^T + dL/da_{t+1} W^T,   dL/da_t = dL/dh_t * f'(a_t)
#     dL/dU = sum_t x_t^T dL/da_t,   dL/dW = sum_t h_{t-1}^T dL/da_t,   dL/dV = sum_t h_t^T dL/dz_t


@dataclass(frozen=True)
class Forward:
    """The values that the network computes for T words. before_TH: h_{t-1}. losses: of the words
    that have a target."""

    x_TE: np.ndarray
    before_TH: np.ndarray
    a_TH: np.ndarray
    h_TH: np.ndarray
    y_TV: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class Backward:
    """Gradients of the summed loss. own_TH: of the loss at t with respect to h_t; later_TH: of the
    losses behind it. weights: by the names of the textbook. reach_TT[t, k]: the norm of dL_t/dh_k,
    zero where k is behind t."""

    own_TH: np.ndarray
    later_TH: np.ndarray
    slope_TH: np.ndarray
    a_TH: np.ndarray
    weights: dict[str, np.ndarray]
    reach_TT: np.ndarray


def forward(lesson: Lesson) -> Forward:
    """Read the words."""
    network = lesson.network
    x_TE = network.vectors_VE[list(lesson.words_T)]
    h_H = network.initial_H
    before, sums, states = [], [], []
    for x_E in x_TE:
        before.append(h_H)
        sums.append(x_E @ network.U_EH + h_H @ network.W_HH + network.b_H)
        h_H = network.activation.function(sums[-1])
        states.append(h_H)
    h_TH = np.array(states)

    # The softmax, from which the largest sum is taken so that it does not overflow.
    z_TV = h_TH @ network.V_HV + network.c_V
    z_TV = z_TV - z_TV.max(axis=1, keepdims=True)
    logy_TV = z_TV - np.log(np.exp(z_TV).sum(axis=1, keepdims=True))
    losses = -logy_TV[range(len(lesson.targets)), list(lesson.targets)]
    return Forward(x_TE, np.array(before), np.array(sums), h_TH, np.exp(logy_TV), losses)


def backward(lesson: Lesson, read: Forward) -> Backward:
    """Go back through time, from the last word to the first."""
    network = lesson.network
    words, predicted = len(read.h_TH), len(lesson.targets)
    slope_TH = network.activation.derivative(read.h_TH)

    # The losses' own gradients; a word without a target has none.
    dz_TV = np.zeros_like(read.y_TV)
    dz_TV[:predicted] = read.y_TV[:predicted]
    dz_TV[range(predicted), list(lesson.targets)] -= 1
    own_TH = dz_TV @ network.V_HV.T

    # The gradient that each state gets from the losses behind it.
    later_TH, da_TH = np.zeros_like(own_TH), np.zeros_like(own_TH)
    for t in reversed(range(words)):
        if t + 1 < words:
            later_TH[t] = da_TH[t + 1] @ network.W_HH.T
        da_TH[t] = (own_TH[t] + later_TH[t]) * slope_TH[t]

    # Each loss alone, on its way back.
    reach_TT = np.zeros((words, words))
    for t in range(words):
        dh_H = own_TH[t]
        for k in reversed(range(t + 1)):
            reach_TT[t, k] = np.linalg.norm(dh_H)
            dh_H = (dh_H * slope_TH[k]) @ network.W_HH.T

    weights = {
        "U": read.x_TE.T @ da_TH,
        "W": read.before_TH.T @ da_TH,
        "V": read.h_TH.T @ dz_TV,
        "b": da_TH.sum(axis=0),
        "c": dz_TV.sum(axis=0),
    }
    return Backward(own_TH, later_TH, slope_TH, da_TH, weights, reach_TT)


def stepped(lesson: Lesson, gradients: Mapping[str, np.ndarray], rate: float) -> Lesson:
    """Return the lesson after one step of gradient descent. Vectors of words and the initial state
    stay."""
    before = lesson.network
    moved = {name: weight - rate * gradients[name] for name, weight in before.weights.items()}
    network = replace(
        before, U_EH=moved["U"], W_HH=moved["W"], V_HV=moved["V"], b_H=moved["b"], c_V=moved["c"]
    )
    return replace(lesson, network=network)


# ---- `rnnlm inspect step`.

NOTHING = "-"  # where there is no target
MOST_DRAWN = 4  # words of a picture, which stand side by side
FORWARD = "Forward: a = x U + h' W + b, h = f(a), loss = -ln y[target] (nats)"
PROBABILITIES = "y = softmax(h V + c): the probability of each {}"
BACKWARD = "Back through time: dh = (y - target) V^T + (da of the next word) W^T, da = dh * f'(a)"
REACH = "How much of each loss arrives at each state: the norm of dL_t/dh_k"
WEIGHTS = "Gradients of the summed loss with respect to the weights (rows and columns from 1)"


@dataclass(frozen=True, repr=False)
class StepInspection(Inspection):
    """The values that a small Elman network computes for each word, and the gradients of the summed
    loss. rate: of one step of gradient descent; loss_after: the summed loss after it."""

    lesson: Lesson
    forward: Forward
    backward: Backward
    rate: float
    loss_after: float

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words that are read."""
        return tuple(self.lesson.network.vocabulary[word] for word in self.lesson.words_T)

    @cached_property
    def targets(self) -> tuple[str | None, ...]:
        """The target of each word; None where there is none."""
        names = [self.lesson.network.outputs[target] for target in self.lesson.targets]
        return (*names, *[None] * (len(self.words) - len(names)))

    @property
    def unit(self) -> str:
        """The unit of predictions: "word" or "label"."""
        network = self.lesson.network
        return "word" if network.outputs == network.vocabulary else "label"

    @property
    def loss_nats(self) -> float:
        """The loss, summed over the predictions."""
        return float(self.forward.losses.sum())

    @property
    def verdict(self) -> str:
        """The loss beside the loss of a guess, how far the last loss reaches back, and the gain of
        one step of gradient descent."""
        count, choices = len(self.lesson.targets), len(self.lesson.network.outputs)
        guess = count * float(np.log(choices))
        mean = f", {self.loss_nats / count:.4g} on average" if count > 1 else ""
        summary = (
            f"The loss of {plural(count, 'prediction')} is {self.loss_nats:.4g} nats{mean}; "
            f"guessing among {choices} {self.unit}s would give {guess:.4g}."
        )
        last = count - 1
        if last:
            reach_T = self.backward.reach_TT[last]
            summary += (
                f' Of the loss at "{self.words[last]}", a gradient of norm {reach_T[last]:.4g} '
                f"arrives at its own state, and {reach_T[0]:.4g} at the state of "
                f'"{self.words[0]}", {plural(last, "word")} before.'
            )
        change = "lowers" if self.loss_after < self.loss_nats else "does not lower"
        return (
            f"{summary} One step of gradient descent with rate {self.rate:g} {change} the loss: it "
            f"is then {self.loss_after:.4g}."
        )

    def tables(self) -> Sequence[Table]:
        """Return the forward pass, the probabilities, the backward pass, how far each loss reaches,
        and the gradients of all weights."""
        network, read, back = self.lesson.network, self.forward, self.backward
        steps = range(1, len(self.words) + 1)
        losses = [*read.losses.tolist(), *[None] * (len(self.words) - len(read.losses))]

        # Forward, a row for each word.
        rows = []
        for t, word in enumerate(self.words):
            x_E, recurrent_H = read.x_TE[t], read.before_TH[t] @ network.W_HH
            vectors = map(
                vector, (x_E, x_E @ network.U_EH, recurrent_H, read.a_TH[t], read.h_TH[t])
            )
            rows.append((t + 1, word, *vectors, self.targets[t] or NOTHING, losses[t]))
        heads: tuple[str, ...] = ("step", "word", "x", "x U", "h' W", "a", "h", "target", "loss")
        tables = [Table(heads, tuple(rows), FORWARD)]

        # The likely outputs after each word.
        rows = list(zip(steps, self.words, *read.y_TV.T.tolist(), strict=True))
        tables.append(
            Table(("step", "word", *network.outputs), tuple(rows), PROBABILITIES.format(self.unit))
        )

        # Backward, a row for each word again.
        rows = []
        for t, word in enumerate(self.words):
            parts = (back.own_TH[t], back.later_TH[t], back.slope_TH[t], back.a_TH[t])
            rows.append((t + 1, word, *map(vector, parts)))
        heads = ("step", "word", "dh of its own loss", "dh of later losses", "f'(a)", "da")
        tables.append(Table(heads, tuple(rows), BACKWARD))

        # How far the loss at each word reaches back: a triangle.
        rows = []
        for t in range(len(self.lesson.targets)):
            reach = [float(back.reach_TT[t, k]) if k <= t else None for k in range(len(self.words))]
            rows.append((f"loss at {t + 1}, {self.words[t]}", *reach))
        tables.append(Table(("", *(f"h{k}" for k in steps)), tuple(rows), REACH))

        # Every single weight, with its gradient.
        rows = []
        for name, weight in network.weights.items():
            for place in np.ndindex(weight.shape):
                label = f"{name}[{', '.join(str(index + 1) for index in place)}]"
                rows.append((label, float(weight[place]), float(back.weights[name][place])))
        tables.append(Table(("weight", "value", "gradient"), tuple(rows), WEIGHTS))
        return tables

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers in JSON types. "lesson" is the possible content of a file of
        --json."""
        read, back = self.forward, self.backward
        steps = []
        for t, word in enumerate(self.words):
            has_target = t < len(read.losses)
            steps.append(
                {
                    "word": word,
                    "x": read.x_TE[t],
                    "a": read.a_TH[t],
                    "h": read.h_TH[t],
                    "y": read.y_TV[t],
                    "target": self.targets[t],
                    "loss_nats": read.losses[t] if has_target else None,
                    "dh_own": back.own_TH[t],
                    "dh_later": back.later_TH[t],
                    "slope": back.slope_TH[t],
                    "da": back.a_TH[t],
                    "loss_by_state": back.reach_TT[t, : t + 1] if has_target else None,
                }
            )
        content = {
            "lesson": self.lesson.to_dict(),
            "vocabulary": self.lesson.network.outputs,
            "steps": steps,
            "loss_nats": self.loss_nats,
            "mean_loss_nats": self.loss_nats / len(read.losses),
            "gradients": back.weights,
            "rate": self.rate,
            "loss_after_nats": self.loss_after,
        }
        return dict(to_builtins(content))

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the network unfolded over its first words: inputs below, states in the middle,
        losses above, and in each state what comes back to it of the last of these losses."""
        shown = min(len(self.words), MOST_DRAWN)
        last = min(shown, len(self.lesson.targets)) - 1
        gradient = f"dL{last + 1}/dh"
        title = f"The network unfolded; {gradient}: the norm of what arrives of loss {last + 1}"
        figure, panel = plotting.new_figure(title, "", "", height=3.6, axes=axes)
        panel.set_axis_off()
        panel.plot(range(shown), [1.0] * shown, color=plotting.REFERENCE, alpha=0.2)
        panel.set(xlim=(-0.6, shown - 0.4), ylim=(-0.3, 2.3))

        # A column for each word, and an arrow from each state to the next.
        arrow = {"arrowstyle": "->", "color": plotting.REFERENCE}
        for t, word in enumerate(self.words[:shown]):
            name = plotting.short_name(word, 10)
            plotting.write_framed(
                panel, (t, 0), f"{name}\n{brief(self.forward.x_TE[t])}", plotting.COLOURS[2]
            )
            state = f"h{t + 1}\n{brief(self.forward.h_TH[t])}"
            if t <= last:
                state += f"\n{gradient} {self.backward.reach_TT[last, t]:.2g}"
            plotting.write_framed(panel, (t, 1), state, plotting.COLOURS[0])
            panel.annotate("", (t, 0.7), (t, 0.22), arrowprops=arrow)
            panel.text(t + 0.05, 0.42, "U")
            if t:
                panel.annotate("", (t - 0.36, 1), (t - 0.64, 1), arrowprops=arrow)
                panel.text(t - 0.5, 1.08, "W", ha="center")
            if t <= last:
                target = self.lesson.targets[t]
                target_name = plotting.short_name(self.targets[t] or "", 10)
                text = f"p({target_name}) = {self.forward.y_TV[t, target]:.2g}"
                loss = f"loss {t + 1}: {self.forward.losses[t]:.2f}"
                plotting.write_framed(panel, (t, 2), f"{text}\n{loss}", plotting.REFERENCE)
                panel.annotate("", (t, 1.78), (t, 1.3), arrowprops=arrow)
                panel.text(t + 0.05, 1.5, "V")
        return figure


def brief(values: np.ndarray) -> str:
    """Write a vector with two digits, or the first numbers of a long one."""
    numbers = [f"{value + 0.0:.2g}" for value in values.tolist()]
    shown = numbers if len(numbers) <= 3 else [*numbers[:2], "..."]
    return plotting.with_minus(f"({', '.join(shown)})")


def vector(values: np.ndarray) -> str:
    """Write a vector as on a blackboard, numbers with four digits."""
    return f"({', '.join(f'{value + 0.0:.4g}' for value in values.tolist())})"


def inspect_step(
    lesson: str | Path | Mapping[str, object] | None = None,
    *,
    assignments: Sequence[str] = (),
    rate: float = 0.1,
) -> StepInspection:
    """Compute an Elman network of a few units (Elman 1990) by hand: a = x U + h' W + b, h = f(a), y
    = softmax(h V + c), the loss of each prediction, and gradients through time by the formulas of
    the textbook, in float64.

    lesson: a TOML or JSON file with words, U, W, V and perhaps targets, labels, vectors, b, c,
    initial and activation, or a mapping with these; None: "a rusty can". assignments: NAME=VALUE,
    which replace parts of it. rate: of the one step of gradient descent after which the loss is
    shown.

    Raises:
        TextError: the file cannot be read, its matrices do not fit each other, a word has no
            vector, a number is not finite, or the network's numbers overflow.
        UsageError: an assignment or the rate makes no sense.
    """
    check_positive(rate=rate)
    read = read_lesson(lesson, assignments)
    with np.errstate(over="ignore", invalid="ignore"):
        states = forward(read)
        gradients = backward(read, states)
        after = forward(stepped(read, gradients.weights, rate))
    everything = [states.h_TH, states.losses, gradients.a_TH, *gradients.weights.values()]
    if not all(np.isfinite(values).all() for values in everything):
        raise TextError(
            "the numbers of this network overflow",
            "states or gradients grow beyond all bounds",
            "use smaller weights",
        )
    return StepInspection(read, states, gradients, rate, float(after.losses.sum()))
