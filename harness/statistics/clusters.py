"""Samples that are not independent, such as questions about one image: values by cluster with the same mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.statistics.checks import Floats, StatisticsError, check_vector


def linearise_clusters(values: ArrayLike, clusters: Sequence[object]) -> tuple[list[str], Floats]:
    """Return the clusters' names, sorted, and a value of each whose plain mean is the mean over all samples.

    Of N samples in C clusters with mean x̄, a cluster's value is x̄ + C/N · Σ(x − x̄) over its samples: the
    linearised ratio of totals. The variance of the mean of these C values, times (C − 1)/C, is the
    cluster-robust variance of x̄ (Liang & Zeger, Biometrika 1986; for evaluations, Miller 2024,
    arXiv:2411.00640), so statistics for C independent samples hold for them. Clusters of one sample each
    keep their values. The result is linear in the values: a difference of two models is that of their values.

    Raises StatisticsError for vectors of different lengths, or values that are not finite.
    """
    x = check_vector(values)
    if len(clusters) != len(x):
        raise StatisticsError(f"there are {len(x)} values and {len(clusters)} clusters")
    if not len(x):
        return [], x
    names, places = np.unique([str(cluster) for cluster in clusters], return_inverse=True)
    mean = x.mean()
    sums = np.bincount(places, weights=x - mean, minlength=len(names))
    return names.tolist(), mean + len(names) / len(x) * sums
