"""Resume a training run that was cut off: its settings, and whether a request asks for that run.

Settings, text and tokenizer must be those of the run; its length and where it runs may change.
"""

from pathlib import Path
from typing import Any

from rnnlm.config import Layer, as_text
from rnnlm.errors import OutputError, UsageError, notice
from rnnlm.events import TrainingState
from rnnlm.models import checkpoints, model_folder
from rnnlm.models.checkpoints import Run
from rnnlm.models.manifest import ENDED, Manifest

MAY_CHANGE = {
    "budget", "device", "threads", "memory", "temp", "workers", "dask", "resumable",
    "cuda_graphs", "save_every", "keep_checkpoints",
    "rollbacks", "rollback_factor",
    "accumulation", "rank_timeout", "patience", "min_validations",
}  # fmt: skip
# In the default folder, without --resume: a command with another budget is another run.
MAY_CHANGE_UNASKED = MAY_CHANGE - {"budget"}


def settings_layer(folder: Path) -> Layer:
    """Return the settings of the run in `folder`."""
    return Layer(f"the run in {folder}", checkpoints.load_run(folder).settings)


def state_of(folder: Path, run: Run, done: Manifest | None = None) -> TrainingState | None:
    """Return the state that the run in `folder` resumes from, or None if it is `done`; refuse
    another run than that one."""
    stored = checkpoints.load_run(folder)
    why = _difference(stored, run, MAY_CHANGE)
    if why:
        raise _another(folder, why)
    if done:
        return None
    _tell_other_rates(stored.settings, run.settings)
    return checkpoints.load(folder)


def _difference(stored: Run, run: Run, may_change: set[str]) -> str:
    """Say how `run` differs from the `stored` one; "" if it is the same."""
    # Texts first: settings may follow from their size.
    parts = {
        "recipe": (stored.recipe, run.recipe),
        "training text": (stored.train_data, run.train_data),
        "validation text": (stored.valid_data, run.valid_data),
        "tokenizer": (stored.tokenizer, run.tokenizer),
    }
    differing = [what for what, (before, now) in parts.items() if before != now]
    if differing:
        return f"not the same: {', '.join(differing)}"
    for name in sorted(run.settings.keys() | stored.settings.keys()):
        before = stored.settings.get(name)
        now = run.settings.get(name)
        if before != now and name not in may_change:
            return f"{name} is {as_text(before)} there, {as_text(now)} was asked for"
    return ""


def state_by_default(folder: Path, run: Run) -> TrainingState | None:
    """Return the state that the unfinished run in the default `folder` resumes from; refuse
    another run than `run`.

    None if it was cut off before its first checkpoint: then it starts over.
    """
    there = None
    if model_folder.is_model(folder):
        there = model_folder.read_manifest(folder)

    # Another run there is not to be lost, nor resumed with settings that nobody asked for.
    stored, why = None, ""
    if checkpoints.exists(folder):
        stored = checkpoints.load_run(folder)
    elif there:
        stored = _run_of_model(there, run)
    if stored:
        why = _difference(stored, run, MAY_CHANGE_UNASKED)
    if why:
        raise OutputError(
            f"{folder} holds an unfinished run of other settings or text",
            why,
            "to continue that run, add `resume=True` and leave out what differs; to begin another, "
            "name another folder with `output`, or replace that run with `overwrite=True`",
        )

    # It is this run: resume it, or start over where there is no checkpoint.
    if checkpoints.exists(folder):
        state = state_of(folder, run)
        assert state is not None
        notice(
            f"{folder} holds an unfinished run of these settings and this text: resuming it after "
            f"step {state.facts['step']:,} (`overwrite=True` starts it over, `output` names "
            "another folder)"
        )
        return state
    if there:
        _check_unfinished(folder, there)
    return None


def _run_of_model(there: Manifest, run: Run) -> Run:
    """Return the run of a model without checkpoints, from its manifest. What the manifest lacks is
    taken from `run`, so that it counts as the same."""
    noted = there.training
    valid_data = noted.get("valid_data") or run.valid_data
    return Run(noted.get("recipe"), there.settings, noted["train_data"], valid_data, run.tokenizer)


def finished(folder: Path, run: Run) -> Manifest | None:
    """Return the manifest of the model in `folder` if `run` has finished there already; None if it
    has not, or if there is no model. Refuse a model of another run."""
    if not model_folder.is_model(folder):
        return None
    there = model_folder.read_manifest(folder)

    # The model must be of this run: same settings, recipe and texts.
    differing = []
    for name, value in sorted(run.settings.items()):
        if there.settings.get(name) != value and name not in MAY_CHANGE:
            differing.append(name)
    noted = there.training
    if noted.get("recipe") != run.recipe:
        differing.append("its recipe")
    if noted.get("train_data") != run.train_data:
        differing.append("its training text")
    # The manifest may name no validation text: there was none, or it was not noted.
    if noted.get("valid_data") and noted["valid_data"] != run.valid_data:
        differing.append("its validation text")
    if differing:
        hint = (
            "choose another folder with `output`, or replace it with `overwrite=True` instead of "
            '`resume="auto"`'
        )
        raise OutputError(
            f"{folder} already holds a model of another run", f"{differing[0]} differs", hint
        )

    # With another budget, even a run that finished goes on.
    same_budget = there.settings.get("budget") == run.settings.get("budget")
    if noted.get("stopped") in ENDED and same_budget:
        return there
    if not checkpoints.exists(folder):
        _check_unfinished(folder, there)
    return None


def _check_unfinished(folder: Path, there: Manifest) -> None:
    """Refuse to start over a run that finished, as its model would be lost. Send a notice if it was
    cut off before its first checkpoint."""
    if "stopped" in there.training:
        hint = (
            f'start from its weights, with `init_from="{folder}"`, `tokenizer_from="{folder}"` and '
            "another `output`; or replace it with `overwrite=True`"
        )
        raise OutputError(
            f"{folder} holds the model of this run, but no checkpoint to resume from",
            "they were deleted, or none were kept",
            hint,
        )
    notice(
        f"the run in {folder} was interrupted before its first checkpoint: it starts over and "
        f"replaces the model of step {there.step:,} there"
    )


def _tell_other_rates(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Send a notice if a changed budget would have given the steps so far other learning rates."""
    follows = now.get("schedule") in ("cosine", "linear") or now.get("warmup")
    if follows and before.get("budget") != now.get("budget"):
        notice(
            "the learning rate depends on the budget: the steps so far used the rates of "
            f"{before.get('budget')}, so this run differs from "
            f"one with {now.get('budget')} from the start (with schedule=constant and warmup=0 it "
            "would be the same)"
        )


def _another(folder: Path, why: str) -> UsageError:
    hint = (
        "repeat its settings, TEXT and `valid`; a new run starts from its weights with "
        f'`init_from="{folder}"`'
    )
    return UsageError(f"{folder} holds another run", why, hint)
