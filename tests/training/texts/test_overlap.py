"""What of a validation or test text is in the training text is counted as sets of lines would count
it, and told."""

import json
from dataclasses import replace

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning
from rnnlm.text import tokenizers
from rnnlm.text.corpus import open_text
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.plan import plan
from rnnlm.training.request import Overlap, TrainingRequest
from rnnlm.training.texts import line_texts as overlap
from rnnlm.training.texts.line_texts import overlaps
from support.failures import notices_of


def encoded(path, tokenizer):
    return open_text([path]).encode(tokenizer)


@pytest.fixture
def words():
    """Return a function that draws lines of random words. With few words, many lines are equal."""
    generator = np.random.default_rng(3)

    def lines(count: int, longest: int = 12) -> list[str]:
        return [
            " ".join(generator.choice(["alpha", "beta", "gamma"], generator.integers(1, longest)))
            for _ in range(count)
        ]

    return lines


@pytest.mark.parametrize("tokenizer", ["word", "char", "byte"])
@pytest.mark.parametrize("at_once", [{}, {"LINES": 7, "TOKENS": 40}], ids=["at once", "in pieces"])
def test_counts_equal_those_of_sets_of_lines(tmp_path, words, monkeypatch, tokenizer, at_once):
    for name, most in at_once.items():
        monkeypatch.setattr(overlap, f"{name}_AT_ONCE", most)
    texts = {"train": words(300, 6), "valid": words(100, 6), "test": words(50)}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    made = tokenizers.train(
        TokenizerSettings(tokenizer=tokenizer), open_text([tmp_path / "train"]).blocks()
    )
    read = {name: encoded(tmp_path / name, made) for name in texts}
    found = overlaps(read["train"], {"valid": read["valid"], "test": read["test"]})
    seen = set(texts["train"])
    for name in ("valid", "test"):
        compared = [line for line in texts[name] if len(line) + 1 >= overlap.LEAST_CHARACTERS]
        assert found[name] == Overlap(len(compared), sum(line in seen for line in compared))
        assert 0 < found[name].repeated < found[name].lines


def test_short_lines_are_skipped_and_unknowns_are_new(tmp_path):
    (tmp_path / "train").write_text(
        "Yes , sir .\nthe dog saw the cat today\nzorp dog saw the cat today\n"
    )
    (tmp_path / "valid").write_text(
        "Yes , sir .\nthe dog saw the cat today\nzarp dog saw the cat today\ntoday the cat "
        "saw the dog\n"
    )
    made = tokenizers.train(
        TokenizerSettings(min_count=2), open_text([tmp_path / "train"]).blocks()
    )
    assert overlaps(
        encoded(tmp_path / "train", made), {"valid": encoded(tmp_path / "valid", made)}
    ) == {"valid": Overlap(3, 1)}


def test_a_prepared_text_is_compared_unless_too_large(tmp_path, words, monkeypatch):
    for name, count in (("train", 300), ("valid", 100)):
        (tmp_path / name).write_text("\n".join(words(count, 6)) + "\n")
    for _ in rnnlm.prepare(tmp_path / "train", tmp_path / "p", workers=1):
        pass
    tokenizer = open_text([tmp_path / "p"]).tokenizer
    mapped = open_text([tmp_path / "p"]).split(0.0).encode(tokenizer)[0]
    valid = encoded(tmp_path / "valid", tokenizer)
    expected = overlaps(encoded(tmp_path / "train", tokenizer), {"valid": valid})
    assert overlaps(mapped, {"valid": valid}) == expected
    monkeypatch.setattr(overlap, "MOST_MAPPED_TOKENS", 100)
    same = encoded(tmp_path / "train", tokenizer)
    assert overlaps(mapped, {"valid": valid, "test": same}) == {"test": Overlap(300, 300, True)}


def noted(request: TrainingRequest) -> list[str]:
    told = ("training text", "trained on", "add nothing")
    notices = notices_of(lambda: plan(request))
    return [notice for notice in notices if any(part in notice for part in told)]


def test_texts_that_are_not_held_out_are_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"this is line number {number}" for number in range(40)]
    new = [f"that was sentence number {number}" for number in range(40)]
    some, few = [*lines[:3], *new[:7]], [*lines[:2], *new[:8]]
    for name, its in {
        "a": lines,
        "copy": lines,
        "some": some,
        "few": few,
        "twice": [*lines, *lines],
    }.items():
        (tmp_path / name).write_text("\n".join(its) + "\n")

    def told(text, **more):
        return noted(TrainingRequest((text,), model="unigram", output=tmp_path / "m", **more))

    assert told("a", valid=("copy",)) == [
        "the validation text is the training text itself: its metrics say nothing about new text"
    ]
    assert told("a", valid=("few",), test=("some",)) == [
        (
            "30% of the lines of the test text (3 of 10, short ones left out) are also in the "
            "training text: its metrics say less about new text"
        )
    ]
    assert told("a", valid=("some",), test=("twice",)) == [
        (
            "30% of the lines of the validation text (3 of 10, short ones left out) and 100% of "
            "the lines of the test text (80 of 80, short ones left out) are also in the training "
            "text: their metrics say less about new text"
        )
    ]
    expected = ["the test text is the validation text itself: its metrics add nothing"]
    assert told("a", valid=("few",), test=("few",)) == expected
    held_out = (
        "100% of the lines held out for validation (20 of 20, short ones left out) are also in "
        "the rest of the training text: "
    )
    expected = [held_out + "expect worse metrics on less repetitive text"]
    assert told("twice", flags={"holdout": 0.25}) == expected
    assert told("a", flags={"holdout": 0.25}) == []


def test_the_overlap_is_in_the_model_and_card(tmp_path):
    (tmp_path / "a").write_text(
        "\n".join(f"this is line number {number}" for number in range(10)) + "\n"
    )
    with pytest.warns(RnnlmWarning, match="the test text is the training text itself"):
        list(
            rnnlm.train(
                tmp_path / "a",
                test=tmp_path / "a",
                holdout=0.0,
                model="unigram",
                output=tmp_path / "m",
            )
        )
    found = json.loads((tmp_path / "m" / "config.json").read_text())["training"]["lines_in_train"]
    assert found == {"test": 1.0}
    shown = (tmp_path / "m" / "README.md").read_text()
    assert "| lines also in the training text | test 100% |" in shown


WRITTEN = {
    "tagging": lambda line: "".join(f"{word} {word[0]}\n" for word in line.split()) + "\n",
    "classification": lambda line: f"__label__{len(line) % 2} {line}\n",
    "seq2seq": lambda line: json.dumps({"source": line, "target": f"the target of {line}"}) + "\n",
}


@pytest.mark.parametrize("task", WRITTEN)
def test_examples_that_are_not_held_out_are_reported(tmp_path, monkeypatch, task):
    monkeypatch.chdir(tmp_path)
    lines = [f"this is line number {number}" for number in range(40)]
    new = [f"that was sentence number {number}" for number in range(40)]
    texts = {"a": lines, "copy": lines, "some": [*lines[:3], *new[:7]], "new": new[:20]}
    texts |= {"short": ["yes", "no"] * 5, "more-short": ["yes", "no"] * 4, "twice": lines * 2}
    for name, its in texts.items():
        (tmp_path / name).write_text("".join(map(WRITTEN[task], its)))

    def told(text, **more):
        more.setdefault("flags", {"holdout": 0.0})
        return noted(TrainingRequest((text,), task=task, output=tmp_path / "m", **more))

    assert (
        told("a", valid=("copy",))
        == told("short", valid=("short",))
        == [
            "the validation text is the training text itself: its metrics say nothing about new text"
        ]
    )
    assert told("a", valid=("new",), test=("some",)) == [
        (
            "30% of the lines of the test text (3 of 10, short ones left out) are also in the "
            "training text: its metrics say less about new text"
        )
    ]
    expected = ["the test text is the validation text itself: its metrics add nothing"]
    assert told("a", valid=("new",), test=("new",)) == expected
    assert told("a", valid=("new",)) == told("short", valid=("more-short",)) == []
    # Pairs of one source stay together.
    held_out = told("twice", flags={"holdout": 0.1})
    assert len(held_out) == (task != "seq2seq")
    assert all("of the lines held out for validation" in each for each in held_out)


def test_examples_are_compared_as_they_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, first in (("a", "This"), ("b", "THIS")):
        lines = [f"__label__1 {first} is line number {number}\n" for number in range(20)]
        (tmp_path / name).write_text("".join(lines))
    request = TrainingRequest(("a",), valid=("b",), task="classification", output=tmp_path / "m")
    assert noted(request) == []
    [told] = noted(replace(request, assignments={"lowercase": "true"}))
    assert told.startswith("100% of the lines of the validation text (20 of 20, ")
