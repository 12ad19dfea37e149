"""At ten times the text, a command takes ten times as long, and what streams takes no more memory.

What is slower than linear is said on its page: networks with a vocabulary that grows.
"""

import random

import pytest

from rnnlm.cli.main import run
from support import growth

pytestmark = [pytest.mark.soak, pytest.mark.processes]
LINES, GROUPS, HYPOTHESES = 150_000, 15_000, 10
SIZES = [1.0, 3.0, 10.0]
TRIES, MOST_EXPONENT = 3, 1.1  # seconds of a busy machine are noisy
MOST_MEGABYTES = 80  # more at ten times the text, where it streams: queues fill
WORDS = [f"w{number}" for number in range(3000)]


def drawn(generator, least, most):
    return generator.choices(WORDS, k=generator.randint(least, most))


@pytest.fixture(scope="module")
def folder(made_once):
    return made_once("growth", make_folder)


def make_folder(folder):
    """Write a text, a table with groups and an n-best list, and train models."""
    generator = random.Random(1)
    with open(folder / "text.txt", "w") as text, open(folder / "table.tsv", "w") as table:
        table.write("text\twho\n")
        for _ in range(LINES):
            line = " ".join(drawn(generator, 4, 20))
            text.write(line + "\n")
            table.write(f"{line}\t{generator.randrange(GROUPS)}\n")
    with open(folder / "list.tsv", "w") as hypotheses:
        for utt in range(LINES // HYPOTHESES):
            words = drawn(generator, 4, 12)
            hypotheses.write(f"u{utt}\tREF\t\t{' '.join(words)}\n")
            for rank in range(1, HYPOTHESES + 1):
                words[generator.randrange(len(words))] = generator.choice(WORDS)
                hypotheses.write(f"u{utt}\t{rank}\t{-rank}\t{' '.join(words)}\n")
    growth.first_lines(folder / "text.txt", 0.1, folder / "some.txt")
    growth.first_lines(folder / "list.tsv", 0.025, folder / "some.tsv")
    for name, order in (("a", "2"), ("b", "3")):
        train = ["train", str(folder / "some.txt"), "--model", "ngram", "--order", order]
        assert run([*train, "-o", str(folder / name)]) == 0
    tune = f"rescore --tune {folder}/some.tsv -m {folder}/a --skip-incomplete"
    assert run([*tune.split(), "--weights-output", str(folder / "weights.json")]) == 0
    return folder


NEEDS = {
    "count": "tools/counting", "prepare": "tools/prepared", "filter": "tools/filtering",
    "rescore": "tools/rescoring", "vectors": "tools/vectors",
}  # fmt: skip
STREAMING = ("score", "prepare", "filter")


@pytest.mark.parametrize("text, command", [
    pytest.param(text, command, id=command, marks=[
        pytest.mark.needs(NEEDS[name]) for name in command.split()[:1] if name in NEEDS
    ])
    for text, command in [
        ("text.txt", "eval TEXT -m a"),
        ("table.tsv", "eval TEXT -m a --column text --group-by who --json"),
        ("text.txt", "compare a b --on TEXT"),
        ("text.txt", "score --input TEXT -m a -o OUT.tsv"),
        ("text.txt", "train TEXT --model ngram -o OUT"),
        ("text.txt", "count TEXT -o OUT"),
        ("text.txt", "prepare TEXT -o OUT"),
        ("text.txt", "filter TEXT -m a --max-perplexity 1000 -o OUT"),
        ("text.txt", "vectors TEXT -o OUT"),
        ("list.tsv", "rescore --apply TEXT --weights weights.json -m a --skip-incomplete"),
    ]
])  # fmt: skip
def test_seconds_grow_like_the_text_and_memory_does_not_where_it_streams(folder, text, command):
    words = [str(folder / word) if (folder / word).exists() else word for word in command.split()]
    exponents, memory = [], []
    while len(exponents) < TRIES and min(exponents, default=2.0) > MOST_EXPONENT:
        results = growth.results_of(folder / text, SIZES, words)
        exponents.append(growth.exponent(SIZES, growth.seconds_of(results)))
        memory = [max(megabytes for _, megabytes in result.values()) for result in results]
    assert min(exponents) <= MOST_EXPONENT
    if words[0] in STREAMING:
        assert memory[-1] <= memory[0] + MOST_MEGABYTES
