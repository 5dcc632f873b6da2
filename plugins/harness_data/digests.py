"""Digests of data on disk: of texts, and of files by their names and content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable
from pathlib import Path

from harness import content_digests
from harness_data.walking import walk_files


def text_digest(parts: Iterable[object]) -> str:
    """Return a digest of the parts as text, in order; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part).encode(errors="surrogateescape"))  # file names may not be UTF-8
        digest.update(b"\x1f")
    return digest.hexdigest()[:16]


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """Return a digest of the names, in order, and the content of files below a folder.

    An unreadable file counts as unreadable here; it is refused, or left out, when it is opened.
    """
    listed = list(names)
    found = content_digests(f"{folder}{os.sep}{name}" if name else folder for name in listed)
    return text_digest(part for pair in zip(listed, found, strict=True) for part in pair)


def list_files_below(folder: Path, leave_out: Container[str] = ()) -> list[str]:
    """Return the sorted relative paths of all files at any depth below a folder; of a file, [""].

    Skip hidden files and folders, suffixes in `leave_out`, and links to a folder above.
    Raises DataError if a folder can't be listed.
    """
    if not folder.is_dir():
        return [""]
    return sorted(
        name
        for name, entry in walk_files(folder, lambda entry, _: not entry.name.startswith("."))
        if not entry.name.startswith(".") and os.path.splitext(name)[1].lower() not in leave_out  # noqa: PTH122
    )
