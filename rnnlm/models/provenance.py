"""Whether a text is held out: what is found on the very text that a model was trained on flatters that model."""

from collections.abc import Mapping
from pathlib import Path

from rnnlm.errors import notice
from rnnlm.models import model_parts
from rnnlm.models.manifest import read_manifest


def warn_if_trained_on(lines_hash: str, folders: Mapping[str, Path], found: str) -> None:
    """Send a notice that names those of the models, each in its folder, that were trained on the text of that hash.

    found: what is looked for on the text: "weights", "settings".
    """
    if names := [name for name, folder in folders.items() if _was_trained_on(folder, lines_hash)]:
        one = "it" if len(names) == 1 else "them"
        notice(
            f"this is the very text that {' and '.join(names)} {'was' if len(names) == 1 else 'were'} trained on: "
            f"{found} found there flatter {one}; use held-out text"
        )


def _was_trained_on(folder: Path, lines_hash: str) -> bool:
    """Whether the model there was, or one that it is made of."""
    manifest = read_manifest(folder)
    parts = model_parts.part_folders(folder, manifest)
    return manifest.training.get("train_data") == lines_hash or any(_was_trained_on(part, lines_hash) for part in parts)
