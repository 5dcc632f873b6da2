"""A training that two processes share has the record of one that runs alone."""

from __future__ import annotations

import pytest

from tests.training.conftest import Training

NORMALISED = {"plugin": "small-cnn", "channels": [4, 8], "normalisation": "batch-norm"}


def test_two_processes_have_the_record_of_one(training: Training) -> None:
    # not Adam, which makes steps of the noise in a gradient that is 0, such as that of a bias before batch norm
    method = {"optimizer": "sgd", "rate": 0.05, "augmentation": ["flip"], "ema": 0.8, "patience": 3}
    one = training.change(method, {"models": [NORMALISED]}, steps=9, peek=True)
    two = one.change(devices=2)
    (expected,), (found,) = one.run_ok(), two.run_ok()
    numbers, own = one.numbers(expected), two.numbers(found)
    assert own.keys() == numbers.keys()
    for name, value in numbers.items():
        assert own[name] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), name
    assert found.notes == expected.notes
    assert found.remarks == expected.remarks
