"""How a treebank splits its raw text: the comment `# text` of a sentence laid beside its forms."""

from dataclasses import dataclass
from itertools import pairwise

from rnnlm.text.labelled.conllu import FIELDS, ConlluSentence
from rnnlm.text.lines import WORD_SPACE

_MISC = FIELDS.index("misc")
_NO_SPACE = "SpaceAfter=No"


@dataclass(frozen=True, slots=True)
class Surface:
    """A form as it stands in the text, and the words that it stands for: itself alone, unless it is a multiword form."""

    form: str
    words: tuple[str, ...]
    is_glued: bool | None  # whether no space follows; None where the file does not say

    @property
    def is_multiword(self) -> bool:
        """Whether it stands for other words than itself."""
        return self.words != (self.form,)


def surfaces(sentence: ConlluSentence) -> list[Surface]:
    """The forms of a sentence in order; spaces are known by its comment `# text`, or else by SpaceAfter=No in the last column."""
    words = [row[1] for row in sentence.cells]
    spans = {first: (last, form) for first, last, form in sentence.ranges}
    found: list[tuple[str, tuple[str, ...], bool]] = []
    place = 0
    while place < len(words):
        end, form = spans.get(place, (place + 1, words[place]))
        found.append((form, tuple(words[place:end]), _NO_SPACE in sentence.cells[end - 1][_MISC].split("|")))
        place = end
    text = sentence.comment("text")
    glued = _glued(text, [form for form, _, _ in found]) if text else None
    if not text and any(says_so for _, _, says_so in found):
        glued = [says_so for _, _, says_so in found]
    return [Surface(form, parts, glued[place] if glued else None) for place, (form, parts, _) in enumerate(found)]


def _glued(text: str, forms: list[str]) -> list[bool] | None:
    """Of each form whether the next one follows it in `text` without a space; None where they are not the forms of that text."""
    places = []
    position = 0
    for form in forms:
        while position < len(text) and (text[position] in WORD_SPACE or text[position].isspace()) and not text.startswith(form, position):
            position += 1
        if not form or not text.startswith(form, position):
            return None
        places.append(position)
        position += len(form)
    ends = [place + len(form) for place, form in zip(places, forms, strict=True)]
    return [end == start for end, (_, start) in zip(ends, pairwise(places), strict=False)] + [False]


def chunks(forms: list[Surface]) -> list[list[Surface]]:
    """The forms that follow each other without a space; none where the file does not say where spaces are, or in forms that hold some."""
    found: list[list[Surface]] = [[]]
    for form in forms:
        if form.is_glued is None:
            return []
        found[-1].append(form)
        if not form.is_glued:
            found.append([])
    return [chunk for chunk in found if chunk and not any(character in WORD_SPACE for form in chunk for character in form.form)]
