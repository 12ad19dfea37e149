"""The bundled remarks and replies: what their README says of them holds."""

import re

from rnnlm import corpora
from support.tiny_models import make_tokenizer


def words(texts):
    return set(re.findall(r"[\w']+|[^\w\s]", " ".join(texts).lower()))


def test_pairs_are_unique_and_their_replies_known_words_that_come_out_as_written():
    remarks, replies = {}, {}
    for part, size in {"train": 270, "valid": 15, "test": 15}.items():
        _, *lines = corpora.part("answers", part).read_text("utf-8").splitlines()
        remarks[part], replies[part] = zip(*(line.split("\t") for line in lines), strict=True)
        assert len(remarks[part]) == size
        assert words(replies[part]) <= words(replies["train"])
    every = sum(replies.values(), ())
    assert len({reply.lower() for reply in every}) == 300
    assert len({remark.lower() for remark in sum(remarks.values(), ())}) == 300

    # Tokens of the settings that suit them, put together again.
    settings = corpora.paired("answers").settings
    assert settings["split_punctuation"] and not settings["target_lowercase"]
    tokenizer = make_tokenizer(list(every), split_punctuation=True)
    assert [tokenizer.decode(tokenizer.encode([reply]).ids) for reply in every] == list(every)
