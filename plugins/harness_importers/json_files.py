"""JSON files of other programs: their content, or one line that says why it can't be read."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import DataError


def read_json(file: Path) -> Any:
    """Return a file's content; NaN and Infinity count as numbers. Raises DataError, starting with the path."""
    try:
        content = json.loads(file.read_bytes())  # takes the NaN that Python's own writer makes
        json.dumps(content, ensure_ascii=False).encode()
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = re.split(r"[\n;]", str(error))[0][:200] or type(error).__name__
        raise DataError(f"{file}: not valid JSON: {reason}") from None
    return content


def peek_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or the first of a list of them; empty if it holds none."""
    try:
        stat = file.stat()
    except OSError:
        return {}
    return _peek_object(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)  # several importers look at a file, one after another
def _peek_object(file: Path, changed: int, size: int) -> dict[str, Any]:
    try:
        content = read_json(file)
    except DataError:
        return {}
    if isinstance(content, list) and content:
        content = content[0]
    return content if isinstance(content, dict) else {}
