from collections import Counter
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.interface import PADDING
from rnnlm.text import batches


@st.composite
def texts(draw):
    """Draw (tokens, rows, window length, document offsets or None)."""
    tokens = draw(st.integers(1, 80))
    borders = draw(st.none() | st.sets(st.integers(1, tokens)))
    documents = None if borders is None else np.array(sorted({0, tokens, *borders}))
    return tokens, draw(st.integers(1, min(tokens, 9))), draw(st.integers(1, 12)), documents


def windows_of(bounds, lengths, borders=()):
    streams, lengths = batches.StreamWindows(bounds, borders), iter(lengths)
    return iter(lambda: streams.next(next(lengths)), None)


def borders_of(documents):
    return [] if documents is None else [batches.DocumentBorders(documents)]


@given(texts())
def test_every_token_is_a_target_exactly_once(text):
    tokens, rows, length, documents = text
    bounds = batches.stream_bounds(tokens, rows)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, tokens, rows + 1)
    assert np.ptp(np.diff(bounds)) <= 1
    ids = np.arange(tokens, dtype=np.uint16) + 100
    stream = batches.with_boundary(ids, 7)
    seen = Counter()
    for window in windows_of(bounds, repeat(length), borders_of(documents)):
        assert (window.end_B - window.start_B).max() <= length
        inputs_BT, targets_BT = batches.gather(ids, stream, window.start_B, window.end_B)
        for inputs_T, targets_T in zip(inputs_BT, targets_BT, strict=True):
            kept = targets_T != PADDING
            seen.update(targets_T[kept].tolist())
            assert not kept[kept.argmin() :].any() or kept.all()  # padding comes last
            previous = [7 if target == 100 else target - 1 for target in targets_T[kept]]
            assert inputs_T[kept].tolist() == previous
    assert seen == Counter(ids.tolist())


@given(texts())
def test_rows_continue_and_start_fresh_at_documents(text):
    tokens, rows, length, documents = text
    bounds = batches.stream_bounds(tokens, rows)
    position_B = bounds[:-1]
    for number, window in enumerate(windows_of(bounds, repeat(length), borders_of(documents))):
        assert (window.start_B == position_B).all()
        rows_of_window = window.start_B, window.end_B, bounds[1:], window.fresh_B
        for start, end, stop, fresh in zip(*rows_of_window, strict=True):
            if start == stop:
                assert end == stop
                continue
            begins = documents is not None and start in documents
            assert fresh == (number == 0 or begins)
            later = [] if documents is None else [place for place in documents if place > start]
            assert end == min(start + length, stop, *later[:1])
        position_B = window.end_B
    assert (position_B == bounds[1:]).all()


@st.composite
def lined_texts(draw):
    """Draw (line offsets, rows, window length, documents' first lines or None, share, seed)."""
    offsets = np.cumsum([0, *draw(st.lists(st.integers(1, 9), min_size=1, max_size=20))])
    borders = draw(st.none() | st.sets(st.sampled_from(offsets.tolist())))
    documents = None if borders is None else np.array(sorted({0, *borders, offsets[-1]}))
    rows, length = draw(st.integers(1, min(int(offsets[-1]), 7))), draw(st.integers(1, 12))
    share, seed = draw(st.sampled_from([0.1, 0.5, 1.0])), draw(st.integers(0, 99))
    return offsets, rows, length, documents, share, seed


@given(lined_texts())
def test_rows_restart_at_drawn_lines_after_a_window(text):
    offsets, rows, length, documents, share, seed = text
    bounds = batches.stream_bounds(int(offsets[-1]), rows)
    lines = batches.DrawnLineBorders(offsets, bounds[:-1], share, np.random.default_rng(seed))
    borders = [*borders_of(documents), lines]
    starts = [] if documents is None else documents
    seen = Counter()
    for number, window in enumerate(windows_of(bounds, repeat(length), borders)):
        rows_of_window = window.start_B, window.end_B, bounds[1:], window.fresh_B
        for start, end, stop, fresh in zip(*rows_of_window, strict=True):
            seen.update(range(start, end))
            begins_line, begins_document = start in offsets, start in starts
            if start < stop and number:
                assert begins_line >= fresh >= (begins_document or (share == 1 and begins_line))
            inside = offsets if share == 1 else starts
            assert not [offset for offset in inside if start < offset < end]
    assert seen == Counter(range(offsets[-1]))


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.8])
def test_the_requested_share_of_lines_restarts(share):
    random = np.random.default_rng(3)
    tokens_L = random.integers(4, 32, 20_000)
    offsets = np.cumsum([0, *tokens_L])
    bounds = batches.stream_bounds(int(offsets[-1]), 16)
    lines = batches.DrawnLineBorders(offsets, bounds[:-1], share, random)
    windows = list(windows_of(bounds, repeat(35), [lines]))
    begun = [window.start_B[window.fresh_B & (window.tokens_B > 0)] for window in windows[1:]]
    starts = np.concatenate(begun)
    assert len(set(starts.tolist())) == len(starts)
    assert len(starts) / len(tokens_L) == pytest.approx(share, rel=0.2, abs=0.02)
    of_starts_L = tokens_L[np.searchsorted(offsets, starts)]
    assert of_starts_L.mean() == pytest.approx(tokens_L.mean(), rel=0.1)
    # little of them is empty
    assert share > 0.25 or sum(window.tokens for window in windows) > 0.9 * 35 * 16 * len(windows)


def test_damaged_line_ends_are_no_endless_loop():
    damaged, random = np.array([0, 5, 3, 4]), np.random.default_rng(0)
    lines = batches.DrawnLineBorders(damaged, np.array([0]), 1.0, random)
    windows = list(windows_of(batches.stream_bounds(9, 1), repeat(7), [lines]))
    assert sum(window.tokens for window in windows) == 9


@given(st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_windows_may_differ_in_length(lengths):
    windows = list(windows_of(batches.stream_bounds(60, 1), lengths))
    read = lengths[: len(windows)]
    assert [window.length for window in windows] == read
    ends = [int(window.end_B[0]) for window in windows]
    assert ends == np.minimum(np.cumsum(read), 60).tolist() and ends[-1] == 60


@given(st.lists(st.integers(0, 30), max_size=25), st.integers(1, 6), st.integers(1, 60))
def test_span_batches_read_every_span_once_within_limits(lengths, max_rows, cells):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    spans = np.stack([offsets[:-1], offsets[1:]], axis=1)
    seen_spans, seen = [], Counter()
    for batch in batches.span_batches(spans, max_rows):
        assert 1 <= len(batch.spans) <= max_rows
        seen_spans += batch.spans.tolist()
        position_B = batch.start_B.copy()
        for start_B, end_B in batch.windows(cells):
            rows, length_B = len(start_B), end_B - start_B
            longest = int(length_B.max())
            assert (start_B == position_B[:rows]).all() and (length_B > 0).all()
            assert rows * longest <= cells or longest == 1
            assert rows * longest * (1 - batches.PADDING_SHARE) <= length_B.sum()
            for start, end in zip(start_B, end_B, strict=True):
                seen.update(range(start, end))
            position_B[:rows] = end_B
        assert (position_B == batch.end_B).all()
    assert sorted(seen_spans) == list(range(len(lengths)))
    assert seen == Counter(range(sum(lengths)))


def test_length_batches_have_each_row_once_within_limits():
    lengths_N = np.random.default_rng(3).integers(0, 40, size=200)
    found = list(batches.by_length(lengths_N, 100, rows=9))
    assert sorted(np.concatenate(found)) == list(range(200)) and max(map(len, found)) == 9
    assert (np.diff(lengths_N[np.concatenate(found)]) >= 0).all()
    assert all(len(each) == 1 or len(each) * lengths_N[each].max() <= 100 for each in found)
    assert [each.tolist() for each in batches.by_length(np.array([500, 3]), 100)] == [[1], [0]]
