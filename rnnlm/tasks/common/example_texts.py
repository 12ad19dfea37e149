"""The parts of data that are not lines of text: their files, the part held out for validation, and
the settings for reading more of them with a trained model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.config import SettingsLayer, from_stored, resolve
from rnnlm.errors import UsageError, keyword, notice
from rnnlm.storage.manifest import read_manifest
from rnnlm.text.corpus import Examples
from rnnlm.text.sources import settings_for
from rnnlm.training.overlaps import examples_in_train
from rnnlm.training.request import Overlap, TrainingRequest

S = TypeVar("S")  # settings for reading
T = TypeVar("T", bound=Examples)


def files_of_parts(
    request: TrainingRequest, task: str
) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """Return the files of each part, by its name: files that a request names, or the files of a
    bundled corpus. Return the name of that corpus, too."""
    files = {
        "train": request.text or (registry.task(task).usual_corpus,),
        "valid": request.valid,
        "test": request.test,
    }
    # A folder with the name of a corpus is no data, but perhaps a model.
    bundled = [
        name for name in files["train"] if name in corpora.names() and not Path(name).is_file()
    ]
    if not bundled:
        return files, None

    [corpus] = bundled[:1]
    if len(files["train"]) > 1:
        raise UsageError(
            f"{corpus} is a bundled corpus, which cannot be combined with other texts",
            hint=f"rnnlm train {corpus} --task {task}",
        )
    if task not in corpora.TASKS[corpus]:
        raise UsageError(
            f"the bundled corpus {corpus} is not for {task}",
            hint="use " + keyword("task", corpora.TASKS[corpus][0]),
        )

    # Files that are named replace its other parts.
    from_corpus = {part: (str(corpora.part(corpus, part)),) for part in files}
    named = {part: files[part] for part in ("valid", "test") if files[part]}
    return {**from_corpus, **named}, corpus


@dataclass(frozen=True)
class Parts(Generic[T]):
    """The training text, and the texts for validation and test, by these names, where there are
    any. valid_is: the validation text in words. holds_out: it was held out of the training text."""

    train: T
    others: dict[str, T]
    valid_is: str
    holds_out: bool = False

    def overlaps(self, lines_of: Callable[[T], list[str]], keeps_case: bool) -> dict[str, Overlap]:
        """Return how much of the other texts is in the training text. lines_of: the lines to
        compare. keeps_case: whether models read the lines as they are."""
        others = {name: (text.content_hash, lines_of(text)) for name, text in self.others.items()}
        train = (self.train.content_hash, lines_of(self.train))
        return examples_in_train(train, others, keeps_case, self.holds_out)


def with_held_out(
    train: T,
    others: dict[str, T],
    valid_files: tuple[str, ...],
    share: float,
    draw: Callable[[T, float], tuple[T, T, str] | None],
) -> Parts[T]:
    """Hold out a share of the training text, unless there is a text for validation.

    draw: returns the text without the share, that share, and its description; None where there are
    too few examples.
    """
    if "valid" in others or not share:
        return Parts(train, others, ", ".join(map(corpora.title, valid_files)) or "none")
    drawn = draw(train, share)
    if drawn is None:
        notice(
            "there are too few examples to hold some out for validation: the last weights are kept"
        )
        return Parts(train, others, "none: there are too few examples")
    kept, held, how = drawn
    return Parts(kept, {"valid": held, **others}, f"{how}, held out", holds_out=True)


def stored_reading(folder: str, kind: type[S], files: Sequence[str]) -> dict[str, Any]:
    """Return how the training data of the model in `folder` were read, as it suits `files`."""
    stored: Any = from_stored(kind, read_manifest(Path(folder)).settings)
    return settings_for(files, asdict(stored))


def resolved_reading(kind: type[S], stored: Mapping[str, Any], requested: Mapping[str, Any]) -> S:
    """Make the settings for reading data with a model. stored: how its training data were read.
    requested: what is asked for instead."""
    # Columns of another format have other names.
    if requested.get("format", stored.get("format")) != stored.get("format"):
        stored = {name: value for name, value in stored.items() if "column" not in name}
    layers = [SettingsLayer("the model", stored), SettingsLayer("what is asked for", requested)]
    return resolve([kind], layers).make(kind)
