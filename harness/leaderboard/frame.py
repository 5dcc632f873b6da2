"""Records as DataFrames: one row per cell, in the order in which the suite plans them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.contract.remarks import relabel_remarks
from harness.planning.patterns import find_meant, matches
from harness.records.index import LISTS
from harness.records.index import read_frame as indexed
from harness.records.store import Store

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("at.model", "at.dataset", "at.method")
"""Coordinates whose labels occur in remarks."""


NAMES = ("references", "titles")
"""Attributes of a suite's frame: what was written for each label, and what people call numbers and axes."""


class FrameNames(dict[str, Any]):
    """Names with a cheap deep copy: pandas deep-copies `attrs` whenever it derives a frame."""

    def __deepcopy__(self, memo: object) -> FrameNames:
        return FrameNames(self)


def suite_frame(store: Store, suite: str) -> pd.DataFrame:
    """Return the rows of a suite as last planned in this store; without a plan, those of its records."""
    manifest = store.manifest(suite)
    if manifest is not None:
        return manifest_frame(store, manifest["cells"], manifest)
    data = indexed(store)
    return data[data["suite"] == suite].reset_index(drop=True)


def manifest_frame(
    store: Store, cells: Sequence[Mapping[str, Any]], about: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the rows of these cells in their order; a cell without a record has the status `missing`.

    Labels and tags come from the plan, since they may have changed after the record was made. `about` holds the
    `names` of `Store.write_manifest`, which become attributes of the frame.
    """
    import pandas as pd

    data = indexed(store, labels=PARTS)
    ids = pd.Series([c["id"] for c in cells], dtype=object)  # an empty Series would be of floats
    wanted = pd.DataFrame({"id": ids, "suite_order": range(len(cells))})
    merged = wanted.merge(data, on="id", how="left")
    merged["status"] = merged["status"].astype(object).where(merged["status"].notna(), "missing")
    for column in LISTS:
        merged[column] = [r if isinstance(r, tuple) else () for r in merged[column]]
    names = [name for name in PARTS if name in merged]
    labels = list(zip(*(merged.pop(name).to_list() for name in names), strict=True)) or [()] * len(cells)
    merged["remarks"] = [
        _merge_remarks(cell, recorded, old, names) if recorded or "remarks" in cell else ()
        for cell, recorded, old in zip(cells, merged["remarks"], labels, strict=True)
    ]
    columns: dict[str, list[Any]] = {}
    for prefix, key in (("at.", "at"), ("tag.", "tags")):
        texts = [cell[key] for cell in cells]
        alike = dict.fromkeys(map(tuple, texts))  # nearly all cells have the same names
        for name in dict.fromkeys(name for names in alike for name in names):
            columns[f"{prefix}{name}"] = [text.get(name) for text in texts]
    frame = pd.concat([merged, pd.DataFrame(columns, dtype=object)], axis=1)
    frame.attrs = {key: FrameNames((about or {}).get(key) or {}) for key in NAMES}
    return frame


def _merge_remarks(
    cell: Mapping[str, Any], recorded: Sequence[str], labels: Sequence[Any], names: Sequence[Any]
) -> tuple[str, ...]:
    """Return the distinct remarks of a cell's plan and record, with the plan's labels.

    Another suite, which labels the parts differently, may have made the record.
    """
    pairs = [(old, cell["at"].get(name.removeprefix("at."))) for name, old in zip(names, labels, strict=True)]
    moved = {old: str(new) for old, new in pairs if isinstance(old, str) and old and new and old != new}
    return tuple(dict.fromkeys([*cell.get("remarks", ()), *relabel_remarks(recorded, moved)]))


def find_coordinate(data: pd.DataFrame, name: str) -> str | None:
    """Return the frame's column of a coordinate or tag, or None."""
    candidates = (f"at.{name}", name if name.startswith("tag.") else f"tag.{name}")
    return next((c for c in candidates if c in data.columns), None)


def match_coordinate(data: pd.DataFrame, name: str, pattern: Any) -> NDArray[np.bool_]:
    """Return which rows match a pattern in a coordinate, a tag or a column.

    A model or data set is meant by its label; if no label matches, by exactly what was written for it in the
    suite. Raises KeyError for an unknown name.
    """
    column = find_coordinate(data, name) or name
    values = list(data[column])
    texts = dict.fromkeys(v for v in values if isinstance(v, str))  # labels repeat: each is matched once
    written = data.attrs.get("references", {}).get(name) or {}
    meant = find_meant(pattern, dict.fromkeys([*texts, *written]), written)
    hits = [v in meant if isinstance(v, str) else matches(pattern, v) for v in values]
    return np.array(hits, dtype=bool)


def shorten_columns(data: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with short column names, as users and summaries see it: `model`, `top1`, `seconds`."""
    short: dict[str, str] = {}
    taken: set[str] = set()
    for prefix in ("at.", "metric.", "cost."):
        for column in data.columns:
            name = column.removeprefix(prefix)
            if name != column and name not in taken:
                short[column] = name
                taken.add(name)
    kept = [
        c for c in data.columns if not c.startswith(("better.", "unit.", "binary.")) and c != "suite_order"
    ]
    shown = data[kept].rename(columns=short)
    for column in LISTS:
        if column in shown:
            shown[column] = [
                "; ".join(t if isinstance(t, str) else t[1] for t in texts) for texts in shown[column]
            ]
    return shown
