"""`python -m rnnlm.preparation.worker`: reads pieces of text from stdin, writes them encoded to stdout, ends with its parent."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import IO

from rnnlm import memory, tokenizers
from rnnlm.config import from_stored
from rnnlm.corpus import Block, TextSettings
from rnnlm.errors import RnnlmError, RnnlmWarning
from rnnlm.preparation.block_encoding import block_of, encoded_piece
from rnnlm.preparation.messages import Done, Encode, Failed, Learn, Learned, Setup, receive_asked, send
from rnnlm.tokenizers import TokenizerSettings


def main() -> None:
    """Answer until there is nobody to answer to."""
    for name in ("SIGINT", "SIGHUP"):  # the parent's matter
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    memory.return_freed()
    try:
        answer(asked, answers)
    except BrokenPipeError:
        pass


def answer(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Learn a tokenizer, or encode pieces, as `asked` says, until it ends."""
    settings, tokenizer = TextSettings(), None
    while (message := receive_asked(asked)) is not None:
        try:
            if isinstance(message, Setup):
                settings = from_stored(TextSettings, message.text_settings)
                tokenizer = tokenizers.load(message.tokenizer, message.files)
            elif isinstance(message, Learn):
                return send(answers, _learned(message, asked))
            elif isinstance(message, Encode):
                send(answers, Done(encoded_piece(message.piece, settings, tokenizer if message.with_ids else None)))
        except RnnlmError as error:
            return send(answers, Failed.of(error))
        except MemoryError:
            return send(answers, Failed("RnnlmError", "not enough memory", "a worker ran out of it", "lower --workers, --sample or --max-vocab"))


def _learned(message: Learn, asked: IO[bytes]) -> Learned:
    settings = from_stored(TextSettings, message.text_settings)
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", RnnlmWarning)
        tokenizer = tokenizers.train(from_stored(TokenizerSettings, message.tokenizer), _blocks(asked, settings))
    notices = [str(each.message) for each in noticed if issubclass(each.category, RnnlmWarning)]
    return Learned(tokenizer.to_settings(), tokenizer.to_files(), notices)


def _blocks(asked: IO[bytes], settings: TextSettings) -> Iterator[Block]:
    while isinstance(message := receive_asked(asked), Encode):
        block, _ = block_of(message.piece, settings)
        if block.lines:
            yield block


if __name__ == "__main__":
    main()
