"""Sentences of many files scored by workers elsewhere, a file each.

A task is told names of the models and of a file, and writes the scores as text to a folder that all
workers see. This process reads the sentences, too, for their numbers, hashes and signatures, and
puts the texts one after the other: they are those that it would have written itself, of n-grams to
the byte, of networks to rounding, as sentences are batched otherwise.
"""

import contextlib
import hashlib
import itertools
import os
import secrets
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rnnlm.errors import RnnlmError, RnnlmWarning, UsageError
from rnnlm.evaluation.perplexity import Signature
from rnnlm.files.writing import writing
from rnnlm.interface import LanguageModel
from rnnlm.models.elsewhere import (
    SavedModel,
    load_by_name,
    other_text,
    saved_model,
    shared_folder,
)  # fmt: skip
from rnnlm.scoring.forms import Tally, TextForm
from rnnlm.scoring.resumable_output import SentencesHash
from rnnlm.scoring.scorer import tell_unknown_given
from rnnlm.scoring.sentences import Sentence, Source, read_source
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.scoring.several_models import ModelsChunk, score_chunks_of_models
from rnnlm.text.lines import Progress, silent
from rnnlm.work import dask_cluster
from rnnlm.work.tasks import Cancelled, Team

BLOCK_BYTES = 1 << 20
UNSCORED = sys.maxsize  # skip so many sentences: they are read, and none is scored


# ---- In the process that has the terminal.


@dataclass(frozen=True)
class ScoresOfSource:
    """The scores of a source on their way into the output. sentences: of all sources so far;
    digest: over them, those of the sources one after the other. text: the scores; tally: what was
    counted of them. Both are empty where they were written before."""

    sentences: int
    digest: str
    text: Iterator[bytes]
    tally: Tally


@dataclass(frozen=True)
class Elsewhere:
    """Scoring by the workers of the Dask cluster at `address`, which all see the folder `temp`.

    reading: how sentences are read. sources: those that this process reads; their sentences pass
    through its `noted`.
    """

    address: str
    temp: str | None
    reading: SentenceSettings
    sources: "SourcesRead"

    @contextlib.contextmanager
    def workers(
        self, models: Mapping[str, LanguageModel], settings: ScoringSettings
    ) -> Iterator["Workers"]:
        """Provide the workers, who can load the models, and have a folder. Nothing is read or
        written before.

        Raises:
            UsageError: workers cannot load a model, or score files apart from each other.
            RnnlmError: there is no such cluster, or it does not share the folder.
        """
        if settings.context == "carry":
            raise UsageError(
                "files cannot be scored apart from each other",
                "the model's state goes on from one line to the next",
                "leave --context carry or --dask out",
            )
        saved = {name: saved_model(model) for name, model in models.items()}
        with dask_cluster.connected(self.address) as team, shared_folder(self.temp, team) as folder:
            yield Workers(team, folder, saved, self)


@dataclass(frozen=True)
class Workers:
    """The workers of a cluster, and what they know: a folder, and by what models are loaded."""

    team: Team
    folder: Path
    saved: Mapping[str, SavedModel]
    elsewhere: Elsewhere

    def scored(
        self,
        models: Mapping[str, LanguageModel],
        sentences: Iterator[Sentence],
        form: TextForm,
        sources_done: int = 0,
        report: Progress = silent,
    ) -> Iterator[ScoresOfSource]:
        """Yield the scores of each source, in their order. sources_done: how many of them were
        written before; they are read again, and have no text. TextError: a worker reads other
        sentences."""
        reading, sources = self.elsewhere.reading, self.elsewhere.sources
        # This process scores nothing: it checks sentences, which count in signatures and notices.
        chunks = score_chunks_of_models(models, sentences, form.settings, skip=UNSCORED)
        tasks = (
            ScoreSource(self.saved, _absolute(source), reading, form, str(self.folder))
            for source in sources.handed_out(chunks, sources_done)
        )
        found: list[TextWritten | None] = [None] * sources_done
        unknown = Counter[str]()
        index, count, digest = 0, 0, SentencesHash().hexdigest()
        for result in itertools.chain(self.team.run(ScoreSource.run, tasks), [None]):
            if result is not None:
                found.append(result)

            # Put together what is there. A task may be done before this process has read its file.
            while index < len(found) and sources.has_all_of(index):
                source, own = sources[index].source, sources[index].hash
                count += own.sentences
                digest = hashlib.sha256(f"{digest} {own.hexdigest()}".encode()).hexdigest()
                written = found[index]
                if written is None:
                    yield ScoresOfSource(count, digest, iter(()), Tally())
                elif written.hash != own.hexdigest():
                    raise other_text(source.name)
                else:
                    unknown.update(written.tally.unknown_given)
                    text = _blocks(self.folder / written.file)
                    yield ScoresOfSource(count, digest, text, written.tally)
                index += 1
            if index:
                report(f"files scored: {index:,}")

        for name, lines in unknown.items():
            tell_unknown_given(lines, name if len(models) > 1 else "the model")


def _absolute(source: Source) -> Source:
    """Return a source as workers in other folders find it."""
    target = source.target and os.path.abspath(source.target)
    return replace(source, name=os.path.abspath(source.name), target=target)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield what a worker has written, and delete it. RnnlmError: it is not there."""
    try:
        with open(path, "rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block
        path.unlink()
    except OSError as error:
        raise RnnlmError(
            "cannot read the scores that a worker has written",
            f"{path}: {error.strerror or error}",
            "the folder of --temp must be one that all workers see, and stay as it is",
        ) from None


# ---- The sources, as this process reads them.


@dataclass(frozen=True)
class _SourceRead:
    """A source, and a hash over its sentences so far."""

    source: Source
    hash: SentencesHash


class SourcesRead:
    """The sources whose sentences pass through :meth:`noted`; `begin` is told of each. signatures:
    by model, of all sentences that were read."""

    def __init__(self) -> None:
        self.signatures: Mapping[str, Signature] = {}
        self._begun: list[_SourceRead] = []
        self._is_complete = False

    def __getitem__(self, index: int) -> _SourceRead:
        return self._begun[index]

    def begin(self, source: Source) -> None:
        """Note that reading a source begins."""
        self._begun.append(_SourceRead(source, SentencesHash()))

    def noted(self, sentences: Iterator[Sentence]) -> Iterator[Sentence]:
        """Yield the sentences, noting each in its source."""
        for each in sentences:
            self._begun[-1].hash.update([each])
            yield each
        self._is_complete = True

    def has_all_of(self, index: int) -> bool:
        """Return whether all of a source was read: the next one was begun, or there is none."""
        if self._is_complete:
            return index < len(self._begun)
        return index + 1 < len(self._begun)

    def handed_out(self, chunks: Iterator[ModelsChunk], done: int) -> Iterator[Source]:
        """Read all chunks. Yield each source but the first ones, which are `done`, as soon as
        reading it has begun: all that its task needs to know is known then."""
        for chunk in chunks:
            self.signatures = chunk.signatures
            for each in self._begun[done:]:
                yield each.source
            done = max(done, len(self._begun))
        for each in self._begun[done:]:  # without sentences
            yield each.source


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

    def run(self) -> "TextWritten":
        """Score the sentences, and write the text of their scores."""
        models = load_by_name(self.models, "cpu")
        sentences_hash, tally = SentencesHash(), Tally()

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
                    sentences_hash.update(chunk.sentences)
                    tally.observe(chunk)
                    stream.write("".join(map(self.form.text, chunk)).encode("utf-8"))
        return TextWritten(name, sentences_hash.hexdigest(), tally)


@dataclass(frozen=True)
class TextWritten:
    """What a task has done: the file with the text, the hash of the sentences, and what was counted
    of their scores."""

    file: str
    hash: str
    tally: Tally
