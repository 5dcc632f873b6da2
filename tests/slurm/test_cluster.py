"""Runs on a real Slurm of two nodes, and what kills, cancellations and interruptions leave of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Detached
from harness.planning.suite import parse_suite
from harness.records.record import Record
from harness.records.store import Store
from harness.running.hooks import hookimpl
from harness.running.runner import run
from harness.testing import ExecutorConformance
from harness_slurm import Slurm

pytestmark = pytest.mark.usefixtures("cluster", "hurried")

HURRIED = (
    # tests may run where Ctrl-C is ignored, which processes inherit
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "import sys, harness_slurm.driver as d; d.PAUSE, d.EVERY = 0.1, 0.4;"
    "from harness.cli import main; sys.exit(main())"
)


class Hears:
    """Keeps the events of cells, by their points."""

    def __init__(self) -> None:
        self.events: dict[int, list[str]] = {}

    def _keep(self, cell: Any, what: str) -> None:
        self.events.setdefault(cell.axes["point"], []).append(what)

    @hookimpl
    def cell_started(self, cell: Any, position: int, total: int) -> None:
        assert 1 <= position <= total
        self._keep(cell, "started")

    @hookimpl
    def cell_progress(self, cell: Any, done: int, total: int) -> None:
        self._keep(cell, f"{done}/{total}")

    @hookimpl
    def cell_curve(self, cell: Any, values: dict[str, float]) -> None:
        self._keep(cell, f"loss {values['loss']}")

    @hookimpl
    def cell_lost(self, cell: Any, reason: str) -> None:
        self._keep(cell, f"lost: {reason}")

    @hookimpl
    def cell_finished(self, cell: Any, record: Record) -> None:
        self._keep(cell, record.status)


def suite(points: int) -> dict[str, Any]:
    return {
        "name": "toys",
        "protocol": "traced",
        "datasets": ["scenes"],
        "axes": {"point": list(range(points))},
    }


def go(store: Path, points: int, executor: str, **more: Any) -> dict[int, Record]:
    """Run the suite in this process; the records by point."""
    listeners = more.pop("listeners", [])
    done = run(
        parse_suite(suite(points)), Store(store), device="cpu", executor=executor, listeners=listeners,
        installed_listeners=False, **more,
    )  # fmt: skip
    return {r.coordinates["point"]: r for r in done.records}


def command(folder: Path, points: int, executor: str) -> subprocess.Popen[str]:
    """The same as a command in a process of its own, in a session of its own as in a terminal."""
    file = folder / "toys.toml"
    file.write_text(
        'name = "toys"\nprotocol = "traced"\ndatasets = ["scenes"]\n'
        f"axes = {{ point = {list(range(points))} }}\n"
    )
    arguments = [
        "run",
        str(file),
        "--device",
        "cpu",
        "--executor",
        executor,
        "--store",
        str(folder / "store"),
    ]
    return subprocess.Popen(
        [sys.executable, "-c", HURRIED, *arguments],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, cwd=folder,
    )  # fmt: skip


def runs(trace: Path) -> dict[int, list[list[str]]]:
    """For each point, the job's process, node and visible GPUs of each of its runs."""
    found = {int(p.name[4:]): p.read_text().splitlines() for p in trace.glob("ran-*")}
    return {point: [line.split() for line in lines] for point, lines in found.items()}


def counts(trace: Path) -> dict[int, int]:
    return {point: len(lines) for point, lines in runs(trace).items()}


def job_of(store: Path) -> str:
    """The id of the only array under way."""
    import json

    (note,) = (store / "slurm").glob("*/note.json")
    return str(json.loads(note.read_bytes())["id"])


def meanwhile(action: Callable[[], object]) -> threading.Thread:
    """Do something while this process runs a suite."""
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def content(store: Path, record: Record) -> list[Any]:
    """What a record says, without what differs from run to run."""
    place = Store(store)
    frames = (place.samples(record.id), place.curves(record.id))
    assert all(frame is not None for frame in frames)
    return [
        record.id,
        record.status,
        record.metrics,
        record.count,
        record.files,
        *(f.to_dict("list") for f in frames),
    ]


def test_jobs_on_two_nodes_give_what_this_process_gives(trace: Path, tmp_path: Path) -> None:
    store, hears = tmp_path / "store", Hears()
    # a job has a node for itself, so that two at once are on both
    (trace / "hold").touch()
    release = meanwhile(lambda: (wait(lambda: len(runs(trace)) == 2), (trace / "hold").unlink()))
    made = go(store, 6, "slurm:2?per_job=3&minutes=5&extra=--exclusive", listeners=[hears])
    release.join()
    assert {node for ((_, node, _),) in runs(trace).values()} == {"node1", "node2"}
    here = go(tmp_path / "here", 6, "inline")
    assert [content(store, made[p]) for p in range(6)] == [
        content(tmp_path / "here", here[p]) for p in range(6)
    ]
    expected = ["started", "loss 1.0", "2/2", "loss 0.5", "ok"]
    for heard in hears.events.values():
        assert [e for e in heard if e != "1/2"] in (expected, [*expected[:2], "loss 0.5", "2/2", "ok"])
    (folder,) = (store / "slurm").glob("harness-*")
    assert (folder / "ended.json").exists()
    assert not list(folder.glob("cells-*"))
    assert go(store, 6, "slurm") == {}


def wait(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_same_command_attaches_after_an_interruption_and_after_a_kill(
    trace: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    (trace / "hold").touch()
    executor = "slurm:2?per_job=3"
    first = command(tmp_path, 6, executor)
    wait(lambda: len(runs(trace)) == 2)
    first.send_signal(signal.SIGINT)
    said = first.communicate()[0]
    job = job_of(store)
    assert first.returncode == 0, said
    assert f"2 jobs go on; the same command attaches, `scancel {job}` ends them" in said
    second = command(tmp_path, 6, executor)
    assert second.stdout is not None
    assert any(f"attached to Slurm job {job}" in line for line in second.stdout)
    second.kill()
    second.wait()
    release = meanwhile(lambda: (time.sleep(0.5), (trace / "hold").unlink()))
    made = go(store, 6, executor)
    release.join()
    assert {p: r.status for p, r in made.items()} == dict.fromkeys(range(6), "ok")
    assert counts(trace) == dict.fromkeys(range(6), 1)
    assert "run" in made[0].provenance["command"]  # of the command that submitted, not of the job


def test_a_job_that_is_killed_costs_the_cell_that_it_was_at(trace: Path, tmp_path: Path) -> None:
    (trace / "hold-1").touch()
    hears = Hears()

    def kill() -> None:
        wait(lambda: 1 in runs(trace))
        os.kill(int(runs(trace)[1][0][0]), signal.SIGKILL)
        # its worker ends as well, unless it is let go at once and finishes the cell
        wait(lambda: any(e.startswith("lost") for e in list(hears.events.get(1, ()))))
        (trace / "hold-1").unlink()

    killer = meanwhile(kill)
    made = go(tmp_path / "store", 4, "slurm:1?per_job=4", listeners=[hears])
    killer.join()
    assert {p: r.status for p, r in made.items()} == dict.fromkeys(range(4), "ok")
    assert counts(trace) == {0: 1, 1: 2, 2: 1, 3: 1}
    (lost,) = (e for e in hears.events[1] if e.startswith("lost"))
    assert lost.endswith("_0: killed by SIGKILL")


def test_cells_that_kill_their_worker_or_their_job_fail_alone(trace: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (trace / "kill-1").write_text("worker")
    (trace / "kill-3").write_text("job")

    class Tells:
        @hookimpl
        def cell_started(self, cell: Any) -> None:
            (trace / f"told-{cell.axes['point']}").touch()

    made = go(store, 5, "slurm:2?per_job=5", listeners=[Tells()])
    assert {p: r.status for p, r in made.items()} == {0: "ok", 1: "failed", 2: "ok", 3: "failed", 4: "ok"}
    assert "SIGKILL" in str(made[1].reason)
    assert "2 Slurm jobs died with it" in str(made[3].reason)
    assert "killed by SIGKILL" in str(made[3].reason)
    for point in (1, 3):
        log = str(made[point].reason).partition("log: ")[2].partition(".log")[0] + ".log"
        assert Path(log).is_relative_to(store / "slurm")
    assert {p: n for p, n in counts(trace).items() if p not in (1, 3)} == {0: 1, 2: 1, 4: 1}
    assert counts(trace)[3] == 2
    assert Store(store).read(made[3].id) == made[3]


def test_cancelled_jobs_end_the_run_and_the_same_command_runs_them_again(
    trace: Path, tmp_path: Path, cluster: Any
) -> None:
    store = tmp_path / "store"
    (trace / "hold-1").touch()

    def cancel() -> None:
        wait(lambda: 1 in runs(trace))
        cluster.ask("scancel", job_of(store))

    canceller = meanwhile(cancel)
    made = go(store, 4, "slurm:1?per_job=2")
    canceller.join()
    (trace / "hold-1").unlink()
    assert {p: r.status for p, r in made.items()} == {0: "ok", 1: "failed", 2: "failed", 3: "failed"}
    assert "was cancelled: the same command runs it again" in str(made[1].reason)
    again = go(store, 4, "slurm:1?per_job=3")
    assert {p: r.status for p, r in again.items()} == dict.fromkeys((1, 2, 3), "ok")


def test_a_requeued_job_skips_what_is_done(trace: Path, tmp_path: Path, cluster: Any) -> None:
    (trace / "hold-1").touch()

    def requeue() -> None:
        wait(lambda: 1 in runs(trace))
        job = f"{job_of(tmp_path / 'store')}_0"
        cluster.ask("scontrol", "requeue", job)
        (trace / "hold-1").unlink()
        wait(lambda: cluster.states().get(job) == "PENDING")
        cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now+2")
        # by itself it starts two minutes later, and within a second not at all

    requeuer = meanwhile(requeue)
    made = go(tmp_path / "store", 3, "slurm:1?per_job=3")
    requeuer.join()
    assert {p: r.status for p, r in made.items()} == dict.fromkeys(range(3), "ok")
    assert counts(trace) == {0: 1, 1: 2, 2: 1}
    assert len(list((tmp_path / "store" / "slurm").glob("harness-*"))) == 1


def test_a_job_that_gets_notice_of_its_end_leaves_the_rest_to_another(
    trace: Path, tmp_path: Path, cluster: Any
) -> None:
    (trace / "hold-1").touch()

    def notify() -> None:
        wait(lambda: 1 in runs(trace))
        cluster.ask("scancel", "--batch", "--signal=USR2", f"{job_of(tmp_path / 'store')}_0")
        time.sleep(0.5)
        (trace / "hold-1").unlink()

    notifier = meanwhile(notify)
    made = go(tmp_path / "store", 4, "slurm:1?per_job=4&minutes=30")
    notifier.join()
    assert {p: r.status for p, r in made.items()} == dict.fromkeys(range(4), "ok")
    assert counts(trace) == dict.fromkeys(range(4), 1)
    parents = [runs(trace)[p][0][0] for p in range(4)]
    assert parents[0] == parents[1]
    assert parents[2] == parents[3] != parents[0]


def test_submit_and_leave_with_a_gpu_each(trace: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (trace / "hold").touch()
    with pytest.raises(
        Detached, match=r"2 jobs go on; the same command attaches, `scancel [0-9]+` ends them"
    ):
        go(store, 2, "slurm:2?per_job=1&gpus=1&wait=false")
    with pytest.raises(Detached, match="2 jobs go on"):
        go(store, 2, "slurm:2?per_job=1&gpus=1&wait=false")
    wait(lambda: len(runs(trace)) == 2)
    assert sorted(gpu for ((_, _, gpu),) in runs(trace).values()) == ["0", "1"]
    (trace / "hold").unlink()
    made = go(store, 2, "slurm")
    assert {p: r.status for p, r in made.items()} in ({0: "ok", 1: "ok"}, {0: "ok"}, {1: "ok"}, {})
    assert {r.status for r in Store(store).records()} == {"ok"}
    assert counts(trace) == {0: 1, 1: 1}


def test_a_job_waits_for_what_another_machine_is_at_and_puts_what_it_made(
    trace: Path, tmp_path: Path
) -> None:
    """Leases in a bucket are seen by the jobs alone: one job stays, where each used to leave at once for the next."""
    pytest.importorskip("obstore")
    from harness.mirroring.bucket_leases import BucketLeases
    from harness.planning.plan import make_plan

    store, bucket = tmp_path / "store", tmp_path / "bucket"
    url = f"file://{bucket}"
    ids = {p.cell.axes["point"]: p.cell.id for p in make_plan(parse_suite(suite(2)))}
    other = BucketLeases(url)
    assert other.take(ids[1]) is None

    def leave() -> None:
        wait(lambda: 0 in runs(trace))
        time.sleep(6)
        other.close()

    leaving = meanwhile(leave)
    made = go(store, 2, "slurm:1", remote=url)
    leaving.join()
    assert {p: r.status for p, r in made.items()} == {0: "ok", 1: "ok"}
    assert counts(trace) == {0: 1, 1: 1}
    assert len(list((store / "slurm").glob("harness-*"))) == 1
    wait(lambda: len(list((bucket / "records").rglob("*.json"))) == 2)


@pytest.mark.usefixtures("trace")
class TestConformance(ExecutorConformance):
    """The checks that every executor must pass."""

    @pytest.fixture
    def executor(self) -> Slurm:
        return Slurm(jobs=1)

    @pytest.fixture
    def cell(self) -> dict[str, Any]:
        return {"protocol": "traced", "datasets": ["scenes"], "axes": {"point": [0]}}
