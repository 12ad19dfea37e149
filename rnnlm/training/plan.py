"""What is asked of `train`, made definite: settings resolved, texts read and encoded, the way to
the output free."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.config import Resolved, describe, warn_of_idle
from rnnlm.errors import ModelError, UsageError, notice
from rnnlm.events import TrainingState
from rnnlm.files import lock
from rnnlm.models import checkpoints, model_folder, registry
from rnnlm.models.card import STARTS
from rnnlm.models.checkpoints import Run
from rnnlm.tasks.language_model import DEMO_RECIPE
from rnnlm.tasks.line_texts import CORPUS as DEMO_CORPUS
from rnnlm.tasks.line_texts import held_out_share
from rnnlm.tasks.request import CountedText, Data, Overlap
from rnnlm.text.lines import Progress, silent
from rnnlm.training import resume as resuming
from rnnlm.training.request import Request, resolve_request
from rnnlm.training.texts import Opener


@dataclass(frozen=True)
class Plan:
    """A request made definite: every setting with its origin, the texts encoded, where the model
    goes. overlaps: how much of the validation and the test text (valid, test) is in the training
    text."""

    request: Request
    recipe: str | None
    kind: registry.Kind
    resolved: Resolved
    data: Data
    # weights to start from, or where a run goes on
    initial: dict[str, np.ndarray] | TrainingState | None
    test: CountedText | None
    valid_is: str  # what the validation text is, in words
    output: Path
    # of the model that this very run has left already, if `resume` is "auto"
    finished: model_folder.Manifest | None = None
    overlaps: Mapping[str, Overlap] = field(default_factory=dict)
    has_intervals: bool = False  # whether the exact evaluations at the end come with 95 % intervals

    def describe(self) -> list[tuple[str, object, str, str]]:
        """(name, value, origin, description) of every setting."""
        about = {
            name: text for cls in self.resolved.classes for name, text in describe(cls).items()
        }
        return [
            (name, value, self.resolved.origins[name], about[name])
            for name, value in self.resolved.values.items()
        ]

    def parameters(self) -> int | None:
        """How many numbers the model has; nothing is allocated. None until n-grams are counted."""
        shapes = self.kind.array_shapes(self.resolved.values, self.data.tokenizer)
        return None if shapes is None else sum(math.prod(shape) for _, shape in shapes.values())


@dataclass(frozen=True)
class Destination:
    """Where a run saves, which is known before its texts are read.

    passed_over: the default folder, where that holds a finished model or something else.
    """

    folder: Path
    passed_over: Path | None = None


def plan(
    request: Request,
    progress: Progress = silent,
    opener: Opener | None = None,
    announce: Callable[[Destination], None] | None = None,
) -> Plan:
    """Resolve the settings, read and encode the texts, make sure the model can be written.
    `progress` is called with how far reading is. opener: reads and encodes the texts; None: as the
    kind of model does. announce: called with where the run saves before any text is read.

    A request that names no folder takes the default one. An unfinished run there is resumed if it
    is of the same settings and text, and refused otherwise."""
    _check_going_on(request)
    is_auto = request.resume == "auto"
    if request.resume and request.output is None:
        request = replace(request, output=_folder_to_resume(request))
    if is_auto:
        request = _as_there_is_something(request)
    if request.resume:
        request = _of_the_run(request)
    recipe, kind, resolved = resolve_request(request)
    task = registry.task(kind.task)
    warn_of_idle(
        resolved,
        str(request.config),
        contextual=request.contextual or request.resume,
        valid=", ".join(request.valid) or (None if request.text else "the bundled one"),
    )
    _warn_of_replaced_start(resolved, request)
    kind.check(
        resolved,
        has_valid=bool(request.valid or not request.text or held_out_share(kind, resolved)),
    )

    # Without -o, an unfinished run in the default folder has to be this one.
    usual = _usual_folder(recipe, kind)
    output = request.output or _unfinished_folder(usual) or _free_folder(usual)
    is_unasked = request.output is None and not request.overwrite and output.exists()
    if announce:
        is_usual = request.output is not None or output == usual
        announce(Destination(output, None if is_usual else usual))
    is_there_allowed = request.overwrite or is_auto or is_unasked or bool(request.resume)
    lock.check(output)
    model_folder.check_output(output, is_there_allowed)

    texts = (opener or task.open_texts)(request, resolved, kind, progress)
    data, resolved = texts.data, texts.resolved
    run = run_of(recipe, resolved, data)
    done = None
    if is_auto:
        # A model that is done may have the former default of what nobody asked for.
        unasked = {n for n, origin in resolved.origins.items() if origin == "default"}
        done = resuming.finished(output, run, resolved.former_defaults, unasked)
    initial: dict[str, np.ndarray] | TrainingState | None = None
    if is_unasked:
        initial = resuming.unasked(output, run, resolved.former_defaults)
        if initial:
            request = _without_starts(replace(request, resume=True))
    elif request.resume:
        initial = resuming.state_of(output, run, resolved.former_defaults, done)
    if initial is None and not request.resume:
        initial = task.initial_weights(request, kind, resolved, data)
    return Plan(
        request,
        recipe,
        kind,
        resolved,
        data,
        initial,
        texts.test,
        texts.valid_is,
        output,
        done,
        texts.overlaps,
    )


def _warn_of_replaced_start(resolved: Resolved, request: Request) -> None:
    """Of two things that say how weights start, one has no effect."""
    idle = [
        name for name in resolved.values if name.startswith("init_") and resolved.is_asked(name)
    ]
    if request.init_from and idle:
        notice(
            f"without effect: {', '.join(idle)}; the weights are those of --init-from "
            f"{request.init_from}"
        )
    name = "init_from" if request.init_from else "init_encoder_from"
    if (file := resolved.values.get("embeddings")) and (source := getattr(request, name)):
        notice(
            f"for the same words, the vectors of embeddings = {file} replace those of "
            f"--{name.replace('_', '-')} {source}"
        )


def run_of(recipe: str | None, resolved: Resolved, data: Data) -> Run:
    """Which run a plan's settings, text and tokenizer make."""
    valid = data.valid.lines_hash if data.valid else None
    return Run(
        recipe, dict(resolved.values), data.train.lines_hash, valid, data.tokenizer.fingerprint
    )


def _as_there_is_something(request: Request) -> Request:
    """`--resume auto`, decided: to go on where a run has left a checkpoint, else to start, with
    `--init-from` where that is given."""
    assert request.output is not None
    goes_on = checkpoints.exists(request.output)
    if not goes_on:
        return replace(request, resume=False)
    return _without_starts(replace(request, resume=True))


def _without_starts(request: Request) -> Request:
    """Drop the models to start from: a run that goes on has its weights."""
    none: dict[str, Any] = dict.fromkeys(STARTS)
    return replace(request, **none)


def _check_going_on(request: Request) -> None:
    """Raises UsageError: to go on with a run, and something that begins one, are asked for at
    once."""
    starts = [name for name in STARTS if getattr(request, name) and request.resume != "auto"]
    other = (
        "--overwrite"
        if request.overwrite
        else "--" + starts[0].replace("_", "-")
        if starts
        else None
    )
    if request.resume and other:
        raise UsageError(
            f"--resume and {other} cannot be combined",
            "one continues a run, the other begins a new one",
            f"leave {other} out to continue",
        )


def _of_the_run(request: Request) -> Request:
    """A request to go on with the run in its folder, whose tokenizer and recipe are that run's."""
    assert request.output is not None
    run = checkpoints.load_run(request.output)
    return replace(
        request,
        recipe=request.recipe or run.recipe,
        tokenizer_from=request.tokenizer_from or str(request.output),
    )


def _usual_folder(recipe: str | None, kind: registry.Kind) -> Path:
    """./checkpoints/NAME; the name demo is the shipped model's."""
    return Path("checkpoints") / (DEMO_CORPUS if recipe == DEMO_RECIPE else recipe or kind.name)


def _folder_to_resume(request: Request) -> Path:
    """Return the folder of the run that `--resume` without -o goes on with.

    The unfinished one; else the newest that has a checkpoint; else the default folder.
    """
    settled = resolve_request(replace(request, resume=False))
    usual = _usual_folder(settled.recipe, settled.kind)
    resumable = [folder for folder in _taken_folders(usual) if checkpoints.exists(folder)]
    if request.resume == "auto":  # which does nothing where the run in the default folder is over
        resumable = []
    return _unfinished_folder(usual) or (resumable[-1] if resumable else usual)


def _unfinished_folder(usual: Path) -> Path | None:
    """Return the first of `usual`, usual-2, ... that holds an unfinished run."""
    return next(filter(_holds_unfinished, _taken_folders(usual)), None)


def _holds_unfinished(folder: Path) -> bool:
    """Whether `folder` holds a run that has not come to its end, with a model or before its first.

    A damaged model is left alone.
    """
    if not model_folder.is_model(folder):
        return model_folder.holds_leftovers(folder)
    try:
        return model_folder.read_manifest(folder).is_unfinished
    except ModelError:
        return False


def _taken_folders(usual: Path) -> Iterator[Path]:
    """Yield `usual`, usual-2, usual-3, ... up to the first that is free."""
    for number in itertools.count(1):
        folder = usual.with_name(f"{usual.name}-{number}") if number > 1 else usual
        if not (folder.is_file() or (folder.exists() and any(folder.iterdir()))):
            return
        yield folder


def _free_folder(usual: Path) -> Path:
    """Return `usual`, or usual-2, usual-3, ... where that is taken."""
    taken = len(list(_taken_folders(usual)))
    return usual.with_name(f"{usual.name}-{taken + 1}") if taken else usual
