"""Settings of tokenizers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from rnnlm.config import AUTO, Count, about, list_in_text, needs
from rnnlm.errors import ArgumentTypeError, SettingsError, given, nearest
from rnnlm.text.word_lists import WORDS_HASH, word_list

ALL = "all"
# Settings that choose words, not the definition of a word
CHOOSING = ("min_count", "max_vocab", "vocab", "vocab_size", "sentencepiece_model")
LIMITED = ("word", "char")  # tokenizers that leave out rare tokens
FORMS = ("dashes", "entities", "nfc", "quotes", "spaces")  # of rnnlm.text.normalisation
CCNET = "ccnet"  # the form of CCNet, which stands alone


@dataclass(frozen=True)
class TokenizerSettings:
    """Settings of all tokenizers; each uses those that apply to it."""

    tokenizer: Annotated[
        Literal["word", "char", "byte", "sentencepiece", "huggingface", "pieces"],
        about(
            "how to split text into tokens; huggingface, pieces: as the model or file does that "
            "`tokenizer_from` names"
        ),
    ] = "word"
    lowercase: Annotated[bool, about("convert the text to lower case")] = False
    split_punctuation: Annotated[bool, about("treat punctuation marks as separate words")] = False
    min_count: Annotated[
        Count,
        about(
            "words or characters that occur fewer times become <unk>",
            extra=needs(tokenizer=LIMITED),
        ),
    ] = 1
    max_vocab: Annotated[
        Annotated[int, Meta(ge=3)] | None,
        about(
            "maximum number of words or characters in the vocabulary, including </s> and <unk>",
            extra=needs(tokenizer=LIMITED),
        ),
    ] = None
    vocab: Annotated[
        str | None,
        about(
            "file with the words (of char: characters) of the vocabulary, one a line or in "
            "JSON; others become <unk>",
            title="FILE",
            extra=needs({"max_vocab": (None,)}, min_count=(1,)),
        ),
    ] = None
    literal_unk: Annotated[
        Literal["symbol", "spell"],
        about("read <unk> in the text as the unknown symbol (symbol), or as ordinary text (spell)"),
    ] = "symbol"
    sentencepiece_model: Annotated[
        Literal["unigram", "bpe"],
        about(
            "sentencepiece: the kind of subword model", extra=needs(tokenizer=("sentencepiece",))
        ),
    ] = "unigram"
    vocab_size: Annotated[
        Count, about("sentencepiece: number of pieces", extra=needs(tokenizer=("sentencepiece",)))
    ] = 4000
    normalise: Annotated[
        Annotated[str, list_in_text("names", "[a-z]", "quotes,dashes")] | None,
        about(
            "forms to normalise: any of quotes,dashes,spaces,entities,nfc, or all; or ccnet, as "
            "CCNet has texts: no capitals, accents and digits but 0",
            title="FORMS",
        ),
    ] = None
    remove_punctuation: Annotated[
        bool,
        about("replace punctuation by spaces; apostrophes inside words stay, but become straight"),
    ] = False

    def __post_init__(self) -> None:
        # One spelling, however the forms were named.
        object.__setattr__(self, "normalise", parse_forms(self.normalise))
        if self.tokenizer == "byte" and self.lowercase:
            raise SettingsError(
                "lowercase cannot be combined with the byte tokenizer",
                "it keeps every byte as it is",
            )
        if self.split_punctuation is True and self.tokenizer != "word":
            raise SettingsError("split_punctuation is a setting of the word tokenizer")
        if self.vocab is not None and self.tokenizer not in LIMITED:
            raise SettingsError("vocab is a setting of the word and char tokenizers")
        if self.tokenizer == "word" and self.literal_unk == "spell":
            raise SettingsError(
                "literal_unk = spell needs a tokenizer that spells", "a word tokenizer does not"
            )

    def with_files_read(self) -> Self:
        """Read the file `vocab`, and return the settings with its words in the place of its name:
        by these it is known, wherever it is."""
        if self.vocab is None or WORDS_HASH.fullmatch(self.vocab):
            return self
        return replace(self, vocab=word_list(self.vocab))


@dataclass(frozen=True)
class NewTokenizerSettings(TokenizerSettings):
    """Settings of a tokenizer that is made from a text, which may decide whether its marks are
    split from words."""

    split_punctuation: Annotated[
        bool | Literal["auto"],
        Meta(
            description="treat punctuation marks as separate words; auto: if marks are parts of "
            "words in the training text, as in raw prose"
        ),
    ] = AUTO  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        # Without words or without marks, nothing is split.
        has_marks = self.tokenizer == "word" and not self.remove_punctuation
        if self.split_punctuation == AUTO and not has_marks:
            object.__setattr__(self, "split_punctuation", False)


def parse_forms(forms: str | Iterable[str] | None) -> str | None:
    """Return the FORMS that `forms` name, in their order, with commas between them, or CCNET; None:
    none. "all" names each of FORMS."""
    # Names come as one text, several texts, or not at all.
    names: list[Any] = [forms or ""]
    if isinstance(forms, Iterable):
        names = forms.split(",") if isinstance(forms, str) else list(forms)
    for name in names:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"the name of a form must be a str, not {given(name)}")

    form_names = {name.strip() for name in names} - {"", "none"}
    known = [*FORMS, CCNET, ALL]
    unknown = sorted(form_names - {*known})
    if unknown:
        raise SettingsError(
            f"normalise has no form {unknown[0]!r}", hint=nearest(unknown[0], known)
        )
    if CCNET in form_names and len(form_names) > 1:
        raise SettingsError("normalise = ccnet cannot be combined with other forms")
    if ALL in form_names:
        return ",".join(FORMS)
    return ",".join(form for form in known if form in form_names) or None
