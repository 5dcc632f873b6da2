"""Summaries against published numbers and by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from harness.errors import OptionError
from harness_peft.summaries import GROUP, ParetoFront, PptScore, ShiftChange, VtabMeans, ppt


def test_ppt_is_v_petls():
    """LoRA .7225 with 0.29 M gives .71, LST .717 with 2.38 M .65 (V-PETL Bench)."""
    assert round(ppt(0.7225, 0.29e6), 2) == 0.71
    assert round(ppt(0.717, 2.38e6), 2) == 0.65
    assert ppt(0.5, 0) == 0.5


def records(**columns):
    size = len(next(iter(columns.values())))
    base = {"model": ["m"] * size, "dataset": ["d"] * size, "method": ["x"] * size, "seed": list(range(size))}
    return pd.DataFrame({**base, **columns})


def test_ppt_over_seeds():
    found = PptScore()(records(top1=[0.5, 0.7], trainable_without_head=[0, 0])).iloc[0]
    assert found["value"] == pytest.approx(0.6)
    half = 12.7062 * math.sqrt(0.02) / math.sqrt(2)
    assert found["high"] - found["value"] == pytest.approx(half, rel=1e-4)


def test_vtab_means_differ_and_are_named():
    """VPT-deep's published group means 78.49, 82.43, 55.00: over groups 71.97, over the 19 data sets 69.43."""
    sets = [("natural", 7, 0.7849), ("specialized", 4, 0.8243), ("structured", 8, 0.5500)]
    rows = [(f"{g}{i}", g, v) for g, n, v in sets for i in range(n)]
    table = records(top1=[v for *_, v in rows])
    table["dataset"], table[GROUP], table["seed"] = [r[0] for r in rows], [r[1] for r in rows], 0
    found = VtabMeans()(table).set_index("dataset")["value"]
    assert found["mean of 3 groups"] == pytest.approx(0.7197, abs=5e-5)
    assert found["mean of 19 data sets"] == pytest.approx(0.6943, abs=5e-5)
    half = VtabMeans()(pd.concat([table, table.iloc[:5].assign(method="y")]))
    lacking = half[(half["method"] == "y") & (half["dataset"] == "mean of 19 data sets")].iloc[0]
    assert math.isnan(lacking["value"])
    assert "lacks" in lacking["note"]


def test_pareto_front():
    table = records(top1=[0.6, 0.9, 0.7, 0.8], trainable_parameters=[10, 1000, 500, 100])
    table["method"], table["seed"] = list("abcd"), 0
    found = ParetoFront()(table)
    on = found[found["metric"] == "on the front"].set_index("method")["value"].to_dict()
    assert on == {"a": 1.0, "b": 1.0, "c": 0.0, "d": 1.0}


def test_a_cost_that_nothing_measured_makes_no_front():
    """Memory is measured on a GPU alone: elsewhere no method costs 0 bytes. One without steps has no time of a step."""
    table = records(top1=[0.6, 0.9], training_peak_memory=[math.nan] * 2, seconds_per_step=[math.nan, 0.5])
    table["method"], table["seed"] = list("ab"), 0
    with pytest.raises(OptionError, match="no record has a number for 'training_peak_memory'"):
        ParetoFront("training_peak_memory")(table)
    found = ParetoFront("seconds_per_step")(table)
    costs = found[found["metric"] == "seconds_per_step"].set_index("method")["value"].to_dict()
    assert costs == {"a": 0.0, "b": 0.5}


def test_shift_change_is_paired_by_seed():
    table = records(top1=[0.5, 0.6, 0.7, 0.9], **{"top1.other": [0.4, 0.4, 0.3, 0.1]})
    table["method"], table["seed"] = ["start", "start", "full", "full"], [0, 1, 0, 1]
    found = ShiftChange("start")(table)
    full = found[(found["method"] == "full") & (found["metric"] == "change")].set_index("dataset")["value"]
    assert full["d"] == pytest.approx(0.25)
    assert full["other"] == pytest.approx(-0.2)
    with pytest.raises(OptionError, match="did you mean 'start'"):
        ShiftChange("strat")(table)
