"""A task as one object: how its data are read, and its models fitted, loaded, evaluated and
described.

Language modelling is a task like the others. A model's config.json holds the name of its task;
:func:`rnnlm.registry.task` returns the object. Other code asks the object, and never which
task it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rnnlm.errors import UsageError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.interface import Device, Task, Tokenizer
from rnnlm.lm.base import loading

if TYPE_CHECKING:
    from rnnlm.evaluation.comparison.pairing import Comparer, Comparison
    from rnnlm.evaluation.metrics import Evaluation


@dataclass(frozen=True)
class Description:
    """A description of a model's codec.

    Attributes:
        tokenizers: Tokenizers by name.
        facts: Further rows of the card, by name.
        fields: Fields of `rnnlm info --json`, by name.
    """

    tokenizers: Mapping[str, Tokenizer]
    facts: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


class BaseTask(Task):
    """The evaluation and comparison of models of all tasks.

    A new task defines the attributes of the protocol that have no value, its methods, and
    `comparing`.
    """

    def evaluate(
        self, model: Any, data: Any, options: Any = None, device: str | Device = "auto"
    ) -> "Evaluation":

        named = cast(loading.ScoringModel, model)
        if data is None:
            data = trained_corpus(named)
        opened = loading.load_if_named(named, device)
        return self.evaluate_encoded(opened, self.read(opened, data, options), options)

    def compare(
        self,
        models: Sequence[Any],
        data: Any,
        options: Any = None,
        settings: ComparisonSettings | None = None,
        names: Sequence[str] | None = None,
        device: str | Device = "auto",
    ) -> "Comparison":
        from rnnlm.evaluation.comparison.pairing import compare_models
        from rnnlm.evaluation.resampling import Resampling

        settings = settings or ComparisonSettings()
        comparing = self.comparing(data, options, settings)
        resampling = Resampling(settings.resamples, settings.seed)
        return compare_models(models, comparing, names, resampling, device)

    def comparing(
        self, data: Any, options: Any, settings: ComparisonSettings
    ) -> "Comparer[Any, Any, Any]":
        """Return an object that compares models on data.

        Args:
            data: The data, or their paths.
            options: Options of the task. None: the defaults.
            settings: Settings of the comparison.
        """
        raise NotImplementedError


def trained_corpus(model: loading.ScoringModel | str | Path) -> str:
    """Return the name of the bundled corpus that a model, itself or by its name, was trained on."""
    import rnnlm.corpora as corpora
    from rnnlm.storage.manifest import read_manifest

    folder = loading.name_if_saved(model)
    trained_on = None
    if folder is not None:
        trained_on = read_manifest(loading.base_folder(folder)).training.get("text")
    for name in corpora.names():
        if trained_on in ([name], [corpora.named(name)]):
            return name
    raise UsageError("no data to evaluate on", hint="name a file: evaluate(model, FILE)")
