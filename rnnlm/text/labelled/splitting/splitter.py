"""Raw text split into words as a treebank splits its own: cuts at marks, then multiword forms, which become ranges of words."""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import msgspec

from rnnlm.errors import ModelError
from rnnlm.text import sources
from rnnlm.text.file_lines import lines_with_ends
from rnnlm.text.labelled.conllu import ConlluSentence, sentences
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.labelled.splitting import mark_cuts, multiword
from rnnlm.text.labelled.splitting.alignment import Surface, chunks, surfaces
from rnnlm.text.labelled.splitting.mark_cuts import MarkCuts
from rnnlm.text.labelled.splitting.multiword import Multiwords
from rnnlm.text.labelled.splitting.split_text import Range, SplitText
from rnnlm.text.lines import split_words
from rnnlm.text.tokenizers.word import split_punctuation


def learn_splitter(paths: Iterable[str | PathLike[str]], settings: LabelledSettings) -> "Splitter":
    """The splitter of some CoNLL-U files.

    Raises:
        TextError: one cannot be read, or is not as the format has it.
    """
    files = sources.expand(tuple(fspath(path) for path in paths))
    return Splitter.learn(each for source in files for each in sentences(source, lines_with_ends(source, settings.encoding_errors)))


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    cuts: list[str]
    keeps: list[str]
    forms: dict[str, tuple[str, ...]]
    ends: list[str]


@dataclass(frozen=True)
class Splitter:
    """How a treebank splits text. mark_cuts: None where it does not say where its spaces are; marks are split off by the rule of the word
    tokenizer then."""

    mark_cuts: MarkCuts | None
    multiwords: Multiwords

    @classmethod
    def learn(cls, sentences: Iterable[ConlluSentence]) -> "Splitter":
        """The splitter of a treebank's training part."""
        forms: list[Surface] = []
        cut: list[list[str]] = []
        for sentence in sentences:
            found = surfaces(sentence)
            forms += found
            cut += [[form.form for form in chunk] for chunk in chunks(found)]
        return cls(mark_cuts.learn_mark_cuts(cut) if cut else None, multiword.learn_multiwords(forms))

    def split(self, text: str) -> SplitText:
        """The words of a raw text, its multiword forms, and where there are no spaces."""
        words: list[str] = []
        ranges: list[Range] = []
        are_glued: list[bool] = []
        for chunk in split_words(text):
            pieces = self.mark_cuts.pieces(chunk) if self.mark_cuts else split_words(split_punctuation(chunk))
            for number, piece in enumerate(pieces, start=1):
                parts = self.multiwords.words(piece)
                if len(parts) > 1:
                    ranges.append((len(words), len(words) + len(parts), piece))
                words += parts
                are_glued += [False] * (len(parts) - 1) + [number < len(pieces)]
        return SplitText(tuple(words), tuple(ranges), tuple(are_glued))

    def to_dict(self) -> dict[str, Any]:
        """What :meth:`from_dict` makes it of again: texts, lists and tables of them."""
        cuts = self.mark_cuts or MarkCuts(frozenset(), frozenset())
        multiwords = self.multiwords
        forms = {form: list(words) for form, words in sorted(multiwords.forms.items())}
        return {"cuts": sorted(cuts.cuts), "keeps": sorted(cuts.keeps), "forms": forms, "ends": sorted(multiwords.ends)}

    @classmethod
    def from_dict(cls, stored: Any) -> "Splitter":
        """The splitter that was stored so.

        Raises:
            ModelError: it is damaged.
        """
        try:
            parts = msgspec.convert(stored, _Stored)
        except (ValueError, RecursionError) as error:
            raise ModelError("how the model splits text is damaged", str(error), "train it again") from None
        if not all(words and all(words) for words in parts.forms.values()) or "" in parts.ends:
            raise ModelError("how the model splits text is damaged", "a word is empty", "train it again")
        cuts = MarkCuts(frozenset(parts.cuts), frozenset(parts.keeps)) if parts.cuts or parts.keeps else None
        return cls(cuts, Multiwords(parts.forms, frozenset(parts.ends)))
