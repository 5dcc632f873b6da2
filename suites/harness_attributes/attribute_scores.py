"""From attributes of images to scores of classes: the formulas of direct and indirect attribute prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def score_by_attributes(
    present: NDArray[np.float64],
    absent: NDArray[np.float64],
    table: NDArray[np.float64],
    priors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return log Π_m p(a_m = a_m^c | x) / p(a_m = a_m^c) of N images and C classes, N×C.

    `present` and `absent` are log p(a_m = 1 | x) and log p(a_m = 0 | x), N×A and finite, `table` the classes'
    attributes C×A of 1, 0 and NaN, `priors` p(a_m = 1), A, within (0, 1). An attribute that a class does not state has
    no factor. With equal priors of classes, a softmax over classes gives their posterior (Lampert, Nickisch,
    Harmeling, "Attribute-based classification for zero-shot visual object categorization", TPAMI 2014, section 3.1).
    """
    for_present = present - np.log(priors)
    for_absent = absent - np.log1p(-priors)
    found: NDArray[np.float64] = for_present @ (table == 1).T.astype(float)
    found += for_absent @ (table == 0).T.astype(float)
    return found


def mix_attributes(
    log_classes: NDArray[np.float64], table: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log p(a_m = 1 | x) and log p(a_m = 0 | x), N×A, from log p(y_k | x), N×K.

    p(a_m = 1 | x) = Σ_k p(y_k | x) a_m^k, over the classes that state the attribute in `table` K×A (Lampert et al.
    2014, section 3.2). A sum over no class is 0, and its logarithm −inf.
    """
    from scipy.special import logsumexp

    def total(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        if not rows.any():
            return np.full(len(log_classes), -np.inf)
        return np.asarray(logsumexp(log_classes[:, rows], axis=1))

    known = [total(~np.isnan(column)) for column in table.T]
    present, absent = (
        np.stack(
            [total(column == value) - whole for column, whole in zip(table.T, known, strict=True)], axis=1
        )
        for value in (1, 0)
    )
    return present, absent


def measure_priors(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of K classes with each of A attributes, among those that state it; NaN where none does."""
    known = (~np.isnan(table)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray((table == 1).sum(axis=0) / known, np.float64)
