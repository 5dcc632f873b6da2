"""Events of cells that run in other processes: all of them, in order, as if they ran in this one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.executors.channel import MOST, Sender, unpack_events
from harness.running.hooks import hookimpl
from harness.running.runner import run


class Hears:
    """Keeps every event of each cell, by its seed."""

    def __init__(self) -> None:
        self.cells: dict[int, list[Any]] = {}
        self.positions: list[tuple[int, int]] = []

    def _keep(self, cell: Any, *what: Any) -> None:
        self.cells.setdefault(cell.seed, []).append(what)

    @hookimpl
    def cell_started(self, cell: Any, position: int, total: int) -> None:
        self.positions.append((position, total))
        self._keep(cell, "started")

    @hookimpl
    def cell_progress(self, cell: Any, done: int, total: int) -> None:
        self._keep(cell, "progress", done, total)

    @hookimpl
    def cell_curve(self, cell: Any, name: str, step: int, values: dict[str, float]) -> None:
        self._keep(cell, name, step, values)

    @hookimpl
    def cell_image(self, cell: Any, name: str, step: int, path: Path) -> None:
        self._keep(cell, name, step, path.is_file())

    @hookimpl
    def cell_finished(self, cell: Any, record: Any) -> None:
        self._keep(cell, "finished", record.status)


def heard(suite: dict[str, Any], store: Path, executor: str) -> Hears:
    hears = Hears()
    run(
        parse_suite(suite), Store(store), device="cpu", executor=executor, listeners=[hears],
        installed_listeners=False,
    )  # fmt: skip
    return hears


def without_progress(hears: Hears) -> dict[int, list[Any]]:
    return {seed: [e for e in events if e[0] != "progress"] for seed, events in hears.cells.items()}


def test_worker_processes_tell_what_this_process_tells(talks: dict[str, Any], tmp_path: Path) -> None:
    suite = {**talks, "protocol": "talks?fails=1&steps=20"}
    inline, spread = (heard(suite, tmp_path / name, name) for name in ("inline", "processes:2"))
    assert without_progress(inline) == without_progress(spread)
    events = without_progress(spread)
    assert events[0][0] == ("started",)
    assert events[0][-2:] == [("samples", 7, True), ("finished", "ok")]
    assert events[1][-1] == ("finished", "failed")
    assert [e[1] for e in events[0] if e[0] == "training"] == list(range(20))
    assert sorted(spread.positions) == [(1, 2), (2, 2)]
    # progress is thinned out, and its last word is kept
    for seed in (0, 1):
        progress = [e for e in spread.cells[seed] if e[0] == "progress"]
        assert progress[-1] == ("progress", 20, 20)
        assert [e[1] for e in progress] == sorted(e[1] for e in progress)


class Pipe:
    """Stands for the pipe: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_bytes(self, packed: bytes) -> None:
        self.sent.append(packed)


def unpacked(pipe: Pipe) -> list[Any]:
    return [event for packed in pipe.sent for event in unpack_events(packed)]


CELL: Any = SimpleNamespace(id="c")


def sender(pipe: Pipe) -> Sender:
    return Sender(pipe.send_bytes)


def test_events_travel_together_and_of_progress_only_the_last() -> None:
    pipe = Pipe()
    tell = sender(pipe)
    tell.sent = float("inf")  # no time passes
    for step in range(5):
        tell("cell_progress", cell=CELL, done=step, total=5)
        tell("cell_curve", cell=CELL, name="n", step=step, values={"loss": np.float64(step)})
    assert pipe.sent == []
    tell.flush()
    assert len(pipe.sent) == 1
    events = unpacked(pipe)
    assert [e[0] for e in events] == ["cell_curve"] * 4 + ["cell_progress", "cell_curve"]
    assert events[-2][2] == {"done": 4, "total": 5}
    assert type(events[-1][2]["values"]["loss"]) is float


def test_a_long_wait_is_cut_by_number_too() -> None:
    pipe = Pipe()
    tell = sender(pipe)
    tell.sent = float("inf")
    for step in range(MOST):
        tell("cell_curve", cell=CELL, name="n", step=step, values={})
    assert len(pipe.sent) == 1
    assert len(unpacked(pipe)) == MOST


def test_tensors_travel_as_numbers_and_what_can_not_travel_is_left_out() -> None:
    torch = pytest.importorskip("torch")
    pipe = Pipe()
    tell = sender(pipe)
    tell("cell_curve", cell=CELL, name="a", step=1, values={"loss": torch.tensor(2.0, requires_grad=True)})
    tell("cell_curve", cell=CELL, name="b", step=1, values={"loss": lambda: 0})
    tell("cell_curve", cell=CELL, name="c", step=1, values={"loss": 3})
    tell.flush()
    assert [(e[2]["name"], e[2]["values"]) for e in unpacked(pipe)] == [
        ("a", {"loss": 2.0}),
        ("c", {"loss": 3}),
    ]
