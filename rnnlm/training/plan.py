"""A request made definite: settings resolved, texts read and encoded, and a folder that can be
written to."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.config import Resolved, describe, warn_of_idle
from rnnlm.errors import UsageError, notice
from rnnlm.events import TrainingState
from rnnlm.files import lock
from rnnlm.models import checkpoints, loading, model_folder, registry
from rnnlm.models.card import STARTS
from rnnlm.models.checkpoints import Run
from rnnlm.tasks import small_texts
from rnnlm.tasks.line_texts import Overlap, held_out_share
from rnnlm.tasks.request import CountedText, Data, Texts
from rnnlm.text import sources
from rnnlm.text.lines import Progress, silent
from rnnlm.text.prepared.index import is_prepared
from rnnlm.text.vectors import COUNTED, check_is_text_file
from rnnlm.training import folders
from rnnlm.training import resume as resuming
from rnnlm.training.request import Request, Settled, resolve_request
from rnnlm.training.texts import Opener


@dataclass(frozen=True)
class Plan:
    """A request made definite: every setting with its origin, the encoded texts, the output folder.

    holds_out: the validation text was held out of the training text. overlaps: how much of the
    validation and the test text (valid, test) is in the training text.
    """

    request: Request
    recipe: str | None
    kind: registry.Kind
    resolved: Resolved
    data: Data
    # Weights to start from, or the state of a run that is resumed
    initial: dict[str, np.ndarray] | TrainingState | None
    test: CountedText | None
    valid_is: str  # what the validation text is, in words
    output: Path
    # With `resume` "auto", if this run has finished already: the manifest of its model
    finished: model_folder.Manifest | None = None
    holds_out: bool = False
    overlaps: Mapping[str, Overlap] = field(default_factory=dict)
    has_intervals: bool = False  # whether the exact evaluations at the end have 95 % intervals

    @property
    def text_names(self) -> list[str]:
        """What the training text is called: files, counts, or the bundled corpus."""
        if self.request.counts is not None:
            return [self.request.counts]
        usual = registry.task(self.kind.task).usual_corpus
        return list(self.request.text) or [corpora.named(usual)]

    def describe(self) -> list[tuple[str, object, str, str]]:
        """Return (name, value, origin, description) of every setting."""
        descriptions: dict[str, str] = {}
        for cls in self.resolved.classes:
            descriptions |= describe(cls)
        rows: list[tuple[str, object, str, str]] = []
        for name, value in self.resolved.values.items():
            rows.append((name, value, self.resolved.origins[name], descriptions[name]))
        return rows

    def parameters(self) -> int | None:
        """Count the model's parameters without allocating them. None until n-grams are counted."""
        shapes = self.kind.array_shapes(self.resolved.values, self.data.tokenizer)
        if shapes is None:
            return None
        return sum(math.prod(shape) for _, shape in shapes.values())


@dataclass(frozen=True)
class Destination:
    """The folder that a run saves in, known before its texts are read.

    passed_over: the default folder, if it was taken, by a finished model or something else.
    is_resumed: it is the default folder, and holds an unfinished run, which has to be this one.
    """

    folder: Path
    passed_over: Path | None = None
    is_resumed: bool = False


def plan(
    request: Request,
    progress: Progress = silent,
    opener: Opener | None = None,
    announce: Callable[[Destination], None] | None = None,
) -> Plan:
    """Resolve the settings, read and encode the texts, make sure the model can be written.

    progress: called with how far reading is. opener: reads and encodes the texts; None: as the kind
    of model does. announce: called with where the run saves, before any text is read.

    A request that names no folder takes the default one. An unfinished run there is resumed if it
    has the same settings and text, and refused otherwise.
    """
    # Before any text is read: which run it is, its settings, its folder.
    is_auto = request.resume == "auto"
    request = _with_resume_decided(request)
    settled = resolve_request(request)
    recipe, kind, resolved = settled
    task = registry.task(kind.task)
    valid = _check_settings(request, kind, resolved)
    destination = _destination(request, settled)
    if announce:
        announce(destination)
    may_exist = request.overwrite or is_auto or destination.is_resumed or bool(request.resume)
    lock.check(destination.folder)
    model_folder.check_output(destination.folder, may_exist)

    # The texts. They or their tokenizer settle what is still open, such as columns of labels.
    open_texts = opener or task.open_texts
    texts = open_texts(request, resolved, kind, progress)
    _warn_of_idle_share(texts, valid)
    resolved = small_texts.follow_size(request, texts.resolved, texts.data)
    small_texts.tell_few(texts.data, resolved, texts.holds_out)

    # The run in the folder, if there is one, is this one only if its texts are the same, too. Then
    # it has finished, or is resumed.
    run = run_of(recipe, resolved, texts.data)
    finished = resuming.finished(destination.folder, run) if is_auto else None
    initial: dict[str, np.ndarray] | TrainingState | None = None
    if destination.is_resumed:
        initial = resuming.state_by_default(destination.folder, run)
        if initial:
            request = _without_starts(replace(request, resume=True))
    elif request.resume:
        initial = resuming.state_of(destination.folder, run, finished)
    if initial is None and not request.resume:
        initial = task.initial_weights(request, kind, resolved, texts.data)
    return Plan(
        request=request,
        recipe=recipe,
        kind=kind,
        resolved=resolved,
        data=texts.data,
        initial=initial,
        test=texts.test,
        valid_is=texts.valid_is,
        output=destination.folder,
        finished=finished,
        holds_out=texts.holds_out,
        overlaps=texts.overlaps,
    )


def _with_resume_decided(request: Request) -> Request:
    """Return the request with its folder, recipe and tokenizer if it resumes a run, and as one that
    begins if there is no run to resume."""
    _check_resume_options(request)
    if request.resume is True:
        request = _counting_again(request)
    is_auto = request.resume == "auto"
    if request.resume and request.output is None:
        beginning = replace(request, resume=False)
        usual = folders.usual_folder(beginning, resolve_request(beginning))
        request = replace(request, output=folders.folder_to_resume(usual, is_auto))
    if is_auto:
        request = _resume_or_start(request)
    return _with_stored_recipe(request) if request.resume else request


def _check_settings(request: Request, kind: registry.Kind, resolved: Resolved) -> str:
    """Refuse settings and names that cannot work, and point out what has no effect. Return what the
    request names to validate on."""
    _check_names(request, kind, resolved)
    valid = ", ".join(request.valid)
    if not valid and request.takes_bundled:
        valid = "the bundled one"
    warn_of_idle(
        resolved,
        request.from_file.origin if request.from_file else "",
        contextual=request.contextual or request.resume,
        valid=valid or None,
    )
    _warn_of_replaced_start(resolved, request)
    has_valid = bool(request.valid or request.takes_bundled or held_out_share(request, resolved))
    kind.check(resolved, has_valid=has_valid)
    return valid


def _destination(request: Request, settled: Settled) -> Destination:
    """Return the folder of the request, or else the default one: that of an unfinished run, or a
    free one."""
    if request.output is not None:
        return Destination(request.output)
    usual = folders.usual_folder(request, settled)
    folder = folders.unfinished_folder(usual) or folders.free_folder(usual)
    passed_over = usual if folder != usual else None
    return Destination(folder, passed_over, not request.overwrite and folder.exists())


def _check_names(request: Request, kind: registry.Kind, resolved: Resolved) -> None:
    """Make sure that all texts and models that the request names are there: at once, before torch
    is imported and a folder is announced."""
    # The texts. A bundled corpus of labels or pairs is a text for its task.
    texts = (*request.text, *request.valid, *request.test)
    beside = [*request.target, *request.valid_target, *request.test_target]
    if registry.task(kind.task).reads_lines:
        sources.check_names(texts)
    else:
        sources.check_files(texts)
        sources.expand(tuple(beside))
    if request.counts is not None:
        kind.check_counts(request.counts)
    vectors = resolved.values.get("embeddings")
    if vectors and vectors != COUNTED:
        check_is_text_file(vectors)

    # The models. A tokenizer may also be that of a prepared text.
    starts = [getattr(request, name) for name in STARTS]
    for name in (*filter(None, starts), *request.contextual):
        loading.find(name)
    if request.tokenizer_from and not is_prepared(request.tokenizer_from):
        loading.find(request.tokenizer_from)


def _warn_of_idle_share(texts: Texts, valid: str) -> None:
    """Send a notice where a share is to be held out of a corpus that has validation data. valid:
    those that the request names."""
    share, resolved = texts.resolved.values["holdout"], texts.resolved
    is_named = bool(valid) or texts.data.valid is None
    if share and resolved.is_asked("holdout") and not texts.holds_out and not is_named:
        notice(f"without effect: holdout = {share}; validation is on {texts.valid_is}")


def _warn_of_replaced_start(resolved: Resolved, request: Request) -> None:
    """Send a notice where one choice of initial weights replaces another."""
    idle = []
    for name in resolved.values:
        if name.startswith("init_") and resolved.is_asked(name):
            idle.append(name)
    if request.init_from and idle:
        notice(
            f"without effect: {', '.join(idle)}; the weights are those of `init_from` "
            f"{request.init_from}"
        )

    # Vectors of a file are read last, so they win over those of a language model.
    name, source = "`init_from`", request.init_from
    if not source:
        name, source = "`init_encoder_from`", request.init_encoder_from
    file = resolved.values.get("embeddings")
    if file and source:
        notice(
            f"for the same words, the vectors of embeddings = {file} replace those of "
            f"{name} {source}"
        )


def run_of(recipe: str | None, resolved: Resolved, data: Data) -> Run:
    """Return what identifies the run: recipe, settings, hashes of its texts and tokenizer."""
    settings = dict(resolved.values)
    valid = data.valid.lines_hash if data.valid else None
    return Run(recipe, settings, data.train.lines_hash, valid, data.tokenizer.fingerprint)


def _resume_or_start(request: Request) -> Request:
    """Decide `--resume auto`: resume if the folder has a checkpoint, else start, with `--init-from`
    if that is given."""
    assert request.output is not None
    if not checkpoints.exists(request.output):
        return replace(request, resume=False)
    return _without_starts(replace(request, resume=True))


def _counting_again(request: Request) -> Request:
    """Return a request to resume as one that begins, if its kind of model has no checkpoints: it
    finds what is done in the folder for its temporary files."""
    beginning = replace(request, resume=False)
    settled = resolve_request(beginning)
    if settled.kind.trains_in_steps:
        return request
    if not settled.resolved.values.get("temp"):
        raise UsageError(
            "there is nothing to resume",
            f"a model of kind {settled.kind.name} has no checkpoints: what is counted is kept only "
            "in a folder that is named for it",
            "add `temp=DIR`, the same as before; else leave `resume` out",
        )
    return beginning


def _without_starts(request: Request) -> Request:
    """Drop the models to start from: a run that is resumed has its weights already."""
    none: dict[str, Any] = dict.fromkeys(STARTS)
    return replace(request, **none)


def _check_resume_options(request: Request) -> None:
    """Refuse `--resume` together with an option that begins a run."""
    other = None
    starts = [name for name in STARTS if getattr(request, name)]
    if request.overwrite:
        other = "`overwrite`"
    elif starts and request.resume != "auto":
        other = f"`{starts[0]}`"
    if request.resume and other:
        raise UsageError(
            f"`resume` and {other} cannot be combined",
            "one continues a run, the other begins a new one",
            f"leave {other} out to continue",
        )


def _with_stored_recipe(request: Request) -> Request:
    """Complete a request to resume with the tokenizer and the recipe of the run in its folder."""
    assert request.output is not None
    run = checkpoints.load_run(request.output)
    return replace(
        request,
        recipe=request.recipe or run.recipe,
        tokenizer_from=request.tokenizer_from or str(request.output),
    )
