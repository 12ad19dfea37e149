"""Tokenizers turn text into ids and back. `train` makes one from text, `load` from the files of a
model folder."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from rnnlm import satellites
from rnnlm.config import AUTO, from_stored
from rnnlm.errors import ModelError, SettingsError, keyword, notice
from rnnlm.interface import BOUNDARY, UNKNOWN, Tokenizer
from rnnlm.storage.files.folder import FolderFiles
from rnnlm.storage.files.writing import FileEntry
from rnnlm.text.lines import Block, as_bytes
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.unknown_words import LEAST_GLUED, share_of_glued

if TYPE_CHECKING:
    from rnnlm.text.tokenizers.characters import ByteTokenizer, CharTokenizer
    from rnnlm.text.tokenizers.sentencepiece import SentencePieceTokenizer
    from rnnlm.text.tokenizers.vocabulary import MemoryLimit
    from rnnlm.text.tokenizers.word import WordTokenizer

    AnyTokenizer: TypeAlias = WordTokenizer | CharTokenizer | ByteTokenizer | SentencePieceTokenizer

START_BYTES = 1 << 18  # of a text, which show whether its marks are parts of words

MOST_UNLISTED = 0.5  # share of a text that its vocabulary may lack without a notice

__all__ = ["TokenizerSettings", "load", "train"]


def train(
    settings: TokenizerSettings, blocks: Iterable[Block], limit: "MemoryLimit | None" = None
) -> Tokenizer:
    """Return the tokenizer that `settings` describe, with its vocabulary from the text `blocks`
    alone. A notice warns of one without any word. limit: memory limit of words; characters take
    little, and sentencepiece a multiple of its text."""
    if isinstance(settings, NewTokenizerSettings):
        start, blocks = itertools.tee(blocks)
        settings = decided(settings, first_lines(start, START_BYTES))
        del start  # which would keep all that is read from now on
    lines = (block.lines for block in blocks)
    kind = _class(settings.tokenizer)
    if limit and settings.tokenizer == "word":
        tokenizer: Tokenizer = cast("type[WordTokenizer]", kind).train(settings, lines, limit)
    else:
        tokenizer = kind.train(settings, lines)
    tell_empty(tokenizer, settings)
    if settings.lowercase and any("i\u0307" in symbol for symbol in tokenizer.symbols()):
        notice(
            "lower case makes two characters of the \u0130 of Turkish and Azeri, so that words "
            "with it are others than with i; sed 's/\u0130/i/g; s/I/\u0131/g' on the text mends it"
        )
    return tokenizer


def first_lines(blocks: Iterable[Block], least_bytes: int) -> list[str]:
    """Return the lines of the first blocks, as many as hold so many bytes."""
    lines: list[str] = []
    size = 0
    for block in blocks:
        lines += block.lines
        size += len(as_bytes(block.lines))
        if size > least_bytes:
            break
    return lines


def decided(settings: TokenizerSettings, lines: Sequence[str]) -> TokenizerSettings:
    """Return the settings with what they leave to the text decided by some of its lines. A notice
    says if marks are split from words."""
    values = dict(vars(settings))
    if values["split_punctuation"] == AUTO:
        values["split_punctuation"], why = splits_marks(lines)
        if values["split_punctuation"]:
            notice(
                f"marks are split from words, as {why} ("
                + keyword("split_punctuation", False)
                + " keeps them)"
            )
    return TokenizerSettings(**values)


def splits_marks(lines: Sequence[str]) -> tuple[bool, str]:
    """Return whether marks are to be split from the words of a text, by some of its lines, and
    why."""
    share, words = share_of_glued(lines)
    return share >= LEAST_GLUED, f"{share:.0%} of {words} have marks"


def is_made_on_the_way(settings: TokenizerSettings) -> bool:
    """Return whether the tokenizer can be made while the text is encoded, in one reading."""
    return settings == TokenizerSettings(
        min_count=settings.min_count, max_vocab=settings.max_vocab, vocab=settings.vocab
    )


def tell_empty(tokenizer: Tokenizer, settings: TokenizerSettings) -> None:
    """Send a notice of a vocabulary without any word."""
    # A model can be trained on a text without known words, but few people want that.
    has_text = tokenizer.counts_V is not None and tokenizer.counts_V.any()
    if has_text and tokenizer.size <= 2 and {*tokenizer.symbols()} <= {BOUNDARY, UNKNOWN}:
        notice(
            f"the vocabulary has only {BOUNDARY} and {UNKNOWN} "
            f"(min_count = {settings.min_count:,}): "
            f"everything else in the text is {UNKNOWN} to the model"
        )
    if not has_text or settings.vocab is None or tokenizer.counts_V is None:
        return
    counts = dict(zip(tokenizer.symbols(), tokenizer.counts_V.tolist(), strict=True))
    unlisted = counts[UNKNOWN] / max(1, sum(counts.values()) - counts[BOUNDARY])
    if unlisted > MOST_UNLISTED:
        notice(
            f"{unlisted:.0%} of the text is not in the vocabulary of the file, and is {UNKNOWN} "
            "to the model: its perplexity is low for that alone"
        )


def load(stored: dict[str, Any], files: dict[str, bytes]) -> Tokenizer:
    """Return the tokenizer whose `to_settings()` and `to_files()` gave these. Raise ModelError
    where a file is missing or damaged, or a setting is not valid."""
    settings = from_stored(TokenizerSettings, stored)
    return _class(settings.tokenizer).load(settings, files)


def load_from(
    files: FolderFiles,
    entries: Mapping[str, FileEntry],
    stored: dict[str, Any],
    fingerprint: str,
    size: int,
) -> Tokenizer:
    """Read the tokenizer of a folder whose index records its files, settings, fingerprint and size.
    Raise ModelError where one of them differs."""
    content = {entry.role: files.read(name, entry) for name, entry in entries.items()}
    try:
        tokenizer = load(stored, content)
    except (ModelError, SettingsError) as error:
        raise files.error(error.fault) from None
    if (tokenizer.fingerprint, tokenizer.size) != (fingerprint, size):
        raise files.error("its tokenizer is not the one it was made with")
    return tokenizer


def _class(name: str) -> "type[AnyTokenizer]":
    foreign = satellites.by_name("tokenizers")
    if name in foreign:
        return cast("type[AnyTokenizer]", foreign[name].load())
    gone = satellites.removed("tokenizers", name, f"the tokenizer {name}")
    if gone:
        raise gone
    # These need Arrow.
    from rnnlm.text.tokenizers.characters import ByteTokenizer, CharTokenizer
    from rnnlm.text.tokenizers.sentencepiece import SentencePieceTokenizer
    from rnnlm.text.tokenizers.word import WordTokenizer

    classes: dict[str, type[AnyTokenizer]] = {
        "word": WordTokenizer,
        "char": CharTokenizer,
        "byte": ByteTokenizer,
        "sentencepiece": SentencePieceTokenizer,
    }
    return classes[name]
