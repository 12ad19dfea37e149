import xml.etree.ElementTree as ElementTree

import numpy as np

from rnnlm.evaluation import plotting
from rnnlm.tasks.labelling.evaluation.label_metrics import OTHERS, confusion, plot
from support.pictures import faults_of

GOLD = ["N N N V".split(), "V V A".split()]
PREDICTED = ["N V V V".split(), "V N X".split()]


def test_matrix_counts_predictions_for_each_gold_label():
    found = confusion(GOLD, PREDICTED)
    assert found.labels == ("N", "V", "A", "X")  # X is predicted only
    assert found.counts_KK.tolist() == [[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert found.most_frequent() == [("N", "V", 2), ("V", "N", 1), ("A", "X", 1)]
    assert found.most_frequent(1) == [("N", "V", 2)]


def test_the_rarest_labels_can_be_one():
    joined = confusion(GOLD, PREDICTED).joined(3)
    assert joined.labels == ("N", "V", OTHERS)
    assert joined.counts_KK.tolist() == [[1, 2, 0], [1, 2, 0], [0, 0, 1]]


def test_the_plot_names_labels_and_shows_counts(tmp_path):
    plotting.save(plot(confusion(GOLD, PREDICTED), "upos"), tmp_path / "confusion.svg")
    texts = [
        each.strip() for each in ElementTree.parse(tmp_path / "confusion.svg").getroot().itertext()
    ]
    assert {"gold label", "predicted label", "N", "V", "A", "X", "1", "2"} <= set(texts)
    assert any(text.startswith("upos: ") for text in texts)
    assert faults_of(plot(confusion(GOLD, PREDICTED))) == []
    many = [[f"L{k}" for k in np.random.default_rng(1).integers(0, 99, 300)]]
    drawn = plot(confusion(many, many))
    assert faults_of(drawn) == []
    assert OTHERS in [label.get_text() for label in drawn.axes[0].get_xticklabels()]
