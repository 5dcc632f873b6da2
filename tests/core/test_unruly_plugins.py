"""Plugins that leave, draw at random, or say odd things: their cells are told of, and nobody else's numbers change."""

import enum
import io
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

import pytest
import torch

import harness
from harness.cli import main
from harness.contract.running import Job, Result
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.leases import Leases
from harness.records.store import Store
from harness.running.hooks import hookimpl
from harness.running.runner import run

BASE: dict[str, Any] = {
    "name": "s",
    "protocol": "toy",
    "models": ["toy"],
    "datasets": ["toy"],
    "metrics": ["toy"],
}


def go(store: Store, listeners: tuple[object, ...] = (), **changes: Any) -> Any:
    content = parse_suite({**BASE, **changes})
    return run(content, store, device="cpu", installed_listeners=False, listeners=listeners)


def test_a_plugin_that_exits_fails_its_cell_alone(toys: Any, store: Store) -> None:
    class Leaves(toys.Model):
        def load(self, device: object) -> None:
            sys.exit(0)

    class LeavesAtOnce(toys.Model):
        def __init__(self) -> None:
            sys.exit(0)

    class LeavesAtPlanning(toys.Model):
        def unavailable(self) -> str | None:
            sys.exit(0)

    class Listener:
        @hookimpl
        def cell_started(self) -> None:
            sys.exit(0)

    for name, cls in (("leaves", Leaves), ("at-once", LeavesAtOnce), ("at-planning", LeavesAtPlanning)):
        harness.register("models", name, cls)
    outcome = go(store, (Listener(),), models=["leaves", "at-once", "at-planning", "toy"])
    got = {r.coordinates["model"]: r for r in outcome.records}
    assert {name: r.status for name, r in got.items()} == {
        "leaves": "failed", "at-once": "failed", "at-planning": "failed", "toy": "ok",
    }  # fmt: skip
    assert all("SystemExit: 0" in str(r.reason) for r in got.values() if r.status == "failed")
    assert "left out: SystemExit" in outcome.problems[0]


def test_a_protocol_that_exits_at_planning_breaks_its_cells(
    toys: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Leaves(toys.Protocol):
        def cannot(self, *_: object) -> str | None:
            sys.exit(0)

    harness.register("protocols", "leaves", Leaves)
    (planned,) = make_plan(parse_suite({**BASE, "protocol": "leaves"}))
    assert planned.state == "broken"
    assert "SystemExit" in str(planned.reason)
    suite = tmp_path / "s.toml"
    suite.write_text('name = "s"\nprotocol = "leaves"\nmodels = ["toy"]\ndatasets = ["toy"]\nmetrics = []\n')
    assert main(["plan", str(suite), "--store", str(tmp_path / "store")]) == 0
    assert "\n  can't run 1 × protocol 'leaves'" in capsys.readouterr().out


def test_what_another_run_finished_meanwhile_is_not_overwritten(
    toys: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where leases don't keep two runs apart, on a file system without hard links."""
    monkeypatch.setattr(Leases, "take", lambda self, id: None)

    class Overtaken(toys.Protocol):
        def run(self, job: Job) -> Result:
            if again := not taken:
                taken.append(job.cell.id)
                go(store, protocol="overtaken")
            result = super().run(job)
            if again:
                raise FileNotFoundError(job.workdir)
            return result

    taken: list[str] = []
    harness.register("protocols", "overtaken", Overtaken)
    outcome = go(store, protocol="overtaken")
    assert [r.status for r in outcome.records] == ["ok"]
    assert store.done() == set(taken)


def test_a_failure_takes_the_place_of_an_older_record(toys: Any, store: Store, tmp_path: Path) -> None:
    class Worse(toys.Protocol):
        def run(self, job: Job) -> Result:
            if bad.exists():
                raise ValueError("now")
            return super().run(job)

    bad = tmp_path / "bad"  # what a plugin reads without saying so is no part of its identity
    harness.register("protocols", "worse", Worse)
    suite = parse_suite({**BASE, "protocol": "worse"})
    run(suite, store, device="cpu")
    bad.touch()
    outcome = run(suite, store, device="cpu", fresh=True)
    assert [r.status for r in outcome.records] == ["failed"]
    assert store.done() == set()


def test_random_weights_of_a_shared_model_do_not_hang_on_the_cell_that_came_first(
    toys: Any, tmp_path: Path
) -> None:
    class Random(toys.Model):
        def load(self, device: object) -> None:
            self.weight = float(torch.rand(()))

    class Shows(toys.Protocol):
        def run(self, job: Job) -> Result:
            return Result({"weight": job.model.weight, "drawn": float(torch.rand(()))})

    harness.register("models", "random", Random)
    harness.register("protocols", "shows", Shows)
    grid: dict[str, Any] = {"protocol": "shows", "models": ["random", "random?bias=1"], "metrics": []}
    grid["models"] = [{"plugin": "random", "label": str(b), "bias": b} for b in (0, 1)]
    both, second = Store(tmp_path / "both"), Store(tmp_path / "second")
    go(both, **grid, datasets=["toy", "toy:b"])
    go(second, **grid, datasets=["toy:b"])
    all_of_them = {r.id: r.metrics for r in both.records()}
    assert {r.id: r.metrics for r in second.records()}.items() <= all_of_them.items()
    assert len({m["weight"] for m in all_of_them.values()}) == 2
    assert len({m["drawn"] for m in all_of_them.values()}) == 4


def test_every_number_of_a_metric_has_its_direction(toys: Any, store: Store) -> None:
    class Loss:
        higher_is_better = False
        unit = "fraction"

        def __call__(self, evidence: Any) -> dict[str, float]:
            return {"loss_a": 0.5, "b": 0.25, "loss": 0.1}

    class Measures(toys.Protocol):
        directions = {"loss_own": True}  # noqa: RUF012 - as plugins write it
        units = {"loss_steps": "count"}  # noqa: RUF012

        def run(self, job: Job) -> Result:
            from harness.inference.evaluate import compute_metrics

            own = {"loss_own": 1.0, "loss_steps": 9.0, "mine": 2.0}
            return Result({**compute_metrics(job, [1.0]), **own})

    harness.register("metrics", "loss", Loss)
    harness.register("protocols", "measures", Measures)
    (record,) = go(store, protocol="measures", metrics=["loss"]).records
    assert record.directions == {
        "loss_a": False, "loss.b": False, "loss": False, "loss_own": True, "loss_steps": True, "mine": True,
    }  # fmt: skip
    assert record.units == dict.fromkeys(("loss_a", "loss.b", "loss"), "fraction") | {"loss_steps": "count"}


@pytest.mark.parametrize("status", ["OK", "", "failed"])
def test_a_status_that_is_none_fails_the_cell(toys: Any, store: Store, status: str) -> None:
    class Odd(toys.Protocol):
        def run(self, job: Job) -> Result:
            return Result({"x": 1.0}, status=status)

    harness.register("protocols", "odd", Odd)
    outcome = go(store, protocol="odd")
    assert [r.status for r in outcome.failed] == ["failed"]
    assert f"returned the status {status!r}" in str(outcome.failed[0].reason)


def test_a_protocol_that_can_not_say_how_many_seeds_it_takes_gets_single_ones(
    toys: Any, store: Store
) -> None:
    class Unsure(toys.Protocol):
        def seeds_at_once(self, cell: object) -> int:
            raise KeyError("boom")

        def run_many(self, jobs: list[Job]) -> list[Result]:
            raise AssertionError("never asked")

    harness.register("protocols", "unsure", Unsure)
    assert [r.status for r in go(store, protocol="unsure", seeds=[0, 1]).records] == ["ok", "ok"]


CODE = """
import os
from harness import Result

class M:
    def __init__(self, name="m"): self.name = name
    def load(self, device): ...

class D:
    splits = ("test",)
    def load(self, split): ...

class Odd:
    def run(self, job):
        class Local: ...
        return Result({"x": float("nan")}, notes={"mine": Local()})

class Ends:
    def run(self, job):
        os._exit(3)
"""


@pytest.fixture
def outside(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins above in an installed distribution, so that other processes have them."""
    kinds = {
        "harness.models": {"un-m": "unruly:M"},
        "harness.datasets": {"un-d": "unruly:D"},
        "harness.protocols": {"un-odd": "unruly:Odd", "un-ends": "unruly:Ends"},
    }
    monkeypatch.setenv("PYTHONPATH", str(install("unruly", kinds, {"unruly": CODE})))


OUTSIDE: dict[str, Any] = {
    "models": ["un-m"],
    "datasets": ["un-d"],
    "metrics": [],
    "executor": "processes:1",
}


def test_notes_that_do_not_travel_take_no_run_down(outside: None, store: Store) -> None:
    (record,) = go(store, **OUTSIDE, protocol="un-odd").records
    assert record.status == "ok"
    assert record.metrics["x"] != record.metrics["x"]
    assert "Local" in record.notes["mine"]


def test_a_plugin_that_ends_its_process_fails_its_cell_alone(outside: None, store: Store) -> None:
    told: list[str] = []

    class Lost:
        @hookimpl
        def cell_lost(self, cell: Any, reason: str) -> None:
            told.append(reason)

    (record,) = go(store, **OUTSIDE, protocol="un-ends", listeners=[Lost()]).records
    assert record.status == "failed"
    assert record.reason == "worker 1 ended by itself with exit code 3; 2 workers were lost at this cell"
    assert told == ["worker 1 ended by itself with exit code 3"] * 2


NOTHING = object()


class Colour(enum.Enum):
    red = "r"
    blue = "b"


def test_an_option_may_be_an_enumeration_and_what_no_record_can_hold_breaks_its_cells_alone(
    toys: Any, store: Store
) -> None:
    class Coloured(toys.Model):
        def __init__(self, colour: Colour = Colour.red) -> None:
            super().__init__()
            self.colour = colour

    class Opaque(toys.Model):
        def __init__(self, thing: Any = NOTHING) -> None: ...

    harness.register("models", "coloured", Coloured)
    harness.register("models", "opaque", Opaque)
    outcome = go(store, models=["coloured", "coloured:b", "opaque"])
    got = {r.coordinates["model"]: r for r in outcome.records}
    assert {name: r.status for name, r in got.items()} == {"coloured": "ok", "b": "ok", "opaque": "failed"}
    assert got["coloured"].cell["model"]["options"] == {"colour": "r"}
    assert "model 'opaque' of (this process) has an option that no record can hold" in str(
        got["opaque"].reason
    )
    (there,) = make_plan(parse_suite({**BASE, "models": ["coloured:b"]}))
    travelled = pickle.loads(pickle.dumps(there.cell))
    assert travelled.id == there.cell.id
    assert travelled.model.object.colour is Colour.blue


class Read: ...


def test_metrics_that_are_none_and_metrics_that_may_read_nothing(toys: Any) -> None:
    class Gives(toys.Protocol):
        provides = (Read,)

    class Maybe(toys.Metric):
        def __call__(self, evidence: Read | None) -> float:
            return 1.0

    def number() -> int:
        return 5

    harness.register("protocols", "gives", Gives)
    harness.register("metrics", "maybe", Maybe)
    harness.register("metrics", "number", number)
    (fine,) = make_plan(parse_suite({**BASE, "protocol": "gives", "metrics": ["maybe"]}))
    assert fine.state == "run"
    (broken,) = make_plan(parse_suite({**BASE, "protocol": "gives", "metrics": ["number"]}))
    assert broken.state == "broken"
    assert (
        broken.reason
        == "metric 'number' of (this process) is not a metric: TypeError: its factory returned 5, not a function"
    )


@pytest.mark.parametrize(
    "annotation",
    ["typing.Any", "'Any'", Any, Optional[Read], Union[int, Read], "Read | Any"],  # noqa: UP007, UP045
)
def test_metrics_that_take_anything_or_what_the_protocol_gives(toys: Any, annotation: object) -> None:
    class Gives(toys.Protocol):
        provides = (Read,)

    class Takes(toys.Metric):
        def __call__(self, evidence) -> float:  # type: ignore[no-untyped-def]
            return 1.0

    Takes.__call__.__annotations__["evidence"] = annotation
    harness.register("protocols", "gives", Gives)
    harness.register("metrics", "takes", Takes)
    (fine,) = make_plan(parse_suite({**BASE, "protocol": "gives", "metrics": ["takes"]}))
    assert fine.state == "run"


def test_what_plugins_print_is_not_in_an_answer_in_json(
    toys: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Prints(toys.Model):
        def __init__(self) -> None:
            super().__init__()
            print("made")

        def load(self, device: object) -> None:
            print("loaded")

    harness.register("models", "prints", Prints)
    suite = tmp_path / "s.toml"
    suite.write_text('name = "s"\nprotocol = "toy"\nmodels = ["prints"]\ndatasets = ["toy"]\nmetrics = []\n')
    for command in (["plan"], ["run", "--device", "cpu"]):
        assert main([*command, str(suite), "--store", str(tmp_path / "store"), "--json"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)[0]["suite"] == "s"
        assert "made" in said.err
    assert "loaded" in said.err


def test_a_store_that_can_not_be_written_is_one_line(
    toys: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "s.toml"
    suite.write_text('name = "s"\nprotocol = "toy"\nmodels = ["toy"]\ndatasets = ["toy"]\nmetrics = []\n')
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "store"
    assert main(["run", str(suite), "--store", str(place)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"harness: {place}")


def test_names_that_the_terminal_can_not_show(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.register("models", "modèle", toys.Model)

    def said(*command: str) -> str:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        assert main(command) == 0
        sys.stdout.flush()
        return raw.getvalue().decode("ascii")

    assert "mod\\xe8le" in said("list", "models")
    assert "modèle" in {found["name"] for found in json.loads(said("list", "models", "--json"))["models"]}


def test_a_check_of_a_plugin_that_exits_has_a_verdict(toys: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Leaves:
        """A metric."""

        higher_is_better = True

        def __call__(self, evidence: harness.Predictions) -> float:
            sys.exit(0)

    harness.register("metrics", "leaves", Leaves)
    assert main(["check", "leaves"]) == 1
    assert "SystemExit: 0" in capsys.readouterr().out
