"""From logits to the result of a cell: classes that several indices stand for, labels, failures."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.contract.evidence import Predictions
from harness.errors import DataError, Diverged, Unavailable
from harness.inference.evaluate import classification_result, compute_metrics, to_split_classes

RNG = np.random.default_rng(0)


def test_the_largest_of_several_indices_is_any_of_them_right() -> None:
    logits = RNG.normal(size=(500, 12))
    groups = [[0, 5, 7], [1], [2, 3], [11]]
    got = to_split_classes(logits, SimpleNamespace(label_indices=groups), "here")  # type: ignore[arg-type]
    inside = sorted(i for g in groups for i in g)
    winner = np.array(inside)[logits[:, inside].argmax(axis=1)]
    expected = [next(n for n, g in enumerate(groups) if w in g) for w in winner]
    assert got.argmax(axis=1).tolist() == expected
    assert got.shape == (500, 4)


def test_single_indices_are_a_selection() -> None:
    logits = RNG.normal(size=(5, 6))
    got = to_split_classes(logits, SimpleNamespace(label_indices=[[4], [0]]), "here")  # type: ignore[arg-type]
    np.testing.assert_array_equal(got, logits[:, [4, 0]])


def test_label_spaces_that_do_not_fit() -> None:
    logits = np.zeros((2, 3))
    with pytest.raises(
        DataError, match=r"^here: the data set's classes reach index 3, the model returns 3 logits"
    ):
        to_split_classes(logits, SimpleNamespace(label_indices=[[0], [3]]), "here")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^here: the model returns 3 logits, the data set has 2 classes"):
        to_split_classes(logits, SimpleNamespace(class_names=["a", "b"]), "here")  # type: ignore[arg-type]
    assert to_split_classes(logits, SimpleNamespace(), "here") is logits  # type: ignore[arg-type]


class Right:
    higher_is_better = True

    def __call__(self, evidence: Predictions) -> float:
        return float((evidence.predicted == evidence.targets).mean())

    def per_sample(self, evidence: Predictions) -> Any:
        return evidence.predicted == evidence.targets


def job(**metrics: Any) -> Any:
    remarks: list[str] = []
    cell = SimpleNamespace(dataset=SimpleNamespace(label="pets"), evidence_id="0" * 20)
    return SimpleNamespace(metrics=metrics, cell=cell, failures={}, remarks=remarks, remark=remarks.append)


def predictions(logits: Any, targets: Any) -> Predictions:
    return Predictions(np.asarray(logits, float), np.asarray(targets), [f"s{n}" for n in range(len(targets))])


def test_a_result_has_one_row_per_sample() -> None:
    result = classification_result(
        job(top1=Right()), predictions([[2, 1], [0, 3], [1, 0]], [0, 0, 0]), cost={"x": 1.0}
    )
    assert result.metrics == {"top1": pytest.approx(2 / 3)}
    assert result.count == 3
    assert result.samples is not None
    assert result.samples["id"] == ["s0", "s1", "s2"]
    assert result.samples["top1"].tolist() == [1.0, 0.0, 1.0]
    assert result.samples["prediction"].tolist() == [0, 1, 0]
    np.testing.assert_allclose(result.samples["confidence"], 1 / (1 + np.exp([-1.0, -3.0, -1.0])), rtol=1e-6)
    assert (result.status, result.cost) == ("ok", {"x": 1.0})


@pytest.mark.parametrize("label", [-1, 2, 99])
def test_a_label_outside_the_class_list_names_the_sample(label: int) -> None:
    with pytest.raises(
        DataError, match=rf"^pets: sample 's1' has label {label}, the class list has 2 entries"
    ):
        classification_result(job(), predictions([[0, 1]] * 3, [0, label, 1]))


def test_an_empty_split() -> None:
    with pytest.raises(DataError, match=r"^pets: the split has no samples"):
        classification_result(job(), predictions(np.zeros((0, 2)), np.zeros(0, int)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_diverged_whatever_metrics_make_of_them(value: float) -> None:
    class Strict:
        def __call__(self, evidence: Predictions) -> float:
            raise ValueError("Input contains NaN")

    result = classification_result(job(strict=Strict()), predictions([[0, value], [1, 0]], [0, 1]))
    assert (result.status, result.reason) == ("diverged", "the logits are not finite")


def test_metrics_of_several_numbers_and_failing_ones() -> None:
    got = compute_metrics(job(f1=lambda e: {"a": 1, "f1.b": 0.5}, n=lambda e: np.float32(2)), None)
    assert got == {"f1.a": 1.0, "f1.b": 0.5, "n": 2.0}

    def fails(evidence: Any) -> float:
        raise ZeroDivisionError("no samples")

    some = job(
        bad=fails, n=lambda e: 2.0, none=lambda e: None, text=lambda e: "1.0", part=lambda e: {"a": 1, "b": "x"},
        array=lambda e: np.zeros(3), leaves=lambda e: sys.exit(3), nan=lambda e: float("nan"),
    )  # fmt: skip
    got = compute_metrics(some, None)
    assert {k: v for k, v in got.items() if v == v} == {"n": 2.0, "part.a": 1.0}
    assert set(got) - {"n", "part.a"} == {"nan"}
    assert some.remarks == ["metric 'nan' returned NaN, not a number"]
    assert set(some.failures) == {"bad", "none", "text", "part.b", "array", "leaves"}
    assert str(some.failures["bad"]) == "metric 'bad' failed: ZeroDivisionError: no samples"
    assert "'1.0', not a number" in str(some.failures["text"])


def test_what_concerns_the_whole_cell_is_raised() -> None:
    for error in (Unavailable("no weights"), Diverged("gone"), RuntimeError("CUDA out of memory")):

        def fails(evidence: Any, error: Exception = error) -> float:
            raise error

        with pytest.raises(type(error)):
            compute_metrics(job(bad=fails), None)
