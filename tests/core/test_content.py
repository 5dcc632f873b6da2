"""The content index: every change is seen, a second look reads nothing, and the cache can't make it wrong."""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.discovery import content, content_reading
from harness.discovery.content import (
    bytes_digest,
    content_digest,
    content_digests,
    noticing_unread,
    trusting_mtime,
)
from harness.discovery.content_index import NAME, SECOND, DigestIndex, IndexedDigest
from harness.errors import DataError


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of the test's own, and nothing in memory."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_TRUST_MTIME", raising=False)
    content._memory.clear()
    yield
    content._memory.clear()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are read."""
    seen: list[str] = []
    original = content_reading.read_entry

    def read(path: str, *rest: Any) -> IndexedDigest | None:
        seen.append(path)
        return original(path, *rest)

    monkeypatch.setattr(content_reading, "read_entry", read)
    return seen


def settle() -> None:
    """Wait until a change from now on has another time."""
    time.sleep(0.15)


def files(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        (folder / f"{n:04d}").write_bytes(b"%d" % n)
    return [folder / f"{n:04d}" for n in range(count)]


@pytest.mark.parametrize("count", [1, 3, 700])
def test_a_second_look_reads_nothing(tmp_path: Path, reads: list[str], count: int) -> None:
    some = files(tmp_path / "d", count)
    settle()
    first = content_digests(some)
    assert first == [sha(f.read_bytes()) for f in some]
    assert len(reads) == count
    assert content_digests(some) == first
    content._memory.clear()  # as in another process
    assert content_digests(reversed(some)) == first[::-1]
    assert len(reads) == count
    some[0].write_bytes(b"x")
    assert content_digests(some) == [sha(b"x"), *first[1:]]
    assert len(reads) == count + 1


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    (file,) = files(tmp_path / "d", 1)
    settle()
    facts = file.stat()
    assert content_digest(file) == sha(b"0")
    with file.open("r+b") as opened:  # the same inode
        opened.write(b"1")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert content_digest(file) == sha(b"1")
    other = tmp_path / "other"
    other.write_bytes(b"2")
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.replace(file)
    assert content_digest(file) == sha(b"2")


def test_a_change_within_a_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for n in range(200):  # far faster than the file system's clock ticks
        file.write_bytes(b"%03d" % n)
        assert content_digest(file) == sha(b"%03d" % n)


@pytest.mark.parametrize(
    ("modified", "changed", "settled"),
    [
        (5, 5, True),
        (99.95, 99.95, False),  # changed while it was read, or just before
        (5, 99.95, False),  # its time of change set back
        (5, 97.0, False),  # times without a fraction may be of a clock that ticks every two seconds
        (5, 95.0, True),
        (5, 97.5, True),
        (200, 5, True),  # a time of change ahead of the clock says nothing
        (5, 200, False),
    ],
)
def test_what_can_be_trusted(modified: float, changed: float, settled: bool) -> None:
    stamp = f"1 2 3 {int(modified * SECOND)} {int(changed * SECOND)}"
    assert IndexedDigest(stamp, 100 * SECOND, "00").is_settled is settled


def test_links_and_relative_paths_are_the_file_they_lead_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = files(tmp_path / "d", 2)
    link = tmp_path / "link"
    link.symlink_to(one)
    settle()
    assert content_digest(link) == sha(b"0")
    link.unlink()
    link.symlink_to(two)
    assert content_digest(link) == sha(b"1")
    monkeypatch.chdir(tmp_path / "d")
    assert content_digest("0000") == sha(b"0")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "0000").write_bytes(b"other")
    monkeypatch.chdir(tmp_path / "e")
    assert content_digest("0000") == sha(b"other")


def test_what_can_not_be_read_takes_part_or_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (file,) = files(tmp_path / "d", 1)
    strange = [tmp_path / "gone", tmp_path / "d", tmp_path / "pipe", "nul\0"]
    assert content_digests([*strange, file]) == ["unreadable"] * 4 + [sha(b"0")]
    with pytest.raises(DataError, match=r"gone: can't be read \(No such file or directory\)"):
        content_digest(tmp_path / "gone")
    with pytest.raises(DataError, match=r"d: can't be read"):
        content_digest(tmp_path / "d")
    assert content_digests([]) == []


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    settle()
    for _ in range(2):
        assert content_digest(os.fsdecode(path)) == sha(b"x")
        content._memory.clear()


@given(where=st.integers(0), length=st.integers(1, 4000), fill=st.binary(min_size=1, max_size=8))
def test_a_damaged_index_changes_nothing(
    where: int, length: int, fill: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    some = files(folder / "d", 60)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_CACHE", str(folder / "cache"))
        index = DigestIndex(folder / "cache" / "content")
        stamps = [content._stamp(str(f)) for f in some]
        entries = {str(f): IndexedDigest(s or "", 2**62, sha(f.read_bytes())) for f, s in zip(some, stamps)}
        index.keep(entries)
        assert index.known(list(entries)) == entries
        held = bytearray(index.path.read_bytes())
        start = where % len(held)
        held[start : start + length] = (fill * length)[: len(held[start : start + length])]
        index.path.write_bytes(held)
        for path, entry in index.known(list(entries)).items():
            assert entry == entries[path]
        content._memory.clear()
        assert content_digests(some) == [sha(f.read_bytes()) for f in some]
        content._memory.clear()
        assert content_digests(some) == [sha(f.read_bytes()) for f in some]


def test_a_row_that_is_not_as_it_was_written_is_not_believed(tmp_path: Path) -> None:
    import sqlite3

    (file,) = files(tmp_path / "d", 1)
    settle()
    content_digest(file)
    content._memory.clear()
    with sqlite3.connect(tmp_path / "cache" / "content" / NAME) as connection:
        assert connection.execute("UPDATE files SET digest = zeroblob(32)").rowcount == 1
    assert content_digest(file) == sha(b"0")


@pytest.mark.parametrize("make", ["file", "text", "directory", "foreign"])
def test_a_cache_that_is_of_no_use(tmp_path: Path, make: str, caplog: pytest.LogCaptureFixture) -> None:
    import sqlite3

    (file,) = files(tmp_path / "d", 1)
    settle()
    folder = tmp_path / "cache" / "content"
    if make == "file":
        (tmp_path / "cache").write_text("")
    else:
        folder.mkdir(parents=True)
    if make == "text":
        (folder / NAME).write_text("no database at all")
    if make == "directory":
        (folder / NAME).mkdir()
    if make == "foreign":
        with sqlite3.connect(folder / NAME) as connection:
            connection.execute("CREATE TABLE files (a, b)")
    for _ in range(3):
        content._memory.clear()
        assert content_digest(file) == sha(b"0")
    told = [r.getMessage() for r in caplog.records if "can't be written" in r.getMessage()]
    assert len(told) == (make in ("file", "directory"))


def test_several_processes_at_once(tmp_path: Path) -> None:
    some = files(tmp_path / "d", 300)
    code = "import sys; from harness.discovery.content import content_digests; print(*content_digests(sys.argv[1:]))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, some)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    right = [sha(f.read_bytes()) for f in some]
    assert [process.communicate()[0].split() for process in started] == [right] * 4
    assert len(DigestIndex(tmp_path / "cache" / "content").known(list(map(str, some)))) == 300


def test_a_large_file_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0")
    settle()
    original, times = content_reading.stamp_of, [0]

    def moving(facts: os.stat_result) -> str:
        times[0] += 1
        return f"{original(facts)}{times[0]}"

    monkeypatch.setattr(content_reading, "stamp_of", moving)
    entry = content_reading.read_entry(str(file))
    assert entry is not None
    assert not entry.is_settled


def test_trusting_times(tmp_path: Path, reads: list[str]) -> None:
    file, other = files(tmp_path / "d", 2)
    facts = file.stat()
    with trusting_mtime(True), noticing_unread() as unread:
        before = content_digest(file)
        assert unread
        assert before != content_digest(other)
        file.write_bytes(b"5")
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert content_digest(file) == before
        os.utime(file, ns=(0, 0))
        assert content_digest(file) != before
        assert reads == []
        assert bytes_digest(file) == sha(b"5")  # for weights, which are read in any case
    assert content_digest(file) == sha(b"5") != before
    with noticing_unread() as unread:
        content_digest(file)
    assert unread == []


def test_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    some = files(tmp_path / "d", 200)
    for stream, expected in ((io.StringIO(), "of 200 files"), (Terminal(), "\r\x1b[K")):
        monkeypatch.setattr(sys, "stderr", stream)
        content_digests(some)
        assert stream.getvalue() == ""  # it took no time
        monkeypatch.setattr(content_reading, "SILENT", 0.0)
        content._memory.clear()
        with content_reading.showing_progress(False):
            content_digests(some)
        assert stream.getvalue() == ""
        (tmp_path / "cache" / "content" / NAME).unlink(missing_ok=True)
        content._memory.clear()
        content_digests(some)
        assert expected in stream.getvalue()
        monkeypatch.setattr(content_reading, "SILENT", 2.0)


def test_they_are_there_for_plugins() -> None:
    assert harness.content_digest is content_digest
    assert harness.content_digests is content_digests
