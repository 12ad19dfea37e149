import math
import re

import numpy as np
import pytest

from rnnlm.errors import OutputError, RnnlmWarning
from rnnlm.lm.ngram.arpa import writing
from rnnlm.lm.ngram.arpa.reading import read_arpa
from rnnlm.lm.ngram.arpa.writing import arpa_text, spell_symbols
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from support import arpa_files
from support.arpa_files import GOLDEN, SMALL, model_of, word_scores
from support.tiny_models import LINES, fit, make_tokenizer
from support.tiny_ngrams import level_of

no_notices = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


def written(model) -> str:
    return b"".join(arpa_text(model)).decode()


def saved(model, folder):
    path = folder / "m.arpa"
    path.write_bytes(b"".join(arpa_text(model)))
    return path


def same_tables(model, path) -> bool:
    symbols, levels = read_arpa(str(path))
    again = NgramModel.from_levels(levels, model.tokenizer, normalised=False).to_arrays()
    names = model.to_arrays().keys() - {"facts"}
    same = all(np.array_equal(model.to_arrays()[name], again[name]) for name in names)
    return symbols == model.tokenizer.symbols() and same


def test_the_form_is_that_of_other_programs(tmp_path):
    (tmp_path / "m.arpa").write_text(SMALL)
    assert written(model_of(tmp_path / "m.arpa")) == (
        "\\data\\\nngram 1=5\nngram 2=3\nngram 3=1\n"
        "\n\\1-grams:\n-0.7\t</s>\t0\n-1\t<unk>\t0\n-0.5\tb\t0\n-0.6\ta\t-0.3\n0\t<s>\t-0.5\n"
        "\n\\2-grams:\n-0.4\ta </s>\t0\n-0.1\ta b\t0\n-0.2\t<s> a\t0.05\n"
        "\n\\3-grams:\n-0.05\t<s> a b\n"
        "\n\\end\\\n"
    )


@pytest.mark.parametrize("arpa", [
    "g2-order3-prune.arpa.gz", "g4-char-order5-fallback.arpa.gz", "g7-order1.arpa",
])  # fmt: skip
def test_what_is_written_reads_back_exactly(arpa, tmp_path):
    model = model_of(GOLDEN / arpa)
    assert same_tables(model, saved(model, tmp_path))


@no_notices
@pytest.mark.parametrize("seed", range(6))
def test_blocks_join_without_a_seam(seed, tmp_path, monkeypatch):
    (tmp_path / "random.arpa").write_text(
        arpa_files.random_arpa(seed, order=2 + seed % 4, dropped=0.3)
    )
    model = model_of(tmp_path / "random.arpa")
    whole = written(model)
    monkeypatch.setattr(writing, "BLOCK_NGRAMS", 7)
    assert written(model) == whole
    assert same_tables(model, saved(model, tmp_path))


def test_each_number_reads_back_as_the_same_float32_none_above_one(tmp_path):
    numbers = -(10 ** np.random.default_rng(0).uniform(-12, 2.3, 20000)).astype(np.float32)
    size = len(numbers)
    tokenizer = make_tokenizer([" ".join(f"w{number}" for number in range(size - 2))])
    logprob = np.append(numbers, np.float32(0))
    nowhere = np.zeros(size + 1, dtype=np.int64)
    unigrams = level_of(size, nowhere, np.arange(size + 1), logprob, -logprob)
    bigrams = level_of(size, [size], [0], *np.zeros((2, 1), np.float32))
    path = saved(NgramModel.from_levels([unigrams, bigrams], tokenizer, normalised=False), tmp_path)
    _, (found, _) = read_arpa(str(path))
    assert np.array_equal(found.logprob_M, logprob) and np.array_equal(found.logbackoff_M, -logprob)
    (tmp_path / "m.arpa").write_text(SMALL)
    model = model_of(tmp_path / "m.arpa")
    model.values[1][0, 0] = 1e-7
    assert "\n0\ta </s>\t0\n" in written(model)


# KenLM gives up a context that was never seen without a cost, which stupid backoff has.
SETTINGS = [
    *({"smoothing": name} for name in ESTIMATORS if ESTIMATORS[name].normalised),
    {"smoothing": "mkn", "prune": "0,0,1"}, {"smoothing": "mkn", "interpolate": False},
    {"smoothing": "additive", "additive_k": 0.1},
    {"smoothing": "interpolated", "weights": "0.1,0.3,0.6", "unseen": "zero"},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@no_notices
def test_kenlm_scores_what_is_written_as_we_do(settings, tmp_path):
    model = fit("ngram", LINES, order=3, **settings)
    lines = [*LINES, "a mat sat", "it is the dog that saw", ""]
    for line, expected in zip(
        lines, arpa_files.kenlm_scores(saved(model, tmp_path), lines), strict=True
    ):
        ours = np.maximum(word_scores(model, line), -99 * math.log(10))
        assert ours == pytest.approx(np.maximum(expected, -99 * math.log(10)), abs=2e-5)


@no_notices
def test_zero_probability_is_written_as_minus_99():
    model = fit("ngram", LINES, order=2, smoothing="mle")
    text = written(model)
    assert math.isinf(min(model.values[0][:, 0].min(), model.values[0][:, 1].min()))
    assert "inf" not in text and "\t-99\n" in text


@no_notices
def test_white_space_is_spelled_visibly_with_a_notice(tmp_path):
    model = fit("ngram", ["ab a", "b\ta", "a b"], order=3, tokenizer="char")
    message = "ARPA allows no white space in words, so symbols are respelled: ' ' as ▁, '\\t' as "
    with pytest.warns(RnnlmWarning, match=re.escape(f"{message}<0x09>")):
        path = saved(model, tmp_path)
    assert "\ta \u2581 b\n" in path.read_text(encoding="utf-8")
    symbols, levels = read_arpa(str(path))
    assert set(symbols) == {"</s>", "<unk>", "a", "b", "\u2581", "<0x09>"}
    assert [len(level) for level in levels] == [len(values) for values in model.values]


def test_two_unknown_words_are_noticed_and_symbols_stay_distinct():
    with pytest.warns(RnnlmWarning, match="KenLM treats it as <unk>"):
        written(fit("ngram", ["<UNK> hen", "red hen"], order=2))
    with pytest.warns(RnnlmWarning, match="' ' as <0x20>"):
        assert spell_symbols(["</s>", " ", "\u2581"]) == ["</s>", "<0x20>", "\u2581"]
    with pytest.raises(OutputError, match="' ' cannot be written.*replacement spellings are taken"):
        spell_symbols(["</s>", " ", "\u2581", "<0x20>"])


@pytest.mark.filterwarnings("ignore:.*order:rnnlm.errors.RnnlmWarning")
def test_stupid_backoff_cannot_be_expressed_in_arpa():
    model = fit("ngram", LINES, order=3, smoothing="stupid")
    with pytest.warns(RnnlmWarning, match="ARPA cannot express"):
        written(model)


@no_notices
@pytest.mark.parametrize("seed", range(4))
def test_kenlm_reads_what_was_read_with_holes(seed, tmp_path):
    """Contexts put in make a file that KenLM takes, though it refused the one that was read."""
    path = tmp_path / "holes.arpa"
    path.write_text(arpa_files.random_arpa(seed, order=3, dropped=0.3))
    model = model_of(path)
    scores = arpa_files.kenlm_scores(saved(model, tmp_path), arpa_files.sentences(seed))
    for sentence, expected in zip(arpa_files.sentences(seed), scores, strict=True):
        assert word_scores(model, sentence) == pytest.approx(expected, abs=2e-4)
