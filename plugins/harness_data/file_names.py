"""File names: whether one stays in its folder, and how to print one that is not UTF-8."""

from __future__ import annotations

import os
from pathlib import Path


def escape_file_name(name: str) -> str:
    r"""Return a file name as printable text: bytes that are not UTF-8 become `\xe9` and the like."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode(errors="backslashreplace")
    return name


def is_plain_name(name: str) -> bool:
    """Return whether a name given by a user can only mean something directly in a folder."""
    return name not in ("", "..") and Path(name).name == name
