"""Cells in a real Ray cluster of this machine: the same records as anywhere, whatever dies, leaves or joins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.leases import list_leases
from harness.records.record import Record
from harness.records.store import Store
from harness.running.executors import dispatcher
from harness.running.hooks import hookimpl
from harness.running.runner import run
from harness.running.worker import RunSettings

pytest.importorskip("ray", reason="ray is not installed: pip install 'vision-harness[ray]'")

Suite = Callable[..., dict[str, Any]]
OWN = ("pid", "threads", "gpu")
"""Metrics that tell of a cell's process."""


class Listens:
    """Counts events by cell, and does something at each start and end."""

    def __init__(self, on_start: Callable[[Any], None] = lambda cell: None) -> None:
        self.started: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.pictures: list[bool] = []
        self.on_start = on_start

    @hookimpl
    def cell_started(self, cell: Any) -> None:
        self.started[cell.shown] += 1
        self.on_start(cell)

    @hookimpl
    def cell_lost(self, cell: Any, reason: str) -> None:
        self.lost[cell.shown] += 1

    @hookimpl
    def cell_image(self, path: Path) -> None:
        self.pictures.append(path.is_file())


def go(content: dict[str, Any], store: Path, executor: str, listens: Listens) -> dict[str, Record]:
    """Run a suite; return its records by what the cells are called."""
    outcome = run(
        parse_suite(content), Store(store), device="cpu", executor=executor, listeners=[listens],
        installed_listeners=False,
    )  # fmt: skip
    shown = {p.cell.id: p.cell.shown for p in outcome.plan}
    assert len(outcome.records) == len(outcome.plan)
    return {shown[record.id]: record for record in outcome.records}


def on(cluster: Any, **options: Any) -> str:
    """The reference of an executor on the cluster."""
    return "ray?" + "&".join(f"{k}={v}" for k, v in {"address": cluster.address, **options}.items())


def results(records: dict[str, Record]) -> dict[str, Any]:
    """What must not depend on the executor."""
    return {
        shown: (r.status, {k: v for k, v in r.metrics.items() if k not in OWN}, r.files)
        for shown, r in records.items()
    }


def files(store: Path) -> dict[str, bytes | None]:
    """The files that lie beside the records, with the contents of those that are the same in every run."""
    kept = [
        p
        for p in store.rglob("*")
        if p.is_file() and p.relative_to(store).parts[0] not in ("leases", "suites")
    ]
    same = (".png", ".csv", ".parquet")
    return {p.relative_to(store).as_posix(): p.read_bytes() if p.suffix in same else None for p in kept}


@pytest.mark.parametrize("shared", [None, False], ids=["shared files", "files that travel"])
def test_records_files_and_events_are_those_of_inline(
    cluster: Any, suite: Suite, tmp_path: Path, shared: bool | None
) -> None:
    content = suite("ok", "fails", seeds=[0, 1, 2])
    holders: dict[str, int] = {}

    def look(cell: Any) -> None:
        holders.update({lease.id: lease.holder.pid for lease in list_leases(tmp_path / "ray" / "leases")})

    here, there = Listens(), Listens(look)
    expected = go(content, tmp_path / "inline", "inline", here)
    options = {"count": 2} if shared is None else {"count": 2, "shared": "false"}
    records = go(content, tmp_path / "ray", on(cluster, **options), there)
    assert results(records) == results(expected)
    assert files(tmp_path / "ray") == files(tmp_path / "inline")
    assert there.started == here.started
    assert there.pictures == here.pictures == [True] * 3
    workers = {int(r.metrics["pid"]) for r in records.values() if r.metrics}
    assert os.getpid() not in workers
    assert {r.metrics["threads"] for r in records.values() if r.metrics} == {1.0}
    # without a shared store the driver has the leases, as the only one that other runs can see
    assert (os.getpid() in holders.values()) == (shared is False)
    assert list_leases(tmp_path / "ray" / "leases") == []


def test_a_bucket_gets_whole_records_from_workers_without_the_store(
    cluster: Any, suite: Suite, tmp_path: Path
) -> None:
    """What travels to the driver must not be taken from under a worker that puts it into the bucket."""
    pytest.importorskip("obstore")
    from harness.mirroring.mirrored_run import mirroring

    store, bucket, listens = Store(tmp_path / "store"), tmp_path / "bucket", Listens()
    url = f"file://{bucket}"
    with mirroring(store, url) as mirrored:
        outcome = run(
            parse_suite(suite("ok", seeds=list(range(12)))), store, device="cpu", remote=url,
            executor=on(cluster, count=2, shared="false"), listeners=[*mirrored.listeners, listens],
            installed_listeners=False,
        )  # fmt: skip
    assert {record.status for record in outcome.records} == {"ok"}
    assert mirrored.not_put == 0
    kept = {
        kind: {p.relative_to(folder).as_posix() for p in (folder / kind).rglob("*.*") if p.is_file()}
        for kind in ("records", "samples", "curves", "images")
        for folder in [store.path]
    }
    for kind, names in kept.items():
        assert len(names) == 12
        assert all((bucket / name).read_bytes() == (store.path / name).read_bytes() for name in names), kind
    assert not any((bucket / "leases").rglob("*.json"))
    assert list_leases(store.path / "leases") == []


def test_a_worker_that_is_killed_costs_its_own_cell_alone(cluster: Any, suite: Suite, tmp_path: Path) -> None:
    """One of bad luck is tried again, a poison one fails after two workers, the rest run once."""
    listens = Listens()
    content = suite("ok", "dies", "dies once", flag=tmp_path / "flag", seeds=[0, 1])
    records = go(content, tmp_path / "store", on(cluster, count=2, retries=1), listens)
    for shown, record in records.items():
        poison = shown.startswith("dies ·")
        assert record.status == ("failed" if poison else "ok"), shown
        assert listens.lost[shown] <= 2
        if poison:
            assert "was killed or crashed, as when memory runs out; 2 workers were lost" in str(record.reason)
            assert listens.lost[shown] == 2
            assert Store(tmp_path / "store").read(record.id) == record
    assert sum(listens.lost.values()) == 5
    assert all(listens.started[shown] == 1 for shown in records if shown.startswith("ok"))


def test_cells_of_a_lost_node_run_elsewhere(cluster: Any, suite: Suite, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2)

    def leave(cell: Any) -> None:
        if sum(listens.started.values()) == 6:  # all four work by then
            threading.Thread(target=cluster.remove_node, args=(node,)).start()

    listens = Listens(leave)
    content = suite("sleeps", seeds=list(range(16)))
    records = go(content, tmp_path / "store", on(cluster, count=4), listens)
    assert {r.status for r in records.values()} == {"ok"}
    assert len(records) == 16
    assert 16 <= sum(listens.started.values()) <= 16 + 2


def test_a_slot_without_room_is_told_and_works_when_a_node_joins(
    cluster: Any,
    suite: Suite,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three cells that wait for each other need three workers at once, and the cluster has room for two."""
    monkeypatch.setattr(dispatcher, "PATIENCE", 0.5)
    (tmp_path / "met").mkdir()
    joined: list[Any] = []

    def join(cell: Any) -> None:
        if sum(listens.started.values()) == 2:
            joined.append(cluster.add_node(num_cpus=1))  # Ray wants the main thread for that, as here

    listens = Listens(join)
    content = suite("meets", flag=tmp_path / "met", seeds=[0, 1, 2])
    records = go(content, tmp_path / "store", on(cluster, count=3), listens)
    cluster.remove_node(joined[0])
    assert {r.status for r in records.values()} == {"ok"}
    assert len({r.metrics["pid"] for r in records.values()}) == 3
    assert sum(listens.started.values()) == 3
    assert "waits for room in the cluster: it needs 1 CPU, and free are 0 of 2 CPUs; after" in caplog.text


def test_actors_share_a_gpu_and_see_no_other(cluster: Any, suite: Suite, tmp_path: Path) -> None:
    """Halves of one GPU; to Ray any number is one, so the worker itself is told to use the CPU."""
    from harness.running.claims import Claims
    from harness.running.executors.dispatcher import Dispatcher
    from harness_ray.cluster import Share, connect, count_actors, disconnect
    from harness_ray.setup import make_setup
    from harness_ray.slots import ActorPlace

    cells = [p.cell for p in make_plan(parse_suite(suite("sleeps", seeds=[0, 1, 2, 3])))]
    store, share = Store(tmp_path / "store"), Share(cpus=1, gpus=0.5)
    assert connect(cluster.address)
    runner = None
    try:
        count = count_actors(share)
        place = ActorPlace(count, make_setup(RunSettings(store.path, "cpu"), None), share, Claims(store))
        runner = Dispatcher(place)
        found = list(runner.run([[cell] for cell in cells], store.path, lambda *_, **__: None))
    finally:
        if runner is not None:
            runner.close()
        disconnect()
    assert count == 2
    assert {record.metrics["gpu"] for _, record in found} == {0.0}
    assert len({record.metrics["pid"] for _, record in found}) == 2


def test_a_worker_with_other_versions_is_refused(
    cluster: Any, suite: Suite, site: Path, tmp_path: Path
) -> None:
    """The distribution is upgraded between the plan and the start of the workers."""
    from harness_ray.executor import Ray

    cells = [p.cell for p in make_plan(parse_suite(suite("ok")))]
    metadata = site / "ray_toys-1.0.dist-info" / "METADATA"
    before = metadata.read_text()
    executor = Ray(1, cluster.address)
    try:
        metadata.write_text(before.replace("Version: 1.0", "Version: 2.0"))
        with pytest.raises(
            HarnessError, match=r"has version 2\.0 of ray-toys, this process 1\.0: install the same there"
        ):
            list(executor.execute(cells, RunSettings(tmp_path / "store", "cpu"), lambda *_, **__: None))
    finally:
        metadata.write_text(before)
        executor.close()


def test_a_killed_driver_leaves_whole_records_and_no_worker(
    ray_environment: Path, suite: Suite, tmp_path: Path
) -> None:
    """It has a cluster of its own, which goes with it; another run goes on from its records."""
    content = suite("sleeps", seeds=list(range(8)))
    (tmp_path / "suite.toml").write_text(
        'name = "r"\nprotocol = "ray-p"\ndatasets = ["ray-d"]\nseeds = [0, 1, 2, 3, 4, 5, 6, 7]\n'
        'methods = [{ plugin = "ray-w", label = "sleeps", does = "sleeps" }]\n'
    )
    store = Store(tmp_path / "store")
    command = [sys.executable, "-m", "harness", "run", "suite.toml", "--store", str(store.path), "--device", "cpu",
               "--executor", "ray:2"]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as driver:
        while driver.poll() is None and len(store.listing()) < 2:
            time.sleep(0.05)
        started = descendants(driver.pid)
        driver.send_signal(signal.SIGKILL)
        _, said = driver.communicate()
    assert len(store.listing()) >= 2, said
    workers = [pid for pid, title in started.items() if title.startswith("ray::CellActor")]
    assert len(workers) == 2
    left = {pid: started[pid] for pid in workers}
    until = time.monotonic() + 60
    while left and time.monotonic() < until:
        time.sleep(0.1)
        left = {pid: title for pid, title in left.items() if title_of(pid) == title}
    for pid, title in started.items():  # agents of Ray's own, which notice a minute later
        if title_of(pid) == title and pid not in left:
            os.kill(pid, signal.SIGKILL)
    assert left == {}
    made = {id: store.open_record(id) for id in store.listing()}  # raises for one that is not whole
    run(parse_suite(content), store, device="cpu", executor="inline", installed_listeners=False)
    assert {record.status for record in store.records()} == {"ok"}
    assert all(store.open_record(id) == record for id, record in made.items())
    assert len(store.listing()) == 8


def title_of(pid: int) -> str | None:
    """What a process calls itself; None once it is gone."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return text.replace(b"\0", b" ").decode(errors="replace").strip() or None


def descendants(root: int) -> dict[int, str]:
    """The processes that a process has started, and those that they have, with their titles."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: title for pid in found - {root} if (title := title_of(pid))}
