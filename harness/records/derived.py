"""A cache of what is derived from records, such as tables and drawings; deleting it changes nothing.

An entry counts only while all that decides it is unchanged: the plan, the files of its records (names, sizes
and times), the installed distributions, and the code under development that had a part in it. Nothing here
imports what tables need, so that a table from the cache costs little more than reading it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from harness.records.files import write_cached
from harness.records.paths import cache_dir
from harness.records.store import Store, count_warnings

log = logging.getLogger("harness")

FORMAT = 1
"""Version of the entries."""

MOST_FILES = 400
"""Entries kept; of more, those unused for the longest time are removed."""

STARTED = time.time_ns()
"""About when this process imported the code that it runs."""

BESIDE = (("records", ".json"), ("samples", ".parquet"), ("curves", ".parquet"), ("images", ""))


class DerivedCache:
    """Finds and keeps derived values of one store."""

    def __init__(self, store: Store, folder: Path | None = None) -> None:
        self.store = store
        self.folder = folder or cache_dir() / "derived"
        self._listings: dict[str, dict[str, tuple[int, int]]] | None = None

    def get(self, suite: str, what: str, request: Any, make: Callable[[], Any]) -> Any:
        """Return a suite's derived value: JSON-able data, kept or from `make`.

        `what` and `request` say what is derived and how. Values of plugins that only this process knows, and
        those whose making caused a warning, are not kept.
        """
        if _registered_here():
            return _as_read(make())
        path = self._file(suite, what, request)
        state = self._state(suite)
        if (kept := _read_entry(path, state)) is not None:
            return kept
        before = count_warnings()
        value = _as_read(make())
        # records that came meanwhile belong to the next state
        if count_warnings() == before and state is not None and state == self._state(suite, again=True):
            roots = _developed_roots()
            if all(
                _scan_root(root)[1] < STARTED for root in roots
            ):  # else what ran may be older than the files
                entry = {"state": state, "code": _digest_code(roots), "value": value}
                write_cached(path, lambda file: file.write_bytes(orjson.dumps(entry)), self.folder)
                _remove_oldest(self.folder)
        return value

    def has(self, suite: str, what: str, request: Any) -> bool:
        """Return whether a value is kept and counts."""
        here = _registered_here()
        return not here and _read_entry(self._file(suite, what, request), self._state(suite)) is not None

    def _file(self, suite: str, what: str, request: Any) -> Path:
        place = _digest([str(self.store.path.resolve()), suite, what, request])
        return self.folder / place[:2] / f"{place}.json"

    def _state(self, suite: str, again: bool = False) -> str | None:
        """Return a digest of all of the store and the environment that decides a suite's values; None without a plan."""
        if self._listings is None or again:
            self._listings = {kind: _list_files(self.store.path / kind, suffix) for kind, suffix in BESIDE}
        try:
            plan = (self.store.path / "suites" / f"{suite}.json").read_bytes()
            ids = [cell["id"] for cell in orjson.loads(plan)["cells"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        files = [[listing.get(id) for id in ids] for listing in self._listings.values()]
        return _digest([FORMAT, sys.version, hashlib.sha256(plan).hexdigest(), files, _list_distributions()])


def _as_read(value: Any) -> Any:
    """Return a value as its entry would give it back, so that a first call equals the later ones."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def _read_entry(path: Path, state: str | None) -> Any:
    try:
        entry = orjson.loads(path.read_bytes())
        if entry["state"] != state or entry["code"] != _digest_code(entry["code"]):
            return None
        value = entry["value"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, damaged, or of another format
    try:
        os.utime(path)
    except OSError:  # a cache that can only be read
        log.debug("cache entry %s: its time of use can't be set", path)
    return value


def _registered_here() -> bool:
    """Return whether plugins were registered in this process, whose code no file shows."""
    registry = sys.modules.get("harness.discovery.registry")  # not imported: then nothing is registered
    return registry is not None and bool(registry.registered_here())


def _list_files(folder: Path, suffix: str) -> dict[str, tuple[int, int]]:
    """Return time and size of each id's file or folder."""
    found: dict[str, tuple[int, int]] = {}
    for inside in _scan(folder):
        for entry in _scan(inside.path) if inside.is_dir() else ():
            if entry.name.endswith(suffix):
                stat = entry.stat()
                found[entry.name.removesuffix(suffix)] = (stat.st_mtime_ns, stat.st_size)
    return found


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


@cache
def _list_distributions() -> list[tuple[str, int]]:
    """Return the installed distributions, whose names hold versions, with the times of their entry points."""
    found = []
    for folder in sys.path:
        for entry in _scan(folder or "."):
            if entry.name.endswith((".dist-info", ".egg-info")):
                file = Path(entry.path) / "entry_points.txt"
                found.append((entry.path, file.stat().st_mtime_ns if file.is_file() else 0))
    return sorted(found)


def _developed_roots() -> list[str]:
    """Return the folders and files of imported top-level modules that belong to no installed library."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    libraries = tuple(os.path.join(sysconfig.get_paths()[name], "") for name in names)  # noqa: PTH118
    roots = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or not isinstance(file, str) or file.startswith(libraries) or name == "__main__":
            continue
        if "site-packages" not in file and "dist-packages" not in file:
            path = Path(file).resolve()
            roots.add(str(path.parent if path.name == "__init__.py" else path))
    return sorted(roots)


def _digest_code(roots: Iterable[str]) -> dict[str, str]:
    """Return for each root a digest of names, sizes and times of its files."""
    return {root: _scan_root(root)[0] for root in roots}


@cache
def _scan_root(root: str) -> tuple[str, int]:
    """Return a digest of names, sizes and times of a root's files, and the latest time in ns."""
    found = []
    waiting = [root]
    for here in waiting:
        if here.endswith(".py"):
            if Path(here).is_file():
                stat = Path(here).stat()
                found.append((here, stat.st_mtime_ns, stat.st_size))
            continue
        for entry in _scan(here):
            if entry.is_dir(follow_symlinks=False):
                waiting += [entry.path] if entry.name != "__pycache__" else []
            else:
                stat = entry.stat(follow_symlinks=False)
                found.append((entry.path, stat.st_mtime_ns, stat.st_size))
    return _digest(sorted(found)), max((changed for _, changed, _ in found), default=0)


def _digest(value: Any) -> str:
    return hashlib.sha256(
        orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    ).hexdigest()


def _remove_oldest(folder: Path) -> None:
    """Remove the entries beyond `MOST_FILES` that were unused for the longest time."""
    files = [entry for inside in _scan(folder) if inside.is_dir() for entry in _scan(inside.path)]
    if len(files) <= MOST_FILES:
        return
    for entry in sorted(files, key=lambda e: e.stat().st_mtime_ns)[: len(files) - MOST_FILES]:
        Path(entry.path).unlink(missing_ok=True)
