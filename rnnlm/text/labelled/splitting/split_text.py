"""A text that is split into words; splitting at white space, and at marks by the rule of the word tokenizer."""

from dataclasses import dataclass

from rnnlm.text.lines import split_words
from rnnlm.text.tokenizers.word import split_punctuation

Range = tuple[int, int, str]  # of a multiword form its first word (from 0), the one behind its last, and its form


@dataclass(frozen=True)
class SplitText:
    """A text that is split into words.

    ranges: its multiword forms. are_glued: of each word, whether no space follows it or the multiword form that it ends; () where nobody
    knows.
    """

    words: tuple[str, ...]
    ranges: tuple[Range, ...] = ()
    are_glued: tuple[bool, ...] = ()


def at_white_space(text: str) -> SplitText:
    """A text that is tokenised already."""
    return SplitText(tuple(split_words(text)))


def at_marks(text: str) -> SplitText:
    """A text split at white space, with punctuation marks as words of their own, as the setting `split_punctuation` has it."""
    words: list[str] = []
    are_glued: list[bool] = []
    for chunk in split_words(text):
        parts = split_words(split_punctuation(chunk))
        words += parts
        are_glued += [True] * (len(parts) - 1) + [False]
    return SplitText(tuple(words), (), tuple(are_glued))
