"""Imported predictions in the plan of a suite that the harness itself runs, and metrics that are added to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Cell, canonical_json
from harness.contract.running import Job
from harness.contract.sharing import Shared
from harness.errors import HarnessError
from harness.records.files import locked
from harness.records.record import Record
from harness.records.store import Store

if TYPE_CHECKING:
    from harness.contract.data import Split


def keep_imported(store: Store, suite: str, records: Sequence[Record]) -> None:
    """Put records into a suite's plan, in the place of those at the same coordinates.

    A suite that the store does not have gets a table of its models and data sets.
    """
    with store.writing(), locked(store.path / "suites" / ".lock"):
        plan = store.manifest(suite) or {"suite": {"name": suite}, "cells": []}
        cells = {canonical_json(cell["at"]): cell for cell in plan["cells"]}
        for record in records:
            cell = {"id": record.id, "at": record.coordinates, "tags": record.tags, "imported": True}
            cells[canonical_json(record.coordinates)] = cell
        content = dict(plan["suite"])
        if all(cell.get("imported") for cell in cells.values()):  # nobody else laid it out
            known = [r for c in cells.values() if (r := store.read(c["id"])) is not None]
            metrics = list(dict.fromkeys(name for record in known for name in record.metrics))
            table = {"name": suite, "rows": ["model"], "columns": ["dataset"], "values": metrics}
            content |= {"tables": [table]} if metrics else {}
        names = {key: plan[key] for key in plan if key not in ("suite", "cells")}
        store.write_manifest(content, list(cells.values()), names)


def select_imported(plan: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a store's plan with its imported cells alone, which a run of the suite leaves there; None without any."""
    cells = [cell for cell in plan["cells"] if cell.get("imported")] if plan else []
    return {"suite": plan["suite"], "cells": cells} if plan and cells else None


def make_imported_job(cell: Cell) -> Job:
    """Return the job of a cell that was not run here: it has metrics, and neither model nor splits."""
    import torch

    def refuse(*_: Any) -> Any:
        raise HarnessError("imported predictions have neither a model nor splits")

    opening: Callable[[Any], Callable[[str], Split]] = refuse
    return Job(
        cell=cell,
        dataset=cell.dataset.object,
        model=None,
        method=None,
        metrics={part.label: part.object for part in cell.metrics},
        device=torch.device("cpu"),
        precision=cell.precision,
        batch_size=1,
        workers=0,
        cache=_NoCache(),
        workdir=Path(),
        splits=refuse,
        opening=opening,
        loading=refuse,
        kept=Shared(),
        keying=refuse,
        remarks=list(cell.remarks),
    )


class _NoCache:
    """A cache for jobs that compute nothing with a model."""

    def get(self, decides: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """Compute it."""
        return compute()
