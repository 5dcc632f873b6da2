"""Names of files: whether one stays in its folder, and how one is written that is no UTF-8."""

from __future__ import annotations

import os
from pathlib import Path


def escape_file_name(name: str) -> str:
    r"""A file's name as text that can be written: what is no UTF-8 in it becomes `\xe9` and the like."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode(errors="backslashreplace")
    return name


def is_plain_name(name: str) -> bool:
    """Whether a name that somebody wrote can only be that of something directly in a folder."""
    return name not in ("", "..") and Path(name).name == name
