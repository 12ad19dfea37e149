"""Find out how much the layers of a network know about labels: linear probes, with their
controls."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import corpora
from rnnlm.amounts import plural
from rnnlm.config import USER, SettingsLayer, resolve
from rnnlm.errors import UsageError, keyword
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import Interval, ratio_interval
from rnnlm.interface import Device
from rnnlm.lm.base.layer_outputs import FEATURES, INPUT, LayerReader
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tabular import Table
from rnnlm.tasks.labelling.formats.example import Example, LabelledSettings, LabelledText, Level
from rnnlm.tasks.labelling.formats.known_formats import read_labelled
from rnnlm.text.lines import Progress, silent
from rnnlm.tools.inspection.common import Inspection, Model, load_models_for, percent, untrained

# ---- The probe: multinomial logistic regression on standardised vectors, its L2 penalty chosen on
# held-out training data.
#
#     loss(W, b) = mean of -log softmax(W x + b)_y + l2 / 2 ||W||^2
#
# Shapes: N examples, H numbers of a vector, K labels.

# Strongest first: each fit begins where the last one ended
PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
HELD_OUT = 5  # one in this many training sentences is held out for choosing
ITERATIONS = 200


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe. l2: the penalty that was chosen."""

    weight_KH: np.ndarray
    bias_K: np.ndarray
    mean_H: np.ndarray
    scale_H: np.ndarray
    l2: float

    def predict(self, vectors_NH: np.ndarray) -> np.ndarray:
        """Return the number of the likeliest label of each vector, (N,)."""
        x_NH = (vectors_NH - self.mean_H) * self.scale_H
        return np.argmax(x_NH @ self.weight_KH.T + self.bias_K, axis=1)


def fit_probe(
    vectors_NH: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray, count: int
) -> LinearProbe:
    """Fit a probe of labels 0 to `count` - 1. Of :data:`PENALTIES` it takes the one that labels
    most of the held-out examples right, of equal ones the strongest, and is fitted again on all
    examples.

    groups_N: the number of the sentence of each example; every :data:`HELD_OUT`-th one is held out,
    whole.
    """
    # A unit that never changes carries no information, and must not be divided by zero.
    mean_H, deviation_H = vectors_NH.mean(axis=0), vectors_NH.std(axis=0)
    scale_H = 1 / np.where(deviation_H > 1e-6, deviation_H, 1)
    x_NH = (vectors_NH - mean_H) * scale_H

    # Hold sentences out; where there are too few, single examples.
    is_held_N = groups_N % HELD_OUT == HELD_OUT - 1
    if is_held_N.all() or not is_held_N.any():
        is_held_N = np.arange(len(labels_N)) % HELD_OUT == HELD_OUT - 1

    # Choose the penalty.
    chosen, most_right = PENALTIES[0], -1
    start = best_start = np.zeros((vectors_NH.shape[1] + 1) * count)
    if is_held_N.any():
        held_NH, held_labels_N = x_NH[is_held_N], labels_N[is_held_N]
        for l2 in PENALTIES:
            start = _minimum(x_NH[~is_held_N], labels_N[~is_held_N], count, l2, start)
            weight_KH, bias_K = _unpacked(start, count)
            found_N = np.argmax(held_NH @ weight_KH.T + bias_K, axis=1)
            right = int((found_N == held_labels_N).sum())
            if right > most_right:
                chosen, most_right, best_start = l2, right, start

    weight_KH, bias_K = _unpacked(_minimum(x_NH, labels_N, count, chosen, best_start), count)
    return LinearProbe(
        weight_KH.astype(np.float32), bias_K.astype(np.float32), mean_H, scale_H, chosen
    )


def _unpacked(parameters: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases as views of the parameters."""
    both_KX = parameters.reshape(count, -1)
    return both_KX[:, :-1], both_KX[:, -1]


def _minimum(
    x_NH: np.ndarray, labels_N: np.ndarray, count: int, l2: float, start: np.ndarray
) -> np.ndarray:
    """Return weights and biases, (K (H + 1),), at the minimum of the loss, by L-BFGS; the loss and
    its gradient are computed in float32."""
    import torch
    from scipy.optimize import minimize

    gold_N = torch.from_numpy(labels_N).long()
    x_NX = torch.from_numpy(
        np.concatenate([x_NH, np.ones((len(x_NH), 1))], axis=1).astype(np.float32)
    )
    at_N = torch.arange(len(gold_N))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        both_KX = torch.from_numpy(parameters).reshape(count, -1)
        logprob_NK = torch.log_softmax(x_NX @ both_KX.T.float(), dim=1)
        nll = -float(logprob_NK[at_N, gold_N].double().mean())

        # The gradient with respect to the scores is softmax minus the labels. Biases have no
        # penalty.
        p_NK = logprob_NK.exp_()
        p_NK[at_N, gold_N] -= 1
        weight_KH = both_KX[:, :-1]
        gradient_KX = (p_NK.T @ x_NX).double() / len(gold_N)
        gradient_KX[:, :-1] += l2 * weight_KH
        return nll + l2 / 2 * float((weight_KH**2).sum()), gradient_KX.ravel().numpy()

    options = {"maxiter": ITERATIONS, "gtol": 1e-4}
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x)


# ---- The words or texts that a probe labels, read like training data of taggers and classifiers: a
# part to fit on and a part to test on.

Paths = Sequence[str | PathLike[str]]
TEST_SHARE = 0.2  # of the sentences, where no test data are named


@dataclass(frozen=True)
class LabelledItems:
    """Sentences with labels of their words, or texts with one label each. labels: of all items
    in order. sentences_N: the number of the sentence of each item."""

    texts: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    sentences_N: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """All words, in order."""
        return tuple(itertools.chain.from_iterable(self.texts))


@dataclass(frozen=True)
class ProbeData:
    """The data of a probe. name: of the data; column: of the labels. drawn: the parts of which
    only some sentences were taken, and how many items they had."""

    name: str
    column: str
    level: Level
    train: LabelledItems
    test: LabelledItems
    drawn: Mapping[str, int]


def read_items(
    data: str,
    test_data: Paths,
    column: str | None,
    level: Level | None,
    most: int,
    seed: int,
    reading: Mapping[str, Any] | None = None,
) -> ProbeData:
    """Read the items of a bundled corpus by name, which has a test part, or of a file.

    column: of the labels; None: the only one. level: whether words or texts are labelled; None: as
    in the bundled corpus, otherwise words. test_data: files; without any, a share of the file's
    sentences, drawn by `seed`. most: items of each part; if there are more, sentences are drawn.
    reading: settings of :class:`rnnlm.tasks.labelling.formats.example.LabelledSettings`.
    """
    random = np.random.default_rng(seed)
    settings: dict[str, Any] = {"scheme": "none", **(reading or {})}
    train_file, test_files = data, [fspath(file) for file in test_data]

    # A bundled corpus knows its files and its labelled units.
    bundled = None if Path(data).is_file() else corpora.labelled(data)
    if bundled is not None:
        level, column = _of_bundled(data, bundled, level, column)
        settings.setdefault("column", bundled.column)
        train_file = str(bundled.train)
        test_files = test_files or [str(bundled.test)]
    level = level or "word"

    # Without test data, sentences of the file are held out.
    train = _read([train_file], level, column, settings)
    examples = train.examples
    if test_files:
        held_out = _read(test_files, level, column, settings).examples
    else:
        order = random.permutation(len(examples))
        count = round(len(examples) * TEST_SHARE)
        held_out, examples = (
            tuple(train.examples[number] for number in sorted(chosen))
            for chosen in (order[:count], order[count:])
        )
    if not examples or not held_out:
        raise UsageError(
            f"{data} has too few sentences",
            f"it has {len(train.examples)}, a fifth of which is held out for testing",
            "name " + keyword("test_data"),
        )

    # Draw from a part that is too large.
    parts, drawn = {}, {}
    for name, part in (("train", examples), ("test", held_out)):
        parts[name] = _items(part, level)
        items = len(parts[name].labels)
        if items > most:
            drawn[name] = items

            # Draw sentences, with at most `most` items together but at least one sentence; they
            # stay in their order.
            order = random.permutation(len(part))
            counts = [len(part[number].words) if level == "word" else 1 for number in order]
            fitting = int(np.searchsorted(np.cumsum(counts), most, side="right"))
            parts[name] = _items(
                [part[number] for number in sorted(order[: max(1, fitting)])], level
            )
    found_column = (train.word_columns or train.text_columns)[0]
    return ProbeData(data, found_column, level, parts["train"], parts["test"], drawn)


def _of_bundled(
    name: str, corpus: corpora.Labelled, level: Level | None, column: str | None
) -> tuple[Level, str]:
    """Return the labelled units of a bundled corpus, and the column of the labels: the named one,
    or its first one."""
    if level is None:
        is_of_text = column in corpus.text_columns or not corpus.word_columns
        level = "text" if is_of_text else "word"
    columns = corpus.word_columns if level == "word" else corpus.text_columns
    column = column or next(iter(columns), None)
    if column is None or column not in columns:
        why = f"labels of {level}s are {', '.join(columns)}"
        if not columns:
            why = f"it has no labels of {level}s"
        raise UsageError(
            f"the bundled corpus {name} has no column {column!r} of labels of {level}s", why
        )
    return level, column


def _read(
    paths: Sequence[str], level: Level, column: str | None, values: Mapping[str, Any]
) -> LabelledText:
    """Read labelled files, which must have one column of labels or name it."""
    resolved = resolve([LabelledSettings], [SettingsLayer(USER, dict(values))])
    settings = resolved.make(LabelledSettings)
    text = read_labelled(paths, replace(settings, label_column=column), level)
    names = text.word_columns if level == "word" else text.text_columns
    if len(names) != 1:
        raise UsageError(
            f"{', '.join(paths)} has {plural(len(names), 'column')} of labels",
            ", ".join(names),
            "name one with " + keyword("label_column"),
        )
    return text


def _items(examples: Sequence[Example], level: Level) -> LabelledItems:
    """Collect the labels of examples, with the numbers of their sentences."""
    labels = [
        example.word_labels[0] if level == "word" else example.text_labels[:1]
        for example in examples
    ]
    return LabelledItems(
        texts=tuple(example.words for example in examples),
        labels=tuple(itertools.chain.from_iterable(labels)),
        sentences_N=np.repeat(np.arange(len(examples)), list(map(len, labels))),
    )


# ---- The results of probes: how well the vectors of each layer predict the labels, compared with
# the controls; and the conclusion.

TRAINED, UNTRAINED = "trained", "untrained"
EMBEDDINGS = "embeddings"
_EMBEDDINGS = (TRAINED, EMBEDDINGS)


@dataclass(frozen=True)
class LayerProbe:
    """The probe of one layer.

    Attributes:
        network: "trained", or "untrained" with the same settings.
        layer: "embeddings" (input vectors of the network), "layer 1" and so on, or "features"
            (input of the output layer).
        width: Number of dimensions of the vectors.
        l2: Chosen L2 penalty.
        accuracy: Share of the test items that are labelled correctly, with its interval.
        control_accuracy: The same share if each word type has a random label; None for labels of
            texts.
        selectivity: `accuracy` minus `control_accuracy`; None for labels of texts.
    """

    network: str
    layer: str
    width: int
    l2: float
    accuracy: Interval
    control_accuracy: float | None
    selectivity: Interval | None


@dataclass(frozen=True, repr=False)
class ProbeInspection(Inspection):
    """The result of probing a model's layers for a label. Accuracies are shares, 0 to 1; intervals
    are 95 % intervals, by leaving out each test sentence.

    The best layer is chosen on the same test items, which favours it a little.

    Attributes:
        model: Name of the model.
        data: Name of the data.
        column: Column of the labels.
        level: "word" or "text".
        train_items: Number of training items.
        test_items: Number of test items.
        labels: Number of different labels.
        majority: Accuracy of the most frequent label alone.
        by_word: Accuracy of each word's most frequent label; None for texts.
        probes: Probes of all layers.
        gain: The best trained layer's accuracy minus the accuracy of the embeddings; None if the
            embeddings are best.
        over_untrained: The best trained layer's accuracy minus the accuracy of the untrained
            network's best layer.
        notes: Remarks on data that were left out.
    """

    model: str
    data: str
    column: str
    level: str
    train_items: int
    test_items: int
    labels: int
    majority: float
    by_word: float | None
    probes: tuple[LayerProbe, ...]
    gain: Interval | None
    over_untrained: Interval
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> LayerProbe:
        """The trained layer with the highest accuracy; of several such layers the lowest."""
        network_probes = [probe for probe in self.probes if probe.network == TRAINED]
        return max(network_probes, key=lambda probe: probe.accuracy.estimate)

    @property
    def verdict(self) -> str:
        """Which layer knows most, by how much, and whether the control supports it."""
        best = self.best
        if self.gain is None:
            gain = "no layer is better than they are"
        else:
            gain = f"{_points(self.gain)} than from the embeddings"
        sentence = (
            f"{self.column} is predicted best from {_called(best.layer)} of {self.model}: "
            f"{best.accuracy.estimate:.1%} of the test "
            f"{self.level}s are right ({self.majority:.1%} with the most frequent label alone), "
            f"{gain}, "
            f"{_points(self.over_untrained)} than from an untrained network"
        )
        if best.selectivity is None:
            return f"{sentence}."
        return f"{sentence}; {self._of_control(best.selectivity)}"

    def _of_control(self, selectivity: Interval) -> str:
        """Say whether the selectivity of the best layer supports its knowledge."""
        points = f"the selectivity, {100 * selectivity.estimate:.1f} points,"
        if not (selectivity.excludes_zero and selectivity.estimate > 0):
            return (
                f"{points} is not clearly above zero ({_bounds(selectivity)}): labels drawn at "
                "random for each word are learned just as well, so the probe itself may have "
                "memorised them."
            )

        embeddings = next(
            (probe for probe in self.probes if (probe.network, probe.layer) == _EMBEDDINGS), None
        )
        of_embeddings = embeddings.selectivity if embeddings else None
        if of_embeddings is not None and of_embeddings.estimate > selectivity.estimate:
            return (
                f"{points} is less than the {100 * of_embeddings.estimate:.1f} of the embeddings: "
                "part may come from memorised words."
            )
        return (
            f"{points} supports it: labels drawn at random for each word are learned that much "
            "less well."
        )

    def tables(self) -> Sequence[Table]:
        """Return a row for each network and layer, then the baselines."""
        title = (
            f"{self.column} of {self.data}: {self.train_items:,} {self.level}s to learn from, "
            f"{self.test_items:,} to test, "
            f"{self.labels} labels"
        )
        columns = (
            "network", "layer", "width", "l2", "accuracy %", "low", "high", "control %",
            "selectivity", "selectivity low", "selectivity high",
        )  # fmt: skip
        rows: list[tuple[object, ...]] = []
        for probe in self.probes:
            probed = (probe.network, probe.layer, probe.width, probe.l2)
            control = percent(probe.control_accuracy)
            rows.append((*probed, *_percent(probe.accuracy), control, *_percent(probe.selectivity)))

        # Baselines have an accuracy, but neither vectors nor an interval.
        baselines = {"most frequent label": self.majority}
        if self.by_word is not None:
            baselines["most frequent label of the word"] = self.by_word
        for name, share in baselines.items():
            rows.append(("-", name, None, None, percent(share), *[None] * 6))
        return [Table(columns, tuple(rows), "\n".join((title, *self.notes)))]

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the accuracy of each layer, trained and untrained, with its control.

        Args:
            axes: Draw there instead of in a new figure.
        """
        title = f"How well each layer of {plotting.short_name(self.model)} predicts {self.column}"
        figure, axes = plotting.new_figure(title, "layer", "accuracy on test data (%)", axes=axes)
        layers = list(dict.fromkeys(probe.layer for probe in self.probes))
        for network, marker in ((TRAINED, "o"), (UNTRAINED, "s")):
            network_probes = [probe for probe in self.probes if probe.network == network]
            places = [layers.index(probe.layer) for probe in network_probes]

            # The accuracies, with their intervals.
            accuracies = [probe.accuracy for probe in network_probes]
            bars = plotting.with_bars(list(map(_percent, accuracies)))
            line = axes.errorbar(places, *bars, marker=marker, capsize=3, label=network)

            # The control, in the same colour.
            if self.level == "word":
                controls = [100 * (probe.control_accuracy or 0) for probe in network_probes]
                colour = line[0].get_color()
                label = f"{network}, control"
                axes.plot(places, controls, ":", marker=marker, color=colour, label=label)
        axes.axhline(
            100 * self.majority, color=plotting.REFERENCE, ls="--", label="most frequent label"
        )
        plotting.name_intervals(axes)
        axes.set_xticks(range(len(layers)), layers)
        plotting.legend_below(figure, axes)
        return figure


def _called(layer: str) -> str:
    return f"the {layer}" if layer in (EMBEDDINGS, FEATURES) else layer


def _points(difference: Interval) -> str:
    bounds = _bounds(difference)
    more = "more" if difference.estimate >= 0 else "less"
    if not difference.excludes_zero:
        return f"not clearly {more} ({bounds} points)"
    return f"{abs(100 * difference.estimate):.1f} points {more} ({bounds})"


def _bounds(interval: Interval) -> str:
    return interval.written(lambda bound: f"{100 * bound:+z.1f}")


def _percent(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    if interval is None:
        return None, None, None
    in_percent = interval.map(lambda bound: 100 * bound)
    return in_percent.estimate, in_percent.low, in_percent.high


# ---- Linear probes (Alain & Bengio 2016) of each layer, and the baselines to compare them with:
#
# * the embeddings, which know the word but not its context, and an untrained network of the same
#   settings, whose states mix words at random;
# * the control task (Hewitt & Liang 2019): each word type has one label, drawn from the
#   distribution of the labels. A probe can only memorise it; selectivity is the accuracy on the
#   labels minus the accuracy on the control.
#
# A language model's state at a word has read the words up to it, and nothing behind it; a tagger
# has read the sentence.

MOST_ITEMS = 5000  # of each part


@dataclass(frozen=True)
class _ProbeResult:
    """The answers of one probe: for each test item, whether it is right; and the same for its
    control, where there is one."""

    probe_layer: tuple[str, str]
    width: int
    l2: float
    right_N: np.ndarray
    control_N: np.ndarray | None


def inspect_probe(
    model: Model = SHIPPED, data: str | PathLike[str] = "words-and-tags", *,
    label_column: str | None = None,
    test_data: Sequence[str | PathLike[str]] = (), level: Level | None = None,
    most_items: int = MOST_ITEMS, seed: int = 1,
    reading: Mapping[str, Any] | None = None, device: str | Device = "auto",
    progress: Progress = silent,
) -> ProbeInspection:  # fmt: skip
    """Find out how much each layer of a network knows of the labels of words, or of texts.

    data: labelled data as for `train --task tagging`: a file, or a bundled corpus, which has a test
    part. label_column: column of the labels; needed if there are several. test_data: files; if
    empty: the bundled test part, or a fifth of the sentences. level: "word" or "text", the labelled
    unit; None: as in a bundled corpus, otherwise words. Texts have the mean of their tokens'
    vectors. most_items: if a part has more words or texts, sentences are drawn from it. reading:
    settings of the format, such as `format` and `column`. seed: random seed of the draws, the
    control labels, and the untrained network.

    Raises:
        UsageError: the model has no layers with a state for each word; there are too few sentences,
            or labels.
        TextError: a file cannot be read, or lacks the column.
        ModelError: the model does not exist.
        DeviceError: the device is not available.
    """
    (inspected,) = load_models_for("probe", [model], device)
    if most_items < 1:
        raise UsageError("no items to probe with", f"most_items is {most_items}")
    probe_data = read_items(
        data=fspath(data),
        test_data=test_data,
        column=label_column,
        level=level,
        most=most_items,
        seed=seed,
        reading=reading,
    )
    coded = _CodedLabels.of(probe_data, seed)

    # The same probes of the network as it is, and as it was before training.
    networks = {TRAINED: inspected.model, UNTRAINED: untrained(inspected.model, seed)}
    answers: list[_ProbeResult] = []
    for network, subject in networks.items():
        answers += _probe_layers(network, subject.layer_reader(), probe_data, coded, progress)
    return _inspection(inspected.name, probe_data, coded, answers, seed)


@dataclass(frozen=True)
class _CodedLabels:
    """Labels as numbers, the most frequent first; -1 in the test part for one that training
    lacks. control: random labels of the word types, for labels of words."""

    count: int
    train_N: np.ndarray
    test_N: np.ndarray
    control_train_N: np.ndarray | None
    control_test_N: np.ndarray | None

    @classmethod
    def of(cls, data: ProbeData, seed: int) -> "_CodedLabels":
        """Turn the labels of the data into numbers, and draw control labels."""
        counts = Counter(data.train.labels).most_common()
        labels = {label: number for number, (label, _) in enumerate(counts)}
        if len(labels) < 2:
            raise UsageError(
                f"{data.name}: {data.column} has only one label",
                "a probe needs several",
                "choose another " + keyword("label_column"),
            )
        train_N = np.array([labels.get(label, -1) for label in data.train.labels])
        test_N = np.array([labels.get(label, -1) for label in data.test.labels])
        if data.level == "text":
            return cls(len(labels), train_N, test_N, None, None)

        # The control: each word type has one label, drawn from the distribution of the labels.
        types = sorted({*data.train.words, *data.test.words})
        share_K = np.array([count for _, count in counts]) / len(train_N)
        drawn_W = np.random.default_rng(seed).choice(len(labels), len(types), p=share_K)
        label_of = dict(zip(types, drawn_W.tolist(), strict=True))
        control = [
            np.array([label_of[word] for word in items.words]) for items in (data.train, data.test)
        ]
        return cls(len(labels), train_N, test_N, *control)


def _probe_layers(
    network: str, reader: LayerReader, data: ProbeData, coded: _CodedLabels, progress: Progress
) -> Iterable[_ProbeResult]:
    """Yield the answers of a probe of each layer of a network."""
    left_out = () if data.level == "text" else reader.text_layers
    layers = [layer for layer in reader.layers if layer not in left_out]
    train = _vectors(reader, data.train, layers, data.level)
    test = _vectors(reader, data.test, layers, data.level)
    sentences_N = data.train.sentences_N
    seen: list[np.ndarray] = []
    for layer, train_NH, test_NH in zip(layers, train, test, strict=True):
        # Without a projection the features equal the outputs of the highest layer, which are done
        # already.
        alike = [features for features in seen if features.shape == test_NH.shape]
        if any(np.allclose(features, test_NH, atol=1e-6) for features in alike):
            continue
        seen.append(test_NH)

        name = {INPUT: EMBEDDINGS, FEATURES: FEATURES}.get(layer, f"layer {layer}")
        progress(f"{network} network, {name}")
        probe = fit_probe(train_NH, coded.train_N, sentences_N, coded.count)
        right_N = probe.predict(test_NH) == coded.test_N
        control_N = None
        if coded.control_train_N is not None:
            control = fit_probe(train_NH, coded.control_train_N, sentences_N, coded.count)
            control_N = control.predict(test_NH) == coded.control_test_N
        yield _ProbeResult((network, name), train_NH.shape[1], probe.l2, right_N, control_N)


def _vectors(
    reader: LayerReader, items: LabelledItems, layers: Sequence[str], level: Level
) -> list[np.ndarray]:
    """Return the vectors of the items in each of the layers."""
    from rnnlm.tools.vectors.embedding import lines_of_layers, words_of_layers

    encoded = reader.encode_words(items.texts)
    if level == "word":
        return words_of_layers(reader, encoded, layers)
    return lines_of_layers(reader, encoded, layers, "mean")


def _inspection(
    name: str, data: ProbeData, coded: _CodedLabels, answers: Sequence[_ProbeResult], seed: int
) -> ProbeInspection:
    """Summarise the answers of all probes, with intervals over test sentences."""
    sentences_N = data.test.sentences_N
    items_S = np.bincount(sentences_N)

    def interval(values_N: np.ndarray, least: float = -1.0) -> Interval:
        return ratio_interval(np.bincount(sentences_N, values_N), items_S, least=least, most=1.0)

    probes = []
    for answer in answers:
        control, selectivity = None, None
        if answer.control_N is not None:
            control = float(answer.control_N.mean())
            selectivity = interval(answer.right_N.astype(float) - answer.control_N)
        accuracy = interval(answer.right_N, least=0.0)
        probed = (*answer.probe_layer, answer.width, answer.l2)
        probes.append(LayerProbe(*probed, accuracy, control, selectivity))

    # Compare the best layer with the embeddings, and with the best layer before training.
    best, start = _best(answers, TRAINED), _best(answers, UNTRAINED)
    right_N = best.right_N.astype(float)
    embeddings = next(answer for answer in answers if answer.probe_layer == _EMBEDDINGS)
    return ProbeInspection(
        name,
        data.name,
        data.column,
        data.level,
        train_items=len(coded.train_N),
        test_items=len(coded.test_N),
        labels=coded.count,
        majority=float((coded.test_N == 0).mean()),
        by_word=_by_word(data, coded),
        probes=tuple(probes),
        gain=None if best is embeddings else interval(right_N - embeddings.right_N),
        over_untrained=interval(right_N - start.right_N),
        notes=tuple(
            f"the {part} part has {count:,} {data.level}s, of which a random sample of "
            f"sentences was used (seed {seed})"
            for part, count in data.drawn.items()
        ),
    )


def _best(answers: Sequence[_ProbeResult], network: str) -> _ProbeResult:
    of_network = [answer for answer in answers if answer.probe_layer[0] == network]
    return max(of_network, key=lambda answer: answer.right_N.mean())


def _by_word(data: ProbeData, coded: _CodedLabels) -> float | None:
    """Return the accuracy of each word's most frequent label in training; unseen words get the
    most frequent label of all."""
    if data.level == "text":
        return None
    counts: dict[str, Counter[int]] = {}
    for word, label in zip(data.train.words, coded.train_N.tolist(), strict=True):
        counts.setdefault(word, Counter())[label] += 1
    usual = {word: label_counts.most_common(1)[0][0] for word, label_counts in counts.items()}
    guessed_N = np.array([usual.get(word, 0) for word in data.test.words])
    return float((guessed_N == coded.test_N).mean())
