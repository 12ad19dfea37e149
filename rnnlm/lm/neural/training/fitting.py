"""Train a network on text: make the first weights, and yield events."""

import contextlib
import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rnnlm.config import MACHINE, ResolvedSettings
from rnnlm.errors import SettingsError, keyword, notice
from rnnlm.events import Event, Started, TrainingState, never
from rnnlm.interface import Tokenizer
from rnnlm.lm.neural.device import (
    keep_freed_memory,
    memory_errors,
    resolve_device,
    resolve_precision,
)
from rnnlm.lm.neural.network import Network, make_network
from rnnlm.lm.neural.settings import NetworkSettings, kinds
from rnnlm.lm.neural.shapes import is_noise
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.neural.training import state
from rnnlm.lm.neural.training.language_modelling import (
    CrossEntropy,
    PerplexityValidation,
    RareWords,
    TextStreams,
    count_tokens,
    expected_counts,
)
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess, join, seed_of
from rnnlm.lm.neural.training.settings import FittingSettings, OptimizationSettings, RunSettings
from rnnlm.lm.neural.training.step import records_steps
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.lm.neural.words import counted_vectors, load_vectors
from rnnlm.system import bind_device, processors
from rnnlm.text.encoding import EncodedText, TrainingData
from rnnlm.text.lines import TextSettings
from rnnlm.text.vectors import COUNTED, read_vectors


def fit(
    resolved: ResolvedSettings,
    data: TrainingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a network on `data`. Yield Started, then Step, Validated and Checkpoint as they come,
    at the end Fitted with the best weights.

    initial: weights that replace the random ones, or the state of a run that is resumed. stop,
    save: asked at every step whether to end, and whether to store a state to resume from.
    """
    yield from fit_with(make_trainer, resolved, data, stop, initial, save)


def fit_with(
    maker: Callable[[ResolvedSettings, Any, Any, SingleProcess], Trainer],
    resolved: ResolvedSettings,
    data: Any,
    stop: Callable[[], bool],
    initial: dict[str, np.ndarray] | TrainingState | None,
    save: Callable[[], bool],
) -> Iterator[Event]:
    """Train on `data` of any task with a trainer that `maker` makes, as :func:`make_trainer` does
    for language models. Several runs in one process take turns."""
    try:
        yield from in_turns(_fit_alone(maker, resolved, data, stop, initial, save))
    finally:
        give_threads_back()


def _fit_alone(
    maker: Callable[[ResolvedSettings, Any, Any, SingleProcess], Trainer],
    resolved: ResolvedSettings,
    data: Any,
    stop: Callable[[], bool],
    initial: dict[str, np.ndarray] | TrainingState | None,
    save: Callable[[], bool],
) -> Generator[Event, None, None]:
    run = resolved.make(RunSettings)
    ranks = join(resolve_device(bind_device(run.device)), run.rank_timeout)
    with ranks.together():
        ranks.check_same(*_identity(resolved, data, initial))
        trainer = maker(resolved, data, initial, ranks)
        values = resolved.values
        yield started(trainer, values["model"], data, values.get("bptt_tokens", 0))

        # A resumed run that ends at once says why.
        if isinstance(initial, TrainingState) and trainer.progress() >= 1.0:
            notice(
                "the run has used its budget, which counts from the start of the run: raise "
                + keyword("budget")
                + " to continue"
            )
        elif isinstance(initial, TrainingState) and trainer.is_over:
            notice(
                "the run stopped early because validations no longer improved: to continue, set "
                "another patience"
            )
        with memory_errors(trainer.device):
            yield from trainer.train(stop, save)


def make_trainer(
    resolved: ResolvedSettings,
    data: TrainingData,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS,
) -> Trainer:
    """Make the trainer of a language model on the device asked for, with torch's threads and seed
    set."""
    run = resolved.make(RunSettings)
    device, precision = begin(resolved)
    stored = state.checked(initial) if isinstance(initial, TrainingState) else None
    weights = None if isinstance(initial, TrainingState) else initial
    with memory_errors(device):
        shape = resolved.make(kinds()[resolved.values["model"]])
        settings = resolved.make(FittingSettings)

        # The counts are those of this text: the tokenizer may come from another one.
        counts_V = count_tokens(data.train, data.tokenizer)
        rare = RareWords.of(data.train, data.tokenizer, counts_V, settings.unknown_words, run.seed)
        read_V = expected_counts(counts_V, rare)
        network = start_network(shape, data.tokenizer, device, weights, read_V)

        # Word vectors made elsewhere; a resumed run has all its weights stored.
        place_vectors(
            network.input.weight,
            settings,
            data.tokenizer,
            resolved.values.get("encoding_errors", TextSettings.encoding_errors),
            is_started=initial is not None,
            text=None if stored else data.train,
        )
        seed_dropout(run.seed, weights, ranks)

        # A resumed run keeps its number of rows, even with other ranks.
        trainer = language_model_trainer(
            network=network,
            settings=settings,
            run=run,
            data=data,
            precision=precision,
            rare=rare,
            ranks=ranks,
            rows=stored.facts["source"]["rows"] if stored else None,
        )
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


WARM_UP_STEPS, PARTS = 2, 5  # of a measurement


def tokens_per_second(resolved: ResolvedSettings, data: TrainingData, seconds: float) -> float:
    """Measure how fast a network of these settings trains: some steps of one that is then dropped,
    for about so many seconds."""
    trainer = make_trainer(resolved.with_layer("the measurement", {"embeddings": None}), data)
    trainer.begin()

    # The first steps are slow: the device prepares kernels and memory in them.
    for _ in range(WARM_UP_STEPS):
        trainer.train_step()
    trainer.check()  # waits for the device

    # The best part counts: other work of the machine slows the others.
    speeds = []
    for _ in range(PARTS):
        began, read = trainer.clock.elapsed(), trainer.source.tokens
        trainer.train_step()
        while trainer.clock.elapsed() - began < seconds / PARTS:
            trainer.train_step()
        trainer.check()
        speeds.append((trainer.source.tokens - read) / (trainer.clock.elapsed() - began))
    give_threads_back()
    return max(speeds)


def seed_dropout(seed: int, initial: dict[str, np.ndarray] | None, ranks: SingleProcess) -> None:
    """Seed dropout from now on, in each rank in its own way.

    From `initial` weights on, masks are others than those under which they were trained with the
    same seed. A network remembers windows that it reads once more under the same masks: its
    training loss falls, its perplexity on other text does not.
    """
    seeds = [seed]
    if initial is not None:
        checksum = 0
        for name in sorted(initial):
            checksum = zlib.crc32(np.ascontiguousarray(initial[name]).data, checksum)
        seeds.append(checksum)
        torch.manual_seed(seed_of(seeds))
    ranks.seed_per_rank(*seeds)


def begin(resolved: ResolvedSettings) -> tuple[torch.device, str]:
    """Set torch's threads and seed for a run; return its device and precision."""
    run = resolved.make(RunSettings)
    give_threads_back()
    if run.threads:
        if "threads" in resolved.free:
            _threads_before.append(torch.get_num_threads())
        torch.set_num_threads(run.threads)
    elif "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > processors():
        torch.set_num_threads(processors())  # torch knows no quota
    device = resolve_device(bind_device(run.device))
    precision = resolve_precision(run.precision, device)
    keep_freed_memory(device)
    torch.manual_seed(run.seed)
    return device, precision


_threads_before: list[int] = []  # torch's, before a run took another number that nobody set


def usual_threads() -> int:
    """Return how many threads torch has where no run has chosen another number."""
    return _threads_before[0] if _threads_before else torch.get_num_threads()


def give_threads_back() -> None:
    """Let torch have as many threads again as before a run chose another number: they belong to the
    whole process, which may go on with other work."""
    if _threads_before:
        torch.set_num_threads(_threads_before[0])
        _threads_before.clear()


def language_model_trainer(
    network: Network,
    settings: FittingSettings,
    run: RunSettings,
    data: TrainingData,
    precision: str,
    rare: RareWords | None,
    ranks: SingleProcess = SINGLE_PROCESS,
    rows: int | None = None,
) -> Trainer:
    """Make the trainer of `network` as a language model of `data`. rare: words that epochs may read
    as `<unk>`. rows: of all ranks; None: `batch_rows` for each."""
    tokenizer, device = data.tokenizer, next(network.parameters()).device
    streams = TextStreams(
        text=data.train,
        boundary_id=tokenizer.boundary_id,
        settings=settings,
        seed=run.seed,
        device=device,
        ranks=ranks,
        rows=rows,
        multiple=settings.multiple(records_steps(settings, network, device, ranks.count)),
        rare=rare,
    )
    model = NeuralLanguageModel(network, tokenizer, precision)
    validation = None
    if data.valid:
        validation = PerplexityValidation(data.valid, model, settings.bptt_tokens, ranks)
    return Trainer(
        objective=CrossEntropy(model),
        source=streams,
        validation=validation,
        settings=settings,
        run=run,
        precision=precision,
        ranks=ranks,
    )


def started(trainer: Trainer, model: str, data: TrainingData, bptt_tokens: int = 0) -> Started:
    """Describe the run that `trainer` is about to start."""
    return Started(
        model=model,
        parameters=sum(parameter.numel() for parameter in trainer.network.parameters()),
        vocabulary_size=data.tokenizer.size,
        train_tokens=data.train.tokens,
        valid_tokens=data.valid.tokens if data.valid else 0,
        device=str(trainer.device),
        precision=trainer.precision,
        rows=trainer.source.rows,
        processes=trainer.ranks.count,
        cuda_graphs=trainer.is_recorded,
        bptt_tokens=bptt_tokens,
        validation=str(trainer.validation.validation or "none"),
        step=trainer.step_count,
    )


def _identity(resolved: ResolvedSettings, data: TrainingData, initial: object) -> tuple[str, bytes]:
    """Return the facts that must be the same on all ranks, in words, and a hash of them."""
    step = initial.facts.get("step") if isinstance(initial, TrainingState) else None
    texts = data.train.lines_hash, data.valid and data.valid.lines_hash, data.tokenizer.fingerprint
    settings = [item for item in resolved.values.items() if item[0] not in MACHINE]
    parts = sorted(settings), texts, step, torch.__version__
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return "what is trained (settings, text, tokenizer, place in the run)", digest


def start_network(
    settings: NetworkSettings,
    tokenizer: Tokenizer,
    device: torch.device,
    initial: dict[str, np.ndarray] | None = None,
    counts_V: np.ndarray | None = None,
) -> Network:
    """Make a network on `device`, with random weights, which are drawn on the CPU so that they are
    the same on every device; `initial` ones replace them. Noise words are drawn by `counts_V`,
    which are as in make_network."""
    network = make_network(settings, tokenizer, counts_V)
    if initial is not None:
        given = {
            name: torch.from_numpy(array) for name, array in initial.items() if not is_noise(name)
        }
        network.load_state_dict({**network.state_dict(), **given})
        network.prepare()
    return network.to(device)


def place_vectors(
    weight_VE: Tensor | None,
    settings: OptimizationSettings,
    tokenizer: Tokenizer,
    encoding_errors: Literal["strict", "replace"],
    is_started: bool,
    text: EncodedText | None = None,
) -> None:
    """Fill a network's word vectors from a file or from counts of `text`, and freeze them if asked
    to.

    is_started: whether the network has weights of another model. text: None if none is counted, as
    in a run that is resumed, whose weights are stored.
    """
    if not settings.embeddings and not settings.freeze_embeddings:
        return
    if weight_VE is None:
        raise SettingsError(
            "embeddings need word vectors",
            "words are read only as characters",
            "set characters_beside=true",
        )
    if not settings.embeddings and not is_started:
        raise SettingsError(
            "freeze_embeddings = true would keep random word vectors",
            hint="name a file with "
            + keyword("embeddings")
            + ", or a model with "
            + keyword("init_from"),
        )

    # Words that neither a file nor the text has vectors for keep their random ones.
    if settings.embeddings == COUNTED:
        if text is not None:
            load_vectors(weight_VE, counted_vectors(text, *weight_VE.shape))
    elif settings.embeddings:
        if tokenizer.name != "word":
            notice(
                f"{settings.embeddings} has vectors of words: they affect only the "
                f"{tokenizer.name} tokens that are words"
            )
        width = weight_VE.shape[1]
        vectors = read_vectors(settings.embeddings, tokenizer.symbols(), width, encoding_errors)
        load_vectors(weight_VE, vectors)
    weight_VE.requires_grad_(not settings.freeze_embeddings)


# ---- Several training runs in one process, which take turns.
#
# torch has one stream of random numbers in a process. Runs in several threads, or iterated over
# alternately, would draw from the same stream and get other weights each time. So one run computes
# at a time, from one event to the next, and continues the stream where it left it.

_NO_EVENT: Any = object()


class RandomStream:
    """The random numbers of a run. A run that is alone in its process never restores them."""

    _lock = threading.RLock()
    _current: "RandomStream | None" = None  # the stream that torch draws from now

    def __init__(self) -> None:
        self._cpu: torch.Tensor | None = None
        self._cuda: list[torch.Tensor] = []
        self._turns = 0  # one inside another

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Draw from this stream in this context, and keep other runs from computing."""
        with RandomStream._lock:
            before = RandomStream._current
            self._take_over()
            self._turns += 1
            try:
                yield
            finally:
                self._turns -= 1
                # A run may be garbage-collected, and so end, in the turn of another.
                if before is not None and before._turns:
                    before._take_over()

    def _take_over(self) -> None:
        """Save the position of the other stream, and continue at the position of this one."""
        if RandomStream._current is self:
            return
        if RandomStream._current is not None:
            RandomStream._current._save()
        if self._cpu is not None:
            torch.set_rng_state(self._cpu)
            if self._cuda:
                torch.cuda.set_rng_state_all(self._cuda)
        RandomStream._current = self

    def _save(self) -> None:
        self._cpu = torch.get_rng_state()
        if torch.cuda.is_initialized():
            self._cuda = torch.cuda.get_rng_state_all()

    def end(self) -> None:
        """Forget the stream: its run is over."""
        with RandomStream._lock:
            if RandomStream._current is self:
                RandomStream._current = None


def in_turns(events: Generator[Event, None, None]) -> Iterator[Event]:
    """Yield the events of a run. It computes in turns with the other runs of the process."""
    stream = RandomStream()
    try:
        while True:
            with stream.turn():
                event = next(events, _NO_EVENT)
            if event is _NO_EVENT:
                return
            yield event
    finally:
        with stream.turn():
            events.close()
        stream.end()
