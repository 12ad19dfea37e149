"""Words seen once are read as `<unk>` now and then, so that a network learns what that is."""

import dataclasses

import numpy as np
import pytest
import torch

from rnnlm.lm.neural.training.language_modelling import (
    DeviceReader,
    RareWords,
    count_tokens,
    expected_counts,
)

LINES = [*(["the cat sat on the mat", "the dog sat on the mat"] * 20), "a heron stood there"]
ONCE = ("a", "heron", "stood", "there")


def read(data, trainer, epochs):
    """Return the ids that each epoch reads, in order."""
    streams = trainer.source
    seen = [np.full(data.train.tokens, -1) for _ in range(epochs)]
    for done, window in streams.windows():
        epoch = int(np.ceil(done - 1e-9)) - 1
        if epoch >= epochs:
            return seen
        inputs_TB, targets_TB = streams.batch(window).tensors
        for row, (start, end) in enumerate(zip(window.start_B, window.end_B, strict=True)):
            seen[epoch][start:end] = targets_TB[: end - start, row]
            assert torch.equal(inputs_TB[1 : end - start, row], targets_TB[: end - start - 1, row])
    return seen


def test_each_epoch_draws_other_words(make_data, make_trainer):
    data = make_data(LINES)
    once = {data.tokenizer.symbols().index(word) for word in ONCE}
    epochs = read(data, make_trainer(data, unknown_words=0.5, batch_rows=2), 12)
    hidden = []
    for ids in epochs:
        is_hidden = ids != data.train.ids
        assert set(ids[is_hidden]) <= {data.tokenizer.unk_id}
        assert set(np.asarray(data.train.ids)[is_hidden]) <= once
        hidden.append(tuple(np.flatnonzero(is_hidden)))
    assert len(set(hidden)) > 3 and 0.3 < sum(map(len, hidden)) / (12 * len(ONCE)) < 0.7
    again = read(data, make_trainer(data, unknown_words=0.5, batch_rows=2), 12)
    assert all(map(np.array_equal, epochs, again))


@pytest.mark.parametrize("tokenizer, lines", [
    ({}, [*LINES, "the <unk> sat"]), ({"min_count": 2}, LINES), ({"tokenizer": "byte"}, LINES),
])  # fmt: skip
def test_texts_with_unknown_words_stay(make_data, tokenizer, lines):
    data = make_data(lines, **tokenizer)
    empty = dataclasses.replace(data.train, ids=data.train.ids[:0])
    for text in (data.train, empty):  # one without any has no rare words, either
        counts_V = count_tokens(text, data.tokenizer)
        rare = RareWords.of(text, data.tokenizer, counts_V, 0.5, 1)
        assert rare is None
    counts_V = count_tokens(data.train, data.tokenizer)
    assert np.array_equal(expected_counts(counts_V, None), data.tokenizer.counts_V)


def test_an_unknown_word_costs_less_by_far(make_data, make_trainer):
    """After training on words seen once, <unk> has about the probability of such a word."""
    data = make_data(LINES)

    def unknown_logprob(share):
        trainer = make_trainer(data, unknown_words=share, budget="150steps", learning_rate=0.01)
        list(trainer.train(lambda: False))
        model = trainer.objective.model()
        boundary = np.array([[data.tokenizer.boundary_id]])
        logprob, _ = model.predict(boundary, model.initial_state(1))
        return float(np.asarray(logprob)[0, 0, data.tokenizer.unk_id])

    assert unknown_logprob(0.5) > unknown_logprob(0.0) + 1


def test_hidden_words_stay_on_the_texts_device():
    """On a GPU, what is put into a text has to be there, too."""
    stream = torch.zeros(9, dtype=torch.int32, device="meta")
    reader = DeviceReader(stream, torch.from_numpy)
    for _ in range(2):
        assert reader.hidden_M.device == reader.kept_M.device == stream.device
        assert reader.kept_M.dtype == torch.int32
        reader.hide(np.array([2, 5]), 0)
