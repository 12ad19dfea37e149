"""Going on with a training run that was cut off: its settings, and whether what is asked for is
that run.

Settings, text and tokenizer are those of the run; its length and where it runs may change.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from rnnlm import arrays
from rnnlm.config import Layer, as_text
from rnnlm.errors import OutputError, UsageError, notice
from rnnlm.events import TrainingState
from rnnlm.models import checkpoints, model_folder
from rnnlm.models.checkpoints import Run
from rnnlm.models.manifest import ENDED, Manifest

MAY_CHANGE = {
    "budget", "device", "threads", "resumable", "cuda_graphs", "save_every", "keep_checkpoints",
    "rollbacks", "rollback_factor",
    "accumulation", "rank_timeout", "patience", "min_validations",
}  # fmt: skip
# in the default folder: a command of another length is another run, until --resume says otherwise
MAY_CHANGE_UNASKED = MAY_CHANGE - {"budget"}


def settings_layer(folder: Path) -> Layer:
    """The settings of the run in `folder`."""
    return Layer(f"the run in {folder}", checkpoints.load_run(folder).settings)


def state_of(
    folder: Path, run: Run, defaults: dict[str, Any], done: Manifest | None = None
) -> TrainingState | None:
    """What the run in `folder` goes on from, if `run` is that one; nothing where it is `done`. A
    setting that came later had the default that it came with."""
    stored = checkpoints.load_run(folder)
    if why := _difference(stored, run, defaults, MAY_CHANGE):
        raise _another(folder, why)
    if done:
        return None
    _tell_other_rates(stored.settings, run.settings)
    state = checkpoints.load(folder)
    # carried in compact form: the weights are the model's
    if not any(name.startswith("network.") for name in state.arrays):
        model, _ = model_folder.load(folder, "cpu")
        state = TrainingState(
            state.facts, {**state.arrays, **arrays.with_prefix("network.", model.to_arrays())}
        )
    return state


def _difference(stored: Run, run: Run, defaults: dict[str, Any], may_change: set[str]) -> str:
    """Say how `run` differs from the `stored` one; "" if it is the same."""
    for name in sorted(run.settings.keys() | stored.settings.keys()):
        before, now = stored.settings.get(name, defaults.get(name)), run.settings.get(name)
        if before != now and name not in may_change:
            return f"{name} is {as_text(before)} there, {as_text(now)} was asked for"
    parts = {
        "recipe": "recipe",
        "training text": "train_data",
        "validation text": "valid_data",
        "tokenizer": "tokenizer",
    }
    differing = [
        what for what, name in parts.items() if getattr(stored, name) != getattr(run, name)
    ]
    return f"not the same: {', '.join(differing)}" if differing else ""


def unasked(folder: Path, run: Run, defaults: dict[str, Any]) -> TrainingState | None:
    """Return what the unfinished run in the default `folder` goes on from, if `run` is that one.

    None where it was cut off before its first checkpoint: then it starts over.
    """
    there = model_folder.read_manifest(folder) if model_folder.is_model(folder) else None
    stored = None
    if checkpoints.exists(folder):
        stored = checkpoints.load_run(folder)
    elif there:
        stored = _run_of_model(there, run)
    if stored and (why := _difference(stored, run, defaults, MAY_CHANGE_UNASKED)):
        raise OutputError(
            f"{folder} holds an unfinished run of other settings or text",
            why,
            "to continue that run, add --resume and leave out what differs; to begin another, name "
            "another folder with -o, or replace that run with --overwrite",
        )
    if checkpoints.exists(folder):
        state = state_of(folder, run, defaults)
        assert state is not None
        notice(
            f"{folder} holds an unfinished run of these settings and this text: it goes on after "
            f"step {state.facts['step']:,} (--overwrite begins it anew, -o names another folder)"
        )
        return state
    if there:
        _check_unfinished(folder, there)
    return None


def _run_of_model(there: Manifest, run: Run) -> Run:
    """Return the run of a model without checkpoints: what its manifest notes, the rest of `run`."""
    return Run(
        there.training.get("recipe"),
        there.settings,
        there.training["train_data"],
        # else there was none, or none was noted, and it is still to be read
        there.training.get("valid_data") or run.valid_data,
        run.tokenizer,
    )


def finished(
    folder: Path, run: Run, defaults: dict[str, Any], unasked: Collection[str] = ()
) -> Manifest | None:
    """The model in `folder` if `run` has come to its end there already; None where it has not, or
    there is no model. A setting that came later had the default that it came with, which may differ
    from today's where the setting is `unasked` for."""
    if not model_folder.is_model(folder):
        return None
    there = model_folder.read_manifest(folder)
    differing = set()
    for name, value in run.settings.items():
        stored = there.settings.get(name, defaults.get(name))
        is_former_default = name in unasked and stored == defaults.get(name)
        if stored != value and not is_former_default and name not in MAY_CHANGE:
            differing.add(name)
    parts = {
        "its recipe": ("recipe", run.recipe),
        "its training text": ("train_data", run.train_data),
    }
    # else there was none, or none was noted, and it is still to be read
    if there.training.get("valid_data"):
        parts["its validation text"] = ("valid_data", run.valid_data)
    others = [
        *sorted(differing),
        *(what for what, (name, value) in parts.items() if there.training.get(name) != value),
    ]
    if others:
        hint = (
            "choose another folder with -o, or replace it with --overwrite in the place "
            "of --resume auto"
        )
        raise OutputError(
            f"{folder} already holds a model of another run", f"{others[0]} differs", hint
        )
    if there.training.get("stopped") in ENDED and there.settings.get("budget") == run.settings.get(
        "budget"
    ):
        return there
    if not checkpoints.exists(folder):
        _check_unfinished(folder, there)
    return None


def _check_unfinished(folder: Path, there: Manifest) -> None:
    """Refuse to begin a run anew that came to an end: its model is not to be lost. A notice says so
    of one that was cut off before its first checkpoint."""
    if "stopped" in there.training:
        hint = (
            f"start from its weights: --init-from {folder} --tokenizer-from {folder} -o "
            "ANOTHER; or replace it with --overwrite"
        )
        raise OutputError(
            f"{folder} holds the model of this run, but no checkpoint to go on from",
            "they were deleted, or none were kept",
            hint,
        )
    notice(
        f"the run in {folder} was cut off before its first checkpoint: it starts over and "
        f"replaces the model of step {there.step:,} there"
    )


def _tell_other_rates(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Where the learning rate is worked out over the budget, another budget means other rates for
    the steps so far."""
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
        "repeat its settings, TEXT and --valid; a new run starts from its weights with "
        f"--init-from {folder}"
    )
    return UsageError(f"{folder} holds another run", why, hint)
