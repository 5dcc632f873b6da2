"""Corruption errors: closed forms, the order trap, and what may not be missing."""

import numpy as np
import pytest

from harness.errors import DataError
from harness_robustness.corruption_errors import (
    ALEXNET_CLEAN_ERROR,
    ALEXNET_ERROR,
    IMAGENET_C,
    corruption_errors,
    mean_corruption_error,
    mean_error,
    relative_mean_corruption_error,
)


def test_alexnet_is_100_by_both_measures_and_half_its_errors_50():
    assert mean_corruption_error(ALEXNET_ERROR) == pytest.approx(100)
    assert relative_mean_corruption_error(ALEXNET_ERROR, ALEXNET_CLEAN_ERROR) == pytest.approx(100)
    half = {name: error / 2 for name, error in ALEXNET_ERROR.items()}
    assert mean_corruption_error(half) == pytest.approx(50)
    assert all(v == pytest.approx(50) for v in corruption_errors(half, ALEXNET_ERROR).values())


def test_the_table_is_the_published_one():
    assert tuple(ALEXNET_ERROR) == IMAGENET_C
    assert np.mean(list(ALEXNET_ERROR.values())) == pytest.approx(0.788993, abs=1e-6)


def test_the_order_of_corruptions_never_matters():
    rng = np.random.default_rng(0)
    errors = {name: list(rng.uniform(0.2, 0.9, 5)) for name in IMAGENET_C}
    expected = mean_corruption_error(errors)
    for _ in range(5):
        names = rng.permutation(IMAGENET_C)
        assert mean_corruption_error({str(n): errors[n] for n in names}) == pytest.approx(expected)
    # The trap: AlexNet's list beside a regrouped list of names (blur before noise, say).
    regrouped = [*IMAGENET_C[3:7], *IMAGENET_C[:3], *IMAGENET_C[7:]]
    by_order = dict(zip(regrouped, ALEXNET_ERROR.values()))
    assert by_order.keys() == ALEXNET_ERROR.keys()
    assert abs(mean_corruption_error(errors, by_order) - expected) > 0.01
    assert abs(mean_corruption_error(ALEXNET_ERROR, by_order) - 100) > 0.1


def test_sums_are_divided_not_severities():
    # Σ-ratio (0.1 + 0.9) / (0.2 + 0.8) = 1, the mean of ratios is (0.5 + 1.125) / 2.
    errors, normaliser = {"fog": [0.1, 0.9]}, {"fog": [0.2, 0.8]}
    assert mean_corruption_error(errors, normaliser) == pytest.approx(100)
    assert np.mean([0.1 / 0.2, 0.9 / 0.8]) == pytest.approx(0.8125)
    # Over corruptions it is the mean of ratios: (50 + 200) / 2, while the ratio of sums is 80.
    errors, normaliser = {"fog": 0.2, "snow": 0.2}, {"fog": 0.4, "snow": 0.1}
    assert mean_corruption_error(errors, normaliser) == pytest.approx(125)


def test_relative_mce_by_hand():
    value = relative_mean_corruption_error(
        {"fog": [0.3, 0.5], "snow": [0.4, 0.4]}, 0.2, {"fog": [0.6, 0.8], "snow": [0.9, 0.9]}, 0.5
    )
    assert value == pytest.approx(100 * np.mean([0.2 / 0.2, 0.2 / 0.4]))
    # A model that corruption does not hurt has none, however large its clean error.
    unhurt = dict.fromkeys(IMAGENET_C, 0.7)
    assert relative_mean_corruption_error(unhurt, 0.7) == pytest.approx(0)
    assert mean_corruption_error(unhurt) > 80


def test_any_model_can_be_the_normaliser():
    rng = np.random.default_rng(1)
    own = {name: list(rng.uniform(0.2, 0.9, 3)) for name in ("blur", "noise")}
    assert mean_corruption_error(own, own) == pytest.approx(100)
    assert relative_mean_corruption_error(own, 0.1, own, 0.1) == pytest.approx(100)


def test_missing_and_extra_corruptions_are_refused_by_name():
    errors = dict(ALEXNET_ERROR)
    del errors["fog"]
    for compute in (mean_corruption_error, lambda e: relative_mean_corruption_error(e, 0.2)):
        with pytest.raises(DataError, match="no errors for 'fog'"):
            compute(errors)
        with pytest.raises(DataError, match="'speckle_noise' not among the normaliser's 15 corruptions"):
            compute({**ALEXNET_ERROR, "speckle_noise": 0.5})
        with pytest.raises(DataError, match="did you mean 'jpeg_compression'"):
            compute({**errors, "jpeg_compresion": 0.5})


def test_what_can_not_be_divided_is_refused():
    with pytest.raises(DataError, match="makes no errors on 'fog'"):
        corruption_errors({"fog": 0.1}, {"fog": 0.0})
    with pytest.raises(DataError, match="loses nothing to 'fog'"):
        relative_mean_corruption_error({"fog": 0.1}, 0.05, {"fog": 0.3}, 0.3)
    # 1 − 0.56 and the mean of five errors around it differ in the last bit, which is no loss to divide by
    same = [1 - accuracy for accuracy in (0.57, 0.59, 0.55, 0.57, 0.52)]
    assert 0 < np.mean(same) - (1 - 0.56) < 1e-12
    with pytest.raises(DataError, match="loses nothing to 'fog'"):
        relative_mean_corruption_error({"fog": 0.1}, 0.05, {"fog": same}, 1 - 0.56)
    with pytest.raises(DataError, match="'fog' has 4 severities, its normaliser has 5"):
        corruption_errors({"fog": [0.1] * 4}, {"fog": [0.2] * 5})


def test_cifar_takes_the_plain_mean():
    errors = {"fog": [0.1, 0.2], "snow": [0.3, 0.6]}
    assert mean_error(errors) == pytest.approx(0.3)
    with pytest.raises(DataError, match="no errors for 'frost'"):
        mean_error(errors, ["fog", "snow", "frost"])
    with pytest.raises(DataError, match="same number of severities"):
        mean_error({"fog": [0.1, 0.2], "snow": [0.3]})
