"""The hidden Markov model: counts by hand, answers against sums over all sequences."""

import itertools
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, SettingsError, UsageError
from rnnlm.lm.base import stored_model
from rnnlm.tasks.labelling.tagging import tag
from support import tiny_tasks

# "fish" is noun and verb, "can" occurs once, as do "they" and "old"
FISH = """they P
fish V

old A
fish N
fish V

fish N
can V
"""


@pytest.fixture
def fish(here, rnnlm):
    (here / "fish.txt").write_text(FISH, encoding="utf-8")
    rnnlm("train fish.txt --task tagging --model hmm --holdout 0 --set additive_k=0.5 -o fish")
    return here / "fish"


def numbers_of(folder):
    """Return log p(word | label), and log p(next | label) with None for the ends, by name."""
    model, _ = stored_model.load(folder, "cpu")
    labels, arrays = model.codec.columns[0].symbols, model.to_arrays()
    words = model.codec.tokenizer.symbols()
    emitted = {
        (word, label): float(arrays["table.weight"][row, column])
        for row, word in enumerate(words)
        for column, label in enumerate(labels)
    }
    chain = {name: arrays[f"heads.0.chain.{name}"] for name in ("start_K", "end_K")}
    after = {}
    for row, label in enumerate(labels):
        after[None, label] = float(chain["start_K"][row])
        after[label, None] = float(chain["end_K"][row])
        for column, other in enumerate(labels):
            after[label, other] = float(arrays["heads.0.chain.transitions_KK"][row, column])
    return emitted, after


def test_a_new_word_is_as_likely_with_any_label_where_no_word_occurs_once(here, rnnlm):
    """Before, it was likeliest with the rarest label, as k weighs more there."""
    text = "the D\ncat N\nsees V\nthe D\ncat N\n\n" * 3 + "oh U\n\n" * 2
    (here / "often.txt").write_text(text, encoding="utf-8")
    rnnlm("train", "often.txt", "--task", "tagging", "--model", "hmm", "--holdout", "0", "-o", "m")
    emitted, _ = numbers_of(here / "m")
    unknown = [logprob for (word, _), logprob in emitted.items() if word == "<unk>"]
    assert unknown == pytest.approx([unknown[0]] * 4, abs=0.01)


def test_weights_are_smoothed_relative_frequencies(fish):
    emitted, after = numbers_of(fish)
    # 5 words: they, fish, old, can, <unk>; of V three occur, and "can" is the rare one
    assert emitted["fish", "V"] == pytest.approx(log((2 + 0.5) / (3 + 1 + 5 * 0.5)), abs=1e-6)
    assert emitted["<unk>", "V"] == pytest.approx(log((1 + 0.5) / (3 + 1 + 5 * 0.5)), abs=1e-6)
    assert emitted["<unk>", "N"] == pytest.approx(log((0 + 0.5) / (2 + 0 + 5 * 0.5)), abs=1e-6)
    words = [exp(emitted[word, "N"]) for word in ("they", "fish", "old", "can", "<unk>")]
    assert sum(words) == pytest.approx(1, abs=1e-6)
    # 4 labels and the end may follow each; three sentences
    assert after["N", "V"] == pytest.approx(log((2 + 0.5) / (2 + 5 * 0.5)), abs=1e-6)
    assert after["V", None] == pytest.approx(log((3 + 0.5) / (3 + 5 * 0.5)), abs=1e-6)
    assert after[None, "A"] == pytest.approx(log((1 + 0.5) / (3 + 5 * 0.5)), abs=1e-6)


def test_answers_are_those_of_all_label_sequences(fish):
    emitted, after = numbers_of(fish)
    labels = sorted({label for _, label in emitted})
    words = ["old", "fish", "swim"]

    def joint(path):
        known = [word if (word, "V") in emitted else "<unk>" for word in words]
        steps = itertools.pairwise([None, *path, None])
        pairs = zip(known, path, strict=True)
        return exp(sum(after[step] for step in steps) + sum(emitted[pair] for pair in pairs))

    p = {path: joint(path) for path in itertools.product(labels, repeat=3)}
    total = sum(p.values())
    best = sorted(p.values(), reverse=True)[:5]
    with pytest.warns(RnnlmWarning, match="swim"):
        [found] = tag(rnnlm.load(fish), [words], nbest=5, probabilities=True)
    for answer, value in zip(found.nbest["2"], best, strict=True):
        assert answer.probability == pytest.approx(value / total, abs=1e-6)
        assert p[answer.labels] == pytest.approx(value, rel=1e-5)
    for place, probabilities in enumerate(found.probabilities["2"]):
        for label in labels:
            share = sum(value for path, value in p.items() if path[place] == label) / total
            assert probabilities[label] == pytest.approx(share, abs=1e-6)


def test_columns_have_a_chain_each(here):
    both = tiny_tasks.labelled(tiny_tasks.TRAIN, "tagging")
    other = [tuple("b" if tag == "O" else "a" for tag in tags) for _, tags, _ in tiny_tasks.TRAIN]
    examples = tuple(
        replace(each, word_labels=(*each.word_labels, labels))
        for each, labels in zip(both.examples, other, strict=True)
    )
    scheme = {**both.scheme, "parts": "none"}
    two = replace(both, examples=examples, word_columns=("slots", "parts"), scheme=scheme)
    alone = tiny_tasks.fit("tagging", "hmm").to_arrays()
    joined = tiny_tasks.fit("tagging", "hmm", two).to_arrays()
    labels = alone["table.weight"].shape[1]
    np.testing.assert_array_equal(joined["table.weight"][:, :labels], alone["table.weight"])
    assert joined["table.weight"].shape[1] == labels + 2
    assert joined["heads.1.chain.end_K"].shape == (2,)


def test_it_beats_the_most_frequent_tag_and_knows_words_seen_once(here, rnnlm):
    shown = rnnlm("train", "words-and-tags", "--task", "tagging", "--model", "hmm", "-o", "hmm")
    assert shown.out.splitlines()[2].split("\t")[:5] == ["test", "upos", "88.86", "94.74", "62.00"]
    assert "12,360 parameters, vocabulary 807" in shown.err
    shown = rnnlm("train", "travel", "--task", "tagging", "--model", "hmm", "-o", "travel")
    assert "68,310 parameters" in shown.err and "intent" not in shown.out  # a label of texts


def test_what_has_no_layers_is_refused(here):
    (here / "fish.txt").write_text(FISH, encoding="utf-8")
    (here / "both.jsonl").write_text(tiny_tasks.json_lines(tiny_tasks.TRAIN), encoding="utf-8")
    both = {"column": "words", "label_column": "slots", "sentence_label_column": "intent"}
    request = {"task": "tagging", "model": "hmm", "holdout": 0.0, "output": "fish"}
    for text, option, error, what in (
        ("fish.txt", {"init_from": "demo"}, UsageError, "init_from"),
        ("fish.txt", {"contextual": ["demo"]}, UsageError, "contextual"),
        ("fish.txt", {"tokenizer": "char"}, SettingsError, "an hmm reads whole words"),
        ("both.jsonl", both, SettingsError, "an hmm labels words, and not whole texts"),
    ):
        with pytest.raises(error, match=what):
            list(rnnlm.train(text, **request, **option))
