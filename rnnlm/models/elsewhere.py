"""What workers elsewhere share with this process: models that are loaded by name, and a folder that
all of them see."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import ModelError, TextError, UsageError
from rnnlm.files.writing import writing
from rnnlm.interface import LanguageModel
from rnnlm.models import loading
from rnnlm.work.tasks import Team

FOLDER = "rnnlm-scores-"  # how the folder of a run within the shared one begins


@dataclass(frozen=True)
class SavedModel:
    """A model that processes load by its name. name: its folder, or that with the adaptation after
    a plus. fingerprint: what it must have."""

    name: str
    fingerprint: str


def load_by_name(models: Mapping[str, SavedModel], device: str) -> dict[str, LanguageModel]:
    """Load the models of a run, by name; see :func:`load_all`."""
    loaded = load_all(tuple(models.values()), device)
    return dict(zip(models, loaded, strict=True))


@functools.lru_cache(maxsize=1)
def load_all(models: tuple[SavedModel, ...], device: str) -> tuple[LanguageModel, ...]:
    """Load the models of a run, once in each process, which keeps those of the last run alone.
    ModelError: there is another model of that name."""
    return tuple(_load(each, device) for each in models)


def _load(saved: SavedModel, device: str) -> LanguageModel:
    model = loading.scoring_model_of(saved.name, device)
    found = loading.fingerprint_in_signature(model)
    if found != saved.fingerprint:
        raise ModelError(
            f"a worker reads another model in {saved.name}",
            f"its fingerprint is {found} there, {saved.fingerprint} here",
            "all workers must see the same folder; it must not change while they work",
        )
    return model


def saved_model(model: LanguageModel) -> SavedModel:
    """Return what workers elsewhere load a model by. UsageError: they cannot."""
    name = loading.name_if_saved(model)
    is_plain = model.adaptation == "none" and not model.tokenizer.spells
    if name is None or not is_plain:
        raise UsageError(
            "workers elsewhere cannot load this model",
            "it is in memory, adapts itself, or spells unseen words",
            "name a saved one, or leave --dask out",
        )
    folder = loading.find(name).absolute()  # they may work in another one
    return SavedModel(str(folder), loading.fingerprint_in_signature(model))


@contextlib.contextmanager
def shared_folder(temp: str | None, team: Team) -> Iterator[Path]:
    """Provide a folder within `temp` that all workers see, which is deleted in the end, once tasks
    have stopped that nobody waits for."""
    if temp is not None:
        with writing(Path(temp)):
            Path(temp).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with writing(Path(temp or tempfile.gettempdir())):
            made = tempfile.TemporaryDirectory(prefix=FOLDER, dir=temp)
        folder = Path(held.enter_context(made)).absolute()
        mark = folder / "mark"
        mark.write_text(mark.name)
        team.check_folder(folder, mark.name)
        held.callback(team.settle)
        yield folder


def check_files(names: Sequence[str]) -> None:
    """Make sure that workers elsewhere can read all of the sources `names`."""
    for name in names:
        if name == "-":
            raise UsageError("workers elsewhere read files", "- is standard input", "name a file")
        if not os.path.isfile(name):
            raise UsageError(f"workers elsewhere read files: {name} is none", hint="name files")


def other_text(name: str) -> TextError:
    """Return the error that a worker sees another file under a name."""
    return TextError(
        f"a worker reads another text in {name}",
        "its lines differ from those here",
        "all workers must see the same file; it must not change while they work",
    )
