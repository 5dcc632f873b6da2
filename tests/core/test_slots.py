"""Worker processes of this machine: what kills or hangs one costs its own cells; each has its own GPU."""

from __future__ import annotations

import errno
import multiprocessing.context
import os
import queue
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.record import Record
from harness.records.store import Store
from harness.running.executors import process_slots
from harness.running.executors.channel import RECORD
from harness.running.executors.dispatcher import Dispatcher
from harness.running.executors.process_slots import ProcessPlace
from harness.running.executors.slots import Batch, Message, Ready
from harness.running.hooks import hookimpl
from harness.running.runner import run
from harness.running.visible_devices import Gpu
from harness.running.worker import RunSettings

CODE = """
import os, shutil, signal, time
import numpy as np
from harness import Result, Sample

class M:
    def __init__(self, does: str = "ok"): self.does = does
    def load(self, device): ...

class S:
    ids, targets = ["a", "b"], np.array([0, 1])
    def __len__(self): return 2
    def __getitem__(self, n): return Sample(self.ids[n])

class D:
    splits = ("test",)
    def load(self, split): return S()

class Odd:
    def __reduce__(self): return (int, ("not a number",))

class Acts:
    def run(self, job):
        does = job.model.does
        if does == "segfaults":
            os.kill(os.getpid(), signal.SIGSEGV)
        if does == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if does == "leaves":
            os._exit(7)
        if does == "forks":
            if (child := os.fork()) == 0:
                os.execvp("sleep", ["sleep", "3600"])
            with open(job.cache.folder / "children", "a") as file:
                file.write(f"{child}\\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        if does == "closes":
            os.closerange(3, 1024)
        if does == "fills the disk":
            folder = job.workdir.parent.parent / "records"
            shutil.rmtree(folder, ignore_errors=True)
            folder.touch()
        if does == "wants to stop":
            raise KeyboardInterrupt
        if does == "says odd things":
            job.report("x", 1, {"loss": Odd()})
        if does == "hangs" and job.cell.seed == 1:
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
            time.sleep(3600)
        if does == "dies once":
            flag = job.cache.folder / "died"
            if not flag.exists():
                flag.parent.mkdir(parents=True, exist_ok=True)
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if does == "sleeps":
            time.sleep(0.2)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return Result({"pid": os.getpid(), "gpu": float(visible or -1)}, count=2)
"""


@pytest.fixture(autouse=True)
def plugins(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """`slot-m`, `slot-d` and `slot-p` in an installed distribution, so that other processes have them."""
    kinds = {
        "harness.models": {"slot-m": "slot_toys:M"},
        "harness.datasets": {"slot-d": "slot_toys:D"},
        "harness.protocols": {"slot-p": "slot_toys:Acts"},
    }
    monkeypatch.setenv("PYTHONPATH", str(install("slot-toys", kinds, {"slot_toys": CODE})))


def suite(*does: str, **changes: Any) -> dict[str, Any]:
    models = [{"plugin": "slot-m", "label": d, "does": d} for d in does]
    whole = {"name": "s", "protocol": "slot-p", "models": models, "datasets": ["slot-d"], "metrics": []}
    return {**whole, "executor": "processes:2", **changes}


class Listens:
    def __init__(self) -> None:
        self.started: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    @hookimpl
    def cell_started(self, cell: Any) -> None:
        self.started[cell.shown] += 1

    @hookimpl
    def cell_lost(self, cell: Any, reason: str) -> None:
        self.lost[cell.shown] += 1


def go(store: Store, content: dict[str, Any], *listeners: object, **how: Any) -> dict[str, Record]:
    outcome = run(
        parse_suite(content), store, device="cpu", installed_listeners=False, listeners=listeners, **how
    )
    shown = {p.cell.id: p.cell.shown for p in outcome.plan}
    return {shown[r.id]: r for r in outcome.records}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_cells_that_kill_their_worker_fail_alone(store: Store) -> None:
    """Each is tried twice; the others run once, whatever waits behind a poison cell."""
    listens = Listens()
    does = ("ok", "segfaults", "is killed", "leaves", "dies once")
    records = go(store, suite(*does, seeds=[0, 1]), listens)
    deadly = {
        "segfaults": "SIGSEGV",
        "is killed": "SIGKILL, as when memory runs out",
        "leaves": "exit code 7",
    }
    for name, record in records.items():
        word = next((w for d, w in deadly.items() if d in name), None)
        assert record.status == ("ok" if word is None else "failed")
        if word is not None:
            assert word in str(record.reason)
            assert "2 workers were lost at this cell" in str(record.reason)
            assert listens.lost[name] == 2
            assert store.read(record.id) == record
    assert listens.started["ok · slot-d"] == 1
    assert sum(listens.lost.values()) == 2 * 6 + 1


def test_a_death_shows_though_what_the_worker_forked_lives_on(store: Store, tmp_path: Path) -> None:
    """It has inherited all pipes, and so keeps them open."""
    cache = tmp_path / "cache"
    cache.mkdir()
    try:
        records = go(store, suite("ok", "forks"), cache=cache)
    finally:
        for child in (cache / "children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
    assert records["ok · slot-d"].status == "ok"
    assert "SIGSEGV" in str(records["forks · slot-d"].reason)


def test_a_plugin_that_closes_all_files_keeps_its_numbers(store: Store) -> None:
    records = go(store, suite("ok", "closes"))
    assert {r.status for r in records.values()} == {"ok"}


def test_a_store_that_becomes_unwritable_ends_the_run_in_one_line(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """No other cell could be kept, so none is blamed, and the worker shows no traceback."""
    listens = Listens()
    with pytest.raises(harness.HarnessError, match="the store can't be written: Not a directory; make it"):
        go(store, suite("fills the disk", "ok", executor="processes:1"), listens)
    assert not listens.lost
    assert "Traceback" not in capfd.readouterr().err


def test_a_plugin_that_wants_to_stop_fails_its_cell(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    records = go(store, suite("ok", "wants to stop"))
    failed = records["wants to stop · slot-d"]
    assert str(failed.reason).endswith("ended: KeyboardInterrupt; 2 workers were lost at this cell")
    assert records["ok · slot-d"].status == "ok"
    assert "Traceback" not in capfd.readouterr().err


def test_events_that_can_not_be_taken_in_take_no_record_along(store: Store) -> None:
    records = go(store, suite("says odd things", seeds=[0, 1]))
    assert {r.status for r in records.values()} == {"ok"}


def test_workers_that_do_not_end_are_waited_for_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their time to tidy up begins when they are told to end, not one after another."""
    place = ProcessPlace(3, RunSettings(store.path, device="cpu", threads=1))
    slots = [place.start(number, lambda message: None) for number in range(3)]
    for slot in slots:
        os.kill(slot._process.pid or 0, signal.SIGSTOP)
    monkeypatch.setattr(process_slots, "GRACE", 3.0)
    for slot in slots:
        slot.end()
    for slot in slots:
        assert slot._patient_until <= time.monotonic() + 3.0
    began = time.monotonic()
    slots[0].join()
    waited = time.monotonic() - began
    for slot in slots[1:]:
        slot.join()
    assert time.monotonic() - began < 2 * waited
    assert [slot._process.exitcode for slot in slots] == [-signal.SIGKILL] * 3


def test_a_process_that_can_not_be_started_is_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with pytest.raises(harness.HarnessError, match=r"worker 1 can't be started: .*; ask for fewer workers"):
        go(store, suite("ok"))


@pytest.mark.parametrize("executor", ["processes:2", "inline"])
def test_a_cell_that_hangs_is_ended_at_its_limit(store: Store, executor: str) -> None:
    """Also inline, in a process of its own; a signal that it ignores does not help it."""
    content = suite("ok", "hangs", seeds=[0, 1], executor=executor)
    # a limit that a start of torch can't reach: only the cell's own time counts
    records = go(store, content, cell_timeout=8)
    hung = records.pop("hangs · slot-d · seed 1")
    assert (hung.status, hung.reason) == ("failed", "took longer than its limit of 8 s (cell_timeout)")
    assert {r.status for r in records.values()} == {"ok"}
    assert os.getpid() not in {r.metrics["pid"] for r in records.values()}


def test_the_suite_states_a_limit_which_plugins_of_this_process_can_not_keep(
    toys: Any, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    content = {"name": "s", "protocol": "toy", "models": ["toy"], "datasets": ["toy"], "metrics": ["toy"]}
    (record,) = go(store, {**content, "cell_timeout": 5}).values()
    assert record.status == "ok"
    assert (
        "its limit of 5 s per cell is not kept here: plugins registered in this process only" in caplog.text
    )
    with pytest.raises(harness.HarnessError, match="registered in this process only"):
        go(store, content, cell_timeout=5, fresh=True)
    with pytest.raises(harness.HarnessError, match="cell_timeout"):
        parse_suite({**content, "cell_timeout": 0})


def test_an_own_process_without_a_limit(store: Store) -> None:
    records = go(store, suite("ok", "leaves", executor="inline?own_process=true"))
    assert records["ok · slot-d"].metrics["pid"] != os.getpid()
    assert records["leaves · slot-d"].status == "failed"


def test_each_slot_keeps_its_gpu_also_after_a_death(store: Store) -> None:
    """Three slots on devices 5 and 7: 5, 7, 5; what takes the place of a killed worker has its device."""
    cells = [p.cell for p in make_plan(parse_suite(suite("sleeps", seeds=list(range(9)))))]
    settings = RunSettings(store.path, device="cpu", threads=1)
    gpus = [Gpu("5", "A", 0), Gpu("7", "B", 1)]

    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    place = ProcessPlace(3, settings, gpus)
    slots = [place.start(number, inbox.put) for number in range(3)]
    assert [slot.where for slot in slots] == ["worker 1 on GPU 0", "worker 2 on GPU 1", "worker 3 on GPU 0"]
    seen: dict[int, float] = {}
    while len(seen) < 3:
        message = inbox.get(timeout=300)
        if isinstance(message, Ready):
            slots[message.slot].send([cells[message.slot]], since=0)
        elif isinstance(message, Batch):
            for name, _, facts in message.events:
                if name == RECORD:
                    seen[message.slot] = Record.from_json(facts["record"], "").metrics["gpu"]
    for slot in slots:
        slot.stop()
        slot.join()
    assert seen == {0: 5, 1: 7, 2: 5}

    runner = Dispatcher(ProcessPlace(1, settings, gpus[1:]))
    again: dict[float, float] = {}
    try:
        for _, record in runner.run([[c] for c in cells[3:6]], store.path, lambda *_, **__: None):
            if not again:
                os.kill(int(record.metrics["pid"]), signal.SIGKILL)
            again[record.metrics["pid"]] = record.metrics["gpu"]
    finally:
        runner.close()
    assert list(again.values()) == [7, 7]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_device_that_is_not_here_is_told_by_the_worker(store: Store) -> None:
    cells = [p.cell for p in make_plan(parse_suite(suite("ok")))]
    settings = replace(RunSettings(store.path), device="cuda:9")
    runner = Dispatcher(ProcessPlace(1, settings))
    with pytest.raises(
        harness.HarnessError, match=r"no worker process can start: worker 1 ended: --device cuda:9"
    ):
        list(runner.run([cells], store.path, lambda *_, **__: None))
    runner.close()
