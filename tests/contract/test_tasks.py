"""The contract that every model of labels keeps, over every kind in the registry and its variants:
it is saved and loaded, a text has the same labels and scores in any company, probabilities sum to
one."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm.errors import ModelError, UsageError
from rnnlm.models import model_folder, registry
from rnnlm.tasks.batches import batch_tensors
from rnnlm.tasks.labels import evaluation
from rnnlm.tasks.labels.data import MULTI, encode_examples, encode_words
from rnnlm.tasks.labels.heads import TaggingHead
from rnnlm.tasks.labels.model import Search, predict
from support import tiny_tasks
from support.tiny_tasks import VALID, fit, labelled, save

VARIANTS = {
    ("tagging", "gru"): [{"characters": None},
                         {"tokenizer": "char", "characters": None, "layers": 2}],
    ("tagging", "lstm"): [
        {"output_layer": "crf", "constrained": False},
        {"both": True, "characters": "lstm", "layers": 2, "connections": "dense",
         "sentence_pooling": "attention"},
        {"bidirectional": False, "ema_decay": 0.9},
    ],
    ("classification", "lstm"): [
        {"sentence_pooling": "last", "bidirectional": False},
        {"sentence_pooling": "mean", "tokenizer": "char"},
        {"sentence_pooling": "sum", "form": MULTI},
        {"sentence_pooling": "attention", "characters": "lstm"},
    ],
    ("classification", "bag"): [{"layers": 2, "characters": "cnn"}],
    ("classification", "cnn"): [{"filter_widths": "2,5"}],
}  # fmt: skip
# those write labels
KINDS = [(kind.task, kind.name) for kind in registry.TASK_KINDS if kind.task != "seq2seq"]
CASES = [(*kind, variant) for kind in KINDS for variant in [{}, *VARIANTS.get(kind, [])]]
PARTS = [  # each part of a network in one of them
    ("tagging", "lstm", {"output_layer": "crf", "both": True}),
    ("tagging", "qrnn", {}), ("classification", "rnn", {"sentence_pooling": "attention"}),
    ("classification", "bag", {}), ("classification", "cnn", {"form": MULTI}),
]  # fmt: skip
TEXTS = [words for words, _, _ in VALID[:2]] + [["oslo"], ["never-seen", "at"], ["fly"] * 12]


@pytest.fixture(
    scope="module",
    params=CASES,
    ids=lambda case: "-".join([*case[:2], *map(str, case[2].values())]),
)
def case(request):
    """Return task, kind, settings and the model."""
    task, name, settings = request.param
    return (
        task,
        name,
        settings,
        fit(task, name, **{"budget": "2steps", "batch_rows": 3, "dropout_output": 0.1, **settings}),
    )


@pytest.fixture(scope="module")
def model(case):
    return case[3]


def same(one, other) -> bool:
    """Return whether two predictions are the same, bit by bit."""
    return repr(one) == repr(other)


def test_it_is_saved_and_loaded_and_copied(case, tmp_path):
    task, name, settings, model = case
    folder = tmp_path / "m"
    known = {key: value for key, value in settings.items() if key not in ("both", "form")}
    save(folder, model, **known)
    loaded, manifest = model_folder.load(folder, "cpu")
    assert (loaded.task, manifest.model, manifest.settings["task"]) == (task, name, task)
    search = Search(probabilities=True)
    expected = predict(model, TEXTS, search)
    for each in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(model)):
        assert same(predict(each, TEXTS, search), expected)
    assert (
        loaded.codec.columns == model.codec.columns
        and loaded.codec.fingerprint == model.codec.fingerprint
    )


@pytest.mark.parametrize("task", ["tagging", "classification"])
def test_saving_over_a_model_invalidates_its_pickle(task, tmp_path):
    folder, search, model = (
        tmp_path / "m",
        Search(probabilities=True),
        fit(task, "gru", budget="1steps"),
    )
    save(folder, model)
    loaded, _ = model_folder.load(folder, "cpu")
    with torch.no_grad():
        next(model.network.parameters()).add_(0.5)
    save(folder, model)
    assert same(
        predict(model_folder.load(folder, "cpu")[0], TEXTS, search), predict(model, TEXTS, search)
    )
    assert same(predict(copy.copy(model), TEXTS, search), predict(model, TEXTS, search))
    with pytest.raises(ModelError, match="has changed since it was pickled"):
        pickle.loads(pickle.dumps(loaded))


def test_unsaved_model_refuses_pickling_and_language_model_calls(model):
    with pytest.raises(UsageError, match="not loaded from a folder"):
        pickle.dumps(model)
    assert not hasattr(model, "score")
    method = {"tagging": "tag", "classification": "classify"}[model.task]
    with pytest.raises(UsageError, match=rf"has no score_sentences\(\).*{method}"):
        rnnlm.Model(model).score_sentences(["a"])


def test_probabilities_sum_to_one_and_match_predictions(model):
    search = Search(probabilities=True)
    for column, *found in zip(model.codec.columns, *predict(model, TEXTS, search), strict=True):
        for words, each in zip(TEXTS, found, strict=True):
            rows = len(words) if column.level == "word" else 1
            assert each.p_TK.shape == (rows, len(column.symbols)) and (each.p_TK >= 0).all()
            if column.form != MULTI:
                np.testing.assert_allclose(each.p_TK.sum(1), 1, atol=1e-6)
            if column.level == "text" and column.form != MULTI:
                assert each.label == column.symbols[each.p_TK[0].argmax()]
            if column.level == "word":
                assert len(each.best[0].labels) == len(words) and each.best[0].logprob_nats < 0


def scores(network, codec, texts, chosen):
    """Return, for each text that is read together with others, the loss of its own best labels and
    all probabilities, column by column."""
    encoded = encode_words(codec.tokenizer, texts)
    with torch.no_grad():
        features = network(batch_tensors(encoded, np.array(chosen), torch.device("cpu")))
        found = []
        for head in network.heads:
            if isinstance(head, TaggingHead):
                p_TBK = head.label_probabilities(features.words_TBH, features.lengths_B)
                best = head.predict(features.words_TBH, features.lengths_B)
                found.append([
                    (best.logprob_nB[0, row], best.labels_nTB[0, : len(texts[each]), row],
                     p_TBK[: len(texts[each]), row])
                    for row, each in enumerate(chosen)
                ])  # fmt: skip
            else:
                p_BK = head.label_probabilities(features.text_BH)
                found.append(
                    [(p_BK[row].log(), p_BK[row].argmax(), p_BK[row]) for row in range(len(chosen))]
                )
    return [list(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize(
    "dtype, tolerance",
    [pytest.param(torch.float32, 1e-5, marks=pytest.mark.soak), (torch.float64, 1e-9)],
)
def test_labels_and_scores_are_independent_of_the_batch(model, dtype, tolerance):
    network = copy.deepcopy(model.network).to(dtype).eval()
    alone = [scores(network, model.codec, TEXTS, [number])[0] for number in range(len(TEXTS))]
    order = list(range(len(TEXTS)))
    for seed in range(2):
        random.Random(seed).shuffle(order)
        some = order[: 2 + 3 * seed]
        for number, found in zip(some, scores(network, model.codec, TEXTS, some), strict=True):
            for (logprob, labels, p), (logprob_alone, labels_alone, p_alone) in zip(
                found, alone[number], strict=True
            ):
                torch.testing.assert_close(logprob, logprob_alone, atol=tolerance, rtol=0)
                torch.testing.assert_close(p, p_alone, atol=tolerance, rtol=0)
                assert torch.equal(labels, labels_alone)


def test_figures_cover_labels_and_count_unknown_as_wrong(case):
    task, _, settings, model = case
    rows = [(["fly", "me", "to", "mars"], ["O", "O", "O", "B-planet"], "escape"), *VALID[:4]]
    text = labelled(rows, task, settings.get("both", False))
    data = encode_examples(model.codec, text, text)
    found = evaluation.measure(model, data).to_dict()
    assert found["sentences"] == 5 and np.isfinite(found["loss_nats"]) and found["task"] == task
    assert len(found["columns"]) == len(model.codec.columns)
    assert all(
        0 <= column["accuracy"] < 1 for column in found["columns"] if column["accuracy"] is not None
    )


@pytest.mark.parametrize("task, name, settings", PARTS, ids=str)
def test_bf16_run_is_close_to_fp32(task, name, settings):
    own = {"budget": "2steps", "learning_rate": 0.01, "batch_rows": 4, **settings}
    fp32, bf16 = (
        tiny_tasks.run(task, name, precision=precision, **own)[-1].model
        for precision in ("fp32", "bf16")
    )
    changed = False
    for key, array in fp32.to_arrays().items():
        other = bf16.to_arrays()[key]
        changed |= not np.array_equal(array, other)
        np.testing.assert_allclose(other, array, atol=0.05)
    assert changed
