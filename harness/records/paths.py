"""Folders of the harness: the cache, whose content can be rebuilt, the default store, and the data root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import SuiteError

DATA_ROOT = "HARNESS_DATA_ROOT"
"""The environment variable with the folder of the data sets."""


def cache_dir() -> Path:
    """Return the cache folder: `$HARNESS_CACHE`, else `vision-harness` in the user's cache folder."""
    given = os.environ.get("HARNESS_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "vision-harness"


def default_store() -> Path:
    """Return the store used unless one is named: `$HARNESS_STORE`, else `results/store` in this folder."""
    given = os.environ.get("HARNESS_STORE")
    return Path(given).expanduser() if given else Path("results") / "store"


def set_data_root(folder: str | Path) -> None:
    """Set the folder of the data sets for this process and those it starts. Raises SuiteError if there is none."""
    if not Path(folder).is_dir():
        raise SuiteError(f"--data-root {folder}: no such folder")
    os.environ[DATA_ROOT] = str(Path(folder).resolve())


@contextmanager
def data_root_at(folder: str | Path | None) -> Iterator[None]:
    """Have that folder of the data sets inside the block, or the present one if it is None."""
    before = os.environ.get(DATA_ROOT)
    try:
        if folder is not None:
            set_data_root(folder)
        yield
    finally:
        if before is not None:
            os.environ[DATA_ROOT] = before
        elif folder is not None:
            os.environ.pop(DATA_ROOT, None)
