"""Macro and weighted scores against torchmetrics, closed forms and identities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from harness.contract.evidence import Predictions
from harness.errors import DataError
from harness_metrics.classification import MeanPerClass, Top1
from harness_metrics.f_scores import F1PerClass, MacroF1, MacroPrecision, MacroRecall, WeightedF1


def predictions(predicted, targets, classes=3, names=()):
    logits = np.eye(classes)[np.asarray(predicted)]
    return Predictions(logits, np.asarray(targets), [f"s{i}" for i in range(len(targets))], names)


@st.composite
def random_predictions(draw):
    classes, count = draw(st.integers(2, 6)), draw(st.integers(1, 50))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return predictions(rng.integers(0, classes, count), rng.integers(0, classes, count), classes)


@settings(max_examples=60, deadline=None)
@given(random_predictions())
def test_scores_agree_with_torchmetrics(given_predictions):
    p = given_predictions
    predicted, targets = torch.from_numpy(p.predicted), torch.from_numpy(p.targets)
    for metric, function, average in (
        (MacroPrecision(), multiclass_precision, "macro"),
        (MacroRecall(), multiclass_recall, "macro"),
        (MacroF1(), multiclass_f1_score, "macro"),
        (WeightedF1(), multiclass_f1_score, "weighted"),
    ):
        expected = function(predicted, targets, num_classes=p.logits.shape[1], average=average)
        assert metric(p) == pytest.approx(float(expected), abs=1e-6)
    each = multiclass_f1_score(predicted, targets, num_classes=p.logits.shape[1], average="none")
    for label, score in F1PerClass()(p).items():
        assert score == pytest.approx(float(each[int(label)]), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(random_predictions())
def test_macro_recall_is_balanced_accuracy_and_averages_are_of_the_classes(given_predictions):
    p = given_predictions
    per_class = F1PerClass()(p)
    assert MacroF1()(p) == pytest.approx(np.mean(list(per_class.values())))
    support = np.bincount(p.targets, minlength=p.logits.shape[1])
    weighted = sum(score * support[int(c)] for c, score in per_class.items()) / len(p)
    assert WeightedF1()(p) == pytest.approx(weighted)
    if set(p.predicted) <= set(p.targets):
        assert MacroRecall()(p) == pytest.approx(MeanPerClass()(p))


def test_scores_by_hand_and_names():
    # class a: TP 2, FP 1, FN 0; class b: TP 1, FP 0, FN 1; class c neither said nor meant
    p = predictions([0, 0, 0, 1], [0, 0, 1, 1], names=["a", "b", "c"])
    assert MacroPrecision()(p) == pytest.approx((2 / 3 + 1) / 2)
    assert MacroRecall()(p) == pytest.approx((1 + 1 / 2) / 2)
    assert F1PerClass()(p) == pytest.approx({"a": 4 / 5, "b": 2 / 3})
    assert WeightedF1()(p) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_classes_of_one_name_are_told_apart():
    p = predictions([0, 0, 2, 1], [0, 2, 2, 1], names=["missile", "cat", "missile"])
    scores = F1PerClass()(p)
    assert scores == pytest.approx({"missile (0)": 2 / 3, "cat": 1.0, "missile (2)": 2 / 3})
    assert MacroF1()(p) == pytest.approx(np.mean(list(scores.values())))


def test_one_class_said_always_is_the_majority_row():
    p = predictions([1] * 10, [1] * 6 + [0] * 3 + [2])
    assert Top1()(p) == pytest.approx(0.6)
    assert MacroRecall()(p) == pytest.approx(1 / 3)
    assert WeightedF1()(p) == pytest.approx(0.6 * 0.75)  # 2·0.6·1/(0.6 + 1) = 0.75


def test_meaningless_predictions_are_refused():
    for metric in (MacroPrecision(), MacroRecall(), MacroF1(), WeightedF1(), F1PerClass()):
        with pytest.raises(DataError, match="target 5"):
            metric(predictions([0, 1], [0, 5]))
