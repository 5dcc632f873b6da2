"""Folders of the harness: the cache, whose content can be rebuilt, and the default store."""

from __future__ import annotations

import os
from pathlib import Path


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
