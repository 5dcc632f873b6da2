"""Compare two classifiers on the same samples by weighted F1, with a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 2000


@dataclass(frozen=True)
class F1Gain:
    """A difference with its percentile interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def weighted_f1(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Return weighted F1 of counts …×C×C (true class by predicted class); 0 for a class without a hit."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, said = confusion.sum(-1), confusion.sum(-2)
    f1 = 2 * hits / np.maximum(true + said, 1e-12)
    return np.asarray((f1 * true).sum(-1) / true.sum(-1), dtype=np.float64)


def count_confusions(targets: NDArray[np.int64], predictions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return counts S×C×C of true class by predicted class, from targets N and predictions S×N."""
    classes = int(max(targets.max(), predictions.max())) + 1
    cells = targets * classes + predictions
    counts = [np.bincount(row, minlength=classes * classes) for row in cells]
    return np.stack(counts).reshape(-1, classes, classes)


def compare_f1(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    targets: NDArray[np.int64],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> F1Gain:
    """Return weighted F1 of `one` minus that of `other`, predictions S×N for S seeds of the same N samples.

    Samples and seeds are both drawn with replacement, the same for both sides; a resample's F1 is the mean
    over its seeds. The p-value is twice the smaller share of resampled differences on either side of 0
    (Efron and Tibshirani 1993, chapter 15), at least 2/(resamples + 1).
    """
    seeds, count = one.shape
    classes = int(max(one.max(), other.max(), targets.max())) + 1
    weights, chosen = _draw_resamples(count, seeds, resamples, seed)

    def resampled(predictions: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
        each, whole = [], []
        for row in predictions:
            pairs = np.zeros((count, classes * classes), np.float32)
            pairs[np.arange(count), targets * classes + row] = 1
            each.append(weighted_f1((weights @ pairs).reshape(-1, classes, classes)))
            whole.append(weighted_f1(pairs.sum(0).reshape(classes, classes)))
        return float(np.mean(whole)), np.take_along_axis(np.stack(each, axis=1), chosen, axis=1).mean(1)

    (a, drawn_a), (b, drawn_b) = resampled(one), resampled(other)
    differences = drawn_a - drawn_b
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return F1Gain(a - b, float(low), float(high), min(1.0, 2 * (beyond + 1) / (resamples + 1)))


@lru_cache(maxsize=1)
def _draw_resamples(
    count: int, seeds: int, resamples: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw how often each resample has each sample (resamples×N), and its seeds (resamples×S).

    Cached, since all methods of a table are compared on the same samples.
    """
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float32)
    return weights, rng.integers(seeds, size=(resamples, seeds))
