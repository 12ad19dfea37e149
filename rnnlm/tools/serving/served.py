"""Models that answer requests: sentences of several requests are scored together.

Sentences that wait are scored in one call: alone in its call, a request gives the numbers of the
command line to the digit, with others the same numbers up to the rounding of larger batches. A
network scores in its own thread; n-gram models, which take microseconds a word, between two turns
of the event loop. Larger requests are computed by the threads of work.py.
"""

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from rnnlm import registry
from rnnlm.errors import nearest
from rnnlm.evaluation.metrics import stored_evaluations
from rnnlm.interface import LanguageModel, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.scoring.scorer import ModelChunk, Scorers, SentenceScorer
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.storage.manifest import read_manifest
from rnnlm.tools.serving import costs, work
from rnnlm.tools.serving.line_inspection import inspections_of
from rnnlm.tools.serving.metrics import Metrics
from rnnlm.tools.serving.responses import Refusal
from rnnlm.tools.serving.schemas import ModelRecord

Result = TypeVar("Result")

# Limits of one call: a larger one would only make the next clients wait.
SENTENCES_AT_ONCE = costs.FEW_TEXTS
CHARACTERS_AT_ONCE = 2 * costs.FEW_CHARACTERS
SMALL_WORK_AT_ONCE = 1
LONG_WORK_AT_ONCE = 2
COMMANDS = ("score", "generate", "rescore", "tag", "classify", "translate")

# ---- Requests that wait for a thread.


@dataclass(eq=False)
class _Scoring:
    """Sentences that wait to be scored."""

    sentences: list[Sentence]
    settings: ScoringSettings
    done: "asyncio.Future[ModelChunk]"
    characters: int
    client: str


@dataclass
class _Waiting:
    """The requests that wait to be scored by a model, by client; the client who is next comes
    first."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    by_client: dict[str, deque[_Scoring]] = field(default_factory=dict)
    is_closed: bool = False  # nothing is added any more

    def add(self, scoring: _Scoring) -> None:
        """Have sentences wait, and wake the thread that scores them."""
        with self.changed:
            self.by_client.setdefault(scoring.client, deque()).append(scoring)
            self.changed.notify()

    def take(self) -> list[_Scoring]:
        """Wait until there is something to score, and take the requests of the next call: none
        once nothing more will come."""
        with self.changed:
            while not self.by_client and not self.is_closed:
                self.changed.wait()
            return self.take_some()

    def close(self) -> None:
        """End the wait for more."""
        with self.changed:
            self.is_closed = True
            self.changed.notify()

    def count(self) -> int:
        """Return how many requests wait."""
        with self.changed:
            return sum(map(len, self.by_client.values()))

    def take_some(self) -> list[_Scoring]:
        """Take requests that go together: one of each client in turn, until no more fits."""
        batch = _Batch()
        served: dict[str, None] = {}  # clients
        is_full = False
        while not is_full:
            is_full = True
            for client, scorings in self.by_client.items():
                fitting = next(filter(batch.fits, scorings), None)
                if fitting is not None:
                    scorings.remove(fitting)
                    batch.add(fitting)
                    served[client] = None
                    is_full = False
        # The clients who were served come last next time.
        for client in served:
            scorings = self.by_client.pop(client)
            if scorings:
                self.by_client[client] = scorings
        return batch.scorings


@dataclass
class _Batch:
    """The requests that are scored in one call."""

    scorings: list[_Scoring] = field(default_factory=list)
    sentences: int = 0
    characters: int = 0

    def fits(self, scoring: _Scoring) -> bool:
        """Return whether more sentences go into this call."""
        if not self.scorings:
            return True
        return (
            self.sentences + len(scoring.sentences) <= SENTENCES_AT_ONCE
            and self.characters + scoring.characters <= CHARACTERS_AT_ONCE
            and scoring.settings == self.scorings[0].settings
        )

    def add(self, scoring: _Scoring) -> None:
        self.scorings.append(scoring)
        self.sentences += len(scoring.sentences)
        self.characters += scoring.characters


class Threads:
    """The threads that all models share, however many they are: processors are few."""

    def __init__(self) -> None:
        self.small = work.FairScheduler(SMALL_WORK_AT_ONCE)
        self.long = work.FairScheduler(LONG_WORK_AT_ONCE)

        self.loading = work.FairScheduler(1)  # of models, beside those that answer


class ServedModel:
    """A loaded model, its name, and its waiting requests.

    core: the model itself. scoring: the object that gives probabilities of lines, if there is one:
    the model itself, or its decoder.
    """

    def __init__(
        self,
        name: str,
        core: LanguageModel | registry.LabelModel,
        threads: Threads | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.name = name
        self.core = core
        self.task = registry.task(loading.task_of(core))
        is_scoring = "score" in self.task.commands
        self.scoring = loading.scoring_model_of(core) if is_scoring else None
        self._scorers = Scorers(self.scoring) if self.scoring else None
        self.record = record_of(name, core)

        # The tokenizer of the texts that a model reads; models of other tasks have it in their
        # codec.
        found: Any = core.tokenizer
        for attribute in ("tokenizer", "source"):
            found = getattr(found, attribute, found)
        self.tokenizer = cast(Tokenizer, found)

        self.longest_symbol = max(map(len, self.tokenizer.symbols()))
        self._is_quick = isinstance(core, NgramModel)
        self._waiting, self._soon = _Waiting(), _Waiting()
        self.threads = threads or Threads()
        self._metrics = metrics
        threading.Thread(target=self._compute, name=f"model {name}", daemon=True).start()

    # ---- Requests of endpoints, in the thread of the event loop.

    async def score(self, sentences: list[Sentence], settings: ScoringSettings) -> ModelChunk:
        """Score a few sentences, together with sentences of other requests that wait, too."""
        characters = sum(len(each.text) + len(each.given) for each in sentences)
        done: asyncio.Future[ModelChunk] = asyncio.get_running_loop().create_future()
        scoring = _Scoring(sentences, settings, done, characters, work.client.get())
        if self._is_quick and not (settings.next_words or settings.measures):
            # All requests that have arrived by now are scored at the loop's next turn.
            if not self._soon.by_client:
                done.get_loop().call_soon(self._score_soon)
            self._soon.add(scoring)
        else:
            self._waiting.add(scoring)
        return await done

    def searches_words(self, settings: ScoringSettings) -> bool:
        """Return whether likely words are searched for piece by piece, which takes long."""
        assert self.scoring is not None  # `score` is for models that give probabilities
        return bool(settings.next_words and not self.scoring.tokenizer.starts_word_V.all())

    async def run(self, function: Callable[[], Result], is_small: bool = False) -> Result:
        """Call a function in a thread. is_small: it is soon done."""
        return await (self.threads.small if is_small else self.threads.long).call(function)

    async def steps(self, steps: Iterator[Result]) -> AsyncIterator[Result]:
        """Yield the items of `steps`, where each step is short and they may be many. Once no client
        waits for the next one, none is taken."""
        with work.computing:
            while True:
                taken = await self.threads.long.call(lambda: list(itertools.islice(steps, 1)))
                if not taken:
                    return
                yield taken[0]

    # ---- Work in other threads, and work of quick models in the thread of the event loop.

    def count_waiting(self) -> int:
        """Return how many requests wait to be scored."""
        return self._waiting.count() + self._soon.count()

    def retire(self) -> None:
        """End the thread of this model after the requests that wait: no more will come."""
        self._waiting.close()

    def _compute(self) -> None:
        while batch := self._waiting.take():
            work.tell(batch[0].done.get_loop(), self._score(batch))

    def _score_soon(self) -> None:
        work.finish(self._score(self._soon.take_some()))
        # One call a turn of the loop.
        if self._soon.by_client:
            asyncio.get_running_loop().call_soon(self._score_soon)

    def scored_alone(self, sentences: list[Sentence], settings: ScoringSettings) -> ModelChunk:
        """Score sentences in the thread that calls."""
        [chunk] = self._scorer_of(settings).side_by_side([sentences])
        return chunk

    def _score(self, batch: list[_Scoring]) -> "list[work.Outcome[ModelChunk]]":
        """Score the requests taken together. Return the results of each one that still waits."""
        batch = [each for each in batch if not each.done.cancelled()]
        if not batch:
            return []
        if self._metrics is not None:
            self._metrics.scored_together(sum(len(each.sentences) for each in batch))
        try:
            with work.computing:
                scorer = self._scorer_of(batch[0].settings)
                chunks = scorer.side_by_side([each.sentences for each in batch])
        except Exception as error:
            if len(batch) == 1:
                return [(batch[0].done, error)]
            # A fault of one request must not fail the others.
            return list(itertools.chain.from_iterable(self._score([each]) for each in batch))
        return [(each.done, chunk) for each, chunk in zip(batch, chunks, strict=True)]

    def _scorer_of(self, settings: ScoringSettings) -> SentenceScorer:
        assert self._scorers is not None  # `score` is for models that give probabilities
        return self._scorers.of(settings)


class ServedModels:
    """The models that are served, by name; the first one answers where none is named."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._set(models)

    def _set(self, models: Sequence[ServedModel]) -> None:
        self.by_name = {model.name: model for model in models}
        self.first = models[0]

    @property
    def queues(self) -> dict[str, Callable[[], int]]:
        """Functions that count the jobs that wait for threads, by kind of work."""
        threads = self.first.threads
        return {"small": threads.small.count_waiting, "long": threads.long.count_waiting}

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self.by_name.values())

    def __len__(self) -> int:
        return len(self.by_name)

    def replace(self, models: "ServedModels") -> None:
        """Serve these models from now on, in the thread of the event loop. Requests that have begun
        end with the models that they have."""
        before = list(self)
        self._set(list(models))
        for model in before:
            model.retire()

    def count_waiting(self) -> int:
        """Return how many requests wait to be scored."""
        return sum(model.count_waiting() for model in self)

    @classmethod
    def load(
        cls,
        names: Sequence[str],
        device: str = "auto",
        threads: Threads | None = None,
        metrics: Metrics | None = None,
    ) -> "ServedModels":
        """Load models, each to be called by the last part of its folder, or by as many as
        distinguish it from the others."""
        threads = threads or Threads()
        # A served model has a thread, which keeps it: none is made before all are loaded.
        cores = [loading.load(name, device) for name in names]
        models = []
        for name, core in zip(loading.distinct_names(names), cores, strict=True):
            models.append(ServedModel(name, core, threads, metrics))
            # Messages name a model by its origin, which is private.
            origin = loading.origin_of(core)
            if origin is not None:
                cast(Any, core).origin = (name, origin[1])
        return cls(models)

    def named(self, name: str | None) -> ServedModel:
        """Return the model of that name, or the first one."""
        if name is None:
            return self.first
        model = self.by_name.get(name)
        if model is None:
            hint = nearest(name, self.by_name) or "GET /models lists the models here"
            raise Refusal(404, f"no model {name!r} is served", hint=hint)
        return model

    def doing(self, name: str | None, command: str) -> ServedModel:
        """Return the model of that name; refuse it where the command does nothing with it."""
        model = self.named(name)
        registry.check_use(command, model.task.name, model.name)
        return model


# ---- The entry of GET /models for a model.


def record_of(name: str, core: LanguageModel | registry.LabelModel) -> ModelRecord:
    """Describe a loaded model."""
    task, kind = registry.task(loading.task_of(core)), loading.kind_of(core)
    tokenizers = list(task.describe(core.tokenizer).tokenizers.values())

    # The endpoints and inspections that the model has answers for.
    does = [command for command in COMMANDS if command in registry.commands_of(task)]
    if "generate" in does:
        does.insert(does.index("generate"), "next")
    return ModelRecord(
        name=name,
        kind=kind,
        family="ngram" if registry.kind_of(kind, task.name).is_counted else "network",
        task=task.name,
        tokenizer=tokenizers[-1].name,
        vocabulary=tokenizers[-1].size,
        parameters=loading.parameters_of(core),
        order=core.order if isinstance(core, NgramModel) else None,
        test_ppl=_test_perplexity(core),
        fingerprint=core.fingerprint,
        can=[*does, *inspections_of(core)],
    )


def _test_perplexity(core: LanguageModel | registry.LabelModel) -> float | None:
    """Return the perplexity per token of the test text, where the folder of the model has it."""
    origin = loading.origin_of(core)
    if origin is None:
        return None
    evaluation = stored_evaluations(read_manifest(loading.base_folder(origin[0]))).get("test")
    metric = evaluation.metric("ppl_token") if evaluation else None
    return metric.value if metric else None
