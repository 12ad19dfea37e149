"""A text: its lines, their ids under a tokenizer, and the share of it that is held out. It is read
from files, or prepared in a folder.

The held-out part is the last share of the lines, so its first line is known only when the whole
text has been read. Lines that may still belong to either part wait in memory until then. So one
pass makes the vocabulary of the training part, and a second one encodes both parts.
"""

import os
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from rnnlm import registry
from rnnlm.errors import UsageError, keyword, notice
from rnnlm.interface import Tokenizer, keeps
from rnnlm.storage.files.resuming import (
    SIGNATURE_DIGITS,
    merged,
    settings_identity,
    text_signatures,
)
from rnnlm.storage.files.writing import digest
from rnnlm.text import sources, temporary_files, tokenizers
from rnnlm.text.encoding import EncodedText, ReadText, encode_parts
from rnnlm.text.line_forms import BETWEEN, tell_unspaced
from rnnlm.text.lines import Block, Progress, TextSettings, is_blank, read_blocks, silent, watched
from rnnlm.text.marks import count_odd_spaces, tell_odd_spaces
from rnnlm.text.samples import LOOKED_AT, judged, lines_looked_at
from rnnlm.text.sources import SourceSettings, warn_of_repeats
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.word import encode_once
from rnnlm.text.unknown_words import MOST_UNKNOWN, tell_glued, unknown_words

MOST_BLANK = 0.05  # share of lines of a text of characters that are dropped without a notice


def identity_of(text: "Text") -> dict[str, str]:
    """Return the facts that determine the lines of a text: how they are read, and the signatures of
    its sources; of a text that is neither in files nor prepared, the hash of its lines."""
    how_read = settings_identity(text.settings)
    if isinstance(text, Corpus):
        how_read = merged(how_read, settings_identity(text.source_settings))
    elif text.tokenizer is None:
        blocks = (
            "\n".join(block.lines).encode("utf-8", "surrogatepass") for block in text.blocks()
        )
        return merged(how_read, {"text": f"in memory, hash {digest(blocks)[:SIGNATURE_DIGITS]}"})
    return merged(how_read, text_signatures(sources.expand(text.sources)))


@runtime_checkable
class Text(ReadText, Protocol):
    """A text to train or evaluate a model on. Its methods read the text, each time they are
    called."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that the text is prepared with."""

    def encode(self, tokenizer: Tokenizer, progress: Progress = silent) -> EncodedText:
        """Return the ids and counts of the text, in memory.

        Args:
            tokenizer: Tokenizer to encode with.
            progress: Callback for the progress of reading.
        """

    def split(self, share: float, is_chosen: bool = True) -> "Split":
        """Divide the text into two parts: the second part is the last `share` of its lines, or of
        its documents if it has documents.

        Args:
            share: Share of the second part, 0 to 1.
            is_chosen: Whether the user chose the share; of the default share, a long prepared text
                holds out less.
        """


class Split(Protocol):
    """A text in two parts, one for training and one for validation."""

    def blocks(self) -> Iterator[Block]:
        """Yield the lines of the first part."""

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        """Return both parts. The second one is None if nothing is held out, or the text is a single
        line or document. The ids of the first part may stay on disk.

        Args:
            tokenizer: Tokenizer to encode with.
            progress: Callback for the progress of reading.
        """

    def encode_once(
        self, settings: TokenizerSettings, progress: Progress = silent
    ) -> tuple[Tokenizer, EncodedText, EncodedText | None]:
        """Make a tokenizer of the first part while the text is read, and return it with both parts,
        as :meth:`encode` does.

        Args:
            settings: Settings of the tokenizer.
            progress: Callback for the progress of reading.
        """

    @property
    def held_out(self) -> str:
        """The size of the second part, in words."""


@keeps(Text)
class BlockText:
    """The base of texts that are read block by block."""

    sources: tuple[str, ...]
    settings: TextSettings
    tokenizer = None

    def blocks(self) -> Iterator[Block]:
        raise NotImplementedError

    def encode(self, tokenizer: Tokenizer, progress: Progress = silent) -> EncodedText:
        return self.split(0.0).encode(tokenizer, progress)[0]

    def split(self, share: float, is_chosen: bool = True) -> "ReadSplit":
        return ReadSplit(self, share)


@dataclass(frozen=True)
class Corpus(BlockText):
    """A text in files or other sources, and how to read them.

    If the settings name a column, a notice lists the sources that are plain text and have no
    columns.

    Attributes:
        sources: Paths, globs, `-` or data sets.
        settings: How to read lines.
        source_settings: How to read tables and data sets.
    """

    sources: tuple[str, ...]
    settings: TextSettings = TextSettings()
    source_settings: SourceSettings = SourceSettings()

    def __post_init__(self) -> None:
        sources.tell_of_text_files(self.sources, self.source_settings)

    @classmethod
    def from_lines(cls, lines: Iterable[str], settings: TextSettings = TextSettings()) -> "Corpus":
        """Make a text of lines. It can be used wherever a path can.

        The lines are written to a temporary file as they come, so they need not fit in memory. The
        file is removed with the text.

        Args:
            lines: The lines, without line breaks.
            settings: How to read them.

        Raises:
            ArgumentTypeError: `lines` is a single str, or a line is not a str.
            TextError: A line contains a line break.
        """
        return cls._written(temporary_files.write_lines(lines), settings)

    @classmethod
    def from_dataset(
        cls,
        dataset: object,
        column: str | None = None,
        *,
        columns: Sequence[str] = (),
        sentence_columns: Sequence[str] = (),
        settings: TextSettings = TextSettings(),
    ) -> "Corpus":
        """Make a text of a data set. It can be used wherever a path can.

        Args:
            dataset: A data set of Hugging Face's `datasets`, streamed or not, of pandas, of a
                library with Arrow's C interface (Polars, pyarrow, DuckDB), an iterable of rows, or
                a column of these. Class numbers (`datasets.ClassLabel`) become class names.
            column: Column of the text. None: the usual one.
            columns: Other columns to keep under their names, such as columns of labels or of a
                target, for settings like `label_column`.
            sentence_columns: Of a data set with a row a word, in `column`: the columns that tell
                sentences apart. The words of each sentence become a line, once if several subjects
                read it. To score the words and keep their rows, leave this out and set it in
                :class:`rnnlm.SentenceSettings`.
            settings: How to read lines.

        Raises:
            ArgumentTypeError: The argument is not a data set.
            TextError: A column does not exist, or the data set cannot be read.
        """
        return cls._written(
            temporary_files.write_dataset(dataset, column, columns, sentence_columns), settings
        )

    @classmethod
    def _written(cls, path: Path, settings: TextSettings) -> "Corpus":
        corpus = cls((str(path),), settings)
        weakref.finalize(corpus, temporary_files.remove, path)
        return corpus

    def __fspath__(self) -> str:
        """Return the path of a text that is a single file.

        Raises:
            UsageError: it has several sources.
        """
        if len(self.sources) != 1:
            raise UsageError(
                "this text has several sources", hint="give a list of their paths instead"
            )
        return self.sources[0]

    def blocks(self) -> Iterator[Block]:
        for source in sources.expand(self.sources):
            yield from read_blocks(source, self.settings, self.source_settings)


def by_group(text: Text, column: str) -> Corpus:
    """Return a text in tables whose lines are read with the group that `column` names."""
    if not isinstance(text, Corpus) or text.settings.unwrap:
        why = "the lines of other texts, and unwrapped sentences, have no rows"
        raise UsageError(keyword("group_by") + " needs the rows of a table", why)
    grouped = sources.GroupedSourceSettings(**vars(text.source_settings), group_by=column)
    return replace(text, source_settings=grouped)


class WatchedText(BlockText):
    """A text that is read once with the tokenizer of a model, for which :meth:`tell` then has
    notices: of white space that it reads, of marks glued to words that it does not know, and of
    words that blanks do not separate. groups: of each line that was read; unknown_of: the hashes of
    the unknown words of each."""

    def __init__(self, text: Text, tokenizer: Tokenizer) -> None:
        self.text = text
        self.sources, self.settings = text.sources, text.settings
        self.read_by = tokenizer
        self.odd_spaces = 0
        self.unknown: list[str] = []
        self.start: Sequence[str] = []
        self.groups: list[str | None] = []
        self.unknown_of: dict[str | None, set[int]] = {}

    def blocks(self) -> Iterator[Block]:
        for number, block in enumerate(self.text.blocks()):
            self.start = self.start or block.lines[:MOST_UNKNOWN]
            self.groups += block.groups
            if self.read_by.name != "word":
                self.odd_spaces += count_odd_spaces(block.lines)
            elif number == 0:
                lines = self.read_by.normalise(block.lines[:MOST_UNKNOWN])
                self.unknown = unknown_words(lines, self.read_by.encode(lines), self.read_by)
            if block.groups and self.read_by.name == "word":
                self._note_unknown(block)
            yield block

    def _note_unknown(self, block: Block) -> None:
        """Add the hashes of the unknown words of each group."""
        encoded = self.read_by.encode(self.read_by.normalise(block.lines))
        assert encoded.unknown_words is not None  # a tokenizer of words has them
        for place, word in zip(encoded.oov, encoded.unknown_words(), strict=True):
            group = block.groups[bisect_right(encoded.offsets, place) - 1]
            self.unknown_of.setdefault(group, set()).add(hash(word))

    def tell(self) -> None:
        """Send the notices."""
        tell_odd_spaces(self.odd_spaces, {"the model": self.read_by}, "")
        tell_glued(self.unknown, self.read_by, "the model")
        hint = "words and ppl_word count phrases, bits per character do not"
        tell_unspaced(self.start, hint)


@dataclass(frozen=True)
class TextInMemory(BlockText):
    """A text that is read again without its sources."""

    sources: tuple[str, ...]
    settings: TextSettings
    held: tuple[Block, ...]

    @classmethod
    def read(cls, text: Text, progress: Progress = silent) -> "TextInMemory":
        """Read all of `text` into memory."""
        return cls(text.sources, text.settings, tuple(watched(text.blocks(), progress)))

    def blocks(self) -> Iterator[Block]:
        yield from self.held


@keeps(Split)
class ReadSplit:
    """A text that is read block by block, in two parts. Once all of it has been read, it knows
    where the second part begins.

    Args:
        text: The text.
        share: Share of the second part, 0 to 1.
    """

    def __init__(self, text: Text, share: float) -> None:
        self.text = text
        self.share = share
        # Of the first part; 0: all of them; None: not known yet
        self.first_lines: int | None = None if share else 0

    @property
    def held_out(self) -> str:
        return f"{self.share:.0%}"

    def blocks(self) -> Iterator[Block]:
        return (block for block, is_held_out in self._parts(silent) if not is_held_out)

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        return encode_parts(self.text, self._parts(progress), tokenizer)

    def encode_once(
        self, settings: TokenizerSettings, progress: Progress = silent
    ) -> tuple[Tokenizer, EncodedText, EncodedText | None]:
        return encode_once(self.text, self._parts(progress), settings)

    def _parts(self, progress: Progress) -> Iterator[tuple[Block, bool]]:
        """Yield the blocks, each of one part alone, and whether it is held out."""
        blocks = watched(self.text.blocks(), progress)
        if self.first_lines is None:
            yield from self._parts_found(blocks)
        elif self.first_lines == 0:
            for block in blocks:
                yield block, False
        else:
            lines = 0
            for block in blocks:
                yield from _split_at(block, self.first_lines - lines)
                lines += len(block.lines)

    def _parts_found(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
        """Yield the same while looking for the place where the second part begins."""
        # Lines that may belong to either part wait.
        border = Border(self.share, self.text.settings.blank_lines == "documents")
        waiting: deque[Block] = deque()
        passed = 0  # lines that wait no more
        for block in blocks:
            waiting.append(block)
            border.read(block)
            while waiting and passed + len(waiting[0].lines) <= border.earliest():
                passed += len(waiting[0].lines)
                yield waiting.popleft(), False

        # The text has ended, so the border is known.
        self.first_lines = border.place()
        for block in waiting:
            if self.first_lines:
                yield from _split_at(block, self.first_lines - passed)
            else:
                yield block, False
            passed += len(block.lines)


def _split_at(block: Block, first_lines: int) -> Iterator[tuple[Block, bool]]:
    """Yield the lines of a block before that line, and those from it on, which are held out."""
    if 0 < first_lines < len(block.lines):
        first, second = block.split_at(first_lines)
        yield first, False
        yield second, True
    else:
        yield block, first_lines <= 0


class Border:
    """The place where the last `share` of a text begins: a line, or the document that begins
    nearest to it."""

    def __init__(self, share: float, has_documents: bool) -> None:
        self.share = share
        self.has_documents = has_documents
        self.lines = 0
        # Lines where a document begins, without those that are too early by now
        self.documents: list[int] = []

    def read(self, block: Block) -> None:
        # The first document of a text is no border.
        self.documents += filter(None, (self.lines + start for start in block.document_starts))
        self.lines += len(block.lines)

    def earliest(self) -> int:
        """Return the first line where the border can be, however the text continues."""
        wanted = self._border_by_lines()
        if not self.has_documents:
            return max(0, wanted)

        # The last document that begins before the wanted line may be the nearest, none before it.
        del self.documents[: max(0, bisect_right(self.documents, wanted) - 1)]
        return self.documents[0] if self.documents and self.documents[0] <= wanted else 0

    def place(self) -> int:
        """Return the border of a text that ends here; 0 if it has a single line or document."""
        if not self.has_documents:
            return max(0, self._border_by_lines())
        return min(
            self.documents, key=lambda start: abs(start - self._border_by_lines()), default=0
        )

    def _border_by_lines(self) -> int:
        return self.lines - max(1, round(self.lines * self.share))


def open_text(
    names: Sequence[str | Path],
    settings: TextSettings = TextSettings(),
    source_settings: SourceSettings = SourceSettings(),
) -> Text:
    """Return the text of these names: sources, which have to be there, read as the settings say, or
    one folder with a prepared text. A notice names sources that are the same text."""
    for name in names:
        form = registry.text_folder(name)
        if not form or not form.is_text:
            continue
        if len(names) > 1:
            raise UsageError(
                f"{name} is {form.noun}, which cannot be combined with other texts",
                hint="prepare all of the text into one folder",
            )
        return form.open(Path(name))
    plain = tuple(os.fspath(name) for name in names)
    sources.check_names(plain)
    warn_of_repeats(plain)
    return Corpus(plain, settings, source_settings)


def look_at(text: Text, tokenizer: Tokenizer | TokenizerSettings) -> Tokenizer | TokenizerSettings:
    """Return the tokenizer of a training text, or the settings of a new one, as its beginning,
    middle and end decide them; see :func:`judged`."""
    if text.tokenizer is not None:
        return tokenizer
    return judged(lines_of_sample(text), text.settings, tokenizer, "the tokenizer")


def lines_of_sample(text: Text) -> list[str]:
    """Return lines of a text that show what it is like."""
    if isinstance(text, Corpus):
        names = sources.expand(text.sources)
        return lines_looked_at(names, text.source_settings, text.settings.encoding_errors)
    return tokenizers.first_lines(text.blocks(), LOOKED_AT)


def tell_blank(lines: Sequence[str]) -> None:
    """Send a notice if many lines of a sample are blank, and dropped."""
    blank = [line for line in lines if line != BETWEEN and is_blank(line)]
    share = len(blank) / max(1, len(lines))
    if share > MOST_BLANK:
        notice(
            f"{share:.0%} of the lines are blank, and dropped: "
            + keyword("blank_lines", "keep")
            + " makes each a line end, as in the text"
        )


class Examples(Protocol):
    """Data of a task as they were read: lines with something beside them."""

    @property
    def content_hash(self) -> str:
        """The hash of their content, which does not depend on file and format."""


# Data that a model is evaluated on: by their names, or as they were read.
Given = str | Path | Sequence[str | Path] | Text | EncodedText | Examples
