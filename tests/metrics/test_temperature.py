"""Temperature scaling: the fit is a minimum, keeps the answers and never fits what it measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contract.evidence import Predictions
from harness.errors import DataError
from harness_metrics.calibration import Ece, negative_log_likelihood
from harness_metrics.temperature import TEMPERATURE_RANGE, EceAfterTemperature, fit_temperature, split_halves


def drawn(seed, count=400, classes=4, sharpness=1.0):
    """Logits whose softmax is the true distribution of the targets, times `sharpness`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = (p.cumsum(1) > rng.random((count, 1))).argmax(1)
    return Predictions(logits * sharpness, targets, [f"id{i}" for i in range(count)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.3, 1.0, 4.0, 50.0]), st.integers(2, 60))
def test_the_fit_never_raises_nll_and_keeps_every_answer(seed, sharpness, count):
    p = drawn(seed, count=count, sharpness=sharpness)
    temperature = fit_temperature(p.logits, p.targets)
    assert temperature > 0
    before = negative_log_likelihood(p.logits, p.targets).mean()
    after = negative_log_likelihood(p.logits / temperature, p.targets).mean()
    assert after <= before
    assert ((p.logits / temperature).argmax(1) == p.predicted).all()


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 5.0])
def test_a_known_sharpness_is_recovered(sharpness):
    p = drawn(0, count=20_000, sharpness=sharpness)
    assert fit_temperature(p.logits, p.targets) == pytest.approx(sharpness, rel=0.05)


def test_the_fit_is_where_the_gradient_vanishes():
    # d NLL / d(1/T) = mean(E_p[z] - z_y) is zero at the optimum.
    p = drawn(1, count=2000, sharpness=3.0)
    z = p.logits
    scaled = z / fit_temperature(z, p.targets)
    soft = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    slope = ((soft * z).sum(1) - z[np.arange(len(z)), p.targets]).mean()
    assert abs(slope) < 1e-4


def test_perfect_answers_stay_inside_the_range():
    # Their NLL falls without end as T goes to 0, so only the range keeps T away from it.
    logits = np.eye(3).repeat(5, axis=0)
    temperature = fit_temperature(logits, logits.argmax(1))
    assert TEMPERATURE_RANGE[0] <= temperature < 0.05
    assert negative_log_likelihood(logits / temperature, logits.argmax(1)).mean() < 1e-8


def test_halves_are_disjoint_complete_and_independent_of_order():
    p = drawn(2, count=41)
    fitted, measured = split_halves(p)
    assert {len(fitted), len(measured)} == {20, 21}
    assert set(fitted.ids) | set(measured.ids) == set(p.ids)
    assert not set(fitted.ids) & set(measured.ids)
    order = np.random.default_rng(0).permutation(41)
    shuffled = Predictions(p.logits[order], p.targets[order], [p.ids[i] for i in order])
    assert set(split_halves(shuffled)[0].ids) == set(fitted.ids)
    assert EceAfterTemperature()(shuffled) == pytest.approx(EceAfterTemperature()(p), abs=1e-9)


def test_what_is_measured_is_never_fitted():
    # Changing the measured half's targets must leave the fitted temperature alone: the value is
    # then exactly the ECE of that half at the old temperature.
    p = drawn(3, count=200, sharpness=4.0)
    fitted, measured = split_halves(p)
    targets = p.targets.copy()
    inside = np.isin(p.ids, measured.ids)
    targets[inside] = (targets[inside] + 1) % 4
    changed = Predictions(p.logits, targets, p.ids)
    temperature = fit_temperature(fitted.logits, fitted.targets)
    expected = Ece()(
        Predictions(measured.logits / temperature, split_halves(changed)[1].targets, measured.ids)
    )
    assert EceAfterTemperature()(changed) == pytest.approx(expected, abs=1e-12)


def test_overconfident_logits_become_calibrated():
    p = drawn(4, count=8000, sharpness=5.0)
    assert Ece()(p) > 0.15
    assert EceAfterTemperature()(p) < 0.03


def test_one_sample_can_not_be_split():
    with pytest.raises(DataError, match="at least two"):
        EceAfterTemperature()(Predictions(np.zeros((1, 2)), np.zeros(1, dtype=np.int64), ["a"]))
