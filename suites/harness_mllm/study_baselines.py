"""Supervised baselines of a study on the same embeddings: votes of neighbours, logistic regression, a small network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR = 1e-9
"""Least probability, so that its logarithm is finite."""


def vote_of_neighbours(
    neighbours: Sequence[NDArray[np.int64]], targets: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Return the share of each item's neighbours that has each of `count` classes, N×C.

    `targets` are labels M, or sets M×C. Of classes with equally many votes the one whose nearest member is nearest is
    raised by at most 1e-6, so that it is the largest.
    """
    hot = targets == 1 if targets.ndim == 2 else targets[:, None] == np.arange(count)
    scores = np.empty((len(neighbours), count))
    for row, nearest in enumerate(neighbours):
        votes = hot[nearest].astype(np.float64)
        first = np.where(votes.any(axis=0), votes.argmax(axis=0), np.inf)
        scores[row] = votes.mean(axis=0) + 1e-6 / (1 + first)
    return scores


def predict_supervised(
    how: Literal["logistic", "mlp"], train: NDArray[np.float32], targets: NDArray[np.int64], test: NDArray[np.float32],
    count: int, inverse_penalty: float, seed: int,
) -> tuple[NDArray[np.float64], list[str]]:  # fmt: skip
    """Return the probability of each of `count` classes for each test item, N×C, and remarks.

    Logistic regression (one per class for label sets) or a network with one hidden layer of 128 and L2 penalty
    1/`inverse_penalty`, both by scikit-learn with their defaults otherwise. A class that no training item has gets 0.
    """
    from sklearn.exceptions import ConvergenceWarning

    several = targets.ndim == 2
    hot = (targets == 1) if several else targets[:, None] == np.arange(count)
    scores = np.zeros((len(test), count))
    varied = hot.any(axis=0) & ~hot.all(axis=0)
    if several or varied.sum() < 2:
        scores[:, hot.all(axis=0)] = 1
    if not varied.any():
        return scores, []
    remarks: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        if several:
            columns = np.flatnonzero(varied)
            scores[:, columns] = _fit_sets(how, train, hot[:, columns], test, inverse_penalty, seed)
        else:
            made = _make_classifier(how, inverse_penalty, seed).fit(train, targets)
            scores[:, made.classes_] = made.predict_proba(test)
    if any(issubclass(one.category, ConvergenceWarning) for one in caught):
        remarks.append(f"the supervised model ({how}) had not converged when it was stopped")
    return scores, remarks


def _make_classifier(how: str, inverse_penalty: float, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if how == "logistic":
        return LogisticRegression(C=inverse_penalty, max_iter=1000)
    return MLPClassifier((128,), alpha=1 / inverse_penalty, max_iter=400, random_state=seed % 2**32)


def _fit_sets(
    how: str, train: NDArray[np.float32], hot: NDArray[np.bool_], test: NDArray[np.float32], inverse_penalty: float,
    seed: int,
) -> NDArray[np.float64]:  # fmt: skip
    columns = []
    for n in range(hot.shape[1]):
        made = _make_classifier(how, inverse_penalty, seed).fit(train, hot[:, n])
        columns.append(made.predict_proba(test)[:, 1])
    return np.stack(columns, axis=1)


def to_logits(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of probabilities, at least that of `FLOOR`."""
    return np.log(np.maximum(probabilities, FLOOR))
