"""Sentences scored by several models."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnnlm.checks import items_of, several
from rnnlm.errors import UsageError
from rnnlm.evaluation.comparison.pairing import names_of
from rnnlm.evaluation.perplexity import Signature
from rnnlm.events import never
from rnnlm.interface import LanguageModel
from rnnlm.models.loading import ScoringModel, scoring_model_of
from rnnlm.scoring.records import SentenceScore
from rnnlm.scoring.scorer import Chunk, cut, describe_run, lines_per_chunk, score_lists
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings

NamedModels = Mapping[str, ScoringModel]


@dataclass(frozen=True)
class ModelsChunk:
    """The scores of the same sentences by several models: one dict from model to score for each
    sentence; none where the chunk was skipped."""

    chunks: Mapping[str, Chunk]

    @property
    def sentences(self) -> list[Sentence]:
        return next(iter(self.chunks.values())).sentences

    @property
    def signatures(self) -> dict[str, Signature]:
        """By model, what all its scores so far were measured on, and how."""
        return {name: chunk.signature for name, chunk in self.chunks.items()}

    def __iter__(self) -> Iterator[dict[str, SentenceScore]]:
        for scores in zip(*self.chunks.values(), strict=True):
            yield dict(zip(self.chunks, scores, strict=True))

    def __len__(self) -> int:
        return len(next(iter(self.chunks.values())))


def score_models(
    models: NamedModels | Sequence[ScoringModel], sentences: Iterable[str | Sentence],
    settings: ScoringSettings = ScoringSettings(), *, device: str = "auto",
) -> Iterator[dict[str, SentenceScore]]:  # fmt: skip
    """Yield the scores of each of `sentences`, in their order, by the names of the models.
    Sentences are read once, a few thousand at a time.

    models: models, or their folders or names (opened on `device`), with the names that the scores
    are to have; without names, a folder is called by its last part, or by as many as tell it from
    the others, a model in memory "model 1", "model 2" and so on. settings: what is scored; see
    :class:`rnnlm.ScoringSettings`. Encoder-decoders need a :class:`rnnlm.Sentence` with its
    `source` for each sentence; language models beside them score the sentence alone.

    Raises:
        TypeError: `models` is one name, or `sentences` one text. UsageError: there is no model, or
            the settings contradict each other or a model. ModelError: a model is missing or
            damaged, or its scores are not numbers. TextError: as :func:`rnnlm.score_sentences`,
            while iterating.
    """
    if not isinstance(models, Mapping):
        given = several(models, "models")
        models = dict(zip(names_of(given, None), given, strict=True))
    opened = {name: scoring_model_of(model, device) for name, model in models.items()}
    each = (
        Sentence(one, number) if isinstance(one, str) else one
        for number, one in enumerate(items_of(sentences, (str, Sentence), "sentences"), start=1)
    )
    chunks = score_chunks_of_models(opened, each, settings)
    return itertools.chain.from_iterable(chunks)


def score_chunks_of_models(
    models: Mapping[str, LanguageModel],
    sentences: Iterable[Sentence],
    settings: ScoringSettings = ScoringSettings(),
    skip: int = 0,
    waits: Callable[[], bool] = never,
) -> Iterator[ModelsChunk]:
    """Yield the scores of `sentences` by several models, chunk by chunk. Each model reads a chunk
    before the next one is taken, so that no more than a chunk is held. waits: whether the next
    sentence has to be waited for, before which a chunk ends."""
    if not models:
        raise UsageError("no model to score with", hint="name at least one")
    most_lines = min(lines_per_chunk(model, settings) for model in models.values())
    branches = itertools.tee(cut(sentences, most_lines, waits), len(models))
    names = list(models) if len(models) > 1 else ["the model"]

    # The first model tells of unseen marks for all of them, in one notice.
    tokenizers = [model.tokenizer for model in models.values()]
    unseen_by = dict(zip(names, tokenizers, strict=True))
    read = []
    for name, model, branch in zip(names, models.values(), branches, strict=True):
        read.append(score_lists(model, branch, settings, skip, name, unseen_by))
        unseen_by = {}
    return (
        ModelsChunk(dict(zip(models, chunks, strict=True))) for chunks in zip(*read, strict=True)
    )


def describe_run_of_models(
    models: Mapping[str, LanguageModel], settings: ScoringSettings
) -> dict[str, str]:
    """Return what makes a run of scoring, by name: of one model,
    :func:`rnnlm.scoring.scorer.describe_run`; of several, what they share, and what is each one's
    own with its name after it."""
    runs = {name: describe_run(model, settings) for name, model in models.items()}
    first = next(iter(runs.values()))
    if len(models) == 1:
        return first
    # What all runs share is said once.
    described = {"models": ", ".join(models)}
    own: dict[str, str] = {}
    shared = [key for key in first if len({run[key] for run in runs.values()}) == 1]
    described.update({key: first[key] for key in shared})
    for name, run in runs.items():
        for key, value in run.items():
            if key not in described:
                own[f"{key}.{name}"] = value
    return described | own
