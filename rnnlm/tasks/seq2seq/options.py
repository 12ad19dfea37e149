"""Settings for reading and tokenizing pairs, and for decoding their sources.

Commands of other tasks have options for these settings, too, and start without the settings of
networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Meta

from rnnlm.config import Count, ValidatedSettings, about, describe
from rnnlm.errors import UsageError
from rnnlm.scoring.generation.settings import LengthPower
from rnnlm.text.tokenizer_settings import TokenizerSettings

BeamWidth = Annotated[int, Meta(ge=1, le=1 << 16)]
LengthFactor = Annotated[float, Meta(gt=0, le=1_000_000)]
BEAM_LENGTH_POWER = 1.0  # of beams; greedy search has only one line to rank
LONGER = 10  # tokens that a line may have beyond its factor of the source's


@dataclass(frozen=True)
class DecodingSettings(ValidatedSettings):
    """How to decode sources, and the form of the result. Properties resolve settings that are None.

    Raises:
        UsageError: the beam is narrower than `nbest`.
    """

    beam: Annotated[
        BeamWidth | None,
        about(
            "beam width: candidates kept at each step; 1 is greedy search; none: as many as nbest"
        ),
    ] = None
    length_power: Annotated[
        LengthPower | None,
        about(
            "rank candidates by log p / ((5 + tokens) / 6)^A (Wu et al. 2016); 0 favours short "
            "ones; none: 1, for greedy search 0"
        ),
    ] = None
    nbest: Annotated[
        Count, about("number of best lines to return for each source, with their log-probabilities")
    ] = 1
    max_length: Annotated[
        LengthFactor,
        about(
            "longest output in tokens: this factor times the source's, </s> "
            f"included, plus {LONGER}"
        ),
    ] = 2.0
    attention: Annotated[bool, about("return the attention of each output token to the source")] = (
        False
    )
    mbr: Annotated[
        bool,
        about(
            "return the one of the n best lines, or of the samples, that is most like all of them "
            "by chrF: minimum Bayes risk (Bertsch et al. 2023)"
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam is not None and self.beam < self.nbest:
            raise UsageError(
                f"a beam of {self.beam} holds fewer than {self.nbest} lines",
                hint=f"set the beam to {self.nbest} or more",
            )

    @property
    def width(self) -> int:
        """The width of the beam."""
        return self.beam or self.nbest

    @property
    def power(self) -> float:
        """The effective length power."""
        if self.length_power is not None:
            return self.length_power
        return BEAM_LENGTH_POWER if self.width > 1 else 0.0

    def limit(self, source_tokens: int) -> int:
        """Return the largest number of tokens of an output, including `</s>`.

        Args:
            source_tokens: Number of tokens of its source, including `</s>`.
        """
        return int(self.max_length * source_tokens) + LONGER


GREEDY = DecodingSettings()


@dataclass(frozen=True)
class PairOptions(ValidatedSettings):
    """Settings for reading pairs and decoding their sources.

    target: for each file one with its targets, if these are in separate files; as many again for
    each further reference. decoding: how sources are decoded; None: greedily. reading: settings of
    :class:`~rnnlm.text.named_columns.ParallelSettings` that differ from those of the training data.
    """

    target: Sequence[str | Path] = ()
    decoding: DecodingSettings | None = None
    reading: Mapping[str, Any] | None = None

    @property
    def search(self) -> DecodingSettings:
        """How sources are decoded."""
        return self.decoding or GREEDY


# ---- The tokenizers of pairs: one for each side, or one for both.

OF_TARGET = "target_"  # begins the names of the settings of the target's tokenizer


@dataclass(frozen=True)
class SourceTokenizerSettings(TokenizerSettings):
    """Settings for turning the source's lines into tokens, and the target's where they have no
    settings."""

    tokenizer: Annotated[
        Literal["word", "char", "byte", "sentencepiece", "huggingface"],
        about("how to split sources and targets into tokens"),
    ] = "sentencepiece"
    shared_vocabulary: Annotated[
        bool, about("use one tokenizer for both sides, built from the text of both")
    ] = False


def _target_fields() -> list[tuple[str, object, object]]:
    """Return (name, type, default) of the settings of the target's tokenizer: the source's
    settings, None meaning the same value. The words of a file are those of one language."""
    hints = get_type_hints(TokenizerSettings, include_extras=True)
    descriptions = describe(TokenizerSettings)
    of_target: list[tuple[str, object, object]] = []
    for field in fields(TokenizerSettings):
        if field.name == "vocab":
            continue
        name = OF_TARGET + field.name
        meta = about(f"of the target's lines: {descriptions[field.name]}; none: as the source's")
        of_target.append((name, Annotated[hints[field.name] | None, meta], None))
    return of_target


TargetTokenizerSettings: type[Any] = make_dataclass(
    "TargetTokenizerSettings",
    _target_fields(),
    frozen=True,
    namespace={"__doc__": "How the target's lines become tokens."},
)
