"""What a run returns: its plan, the records it made, and its tables, as text and for notebooks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.planning.names import plan_names
from harness.planning.plan import Plan
from harness.records.record import Record, write_json
from harness.records.redaction import redact
from harness.records.store import Store
from harness.running.hooks import Listeners

if TYPE_CHECKING:
    import pandas as pd

    from harness.leaderboard.shown_tables import ShownTables
    from harness.leaderboard.table import Table


FAILURES = 3
"""Failures that a run's short form names at most; `failed` has all of them."""


@dataclass
class Run:
    """The outcome of a run: its plan, and the records it made (not those that were done before)."""

    plan: Plan
    store: Store
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _events: Listeners | None = field(default=None, init=False, repr=False)

    @property
    def failed(self) -> list[Record]:
        """Records of cells that should have worked and did not, including those with a failed metric."""
        return [r for r in self.records if r.status in ("failed", "oom", "diverged") or r.failures]

    @property
    def in_vain(self) -> str | None:
        """Why the run has no results at all (no cell could run, and none was done before), or None."""
        begun = {p.cell.id for p in self.plan if p.state in ("run", "done")}
        skipped = {r.id: r.reason for r in self.records if r.status == "skipped"}  # some only once they began
        if begun - skipped.keys():
            return None
        reasons = Counter(p.reason or skipped.get(p.cell.id) for p in self.plan)
        (reason, count), *others = reasons.most_common()
        several = "reason" if len(others) == 1 else "reasons"
        more = f" ({len(others)} more {several} below the tables)" if others else ""
        none = f"suite {self.plan.suite.name}: none of {len(self.plan)} cells can run"
        return f"{none}: {count} × {reason}{more}"

    def tables(self) -> list[Table]:
        """Return the suite's leaderboards over this plan's cells, and pass each to the run's listeners."""
        tables = self._build_tables()
        for table in tables:
            if self._events:
                self._events.call("leaderboard_made", suite=self.plan.suite.name, table=table)
        return tables

    def _build_tables(self) -> ShownTables:
        from harness.leaderboard.build import build_tables
        from harness.leaderboard.shown_tables import ShownTables
        from harness.leaderboard.stored import stored_tables

        if self._is_stored_plan():  # these tables then are in the cache for whoever asks for them next
            return stored_tables(self.store, self.plan.suite.name, {})
        return ShownTables(build_tables(self.plan.suite, self.frame(), self.store))

    def _is_stored_plan(self) -> bool:
        """Return whether the store has this plan as the suite's: not so after a run of a part, or another run.

        Imported predictions beside it don't count.
        """
        stored = self.store.manifest(self.plan.suite.name)
        if stored is not None:
            stored["cells"] = [cell for cell in stored["cells"] if not cell.get("imported")]
        return stored is not None and write_json(stored) == write_json(describe_plan(self.plan))

    def frame(self) -> pd.DataFrame:
        """Return the plan's records as a DataFrame, one row per cell."""
        from harness.leaderboard.frame import manifest_frame

        return manifest_frame(self.store, manifest_cells(self.plan), plan_names(self.plan))

    def failure_lines(self) -> list[str]:
        """Return a line for each cell or metric that failed, and one if the run has no results at all."""
        lines = []
        for record in self.failed:
            hidden = ("experiment", "protocol", "seed")
            where = " · ".join(str(v) for k, v in record.coordinates.items() if v and k not in hidden)
            if record.status != "ok":
                lines.append(f"{record.status}: {where}: {record.reason}")
            lines += [f"{where}: {why}" for why in record.failures.values()]
        return [*lines, *([self.in_vain] if self.in_vain else [])]

    def to_dict(self) -> dict[str, Any]:
        """Return what the run made as JSON-able data, with the tables: what `harness run --json` prints."""
        texts = [*self.plan.remarks, *(text for r in self.records for text in r.remarks)]
        counts = dict(Counter(r.status for r in self.records))
        facts = {"suite": self.plan.suite.name, "ran": counts, "remarks": list(dict.fromkeys(texts))}
        return {**facts, "tables": [t.to_dict() for t in self.tables()]}

    def __repr__(self) -> str:
        name = self.plan.suite.name
        call = f'harness.report("{name}", store="{self.store.path}")'
        following = (
            f".tables() has the leaderboards, .frame() the records as a DataFrame; {call} writes a page"
        )
        return "\n".join([self._headline(), *(f"  {line}" for line in [*self._troubles(), following])])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: outcome, failures and leaderboards."""
        troubles = "".join(f"<li>{escape(line)}</li>" for line in self._troubles())
        below = f"<ul>{troubles}</ul>" if troubles else ""
        try:
            tables = self._build_tables()._repr_html_()
        except HarnessError as error:
            tables = f"<p>{escape(str(error))}</p>"
        return f"<p>{escape(self._headline())}</p>{below}{tables}"

    def _headline(self) -> str:
        """Return suite, number of cells by outcome, and store."""
        states = Counter(r.status for r in self.records)
        states["done before"] = self.plan.counts().get("done", 0)
        words = ", ".join(f"{count} {state}" for state, count in states.items() if count)
        return f"suite {self.plan.suite.name}: {len(self.plan)} cells: {words} (store {self.store.path})"

    def _troubles(self) -> list[str]:
        lines = self.failure_lines()
        more = [f"… and {len(lines) - FAILURES} more in .failed"] if len(lines) > FAILURES else []
        return [*lines[:FAILURES], *more, *self.problems]


def manifest_cells(plan: Plan) -> list[dict[str, Any]]:
    """Return the plan's cells as the store keeps them: id, coordinates, tags, and remarks if any."""
    return [
        {"id": p.cell.id, "at": p.cell.coordinates, "tags": p.cell.tags}
        | ({"remarks": p.cell.remarks} if p.cell.remarks else {})
        for p in plan
    ]


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return the plan as the store keeps it: the suite, its cells, and its names (see `Store.write_manifest`)."""
    suite = redact(plan.suite.model_dump(mode="json"))
    return {"suite": suite, "cells": manifest_cells(plan), **redact(plan_names(plan))}
