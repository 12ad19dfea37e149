"""`-` is standard input in every command that takes a text."""

import shutil

import pytest

from support.failures import checked_error

LINES = b"the man had a dog\nthe ship\n"


def told(outcome):
    assert outcome.code == 0, outcome.err
    return outcome.out


@pytest.mark.parametrize("command", ["score", "tag", "classify", "translate"])
def test_a_hyphen_in_place_of_texts_is_read(rnnlm, models, tagger, classifier, translator, command):
    folders = {"score": models.lstm, "tag": tagger.folder, "classify": classifier.folder}
    asked = (command, "-m", folders.get(command, translator.folder))
    piped = told(rnnlm(*asked, "-", stdin=LINES))
    assert piped == told(rnnlm(*asked, "--input", "-", stdin=LINES))
    assert piped == told(rnnlm(*asked, "--", "-", stdin=LINES))
    checked_error(
        rnnlm(*asked, "-", "a word"), 2, "- means standard input, so it must be the only text"
    )
    checked_error(
        rnnlm(*asked, "-", "--input", "x"), 2, "- already means standard input: leave out --input"
    )


def test_gates_of_a_sentence_that_is_read(rnnlm, models):
    asked = ("inspect", "gates", "-m", models.lstm)
    assert told(rnnlm(*asked, "-", stdin=b"the ship\n")) == told(rnnlm(*asked, "the ship"))
    checked_error(
        rnnlm(*asked, "-", stdin=LINES), 2, "this shows a single sentence, but standard input has 2"
    )


@pytest.mark.parametrize("command", [
    "compare {lstm} {lstm}+unigram --on {}",
    "tune -m {unigram}+unigram --on {} --overwrite",
    "count {}", "inspect memory -m {lstm} --on {}",
])  # fmt: skip
def test_a_hyphen_for_a_file_is_read(rnnlm, models, here, command):
    (here / "lines").write_bytes(LINES)
    for folder in (models.lstm, models.unigram):
        shutil.copytree(folder, here / folder.name)  # `tune` writes into it
    words = command.format("{}", lstm="tiny", unigram="uni").split()
    from_file = told(rnnlm(*(word.format("lines") for word in words)))
    assert told(rnnlm(*(word.format("-") for word in words), stdin=LINES)) == from_file
