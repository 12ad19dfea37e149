"""Pieces that workers elsewhere encode: a late one leaves nothing, and reads no other tokenizer."""

import pytest

import rnnlm
from rnnlm.errors import ModelError, TextError
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared import elsewhere
from rnnlm.text.prepared.encoder import Encoder
from rnnlm.text.prepared.index import JOURNAL, read_index
from rnnlm.text.prepared.pieces import Piece
from rnnlm.work.executors import Inline
from rnnlm.work.tasks import Cancelled, Team


@pytest.fixture
def encoder(tmp_path):
    """Make a folder in which a text is being prepared."""
    (tmp_path / "text.txt").write_text("a b\nb c\n")
    folder = tmp_path / "prepared"
    *_, done = rnnlm.prepare(tmp_path / "text.txt", folder, workers=0)
    fingerprint = read_index(folder).tokenizer_fingerprint
    (folder / "index.json").rename(folder / JOURNAL)
    return Encoder(TextSettings(), folder, fingerprint)


def files(encoder):
    return sorted(path.name for path in encoder.folder.iterdir())


def task_of(encoder, text):
    return elsewhere.EncodePiece(encoder, text, "t", 1, True, False, True)


def test_pieces_are_what_this_process_makes(encoder):
    before = files(encoder)
    pieces = [Piece("t", 1, True, b"a b\n\n"), Piece("u", 1, True, ["c b", "x"])]
    found = list(elsewhere.encode_all(encoder, pieces, lambda: True, Team(Inline(), 1)))
    for piece, encoded in found:
        expected = encoder.encode(piece)
        assert encoded.data == expected.data and encoded.ends_blank == expected.ends_blank
        for name, array in expected.arrays.items():
            assert encoded.arrays[name].tolist() == array.tolist()
    assert [piece for piece, _ in found] == pieces and files(encoder) == before


def test_without_ids_there_are_none(encoder):
    pieces = [Piece("t", 1, True, b"a b\n")]
    ((_, found),) = elsewhere.encode_all(encoder, pieces, lambda: False, Team(Inline(), 1))
    assert found.arrays is None and found.data == b"a b\n"


def test_a_late_worker_leaves_nothing(encoder, monkeypatch):
    before = files(encoder)
    with pytest.raises(Cancelled, match="nobody waits for"):
        task_of(encoder, "gone.new").run()
    (encoder.folder / "text.new").write_bytes(b"a b\n")
    encode = Encoder.encode

    def meanwhile(self, *arguments):
        (encoder.folder / "text.new").unlink()
        return encode(self, *arguments)

    monkeypatch.setattr(Encoder, "encode", meanwhile)
    with pytest.raises(Cancelled, match="nobody waits for"):
        task_of(encoder, "text.new").run()
    assert files(encoder) == before


def test_an_error_leaves_no_files(encoder):
    before = files(encoder)
    pieces = [Piece("t", 1, True, b"a b\n"), Piece("t", 2, False, b"\xff\n")]
    with pytest.raises(TextError):
        list(elsewhere.encode_all(encoder, pieces, lambda: True, Team(Inline(), 1)))
    assert files(encoder) == before


def test_another_tokenizer_is_an_error(encoder):
    other = Encoder(encoder.settings, encoder.folder, "0" * 12)
    with pytest.raises(ModelError, match="reads another tokenizer"):
        other.encode(Piece("t", 1, True, b"a b\n"))
