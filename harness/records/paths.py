"""Where the harness keeps things: the cache of what can be made again, and the default store."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder: `$HARNESS_CACHE`, else `vision-harness` in the user's cache folder."""
    given = os.environ.get("HARNESS_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "vision-harness"


def default_store() -> Path:
    """The store used when none is named: `$HARNESS_STORE`, else `results/store` in this folder."""
    given = os.environ.get("HARNESS_STORE")
    return Path(given).expanduser() if given else Path("results") / "store"
