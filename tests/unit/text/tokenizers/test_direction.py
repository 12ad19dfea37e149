"""Lines read from their end: the tokens of a line from the last to the first, then `</s>`, whatever
the tokenizer."""

import numpy as np
import pytest

from rnnlm.text import encoding, tokenizers
from support.tiny_models import LINES, make_tokenizer

AWKWARD = [*LINES, "It's an a\u2028b zebra", "", " two  spaces ", "\u00e4\u20ac\u2581\U0001f600 ."]
KINDS = [
    {"lowercase": True},
    {"split_punctuation": True},
    {"tokenizer": "char"},
    {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 290},
]


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_each_line_is_mirrored_and_reads_as_before(settings):
    forward = make_tokenizer(LINES, **settings)
    backward = make_tokenizer(LINES, **settings, reversed=True)
    assert (
        backward.symbols() == forward.symbols()
        and backward.counts_V.tolist() == forward.counts_V.tolist()
    )
    one, other = forward.encode(AWKWARD), backward.encode(AWKWARD)
    assert one.offsets.tolist() == other.offsets.tolist()
    for index, (start, end) in enumerate(zip(one.offsets[:-1], one.offsets[1:], strict=True)):
        ids = one.ids[start : end - 1].tolist()
        assert other.ids[start:end].tolist() == [*ids[::-1], forward.boundary_id]
        unknown = {int(end - 2 - (at - start)) for at in one.oov if start <= at < end}
        assert unknown == {int(at) for at in other.oov if start <= at < end}
        shown = forward.surface(AWKWARD[index])
        assert backward.surface(AWKWARD[index]) == [*shown[-2::-1], shown[-1]]
        # with its end and without
        for cut in (other.ids[start:end], other.ids[start : end - 1].tolist()):
            assert backward.decode(cut) == forward.decode(one.ids[start:end])
    assert backward.decode(other.ids) == forward.decode(one.ids)
    assert sorted(other.oov.tolist()) == other.oov.tolist()


def test_only_an_unusual_direction_is_fingerprinted():
    forward, backward = make_tokenizer(), make_tokenizer(reversed=True)
    assert not forward.to_settings()["reversed"] and backward.to_settings()["reversed"]
    again = tokenizers.load(backward.to_settings(), backward.to_files())
    assert again.is_reversed and again.fingerprint == backward.fingerprint != forward.fingerprint
    assert (
        forward.in_direction(True).fingerprint == backward.fingerprint
        and forward.in_direction(False) is forward
    )
    assert backward.in_direction(False).fingerprint == forward.fingerprint


def test_unseen_words_have_equal_ids_in_both_directions():
    forward, backward = make_tokenizer().spelling(), make_tokenizer(reversed=True).spelling()
    assert backward.encode(["quagga the okapi"]).ids.tolist() == [
        *forward.encode(["quagga the okapi"]).ids[2::-1].tolist(),
        0,
    ]


def test_mirroring_twice_changes_nothing():
    at_N = encoding.mirror(np.array([0, 1, 4, 9]))
    assert at_N.tolist() == [0, 2, 1, 3, 7, 6, 5, 4, 8]
    assert at_N[at_N].tolist() == list(range(9)) and encoding.mirror(np.zeros(1)).tolist() == []
