"""Make train.tsv, valid.tsv and test.tsv: 2,000 requests to a travel desk, with an intent each and
a slot label for every word.

Requests come from grammar.txt, which says how its rules are written. The same seed gives the same
files on every machine: `python make.py`.
"""

import random
import re
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 18, {"train": 1600, "valid": 200, "test": 200}
SHARES = {  # of each intent in all parts
    "flight": 0.21, "train": 0.13, "hotel": 0.18, "taxi": 0.09, "weather": 0.10, "hours": 0.07,
    "price": 0.08, "status": 0.06,
    "cancel": 0.05, "change": 0.03,
}  # fmt: skip

ASKING = re.compile(
    (
        "(can|could|may|do|does|did|is|are|has|will|would|how|what|when|where|who|which|any|until "
        "when|from when) "
    ),
    re.IGNORECASE,
)
# Values that are made of letters and digits.
SIGNS = {"L": "ABCDEHKLMPRSTW", "D": "23456789"}
CODES = {"flight": "LLDDD", "reference": "LDLDLL"}

TOKEN = re.compile(r"[()\[\]|]|<[^>]*>|\{[^}]*\}|[^\s()\[\]|<>{}]+")


def read_grammar() -> dict[str, dict[str, list[str]]]:
    """Read the alternatives of each name, by kind ("values", "unseen", "rule")."""
    found: dict[str, dict[str, list[str]]] = {"values": {}, "unseen": {}, "rule": {}}
    for line in (FOLDER / "grammar.txt").read_text(encoding="utf-8").splitlines():
        head = re.fullmatch(r"\[(values|unseen|rule) (\S+)\]", line)
        if head:
            kind, name = head.groups()
            found[kind][name] = []
        elif not line or line.startswith("#"):
            continue
        elif kind == "rule":
            found[kind][name].append(line)
        else:
            found[kind][name] += [value.strip() for value in line.split(";") if value.strip()]
    return found


GRAMMAR = read_grammar()


class Writer:
    """Writes requests; all chance comes from one seed."""

    def __init__(self, seed: int) -> None:
        # Only this method gives the same numbers in all versions of Python.
        self.random = random.Random(seed).random
        self.unseen = 0.0
        self.used: set[str] = set()

    def request(self, intent: str, unseen: float) -> tuple[list[str], list[str]]:
        """Draw the words and labels of a request. `unseen` is the share of values that train does
        not have."""
        self.unseen, self.used = unseen, set()
        pairs = self.expand(self.pick(GRAMMAR["rule"][intent]))
        while pairs[-1][0] in (",", ":"):
            pairs.pop()
        return self.typed([word for word, _ in pairs]), [label for _, label in pairs]

    def pick(self, choices):
        return choices[int(self.random() * len(choices))]

    def expand(self, rule: str) -> list[tuple[str, str]]:
        if rule.startswith("!"):
            return [(word, "O") for word in self.value(rule[1:])]
        tokens = TOKEN.findall(rule)
        pairs = self.sequence(tokens)
        assert not tokens, rule
        return pairs

    def sequence(self, tokens: list[str]) -> list[tuple[str, str]]:
        """Parse the words up to the end of a group, and remove its tokens from the list."""
        # ( ) encloses a group, [ ] an optional one, | separates alternatives, < > names a rule and
        # { } a slot; anything else is a word outside of all slots.
        alternatives: list[list[tuple[str, str]]] = [[]]
        while tokens:
            token = tokens.pop(0)
            if token in ")]":
                break
            if token == "|":
                alternatives.append([])
            elif token in "([":
                inner = self.sequence(tokens)
                if token == "(" or self.random() < 0.5:
                    alternatives[-1] += inner
            elif token[0] == "<":
                alternatives[-1] += self.rule(token[1:-1])
            elif token[0] == "{":
                label, _, values = token[1:-1].partition("=")
                alternatives[-1] += self.slot(label, values)
            else:
                alternatives[-1].append((token, "O"))
        return self.pick(alternatives)

    def rule(self, name: str) -> list[tuple[str, str]]:
        fewest, most, several = re.fullmatch(r"(?:(\d)-(\d) )?(.*)", name).groups()
        if fewest is None:
            return self.expand(self.pick(GRAMMAR["rule"][name]))

        # Several alternatives in a row, all of them different.
        count = int(fewest) + int(self.random() * (int(most) - int(fewest) + 1))
        left = list(dict.fromkeys(GRAMMAR["rule"][several]))
        pairs = []
        for _ in range(count):
            pairs += self.expand(left.pop(int(self.random() * len(left))))
        return pairs

    def slot(self, label: str, values: str) -> list[tuple[str, str]]:
        first, *others = self.value(values or label)
        return [(first, f"B-{label}"), *((word, f"I-{label}") for word in others)]

    def value(self, name: str) -> list[str]:
        """Draw a value that this request does not contain yet."""
        for _ in range(20):
            words = self.made(name)
            if " ".join(words) not in self.used:
                break
        self.used.add(" ".join(words))
        return words

    def made(self, name: str) -> list[str]:
        """Draw a value: a code, a date, or one that the grammar lists."""
        if name in CODES:
            return ["".join(self.pick(SIGNS[kind]) for kind in CODES[name])]

        if name == "date":
            if self.random() < 0.65:
                return self.made("weekday")
            month, ordinal = self.made("month"), self.made("ordinal")
            forms = [
                [*month, *ordinal],
                ["the", *ordinal, "of", *month],
                ["the", *ordinal],
                [*month, "the", *ordinal],
            ]
            return self.pick(forms)

        is_unseen = name in GRAMMAR["unseen"] and self.random() < self.unseen
        values = GRAMMAR["unseen" if is_unseen else "values"][name]
        return self.pick(values).split()

    def typed(self, words: list[str]) -> list[str]:
        """Spell the words as people type them: half without capitals, some with two letters
        swapped."""
        if self.random() < 0.06:
            at = int(self.random() * len(words))
            word = words[at]
            cut = int(self.random() * max(1, len(word) - 1))
            if len(word) > 4 and word.isalpha():
                swapped = word[cut : cut + 2][::-1]
                words[at] = word[:cut] + swapped + word[cut + 2 :]
        if self.random() < 0.55:
            return [word.lower() for word in words]
        return [words[0][0].upper() + words[0][1:], *words[1:]]


def parts() -> dict[str, list[tuple[str, str, str]]]:
    """Draw the (intent, text, slots) rows of each part. No text occurs twice."""
    writer = Writer(SEED)
    seen: set[str] = set()
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for part, size in SIZES.items():
        # The intents of all requests that are still to be drawn.
        intents: list[str] = []
        for intent, share in SHARES.items():
            intents += [intent] * round(share * size)
        assert len(intents) == size

        rows[part] = []
        while intents:
            intent = intents[int(writer.random() * len(intents))]
            words, labels = writer.request(intent, 0.0 if part == "train" else 0.1)

            # A request with a capital letter often ends with a mark.
            if words[0][0].isupper() and writer.random() < 0.7:
                words.append("?" if ASKING.match(" ".join(words)) else ".")
                labels.append("O")

            # Draw again if it is too short, too long, or known already.
            text = " ".join(words)
            if not 3 <= len(words) <= 30 or text.lower() in seen:
                continue
            seen.add(text.lower())
            intents.remove(intent)
            rows[part].append((intent, text, " ".join(labels)))
    return rows


def files() -> dict[str, str]:
    """Return the content of each file, by its name."""
    texts = {}
    for part, rows in parts().items():
        lines = ["\t".join(row) + "\n" for row in [("intent", "text", "slots"), *rows]]
        texts[f"{part}.tsv"] = "".join(lines)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
