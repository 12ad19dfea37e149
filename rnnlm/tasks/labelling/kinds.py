"""Taggers and classifiers as kinds of models."""

from itertools import chain

from rnnlm.lm.neural.cells import CellKind, cells
from rnnlm.lm.neural.kinds import OF_NETWORKS, Network
from rnnlm.registry import Kind, imported


class Labeller(Network):
    """A tagger or classifier."""

    takes_parts = True

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import parts_of
        from rnnlm.lm.neural.training.settings import RunSettings
        from rnnlm.tasks.labelling.settings import TaskFittingSettings, kinds

        return (
            kinds()[self.task, self.name],
            *parts_of(self.name),
            TaskFittingSettings,
            RunSettings,
        )

    fit = imported(__package__, "fitting:fit")
    array_shapes = imported(__package__, "weights:array_shapes")
    from_arrays = imported(__package__, "model:from_arrays")


class HiddenMarkov(Kind):
    """A tagger that is counted."""

    family = "ngram"

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.tasks.labelling.settings import HmmSettings

        return (HmmSettings,)

    @property
    def all_settings(self) -> tuple[type, ...]:
        from rnnlm.tasks.labelling.settings import HmmTokenizerSettings

        return tuple(
            HmmTokenizerSettings if issubclass(HmmTokenizerSettings, cls) else cls
            for cls in super().all_settings
        )

    fit = imported(__package__, "hmm:fit")
    array_shapes = imported(__package__, "hmm:array_shapes")
    from_arrays = imported(__package__, "hmm:from_arrays")


def _of_cell(cell: CellKind) -> list[Kind]:
    """Return the taggers and the classifiers of a cell."""
    has = OF_NETWORKS | cell.has
    return [
        Labeller(cell.name, f"tags words: {cell.about}", has | {"word layers"}, "tagging"),
        Labeller(cell.name, f"classifies texts: {cell.about}", has, "classification"),
    ]


def kinds() -> list[Kind]:
    """Return all kinds."""
    return [*chain.from_iterable(map(_of_cell, cells().values())), *_WITHOUT_CELLS]


_WITHOUT_CELLS: list[Kind] = [
    Labeller(
        "bag", "classifies texts: the mean of their word vectors", OF_NETWORKS, "classification"
    ),
    Labeller(
        "cnn", "classifies texts: convolutions over their words", OF_NETWORKS, "classification"
    ),
    Labeller(
        "recursive",
        "classifies texts: a network over a tree of their words",
        OF_NETWORKS,
        "classification",
    ),
    HiddenMarkov("hmm", "tags words: a hidden Markov model, which is counted", task="tagging"),
]
