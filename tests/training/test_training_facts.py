"""What trainings must show: labels learnt by heart tell nothing of others, and measures agree with answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import harness
from tests.training.conftest import Training, draw_images

MLP = {"plugin": "mlp", "hidden": [64]}


def test_shuffled_labels_are_learnt_by_heart_and_tell_nothing(training: Training) -> None:
    """Zhang et al., ICLR 2017: the network fits labels drawn by lot; on test images it is at chance."""
    train, test = draw_images(90, "train"), draw_images(300, "test")
    lots = np.random.default_rng(0)
    train = replace(train, targets=lots.permutation(train.targets))
    test = replace(test, targets=lots.permutation(test.targets))
    own = training.use(train=train, test=test).change(
        {"optimizer": "adam", "rate": 3e-3}, {"models": [MLP], "limit": None}, steps=400, holdout=0
    )
    (record,) = own.run_ok()
    assert record.metrics["top1.train"] == 1
    assert record.metrics["top1"] == pytest.approx(1 / 3, abs=3 * (2 / 9 / 300) ** 0.5)
    assert record.metrics["gap"] == pytest.approx(1 - record.metrics["top1"])


def test_measures_agree_with_the_answers(bars: Training) -> None:
    """The trace of the confusion matrix is the number of right answers; the five likeliest of three classes hold it."""
    own = bars.change(suite={"metrics": ["top1", "top5"]})
    (record,) = own.run_ok()
    samples = harness.Store(own.folder / "store").samples(record.id)
    assert samples is not None
    matrix = np.zeros((3, 3))
    np.add.at(matrix, (samples["target"], samples["prediction"]), 1)
    assert np.trace(matrix) == pytest.approx(record.metrics["top1"] * record.count)
    assert record.metrics["top5"] == 1
