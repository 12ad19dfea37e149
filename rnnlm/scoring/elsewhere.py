"""Sentences of many files scored by workers elsewhere, a file each.

A task is told names of the models and of a file, and writes the scores as text to a folder that all
workers see. This process reads the sentences, too, for their numbers, hashes and signatures, and
puts the texts one after the other: they are those that it would have written itself, of n-grams to
the byte, of networks to rounding, as sentences are batched otherwise.
"""

import hashlib
import itertools
import os
import secrets
import sys
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.evaluation.perplexity import Signature
from rnnlm.files.writing import writing
from rnnlm.interface import LanguageModel
from rnnlm.models.elsewhere import SavedModel, other_text, saved_model, shared_folder
from rnnlm.scoring.forms import Tally, TextForm
from rnnlm.scoring.resumable_output import SentencesHash
from rnnlm.scoring.scorer import tell_unknown_given
from rnnlm.scoring.sentences import Sentence, Source, read_source
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.scoring.several_models import ModelsChunk, score_chunks_of_models
from rnnlm.text.lines import Progress, silent
from rnnlm.work import dask_cluster
from rnnlm.work.tasks import Cancelled

BLOCK_BYTES = 1 << 20
ALL = sys.maxsize  # sentences that this process reads without scoring them


# ---- In a worker.


@dataclass(frozen=True)
class ScoreSource:
    """The task to score the sentences of one source. folder: for the text; it is there as long as
    anybody waits for it."""

    models: Mapping[str, SavedModel]
    source: Source
    reading: SentenceSettings
    form: TextForm
    folder: str

    def run(self) -> "ScoredSource":
        """Score the sentences, and write the text of their scores."""
        models = {name: saved.load("cpu") for name, saved in self.models.items()}
        hash, tally = SentencesHash(), Tally()

        # The text has a new name: a task that runs twice changes nothing. What there is to notice,
        # the process that has the terminal notices itself.
        name = f"{secrets.token_hex(8)}.txt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RnnlmWarning)
            sentences = read_source(self.source, self.reading)
            chunks = score_chunks_of_models(models, sentences, self.form.settings)
            with writing(Path(self.folder)), open(Path(self.folder) / name, "xb") as stream:
                for chunk in chunks:
                    if not os.path.isdir(self.folder):
                        raise Cancelled(f"nobody waits for {self.source.name} any more")
                    hash.update(chunk.sentences)
                    tally.observe(chunk)
                    stream.write("".join(map(self.form.text, chunk)).encode("utf-8"))
        return ScoredSource(name, hash.sentences, hash.hexdigest(), tally)


@dataclass(frozen=True)
class ScoredSource:
    """What a task has found: the file with the text, how many sentences there were, their hash, and
    what was counted of them."""

    file: str
    sentences: int
    hash: str
    tally: Tally


# ---- In the process that has the terminal.


@dataclass(frozen=True)
class _Read:
    """A source as this process reads it: its sentences so far."""

    source: Source
    hash: SentencesHash


class SourcesRead:
    """The sources whose sentences pass through :meth:`noted`; `begin` is told of each. signatures:
    by model, of all sentences that were handed out."""

    def __init__(self) -> None:
        self._read: list[_Read] = []
        self._is_complete = False
        self.signatures: Mapping[str, Signature] = {}

    def __len__(self) -> int:
        return len(self._read)

    def __getitem__(self, index: int) -> _Read:
        return self._read[index]

    def begin(self, source: Source) -> None:
        """Note that reading a source begins."""
        self._read.append(_Read(source, SentencesHash()))

    def noted(self, sentences: Iterator[Sentence]) -> Iterator[Sentence]:
        """Yield the sentences, noting each in its source."""
        for each in sentences:
            self._read[-1].hash.update([each])
            yield each
        self._is_complete = True

    def has_all_of(self, index: int) -> bool:
        """Return whether all of a source was read."""
        return index < len(self._read) - (not self._is_complete)

    def begun(self, chunks: Iterator[ModelsChunk], done: int) -> Iterator[Source]:
        """Read all chunks. Yield each source but the first ones, which are `done`, as soon as
        reading it has begun: all that its task needs to know is known then."""
        for chunk in chunks:
            self.signatures = chunk.signatures
            for each in self._read[done:]:
                yield each.source
            done = max(done, len(self._read))
        for each in self._read[done:]:  # without sentences
            yield each.source


@dataclass(frozen=True)
class ScoredText:
    """The scores of a source. sentences: of all sources so far; hash: over them. text: its parts,
    and tally: what was counted, both empty where they were written before."""

    sentences: int
    hash: str
    text: Iterator[bytes]
    tally: Tally


@dataclass(frozen=True)
class Elsewhere:
    """Scoring by the workers of the Dask cluster at `address`, which all see the folder `temp`.

    reading: how sentences are read. read: notes of them as this process reads them: they pass
    through it on their way to :meth:`scored`.
    """

    address: str
    temp: str | None
    reading: SentenceSettings
    read: SourcesRead

    def scored(
        self,
        models: Mapping[str, LanguageModel],
        sentences: Iterator[Sentence],
        form: TextForm,
        done: int = 0,
        report: Progress = silent,
    ) -> Iterator[ScoredText]:
        """Yield the scores of each source, in their order. done: how many were written before; they
        are read again, and have no text.

        Raises:
            UsageError: workers cannot load a model, or score files apart from each other.
            TextError: a worker reads other sentences.
        """
        if form.settings.context == "carry":
            raise UsageError(
                "files cannot be scored apart from each other",
                "the model's state goes on from one line to the next",
                "leave --context carry or --dask out",
            )
        saved = {name: saved_model(model) for name, model in models.items()}
        # Nothing is scored here: sentences are checked, and count in signatures and notices.
        chunks = score_chunks_of_models(models, sentences, form.settings, skip=ALL)
        with dask_cluster.connected(self.address) as team, shared_folder(self.temp, team) as folder:
            tasks = (
                ScoreSource(saved, _absolute(source), self.reading, form, str(folder))
                for source in self.read.begun(chunks, done)
            )
            results = team.run(ScoreSource.run, tasks)
            unknown = yield from self._joined(results, folder, done, report)

        for name, lines in unknown.items():
            tell_unknown_given(lines, name if len(models) > 1 else "the model")

    def _joined(
        self, results: Iterator[ScoredSource | None], folder: Path, done: int, report: Progress
    ) -> Generator[ScoredText, None, Counter[str]]:
        """Yield what the tasks have found, in the order of the sources. Return how many lines have
        unknown words in the given text, by model."""
        found: list[ScoredSource | None] = [None] * done
        unknown = Counter[str]()
        index, sentences, digest = 0, 0, SentencesHash().hexdigest()
        for result in itertools.chain(results, [None]):
            if result is not None:
                found.append(result)

            # A task may be done before this process has read its source.
            while index < len(found) and self.read.has_all_of(index):
                source, own = self.read[index].source, self.read[index].hash
                sentences += own.sentences
                digest = hashlib.sha256(f"{digest} {own.hexdigest()}".encode()).hexdigest()
                scored = found[index]
                if scored is None:
                    yield ScoredText(sentences, digest, iter(()), Tally())
                else:
                    # A worker that sees another file under this name would give its scores.
                    if scored.hash != own.hexdigest():
                        raise other_text(source.name)
                    unknown.update(scored.tally.unknown_given)
                    text = _blocks(folder / scored.file)
                    yield ScoredText(sentences, digest, text, scored.tally)
                index += 1
            if index:
                report(f"{index:,} files scored")
        return unknown


def _absolute(source: Source) -> Source:
    """Return a source as workers in other folders find it."""
    target = source.target and os.path.abspath(source.target)
    return replace(source, name=os.path.abspath(source.name), target=target)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, and delete it."""
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block
    path.unlink()
