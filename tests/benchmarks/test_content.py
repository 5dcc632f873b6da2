"""What it costs to know data by its content: the first look, and every one after it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import content
from harness.discovery.content_index import NAME
from harness.discovery.content_reading import THREADS
from harness_data.image_folder import ImageFolder

SIZE = 100_000


def folder(root: Path, count: int) -> list[str]:
    """`count` files of 100 kB in 20 class folders."""
    block = os.urandom(SIZE)
    for n in range(count):
        file = root / f"{n % 20:02d}" / f"{n:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"%08d" % n + block[8:])
    time.sleep(0.2)  # the last ones too are clearly older than the look at them
    return [str(file) for file in sorted(root.rglob("*.jpg"))]


def read_once(files: list[str]) -> None:
    """Read and hash every file once, by as many threads."""

    def some(part: list[str]) -> None:
        for file in part:
            with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
                hashlib.sha256(opened.readall()).digest()

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(some, [files[n : n + 64] for n in range(0, len(files), 64)]))


def test_knowing_a_folder_by_its_content(
    benchmark: Any,
    measuring: bool,
    ratio: Callable[..., float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    files = folder(tmp_path / "images", 4_000 if measuring else 100)

    def forget() -> None:
        content._memory.clear()
        (tmp_path / "cache" / "content" / NAME).unlink(missing_ok=True)

    def first() -> list[str]:
        forget()
        return content.content_digests(files)

    def second() -> list[str]:
        content._memory.clear()  # as in another process
        return content.content_digests(files)

    rounds = 5 if measuring else 1
    told = first()
    looking = ratio(first, lambda: read_once(files), rounds)
    assert second() == told
    monkeypatch.setattr("harness.discovery.content_reading.read_entry", lambda *_: pytest.fail("read again"))

    def stats() -> list[os.stat_result]:
        return [os.stat(file) for file in files]  # noqa: PTH116

    again = ratio(second, stats, rounds)
    planning = ratio(lambda: ImageFolder(tmp_path / "images").fingerprint(), stats, rounds)
    benchmark.pedantic(second, rounds=rounds)
    benchmark.extra_info |= {
        "first look over reading and hashing once": looking,
        "second look over bare stats": again,
        "fingerprint of the folder over bare stats": planning,
    }
    if measuring:
        assert looking < 1.6
        assert again < 10
