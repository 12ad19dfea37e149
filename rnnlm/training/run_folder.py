"""Choose the folder of a run that names none, and find how much of the requested run a folder
holds: nothing, a part of it, or all of it.

A run is the same if its settings are, and the texts and models that it reads. Facts in
:data:`MAY_CHANGE` are free, and the budget may grow. A setting that was chosen for the run has the
value that was chosen, for those who set it by themselves.
"""

import glob
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import to_builtins

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.choices import THE_MACHINE, THE_TIME, stored_choices
from rnnlm.config import MACHINE, OVER_BUDGET, Budget, Choice, ResolvedSettings, as_stored
from rnnlm.errors import ModelError, OutputError, keyword, notice
from rnnlm.events import Finished
from rnnlm.interface import FittingData, Task
from rnnlm.lm.base import loading
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.reading import STANDARD_INPUT
from rnnlm.storage.files.resuming import (
    WAYS_OUT,
    ExistingWork,
    Identity,
    NextStep,
    differing,
    in_one_spelling,
    next_step,
    signature,
    tell_finished,
    text_signatures,
)
from rnnlm.storage.manifest import ENDED, Manifest, file_faults, is_model, read_manifest
from rnnlm.storage.model_folder import MOST_HASHED
from rnnlm.storage.run_files import LoadedCheckpoint, MetricsLog, load_checkpoint
from rnnlm.system import current_rank
from rnnlm.text import sources
from rnnlm.text.vectors import COUNTED
from rnnlm.training.card import STARTS
from rnnlm.training.language_model import DEMO_RECIPE
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import ResolvedRequest

# ---- The folder of a run that names none: in ./checkpoints, named after its text and the kind of
# model.

LONGEST_NAME = 100  # of a text; file systems take 255 bytes, and kinds come behind it
# Suffixes of text files besides the suffixes of tables. Others, such as .en and .fr, distinguish
# texts.
_TEXT_SUFFIXES = {".txt", ".text", ".tokens", ".raw", ".conll", ".conllu", ".arrow"}
# A file named after its use is less informative than its folder.
_TRAINING_PART = "train"


def usual_folder(request: TrainingRequest, settled: ResolvedRequest) -> Path:
    """Return ./checkpoints/TEXT-KIND, or TEXT-RECIPE; of a task, TEXT-TASK-KIND, since kinds of
    several tasks have the same name."""
    task = registry.task(settled.kind.task)
    # The recipe of the demo is taken without being named.
    is_demo = settled.recipe == DEMO_RECIPE and request.takes_bundled
    made = settled.kind.name if settled.recipe is None or is_demo else settled.recipe
    if task.option:
        made = f"{task.name}-{made}"
    return loading.CHECKPOINTS / f"{text_name(request, task)}-{made}"


def text_name(request: TrainingRequest, task: Task) -> str:
    """Return the name of a request's text in names of folders: of the first one of several."""
    if request.counts is not None:
        return _safe(_without_suffixes(_last_part(request.counts)))
    if not request.text:
        return task.usual_corpus
    text = request.text[0]
    if text == STANDARD_INPUT:
        return "stdin"
    if text.startswith(sources.HUB):
        return _safe(text.rpartition("/")[2])
    if glob.has_magic(text) and not os.path.exists(text):
        return _safe(_name_of_glob(text))

    # The name of the file, or of its folder if the file is called "train".
    name = _without_suffixes(_last_part(text))
    folder = os.path.dirname(text)
    if name == _TRAINING_PART and folder:
        name = _last_part(folder)
    return _safe(name)


def _last_part(path: str) -> str:
    """Return the name of a file or folder, also of one given as `.` or `..`."""
    return os.path.basename(os.path.abspath(path))


def _name_of_glob(pattern: str) -> str:
    """Return how the names of the files begin, or if they begin in many ways, their folder."""
    folder, beginning = os.path.split(re.split(r"[*?\[]", pattern)[0])
    return _without_suffixes(beginning.rstrip("._-")) or _last_part(folder)


def _without_suffixes(name: str) -> str:
    """Return the name of a file without the suffixes of texts, tables and compression."""
    known = {*_TEXT_SUFFIXES, *tables.SUFFIXES}
    while True:
        shorter = without_suffix(name)
        suffix = Path(shorter).suffix
        if suffix.lower() in known:
            shorter = shorter.removesuffix(suffix)
        if shorter == name:
            return name
        name = shorter


def _safe(name: str) -> str:
    """Return a name with only those characters that suit file names and command lines."""
    return re.sub(r"[^\w.-]+", "-", name)[:LONGEST_NAME].strip(".-") or "text"


# ---- What a folder holds of a run.

MAY_CHANGE = MACHINE | {
    "cuda_graphs", "rollbacks", "rollback_factor", "accumulation", "patience", "min_validations",
}  # fmt: skip
# The settings of how long a run is. Another one may make a run longer that has ended.
BUDGET, PATIENCE = "budget", "patience"
_TEXTS = {
    "text": "training text", "valid": "validation text", "test": "test text",
    "target": "target", "valid_target": "validation target", "test_target": "test target",
}  # fmt: skip


# ---- The identity of a run.


def identity_of(request: TrainingRequest, resolved: ResolvedSettings) -> dict[str, str]:
    """Return everything that the result of a run depends on: its settings, before its texts have
    brought any, and the signatures of the texts and models that it reads."""
    names = [name for name in resolved.values if name not in MAY_CHANGE - {PATIENCE}]
    identity = {name: in_one_spelling(resolved.values[name]) for name in names}

    # The ranks of a run may read copies of its texts: the first one compares them for all.
    if current_rank().rank == 0:
        identity |= _signatures(request, resolved)
    return identity


def _in_same_terms(
    choices: Sequence[Choice], before: Identity, now: Identity, free: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the identity of a stored run and that of the requested one so that what was chosen and
    what somebody sets compare. choices: of the stored run. free: settings that nobody sets now."""
    # A run has what was chosen for it; so has the same request, and so has who sets just that.
    chosen = {choice.name: in_one_spelling(choice.value) for choice in choices if choice.is_taken}
    stored = {**before, **{name: chosen[name] for name in chosen.keys() & before.keys()}}
    open_now = {*free, *(name for name, value in chosen.items() if now.get(name) == value)}
    wanted = dict(now)
    for choice in choices:
        if choice.name in wanted and {choice.name, *choice.together} <= open_now:
            wanted[choice.name] = in_one_spelling(choice.value)
    return stored, wanted


def _signatures(request: TrainingRequest, resolved: ResolvedSettings) -> dict[str, str]:
    """Return the signatures of the texts and models that a run reads, by their purpose."""
    # Texts and files.
    signatures: dict[str, str] = {}
    for field, role in _TEXTS.items():
        files: list[str] = []
        for name in getattr(request, field):
            files += [name] if name in corpora.names() else sources.expand((name,))
        signatures |= text_signatures(files, role)
    if request.counts is not None:
        signatures["counts"] = signature(request.counts)
    vectors = resolved.values.get("embeddings")
    if vectors and vectors != COUNTED:
        signatures["vectors"] = signature(vectors)

    # Models that the run begins with, or reads as input.
    models = {field: getattr(request, field) for field in (*STARTS, "tokenizer_from")}
    models |= {f"contextual {n}": name for n, name in enumerate(request.contextual, start=1)}
    return signatures | {use: _signature_of_model(name) for use, name in models.items() if name}


def _signature_of_model(name: str) -> str:
    """Return the fingerprint of a model; of a prepared text, counts or a folder of another library,
    whose tokenizer is taken, the signature or the tokenizer's fingerprint."""
    form = registry.text_folder(name)
    if form:
        return form.signature(Path(name))
    if registry.library_of(name):
        return loading.load_tokenizer(name).fingerprint
    return read_manifest(loading.find(name)).fingerprint


# ---- The existing part of it.


@dataclass(frozen=True)
class CompletedRun:
    """A finished run: its model is in the folder, whole and evaluated."""

    output: Path
    manifest: Manifest

    @property
    def finished(self) -> Finished:
        """The last event of the run."""
        facts = self.manifest.training
        return Finished(
            str(self.output),
            self.manifest.step,
            facts.get("steps", self.manifest.step),
            facts.get("seconds", 0.0),
            facts["stopped"],
            self.manifest.results,
        )

    def notify(self) -> None:
        """Send a notice that nothing is left to do."""
        steps = self.finished.steps
        of_run = f", step {self.manifest.step:,} of {steps:,}" if steps > 1 else ""
        tell_finished(self.output, f"its model is of kind {self.manifest.model}{of_run}")


@dataclass(frozen=True)
class InterruptedRun:
    """A run that was cut off. Without a last checkpoint, training has finished, and only its exact
    evaluation is missing."""

    manifest: Manifest  # of its best model so far
    stored: LoadedCheckpoint | None

    def continued(self, wanted: Identity) -> dict[str, str]:
        """Return the identity of the run as it goes on: with the values that were chosen for it,
        whoever sets them now, and what may change as it is `wanted`."""
        before = self.manifest.training.get("identity", {})
        choices = stored_choices(self.manifest.training) or ()
        kept = {choice.name for choice in choices} - {BUDGET, PATIENCE}
        return {**wanted, **{name: before[name] for name in kept & before.keys() & wanted.keys()}}


def find_stored_run(
    folder: Path, wanted: Identity, free: Collection[str] = ()
) -> CompletedRun | InterruptedRun | None:
    """Return the state of the run that is `wanted` in `folder`; None: nothing, or so little that it
    starts over. Refuse a folder that holds a model of another run.

    free: settings that nobody sets.
    """
    if not is_model(folder):
        return None
    try:
        manifest = read_manifest(folder)
    except ModelError as error:
        raise OutputError(error.what, error.why, WAYS_OUT) from None
    noted = manifest.training.get("identity")
    identity = compared = noted if isinstance(noted, dict) else None

    # The same run, perhaps longer than it was, or another one, which is refused.
    is_longer, may_differ = False, {PATIENCE}
    if identity is not None:
        choices = stored_choices(manifest.training) or ()
        compared, wanted = _in_same_terms(choices, identity, wanted, free)
        if current_rank().rank:
            may_differ |= compared.keys() - wanted.keys()
        if _has_grown(manifest, compared, wanted):
            may_differ.add(BUDGET)
        has_patience = compared.get(PATIENCE) != wanted.get(PATIENCE)
        ended_early = manifest.training.get("stopped") == "early"
        is_longer = BUDGET in may_differ or (ended_early and has_patience)
    has_ended = manifest.training.get("stopped") in ENDED and not is_longer
    existing = ExistingWork(compared, has_ended)
    if next_step(folder, existing, wanted, free=may_differ) is NextStep.FINISHED:
        return _ended(folder, manifest)

    # It resumes from its last checkpoint. The checkpoint of another run is there where a run was
    # killed while it overwrote that one.
    assert identity is not None
    stored = load_checkpoint(folder)
    if stored and not differing(stored.identity, identity, free={BUDGET, PATIENCE}):
        return InterruptedRun(manifest, stored)
    _notice_start(folder, manifest)
    return None


def _ended(folder: Path, manifest: Manifest) -> CompletedRun | InterruptedRun:
    """Return a run whose training has finished. Refuse it if its model is damaged."""
    faults = file_faults(folder, manifest, MOST_HASHED)
    if faults:
        raise OutputError(f"the model of this run in {folder} is damaged", faults[0], WAYS_OUT)
    return (
        CompletedRun(folder, manifest)
        if MetricsLog(folder).is_complete
        else InterruptedRun(manifest, None)
    )


def _has_grown(manifest: Manifest, identity: Identity, wanted: Identity) -> bool:
    """Return whether the requested budget differs from the budget of the run, and is larger: in the
    same unit, or else than the part that the run has used."""
    is_counted = BUDGET not in manifest.settings or BUDGET not in wanted
    if is_counted or identity.get(BUDGET) == wanted[BUDGET]:
        return False
    facts = manifest.training
    had = {
        "steps": facts.get("steps", 0),
        "seconds": facts.get("seconds", 0.0),
        "epochs": facts.get("tokens_read", 0) / max(1, facts.get("train_tokens", 0)),
    }
    before, now = Budget.parse(manifest.settings[BUDGET]), Budget.parse(wanted[BUDGET])
    for unit, amount in had.items():
        if getattr(now, unit) is not None:
            return getattr(now, unit) > (getattr(before, unit) or amount)
    return False


def _notice_start(folder: Path, manifest: Manifest) -> None:
    """Send a notice that a run starts over, as it was interrupted before its first checkpoint.
    Refuse to start over one that has ended, as its model would be lost."""
    if "stopped" in manifest.training:
        raise OutputError(
            f"{folder} holds the model of this run, but no checkpoint to resume from",
            "they were deleted, or none were kept",
            WAYS_OUT,
        )
    notice(
        f"the run in {folder} was interrupted before its first checkpoint: it starts over and "
        f"replaces the model of step {manifest.step:,} there"
    )


def check_text(folder: Path, begun: InterruptedRun, data: FittingData) -> None:
    """Refuse to resume a run whose training text has changed, though nothing showed it before it
    was read: the text of a data set, say."""
    if begun.manifest.training.get("train_data") != data.train.lines_hash:
        raise OutputError(
            f"{folder} already holds another result", "it was trained on another text", WAYS_OUT
        )


def with_kept(resolved: ResolvedSettings, folder: Path, begun: InterruptedRun) -> ResolvedSettings:
    """Return the settings of a run that goes on: with those that were chosen for it, but for how
    long it is, and what this machine chooses."""
    # Where training has ended, and only the evaluation is missing, the model has them.
    settings = begun.stored.settings if begun.stored else begun.manifest.settings
    stored, values = stored_choices(begun.manifest.training), as_stored(resolved.values)
    choices = stored or ()
    of_machine = {choice.name for choice in choices if choice.by == THE_MACHINE}
    chosen = {choice.name for choice in choices if choice.is_taken} - of_machine
    may_change = {*MAY_CHANGE, BUDGET, *of_machine} - (chosen & resolved.free)
    kept = {}
    for name, value in settings.items():
        is_kept = name in values and name not in may_change
        if is_kept and to_builtins(values[name]) != value:
            kept[name] = value
    resumed = resolved.with_layer(f"the run in {folder}", kept)

    # Its choices are on record, with the reasons of that time; of a run of an earlier version,
    # those that would be made again. What validations cost shows anew.
    now = [choice for choice in resolved.all_choices if choice.name in may_change]
    recorded: Sequence[Choice] = choices
    if stored is None:
        recorded = [choice for choice in resolved.all_choices if choice.name not in kept]
    before = [choice for choice in recorded if choice.name in values.keys() - may_change]
    origins = {choice.name: choice.by for choice in before if choice.is_taken}
    return replace(resumed, origins={**resumed.origins, **origins}, all_choices=(*before, *now))


def tell_resumed(resolved: ResolvedSettings, folder: Path, stored: LoadedCheckpoint) -> None:
    """Send notices that a run resumes; that its network keeps its size under another budget; and
    that another budget would have given the steps so far other rates."""
    notice(
        f"the run in {folder} resumes after step {stored.state.facts['step']:,} ("
        + keyword("overwrite", True)
        + " starts it over)"
    )

    # What another budget does not change, and what it does.
    settings = resolved.values
    before, now = stored.settings.get(BUDGET), settings[BUDGET]
    is_sized = resolved.origins.get("hidden_size") == THE_TIME
    if is_sized and Budget.parse(now).seconds and before != now:
        notice(
            f"the network keeps the size that suited {before}: "
            + keyword("overwrite", True)
            + f" chooses one for {now}"
        )
    follows = settings.get("schedule") in OVER_BUDGET or settings.get("warmup")
    if follows and before != now:
        notice(
            f"the learning rate depends on the budget: earlier steps used the rates of {before}, "
            f"so this run differs from a new one with {now} (unless schedule=constant and "
            "warmup=0)"
        )
    if settings.get("own_words_schedule") in OVER_BUDGET and before != now:
        notice(f"the chance of own words depends on the budget, too: earlier steps used {before}")
