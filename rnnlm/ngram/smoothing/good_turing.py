"""Simple Good-Turing (Gale & Sampson 1995): what something seen r times is worth, judging by how many things were seen how often.

With t_r the number of things seen r times, Turing's estimate and its standard deviation are

    x(r) = (r + 1) t_(r+1) / t_r,   sd(r) = (r + 1) / t_r sqrt(t_(r+1) (1 + t_(r+1) / t_r))

Where r is large, t_r is mostly 0 or 1. So t_r is averaged over the gap between the counts around it, q and s,
Z_r = 2 t_r / (s - q) (s = 2 r - q at the last), and log Z_r = a + b log r is fitted by least squares, which makes the smoothed estimate

    y(r) = (r + 1) Z_(r+1) / Z_r = r (1 + 1/r)^(b + 1)

r* is x(r) from r = 1 on as long as |x(r) - y(r)| > 1.65 sd(r), and y(r) from the first r on where that is not so.
"""

import numpy as np

SIGNIFICANT = 1.65


def simple_good_turing(counts_R: np.ndarray, tally_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r* and the smoothed y(r) for the R >= 2 different counts r, ascending; `tally_R` things have each."""
    r_R, t_R = counts_R.astype(np.float64), tally_R.astype(np.float64)
    smoothed_R = r_R * (1 + 1 / r_R) ** (_slope(r_R, t_R) + 1)
    next_R = np.append(np.where(np.diff(r_R) == 1, t_R[1:], 0.0), 0.0)
    turing_R = (r_R + 1) * next_R / t_R
    deviation_R = (r_R + 1) / t_R * np.sqrt(next_R * (1 + next_R / t_R))
    differs_R = (next_R > 0) & (np.abs(turing_R - smoothed_R) > SIGNIFICANT * deviation_R)
    return np.where(np.logical_and.accumulate(differs_R), turing_R, smoothed_R), smoothed_R


def _slope(r_R: np.ndarray, t_R: np.ndarray) -> float:
    """b of the line through (log r, log Z_r)."""
    before_R = np.append(0.0, r_R[:-1])
    after_R = np.append(r_R[1:], 2 * r_R[-1] - before_R[-1])
    x_R, y_R = np.log(r_R), np.log(2 * t_R / (after_R - before_R))
    x_R = x_R - x_R.mean()
    return float(x_R @ y_R / (x_R @ x_R))
