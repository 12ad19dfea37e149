"""Tagging and classification as tasks: labels of words, or of whole texts, are learned."""

from typing import TYPE_CHECKING, cast

from rnnlm.amounts import plural
from rnnlm.registry import imported
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.labelling.options import LabelOptions, TaskTokenizerSettings
from rnnlm.text.corpus import Given
from rnnlm.text.lines import HoldoutSettings, Progress, silent
from rnnlm.training.request import TrainingRequest
from rnnlm.training.task import BaseTask, Description

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.config import ResolvedSettings
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.interface import Tokenizer
    from rnnlm.registry import Kind
    from rnnlm.tasks.labelling.data import Codec, LabelledData, TaskData
    from rnnlm.tasks.labelling.evaluation.evaluation import LabelComparer, Labelled
    from rnnlm.tasks.labelling.evaluation.label_evaluation import LabelEvaluation
    from rnnlm.tasks.labelling.model import TaskModel

# The content of a column if it is not one label of each word or text.
_FORMS = {"edit": "edit scripts", "sounds": "sounds", "multi": "labels, any number of them"}


class Labelling(BaseTask):
    """The common base of tagging and classification."""

    commands = BaseTask.commands | {"embed", "export", "inspect"}
    request_fields = frozenset({"init_from", "contextual"})
    text_settings = (TaskTokenizerSettings, LabelledSettings, HoldoutSettings)
    settings_of_data = frozenset({"seed"})

    # ---- Texts, initial settings and initial weights.

    open_texts = imported(__package__, "texts:open_texts")
    initial_settings = imported(__package__, "weights:settings")

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: "ResolvedSettings", data: "TaskData"
    ) -> "dict[str, np.ndarray] | None":
        from rnnlm.tasks.labelling.weights import weights

        return weights(request, resolved, data)

    codec = imported(__package__, "data:codec")

    def describe(self, codec: "Codec") -> Description:
        """Describe the labels of each column: how many, and examples."""
        from rnnlm.training.card import first_names

        facts, labels = {}, []
        for column in codec.columns:
            of = "of each " + ("letter" if column.form == "sounds" else column.level)
            # Of spans their types are counted, not the labels that mark where they begin and end.
            types: list[str] = []
            if column.scheme != "none":
                types = sorted({symbol.partition("-")[2] for symbol in column.symbols} - {""})
            if types:
                count = plural(len(types), "type")
                summary = f"spans of {count} in {column.scheme}: {first_names(types)}"
            else:
                what = _FORMS.get(column.form, "labels")
                summary = f"{len(column.symbols):,} {what}: {first_names(list(column.symbols))}"
            facts[f"labels {column.name}"] = f"{of}, {summary}"
            labels.append({
                "column": column.name,
                "level": column.level,
                "scheme": column.scheme,
                "form": column.form,
                "labels": list(column.symbols),
            })  # fmt: skip
        return Description({"tokenizer": cast("Tokenizer", codec)}, facts, {"labels": labels})

    # ---- Evaluating.

    evaluation_class = imported(__package__, "evaluation.label_evaluation:LabelEvaluation")

    options = LabelOptions
    reading = (LabelledSettings,)
    offers = frozenset({"confusions", "plot", "overwrite"})

    def comparing(
        self,
        data: "Given | LabelledData",
        options: LabelOptions | None,
        settings: "ComparisonSettings",
    ) -> "LabelComparer":
        from rnnlm.tasks.labelling.evaluation.evaluation import LabelComparer

        return LabelComparer(self.name, cast("Labelled", data), options or LabelOptions())

    comparable_stored = imported(__package__, "evaluation.evaluation:comparable_stored")
    read = imported(__package__, "evaluation.evaluation:read")

    def evaluate_encoded(
        self,
        model: "TaskModel",
        data: "LabelledData",
        options: LabelOptions | None = None,
        progress: Progress = silent,
    ) -> "LabelEvaluation":
        from rnnlm.tasks.labelling.evaluation.evaluation import measure

        progress(f"evaluating {plural(data.sentences, self.example)}")
        return measure(model, data)

    checks = imported(__package__, "evaluation.evaluation:checks")


class Tagging(Labelling):
    """Labels of words, and beside them labels of the whole sentence."""

    name = "tagging"
    singular = "a tagger"
    example = "sentence"
    own_command = "tag"
    commands = Labelling.commands | {"tag"}
    usage = (
        'rnnlm tag -m {name} "a sentence"',
        "rnnlm eval -m {name} DATA",
        "rnnlm compare {name} OTHER --on DATA",
    )
    usual_corpus = "travel"
    # The output layer decides how labels encode spans internally.
    settings_of_data = Labelling.settings_of_data | {"output_layer", "constrained"}


class Classification(Labelling):
    """Labels of whole texts."""

    name = "classification"
    singular = "a classifier"
    example = "text"
    own_command = "classify"
    # Labels of inner nodes are encoded where they are learned from.
    settings_of_data = Labelling.settings_of_data | {"node_loss"}
    commands = Labelling.commands | {"classify"}
    usage = (
        'rnnlm classify -m {name} "a text"',
        "rnnlm eval -m {name} DATA",
        "rnnlm compare {name} OTHER --on DATA",
    )
    usual_corpus = "opinions"


TAGGING, CLASSIFICATION = Tagging(), Classification()
