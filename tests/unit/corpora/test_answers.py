"""The bundled remarks and replies: what their README says of them holds."""

import re

import pytest

from rnnlm import corpora
from support.tiny_models import make_tokenizer

PARTS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def rows():
    """Return the [remark, reply] rows of each part."""
    return {
        part: [
            line.split("\t")
            for line in corpora.part("answers", part).read_text("utf-8").splitlines()[1:]
        ]
        for part in PARTS
    }


def words(text):
    return re.findall(r"[\w']+|[^\w\s]", text.lower())


def test_three_hundred_short_pairs_occur_once_each(rows):
    assert [len(rows[part]) for part in PARTS] == [270, 15, 15]
    remarks, replies = zip(*(row for part in PARTS for row in rows[part]), strict=True)
    assert (
        len({remark.lower() for remark in remarks})
        == len({reply.lower() for reply in replies})
        == 300
    )
    texts = remarks + replies
    assert len({word for text in texts for word in words(text)}) == 439
    assert max(len(re.findall(r"[\w']+", text)) for text in texts) == 11
    assert all(text.isascii() and text[0].isupper() and text[-1] in ".?!" for text in texts)


def test_held_out_reply_words_are_known_from_training(rows):
    known = {word for _, reply in rows["train"] for word in words(reply)}
    assert {
        word for part in ("valid", "test") for _, reply in rows[part] for word in words(reply)
    } <= known


def test_replies_come_out_as_they_are_written(rows):
    """Tokens of the settings that suit them, put together again."""
    settings = corpora.paired("answers").settings
    assert settings["split_punctuation"] and not settings["target_lowercase"]
    replies = [reply for part in PARTS for _, reply in rows[part]]
    tokenizer = make_tokenizer(replies, split_punctuation=True)
    assert [tokenizer.decode(tokenizer.encode([reply]).ids) for reply in replies] == replies
