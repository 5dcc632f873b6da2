"""Mode counts of planted collapses, and the verdicts on planted runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import OptionError
from harness_embedded.gaussian_mixture import GaussianMixture
from harness_gan.verdicts import VerdictSigns, VerdictThresholds, decide_verdict, finite_mean, fit_slope
from harness_generative.modes import find_nearest_modes, measure_mode_coverage, reverse_kl

HEALTHY = VerdictSigns(
    finite=True,
    rms_ratio=1.0,
    inside=1.0,
    d_loss=1.3,
    d_accuracy=0.6,
    g_slope=0.0,
    g_gradient=0.1,
    modes=8,
    covered=8.0,
    reverse_kl=0.05,
    high_quality=0.8,
)


@pytest.mark.parametrize(("layout", "k"), [("ring", 8), ("grid", 25), ("random", 10)])
@pytest.mark.parametrize("m", [1, 3, 8])
def test_a_planted_collapse_is_counted_exactly(layout: Any, k: int, m: int) -> None:
    """Samples on m of K modes: m modes, KL = ln(K/m), all of high quality."""
    mixture = GaussianMixture(layout, k, sigma=0.01)
    rng = np.random.default_rng(0)
    points = np.repeat(mixture.centres()[:m], 100, axis=0)
    points = points + 0.002 * rng.normal(size=points.shape)
    found = measure_mode_coverage(*find_nearest_modes(points, mixture.centres(), 0.01), k, [0.1])
    assert found["covered"] == found["at_0.1"] == m
    assert found["reverse_kl"] == pytest.approx(math.log(k / m), abs=1e-12)
    assert found["high_quality"] == 1


def test_noise_everywhere_is_of_low_quality() -> None:
    mixture = GaussianMixture(sigma=0.01)
    noise = np.random.default_rng(1).uniform(-2.5, 2.5, (2500, 2))
    found = measure_mode_coverage(*find_nearest_modes(noise, mixture.centres(), 0.01), 8, [])
    assert found["high_quality"] < 0.01


def test_a_perfect_sampler_of_many_modes_is_not_perfect() -> None:
    """1,000 modes: 26,000 samples give KL (K−1)/2N = 0.0192; 2,500 reach about 916 modes only."""
    rng = np.random.default_rng(2)
    sure = np.ones(26_000, bool)
    many = measure_mode_coverage(rng.integers(1000, size=26_000), sure, 1000, [])
    assert many["reverse_kl"] == pytest.approx(999 / 52_000, rel=0.1)
    few = measure_mode_coverage(rng.integers(1000, size=2500), sure[:2500], 1000, [])
    assert few["covered"] == pytest.approx(1000 * (1 - (1 - 1e-3) ** 2500), abs=15)


def test_thresholds_of_the_count() -> None:
    modes = np.repeat([0, 1, 2], [900, 99, 1])
    found = measure_mode_coverage(modes, np.ones(1000, bool), 4, [0.1, 0.5])
    assert (found["covered"], found["at_0.1"], found["at_0.5"]) == (3, 2, 1)


def test_no_good_sample_is_the_worst_kl_and_non_finite_ones_are_not_good() -> None:
    assert reverse_kl(np.zeros(8, int)) == pytest.approx(math.log(8))
    points = np.array([[2.0, 0.0], [np.nan, 0.0], [np.inf, 1.0]])
    _, good = find_nearest_modes(points, GaussianMixture().centres(), 0.02)
    assert good.tolist() == [True, False, False]


def test_mixtures_have_their_moments() -> None:
    mixture = GaussianMixture("grid", 25, sigma=0.05, extent=2, scale=2.828)
    drawn = mixture.load("train").draw(40_000, torch.Generator().manual_seed(0)).numpy()
    expected = 8 / 2.828**2 + (0.05 / 2.828) ** 2  # the lattice −4, −2, …, 4 has variance 8
    assert drawn.var(0) == pytest.approx([expected] * 2, rel=0.02)
    assert np.linalg.norm(GaussianMixture(scale=1.414).centres(), axis=1) == pytest.approx(2 / 1.414)
    assert len({tuple(c) for c in GaussianMixture("random", 12).centres().tolist()}) == 12
    with pytest.raises(OptionError, match="square"):
        GaussianMixture("grid", 8)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "healthy"),
        ({"finite": False}, "diverged"),
        ({"rms_ratio": 11.0}, "diverged"),
        ({"inside": 0.01}, "diverged"),
        ({"g_gradient": 1e-8}, "frozen"),
        ({"d_loss": 0.01, "d_accuracy": 0.999, "g_slope": 0.1}, "d_wins"),
        ({"d_loss": 0.01, "d_accuracy": 0.999, "g_slope": -0.1}, "healthy"),
        ({"covered": 4.0}, "collapsed"),
        ({"covered": 5.0}, "healthy"),
        ({"reverse_kl": 1.1}, "collapsed"),
        ({"high_quality": 0.01}, "unconverged"),
        ({"precision": 0.9, "recall": 0.02}, "collapsed"),
        ({"precision": 0.9, "recall": 0.5, "coverage": 0.05}, "collapsed"),
        ({"precision": 0.3, "recall": 0.02}, "healthy"),
        # at the theoretical equilibrium, with nothing covered
        (
            {"d_loss": 2 * math.log(2), "d_accuracy": 0.5, "covered": 0.0, "reverse_kl": math.log(8)},
            "collapsed",
        ),
    ],
)
def test_planted_runs_get_their_verdicts(change: dict[str, Any], expected: str) -> None:
    assert decide_verdict(replace(HEALTHY, **change), VerdictThresholds())[0] == expected


def test_thresholds_come_from_the_suite_file() -> None:
    limits = VerdictThresholds.from_options({"modes": 0.25})
    assert decide_verdict(replace(HEALTHY, covered=4.0), limits)[0] == "healthy"
    assert "modes 0.25" in limits.format_line()
    with pytest.raises(OptionError, match="did you mean 'quality'"):
        VerdictThresholds.from_options({"qualty": 1})


def test_levels_and_slopes_of_curves() -> None:
    assert finite_mean([1.0, math.nan, 3.0, math.inf]) == 2
    assert math.isnan(finite_mean([math.nan]))
    assert fit_slope([1.0, 3.0, 5.0, 7.0]) == pytest.approx(2)
    assert fit_slope([1.0]) == fit_slope([1.0, math.nan]) == 0
