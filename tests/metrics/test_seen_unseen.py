"""Seen and unseen classes: H in closed form, against balanced accuracy, and evidence that keeps its mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from harness.contract.evidence import Predictions
from harness.errors import DataError
from harness_metrics.classification import Top1
from harness_metrics.seen_unseen import HarmonicMean, SeenUnseenPredictions


def evidence(predicted, targets, unseen):
    logits = np.eye(len(unseen))[np.asarray(predicted)]
    ids = [f"s{n}" for n in range(len(targets))]
    return SeenUnseenPredictions(logits, np.asarray(targets), ids, unseen=np.asarray(unseen))


def test_the_harmonic_mean_of_eight_and_two_tenths():
    # 4 of 5 of the seen class, 1 of 5 of the unseen one
    found = HarmonicMean()(evidence([0] * 4 + [1] + [1] + [0] * 4, [0] * 5 + [1] * 5, [False, True]))
    assert found == pytest.approx({"seen": 0.8, "unseen": 0.2, "harmonic": 0.32})
    none = HarmonicMean()(evidence([0] * 5 + [0] * 5, [0] * 5 + [1] * 5, [False, True]))
    assert none == {"seen": 1, "unseen": 0, "harmonic": 0}


def test_classes_count_alike_whatever_their_size():
    # class 0: 1 of 1, class 1: 0 of 3: the mean over classes is one half, over samples a quarter
    found = HarmonicMean()(evidence([0, 2, 2, 2, 2], [0, 1, 1, 1, 2], [False, False, True]))
    assert found == pytest.approx({"seen": 0.5, "unseen": 1, "harmonic": 2 / 3})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 40))
def test_agrees_with_scikit_learn(seed, classes, count):
    rng = np.random.default_rng(seed)
    unseen = np.arange(classes) >= rng.integers(1, classes)
    targets, predicted = rng.integers(0, classes, (2, count))
    targets[:2] = 0, classes - 1
    found = HarmonicMean()(evidence(predicted, targets, unseen))
    for name, side in (("seen", ~unseen), ("unseen", unseen)):
        labels = np.intersect1d(np.flatnonzero(side), targets)
        rows = side[targets]
        expected = recall_score(targets[rows], predicted[rows], labels=labels, average="macro")
        assert found[name] == pytest.approx(expected)
    s, u = found["seen"], found["unseen"]
    assert found["harmonic"] == pytest.approx(2 * s * u / (s + u) if s * u else 0)
    assert min(s, u) - 1e-12 <= found["harmonic"] <= max(s, u) + 1e-12 or s * u == 0


def test_without_a_side_or_a_mask_there_is_no_number():
    with pytest.raises(DataError, match="no samples of unseen classes"):
        HarmonicMean()(evidence([0], [0], [False, True]))
    with pytest.raises(DataError, match="`unseen` for each of 2 classes"):
        HarmonicMean()(SeenUnseenPredictions(np.eye(2), np.arange(2), ["a", "b"], unseen=np.ones(3, bool)))


def test_kept_and_joined_evidence_keeps_the_mask():
    whole = SeenUnseenPredictions.example(0.7, 3)
    again = SeenUnseenPredictions.unpack(whole.pack())
    assert HarmonicMean()(again) == HarmonicMean()(whole)
    joined = Predictions.concat([whole, again])
    assert isinstance(joined, SeenUnseenPredictions)
    assert len(joined) == 2 * len(whole)
    assert HarmonicMean()(joined) == pytest.approx(HarmonicMean()(whole))
    assert Top1()(joined) == pytest.approx(0.7)
