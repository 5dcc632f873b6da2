"""Running of a plan: missing cells are run, all others accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.cells import PlannedCell
from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references, parse_short
from harness.errors import PluginBroken
from harness.planning.plan import Choice, Plan, make_plan
from harness.planning.suite import Suite, TableSpec
from harness.records import provenance
from harness.records.files import locked
from harness.records.record import Record, make_blank
from harness.records.redaction import redact
from harness.records.store import Store, warn_once
from harness.running.executors.main_module import CURE, find_obstacle
from harness.running.hooks import Listeners

if TYPE_CHECKING:
    import pandas as pd

    from harness.leaderboard.table import Table
    from harness.running.executors.contract import Executor


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
        from harness.leaderboard.build import build_tables

        tables = build_tables(self.plan.suite, self.frame(), self.store)
        for table in tables:
            if self._events:
                self._events.call("leaderboard_made", suite=self.plan.suite.name, table=table)
        return tables

    def frame(self) -> pd.DataFrame:
        """Return the plan's records as a DataFrame, one row per cell."""
        from harness.leaderboard.frame import manifest_frame

        return manifest_frame(self.store, manifest_cells(self.plan))


def manifest_cells(plan: Plan) -> list[dict[str, Any]]:
    """Return the plan's cells as the store keeps them: id, coordinates, tags, and remarks if any."""
    return [
        {"id": p.cell.id, "at": p.cell.coordinates, "tags": p.cell.tags}
        | ({"remarks": p.cell.remarks} if p.cell.remarks else {})
        for p in plan
    ]


def run(
    suite: Suite,
    store: Store,
    *,
    choice: Choice | None = None,
    device: str = "auto",
    batch_size: int = 64,
    workers: int | None = 0,
    fresh: bool = False,
    executor: str | None = None,
    cache: Path | None = None,
    listeners: Sequence[object] = (),
    installed_listeners: bool = True,
    executors: Executors | None = None,
) -> Run:
    """Run the suite's missing cells and return the outcome; `fresh` runs all of them again.

    `listeners` are objects, or references of installed ones (`tensorboard?folder=runs`).
    `executors` outlive this run, for use by others; without them the run closes its own.

    Raises HarnessError before anything runs if the suite can't be planned.
    """
    from harness.running.worker import RunSettings

    suite = _add_metrics_table(suite, choice.add_metrics if choice else ())
    events = Listeners(listeners, installed_listeners)
    plan = make_plan(suite, choice, () if fresh else store.done())
    # importing torch takes seconds, for names that always work in vain
    if device not in ("auto", "cpu") and any(p.state == "run" for p in plan):
        from harness.running.devices import pick_device

        pick_device(device)  # raises for a missing device before anything starts
    outcome = Run(plan, store)
    outcome._events = events
    settings = RunSettings(store.path, device, batch_size, workers, cache, fresh=fresh)
    with Executors() if executors is None else nullcontext(executors) as available:
        runner = available.get(executor or _choose_executor(plan))
        store.clear_partial()
        keep_manifest(store, plan, merge=bool(choice and choice.narrows))
        events.call("run_started", plan=plan, store=store)
        try:
            for planned in plan:
                if planned.state in ("skipped", "broken"):
                    _account(planned, store, events, outcome)
            todo = [p.cell for p in plan if p.state == "run"]
            if todo:
                for cell, record in runner.execute(todo, settings, events.call):
                    outcome.records.append(record)
                    workdir = store.path / "work" / cell.id
                    events.call("cell_finished", cell=cell, record=record, workdir=workdir)
        finally:
            outcome.problems = events.problems
            events.call("run_finished", plan=plan, records=outcome.records)
    return outcome


def keep_manifest(store: Store, plan: Plan, merge: bool) -> None:
    """Write the plan to the store; a run of a part of the suite adds to what was planned before."""
    cells = manifest_cells(plan)

    # cells are merged by coordinates, in their old order: a changed option gives a cell another id
    def place(cell: dict[str, Any]) -> str:
        return repr(sorted(cell["at"].items(), key=str))

    # runs of several parts may begin at the same moment
    with store.writing(), locked(store.path / "suites" / ".lock"):
        before = store.manifest(plan.suite.name) if merge else None
        if before:
            cells = list(({place(c): c for c in before["cells"]} | {place(c): c for c in cells}).values())
        store.write_manifest(redact(plan.suite.model_dump(mode="json")), cells)


def _add_metrics_table(suite: Suite, added: Sequence[str]) -> Suite:
    """Return the suite with a table for the metrics that the command adds, or with them in its only, plain one."""
    if not added:
        return suite
    values = [parse_short(text).shown for text in added]
    if suite.tables:
        rows = ["model", "method"] if any(g.methods for g in suite.grids) else ["model"]
        table = TableSpec(name="added-metrics", title="Added metrics", rows=rows, values=values)
    else:
        own = [r.shown for g in suite.grids for e in g.metrics for r in parse_references(e, "metrics")]
        values = list(dict.fromkeys([*own, *values]))
        table = TableSpec(name=suite.name, title=suite.title, values=values)
    return suite.model_copy(update={"tables": [*suite.tables, table]})


def _account(planned: PlannedCell, store: Store, events: Listeners, outcome: Run) -> None:
    """Write the record of a cell that can't run, unless it already has an ok one."""
    status = "skipped" if planned.state == "skipped" else "failed"
    record = make_blank(planned.cell, status, planned.reason)
    record.provenance = {"started": provenance.now()}
    existing = store.read(planned.cell.id)
    if not store.is_newer(record.id) and (existing is None or existing.status != "ok"):
        store.write(record)
    outcome.records.append(record)
    events.call("cell_finished", cell=planned.cell, record=record, workdir=None)


def _choose_executor(plan: Plan) -> str:
    """Return the suite's executor; `inline` if a plugin is registered in this process only, or no other can start."""
    own = plan.suite.executor or "inline"
    to_run = any(p.state == "run" for p in plan)
    if own.partition(":")[0] == "processes" and to_run and (reason := find_obstacle()):
        warn_once(
            f"suite {plan.suite.name} asks for {own}, and its cells run one after another here: {reason}; {CURE}"
        )
        return "inline"
    local = any(p.distribution == registry.THIS_PROCESS for planned in plan for p in planned.cell.parts)
    return "inline" if local else own


class Executors:
    """Executors by their references, each made once, so that its processes can serve several runs."""

    def __init__(self) -> None:
        self._made: dict[str, Executor] = {}

    def get(self, reference: str) -> Executor:
        """Return the executor of a reference. Raises PluginBroken, PluginNotFound or OptionError if there is none."""
        if reference not in self._made:
            part = Resolver().resolve("executors", parse_short(reference), "executor")
            if part.problem or part.missing:
                raise PluginBroken(part.problem or part.missing or registry.singular("executors"))
            self._made[reference] = part.object
        return self._made[reference]

    def __enter__(self) -> Executors:
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._made.values():
            if (close := ask(made, "close")) is not None:
                close()
