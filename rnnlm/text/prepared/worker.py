"""`python -m rnnlm.text.prepared.worker`: reads pieces of text from stdin, writes them encoded to stdout, ends with its parent."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import IO

from rnnlm import system
from rnnlm.errors import RnnlmError
from rnnlm.text.prepared.answering import Encoder, learned
from rnnlm.text.prepared.messages import Done, Encode, Failed, Learn, Setup, receive_asked, send
from rnnlm.text.prepared.pieces import Piece


def main() -> None:
    """Answer until there is nobody to answer to."""
    for name in ("SIGINT", "SIGHUP"):  # the parent's matter
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    system.keep_freed()  # one piece takes what the one before has taken
    with contextlib.suppress(BrokenPipeError):
        answer(asked, answers)


def answer(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Learn a tokenizer, or encode pieces, as `asked` says, until it ends, or there is no tokenizer to go on with."""
    encoder = None
    try:
        while (message := receive_asked(asked)) is not None:
            if isinstance(message, Setup):
                encoder = Encoder(message)
            elif isinstance(message, Learn):
                send(answers, learned(message, _pieces(asked)))
            elif isinstance(message, Encode):
                send(answers, _encoded(encoder, message))
    except RnnlmError as error:
        send(answers, Failed.of(error))
    except MemoryError:
        send(answers, Failed("RnnlmError", "not enough memory", "a worker ran out of it", "lower --workers, --sample or --max-vocab"))


def _encoded(encoder: Encoder, asked: Encode) -> Done | Failed:
    """A piece, or what is wrong with it; the next one may be of an earlier place."""
    try:
        return Done(encoder.encode(asked))
    except RnnlmError as error:
        return Failed.of(error)


def _pieces(asked: IO[bytes]) -> Iterator[Piece]:
    while isinstance(message := receive_asked(asked), Encode):
        yield message.piece


if __name__ == "__main__":
    main()
