import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import ngram_formulas as formulas
from rnnlm.lm.ngram.smoothing.other_methods import simple_good_turing

# Gale & Sampson 1995, the prosody data: r and how many patterns occur r times
PROSODY = """1:120 2:40 3:24 4:13 5:15 6:5 7:11 8:2 9:2 10:1 12:3 14:2 15:1 16:1 17:3 19:1 20:3 21:2
23:3 24:3 25:3 26:2 27:2 28:1 31:2 32:2 33:1 34:2 36:2 41:3 43:1 45:3 46:1 47:1 50:1 71:1 84:1 101:1
105:1 121:1 124:1 146:1 162:1 193:1 199:1 224:1 226:1 254:1 257:1 339:1 421:1 456:1 481:1 483:1
1140:1 1256:1 1322:1 1530:1 2131:1 2395:1 6925:1 7846:1"""


def arrays(tally: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    counts = sorted(tally)
    return np.array(counts), np.array([tally[count] for count in counts])


def test_the_paper_s_example_comes_out():
    pairs = [pair.split(":") for pair in PROSODY.split()]
    counts_R, tally_R = arrays({int(r): int(t) for r, t in pairs})
    both, smoothed_R = simple_good_turing(counts_R, tally_R)
    assert (counts_R * tally_R).sum() == 30902
    assert smoothed_R[0] == pytest.approx(2 ** (1 - 1.389), abs=2e-4)  # the slope is -1.389
    # the paper scales them to leave t_1 / N to the unseen
    scaled = both * (30902 - 120) / (both * tally_R).sum()
    assert scaled[:3] == pytest.approx([0.7628, 1.706, 2.680], abs=5e-4)


def test_by_hand_with_two_counts_or_far_from_the_line():
    # Z_1 = 2 * 6 / 2 = 6 and Z_2 = 2 * 2 / (3 - 1) = 2: the slope is -log 3 / log 2, y(1) = 2 * 2 /
    # 6; x(1) = 2 * 2 / 6, too
    both, smoothed_R = simple_good_turing(np.array([1, 2]), np.array([6, 2]))
    assert both == pytest.approx(smoothed_R)
    assert both == pytest.approx([2 / 3, 3 * (2 / 3) ** np.log2(3)])
    tally = {1: 100_000, 2: 10_000, 3: 6_000, 4: 4_000, 5: 3_000, 6: 1, 7: 1}
    both, smoothed_R = simple_good_turing(*arrays(tally))
    assert both[0] == pytest.approx(2 * 10_000 / 100_000) != pytest.approx(smoothed_R[0])
    assert both[-1] == smoothed_R[-1]  # nothing occurs 8 times


@given(st.dictionaries(st.integers(1, 30), st.integers(1, 1000), min_size=2, max_size=12))
def test_it_is_what_the_formulas_say(tally):
    both, smoothed_R = simple_good_turing(*arrays(tally))
    tallied = formulas.Counter(tally)
    assert both == pytest.approx(list(formulas.good_turing(tallied, 1.65).values()))
    assert smoothed_R == pytest.approx(list(formulas.good_turing(tallied, float("inf")).values()))
