"""Tokenizers: text to ids and back. `train` makes one from text, `load` from the files of a model folder."""

from collections.abc import Callable, Iterable
from typing import Any

from rnnlm.config import from_stored
from rnnlm.corpus import Block
from rnnlm.interface import Tokenizer
from rnnlm.tokenizers.settings import TokenizerSettings

__all__ = ["TokenizerSettings", "load", "train"]


def train(settings: TokenizerSettings, blocks: Iterable[Block]) -> Tokenizer:
    """The tokenizer that `settings` ask for, its vocabulary from the text `blocks` alone.

    Raises:
        SettingsError: the vocabulary asked for cannot be had from this text.
    """
    return _class(settings.tokenizer).train(settings, (block.lines for block in blocks))


def load(stored: dict[str, Any], files: dict[str, bytes]) -> Tokenizer:
    """The tokenizer whose `to_settings()` and `to_files()` gave these.

    Raises:
        ModelError: a file is missing or damaged, or a setting is not valid.
    """
    settings = from_stored(TokenizerSettings, stored)
    return _class(settings.tokenizer).load(settings, files)


def _class(name: str) -> Any:
    loaders: dict[str, Callable[[], Any]] = {
        "word": _word, "char": _char, "byte": _byte, "sentencepiece": _sentencepiece,
    }  # fmt: skip
    return loaders[name]()


def _word() -> Any:
    from rnnlm.tokenizers.word import WordTokenizer

    return WordTokenizer


def _char() -> Any:
    from rnnlm.tokenizers.char import CharTokenizer

    return CharTokenizer


def _byte() -> Any:
    from rnnlm.tokenizers.byte import ByteTokenizer

    return ByteTokenizer


def _sentencepiece() -> Any:
    from rnnlm.tokenizers.subword import SentencePieceTokenizer

    return SentencePieceTokenizer
