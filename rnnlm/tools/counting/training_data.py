"""Bring a text to the fit of an n-gram model in little memory or by workers, or its counts in place
of it."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rnnlm import system
from rnnlm.config import ResolvedSettings
from rnnlm.errors import UsageError, keyword
from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.counting.count_trie import CountingProgress, Level
from rnnlm.lm.ngram.counting.workspace import Workspace, memory_for_arrays
from rnnlm.lm.ngram.fitting import (
    TextCount,
    counting_in_memory,
    pruning_thresholds,
    watched_position,
)
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText, TrainingData, known_ids
from rnnlm.text.lines import Progress
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.counting import counts_folder, memory_limit, plan as plans
from rnnlm.tools.counting.beyond_memory import Packing
from rnnlm.tools.counting.counted_data import CountedData, CountedText, text_to_count, within
from rnnlm.tools.counting.workers import WorkerOptions


def check(resolved: ResolvedSettings) -> None:
    """Make sure that the settings of memory and workers can be followed."""
    settings = resolved.make(NgramSettings)
    if settings.memory is not None:
        system.parse_size(settings.memory)
    _workers(settings).check(settings.temp)
    if settings.quantize and memory_of(settings) is not None:
        raise UsageError(
            "quantize cannot be combined with a memory limit",
            "backoff weights are computed again with all n-grams in memory",
            "train without it, and quantise the model afterwards",
        )


def text_to_read(
    text: Text,
    tokenizer: Tokenizer | None,
    share: float,
    resolved: ResolvedSettings,
    progress: Progress,
) -> Text:
    """Return a training text on disk, where it does not fit in memory or workers are to read it;
    else as it is."""
    settings = resolved.make(NgramSettings)
    return text_to_count(
        text=text,
        tokenizer=tokenizer or resolved.make(TokenizerSettings),
        memory=settings.memory,
        temp=settings.temp,
        share=share,
        workers=_workers(settings),
        report=progress,
    )


def open_counts(folder: str, resolved: ResolvedSettings) -> tuple[CountedData, ResolvedSettings]:
    """Open the counts in `folder`. Return them, and the settings with their order unless a lower
    one was requested."""
    counts = counts_folder.load(folder)
    counts.check()
    if resolved.values["discounts"] == "lmplz":
        raise UsageError(
            "discounts = lmplz cannot be combined with " + keyword("counts"),
            "it needs the order of the lines, which counts do not hold",
            "leave discounts out, or train on the text itself",
        )
    requested_order = resolved.values["order"] if resolved.is_requested("order") else None
    order = within(counts, requested_order)
    if requested_order is None:
        resolved = resolved.with_layer(f"folder of counts {folder}", {"order": order})
    return CountedData(counts), resolved


def memory_of(settings: NgramSettings) -> str | None:
    """Return how much memory the work may take; None: as much as it needs."""
    return _workers(settings).memory(settings.memory)


def _workers(settings: NgramSettings) -> WorkerOptions:
    return WorkerOptions(settings.workers, settings.dask)


def _joined(counts: Iterable[Level]) -> Iterator[Level]:
    """Yield the levels with all arrays in memory."""
    for level in counts:
        yield Level(
            level.size,
            np.asarray(level.keys_M),
            np.asarray(level.suffixes_M),
            np.asarray(level.counts_M),
            level.after_start,
            level.watched,
        )


def _counted_by(settings: NgramSettings) -> dict[str, Any]:
    """Return the settings that must be the same for an interrupted count to resume."""
    means = ("threads", "memory", "temp", "workers", "dask", "quantize")
    values = asdict(settings)
    return {name: value for name, value in values.items() if name not in means}


@dataclass(frozen=True)
class DataToCount:
    """The data of a run, and how it counts them. The attributes are those of the data."""

    data: TrainingData | CountedData
    resolved: ResolvedSettings

    @property
    def settings(self) -> NgramSettings:
        return self.resolved.make(NgramSettings)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.data.tokenizer

    @property
    def train(self) -> EncodedText | CountedText:
        return self.data.train

    @property
    def valid(self) -> EncodedText | None:
        return self.data.valid

    @contextlib.contextmanager
    def counting(self) -> Iterator[TextCount]:
        """Provide the count, with workers if any are requested."""
        settings, tokenizer, memory = self.settings, self.tokenizer, memory_of(self.settings)
        is_counted = isinstance(self.data, CountedData)
        # Finished counts need no workers.
        workers = WorkerOptions() if is_counted else _workers(settings)
        identity = memory_limit.identity_of(_counted_by(settings), tokenizer)
        with (
            workers.connected() as pool,
            memory_limit.counting_setup(
                memory, settings.temp, settings.threads, tokenizer.size, identity, pool
            ) as setup,
        ):
            if isinstance(self.data, TrainingData) and memory is None:
                yield counting_in_memory(settings, self.data)
            else:
                yield TextCount(self._steps(setup), setup.workspace)

    def _steps(self, setup: memory_limit.CountingSetup) -> Iterator[CountingProgress | Level]:
        """Count, order by order, unless that is done already."""
        settings, tokenizer = self.settings, self.tokenizer
        if isinstance(self.data, CountedData):
            levels = self.data.counts.levels(settings.order)
            return _joined(levels) if setup.store is None else iter(levels)

        def watch(ids: memory_limit.Ids, shards: Sequence[tuple[int, int]]) -> int:
            return watched_position(settings, tokenizer, ids, shards)

        return memory_limit.count_in(
            setup=setup,
            text=self.data.train,
            tokenizer=tokenizer,
            order=settings.order,
            identity=_counted_by(settings),
            watch=watch,
            thresholds=pruning_thresholds(settings.prune, settings.order),
        )

    def sizes(self) -> dict[str, int]:
        """Return how much disk the work will take for a while, and the model, in bytes."""
        # The workspace that the run would have.
        settings, tokenizer = self.settings, self.tokenizer
        allowed, memory = None, memory_of(settings)
        if memory is not None:
            allowed = memory_for_arrays(memory, tokenizer.size)
        workspace = Workspace(allowed, settings.threads)
        thresholds = pruning_thresholds(settings.prune, settings.order)

        # Counts in a folder are known; the counts of a text are estimated from a sample.
        if isinstance(self.data, CountedData):
            plan = plans.of_counts(list(self.data.counts.levels(settings.order)), thresholds)
        else:
            ids: memory_limit.Ids = self.data.train.ids
            if not isinstance(ids, ChunkedArray):
                ids = known_ids(ids, tokenizer)
            columns = Packing(tokenizer.size, settings.order).columns
            shape = (tokenizer.boundary_id, settings.order, columns)
            plan = plans.make(ids, *shape, {}, workspace, thresholds)

        # Without a memory limit nothing goes to disk.
        needed = max(plan.bytes_counting(workspace), plan.bytes_estimating(workspace))
        if isinstance(self.data.train, EncodedText) and self.data.train.files is not None:
            needed += self.data.train.files.bytes()
        temporary = 0 if memory is None else needed
        return {
            "temporary_bytes": temporary,
            "model_bytes": plan.bytes_of_model(tokenizer.size, settings.quantize),
        }

    def release(self) -> None:
        """Delete the files that counting has left in the folder that the settings name: its model
        is saved."""
        settings = self.settings
        # Counts that were there already, and a count in memory, have left nothing.
        if isinstance(self.data, CountedData):
            return
        if settings.temp is not None and memory_of(settings) is not None:
            # A run that had already ended has read its text again, which is not needed.
            self.data.train.release(self.data.train.tokens)
            identity = memory_limit.identity_of(_counted_by(settings), self.tokenizer)
            memory_limit.clean_up(settings.temp, identity)
