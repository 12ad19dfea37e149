import math
import random

import numpy as np
import pytest

from rnnlm.errors import ModelError
from rnnlm.lm.ngram.counting.count_trie import count
from rnnlm.lm.ngram.incremental import NULL, IncrementalScorer
from rnnlm.lm.ngram.tables import longest_matches
from support.arpa_files import SMALL, model_of, random_arpa
from support.tiny_models import fit

LN10 = math.log(10)
pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.arpa").write_text(SMALL)
    return model_of(tmp_path / "small.arpa")


def ids(model, words):
    return [model.tokenizer.symbols().index(word) for word in words.split()]


@pytest.mark.parametrize(("words", "log10", "lengths"), [
    ("a b </s>", [-0.2, -0.05, -0.7], [2, 3, 1]), ("b </s>", [-1.0, -0.7], [1, 1]),
    ("a a </s>", [-0.2, -0.85, -0.4], [2, 1, 2]),
])  # fmt: skip
def test_a_line_is_scored_as_worked_by_hand(small, words, log10, lengths):
    steps = IncrementalScorer(small)
    answers = steps.score_tokens(steps.begin(), ids(small, words))
    assert [logprob / LN10 for logprob, _ in answers] == pytest.approx(log10, abs=1e-6)
    assert [length for _, length in answers] == lengths
    assert steps.extend(steps.begin(), small.tokenizer.boundary_id)[2] == NULL
    # Without context, a word has its unigram probability.
    answers = steps.score_tokens(steps.null(), ids(small, "a b"))
    assert [logprob / LN10 for logprob, _ in answers] == pytest.approx([-0.6, -0.1], abs=1e-6)


@pytest.mark.parametrize("settings", [
    {"order": 4}, {"order": 1}, {"order": 3, "smoothing": "stupid"},
    {"order": 2, "smoothing": "mle"},
])  # fmt: skip
def test_steps_are_what_the_model_scores_and_predicts(settings):
    model = fit("ngram", **settings)
    steps, rng = IncrementalScorer(model), np.random.default_rng(0)
    words = rng.integers(1, model.size, 60)
    inputs, state = np.array([[model.tokenizer.boundary_id, *words[:-1]]]), model.initial_state(1)
    expected, _ = model.score(inputs, words[None], state)
    predicted, _ = model.predict(inputs, state)
    context = steps.begin()
    for at, word in enumerate(words.tolist()):
        logprobs = [steps.extend(context, other)[0] for other in range(model.size)]
        assert logprobs == pytest.approx(predicted[0, at].tolist(), abs=1e-5)
        logprob, _, context = steps.extend(context, word)
        assert logprob == pytest.approx(expected[0, at], abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_contexts_are_equal_exactly_when_model_states_are(tmp_path, seed):
    (tmp_path / "random.arpa").write_text(random_arpa(seed, 3 + seed % 2, 0.3))
    model = model_of(tmp_path / "random.arpa")
    steps, rng = IncrementalScorer(model), np.random.default_rng(seed)
    pairs = set()
    for _ in range(60):
        words = rng.integers(1, model.size, rng.integers(1, 5))
        context = steps.begin()
        for word in words.tolist():
            context = steps.extend(context, word)[2]
        inputs_1T = np.array([[model.tokenizer.boundary_id, *words]])
        _, state = model.score(inputs_1T, inputs_1T, model.initial_state(1))
        pairs.add((context, tuple(state.inputs_BN[0].tolist())))
    assert len(pairs) > 10
    assert len({context for context, _ in pairs}) == len(pairs)
    assert len({inputs for _, inputs in pairs}) == len(pairs)


def test_damaged_tables_are_an_error(small):
    small.keys[0][:] = np.sort(small.keys[0])
    small.values = (small.values[0], small.values[1][:0], small.values[2])
    steps = IncrementalScorer(small)
    with pytest.raises(ModelError, match="damaged"):
        steps.score_tokens(steps.begin(), ids(small, "a b"))


END, SIZE = 0, 5


def text_of(seed: int, lines: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [[*rng.choices(range(1, SIZE), k=rng.randint(0, 6)), END] for _ in range(lines)]


def ngrams_of(line: list, order: int) -> list[list[tuple]]:
    """Return the n-grams, of two words and more, that end with each word."""
    words = ["<s>", *line]
    ends = range(2, len(words) + 1)
    return [[tuple(words[at - n : at]) for n in range(2, min(at, order) + 1)] for at in ends]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_longest_ngram_equals_a_naive_search(order, seed):
    seen, asked = text_of(seed, 6), text_of(seed + 10, 20)
    grams = {gram for line in seen for ends in ngrams_of(line, order) for gram in ends}
    expected = []
    for ends in (ends for line in asked for ends in ngrams_of(line, order)):
        expected.append(max((len(gram) for gram in ends if gram in grams), default=1))
    keys = [level.keys_M for level in list(count(np.concatenate(seen), END, SIZE, order))[1:]]
    assert longest_matches(np.concatenate(asked), keys, SIZE, END).tolist() == expected
