"""Examples as numbers and batches: each epoch reads all once, from the middle on, too."""

import itertools

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmWarning, TrainingError
from rnnlm.lm.neural.training.ranks import ProcessGroup
from rnnlm.system import Rank
from rnnlm.tasks.labelling.batches import ExampleBatches, batch_tensors, label_tensors
from rnnlm.tasks.labelling.data import encode_words, one_token
from support.tiny_models import make_tokenizer
from support.tiny_tasks import TRAIN, data_of, labelled, settings_of

CPU = torch.device("cpu")


def data(rows, task="tagging", **tokenizer):
    settings = {"characters": None} if task == "tagging" else {}
    return data_of(settings_of(task, "gru", **settings), labelled(rows, task), **tokenizer)


def source(of, rows=8, seed=1, **more):
    return ExampleBatches(of.train, of.tokenizer, rows, seed, CPU, **more)


def test_words_are_encoded_alone_and_keep_their_labels():
    of = data(TRAIN[:9])
    chosen = np.array([3, 8, 0])
    inputs_TB, lengths_1B = batch_tensors(of.train.words_encoded, chosen, CPU)
    (labels_TB,) = label_tensors(of.train, chosen, CPU)
    (column,) = of.tokenizer.columns
    for row, number in enumerate(chosen):
        words, slots, _ = TRAIN[number]
        assert lengths_1B[0, row] == len(words)
        found = column.decode_words(labels_TB[: len(words), row].tolist(), words)
        assert list(found) == slots and (labels_TB[len(words) :, row] == -1).all()
        alone = [of.tokenizer.tokenizer.encode([word]).ids[0] for word in words]
        assert inputs_TB[: len(words), row].tolist() == alone


@pytest.mark.parametrize("words", [
    ["new york", ",", "a&nbsp;b"], ["", "to"], ["\u00a0", "a", "\u2003"], ["a" * 100_000],
    ["</s>", "<unk>", " "], ["\n", "a\n"],
])  # fmt: skip
@pytest.mark.parametrize("settings", [
    {}, {"split_punctuation": True}, {"normalise": "all"}, {"remove_punctuation": True},
    {"tokenizer": "char"},
])  # fmt: skip
def test_a_word_has_one_place_however_many_tokens(words, settings):
    tokenizer = make_tokenizer(["new york to b a"], **settings)
    encoded = encode_words(tokenizer, [words, ["b"]])
    assert len(encoded.token_offsets) == len(words) + 2
    assert (np.diff(encoded.token_offsets) >= 1).all()
    inputs_SB, tokens_1B, *places = batch_tensors(encoded, np.array([0, 1]), CPU)
    assert tokens_1B.tolist() == [np.diff(encoded.token_offsets[[0, -2, -1]]).tolist()]
    assert encoded.is_by_word == (not places)
    if places:
        first_TB, last_TB, words_1B = places
        assert words_1B.tolist() == [[len(words), 1]] and (first_TB <= last_TB).all()
        for number, word in enumerate(words):
            ids = inputs_SB[first_TB[number, 0] : last_TB[number, 0] + 1, 0].tolist()
            expected = tokenizer.encode([one_token(word)]).ids[:-1].tolist() or [tokenizer.unk_id]
            assert ids == expected


@pytest.mark.filterwarnings("ignore:the data have only 3 examples")
@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("count", [3, 7, 16, 48, 61])
def test_an_epoch_reads_each_example_once(monkeypatch, count, ranks):
    # 61 examples: the last pool has one, fewer than ranks
    monkeypatch.setattr(ExampleBatches, "pool", 3)
    of = data((TRAIN * 2)[:count])
    shares = [
        source(of, rows=4, ranks=ProcessGroup(Rank(rank, ranks), "60s")) for rank in range(ranks)
    ]
    orders = []
    for epoch in (1, 2):
        read, lengths = [], []
        while not read or not shares[0].epochs.is_integer():
            drawn = [each.next() for each in shares]
            rows = [batch.tensors[0].shape[1] for batch in drawn]
            assert sum(rows) == len(drawn[0].count_B)
            assert max(rows) - min(rows) <= 1
            assert sum(rows) <= max(4, ranks)
            assert len({batch.share.start for batch in drawn}) == ranks
            words = [
                tuple(batch.tensors[0][:n, row].tolist())
                for batch in drawn
                for row, n in enumerate(batch.tensors[1][0].tolist())
            ]
            assert [len(each) for each in words] == drawn[0].count_B.tolist()
            lengths.append(max(map(len, words)) - min(map(len, words)))
            read += words
        assert shares[0].epochs == epoch
        known = [
            tuple(of.tokenizer.tokenizer.encode([" ".join(words)]).ids[:-1].tolist())
            for words, _, _ in (TRAIN * 2)[:count]
        ]
        extra = len(read) - count
        assert (extra == 0 if ranks == 1 else extra <= 2) and set(read) == set(known)
        assert extra or sorted(read) == sorted(known)
        orders.append(read)
    assert count < 4 or orders[0] != orders[1]  # each epoch draws anew


def test_it_goes_on_where_it_was():
    of = data(TRAIN)
    whole = source(of, rows=5)
    expected = [whole.next() for _ in range(25)]
    for done in (0, 1, 9, 10, 11, 24):
        first = source(of, rows=5)
        for _ in range(done):
            first.next()
        other = source(of, rows=5)
        other.load_state_dict(first.state_dict())
        for batch in itertools.islice(expected, done, None):
            again = other.next()
            assert all(torch.equal(a, b) for a, b in zip(batch.tensors, again.tensors, strict=True))
        assert (other.epochs, other.tokens) == (whole.epochs, whole.tokens)


def test_small_data_make_one_batch_or_are_refused():
    of = data(TRAIN[:3])
    told = "the data have only 3 examples: batches of 3 are used instead of 8"
    with pytest.warns(RnnlmWarning, match=told):
        batch = source(of).next()
    assert batch.tensors[0].shape[1] == 3
    with pytest.raises(TrainingError, match="4 processes are too many; the data have 3 examples"):
        source(of, ranks=ProcessGroup(Rank(0, 4), "60s"))
    with pytest.raises(TrainingError, match="nothing to train on"):
        source(data([]))
