"""Documents that are raw text, a sentence a line: split into words, and written with labels in one of the formats."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rnnlm.files import tsv
from rnnlm.text.file_lines import lines_with_ends, without_end
from rnnlm.text.labelled import conllu, slashes
from rnnlm.text.labelled.documents.sentence import Sentence, TextLabels, WordLabels, on_one_line, only_labels, refuse
from rnnlm.text.labelled.documents.table_documents import joined
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.labelled.splitting.split_text import SplitText, at_white_space
from rnnlm.text.lines import is_blank

_UNWRITTEN = str.maketrans("\t\r\n", "   ")


def read_raw(
    source: str, settings: LabelledSettings, split: Callable[[str], SplitText] = at_white_space, output: str = "conllu"
) -> Iterator[Sentence]:  # fmt: skip
    """The lines of a file that are not blank. output: "conllu", "columns", "slashes", "jsonl" or "tsv".

    Raises:
        TextError: it cannot be read or decoded.
    """
    is_first = True
    for number, line in lines_with_ends(source, settings.encoding_errors):
        if not is_blank(without_end(line)) and (parts := split(without_end(line))).words:
            yield raw_sentence(without_end(line), parts, output, number, is_first)
            is_first = False


def raw_sentence(text: str, parts: SplitText, output: str, line: int = 1, is_first: bool = True) -> Sentence:
    """A text and its words as a sentence that is written as `output`; of a table, the first brings the header."""
    return Sentence(parts.words, line, _RawWriter(text, parts, output, is_first), text, parts.ranges)


@dataclass(frozen=True)
class _RawWriter:
    text: str
    parts: SplitText
    output: str
    is_first: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        if self.output == "jsonl":
            row = {"text": self.text, "words": self.parts.words, **{name: list(labels) for name, labels in word_labels.items()}}
            return json.dumps({**row, **text_labels}, ensure_ascii=False) + "\n"
        if self.output == "tsv":
            table = {"text": joined(self.parts.words) if word_labels else self.text}
            table |= {**{name: joined(labels) for name, labels in word_labels.items()}, **text_labels}
            return (tsv.line(table) if self.is_first else "") + tsv.line(table.values())
        if self.output == "conllu":
            return self._conllu(word_labels, text_labels)
        refuse(text_labels, self.output)
        if self.output == "columns":
            rows = zip(self.parts.words, *word_labels.values(), strict=True)
            return "".join("\t".join(map(on_one_line, row)) + "\n" for row in rows) + "\n"
        return " ".join(map(slashes.written, self.parts.words, only_labels(word_labels))) + "\n"

    def _conllu(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        lines = [f"# text = {self.text.translate(_UNWRITTEN).strip()}"]
        lines += [f"# {name} = {on_one_line(label)}" for name, label in text_labels.items()]
        ranges = {first: (last, form) for first, last, form in self.parts.ranges}
        end_of_range = 0
        for place, word in enumerate(self.parts.words):
            if place in ranges:
                end_of_range, form = ranges[place]
                cells = [f"{place + 1}-{end_of_range}", form, *[conllu.EMPTY] * 7, self._misc(end_of_range - 1)]
                lines.append("\t".join(cells))
            misc = conllu.EMPTY if place < end_of_range else self._misc(place)
            row = [str(place + 1), word, *[conllu.EMPTY] * 7, misc]
            for name, labels in word_labels.items():
                conllu.set_field(row, name, on_one_line(labels[place]))
            lines.append("\t".join(row))
        return "\n".join([*lines, "", ""])

    def _misc(self, place: int) -> str:
        """MISC of a word or a multiword form that ends there."""
        return "SpaceAfter=No" if self.parts.are_glued and self.parts.are_glued[place] else conllu.EMPTY
