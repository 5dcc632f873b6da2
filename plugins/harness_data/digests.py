"""Fingerprints of data on disk: of texts, and of files by their names and content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from harness import DataError, content_digests
from harness_data.file_names import escape_file_name
from harness_data.image_files import is_folder


def text_digest(parts: Iterable[object]) -> str:
    """A digest of the parts' texts, in order; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part).encode(errors="surrogateescape"))  # file names may be no UTF-8
        digest.update(b"\x1f")
    return digest.hexdigest()[:16]


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """A digest of files below a folder: of their names, in order, and of what they hold.

    A file that can't be read takes part as such: it is refused, or left out, when it is opened.
    """
    listed = list(names)
    found = content_digests(f"{folder}{os.sep}{name}" if name else folder for name in listed)
    return text_digest(part for pair in zip(listed, found, strict=True) for part in pair)


def list_files_below(folder: Path, leave_out: Container[str] = ()) -> list[str]:
    """The relative paths of all files at any depth below a folder, sorted; hidden ones are left out.

    So are files with a suffix in `leave_out`, and folders that link to one above. A file has one, "".
    Raises DataError when a folder can't be listed.
    """
    if not folder.is_dir():
        return [""]
    return sorted(
        name
        for name in _walk(folder, "", frozenset())
        if os.path.splitext(name)[1].lower() not in leave_out  # noqa: PTH122
    )


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[str]:
    here = str(folder.resolve())
    if here in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{escape_file_name(str(folder))}: can't be listed ({error.strerror})") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if is_folder(entry):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
        else:
            yield prefix + entry.name
