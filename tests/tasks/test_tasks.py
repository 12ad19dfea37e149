"""The contract that every model of a task keeps, over every kind in the registry and its variants:
it is saved and loaded, an example has the same scores in any company, probabilities sum to one, in
bf16, too."""

import copy
import pickle
import random
from dataclasses import fields

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm import registry
from rnnlm.config import names_of
from rnnlm.errors import ModelError, SettingsError, UsageError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.lm.base import loading, stored_model
from rnnlm.scoring.generation.drawing import generate
from rnnlm.tasks.labelling.batches import batch_tensors
from rnnlm.tasks.labelling.data import MULTI, encode_examples, encode_texts
from rnnlm.tasks.labelling.evaluation import evaluation
from rnnlm.tasks.labelling.model import LabelSearch, predict
from rnnlm.tasks.labelling.networks.heads import TaggingHead
from rnnlm.tasks.seq2seq.data import encode_pairs
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.evaluation.evaluation import target_scores
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.training.request import TrainingRequest
from support import tiny_pairs, tiny_tasks
from support.tiny_tasks import VALID, labelled
from support.tiny_translators import parallel_text

VARIANTS = {
    ("tagging", "gru"): [{"characters": None, "output_layer": "memm"},
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
    ("classification", "bag"): [{"layers": 2, "characters": "cnn", "batch_norm": True}],
    ("classification", "cnn"): [{"filter_widths": "2,5", "batch_norm": True}],
    ("classification", "recursive"): [
        {"composition": "tensor", "batch_norm": True, "ema_decay": 0.9},
        {"embedding_size": 5, "tokenizer": "char"}, {"form": MULTI},
    ],
    ("seq2seq", "rnn"): [{"attention": "additive", "layers": 2, "decoder_layers": 2,
                          "connections": "residual"}],
    ("seq2seq", "gru"): [
        {"input_feeding": True, "attention": "additive", "tokenizer": "char"},
        {"attention": None, "layers": 2, "layer_sizes": "5,3", "bridge": "last"},
        {"tied_embeddings": "all", "shared_vocabulary": True},
    ],
    ("seq2seq", "lstm"): [
        {"input_feeding": True, "layers": 2, "decoder_layers": 2, "peepholes": True},
        {"attention": "dot", "bridge": None},
        {"attention": None, "bridge": "mean", "decoder_model": "qrnn"},
        {"bidirectional": False, "input_feeding": True, "connections": "dense", "decoder_layers": 2,
         "tied_embeddings": None},
        {"mogrifier_rounds": 2, "connections": "highway", "layers": 2, "decoder_layers": 2,
         "input_feeding": True, "ema_decay": 0.9},
    ],
    ("seq2seq", "qrnn"): [{"input_feeding": True, "attention": "dot", "convolution_words": 3}],
}  # fmt: skip
KINDS = [
    (kind.task, kind.name) for kind in registry.all_kinds() if kind.task != registry.LANGUAGE_MODEL
]
CASES = [(*kind, variant) for kind in KINDS for variant in [{}, *VARIANTS.get(kind, [])]]
PARTS = [  # each part of a network in one of them
    ("tagging", "lstm", {"output_layer": "crf", "both": True}), ("tagging", "qrnn", {}),
    ("classification", "rnn", {"sentence_pooling": "attention"}), ("classification", "bag", {}),
    ("classification", "cnn", {"form": MULTI}), ("seq2seq", "lstm", {"input_feeding": True}),
    ("seq2seq", "gru", {"attention": "additive", "input_feeding": True}),
    ("seq2seq", "qrnn", {"attention": None, "bridge": "mean"}),
    ("seq2seq", "rnn", {"attention": "dot", "label_smoothing": 0.0}),
]  # fmt: skip
# What is asked of models of labels, and of encoder-decoders.
TEXTS = [words for words, _, _ in VALID[:2]] + [["oslo"], ["never-seen", "at"], ["fly"] * 12]
SOURCES = ["one two seven", "never seen", "four", "two " * 12, "one one"]
ODD_PAIRS = [("never seen", "jamais vu"), ("one", "un " * 9), ("two " * 12, "deux"), ("", "un")]
PAIRS = [*tiny_pairs.VALID[:4], *ODD_PAIRS]
SHORT = 0.1  # of the source's length and some more, at most, as what they write ends by chance


def trained(task, name, **settings):
    if task == "seq2seq":
        return tiny_pairs.run(name, **settings)[-1].model
    return tiny_tasks.fit(task, name, **settings)


def named(case):
    return "-".join([*case[:2], *map(str, case[2].values())])


def cases(*tasks):
    """Ask a test of the cases of these tasks alone."""
    asked = [case for case in CASES if case[0] in tasks]
    return pytest.mark.parametrize("case", asked, ids=named, indirect=True)


of_labels, of_pairs = cases("tagging", "classification"), cases("seq2seq")


@pytest.fixture(scope="module", params=CASES, ids=named)
def case(request):
    """Return task, kind, settings and the model."""
    task, name, settings = request.param
    if task == "seq2seq":  # with weights large enough for every part to matter
        own = {"budget": "3steps", "learning_rate": 0.2, "init_range": 0.5}
    else:
        own = {"budget": "2steps", "batch_rows": 3, "dropout_output": 0.1}
    return task, name, settings, trained(task, name, **{**own, **settings})


@pytest.fixture(scope="module")
def model(case):
    return case[3]


def encoded(model):
    return encode_pairs(model.codec, parallel_text(PAIRS))


def answers(model) -> str:
    """Return all that a model says of the examples, bit by bit."""
    if model.task == "seq2seq":
        return repr(target_scores(model, encoded(model))[0].tolist())
    return repr(predict(model, TEXTS, LabelSearch(probabilities=True)))


def scores(model, chosen):
    """Return, for each example that is read together with others, arrays of its scores."""
    return (pair_scores if model.task == "seq2seq" else label_scores)(model, chosen)


def pair_scores(model, chosen):
    """Return the log-probabilities of each token of these pairs."""
    data = encoded(model)
    logprob_TB, _ = model.score_pairs(data, np.array(chosen))
    lengths = data.target_lengths[chosen]
    assert all(not logprob_TB[length:, row].any() for row, length in enumerate(lengths))
    return [[logprob_TB[:length, row]] for row, length in enumerate(lengths)]


def label_scores(model, chosen):
    """Return the loss of each text's best labels, these and all probabilities, by column."""
    data = encode_texts(model.codec, TEXTS)
    found = [[] for _ in chosen]
    with torch.no_grad():
        inputs = batch_tensors(data, np.array(chosen), torch.device("cpu"))
        features = model.network(inputs)
        for head in model.network.heads:
            if isinstance(head, TaggingHead):
                p_TBK = head.label_probabilities(features.words_TBH, features.lengths_B)
                best = head.predict(features.words_TBH, features.lengths_B)
                for row, number in enumerate(chosen):
                    length = len(TEXTS[number])
                    labels_T = best.labels_nTB[0, :length, row]
                    found[row] += [best.logprob_nB[0, row], labels_T, p_TBK[:length, row]]
            else:
                p_BK = head.label_probabilities(features.text_BH)
                for row, p_K in enumerate(p_BK):
                    found[row] += [p_K, p_K.argmax()]
    return found


def in_precision(model, dtype):
    network = copy.deepcopy(model.network).to(dtype).eval()
    return type(model)(network, model.codec)


def test_it_is_saved_and_loaded_and_copied(case, tmp_path):
    task, name, settings, model = case
    known = {key: value for key, value in settings.items() if key not in ("both", "form")}
    (tiny_pairs if task == "seq2seq" else tiny_tasks).save(tmp_path / "m", model, **known)
    loaded, manifest = stored_model.load(tmp_path / "m", "cpu")
    assert (loaded.task, manifest.model, manifest.settings["task"]) == (task, name, task)
    assert loaded.codec.fingerprint == model.codec.fingerprint
    for each in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(model)):
        assert answers(each) == answers(model)
    weights = sum(weight.numel() for weight in model.network.parameters())
    assert loading.parameters_of(loaded) == weights


@pytest.mark.parametrize("task", ["tagging", "classification"])
def test_saving_over_a_model_invalidates_its_pickle(task, tmp_path):
    folder, model = tmp_path / "m", trained(task, "gru", budget="1steps")
    tiny_tasks.save(folder, model)
    loaded, _ = stored_model.load(folder, "cpu")
    with torch.no_grad():
        next(model.network.parameters()).add_(0.5)
    tiny_tasks.save(folder, model)
    assert answers(stored_model.load(folder, "cpu")[0]) == answers(model)
    assert answers(copy.copy(model)) == answers(model)
    with pytest.raises(ModelError, match="has changed since it was pickled"):
        pickle.loads(pickle.dumps(loaded))


def test_unsaved_model_refuses_pickling_and_language_model_calls(model):
    with pytest.raises(UsageError, match="not loaded from a folder"):
        pickle.dumps(model)
    assert not hasattr(model, "score")
    if model.task == "seq2seq":
        with pytest.raises(UsageError, match="rnnlm translate"):
            list(generate(model))
        return
    method = {"tagging": "tag", "classification": "classify"}[model.task]
    with pytest.raises(UsageError, match=rf"has no score_sentences\(\).*{method}"):
        rnnlm.Model(model).score_sentences(["a"])


@pytest.mark.parametrize("dtype, tolerance", [
    pytest.param(torch.float32, 1e-5, marks=pytest.mark.soak), (torch.float64, 1e-9),
])  # fmt: skip
def test_scores_are_independent_of_the_batch(model, dtype, tolerance):
    model = in_precision(model, dtype)
    order = list(range(len(PAIRS if model.task == "seq2seq" else TEXTS)))
    alone = [scores(model, [number])[0] for number in order]
    for count in (2, len(order)):
        random.Random(count).shuffle(order)
        for number, found in zip(order[:count], scores(model, order[:count]), strict=True):
            torch.testing.assert_close(found, alone[number], atol=tolerance, rtol=0)


@pytest.mark.parametrize("task, name, settings", PARTS, ids=str)
def test_bf16_run_is_close_to_fp32(task, name, settings):
    own = {"budget": "2steps", **settings}
    if task != "seq2seq":
        own |= {"learning_rate": 0.01, "batch_rows": 4}
    fp32, bf16 = (trained(task, name, precision=each, **own) for each in ("fp32", "bf16"))
    changed = False
    for key, array in fp32.to_arrays().items():
        other = bf16.to_arrays()[key]
        changed |= not np.array_equal(array, other)
        np.testing.assert_allclose(other, array, atol=0.05)
    assert changed


# ---- Models of labels.


@of_labels
def test_label_probabilities_sum_to_one_and_match_predictions(model):
    search = LabelSearch(probabilities=True)
    for column, *found in zip(model.codec.columns, *predict(model, TEXTS, search), strict=True):
        for words, each in zip(TEXTS, found, strict=True):
            rows = len(words) if column.level == "word" else 1
            assert each.p_TK.shape == (rows, len(column.symbols)) and (each.p_TK >= 0).all()
            if column.form != MULTI:
                np.testing.assert_allclose(each.p_TK.sum(1), 1, atol=4e-6)  # of fp32
            if column.level == "text" and column.form != MULTI:
                assert each.label == column.symbols[each.p_TK[0].argmax()]
            if column.level == "word":
                assert len(each.best[0].labels) == len(words) and each.best[0].logprob_nats < 0


@of_labels
def test_metrics_cover_labels_and_count_unknown_as_wrong(case):
    task, _, settings, model = case
    rows = [(["fly", "me", "to", "mars"], ["O", "O", "O", "B-planet"], "escape"), *VALID[:4]]
    text = labelled(rows, task, settings.get("both", False))
    found = evaluation.measure(model, encode_examples(model.codec, text, text)).to_dict()
    assert found["sentences"] == 5 and np.isfinite(found["loss_nats"]) and found["task"] == task
    assert len(found["columns"]) == len(model.codec.columns)
    accuracies = [column["accuracy"] for column in found["columns"]]
    assert all(0 <= accuracy < 1 for accuracy in accuracies if accuracy is not None)


# ---- Encoder-decoders.


@pytest.mark.parametrize("beam", [{}, {"beam": 3, "nbest": 2}], ids=["greedy", "beam"])
@of_pairs
def test_translations_are_independent_of_their_batch(model, beam):
    settings = DecodingSettings(max_length=SHORT, **beam)
    alone = [translate(model, [source], settings=settings)[0] for source in SOURCES]
    order = list(range(len(SOURCES)))
    random.Random(1).shuffle(order)
    together = translate(model, [SOURCES[number] for number in order], settings=settings)
    for number, found in zip(order, together, strict=True):
        for one, other in zip(found.hypotheses, alone[number].hypotheses, strict=True):
            assert one.text == other.text
            assert one.logprob_nats == pytest.approx(other.logprob_nats, abs=3e-4)


@of_pairs
def test_target_probabilities_sum_to_one_and_match_scoring(model):
    data = encoded(model)
    for chosen in ([0, 3], [1]):
        inputs_BT, targets_BT = padded_targets(model, data, chosen)
        state = model.states([PAIRS[number][0] for number in chosen])
        logprob_BTV, _ = model.decoder.predict(inputs_BT, state)
        sums_BT = logprob_BTV.exp().sum(2)
        torch.testing.assert_close(sums_BT, torch.ones(targets_BT.shape), atol=1e-5, rtol=0)
        for row, (found,) in enumerate(pair_scores(model, chosen)):
            targets_T1 = torch.as_tensor(targets_BT[row, : len(found), None])
            expected = logprob_BTV[row].gather(1, targets_T1)[:, 0]
            torch.testing.assert_close(expected, found, atol=1e-5, rtol=0)


def padded_targets(model, data, chosen):
    """Return inputs and targets (B, T) of these pairs, padded with the boundary."""
    offsets, boundary = data.target.offsets, model.codec.target.boundary_id
    targets_BT = np.full((len(chosen), data.target_lengths[chosen].max()), boundary)
    for row, number in enumerate(chosen):
        ids = data.target.ids[offsets[number] : offsets[number + 1]]
        targets_BT[row, : len(ids)] = ids
    begins_B1 = np.full((len(chosen), 1), boundary)
    return np.concatenate([begins_B1, targets_BT[:, :-1]], axis=1), targets_BT


@of_pairs
def test_states_of_several_sources_are_chosen_and_joined(model):
    """Whatever groups of one source the rows stand in."""
    decoder, boundary, draw = model.decoder, model.codec.target.boundary_id, random.Random(2)
    # each source by itself
    rows = [decoder.predict([[boundary]], model.states([source]))[1] for source in SOURCES[:4]]
    together = decoder.predict([[boundary]] * 4, model.states(SOURCES[:4]))[1]
    sources = list(range(4))
    for kind in draw.choices(["groups", "any", "joined"], k=5):
        if kind == "groups":
            chosen = [row for row in draw.sample(range(len(sources)), 2) for _ in range(2)]
        else:
            chosen = draw.choices(range(len(sources)), k=draw.randint(1, 5))
        together, sources = together.select(chosen), [sources[row] for row in chosen]
        if kind == "joined":
            other = draw.randrange(4)
            together = decoder.concat_states([together, rows[1], rows[other]])
            sources += [1, other]
        together = decoder.state_from_arrays(together.to_arrays())
        inputs_BT = [[2, 1]] * len(sources)
        found, _ = decoder.predict(inputs_BT, together)
        alone = [decoder.predict(inputs_BT[:1], rows[source])[0] for source in sources]
        torch.testing.assert_close(found, torch.cat(alone), atol=1e-5, rtol=0)


# ---- What every task says of itself fits what it is said about.

TASKS = registry.all_tasks()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_speaks_of_what_there_is_and_refuses_other_kinds(task):
    assert registry.task(task.name) is task
    assert task.request_fields <= {each.name for each in fields(TrainingRequest)}
    assert task.compares_by <= {each.name for each in fields(ComparisonSettings)}
    kinds = registry.kinds_of(task.name)
    assert kinds[registry.USUAL_MODEL].task == task.name
    known = names_of(cls for kind in kinds.values() for cls in kind.all_settings)
    assert task.settings_of_data <= known
    assert {"eval", task.own_command} <= task.commands
    others = {kind.name for kind in registry.all_kinds()}
    for name in others - set(registry.kinds_of(task.name)):
        what = f"`model` {name} is not for {task.name}; it "
        with pytest.raises(SettingsError, match=what) as no:
            registry.kind_of(name, task.name)
        assert "mixture" not in no.value.hint  # which is not trained


def test_names_and_words_of_tasks_differ():
    for words in ("name", "singular", "own_command", "usage"):
        assert len({getattr(task, words) for task in TASKS}) == len(TASKS)
