import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from rnnlm import arrays
from rnnlm.lm.base import span_scoring
from support.tiny_models import LINES, Lines, fit

MORE = ["cat", "the cat saw a dog on the mat on a mat", "dog speech <unk> it", "a"]
TEXT = Lines([*LINES, *MORE], document_starts=[0, 3, 4, 7])


@pytest.fixture(scope="module", params=["lstm", "unigram"])
def model(request):
    return fit(request.param)


@pytest.fixture(scope="module")
def text(model):
    encoded = TEXT.encode(model.tokenizer)
    documents = np.append(encoded.line_offsets[list(TEXT.document_starts)], encoded.tokens)
    return replace(encoded, document_offsets=documents)


def scored(model, text, context: str) -> np.ndarray:
    return span_scoring.score_spans(model, text.ids, spans_of(text, context))


def spans_of(text, context: str) -> np.ndarray:
    if context == "carry":
        return span_scoring.whole_text(text.ids)
    offsets = text.line_offsets if context == "reset" else text.document_offsets
    return span_scoring.spans_between(offsets)


def slow_scores(model, ids: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Score token by token through `predict`."""
    logprob_N = np.zeros(len(ids))
    for start, end in spans:
        state, token = model.initial_state(1), model.tokenizer.boundary_id
        for at in range(start, end):
            predicted, state = model.predict(np.array([[token]]), state)
            token = int(ids[at])
            logprob_N[at] = arrays.as_numpy(predicted)[0, 0, token]
    return logprob_N


@pytest.mark.parametrize("context", ["carry", "reset", "documents"])
def test_scores_equal_a_slow_loop_token_by_token(model, text, context):
    expected = slow_scores(model, text.ids, spans_of(text, context))
    np.testing.assert_allclose(scored(model, text, context), expected, atol=1e-5)


@pytest.mark.parametrize("tokens, row_tokens", [(1, 1), (7, 3), (12, 5), (40, 1), (1000, 64)])
@pytest.mark.parametrize("context", ["carry", "reset", "documents"])
def test_batches_and_windows_leave_scores(model, text, context, tokens, row_tokens, monkeypatch):
    usual = scored(model, text, context)
    model = copy.copy(model)
    model.call_tokens = tokens
    monkeypatch.setattr(span_scoring, "TOKENS_PER_ROW", row_tokens)
    np.testing.assert_allclose(scored(model, text, context), usual, atol=1e-5)


def test_spans_of_any_order_score_and_no_token_outside_them(model, text):
    spans = spans_of(text, "reset")
    shuffled = spans[np.random.default_rng(1).permutation(len(spans))]
    found = span_scoring.score_spans(model, text.ids, shuffled)
    np.testing.assert_allclose(found, scored(model, text, "reset"), atol=1e-5)
    inside = span_scoring.score_spans(model, text.ids, np.array([[3, 9]]))
    assert (inside[3:9] < 0).all() and not inside[:3].any() and not inside[9:].any()


def test_rows_read_never_exceed_the_models_limit(model, text):
    narrow, seen = copy.copy(model), []

    def initial_state(rows):
        seen.append(rows)
        return model.initial_state(rows)

    narrow.max_rows, narrow.initial_state = 2, initial_state
    scored(narrow, text, "reset")
    # lines are read as one stream where that is the same
    assert max(seen) == (1 if model.boundary_resets_state else 2)


def test_reading_leaves_training_and_training_leaves_reading():
    """Of this network, which is read without dropout, and of another."""
    model = fit("lstm", dropout_input=0.5, dropout_output=0.5)
    encoded = TEXT.encode(model.tokenizer)
    usual = scored(model, encoded, "carry")
    with ThreadPoolExecutor(1) as pool:
        trained = pool.submit(fit, "lstm", dropout_input=0.5, dropout_output=0.5)
        while not trained.done():
            np.testing.assert_array_equal(scored(model, encoded, "carry"), usual)
    for name, array in trained.result().to_arrays().items():
        np.testing.assert_array_equal(array, model.to_arrays()[name])
    model.network.train()
    np.testing.assert_array_equal(scored(model, encoded, "carry"), usual)
    assert model.network.training


def test_spans_start_from_initial_states_requested_by_number():
    """Each line after another one as its condition: as if both were one stream."""
    model = fit("lstm")
    model.call_tokens = 3 * span_scoring.TOKENS_PER_ROW  # several batches
    lines = [*LINES, "the cat", "a dog saw the cat on the mat"]
    encoded = model.tokenizer.encode(lines)
    spans = span_scoring.spans_between(encoded.offsets)
    conditions = [model.tokenizer.encode([line]).ids for line in reversed(lines)]

    def initial(numbers: np.ndarray):
        start = model.initial_state(1)
        read = [span_scoring.score_on(model, conditions[number], start)[1] for number in numbers]
        return model.concat_states(read)

    found = span_scoring.score_spans(model, encoded.ids, spans, initial=initial)
    for (start, end), condition in zip(spans, conditions, strict=True):
        both = np.concatenate([condition, encoded.ids[start:end]])
        assert both[len(condition) - 1] == model.tokenizer.boundary_id
        expected = span_scoring.score_spans(model, both, span_scoring.whole_text(both))
        assert found[start:end] == pytest.approx(expected[len(condition) :], abs=1e-5)
