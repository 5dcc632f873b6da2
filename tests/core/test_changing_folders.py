"""Folders that other runs change while they are walked through."""

import os
from pathlib import Path

import pytest

from harness.records.files import clear_partial
from harness.records.store import Store


@pytest.mark.parametrize("vanishes", ["work", "work/cell/file"])
def test_what_vanishes_meanwhile_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vanishes: str
) -> None:
    """As a lease or a work folder does between its listing and a look at it."""
    (tmp_path / "work" / "cell").mkdir(parents=True)
    (tmp_path / "work" / "cell" / "file").write_bytes(b"12345")
    (tmp_path / "kept").write_bytes(b"123")
    scan, stat, gone = os.scandir, os.stat, str(tmp_path / vanishes)

    def check(path: object) -> None:
        if str(path) == gone:
            raise FileNotFoundError(2, "No such file or directory", gone)

    monkeypatch.setattr(os, "scandir", lambda path: (check(path), scan(path))[1])
    monkeypatch.setattr(os, "stat", lambda path, **more: (check(path), stat(path, **more))[1])
    assert Store(tmp_path).size() == 3
    assert clear_partial(tmp_path) == 0
