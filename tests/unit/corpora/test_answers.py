"""The bundled remarks and replies: what their README says of them holds."""

import re

import pytest

from rnnlm import corpora
from support.tiny_models import make_tokenizer

PARTS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def rows():
    """Return the [remark, reply] rows of each part."""
    found = {}
    for part in PARTS:
        _, *lines = corpora.part("answers", part).read_text("utf-8").splitlines()
        found[part] = [line.split("\t") for line in lines]
    return found


def words(text):
    return re.findall(r"[\w']+|[^\w\s]", text.lower())


def test_three_hundred_short_pairs_occur_once_each(rows):
    assert [len(rows[part]) for part in PARTS] == [270, 15, 15]
    remarks, replies = zip(*rows["train"], *rows["valid"], *rows["test"], strict=True)
    assert len({remark.lower() for remark in remarks}) == 300
    assert len({reply.lower() for reply in replies}) == 300

    texts = remarks + replies
    assert len(set(words(" ".join(texts)))) == 439
    assert max(len(re.findall(r"[\w']+", text)) for text in texts) == 11
    for text in texts:
        assert text.isascii()
        assert text[0].isupper()
        assert text[-1] in ".?!"


def words_of_replies(rows):
    return set(words(" ".join(reply for _, reply in rows)))


def test_held_out_reply_words_are_known_from_training(rows):
    known = words_of_replies(rows["train"])
    assert words_of_replies([*rows["valid"], *rows["test"]]) <= known


def test_replies_come_out_as_they_are_written(rows):
    """Tokens of the settings that suit them, put together again."""
    settings = corpora.paired("answers").settings
    assert settings["split_punctuation"] and not settings["target_lowercase"]
    replies = [reply for _, reply in [*rows["train"], *rows["valid"], *rows["test"]]]
    tokenizer = make_tokenizer(replies, split_punctuation=True)
    assert [tokenizer.decode(tokenizer.encode([reply]).ids) for reply in replies] == replies
