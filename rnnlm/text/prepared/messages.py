"""What parent and workers say to one another, over pipes: frames of eight bytes length and a message."""

from typing import IO, Any, TypeVar

import msgspec

from rnnlm import errors
from rnnlm.errors import RnnlmError
from rnnlm.interface import Tokenizer
from rnnlm.text.prepared.encoder import EncodedPiece, from_message, to_message
from rnnlm.text.prepared.pieces import Piece

Message = TypeVar("Message")


class Setup(msgspec.Struct, tag=True):
    """How to read, and the tokenizer to encode with."""

    text_settings: dict[str, Any]
    tokenizer: dict[str, Any]
    files: dict[str, bytes]


class Learn(msgspec.Struct, tag=True):
    """A tokenizer is to be made as these settings ask, of the pieces that follow, up to an :class:`End`."""

    text_settings: dict[str, Any]
    tokenizer: dict[str, Any]


class End(msgspec.Struct, tag=True):
    """There is no more."""


class Encode(msgspec.Struct, tag=True):
    """A piece of text to encode; without ids where these are there already."""

    piece: Piece
    with_ids: bool = True


class Learned(msgspec.Struct, tag=True):
    """A tokenizer without itself: what it would be loaded from, and what there was to notice."""

    tokenizer: dict[str, Any]
    files: dict[str, bytes]
    fingerprint: str
    size: int
    notices: list[str] = []

    @classmethod
    def of(cls, tokenizer: Tokenizer, notices: list[str]) -> "Learned":
        return cls(tokenizer.to_settings(), tokenizer.to_files(), tokenizer.fingerprint, tokenizer.size, notices)


class Done(msgspec.Struct, tag=True):
    """What became of a piece."""

    piece: EncodedPiece


class Failed(msgspec.Struct, tag=True):
    """An error of the library, by the name of its class."""

    kind: str
    what: str
    why: str
    hint: str

    @classmethod
    def of(cls, error: RnnlmError) -> "Failed":
        return cls(type(error).__name__, error.what, error.why, error.hint)

    def error(self) -> RnnlmError:
        kind = getattr(errors, self.kind, RnnlmError)
        return kind(self.what, self.why, self.hint)


Asked = Setup | Learn | End | Encode
Answered = Learned | Done | Failed
_ENCODER = msgspec.msgpack.Encoder(enc_hook=to_message)
_ASKED = msgspec.msgpack.Decoder(Asked, dec_hook=from_message)
_ANSWERED = msgspec.msgpack.Decoder(Answered, dec_hook=from_message)


def send(stream: IO[bytes], message: Asked | Answered) -> None:
    """Write a message.

    Raises:
        OSError: nobody reads.
    """
    data = _ENCODER.encode(message)
    stream.write(len(data).to_bytes(8, "little"))
    stream.write(data)
    stream.flush()


def receive_asked(stream: IO[bytes]) -> Asked | None:
    """The next message for a worker; None where the parent is gone."""
    data = _frame(stream)
    return None if data is None else _ASKED.decode(data)


def receive_answer(stream: IO[bytes]) -> Answered | None:
    """The next message of a worker; None where it is gone."""
    data = _frame(stream)
    return None if data is None else _ANSWERED.decode(data)


def _frame(stream: IO[bytes]) -> bytes | None:
    length = stream.read(8)
    if len(length) < 8:
        return None
    data = stream.read(wanted := int.from_bytes(length, "little"))
    return data if len(data) == wanted else None
