"""Finds data sets on disk below an explicit root or the environment variable HARNESS_DATA_ROOT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness import Unavailable

ENVIRONMENT_VARIABLE = "HARNESS_DATA_ROOT"


def data_root(root: Path | None) -> Path | None:
    """Return the folder that holds the data sets: `root` if given, else the environment's, else None."""
    if root is not None:
        return Path(root).expanduser()
    named = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    return Path(named).expanduser() if named else None


def data_path(root: Path | None, *names: str) -> Path | None:
    """Return the path `names` below the data root, whether it exists or not; None without a root."""
    base = data_root(root)
    return None if base is None else base.joinpath(*names)


def resolve_below_root(path: Path | str) -> Path:
    """Return the path itself if it exists, else the same path below the data root, if there is a root."""
    own = Path(path).expanduser()
    below = data_path(None, str(own))
    return own if own.is_absolute() or below is None or own.exists() else below


def find_data(root: Path | None, names: Sequence[str], how_to_get: str) -> Path:
    """Return the first of `names` (relative paths of files or folders) that exists below the data root.

    A name may be "." for the root itself. Raises Unavailable with one line that lists the places searched
    and ends with `how_to_get`.
    """
    base = data_root(root)
    if base is None:
        wanted = " or ".join(names)
        raise Unavailable(
            f"no data root: give --data-root or the option `root`, or set {ENVIRONMENT_VARIABLE} "
            f"to the folder that holds {wanted}; {how_to_get}"
        )
    for name in names:
        place = base / name
        if place.exists():
            return place
    raise Unavailable(f"not found: looked in {base} for {', '.join(names)}; {how_to_get}")
