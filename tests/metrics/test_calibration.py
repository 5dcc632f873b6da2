"""Calibration metrics against torchmetrics, scikit-learn, closed forms and the known traps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from harness.contract.evidence import Predictions
from harness.errors import OptionError
from harness_metrics.calibration import Brier, Ece, Nll, RmsCalibrationError, calibration_error


def random_predictions(seed, classes=5, count=300, scale=2.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (count, classes))
    targets = np.where(rng.random(count) < 0.5, logits.argmax(1), rng.integers(0, classes, count))
    return Predictions(logits, targets, [str(i) for i in range(count)])


def binary(confidence, correct):
    """Two-class predictions whose predicted class has exactly about this confidence (> 0.5)."""
    confidence = np.asarray(confidence)
    logits = np.stack([np.log(confidence), np.log1p(-confidence)], axis=1)
    targets = 1 - np.asarray(correct, dtype=np.int64)
    return Predictions(logits, targets, [str(i) for i in range(len(targets))])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 10, 15, 40]), st.sampled_from(["l1", "l2", "max"]))
def test_equal_width_bins_agree_with_torchmetrics(seed, bins, norm):
    p = random_predictions(seed)
    expected = multiclass_calibration_error(
        torch.from_numpy(p.probabilities), torch.from_numpy(p.targets), num_classes=5, n_bins=bins, norm=norm
    )
    assert Ece(bins, norm)(p) == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_brier_and_nll_agree_with_sklearn(seed, classes):
    p = random_predictions(seed, classes=classes)
    labels = list(range(classes))
    assert Nll()(p) == pytest.approx(log_loss(p.targets, p.probabilities, labels=labels), abs=1e-9)
    expected = ((p.probabilities - np.eye(classes)[p.targets]) ** 2).sum(1).mean()
    assert Brier()(p) == pytest.approx(expected, abs=1e-12)
    if classes == 2:
        assert Brier()(p) == pytest.approx(2 * brier_score_loss(p.targets, p.probabilities[:, 1]), abs=1e-12)
    assert Nll().per_sample(p).mean() == Nll()(p)
    assert Brier().per_sample(p).mean() == Brier()(p)


def test_the_bin_of_most_confidence_is_kept():
    # 100 at 0.5, half right, and 100 at 0.99, all wrong: a loop over len(bins) - 1 sees no error.
    confidence = np.repeat([0.5, 0.99], 100)
    correct = np.concatenate([np.repeat([0, 1], 50), np.zeros(100)])
    dropped_last = abs(correct[:100].mean() - confidence[:100].mean())
    assert dropped_last == 0
    assert calibration_error(confidence, correct, 2, "l2", "mass") == pytest.approx(0.700, abs=5e-4)
    assert calibration_error(confidence, correct, 15, "l2", "width") == pytest.approx(0.99 / np.sqrt(2))
    assert calibration_error(confidence, correct, 15, "l1") == pytest.approx(0.495)
    assert calibration_error(confidence, correct, 15, "max") == pytest.approx(0.99)


def test_confidences_at_zero_one_and_the_edges_belong_to_the_lower_bin():
    # (lo, hi]: 0.2 shares a bin with 0.1, not with 0.3. In its own bin with 0.3 the sum would differ.
    assert calibration_error([0.1, 0.2, 0.3], [1, 0, 1], bins=5) == pytest.approx((abs(1 - 0.3) + 0.7) / 3)
    for bins in (1, 5, 10, 15, 20):
        edges = np.arange(bins + 1) / bins
        own_bin = np.concatenate([[0], np.arange(bins)])  # 0 joins (0, 1/bins]
        correct = np.arange(bins + 1) % 2
        gaps = [abs((correct[own_bin == b] - edges[own_bin == b]).sum()) / (bins + 1) for b in range(bins)]
        assert calibration_error(edges, correct, bins) == pytest.approx(sum(gaps))
    assert calibration_error([0.0], [0]) == 0
    assert calibration_error([0.0], [1]) == 1
    assert calibration_error([1.0], [1]) == 0
    assert calibration_error([1.0], [0]) == 1


def test_calibrated_confidence_has_no_error_and_confident_mistakes_have_all():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 200_000)
    correct = rng.random(200_000) < confidence
    for norm, binning in (("l1", "width"), ("l2", "mass"), ("l1", "mass")):
        assert calibration_error(confidence, correct, 15, norm, binning) < 0.01
    wrong = Predictions(np.array([[1000.0, 0.0]] * 7), np.ones(7, dtype=np.int64), list("abcdefg"))
    assert Ece()(wrong) == 1.0
    assert RmsCalibrationError()(wrong) == 1.0
    assert Brier()(wrong) == 2.0
    assert Nll()(wrong) == 1000.0


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_sample_order_never_matters_even_with_ties(binning):
    rng = np.random.default_rng(1)
    confidence = rng.choice([0.3, 0.5, 0.55, 0.9, 1.0], 101)
    correct = rng.integers(0, 2, 101)
    value = calibration_error(confidence, correct, 15, "l1", binning)
    for _ in range(5):
        order = rng.permutation(101)
        assert calibration_error(confidence[order], correct[order], 15, "l1", binning) == pytest.approx(value)


def test_bins_of_equal_mass_without_ties_are_groups_of_sorted_samples():
    rng = np.random.default_rng(2)
    confidence = rng.permutation(np.linspace(0.01, 0.99, 60))
    correct = rng.integers(0, 2, 60)
    order = np.argsort(confidence)
    groups = np.split(order, 6)
    expected = np.mean([abs(correct[g].mean() - confidence[g].mean()) for g in groups])
    assert calibration_error(confidence, correct, 6, "l1", "mass") == pytest.approx(expected)


def test_all_tied_confidences_make_one_bin():
    assert calibration_error([0.5] * 10, [1, 0] * 5, 15, "l1", "mass") == 0.0


def test_metrics_read_confidence_and_correctness_from_predictions():
    p = binary([0.9, 0.9, 0.8, 0.6], [1, 0, 1, 1])
    assert Ece(10)(p) == pytest.approx((abs(1 - 1.8) + 0.2 + 0.4) / 4)
    assert Nll()(p) == pytest.approx(-np.log([0.9, 0.1, 0.8, 0.6]).mean())
    assert Brier()(p) == pytest.approx(2 * np.mean([0.01, 0.81, 0.04, 0.16]))


def test_the_scale_of_logits_moves_calibration_but_not_the_answer():
    p = random_predictions(3)
    hot = Predictions(p.logits * 100, p.targets, p.ids)
    assert (hot.predicted == p.predicted).all()
    assert Ece()(hot) > Ece()(p)


@pytest.mark.parametrize("options", [{"bins": 0}, {"norm": "l3"}, {"binning": "equal"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(OptionError, match="ece"):
        Ece(**options)
