"""Leases: one holder at a time, whoever is killed at whatever moment, and none that blocks a cell for ever."""

from __future__ import annotations

import errno
import gc
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

import harness
from harness.cli import main
from harness.errors import StoreError, SuiteError
from harness.records import leases
from harness.records.lease_holders import Holder, HolderProcess
from harness.records.leases import Leases, clear_leases, list_leases
from harness.records.store import Store

ID, OTHER = "0123456789abcdef0123", "fedcba9876543210fedc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where leases are: not there yet."""
    return tmp_path / "store" / "leases"


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., Leases]]:
    """Makes workers that beat seldom, and closes them."""
    made: list[Leases] = []

    def one(**options: Any) -> Leases:
        made.append(Leases(folder, **{"beat_every": 1000.0, **options}))
        return made[-1]

    yield one
    for worker in made:
        worker.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The observers' clock, which stands until it is moved."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def here(**changes: Any) -> HolderProcess:
    """This process, changed; changes of its holder too."""
    process = HolderProcess.here()
    mine = {name: changes.pop(name) for name in ("host", "pid", "job") if name in changes}
    return replace(process, holder=replace(process.holder, **mine), **changes)


def gone_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def put(folder: Path, process: HolderProcess | bytes, *names: str) -> Path:
    """Lay a worker's file and its leases as that process would have; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"1-{random.getrandbits(32):08x}.worker"
    path.write_bytes(process if isinstance(process, bytes) else process.to_json())
    for name in names:
        os.link(path, folder / f"{name}.lease")
    return path


def start(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process that runs code with a worker, `mine`."""
    code = f"from pathlib import Path\nfrom harness.records.leases import *\nmine = Leases(Path({str(folder)!r}))\n{code}"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)


def pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_lease_has_one_holder_until_it_is_given(make: Callable[..., Leases], folder: Path) -> None:
    first, second = make(), make()
    assert first.take(ID) is None
    assert first.take(ID) is None  # ours already
    holder = second.take(ID)
    assert holder == replace(HolderProcess.here().holder, started=holder.started if holder else "")
    assert str(holder) == f"process {os.getpid()} on host {os.uname().nodename}"
    assert second.take(OTHER) is None
    assert second.take(f"{OTHER}-12") is None  # a block
    second.give(ID)  # not its own
    assert second.take(ID) is not None
    first.give(ID)
    assert second.take(ID) is None
    assert first.take(ID) is not None
    second.close()
    assert first.take(ID) is None
    first.close()
    assert names(folder) == []
    assert first.take(ID) is None  # a closed one starts anew
    assert [lease.id for lease in list_leases(folder)] == [ID]


THIEF = """
import random, sys, time
from harness.records import leases, lease_files
look = lease_files.look
def slow(path):
    time.sleep(random.choice((0, 0, 0.0005, 0.002)))
    found = look(path)
    time.sleep(random.choice((0, 0, 0.0005, 0.002)))
    return found
leases.look = slow
for line in sys.stdin:
    print(int(mine.take(line.strip()) is None), flush=True)
"""


def test_of_four_thieves_one_wins_each_round(folder: Path) -> None:
    dead = here(pid=gone_pid())
    thieves = [start(THIEF, folder) for _ in range(4)]
    try:
        for n in range(120):
            id = f"{n:020x}"
            if n % 6:  # else a free lease
                put(folder, dead, id)
            for thief in thieves:
                stdin, _ = pipes(thief)
                stdin.write(f"{id}\n")
                stdin.flush()
            assert sum(int(pipes(thief)[1].readline()) for thief in thieves) == 1, f"round {n}"
    finally:
        for thief in thieves:
            thief.communicate()
    assert not list(folder.glob("*.lease*"))  # processes that end give theirs


def test_a_slow_thief_does_not_rob_the_faster_one(make: Callable[..., Leases], folder: Path) -> None:
    put(folder, here(pid=gone_pid()), ID)
    slow, fast = make(), make()
    replacing = slow._replace

    def late(path: Path, found: Any) -> Holder | None:
        assert fast.take(ID) is None  # after the slow one has judged it stale
        return replacing(path, found)

    slow._replace = late  # type: ignore[method-assign]
    assert slow.take(ID) is not None
    assert fast.take(ID) is None
    assert [name for name in names(folder) if ".lease" in name] == [f"{ID}.lease"]


def test_a_thief_killed_while_it_stole_blocks_nobody(make: Callable[..., Leases], folder: Path) -> None:
    victim = put(folder, here(pid=gone_pid()), ID)
    lock = f"{ID}.lease.{victim.stat().st_ino:x}"
    thief = put(folder, here(pid=gone_pid()))
    os.link(thief, folder / lock)
    second = put(folder, here(pid=gone_pid()))
    os.link(second, folder / f"{lock}.{thief.stat().st_ino:x}")
    worker = make()
    assert worker.take(ID) is None
    worker.give(ID)
    worker.close()
    assert names(folder) == []


def test_a_killed_holder_loses_its_lease_at_once(make: Callable[..., Leases], folder: Path) -> None:
    holder = start(f"print(mine.take('{ID}'), flush=True)\ninput()", folder)
    assert pipes(holder)[1].readline() == "None\n"
    worker = make()
    found = worker.take(ID)
    assert found is not None
    assert found.pid == holder.pid
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie
    assert worker.take(ID) is None
    holder.communicate()


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({"ticks": 1}, True),  # the number is another process's now
        ({"ticks": None}, False),
        ({"pid": None}, True),
        ({"pid": 2**70}, True),
        ({"pid": None, "host": "elsewhere"}, False),
        ({"pid": None, "boot": "earlier"}, False),
        ({"pid": None, "namespace": "pid:[1]"}, False),
        ({"pid": None, "boot": None}, False),
        ({"pid": 1, "ticks": None}, False),  # another user's, perhaps
    ],
)
def test_who_is_gone(changes: dict[str, Any], gone: bool) -> None:
    if "pid" in changes and changes["pid"] is None:
        changes = {**changes, "pid": gone_pid()}
    assert here(**changes).is_gone(HolderProcess.here()) is gone


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, True),
        ({"SLURM_RESTART_COUNT": "0"}, False),
        ({"SLURM_RESTART_COUNT": ""}, False),
        ({"SLURM_JOB_ID": "8"}, False),
        ({"SLURM_CLUSTER_NAME": "other"}, False),
        ({"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}, False),
    ],
)
def test_a_job_that_slurm_started_again_has_what_it_had(
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[..., Leases],
    folder: Path,
    changes: dict[str, str],
    gone: bool,
) -> None:
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    put(folder, here(host="elsewhere", boot="other"), ID)
    for name, value in {"SLURM_RESTART_COUNT": "1", **changes}.items():
        monkeypatch.setenv(name, value)
    holder = make().take(ID)
    assert (holder is None) is gone
    if holder is not None:
        assert str(holder).endswith(" on host elsewhere, Slurm job 7")


def test_tasks_of_an_array_are_jobs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("JOB_ID", "9"), ("ARRAY_JOB_ID", "7"), ("ARRAY_TASK_ID", "2")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert HolderProcess.here().holder.job == "7_2"


def test_silence_is_judged_by_the_observers_own_clock(
    make: Callable[..., Leases], folder: Path, clock: SimpleNamespace
) -> None:
    path = put(folder, here(host="elsewhere"), ID, OTHER)
    os.utime(path, ns=(0, 0))  # a clock of its own, or a long sleep: no sign of death
    worker, second = make(stale_after=180.0), make(stale_after=180.0)
    assert worker.take(ID) is not None
    clock.seconds += 179
    assert worker.take(ID) is not None
    os.utime(path, ns=(1, 1))
    clock.seconds += 2
    assert worker.take(ID) is not None  # a sign of life
    assert second.take(ID) is not None
    clock.seconds += 179
    assert worker.take(ID) is not None
    clock.seconds += 1
    assert worker.take(ID) is None
    assert worker.take(OTHER) is None  # one silence for all leases of a worker
    assert second.take(ID) is not None


def test_a_sign_of_life_during_the_theft_ends_it(
    make: Callable[..., Leases], folder: Path, clock: SimpleNamespace
) -> None:
    path = put(folder, here(host="elsewhere"), ID)
    worker = make(stale_after=10.0)
    assert worker.take(ID) is not None
    clock.seconds += 11
    replacing = worker._replace

    def late(lease: Path, found: Any) -> Holder | None:
        os.utime(path)
        return replacing(lease, found)

    worker._replace = late  # type: ignore[method-assign]
    holder = worker.take(ID)
    assert holder is not None
    assert holder.host == "elsewhere"
    assert [name for name in names(folder) if ".lease" in name] == [f"{ID}.lease"]


def test_signs_of_life_come_by_themselves(make: Callable[..., Leases], folder: Path) -> None:
    worker = make(beat_every=0.01)
    worker.take(ID)
    lease = folder / f"{ID}.lease"
    os.utime(lease, ns=(0, 0))
    for _ in range(2000):
        if lease.stat().st_mtime_ns > 10**18:
            break
        threading.Event().wait(0.01)
    else:
        pytest.fail("no sign of life in 20 s")


def test_giving_what_was_stolen_leaves_the_thiefs(make: Callable[..., Leases], folder: Path) -> None:
    victim, thief = make(), make()
    victim.take(ID)
    assert [lease.id for lease in clear_leases(folder, everything=True)] == [ID]
    assert thief.take(ID) is None
    victim.give(ID)
    assert victim.take(ID) is not None
    victim.close()
    assert [lease.id for lease in list_leases(folder)] == [ID]


def test_a_worker_that_was_silent_gives_with_care(make: Callable[..., Leases], folder: Path) -> None:
    silent, thief = make(), make()
    for id in (ID, OTHER):
        assert silent.take(id) is None
    own = silent._own_file()
    lock = folder / f"{ID}.lease.{own.inode[1]:x}"
    os.link(thief._own_file().path, lock)  # a thief that is about to replace the lease
    own._beaten = 0.0
    silent.give(ID)
    silent.give(OTHER)
    assert (folder / f"{ID}.lease").exists()
    assert [name for name in names(folder) if OTHER in name] == []
    lock.unlink()


def test_lost_replies_of_a_file_server(
    make: Callable[..., Leases], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that NFS sends twice is answered by what the first one did."""
    link, replace_file = os.link, os.replace

    def twice_linked(*given: Any) -> None:
        link(*given)
        raise FileExistsError(errno.EEXIST, "File exists")

    def twice_replaced(*given: Any) -> None:
        replace_file(*given)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    put(folder, here(pid=gone_pid()), ID)
    worker, other = make(), make()
    worker._own_file(), other._own_file()
    monkeypatch.setattr(os, "link", twice_linked)
    monkeypatch.setattr(os, "replace", twice_replaced)
    assert worker.take(ID) is None
    assert worker.take(OTHER) is None
    monkeypatch.undo()
    assert other.take(ID) is not None
    assert other.take(OTHER) is not None
    assert len(list(folder.glob("*.lease*"))) == 2


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EROFS])
def test_a_folder_without_hard_links_warns_once(
    make: Callable[..., Leases],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    def refuse(*given: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    worker = make()
    for _ in range(2):
        assert worker.take(ID) is None
        assert worker.take(OTHER) is None
        worker.give(ID)
    (line,) = caplog.messages
    assert f"{folder}: leases can't be kept there ({os.strerror(number)})" in line
    assert "may do the same cells twice" in line


def test_a_folder_that_can_not_be_made_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    worker = Leases(tmp_path / "file" / "leases")
    assert worker.take(ID) is None
    worker.give(ID)
    worker.close()
    assert "leases can't be kept there (Not a directory)" in caplog.text
    assert list_leases(tmp_path / "file" / "leases") == clear_leases(tmp_path / "file" / "leases") == []


@pytest.mark.parametrize(
    "id", ["", "..", "../../0123456789", "0123456789/x", "0123456789-", "0123456789-x", "0123456789-1/../x",
           "0123456789\n", "ABCDEF0123", "a" * 65, "0123456789-1234567890", "é" * 20],
)  # fmt: skip
def test_ids_that_could_leave_the_folder_are_refused(
    make: Callable[..., Leases], folder: Path, id: str
) -> None:
    worker = make()
    for act in (worker.take, worker.give):
        with pytest.raises(StoreError, match="is not the id of a cell or block"):
            act(id)
    assert not folder.exists()


def test_a_forked_worker_has_leases_of_its_own(make: Callable[..., Leases], folder: Path) -> None:
    code = f"""
import os
assert mine.take("{ID}") is None
if not os.fork():
    held = mine.take("{ID}")
    mine.give("{ID}")
    print(held.pid == os.getppid(), mine.take("{OTHER}"), flush=True)
    raise SystemExit  # with all that an interpreter does at its end
os.wait()
print(mine.take("{ID}"), *sorted(path.suffix for path in mine.folder.iterdir()), flush=True)
input()
"""
    process = start(code, folder)
    _, stdout = pipes(process)
    assert stdout.readline() == "True None\n"
    assert stdout.readline() == "None .lease .worker\n"
    assert make().take(ID) is not None
    process.communicate("\n")
    assert process.returncode == 0
    assert make().take(ID) is None


def test_a_pickled_worker_is_another(make: Callable[..., Leases]) -> None:
    worker = make(stale_after=5.0)
    worker.take(ID)
    copy = pickle.loads(pickle.dumps(worker))
    assert (copy.folder, copy.stale_after, copy.beat_every) == (worker.folder, 5.0, 1000.0)
    assert copy.take(ID) is not None
    copy.close()


def test_a_worker_that_nobody_has_any_more_gives(make: Callable[..., Leases], folder: Path) -> None:
    dropped = Leases(folder)
    dropped.take(ID)
    thread = dropped._own_file()._thread
    del dropped
    gc.collect()
    assert not thread.is_alive()
    assert names(folder) == []


def test_a_worker_whose_file_was_removed_makes_another(make: Callable[..., Leases], folder: Path) -> None:
    worker, other = make(), make()
    worker.take(ID)
    for path in folder.iterdir():
        path.unlink()
    assert worker.take(OTHER) is None
    assert other.take(OTHER) is not None
    folder.joinpath(f"{OTHER}.lease").unlink()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert worker.take(ID) is None
    assert other.take(ID) is not None


def test_what_the_dead_left_goes_when_a_later_one_closes(make: Callable[..., Leases], folder: Path) -> None:
    dead, elsewhere = here(pid=gone_pid()), here(host="elsewhere", pid=gone_pid())
    put(folder, dead)
    os.utime(put(folder, elsewhere), ns=(0, 0))
    os.utime(put(folder, b"{"), ns=(0, 0))
    lock = put(folder, dead)
    lock.rename(folder / f"{ID}.lease.1f")
    kept = [put(folder, dead, OTHER), put(folder, elsewhere), put(folder, here())]
    (folder / "README.md").touch()
    worker = make()
    worker.take(ID)
    worker.close()
    assert names(folder) == sorted(["README.md", f"{OTHER}.lease", *(path.name for path in kept)])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"holder": {"host": "x", "pid": "1", "started": ""}}', b"\xff" * 9]
)
def test_a_damaged_file_goes_after_silence(
    make: Callable[..., Leases], folder: Path, clock: SimpleNamespace, content: bytes
) -> None:
    put(folder, content, ID)
    worker = make()
    holder = worker.take(ID)
    assert str(holder) == "an unknown process"
    clock.seconds += 181
    assert worker.take(ID) is None


def test_listing_and_clearing(make: Callable[..., Leases], folder: Path) -> None:
    assert list_leases(folder) == clear_leases(folder) == []
    alive = make()
    alive.take("a" * 20)
    put(folder, here(pid=gone_pid()), "b" * 20)
    silent = put(folder, here(host="elsewhere"), "c" * 20, "c" * 20 + "-1")
    os.utime(silent, (silent.stat().st_mtime - 400,) * 2)
    put(folder, here(host="elsewhere"), "d" * 20)
    (folder / "other.lease").touch()
    found = {lease.id: lease for lease in list_leases(folder)}
    assert {id[0]: lease.stale for id, lease in found.items() if "-" not in id} == {
        "a": False, "b": True, "c": True, "d": False,
    }  # fmt: skip
    assert found["c" * 20].holder.host == "elsewhere"
    assert found["c" * 20].seconds == pytest.approx(400, abs=30)
    assert [lease.id for lease in clear_leases(folder)] == ["b" * 20, "c" * 20, "c" * 20 + "-1"]
    assert [lease.id for lease in list_leases(folder)] == ["a" * 20, "d" * 20]
    removed = clear_leases(folder, everything=True)
    assert [(lease.id[0], lease.stale) for lease in removed] == [("a", False), ("d", False)]
    assert list_leases(folder) == []
    alive.give("a" * 20)
    assert alive.take("a" * 20) is None


def test_leases_of_slurm_jobs_that_are_known_to_have_ended(make: Callable[..., Leases], folder: Path) -> None:
    for task, id in (("3", "a" * 20), ("4", "b" * 20), (None, "c" * 20)):
        put(folder, here(host="elsewhere", job=task and f"8_{task}"), id)
    assert [lease.id[0] for lease in clear_leases(folder, jobs={"8_3", "9_4"})] == ["a"]
    assert [lease.id[0] for lease in list_leases(folder)] == ["b", "c"]
    assert make().take("a" * 20) is None


def test_doctor_shows_and_clears_leases(
    make: Callable[..., Leases], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = {
        "experiment": "e",
        "protocol": "p",
        "model": "vit",
        "dataset": "digits",
        "method": "",
        "shots": 4,
        "seed": 1,
    }
    store = Store(folder.parent)
    store.write_manifest({"name": "mine"}, [{"id": ID, "at": at, "tags": {}}])
    make().take(ID)
    dead = gone_pid()
    for id in ("c" * 20, "d" * 20):
        put(folder, here(pid=dead, host=os.uname().nodename), id)
    main(["doctor", "--store", str(store.path)])
    said = capsys.readouterr().out
    assert f"LEASE      vit · digits · shots 4 · seed 1: process {os.getpid()} on host " in said
    assert f"STALE      {'c' * 20}: process {dead} on host " in said
    assert "(--clear-leases removes the stale ones)" in said
    main(["doctor", "--store", str(store.path), "--clear-leases", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert [(lease["id"], lease["stale"]) for lease in facts["leases"]] == [(ID, False)]
    assert [lease["cell"] for lease in facts["cleared"]] == ["c" * 20, "d" * 20]
    facts = harness.doctor(store=store.path, clear_leases="all")
    assert (facts["leases"], [lease["stale"] for lease in facts["cleared"]]) == ([], [False])
    with pytest.raises(SuiteError, match="clear_leases: expected True, False or 'all', found 'stale'"):
        harness.doctor(store=store.path, clear_leases="stale")  # type: ignore[arg-type]
