"""Tagging and classification as tasks: labels of words, or of whole texts, are learned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rnnlm.config import Checked
from rnnlm.errors import ComparisonError
from rnnlm.tasks.request import Data, Texts, TrainingRequest
from rnnlm.tasks.task import RECURRENT, Given, Task, looks_at_networks
from rnnlm.text.labelled.example import LabelledSettings

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from rnnlm.config import Resolved
    from rnnlm.evaluation.label_evaluation import LabelEvaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import Tokenizer
    from rnnlm.models.registry import Kind
    from rnnlm.tasks.fixed_loss import FirstLoss
    from rnnlm.tasks.labels.data import Codec, LabelledData, TaskData
    from rnnlm.tasks.labels.evaluation import Labelled
    from rnnlm.tasks.labels.model import TaskModel
    from rnnlm.tasks.labels.network import TaskNetwork
    from rnnlm.text.lines import Progress

_COUNTS = "it counts which words follow each other, and learns no labels"
# What a column holds if not one label of each word or text.
_FORMS = {"edit": "edit scripts", "sounds": "sounds", "multi": "labels, any number of them"}


@dataclass(frozen=True)
class LabelOptions(Checked):
    """How labelled data are read.

    reading: settings of :class:`~rnnlm.text.labelled.example.LabelledSettings` that differ from
    those of the training data.
    """

    reading: Mapping[str, Any] | None = None


class Labelling(Task["TaskModel", "LabelledData", "Codec", LabelOptions]):
    """The common base of tagging and classification."""

    why_not: ClassVar[Mapping[str, str]] = {**Task.why_not, "generate": "writes labels, not text"}
    commands: ClassVar[Mapping[str, str]] = {
        **Task.commands,
        "info": "kind, size, labels, texts, settings, metrics",
        "doctor": "files, arrays, sums of probabilities, padding",
        "export": "word vectors",
    }
    request_fields = frozenset({"init_from", "contextual"})
    why_no_field = "a network that labels words or texts writes no text"
    why_no_kind: ClassVar[Mapping[str, str]] = {
        "ngram": _COUNTS,
        "unigram": _COUNTS,
        "jordan": "what it reads again at the next word is its prediction of that word",
        "ffnn": "it reads a few words before the one to be predicted, and none after them",
    }
    holds_models = True
    settings_of_holdout = frozenset({"seed"})

    @property
    def text_settings(self) -> tuple[type, ...]:
        from rnnlm.tasks.labels.texts import TEXT_SETTINGS

        return TEXT_SETTINGS

    def open_texts(
        self, request: TrainingRequest, resolved: "Resolved", kind: "Kind", progress: "Progress"
    ) -> Texts:
        from rnnlm.tasks.labels.texts import open_texts

        return open_texts(request, resolved, kind, progress)

    def initial_settings(
        self, request: TrainingRequest, kind: "Kind"
    ) -> list[tuple[str, str, dict[str, Any]]]:
        from rnnlm.tasks.labels.transfer import settings

        return settings(request, kind)

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: "Resolved", data: Data
    ) -> "dict[str, np.ndarray] | None":
        from rnnlm.tasks.labels.transfer import weights

        return weights(request, resolved, cast("TaskData", data))

    def codec_of(self, model: "TaskModel") -> "Codec":
        return model.codec

    def codec(self, tokenizer: "Tokenizer", files: dict[str, bytes]) -> "Codec":
        from rnnlm.tasks.labels.data import codec

        return codec(tokenizer, files)

    def facts(self, codec: "Codec") -> Iterator[tuple[str, str]]:
        """Yield the labels of each column: how many, and examples."""
        from rnnlm.models.card import first_names

        for column in codec.columns:
            of = "of each " + ("letter" if column.form == "sounds" else column.level)
            # Of spans their types are counted, not the labels that mark where they begin and end.
            types: list[str] = []
            if column.scheme != "none":
                types = sorted({symbol.partition("-")[2] for symbol in column.symbols} - {""})
            if types:
                count = f"{len(types):,} type" + ("s" if types[1:] else "")
                found = f"spans of {count} in {column.scheme}: {first_names(types)}"
            else:
                what = _FORMS.get(column.form, "labels")
                found = f"{len(column.symbols):,} {what}: {first_names(list(column.symbols))}"
            yield f"labels {column.name}", f"{of}, {found}"

    def described(self, codec: "Codec") -> dict[str, Any]:
        labels = [
            {
                "column": each.name,
                "level": each.level,
                "scheme": each.scheme,
                "form": each.form,
                "labels": list(each.symbols),
            }
            for each in codec.columns
        ]
        return {"task": self.name, "labels": labels}

    # ---- Evaluating.

    @property
    def evaluation_class(self) -> "type[LabelEvaluation]":
        from rnnlm.evaluation.label_evaluation import LabelEvaluation

        return LabelEvaluation

    options = LabelOptions
    reading = (LabelledSettings,)
    offers = frozenset({"confusions"})
    example_file = "test.conllu"

    @property
    def compared(self) -> tuple[str, ...]:
        from rnnlm.evaluation.labels import LABEL_METRICS

        return tuple(LABEL_METRICS)

    def check_alike(self, models: "Mapping[str, TaskModel]") -> None:
        columns = set()
        for model in models.values():
            columns.add(tuple((each.name, each.level, each.form) for each in model.codec.columns))
        if len(columns) > 1:
            learned = []
            for name, model in models.items():
                names = ", ".join(each.name for each in model.codec.columns)
                learned.append(f"{name} has learned {names}")
            raise ComparisonError(
                "models of different labels cannot be compared",
                ", ".join(learned),
                "name models that have learned the same columns",
            )

    def read(
        self,
        model: "TaskModel",
        data: "Given | LabelledData",
        options: LabelOptions | None = None,
        called: str = "",
    ) -> "LabelledData":
        from rnnlm.tasks.labels.evaluation import read_labelled_for

        asked = options or LabelOptions()
        return read_labelled_for(model, cast("Labelled", data), asked.reading, called)

    def evaluate_encoded(
        self, model: "TaskModel", data: "LabelledData", options: LabelOptions | None = None
    ) -> "LabelEvaluation":
        from rnnlm.tasks.labels.evaluation import measure

        return measure(model, data)

    def new_network(self, model: "TaskModel") -> "nn.Module":
        from rnnlm.tasks.labels.network import make_network

        return make_network(model.network.settings, model.codec)

    def loss_of_first(
        self, model: "TaskModel", network: "nn.Module", data: "LabelledData", tokens: int
    ) -> "FirstLoss":
        from rnnlm.tasks.fixed_loss import of_labels

        return of_labels(model, cast("TaskNetwork", network), data, tokens)

    def checks(self, model: "TaskModel", sample: int | None, seed: int) -> "Iterator[Check]":
        from rnnlm.tasks.labels.evaluation import checks

        yield from checks(model, sample, seed)


class Tagging(Labelling):
    """Labels of words, and beside them labels of the whole sentence."""

    name = "tagging"
    singular = "a tagger of words"
    plural = "taggers"
    predicate = "tags words"
    examples = "sentences"
    own_command = "tag"
    others_lack = "it has learned no labels of words"
    commands: ClassVar[Mapping[str, str]] = {
        **Labelling.commands,
        "eval": "accuracy, F1 of spans and by type, error rates of sounds, confusions",
        "tag": "labels of words",
        "embed": "vectors of lines and words",
        "inspect": "spectrum, gates, word vectors, probes, a check of gradients",
    }
    kinds_with: ClassVar[Mapping[str, Sequence[str]]] = {"layers": RECURRENT}
    usage = ('rnnlm tag -m {name} "a sentence"', "rnnlm eval -m {name} DATA")
    usual_corpus = "travel"
    settings_of_data = frozenset({"output_layer", "constrained"})  # how labels write spans inside
    looks: ClassVar[Mapping[str, Sequence[str]]] = {
        **looks_at_networks(RECURRENT),
        "probe": RECURRENT,
    }
    why_no_kind: ClassVar[Mapping[str, str]] = {
        **Labelling.why_no_kind,
        "bag": "it makes one vector of all words of a text, not one for each word",
        "cnn": "it makes one vector of all words of a text, not one for each word",
    }


class Classification(Labelling):
    """Labels of whole texts."""

    name = "classification"
    singular = "a classifier of texts"
    plural = "classifiers"
    predicate = "classifies texts"
    examples = "texts"
    own_command = "classify"
    others_lack = "it has learned no labels of whole texts"
    commands: ClassVar[Mapping[str, str]] = {
        **Labelling.commands,
        "eval": "accuracy, macro F1 and by label, calibration error, confusions",
        "classify": "labels of texts",
        "embed": "vectors of texts and words",
        "inspect": "spectrum, gates, word vectors, a check of gradients",
    }
    kinds_with: ClassVar[Mapping[str, Sequence[str]]] = {"layers": (*RECURRENT, "bag", "cnn")}
    usage = ('rnnlm classify -m {name} "a text"', "rnnlm eval -m {name} DATA")
    usual_corpus = "opinions"
    looks = looks_at_networks((*RECURRENT, "bag", "cnn"))
    instead_of_kind: ClassVar[Mapping[str, str]] = {
        "ffnn": "use `model` bag or cnn, which have no recurrence either"
    }


TAGGING, CLASSIFICATION = Tagging(), Classification()
