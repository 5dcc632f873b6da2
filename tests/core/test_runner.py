"""Running plans: every status, resume, fresh, interrupts, seeds whatever the order, processes."""

import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.contract.running import Job, Result
from harness.leaderboard.build import build_tables
from harness.leaderboard.stored import stored_tables
from harness.planning.plan import Choice, make_plan
from harness.planning.suite import parse_suite
from harness.records import derived
from harness.records.files import locked
from harness.records.index import read_frame
from harness.records.record import Record
from harness.records.store import Store
from harness.running.hooks import hookimpl
from harness.running.outcome import Run, manifest_cells
from harness.running.runner import Executors, keep_manifest, run

MODES = ("good", "fails", "away", "diverges", "huge")
GRID = [{"plugin": "toy", "label": "{mode}", "grid": {"mode": list(MODES)}}]
BASE: dict[str, Any] = {
    "name": "s",
    "protocol": "toy",
    "models": ["toy"],
    "datasets": ["toy"],
    "metrics": ["toy"],
}


def go(store: Store, choice: Choice | None = None, **changes: Any) -> Run:
    how = {k: changes.pop(k) for k in ("fresh", "executor", "executors", "listeners") if k in changes}
    return run(
        parse_suite({**BASE, **changes}), store, choice=choice, device="cpu", installed_listeners=False, **how
    )


def by_label(outcome: Run) -> dict[str, Record]:
    return {r.coordinates["model"]: r for r in outcome.records}


def numbers(store: Store) -> dict[str, dict[str, float]]:
    return {r.id: r.metrics for r in store.records() if r.status == "ok"}


def test_every_status_and_the_rest_go_on(toys: Any, store: Store) -> None:
    outcome = go(store, models=[*GRID, {"plugin": "toy", "bias": 0.1, "label": "last"}])
    got = by_label(outcome)
    assert {k: r.status for k, r in got.items()} == {
        "good": "ok", "fails": "failed", "away": "skipped", "diverges": "diverged", "huge": "oom", "last": "ok",
    }  # fmt: skip
    assert got["fails"].reason == "ZeroDivisionError: deliberate"
    assert "Traceback" in str(got["fails"].traceback)
    assert 'raise ZeroDivisionError("deliberate")' in str(got["fails"].traceback)
    assert got["away"].reason == "the weights are not here: fetch them"
    assert got["diverges"].reason == "the loss is not finite"
    assert "CUDA out of memory" in str(got["huge"].reason)
    assert {r.status for r in outcome.failed} == {"failed", "diverged", "oom"}
    assert {r.id: r.status for r in store.records()} == {r.id: r.status for r in outcome.records}


def test_an_ok_record_has_all_there_is_to_know(toys: Any, store: Store) -> None:
    (record,) = go(store).records
    read = store.read(record.id)
    assert read is not None
    assert (read.count, read.binary, read.files) == (10, ["score"], ["samples", "curves"])
    assert read.directions == {"score": True, "global": True}
    assert read.cost["seconds"] > 0
    assert read.provenance["libraries"]["torch"]
    assert read.provenance["started"] <= read.provenance["ended"]
    assert store.samples(record.id)["score"].mean() == pytest.approx(read.metrics["score"])
    assert not (store.path / "work" / record.id).exists()


def test_the_same_command_runs_only_what_is_missing(toys: Any, store: Store) -> None:
    first = go(store, models=GRID, seeds=[0, 1])
    assert len(first.records) == 10
    again = go(store, models=GRID, seeds=[0, 1, 2])
    ran = sorted((r.coordinates["model"], r.coordinates["seed"]) for r in again.records if r.cost)
    assert ran == [("diverges", n) for n in range(3)] + [("fails", n) for n in range(3)] + [("good", 2)] + [
        ("huge", n) for n in range(3)
    ]
    before = numbers(store)
    fresh = go(store, models=GRID, seeds=[0, 1, 2], fresh=True)
    assert sum(r.status == "ok" for r in fresh.records) == 3
    assert numbers(store) == before


class Interrupts:
    def __init__(self, after: int) -> None:
        self.left = after

    @hookimpl
    def cell_started(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


class Hears:
    def __init__(self) -> None:
        self.events: list[Any] = []

    @hookimpl
    def run_started(self) -> None:
        self.events.append("start")

    @hookimpl
    def cell_finished(self, cell: Any, record: Record) -> None:
        self.events.append((cell.model.label, record.status))

    @hookimpl
    def cell_curve(self, name: str, step: int, values: dict[str, float]) -> None:
        self.events.append((name, step, values))

    @hookimpl
    def run_finished(self, records: list[Record]) -> None:
        self.events.append(len(records))


def test_an_interrupt_keeps_what_is_finished(toys: Any, tmp_path: Path) -> None:
    cut, whole = Store(tmp_path / "cut"), Store(tmp_path / "whole")
    hears = Hears()
    with pytest.raises(KeyboardInterrupt):
        go(cut, seeds=list(range(6)), listeners=[Interrupts(4), hears])
    assert len(numbers(cut)) == 4
    assert hears.events[-1] == 4
    assert len(go(cut, seeds=list(range(6))).records) == 2
    go(whole, seeds=list(range(6)))
    assert numbers(cut) == numbers(whole)


def test_listeners_hear_everything(toys: Any, store: Store) -> None:
    hears = Hears()
    go(store, models=GRID[:1], listeners=[hears])
    assert hears.events[0] == "start"
    assert hears.events[-1] == 5
    assert [e[1] for e in hears.events if isinstance(e, tuple) and e[0] in MODES] == [
        "skipped",
        "ok",
        "failed",
        "diverged",
        "oom",
    ]
    assert ("loss", 0, {"loss": 1.0}) in hears.events


def test_numbers_do_not_depend_on_the_order_of_cells(toys: Any, tmp_path: Path) -> None:
    one, other, single = (Store(tmp_path / n) for n in "abc")
    models = [{"plugin": "toy", "bias": b, "label": str(b)} for b in (0.0, 0.1, 0.2)]
    go(one, models=models, seeds=[0, 1], datasets=["toy", "toy:b"])
    go(other, models=models[::-1], seeds=[1, 0], datasets=["toy:b", "toy"])
    assert len(numbers(one)) == 12
    assert numbers(one) == numbers(other)
    go(single, models=models[:1], seeds=[1], datasets=["toy:b"])
    assert numbers(single).items() <= numbers(one).items()
    assert len({m["global"] for m in numbers(one).values()}) == 12


def test_models_are_loaded_once_for_the_cells_that_share_them(toys: Any, store: Store) -> None:
    loaded: list[Any] = []

    class Counts(toys.Model):
        def load(self, device: object) -> None:
            loaded.append(self.bias)

    class Fresh(toys.Protocol):
        fresh_model = True

    harness.register("models", "counts", Counts)
    harness.register("protocols", "fresh", Fresh)
    models = [{"plugin": "counts", "bias": b, "label": str(b)} for b in (0.1, 0.2)]
    go(store, models=models, seeds=[0, 1], datasets=["toy", "toy:b"])
    assert loaded == [0.1, 0.2]
    go(store, models=models, protocol="fresh", seeds=[0, 1])
    assert loaded == [0.1, 0.2, 0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    "result",
    [
        None,
        {"score": 1.0},
        Result(metrics={"score": "high"}),  # type: ignore[dict-item]
        Result(metrics={"score": 1.0}, samples={"id": ["a", "b"], "score": [1.0]}),
        Result(metrics={"score": 1.0}, curves={"loss": {"x": ["a"]}}),  # type: ignore[dict-item]
        Result(metrics={"score": 1.0}, images={"x": "no pixels"}),  # type: ignore[dict-item]
    ],
)
def test_results_that_can_not_be_kept_fail_their_cell_alone(toys: Any, store: Store, result: Any) -> None:
    class Sloppy(toys.Protocol):
        def run(self, job: Job) -> Any:
            return result if job.cell.seed == 0 else super().run(job)

    harness.register("protocols", "sloppy", Sloppy)
    outcome = go(store, protocol="sloppy", seeds=[0, 1])
    assert [r.status for r in outcome.records] == ["failed", "ok"]
    assert outcome.records[0].traceback
    assert [r.status for r in store.records()].count("ok") == 1
    assert store.done() == {outcome.records[1].id}


def test_a_part_of_the_suite_leaves_the_rest_of_the_plan(toys: Any, store: Store) -> None:
    go(store, seeds=[0, 1])
    go(store, Choice(seeds=[1, 7]), seeds=[0, 1])
    manifest = store.manifest("s")
    assert manifest is not None
    assert [c["at"]["seed"] for c in manifest["cells"]] == [0, 1, 7]
    assert read_frame(store)["at.seed"].sort_values().tolist() == [0, 1, 7]


CODE = """
import numpy as np
from harness import Result, Sample

class M:
    def __init__(self, level: int = None, half: float = 1): self.level, self.half = level, half
    def load(self, device): ...

class S:
    ids, targets = ["a", "b"], np.array([0, 1])
    def __len__(self): return 2
    def __getitem__(self, n): return Sample(self.ids[n])

class D:
    splits = ("test",)
    def load(self, split): return S()

class P:
    def run(self, job):
        import random, torch
        if job.model.level == 2:
            raise ValueError("two")
        drawn = np.random.default_rng(job.seed_for("x", job.cell.seed)).random()
        return Result({"drawn": drawn, "global": random.random() + float(torch.rand(()))}, count=len(job.splits("test")))

class Where:
    def run(self, job):
        import os
        return Result({"process": os.getpid()})
"""


@pytest.fixture
def outside(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """`out-m`, `out-d`, `out-p` and `out-where` in an installed distribution, so that other processes have them."""
    kinds = {
        "harness.models": {"out-m": "outside:M"},
        "harness.datasets": {"out-d": "outside:D"},
        "harness.protocols": {"out-p": "outside:P", "out-where": "outside:Where"},
    }
    monkeypatch.setenv("PYTHONPATH", str(install("outside", kinds, {"outside": CODE})))


def test_processes_serve_several_runs(outside: None, store: Store) -> None:
    suite = {"models": ["out-m"], "datasets": ["out-d"], "metrics": [], "executor": "processes:1"}

    def where(executors: Executors | None, name: str, **changes: Any) -> float:
        outcome = go(store, **suite, name=name, protocol="out-where", executors=executors, **changes)
        (record,) = outcome.records
        return record.metrics["process"]

    with Executors() as executors:
        first = where(executors, "first", seeds=[0])
        assert where(executors, "second", seeds=[1]) == first
        # a cell that raises takes no process down
        go(
            store,
            **{**suite, "models": [{"plugin": "out-m", "level": 2}]},
            protocol="out-p",
            executors=executors,
        )
        assert where(executors, "third", seeds=[2]) == first
    assert where(None, "fourth", seeds=[3]) != first


def test_processes_end_with_a_run_that_is_interrupted(outside: None, store: Store) -> None:
    class Impatient:
        @hookimpl
        def cell_finished(self, record: Record) -> None:
            raise KeyboardInterrupt

    suite = {"models": ["out-m"], "datasets": ["out-d"], "metrics": [], "protocol": "out-where"}
    with Executors() as executors:
        with pytest.raises(KeyboardInterrupt):
            go(
                store,
                **suite,
                seeds=[0, 1, 2],
                executor="processes:1",
                executors=executors,
                listeners=[Impatient()],
            )
        (before,) = {r.metrics["process"] for r in store.records()}
        outcome = go(store, **suite, seeds=[0, 1, 2, 3], executor="processes:1", executors=executors)
        assert {r.status for r in outcome.records} == {"ok"}
        assert before not in {r.metrics["process"] for r in outcome.records}
        assert len(store.done()) == 4


def test_processes_give_what_one_process_gives(outside: None, tmp_path: Path) -> None:
    models = [
        {"plugin": "out-m", "label": "none"},
        {"plugin": "out-m", "label": "n{level}", "grid": {"level": [1, 2]}},
    ]
    suite = {
        "name": "s",
        "protocol": "out-p",
        "models": models,
        "datasets": ["out-d"],
        "seeds": [0, 1],
        "metrics": [],
    }
    one, many = Store(tmp_path / "one"), Store(tmp_path / "many")
    inline = go(one, **suite)
    spread = go(many, **suite, executor="processes:2")
    assert len(numbers(one)) == 4
    assert numbers(one) == numbers(many)
    assert {r.id: (r.status, r.reason) for r in inline.records} == {
        r.id: (r.status, r.reason) for r in spread.records
    }


def test_cells_travel_and_keep_their_id(toys: Any) -> None:
    for planned in make_plan(parse_suite({**BASE, "axes": {"shots": [1]}})):
        del planned.cell.__dict__["id"]
        there = pickle.loads(pickle.dumps(planned.cell))
        assert there.id == planned.cell.id
        assert there.coordinates == planned.cell.coordinates


def test_plugins_of_this_process_do_not_reach_others(toys: Any, store: Store) -> None:
    with pytest.raises(harness.HarnessError, match=r"registered in this process"):
        go(store, executor="processes:1")


def test_wrong_executors(toys: Any, store: Store) -> None:
    with pytest.raises(
        harness.HarnessError, match="no executor plugin named 'procesess'; did you mean 'processes'"
    ):
        go(store, executor="procesess")
    with pytest.raises(harness.HarnessError, match="count must be at least 1"):
        go(store, executor="processes:0")


def test_chunks_of_models_made_on_first_use_are_spread() -> None:
    """One process makes the first model while the others have work with the other ones."""
    from types import SimpleNamespace

    from harness.running.executors.chunks import spread_chunks

    def cell(model: str, number: int) -> Any:
        return SimpleNamespace(model=SimpleNamespace(identity=model), number=number)

    chunks = [[cell(m, n)] for m in "abc" for n in range(3)]
    spread = [(c[0].model.identity, c[0].number) for c in spread_chunks(chunks)]
    assert spread == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("c", 1),
        ("c", 2),
        ("b", 1),
        ("b", 2),
        ("a", 1),
        ("a", 2),
    ]
    assert sorted(spread) == sorted((c[0].model.identity, c[0].number) for c in chunks)


@pytest.mark.parametrize("own", [[], [{"name": "main", "values": ["toy"]}]])
def test_an_added_metric_is_in_a_table(toys: Any, store: Store, own: list[dict[str, Any]]) -> None:
    """In one of its own beside the suite's tables, and in the plain one where the suite has none."""

    class Other:
        higher_is_better = True

        def __call__(self, evidence: Any) -> float:
            return 0.0

    harness.register("metrics", "other", Other)
    outcome = go(store, Choice(add_metrics=["other"]), tables=own)
    kept = store.manifest("s")
    assert kept is not None
    for tables in (outcome.plan.suite.model_dump()["tables"], kept["suite"]["tables"]):
        assert len(tables) == len(own) + 1
        assert tables[-1]["values"] == (["other"] if own else ["toy", "other"])


def test_parts_of_a_suite_that_begin_at_once_all_stand_in_its_plan(toys: Any, store: Store) -> None:
    plans = [make_plan(parse_suite({**BASE, "seeds": [seed]})) for seed in (0, 1, 2)]
    keep_manifest(store, plans[0], merge=True)
    with locked(store.path / "suites" / ".lock"):  # another run: it has read the plan, and not yet written it
        read = store.manifest("s")
        assert read is not None
        meanwhile = threading.Thread(target=keep_manifest, args=(store, plans[1], True))
        meanwhile.start()
        meanwhile.join(0.2)  # without the lock it would be done by now, and lost below
        store.write_manifest(read["suite"], [*read["cells"], *manifest_cells(plans[2])])
    meanwhile.join()
    manifest = store.manifest("s")
    assert manifest is not None
    assert sorted(c["at"]["seed"] for c in manifest["cells"]) == [0, 1, 2]


def test_a_run_that_only_skipped_was_in_vain_whenever_that_turned_up(toys: Any, store: Store) -> None:
    class Gone(toys.Model):
        def load(self, device: Any) -> None:
            raise toys.Away("can't be downloaded")

    harness.register("models", "gone", Gone)
    skipped = go(store, models=["gone", {"plugin": "toy", "mode": "away"}])
    assert skipped.in_vain == (
        "suite s: none of 2 cells can run: 1 × can't be downloaded (1 more reason below the tables)"
    )
    assert go(store, models=["gone", "toy"]).in_vain is None
    assert go(store, models=["gone", {"plugin": "toy", "mode": "fails"}]).in_vain is None


def test_only_a_whole_run_leaves_its_tables_to_the_cache(
    toys: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(derived, "_registered_here", lambda: False)  # as if the toys were installed
    monkeypatch.setattr(derived, "STARTED", time.time_ns() + 3600 * 10**9)
    models = [{"plugin": "toy", "bias": 0.1 * n, "label": f"m{n}"} for n in range(3)]
    tables = [{"name": "t", "values": ["score"]}]
    whole = go(store, models=models, tables=tables)
    plain = [t.to_dict() for t in build_tables(whole.plan.suite, whole.frame(), store)]
    assert [t.to_dict() for t in whole.tables()] == plain
    part = go(store, Choice(models=["m1"]), models=models, tables=tables)
    assert [row.header for row in part.tables()[0].rows] == [("m1",)]

    def refuse(*given: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr("harness.leaderboard.build.build_tables", refuse)
    assert [t.to_dict() for t in stored_tables(store, "s", {})] == plain
    with pytest.raises(AssertionError, match="made again"):
        part.tables()
