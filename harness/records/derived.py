"""A cache of what is derived from records, such as tables and drawings; deleting it changes nothing.

An entry counts only while all that decides it is unchanged: the plan, the files of its records (names, sizes,
times and inodes), the installed distributions, and the code under development that had a part in it. Nothing
here imports what tables need, so that a table from the cache costs little more than reading it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from harness.records.files import write_cached
from harness.records.paths import cache_dir
from harness.records.store import TABLES, Store, count_warnings

log = logging.getLogger("harness")

FORMAT = 3
"""Version of the entries."""

MOST_FILES = 400
"""Entries kept; of more, those unused for the longest time are removed."""

STARTED = time.time_ns()
"""About when this process imported the code that it runs."""

COARSEST = 2 * 10**9
"""The coarsest unit of a file system's times in ns: code changed so shortly before `STARTED` may be newer."""

Listings = Mapping[str, Mapping[str, tuple[int, int, int]]]
"""For each kind of file: time, size and inode of each id's."""

BESIDE = (("records", ".json"), *((kind, ".parquet") for kind in TABLES), ("images", ""))


class DerivedCache:
    """Finds and keeps derived values of some suites of one store.

    It takes the store's state when it is made, so make it before anything is read that values rest on: what
    came since then would otherwise be taken for part of a value that lacks it. `published` are the sets of
    published results, beside those of the suites' plans, that have a part in the values.
    """

    def __init__(
        self, store: Store, suites: Iterable[str], folder: Path | None = None, published: Iterable[str] = ()
    ) -> None:
        self.store = store
        self.folder = folder or cache_dir() / "derived"
        self.published = tuple(published)
        listings = _list_records(store)
        self._states = {suite: _take_state(store, suite, listings, self.published) for suite in suites}

    def get(self, suite: str, what: str, request: Any, make: Callable[[], Any]) -> Any:
        """Return a suite's derived value: JSON-able data, kept or from `make`.

        `what` and `request` say what is derived and how. Values of plugins that only this process knows, those
        whose making caused a warning, and those during whose making the store changed are not kept.
        """
        if _registered_here():
            return _as_read(make())
        path, state = self._file(suite, what, request), self._states[suite]
        if (kept := _read_entry(path, state)) is not None:
            return kept
        before = count_warnings()
        value = _as_read(make())
        if count_warnings() == before and state is not None and state == self._state_now(suite):
            roots = _developed_roots()
            # code changed since this process started may not be what made the value
            if all(_scan_root(root)[1] < STARTED - COARSEST for root in roots):
                entry = {"state": state, "code": _digest_code(roots), "value": value}
                write_cached(path, lambda file: file.write_bytes(orjson.dumps(entry)), self.folder)
                _remove_oldest(self.folder)
        return value

    def has(self, suite: str, what: str, request: Any) -> bool:
        """Return whether a value is kept and counts."""
        here = _registered_here()
        return not here and _read_entry(self._file(suite, what, request), self._states[suite]) is not None

    def _file(self, suite: str, what: str, request: Any) -> Path:
        place = _digest([str(self.store.path.resolve()), suite, what, request])
        return self.folder / place[:2] / f"{place}.json"

    def _state_now(self, suite: str) -> str | None:
        return _take_state(self.store, suite, _list_records(self.store), self.published)


def _list_records(store: Store) -> Listings:
    return {kind: _list_files(store.path / kind, suffix) for kind, suffix in BESIDE}


def _take_state(store: Store, suite: str, listings: Listings, published: Iterable[str]) -> str | None:
    """Return a digest of all of the store and the environment that decides a suite's values; None without a plan."""
    plan = _read_plan(store, suite)
    if plan is None:
        return None
    digest, files, content = _describe_plan(plan, listings)
    names = [*published, *_list_published(content["suite"])]
    others = [_describe_published(store, name, listings) for name in names]
    return _digest([FORMAT, sys.version, digest, files, _list_distributions(), *others])


def _read_plan(store: Store, suite: str) -> bytes | None:
    try:
        return (store.path / "suites" / f"{suite}.json").read_bytes()
    except OSError:
        return None


def _describe_plan(plan: bytes, listings: Listings) -> tuple[str, list[Any], Any]:
    """Return a digest of a plan, the files of its records, and its content; nothing of a damaged one counts."""
    try:
        content = orjson.loads(plan)
        ids = [cell["id"] for cell in content["cells"]]
        content["suite"].get("tables")
    except (ValueError, KeyError, TypeError, AttributeError):
        content, ids = {"suite": {}}, []
    files = [[listing.get(id) for id in ids] for listing in listings.values()]
    return hashlib.sha256(plan).hexdigest(), files, content


def _list_published(suite: Mapping[str, Any]) -> list[str]:
    """Return the sets of published results that a planned suite names, in the whole or for a table or plot."""
    parts = [suite, *(suite.get("tables") or ()), *(suite.get("plots") or ())]
    return [str(name) for part in parts for name in part.get("published") or ()]


def _describe_published(store: Store, name: str, listings: Listings) -> Any:
    """Return what differs if a set of published results does: a suite of the store, or a file."""
    if (plan := _read_plan(store, name)) is not None:
        return [name, *_describe_plan(plan, listings)[:2]]
    from harness.errors import HarnessError
    from harness.published.finding import find_published_file

    try:
        stat = find_published_file(name).stat()
    except (HarnessError, OSError):
        return [name]
    return [name, stat.st_mtime_ns, stat.st_size]


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


def _list_files(folder: Path, suffix: str) -> dict[str, tuple[int, int, int]]:
    """Return time, size and inode of each id's file or folder.

    Whatever writes a record replaces its file, whose inode is another even within one tick of the clock.
    """
    found: dict[str, tuple[int, int, int]] = {}
    for inside in _scan(folder):
        for entry in _scan(inside.path) if inside.is_dir() else ():
            if entry.name.endswith(suffix):
                with suppress(FileNotFoundError):  # removed meanwhile
                    stat = entry.stat()
                    found[entry.name.removesuffix(suffix)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
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
    """Return the folders and files of imported modules that belong to no installed library."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    libraries = tuple(os.path.join(sysconfig.get_paths()[name], "") for name in names)  # noqa: PTH118
    roots: set[str] = set()
    # packages come before what is in them, which their folder mostly covers; not so in namespace packages
    for name, module in sorted(sys.modules.copy().items(), key=lambda item: item[0].count(".")):
        for place in _places(module) if name != "__main__" else ():
            if place.startswith(libraries) or "site-packages" in place or "dist-packages" in place:
                continue
            path = Path(place).resolve()
            if not roots.intersection((str(path), *map(str, path.parents))) and (found := _existing(path)):
                roots.add(str(found))
    return sorted(roots)


def _places(module: Any) -> list[str]:
    """Return the file of a module, or the folders of a package without one."""
    content = getattr(module, "__dict__", {})  # asking for attributes would import what some modules put off
    file, folders = content.get("__file__"), content.get("__path__", ())
    try:
        return [file] if isinstance(file, str) else [str(folder) for folder in folders]
    except (KeyError, TypeError):  # a namespace whose parent is gone, and what only stands for a module
        return []


def _existing(path: Path) -> Path | None:
    """Return what decides the code at a module's path: the package, file or archive; None if nothing is there."""
    if path.is_dir():
        return path
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    return file.parent if file and file.name == "__init__.py" else file


def _digest_code(roots: Iterable[str]) -> dict[str, str]:
    """Return for each root a digest of names, sizes and times of its files."""
    return {root: _scan_root(root)[0] for root in roots}


@cache
def _scan_root(root: str) -> tuple[str, int]:
    """Return a digest of names, sizes and times of a root's files, and the latest time in ns."""
    found = []
    waiting: list[str] = [root]
    for here in waiting:
        if Path(here).is_file():
            stat = Path(here).stat()
            found.append((here, stat.st_mtime_ns, stat.st_size))
            continue
        for entry in _scan(here):
            if entry.is_dir(follow_symlinks=False):
                waiting += [entry.path] if entry.name != "__pycache__" else []
            else:
                with suppress(FileNotFoundError):  # removed meanwhile
                    stat = entry.stat(follow_symlinks=False)
                    found.append((entry.path, stat.st_mtime_ns, stat.st_size))
    return _digest(sorted(found)), max((changed for _, changed, _ in found), default=0)


def _digest(value: Any) -> str:
    return hashlib.sha256(
        orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    ).hexdigest()


def _remove_oldest(folder: Path) -> None:
    """Remove the entries beyond `MOST_FILES` that were unused for the longest time, as far as it is allowed."""
    files = []
    for inside in _scan(folder):
        for entry in _scan(inside.path) if inside.is_dir() else ():
            with suppress(OSError):  # another process removed it
                files.append((entry.stat().st_mtime_ns, entry.path))
    for _, path in sorted(files)[: max(len(files) - MOST_FILES, 0)]:
        with suppress(OSError):  # or it is another user's
            Path(path).unlink()
