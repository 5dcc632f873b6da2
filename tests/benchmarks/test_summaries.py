"""Tables of summaries grow with the number of models, not with its square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.leaderboard.summary_table import build_summary_table
from harness.planning.suite import TableSpec

SUMMARIES: list[Any] = [
    "gap",
    "mean-over-shifts",
    {"plugin": "effective-robustness", "resamples": 50},
    {"plugin": "relative-robustness", "baseline": "m0"},
    "vtab-means",
    "own-metric",
    "ppt",
    "base-to-new",
]


def records(models: int, remark: bool = False) -> pd.DataFrame:
    """One record per model and each of eight data sets, of which seven are shifts of the first."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": f"{model}-{dataset}",
            "status": "ok",
            "at.model": f"m{model}",
            "at.dataset": f"d{dataset}",
            "at.method": "",
            "at.seed": 0,
            "tag.dataset.reference": "d0" if dataset else None,
            "tag.dataset.group": f"group {dataset % 3}",
            "tag.model.standard": model % 2 == 0,
            "metric.top1": rng.uniform(0.1, 0.9),
            "metric.top1.base": 0.5,
            "metric.top1.new": 0.4,
            "cost.trainable_without_head": 1e5,
            "remarks": (f"m{model}: {model + 1} files are left out",) if remark else (),
        }
        for model in range(models)
        for dataset in range(8)
    )


@pytest.mark.parametrize("remark", [False, True], ids=["plain", "remarks"])
@pytest.mark.parametrize("summary", SUMMARIES, ids=lambda s: s if isinstance(s, str) else s["plugin"])
def test_a_summary_grows_with_its_records(
    measuring: bool, ratio: Callable[..., float], summary: Any, remark: bool
) -> None:
    few, factor = (60, 8) if measuring else (3, 2)
    spec = TableSpec(name="t", rows=["model"], columns=["dataset", "metric"], summary=summary)
    small, large = records(few, remark), records(few * factor, remark)
    assert len(build_summary_table(spec, large).footnotes) >= (few * factor if remark else 0)
    growth = ratio(
        lambda: build_summary_table(spec, large),
        lambda: build_summary_table(spec, small),
        3 if measuring else 1,
    )
    assert growth <= 2 * factor or not measuring
