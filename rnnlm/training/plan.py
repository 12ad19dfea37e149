"""Plan a requested run: resolve its settings, read and encode its texts, and check that its folder
can be written to."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import to_builtins

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.config import ResolvedSettings, as_text, check_needs, describe
from rnnlm.errors import RnnlmWarning, UsageError, keyword, notice
from rnnlm.events import TrainingState
from rnnlm.interface import FittingData, SourcedData, TextData
from rnnlm.lm.base import loading
from rnnlm.storage import model_folder
from rnnlm.storage.files import lock
from rnnlm.storage.files.resuming import Identity
from rnnlm.storage.files.writing import sha256
from rnnlm.storage.manifest import CONFIG, Manifest
from rnnlm.system import current_rank
from rnnlm.text import sources
from rnnlm.text.lines import Progress, silent
from rnnlm.text.vectors import COUNTED, check_is_text_file
from rnnlm.training import run_folder as resuming
from rnnlm.training.card import STARTS
from rnnlm.training.line_texts import held_out_share
from rnnlm.training.recipes import recipe as recipes
from rnnlm.training.request import Overlap, Texts, TrainingRequest
from rnnlm.training.resolution import ResolvedRequest, resolve_request

# Of a model: its weights, the best ones and the optimizer's averages, each also of the state to go
# back to.
CHECKPOINT_SIZE = 8
BYTES_OF_A_WEIGHT = 4
FEW_LINES = 20  # to validate on
# Reads and encodes the texts of a run
Opener = Callable[[TrainingRequest, ResolvedSettings, registry.Kind, Progress], Texts]
_ANY_DEVICE = {"device": "cpu", "precision": "auto"}


@dataclass(frozen=True)
class Plan:
    """A request made definite: every setting with its origin, the encoded texts, the output folder.

    By its identity, the same command finds the run again; a dry run has none. `overlaps` tells how
    much of the validation and the test text (valid, test) is in the training text.
    """

    request: TrainingRequest
    recipe: str | None
    kind: registry.Kind
    resolved: ResolvedSettings
    data: FittingData
    # Weights to start from, or the state of a run that is resumed
    initial: dict[str, np.ndarray] | TrainingState | None
    test: TextData | None
    valid_is: str  # the validation text in words
    output: Path
    forecast: Any = None  # of what it reads in its time, as the kind's `choose` returns it
    identity: Identity = field(default_factory=dict)
    found: str | None = None  # hash of config.json in its folder: other processes may replace it
    # Of the model of a run that was cut off in its exact evaluation, which is all that it lacks
    trained: Manifest | None = None
    holds_out: bool = False  # whether the validation text was held out of the training text
    overlaps: Mapping[str, Overlap] = field(default_factory=dict)
    has_intervals: bool = False  # whether the exact evaluations at the end have 95 % intervals

    @property
    def is_resumed(self) -> bool:
        """Whether the run resumes after an interruption."""
        return self.trained is not None or isinstance(self.initial, TrainingState)

    @property
    def text_names(self) -> list[str]:
        """The name of the training text: files, counts, or the bundled corpus."""
        if self.request.counts is not None:
            return [self.request.counts]
        usual = registry.task(self.kind.task).usual_corpus
        return list(self.request.text) or [corpora.named(usual)]

    def describe(self) -> list[tuple[str, object, str, str, str]]:
        """Return (name, value, what it replaces, origin, description) of every setting; of those
        that were chosen, the origin has the reason."""
        descriptions: dict[str, str] = {}
        for cls in self.resolved.classes:
            descriptions |= describe(cls)
        replaced = dict.fromkeys(descriptions, "")
        origins = dict(self.resolved.origins)
        for choice in self.resolved.choices:
            replaced[choice.name] = as_text(choice.was)
            origins[choice.name] += f": {choice.why}"
        return [
            (name, value, replaced[name], origins[name], descriptions[name])
            for name, value in self.resolved.values.items()
        ]

    def sizes(self) -> dict[str, object]:
        """Return how large the model and its texts are, by name; None: known once counted."""
        return {
            "model": self.kind.name,
            "parameters": self.parameters(),
            "vocabulary_size": self.data.tokenizer.size,
            "train_tokens": self.data.train.tokens,
            "valid_tokens": self.data.valid.tokens if self.data.valid else 0,
            "validation": self.valid_is,
            "output": str(self.output),
            **(self.data.sizes() if isinstance(self.data, SourcedData) else {}),
        }

    def to_dict(self) -> dict[str, object]:
        """Return the sizes, and every setting with its origin, as JSON has them."""
        values, origins = self.resolved.values, self.resolved.origins
        settings = {name: {"value": values[name], "origin": origins[name]} for name in values}
        choices = to_builtins(self.resolved.all_choices)
        return {**self.sizes(), "choices": choices, "settings": settings}

    def parameters(self) -> int | None:
        """Count the model's parameters without allocating them. None until n-grams are counted."""
        shapes = self.kind.array_shapes(self.resolved.values, self.data.tokenizer)
        return None if shapes is None else loading.count_parameters(shapes)

    def bytes_to_write(self) -> int:
        """Return about how many bytes a network's run has on disk at most; 0 of other models. A
        model and its checkpoints are written before those that they replace are deleted."""
        if not self.kind.trains_in_steps:
            return 0
        kept = self.resolved.values["keep_checkpoints"]
        models = 2 + CHECKPOINT_SIZE * (kept + 1 if kept else 0)
        return models * BYTES_OF_A_WEIGHT * (self.parameters() or 0)


def plan(
    request: TrainingRequest,
    progress: Progress = silent,
    opener: Opener | None = None,
    is_shown: bool = False,
) -> Plan | resuming.CompletedRun:
    """Plan the run of a request: a new one, or one that resumes. Of one that is done already,
    return its model; refuse a folder that holds another one.

    `progress` is called with how far reading is. `opener`, by default the kind's own, reads and
    encodes the texts. If the plan is only shown, training modules need not be imported.
    """
    settled, output = _resolve(request)
    lock.check(output)
    found = sha256(output / CONFIG)
    identity = resuming.identity_of(request, settled.resolved)
    begun = None
    if not request.overwrite:
        begun = resuming.find_stored_run(output, identity, settled.resolved.free)
    if isinstance(begun, resuming.CompletedRun):
        return begun
    _check_settings(request, settled)
    if not is_shown:
        _ = settled.kind.fit  # a package that is missing is missed before texts are read
    model_folder.check_output(output, overwrite=True)  # existing files may be replaced
    if begun:
        identity = begun.continued(identity)
    planned = _with_texts(request, settled, output, begun, progress, opener)
    return replace(planned, identity=identity, found=found)


def check_request(request: TrainingRequest) -> None:
    """Refuse settings that no text makes possible: unknown names, values out of range,
    contradictions. Notices are left to the plan, and so is whether there is such a device."""
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        recipe, kind, resolved = resolve_request(request)
        on_any_device = {
            name: value for name, value in _ANY_DEVICE.items() if name in resolved.values
        }
        resolved = replace(resolved, values={**resolved.values, **on_any_device})
        _check_settings(request, ResolvedRequest(recipe, kind, resolved))


def dry_plan(request: TrainingRequest, progress: Progress = silent) -> Plan:
    """Plan the run of a request as one that starts, and ignore its folder."""
    settled, output = _resolve(request)
    _check_settings(request, settled)
    return _with_texts(request, settled, output, None, progress)


def _resolve(request: TrainingRequest) -> tuple[ResolvedRequest, Path]:
    """Return a request made definite, and its folder; refuse names of things that are not there."""
    if current_rank().count > 1 and "-" in (*request.text, *request.valid, *request.test):
        raise UsageError(
            "several processes cannot share standard input",
            hint="write the text to a file and name the file",
        )
    settled = resolve_request(request)
    _check_names(request, settled.kind, settled.resolved)
    return settled, request.output or resuming.usual_folder(request, settled)


def _with_texts(
    request: TrainingRequest,
    settled: ResolvedRequest,
    output: Path,
    begun: resuming.InterruptedRun | None,
    progress: Progress,
    opener: Opener | None = None,
) -> Plan:
    """Read and encode the texts of a run, which may have `begun` before."""
    # A resumed run already has its tokenizer.
    recipe, kind, resolved = settled
    task = registry.task(kind.task)
    given = request
    if begun and not request.tokenizer_from:
        request = replace(request, tokenizer_from=str(output))

    # The texts or their tokenizer settle open settings, such as columns of labels.
    texts = (opener or task.open_texts)(request, resolved, kind, progress)
    _warn_of_idle_share(texts, _validation_names(request))
    # The vocabulary, the size of the text, the time of a run that is new, and the machine settle
    # others.
    run = _facts_for_choices(request, recipe, is_new=begun is None)
    resolved, forecast = kind.choose(texts.resolved, texts.data, run)
    _notice_small_validation_text(texts.data, resolved, texts.holds_out)
    source = registry.data_source(resolved)
    data = source.data(texts.data, resolved) if source else texts.data

    # A run starts from the weights of other models, or resumes from its own.
    initial: dict[str, np.ndarray] | TrainingState | None = None
    if begun is None:
        initial = task.initial_weights(request, kind, resolved, texts.data)
    else:
        resuming.check_text(output, begun, texts.data)
        resolved = resuming.with_kept(resolved, output, begun)
        if begun.stored is not None:
            resuming.tell_resumed(resolved, output, begun.stored)
            initial = begun.stored.state
    return Plan(
        request=given,
        recipe=recipe,
        kind=kind,
        resolved=resolved,
        data=data,
        initial=initial,
        test=texts.test,
        valid_is=texts.valid_is,
        output=output,
        forecast=forecast,
        trained=begun.manifest if begun and begun.stored is None else None,
        holds_out=texts.holds_out,
        overlaps=texts.overlaps,
    )


def _facts_for_choices(
    request: TrainingRequest, recipe: str | None, is_new: bool
) -> registry.RunFacts:
    """Return the facts by which a kind of model chooses settings for the run of a request."""
    base = recipes.load(recipe) if recipe is not None else recipes.Recipe("none", {}, "")
    return registry.RunFacts(
        rate_steps=base.rate_steps,
        one_pass_rate=base.one_pass_rate,
        is_bundled=request.is_bundled,
        is_alone=not request.extra_layers and current_rank().count == 1,
        is_new=is_new,
    )


def _notice_small_validation_text(
    data: FittingData, resolved: ResolvedSettings, holds_out: bool
) -> None:
    """Send a notice if few lines were held out for validation, which chooses among the weights of
    a network."""
    if holds_out and data.valid is not None and data.valid.sentences < FEW_LINES:
        count = data.valid.sentences
        lines = "a single line is" if count == 1 else f"a part of only {count} lines is"
        choice = ", and chooses the weights that are kept" if "budget" in resolved.values else ""
        notice(
            f"{lines} held out for validation{choice}: "
            + keyword("valid", "FILE")
            + " names a larger text"
        )


def _check_settings(request: TrainingRequest, settled: ResolvedRequest) -> None:
    """Refuse settings that cannot work, and point out those without effect."""
    _, kind, resolved = settled
    check_needs(
        resolved,
        request.from_file.origin if request.from_file else "",
        contextual=request.contextual,
        valid=_validation_names(request) or None,
    )
    _warn_of_replaced_start(resolved, request)
    source = registry.data_source(resolved)
    if source:
        source.check(resolved)
    has_valid = bool(request.valid or request.takes_bundled or held_out_share(request, resolved))
    kind.check(resolved, has_valid=has_valid)


def _validation_names(request: TrainingRequest) -> str:
    """Return the texts that the request names to validate on."""
    return ", ".join(request.valid) or ("the bundled one" if request.takes_bundled else "")


def _check_names(request: TrainingRequest, kind: registry.Kind, resolved: ResolvedSettings) -> None:
    """Make sure that all texts and models that the request names are there: at once, before torch
    is imported."""
    # The texts. A bundled corpus of labels or pairs is a text for its task.
    texts = (*request.text, *request.valid, *request.test)
    if registry.task(kind.task).reads_lines:
        sources.check_names(texts)
    else:
        sources.check_files(texts)
        sources.expand((*request.target, *request.valid_target, *request.test_target))
    if request.counts is not None:
        registry.source_of_counts(kind, resolved).check_counts(request.counts)
    vectors = resolved.values.get("embeddings")
    if vectors and vectors != COUNTED:
        check_is_text_file(vectors)

    # The models. A tokenizer may also be the tokenizer of a prepared text.
    starts = [getattr(request, name) for name in STARTS]
    for name in (*filter(None, starts), *request.contextual):
        loading.find(name)
    if request.tokenizer_from:
        loading.find_tokenizer(request.tokenizer_from)


def _warn_of_idle_share(texts: Texts, valid: str) -> None:
    """Send a notice where a share is to be held out of a corpus that has validation data. valid:
    those that the request names."""
    share, resolved = texts.resolved.values["holdout"], texts.resolved
    is_named = bool(valid) or texts.data.valid is None
    if share and resolved.is_requested("holdout") and not texts.holds_out and not is_named:
        notice(f"without effect: holdout = {share}; validation is on {texts.valid_is}")


def _warn_of_replaced_start(resolved: ResolvedSettings, request: TrainingRequest) -> None:
    """Send a notice where one choice of initial weights replaces another."""
    starts = [name for name in resolved.values if name.startswith("init_")]
    idle = list(filter(resolved.is_requested, starts))
    if request.init_from and idle:
        notice(
            f"without effect: {', '.join(idle)}; the weights come from "
            + keyword("init_from")
            + f" {request.init_from}, except in layers that it lacks"
        )

    # Vectors of a file are read last, so they win over vectors of a language model.
    name, source = keyword("init_from"), request.init_from
    if not source:
        name, source = keyword("init_encoder_from"), request.init_encoder_from
    file = resolved.values.get("embeddings")
    if file and source:
        notice(
            f"for the same words, vectors of embeddings = {file} replace vectors of "
            + name
            + f" {source}"
        )
