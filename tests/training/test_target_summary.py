"""The summary `time-to-target`: rates with Wilson's interval, medians of successes, and what is censored."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from harness.errors import OptionError
from harness.records.record import Record
from harness.records.store import Store
from harness_training.target_summary import TimeToTarget


class Timed(Store):
    """A store that keeps what a frame says, but for the columns that a run did not time."""

    def __init__(self, untimed=()):
        self.untimed = set(untimed)

    def read(self, id):
        metrics = {} if id in self.untimed else {"epochs_to.0.8": math.nan, "epochs_to.0.9": math.nan}
        return Record(id, "ok", "s", {}, {}, {}, metrics)


def records(method, times, **columns):
    size = len(times)
    base = {"id": [f"{method}{n}" for n in range(size)], "model": "net", "dataset": "d", "method": method}
    timed = {"epochs_to.0.8": times, "seconds_to.0.8": np.multiply(times, 2.0), "epochs": 30.0}
    return pd.DataFrame({**base, "seed": range(size), **timed, **columns})


def by_metric(found, method="a"):
    return found[found["method"] == method].set_index("metric")


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0.1, 100)), min_size=1, max_size=12))
def test_the_rate_is_told_and_the_median_is_of_the_successes(times):
    found = by_metric(TimeToTarget()(records("a", times), Timed()))
    hits = [t for t in times if t == t]
    low, high = proportion_confint(len(hits), len(times), method="wilson")
    reached = found.loc["reached"]
    assert reached["value"] == pytest.approx(len(hits) / len(times))
    assert (reached["low"], reached["high"]) == pytest.approx((low, high), abs=1e-9)
    for name, factor in (("epochs", 1), ("seconds", 2)):
        assert found.loc[name, "count"] == len(hits)
        if hits:
            assert found.loc[name, "value"] == pytest.approx(np.median(hits) * factor)
        else:
            assert math.isnan(found.loc[name, "value"])
        if len(hits) < len(times):
            expected = f"{len(hits)} of {len(times)} runs reached 0.8; the others never did in 30 epochs"
            assert found.loc[name, "note"] == expected
        else:
            assert found.loc[name, "note"] == ""


def test_runs_without_a_record_count_as_never_if_they_are_planned():
    frame = pd.concat([records("a", [5.0, 7.0]), records("b", [4.0] * 5)])
    noticed = by_metric(TimeToTarget()(frame, Timed()))
    assert noticed.loc["reached", "value"] == 1
    assert "other configurations have 5 runs" in noticed.loc["reached", "note"]
    planned = by_metric(TimeToTarget(seeds=5)(frame, Timed()))
    assert planned.loc["reached", "value"] == pytest.approx(0.4)
    assert (
        planned.loc["reached", "note"] == "2 of 5 runs reached 0.8; 3 without a finished run count as never"
    )
    assert planned.loc["epochs", "note"].startswith("2 of 5 runs reached 0.8")


def test_a_target_that_a_run_did_not_time_is_not_missed():
    frame = records("a", [5.0, math.nan, math.nan])
    found = by_metric(TimeToTarget()(frame, Timed(untimed=["a2"])))
    assert (found.loc["reached", "value"], found.loc["reached", "count"]) == (0.5, 2)
    assert len(TimeToTarget()(frame.iloc[2:], Timed(untimed=["a2"]))) == 0


def test_targets_are_chosen_by_number():
    frame = records("a", [5.0, 6.0], **{"epochs_to.0.9": [9.0, math.nan]})
    every = TimeToTarget(quantities=["epochs"])(frame, Timed())
    assert every[["target", "metric"]].to_numpy().tolist() == [
        ["0.8", "reached"], ["0.8", "epochs"], ["0.9", "reached"], ["0.9", "epochs"],
    ]  # fmt: skip
    assert set(TimeToTarget(0.90)(frame, Timed())["target"]) == {"0.9"}
    with pytest.raises(OptionError, match=r"not timed the target 0\.7: they timed 0\.8, 0\.9"):
        TimeToTarget(0.7)(frame, Timed())
    with pytest.raises(OptionError, match="they timed none"):
        TimeToTarget()(frame[["id", "model", "dataset", "method"]], Timed())
    with pytest.raises(OptionError, match="did you mean 'epochs'"):
        TimeToTarget(quantities=["epoch"])
    with pytest.raises(OptionError, match="no 'imagse'"):
        TimeToTarget(within=["imagse"])(frame, Timed())
