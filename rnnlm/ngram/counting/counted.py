"""Counts and what they are of, wherever they come from: a text, a folder of counts, or several."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rnnlm.errors import UsageError, notice
from rnnlm.files.writing import writing
from rnnlm.interface import Tokenizer
from rnnlm.ngram.counting import counts_folder
from rnnlm.ngram.counting.beyond_memory import Progress as Phase
from rnnlm.ngram.counting.beyond_memory import merge
from rnnlm.ngram.counting.counts_folder import Counts, Source
from rnnlm.ngram.counting.levels import Level
from rnnlm.ngram.counting.room import clean_up, count_in, room_for
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus, Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, silent, watched
from rnnlm.text.on_disk import on_disk
from rnnlm.text.tokenizer_settings import TokenizerSettings

MERGING_MEMORY = "1G"  # unless another limit is given


@dataclass(frozen=True)
class Counted:
    """Counts up to `order`, one level after the other, and what they are of."""

    levels: Iterator[Level]
    order: int
    source: Source
    tokenizer: Tokenizer


@dataclass(frozen=True)
class CountedText:
    """A text of which there are only counts."""

    counts: Counts

    @property
    def lines_hash(self) -> str:
        return self.counts.hash

    @property
    def tokens(self) -> int:
        return self.counts.index.source.tokens

    @property
    def words(self) -> int:
        return self.counts.index.source.words

    @property
    def sentences(self) -> int:
        return self.counts.index.source.lines


@dataclass(frozen=True)
class CountedData:
    """Counts in place of a training text, with a text for validation."""

    counts: Counts
    valid: EncodedText | None = None

    @property
    def folder(self) -> Path:
        return self.counts.folder

    @property
    def tokenizer(self) -> Tokenizer:
        return self.counts.tokenizer

    @property
    def text_settings(self) -> TextSettings:
        return self.counts.text_settings

    @property
    def train(self) -> CountedText:
        return CountedText(self.counts)

    def with_valid(self, valid: EncodedText | None) -> "CountedData":
        return replace(self, valid=valid)


@contextlib.contextmanager
def of_text(
    text: Text,
    tokenizer: Tokenizer | TokenizerSettings,
    order: int,
    memory: str | None = None,
    temp: str | None = None,
    report: Progress = silent,
) -> Iterator[Counted]:
    """Provide the counts of a text, in as much `memory` as is allowed. temp: the folder for what
    does not fit, from where an interrupted count goes on; it is cleaned up in the end.

    tokenizer: an existing one, or settings to make one from the text.
    """
    if memory is not None and isinstance(text, Corpus):
        text = on_disk(text, tokenizer, memory, temp, 0.0, report)
    tokenizer = text.tokenizer or tokenizer
    if isinstance(tokenizer, TokenizerSettings):
        tokenizer = tokenizers.train(tokenizer, watched(text.blocks(), report))
    encoded, _ = text.split(0.0).encode(tokenizer, report)
    source = Source.of(encoded, text.settings)
    with room_for(memory, temp, None, tokenizer.size) as room:
        steps = count_in(room, encoded.ids, tokenizer, order, {"order": order})
        yield Counted(_reported(steps, report), order, source, tokenizer)
    if memory is not None and temp is not None:
        clean_up(Path(temp))


@contextlib.contextmanager
def of_folders(
    folders: Sequence[str],
    order: int | None = None,
    memory: str | None = None,
    temp: str | None = None,
    report: Progress = silent,
) -> Iterator[Counted]:
    """Provide the counts in one folder up to `order` (None: all), or the sums over several, in
    bounded memory."""
    several = [counts_folder.load(folder) for folder in folders]
    places = [os.path.realpath(folder) for folder in folders]
    if len(set(places)) < len(places):
        notice("a folder of counts is given more than once, and added each time")
    for each in several:
        each.check()
    counts_folder.check_alike(several)
    first = several[0]
    order = within(first, order)
    source = first.index.source
    for other in several[1:]:
        source = source.with_other(other.index.source)
    if len(several) == 1:
        yield Counted(iter(first.levels(order)), order, source, first.tokenizer)
        return
    size = first.index.vocabulary_size
    with _folder_in(temp) as folder, room_for(memory or MERGING_MEMORY, folder, None, size) as room:
        assert room.store is not None
        steps = merge(_Folders(several), order, room.store, room.workspace)
        yield Counted(_reported(steps, report), order, source, first.tokenizer)


@contextlib.contextmanager
def _folder_in(temp: str | None) -> Iterator[str | None]:
    """Provide a folder within `temp`, which is deleted in the end; None: the system's place."""
    if temp is None:
        yield None
        return
    with writing(Path(temp)):
        Path(temp).mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="rnnlm-", dir=temp)
    with folder as name:
        yield name


def within(counts: Counts, order: int | None) -> int:
    """Return `order`, or, for None, that of the counts; refuse a higher one."""
    own = counts.index.order
    if order is not None and order > own:
        raise UsageError(
            f"order = {order} is more than there is in {counts.folder}",
            f"its n-grams go up to order {own}",
            f"use --order {own}, or count the text again",
        )
    return order or own


class _Folders:
    """Counts in folders, as they are merged."""

    def __init__(self, several: Sequence[Counts]) -> None:
        self.several = several

    def of_order(self, n: int) -> list[Level | None]:
        return [each.level(n) for each in self.several]

    def forget(self, n: int) -> None:
        """Keep all of them: they are the user's."""


def _reported(steps: Iterable[Phase | Level], report: Progress) -> Iterator[Level]:
    """Yield the levels, and report each, and how far the work is."""
    orders = 0
    for step in steps:
        if isinstance(step, Phase):
            report(f"{step.phase}: {step.share:.0%}")
            continue
        orders += 1
        report(f"order {orders}: {len(step):,} n-grams")
        yield step
