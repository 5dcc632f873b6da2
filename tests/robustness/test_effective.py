"""Effective and relative robustness: exact recovery, invariance, intervals and bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from harness.errors import DataError, OptionError
from harness_robustness.effective_robustness import (
    MARGIN,
    bootstrap_interval,
    bootstrap_predictions,
    fit_line,
    from_scale,
    relative_robustness,
    to_scale,
)
from harness_robustness.gaps import accuracy_gap

SCALES = ["logit", "probit", "linear"]


def on_line(x, slope, intercept, scale):
    return from_scale(intercept + slope * to_scale(x, scale), scale)


def noisy(count=40, seed=0, slope=0.9, intercept=-0.5, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 0.85, count)
    return x, from_scale(intercept + slope * to_scale(x) + rng.normal(0, noise, count))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["logit", "probit"]),
    st.floats(0.2, 2.0),
    st.floats(-1.5, 0.5),
    st.lists(st.floats(0.3, 0.9), min_size=3, max_size=20, unique_by=lambda v: round(v, 2)),
)
def test_points_on_a_line_give_it_back_and_have_no_effective_robustness(scale, slope, intercept, x):
    x = np.array(x)
    y = on_line(x, slope, intercept, scale)
    line = fit_line(x, y, scale)
    assert line.slope == pytest.approx(slope, abs=1e-6)
    assert line.intercept == pytest.approx(intercept, abs=1e-6)
    assert line.r2 == pytest.approx(1.0, abs=1e-6)
    assert line.count == len(x)
    assert np.abs(line.effective_robustness(x, y)).max() < 1e-8


def test_linear_scale_and_points_off_the_line_are_measured_in_percentage_points():
    line = fit_line([0.5, 0.6, 0.8], [0.4, 0.5, 0.7], "linear")
    assert (line.slope, line.intercept) == pytest.approx((1.0, -0.1))
    assert line.effective_robustness(0.7, 0.65) == pytest.approx(5.0)
    assert line.effective_robustness(0.7, 0.58) == pytest.approx(-2.0)


@pytest.mark.parametrize("scale", SCALES)
def test_the_fit_is_ordinary_least_squares_on_the_scale(scale):
    x, y = noisy()
    expected = linregress(to_scale(x, scale), to_scale(y, scale))
    line = fit_line(x, y, scale)
    assert line.slope == pytest.approx(expected.slope)
    assert line.intercept == pytest.approx(expected.intercept)
    assert line.r2 == pytest.approx(expected.rvalue**2)


def test_order_and_more_models_on_the_line_change_nothing():
    x, y = noisy()
    line = fit_line(x, y)
    order = np.random.default_rng(1).permutation(len(x))
    assert fit_line(x[order], y[order]).effective_robustness(0.6, 0.6) == pytest.approx(
        line.effective_robustness(0.6, 0.6)
    )
    more = np.linspace(0.52, 0.8, 9)
    extended = fit_line(np.concatenate([x, more]), np.concatenate([y, line.predict(more)]))
    assert extended.slope == pytest.approx(line.slope)
    assert extended.effective_robustness(0.6, 0.6) == pytest.approx(line.effective_robustness(0.6, 0.6))
    # A model off the line does move it, which is why evaluated models must stay out.
    assert fit_line([*x, 0.7], [*y, 0.95]).predict(0.7) > line.predict(0.7) + 0.001


@pytest.mark.parametrize("scale", SCALES)
def test_scales_are_inverses_and_clip_what_has_no_logit(scale):
    values = np.linspace(0.001, 0.999, 50)
    assert from_scale(to_scale(values, scale), scale) == pytest.approx(values)
    ends = to_scale([0.0, 1.0], scale)
    assert np.isfinite(ends).all()
    if scale != "linear":
        assert from_scale(ends, scale) == pytest.approx([MARGIN, 1 - MARGIN])
    assert np.isfinite(fit_line([0.5, 0.6, 0.7], [0.0, 0.1, 0.2], scale).slope)


def test_bootstrap_is_seeded_covers_the_fit_and_narrows_with_more_models():
    x, y = noisy(30)
    at = np.array([0.55, 0.7, 0.8])
    low, high = bootstrap_interval(x, y, at, seed=3)
    again = bootstrap_interval(x, y, at, seed=3)
    assert (low == again[0]).all()
    assert (high == again[1]).all()
    other = bootstrap_interval(x, y, at, seed=4)
    assert (low != other[0]).any()
    line = fit_line(x, y)
    assert (low < line.predict(at)).all()
    assert (line.predict(at) < high).all()
    wide = high - low
    low, high = bootstrap_interval(*noisy(480), at, seed=3)
    assert (high - low < 0.5 * wide).all()


def test_bootstrap_spread_agrees_with_the_standard_error_of_least_squares():
    x, y = noisy(200, noise=0.2)
    drawn = to_scale(bootstrap_predictions(x, y, [0.7], resamples=2000))
    scaled_x, scaled_y = to_scale(x), to_scale(y)
    residual = scaled_y - to_scale(fit_line(x, y).predict(x))
    variance = (residual**2).sum() / (len(x) - 2)
    dx = to_scale(0.7) - scaled_x.mean()
    expected = np.sqrt(variance * (1 / len(x) + dx**2 / ((scaled_x - scaled_x.mean()) ** 2).sum()))
    assert drawn.std() == pytest.approx(expected, rel=0.12)


def test_bootstrap_of_points_on_a_line_has_no_width_even_for_two_models():
    x = np.array([0.5, 0.8])
    low, high = bootstrap_interval(x, on_line(x, 0.9, -0.4, "logit"), [0.6], resamples=50)
    assert high - low == pytest.approx(0, abs=1e-12)


def test_relative_robustness_is_the_difference_in_points():
    assert relative_robustness(0.55, 0.5) == pytest.approx(5.0)
    assert relative_robustness([0.4, 0.5], [0.5, 0.5]) == pytest.approx([-10.0, 0.0])


def test_gap_is_reference_minus_shift_on_the_same_classes_only():
    assert accuracy_gap(0.9, 0.4) == pytest.approx(0.5)
    assert accuracy_gap([0.9, 0.5], [0.4, 0.6], ["a", "b"], {"b", "a"}) == pytest.approx([0.5, -0.1])
    with pytest.raises(DataError, match="same classes, but 3 and 2"):
        accuracy_gap(0.9, 0.4, ["a", "b", "c"], ["a", "b"])


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(DataError, match="at least two standard models"):
        fit_line([0.7], [0.6])
    with pytest.raises(DataError, match="different reference accuracies"):
        fit_line([0.7, 0.7], [0.6, 0.5])
    with pytest.raises(DataError, match="divide percentages by 100"):
        fit_line([70.0, 75.0], [60.0, 64.0])
    with pytest.raises(OptionError, match="scale must be one of"):
        to_scale(0.5, "log")


def test_a_line_tells_its_slope_and_how_well_it_fits():
    x, y = np.array([0.2, 0.4, 0.6, 0.9]), np.array([0.1, 0.25, 0.4, 0.8])
    line = fit_line(x, y, "linear")
    slope, intercept = np.polyfit(x, y, 1)
    assert (line.slope, line.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    assert line.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert str(line) == f"slope {slope:.3g} (linear), R² {line.r2:.3f}, 4 models"


def test_the_value_outside_the_range_is_named():
    with pytest.raises(DataError, match=r"got -0\.2"):
        to_scale([0.5, -0.2, 0.9])
