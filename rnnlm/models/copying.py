"""A model folder copied to another place, whole: weights, parts, results, card and log."""

import dataclasses
import shutil
from pathlib import Path

from rnnlm.errors import OutputError
from rnnlm.models import card, model_folder, registry
from rnnlm.models.manifest import part_folders
from rnnlm.models.metrics_log import METRICS


def copy(source: Path, target: Path, overwrite: bool = False) -> Path:
    """Copy the model in `source` into the folder `target`, and return that.

    Models that it is made of are copied into it, so that the copy is complete by itself.

    Raises:
        OutputError: there is a model at `target` that is not to be replaced, or it cannot be
            written. ModelError: the model is damaged.
    """
    if model_folder.is_model(target) and not overwrite:
        raise OutputError(
            f"{target} holds a model already", hint="choose another folder, or overwrite=True"
        )
    model, manifest = model_folder.load(source, "cpu")
    parts = part_folders(source, manifest)
    saved = model_folder.save(
        target, model, manifest.model, manifest.settings, manifest.step, manifest.training, parts,
        bundle=bool(parts),
    )  # fmt: skip
    saved = dataclasses.replace(saved, made_by=manifest.made_by)
    saved = model_folder.save_results(target, saved, manifest.results, manifest.training)

    # What is there beside the model: the log of its training, and the card.
    if (source / METRICS).is_file():
        shutil.copyfile(source / METRICS, target / METRICS)
    card.write(target, saved, registry.task(manifest.task).codec_of(model))
    return target
