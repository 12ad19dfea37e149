"""What can be asked of a tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from rnnlm.config import Count, needs
from rnnlm.errors import SettingsError
from rnnlm.text.normalisation import parse_forms


@dataclass(frozen=True)
class TokenizerSettings:
    """Settings of all tokenizers; each uses those that concern it."""

    tokenizer: Annotated[
        Literal["word", "char", "byte", "sentencepiece"],
        Meta(description="how text becomes tokens"),
    ] = "word"
    lowercase: Annotated[bool, Meta(description="lower-case the text first")] = False
    split_punctuation: Annotated[
        bool, Meta(description="word: punctuation marks are tokens of their own")
    ] = False
    min_count: Annotated[
        Count,
        Meta(
            description="word, char: rarer symbols become <unk>",
            extra=needs(tokenizer=("word", "char")),
        ),
    ] = 1
    max_vocab: Annotated[
        Annotated[int, Meta(ge=3)] | None,
        Meta(
            description="word, char: largest vocabulary, special symbols included",
            extra=needs(tokenizer=("word", "char")),
        ),
    ] = None
    literal_unk: Annotated[
        Literal["symbol", "spell"],
        Meta(description="<unk> in the text: the unknown symbol, or ordinary text"),
    ] = "symbol"
    sentencepiece_model: Annotated[
        Literal["unigram", "bpe"],
        Meta(
            description="sentencepiece: the kind of subword model",
            extra=needs(tokenizer=("sentencepiece",)),
        ),
    ] = "unigram"
    vocab_size: Annotated[
        Count,
        Meta(
            description="sentencepiece: number of pieces", extra=needs(tokenizer=("sentencepiece",))
        ),
    ] = 4000
    normalise: Annotated[
        Annotated[str, Meta(pattern="[a-z]", examples=["quotes,dashes"])] | None,
        Meta(
            description="what is written in one form: quotes, dashes, spaces, entities, nfc, or all"
        ),
    ] = None
    remove_punctuation: Annotated[
        bool, Meta(description="punctuation becomes white space, but for apostrophes inside words")
    ] = False
    reversed: Annotated[
        bool,
        Meta(
            description="each line is read from its end: its tokens from the last to the first, "
            "then </s>"
        ),
    ] = False

    def __post_init__(self) -> None:
        # in one spelling, whatever was asked for
        object.__setattr__(self, "normalise", parse_forms(self.normalise))
        if self.tokenizer == "byte" and self.lowercase:
            raise SettingsError(
                "lowercase does not go with the byte tokenizer", "it keeps every byte as it is"
            )
        if self.split_punctuation and self.tokenizer != "word":
            raise SettingsError("split_punctuation is a setting of the word tokenizer")
        if self.tokenizer == "word" and self.literal_unk == "spell":
            raise SettingsError(
                "literal_unk = spell needs a tokenizer that spells", "a word tokenizer does not"
            )

    def check_limits(self) -> None:
        """Whether a new tokenizer can obey min_count and max_vocab; for stored settings nobody
        asks, as older models hold limits that had no effect.

        Raises:
            SettingsError: one is set for bytes or sentencepiece.
        """
        idle = [
            name
            for name in ("min_count", "max_vocab")
            if getattr(self, name) != getattr(type(self), name)
        ]
        if idle and self.tokenizer not in ("word", "char"):
            what = f"{' and '.join(idle)}: not for the {self.tokenizer} tokenizer"
            hint = (
                "set vocab_size instead"
                if self.tokenizer == "sentencepiece"
                else f"leave {' and '.join(idle)} out"
            )
            raise SettingsError(what, "these are settings of the word and char tokenizers", hint)


def as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` by name as files hold them: `reversed` only where it is set, so that all others
    are as they were before there was any."""
    return {name: value for name, value in settings.items() if name != "reversed" or value}
