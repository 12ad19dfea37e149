"""What does a layer know? Linear probes (Alain & Bengio 2016) of each layer, with what such a probe must be compared with.

* the embeddings, which know the word but not its context, and an untrained network of the same settings, whose states mix words at random;
* the control task (Hewitt & Liang 2019): each word type has a label of its own, drawn from the distribution of the labels. A probe can only
  memorise it; selectivity is the accuracy on the labels minus that on the control.

A language model's state at a word has read what stands before it and the word, and nothing behind it; a tagger has read the sentence.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import Interval, ratio_interval
from rnnlm.inference.layer_outputs import FEATURES, INPUT, LayerReader
from rnnlm.inspection.probing.classifier import fit_probe
from rnnlm.inspection.probing.labelled_items import Items, Level, ProbeData, read_items
from rnnlm.inspection.probing.results import EMBEDDINGS, TRAINED, UNTRAINED, LayerProbe, ProbeInspection
from rnnlm.inspection.subjects import Model, subjects
from rnnlm.inspection.untrained import untrained
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.text.lines import Progress, silent
from rnnlm.vectors.embedding import lines_of_layers, words_of_layers

MOST_ITEMS = 5000  # of each part


@dataclass(frozen=True)
class _Answers:
    """The answers of one probe: which of the test items were right, and of its control, where there is one."""

    probe_layer: tuple[str, str]
    width: int
    l2: float
    right_N: np.ndarray
    control_N: np.ndarray | None


def inspect_probe(
    model: Model = SHIPPED, data: str | PathLike[str] = "words-and-tags", *, label_column: str | None = None,
    test_data: Sequence[str | PathLike[str]] = (), level: Level | None = None, most_items: int = MOST_ITEMS, seed: int = 1,
    reading: Mapping[str, Any] | None = None, device: str | Device = "auto", progress: Progress = silent,
) -> ProbeInspection:  # fmt: skip
    """What each layer of a network knows of the labels of words, or of texts.

    data: labelled data as `train --task tagging` reads them: a file, or a bundled corpus, which has a test part. label_column: of the
    labels; needed where there are several. test_data: files; none: the bundled test part, or a fifth of the sentences. level: "word" or
    "text", what is labelled; None: as a bundled corpus has it, else words. Texts have the mean of their tokens' vectors. most_items: of
    more words or texts of a part some sentences are drawn. reading: settings of the format, such as `format` and `column`. seed: of what
    is drawn, the control labels, and the untrained network.

    Raises:
        UsageError: the model has no layers with a state for each word; there are too few sentences, or labels. TextError: a file cannot be
            read, or lacks the column. ModelError: there is no such model. DeviceError: the device is not available.
    """
    (looked,) = subjects("probe", [model], device)
    if most_items < 1:
        raise UsageError("no items to probe with", f"most_items is {most_items}")
    found = read_items(fspath(data), test_data, label_column, level, most_items, seed, reading)
    task = _Task.of(found, seed)
    networks = ((TRAINED, looked.model), (UNTRAINED, untrained(looked.model, looked.task, seed)))
    answers = [each for name, network in networks for each in _answers(name, network.layer_reader(), found, task, progress)]
    return _inspection(looked.name, found, task, answers, seed)


@dataclass(frozen=True)
class _Task:
    """Labels as numbers; -1 in the test part for one that training lacks. control: of the word types, for labels of words."""

    count: int
    train_N: np.ndarray
    test_N: np.ndarray
    control_train_N: np.ndarray | None
    control_test_N: np.ndarray | None

    @classmethod
    def of(cls, data: ProbeData, seed: int) -> "_Task":
        counts = Counter(data.train.labels)
        labels = {label: number for number, (label, _) in enumerate(counts.most_common())}
        if len(labels) < 2:
            raise UsageError(
                f"{data.name}: {data.column} has one label only", "a probe tells several apart", "choose another --label-column"
            )
        train_N, test_N = (np.array([labels.get(each, -1) for each in part.labels]) for part in (data.train, data.test))
        if data.level == "text":
            return cls(len(labels), train_N, test_N, None, None)
        types = sorted({*data.train.words, *data.test.words})
        share_K = np.array(list(dict(counts.most_common()).values())) / len(train_N)
        drawn = dict(zip(types, np.random.default_rng(seed).choice(len(labels), len(types), p=share_K).tolist(), strict=True))
        return cls(len(labels), train_N, test_N, *(np.array([drawn[word] for word in part.words]) for part in (data.train, data.test)))


def _answers(network: str, reader: LayerReader, data: ProbeData, task: _Task, progress: Progress) -> Iterable[_Answers]:
    layers = [layer for layer in reader.layers if data.level == "text" or layer not in reader.text_layers]
    train, test = (_vectors(reader, part, layers, data.level) for part in (data.train, data.test))
    seen: list[np.ndarray] = []
    for layer, train_NH, test_NH in zip(layers, train, test, strict=True):
        if any(each.shape == test_NH.shape and np.allclose(each, test_NH, atol=1e-6) for each in seen):
            continue  # features that are those of the highest layer
        seen.append(test_NH)
        name = {INPUT: EMBEDDINGS, FEATURES: FEATURES}.get(layer, f"layer {layer}")
        progress(f"{network} network, {name}")
        probe = fit_probe(train_NH, task.train_N, data.train.sentences_N, task.count)
        right_N, control_N = probe.predict(test_NH) == task.test_N, None
        if task.control_train_N is not None:
            control = fit_probe(train_NH, task.control_train_N, data.train.sentences_N, task.count)
            control_N = control.predict(test_NH) == task.control_test_N
        yield _Answers((network, name), train_NH.shape[1], probe.l2, right_N, control_N)


def _vectors(reader: LayerReader, items: Items, layers: Sequence[str], level: Level) -> list[np.ndarray]:
    encoded = reader.encode_words(items.texts)
    return words_of_layers(reader, encoded, layers) if level == "word" else lines_of_layers(reader, encoded, layers, "mean")


def _inspection(name: str, data: ProbeData, task: _Task, answers: Sequence[_Answers], seed: int) -> ProbeInspection:
    sentences_N = data.test.sentences_N

    def interval(values_N: np.ndarray) -> Interval:
        return ratio_interval(np.bincount(sentences_N, values_N), np.bincount(sentences_N), seed=seed)

    probes = []
    for each in answers:
        control = None if each.control_N is None else float(each.control_N.mean())
        chosen = None if each.control_N is None else interval(each.right_N.astype(float) - each.control_N)
        probes.append(LayerProbe(*each.probe_layer, each.width, each.l2, interval(each.right_N), control, chosen))
    best, start = (_best(answers, network) for network in (TRAINED, UNTRAINED))
    embeddings = next(each for each in answers if each.probe_layer == (TRAINED, EMBEDDINGS))
    gain = None if best is embeddings else interval(best.right_N.astype(float) - embeddings.right_N)
    notes = [f"of the {part} part's {count:,} {data.level}s, sentences were drawn (seed {seed})" for part, count in data.drawn.items()]
    return ProbeInspection(
        name, data.name, data.column, data.level, len(task.train_N), len(task.test_N), task.count, float((task.test_N == 0).mean()),
        _by_word(data, task), tuple(probes), gain, interval(best.right_N.astype(float) - start.right_N), tuple(notes),
    )  # fmt: skip


def _best(answers: Sequence[_Answers], network: str) -> _Answers:
    return max((each for each in answers if each.probe_layer[0] == network), key=lambda each: each.right_N.mean())


def _by_word(data: ProbeData, task: _Task) -> float | None:
    """Accuracy of each word's most frequent label in training, of unseen words of the most frequent one."""
    if data.level == "text":
        return None
    counts: dict[str, Counter[int]] = {}
    for word, label in zip(data.train.words, task.train_N.tolist(), strict=True):
        counts.setdefault(word, Counter())[label] += 1
    usual = {word: its.most_common(1)[0][0] for word, its in counts.items()}
    return float(np.mean([usual.get(word, 0) == label for word, label in zip(data.test.words, task.test_N.tolist(), strict=True)]))
