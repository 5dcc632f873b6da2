"""Accuracy metrics against torchmetrics, scikit-learn, closed forms and invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy

from harness.contract.evidence import Predictions
from harness.errors import DataError, OptionError
from harness_metrics.classification import MeanPerClass, Top1, Top5, TopK
from harness_metrics.prediction_checks import restrict_to_classes


def predictions(logits, targets):
    logits = np.asarray(logits)
    return Predictions(logits, np.asarray(targets, dtype=np.int64), [f"s{i}" for i in range(len(logits))])


@st.composite
def random_predictions(draw, most_classes=8):
    classes = draw(st.integers(2, most_classes))
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.1, 1.0, 10.0]))
    return predictions(rng.normal(0, scale, (count, classes)), rng.integers(0, classes, count))


@settings(max_examples=60, deadline=None)
@given(random_predictions(), st.integers(1, 8))
def test_top_k_agrees_with_torchmetrics(given_predictions, k):
    classes = given_predictions.logits.shape[1]
    expected = multiclass_accuracy(
        torch.from_numpy(given_predictions.logits),
        torch.from_numpy(given_predictions.targets),
        num_classes=classes,
        average="micro",
        top_k=min(k, classes),
    )
    assert TopK(k)(given_predictions) == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(random_predictions())
def test_top_k_and_mean_per_class_agree_with_sklearn(given_predictions):
    p = given_predictions
    classes = p.logits.shape[1]
    if classes > 2:
        expected = top_k_accuracy_score(p.targets, p.logits, k=2, labels=range(classes))
        assert TopK(2)(p) == pytest.approx(expected, abs=1e-12)
    present = np.unique(p.targets)
    recalls = [(p.predicted[p.targets == c] == c).mean() for c in present]
    assert MeanPerClass()(p) == pytest.approx(np.mean(recalls), abs=1e-12)
    if len(present) > 1 and set(p.predicted) <= set(present):  # scikit-learn warns otherwise
        assert MeanPerClass()(p) == pytest.approx(balanced_accuracy_score(p.targets, p.predicted), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(random_predictions())
def test_the_mean_of_per_sample_is_the_metric_and_counts_whole_samples(given_predictions):
    for metric in (Top1(), Top5(), TopK(3)):
        right = metric.per_sample(given_predictions)
        assert set(np.unique(right)) <= {0.0, 1.0}
        assert metric(given_predictions) == right.mean()
        total = metric(given_predictions) * len(given_predictions)
        assert abs(total - round(total)) < 1e-9


def test_k_beyond_the_number_of_classes_counts_every_sample():
    assert Top5()(predictions([[0.0, 1.0, 2.0]] * 4, [0, 1, 2, 0])) == 1.0
    assert TopK(3)(predictions([[0.0, 1.0, 2.0]], [0])) == 1.0
    assert TopK(2)(predictions([[0.0, 1.0, 2.0]], [0])) == 0.0


def test_equal_logits_count_once():
    # Duplicate class names give exactly equal logits; only the first of the pair may be right.
    tied = predictions([[5.0, 5.0, 1.0], [5.0, 5.0, 1.0]], [0, 1])
    assert Top1().per_sample(tied).tolist() == [1.0, 0.0]
    constant = predictions(np.zeros((4, 4)), [0, 1, 2, 3])
    for k in range(1, 5):
        assert TopK(k)(constant) == k / 4


@settings(max_examples=30, deadline=None)
@given(random_predictions())
def test_top_k_is_top_1_at_one_and_grows_with_k(given_predictions):
    values = [TopK(k)(given_predictions) for k in range(1, 10)]
    assert values[0] == Top1()(given_predictions)
    assert values == sorted(values)


def test_mean_per_class_equals_top1_when_balanced_and_ignores_absent_classes():
    rng = np.random.default_rng(0)
    balanced = predictions(rng.normal(size=(60, 4)), np.repeat(np.arange(4), 15))
    assert MeanPerClass()(balanced) == pytest.approx(Top1()(balanced), abs=1e-12)
    # Class 0: 1 of 2 right, class 1: 1 of 1, class 2 has no samples.
    skewed = predictions([[1, 0, 0], [0, 1, 0], [0, 1, 0]], [0, 0, 1])
    assert MeanPerClass()(skewed) == 0.75
    assert Top1()(skewed) == pytest.approx(2 / 3)


@settings(max_examples=40, deadline=None)
@given(random_predictions(), st.data())
def test_slicing_is_masking_and_only_raises_accuracy(given_predictions, data):
    p = given_predictions
    classes = p.logits.shape[1]
    subset = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True))
    inside = np.isin(p.targets, subset)
    if not inside.any():
        return
    sliced = restrict_to_classes(p, subset)
    masked = np.full_like(p.logits, -np.inf)
    masked[:, subset] = p.logits[:, subset]
    by_mask = predictions(masked[inside], p.targets[inside])
    before = predictions(p.logits[inside], p.targets[inside])
    assert Top1()(sliced) == Top1()(by_mask)
    assert Top1()(sliced) >= Top1()(before)
    assert list(sliced.ids) == [i for i, keep in zip(p.ids, inside) if keep]


def test_restrict_moves_labels_and_names():
    p = Predictions(np.eye(3), np.array([0, 1, 2]), ["a", "b", "c"], ["cat", "dog", "eel"])
    part = restrict_to_classes(p, [2, 0])
    assert list(part.class_names) == ["eel", "cat"]
    assert part.targets.tolist() == [1, 0]
    assert list(part.ids) == ["a", "c"]
    assert Top1()(part) == 1.0
    for wrong in ([], [0, 0], [3], [-1]):
        with pytest.raises(DataError, match="class subset"):
            restrict_to_classes(p, wrong)


@pytest.mark.parametrize("metric", [Top1(), Top5(), MeanPerClass()])
def test_meaningless_predictions_are_refused_by_name(metric):
    with pytest.raises(DataError, match="no samples"):
        metric(predictions(np.zeros((0, 3)), []))
    with pytest.raises(DataError, match="'s1' has target 3"):
        metric(predictions(np.zeros((2, 3)), [0, 3]))
    with pytest.raises(DataError, match="'s1' has a logit that is NaN"):
        metric(predictions([[0.0, 1.0], [np.nan, 0.0]], [0, 0]))
    with pytest.raises(DataError, match="expected logits N×C"):
        metric(predictions(np.zeros((2, 3)), [0]))


def test_k_must_be_positive():
    with pytest.raises(OptionError, match="at least 1"):
        TopK(0)
