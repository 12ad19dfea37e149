"""Second implementations of how spans of labels are counted, written from the published rules.

conlleval: the Perl script of the CoNLL-2000 shared task, which walks over both columns at once and
knows no spans, only beginnings and ends. seqeval: the tables of its strict mode for IOB1, IOB2 and
IOBES, (prefix before, prefix, whether the type is the same, or None).
"""

import re
from collections import Counter

Counted = tuple[Counter, Counter, Counter]  # of types: right, predicted, gold

ANY = None
STRICT = {
    "iob1": {
        "start": [
            ("O", "I", ANY),
            ("I", "I", False),
            ("B", "I", ANY),
            ("I", "B", True),
            ("B", "B", True),
        ],
        "inside": [("B", "I", True), ("I", "I", True)],
        "end": [
            ("I", "I", False),
            ("I", "O", ANY),
            ("I", "B", ANY),
            ("B", "O", ANY),
            ("B", "I", False),
            ("B", "B", True),
        ],
    },
    "bio": {
        "start": [("BIO", "B", ANY)],
        "inside": [("B", "I", True), ("I", "I", True)],
        "end": [
            ("I", "O", ANY),
            ("I", "I", False),
            ("I", "B", ANY),
            ("B", "O", ANY),
            ("B", "I", False),
            ("B", "B", ANY),
        ],
    },
    "bioes": {
        "start": [("BIOES", "B", ANY), ("BIOES", "S", ANY)],
        "inside": [("B", "I", True), ("B", "E", True), ("I", "I", True), ("I", "E", True)],
        "end": [("S", "BIOES", ANY), ("E", "BIOES", ANY)],
    },
}


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
    by_type = tag_before not in ("O", ".") and type_before != type_
    return by_tags or by_type


def started(before: tuple[str, str], now: tuple[str, str]) -> bool:
    (tag_before, type_before), (tag, type_) = before, now
    by_tags = f"{tag_before}{tag}" in "BB IB OB OI EE EI OE".split()
    by_type = tag not in ("O", ".") and type_before != type_
    return by_tags or by_type


def strict(gold: list[list[str]], predicted: list[list[str]], scheme: str) -> Counted:
    entities = [
        {
            (n, *each)
            for n, labels in enumerate(side)
            for each in entities_of(labels, STRICT[scheme])
        }
        for side in (gold, predicted)
    ]
    return tuple(
        Counter(entity[-1] for entity in some)
        for some in (entities[0] & entities[1], entities[1], entities[0])
    )


def entities_of(labels: list[str], patterns: dict[str, list]) -> list[tuple[int, int, str]]:
    tokens = [parsed(label) for label in [*labels, "O"]]
    found, place, before = [], 0, ("O", "")
    while place < len(tokens):
        if matches(before, tokens[place], patterns["start"]):
            end = place + 1
            while matches(tokens[end - 1], tokens[end], patterns["inside"]):
                end += 1
            if matches(tokens[end - 1], tokens[end], patterns["end"]):
                found.append((place, end, tokens[place][1]))
            place = end
        else:
            place += 1
        if place == len(tokens):
            break
        before = tokens[place - 1]
    return found


def matches(before: tuple[str, str], now: tuple[str, str], patterns: list) -> bool:
    same = before[1] == now[1]
    return any(
        before[0] in first and now[0] in second and wanted in (ANY, same)
        for first, second, wanted in patterns
    )
