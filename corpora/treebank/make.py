"""Makes train.txt, valid.txt, test.txt and negation.txt: trees of short opinions with a label at
each node, in which "not" turns what follows it round, and "but" leaves what comes after it.

Each tree has a counterpart in the same file, drawn with the same choices for the other label: words
of praise and of blame are as frequent under both labels, so that words alone do not tell them.
HELD_OUT words are never negated in training and validation. The same seed gives the same files on
every machine: `python make.py`.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 90, {"train": 280, "valid": 40, "test": 100}
LABELS = ("pos", "neg")

# Each list has a word of praise at the place of each word of blame.
ADJECTIVES = {
    "pos": ["good", "warm", "strong", "clever", "lovely", "bright", "funny", "honest", "fresh"],
    "neg": ["bad", "cold", "weak", "silly", "dull", "awful", "boring", "false", "stale"],
}
HELD_OUT = 3  # the first ones of each list
VERBS = {
    "pos": [("liked", "like"), ("enjoyed", "enjoy")],
    "neg": [("hated", "hate"), ("regretted", "regret")],
}
THINGS = ["film", "book", "song", "play", "story", "meal", "trip", "game", "hotel", "course"]
PARTS = ["end", "start", "idea", "style", "sound", "price"]
OTHER = {"pos": "neg", "neg": "pos"}


def node(label: str, *parts: str) -> str:
    """Return a node of a tree over nodes, or over one word."""
    return f"({label} {' '.join(parts)})"


def neutral(*words: str) -> str:
    """Return words without an opinion, as a node that branches to the right."""
    *before, last = words
    tree = node("neu", last)
    for word in reversed(before):
        tree = node("neu", node("neu", word), tree)
    return tree


class Writer:
    """Writes opinions with the choices of one seed."""

    def __init__(self, seed: str, negates_held_out: bool) -> None:
        self.draw = random.Random(seed)
        self.first_negated = 0 if negates_held_out else HELD_OUT

    def opinion(self, side: str) -> str:
        """Return a tree whose root has the label `side`."""
        thing = self.draw.choice(THINGS)
        if self.draw.random() < 0.6:
            return self.clause(side, neutral("the", thing))
        part = self.draw.choice(PARTS)
        first = self.clause(OTHER[side], neutral("the", thing))
        second = self.clause(side, neutral("the", part))
        return node(side, first, node(side, neutral("but"), second))

    def clause(self, side: str, subject: str) -> str:
        """Return a sentence of one verb."""
        form = self.draw.choice(["was", "was", "was", "verb"])
        if form == "was":
            return node(side, subject, node(side, neutral("was"), self.phrase(side)))
        number, is_negated = self.draw.randrange(2), self.draw.random() < 0.5
        if not is_negated:
            return node(side, neutral("i"), node(side, node(side, VERBS[side][number][0]), subject))
        inner = OTHER[side]
        verb = node(inner, node(inner, VERBS[inner][number][1]), subject)
        negated = node(side, neutral("did"), node(side, neutral("not"), verb))
        return node(side, neutral("i"), negated)

    def phrase(self, side: str) -> str:
        """Return an adjective, perhaps with an adverb, perhaps negated."""
        if self.draw.random() < 0.5:
            return self.praise(side, 0)
        negation = self.draw.choice(["not", "not", "never"])
        return node(side, neutral(negation), self.praise(OTHER[side], self.first_negated))

    def praise(self, side: str, first: int) -> str:
        """Return an adjective from the one numbered `first` on, perhaps with an adverb."""
        words = ADJECTIVES[side]
        adjective = node(side, words[self.draw.randrange(first, len(words))])
        if self.draw.random() < 0.3:
            return node(side, neutral(self.draw.choice(["very", "really"])), adjective)
        return adjective


def part(name: str, others: set[str]) -> list[str]:
    """Return the trees of a part with their counterparts, none twice, and none of `others`."""
    trees: list[str] = []
    number = 0
    while len(trees) < SIZES[name]:
        number += 1
        seed = f"{SEED} {name} {number}"
        pair = [Writer(seed, name == "test").opinion(side) for side in LABELS]
        if others.isdisjoint(pair) and pair[0] not in trees:
            trees += pair
    random.Random(f"{SEED} {name}").shuffle(trees)
    return trees


def negations() -> list[str]:
    """Return the negations of the words that training never negates."""
    lines = []
    for subject in (neutral("it"), neutral("the", "film"), neutral("the", "end")):
        for side in LABELS:
            for word in ADJECTIVES[OTHER[side]][:HELD_OUT]:
                negated = node(side, neutral("not"), node(OTHER[side], word))
                lines.append(node(side, subject, node(side, neutral("was"), negated)))
    return lines


def files() -> dict[str, str]:
    """Return the text of each file."""
    parts = {"negation": negations()}
    for name in SIZES:
        others = {tree for trees in parts.values() for tree in trees}
        parts[name] = part(name, others)
    return {f"{name}.txt": "".join(f"{tree}\n" for tree in trees) for name, trees in parts.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
