import math

import numpy as np
import pytest

from reference.arpa_dictionary import ArpaDictionary
from rnnlm.errors import ModelError, RnnlmWarning
from rnnlm.lm.ngram.arpa import reading as arpa_lines
from rnnlm.lm.ngram.arpa.reading import read_arpa
from support import arpa_files
from support.arpa_files import GOLDEN, SMALL, word_scores

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
    "entries in another order": lambda text: text.replace("-0.2\t<s> a\t0.05\n-0.1\ta b\n",
                                                          "-0.1\ta b\n-0.2\t<s> a\t0.05\n"),
    "an empty order on top": lambda text: text.replace("3=1\n", "3=1\nngram 4=0\n").replace("\\end",
        "\\4-grams:\n\n\\end"),
    "an empty order without its section": lambda text: text.replace("3=1\n", "3=1\nngram 4=0\n"),
    "</s> and <s> again": lambda text: text.replace("1=5", "1=7").replace("-0.7\t</s>\n",
        "-0.7\t</s>\n-99\t</s>\t-0.3\n-1\t<s>\t-2\n"),
    "<UNK>": lambda text: text.replace("<unk>", "<UNK>"),
    "n-grams of no sentence": lambda text: text.replace("2=3", "2=5").replace("-0.1\ta b",
        "-1\t</s> a\n-2\tb <s>\t1\n-0.1\ta b"),
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
    damaged = text.replace("-0.1\ta b", "-0.1\ta")
    monkeypatch.setattr(arpa_lines, "BLOCK_BYTES", block_bytes)
    symbols, levels = read(tmp_path, text)
    assert symbols == expected[0] and tables(levels) == tables(expected[1])
    with pytest.raises(ModelError, match="line 29: not a 2-gram"):
        read(tmp_path, damaged)


def test_words_end_at_ascii_white_space_and_keep_their_order(tmp_path):
    word = "b\u00a0\u2028\x0bb"
    symbols, _ = read(tmp_path, SMALL.replace("\tb", f"\t{word}").replace(" b", f" {word}"))
    assert symbols[2] == word
    words = [f"w{number * 7919 % 1000}" for number in range(1000)]
    lines = "".join(f"-1\t{word}\n" for word in ["<s>", *words, "</s>", "<unk>"])
    symbols, levels = read(tmp_path, f"\\data\\\nngram 1=1003\n\\1-grams:\n{lines}\\end\\\n")
    assert symbols == ["</s>", "<unk>", *words] and len(levels) == 1


def test_minus_99_is_finite_and_minus_infinity_zero(tmp_path):
    text = SMALL.replace("-0.1\ta b", "-99\ta b").replace("-0.4\ta </s>", "-inf\ta </s>")
    _, levels = read(tmp_path, text)
    assert levels[1].logprob_M.tolist()[:2] == [-math.inf, pytest.approx(-99 * LN10)]


def test_missing_entries_get_kenlms_values_and_first_markers_count(tmp_path):
    text = SMALL.replace("1=5", "1=2")
    for line in ("-1\t<unk>\n", "-99\t<s>\t-0.5\n", "-0.7\t</s>\n"):
        text = text.replace(line, "")
    message = "lacks </s> .*probability is -100.*, <unk> .*-100.*, <s> .*backoff weight is 0"
    with pytest.warns(RnnlmWarning, match=message):
        symbols, levels = read(tmp_path, text)
    assert symbols == ["</s>", "<unk>", "b", "a"]
    assert np.allclose(levels[0].logprob_M / LN10, [-100, -100, -0.5, -0.6, 0])
    assert levels[0].logbackoff_M[4] == 0 and len(levels[1]) == 3
    with pytest.warns(RnnlmWarning) as told:
        read(tmp_path, TOLERATED["</s> and <s> again"](SMALL))
    notices = [str(notice.message).partition("m.arpa, ")[2] for notice in told]
    repeated = "is repeated; the first entry is used"
    assert notices == [f"line 12: </s> {repeated}", f"line 13: <s> {repeated}"]


@pytest.mark.parametrize("first", ["iARPA", "qARPA 3", "\n\niARPA  "])
def test_files_of_irstlm_are_refused_with_the_way_out(first, tmp_path):
    with pytest.raises(ModelError, match="format of IRSTLM; .*compile-lm --text yes"):
        read(tmp_path, f"{first}\n\n{SMALL}")


def test_positive_log_probabilities_are_refused_or_read_as_zero(tmp_path):
    path = tmp_path / "m.arpa"
    path.write_text(SMALL.replace("-0.1\ta b", "0.2\ta b").replace("-0.5\tb", "inf\tb"))
    with pytest.raises(ModelError, match="line 9: a positive .*`allow_positive=True`"):
        read_arpa(str(path))
    _, levels = read_arpa(str(path), allow_positive=True)
    assert levels[0].logprob_M[2] == levels[1].logprob_M[1] == 0


@pytest.mark.parametrize("unigram, bigram", [("<unk>", "<UNK>"), ("<UNK>", "<unk>"), ("", "<UNK>")])
@no_notices
def test_n_grams_may_spell_the_unknown_word_in_the_other_way(unigram, bigram, tmp_path):
    path = tmp_path / "m.arpa"
    text = SMALL.replace("-1\t<unk>\n", f"-1\t{unigram}\n" if unigram else "")
    text = text if unigram else text.replace("1=5", "1=4")
    path.write_text(text.replace("a </s>", f"a {bigram}"))
    scores = word_scores(arpa_files.model_of(path), "a zorp")
    assert scores == pytest.approx(ArpaDictionary(path).nats("a zorp"), abs=1e-4)
    assert scores[1] / LN10 == pytest.approx(-0.35)  # the bigram, after its context is given up


def test_words_may_be_read_in_lower_case(tmp_path):
    path, text = tmp_path / "m.arpa", SMALL.upper()
    for marker in ("ngram", "grams", "data", "end"):
        text = text.replace(marker.upper(), marker)
    path.write_text(text)
    symbols, levels = read_arpa(str(path), lowercase=True)
    expected, plain = read(tmp_path, SMALL, "plain.arpa")
    assert symbols == expected and tables(levels) == tables(plain)
    path.write_text(SMALL.replace("-0.6\ta\t", "-0.6\tB\t"))
    with pytest.raises(ModelError, match="line 10: two words become one .*; 'b' and 'B'; .*`low"):
        read_arpa(str(path), lowercase=True)


def compare_with_dictionary(path, seed):
    """Check that the words of random sentences have the scores that the file's lines give them."""
    path.write_bytes(arpa_files.odd_arpa(seed).encode())
    model, expected = arpa_files.model_of(path, allow_positive=True), ArpaDictionary(path)
    for sentence in arpa_files.sentences(seed)[:12]:
        wanted = pytest.approx(expected.nats(sentence), rel=1e-5, abs=1e-4)
        assert word_scores(model, sentence) == wanted, sentence
        scorer = model.incremental()
        ids = model.tokenizer.encode([sentence]).ids.tolist()
        one_by_one = [logprob for logprob, _ in scorer.score_tokens(scorer.begin(), ids)]
        assert one_by_one == wanted, sentence


@no_notices
@pytest.mark.parametrize("seed", range(60))
def test_odd_files_score_as_their_lines_say(seed, tmp_path):
    compare_with_dictionary(tmp_path / "odd.arpa", seed)


@no_notices
@pytest.mark.soak
@pytest.mark.parametrize("first", range(60, 1000, 94))
def test_many_odd_files_score_as_their_lines_say(first, tmp_path):
    for seed in range(first, first + 94):
        compare_with_dictionary(tmp_path / "odd.arpa", seed)


def test_endless_lines_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arpa_lines, "LONGEST_LINE", 1 << 10)
    monkeypatch.setattr(arpa_lines, "BLOCK_BYTES", 1 << 9)
    for text, line in (("x" * 2000 + SMALL, 1), (SMALL.replace("\ta\t", f"\t{'a' * 2000}\t"), 10)):
        with pytest.raises(ModelError, match=f"line {line}: longer than 1,024 bytes"):
            read(tmp_path, text)


@no_notices
@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_kenlm(seed, tmp_path):
    path = tmp_path / "m.arpa"
    path.write_text(arpa_files.random_arpa(seed, order=2 + seed % 4, dropped=0.5, closed=True))
    model, sentences = arpa_files.model_of(path), arpa_files.sentences(seed)
    scores = arpa_files.kenlm_scores(path, sentences)
    for sentence, expected in zip(sentences, scores, strict=True):
        assert word_scores(model, sentence) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("name", ["g5-tiny-order3-fallback", "g6-order2"])
def test_scores_of_golden_files_are_those_of_kenlm(name):
    arpa = GOLDEN / f"{name}.arpa"
    lines = arpa.with_suffix(".txt").read_text().splitlines()[:50]
    lines += [" ".join(line.split()[::-1]) for line in lines] + ["", "unheard of"]
    model = arpa_files.model_of(arpa)
    for line, expected in zip(lines, arpa_files.kenlm_scores(arpa, lines), strict=True):
        assert word_scores(model, line) == pytest.approx(expected, abs=2e-5)
