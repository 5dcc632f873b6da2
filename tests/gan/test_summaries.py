"""The summary over seeds: every seed counts, rates have Wilson intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.errors import HarnessError
from harness_gan.summaries import GanStability


def test_stability_counts_every_seed() -> None:
    reason = "collapsed: 1 of 8 modes; thresholds: modes 0.5"
    data = pd.DataFrame(
        {
            "model": "m",
            "dataset": "d",
            "method": ["a"] * 5 + ["b"] * 2,
            "seed": [0, 1, 2, 3, 4, 0, 1],
            "modes": [8, 8, 7, 1, 0, 8, 8],
            "modes.equal_evaluations": [4, 4, 4, 1, 0, 8, 8],
            "collapsed": [0, 0, 0, 1, 1, 0, 0],
            "reason": reason,
        }
    )
    found = GanStability(["modes"], ["collapsed"])(data).set_index(["method", "metric"])
    a = found.loc["a"]
    assert a.loc["modes median", "value"] == 7
    assert a.loc["modes IQR", "value"] == 7
    assert a.loc["modes worst", "value"] == 0
    # Wilson's interval of 2 of 5, from its closed form with z = 1.959964
    assert a.loc["collapsed rate", "value"] == 0.4
    assert (a.loc["collapsed rate", "low"], a.loc["collapsed rate", "high"]) == pytest.approx(
        (0.1176, 0.7693), abs=1e-4
    )
    assert "modes 0.5" in a.loc["collapsed rate", "note"]
    assert "only 2 of at least 5 seeds" in found.loc[("b", "modes median"), "note"]
    equal = GanStability(["modes"], [], equal_evaluations=True)(data).set_index(["method", "metric"])
    assert equal.loc[("a", "modes median"), "value"] == 4


def records(**columns: Any) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"model": "m", "dataset": "d", "method": "a", "seed": range(n), **columns})


def test_a_metric_of_several_numbers_is_shown_by_its_whole_names() -> None:
    """Extractor and sample counts stand in the name; the floor is no score of the method's."""
    data = records(
        **{
            "frechet.dino d=384 n=10/9": [3.0, 1.0, 2.0, 9.0, 4.0],
            "frechet.dino d=384 n=10/9.equal_evaluations": [30.0, 10.0, 20.0, 90.0, 40.0],
            "frechet.floor": [0.5] * 5,
            "frechet.floor.equal_evaluations": [0.5] * 5,
            "frechet.clip d=512 n=10/9": [np.nan] * 5,
        }
    )
    found = GanStability(["frechet"], [], lower=["frechet"])(data).set_index("metric")["value"]
    name = "frechet.dino d=384 n=10/9"
    assert found.to_dict() == {f"{name} median": 3, f"{name} IQR": 2, f"{name} worst": 9}
    equal = GanStability(["frechet"], [], lower=["frechet"], equal_evaluations=True)(data)
    assert equal.set_index("metric")["value"][f"{name} worst"] == 90
    with pytest.raises(HarnessError, match="no record has the metric 'kid'"):
        GanStability(["kid"], [])(data)


def test_rates_at_equal_evaluations_and_runs_that_failed() -> None:
    data = records(
        collapsed=[1, 1, 0, 0, np.nan],
        status=["ok", "ok", "ok", "diverged", "failed"],
        **{"collapsed.equal_evaluations": [0, 0, 0, 1, np.nan]},
    )
    final = GanStability([], ["collapsed"])(data).iloc[0]
    assert (final["value"], final["count"]) == (0.5, 4)
    assert "1 of 5 seeds failed, without numbers" in final["note"]
    equal = GanStability([], ["collapsed"], equal_evaluations=True)(data).iloc[0]
    assert equal["value"] == 0.25
