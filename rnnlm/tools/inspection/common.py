"""Define the common parts of all inspections: their models (also as they were before training) and
texts, whether an inspection applies, and its result: tables, a verdict, JSON, a plot."""

import copy
import itertools
import math
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rnnlm import corpora, registry
from rnnlm.checks import check_class, several
from rnnlm.errors import TextError, UsageError, keyword, nearest
from rnnlm.evaluation.metrics import Part, text_of
from rnnlm.evaluation.perplexity import as_text
from rnnlm.evaluation.plotting import Axes, Figure
from rnnlm.interface import Device, LanguageModel
from rnnlm.lm.base import loading
from rnnlm.storage.manifest import read_manifest
from rnnlm.tabular import Records, Result, Row, Table, html_note
from rnnlm.text.corpus import Text
from rnnlm.text.lines import TextSettings, check_reserved

# ---- The result of every inspection: tables, a sentence on their meaning, all of it as JSON, a
# plot.


class Inspection(Records, Result):
    """The result of the functions `rnnlm.inspect_...`: tables, their meaning, and a picture. As a
    table, it is the first of its tables; each of `tables()` is also a table by itself.

    A subclass whose fields are named after the shapes of arrays, or that has more to say than its
    fields, names the keys of its JSON itself.
    """

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The meaning of the results: one sentence, or a line for each model."""

    verdict_first: ClassVar[bool] = False  # of long tables

    @abstractmethod
    def tables(self) -> Sequence[Table]:
        """Return the results as tables for people."""

    @abstractmethod
    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw the results.

        Args:
            axes: Draw there instead of in a new figure; only for pictures of one panel.
        """

    def to_rows(self, table: int | str = 0) -> list[Row]:
        """Return a table as rows with unformatted values.

        Args:
            table: Number of the table, from 0, or its title.

        Raises:
            UsageError: The table does not exist.
        """
        return self.table(table).to_rows()

    def _rows_of(self, table: int | str | None) -> list[Row]:
        return self.to_rows(0 if table is None else table)

    def table(self, which: int | str) -> Table:
        """Return one of the tables.

        Args:
            which: Number of the table, from 0, or its title.

        Raises:
            UsageError: The table does not exist.
        """
        tables = self.tables()
        if isinstance(which, int):
            if 0 <= which < len(tables):
                return tables[which]
            raise UsageError(
                f"there is no table {which}", f"there are {len(tables)}, numbered from 0"
            )
        for table in tables:
            if table.title == which:
                return table
        titles = [table.title for table in tables if table.title]
        raise UsageError(f"there is no table {which!r}", hint=nearest(which, titles))

    def printed(self) -> Iterator[Part]:
        """Yield the parts of `rnnlm inspect`'s output: the tables and their meaning."""
        verdict = self.verdict.splitlines()
        if self.verdict_first:
            yield from (*verdict, "")
        for number, table in enumerate(self.tables()):
            if number:
                yield ""
            yield table
        if not self.verdict_first:
            yield from ("", *verdict)

    def __str__(self) -> str:
        return text_of(self.printed())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.verdict}>"

    def _repr_html_(self) -> str:
        return "".join(map(Table._repr_html_, self.tables())) + html_note(self.verdict)


# ---- The models to inspect: loaded, named, and checked for having the inspected parts.

Model = LanguageModel | registry.LabelModel | str | Path  # a model, or the name of one

Models = Mapping[str, Model] | Sequence[Model]  # several, with a name for each


@dataclass(frozen=True)
class InspectedModel:
    """A model that is inspected. kind: as in config.json: "lstm", "ngram", "mixture"."""

    name: str
    model: Any
    task: str
    kind: str


def load_model_for(
    what: str, model: Model, device: str | Device = "auto", name: str | None = None
) -> InspectedModel:
    """Load a model to inspect; raise UsageError if the inspection `what` does not apply to it."""
    shown = name or loading.name_if_saved(model) or "the model"
    if isinstance(model, (str, os.PathLike)):
        # The manifest is enough to refuse a model before its arrays are read.
        base, adaptation = loading.without_adaptation(str(model))
        adapts = adaptation is not None
        manifest = read_manifest(loading.find(base))
        task, kind = manifest.task, manifest.model
    else:
        base, adapts = shown, getattr(model, "adaptation", "none") != "none"
        task, kind = loading.task_of(model), loading.kind_of(model)
    check_applies(what, shown, task, kind)
    # A model that adapts itself gives probabilities, but has no network of its own.
    if adapts and {"text"} not in NEEDS[what]:
        raise UsageError(
            f"inspect {what} needs a network that does not adapt",
            f"{shown} adapts to what it reads",
            "name the model: " + keyword("model", base),
        )
    return InspectedModel(shown, loading.load_if_named(model, device), task, kind)


def load_models_for(
    what: str, models: Models, device: str | Device = "auto"
) -> list[InspectedModel]:
    """Load several models to inspect, with short names that differ."""
    given = models
    if not isinstance(given, Mapping):
        given = several(given, "models")
        saved = [loading.name_if_saved(model) or "model" for model in given]
        given = dict(zip(loading.distinct_names(saved), given, strict=True))
    if not given:
        raise UsageError(f"inspect {what} needs a model", "no model is given")
    return [load_model_for(what, model, device, name) for name, model in given.items()]


# ---- The texts that inspections read: sentences, files, bundled corpora by name, and by default
# the bundled English.

Source = str | Path | Sequence[str | Path] | Text


def open_source(text: Source | None, settings: TextSettings | None = None) -> Text:
    """Return a text, given itself or by its sources."""
    if isinstance(text, Text):
        return text
    names = (text,) if isinstance(text, (str, os.PathLike)) else text or ()
    return as_text(sources_of(names), settings)


def checked_sentence(sentence: str) -> str:
    """Refuse a sentence without words, or with `<s>` or `</s>`; return it to be read."""
    check_class(sentence, str, "the sentence")
    if not sentence.split():
        raise TextError("the sentence has no words", "it is empty")
    return check_reserved(
        sentence, "the sentence", "error", hint="remove it: every text begins at a boundary anyway"
    )


def check_positive(**values: float) -> None:
    """Refuse numbers that are not above zero, or not finite."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} = {value:g} is not a positive number")


def check_range(name: str, ends: Sequence[float]) -> None:
    """Refuse a range from the lower to the upper of `ends` that holds nothing, or no end."""
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"{name} from {low:g} to {high:g} is an empty range", hint="the lower end comes first"
        )


def percent(share: float | None) -> float | None:
    """Return a share in percent; None for None."""
    return None if share is None else 100 * share


def sources_of(names: Sequence[str | Path]) -> tuple[str, ...]:
    """Return the sources behind names of texts. The name of a bundled corpus of plain text means
    its test part, unless there is a file of that name; no names mean the bundled English."""
    return corpora.sources(names or ("english",), "test", corpora.of_plain_text())


# ---- The inspections of each kind of model, and the parts that the other kinds lack.
#
# Kinds say in `Kind.has` what they have.

NEEDS: dict[str, registry.Needs] = {
    "gradients": ({"text", "states"},),
    "spectrum": ({"state matrices"},),
    **dict.fromkeys(("gates", "units"), ({"states"},)),
    **dict.fromkeys(("units --saturation", "neighbours", "similarity", "gradcheck"), ({"layers"},)),
    **dict.fromkeys(("memory", "cloze"), ({"text"},)),
    "beam": ({"text"}, {"conditions"}),
    "probe": ({"word layers"},),
}
LACKS = {  # the parts that an inspection shows and other models do not have
    "gradients": "recurrent layers of a language model",
    "spectrum": "recurrent weights",
    "gates": "gates and no hidden state",
    "units": "recurrent layers",
    "units --saturation": "units with an activation function",
    **dict.fromkeys(("memory", "cloze", "beam"), "probabilities of next words"),
    **dict.fromkeys(("neighbours", "similarity"), "word vectors"),
    "probe": "layers with a state for each word",
    "gradcheck": "weights that are trained by gradients",
}


def check_applies(what: str, name: str, task: str, kind: str) -> None:
    """Refuse a model that the inspection `what` does not apply to, naming the kinds of model that
    it applies to."""
    kinds = registry.kinds_with(NEEDS[what], task, kind)
    if kind in kinds:
        return
    model = f"a model of kind {kind}" if kinds else registry.task(task).singular
    taken = []
    for known_task in registry.all_tasks():
        kinds = registry.kinds_with(NEEDS[what], known_task.name)
        if kinds:
            taken.append(f"{known_task.singular}: {', '.join(kinds)}")
    raise UsageError(
        f"inspect {what} has nothing to show for {name}",
        f"{model} has no {LACKS[what]}",
        f"it applies to {'; '.join(taken)}",
    )


# ---- A network as it was before training.

UNTRAINED = ", untrained"  # after the name of a model


def with_starts(subjects: Sequence[InspectedModel]) -> list[InspectedModel]:
    """Return each subject followed by the same network before training."""
    pairs = [(subject, at_start(subject)) for subject in subjects]
    return list(itertools.chain.from_iterable(pairs))


def at_start(subject: InspectedModel) -> InspectedModel:
    """Return the same model with the random weights that its training began with, from its settings
    and its seed (the default one, if it was not loaded from a folder). A run may also begin with
    weights of another model and vectors from a file; these are not read."""
    from rnnlm.lm.neural.training.settings import RunSettings

    origin = loading.origin_of(subject.model)
    seed = RunSettings.seed
    if origin is not None:
        seed = int(read_manifest(Path(origin[0])).settings.get("seed", seed))
    start = untrained(subject.model, seed)
    return InspectedModel(f"{subject.name}{UNTRAINED}", start, subject.task, subject.kind)


def untrained(model: Any, seed: int) -> Any:
    """Copy a neural model with the random weights of `seed`, on the same device."""
    import torch

    twin = copy.copy(model)
    twin.__dict__.pop("decoder", None)  # which an encoder-decoder keeps for its weights
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.manual_seed(seed)
        twin.network = model.new_network().to(model.device).eval()
    twin.fingerprint = twin.origin = None
    return twin
