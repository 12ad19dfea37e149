import math

import numpy as np
import pytest

from rnnlm.errors import ModelError, RnnlmWarning
from rnnlm.lm.base import span_scoring
from rnnlm.scoring import prefixes
from rnnlm.scoring.prefixes import UNBOUNDED, CachedPrefixes, prefix_scorer, score_trie
from support.tiny_models import LINES, fit

MIXTURE = {"parts": [("ngram", {"order": 3}), ("lstm", {})], "weights": [0.4, 0.6]}
MODELS = [
    ("unigram", {}), ("ngram", {"order": 3}), ("lstm", {}), ("gru", {}), ("ffnn", {}),
    ("lstm", {"tokenizer": "char"}),
    ("ngram", {"tokenizer": "byte"}), ("lstm", {"characters": "cnn"}), ("mixture", MIXTURE),
]  # fmt: skip


def name_of(case):
    return "-".join([case[0], *map(str, case[1].values())])[:30]


@pytest.fixture(scope="module", params=MODELS, ids=name_of)
def model(request):
    name, settings = request.param
    return fit(name, **settings)


def test_extending_gives_what_reading_a_line_gives(model):
    ids = model.tokenizer.encode([LINES[3]]).ids
    expected = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))
    scorer = prefix_scorer(model)
    prefix, found = scorer.begin(), []
    for id in ids.tolist():
        logprob, _, prefix = scorer.extend(prefix, id)
        found.append(logprob)
    assert found == pytest.approx(expected.tolist(), abs=1e-5)
    at_once = [logprob for logprob, _ in scorer.score_tokens(scorer.begin(), ids.tolist())]
    assert at_once == pytest.approx(expected.tolist(), abs=1e-5)


def test_branches_do_not_disturb_each_other(model):
    scorer = prefix_scorer(model)
    one, other = (model.tokenizer.encode([line]).ids[:4].tolist() for line in LINES[:2])
    alone = [scorer.score_tokens(scorer.begin(), words) for words in (one, other)]
    prefixes_read, found = [scorer.begin(), scorer.begin()], [[], []]
    for pair in zip(one, other, strict=True):
        for branch, word in enumerate(pair):
            logprob, length, prefixes_read[branch] = scorer.extend(prefixes_read[branch], word)
            found[branch].append((pytest.approx(logprob, abs=1e-5), length))
    assert found == alone


def test_prefixes_are_equal_where_the_same_was_read():
    scorer = prefix_scorer(fit("lstm"))
    _, _, first = scorer.extend(scorer.begin(), 3)
    prefixes_read = [scorer.extend(first, word)[2] for word in (4, 4, 5)]
    assert prefixes_read[0] == prefixes_read[1] != prefixes_read[2]
    assert hash(prefixes_read[0]) == hash(prefixes_read[1])
    assert scorer.order == UNBOUNDED


def test_prefix_is_read_once_for_any_next_words():
    model = fit("lstm")
    scorer, asked = CachedPrefixes(model), []
    model.network.register_forward_pre_hook(lambda *_: asked.append(1))
    words = range(2, model.tokenizer.size)
    prefixes_read = [scorer.extend(scorer.begin(), word)[2] for word in words]
    assert len(asked) == 1
    assert scorer.extend(prefixes_read[0], 2)[0] == scorer.extend(prefixes_read[0], 2)[0]
    assert len(asked) == 2


def test_what_is_forgotten_is_read_again(monkeypatch):
    monkeypatch.setattr(prefixes, "CACHED_BYTES", 1)
    model = fit("lstm")
    scorer = CachedPrefixes(model)
    prefixes_read = [scorer.extend(scorer.begin(), word % 9 + 2)[2] for word in range(9)]
    first = [scorer.extend(prefix, 3)[0] for prefix in prefixes_read]
    for word in range(60):
        scorer.extend(scorer.extend(prefixes_read[word % 9], word % 9)[2], 3)
    assert len(scorer._cache) == 16
    assert [scorer.extend(prefix, 3)[0] for prefix in prefixes_read] == first


@pytest.mark.needs("tools/mixtures")
def test_cache_limit_counts_states_holding_whole_models(monkeypatch):
    from rnnlm.tools.mixtures.adaptation import adapt

    monkeypatch.setattr(prefixes, "CACHED_BYTES", 1 << 17)
    model = adapt(fit("lstm"), "dynamic")
    scorer = prefix_scorer(model)
    prefix = scorer.begin()
    for number in range(60):
        _, _, prefix = scorer.extend(prefix, 2 + number % 5)
    assert len(scorer._cache) < 30  # of some 5 KB each


def test_a_line_begins_anew_after_its_end():
    scorer = prefix_scorer(fit("lstm"))
    end = scorer.model.tokenizer.boundary_id
    line = scorer.score_tokens(scorer.begin(), [3, end, 3, 4, end])
    assert line[2] == pytest.approx(line[0])
    assert [length for _, length in line] == [2, 3, 2, 3, 4]
    assert scorer.extend(scorer.extend(scorer.begin(), 3)[2], end)[2] == scorer.begin()


def test_no_context_is_line_start_except_for_ngrams():
    scorer = prefix_scorer(fit("lstm"))
    with pytest.warns(RnnlmWarning, match="only n-gram"):
        assert scorer.null() == scorer.begin()
    for name in ("ngram", "unigram"):
        model = fit(name)
        scorer = prefix_scorer(model)
        words = range(model.tokenizer.size)
        p = sum(math.exp(scorer.extend(scorer.null(), word)[0]) for word in words)
        assert p == pytest.approx(1, abs=1e-5)


def test_scores_that_are_not_numbers_are_an_error():
    model = fit("lstm")
    for parameter in model.network.parameters():
        parameter.data.fill_(np.nan)
    scorer = prefix_scorer(model)
    with pytest.raises(ModelError, match="not numbers"):
        scorer.extend(scorer.begin(), 3)
    with pytest.raises(ModelError, match="not numbers"):
        scorer.score_tokens(scorer.begin(), [3])


# a text twice, one that another begins with, branches at the start, in the middle and at the end
TREE = [
    "the cat sat on the mat", "the cat sat on a mat", "the cat sat", "a dog saw the cat",
    "the cat sat on the mat", "", "the dog sat", "a dog saw the dog",
]  # fmt: skip


def encoded_tree(model) -> tuple[np.ndarray, np.ndarray]:
    encoded = model.tokenizer.encode(TREE)
    return encoded.ids, span_scoring.spans_between(encoded.offsets)


def test_shared_prefixes_do_not_change_line_scores(model):
    ids, spans = encoded_tree(model)
    expected = pytest.approx(span_scoring.score_spans(model, ids, spans), abs=1e-5)
    assert score_trie(model, ids, spans) == expected


@pytest.mark.parametrize("call_tokens, copies", [(1, 1), (3, 2), (1 << 14, 300)])
def test_scores_are_independent_of_trie_cuts(call_tokens, copies):
    model = fit("lstm")
    encoded = model.tokenizer.encode(TREE * copies)
    ids, spans = encoded.ids, span_scoring.spans_between(encoded.offsets)
    assert (len(spans) > prefixes.LINES_AT_ONCE) == (copies == 300)
    expected = span_scoring.score_spans(model, ids, spans)
    model.call_tokens = call_tokens
    assert score_trie(model, ids, spans) == pytest.approx(expected, abs=1e-5)


def distinct_beginnings(ids: np.ndarray, spans: np.ndarray, least: int = 0) -> int:
    """Count the beginnings of lines that a token follows, or from one token on, those up to it."""
    lines = [ids[start:end].tolist() for start, end in spans]
    return len({tuple(line[: at + least]) for line in lines for at in range(len(line))})


def count_inputs(model, method: str) -> list[int]:
    """Return a list that collects the number of inputs of each later call."""
    sizes, called = [], getattr(model, method)

    def counted(inputs_BT, *given):
        sizes.append(inputs_BT.size)
        return called(inputs_BT, *given)

    setattr(model, method, counted)
    return sizes


def test_a_network_reads_every_beginning_once():
    model = fit("lstm")
    ids, spans = encoded_tree(model)
    sizes = count_inputs(model, "hidden")
    scored = count_inputs(model, "score")
    score_trie(model, ids, spans)
    assert (sum(sizes), scored) == (distinct_beginnings(ids, spans), [])


@pytest.mark.needs("tools/mixtures")
def test_mixtures_read_each_token_once_and_adapting_models_every_line():
    from rnnlm.tools.mixtures.adaptation import adapt

    model = fit("mixture", **MIXTURE)
    ids, spans = encoded_tree(model)
    sizes = count_inputs(model, "score")
    score_trie(model, ids, spans)
    assert sum(sizes) == distinct_beginnings(ids, spans, least=1)
    model = adapt(fit("lstm"), "cache")
    ids, spans = encoded_tree(model)
    expected = span_scoring.score_spans(model, ids, spans)
    assert score_trie(model, ids, spans).tolist() == expected.tolist()
