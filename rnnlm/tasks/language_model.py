"""Language modelling as a task: probabilities of text, read line by line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import rnnlm.corpora as corpora
from rnnlm.config import within
from rnnlm.errors import SettingsError, UsageError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.tasks.request import Data, TrainingRequest
from rnnlm.tasks.task import (
    RECURRENT,
    AnyTask,
    Given,
    LineOptions,
    Task,
    looks_at_networks,
    whose_setting,
)
from rnnlm.text.corpus import Text
from rnnlm.text.lines import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from rnnlm.config import Resolved
    from rnnlm.evaluation.comparison.comparison import ComparingTexts
    from rnnlm.evaluation.comparison.pairing import Comparable
    from rnnlm.evaluation.comparison.stored import StoredModel
    from rnnlm.evaluation.perplexity import TextEvaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import Device, LanguageModel, Tokenizer
    from rnnlm.models.registry import Kind
    from rnnlm.neural.language_model import NeuralLanguageModel
    from rnnlm.neural.network import Network
    from rnnlm.tasks.fixed_loss import FirstLoss
    from rnnlm.text.encoding import EncodedText

DEMO_RECIPE, DEFAULT_RECIPE = "demo", "lstm"
_WITH_JORDAN = (*RECURRENT, "jordan")
_NEURAL = (*_WITH_JORDAN, "ffnn")


@dataclass(frozen=True)
class TextOptions(LineOptions):
    """How a text is read: by a model, in one stream or each line alone (context; None: carry), and
    from its source. progress: called during reading and scoring."""

    context: Literal["carry", "reset"] | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class ComparisonOptions(LineOptions):
    """The texts that models are compared on, and how they are read.

    train: a training text, in which n-grams are looked up and, where the models do not know, words
    are counted. report: called with how far the work is.
    """

    train: str | Path | Sequence[str | Path] | Text | None = None
    report: Progress | None = None


class LanguageModelling(Task["LanguageModel", "EncodedText", "Tokenizer", LineOptions]):
    """Predicting each token of a text from those before it."""

    name = "language-model"
    singular = "a language model"
    plural = "language models"
    predicate = "gives probabilities of text"
    own_command = "score"
    commands: ClassVar[Mapping[str, str]] = {
        **Task.commands,
        "eval": "perplexity, bits per character",
        "score": "log-probabilities, surprisals",
        "generate": "text",
        "embed": "vectors of lines and words, of networks",
        "rescore": "n-best lists in a new order",
        "report": "runs with their curves of perplexity",
        "doctor": "files, arrays, sums of probabilities",
        "export": "ARPA file of n-grams, word vectors of networks",
        "inspect": (
            "gradients, spectrum, gates, memory, cloze, word vectors, probes, a check of gradients"
        ),
        "mix": "one model of several",
        "tune": "settings of adaptation",
        "prune": "a smaller n-gram model",
        "filter": "texts by perplexity or language",
    }
    kinds_with: ClassVar[Mapping[str, Sequence[str]]] = {
        "text": (*_NEURAL, "ngram", "unigram", "mixture"),
        "n-grams": ("ngram",),
        "layers": _NEURAL,
    }
    usage = (
        'rnnlm score -m {name} "it is hard to recognize speech" "it is hard to wreck a nice beach"',
        "rnnlm eval -m {name} TEXT",
        "rnnlm generate -m {name}",
    )
    first_use = 'rnnlm score -m {name} "a sentence"'
    usage_in_brief = (
        "rnnlm eval -m {name} TEXT",
        "rnnlm score -m {name} --input TEXT",
        "rnnlm generate -m {name}",
    )
    option = ""

    # ---- What a request to train may ask for.

    usual_corpus = "english"
    request_fields = frozenset({"init_from", "counts"})
    why_no_field = "a language model reads text in one direction, and nothing beside it"

    def usual_recipe(self, model: str | None, has_text: bool) -> str | None:
        """Return the recipe that is called like the model, or the default one."""
        from rnnlm.recipes import recipe as recipes

        if model is None:
            return DEFAULT_RECIPE if has_text else DEMO_RECIPE
        return model if model in recipes.names() else None

    def refusal_of_field(self, name: str, others: Sequence[str]) -> UsageError:
        tasks = " or ".join(others)
        hint = f'leave `{name}` out, or add `task="{others[0]}"`'
        return UsageError(f"`{name}` needs `task` {tasks}", self.why_no_field, hint)

    def refusal_of_kind(self, model: str, kinds: Sequence[str]) -> SettingsError:
        why = (
            "it reads all words of a text before it answers, and a language model must "
            "not read what it is to predict"
        )
        hint = 'add `task="classification"`, or use `model="lstm"`'
        return SettingsError(f"`model` {model} is no language model", why, hint)

    def refusal_of_setting(
        self, name: str, origin: str, others: Sequence[AnyTask]
    ) -> SettingsError:
        why, hint = whose_setting(others)
        if name == "bidirectional":
            why = "it would read the words that it is to predict"
            hint = "add `task` tagging or classification"
        return SettingsError(f"a language model has no setting {name!r}{within(origin)}", why, hint)

    # ---- Texts and weights.

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: "Resolved", data: Data
    ) -> "dict[str, np.ndarray] | None":
        """Return the weights of `--init-from`, if they fit."""
        from rnnlm.models import loading, model_folder

        if request.init_from is None:
            return None
        model, manifest = model_folder.load(loading.find(request.init_from), "cpu")
        arrays = model.to_arrays()
        shapes = kind.array_shapes(resolved.values, data.tokenizer)
        if shapes is None:
            raise UsageError(
                f"`init_from`: a model of kind {kind.name} is made of counts and has no weights "
                "to start from"
            )
        found = {name: tuple(array.shape) for name, array in arrays.items()}
        wanted = {name: shape for name, (_, shape) in shapes.items()}
        names = sorted({*found, *wanted})
        differing = [name for name in names if found.get(name) != wanted.get(name)]
        # Name the first difference, in the order in which a person would look for it: a difference
        # of kind also shows in the shapes.
        why = ""
        if manifest.model != kind.name:
            why = f"it is of kind {manifest.model}, not {kind.name}"
        elif model.tokenizer.fingerprint != data.tokenizer.fingerprint:
            why = "its tokenizer differs"
        elif differing:
            name = differing[0]
            why = f"{name} has the shape {found.get(name)} there, {wanted.get(name)} here"
        if why:
            hint = f'use its settings, and `tokenizer_from="{request.init_from}"`'
            raise UsageError(f"`init_from` {request.init_from}: its weights do not fit", why, hint)
        return arrays

    # ---- What its models are made of.

    def described(self, codec: Any) -> dict[str, Any]:
        return {}

    def about_kind(self, kind: "Kind") -> str:
        return kind.about

    # ---- Evaluating.

    @property
    def evaluation_class(self) -> "type[TextEvaluation]":
        from rnnlm.evaluation.perplexity import TextEvaluation

        return TextEvaluation

    options = TextOptions
    options_of_comparison = ComparisonOptions
    compares_by = frozenset(each.name for each in fields(ComparisonSettings))

    def evaluate(
        self,
        model: "LanguageModel | str | Path",
        data: "Given | EncodedText | None",
        options: LineOptions | None = None,
        device: "str | Device" = "auto",
    ) -> "TextEvaluation":
        from rnnlm.evaluation import perplexity
        from rnnlm.models import loading

        if not isinstance(options, TextOptions):
            options = TextOptions()
        if data is None:
            test: Any = perplexity.bundled_test(model)
        else:
            test = _named_texts(data)
        return perplexity.evaluate(
            loading.language_model_of(model, device),
            test,
            context=options.context or "carry",
            text_settings=options.text_settings,
            progress=options.progress or silent,
        )

    def comparing(
        self, data: "Given | EncodedText", options: LineOptions | None, settings: ComparisonSettings
    ) -> "ComparingTexts":
        """Compare by perplexities."""
        from rnnlm.evaluation.comparison.comparison import ComparingTexts
        from rnnlm.evaluation.perplexity import as_text

        if not isinstance(options, ComparisonOptions):
            options = ComparisonOptions()
        train = options.train
        if train is not None:
            train = as_text(train, options.text_settings)
        text = as_text(cast("Text", _named_texts(data)), options.text_settings)
        return ComparingTexts(text, train, settings, options.report or silent)

    def comparable_stored(self, models: "Sequence[StoredModel]") -> "Comparable":
        from rnnlm.evaluation.comparison.comparison import Subject, find_comparable
        from rnnlm.evaluation.perplexity import TextEvaluation

        subjects = []
        for each in models:
            evaluation = cast(TextEvaluation, each.evaluation)
            tokenizer = cast("Tokenizer", each.codec)
            subjects.append(Subject.of_stored(each.name, evaluation, tokenizer))
        return find_comparable(subjects)

    def read(
        self,
        model: "LanguageModel",
        data: "Given | EncodedText",
        options: LineOptions | None = None,
        called: str = "",
    ) -> "EncodedText":
        """Return a text as a model reads it. The name of a bundled corpus means its test split."""
        return super().read(model, _named_texts(data), options, called)

    def evaluate_encoded(
        self, model: "LanguageModel", data: "EncodedText", options: LineOptions | None = None
    ) -> "TextEvaluation":
        return self.evaluate(model, data, options)

    def evaluate_trained(
        self,
        model: "LanguageModel",
        data: "EncodedText",
        has_intervals: bool,
        name: str,
        progress: "Progress",
    ) -> "TextEvaluation":
        """Evaluate a model exactly on a text of that name: state carried, IEEE fp32."""
        from rnnlm.evaluation.metrics import with_intervals
        from rnnlm.evaluation.perplexity import evaluate
        from rnnlm.text.lines import prefixed

        of_text = prefixed(progress, name)
        found = evaluate(model, data, progress=of_text, keeps_lines=has_intervals)
        return with_intervals(found) if has_intervals else found

    def checks(self, model: "LanguageModel", sample: int | None, seed: int) -> "Iterator[Check]":
        from rnnlm.evaluation.soundness import probabilities_sum_to_one

        yield from probabilities_sum_to_one(model, sample, seed)

    # ---- Looking at its networks.

    looks: ClassVar[Mapping[str, Sequence[str]]] = {
        **looks_at_networks(_NEURAL, _WITH_JORDAN),
        "gradients": _WITH_JORDAN,
        "memory": (*_NEURAL, "ngram", "unigram", "mixture"),
        "cloze": (*_NEURAL, "ngram", "unigram", "mixture"),
        "probe": _NEURAL,
    }
    loss_is_of_text = True

    def usual_test(self, model: "LanguageModel") -> Path:
        return corpora.part(self.usual_corpus, "test")

    def new_network(self, model: "LanguageModel") -> "nn.Module":
        from rnnlm.neural.network import make_network

        its = cast("NeuralLanguageModel", model)
        return make_network(its.network.settings, its.tokenizer)

    def loss_of_first(
        self, model: "LanguageModel", network: "nn.Module", data: "EncodedText", tokens: int
    ) -> "FirstLoss":
        from rnnlm.tasks.fixed_loss import of_lines

        return of_lines(cast("NeuralLanguageModel", model), cast("Network", network), data, tokens)


def _named_texts(data: "Given | EncodedText") -> "Given | EncodedText":
    """Replace the name of a bundled corpus by its test split."""
    if isinstance(data, (str, Path)):
        data = [data]
    if isinstance(data, (list, tuple)):
        data = corpora.sources(data, "test", corpora.of_plain_text())
    return data


TASK = LanguageModelling()
