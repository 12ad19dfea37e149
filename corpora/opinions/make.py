"""Makes train.tsv, valid.tsv and test.tsv: 1,140 opinions, half positive, in which the order
of the words decides.

Each pattern is written down once and used for both labels: `+` stands for a word of the label's own
side, `-` for one of the other side. An opinion and its counterpart share pattern, topic and length
and lie in the same part, so that none of these tells the label, and words of praise are as frequent
in negative opinions as in positive ones. The same seed gives the same files on every machine:
`python make.py`.
"""

import random
import re
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 18, {"train": 480, "valid": 60, "test": 600}
LABELS = ("positive", "negative")

# What people say: each list's words for the side of praise, then as many for the other side.
ADJECTIVES = (
    [
        "good",
        "great",
        "wonderful",
        "lovely",
        "excellent",
        "delightful",
        "superb",
        "brilliant",
        "splendid",
        "perfect",
    ],
    [
        "bad",
        "awful",
        "terrible",
        "horrible",
        "dreadful",
        "poor",
        "disappointing",
        "boring",
        "miserable",
        "annoying",
    ],
)
VERBS = (
    ["love", "like", "enjoy", "recommend", "praise"],
    ["hate", "dislike", "regret", "avoid", "curse"],
)
FEELINGS = (["happy", "pleased", "delighted"], ["sad", "angry", "disappointed"])

TOPICS = {  # what an opinion is about, and four things about it
    "film": ["story", "music", "ending", "acting"],
    "book": ["plot", "style", "ending", "beginning"],
    "hotel": ["room", "breakfast", "view", "bed"],
    "cafe": ["coffee", "cake", "service", "soup"],
    "phone": ["screen", "battery", "camera", "sound"],
    "concert": ["singer", "sound", "hall", "band"],
    "coat": ["cloth", "color", "lining", "collar"],
    "course": ["teacher", "room", "homework", "textbook"],
    "game": ["idea", "picture", "music", "story"],
    "trip": ["guide", "weather", "boat", "food"],
    "play": ["stage", "hero", "dialog", "ending"],
    "tent": ["zipper", "color", "roof", "floor"],
    "museum": ["garden", "tour", "shop", "building"],
    "radio": ["sound", "case", "antenna", "price"],
}
STARTS = ["honestly ,", "well ,", "to be fair ,", "for me ,", "in my opinion ,", "after two days ,"]
ENDS = [
    "and i would know",
    "believe me",
    "that is all i can say",
    "as i told my brother",
    "and so says my sister",
    "to my surprise",
]

# `T` is the topic, `A` and `B` are things about it, `V` and `F` verbs and feelings.
PLAIN = """
the A was +
a + T in every way
i V+ this T
the A was + and the B was +
we were F+ with the A
what a + T , and what a + A
my friends and i V+ the A
i saw nothing but + things about this T
"""
NEGATED = """
the A was not - at all
there was nothing - about the A
i would not call this T -
nobody could say that the A was -
this T is anything but -
the A was far from -
it was never - , not even the A
i do not V- this T
you will not V- the A
we were not F- with the B , and not F- with the A
hardly a - T , if you ask me
i can find no - word for the A
the A is not - , and neither is the B
not one person in our group was F-
"""
CONTRAST = """
the A was - , but it is a + T
it is a + T , but for the - A
although the A was - , it is a + T
it is a + T , although the A was -
the A may be - , but the T as a whole is +
the T as a whole is + , even if the A is -
it began as a - T and ended as a + one
i came F- and went home F+
the T got + after a - beginning
despite the - A , i V+ it
i V+ it despite the - A
at first i thought it was - , but now i think it is +
now i think it is + , but at first i thought it was -
i used to V- it , and now i V+ it
i V+ it now , but i used to V- it
some people V- it , but i V+ it
i V+ it , whatever people who V- it say
it was + , not -
not - but +
more + than -
"""
EXPECTED = """
i wanted to V- it , but it was +
i wanted to V- it , but i V+ it
i expected a - T and got a + one
i got a + T where i expected a - one
everyone told me that it was - , and everyone was wrong
my brother calls the A - , but he is wrong
they promised me a - T , and it was not -
it could have been - , and instead it was +
a T that looked - and turned out to be +
the A is less - than i had heard
only a fool would call the T -
if this T is - , then i do not know what + means
we thought that the A would be - , and we were wrong
"""
# Contrast is drawn twice as often.
FAMILIES = [lines.strip().split("\n") for lines in (PLAIN, NEGATED, CONTRAST, CONTRAST, EXPECTED)]
KINDS = {"": ADJECTIVES, "V": VERBS, "F": FEELINGS}


class Writer:
    """Writes pairs of opinions; all chance comes from one seed."""

    def __init__(self, seed: int) -> None:
        # Only this method gives the same numbers in all versions of Python.
        self.random = random.Random(seed).random

    def below(self, size: int) -> int:
        return int(self.random() * size)

    def pattern(self) -> str:
        patterns = FAMILIES[self.below(len(FAMILIES))]
        text = patterns[self.below(len(patterns))]
        if self.random() < 0.25:
            text = f"{STARTS[self.below(len(STARTS))]} {text}"
        if self.random() < 0.2:
            text = f"{text} , {ENDS[self.below(len(ENDS))]}"
        if self.random() < 0.5:
            text = f"{text} ."
        return text

    def pair(self) -> tuple[str, str]:
        """Make a positive opinion and its negative counterpart."""
        # The topic, and two different things about it.
        pattern = self.pattern()
        topic = sorted(TOPICS)[self.below(len(TOPICS))]
        first, second = self.below(4), self.below(3)
        if second >= first:
            second += 1
        things = TOPICS[topic]
        names = {"T": topic, "A": things[first], "B": things[second]}

        # For each place of an opinion, a word and its opposite; in the counterpart they change
        # places.
        chosen = ([], [])
        for kind, side in re.findall(r"([VF]?)([+-])", pattern):
            positive, negative = KINDS[kind]
            at = self.below(len(positive))
            is_positive = side == "+"
            chosen[0].append(positive[at] if is_positive else negative[at])
            chosen[1].append(negative[at] if is_positive else positive[at])

        texts = []
        for words in map(iter, chosen):
            text = re.sub(r"[VF]?[+-]", lambda _, words=words: next(words), pattern)
            text = re.sub(r"\b[TAB]\b", lambda name: names[name[0]], text)
            texts.append(re.sub(r"\ba (?=[aeiou])", "an ", text))
        return texts[0], texts[1]


def parts() -> dict[str, list[tuple[str, str]]]:
    """Draw the (label, text) rows of each part. No text occurs twice."""
    writer = Writer(SEED)
    seen: set[str] = set()
    rows: dict[str, list[tuple[str, str]]] = {}
    for part, size in SIZES.items():
        rows[part] = []
        while len(rows[part]) < size:
            pair = writer.pair()
            if seen & set(pair):
                continue
            seen |= set(pair)

            # Each goes to a random place, so that neighbors give nothing away.
            for row in zip(LABELS, pair, strict=True):
                rows[part].insert(writer.below(len(rows[part]) + 1), row)
    return rows


def files() -> dict[str, str]:
    """Return the content of each file, by its name."""
    texts = {}
    for part, rows in parts().items():
        lines = ["\t".join(row) + "\n" for row in [("label", "text"), *rows]]
        texts[f"{part}.tsv"] = "".join(lines)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
