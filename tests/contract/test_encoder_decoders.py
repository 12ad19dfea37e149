"""The contract that every encoder-decoder keeps, over every kind and its variants: it is saved and
loaded, a pair has the same scores and a source the same translation in any company, probabilities
sum to one, in bf16, too."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch

from rnnlm.errors import UsageError
from rnnlm.generation.drawing import generate
from rnnlm.models import model_folder, registry
from rnnlm.tasks.seq2seq.data import encode_pairs
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.evaluation import target_scores
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import DecodingSettings
from support import tiny_pairs
from support.tiny_pairs import VALID, fit, save
from support.tiny_translators import parallel_text

VARIANTS = {
    "rnn": [{"attention": "additive", "layers": 2, "decoder_layers": 2, "connections": "residual"}],
    "gru": [
        {"input_feeding": True, "attention": "additive", "tokenizer": "char"},
        {"attention": None, "layers": 2, "layer_sizes": "5,3", "bridge": "last"},
        {"tied_embeddings": "all", "shared_vocabulary": True},
    ],
    "lstm": [
        {"input_feeding": True, "layers": 2, "decoder_layers": 2, "peepholes": True},
        {"attention": "dot", "bridge": None},
        {"attention": None, "bridge": "mean", "decoder_model": "qrnn"},
        {"bidirectional": False, "input_feeding": True, "connections": "dense", "decoder_layers": 2,
         "tied_embeddings": None},
        {"mogrifier_rounds": 2, "connections": "highway", "layers": 2, "decoder_layers": 2,
         "input_feeding": True, "ema_decay": 0.9},
    ],
    "qrnn": [{"input_feeding": True, "attention": "dot", "convolution_words": 3}],
}  # fmt: skip
CASES = [
    (kind.name, each)
    for kind in registry.TASK_KINDS
    if kind.task == "seq2seq"
    for each in [{}, *VARIANTS[kind.name]]
]
PARTS = [  # each part of a network in one of them
    ("lstm", {"input_feeding": True, "own_words": 0.5}),
    ("gru", {"attention": "additive", "input_feeding": True}),
    ("qrnn", {"attention": None, "bridge": "mean"}),
    ("rnn", {"attention": "dot", "label_smoothing": 0.0}),
]  # fmt: skip
SHORT = 0.1  # of the source's length and some more, at most, as what they write ends by chance
SOURCES = ["one two seven", "never seen", "four", "two " * 12, "one one"]
PAIRS = [
    *VALID[:4],
    ("never seen", "jamais vu"),
    ("one", "un " * 9),
    ("two " * 12, "deux"),
    ("", "un"),
]


@pytest.fixture(
    scope="module", params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())])
)
def case(request):
    """Return settings and the model, with weights large enough for every part to matter."""
    name, settings = request.param
    return settings, fit(
        name, **{"budget": "3steps", "learning_rate": 0.2, "init_range": 0.5, **settings}
    )


@pytest.fixture(scope="module")
def model(case):
    return case[1]


def encoded(model, rows=PAIRS):
    return encode_pairs(model.codec, parallel_text(list(rows)))


def test_it_is_saved_and_loaded_and_copied(case, tmp_path):
    settings, model = case
    save(tmp_path / "m", model, **settings)
    loaded, manifest = model_folder.load(tmp_path / "m", "cpu")
    assert (loaded.task, manifest.model, loaded.codec.fingerprint) == (
        "seq2seq",
        model.network.settings.model,
        model.codec.fingerprint,
    )
    expected = target_scores(model, encoded(model))
    for each in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(model)):
        assert np.array_equal(target_scores(each, encoded(each)), expected)


def test_unsaved_model_refuses_pickling_and_language_model_calls(model):
    with pytest.raises(UsageError, match="not loaded from a folder"):
        pickle.dumps(model)
    assert not hasattr(model, "score")
    with pytest.raises(UsageError, match="rnnlm translate"):
        list(generate(model))


def scores(model, data, chosen):
    """Return the log-probabilities of each token of these pairs, read together."""
    logprob_TB = model.score_pairs(data, np.array(chosen))
    lengths = data.target_lengths[chosen]
    assert all(not logprob_TB[length:, row].any() for row, length in enumerate(lengths))
    return [logprob_TB[:length, row] for row, length in enumerate(lengths)]


@pytest.mark.parametrize(
    "dtype, tolerance",
    [pytest.param(torch.float32, 1e-5, marks=pytest.mark.soak), (torch.float64, 1e-9)],
)
def test_pair_scores_are_independent_of_their_batch(model, dtype, tolerance):
    model = Seq2SeqModel(copy.deepcopy(model.network).to(dtype), model.codec)
    data, order = encoded(model), list(range(len(PAIRS)))
    alone = [scores(model, data, [number])[0] for number in order]
    for count in (2, len(PAIRS)):
        random.Random(count).shuffle(order)
        for number, found in zip(order[:count], scores(model, data, order[:count]), strict=True):
            torch.testing.assert_close(found, alone[number], atol=tolerance, rtol=0)


@pytest.mark.parametrize("settings", [
    DecodingSettings(max_length=SHORT), DecodingSettings(beam=3, nbest=2, max_length=SHORT),
], ids=["greedy", "beam"])  # fmt: skip
def test_translations_are_independent_of_their_batch(model, settings):
    alone = [translate(model, [source], settings=settings)[0] for source in SOURCES]
    order = list(range(len(SOURCES)))
    random.Random(1).shuffle(order)
    together = translate(model, [SOURCES[number] for number in order], settings=settings)
    for number, found in zip(order, together, strict=True):
        assert [each.text for each in found.hypotheses] == [
            each.text for each in alone[number].hypotheses
        ]
        one, other = (
            [each.logprob_nats for each in line.hypotheses] for line in (found, alone[number])
        )
        np.testing.assert_allclose(one, other, atol=1e-5 * 30)


def test_target_probabilities_sum_to_one_and_match_scoring(model):
    data, decoder = encoded(model), model.decoder
    for chosen in ([0, 3], [1]):
        (inputs_BT, targets_BT), state = (
            padded_targets(model, data, chosen),
            model.states([PAIRS[number][0] for number in chosen]),
        )
        logprob_BTV, _ = decoder.predict(inputs_BT, state)
        torch.testing.assert_close(
            logprob_BTV.exp().sum(2).cpu(), torch.ones(targets_BT.shape), atol=1e-5, rtol=0
        )
        for row, found in enumerate(scores(model, data, chosen)):
            targets_T1 = torch.as_tensor(targets_BT[row, : len(found), None])
            torch.testing.assert_close(
                logprob_BTV[row].gather(1, targets_T1)[:, 0], found, atol=1e-5, rtol=0
            )


def padded_targets(model, data, chosen):
    """Return inputs and targets (B, T) of these pairs, padded with the boundary."""
    offsets, boundary = data.target.offsets, model.codec.target.boundary_id
    targets_BT = np.full((len(chosen), data.target_lengths[chosen].max()), boundary)
    for row, number in enumerate(chosen):
        ids = data.target.ids[offsets[number] : offsets[number + 1]]
        targets_BT[row, : len(ids)] = ids
    return np.concatenate(
        [np.full((len(chosen), 1), boundary), targets_BT[:, :-1]], axis=1
    ), targets_BT


def test_states_of_several_sources_are_chosen_and_joined(model):
    """Whatever groups of one source the rows stand in."""
    decoder, boundary, draw = model.decoder, model.codec.target.boundary_id, random.Random(2)
    # each source by itself
    rows = [decoder.predict([[boundary]], model.states([source]))[1] for source in SOURCES[:4]]
    together = decoder.predict([[boundary]] * 4, model.states(SOURCES[:4]))[1]
    sources = list(range(4))
    for _ in range(5):
        kind = draw.choice(["groups", "any", "joined"])
        if kind == "groups":
            chosen = [row for row in draw.sample(range(len(sources)), 2) for _ in range(2)]
        else:
            chosen = draw.choices(range(len(sources)), k=draw.randint(1, 5))
        together, sources = together.select(chosen), [sources[row] for row in chosen]
        if kind == "joined":
            other = rows[draw.randrange(4)]
            together, sources = (
                decoder.concat_states([together, rows[1], other]),
                [*sources, 1, rows.index(other)],
            )
        together = decoder.state_from_arrays(together.to_arrays())
        inputs_BT = [[2, 1]] * len(sources)
        found, _ = decoder.predict(inputs_BT, together)
        expected = torch.cat(
            [decoder.predict(inputs_BT[:1], rows[source])[0] for source in sources]
        )
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name, settings", PARTS, ids=str)
def test_bf16_run_is_close_to_fp32(name, settings):
    own = {"budget": "2steps", **settings, "own_words": 0.0}
    fp32, bf16 = (
        tiny_pairs.run(name, valid=VALID, precision=precision, **own)[-1].model
        for precision in ("fp32", "bf16")
    )
    changed = False
    for key, array in fp32.to_arrays().items():
        other = bf16.to_arrays()[key]
        changed |= not np.array_equal(array, other)
        np.testing.assert_allclose(other, array, atol=0.05)
    assert changed
