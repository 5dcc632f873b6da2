"""Values by cluster: the mean stays, and the variance is the cluster-robust one."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics import StatisticsError, linearise_clusters, sample_interval

DRAWN = st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 6)), min_size=2, max_size=60)


@given(DRAWN)
def test_the_mean_stays_and_the_order_does_not_matter(drawn):
    values, clusters = (list(column) for column in zip(*drawn, strict=True))
    names, found = linearise_clusters(values, clusters)
    assert names == sorted({str(c) for c in clusters})
    assert found.mean() == pytest.approx(np.mean(values), abs=1e-12)
    turned = linearise_clusters(values[::-1], clusters[::-1])
    assert turned[0] == names
    assert turned[1] == pytest.approx(found, abs=1e-9)


@given(DRAWN)
def test_the_variance_is_that_of_statsmodels(drawn):
    values, clusters = (np.array(column) for column in zip(*drawn, strict=True))
    count = len(set(clusters.tolist()))
    if count < 2:
        return
    fit = sm.OLS(values, np.ones(len(values))).fit()
    robust = fit.get_robustcov_results("cluster", groups=clusters, use_correction=False)
    _, found = linearise_clusters(values, clusters.tolist())
    assert found.var() / count == pytest.approx(robust.cov_params()[0, 0], rel=1e-6, abs=1e-12)


def test_five_copies_of_each_image_are_no_new_images():
    """100 images at p = .5: the naive error .0224 becomes .05."""
    values = np.tile([0.0, 1.0], 50).repeat(5)
    _, found = linearise_clusters(values, np.arange(100).repeat(5).tolist())
    assert values.std() / np.sqrt(500) == pytest.approx(0.02236, abs=1e-5)
    assert found.std() / np.sqrt(100) == pytest.approx(0.05)


def test_clusters_of_one_keep_their_values_and_differences_are_linear():
    rng = np.random.default_rng(0)
    a, b, clusters = rng.random(30), rng.random(30), rng.integers(0, 9, 30).tolist()
    assert linearise_clusters(a, [f"{n:02d}" for n in range(30)])[1] == pytest.approx(a)
    difference = linearise_clusters(a, clusters)[1] - linearise_clusters(b, clusters)[1]
    assert linearise_clusters(a - b, clusters)[1] == pytest.approx(difference)


def test_intervals_of_clusters_cover_the_mean():
    """Of 300 draws of 40 images with 1 to 9 questions each, about 95 % of intervals hold the mean; naive ones far fewer."""
    rng = np.random.default_rng(1)
    held = naive = 0
    for seed in range(300):
        sizes = rng.integers(1, 10, 40)
        difficulty = rng.normal(size=40).repeat(sizes)
        values = difficulty + 0.3 * rng.normal(size=len(difficulty))
        clusters = np.arange(40).repeat(sizes).tolist()
        found = sample_interval(linearise_clusters(values, clusters)[1], seed=seed, resamples=400)
        single = sample_interval(values, seed=seed, resamples=400)
        assert found is not None
        assert single is not None
        held += found.low <= 0 <= found.high
        naive += single.low <= 0 <= single.high
    assert held / 300 > 0.88
    assert naive / 300 < 0.75


def test_faults_are_named():
    with pytest.raises(StatisticsError, match="2 values and 1 clusters"):
        linearise_clusters([1.0, 2.0], ["a"])
    with pytest.raises(StatisticsError):
        linearise_clusters([1.0, float("nan")], ["a", "b"])
    assert linearise_clusters([], [])[0] == []
