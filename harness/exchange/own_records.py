"""The harness's own records of a suite that imported predictions are to stand beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import SuiteError
from harness.exchange.predictions_matching import Truth
from harness.inference.classes import Classes
from harness.records.record import Record
from harness.records.store import Store

FIXED = ("experiment", "protocol", "model", "dataset", "method", "seed")


@dataclass(frozen=True)
class Neighbours:
    """The records of this harness on one data set, which differ in their models only."""

    records: Sequence[Record] = ()

    @property
    def at(self) -> dict[str, Any]:
        """The coordinates that they share."""
        shared = self.records[0].coordinates if self.records else {}
        return {k: v for k, v in shared.items() if k in ("experiment", "protocol", "dataset")}

    @property
    def data_tags(self) -> dict[str, Any]:
        """The tags of the data set."""
        tags = self.records[0].tags if self.records else {}
        return {k: v for k, v in tags.items() if k.startswith("dataset.")}

    def find_truth(self, store: Store, ids: Sequence[str] | None) -> tuple[Truth, Record] | None:
        """Return the samples of the record that has exactly these ids, else those of the first that has any."""
        wanted = None if ids is None else set(ids)
        first = None
        for record in sorted(self.records, key=lambda r: wanted is not None and r.count != len(wanted)):
            samples = store.samples(record.id) if "samples" in record.files else None
            if samples is None or not {"id", "target"} <= {*samples.columns}:
                continue
            try:
                targets = samples["target"].to_numpy(dtype=np.int64)
            except (TypeError, ValueError):  # several labels for each sample
                continue
            names = tuple(map(str, record.notes.get("class_names") or ()))
            name = f"the record of '{record.coordinates['model']}' on '{record.coordinates['dataset']}'"
            classes = Classes(names=names or None, count=len(names) or None)
            truth = Truth([str(i) for i in samples["id"]], targets, classes, name, binding=False)
            first = first or (truth, record)
            if wanted == set(truth.ids):
                return truth, record
        return first


def find_neighbours(
    store: Store, plan: Mapping[str, Any] | None, dataset: str, protocol: str | None
) -> Neighbours:
    """Return the ok records of a plan on a data set that were run without a method and without axes.

    Raises SuiteError if several experiments or protocols have such, and `protocol` does not tell which is meant.
    """
    found: dict[tuple[str, str], list[Record]] = {}
    for cell in plan["cells"] if plan else ():
        at = cell["at"]
        plain = at.get("dataset") == dataset and not at.get("method") and set(at) <= set(FIXED)
        if not plain or cell.get("imported") or protocol not in (None, at.get("protocol")):
            continue
        record = store.read(cell["id"])
        if record is not None and record.status == "ok":
            # the plan's labels count: another suite may have made the record
            record.coordinates, record.tags = dict(at), dict(cell.get("tags") or {})
            found.setdefault((at["experiment"], at["protocol"]), []).append(record)
    if len(found) > 1:
        several = " and ".join(f"'{p}' of experiment '{e}'" for e, p in found)
        raise SuiteError(
            f"{store.path}: data set '{dataset}' was run with {several}: say with --protocol or another --suite "
            "which of these the predictions stand beside"
        )
    return Neighbours(next(iter(found.values()), ()))
