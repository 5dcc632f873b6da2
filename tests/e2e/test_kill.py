"""A run that is killed, again and again, ends with the records of a run that was left in peace."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.records.store import Store

POINTS, SEEDS = 30, 2
KILLS = 24

SUITE = f"""
name = "slow"
datasets = ["acme-stripes"]
axes = {{ point = {list(range(POINTS))} }}
seeds = {list(range(SEEDS))}
protocol = {{ plugin = "acme-slow", pause = PAUSE }}

[[tables]]
name = "slow"
rows = ["point"]
columns = ["metric"]
values = ["right", "loss"]
"""


class Launcher:
    """Harness commands in forks of one process that has everything imported."""

    def __init__(self, folder: Path, good: Path) -> None:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env |= {
            "PYTHONPATH": os.pathsep.join([str(good), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "OMP_NUM_THREADS": "1",
            "HARNESS_CACHE": str(folder / "cache"),
        }
        self.output = folder / "output.txt"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("launcher.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=folder,
        )
        assert self._line() == "ready"

    def start(self, *arguments: object) -> int:
        """Starts `harness ARGUMENTS` and gives its process id."""
        assert self.process.stdin is not None
        request = {"arguments": [str(a) for a in arguments], "output": str(self.output)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """The exit status of the command last started; −9 when it was killed."""
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory, built: dict[str, Path]) -> Iterator[Launcher]:
    started = Launcher(tmp_path_factory.mktemp("launcher"), built["good"])
    yield started
    assert started.process.stdin is not None
    started.process.stdin.close()
    started.process.wait(timeout=10)


def suite_file(folder: Path, pause: float) -> Path:
    path = folder / "slow.toml"
    path.write_text(SUITE.replace("PAUSE", str(pause)))
    return path


def content(store: Store) -> dict[str, Any]:
    """What the records say, without the times and places that differ from run to run."""
    found = {}
    for record in store.records():
        images = {p.name: p.read_bytes() for p in store.images(record.id)}
        found[record.id] = (
            record.status,
            record.coordinates,
            record.metrics,
            record.count,
            record.files,
            store.samples(record.id).to_dict("list"),
            store.curves(record.id).to_dict("list"),
            images,
        )
    return found


def check_whole(path: Path) -> int:
    """Every file that bears its final name can be read to its end; gives how many records there are."""
    import pyarrow.parquet as pq

    final = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")]
    for file in final:
        if file.suffix == ".json":
            json.loads(file.read_bytes())
        elif file.suffix == ".parquet":
            pq.ParquetFile(file).read()
        elif file.suffix == ".png":
            with Image.open(file) as image:
                image.load()
        elif file.suffix == ".npz":
            assert file.is_relative_to(path / "evidence")
            with np.load(file, allow_pickle=False) as held:
                assert [held[name] for name in held.files]  # every member is read to its end
        elif file.suffix in (".lease", ".worker"):
            # what a killed worker was at; the next one that asks for it takes it over
            assert file.parent == path / "leases"
        elif file.suffix == ".csv":
            # a training's log is appended to as it runs; a row that a kill cut off goes when it continues
            assert file.is_relative_to(path / "logs")
        else:
            raise AssertionError(f"what is {file}?")
    store = Store(path)
    for record in store.records():  # the record is the commit: what it names is there
        assert store.file("samples", record.id, ".parquet").is_file()
        assert store.file("curves", record.id, ".parquet").is_file()
        assert len(store.images(record.id)) == 1
    return len(list(store.records()))


def tables(launcher: Launcher, store: Path) -> str:
    launcher.start("table", "slow", "--store", store, "--format", "csv")
    assert launcher.wait() == 0
    return launcher.output.read_text()


def test_killed_at_random_moments(launcher: Launcher, tmp_path: Path) -> None:
    suite = suite_file(tmp_path, pause=0.004)
    command = ("run", suite, "--quiet", "--store")
    undisturbed = tmp_path / "undisturbed"
    launcher.start(*command, undisturbed)
    assert launcher.wait() == 0, launcher.output.read_text()
    expected, expected_table = content(Store(undisturbed)), tables(launcher, undisturbed)
    assert len(expected) == POINTS * SEEDS

    rng = random.Random(20)
    kills, rounds, partly = 0, 0, set[int]()
    while kills < KILLS:
        store = tmp_path / f"killed-{rounds}"
        rounds += 1
        status, done = -signal.SIGKILL, 0
        while status:
            child = launcher.start(*command, store)
            if kills < KILLS:
                # a random stage, which does not hang on the machine's speed, and a random moment in it
                target = 0 if kills == 0 else rng.randint(done + 1, len(expected) + 1)
                wait_for(lambda store=store, target=target, child=child: reached(store, target, child))
                time.sleep(rng.uniform(0, 0.02))
                with suppress(ProcessLookupError):  # it may have ended before
                    os.kill(child, signal.SIGKILL)
            status = launcher.wait()
            assert status in (0, -signal.SIGKILL), launcher.output.read_text()
            if status:
                kills += 1
                done = check_whole(store)
                partly.add(done)
        assert content(Store(store)) == expected
        assert tables(launcher, store) == expected_table
    # the kills met runs at many stages: before the first record, and with few and many made
    assert 0 in partly
    assert len(partly) >= 8


def test_leftovers_of_killed_writers_are_not_used(launcher: Launcher, tmp_path: Path) -> None:
    suite, store = suite_file(tmp_path, pause=0.0), tmp_path / "store"
    launcher.start("run", suite, "--quiet", "--store", store)
    assert launcher.wait() == 0
    before = content(Store(store))
    one = next(iter(before))
    Store(store).file("records", one, ".json").unlink()
    folder = store / "records" / one[:2]
    old, young = folder / ".partial-old.json", folder / ".partial-young.json"
    for leftover in (old, young):
        leftover.write_bytes(b'{"id": "' + one.encode() + b'", "status": "ok"')
    os.utime(old, (1, 1))
    launcher.start("run", suite, "--json", "--store", store)
    assert launcher.wait() == 0
    assert json.loads(launcher.output.read_text())[0]["ran"] == {"ok": 1}
    assert content(Store(store)) == before
    assert not old.exists()
    assert young.exists()  # another process may still be writing it


def test_damaged_index_is_made_again(launcher: Launcher, tmp_path: Path) -> None:
    suite, store = suite_file(tmp_path, pause=0.0), tmp_path / "store"
    launcher.start("run", suite, "--quiet", "--store", store)
    assert launcher.wait() == 0
    shown = tables(launcher, store)
    index = store / "index.parquet"
    index.write_bytes(index.read_bytes()[:100])
    assert tables(launcher, store) == shown
    launcher.start("plan", suite, "--json", "--store", store)
    assert launcher.wait() == 0
    assert json.loads(launcher.output.read_text())[0]["counts"] == {"done": POINTS * SEEDS}


def test_interrupt_keeps_what_is_finished(launcher: Launcher, tmp_path: Path) -> None:
    suite, store = suite_file(tmp_path, pause=0.1), tmp_path / "store"
    child = launcher.start("run", suite, "--store", store)
    wait_for(lambda: len(Store(store).listing()) >= 5)
    os.kill(child, signal.SIGINT)
    assert launcher.wait() == 130
    said = launcher.output.read_text().splitlines()
    assert said[-1].startswith("harness: interrupted; finished cells are kept")
    assert not any("Traceback" in line for line in said)
    kept = check_whole(store)
    assert 5 <= kept < POINTS * SEEDS
    launcher.start("plan", suite, "--json", "--store", store)
    assert launcher.wait() == 0
    counts = json.loads(launcher.output.read_text())[0]["counts"]
    assert counts == {"done": kept, "run": POINTS * SEEDS - kept}


def test_worker_processes_killed_with_their_parent(launcher: Launcher, tmp_path: Path) -> None:
    suite = suite_file(tmp_path, pause=0.04)
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "killed"
    launcher.start("run", suite, "--quiet", "--store", undisturbed)
    assert launcher.wait() == 0
    command = ("run", suite, "--quiet", "--executor", "processes:2", "--store", store)
    child = launcher.start(*command)
    wait_for(lambda: len(Store(store).listing()) >= 10)
    workers = descendants(child)
    assert len(workers) >= 2
    os.kill(child, signal.SIGKILL)
    assert launcher.wait() == -signal.SIGKILL
    wait_for(lambda: not any(Path(f"/proc/{w}/cmdline").exists() for w in workers))
    assert 10 <= check_whole(store) < POINTS * SEEDS
    launcher.start(*command)
    assert launcher.wait() == 0, launcher.output.read_text()
    assert content(Store(store)) == content(Store(undisturbed))


def reached(store: Path, records: int, child: int) -> bool:
    """Whether a run has made so many records, or has ended before."""
    if records == 0 or not Path(f"/proc/{child}").exists():
        return True
    return store.exists() and len(Store(store).listing()) >= records


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    """Waits until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """The process ids below a process, as the kernel tells."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("this system does not tell the children of a process")
    children = [int(c) for c in listed.read_text().split()]
    return children + [d for c in children for d in descendants(c)]
