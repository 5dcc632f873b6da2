"""Numbers of two devices: what is within its tolerance, and that what is not fails by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.selftesting.comparison import LISTED, Pair, compare_sides, summarise
from harness.selftesting.memory import check_peaks
from harness.selftesting.outcomes import Side
from harness.selftesting.outputs import judge_outputs
from harness.selftesting.rows import Row, SelfTest
from harness.selftesting.same_draws import drawing_on_the_cpu

Make = Callable[..., Side]


def failures(device: Side, reference: Side, **options: Any) -> list[str]:
    return [row.check for row in compare_sides("part", device, reference, **options) if row.verdict == "FAIL"]


def test_the_same_numbers_are_all_equal(side: Make) -> None:
    rows = compare_sides("part", side(), side())
    assert {row.verdict for row in rows} == {"ok"}
    assert [row.device for row in rows[1:]] == ["all equal"] * 3
    assert all(row.facts["exact"] == row.facts["numbers"] for row in rows[1:])


@pytest.mark.parametrize(
    ("metrics", "wrong"),
    [
        ({"top1": 0.5, "nll": 2.0019}, False),  # a thousandth
        ({"top1": 0.5, "nll": 2.003}, True),
        ({"top1": 0.6, "nll": 2.0}, False),  # one of ten samples
        ({"top1": 0.7, "nll": 2.0}, True),
        ({"top1": 0.5, "nll": math.nan}, True),
        ({"top1": 0.5, "nll": math.inf}, True),
    ],
)
def test_metrics_of_a_frozen_network(side: Make, metrics: dict[str, float], wrong: bool) -> None:
    named = failures(side(metrics), side())
    assert bool(named) == wrong
    if wrong:
        odd = "nll" if metrics["top1"] == 0.5 else "top1"
        assert f"  cell: {odd}" in named


def test_a_share_of_many_samples_may_move_by_half_a_percent(side: Make) -> None:
    for moved, wrong in ((4, False), (5, False), (6, True)):
        device = side({"top1": 0.5 + moved / 1000}, count=1000)
        assert bool(failures(device, side({"top1": 0.5}, count=1000))) == wrong


def test_shares_within_bins_rest_on_fewer_samples(side: Make) -> None:
    for moved, wrong in ((0.024, False), (0.026, True)):
        assert bool(failures(side({"ece": 0.1 + moved}, count=1000), side({"ece": 0.1}, count=1000))) == wrong


def test_times_are_not_compared(side: Make) -> None:
    assert not failures(side({"seconds_per_step": 9.0}), side({"seconds_per_step": 1.0}))


@pytest.mark.parametrize(
    ("samples", "named"),
    [
        ({"prediction": [0] * 9 + [1]}, None),
        ({"prediction": [0] * 8 + [1, 1]}, "equal predictions"),
        ({"confidence": [0.5] * 9 + [0.5009]}, None),
        ({"confidence": [0.5] * 9 + [0.6]}, "confidences"),
        ({"confidence": [0.5] * 5 + [math.nan] + [0.5] * 4}, "confidences"),
        ({"id": [f"s{n}" for n in reversed(range(10))]}, "the column 'id' of its samples differs"),
        ({"target": [1] * 10}, "the column 'target' of its samples differs"),
    ],
)
def test_samples(side: Make, samples: dict[str, list[Any]], named: str | None) -> None:
    found = failures(side(**samples), side())
    assert (named is None and not found) or any(named in text for text in found if named)


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ({"status": "failed"}, "failed, on the CPU ok"),
        ({"count": 9}, "9 samples counted, on the CPU 10"),
        ({"metrics": {"top1": 0.5}}, "the metric 'nll' on one side only"),
    ],
)
def test_what_is_exact(side: Make, device: dict[str, Any], text: str) -> None:
    assert any(text in name for name in failures(side(**device), side()))
    assert any("not run on the device" in name for name in failures(Side(), side()))


def test_a_cell_that_fails_on_both_sides_is_no_success(side: Make) -> None:
    assert failures(side(status="failed"), side(status="failed"))
    assert not failures(side(status="skipped"), side(status="skipped"))


def curve(*values: float) -> dict[tuple[str, str], list[tuple[int, float]]]:
    return {("training", "loss"): [*enumerate(values, start=1)]}


def test_only_the_first_losses_of_a_training_are_judged(side: Make) -> None:
    reference = side({"top1": 0.9}, losses=curve(10, 9, 8, 7, 6, 5, 4))
    late = side({"top1": 0.1}, losses=curve(10, 9, 8, 7, 6, 50, 40))
    rows = compare_sides("part", late, reference)
    assert {row.verdict for row in rows} == {"ok", "note"}
    assert [row.tolerance for row in rows if row.verdict == "note"] == ["not compared: chaos"]
    near = side(losses=curve(10, 9, 8.09, 7, 6, 5, 4))  # within a hundredth of the largest, 0.1
    assert not failures(near, side(losses=curve(10, 9, 8, 7, 6, 5, 4)))
    far = side({"top1": 0.9}, losses=curve(10, 9, 8.11, 7, 6, 5, 4))
    assert failures(far, reference)[-1] == "  cell: training loss at 3"


def test_losses_of_other_steps_or_none_are_no_counterpart(side: Make) -> None:
    reference = side(losses=curve(3, 2, 1))
    shifted = side(losses={("training", "loss"): [(2, 3.0), (3, 2.0), (4, 1.0)]})
    assert failures(shifted, reference)
    assert failures(side(losses={}), reference)
    assert not failures(side(losses=curve(3, 2)), reference)  # stopped earlier
    without = {("training", "score"): [(1, 0.5)]}
    assert failures(side(losses={("training", "score"): [(1, 0.9)]}), side(losses=without))


def test_a_method_without_losses_has_wider_limits(side: Make) -> None:
    metrics = {"top1": 0.5, "nll": 2.09}
    assert not failures(side(metrics, method=object()), side(method=object()))
    assert failures(side(metrics), side())


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-6, 1e3))
def test_a_pair_is_judged_alike_from_both_sides(a: float, b: float, allowed: float) -> None:
    pair = Pair("x", a, b, allowed)
    assert pair.apart == Pair("x", b, a, allowed).apart
    assert (pair.apart <= 1.0) == (abs(a - b) <= allowed * (1 + 1e-12)) or math.isclose(abs(a - b), allowed)


def test_failures_are_listed_up_to_a_number() -> None:
    pairs = [Pair(f"n{n}", 2.0, 1.0, 0.1) for n in range(30)]
    rows = summarise("check", pairs, "0.1")
    assert len(rows) == 1 + LISTED
    assert rows[0].facts["beyond"] == 30
    assert summarise("check", [], "0.1") == []


def test_peak_memory_is_measured_and_fits(side: Make) -> None:
    for total, verdict in ((None, "ok"), (3 * 10**9, "ok"), (10**9, "FAIL")):
        (row,) = check_peaks("part", side(), side(), total)
        assert row.verdict == verdict
    bare = side()
    next(iter(bare.outcomes.values())).record.cost = {}
    assert [row.verdict for row in check_peaks("part", bare, side(), 10**10)] == ["FAIL"]
    assert check_peaks("part", side(status="skipped"), side(), None) == []


def test_outputs_are_judged_by_their_norm_and_predictions() -> None:
    expected = np.eye(20, dtype=np.float32)
    off = expected * np.float32(1 + 5e-5)
    row = judge_outputs("logits", off, expected, 1e-4, 0.995, True)
    assert row.verdict == "ok"
    assert row.facts["relative_error"] == pytest.approx(5e-5, rel=0.01)
    assert judge_outputs("logits", expected * 1.01, expected, 1e-4, 0.995, True).verdict == "FAIL"
    tipped = expected[[1, 0, *range(2, 20)]]  # two of twenty
    row = judge_outputs("logits", tipped, expected, 10.0, 0.95, True)
    assert row.verdict == "FAIL"
    assert row.facts["agreement"] == pytest.approx(0.9)
    assert judge_outputs("embeddings", tipped, expected, 10.0, 0.95, False).verdict == "ok"
    wrong = np.full_like(expected, np.nan)
    assert judge_outputs("logits", wrong, expected, 1.0, 0.5, True).verdict == "FAIL"
    assert judge_outputs("logits", expected[:5], expected, 1.0, 0.5, True).verdict == "FAIL"


def test_predictions_within_rounding_are_undecided() -> None:
    expected = np.array([[1.0, 0.999], [1.0, -1.0]] * 20, np.float32)
    found = np.array([[0.999, 1.0], [1.0, -1.0]] * 20, np.float32)
    assert judge_outputs("x", found, expected, 1e-2, 0.99, True).verdict == "FAIL"
    row = judge_outputs("x", found, expected, 1e-2, 0.99, True, rounding=2.0**-8)
    assert row.verdict == "ok"
    assert row.facts["predictions"] == 20


def test_dropout_draws_from_the_cpu_and_is_dropout() -> None:
    ones = torch.ones(100, 100)
    original = torch.nn.functional.dropout
    with drawing_on_the_cpu():
        layer = torch.nn.Dropout(0.25)
        torch.manual_seed(3)
        one = layer(ones)
        torch.manual_seed(3)
        expected = (torch.rand(100, 100) >= 0.25) / 0.75
        assert torch.equal(layer.eval()(ones), ones)
        assert torch.equal(torch.nn.functional.dropout(ones, 1.0), torch.zeros(100, 100))
        inplace = torch.ones(10)
        assert torch.nn.functional.dropout(inplace, 0.5, True, True) is inplace
    assert torch.equal(one, expected)
    assert torch.nn.functional.dropout is original
    with pytest.raises(ZeroDivisionError), drawing_on_the_cpu():
        raise ZeroDivisionError
    assert torch.nn.functional.dropout is original


ROWS = [Row("a|b", "1", "1", "exact", "ok"), Row("c", "2", "3", "0.1", "FAIL", {"far": math.nan})]


def test_the_table_has_its_columns_in_every_format() -> None:
    found = SelfTest({"device": "box_1", "torch": "2"}, ROWS, ["since"])
    text = found.render()
    assert [line.split() for line in text.splitlines() if line.startswith("check")] == [
        ["check", "device", "CPU", "tolerance", "verdict"]
    ]
    assert text.splitlines()[0] == "device: box_1"
    assert text.splitlines()[-1] == "FAILS: 1 ok, 1 FAIL, 0 not checked, 0 note"
    page = found.render("markdown")
    assert page.startswith("# harness selftest: box\\_1\n")
    bars = {line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")}
    assert bars == {6}
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["check"] == "a|b"
    with pytest.raises(HarnessError, match="unknown"):
        found.render("markdwn")


def test_it_holds_if_something_was_compared_and_nothing_failed() -> None:
    assert SelfTest({}, ROWS[:1]).holds
    assert not SelfTest({}, ROWS).holds
    assert not SelfTest({}, []).holds
    assert not SelfTest({}, [Row("x", "", "", "", "not checked")]).holds
