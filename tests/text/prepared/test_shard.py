"""Encoded lines go into small arrays and come back, checked before they are used."""

import numpy as np
import pytest

from rnnlm.text import tokenizers
from rnnlm.text.lines import Block, TextSettings
from rnnlm.text.prepared.index import EncodedLines, joined
from rnnlm.text.prepared.shards import RawPiece, encoded_piece
from rnnlm.text.tokenizer_settings import TokenizerSettings

KNOWN = ["the cat sat", "on the mat .", "café au lait"]
TEXT = "the dog sat\non , the café\n\nau lait\n\n\nunseen words here\nthe the the\n"


def lines_of(settings, text=TEXT):
    tokenizer = tokenizers.train(settings, [Block(KNOWN, [])])
    piece = RawPiece("t.txt", 1, True, text.encode("utf-8"))
    return encoded_piece(piece, TextSettings(blank_lines="documents"), tokenizer).lines()


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in EncodedLines.__dataclass_fields__
    )


KINDS = [
    TokenizerSettings(), TokenizerSettings(split_punctuation=True),
    TokenizerSettings(tokenizer="char"),
    TokenizerSettings(tokenizer="byte"), TokenizerSettings(lowercase=True),
]  # fmt: skip


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_lines_come_back_from_arrays_and_from_parts(settings):
    lines = lines_of(settings)
    assert len(lines) == 5 and lines.document_lines.tolist() == [0, 2, 3]
    assert same(EncodedLines.from_arrays(lines.to_arrays()), lines)
    for at in range(len(lines) + 1):
        assert same(joined(lines.split_at(at)), lines)
    first, second = (part.totals() for part in lines.split_at(2))
    assert lines.totals() == {name: first[name] + second[name] for name in first}


def test_counts_take_the_smallest_type_that_holds_them():
    dtypes = {name: array.dtype for name, array in lines_of(KINDS[0]).to_arrays().items()}
    assert dtypes == {
        "ids": np.uint16, "oov": np.uint32, "tokens": np.uint8, "bytes": np.uint8,
        "characters": np.uint8, "document_lines": np.uint32,
    }  # fmt: skip
    assert lines_of(KINDS[0], "a" * 300 + "\n").to_arrays()["bytes"].dtype == np.uint16
    # Of ASCII, characters are bytes.
    ascii_alone = lines_of(KINDS[0], "the cat\nsat unseen\n").to_arrays()
    assert ascii_alone.keys() == dtypes.keys() - {"characters"}
