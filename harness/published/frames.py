"""Published results as rows of a frame, for summaries and plots that take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.published.background import Background

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "published"
"""The frame's column that names the set of a row; empty for one's own."""


def add_published_rows(frame: pd.DataFrame, background: Background) -> pd.DataFrame:
    """Return a frame with short names of columns and, below its rows, one per published model and data set.

    Such a row has the model's label, its numbers and facts, and what all records on the data set share: the
    data set's tags, experiment and protocol. It has no id. The column `published` names its set.
    """
    import pandas as pd

    own = frame.assign(**{COLUMN: ""})
    metrics = [m for m in dict.fromkeys(m for m, _ in background.numbers) if m in own.columns]
    shared = [c for c in own.columns if c in ("experiment", "protocol") or c.startswith("tag.dataset.")]
    parts = []
    first: dict[str, int] = {}
    for place, dataset in enumerate(own["dataset"]):
        first.setdefault(str(dataset), place)
    for label, place in first.items():
        columns = {m: background.numbers[m, label] for m in metrics if (m, label) in background.numbers}
        if not columns:
            continue
        there = np.flatnonzero(np.any([~np.isnan(values) for values in columns.values()], axis=0))
        rows: dict[str, Any] = {
            "model": [background.labels[n] for n in there],
            "dataset": [label] * len(there),
            "method": [""] * len(there),
            "seed": [0] * len(there),
            "status": ["ok"] * len(there),
            COLUMN: [background.sets[n] for n in there],
            **{m: values[there] for m, values in columns.items()},
            **{c: [own[c].iloc[place]] * len(there) for c in shared},
        }
        standard = background.facts.get("standard")
        if standard:
            rows["tag.model.standard"] = [standard[n] or None for n in there]
        parameters = background.facts.get("parameters")
        if parameters and any(parameters[n] for n in there):
            rows["parameters"] = [float(parameters[n]) if parameters[n] else np.nan for n in there]
        parts.append(pd.DataFrame(rows))
    if not parts:
        return own
    whole = pd.concat([own, *parts], ignore_index=True)
    whole.attrs = dict(own.attrs)
    return whole
