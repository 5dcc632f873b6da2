"""Files that are whole or absent, whatever kills their writer."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.records.files import TEMPORARY_PREFIX, clear_partial, locked, replacing, write_bytes

WRITER = """
import sys
from pathlib import Path
from harness.records.files import write_bytes
path = Path(sys.argv[1])
n = 0
while True:
    write_bytes(path, bytes([n % 250]) * 2_000_000)
    n += 1
    if n == 3:
        print("going", flush=True)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    for delay in (0.0, 0.003, 0.011):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"going\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        data = path.read_bytes()
        assert len(data) == 2_000_000
        assert set(data) == {data[0]}
    assert all(p == path or p.name.startswith(TEMPORARY_PREFIX) for p in tmp_path.iterdir())


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_permissions_are_those_of_a_plain_open(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"x")
        with (tmp_path / "b").open("wb"):
            pass
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_bytes(path, b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_file_lies_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.npy") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npy"
        assert not (tmp_path / "a.npy").exists()
    assert (tmp_path / "a.npy").exists()


def test_old_leftovers_are_cleared_and_young_ones_kept(tmp_path: Path) -> None:
    old, young, other = (tmp_path / "x" / n for n in (".partial-old", ".partial-young", "partial"))
    for path in (old, young, other):
        write_bytes(path, b"")
    for path in (old, other):
        os.utime(path, (time.time() - 7200,) * 2)
    assert clear_partial(tmp_path) == 1
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [".partial-young", "partial"]


def test_a_lock_is_given_back_though_another_process_has_its_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, inherited = fcntl.flock, []

    def seen(file: Any, how: int) -> None:
        inherited.append(os.dup(file.fileno()))  # as a process has it that is forked in the block
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", seen)
    with locked(tmp_path / "lock"), (tmp_path / "lock").open("a") as other, pytest.raises(BlockingIOError):
        lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "lock").open("a") as other:
        lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for file in inherited:
        os.close(file)
