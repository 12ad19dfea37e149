"""Large texts under memory limits: the texts, and how time grows."""

from collections import Counter

import pytest

from rnnlm.benchmarks.scale import RepeatedText, power
from rnnlm.errors import TextError
from rnnlm.text.corpus import Corpus

LINES = [f"the word{n} of line {n} <unk>" for n in range(50)] + ["a short one"] * 50


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(LINES) + "\n")
    return Corpus((str(path),))


@pytest.fixture
def written(text, tmp_path):
    """Return the lines of the text repeated to a size."""

    def write(size: int) -> list[str]:
        path = tmp_path / f"{size}.txt"
        RepeatedText(text).write(path, size)
        content = path.read_text()
        longest = max(map(len, LINES)) + 20  # drawn words may be longer than those before
        assert size - longest < len(content) <= size
        return content.splitlines()

    return write


def test_a_text_is_repeated_line_by_line(written):
    lines = written(30_000)
    lengths = [len(line.split()) for line in LINES]
    assert len(lines) > 5 * len(LINES)
    assert [len(line.split()) for line in lines] == (lengths * 99)[: len(lines)]


def test_a_tenth_of_the_words_is_drawn_anew(written):
    drawn, total = Counter(), 0
    for at, line in enumerate(written(300_000)):
        before = LINES[at % len(LINES)].replace("<unk>", "UNK").split()
        for old, new in zip(before, line.split(), strict=True):
            total += 1
            if old != new:
                drawn[new] += 1
    # Of 450 words 50 are UNK, and one is word7. A word may be drawn where it was before.
    assert 0.085 < drawn.total() / total < 0.1
    assert drawn["UNK"] / drawn.total() == pytest.approx(50 / 450, rel=0.15)
    assert drawn["word7"] / drawn.total() == pytest.approx(1 / 450, rel=0.5)


def test_a_smaller_text_begins_a_larger_one(written):
    small, large = written(20_000), written(40_000)
    assert large[: len(small)] == small


def test_a_blank_text_cannot_be_repeated(tmp_path):
    path = tmp_path / "blank.txt"
    path.write_text("\n \n")
    with pytest.raises(TextError, match="no text"):
        RepeatedText(Corpus((str(path),)))


def test_the_power_of_growth_over_all_sizes():
    assert power([(1, 5), (2, 20), (4, 80)]) == pytest.approx(2)
    assert power([(1, 1), (2, 4), (4, 4)]) == pytest.approx(1)
    assert power([(3, 5)]) is None
