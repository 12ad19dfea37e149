"""A second implementation of how spans of labels are counted, written from the published rules.

conlleval: the Perl script of the CoNLL-2000 shared task, which walks over both columns at once and
knows no spans, only beginnings and ends.
"""

import re
from collections import Counter

Counted = tuple[Counter, Counter, Counter]  # of types: right, predicted, gold


def conlleval(gold: list[list[str]], predicted: list[list[str]]) -> Counted:
    right, found, there = Counter(), Counter(), Counter()
    last_gold, last_guess, in_correct = ("O", ""), ("O", ""), False
    # The lines of the file. An "O" represents the blank line after each sentence.
    lines = []
    for sentence in zip(gold, predicted, strict=True):
        lines += [*zip(*sentence, strict=True), ("O", "O")]
    for line in lines:
        # A span is right if both sides end it at the same line, with the same type all along.
        correct, guess = map(parsed, line)
        ends = ended(last_gold, correct), ended(last_guess, guess)
        if in_correct:
            if all(ends) and last_gold[1] == last_guess[1]:
                in_correct = False
                right[last_gold[1]] += 1
            elif ends[0] != ends[1] or correct[1] != guess[1]:
                in_correct = False
        # It may be right if both sides start it at the same line, with the same type.
        starts = started(last_gold, correct), started(last_guess, guess)
        if all(starts) and correct[1] == guess[1]:
            in_correct = True
        there[correct[1]] += starts[0]
        found[guess[1]] += starts[1]
        last_gold, last_guess = correct, guess
    return +right, +found, +there


def parsed(label: str) -> tuple[str, str]:
    match = re.fullmatch("([^-]*)-(.*)", label)
    return match.groups() if match else (label, "")


def ended(before: tuple[str, str], now: tuple[str, str]) -> bool:
    (tag_before, type_before), (tag, type_) = before, now
    by_tags = f"{tag_before}{tag}" in "BB BO IB IO EE EI EO".split()
    return by_tags or (tag_before not in ("O", ".") and type_before != type_)


def started(before: tuple[str, str], now: tuple[str, str]) -> bool:
    (tag_before, type_before), (tag, type_) = before, now
    by_tags = f"{tag_before}{tag}" in "BB IB OB OI EE EI OE".split()
    return by_tags or (tag not in ("O", ".") and type_before != type_)
