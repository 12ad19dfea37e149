"""Tiny tokenizers of the package `tokenizers`, of each kind that models of others have."""

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = ["the cat sat on the mat", "a dog's life, a cat's life é ü", "Numbers 123 and 456"] * 20
GPT2_END = "<|endoftext|>"


def _trained(tokenizer: Tokenizer, trainer: type, lines: Iterable[str], **options: object) -> bytes:
    settings = trainer(show_progress=False, **options)
    tokenizer.train_from_iterator(lines, settings)
    return tokenizer.to_str().encode("utf-8")


def byte_level(lines: Iterable[str] = TEXT) -> bytes:
    """Return byte-pair encoding of bytes, as GPT-2 has it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        tokenizer, trainers.BpeTrainer, lines,
        vocab_size=320, special_tokens=[GPT2_END, "<|pad|>"], initial_alphabet=alphabet,
    )  # fmt: skip


def llama(lines: Iterable[str] = TEXT) -> bytes:
    """Return byte-pair encoding with a space before each line and bytes to fall back to."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    words = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.pre_tokenizer = words
    single = [f"<0x{byte:02X}>" for byte in range(256)]
    data = _trained(
        tokenizer, trainers.BpeTrainer, lines,
        vocab_size=380, special_tokens=["<unk>", "<s>", "</s>", *single],
    )  # fmt: skip
    content = json.loads(data)
    content["added_tokens"] = content["added_tokens"][:3]
    content["pre_tokenizer"] = None
    return json.dumps(content).encode("utf-8")


def unigram(lines: Iterable[str] = TEXT) -> bytes:
    """Return pieces of a unigram model, as T5 has them: what is new is unknown."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _trained(
        tokenizer, trainers.UnigramTrainer, lines,
        vocab_size=60, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
    )  # fmt: skip


def word_piece(lines: Iterable[str] = TEXT) -> bytes:
    """Return pieces of words in lower case, as BERT has them."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _trained(
        tokenizer, trainers.WordPieceTrainer, lines,
        vocab_size=70, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
    )  # fmt: skip


def word_level(lines: Iterable[str] = TEXT) -> bytes:
    """Return whole words, punctuation marks apart."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return _trained(tokenizer, trainers.WordLevelTrainer, lines, special_tokens=["<unk>", "</s>"])


def word_ends(lines: Iterable[str] = TEXT) -> bytes:
    """Return pieces of words, the last one of each marked, as GPT-1 has them."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return _trained(
        tokenizer, trainers.BpeTrainer, lines,
        vocab_size=80, special_tokens=["<unk>", "</s>"], end_of_word_suffix="</w>",
    )  # fmt: skip


KINDS = {
    "byte-level": (byte_level, GPT2_END), "llama": (llama, "</s>"), "unigram": (unigram, "</s>"),
    "word-piece": (word_piece, "[SEP]"), "word-level": (word_level, "</s>"),
    "word-ends": (word_ends, "</s>"),
}  # fmt: skip


@functools.cache  # training is not deterministic
def make(kind: str) -> tuple[bytes, int]:
    """Return a tokenizer.json of that kind, and the id of its end token."""
    maker, end = KINDS[kind]
    data = maker()
    return data, Tokenizer.from_buffer(data).token_to_id(end)


def save(folder: Path, kind: str, **config: object) -> Path:
    """Write a tokenizer.json of that kind into a folder, and a config.json."""
    data, end = make(kind)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(data)
    settings = {"eos_token_id": end, **config}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder
