"""Distances between feature sets against closed forms, laws of small samples, and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness_generative.fidelity import frechet_distance, kernel_distance, prdc

RNG = np.random.default_rng


def test_frechet_of_a_set_with_itself_shifted_and_scaled() -> None:
    x = RNG(0).normal(size=(500, 8))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    shift = np.zeros(8)
    shift[2] = 3
    assert frechet_distance(x, x + shift) == pytest.approx(9, abs=1e-9)
    centred = x - x.mean(0)
    trace = np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(centred, 2 * centred) == pytest.approx(trace, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize(("n", "d"), [(5, 3), (64, 64), (200, 64)])
def test_frechet_of_equal_sets_is_zero_at_every_scale(n: int, d: int, scale: float) -> None:
    x = np.random.default_rng(0).normal(size=(n, d)) * scale
    assert frechet_distance(x, x) == frechet_distance(x, x[::-1]) == 0
    assert frechet_distance(x, x + 1e-3 * scale) == pytest.approx(d * (1e-3 * scale) ** 2, rel=1e-3)


def test_frechet_agrees_with_scipys_matrix_root() -> None:
    from scipy.linalg import sqrtm

    rng = RNG(1)
    x = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))
    y = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 1
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2)))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("d", "n"), [(16, 200), (64, 1000), (64, 5000)])
def test_frechet_bias_of_small_samples(d: int, n: int) -> None:
    """Two sets of n from N(0, I_d) are about d(d+5)/(2n) apart (first order in d/n)."""
    rng = RNG(2)
    found = np.mean([frechet_distance(rng.normal(size=(n, d)), rng.normal(size=(n, d))) for _ in range(4)])
    assert found == pytest.approx(d * (d + 5) / (2 * n), rel=0.08)


def test_frechet_of_a_degenerate_set() -> None:
    """Identical samples have no spread: what is left is the shift and the other's trace."""
    x = RNG(3).normal(size=(400, 5))
    point = np.ones((50, 5))
    expected = ((x.mean(0) - 1) ** 2).sum() + np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(x, point) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    rng = RNG(4)
    values = [kernel_distance(rng.normal(size=(60, 4)), rng.normal(size=(60, 4))) for _ in range(300)]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.image import __name__ as _  # noqa: F401
    from torchmetrics.image.kid import poly_mmd

    rng = RNG(5)
    x, y = rng.normal(size=(80, 7)), rng.normal(size=(80, 7)) + 0.3
    theirs = poly_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert kernel_distance(x, y, size=1000) == pytest.approx(float(theirs), rel=1e-9)


def test_prdc_of_a_set_with_itself_is_one() -> None:
    x = RNG(6).normal(size=(300, 5))
    found = prdc(x, x)
    assert found.precision == found.recall == found.coverage == 1
    assert found.density == pytest.approx(1, abs=1e-12)


def test_prdc_coverage_of_the_same_distribution() -> None:
    """About 1 − 2^−k for equal sizes: 0.969 for k = 5 (Naeem et al. 2020)."""
    rng = RNG(7)
    found = prdc(rng.normal(size=(1500, 8)), rng.normal(size=(1500, 8)))
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_prdc_of_a_collapse_onto_one_real_sample() -> None:
    real = RNG(8).normal(size=(400, 6))
    fake = np.repeat(real[:1], 400, axis=0) + 1e-9 * RNG(9).normal(size=(400, 6))
    found = prdc(real, fake)
    assert found.precision == 1
    assert found.recall < 0.01
    assert found.coverage < 0.1


def test_prdc_holds_some_rows_of_distances_at_a_time() -> None:
    """The same numbers from pieces as from whole matrices, which for 50,000 samples would take 20 GB each."""
    import tracemalloc

    import sklearn

    real, fake = RNG(12).normal(size=(1500, 6)), RNG(13).normal(size=(1200, 6)) * 0.8
    whole = prdc(real, fake)
    with sklearn.config_context(working_memory=1):  # MiB
        tracemalloc.start()
        pieces = prdc(real, fake)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert pieces == pytest.approx(whole, abs=1e-12)
    assert peak < real.shape[0] ** 2 * 8 / 2


def test_one_sample_has_no_spread() -> None:
    x = RNG(14).normal(size=(20, 3))
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(HarnessError, match="two samples of each, found 1 and 20"):
            distance(x[:1], x)


def test_precision_and_recall_change_places() -> None:
    rng = RNG(10)
    x, y = rng.normal(size=(200, 3)), 0.3 * rng.normal(size=(200, 3))
    assert prdc(x, y).precision == prdc(y, x).recall
    assert prdc(x, y).precision > prdc(x, y).recall


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**16),
    st.integers(2, 40),
    st.integers(1, 30),
    st.sampled_from([1e-6, 1.0, 1e4]),
    st.floats(-9, 9),
)
def test_the_frechet_distance_of_a_set_to_itself_is_zero_and_of_a_moved_one_its_way(seed, n, d, scale, way):
    x = np.random.default_rng(seed).normal(size=(n, d)) * scale
    trace = np.trace(np.atleast_2d(np.cov(x, rowvar=False)))
    same = frechet_distance(x, x)
    assert 0 <= same <= 1e-5 * trace
    # with equal covariances the closed form is the squared distance of the means
    moved = frechet_distance(x, x + way * scale)
    assert moved == pytest.approx(d * (way * scale) ** 2, abs=1e-5 * trace + 1e-9 * d * (way * scale) ** 2)
