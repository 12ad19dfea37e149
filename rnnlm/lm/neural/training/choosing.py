"""Choose the settings of a network's run that nobody set: by its vocabulary, the size of its text,
its time, and the machine."""

import math
import os
from typing import Any

import torch

from rnnlm.amounts import plural
from rnnlm.choices import THE_MACHINE, THE_VOCABULARY
from rnnlm.config import AUTO, ResolvedSettings
from rnnlm.interface import FittingData
from rnnlm.lm.neural.device import resolve_device, resolve_precision
from rnnlm.lm.neural.training import fitting, sizing
from rnnlm.registry import Kind, RunFacts
from rnnlm.system import bind_device, processors
from rnnlm.text.vectors import COUNTED

# Up to so many words or characters, the full softmax costs no more than the sampled one.
FULL_SOFTMAX_SIZE = 2000
# A step of fewer multiplications is at most 1.3 times as fast with two threads on idle cores, and
# two to three times slower where another program needs a core: threads wait for each other after
# each product.
SMALL_STEP = 150_000_000


def choose(
    kind: Kind, resolved: ResolvedSettings, data: Any, run: RunFacts
) -> tuple[ResolvedSettings, sizing.Forecast | None]:
    """Return the settings that suit the vocabulary, the size of the text, the time of the run and
    the machine, where nobody set them; and the forecast of what a timed run reads.

    data: FittingData of the kind's task.
    """
    train, small = data.train, None
    if not run.is_bundled:  # pages quote results of these corpora
        small = sizing.recipe_for(resolved, train.sentences, train.tokens)
    if small is not None:
        resolved = sizing.follow_size(small, resolved, data)
    resolved = follow_vocabulary(resolved, data)

    # A resumed run keeps what its time has chosen.
    forecast = None
    if run.is_new:

        def speed_of(sized: ResolvedSettings, seconds: float) -> float:
            suited = follow_machine(kind, sized, data)
            return fitting.tokens_per_second(suited, data, seconds)

        resolved, forecast = sizing.follow_budget(
            resolved, data, run, speed_of, is_small=small is not None
        )
    return follow_machine(kind, resolved, data), forecast


def follow_vocabulary(resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings with the full softmax, and random word vectors, where the vocabulary is
    small."""
    size = data.tokenizer.size
    if size > FULL_SOFTMAX_SIZE:
        return resolved
    full: dict[str, Any] = {}
    vectors: dict[str, Any] = {}
    if resolved.values.get("loss") == "sampled":
        full = {"loss": "full", "samples": resolved.defaults["samples"]}
    if resolved.values.get("embeddings") == COUNTED:
        vectors = {"embeddings": None}

    # Who sets the number of samples keeps the loss, and no more than that.
    groups = [full | vectors]
    if "samples" not in resolved.free:
        groups = [full, vectors]
    for values in groups:
        resolved = resolved.choose(THE_VOCABULARY, f"{size:,} tokens", values, together=values)
    return resolved


def follow_machine(kind: Kind, resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings with the device, the precision and the threads that suit this machine."""
    values = resolved.values
    device = resolve_device(bind_device(values["device"]))
    here = plural(processors(), "processor")
    if device.type == "cuda":
        here = torch.cuda.get_device_name(device)
    chosen: dict[str, Any] = {"device": device.type}
    if values["precision"] == AUTO:
        chosen["precision"] = resolve_precision(AUTO, device)

    # torch has read OMP_NUM_THREADS, but knows no quota of processors.
    chosen["threads"] = fitting.usual_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        chosen["threads"] = min(fitting.usual_threads(), processors())
        if is_small_step(kind, resolved, data):
            chosen["threads"] = 1
    return resolved.choose(THE_MACHINE, here, chosen)


def is_small_step(kind: Kind, resolved: ResolvedSettings, data: FittingData) -> bool:
    """Return whether a step of a network multiplies so little that several threads do not pay."""
    # The tokens of a step, and the rows of tables of words that each is multiplied by.
    values = resolved.values
    size = words = kind.words_read(data.tokenizer)
    if "bptt_tokens" in values:
        tokens: float = values["batch_rows"] * values["bptt_tokens"]
        if values["loss"] != "full":
            words = min(size, values["samples"])
    else:
        tokens = values["batch_rows"] * data.train.tokens / max(1, data.train.sentences)
        words = 1

    # Vectors and biases are added, not multiplied.
    multiplications = 0
    for _, shape in kind.array_shapes(values, data.tokenizer).values():
        if len(shape) > 1:
            rows = words if shape[0] == size else shape[0]
            multiplications += rows * math.prod(shape[1:])
    return tokens * multiplications < SMALL_STEP
