"""Windows of a text on disk are those of the same text on the device, past rows' ends, too."""

import itertools

import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.lm.neural.training.language_modelling import DeviceReader, DiskReader, TextStreams
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.batches import DocumentBorders, StreamWindows, stream_bounds, with_boundary

BOUNDARY = 0


def in_parts(ids, lengths, below=None):
    starts = np.cumsum([0, *lengths])
    parts = [ids[start:end] for start, end in itertools.pairwise(starts)]
    return ChunkedArray(starts, parts.__getitem__, ids.dtype, below)


def on_device(array):
    return torch.from_numpy(np.ascontiguousarray(array))


@pytest.mark.parametrize("hidden", [[], [0, 5, 6, 30, 52]])
@pytest.mark.parametrize("documents", [None, np.array([0, 3, 11, 40, 53])])
@pytest.mark.parametrize("tokens, rows, length", [
    (53, 4, 5), (53, 1, 60), (53, 7, 8), (1, 1, 3), (2, 2, 3),
])  # fmt: skip
def test_windows_on_disk_equal_those_on_the_device(tokens, rows, length, documents, hidden):
    ids = np.random.default_rng(1).integers(1, 90, tokens).astype(np.uint16)
    lengths = [tokens // 3, 0, tokens // 2, tokens - tokens // 3 - tokens // 2]
    stream = torch.from_numpy(with_boundary(ids, BOUNDARY).astype(np.int32))
    disk = DiskReader(in_parts(ids, lengths), BOUNDARY, on_device)
    device = DeviceReader(stream, on_device)
    borders = [] if documents is None or tokens != 53 else [DocumentBorders(documents)]
    for texts in (disk, device):
        texts.hide(np.array([9] if hidden and tokens > 9 else [], dtype=np.int64), 95)
        texts.hide(np.array([each for each in hidden if each < tokens], dtype=np.int64), 99)
    streams = StreamWindows(stream_bounds(tokens, rows), borders)
    for window in iter(lambda: streams.next(length), None):
        asked = window.start_B, window.end_B, int(window.tokens_B.max())
        for found, wanted in zip(disk.window(*asked), device.window(*asked), strict=True):
            assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_an_id_outside_the_vocabulary_is_an_error():
    parts = in_parts(np.array([1, 2, 9], dtype=np.int32), [2, 1], below=9)
    disk = DiskReader(parts, BOUNDARY, on_device)
    disk.window(np.array([0]), np.array([2]), 2)
    with pytest.raises(ModelError, match="damaged"):
        disk.window(np.array([0]), np.array([3]), 3)


def test_late_windows_are_twice_as_long_of_half_as_many_rows(make_data, make_trainer, sentences):
    data = make_data(sentences)
    trainer = make_trainer(data, long_windows=0.3, batch_rows=5, bptt_tokens=4)
    source = trainer.source
    shapes = [source.next(progress).tensors[1].shape for progress in (0, 0.69, 0.7, 0.9, 0)]
    assert shapes == [(4, 5), (4, 5), (8, 2), (8, 2), (8, 2)]
    assert source.tokens == 2 * 20 + 3 * 16

    # A single row stays, and a share of 1 begins at once.
    single = make_trainer(data, long_windows=1.0, batch_rows=1, bptt_tokens=4).source
    assert single.next(0.5).tensors[1].shape == (4, 1)
    assert make_trainer(data, long_windows=1.0, batch_rows=2).source.next().share == slice(0, 1)

    # The windows of an epoch that begins late are those of streams of that number.
    source.load_state_dict({**source.state_dict(), "epochs": 1.0})
    fewer = make_trainer(data, batch_rows=2, bptt_tokens=8).source
    fewer.load_state_dict({**fewer.state_dict(), "epochs": 1.0})
    for one, other in zip(source.next(1).tensors, fewer.next().tensors, strict=True):
        assert torch.equal(one, other)


def test_only_windows_are_pinned(make_data, make_trainer, sentences, monkeypatch):
    """What goes to a CUDA device through `_on_device` stays pinned while the process lives."""
    data, sizes = make_data(sentences), []
    copied = TextStreams._on_device

    def watched(streams, array):
        sizes.append(array.size)
        return copied(streams, array)

    monkeypatch.setattr(TextStreams, "_on_device", watched)
    trainer = make_trainer(data, state_reset=0.5)
    for _ in range(5):
        trainer.source.next()
    assert sizes and max(sizes) <= trainer.source.rows < data.train.tokens
