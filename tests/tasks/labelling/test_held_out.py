"""Examples held out for validation: each label and type of spans occurs among them."""

import functools
import random

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning
from rnnlm.tasks.common.example_texts import with_held_out
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.labelling.texts import _held_out as hold_out
from support.tiny_tasks import labelled

PLAIN = LabelledSettings()


def held_out(text, share=0.05, settings=PLAIN, seed=1):
    """Return what is trained on, what is held out, and how it is called."""
    draw = functools.partial(hold_out, settings=settings, seed=seed)
    parts = with_held_out(text, {}, (), share, draw)
    train, held, called = parts.train, parts.others["valid"], parts.valid_is
    assert len(train.examples) + len(held.examples) == len(text.examples)
    lines = [each.line for each in (*train.examples, *held.examples)]
    assert sorted(lines) == [each.line for each in text.examples]
    return train, held, called


def intents(text):
    return {label for each in text.examples for label in each.text_labels[0].split("|") if label}


def types(text):
    tags = {tag for each in text.examples for row in each.word_labels for tag in row}
    return {tag.partition("-")[2] for tag in tags} - {""}


def texts(*labels):
    return [(["fly", str(number)], ["O", "O"], label) for number, label in enumerate(labels)]


def test_spans_that_only_begin_a_text_are_held_out():
    rows = [(["see", "Bob"], ["O", "B-PER"], "x")] * 90 + [(["see", "it"], ["O", "O"], "x")] * 10
    train, held, called = held_out(labelled(rows, "tagging"))
    assert types(held) == types(train) == {"PER"}
    assert called == "5 examples drawn at random, held out"


def test_a_share_that_has_all_labels_is_drawn_as_ever_and_else_by_the_seed():
    rows = [(["see", "Bob"], ["O", "B-PER"], "x")] * 40
    text = labelled(rows, "tagging")
    train, held, called = held_out(text, 0.1, seed=5)
    assert (train.examples, held.examples) == (text.examples[:-4], text.examples[-4:])
    assert called == "the last 4 examples, held out"

    # Texts are drawn at random, the same ones with any seed.
    text = labelled(texts(*["a", "b"] * 100), "classification")
    usual = set(np.random.default_rng(0).permutation(200)[:10].tolist())
    for seed in (1, 2):
        assert {each.line - 1 for each in held_out(text, seed=seed)[1].examples} == usual
    text = labelled(texts(*["a"] * 199, "b", "b"), "classification")
    drawn = [held_out(text, seed=seed)[1].examples for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1] and len(set(drawn)) == 3


@pytest.mark.parametrize("seed", range(30))
def test_each_label_of_two_examples_or_more_is_on_both_sides(seed):
    draw = random.Random(seed)
    labels = [draw.choices("abcdefg", [40, 30, 20, 5, 3, 2, 1])[0] for _ in range(120)]
    for label in "defg":  # two of each at least
        labels[draw.randrange(120)] = labels[draw.randrange(120)] = label
    text = labelled(texts(*sorted(labels)), "classification")
    expected = {label for label in labels if labels.count(label) > 1}
    train, held, _ = held_out(text, 0.1, seed=seed)
    assert len(held.examples) == 12
    assert expected <= intents(held) and intents(train) == set(labels)
    assert held_out(text, 0.1, seed=seed)[1].examples == held.examples


def test_long_examples_are_not_drawn_for_their_label():
    rows = [*texts(*["a"] * 90, "b", "b"), *[(["x" * 10**6], ["O"], "b")] * 8]
    for seed in range(9):
        held = held_out(labelled(rows, "classification"), seed=seed)[1]
        assert intents(held) == {"a", "b"} and all(len(each.words) == 2 for each in held.examples)


def test_sets_of_labels_count_label_by_label():
    settings = LabelledSettings(multi_label=True)
    rows = texts(*["a|b"] * 30, *[""] * 60, *["b|c"] * 2, "d|a", "d")
    train, held, _ = held_out(labelled(rows, "classification"), settings=settings)
    assert intents(held) == intents(train) == set("abcd")


def test_with_few_places_the_frequent_labels_come_first_and_the_others_are_named():
    text = labelled(texts(*"a" * 20, *"b" * 15, *"c" * 5), "classification")
    with pytest.warns(RnnlmWarning) as told:
        _, held, _ = held_out(text)
    assert intents(held) == {"a", "b"}
    [notice] = [str(each.message) for each in told]
    what = "no example held out for validation has 'c' of column intent"
    assert notice == f"{what}: validation says nothing about that"

    # One example is for training.
    text = labelled(texts(*"a" * 30, *"b" * 29, "c"), "classification")
    with pytest.warns(RnnlmWarning, match="'c' of column intent"):
        train, held, _ = held_out(text, 0.5)
    assert intents(train) == set("abc") and intents(held) == set("ab")
