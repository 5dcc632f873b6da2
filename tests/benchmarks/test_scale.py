"""Planning, continuing and tabulating large suites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract.running import Job, Result
from harness.discovery import registry
from harness.leaderboard.build import build_tables
from harness.leaderboard.frame import suite_frame
from harness.planning.plan import Plan, make_plan
from harness.planning.suite import Suite, parse_suite
from harness.records.record import make_blank
from harness.records.store import Store
from harness.running.runner import keep_manifest, run


class Fixed:
    """A protocol that gives a number without work."""

    def run(self, job: Job) -> Result:
        """Nothing to run."""
        return Result({"score": 0.5})


class Named:
    """A model or data set that is only a name."""

    splits = ("test",)

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def load(self, _: Any) -> None:
        """Nothing to load."""


def suite(cells: int) -> Suite:
    """Models × data sets × shots × seeds, `cells` in all (a multiple of 1000)."""
    for kind in ("models", "datasets"):
        registry.register(kind, "named", Named)
    registry.register("protocols", "fixed", Fixed)
    return parse_suite(
        {
            "name": "large",
            "protocol": "fixed",
            "models": [
                {"plugin": "named", "label": f"model {n}", "number": n, "tags": {"family": n % 5}}
                for n in range(cells // 500)
            ],
            "datasets": [{"plugin": "named", "label": f"data {n}", "number": n} for n in range(20)],
            "axes": {"shots": [1, 2, 4, 8, 16]},
            "seeds": [0, 1, 2, 3, 4],
            "tables": [
                {"name": "large", "rows": ["model", "shots"], "columns": ["dataset"], "values": ["score"]}
            ],
        }
    )


def filled(store: Store, large: Suite) -> Plan:
    """The suite's plan, and a store that holds an ok record of every cell."""
    plan = make_plan(large)
    rng = np.random.default_rng(0)
    for planned in plan:
        record = make_blank(planned.cell, "ok")
        record.metrics = {"score": float(rng.uniform()), "loss": float(rng.normal())}
        record.directions = {"score": True, "loss": False}
        record.units, record.binary, record.count = {"score": "fraction"}, ["score"], 1000
        record.cost = {"seconds": 1.0, "parameters": 1e6}
        file = store.file("records", record.id, ".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(record.to_json())  # as Store.write leaves it, without its care
    keep_manifest(store, plan, merge=False)
    return plan


def table_of(store: Store, large: Suite) -> Any:
    (table,) = build_tables(large, suite_frame(store, "large"), store)
    return table


def test_planning_and_continuing(
    benchmark: Any, measuring: bool, least: Callable[..., float], tmp_path: Path
) -> None:
    cells = 10_000 if measuring else 1_000
    large = suite(cells)
    assert len(make_plan(large)) == cells
    planning = least(lambda: make_plan(large), 3)
    store = Store(tmp_path / "store")
    filled(store, large)
    store.done()  # the index is there, as after any run

    def go_on() -> None:
        outcome = run(large, store, installed_listeners=False)
        assert outcome.records == []
        assert outcome.plan.counts() == {"done": cells}

    benchmark.pedantic(go_on, rounds=3 if measuring else 1)
    continuing = least(go_on, 3)
    benchmark.extra_info |= {"seconds of planning": planning, "seconds of continuing": continuing}
    if measuring:
        assert planning < 2
        assert continuing < 2


def test_leaderboard(benchmark: Any, measuring: bool, least: Callable[..., float], tmp_path: Path) -> None:
    for cells, limit in ((10_000, 1.5), (100_000, 3.0)) if measuring else ((1_000, 0.0),):
        large, store = suite(cells), Store(tmp_path / f"store-{cells}")
        plan = filled(store, large)
        # the first time reads every record; what a user waits for each time is the index
        benchmark.extra_info[f"seconds for {cells} records, without an index"] = least(
            lambda store=store, large=large: table_of(store, large), 1
        )
        table = table_of(store, large)
        assert sum(e.count for r in table.rows for e in r.entries) == cells
        first = table.rows[0].entries[0]
        own = [store.read(p.cell.id) for p in list(plan)[:5]]
        assert np.isclose(first.value, np.mean([r.metrics["score"] for r in own]))
        took = least(lambda store=store, large=large: table_of(store, large), 3)
        benchmark.extra_info[f"seconds for {cells} records"] = took
        if measuring:
            assert took < limit
    benchmark.pedantic(lambda: table_of(store, large), rounds=1)
