"""What all networks have that read words, whatever they make of them: word vectors, characters, dropout, initialisation.

It does not import torch.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Positive, Probability
from rnnlm.errors import SettingsError
from rnnlm.neural.needs import OF_NETWORKS, OWNERS

# Bounds far above any use: the shapes in a damaged or hostile config.json are checked before anything is allocated.
Depth = Annotated[int, Meta(ge=1, le=100)]
Width = Annotated[int, Meta(ge=1, le=1 << 20)]

Initialisation = Literal["uniform", "glorot", "he", "orthogonal", "identity", "torch"]
Sizes = Annotated[str, Meta(pattern=r"^\s*\d{1,7}(\s*,\s*\d{1,7}){0,99}\s*$", examples=["650,650,400"])]  # 650,650,400


@dataclass(frozen=True)
class InputSettings:
    """How words are read, and what is dropped and how weights start in any network."""

    NEEDS = OF_NETWORKS

    model: Annotated[str, Meta(description="kind of model")] = "lstm"
    embedding_size: Annotated[Width, Meta(description="width of the word vectors")] = 256
    hidden_size: Annotated[Width, Meta(description="width of the hidden layers")] = 256

    characters: Annotated[
        Literal["cnn", "lstm"] | None, Meta(description="words are read character by character; none: word vectors alone")
    ] = None
    characters_beside: Annotated[bool, Meta(description="characters beside word vectors, not instead of them")] = False
    character_size: Annotated[Width, Meta(description="width of the character vectors")] = 15
    character_filters: Annotated[Sizes, Meta(description="characters=cnn: number of filters of width 1, 2, 3, ...")] = (
        "25,50,75,100,125,150"
    )
    character_highways: Annotated[
        Annotated[int, Meta(ge=0, le=100)], Meta(description="characters=cnn: highway layers after the filters")
    ] = 1
    character_overhang: Annotated[
        bool, Meta(description="characters=cnn: filters stand beyond a word's end, too, over zeros (as the code of Kim et al. 2016 does)")
    ] = False
    character_hidden_size: Annotated[Width, Meta(description="characters=lstm: width in each direction")] = 100

    dropout_embedding: Annotated[
        Probability, Meta(description="dropout of whole words: a word that is drawn is zero wherever it stands in a window")
    ] = 0.0
    dropout_input: Annotated[Probability, Meta(description="dropout on the word vectors")] = 0.1
    dropout_output: Annotated[Probability, Meta(description="dropout before the output layer")] = 0.1
    locked_dropout: Annotated[bool, Meta(description="variational dropout: one mask for each row, at all places of a window")] = False

    init_embedding: Annotated[Initialisation, Meta(description="how word vectors start")] = "uniform"
    init_input: Annotated[Initialisation, Meta(description="how weights into hidden layers and character filters start")] = "torch"
    init_recurrent: Annotated[Initialisation, Meta(description="how recurrent weights start")] = "torch"
    init_output: Annotated[Initialisation, Meta(description="how output weights start")] = "uniform"
    init_range: Annotated[Positive, Meta(description="uniform: weights start in [-r, r]")] = 0.1
    init_gain: Annotated[Positive, Meta(description="glorot, he, orthogonal, identity: multiplies the weights")] = 1.0

    def __post_init__(self) -> None:
        self._check_owners()
        if not any(sizes(self.character_filters)):
            raise SettingsError(f"character_filters = {self.character_filters} has no filters")

    @property
    def is_tied(self) -> bool:
        """Whether an output layer's weights are the word vectors: in language models they may be."""
        return False

    @property
    def has_word_vectors(self) -> bool:
        return not self.characters or self.characters_beside

    @property
    def input_width(self) -> int:
        """Width of what the body reads for each word: its vector, what its characters say, or both."""
        words = self.embedding_size if self.has_word_vectors else 0
        spelled = {"cnn": sum(sizes(self.character_filters)), "lstm": 2 * self.character_hidden_size, None: 0}
        return words + spelled[self.characters]

    @property
    def output_width(self) -> int:
        """Width of what the body hands to the output layer, before a projection."""
        return self.hidden_size

    def _check_owners(self) -> None:
        """A setting that differs from its default belongs to what was chosen."""
        defaults = {field.name: field.default for field in fields(self)}
        for name, (owner, choices) in OWNERS.items():
            if name in defaults and getattr(self, name) != defaults[name] and getattr(self, owner) not in choices:
                what = f"{name} is a setting of {owner} = {' or '.join(choices)}"
                hint = f"set {owner}={choices[0]}, or {name}={str(defaults[name]).lower()}"
                raise SettingsError(what, f"{owner} is {str(getattr(self, owner)).lower()}", hint)


def sizes(text: str) -> tuple[int, ...]:
    """The numbers of a list such as 650,650,400."""
    return tuple(int(number) for number in text.split(","))
