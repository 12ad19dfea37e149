"""How n-best lists are read, what models read of them, and how weights are tuned."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Checked, Natural
from rnnlm.text.lines import SpecialSymbols, check_reserved, split_words
from rnnlm.text.normalisation import without_punctuation

FORMATS = ("tsv", "json", "kaldi", "espnet", "nemo")


@dataclass(frozen=True)
class ListSettings(Checked):
    """How a list is read. costs: its scores are costs, the lower the better. skip_incomplete:
    utterances without hypotheses are left out with a notice instead of being an error, and so are,
    where references are needed, those without."""

    # One of FORMATS
    format: Annotated[
        str | None, Meta(description="format of the lists; none: inferred from the content")
    ] = None
    beam_size: Annotated[
        Natural | None,
        Meta(
            description="hypotheses of each utterance of a nemo list; none: blank lines separate "
            "utterances"
        ),
    ] = None
    costs: Annotated[bool, Meta(description="scores are costs: the lower, the better")] = False
    skip_incomplete: Annotated[
        bool,
        Meta(
            description="leave out utterances without hypotheses or reference, instead of an error"
        ),
    ] = False
    encoding_errors: Annotated[
        Literal["strict", "replace"], Meta(description="bad UTF-8 is an error, or becomes U+FFFD")
    ] = "strict"


@dataclass(frozen=True)
class TextMapping(Checked):
    """What is done to a hypothesis, and to its source, before a model reads it.

    remove_punctuation: characters of Unicode's classes P and S become white space, but for
    apostrophes inside words and `<unk>`. special_symbols: as in
    :func:`rnnlm.text.lines.check_reserved`. normalise_wer: words are mapped before they are
    compared with the reference's, too.
    """

    lowercase: Annotated[bool, Meta(description="the models read lower case")] = False
    remove_punctuation: Annotated[
        bool,
        Meta(
            description="the models read no punctuation; it becomes a space, apostrophes inside "
            "words stay"
        ),
    ] = False
    special_symbols: Annotated[
        SpecialSymbols, Meta(description="<s> or </s> in the text: an error, dropped, or <unk>")
    ] = "error"
    normalise_wer: Annotated[
        bool,
        Meta(
            description="compute the WER on texts as `lowercase` and `remove_punctuation` change "
            "them"
        ),
    ] = False

    def mapped(self, text: str, where: str = "a hypothesis") -> str:
        """Return `text` as the model reads it, its words one space apart. where: its place, for
        messages.

        Raises:
            TextError: it holds `<s>` or `</s>`, and that is to be an error.
        """
        if self.lowercase:
            text = text.lower()  # first: <S> becomes a reserved symbol
        words = split_words(check_reserved(text, where, self.special_symbols))
        if self.remove_punctuation:
            words = split_words(without_punctuation(" ".join(words)))
        return " ".join(words)

    def for_wer(self, text: str, where: str = "a text") -> str:
        """Return `text` as its words are compared with those of another.

        Raises:
            TextError: as :meth:`mapped`.
        """
        if not self.normalise_wer:
            return text
        return self.mapped(text, where)


@dataclass(frozen=True)
class RescoreSettings(Checked):
    """What is tuned, and how. words, oov: whether these features have weights; seed: for restarts
    and resampling; skip_incomplete: utterances without reference are left out of tuning with a
    notice instead of being an error."""

    mapping: TextMapping = TextMapping()
    words: Annotated[bool, Meta(description="a weight for the number of words")] = True
    oov: Annotated[
        bool, Meta(description="a weight for the number of words unknown to a model")
    ] = True
    seed: Annotated[Natural, Meta(description="seed of restarts and resampling")] = 1
    skip_incomplete: bool = False
