"""What a person asks `train` for. Its fields are the options of `rnnlm train`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from rnnlm.config import Layer
from rnnlm.errors import SettingsError, nearest


@dataclass(frozen=True)
class Request:
    """What a person asks `train` for. Settings: recipe < `extra_layers` < assignments (text,
    `--set`) < named flags.

    text: none: the bundled corpus. recipe: a name, or FILE.toml, whose settings come above those of
    the recipe that it names, or of the usual one. from_file: these settings; `recipe` is then the
    one that the file names. extra_layers: settings of a grid, between the recipe and the
    assignments. output: None: the default folder in ./checkpoints.
    """

    text: tuple[str, ...] = ()
    valid: Annotated[
        tuple[str, ...],
        Meta(title="TEXT", description="validation text; none: the end of the text, see `holdout`"),
    ] = ()
    test: Annotated[
        tuple[str, ...], Meta(title="TEXT", description="test text, evaluated once at the end")
    ] = ()
    counts: Annotated[
        str | None,
        Meta(
            title="DIR",
            description="in place of a text, for n-gram models: counts that rnnlm count wrote",
        ),
    ] = None
    recipe: Annotated[
        str | None,
        Meta(
            title="NAME|FILE.toml",
            description="named settings, see rnnlm list recipes; or settings from a file",
        ),
    ] = None
    model: Annotated[
        str | None, Meta(title="KIND", description="kind of model, such as lstm or ngram")
    ] = None
    from_file: Layer | None = None
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    extra_layers: tuple[Layer, ...] = ()
    output: Path | None = None
    overwrite: bool = False
    tokenizer_from: Annotated[
        str | None, Meta(title="MODEL", description="share the tokenizer of another model")
    ] = None
    init_from: Annotated[
        str | None, Meta(title="MODEL", description="start from the weights of another model")
    ] = None
    task: Annotated[
        str | None,
        Meta(
            title="TASK",
            description="tagging, classification or seq2seq instead of a language model",
        ),
    ] = None
    contextual: Annotated[
        tuple[str, ...],
        Meta(
            title="MODEL",
            description="with `task`: a language model whose layers are read beside the words, and "
            "are not trained",
        ),
    ] = ()
    target: Annotated[
        tuple[str, ...],
        Meta(title="FILE", description="with seq2seq: the target of each line of a text"),
    ] = ()
    valid_target: Annotated[
        tuple[str, ...],
        Meta(title="FILE", description="targets of `valid`; repeat it for several references"),
    ] = ()
    test_target: Annotated[
        tuple[str, ...], Meta(title="FILE", description="targets of `test`")
    ] = ()
    init_encoder_from: Annotated[
        str | None,
        Meta(title="MODEL", description="with seq2seq: start the encoder from a language model"),
    ] = None
    init_decoder_from: Annotated[
        str | None,
        Meta(title="MODEL", description="with seq2seq: start the decoder from a language model"),
    ] = None

    def __post_init__(self) -> None:
        from rnnlm.files.reading import read_by_hand
        from rnnlm.recipes import recipe as recipes

        if self.recipe is not None and self.recipe.endswith(".toml"):
            settings = read_by_hand(Path(self.recipe), SettingsError)
            settings.pop("about", None)  # what a recipe says of itself
            for name, value in settings.items():
                if isinstance(value, dict):
                    raise SettingsError(
                        f"{self.recipe} has a section [{name}]",
                        "settings are one flat table",
                        "write its settings without a section",
                    )
            base = settings.pop("recipe", None)
            if base is not None and base not in recipes.names():
                raise SettingsError(
                    f"there is no recipe {base!r}",
                    f"{self.recipe} begins with it",
                    nearest(str(base), recipes.names()),
                )
            object.__setattr__(self, "from_file", Layer(self.recipe, settings))
            object.__setattr__(self, "recipe", base)

    @property
    def takes_bundled(self) -> bool:
        """Whether it names nothing to train on, so that the bundled corpus is taken."""
        return not self.text and self.counts is None
