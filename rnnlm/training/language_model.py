"""Language modelling as a task: probabilities of text, read line by line; and language models that
runs of any task start from."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import rnnlm.corpora as corpora
from rnnlm import registry, satellites
from rnnlm.config import ResolvedSettings, ValidatedSettings
from rnnlm.errors import UsageError, keyword, notice
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.perplexity import TextEvaluation, as_text
from rnnlm.interface import Device, FittingData, LanguageModel, Tokenizer
from rnnlm.lm.base import loading, stored_model
from rnnlm.progress import Progress as PrintedProgress
from rnnlm.text.corpus import Given, Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import HoldoutSettings, Progress, TextSettings, silent
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import NewTokenizerSettings
from rnnlm.training.request import TrainingRequest
from rnnlm.training.task import BaseTask, Description, trained_corpus

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.evaluation.comparison.comparison import TextComparer
    from rnnlm.evaluation.comparison.pairing import ComparableMetrics
    from rnnlm.evaluation.comparison.stored import StoredModel
    from rnnlm.evaluation.soundness import Check
    from rnnlm.lm.neural.settings import InputSettings

DEMO_RECIPE, DEFAULT_RECIPE = "demo", "lstm"


@dataclass(frozen=True)
class TextOptions(ValidatedSettings):
    """Settings for reading a text: from its source, and by a model, in one stream or each line
    alone (context; None: carry).

    Tables may be evaluated by the groups that the column `group_by` names.

    Models are compared with the training text `train`: n-grams are looked up in it, and words are
    counted where the models do not know. `progress` is called during reading and scoring.
    """

    text_settings: TextSettings | None = None
    context: Literal["carry", "reset"] | None = None
    group_by: str | None = None
    train: str | Path | Sequence[str | Path] | Text | None = None
    progress: Progress | None = None


class LanguageModelling(BaseTask):
    """Predicting each token of a text from those before it."""

    name = "language-model"
    singular = "a language model"
    own_command = "score"
    commands = BaseTask.commands | {"score", "generate", "next", "export"}
    usage = (
        'rnnlm score -m {name} "a sentence"',
        "rnnlm eval -m {name} TEXT",
        "rnnlm generate -m {name}",
    )
    option = ""

    # ---- The fields of a training request.

    usual_corpus = "english"
    request_fields = frozenset({"init_from", "counts"})
    text_settings = (NewTokenizerSettings, TextSettings, SourceSettings, HoldoutSettings)
    extended_settings = frozenset({"layers", "layer_sizes"})

    def usual_recipe(self, model: str | None, has_text: bool) -> str | None:
        """Return the recipe that is called like the model, or the default one."""
        from rnnlm.training.recipes import recipe as recipes

        if model is None:
            return DEFAULT_RECIPE if has_text else DEMO_RECIPE
        return model if model in recipes.names() else None

    # ---- Texts and weights.

    open_texts = registry.imported(__package__, "line_texts:open_texts")

    def initial_settings(
        self, request: TrainingRequest, kind: registry.Kind
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the settings of the network of `--init-from`, and of its tokenizer."""
        from rnnlm.lm.neural.settings import structure

        name = request.init_from
        if name is None:
            return []
        model_settings = settings_to_start_from(name, "init_from")
        if model_settings.model != kind.name:
            raise UsageError(
                keyword("init_from") + f" {name}: its weights do not fit",
                f"it is of kind {model_settings.model}, not {kind.name}",
                "leave " + keyword("model") + " and " + keyword("recipe") + " out",
            )

        # A network of one layer connects none.
        values = structure(model_settings)
        if values.get("layers") == 1:
            values.pop("connections", None)
        if request.tokenizer_from is None:
            values |= loading.load_tokenizer(name).to_settings()
        return [("init_from", name, values)]

    def initial_weights(
        self,
        request: TrainingRequest,
        kind: registry.Kind,
        resolved: ResolvedSettings,
        data: FittingData,
    ) -> "dict[str, np.ndarray] | None":
        """Return the weights of `--init-from`, if they fit. Of a network with fewer layers they are
        a part: the other layers start at random."""
        from rnnlm.lm.neural.shapes import is_noise

        name = request.init_from
        if name is None:
            return None

        # Compare the shapes, except of noise: it is drawn by the text of this run.
        arrays = weights_to_start_from(name, "init_from", data.tokenizer)
        shapes = kind.array_shapes(resolved.values, data.tokenizer)
        assert shapes is not None  # it is of the kind of a network
        given_shapes = {key: tuple(array.shape) for key, array in arrays.items()}
        wanted = {key: shape for key, (_, shape) in shapes.items()}
        keys = sorted(key for key in {*given_shapes, *wanted} if not is_noise(key))
        differing = [key for key in keys if given_shapes.get(key) != wanted.get(key)]

        # Layers above those that are given are new: training layer by layer.
        depth = vars(settings_to_start_from(name, "init_from")).get("layers")
        new = [key for key in differing if key not in given_shapes and _is_above(key, depth)]
        differing = [key for key in differing if key not in new]
        if differing:
            there, here = (_shape_of(differing[0], shapes) for shapes in (given_shapes, wanted))
            raise UsageError(
                keyword("init_from") + f" {name}: its weights do not fit",
                f"{differing[0]} {there} there, and {here} here",
                "leave the settings of its layers out: they are copied",
            )
        if new:
            notice(
                keyword("init_from")
                + f" {name}: its weights are taken for all but the layers above "
                f"its {depth}, which are new: {', '.join(new)}"
            )
        # A word of probability zero starts as the least likely one: from -inf nothing is learned.
        if "output.bias" in arrays:
            bias_V = arrays["output.bias"]
            arrays["output.bias"] = bias_V.clip(min=bias_V[bias_V > -math.inf].min())
        return arrays

    def codec(self, tokenizer: Tokenizer, files: dict[str, bytes]) -> Tokenizer:
        return tokenizer

    def describe(self, codec: Tokenizer) -> Description:
        return Description({"tokenizer": codec})

    # ---- Evaluating.

    @property
    def evaluation_class(self) -> "type[TextEvaluation]":

        return TextEvaluation

    options = TextOptions
    reading = (TextSettings, SourceSettings)
    reads_lines = True
    compares_by = frozenset(field.name for field in fields(ComparisonSettings))

    def evaluate(
        self,
        model: LanguageModel | str | Path,
        data: "Given | EncodedText | None",
        options: TextOptions | None = None,
        device: str | Device = "auto",
    ) -> TextEvaluation:

        options = options or TextOptions()
        data = trained_corpus(model) if data is None else data
        # Training hands over encoded text; who evaluates a model sees the metrics of others, too.
        if not isinstance(data, EncodedText):
            satellites.look_for_others()
        return perplexity.evaluate(
            loading.language_model_of(model, device),
            cast("Text", _named_texts(data)),
            context=options.context or "carry",
            text_settings=options.text_settings,
            progress=options.progress or PrintedProgress(),
            group_by=options.group_by,
        )

    def comparing(
        self, data: "Given | EncodedText", options: TextOptions | None, settings: ComparisonSettings
    ) -> "TextComparer":
        """Compare by perplexities."""
        satellites.look_for_others()
        from rnnlm.evaluation.comparison.comparison import TextComparer

        options = options or TextOptions()
        train = options.train
        if train is not None:
            train = as_text(train, options.text_settings)
        text = as_text(cast("Text", _named_texts(data)), options.text_settings)
        return TextComparer(text, train, settings, options.progress or PrintedProgress())

    def comparable_stored(self, models: "Sequence[StoredModel]") -> "ComparableMetrics":
        from rnnlm.evaluation.comparison.comparison import EvaluatedModel, find_comparable

        return find_comparable(
            [
                EvaluatedModel.of_stored(
                    model.name, cast(TextEvaluation, model.evaluation), cast(Tokenizer, model.codec)
                )
                for model in models
            ]
        )

    def read(
        self,
        model: LanguageModel,
        data: "Given | EncodedText",
        options: TextOptions | None = None,
        called: str = "",
    ) -> "EncodedText":
        """Return a text as a model reads it. The name of a bundled corpus means its test split."""

        if isinstance(data, EncodedText):
            return data
        settings = None if options is None else options.text_settings
        return as_text(cast("Text", _named_texts(data)), settings).encode(model.tokenizer)

    def evaluate_encoded(
        self,
        model: LanguageModel,
        data: "EncodedText",
        options: TextOptions | None = None,
        progress: Progress = silent,
    ) -> TextEvaluation:
        return self.evaluate(model, data, replace(options or TextOptions(), progress=progress))

    def checks(self, model: LanguageModel, sample: int | None, seed: int) -> "Iterator[Check]":
        from rnnlm.evaluation.soundness import checks_of_scores, probabilities_sum_to_one

        checks = list(probabilities_sum_to_one(model, sample, seed))
        yield from checks
        # Damaged tables end the checks before the sums.
        if checks[-1].name == "sums":
            yield from checks_of_scores(model, seed)


def _named_texts(data: "Given | EncodedText") -> "Given | EncodedText":
    """Replace the name of a bundled corpus by its test split."""
    if isinstance(data, (str, Path)):
        data = [data]
    if isinstance(data, (list, tuple)):
        data = corpora.sources(data, "test", corpora.of_plain_text())
    return data


def _shape_of(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return f"has the shape {shapes[name]}" if name in shapes else "is missing"


def _is_above(name: str, layers: int | None) -> bool:
    """Return whether a weight belongs to a recurrent layer above so many, or to its highway."""
    found = re.search(r"\b(layers|highways)\.(\d+)\.", name)
    if found is None or layers is None:
        return False
    is_highway = found[1] == "highways"  # the lowest layer has none
    return int(found[2]) + is_highway >= layers


TASK = LanguageModelling()


# ---- The language model that a run starts from, of whatever task.


def settings_to_start_from(name: str, option: str) -> "InputSettings":
    """Return the settings of the neural language model called `name`, which `option` asks for."""
    from rnnlm.lm.neural import settings as network_settings
    from rnnlm.storage import model_folder

    manifest = model_folder.read_manifest(loading.find(name))
    if manifest.task != registry.LANGUAGE_MODEL:
        raise UsageError(
            keyword(option) + f" {name}: it is not a language model",
            f"it is {registry.task(manifest.task).singular}",
            "name a language model",
        )
    if not manifest.kind.trains_in_steps:
        raise UsageError(
            keyword(option)
            + f" {name}: a model of kind {manifest.model} has no weights to start from",
            hint="train one with " + keyword("model", "lstm"),
        )
    return network_settings.stored(manifest.settings)


def weights_to_start_from(name: str, option: str, tokenizer: Tokenizer) -> "dict[str, np.ndarray]":
    """Return the weights of the language model that `option` names, which has to have the given
    tokenizer."""

    _, model_tokenizer, arrays = stored_model.load_arrays(loading.find(name))
    if model_tokenizer.fingerprint != tokenizer.fingerprint:
        raise UsageError(
            keyword(option) + f" {name}: its weights do not fit",
            "its tokenizer differs",
            "leave out " + keyword("tokenizer_from") + f", or name {name}",
        )
    return arrays
