"""Find sets of published results: installed ones by name, and files by path.

An entry point `NAME = "PACKAGE"` of the group `harness.published` means the file `published/NAME.csv` inside
PACKAGE; the package is located, not imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.discovery import registry
from harness.errors import DataError, PluginNotFound, SuiteError, did_you_mean
from harness.published.published_set import PublishedSet, parse_published_set

if TYPE_CHECKING:
    from harness.planning.suite import Suite
    from harness.records.store import Store


def list_published_sets() -> list[str]:
    """Return the names of the installed sets."""
    return list(dict.fromkeys(plugin.name for plugin in registry.installed("published")))


def find_published_file(name: str) -> Path:
    """Return the file of a set by its name, or by a path that ends in .csv.

    Raises PluginNotFound for an unknown name, DataError for a file that is not there.
    """
    if name.endswith(".csv"):
        path = Path(name)
        if not path.is_file():
            raise DataError(f"{name}: no such file of published results")
        return path
    try:
        found = registry.find("published", name)
    except PluginNotFound as error:
        raise PluginNotFound(f"{error} (a file of your own is named by its path, ending in .csv)") from None
    if (file := registry.locate_file(found, f"published/{found.name}.csv")) is not None:
        return file
    raise DataError(
        f"published set '{name}' of {found.distribution}: {found.target} has no file published/{found.name}.csv"
    )


def read_published_set(name: str) -> PublishedSet:
    """Return a set by its name or path. Raises DataError, starting with the file's path, if it can't be read."""
    path = find_published_file(name)
    stat = path.stat()
    return _read_file(path, path.stem, stat.st_mtime_ns, stat.st_size)


def check_published(suite: Suite, store: Store) -> None:
    """Read the sets that a suite names, so that a typo or a wrong file is reported before anything runs.

    Raises SuiteError for an unknown name, DataError for a wrong file.
    """
    named = [
        suite.published,
        *(part.published or () for part in suite.tables),
        *(part.published or () for part in suite.plots),
    ]
    check_names([name for names in named for name in names if name != suite.name], store)


def check_names(names: Iterable[str], store: Store) -> None:
    """Read the sets of these names that are no suites of the store. Raises as `check_published`."""
    suites = store.suites()
    for name in dict.fromkeys(names):
        if name not in suites:
            read_known_set(name, store)


def read_known_set(name: str, store: Store | None) -> PublishedSet:
    """Return a set by its name or path. Raises SuiteError for an unknown name, which may be near a suite's of the store."""
    try:
        return read_published_set(name)
    except PluginNotFound:
        known = [*list_published_sets(), *(store.suites() if store is not None else ())]
        if name in list_published_sets():  # claimed twice
            raise
        raise SuiteError(
            f"published results: no set or suite of the store is called '{name}'{did_you_mean(name, known)}"
        ) from None


@lru_cache(maxsize=64)
def _read_file(path: Path, name: str, written: int, size: int) -> PublishedSet:
    """Read a file once until it changes."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8") from None
    return parse_published_set(name, text, str(path))
