"""A text: its lines, their ids under a tokenizer, and the share of it that is held out. It is read
from files, or prepared in a folder.

What is held out is the end of a text. Where it begins is known once the text has been read; until
then the lines that may belong to either part wait in memory. So one pass makes the vocabulary of
the first part, and one encodes both parts.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

from msgspec import Meta

from rnnlm.config import Probability, needs
from rnnlm.errors import UsageError
from rnnlm.interface import Tokenizer, keeps
from rnnlm.text import sources
from rnnlm.text.encoding import EncodedText, encode_parts
from rnnlm.text.lines import Block, Progress, TextSettings, read_blocks, silent, watched
from rnnlm.text.prepared import prepared_text
from rnnlm.text.prepared.index import is_prepared
from rnnlm.text.sources import SourceSettings, warn_of_repeats


@runtime_checkable
class Text(Protocol):
    """What a model is trained on or evaluated on. Reading happens in its methods, as often as one
    likes."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Where it comes from: paths, globs, `-`, data sets; or the folder where it is prepared."""

    @property
    def settings(self) -> TextSettings:
        """How its lines are read."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The one that the text is prepared with."""
        ...

    def blocks(self) -> Iterator[Block]:
        """The lines in order, a megabyte or so at a time."""
        ...

    def encode(self, tokenizer: Tokenizer, progress: Progress = silent) -> EncodedText:
        """The ids of the text, in memory, and what is counted."""
        ...

    def split(self, share: float, is_asked: bool = True) -> "Split":
        """The text in two parts: the second is the last `share` of its lines, or whole documents
        where it has documents. Where nobody asked for that share, it may be less."""
        ...


class Split(Protocol):
    """A text in two parts, to be trained and validated on."""

    def blocks(self) -> Iterator[Block]:
        """The lines of the first part."""
        ...

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        """Both parts; no second one where nothing is held out, or the text is a single line or
        document. The ids of the first part may stay on disk."""
        ...

    @property
    def held_out(self) -> str:
        """How much the second part is, in words."""
        ...


@keeps(Text)
class BlockText:
    """What texts that are read block by block have in common."""

    sources: tuple[str, ...]
    settings: TextSettings
    tokenizer = None

    def blocks(self) -> Iterator[Block]:
        raise NotImplementedError

    def encode(self, tokenizer: Tokenizer, progress: Progress = silent) -> EncodedText:
        return self.split(0.0).encode(tokenizer, progress)[0]

    def split(self, share: float, is_asked: bool = True) -> "ReadSplit":
        return ReadSplit(self, share)


@dataclass(frozen=True)
class Corpus(BlockText):
    """A text in files or other sources, and how to read them. A notice names text files where a
    column is named, as they have none."""

    sources: tuple[str, ...]
    settings: TextSettings = TextSettings()
    source_settings: SourceSettings = SourceSettings()

    def __post_init__(self) -> None:
        sources.tell_of_text_files(self.sources, self.source_settings)

    def blocks(self) -> Iterator[Block]:
        for source in sources.expand(self.sources):
            yield from read_blocks(source, self.settings, self.source_settings)


@dataclass(frozen=True)
class TextInMemory(BlockText):
    """A text that is read again without its sources."""

    sources: tuple[str, ...]
    settings: TextSettings
    held: tuple[Block, ...]

    @classmethod
    def read(cls, text: Text, progress: Progress = silent) -> "TextInMemory":
        """All of `text`."""
        return cls(text.sources, text.settings, tuple(watched(text.blocks(), progress)))

    def blocks(self) -> Iterator[Block]:
        yield from self.held


@keeps(Split)
class ReadSplit:
    """A text that is read block by block, in two parts. Where the second begins is kept once all of
    the text has been read."""

    def __init__(self, text: Text, share: float) -> None:
        self.text = text
        self.share = share
        self.first_lines: int | None = None if share else 0  # of the first part; 0: all of them are

    @property
    def held_out(self) -> str:
        return f"{self.share:.0%}"

    def blocks(self) -> Iterator[Block]:
        return (block for block, is_held_out in self._parts(self.text.blocks()) if not is_held_out)

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        return encode_parts(
            self.text, self._parts(watched(self.text.blocks(), progress)), tokenizer
        )

    def _parts(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
        """Each block of one part alone, and whether it is held out."""
        if self.first_lines is None:
            yield from self._parts_found(blocks)
        elif not self.first_lines:
            yield from ((block, False) for block in blocks)
        else:
            lines = 0
            for block in blocks:
                yield from _cut(block, self.first_lines - lines)
                lines += len(block.lines)

    def _parts_found(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
        """The same while it is found out where the second part begins: lines that may be of either
        wait."""
        border = _Border(self.share, self.text.settings.blank_lines == "documents")
        waiting: deque[Block] = deque()
        passed = 0  # lines that wait no more
        for block in blocks:
            waiting.append(block)
            border.read(block)
            while waiting and passed + len(waiting[0].lines) <= border.earliest():
                passed += len(waiting[0].lines)
                yield waiting.popleft(), False
        self.first_lines = border.found()
        for block in waiting:
            yield from (
                _cut(block, self.first_lines - passed) if self.first_lines else [(block, False)]
            )
            passed += len(block.lines)


def _cut(block: Block, first_lines: int) -> Iterator[tuple[Block, bool]]:
    """The part of a block before that line, and the part from it on, which is held out."""
    if 0 < first_lines < len(block.lines):
        yield from zip(block.cut(first_lines), (False, True), strict=True)
    else:
        yield block, first_lines <= 0


class _Border:
    """Where the last `share` of a text begins: at a line, or at the document whose beginning is
    nearest."""

    def __init__(self, share: float, has_documents: bool) -> None:
        self.share = share
        self.has_documents = has_documents
        self.lines = 0
        # the lines that begin one; but for those that have become too early
        self.documents: list[int] = []

    def read(self, block: Block) -> None:
        self.documents.extend(
            self.lines + start for start in block.document_starts if self.lines + start
        )
        self.lines += len(block.lines)

    def earliest(self) -> int:
        """The line before which the border cannot be, however the text goes on."""
        if not self.has_documents:
            return max(0, self._wanted())
        del self.documents[: max(0, bisect_right(self.documents, self._wanted()) - 1)]
        return self.documents[0] if self.documents and self.documents[0] <= self._wanted() else 0

    def found(self) -> int:
        """The border of a text that ends here; 0: it has a single line or document."""
        if not self.has_documents:
            return max(0, self._wanted())
        return min(self.documents, key=lambda start: abs(start - self._wanted()), default=0)

    def _wanted(self) -> int:
        return self.lines - max(1, round(self.lines * self.share))


def open_text(
    names: Sequence[str | Path],
    settings: TextSettings = TextSettings(),
    source_settings: SourceSettings = SourceSettings(),
) -> Text:
    """The text of these names: sources, read as the settings say, or one folder with a prepared
    text. A notice names sources that are the same text."""
    prepared = [name for name in names if is_prepared(name)]
    if not prepared:
        warn_of_repeats(list(map(str, names)))
        return Corpus(tuple(map(str, names)), settings, source_settings)
    if len(names) > 1:
        raise UsageError(
            f"{prepared[0]} is a prepared text, which is read alone",
            hint="prepare all of the text into one folder",
        )
    return prepared_text.load(Path(prepared[0]))


# ---- What is done where no validation text is named: a share of the text is held out.


@dataclass(frozen=True)
class HoldoutSettings:
    """What is done where no validation text is named."""

    holdout: Annotated[
        Probability,
        Meta(
            description="share of the text held out for validation; 0: none",
            extra=needs(valid=(None,)),
        ),
    ] = 0.05
