"""Whether sentences can be scored: what is not UTF-8, holds a line end or a reserved symbol has no score, and the reason why."""

from collections.abc import Sequence
from dataclasses import replace

from rnnlm.errors import TextError
from rnnlm.files.reading import undecoded
from rnnlm.scoring.carried_columns import SURROGATE
from rnnlm.scoring.regions import joined
from rnnlm.scoring.sentences import Sentence
from rnnlm.text.lines import WORD_SPACE, check_reserved, is_blank

_BYTES = range(0xDC80, 0xDD00)  # what stands for a byte that is not UTF-8 ("surrogateescape")


def check(sentences: Sequence[Sentence], special_symbols: str, nulls: bool) -> tuple[list[Sentence], list[str | None]]:
    """The sentences as they are scored (`special_symbols` treated, a blank one empty), and why each has no score, or None.

    Raises:
        TextError: one cannot be scored, unless there are to be `nulls`.
    """
    if _is_plain(sentences):
        return [each if each.text.strip(WORD_SPACE) else replace(each, text="", regions=()) for each in sentences], [None] * len(sentences)
    checked: list[Sentence] = []
    reasons: list[str | None] = []
    for sentence in sentences:
        try:
            if sentence.reason:
                raise TextError(f"sentence {sentence.id}: {sentence.reason}")
            where = f"sentence {sentence.id}"
            text, given = (checked_text(part, where, special_symbols) for part in (sentence.text, sentence.given))
            regions = sentence.regions
            if regions and text != sentence.text:
                regions = tuple(replace(each, text=checked_text(each.text, where, special_symbols)) for each in regions)
                text = joined(regions)
            source = sentence.source and checked_text(sentence.source, where, special_symbols)
            checked.append(replace(sentence, text="" if is_blank(text) else text, given=given, regions=regions, source=source))
            reasons.append(None)
        except TextError as error:
            if not nulls:
                raise
            checked.append(Sentence(SURROGATE.sub("\ufffd", sentence.text), sentence.id, columns=sentence.columns))
            reasons.append(error.what.removeprefix(f"sentence {sentence.id}: "))
    return checked, reasons


def _is_plain(sentences: Sequence[Sentence]) -> bool:
    """Whether no sentence has anything to find fault with: found out for all at once."""
    text = "\n".join([f"{each.given}{each.source or ''}{each.text}" if each.given or each.source else each.text for each in sentences])
    if "<s>" in text or "</s>" in text or text.count("\n") != len(sentences) - 1 or any(each.reason for each in sentences):
        return False
    return text.isascii() or not SURROGATE.search(text)


def checked_text(text: str, where: str, special_symbols: str) -> str:
    """The text of a sentence as it is read, `special_symbols` treated. where: what messages call its place.

    Raises:
        TextError: it is not UTF-8, or holds a newline; or `<s>` or `</s>`, where that is to be an error.
    """
    if found := SURROGATE.search(text):
        why = undecoded(text, found.start()) if ord(found[0]) in _BYTES else f"it holds U+{ord(found[0]):04X}"
        raise TextError(f"{where}: not UTF-8 ({why})", hint="convert it to UTF-8, or use --encoding-errors replace")
    if "\n" in text:
        raise TextError(f"{where}: a line holds a newline", hint="give each line on its own")
    return check_reserved(text, where, special_symbols)
