"""How much of the past a model sees: a known memory comes out."""

import numpy as np
import pytest

from rnnlm import arrays
from rnnlm.errors import UsageError
from rnnlm.evaluation.perplexity import evaluate, spans_of
from rnnlm.lm.base.span_scoring import score_spans
from rnnlm.text.lines import Block, TextSettings
from rnnlm.tools.inspection.memory import (
    MemoryInspection,
    ModelMemory,
    Remembered,
    draw_places,
    inspect_memory,
    with_last,
    with_shuffled,
)
from rnnlm.tools.mixtures.adapted_model import UnigramCacheSettings
from rnnlm.tools.mixtures.unigram_cache import UnigramCache
from support.tiny_models import LINES, Lines, fit

TEXT = Lines(LINES * 3)
KINDS = {
    "lstm": ("lstm", {}), "char": ("gru", {"tokenizer": "char"}), "ngram": ("ngram", {"order": 3}),
    "mixture": ("mixture",
                {"parts": (("lstm", {}), ("ngram", {"order": 2})), "weights": (0.5, 0.5)}),
}  # fmt: skip


def cache_model(tokens: int) -> UnigramCache:
    settings = UnigramCacheSettings(cache_tokens=tokens, cache_weight=0.4)
    return UnigramCache(fit("ngram", order=2), settings)


@pytest.fixture(scope="module", params=[*KINDS, "cache"])
def model(request):
    if request.param == "cache":
        return cache_model(50)
    name, settings = KINDS[request.param]
    return fit(name, **settings)


def all_places(model, text, context):
    """Return all places of a text, and their scores by the whole model."""
    encoded = text.encode(model.tokenizer)
    ids, spans = np.asarray(encoded.ids), spans_of(encoded, context)
    places = draw_places(ids, spans, model.tokenizer.boundary_id, len(ids), 0)
    return places, score_spans(model, ids, spans)


DOCUMENTS = Lines(LINES, document_starts=(0, 2, 3), settings=TextSettings(blank_lines="documents"))


@pytest.mark.parametrize(
    ("text", "context"), [(Lines(LINES), "carry"), (Lines(LINES), "reset"), (DOCUMENTS, "carry")]
)
def test_scores_equal_evaluation_if_last_tokens_cover_everything(model, text, context):
    places, expected = all_places(model, text, context)
    assert with_last(model, places, len(expected)) == pytest.approx(expected, abs=1e-5)


def test_last_tokens_are_read_from_the_initial_state(model):
    places, _ = all_places(model, TEXT, "carry")
    scores = with_last(model, places, 3)
    inputs = [model.tokenizer.boundary_id, *places.ids_N.tolist()]
    for at in (0, 1, 2, 3, 4, 9, len(inputs) - 2):
        state = model.initial_state(1)
        for token in inputs[max(0, at - 2) : at + 1]:
            predicted, state = model.predict(np.array([[token]]), state)
        expected = arrays.as_numpy(predicted)[0, 0, places.ids_N[at]]
        assert scores[at] == pytest.approx(expected, abs=1e-5)


def test_full_context_perplexity_equals_evaluation():
    model = cache_model(50)
    (found,) = inspect_memory({"it": model}, TEXT, positions=10_000).models
    evaluated = evaluate(model, TEXT)
    assert found.positions == evaluated.tokens
    assert found.seen[-1].perplexity == pytest.approx(evaluated.ppl_token, rel=1e-6)
    assert found.seen[-1].increase == found.shuffled[-1].increase == 0


def test_sampled_positions_score_as_in_the_evaluation():
    model = fit("ngram", order=2)
    encoded = TEXT.encode(model.tokenizer)
    ids, spans = np.asarray(encoded.ids), spans_of(encoded, "reset")
    places = draw_places(ids, spans, model.tokenizer.boundary_id, 20, 5)
    (found,) = inspect_memory([model], TEXT, positions=20, context="reset", seed=5).models
    expected = np.exp(-score_spans(model, ids, spans)[places.at_P].mean())
    assert len(set(places.at_P.tolist())) == 20
    assert found.seen[-1].perplexity == pytest.approx(expected, rel=1e-6)


EVERYTHING = Remembered(None, 0, 100.0, 90.0, 110.0, 0.0, 0.0, 0.0, 0.0, 0)


def verdict_of(*rows: Remembered) -> str:
    model = ModelMemory("m", "word", True, 9, rows, 9, rows)
    return MemoryInspection((model,), "carry", 200, 0).verdict


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_n_gram_model_is_flat_beyond_its_order(order):
    model = fit("ngram", order=order)
    places, expected = all_places(model, TEXT, "carry")
    for length in (5, 10, order - 1):
        if length >= max(1, order - 1):
            assert with_last(model, places, length) == pytest.approx(expected, abs=1e-9)
            assert with_shuffled(model, places, length, 40, 1) == pytest.approx(expected, abs=1e-9)
    if order == 6:
        assert abs(with_last(model, places, 1) - expected).max() > 0.1


def test_effective_context_of_a_trigram_is_two_tokens():
    memory = inspect_memory({"trigram": fit("ngram", order=3)}, TEXT, positions=10_000)
    assert (memory.models[0].effective_context, memory.models[0].ordered_context) == (2, 2)
    assert "the effective context is 2 tokens: with those alone, perplexity is" in memory.verdict


def test_verdict_quantifies_the_effect_of_fewer_tokens():
    last = Remembered(1, 9, 97.0, 87.0, 107.0, -0.03, -0.2, 0.15, -0.04, 0)
    below = "with that alone, perplexity is 97.0, 3.0% below the 100.0 with all"
    assert f"{below} (95 % interval -20.0% to +15.0%)" in verdict_of(last, EVERYTHING)


@pytest.mark.parametrize(("low", "is_said"), [(0.008, True), (0.012, False)])
@pytest.mark.parametrize("last", [
    [], [Remembered(50, 9, 100.5, 90.0, 110.0, 0.005, 0.001, 0.009, 0.01, 0)],
])  # fmt: skip
def test_verdict_names_smaller_context_that_may_be_enough(low, is_said, last):
    fewer = Remembered(20, 9, 102.0, 92.0, 112.0, 0.02, low, 0.03, 0.03, 0)
    said = verdict_of(fewer, *last, EVERYTHING)
    assert ("(20 may be enough: its interval begins at +0.8%)" in said) == is_said
    assert ("may be enough" in said) == is_said


@pytest.mark.parametrize(("context", "affected"), [
    ("carry", [11, 10, 7, 2, 0, 0, 0, 0]), ("reset", [9, 6, 0, 0, 0, 0, 0, 0]),
])  # fmt: skip
def test_affected_positions_are_counted_and_bits_match_perplexities(context, affected):
    # 12 targets with their boundaries
    three_lines = Lines(["the cat sat", "a dog", "it saw the mat"])
    (found,) = inspect_memory({"it": fit("ngram", order=3)}, three_lines, context=context).models
    assert [row.affected for row in found.seen] == affected
    assert found.seen[0].increase_low < found.seen[0].increase < found.seen[0].increase_high
    for row in found.seen:
        ratio = row.perplexity / found.seen[-1].perplexity
        assert row.low < row.perplexity < row.high
        assert 1 + row.increase == pytest.approx(ratio)
        assert row.increase_bits == pytest.approx(np.log2(ratio), abs=1e-12)


def test_shuffled_window_is_compared_with_the_ordered_one():
    model, text = cache_model(300), Lines(LINES * 7)
    places, expected = all_places(model, text, "carry")
    (found,) = inspect_memory({"it": model}, text, positions=10_000, window=101).models
    in_order = np.exp(-with_last(model, places.every(4), 101).mean())
    assert found.shuffled[-1].perplexity == pytest.approx(in_order, rel=1e-9)
    assert found.shuffled_positions == len(expected[::4])
    assert in_order != pytest.approx(np.exp(-expected[::4].mean()), rel=1e-4)


class Recorder:
    """A model that keeps the rows it is given, which end in the targets."""

    call_tokens, max_rows = 64, None

    def __init__(self):
        self.rows = {}

    def initial_state(self, rows):
        return [()] * rows

    def score(self, inputs_BT, targets_BT, state):
        state = [(*read, *row) for read, row in zip(state, inputs_BT.tolist(), strict=True)]
        self.rows |= dict(zip(targets_BT[:, -1].tolist(), state, strict=True))
        return np.zeros(inputs_BT.shape), state


def test_shuffling_keeps_last_tokens_beginning_and_contents():
    ids, kept, window = np.arange(1, 200), 5, 60
    places = draw_places(ids, np.array([[0, 30], [30, 199]]), 0, 199, 0)
    rows = []
    for _ in range(2):
        recorder = Recorder()
        with_shuffled(recorder, places, kept, window, seed=3)
        rows.append(recorder.rows)
    assert rows[0] == rows[1] and len(rows[0]) == 199
    for target, read in rows[0].items():
        begin = 0 if target <= 30 else 30
        inputs = tuple(range(max(begin, target - window), target))
        assert sorted(read) == list(inputs) and read[-kept:] == inputs[-kept:]
        assert read[0] == begin or inputs[0] != begin
    assert sum(read != tuple(sorted(read)) for read in rows[0].values()) > 150


def test_zero_probability_tokens_are_counted_without_perplexity():
    models = {"mle": fit("ngram", order=2, smoothing="mle")}
    memory = inspect_memory(models, Lines(["the dog saw it", "a cat is a dog"]), positions=99)
    [model] = memory.models
    full = model.seen[-1]
    assert (full.perplexity, full.increase) == (None, None) and full.zeros > 0
    assert f"{full.zeros} of {model.positions} tokens have probability zero" in memory.verdict
    assert not any(line.get_xdata().size for axes in memory.figure().axes for line in axes.lines)


class Once(Lines):
    """A text that can be read once, as standard input."""

    def blocks(self):
        for block in super().blocks():
            yield Block(list(block.lines), [])
            self.lines.clear()


def test_differently_tokenized_models_share_one_reading_of_text():
    models = {"words": fit("unigram"), "letters": fit("unigram", tokenizer="char")}
    memory = inspect_memory(models, Once(list(LINES)), positions=50)
    assert "different tokens" in memory.verdict
    assert [model.positions for model in memory.models] == [31, 50]


def test_unmeasurable_input_is_refused_in_one_line():
    model = fit("unigram")
    with pytest.raises(UsageError, match="1 positions are not enough"):
        inspect_memory([model], TEXT, positions=1)
    with pytest.raises(UsageError, match="a window of 100 tokens is too short"):
        inspect_memory([model], TEXT, window=100)
    model.max_rows = 1
    with pytest.raises(UsageError, match="reads one text at a time"):
        inspect_memory({"dynamic": model}, TEXT)
