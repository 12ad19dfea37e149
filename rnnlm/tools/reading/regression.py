"""Least squares from sums per item, so that items can be held out and drawn again at no cost.

Response and predictors are centred by subject, which gives the coefficients of a regression with a
constant for each subject (Frisch & Waugh 1933). Shapes: N rows, G groups of rows (items), S
subjects, P columns (the predictors, then the response), R weightings of groups.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INDEPENDENT = 1e-8  # share of a predictor's variance that the others leave, at least


@dataclass(frozen=True)
class ItemSums:
    """Sums over the rows of each item, in units of `scale_P` from `centre_P`."""

    count_GS: np.ndarray
    sum_GSP: np.ndarray
    product_GPP: np.ndarray
    centre_P: np.ndarray
    scale_P: np.ndarray

    @classmethod
    def of(cls, values_NP: np.ndarray, group_N: np.ndarray, subject_N: np.ndarray) -> "ItemSums":
        """Sum the rows of a table by group and subject, both numbered from 0."""
        groups, subjects = int(group_N.max()) + 1, int(subject_N.max()) + 1
        columns = values_NP.shape[1]

        # Sums of squares lose no digits if the columns are standardised.
        centre_P = values_NP.mean(axis=0)
        scale_P = values_NP.std(axis=0)
        scale_P[scale_P < 1e-12 * np.maximum(1.0, np.abs(centre_P))] = 1.0
        z_NP = (values_NP - centre_P) / scale_P
        cell_N = group_N * subjects + subject_N
        cells = groups * subjects
        sum_PC = [np.bincount(cell_N, z_NP[:, place], cells) for place in range(columns)]
        product_GPP = np.zeros((groups, columns, columns))
        for first in range(columns):
            for second in range(first + 1):
                product_G = np.bincount(group_N, z_NP[:, first] * z_NP[:, second], groups)
                product_GPP[:, first, second] = product_GPP[:, second, first] = product_G
        return cls(
            count_GS=np.bincount(cell_N, minlength=cells).reshape(groups, subjects).astype(float),
            sum_GSP=np.stack(sum_PC, axis=-1).reshape(groups, subjects, columns),
            product_GPP=product_GPP,
            centre_P=centre_P,
            scale_P=scale_P,
        )

    @functools.cached_property
    def whole(self) -> "CentredSums":
        """The sums over all groups."""
        return self.weighted(np.ones((1, len(self.sum_GSP))))

    def weighted(self, weight_RG: np.ndarray) -> "CentredSums":
        """Return the sums over groups, each taken so many times, centred by subject."""
        count_RS = weight_RG @ self.count_GS
        sum_RSP = np.tensordot(weight_RG, self.sum_GSP, axes=1)
        mean_RSP = sum_RSP / np.maximum(count_RS, 1.0)[..., None]
        product_RPP = np.tensordot(weight_RG, self.product_GPP, axes=1)
        product_RPP = product_RPP - np.swapaxes(sum_RSP, 1, 2) @ mean_RSP
        return CentredSums(count_RS, mean_RSP, product_RPP)

    def held_out(self, groups: np.ndarray, mean_SP: np.ndarray) -> np.ndarray:
        """Return the products of some groups around these means of subjects, (g, P, P)."""
        sum_gSP, count_gS = self.sum_GSP[groups], self.count_GS[groups]
        cross_gPP = np.swapaxes(sum_gSP, 1, 2) @ mean_SP
        squares_gPP = np.swapaxes(mean_SP * count_gS[..., None], 1, 2) @ mean_SP
        return self.product_GPP[groups] - cross_gPP - np.swapaxes(cross_gPP, 1, 2) + squares_gPP

    def in_units(self, coefficients: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        """Return coefficients of standardised `columns` in the units of the table."""
        return coefficients * self.scale_P[-1] / self.scale_P[list(columns)]


@dataclass(frozen=True)
class CentredSums:
    """Sums over some groups, centred by subject, of each of R weightings."""

    count_RS: np.ndarray
    mean_RSP: np.ndarray
    product_RPP: np.ndarray

    def fit(self, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Regress the response on some of the columns. Return the coefficients, (R, columns), the
        sum of squares that they leave, (R,), and the degrees of freedom, (R,)."""
        chosen = list(columns)
        normal_RKK = self.product_RPP[:, chosen][:, :, chosen]
        with_response_RK = self.product_RPP[:, chosen, -1]
        # A draw of few items may lack what tells two predictors apart.
        inverse_RKK = np.linalg.pinv(normal_RKK, rcond=1e-12, hermitian=True)
        coefficients_RK = (inverse_RKK @ with_response_RK[..., None])[..., 0]
        left_R = self.product_RPP[:, -1, -1] - (coefficients_RK * with_response_RK).sum(axis=1)
        freedom_R = self.count_RS.sum(axis=1) - (self.count_RS > 0).sum(axis=1) - len(chosen)
        return coefficients_RK, np.maximum(left_R, 0.0), freedom_R


def independent(sums: CentredSums, columns: Sequence[int]) -> list[int]:
    """Return the columns that vary within subjects and depend on none before them."""
    product_PP = sums.product_RPP[0]
    kept: list[int] = []
    for column in columns:
        left = product_PP[column, column]
        if kept:
            across = product_PP[kept, column]
            left = left - across @ np.linalg.lstsq(product_PP[np.ix_(kept, kept)], across)[0]
        if left > INDEPENDENT * max(sums.count_RS.sum(), 1.0):
            kept.append(column)
    return kept
