"""Displays of a run: counts, time left, long work, few lines of many cells, and a narrow terminal."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.long_work import hearing_long_work, long_work, take_seconds
from harness.records.files import cache_lock
from harness.running.live_display import LiveDisplay
from harness.running.progress import FEW, LineDisplay
from harness.running.time_left import TimeLeft


def make_cell(
    number: int = 0, *, model: str = "m", method: str = "", dataset: str = "d", seed: int = 0
) -> Any:
    at = {
        "experiment": "e",
        "protocol": "p",
        "model": model,
        "dataset": dataset,
        "method": method,
        "seed": seed,
    }
    id = f"{number}-{model}-{method}-{dataset}-{seed}"
    return SimpleNamespace(
        id=id, shown=id, axes={}, coordinates=at, model=SimpleNamespace(identity=model) if model else None
    )


def make_record(seconds: float = 1.0, status: str = "ok", **cost: float) -> Any:
    return SimpleNamespace(
        status=status,
        whole=status == "ok",
        reason="why",
        failures={},
        remarks=[],
        metrics={"top1": 0.5},
        units={"top1": "fraction"},
        provenance={},
        cost={"seconds": seconds, **cost},
    )


class Plan(list[Any]):
    suite = SimpleNamespace(name="s")
    remarks: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        return {"run": len(self)}


def start(display: Any, cells: list[Any], path: Path = Path("store")) -> None:
    plan = Plan(SimpleNamespace(state="run", cell=cell) for cell in cells)
    display.run_started(plan=plan, store=SimpleNamespace(path=path))


def test_cells_like_the_finished_one_take_as_long() -> None:
    cells = [make_cell(method=method, seed=seed) for method in ("slow", "fast") for seed in range(10)]
    left = TimeLeft(cells)
    assert left.estimate(0.0) is None
    left.finish(cells[0], 10.0)
    left.finish(cells[10], 1.0)
    assert left.estimate(11.0) == pytest.approx(9 * 10 + 9 * 1)
    for cell in cells[1:10]:
        left.finish(cell, 10.0)
    assert left.estimate(101.0) == pytest.approx(9.0)
    for cell in cells[11:]:
        left.finish(cell, 1.0)
    assert left.estimate(110.0) == 0.0


def test_one_time_training_is_expected_once_per_model_not_per_cell() -> None:
    cells = [make_cell(model=model, dataset=str(n)) for model in "abc" for n in range(50)]
    left = TimeLeft(cells)
    left.finish(cells[0], 30.5, one_time=30.0)  # 149 × 30.5 s would be an hour and a quarter
    assert left.estimate(30.5) == pytest.approx(149 * 0.5 + 2 * 30.0)


def test_cells_that_run_at_once_share_the_time() -> None:
    cells = [make_cell(seed=seed) for seed in range(10)]
    left = TimeLeft(cells)
    for cell in cells[:4]:
        left.finish(cell, 10.0)
    assert left.estimate(20.0, most_at_once=2) == pytest.approx(6 * 10 / 2)
    assert left.estimate(10.0, most_at_once=2) == pytest.approx(6 * 10 / 2)  # no more than can be
    assert left.estimate(80.0, most_at_once=2) == pytest.approx(6 * 10)


def test_few_cells_have_a_line_each_and_many_do_not() -> None:
    for count in (3, 3 * FEW):
        stream = io.StringIO()
        seen = LineDisplay(stream, every=1e9)
        cells = [make_cell(n) for n in range(count)]
        start(seen, cells)
        for cell in cells:
            seen.cell_finished(cell=cell, record=make_record())
        seen.run_finished()
        lines = [line for line in stream.getvalue().splitlines() if line.startswith("[")]
        assert len(lines) == (count if count == 3 else 2)  # the first, and the last
        assert lines[-1].startswith(f"[{count}/{count}]")


def test_of_many_cells_every_failure_has_its_line() -> None:
    stream = io.StringIO()
    seen = LineDisplay(stream, every=1e9)
    cells = [make_cell(n) for n in range(2 * FEW)]
    start(seen, cells)
    for n, cell in enumerate(cells):
        seen.cell_finished(cell=cell, record=make_record(status="failed" if n % 50 == 7 else "ok"))
    seen.run_finished()
    assert stream.getvalue().count("failed: why") == 4


def test_long_work_is_told_once_it_lasts_and_once_in_all() -> None:
    stream, said = io.StringIO(), threading.Event()

    class Heard(LineDisplay):
        def say(self, line: str) -> None:
            super().say(line)
            if line.startswith("…"):
                said.set()

    seen = Heard(stream, silent=0.0)
    cells = [make_cell(0), make_cell(1)]
    start(seen, cells)
    seen.cell_work(cell=cells[0], what="training tiny-x, once")
    assert said.wait(60)
    seen.cell_work(cell=cells[1], what="training tiny-x, once")
    seen.cell_work(cell=cells[1], what="")
    for cell in cells:
        seen.cell_finished(cell=cell, record=make_record())
    seen.run_finished()
    assert stream.getvalue().count("… training tiny-x, once") == 1
    assert not [t for t in threading.enumerate() if t is seen._ticker]


def test_short_work_is_not_told() -> None:
    stream = io.StringIO()
    seen = LineDisplay(stream, silent=1e9)
    start(seen, [make_cell()])
    seen.cell_work(cell=make_cell(), what="drawing, once")
    seen.cell_work(cell=make_cell(), what="")
    seen.cell_finished(cell=make_cell(), record=make_record())
    seen.run_finished()
    assert "drawing" not in stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 120])
def test_a_narrow_terminal_keeps_counts_and_time(width: int) -> None:
    from rich.console import Console

    stream = io.StringIO()
    seen = LiveDisplay(stream)
    seen.console = Console(file=stream, width=width, force_terminal=True)
    from harness.running import live_display

    seen.progress = live_display._build_progress(seen.console, seen.format_time_left)
    cells = [make_cell(n, model="a-model-with-a-name-that-fills-a-terminal-by-itself") for n in range(1081)]
    start(seen, cells)
    seen.cell_started(cell=cells[0])
    seen.cell_finished(cell=cells[0], record=make_record(3.0))
    with seen.console.capture() as shown:
        seen.console.print(seen.progress.get_renderable())
    seen.run_finished()
    line = next(line for line in shown.get().splitlines() if "1081" in line)
    assert "1/1081" in line
    assert "left" in line


def test_the_innermost_work_is_told_and_its_time_counts_once() -> None:
    told: list[str] = []
    take_seconds()
    with hearing_long_work(told.append), long_work("outer"), long_work("inner"):
        pass
    assert told == ["outer", "inner", "", ""]
    first = take_seconds()
    assert first > 0
    assert take_seconds() == 0


def test_who_waits_for_another_process_says_so(tmp_path: Path) -> None:
    from filelock import FileLock

    held = FileLock(tmp_path / "net.lock")
    held.acquire()
    told: list[str] = []

    def hear(what: str) -> None:
        told.append(what)
        held.release()  # the other one has finished

    with hearing_long_work(hear), cache_lock(tmp_path / "net.safetensors"):
        pass
    assert told == ["waiting for another process that makes net.safetensors", ""]
