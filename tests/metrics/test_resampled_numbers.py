"""Metrics of whole sets on resampled sets: what they say of sets in which samples occur as often as drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import Predictions
from harness_metrics.hierarchy import AccuracyPerLevel, HierarchicalPrecision, MistakeSeverity
from harness_metrics.ranking_recall import MedianRank
from harness_metrics.rankings import Rankings
from harness_metrics.seen_unseen import HarmonicMean, SeenUnseenPredictions

TREE = Path("ten-classes")


def draw_predictions(count=40):
    rng = np.random.default_rng(0)
    targets = np.arange(count) % 10
    said = np.where(rng.random(count) < 0.5, targets, rng.integers(10, size=count))
    names = [f"c{n}" for n in range(10)]
    return SeenUnseenPredictions(
        np.eye(10)[said], targets, [f"{n}" for n in range(count)], names, unseen=np.arange(10) > 6
    )


def copy_predictions(whole, rows):
    parts = (whole.logits[rows], whole.targets[rows], [f"{n}" for n in range(len(rows))], whole.class_names)
    return SeenUnseenPredictions(*parts, unseen=whole.unseen)


def draw_rankings(count=41):
    rng = np.random.default_rng(1)
    level = rng.integers(1, 5, count)
    ids = [f"{n}" for n in range(count)]
    before = rng.integers(0, 90, count)
    return Rankings(ids, ids, 100, np.arange(count + 1), before, level, np.ones(count, np.int64))


def copy_rankings(whole, rows):
    ids = [f"{n}" for n in range(len(rows))]
    ends = np.arange(len(rows) + 1)
    return Rankings(ids, ids, 100, ends, whole.before[rows], whole.level[rows], whole.relevant[rows])


@pytest.mark.parametrize(
    ("metric", "whole", "copy"),
    [
        (MedianRank(), draw_rankings(), copy_rankings),
        (MedianRank(), draw_rankings(40), copy_rankings),
        (HarmonicMean(), draw_predictions(), copy_predictions),
        (MistakeSeverity(TREE), draw_predictions(), copy_predictions),
        (HierarchicalPrecision(TREE), draw_predictions(), copy_predictions),
        (AccuracyPerLevel(TREE), draw_predictions(), copy_predictions),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weights_are_copies(metric, whole, copy):
    count = len(whole.ids)
    weights = np.random.default_rng(2).multinomial(count, np.full(count, 1 / count), size=30)
    weights[0] = 1
    found = metric.resampled(whole, weights)
    columns = found if isinstance(found, dict) else {"": found}
    for number, row in enumerate(weights):
        value = metric(copy(whole, np.repeat(np.arange(count), row)))
        expected = value if isinstance(value, dict) else {"": value}
        assert {name: column[number] for name, column in columns.items()} == pytest.approx(expected)


def test_a_set_without_mistakes_has_no_severity():
    whole = draw_predictions()
    right = Predictions(np.eye(10), np.arange(10), [f"{n}" for n in range(10)], whole.class_names)
    assert MistakeSeverity(TREE).resampled(right, np.ones((3, 10), int)).tolist() == [0, 0, 0]
