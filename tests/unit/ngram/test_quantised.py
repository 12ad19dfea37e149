"""Quantised values against a second implementation, worked examples, and KenLM's perplexity."""

import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnlm
from rnnlm.ngram import quantised
from rnnlm.ngram.quantised import QuantisedValues, SingleValues, bin_means, quantise
from rnnlm.text.corpus import Corpus
from support.arpa_files import GOLDEN, model_of

floats = st.floats(-20, 0, width=32)


def means_by_hand(values: list[float], bins: int) -> list[float]:
    """Return the means of bins with an equal share each, as KenLM's MakeBins cuts them."""
    values, means, start = sorted(values), [], 0
    bins = min(bins, len(values))
    for number in range(1, bins + 1):
        end = len(values) * number // bins
        means.append(math.fsum(values[start:end]) / (end - start))
        start = end
    return means


def test_bins_are_as_worked_by_hand(monkeypatch):
    # Two bits are four codes, two of which are kept for zero: two bins, of two values each.
    monkeypatch.setitem(quantised.TYPES, 2, np.uint8)
    values_M = np.array([-1.0, -8.0, 0.0, -2.0, -4.0], dtype=np.float32)
    codes_M, centres_C = quantise(values_M, 2, is_backoff=True)
    assert centres_C.tolist() == [-6.0, -1.5, 0.0, 0.0]
    assert centres_C[codes_M].tolist() == [-1.5, -6.0, 0.0, -1.5, -6.0]
    # For probabilities all four codes are bins, and zero is a value like others.
    codes_M, centres_C = quantise(values_M, 2, is_backoff=False)
    assert centres_C.tolist() == [-8.0, -4.0, -2.0, -0.5]
    # -1 is next to -0.5, not to the -2 of the bin that it lies beside.
    assert centres_C[codes_M].tolist() == [-0.5, -8.0, -0.5, -2.0, -4.0]


@given(values=st.lists(floats, min_size=1, max_size=200), bins=st.integers(1, 40))
def test_means_equal_those_of_a_second_implementation(values, bins):
    means = bin_means(np.array(values, dtype=np.float32), bins)
    assert means.tolist() == pytest.approx(means_by_hand(values, bins), rel=1e-6, abs=1e-30)


@given(values=st.lists(floats | st.just(0.0) | st.just(-math.inf), min_size=1, max_size=90),
       bits=st.integers(2, 5), is_backoff=st.booleans())  # fmt: skip
def test_each_value_reads_as_its_nearest_centre(values, bits, is_backoff):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(quantised.TYPES, bits, np.uint8)
        values_M = np.array(values, dtype=np.float32)
        codes_M, centres_C = quantise(values_M, bits, is_backoff)
    read = centres_C[codes_M].tolist()
    exact = {-math.inf} if -math.inf in values else set()
    kept_codes = len(exact)
    if is_backoff:
        exact.add(0.0)
        kept_codes += 2
    rest = [value for value in values if value not in exact]
    means = means_by_hand(rest, (1 << bits) - kept_codes) if rest else []
    for value, found in zip(values, read, strict=True):
        if value in exact:
            assert found == value
        else:
            nearest = min(abs(value - mean) for mean in means)
            assert abs(value - found) == pytest.approx(nearest, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("bits", [8, 16])
def test_quantised_values_read_like_an_array(bits):
    values_MK = -np.random.default_rng(bits).exponential(2, (3000, 2)).astype(np.float32)
    values_MK[::3, 1] = 0
    values = QuantisedValues.of(values_MK, bits)
    read_MK = np.asarray(values)
    assert (read_MK.shape, read_MK.dtype, len(values)) == ((3000, 2), np.float32, 3000)
    assert np.array_equal(read_MK[:, 1] == 0, values_MK[:, 1] == 0)
    at = np.array([5, 2, 2999, 5])
    assert np.array_equal(values[at], read_MK[at])
    assert np.array_equal(values[10:20], read_MK[10:20])
    assert np.array_equal(values[:, -1][at], read_MK[at, 1])
    assert np.array_equal(np.asarray(values[:, 0]), read_MK[:, 0])
    single = SingleValues(values)
    assert [single[number] for number in range(40)] == read_MK.reshape(-1)[:40].tolist()
    # Of 3,000 values each has one of 65,536 bins to itself; with 8 bits, a dozen share one.
    assert np.array_equal(read_MK, values_MK) == (bits == 16)
    assert np.abs(read_MK - values_MK).mean() < 0.03


def test_few_different_values_stay_exact():
    values_M1 = np.repeat(np.float32([-1.5, -0.25, -3.125]), 100)[:, None]
    values = QuantisedValues.of(values_M1, 8)
    assert np.array_equal(np.asarray(values), values_M1)


def test_perplexity_equals_that_of_kenlm(tmp_path):
    """Of `build_binary -a 22 -q 8 -b 8 trie` and `query`: 10.737300107; of the model as it is
    10.746376203."""
    (tmp_path / "g1.arpa").write_bytes(gzip.decompress((GOLDEN / "g1-order5.arpa.gz").read_bytes()))
    model = model_of(tmp_path / "g1.arpa")
    text = Corpus((str(GOLDEN / "g1-order5.txt.gz"),))
    before, after = (rnnlm.evaluate(each, text) for each in (model, model.compacted(8)))
    assert before.ppl_token == pytest.approx(10.746376202, rel=1e-6)
    assert after.ppl_token == pytest.approx(10.737300107, rel=1e-6)
    assert not after.normalised
    # With 16 bits almost every value has a bin of its own.
    finest = rnnlm.evaluate(model.compacted(16), text)
    assert finest.ppl_token == pytest.approx(before.ppl_token, rel=1e-6)
