"""Calibration of scores: closed forms, and weights of images."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness_dense.detection_calibration import DetectionCalibration, sum_by_score
from harness_dense.detections import Detections

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
NOWHERE = (700.0, 700.0, 800.0, 800.0)
Make = Callable[..., Detections]


def test_gap_between_precision_and_score(by_hand: Make) -> None:
    """Scores .75 with two right of four are .25 off, a score of .1 that is wrong .1: (4·.25 + .1)/5."""
    image = ([(A, 0.75), (B, 0.75), (NOWHERE, 0.75), (NOWHERE, 0.75), (NOWHERE, 0.1)], [(A,), (B,)])
    assert DetectionCalibration()(by_hand(image)) == pytest.approx(1.1 / 5)
    assert DetectionCalibration(bins=1)(by_hand(image)) == pytest.approx(abs(2 - 3.1) / 5)


def test_scores_of_0_and_1_are_in_the_outer_bins(by_hand: Make) -> None:
    bins = sum_by_score(by_hand(([(A, 1.0), (NOWHERE, 0.0)], [(A,)])), bins=4)
    assert bins.found.tolist() == [[1, 0, 0, 1]]
    assert bins.right.tolist() == [[0, 0, 0, 1]]
    assert bins.scores.tolist() == [[0, 0, 0, 1]]


def test_what_matches_crowds_does_not_count(by_hand: Make) -> None:
    image = ([(A, 0.5), ((10.0, 10.0, 50.0, 50.0), 0.9)], [(A,)])
    with pytest.raises(DataError, match="nothing that counts was found"):
        DetectionCalibration()(by_hand(image, crowd=[A]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), bins=st.integers(1, 12))
def test_error_by_hand_and_weights_as_repeated_images(seed: int, bins: int, draw_set: Make) -> None:
    """Bin by bin from the hits of AP50, which pycocotools confirms."""
    from harness_dense.matching import match_objects

    evidence = draw_set(seed, distinct=True)
    if not len(evidence.scores):
        return
    matches = match_objects(evidence)
    hit, counts = np.zeros(len(matches.rows), bool), np.ones(len(matches.rows), bool)
    hit[matches.places], counts[matches.places] = matches.hit & np.uint64(1), ~matches.spared & np.uint64(1)
    if not counts.any():
        return
    scores, hit = evidence.scores[matches.rows][counts], hit[counts]
    edges = np.linspace(0, 1, bins + 1)
    inside = [(scores >= low) & (scores < high) for low, high in pairwise(edges)]
    gaps = [abs(hit[part].mean() - scores[part].mean()) * part.mean() for part in inside if part.any()]
    metric = DetectionCalibration(bins)
    if not np.isin(scores, edges).any():  # where rounding decides
        assert metric(evidence) == pytest.approx(sum(gaps))
    weights = np.random.default_rng(seed).multinomial(8, np.ones(8) / 8)
    repeated = evidence.select(np.repeat(np.arange(8), weights), [f"{n}" for n in range(8)])
    value = metric.resampled(evidence, weights[None])[0]
    if not np.isnan(value):
        assert value == pytest.approx(metric(repeated), abs=1e-12)


def test_what_makes_no_sense(by_hand: Make) -> None:
    with pytest.raises(DataError, match=r"image '1' has a score of 1\.5"):
        DetectionCalibration()(by_hand(([], [(A,)]), ([(A, 1.5)], [])))
    with pytest.raises(OptionError, match="bins must be"):
        DetectionCalibration(bins=0)
    with pytest.raises(OptionError, match="iou must be"):
        DetectionCalibration(iou="bbox")  # type: ignore[arg-type]
