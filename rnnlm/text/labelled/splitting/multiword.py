"""Multiword forms: which forms of a text stand for several words (don't -> do n't), as a treebank has them.

A form that was seen is what most of its occurrences are, whatever their case. One that was not is split where it ends as multiword forms
do: in a last word (n't, 's) that nearly all forms with that end have as theirs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rnnlm.text.labelled.splitting.alignment import Surface

LEAST_WORDS, LEAST_WORD_SHARE = 3, 0.9  # of how many different forms an end is a word, and of how many that it ends
LONGEST_END = 8  # characters


@dataclass(frozen=True)
class Multiwords:
    """forms: by a form in lower case its words, also in lower case; forms of one word are there only where they end in one of the `ends`:
    last words that are split off forms which were never seen."""

    forms: Mapping[str, tuple[str, ...]]
    ends: frozenset[str]

    def words(self, form: str) -> tuple[str, ...]:
        """The words that a form stands for, in its case: itself, unless it is a multiword form."""
        lower = form.lower()
        if (parts := self.forms.get(lower)) is not None:
            return _in_case_of(form, parts) if len(parts) > 1 else (form,)
        for length in range(min(LONGEST_END, len(form) - 1), 0, -1):
            if lower[-length:] in self.ends and len(lower) == len(form):
                return form[:-length], form[-length:]
        return (form,)


def learn_multiwords(forms: Iterable[Surface]) -> Multiwords:
    """The multiword forms of a treebank, of which these are all forms."""
    seen: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for form in forms:
        seen[form.form.lower()][tuple(word.lower() for word in form.words) if form.is_multiword else (form.form.lower(),)] += 1
    usual = {form: max(counts.items(), key=lambda item: item[1])[0] for form, counts in seen.items()}
    ends = _ends(seen)
    kept = {form: words for form, words in usual.items() if len(words) > 1 or _end_of(form, ends)}
    return Multiwords({form: words for form, words in kept.items() if words != _by_its_end(form, ends)}, ends)


def _ends(seen: Mapping[str, Counter[tuple[str, ...]]]) -> frozenset[str]:
    """The last words that nearly all forms which end so have as theirs."""
    as_word: Counter[str] = Counter()
    stems: Counter[str] = Counter()
    for form, counts in seen.items():
        for words, count in counts.items():
            if len(words) == 2 and "".join(words) == form and len(words[1]) <= LONGEST_END:
                as_word[words[1]] += count
                stems[words[1]] += 1
    in_all: Counter[str] = Counter()
    for form, counts in seen.items():
        for length in range(1, min(LONGEST_END, len(form) - 1) + 1):
            if form[-length:] in as_word:
                in_all[form[-length:]] += counts.total()
    return frozenset(end for end, count in as_word.items() if stems[end] >= LEAST_WORDS and count >= LEAST_WORD_SHARE * in_all[end])


def _end_of(form: str, ends: frozenset[str]) -> str:
    """The longest of the `ends` with which a form ends, and which leaves something of it."""
    return next((form[-length:] for length in range(min(LONGEST_END, len(form) - 1), 0, -1) if form[-length:] in ends), "")


def _by_its_end(form: str, ends: frozenset[str]) -> tuple[str, ...]:
    end = _end_of(form, ends)
    return (form[: -len(end)], end) if end else (form,)


def _in_case_of(form: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a multiword form: cut out of it where they make it up, else capitalised as it is."""
    if "".join(parts) == form.lower() and len(form.lower()) == len(form):
        found, start = [], 0
        for part in parts:
            found.append(form[start : start + len(part)])
            start += len(part)
        return tuple(found)
    if len(form) > 1 and form.isupper():
        return tuple(part.upper() for part in parts)
    return (parts[0][:1].upper() + parts[0][1:], *parts[1:]) if form[:1].isupper() else parts
