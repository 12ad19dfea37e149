"""Score sentences with several models."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rnnlm.errors import UsageError, keyword
from rnnlm.evaluation.perplexity import Signature
from rnnlm.events import never
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.span_scoring import reads_sources
from rnnlm.scoring.scorer import (
    ModelChunk,
    SentenceScorer,
    chunks_of,
    describe_run,
    lines_per_chunk,
)
from rnnlm.scoring.sentence_scores import ChunkScores, SentenceScore
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings, SentenceSettings
from rnnlm.text.lines import Progress, prefixed, silent


@dataclass(frozen=True)
class ModelsChunk:
    """Sentences that several models have read, as a sequence of their scores by model."""

    sentences: list[Sentence]
    scores: dict[str, ChunkScores]  # by model; none where the chunk was skipped
    signature: dict[str, Signature]

    def __iter__(self) -> Iterator[dict[str, SentenceScore]]:
        for scores in zip(*self.scores.values(), strict=True):
            yield dict(zip(self.scores, scores, strict=True))

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
    if not models:
        raise UsageError("no model to score with", hint="name at least one")
    most_lines = min(lines_per_chunk(model, settings) for model in models.values())
    branches = itertools.tee(chunks_of(sentences, most_lines, waits), len(models))
    names = list(models) if len(models) > 1 else ["the model"]

    # The first model reports unseen marks for all of them, in one notice.
    called = zip(names, models.values(), strict=True)
    unseen_by = {name: model.tokenizer for name, model in called}
    read = []
    for name, model, branch in zip(names, models.values(), branches, strict=True):
        scorer = SentenceScorer(model, settings, name, unseen_by, prefixed(report, name))
        read.append(scorer.chunks(branch, skip))
        unseen_by = {}
    return (_by_model(list(models), chunks) for chunks in zip(*read, strict=True))


def _by_model(names: list[str], chunks: Sequence[ModelChunk]) -> ModelsChunk:
    """Join the scores of several models for the same sentences."""
    return ModelsChunk(
        sentences=chunks[0].sentences,
        scores={name: chunk.scores for name, chunk in zip(names, chunks, strict=True)},
        signature={name: chunk.signature for name, chunk in zip(names, chunks, strict=True)},
    )


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
