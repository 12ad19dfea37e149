"""Score sentences with several models."""

import functools
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, NamedTuple, cast

from rnnlm.errors import RnnlmWarning, UsageError, keyword
from rnnlm.evaluation.perplexity import Signature
from rnnlm.events import never
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import NamedModel, load_all
from rnnlm.lm.base.span_scoring import reads_sources
from rnnlm.parallel import process_pool
from rnnlm.scoring.scorer import SentenceScorer, chunks_of, describe_run, lines_per_chunk
from rnnlm.scoring.sentence_scores import ChunkScores, SentenceScore, by_sentence
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.system import one_processor
from rnnlm.text.lines import Progress, prefixed, silent
from rnnlm.text.marks import UnknownWords


@dataclass(frozen=True)
class ModelsChunk:
    """Sentences that several models have read, as a sequence of their scores by model."""

    sentences: list[Sentence]
    scores: dict[str, ChunkScores]  # by model; none where the chunk was skipped
    signature: dict[str, Signature]

    def __iter__(self) -> Iterator[dict[str, SentenceScore]]:
        return by_sentence(self.scores)

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))


def score_chunks_of_models(
    models: Mapping[str, LanguageModel],
    sentences: Iterable[Sentence],
    settings: ScoringSettings = ScoringSettings(),
    skip: int = 0,
    waits: Callable[[], bool] = never,
    report: Progress = silent,
) -> Iterator[ModelsChunk]:
    """Yield the scores of `sentences` by several models, chunk by chunk. Each model reads a chunk
    before the next one is taken, so that no more than a chunk is held. A chunk ends where `waits`
    tells that the next sentence has to be waited for. `report` is called with how far a model is in
    a chunk with a long line."""
    scorers = scorers_of(models, settings, report)
    read = 0
    for part in parts_of(models, sentences, settings, skip, waits):
        read += len(part)
        chunks = {name: scorer.chunk(part, read <= skip) for name, scorer in scorers.items()}
        scores = {name: cast(ChunkScores, chunk.scores) for name, chunk in chunks.items()}
        signature = {name: chunk.signature for name, chunk in chunks.items()}
        yield ModelsChunk(part, scores, signature)
    for scorer in scorers.values():
        scorer.tell()


def parts_of(
    models: Mapping[str, LanguageModel],
    sentences: Iterable[Sentence],
    settings: ScoringSettings,
    skip: int,
    waits: Callable[[], bool] = never,
) -> Iterator[list[Sentence]]:
    """Cut `sentences` into lists that the models read together; one of them ends behind the first
    `skip`."""
    most_lines = min(lines_per_chunk(model, settings) for model in models.values())
    sentences = iter(sentences)
    yield from chunks_of(itertools.islice(sentences, skip), most_lines)
    yield from chunks_of(sentences, most_lines, waits)


def scorers_of(
    models: Mapping[str, LanguageModel], settings: ScoringSettings, report: Progress = silent
) -> dict[str, SentenceScorer]:
    """Return what scores by each model. Refuse settings that contradict a model."""
    if not models:
        raise UsageError("no model to score with", hint="name at least one")
    called = dict(zip(models, models if len(models) > 1 else ["the model"], strict=True))

    # The first model reports unseen marks for all of them, in one notice.
    unseen_by = {called[name]: model.tokenizer for name, model in models.items()}
    scorers = {}
    for name, model in models.items():
        of_model = prefixed(report, called[name])
        scorers[name] = SentenceScorer(model, settings, called[name], unseen_by, of_model)
        unseen_by = {}
    return scorers


# ---- The same in several processes.


@dataclass(frozen=True)
class ScoringSetup:
    """What all workers of a run share. write: makes the scores of sentences into what is returned
    from the worker, as scores themselves would take long to send."""

    models: tuple[NamedModel, ...]
    device: str
    settings: ScoringSettings
    write: Callable[[ModelsChunk], Any]


class WrittenChunk(NamedTuple):
    """Sentences whose scores were written. written: what `write` makes of them; None if they were
    skipped."""

    sentences: int
    written: Any
    signature: dict[str, Signature]


def written_chunks(
    models: Mapping[str, LanguageModel],
    sentences: Iterable[Sentence],
    setup: ScoringSetup,
    workers: int = 1,
    skip: int = 0,
    report: Progress = silent,
) -> Iterator[WrittenChunk]:
    """Yield the written scores of `sentences`, chunk by chunk, as :func:`score_chunks_of_models`
    yields the scores: from this process, or from several `workers`."""
    settings = setup.settings
    if workers == 1:
        for chunk in score_chunks_of_models(models, sentences, settings, skip, report=report):
            written = setup.write(chunk) if len(chunk) else None
            yield WrittenChunk(len(chunk), written, chunk.signature)
        return
    if settings.context == "carry":
        raise UsageError(
            "sentences that are one stream cannot be scored side by side",
            "context is carry",
            "leave out " + keyword("workers"),
        )
    scorers = scorers_of(models, settings)

    def tasks() -> Iterator[tuple[list[tuple], dict[str, Signature]]]:
        read = 0
        for part in parts_of(models, sentences, settings, skip):
            read += len(part)
            signature = {name: scorer.pass_over(part) for name, scorer in scorers.items()}
            if read > skip:
                # Columns are sent faster than sentences.
                yield list(zip(*map(_FIELDS, part), strict=True)), signature

    with process_pool(workers) as pool:
        for done in pool.run(functools.partial(_written, setup), tasks(), "in turn"):
            if done is None:
                continue
            (columns, signature), (written, unknown) = done
            for scorer, of_model in zip(scorers.values(), unknown, strict=True):
                scorer.add_unknown(*of_model)
            yield WrittenChunk(len(columns[0]), written, signature)

    # Sentences at the end may have been skipped.
    yield WrittenChunk(0, None, {name: scorer.pass_over([]) for name, scorer in scorers.items()})
    for scorer in scorers.values():
        scorer.tell()


_FIELDS = attrgetter(*(field.name for field in fields(Sentence)))


def _written(
    setup: ScoringSetup, task: tuple[list[tuple], dict[str, Signature]]
) -> tuple[Any, list[tuple[dict[str, None], UnknownWords]]]:
    """In a worker: score sentences, and return what is written, and the unknown words by model."""
    columns, signature = task
    part = list(map(Sentence, *columns))
    # The parent gives the same notices.
    ignored = warnings.catch_warnings(action="ignore", category=RnnlmWarning)
    with ignored, one_processor():
        scorers = _scorers_here(setup.models, setup.device, setup.settings)
        scores = {name: scorer.scores(part) for name, scorer in scorers.items()}
        written = setup.write(ModelsChunk(part, scores, signature))
    return written, [scorer.take_unknown() for scorer in scorers.values()]


@functools.lru_cache(maxsize=1)
def _scorers_here(
    models: tuple[NamedModel, ...], device: str, settings: ScoringSettings
) -> dict[str, SentenceScorer]:
    loaded = load_all(models, device)
    return scorers_of({of.label: model for of, model in zip(models, loaded, strict=True)}, settings)


def reading_for(
    models: Mapping[str, LanguageModel], settings: SentenceSettings, targets: Sequence[str]
) -> SentenceSettings:
    """Return how sentences are read for these models: as targets of their sources, in tables of
    pairs where no source or file of targets is named, if one of the models reads sources."""
    named = {
        "given_source": settings.given_source is not None,
        "target_column": settings.target_column is not None,
        "targets": bool(targets),
    }
    if any(map(reads_sources, models.values())):
        return replace(settings, are_pairs=not named["given_source"] and not targets)
    for name, is_named in named.items():
        if is_named:
            raise UsageError(
                f"{next(iter(models))} is a language model, which reads no source",
                "it gives probabilities of the sentences alone",
                "leave " + keyword(name) + " out, or name an encoder-decoder",
            )
    return settings


def describe_run_of_models(
    models: Mapping[str, LanguageModel], settings: ScoringSettings
) -> dict[str, str]:
    """Return the identity of a run of scoring, by name: for one model,
    :func:`rnnlm.scoring.scorer.describe_run`; for several, the facts they share, and each one's own
    facts with its name after them."""
    runs = {name: describe_run(model, settings) for name, model in models.items()}
    first = next(iter(runs.values()))
    if len(models) == 1:
        return first
    # Facts that all runs share are shown once.
    shared = [key for key in first if len({run[key] for run in runs.values()}) == 1]
    described = {"models": ", ".join(models), **{key: first[key] for key in shared}}
    return described | {
        f"{key}.{name}": value
        for name, run in runs.items()
        for key, value in run.items()
        if key not in described
    }
