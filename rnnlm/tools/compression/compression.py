"""Compress a text by a language model, and give it back byte by byte.

Each token is coded by the probability that the model gives it, then how it is written: as the
tokenizer has it, without the blank before it, with capitals. Everything else, such as unknown
words, tabs, and what lies between two lines that have words and are UTF-8, is spelled out by an
adaptive model of bytes.

A file is MAGIC, the length of the header, the header, and the code. A checksum follows each block
of the text: probabilities whose last bits differ are noticed there, and the block is not given
back.
"""

import hashlib
import itertools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from rnnlm.errors import ModelError, TextError, keyword
from rnnlm.interface import LanguageModel, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.base.span_scoring import predict, stepping
from rnnlm.text.lines import Progress, is_blank, silent, without_end
from rnnlm.tools.compression.arithmetic import AdaptiveSymbols, Coder, bounds_of, not_as_coded

MAGIC = b"RNNLMZ1\n"  # of the first format
BLOCK = 1 << 13  # tokens between two checks
CHECKSUMS = range((1 << 32) + 1)  # bounds of equally likely ones
SPELLED = 6  # how a token is written if in none of its forms
END = 256  # follows the bytes that are spelled out
# The model's identity and its name; the text's length and half of its SHA-256
Header = tuple[str, str, int, bytes]


class Compressor:
    """Compresses texts by the model of that name, and gives them back.

    Args:
        name: The model, as `-m` names it.
        device: Where it computes.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        self.called = Path(name).name
        self.model = loading.scoring_model_of(name, device)
        self.identity = loading.identity_of(self.model)
        # The model's own tokenizer may number unseen words: it must meet them one by one, as it
        # does when they are decoded.
        self.tokenizer = loading.load_tokenizer(loading.base_folder(name))

    def compress(self, text: bytes, progress: Progress = silent) -> tuple[bytes, float]:
        """Return the file of a text, and -log2 p of its tokens by the model alone."""
        coder = Coder()
        coded = CodedText(self.model, coder, len(text))
        for _ in coded.blocks(tokens_of(text, self.tokenizer), progress):
            pass  # they are the text
        coder.finish()
        header: Header = self.identity, self.called, len(text), hashlib.sha256(text).digest()[:16]
        packed = msgspec.msgpack.encode(header)
        return MAGIC + len(packed).to_bytes(2) + packed + coder.data, coded.model_bits

    def decompress(self, data: bytes, progress: Progress = silent) -> Iterator[bytes]:
        """Yield the text in blocks, each after its check.

        Raise TextError where `data` are no compressed text, are damaged, or the probabilities are
        others than when it was coded; ModelError if another model coded it.
        """
        begin = len(MAGIC) + 2
        start = begin + int.from_bytes(data[begin - 2 : begin])
        try:
            if not data.startswith(MAGIC):
                raise ValueError
            header = msgspec.msgpack.decode(data[begin:start], type=Header)
        except ValueError:  # msgspec's errors are such
            raise TextError("the file is damaged, or not written by rnnlm compress") from None
        identity, called, length, sha256 = header
        if identity != self.identity:
            raise ModelError(
                f"the text was compressed by another model: {called}, {identity}",
                f"{self.called} is {self.identity}",
                "name that one with " + keyword("model", "MODEL"),
            )

        coder = Coder(data[start:])
        hashed = hashlib.sha256()
        unknown = itertools.repeat((-1, b""))
        for block in CodedText(self.model, coder, length).blocks(unknown, progress):
            hashed.update(block)
            yield block
        coder.finish()
        if hashed.digest()[:16] != sha256:
            raise TextError("the text is not what was compressed", "its SHA-256 differs")


class CodedText:
    """A text of `length` bytes, while it is coded or decoded. Both take the same steps, so that the
    model computes the same bits.

    model_bits: -log2 p of the tokens so far, by the model alone.
    """

    def __init__(self, model: LanguageModel, coder: Coder, length: int) -> None:
        self.model_bits = 0.0
        self._model = stepping(model)
        self._tokenizer = model.tokenizer
        self._coder = coder
        self._length = length
        self._forms = AdaptiveSymbols(SPELLED + 1, strength=0.3)
        self._form = 0  # of the last token
        self._bytes = AdaptiveSymbols(END + 1, strength=3.0)

    def blocks(
        self, wanted: Iterator[tuple[int, bytes]], progress: Progress = silent
    ) -> Iterator[bytes]:
        """Yield the text in blocks. wanted: its tokens, as :func:`tokens_of` yields them; a decoder
        finds them, whatever it is given.

        Raise TextError where a block is not as it was.
        """
        bytes_V = self._tokenizer.token_bytes()
        state = self._model.initial_state(1)
        before = read = self._tokenizer.boundary_id
        done = tokens = checksum = 0
        block = bytearray()
        while done < self._length:
            # The token, by the model, and how it is written.
            token, written = next(wanted)
            logprob_1V, state = predict(self._model, np.array([read]), state)
            token = self._coder.code(bounds_of(np.exp(logprob_1V[0].astype(np.float64))), token)
            self.model_bits -= float(logprob_1V[0, token]) / math.log(2)
            written = self._written(forms_of(bytes_V[token]), token, before, written)
            before, read = token, self._input(token, written)

            # A block is complete once it is checked.
            block += written
            done += len(written)
            tokens += 1
            progress(f"{done:,} of {self._length:,} bytes")
            if tokens % BLOCK == 0 or done >= self._length:
                checksum = zlib.crc32(block, checksum)
                if self._coder.code(CHECKSUMS, checksum) != checksum or done > self._length:
                    block_place = f"bytes {done - len(block):,} to {done:,}"
                    raise not_as_coded(f"{block_place} do not come back as they were")
                yield bytes(block)
                block.clear()

    def _written(self, forms: list[bytes], token: int, before: int, written: bytes) -> bytes:
        """Code in which form a token is written, or spell it out. before: the token before it."""
        boundary = self._tokenizer.boundary_id
        place = (before == boundary, self._form, token, before)
        contexts = [place[:length] for length in (0, 2, 3, 4)]
        form = forms.index(written) if written in forms else SPELLED
        self._form = form = self._forms.code(self._coder, contexts, form)
        if form < SPELLED:
            return forms[form]

        # The bytes after a line are others than those of words.
        start = END + 1 + (token == boundary)
        spelled = [start, start]
        for wanted in itertools.chain(written, itertools.repeat(END)):
            contexts = [(), tuple(spelled[-1:]), tuple(spelled[-2:])]
            byte = self._bytes.code(self._coder, contexts, wanted)
            if byte == END or len(spelled) > self._length + 2:
                break
            spelled.append(byte)
        return bytes(spelled[2:])

    def _input(self, token: int, written: bytes) -> int:
        """Return what the model reads for a token: some spell unseen words."""
        if not self._tokenizer.spells or token != self._tokenizer.unk_id:
            return token
        line = written.decode("utf-8", "replace").replace("\n", " ")
        ids = self._tokenizer.encode([line]).ids
        return int(ids[0]) if len(ids) > 1 else token


def forms_of(spelling: bytes) -> list[bytes]:
    """Return the SPELLED forms in which a token with these bytes may be written."""
    text = spelling.decode("utf-8", "surrogateescape")
    bare = text.removeprefix(" ")
    blank = text.removesuffix(bare)
    cased = [bare, bare[:1].upper() + bare[1:], bare.upper()]
    forms = [blank + word for word in cased] + cased
    return [form.encode("utf-8", "surrogateescape") for form in forms]


def tokens_of(text: bytes, tokenizer: Tokenizer) -> Iterator[tuple[int, bytes]]:
    """Yield the tokens of a text, each with the bytes that it takes there; together they are the
    whole text."""
    # The lines that are read, and where each begins. All before the first belongs to its first
    # token, all after a line to its end.
    lines, starts = [], []
    start = 0
    for encoded in text.split(b"\n"):
        line = without_end(encoded.decode("utf-8", "replace"))
        if not is_blank(line) and "\ufffd" not in line:
            lines.append(line)
            starts.append(start)
        start += len(encoded) + 1
    lines, starts = lines or [""], [0, *starts[1:], len(text)]

    # A token in none of its forms is searched for; if it is not found, it takes no bytes.
    bytes_V = tokenizer.token_bytes()
    ids = iter(tokenizer.encode(lines).ids.tolist())
    bounds = itertools.pairwise(starts)
    for surfaces, (place, end) in zip(tokenizer.surfaces(lines), bounds, strict=True):
        for surface in surfaces[:-1]:
            token = next(ids)
            fitting = (form for form in forms_of(bytes_V[token]) if text.startswith(form, place))
            written = max(fitting, key=len, default=b"")
            if not written:
                spelling = surface.encode("utf-8")
                found = text.find(spelling, place, end)
                written = text[place : found + len(spelling)] if found >= 0 else b""
            yield token, written
            place += len(written)
        yield next(ids), text[place:end]
