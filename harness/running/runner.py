"""Running of a plan: missing cells are run, all others accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.cells import PlannedCell
from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references, parse_short
from harness.errors import PluginBroken
from harness.exchange.imported_cells import select_imported
from harness.planning.add_published import locate_published
from harness.planning.labels import find_renamed
from harness.planning.names import merge_names, move_collisions
from harness.planning.plan import Choice, Plan, make_plan
from harness.planning.suite import Suite, TableSpec
from harness.published.finding import check_published
from harness.records import provenance
from harness.records.files import locked
from harness.records.record import make_blank
from harness.records.store import Store, warn_once
from harness.running.executors.main_module import CURE, find_obstacle
from harness.running.hooks import Listeners
from harness.running.outcome import Run, describe_plan
from harness.running.under_way import RunMarker

if TYPE_CHECKING:
    from harness.running.executors.contract import Executor


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
    cell_timeout: float | None = None,
    cache: Path | None = None,
    listeners: Sequence[object] = (),
    installed_listeners: bool = True,
    executors: Executors | None = None,
    remote: str | None = None,
) -> Run:
    """Run the suite's missing cells and return the outcome; `fresh` runs all of them again.

    `listeners` are objects, or references of installed ones (`tensorboard?folder=runs`).
    `executors` outlive this run, for use by others; without them the run closes its own. `remote` is the checked
    address of a bucket in which workers look for records and features; `harness.mirroring` puts the records there.

    Raises HarnessError before anything runs if the suite can't be planned.
    """
    from harness.exchange.predictions_records import add_imported_metrics
    from harness.running.worker import RunSettings

    suite = locate_published(_add_metrics_table(suite, choice.add_metrics if choice else ()))
    check_published(suite, store)
    events = Listeners([RunMarker(store.path), *listeners], installed_listeners)
    plan = make_plan(suite, choice, () if fresh else store.done(), store.manifest(suite.name))
    # importing torch takes seconds, for names that always work in vain
    if device not in ("auto", "cpu") and any(p.state == "run" for p in plan):
        from harness.running.devices import pick_device

        pick_device(device)  # raises for a missing device before anything starts
    outcome = Run(plan, store)
    outcome._events = events
    limit = cell_timeout if cell_timeout is not None else _keep_time_limit(plan)
    settings = RunSettings(
        store.path, device, batch_size, workers, cache, fresh=fresh, cell_timeout=limit, remote=remote
    )
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
            if choice and choice.add_metrics:
                add_imported_metrics(store, suite.name, choice.add_metrics)
        finally:
            outcome.problems = events.problems
            events.call("run_finished", plan=plan, records=outcome.records)
    return outcome


def keep_manifest(store: Store, plan: Plan, merge: bool) -> None:
    """Write the plan to the store; a run of a part of the suite adds to what was planned before.

    Imported predictions stay in it in any case.
    """
    names = describe_plan(plan)
    suite, cells = names.pop("suite"), names.pop("cells")

    # cells are merged by coordinates, in their old order: a changed option gives a cell another id
    def place(cell: dict[str, Any]) -> str:
        return repr(sorted(cell["at"].items(), key=str))

    # runs of several parts may begin at the same moment
    with store.writing(), locked(store.path / "suites" / ".lock"):
        before = store.manifest(plan.suite.name)
        if before := before if merge else select_imported(before):
            renamed = find_renamed(before["cells"], cells)
            before["cells"] = [c for n, c in enumerate(before["cells"]) if n not in renamed]
            move_collisions(before, cells, names)
            names = merge_names(before, names)
            cells = list(({place(c): c for c in before["cells"]} | {place(c): c for c in cells}).values())
        store.write_manifest(suite, cells, names)


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


def _keep_time_limit(plan: Plan) -> float | None:
    """Return the suite's time limit per cell; None if its cells can't leave this process, which can't be ended."""
    limit = plan.suite.cell_timeout
    if limit is None or not any(p.state == "run" for p in plan):
        return limit
    local = any(p.distribution == registry.THIS_PROCESS for planned in plan for p in planned.cell.parts)
    reason = "plugins registered in this process only" if local else find_obstacle()
    if reason:
        warn_once(f"suite {plan.suite.name}: its limit of {limit:g} s per cell is not kept here: {reason}")
        return None
    return limit


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
