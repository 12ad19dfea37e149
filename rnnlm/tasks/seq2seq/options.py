"""Settings for reading and tokenizing pairs, and for decoding their sources.

Commands of other tasks have options for these settings, too, and start without the settings of
networks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_type_hints

from msgspec import Meta

from rnnlm.config import Count, ValidatedSettings, about, describe
from rnnlm.errors import UsageError, keyword
from rnnlm.interface import SentencePart
from rnnlm.satellites import on_use
from rnnlm.scoring.generation.settings import LengthPower
from rnnlm.text.tokenizer_settings import TokenizerSettings

if TYPE_CHECKING:
    from rnnlm.interface import LanguageModel
    from rnnlm.scoring.sentences import Sentence

# ---- How pairs are read.

Format = Literal["auto", "tsv", "csv", "jsonl", "parquet", "parallel"]


@dataclass(frozen=True)
class ParallelSettings:
    """Settings for reading pairs. Columns are named by the header of a table; in a table without a
    header, by their numbers, from 1."""

    format: Annotated[
        Format, about("format of the pairs; auto infers it from the file's name and content")
    ] = "auto"
    column: Annotated[str | None, about("column of the sources", title="NAME")] = None
    target_column: Annotated[
        str | None, about("column of the targets; `column` names that of the sources", title="NAME")
    ] = None
    skip_empty: Annotated[
        bool,
        about(
            "skip pairs with an empty side; without this, an empty line in parallel files is "
            "an error"
        ),
    ] = False
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        about("invalid UTF-8 is an error (strict), or becomes U+FFFD (replace)"),
    ] = "strict"
    special_symbols: Annotated[
        Literal["error", "drop", "replace"],
        about("<s> or </s> in the text is an error, is dropped, or becomes <unk>"),
    ] = "error"


# ---- How sentences are read that are targets of sources: fields of `rnnlm.SentenceSettings`, too.


@dataclass(frozen=True, kw_only=True)
class TargetSentences(SentencePart):
    """How sentences are read that are targets of sources.

    Attributes:
        are_pairs: Rows of tables are pairs of a source, in `column`, and a text, in
            `target_column`; without names, the columns are found as in
            :mod:`rnnlm.tasks.seq2seq.pairs`.
        targets: Files of the sentences, if those that are read hold their sources, line by line.
    """

    are_pairs: bool = False
    target_column: Annotated[
        str | None,
        about(
            "column of a table that holds the targets; `column` then names the sources; "
            "none: found as in rnnlm train",
            title="NAME",
        ),
    ] = None
    given_source: Annotated[
        str | None, about("source text of all sentences, to score log p(sentence | source)")
    ] = None
    targets: tuple[str, ...] = ()

    beside: ClassVar = {"targets": "target"}

    @property
    def condition(self) -> str | None:
        """The source of all sentences."""
        return self.given_source

    @property
    def need(self) -> str:
        """The ability of the models that score the sentences."""
        are_named = self.given_source or self.target_column or self.targets
        return "conditions" if are_named else super().need

    @property
    def typed(self) -> tuple[str, str]:
        """What a person types, and how."""
        return ("a table of pairs", "with a header") if self.are_pairs else super().typed

    def for_models(self, models: "Mapping[str, LanguageModel]") -> Self:
        """Return the settings for tables of pairs, where no source or file of targets is named, if
        one of the models reads sources.

        Args:
            models: Models by name.
        """
        from rnnlm.lm.base.span_scoring import reads_conditions

        named = {
            "given_source": self.given_source is not None,
            "target_column": self.target_column is not None,
            "targets": bool(self.targets),
        }
        if any(map(reads_conditions, models.values())):
            return replace(self, are_pairs=not named["given_source"] and not named["targets"])
        for name, is_named in named.items():
            if is_named:
                raise UsageError(
                    f"{next(iter(models))} is a language model, which reads no source",
                    "it gives probabilities of the sentences alone",
                    "leave " + keyword(name) + " out, or name an encoder-decoder",
                )
        return self

    def records(self, names: tuple[str, ...]) -> "Iterator[Sentence] | None":
        """Return the sentences of tables of pairs, or of files of targets.

        Args:
            names: Names of the files.
        """
        return on_use(__package__, "pairs:sentences_of_pairs")()(names, self)


# ---- How sources are decoded.

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
    :class:`ParallelSettings` that differ from those of the training data.
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
