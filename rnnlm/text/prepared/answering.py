"""What is done for what is asked, in a worker or here: a tokenizer learned, pieces of text encoded."""

import warnings
from collections.abc import Iterable

from rnnlm.config import from_stored
from rnnlm.errors import RnnlmWarning
from rnnlm.text import tokenizers
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared.encoder import EncodedPiece, block_of, encoded_piece
from rnnlm.text.prepared.messages import Encode, Learn, Learned, Setup
from rnnlm.text.prepared.pieces import Piece
from rnnlm.text.tokenizers import TokenizerSettings


class Encoder:
    """Encodes pieces as a setup says.

    Raises:
        ModelError: the tokenizer is damaged.
    """

    def __init__(self, setup: Setup) -> None:
        self.settings = from_stored(TextSettings, setup.text_settings)
        self.tokenizer = tokenizers.load(setup.tokenizer, setup.files)

    def encode(self, asked: Encode) -> EncodedPiece:
        """Raises: TextError: the piece cannot be decoded, or holds a reserved symbol."""
        return encoded_piece(asked.piece, self.settings, self.tokenizer if asked.with_ids else None)


def learned(asked: Learn, pieces: Iterable[Piece]) -> Learned:
    """The tokenizer that is asked for, of these pieces.

    Raises:
        SettingsError: it cannot be had of this text. TextError: a piece cannot be read.
    """
    settings = from_stored(TextSettings, asked.text_settings)
    blocks = (block for block, _ in (block_of(piece, settings) for piece in pieces) if block.lines)
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", RnnlmWarning)
        tokenizer = tokenizers.train(from_stored(TokenizerSettings, asked.tokenizer), blocks)
    notices = [str(each.message) for each in noticed if issubclass(each.category, RnnlmWarning)]
    return Learned.of(tokenizer, notices)
