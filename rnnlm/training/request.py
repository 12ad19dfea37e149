"""Define the request to `train`, whose fields are the options of `rnnlm train`, and the data that a
task reads and encodes for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import rnnlm.corpora as corpora
from rnnlm.config import USER, ResolvedSettings, SettingsLayer, about
from rnnlm.errors import SettingsError, nearest
from rnnlm.interface import FittingData, TextData


@dataclass(frozen=True)
class TrainingRequest:
    """A request to `train`. :func:`rnnlm.training.resolution.resolve_request` has the order of its
    layers of settings.

    A recipe may be FILE.toml, whose settings come above the settings of the recipe that it names,
    or of the usual one. These are in `from_file`; `recipe` is then the one that the file names.
    """

    text: tuple[str, ...] = ()  # empty: the bundled corpus
    valid: Annotated[
        tuple[str, ...],
        about("validation text; none: the end of the text, see `holdout`", title="TEXT"),
    ] = ()
    test: Annotated[
        tuple[str, ...], about("test text, evaluated once at the end", title="TEXT")
    ] = ()
    counts: Annotated[
        str | None,
        about("folder of counts, to train an n-gram model on instead of a text", title="DIR"),
    ] = None
    recipe: Annotated[
        str | None,
        about(
            "named settings (see rnnlm list recipes), a file of settings, or none: the default of "
            "each setting",
            title="NAME|FILE.toml",
        ),
    ] = None
    model: Annotated[str | None, about("kind of model, such as lstm or ngram", title="KIND")] = None
    from_file: SettingsLayer | None = None
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    extra_layers: tuple[SettingsLayer, ...] = ()  # of a grid, between recipe and assignments
    output: Path | None = None  # None: the default folder in ./checkpoints
    overwrite: bool = False
    tokenizer_from: Annotated[
        str | None, about("use the tokenizer of another model, or of counts", title="MODEL")
    ] = None
    init_from: Annotated[
        str | None,
        about("start from another model: its weights, sizes and tokenizer", title="MODEL"),
    ] = None
    task: Annotated[
        str | None, about("train for another task than language modelling", title="TASK")
    ] = None
    contextual: Annotated[
        tuple[str, ...],
        about(
            "with `task`: a language model whose layers are additional input and stay fixed",
            title="MODEL",
        ),
    ] = ()
    target: Annotated[
        tuple[str, ...], about("file with the target of each line of the text", title="FILE")
    ] = ()
    valid_target: Annotated[
        tuple[str, ...],
        about("file with the targets of `valid`; repeat for several references", title="FILE"),
    ] = ()
    test_target: Annotated[
        tuple[str, ...], about("file with the targets of `test`", title="FILE")
    ] = ()
    init_encoder_from: Annotated[
        str | None, about("start the encoder from a language model", title="MODEL")
    ] = None
    init_decoder_from: Annotated[
        str | None, about("start the decoder from a language model", title="MODEL")
    ] = None

    def __post_init__(self) -> None:
        from rnnlm.storage.files.reading import read_by_hand
        from rnnlm.training.recipes import recipe as recipes

        if self.recipe is not None and self.recipe.endswith(".toml"):
            settings = read_by_hand(Path(self.recipe), SettingsError)
            settings.pop("about", None)  # the recipe's description
            for name, value in settings.items():
                if isinstance(value, dict):
                    raise SettingsError(
                        f"{self.recipe} has a section [{name}]",
                        "settings must be one flat table",
                        "write its settings without a section",
                    )
            base = settings.pop("recipe", None)
            if base not in (None, recipes.NO_RECIPE, *recipes.names()):
                raise SettingsError(
                    f"unknown recipe {base!r}",
                    f"{self.recipe} is based on it",
                    nearest(str(base), recipes.names()),
                )
            object.__setattr__(self, "from_file", SettingsLayer(self.recipe, settings))
            object.__setattr__(self, "recipe", base)

        # The name of a bundled text means its parts; English is read without a name, too.
        if self.text == ("english",) and not Path("english").exists():
            object.__setattr__(self, "text", ())
        for part, file in corpora.text_parts(self.text).items():
            if part == "text" or not getattr(self, part):
                object.__setattr__(self, part, (str(file),))

    @property
    def layers(self) -> list[SettingsLayer]:
        """The settings that the request contains, the lowest layer first: of its file, of a grid,
        typed as text, and by name."""
        named = {"model": self.model, "task": self.task}
        flags = {**self.flags, **{name: value for name, value in named.items() if value}}
        typed = (SettingsLayer(USER, self.assignments, is_text=True), SettingsLayer(USER, flags))
        return [layer for layer in (self.from_file, *self.extra_layers, *typed) if layer]

    @property
    def is_bundled(self) -> bool:
        """Whether it trains on a bundled corpus, known by its name or its files."""
        named = corpora.names()
        return all(name in named or corpora.title(name) != name for name in self.text)

    @property
    def takes_bundled(self) -> bool:
        """Whether it names nothing to train on, so that the bundled corpus is taken."""
        return not self.text and self.counts is None


@dataclass(frozen=True)
class Overlap:
    """The overlap of a text with the training text.

    Attributes:
        lines: Number of lines that count.
        repeated: Number of these lines that are in the training text.
        is_same: Whether the texts are the same, line by line.
    """

    lines: int
    repeated: int
    is_same: bool = False

    @property
    def share(self) -> float:
        """The share of its lines that is repeated, 0 to 1."""
        return self.repeated / self.lines if self.lines else 0.0


@dataclass(frozen=True)
class Texts:
    """The texts that a model is trained and evaluated on.

    Attributes:
        resolved: Settings, including those that the texts determine.
        data: Training and validation text.
        valid_is: Description of the validation text.
        test: Test text, if there is one.
        holds_out: Whether the validation text was held out of the training text.
        overlaps: Overlap of the validation and test text with the training text, by name ("valid",
            "test").
    """

    resolved: ResolvedSettings
    data: FittingData
    valid_is: str
    test: TextData | None
    holds_out: bool = False
    overlaps: dict[str, Overlap] = field(default_factory=dict)
