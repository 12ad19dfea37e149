"""What a worker answers, asked over streams as over its pipes."""

import io
from dataclasses import asdict

import pytest

from rnnlm.errors import ModelError, SettingsError, TextError
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block, TextSettings
from rnnlm.text.prepared.messages import Done, Encode, End, Failed, Learn, Learned, Setup, receive_answer, send
from rnnlm.text.prepared.pieces import Piece
from rnnlm.text.prepared.worker import answer
from rnnlm.text.tokenizers import TokenizerSettings

TEXT = asdict(TextSettings())


def piece(data: bytes, line: int = 1) -> Encode:
    return Encode(Piece("t.txt", line, line == 1, data))


def answers_to(*messages) -> list:
    asked, answers = io.BytesIO(), io.BytesIO()
    for message in messages:
        send(asked, message)
    asked.seek(0)
    answer(asked, answers)
    answers.seek(0)
    return list(iter(lambda: receive_answer(answers), None))


@pytest.fixture(scope="module")
def setup():
    tokenizer = tokenizers.train(TokenizerSettings(), [Block(["the cat sat"], [])])
    return Setup(TEXT, tokenizer.to_settings(), tokenizer.to_files())


def test_pieces_are_encoded_in_turn_with_ids_or_without(setup):
    first, second = answers_to(setup, piece(b"the cat\nthe dog\n"), Encode(Piece("t.txt", 3, False, ["sat"]), with_ids=False))
    lines = first.piece.lines()
    assert (len(lines), lines.tokens_L.tolist(), lines.oov.tolist()) == (2, [3, 3], [4])
    assert (second.piece.data, second.piece.arrays) == (b"sat\n", None)


def test_a_piece_that_is_bad_is_told_and_the_next_one_is_answered_all_the_same(setup):
    """It may come from an earlier place, whose error is the one to tell."""
    failed, done = answers_to(setup, piece(b"bad \xff\n", 7), piece(b"the\n"))
    assert isinstance(failed, Failed) and isinstance(done, Done)
    assert isinstance(failed.error(), TextError) and "t.txt, line 7, byte 5" in failed.what


def test_a_tokenizer_is_learned_of_pieces_with_what_there_is_to_notice():
    asked = Learn(TEXT, asdict(TokenizerSettings(tokenizer="sentencepiece", vocab_size=5000)))
    (found,) = answers_to(asked, *(piece(b"the cat sat on the mat\n" * 20) for _ in range(3)), End())
    assert isinstance(found, Learned) and found.files.keys() == {"tokenizer.model", "vocab.txt"} & found.files.keys() and found.size < 5000
    assert tokenizers.load(found.tokenizer, found.files).fingerprint == found.fingerprint
    assert any("pieces only" in notice for notice in found.notices)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (lambda setup: [Setup(TEXT, setup.tokenizer, {"vocab.txt": b"\xff"}), piece(b"the\n")], ModelError),
        (lambda setup: [Learn(TEXT, {"tokenizer": "sentencepiece", "vocab_size": 5}), piece(b"the cat sat\n"), End()], SettingsError),
        (lambda setup: [Learn(TEXT, {}), piece(b"bad \xff\n"), piece(b"the\n"), End()], TextError),
    ],
    ids=["damaged tokenizer", "too few symbols", "bad sample"],
)  # fmt: skip
def test_without_a_tokenizer_there_is_one_answer_and_no_more(setup, asked, kind):
    (failed,) = answers_to(*asked(setup))
    assert isinstance(failed.error(), kind)


def test_a_message_that_is_cut_off_is_the_end(setup):
    stream = io.BytesIO()
    send(stream, Failed("TextError", "what", "why", "way out"))
    for length in (0, 3, 8, len(stream.getvalue()) - 1):
        assert receive_answer(io.BytesIO(stream.getvalue()[:length])) is None
    assert isinstance(receive_answer(io.BytesIO(stream.getvalue())), Failed)


def test_an_error_of_an_unknown_class_is_an_error_of_the_library():
    assert type(Failed("NoSuchError", "what", "", "").error()).__name__ == "RnnlmError"
