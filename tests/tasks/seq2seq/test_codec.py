"""Two tokenizers in a model's folder."""

import json

import pytest

from rnnlm.errors import ModelError
from rnnlm.tasks.seq2seq.data import FILE, PairCodec, codec
from support.tiny_seq2seq import SOURCE, TARGET


@pytest.mark.parametrize("target", [TARGET, None], ids=["two", "shared"])
def test_it_comes_back_from_its_files(target):
    stored = PairCodec(SOURCE, target, {"spelled": True, "column": "english"})
    found = codec(SOURCE, stored.to_files())
    assert found.fingerprint == stored.fingerprint
    assert found.is_shared == (target is None)
    assert found.details == stored.details
    assert found.target.symbols() == (target or SOURCE).symbols() and found.spelled


@pytest.mark.parametrize(
    "changed, message",
    [
        (None, "is missing"),
        (b"{", "damaged"),
        ({"shared": 3}, "damaged"),
        ({"target": {"tokenizer": "nothing"}}, "damaged"),
    ],
    ids=str,
)
def test_a_damaged_file_of_pairs_is_refused(changed, message):
    files = PairCodec(SOURCE, TARGET).to_files()
    if changed is None:
        del files[FILE]
    else:
        files[FILE] = (
            changed
            if isinstance(changed, bytes)
            else json.dumps(json.loads(files[FILE]) | changed).encode()
        )
    with pytest.raises(ModelError, match=message):
        codec(SOURCE, files)
