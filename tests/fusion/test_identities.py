"""Identities of the scores that fusion reports, for predictions of any kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from harness.contract.evidence import Predictions
from harness_metrics.classification import Top1
from harness_metrics.f_scores import MacroRecall


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=3, max_size=60), st.integers(0, 2**32 - 1))
def test_accuracy_is_weighted_recall_and_micro_f1_and_macro_recall_is_balanced_accuracy(
    more: list[int], seed: int
) -> None:
    targets = np.array([0, 1, 2, *more])  # every class occurs, so balanced accuracy has all of them
    logits = np.random.default_rng(seed).normal(size=(len(targets), 3))
    p = Predictions(logits, targets, [str(i) for i in range(len(targets))])
    accuracy = Top1()(p)
    assert accuracy == pytest.approx(recall_score(targets, p.predicted, average="weighted"))
    assert accuracy == pytest.approx(f1_score(targets, p.predicted, average="micro"))
    assert MacroRecall()(p) == pytest.approx(balanced_accuracy_score(targets, p.predicted))
