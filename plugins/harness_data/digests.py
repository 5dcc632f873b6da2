"""Cheap fingerprints of data on disk: of a listing of files, and of a large file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from harness.errors import DataError

BLOCK = 1 << 16


def text_digest(parts: Iterable[object]) -> str:
    """A digest of the parts' texts, in order; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part).encode(errors="surrogateescape"))  # file names may be no UTF-8
        digest.update(b"\x1f")
    return digest.hexdigest()[:16]


def file_digest(path: Path, blocks: int = 256) -> str:
    """A digest of a file's size and content; 16 hexadecimal digits.

    Of a file beyond `blocks` times 64 KiB only that many blocks are read, evenly spaced, the first
    and the last among them, so that planning stays fast. Raises DataError when it can't be read.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            if size <= blocks * BLOCK:
                digest.update(file.read())
            else:
                for i in range(blocks):
                    file.seek((size - BLOCK) * i // (blocks - 1))
                    digest.update(file.read(BLOCK))
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    return digest.hexdigest()[:16]
