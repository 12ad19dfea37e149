"""Settings for reading n-best lists, for changing texts before models read them, and for tuning
weights."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Literal

from rnnlm.config import Natural, ValidatedSettings, about
from rnnlm.text.lines import SpecialSymbols, check_reserved, split_words
from rnnlm.text.normalisation import without_punctuation

FORMATS = ("tsv", "json", "kaldi", "espnet", "nemo", "moses", "srilm")


@dataclass(frozen=True)
class ListSettings(ValidatedSettings):
    """How to read a list.

    `skip_incomplete` reports the utterances that it skips in a notice. It skips utterances without
    a reference only where references are needed.
    """

    # One of FORMATS
    format: Annotated[str | None, about("format of the lists; none: inferred from the content")] = (
        None
    )
    beam_size: Annotated[
        Natural | None,
        about(
            "number of hypotheses per utterance in a nemo list; none: blank lines separate "
            "utterances"
        ),
    ] = None
    costs: Annotated[bool, about("treat scores as costs: lower is better")] = False
    group_by: Annotated[
        str | None,
        about(
            "show rates by group: a field of a json list, or a file of `utt group` lines, such as "
            "utt2spk",
            title="FIELD|FILE",
        ),
    ] = None
    skip_incomplete: Annotated[
        bool,
        about("skip utterances without hypotheses or reference instead of stopping with an error"),
    ] = False
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        about("invalid UTF-8 is an error (strict), or becomes U+FFFD (replace)"),
    ] = "strict"


@dataclass(frozen=True)
class TextMapping(ValidatedSettings):
    """How to change a hypothesis, and its source, before a model reads it.

    `remove_punctuation` replaces characters of the Unicode classes P and S by white space, except
    apostrophes inside words and `<unk>`. `special_symbols` is explained at
    :func:`rnnlm.text.lines.check_reserved`. With `normalise_wer`, texts are changed in this way
    before the WER is computed, too.
    """

    lowercase: Annotated[bool, about("convert text to lower case before models read it")] = False
    remove_punctuation: Annotated[
        bool,
        about(
            "replace punctuation by spaces before models read the text; apostrophes inside "
            "words stay"
        ),
    ] = False
    special_symbols: Annotated[
        SpecialSymbols, about("<s> or </s> in the text is an error, is dropped, or becomes <unk>")
    ] = "error"
    normalise_wer: Annotated[
        bool,
        about("also apply `lowercase` and `remove_punctuation` to the texts that the WER compares"),
    ] = False

    def mapped(self, text: str, where: str = "a hypothesis") -> str:
        """Return a text as the model reads it, with single spaces between words.

        Args:
            text: The text.
            where: Its place, for messages.

        Raises:
            TextError: The text contains `<s>` or `</s>`, and `special_symbols` is "error".
        """
        if self.lowercase:
            text = text.lower()  # first: <S> becomes a reserved symbol
        words = split_words(check_reserved(text, where, self.special_symbols))
        if self.remove_punctuation:
            words = split_words(without_punctuation(" ".join(words)))
        return " ".join(words)

    def for_wer(self, text: str, where: str = "a text") -> str:
        """Return a text in the form whose words the WER compares, in NFC.

        Args:
            text: The text.
            where: Its place, for messages.

        Raises:
            TextError: As for :meth:`mapped`.
        """
        compared = self.mapped(text, where) if self.normalise_wer else text
        return unicodedata.normalize("NFC", compared)

    @property
    def signature(self) -> str:
        """Signature of a WER of texts that are changed in this way."""
        case = "lower" if self.normalise_wer and self.lowercase else "kept"
        marks = "removed" if self.normalise_wer and self.remove_punctuation else "kept"
        return f"wer|words:blanks|form:nfc|case:{case}|punctuation:{marks}"


@dataclass(frozen=True)
class RescoreSettings(ValidatedSettings):
    """How to tune weights.

    Attributes:
        mapping: How to change texts before a model reads them.
        skip_incomplete: In tuning, skip utterances without a reference with a notice instead of
            raising an error.
    """

    mapping: TextMapping = TextMapping()
    words: Annotated[bool, about("use a weight for the number of words")] = True
    oov: Annotated[bool, about("use a weight for the number of words unknown to a model")] = True
    cer: Annotated[bool, about("count errors of characters, too, in any script")] = False
    seed: Annotated[Natural, about("random seed of restarts and permutations")] = 1
    skip_incomplete: bool = False
