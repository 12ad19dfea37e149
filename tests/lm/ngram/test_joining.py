"""Joining n-gram models against dictionaries, by the definition, and an example by hand."""

import warnings

import numpy as np
import pytest

from reference import joined_dictionary as slow
from rnnlm import registry
from rnnlm.errors import RnnlmWarning
from rnnlm.lm.ngram import pruning, tables
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.joining import joined, renumbered
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.text.encoding import TrainingData
from support.arpa_files import model_of, random_arpa
from support.tiny_models import Lines, english_lines, make_tokenizer, small_settings

IN_MEMORY = Workspace()
TEXT = english_lines(30)
EVEN, ODD = TEXT[::2], TEXT[1::2]


def fitted(lines: list[str], tokenizer=None, **settings) -> NgramModel:
    tokenizer = tokenizer or make_tokenizer(TEXT)
    kind = registry.kind_of("ngram")
    data = TrainingData(tokenizer, Lines(lines).encode(tokenizer), None)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        *_, last = kind.fit(small_settings(kind, **settings), data)
    return last.model


def same(model: NgramModel, expected: slow.Backoff, tolerance: float = 2e-5) -> None:
    """Make sure that a model has these n-grams, probabilities and backoff weights."""
    found = slow.table(model)
    assert found.words == expected.words and found.prob.keys() == expected.prob.keys()
    for gram, prob in expected.prob.items():
        assert found.prob[gram] == pytest.approx(prob, rel=tolerance, abs=1e-30), gram
        # the weight of a context that nothing follows makes no difference
        weight = expected.weight.get(gram, 1.0)
        assert found.weight[gram] == pytest.approx(weight, rel=tolerance), gram


def sums(model: NgramModel) -> np.ndarray:
    """Return the sums of all predictions, after each context."""
    ids, are_all = model.contexts(1 << 20, np.random.default_rng(1))
    assert are_all
    found = []
    for ids_BT in ids:
        if len(ids_BT):
            logprob_BTV, _ = model.predict(ids_BT, model.initial_state(len(ids_BT)))
            found.append(np.exp(logprob_BTV[:, -1].astype(np.float64)).sum(axis=-1))
    return np.concatenate(found)


HAND = "\\data\\\nngram 1=5\nngram 2=1\n\\1-grams:\n{}0\t<s>\n\\2-grams:\n{}\n\\end\\\n"


def by_hand(folder, name: str, unigrams: dict[str, float], bigram: str, p: float, weight: float):
    lines = ""
    for word, prob in unigrams.items():
        backoff = f"\t{np.log10(weight)}" if word == "a" else ""
        lines += f"{np.log10(prob)}\t{word}{backoff}\n"
    (folder / name).write_text(HAND.format(lines, f"{np.log10(p)}\t{bigram}"))
    return model_of(folder / name)


def test_example_worked_by_hand(tmp_path):
    one = {"</s>": 1 / 4, "<unk>": 1 / 4, "a": 1 / 4, "b": 1 / 4}
    two = {"</s>": 1 / 2, "<unk>": 1 / 8, "a": 1 / 4, "b": 1 / 8}
    # What "a b" leaves, 1/2, over what the unigrams give to the other words, 3/4; likewise below.
    half, whole = ("one", one, "a b", 1 / 2, 2 / 3), ("two", two, "a a", 1 / 4, 1.0)
    parts = [by_hand(tmp_path, *half), by_hand(tmp_path, *whole)]
    found = slow.table(joined(parts, [1 / 2, 1 / 2], IN_MEMORY))
    # p(b|a) = 1/2 1/2 + 1/2 (1 1/8), p(a|a) = 1/2 (2/3 1/4) + 1/2 1/4: together 25/48
    expected = {"</s>": 18, "<unk>": 9, "a": 12, "b": 9, "a b": 15, "a a": 10}  # / 48
    for gram, prob in expected.items():
        assert found.prob[tuple(gram.split())] == pytest.approx(prob / 48, rel=1e-6)
    assert found.weight["a",] == pytest.approx((23 / 48) / (9 / 16), rel=1e-6)
    # In the mixture itself, </s> after a has 1/2 (2/3 1/4) + 1/2 (1 1/2) = 1/3.
    assert found.p(("a", "</s>")) == pytest.approx(23 / 72, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dropped", [0.0, 0.5])
def test_imported_models_join_as_dictionaries_do(tmp_path, seed, dropped):
    parts = []
    for number, order in enumerate((4, 3, 2)):
        path = tmp_path / f"{number}.arpa"
        path.write_text(random_arpa(2 * (seed + 10 * number), order, dropped))
        parts.append(model_of(path))
    symbols = parts[0].tokenizer.symbols()
    same_words = [parts[0]]
    for part in parts[1:]:
        assert sorted(part.tokenizer.symbols()) == sorted(symbols)
        number_V = np.array([symbols.index(symbol) for symbol in part.tokenizer.symbols()])
        same_words.append(renumbered(part, number_V, parts[0].tokenizer, IN_MEMORY))
    assert not tables.examine(check(same_words, [0.5, 0.3, 0.2]))[0]


MLE = {"order": 3, "smoothing": "mle"}


@pytest.mark.parametrize("one, other", [
    ({"order": 3}, {"order": 3}), ({"order": 4}, {"order": 2, "smoothing": "witten-bell"}),
    ({"order": 1}, {"order": 3, "smoothing": "katz"}), (MLE, {"order": 2, "smoothing": "mle"}),
    (MLE, {"order": 4, "prune": "0,0,1"}),
])  # fmt: skip
def test_estimated_models_join_as_dictionaries_do(one, other):
    check([fitted(EVEN, **one), fitted(ODD, **other)], [0.3, 0.7])


def test_pruned_models_join_as_dictionaries_and_one_with_itself_stays():
    parts = [pruning.by_entropy(fitted(lines, order=4), 1e-4) for lines in (EVEN, ODD)]
    grams = [slow.table(part).prob for part in parts]
    assert any(gram[1:] not in part for part in grams for gram in part if len(gram) > 1)
    check(parts, [0.3, 0.7])
    part = fitted(TEXT, order=3)
    model = joined([part, part], [0.25, 0.75], IN_MEMORY)
    for values, own in zip(model.values, part.values, strict=True):
        np.testing.assert_allclose(values[:, 0], own[:, 0], atol=2e-6)
        # weights come from sums of many rounded numbers
        np.testing.assert_allclose(values[:, 1:], own[:, 1:], atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("most", [1, 7, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_limited_memory_changes_nothing(monkeypatch, tmp_path, most, threads):
    parts = [pruning.by_entropy(fitted(EVEN, order=4), 1e-5), fitted(ODD, order=3)]
    whole = joined(parts, [0.3, 0.7], IN_MEMORY)
    monkeypatch.setattr("rnnlm.lm.ngram.tables.LOOKUPS", 5)
    for name, size in (("BYTES_PER_NGRAM", 1), ("BYTES_PER_PART", 0)):
        monkeypatch.setattr(f"rnnlm.lm.ngram.joining.{name}", size)
    limited = Workspace(1 << 20, threads, tmp_path)
    limited.memory = most
    small = joined(parts, [0.3, 0.7], limited)
    for found, expected in zip(small.to_arrays().values(), whole.to_arrays().values(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not list(tmp_path.iterdir())  # files have no names


def test_words_nearly_always_next_or_all_seen_sum_to_one():
    # After "a" comes "b" alone, thousands of times: what is left for others is tiny, not noise.
    lines = ["a b c"] * 3000 + ["c a b", "d e"]
    tokenizer = make_tokenizer(["a b c d e"])
    check([fitted(some, tokenizer, order=3) for some in (lines, lines[::-2])], [0.5, 0.5], 1e-3)
    tokenizer = make_tokenizer(["a b"])
    lines = ["a b", "b a", "a a", "b b", "a <unk> b <unk> <unk> a", "b", "a", "<unk>"]
    parts = [fitted(lines, tokenizer, order=3, smoothing="additive", additive_k=1.0),
             fitted(lines[:4], tokenizer, order=2)]  # fmt: skip
    check(parts, [0.5, 0.5])


@pytest.mark.parametrize("most", [3, 1 << 17])
def test_renumbered_models_keep_their_ngrams_in_words(tmp_path, most):
    model = fitted(EVEN, order=4)
    larger = make_tokenizer([*reversed(TEXT), "words that none of them has"])
    symbols = larger.symbols()
    number_V = np.array([symbols.index(symbol) for symbol in model.tokenizer.symbols()])
    workspace = Workspace(1 << 20, 1, tmp_path)
    workspace.ngrams = most
    found = renumbered(model, number_V, larger, workspace)
    assert not tables.examine(found)[0]
    own, its = slow.table(model), slow.table(found)
    unknown = {(symbol,) for symbol in set(symbols) - set(own.words)}
    assert unknown and its.prob == own.prob | dict.fromkeys(unknown, 0.0)
    assert its.weight == own.weight | dict.fromkeys(unknown, 1.0)


def check(parts, weights, tolerance: float = 2e-5) -> NgramModel:
    """Join models and make sure that the result is that of the dictionaries, and sums to one."""
    model = joined(parts, weights, IN_MEMORY)
    same(model, slow.join([slow.table(part) for part in parts], weights), tolerance)
    np.testing.assert_allclose(sums(model), 1, atol=1e-5)
    return model
