"""Where code lies: in a library, which has a version, or with somebody who is working on it."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

SUFFIXES = (".py", ".so", ".pyd")


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    """The folders of installed code, and the harness's own.

    The harness is installed from its checkout where it is developed, but what its recipes draw and train is
    known by their own versions: a change of a line must not run every embedded suite again.
    """
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    root = Path(__file__).resolve().parents[1]
    own = (root / name for name in ("harness", "plugins", "suites"))
    folders = [folder for folder in installed if folder] + [str(folder) for folder in own]
    return tuple(os.path.realpath(folder) + os.sep for folder in folders)


@lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Whether a file belongs to Python or to an installed distribution, and so has a version."""
    if {"site-packages", "dist-packages"} & set(Path(file).parts) or file.startswith("<frozen"):
        return True
    return os.path.realpath(file).startswith(_library_folders())


def is_library_module(name: str) -> bool:
    """Whether an imported module belongs to Python or to an installed distribution."""
    top = name.partition(".")[0]
    if name == "__main__":
        return False
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and is_library(file)


def place_of(top: str) -> str | None:
    """A file or folder of a top-level module or package, without importing it; None when there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.origin and spec.has_location:
        return spec.origin
    return next(iter(spec.submodule_search_locations or ()), None)


def files_of(top: str) -> list[str]:
    """The files of code of a top-level module or package, sorted."""
    place = place_of(top)
    spec = importlib.util.find_spec(top) if place else None
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders:
        return sorted(os.path.realpath(file) for folder in folders for file in _sources(folder))
    return [os.path.realpath(spec.origin)] if spec.origin else []


def _sources(folder: str) -> Iterator[str]:
    """Files of code in a package's folder and those below that hold some themselves (folders of data don't)."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    own = [entry.path for entry in entries if entry.name.endswith(SUFFIXES) and entry.is_file()]
    yield from own
    if own:
        for entry in entries:
            if (
                entry.name.isidentifier()
                and entry.name != "__pycache__"
                and entry.is_dir(follow_symlinks=False)
            ):
                yield from _sources(entry.path)
