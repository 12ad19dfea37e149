"""Fitting a network to text: what can be checked beforehand, the weights it starts from, and its
training as a generator of events."""

import hashlib
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rnnlm import system
from rnnlm.config import Resolved
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.events import Event, Started, TrainingState, never
from rnnlm.interface import Tokenizer
from rnnlm.neural.device import keep_freed_memory, memory_errors, resolve_device, resolve_precision
from rnnlm.neural.fitting import state
from rnnlm.neural.fitting.language_modelling import (
    CrossEntropy,
    PerplexityValidation,
    RareWords,
    TextStreams,
)
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess, join
from rnnlm.neural.fitting.settings import (
    COUNTED,
    FittingSettings,
    OptimizationSettings,
    RunSettings,
)
from rnnlm.neural.fitting.step import records_steps
from rnnlm.neural.fitting.trainer import Trainer
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.network import Network, make_network
from rnnlm.neural.settings import KINDS, NetworkSettings
from rnnlm.neural.words import counted_vectors, load_vectors
from rnnlm.system import bind_device, current_rank
from rnnlm.text.encoding import EncodedText, TrainingData
from rnnlm.text.lines import TextSettings
from rnnlm.text.vectors import check_text, read_vectors


def check(resolved: Resolved, has_valid: bool, has_text: bool = True) -> None:
    """Whether the device and the precision asked for are here, the file of word vectors, and
    validation text for a schedule that needs it. has_text: word vectors can be counted in what the
    network is trained on.

    Raises:
        DeviceError: they are not. SettingsError: there is no such device, or no text to count.
            TextError: the file of word vectors cannot be read, or is binary. UsageError: there is
            no validation text.
    """
    run, settings = resolved.make(RunSettings), resolved.make(OptimizationSettings)
    resolve_precision(run.precision, resolve_device(bind_device(run.device)))
    if settings.cuda_graphs is True and current_rank().count > 1:
        raise UsageError(
            "cuda_graphs is for one process",
            f"there are {current_rank().count}",
            "set cuda_graphs=false",
        )
    if settings.embeddings == COUNTED and not has_text:
        hint = "make a file of vectors with rnnlm vectors --method svd, and name that"
        raise SettingsError(f"embeddings = {COUNTED} is for language models", hint=hint)
    if settings.embeddings and settings.embeddings != COUNTED:
        check_text(settings.embeddings)
    if settings.follows_validations and not has_valid:
        hint = "name one with --valid, or hold some out: --set holdout=0.05"
        raise UsageError(f"{settings.follows_validations} needs validation text", hint=hint)


def fit(
    resolved: Resolved,
    data: TrainingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a network on `data`; `initial` weights replace the random ones, or a run goes on where
    it was cut off. Asked at every step: whether to `stop`, and whether to `save` what the run could
    go on from.

    Yields Started, then Step, Validated and Checkpoint as they come, at the end Fitted with the
    best weights.

    Raises:
        DeviceError: the device asked for is not here. TrainingError: there is nothing to train on,
            or too little memory.
    """
    yield from fit_with(make_trainer, resolved, data, stop, initial, save)


def fit_with(
    maker: Callable[[Resolved, Any, Any, SingleProcess], Trainer],
    resolved: Resolved,
    data: Any,
    stop: Callable[[], bool],
    initial: dict[str, np.ndarray] | TrainingState | None,
    save: Callable[[], bool],
) -> Iterator[Event]:
    """The training that a trainer of `maker`, which is as :func:`make_trainer`, does on `data` of
    any task."""
    run = resolved.make(RunSettings)
    ranks = join(resolve_device(bind_device(run.device)), run.rank_timeout)
    with ranks.together():
        ranks.check_same(*_identity(resolved, data, initial))
        trainer = maker(resolved, data, initial, ranks)
        yield started(
            trainer, resolved.values["model"], data, resolved.values.get("bptt_tokens", 0)
        )
        if isinstance(initial, TrainingState) and trainer.progress() >= 1.0:
            notice(
                "the run's budget, which counts from its start, is spent: raise it with "
                "--budget to go on"
            )
        elif isinstance(initial, TrainingState) and trainer.is_over:
            notice(
                "the run ended early, as its validations found nothing better: to go on, set "
                "another patience"
            )
        with memory_errors(trainer.device):
            yield from trainer.train(stop, save)


def make_trainer(
    resolved: Resolved,
    data: TrainingData,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS,
) -> Trainer:
    """A trainer on the device asked for, torch's threads and seed set; what it raises is as for
    :func:`fit`."""
    run = resolved.make(RunSettings)
    device, precision = begin(run)
    stored = state.checked(initial) if isinstance(initial, TrainingState) else None
    with memory_errors(device):
        weights = None if isinstance(initial, TrainingState) else initial
        network = start_network(
            resolved.make(KINDS[resolved.values["model"]]), data.tokenizer, device, weights
        )
        settings = resolved.make(FittingSettings)
        encoding_errors = resolved.values.get("encoding_errors", TextSettings.encoding_errors)
        weight_VE, text = network.input.weight, None if stored else data.train
        place_vectors(
            weight_VE,
            settings,
            data.tokenizer,
            encoding_errors,
            is_started=initial is not None,
            text=text,
        )
        seed_dropout(run.seed, weights, ranks)
        rows = stored.facts["source"]["rows"] if stored else None
        trainer = language_model_trainer(network, settings, run, data, precision, ranks, rows)
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


def seed_dropout(seed: int, initial: dict[str, np.ndarray] | None, ranks: SingleProcess) -> None:
    """What dropout draws from now on: of each rank its own, and from `initial` weights on other
    masks than those that they were trained under with the same seed. A network remembers windows
    that it reads once more under the same masks: its training loss falls, its perplexity on other
    text does not."""
    seeds = [seed]
    if initial is not None:
        checksum = 0
        for name in sorted(initial):
            checksum = zlib.crc32(np.ascontiguousarray(initial[name]).data, checksum)
        seeds.append(checksum)
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))
    ranks.seed_per_rank(*seeds)


LONG_RUN_SECONDS = 30.0  # of this process: then the load is its own


def _tell_if_busy() -> None:
    """Send a notice if other programs seem to leave fewer processors than torch has threads, which
    wait for each other at every step."""
    threads, cores, load = torch.get_num_threads(), system.processors(), system.load()
    is_own = time.process_time() > LONG_RUN_SECONDS
    if threads > 1 and load > cores - threads + 1 and not is_own:
        notice(
            f"the processors were busy in the last minute (load {load:.1f}, {cores} of them): if "
            "other programs keep them busy, --threads 1 may be faster"
        )


def begin(run: RunSettings) -> tuple[torch.device, str]:
    """The device and the precision of a run, torch's threads and seed set.

    Raises:
        DeviceError: the device asked for is not here.
    """
    if run.threads:
        torch.set_num_threads(run.threads)
    device = resolve_device(bind_device(run.device))
    if device.type == "cpu":
        _tell_if_busy()
    precision = resolve_precision(run.precision, device)
    keep_freed_memory(device)
    torch.manual_seed(run.seed)
    return device, precision


def language_model_trainer(
    network: Network, settings: FittingSettings, run: RunSettings, data: TrainingData,
    precision: str,
    ranks: SingleProcess = SINGLE_PROCESS, rows: int | None = None,
) -> Trainer:  # fmt: skip
    """A trainer of `network` as a language model of `data`. rows: of all ranks; None: `batch_rows`
    for each.

    Raises:
        TrainingError: the text has no tokens, or fewer rows than there are ranks.
    """
    tokenizer, device = data.tokenizer, next(network.parameters()).device
    multiple = settings.multiple(records_steps(settings, network, device, ranks.count))
    rare = RareWords.of(data.train, tokenizer, settings.unknown_words, run.seed)
    streams = TextStreams(
        data.train, tokenizer.boundary_id, settings, run.seed, device, ranks, rows, multiple, rare
    )
    model = NeuralLanguageModel(network, tokenizer, precision)
    validation = (
        PerplexityValidation(data.valid, model, settings.bptt_tokens, ranks) if data.valid else None
    )
    return Trainer(CrossEntropy(model), streams, validation, settings, run, precision, ranks)


def started(trainer: Trainer, model: str, data: TrainingData, bptt_tokens: int = 0) -> Started:
    """What the run is that `trainer` is about to begin."""
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


def _identity(resolved: Resolved, data: TrainingData, initial: Any) -> tuple[str, bytes]:
    """What is to be the same on all ranks, in words, and a hash of it."""
    step = initial.facts.get("step") if isinstance(initial, TrainingState) else None
    texts = data.train.lines_hash, data.valid and data.valid.lines_hash, data.tokenizer.fingerprint
    parts = sorted(resolved.values.items()), texts, step, torch.__version__
    return "what is trained (settings, text, tokenizer, place in the run)", hashlib.sha256(
        repr(parts).encode()
    ).digest()


def start_network(
    settings: NetworkSettings,
    tokenizer: Tokenizer,
    device: torch.device,
    initial: dict[str, np.ndarray] | None = None,
) -> Network:
    """A network with random (drawn on the CPU, so the same on every device) or `initial` weights,
    on `device`."""
    network = make_network(settings, tokenizer)
    if initial is not None:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()})
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
    """The word vectors of a network from a file or from counts of `text`, and whether they are
    trained; `is_started`: whether it has weights of another model. text: None where none is
    counted, as in a run that goes on, whose weights are stored.

    Raises:
        SettingsError: there are no word vectors, they have another width, or would stay random.
            TextError: the file is damaged, or the text holds nothing to count.
    """
    if not settings.embeddings and not settings.freeze_embeddings:
        return
    if weight_VE is None:
        raise SettingsError(
            "embeddings are for word vectors",
            "words are read as characters alone",
            "set characters_beside=true",
        )
    if not settings.embeddings and not is_started:
        hint = "name a file with --embeddings, or a model with --init-from"
        raise SettingsError("freeze_embeddings = true would keep random word vectors", hint=hint)
    if settings.embeddings == COUNTED:
        if text is not None:
            load_vectors(weight_VE, counted_vectors(text, *weight_VE.shape))
    elif settings.embeddings:
        if tokenizer.name != "word":
            notice(
                f"{settings.embeddings} has vectors of words: they have an effect on those "
                f"{tokenizer.name} tokens alone that are words"
            )
        load_vectors(
            weight_VE,
            read_vectors(
                settings.embeddings, tokenizer.symbols(), weight_VE.shape[1], encoding_errors
            ),
        )
    weight_VE.requires_grad_(not settings.freeze_embeddings)
