"""What the layers of a network know of labels: linear probes, with their controls."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.config import Layer, resolve
from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import Interval, ratio_interval
from rnnlm.inference.layer_outputs import FEATURES, INPUT, LayerReader
from rnnlm.inspection.common import Model, Table, plain, subjects
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.text.labelled.example import Example, LabelledSettings, LabelledText, Level
from rnnlm.text.labelled.reading import read_labelled
from rnnlm.text.lines import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- The probe: multinomial logistic regression on standardised vectors, its L2 penalty chosen on
# held-out training data.
#
#     loss(W, b) = mean of -log softmax(W x + b)_y + l2 / 2 ||W||^2
#
# Shapes: N examples, H numbers of a vector, K labels.

# strongest first: each fit begins where the last one ended
PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
HELD_OUT = 5  # one in so many training groups is held out for choosing
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
        """The number of the likeliest label of each vector, (N,)."""
        return np.argmax(
            (vectors_NH - self.mean_H) * self.scale_H @ self.weight_KH.T + self.bias_K, axis=1
        )


def fit_probe(
    vectors_NH: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray, count: int
) -> LinearProbe:
    """The probe of labels 0 to `count` - 1, with the penalty of :data:`PENALTIES` that labels most
    of the held-out examples right, of equal ones the strongest, fitted again on all.

    groups_N: the number of the sentence of each example; every :data:`HELD_OUT`-th one is held out,
    whole.
    """
    mean_H, deviation_H = vectors_NH.mean(axis=0), vectors_NH.std(axis=0)
    # a unit that never changes says nothing
    scale_H = 1 / np.where(deviation_H > 1e-6, deviation_H, 1)
    x_NH = (vectors_NH - mean_H) * scale_H
    is_held_N = groups_N % HELD_OUT == HELD_OUT - 1
    if is_held_N.all() or not is_held_N.any():
        is_held_N = np.arange(len(labels_N)) % HELD_OUT == HELD_OUT - 1
    chosen, best, start = PENALTIES[0], -1, np.zeros((vectors_NH.shape[1] + 1) * count)
    for l2 in PENALTIES if is_held_N.any() else ():
        start = _minimum(x_NH[~is_held_N], labels_N[~is_held_N], count, l2, start)
        weight_KH, bias_K = _unpacked(start, count)
        right = int(
            (np.argmax(x_NH[is_held_N] @ weight_KH.T + bias_K, axis=1) == labels_N[is_held_N]).sum()
        )
        if right > best:
            chosen, best, found = l2, right, start
    weight_KH, bias_K = _unpacked(
        _minimum(x_NH, labels_N, count, chosen, found if best >= 0 else start), count
    )
    return LinearProbe(
        weight_KH.astype(np.float32), bias_K.astype(np.float32), mean_H, scale_H, chosen
    )


def _unpacked(parameters: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    both_KX = parameters.reshape(count, -1)
    return both_KX[:, :-1], both_KX[:, -1]


def _minimum(
    x_NH: np.ndarray, labels_N: np.ndarray, count: int, l2: float, start: np.ndarray
) -> np.ndarray:
    """Weights and biases, (K (H + 1),), at the minimum of the loss, by L-BFGS; the products run in
    float32.

    In one thread: numpy and scipy each have threads of their own, which take turns thousands of
    times here and wait for each other.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    x_NX = np.concatenate([x_NH, np.ones((len(x_NH), 1), x_NH.dtype)], axis=1).astype(np.float32)
    at_N = np.arange(len(labels_N))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        both_KX = parameters.reshape(count, -1)
        a_NK = x_NX @ both_KX.T.astype(np.float32)
        a_NK -= a_NK.max(axis=1, keepdims=True)
        p_NK = np.exp(a_NK)
        total_N1 = p_NK.sum(axis=1, keepdims=True)
        nll = float((np.log(total_N1[:, 0]) - a_NK[at_N, labels_N]).mean(dtype=np.float64))
        p_NK /= total_N1
        p_NK[at_N, labels_N] -= 1
        gradient_KX = (p_NK.T @ x_NX).astype(np.float64) / len(labels_N)
        gradient_KX[:, :-1] += l2 * both_KX[:, :-1]
        return nll + l2 / 2 * float((both_KX[:, :-1] ** 2).sum()), gradient_KX.ravel()

    with threadpool_limits(1, "blas"):
        found: np.ndarray = minimize(
            loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "gtol": 1e-4}
        ).x
    return found


# ---- The words or texts that a probe labels: read as training data for labels are, a part to fit
# on and a part to test on.

Paths = Sequence[str | PathLike[str]]
TEST_SHARE = 0.2  # of the sentences, where no test data are named


@dataclass(frozen=True)
class Items:
    """Sentences with labels of their words, or texts with one each. labels: of all items, those of
    the first sentence first. sentences_N: the number of the sentence of each."""

    texts: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    sentences_N: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """All words, in order."""
        return tuple(word for text in self.texts for word in text)


@dataclass(frozen=True)
class ProbeData:
    """name: of the data; column: of the labels. drawn: of which parts only some sentences were
    taken, and how many items there were."""

    name: str
    column: str
    level: Level
    train: Items
    test: Items
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
    """The items of a bundled corpus by name, which has a test part, or of a file.

    column: of the labels; None: the only one. level: whether words or texts are labelled; None: as
    the bundled corpus has it, else words. test_data: files; without any, of a file a share of the
    sentences, drawn by `seed`. most: items of each part; of more, sentences are drawn. reading:
    settings of :class:`rnnlm.text.labelled.example.LabelledSettings`.

    Raises:
        TextError: a file cannot be read, or lacks the column. UsageError: the column is not named;
            there are too few sentences.
    """
    bundled = None if Path(data).is_file() else corpora.labelled(data)
    settings: dict[str, Any] = {"scheme": "none", **(reading or {})}
    if bundled is not None:
        level, column = _of_bundled(data, bundled, level, column)
        settings.setdefault("column", bundled.column)
    level, random = level or "word", np.random.default_rng(seed)
    train = _read([data if bundled is None else str(bundled.train)], level, column, settings)
    examples = train.examples
    if test_files := [fspath(each) for each in test_data] or (
        [] if bundled is None else [str(bundled.test)]
    ):
        held_out = _read(test_files, level, column, settings).examples
    else:
        order = random.permutation(len(examples))
        count = round(len(examples) * TEST_SHARE)
        examples, held_out = (
            tuple(train.examples[each] for each in sorted(part))
            for part in (order[count:], order[:count])
        )
    if not examples or not held_out:
        raise UsageError(
            f"{data} has too few sentences",
            f"{len(train.examples)}, of which a fifth is for testing",
            "name --test-data",
        )
    parts, drawn = {}, {}
    for name, each in (("train", examples), ("test", held_out)):
        parts[name] = _items(each, level)
        if len(parts[name].labels) > most:
            drawn[name] = len(parts[name].labels)
            parts[name] = _items(_drawn(each, level, most, random), level)
    return ProbeData(
        data,
        (train.word_columns or train.text_columns)[0],
        level,
        parts["train"],
        parts["test"],
        drawn,
    )


def _of_bundled(
    name: str, corpus: corpora.Labelled, level: Level | None, column: str | None
) -> tuple[Level, str]:
    """What is labelled in a bundled corpus, and the column of the labels: the one that is named, or
    its first one."""
    level = level or (
        "text" if column in corpus.text_columns or not corpus.word_columns else "word"
    )
    columns = corpus.word_columns if level == "word" else corpus.text_columns
    column = column or next(iter(columns), None)
    if column not in columns or column is None:
        why = (
            f"labels of {level}s are {', '.join(columns)}"
            if columns
            else f"it has no labels of {level}s"
        )
        raise UsageError(
            f"the bundled corpus {name} has no column {column!r} of labels of {level}s", why
        )
    return level, column


def _read(
    paths: Sequence[str], level: Level, column: str | None, values: Mapping[str, Any]
) -> LabelledText:
    settings = resolve([LabelledSettings], [Layer("the command line", dict(values))]).make(
        LabelledSettings
    )
    text = read_labelled(paths, replace(settings, label_column=column), level)
    names = text.word_columns if level == "word" else text.text_columns
    if len(names) != 1:
        raise UsageError(
            f"{', '.join(paths)} has {len(names)} columns of labels",
            ", ".join(names),
            "name one with --label-column",
        )
    return text


def _items(examples: Sequence[Example], level: Level) -> Items:
    labels = [each.word_labels[0] if level == "word" else each.text_labels[:1] for each in examples]
    sentences_N = np.repeat(np.arange(len(examples)), list(map(len, labels)))
    return Items(
        tuple(each.words for each in examples),
        tuple(label for each in labels for label in each),
        sentences_N,
    )


def _drawn(
    examples: Sequence[Example], level: Level, most: int, random: np.random.Generator
) -> list[Example]:
    """Sentences drawn at random, of `most` items together at most, one at least; in their order."""
    order = random.permutation(len(examples))
    items = np.cumsum([len(examples[each].words) if level == "word" else 1 for each in order])
    return [
        examples[each]
        for each in sorted(order[: max(1, int(np.searchsorted(items, most, side="right")))])
    ]


# ---- What a probe found: of each layer how well its vectors tell the labels, beside the controls;
# and what that means.

TRAINED, UNTRAINED = "trained", "untrained"
EMBEDDINGS = "embeddings"


@dataclass(frozen=True)
class LayerProbe:
    """The probe of one layer. network: trained, or untrained with the same settings. layer:
    "embeddings" (what the network reads), "layer 1" and so on, or "features" (what the output layer
    reads). width: numbers of a vector. l2: the penalty that was chosen.

    accuracy: share of the test items that are labelled right. control_accuracy: the same where each
    word type has a label drawn at random. selectivity: the difference. These two are None for
    labels of texts.
    """

    network: str
    layer: str
    width: int
    l2: float
    accuracy: Interval
    control_accuracy: float | None
    selectivity: Interval | None


@dataclass(frozen=True)
class ProbeInspection:
    """What the layers of a model know of a label. Accuracies are shares; intervals are 95 %, by
    resampling test sentences.

    majority: accuracy of the most frequent label alone; by_word: of each word's most frequent
    label, None for texts. gain: the best trained layer's accuracy over that of the embeddings, None
    where these are best; over_untrained: over the best of the untrained network. The best layer is
    chosen on the same test items, which favours it a little. notes: what was left out.
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
        """The trained layer of the highest accuracy, of equal ones the lowest."""
        return best_of(self.probes, TRAINED)

    @property
    def verdict(self) -> str:
        """Which layer knows most, by how much, and whether the control supports it."""
        best = self.best
        gain = (
            "no layer is better than they are"
            if self.gain is None
            else f"{_points(self.gain)} than from the embeddings"
        )
        found = (
            f"{self.column} is predicted best from {_called(best.layer)} of {self.model}: "
            f"{best.accuracy.estimate:.1%} of the test "
            f"{self.level}s are right ({self.majority:.1%} with the most frequent label alone), "
            f"{gain}, "
            f"{_points(self.over_untrained)} than from an untrained network"
        )
        return f"{found}; {self._of_control(best)}" if best.selectivity is not None else f"{found}."

    def _of_control(self, best: LayerProbe) -> str:
        chosen = best.selectivity
        assert chosen is not None
        points, of_embeddings = (
            f"the selectivity, {100 * chosen.estimate:.1f} points,",
            _selectivity(self.probes, EMBEDDINGS),
        )
        if chosen.low <= 0:
            why = (
                "labels drawn at random for each word are learned as well, so it may be "
                "the probe that knows them"
            )
            return (
                f"{points} is not clearly above zero ({100 * chosen.low:+.1f} to "
                f"{100 * chosen.high:+.1f}): {why}."
            )
        if of_embeddings is not None and of_embeddings > chosen.estimate:
            return (
                f"{points} is less than the {100 * of_embeddings:.1f} of the embeddings: part may "
                "come from memorised words."
            )
        return (
            f"{points} supports it: labels drawn at random for each word are learned that much "
            "less well."
        )

    def tables(self) -> Sequence[Table]:
        """A row for each network and layer, then the baselines."""
        title = (
            f"{self.column} of {self.data}: {self.train_items:,} {self.level}s to learn from, "
            f"{self.test_items:,} to test, "
            f"{self.labels} labels"
        )
        columns = ("network", "layer", "width", "l2", "accuracy %", "low", "high", "control %",
                   "selectivity",
                   "selectivity low", "selectivity high")  # fmt: skip
        rows = [(each.network, each.layer, each.width, each.l2, *_percent(each.accuracy),
                 _percent_of(each.control_accuracy),
                 *_percent(each.selectivity)) for each in self.probes]  # fmt: skip
        baselines = [("-", "most frequent label", self.majority)]
        baselines += (
            [("-", "most frequent label of the word", self.by_word)]
            if self.by_word is not None
            else []
        )
        rows += [
            (network, layer, None, None, _percent_of(share), *[None] * 6)
            for network, layer, share in baselines
        ]
        return [Table(columns, tuple(rows), "\n".join((title, *self.notes)))]

    def to_dict(self) -> dict[str, Any]:
        """All figures, accuracies as shares."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def figure(self) -> "Figure":
        """Accuracy of each layer, trained and untrained, with its control."""
        from rnnlm.evaluation import plotting

        figure, axes = plotting.new_figure(
            f"{self.column} in {plotting.short_name(self.model)}", "", "accuracy on test data (%)"
        )
        layers = list(dict.fromkeys(each.layer for each in self.probes))
        for network, marker in ((TRAINED, "o"), (UNTRAINED, "s")):
            its = [each for each in self.probes if each.network == network]
            places, shares = (
                [layers.index(each.layer) for each in its],
                [100 * each.accuracy.estimate for each in its],
            )
            errors = [[100 * abs(each.accuracy.estimate - bound) for each,
                       bound in zip(its, bounds, strict=True)]
                      for bounds in ([each.accuracy.low for each in its],
                                     [each.accuracy.high for each in its])]  # fmt: skip
            line = axes.errorbar(places, shares, errors, marker=marker, capsize=3, label=network)
            if self.level == "word":
                controls = [100 * (each.control_accuracy or 0) for each in its]
                axes.plot(
                    places,
                    controls,
                    ":",
                    marker=marker,
                    color=line[0].get_color(),
                    label=f"{network}, control",
                )
        axes.axhline(100 * self.majority, color="0.5", linestyle="--", label="most frequent label")
        axes.set_xticks(range(len(layers)), layers)
        plotting.legend_above(figure, axes)
        return figure


def best_of(probes: Sequence[LayerProbe], network: str) -> LayerProbe:
    """That of the highest accuracy of a network, of equal ones the lowest layer."""
    return max(
        (each for each in probes if each.network == network),
        key=lambda each: each.accuracy.estimate,
    )


def _called(layer: str) -> str:
    return f"the {layer}" if layer in (EMBEDDINGS, FEATURES) else layer


def _selectivity(probes: Sequence[LayerProbe], layer: str) -> float | None:
    chosen = next(
        (each.selectivity for each in probes if (each.network, each.layer) == (TRAINED, layer)),
        None,
    )
    return None if chosen is None else chosen.estimate


def _points(difference: Interval) -> str:
    size, bounds = (
        abs(100 * difference.estimate),
        f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}",
    )
    if difference.low <= 0 <= difference.high:
        return f"not clearly {_more(difference)} ({bounds} points)"
    return f"{size:.1f} points {_more(difference)} ({bounds})"


def _more(difference: Interval) -> str:
    return "more" if difference.estimate >= 0 else "less"


def _percent(interval: Interval | None) -> tuple[float | None, ...]:
    return (
        (None,) * 3
        if interval is None
        else tuple(100 * each for each in (interval.estimate, interval.low, interval.high))
    )


def _percent_of(share: float | None) -> float | None:
    return None if share is None else 100 * share


# ---- What does a layer know? Linear probes (Alain & Bengio 2016) of each layer, with what such a
# probe must be compared with.
#
# * the embeddings, which know the word but not its context, and an untrained network of the same
#   settings, whose states mix words at random;
# * the control task (Hewitt & Liang 2019): each word type has a label of its own, drawn from the
#   distribution of the labels. A probe can only
#   memorise it; selectivity is the accuracy on the labels minus that on the control.
#
# A language model's state at a word has read what stands before it and the word, and nothing behind
# it; a tagger has read the sentence.

MOST_ITEMS = 5000  # of each part


@dataclass(frozen=True)
class _Answers:
    """The answers of one probe: which of the test items were right, and of its control, where there
    is one."""

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
    """What each layer of a network knows of the labels of words, or of texts.

    data: labelled data as `train --task tagging` reads them: a file, or a bundled corpus, which has
    a test part. label_column: of the labels; needed where there are several. test_data: files;
    none: the bundled test part, or a fifth of the sentences. level: "word" or "text", what is
    labelled; None: as a bundled corpus has it, else words. Texts have the mean of their tokens'
    vectors. most_items: of more words or texts of a part some sentences are drawn. reading:
    settings of the format, such as `format` and `column`. seed: of what is drawn, the control
    labels, and the untrained network.

    Raises:
        UsageError: the model has no layers with a state for each word; there are too few sentences,
            or labels. TextError: a file cannot be read, or lacks the column. ModelError: there is
            no such model. DeviceError: the device is not available.
    """
    from rnnlm.inspection.untrained import untrained

    (looked,) = subjects("probe", [model], device)
    if most_items < 1:
        raise UsageError("no items to probe with", f"most_items is {most_items}")
    found = read_items(fspath(data), test_data, label_column, level, most_items, seed, reading)
    coded = _CodedLabels.of(found, seed)
    networks = ((TRAINED, looked.model), (UNTRAINED, untrained(looked.model, looked.task, seed)))
    answers = [
        each
        for name, network in networks
        for each in _answers(name, network.layer_reader(), found, coded, progress)
    ]
    return _inspection(looked.name, found, coded, answers, seed)


@dataclass(frozen=True)
class _CodedLabels:
    """Labels as numbers; -1 in the test part for one that training lacks. control: of the word
    types, for labels of words."""

    count: int
    train_N: np.ndarray
    test_N: np.ndarray
    control_train_N: np.ndarray | None
    control_test_N: np.ndarray | None

    @classmethod
    def of(cls, data: ProbeData, seed: int) -> "_CodedLabels":
        counts = Counter(data.train.labels)
        labels = {label: number for number, (label, _) in enumerate(counts.most_common())}
        if len(labels) < 2:
            raise UsageError(
                f"{data.name}: {data.column} has one label only",
                "a probe tells several apart",
                "choose another --label-column",
            )
        train_N, test_N = (
            np.array([labels.get(each, -1) for each in part.labels])
            for part in (data.train, data.test)
        )
        if data.level == "text":
            return cls(len(labels), train_N, test_N, None, None)
        types = sorted({*data.train.words, *data.test.words})
        share_K = np.array(list(dict(counts.most_common()).values())) / len(train_N)
        drawn = dict(
            zip(
                types,
                np.random.default_rng(seed).choice(len(labels), len(types), p=share_K).tolist(),
                strict=True,
            )
        )
        return cls(
            len(labels),
            train_N,
            test_N,
            *(np.array([drawn[word] for word in part.words]) for part in (data.train, data.test)),
        )


def _answers(
    network: str, reader: LayerReader, data: ProbeData, coded: _CodedLabels, progress: Progress
) -> Iterable[_Answers]:
    layers = [
        layer for layer in reader.layers if data.level == "text" or layer not in reader.text_layers
    ]
    train, test = (_vectors(reader, part, layers, data.level) for part in (data.train, data.test))
    seen: list[np.ndarray] = []
    for layer, train_NH, test_NH in zip(layers, train, test, strict=True):
        if any(
            each.shape == test_NH.shape and np.allclose(each, test_NH, atol=1e-6) for each in seen
        ):
            continue  # features that are those of the highest layer
        seen.append(test_NH)
        name = {INPUT: EMBEDDINGS, FEATURES: FEATURES}.get(layer, f"layer {layer}")
        progress(f"{network} network, {name}")
        probe = fit_probe(train_NH, coded.train_N, data.train.sentences_N, coded.count)
        right_N, control_N = probe.predict(test_NH) == coded.test_N, None
        if coded.control_train_N is not None:
            control = fit_probe(
                train_NH, coded.control_train_N, data.train.sentences_N, coded.count
            )
            control_N = control.predict(test_NH) == coded.control_test_N
        yield _Answers((network, name), train_NH.shape[1], probe.l2, right_N, control_N)


def _vectors(
    reader: LayerReader, items: Items, layers: Sequence[str], level: Level
) -> list[np.ndarray]:
    from rnnlm.vectors.embedding import lines_of_layers, words_of_layers

    encoded = reader.encode_words(items.texts)
    return (
        words_of_layers(reader, encoded, layers)
        if level == "word"
        else lines_of_layers(reader, encoded, layers, "mean")
    )


def _inspection(
    name: str, data: ProbeData, coded: _CodedLabels, answers: Sequence[_Answers], seed: int
) -> ProbeInspection:
    sentences_N = data.test.sentences_N

    def interval(values_N: np.ndarray) -> Interval:
        return ratio_interval(
            np.bincount(sentences_N, values_N), np.bincount(sentences_N), seed=seed
        )

    probes = []
    for each in answers:
        control = None if each.control_N is None else float(each.control_N.mean())
        chosen = (
            None
            if each.control_N is None
            else interval(each.right_N.astype(float) - each.control_N)
        )
        probes.append(
            LayerProbe(
                *each.probe_layer, each.width, each.l2, interval(each.right_N), control, chosen
            )
        )
    best, start = (_best(answers, network) for network in (TRAINED, UNTRAINED))
    embeddings = next(each for each in answers if each.probe_layer == (TRAINED, EMBEDDINGS))
    gain = None if best is embeddings else interval(best.right_N.astype(float) - embeddings.right_N)
    notes = [
        f"of the {part} part's {count:,} {data.level}s, sentences were drawn (seed {seed})"
        for part, count in data.drawn.items()
    ]
    return ProbeInspection(
        name, data.name, data.column, data.level, len(coded.train_N), len(coded.test_N),
        coded.count, float((coded.test_N == 0).mean()),
        _by_word(data, coded), tuple(probes), gain,
        interval(best.right_N.astype(float) - start.right_N), tuple(notes),
    )  # fmt: skip


def _best(answers: Sequence[_Answers], network: str) -> _Answers:
    return max(
        (each for each in answers if each.probe_layer[0] == network),
        key=lambda each: each.right_N.mean(),
    )


def _by_word(data: ProbeData, coded: _CodedLabels) -> float | None:
    """Accuracy of each word's most frequent label in training, of unseen words of the most frequent
    one."""
    if data.level == "text":
        return None
    counts: dict[str, Counter[int]] = {}
    for word, label in zip(data.train.words, coded.train_N.tolist(), strict=True):
        counts.setdefault(word, Counter())[label] += 1
    usual = {word: its.most_common(1)[0][0] for word, its in counts.items()}
    return float(
        np.mean(
            [
                usual.get(word, 0) == label
                for word, label in zip(data.test.words, coded.test_N.tolist(), strict=True)
            ]
        )
    )
