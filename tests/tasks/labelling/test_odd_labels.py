"""Labels that are probably meant otherwise are told in one note each, and learned as they are."""

import json
import re

import pytest

WORDS = ["a film", "the song", "this meal", "that book", "one game"]


def table(labels):
    rows = [f"{WORDS[place % 5]} {place},{label}" for place, label in enumerate(labels)]
    return "text,mark\n" + "\n".join(rows) + "\n"


def tags(labels):
    rows = [
        {"tokens": ["we", "saw", "paris"], "tags": [labels[0], labels[0], one]} for one in labels
    ]
    return "\n".join(map(json.dumps, rows)) + "\n"


def notes(rnnlm, here, name, content, task, *options):
    (here / name).write_text(content)
    result = rnnlm("train", name, "--task", task, "--dry-run", *options)
    assert result.code == 0, result.err
    told = [line for line in result.err.splitlines() if line.startswith("note: ")]
    # Small data have other notes, of how little is held out.
    return [line for line in told if re.search(r"label|column", line) and "held out" not in line]


ALIKE = "differ only in how they are written, and are learned as different: "
SINGLE = "is learned as a class"


@pytest.mark.parametrize(("labels", "told"), [
    (["good", "Good", "bad"] * 8, f"labels of column mark {ALIKE}'good' (8) and 'Good' (8)"),
    (["1", "1.0", "0"] * 8, f"labels of column mark {ALIKE}'1' (8) and '1.0' (8)"),
    (["01", "1", "0"] * 8, f"labels of column mark {ALIKE}'01' (8) and '1' (8)"),
    (["n\u00e9", "ne\u0301", "a"] * 8, f"mark {ALIKE}'n\\xe9' (8) and 'ne\\u0301' (8)"),
    (["fix", "won't", "won\u2019t"] * 8, f"mark {ALIKE}\"won't\" (8) and 'won\\u2019t' (8)"),
    (["a-b", "a\u2013b", "c"] * 8, f"mark {ALIKE}'a-b' (8) and 'a\\u2013b' (8)"),
    (["ab", "a\u200bb", "ab\u200b"] * 8, f"mark {ALIKE}'ab' (8) and 'a\\u200bb' (8) and 'ab\\u200b'"),
    (["un  sure", "un sure"] * 8, f"labels of column mark {ALIKE}'un  sure' (8) and 'un sure' (8)"),
    ([f"{place}" for place in range(20)], f"20 different labels in 20 texts, and each {SINGLE}; --lab"),
    (["1.5", "2.0", "4.5"] * 8, f"column mark holds numbers with fractions: each of the 3 {SINGLE}"),
])  # fmt: skip
def test_labels_of_texts_that_look_odd_are_told_once(rnnlm, here, labels, told):
    [note] = notes(rnnlm, here, "t.csv", table(labels), "classification", "--holdout", "0")
    assert told in note


@pytest.mark.parametrize("labels", [
    ["good", "bad"] * 8, ["0", "1", "2"] * 8, ["0.0", "1.0"] * 8, ["nan", "NaT", "inf"] * 8,
])  # fmt: skip
def test_usual_labels_have_no_note(rnnlm, here, labels):
    assert notes(rnnlm, here, "t.csv", table(labels), "classification", "--holdout", "0") == []


def test_texts_in_scripts_without_blanks_are_told_once(rnnlm, here):
    (here / "t.csv").write_text(table(["a", "b"] * 8).replace(" ", "今天很好我们去学校"))
    result = rnnlm("train", "t.csv", "--task", "classification", "--budget", "1steps", "-o", "o")
    assert result.code == 0 and result.err.count("has no blanks between words") == 1


def test_a_label_of_fasttext_that_runs_into_the_next_word_is_told(rnnlm, here):
    lines = [f"__label__{'neg' if place % 2 else 'pos'},the film {place}\n" for place in range(20)]
    [note] = notes(rnnlm, here, "t.txt", "".join(lines), "classification", "--holdout", "0")
    assert "20 of 20 labels hold a comma, the first is 'pos,the'" in note
    spaced = "".join(lines).replace(",the", " the")
    assert notes(rnnlm, here, "t.txt", spaced, "classification", "--holdout", "0") == []


def test_spans_that_are_numbers_are_told(rnnlm, here):
    [note] = notes(rnnlm, here, "t.jsonl", tags([0, 1, 3] * 8), "tagging", "--holdout", "0")
    assert "the labels of column tags are numbers: accuracy is measured, but no F1" in note
    named = tags(["O", "B-PER", "B-LOC"] * 8)
    assert notes(rnnlm, here, "t.jsonl", named, "tagging", "--holdout", "0") == []


def test_the_loss_of_no_label_is_a_dash(rnnlm, here):
    (here / "t.csv").write_text(table(["good", "bad"] * 8))
    (here / "v.csv").write_text("text,mark\na film,x\nthe song,y\n")
    settings = ("--set", "hidden_size=4", "--budget", "4steps")
    result = rnnlm("train", "t.csv", "--valid", "v.csv", "--task", "classification", *settings)
    assert "validation loss -, accuracy 0.00%" in result.err
    assert "best" not in result.err


def test_confident_wrong_labels_are_no_divergence(rnnlm, here):
    texts = [f"the {noun} was {word}" for noun in ("film", "song") for word in ("good", "bad")]
    marks = {True: "pos", False: "neg"}
    for name, is_right in (("t.csv", True), ("v.csv", False)):
        rows = [f"{text},{marks[('good' in text) == is_right]}\n" for text in texts * 8]
        (here / name).write_text("text,mark\n" + "".join(rows))
    settings = ["hidden_size=16", "embedding_size=16", "learning_rate=0.1", "weight_decay=0"]
    settings += ["validate_every_steps=30", "patience=none"]
    options = [option for setting in settings for option in ("--set", setting)]

    # The loss of validation is above 2 log 2 + 5 nats, where a language model would be lost.
    fit = ("train", "t.csv", "--valid", "v.csv", "--task", "classification", "--budget", "120steps")
    result = rnnlm(*fit, "--precision", "fp32", *options)
    assert result.code == 0, result.err
    losses = [float(loss) for loss in re.findall(r"validation loss ([0-9.]+)", result.err)]
    assert len(losses) == 4 and sorted(losses)[1] > 6.4
    assert "attempt" not in result.err
