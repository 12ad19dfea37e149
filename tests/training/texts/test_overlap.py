"""What of a held-out text is in the training text, counted by sets of lines."""

import json
from dataclasses import replace

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning
from rnnlm.text import tokenizers
from rnnlm.text.corpus import open_text
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training import overlaps as overlap
from rnnlm.training.overlaps import overlaps
from rnnlm.training.plan import plan
from rnnlm.training.request import Overlap, TrainingRequest
from support.failures import notices_of


def encoded(path, tokenizer):
    return open_text([path]).encode(tokenizer)


@pytest.fixture
def words():
    """Return a function that draws lines of random words. With few words, many lines are equal."""
    generator = np.random.default_rng(3)

    def lines(count: int, longest: int = 12) -> list[str]:
        sizes = generator.integers(1, longest, count)
        return [" ".join(generator.choice(["alpha", "beta", "gamma"], size)) for size in sizes]

    return lines


@pytest.mark.parametrize("tokenizer", ["word", "char", "byte"])
@pytest.mark.parametrize("at_once", [{}, {"LINES": 7, "TOKENS": 40}], ids=["at once", "in pieces"])
def test_counts_equal_those_of_sets_of_lines(tmp_path, words, monkeypatch, tokenizer, at_once):
    for name, most in at_once.items():
        monkeypatch.setattr(overlap, f"{name}_AT_ONCE", most)
    texts = {"train": words(300, 6), "valid": words(100, 6), "test": words(50)}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    settings = TokenizerSettings(tokenizer=tokenizer)
    made = tokenizers.train(settings, open_text([tmp_path / "train"]).blocks())
    read = {name: encoded(tmp_path / name, made) for name in texts}
    found = overlaps(read["train"], {"valid": read["valid"], "test": read["test"]})
    seen = set(texts["train"])
    for name in ("valid", "test"):
        compared = [line for line in texts[name] if len(line) + 1 >= overlap.LEAST_CHARACTERS]
        assert found[name] == Overlap(len(compared), sum(line in seen for line in compared))
        assert 0 < found[name].repeated < found[name].lines


def test_short_lines_are_skipped_and_unknowns_are_new(tmp_path):
    both, rest = "Yes , sir .\nthe dog saw the cat today\n", " dog saw the cat today\n"
    (tmp_path / "train").write_text(f"{both}zorp{rest}")
    (tmp_path / "valid").write_text(f"{both}zarp{rest}today the cat saw the dog\n")
    blocks = open_text([tmp_path / "train"]).blocks()
    made = tokenizers.train(TokenizerSettings(min_count=2), blocks)
    train, valid = (encoded(tmp_path / name, made) for name in ("train", "valid"))
    assert overlaps(train, {"valid": valid}) == {"valid": Overlap(3, 1)}


@pytest.mark.needs("tools/prepared")
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


def test_a_text_of_unknown_words_is_told(tmp_path):
    texts = {"train": "all of this is known\n", "valid": "hic omnia ignota sunt\n"}
    for name, line in texts.items():
        (tmp_path / name).write_text(line * 20, encoding="utf-8")
    train, valid = (str(tmp_path / name) for name in texts)
    request = TrainingRequest((train,), valid=(valid,), test=(train,), model="unigram")
    [told] = [notice for notice in notices_of(lambda: plan(request)) if "unknown" in notice]
    assert told.startswith("80% of the tokens of the validation text are unknown to the model")


OLD = [f"this is line number {number}" for number in range(40)]
NEW = [f"that was sentence number {number}" for number in range(40)]
SAME = "the validation text is the training text itself: its metrics say nothing about new text"
SOME = "{} of the lines of the {} text ({}, short ones left out)"
REPEATED = "{} are also in the training text: {} metrics say less about new text"
OF_TEST = REPEATED.format(SOME.format("30%", "test", "3 of 10"), "its")
SAME_TEST = "the test text is the validation text itself: its metrics add nothing"


def test_texts_that_are_not_held_out_are_reported(here):
    texts = {"a": OLD, "copy": OLD, "some": [*OLD[:3], *NEW[:7]], "few": [*OLD[:2], *NEW[:8]]}
    for name, its in {**texts, "twice": OLD * 2}.items():
        (here / name).write_text("\n".join(its) + "\n")

    def told(text, **more):
        return noted(TrainingRequest((text,), model="unigram", output=here / "m", **more))

    assert told("a", valid=("copy",)) == [SAME]
    assert told("a", valid=("few",), test=("some",)) == [OF_TEST]
    parts = [("30%", "validation", "3 of 10"), ("100%", "test", "80 of 80")]
    both = " and ".join(SOME.format(*part) for part in parts)
    assert told("a", valid=("some",), test=("twice",)) == [REPEATED.format(both, "their")]
    assert told("a", valid=("few",), test=("few",)) == [SAME_TEST]
    held_out = (
        "100% of the lines held out for validation (20 of 20, short ones left out) are also in "
        "the rest of the training text: expect worse metrics on less repetitive text"
    )
    assert told("twice", flags={"holdout": 0.25}) == [held_out]
    assert told("a", flags={"holdout": 0.25}) == []


def test_the_overlap_is_in_the_model_and_card(tmp_path):
    text, asked = tmp_path / "a", {"model": "unigram", "holdout": 0.0}
    text.write_text("\n".join(OLD[:10]) + "\n")
    with pytest.warns(RnnlmWarning, match="the test text is the training text itself"):
        list(rnnlm.train(text, test=text, output=tmp_path / "m", **asked))
    found = json.loads((tmp_path / "m" / "config.json").read_text())["training"]["lines_in_train"]
    assert found == {"test": 1.0}
    shown = (tmp_path / "m" / "README.md").read_text()
    assert "| lines also in the training text | test 100% |" in shown


WRITTEN = {
    "tagging": lambda line: "".join(f"{word} {word[0]}\n" for word in line.split()) + "\n",
    "classification": lambda line: f"__label__{len(line) % 2} {line}\n",
    "seq2seq": lambda line: json.dumps({"source": line, "target": f"the target of {line}"}) + "\n",
}


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("task", WRITTEN)
def test_examples_that_are_not_held_out_are_reported(here, task):
    texts = {"a": OLD, "copy": OLD, "some": [*OLD[:3], *NEW[:7]], "new": NEW[:20]}
    texts |= {"short": ["yes", "no"] * 5, "more-short": ["yes", "no"] * 4, "twice": OLD * 2}
    for name, its in texts.items():
        (here / name).write_text("".join(map(WRITTEN[task], its)))

    def told(text, **more):
        more.setdefault("flags", {"holdout": 0.0})
        return noted(TrainingRequest((text,), task=task, output=here / "m", **more))

    assert told("a", valid=("copy",)) == told("short", valid=("short",)) == [SAME]
    assert told("a", valid=("new",), test=("some",)) == [OF_TEST]
    assert told("a", valid=("new",), test=("new",)) == [SAME_TEST]
    assert told("a", valid=("new",)) == told("short", valid=("more-short",)) == []
    # Pairs of one source stay together.
    held_out = told("twice", flags={"holdout": 0.1})
    assert len(held_out) == (task != "seq2seq")
    assert all("of the lines held out for validation" in each for each in held_out)


@pytest.mark.needs("tasks/labelling")
def test_examples_are_compared_as_they_are_read(here):
    for name, first in (("a", "This"), ("b", "THIS")):
        lines = [f"__label__1 {first} is line number {number}\n" for number in range(20)]
        (here / name).write_text("".join(lines))
    request = TrainingRequest(("a",), valid=("b",), task="classification", output=here / "m")
    assert noted(request) == []
    [told] = noted(replace(request, assignments={"lowercase": "true"}))
    assert told.startswith("100% of the lines of the validation text (20 of 20, ")
