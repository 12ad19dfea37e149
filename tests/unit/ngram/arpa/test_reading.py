import gzip
import io
import math
import random
from collections import Counter

import numpy as np
import pytest

from reference.arpa_dictionary import ArpaDictionary
from rnnlm.errors import ModelError, RnnlmWarning
from rnnlm.ngram.arpa import lines as arpa_lines
from rnnlm.ngram.arpa.lines import ArpaLines
from rnnlm.ngram.arpa.reading import read_arpa
from support.arpa_files import GOLDEN, SMALL, kenlm_scores, model_of, random_arpa, sentences, word_scores

LN10 = math.log(10)
no_notices = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


def read(folder, text, name="m.arpa"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_arpa(str(path))


def tables(levels):
    return [(level.keys_M.tolist(), level.values_MK.tolist()) for level in levels if len(level)]


def test_the_tables_are_those_of_the_file(tmp_path):
    symbols, levels = read(tmp_path, SMALL)
    assert symbols == ["</s>", "<unk>", "b", "a"]
    assert [len(level) for level in levels] == [5, 3, 1]
    unigrams, bigrams, trigrams = levels
    assert np.allclose(unigrams.logprob_M / LN10, [-0.7, -1, -0.5, -0.6, 0])
    assert np.allclose(unigrams.logbackoff_M / LN10, [0, 0, 0, -0.3, -0.5])
    assert (bigrams.contexts_M.tolist(), bigrams.words_M.tolist()) == ([3, 3, 4], [0, 2, 3])
    assert np.allclose(bigrams.logprob_M / LN10, [-0.4, -0.1, -0.2])
    assert np.allclose(bigrams.logbackoff_M / LN10, [0, 0, 0.05])
    assert (trigrams.contexts_M.tolist(), trigrams.words_M.tolist()) == ([2], [2])
    assert trigrams.logprob_M[0] / LN10 == pytest.approx(-0.05)


TOLERATED = {
    "spaces": lambda text: text.replace("\t", "  "),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "blank lines": lambda text: text.replace("\n", "\n\n \t\n"),
    "no last newline": lambda text: text.rstrip("\n"),
    "text before": lambda text: "made by hand\n\n\\comment\\\nngram 1=99\n" + text,
    "byte order mark": lambda text: "\ufeff" + text,
    "spaces in the header": lambda text: text.replace("ngram 2=3", "ngram  2 = 3 "),
    "zero backoff at the top": lambda text: text.replace("<s> a b\n", "<s> a b\t0\n"),
    "plus signs and exponents": lambda text: text.replace("\t0.05\n", "\t+5e-2\n"),
    "entries in another order": lambda text: text.replace("-0.2\t<s> a\t0.05\n-0.1\ta b\n", "-0.1\ta b\n-0.2\t<s> a\t0.05\n"),
    "an empty order on top": lambda text: text.replace("3=1\n", "3=1\nngram 4=0\n").replace("\\end", "\\4-grams:\n\n\\end"),
    "an empty order without its section": lambda text: text.replace("3=1\n", "3=1\nngram 4=0\n"),
    "<UNK>": lambda text: text.replace("<unk>", "<UNK>"),
    "n-grams of no sentence": lambda text: text.replace("2=3", "2=5").replace("-0.1\ta b", "-1\t</s> a\n-2\tb <s>\t1\n-0.1\ta b"),
}  # fmt: skip


@pytest.mark.parametrize("change", TOLERATED.values(), ids=TOLERATED.keys())
def test_what_programs_write_is_read_alike(change, tmp_path):
    symbols, levels = read(tmp_path, SMALL)
    again, others = read(tmp_path, change(SMALL))
    assert again == symbols and tables(others) == tables(levels)


@pytest.mark.parametrize("block_bytes", [1, 7, 64])
def test_blocks_may_end_anywhere(block_bytes, tmp_path, monkeypatch):
    text = SMALL.replace("\n", "\n\n")
    expected = read(tmp_path, text)
    monkeypatch.setattr(arpa_lines, "BLOCK_BYTES", block_bytes)
    symbols, levels = read(tmp_path, text)
    assert symbols == expected[0] and tables(levels) == tables(expected[1])


def test_compressed_files_are_read(tmp_path):
    _, levels = read(tmp_path, gzip.compress(SMALL.encode()), "m.arpa.gz")
    assert tables(levels) == tables(read(tmp_path, SMALL)[1])


def test_words_end_at_ascii_white_space_alone(tmp_path):
    symbols, _ = read(tmp_path, SMALL.replace("\tb", "\tb\u00a0\u2028\x0bb").replace(" b", " b\u00a0\u2028\x0bb"))
    assert symbols[2] == "b\u00a0\u2028\x0bb"


def test_minus_99_is_a_number_and_minus_infinity_is_zero_probability(tmp_path):
    _, levels = read(tmp_path, SMALL.replace("-0.1\ta b", "-99\ta b").replace("-0.4\ta </s>", "-inf\ta </s>"))
    assert levels[1].logprob_M.tolist()[:2] == [-math.inf, pytest.approx(-99 * LN10)]


def test_what_is_missing_gets_what_kenlm_takes_with_a_notice(tmp_path):
    text = SMALL.replace("1=5", "1=2").replace("-1\t<unk>\n", "").replace("-99\t<s>\t-0.5\n", "").replace("-0.7\t</s>\n", "")
    with pytest.warns(RnnlmWarning) as told:
        symbols, levels = read(tmp_path, text)
    assert [str(notice.message).partition("has no ")[2] for notice in told] == [
        "</s>: its log10 probability is -100", "<unk>: its log10 probability is -100", "<s>: its log10 backoff weight is 0",
    ]  # fmt: skip
    assert symbols == ["</s>", "<unk>", "b", "a"]
    assert np.allclose(levels[0].logprob_M / LN10, [-100, -100, -0.5, -0.6, 0])
    assert levels[0].logbackoff_M[4] == 0 and len(levels[1]) == 3


def test_words_keep_the_order_of_the_file(tmp_path):
    words = [f"w{number * 7919 % 1000}" for number in range(1000)]
    lines = "".join(f"-1\t{word}\n" for word in ["<s>", *words, "</s>", "<unk>"])
    symbols, levels = read(tmp_path, f"\\data\\\nngram 1=1003\n\\1-grams:\n{lines}\\end\\\n")
    assert symbols == ["</s>", "<unk>", *words] and len(levels) == 1


@no_notices
@pytest.mark.parametrize("seed", range(12))
def test_contexts_and_suffixes_that_were_pruned_away_change_no_score(seed, tmp_path):
    path = tmp_path / "m.arpa"
    path.write_text(random_arpa(seed, order=2 + seed % 4, dropped=0.5))
    model, expected = model_of(path), ArpaDictionary(path)
    for sentence in sentences(seed):
        assert word_scores(model, sentence) == pytest.approx(expected.nats(sentence), abs=1e-4)


DAMAGED = {
    "fewer entries than promised": (("2=3", "2=4"), 17, "the 2-grams end here"),
    "more entries than promised": (("2=3", "2=2"), 16, "more 2-grams than the 2 that"),
    "a promise of 10^18": (("3=1", "3=1000000000000000000"), 20, "the 3-grams end here"),
    "a count left out": (("ngram 2=3\n", ""), 3, "the count of 2-grams is missing"),
    "something else in the header": (("ngram 2=3", "ngram 2=three"), 3, "not understood"),
    "no unigrams": (("1=5", "1=0"), 5, "there are no unigrams"),
    "a section left out": (("\\2-grams:\n", ""), 13, "more 1-grams than the 5 that"),
    "sections in another order": (("\\2-grams:", "\\3-grams:"), 13, "no \\2-grams: here"),
    "the end cut off": (("\\end\\\n", ""), 20, "the file is cut off within the 3-grams"),
    "cut off before a section": (("\\3-grams:\n-0.05\t<s> a b\n\n\\end\\\n", ""), 17, "the file is cut off within the 2-grams"),
    "cut off within a line": (("b\n\n\\end\\\n", ""), 19, "not a 3-gram"),
    "text after the end": (("\\end\\\n", "\\end\\\n\n-1\tc\n"), 23, "text after \\end\\"),
    "NaN": (("-0.1\ta b", "nan\ta b"), 15, "not a log-probability"),
    "a NaN weight": (("\t0.05", "\tNaN"), 14, "not a backoff weight"),
    "an infinite weight": (("\t0.05", "\tinf"), 14, "an infinite backoff weight"),
    "a positive log-probability": (("-0.1\ta b", "0.001\ta b"), 15, "a positive log-probability"),
    "infinity": (("-0.1\ta b", "inf\ta b"), 15, "a positive log-probability"),
    "no number": (("-0.1\ta b", "-0,1\ta b"), 15, "not a log-probability"),
    "no number for a weight": (("\t-0.3", "\tx"), 10, "not a backoff weight"),
    "a weight at the top": (("<s> a b\n", "<s> a b\t-1\n"), 19, "a backoff weight after a 3-gram"),
    "a word too few": (("-0.1\ta b", "-0.1\ta"), 15, "not a 2-gram"),
    "a word too many": (("\ta b\n", "\ta b b b\n"), 15, "not a 2-gram"),
    "an unknown word": (("\ta b\n", "\ta c\n"), 15, "an unknown word"),
    "a word twice": (("-0.6\ta\t-0.3\n", "-0.6\tb\n"), 10, "a duplicate word"),
    "an n-gram twice": (("-0.1\ta b", "-0.1\ta </s>"), 16, "a duplicate 2-gram"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "line", "what"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_reported_with_its_line(change, line, what, tmp_path):
    assert change[0] in SMALL
    with pytest.raises(ModelError) as raised:
        read(tmp_path, SMALL.replace(*change))
    assert raised.value.what.partition("m.arpa, ")[2].startswith(f"line {line}: {what}")


def test_bytes_that_are_not_utf8_are_reported_with_their_line(tmp_path):
    with pytest.raises(ModelError, match="line 9: not UTF-8"):
        read(tmp_path, SMALL.encode().replace(b"\tb\n", b"\tb\xff\n"))


JUNK = b"\t| |\n|\r|\0|-|nan|inf|\\|\\end\\|ngram 2=5|<s>|</s>|<unk>|\xff|9|e9|".split(b"|")


@no_notices
def test_whatever_befalls_a_file_it_is_read_or_refused(tmp_path):
    outcomes = Counter(damaged_outcome(random.Random(seed), tmp_path / "m.arpa") for seed in range(400))
    assert outcomes["refused"] > 200 and outcomes["read"] > 10


def damaged_outcome(chance, path):
    data = bytearray(chance.choice([SMALL, random_arpa(3, order=4, dropped=0.3)]).encode())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        data[at : at + chance.choice([0, 0, 1, 2, 30])] = chance.choice(JUNK)
    path.write_bytes(data)
    try:
        model = model_of(path)
    except ModelError:
        return "refused"
    assert not np.isnan(word_scores(model, "a b w1 unheard w2 b")).any()
    return "read"


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b"", "m.arpa", "it has no line"),
        (b"the cat sat\n" * 9, "m.arpa", "it has no line"),
        (gzip.compress(SMALL.encode() * 9)[:-30], "m.arpa.gz", "truncated"),
        (gzip.compress(SMALL.encode())[:-4], "m.arpa.gz", "truncated"),
        (b"no gzip", "m.arpa.gz", "[Nn]ot a gzipped file"),
    ],
)
def test_what_is_no_arpa_file_is_said(content, name, why, tmp_path):
    with pytest.raises(ModelError, match=f"{name}.*{why}"):
        read(tmp_path, content, name)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ModelError, match="cannot read .*nowhere.arpa; No such file"):
        read_arpa(str(tmp_path / "nowhere.arpa"))


class Endless(io.RawIOBase):
    """A stream that begins with a text and goes on with one letter for ever."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning, self.given = beginning, 0

    def read(self, count: int = -1) -> bytes:
        start, self.given = self.given, self.given + count
        return (self.beginning[start : self.given]).ljust(count, b"a")


@pytest.mark.parametrize("beginning", ["", SMALL.partition("\\2-grams")[0], SMALL.partition("a b")[0]])
def test_an_endless_line_is_refused_before_it_fills_the_memory(beginning, monkeypatch):
    stream = Endless(beginning.encode())
    monkeypatch.setattr("rnnlm.ngram.arpa.lines.open_decompressed", lambda path: stream)
    with pytest.raises(ModelError, match=f"line {beginning.count(chr(10)) + 1}: longer than 1,048,576 bytes"):
        read_arpa("endless.arpa")
    assert stream.given <= 2 * arpa_lines.BLOCK_BYTES


def test_lines_are_numbered_across_blocks(monkeypatch):
    monkeypatch.setattr(arpa_lines, "BLOCK_BYTES", 8)
    lines = ArpaLines(io.BytesIO(b"one\n\ntwo three\n1 a\n2 b\n\\end\\"), "x")
    assert [lines.next() for _ in range(3)] == [b"one", b"", b"two three"]
    numbers = []
    while fields := lines.entries():
        numbers += fields.lines_L.tolist()
    assert numbers == [4, 5] and lines.marker() == b"\\end\\" and lines.next() == b"\\end\\" and lines.next() is None


@no_notices
@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_kenlm(seed, tmp_path):
    path = tmp_path / "m.arpa"
    path.write_text(random_arpa(seed, order=2 + seed % 4, dropped=0.5, closed=True))
    model = model_of(path)
    for sentence, expected in zip(sentences(seed), kenlm_scores(path, sentences(seed)), strict=True):
        assert word_scores(model, sentence) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("name", ["g5-tiny-order3-fallback", "g6-order2"])
def test_scores_of_golden_files_are_those_of_kenlm(name):
    arpa = GOLDEN / f"{name}.arpa"
    lines = arpa.with_suffix(".txt").read_text().splitlines()[:50]
    lines += [" ".join(line.split()[::-1]) for line in lines] + ["", "unheard of"]
    model = model_of(arpa)
    for line, expected in zip(lines, kenlm_scores(arpa, lines), strict=True):
        assert word_scores(model, line) == pytest.approx(expected, abs=2e-5)
