"""The code of modules under development: which files it is in, and their digest.

The digest covers the files of a top-level module or package, the data files beside them that they name, and
the modules that they import, if those are under development too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from harness.discovery.content import content_digests, trusting_mtime
from harness.discovery.content_reading import showing_progress

SUFFIXES = (".py", ".so", ".pyd")
WRITES = re.compile(rb"[\"'][wax][bt+]{0,2}[\"']|write|save|dump|log", re.IGNORECASE)
"""Matches lines that name a file to be written, whose content decides nothing."""

_imported: dict[tuple[str, int], tuple[ModuleSpec, str]] = {}
"""The digests of files when they were imported, by the file and the id of the module's spec (new after a reload)."""


@dataclass(frozen=True)
class CodeIdentity:
    """The digest of a plugin's code ("" if its version identifies it), and remarks on it."""

    digest: str = ""
    remarks: tuple[str, ...] = ()


def identify_files(top: str) -> CodeIdentity:
    """Return the digest of a top-level module or package, of the data that it names, and of what it imports.

    A data file counts if the code holds its name as a text; a name that is put together at run time is missed.
    A file that was edited after its import counts as it was then.
    """
    digest, stale = hashlib.sha256(), list[str]()
    waiting, seen = [top], {top}
    for name in waiting:
        if not (files := _files(name)):
            continue
        with trusting_mtime(False), showing_progress(False):
            contents = content_digests(files)
            mentions = [_mentions(*text) for text in zip(files, contents, strict=True)]
            words = {word for _, named in mentions for word in named}
            data = sorted({found for file in files for found in _data(file, words)})
            contents += content_digests(data)
        specs = _specs(name)
        base = os.path.commonpath([os.path.dirname(file) for file in files])  # noqa: PTH120
        for file, content in zip(files + data, contents, strict=True):
            spec = specs.get(file)
            ran = _imported.setdefault((file, id(spec)), (spec, content))[1] if spec else content
            stale += [file] if ran != content else []
            line = f"{name}\x1f{os.path.relpath(file, base)}\x1f{ran}\x1f"
            digest.update(line.encode(errors="surrogateescape"))
        others = sorted({other for imports, _ in mentions for other in imports} - seen)
        seen.update(others)
        waiting += filter(is_developed, others)
    remarks = [f"{file} was changed after it was imported; what ran is the code as it was" for file in stale]
    return CodeIdentity(digest.hexdigest()[:20], tuple(remarks[:1]))


def is_developed(top: str) -> bool:
    """Return whether a top-level module or package can be found, and belongs to no library."""
    return any(not _is_library(place) for place in _places(top)[:1])


def is_library_module(name: str) -> bool:
    """Return whether an imported module is Python's or an installed distribution's, and so has a version."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top.startswith("_cython_"):  # Cython's shared modules have no file
        return name != "__main__"
    file = getattr(sys.modules.get(name), "__file__", None)
    return name != "__main__" and file is not None and _is_library(file)


@lru_cache(maxsize=4096)
def _is_library(file: str) -> bool:
    if {"site-packages", "dist-packages"} & set(Path(file).parts) or file.startswith("<frozen"):
        return True
    return f"{os.path.realpath(file)}{os.sep}".startswith(_library_folders())


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    """Return the folders of installed code, and the harness's own.

    A developed harness is installed from its checkout, but its recipes have their own versions: changing a
    line must not make every embedded suite run again.
    """
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own = [str(Path(__file__).resolve().parents[2] / name) for name in ("harness", "plugins", "suites")]
    return tuple(os.path.realpath(folder) + os.sep for folder in installed + own if folder)


def _places(top: str) -> list[str]:
    """Return the folders of a package, or the file of a module, without importing it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    file = [spec.origin] if spec.origin and spec.has_location else []
    return list(spec.submodule_search_locations or file)


def _files(top: str) -> list[str]:
    """Return a module's file, or the code files in a package's folders (not below folders without code)."""
    places = _places(top)
    found = {os.path.realpath(place) for place in places if os.path.isfile(place)}  # noqa: PTH113
    for folder, inner, names in (step for place in places for step in os.walk(place)):
        own = [name for name in names if name.endswith(SUFFIXES)]
        inner[:] = [name for name in inner if own and name.isidentifier() and name != "__pycache__"]
        found |= {os.path.realpath(f"{folder}/{name}") for name in own}
    return sorted(found)


def _data(beside: str, words: set[str]) -> set[str]:
    """Return the data files beside a file whose names are among `words`, and in folders whose names are."""
    found = set()
    for folder, inner, names in os.walk(os.path.dirname(beside)):  # noqa: PTH120
        inner[:] = [name for name in inner if name in words]
        here = {name for name in names if name in words and not name.endswith(SUFFIXES)}
        found |= {os.path.realpath(f"{folder}/{name}") for name in here}
    return found


@lru_cache(maxsize=4096)
def _mentions(file: str, content: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the top-level modules that a file imports, and the parts of paths that it may read.

    `content` is the file's digest, which keys the cache.
    """
    imports, words = set[str](), set[str]()
    try:
        source = Path(file).read_bytes() if file.endswith(".py") else b""
        lines, tree = source.splitlines(), ast.parse(source, file)
    except (OSError, SyntaxError, ValueError):
        return frozenset(), frozenset()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imports.add(str(node.module))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            imports |= {str(item.value) for item in node.args[:1] if isinstance(item, ast.Constant)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= set() if WRITES.search(lines[node.lineno - 1]) else set(re.split(r"[/\\]", node.value))
    return frozenset(name.partition(".")[0] for name in imports), frozenset(words - {"", ".", ".."})


def _specs(top: str) -> dict[str, ModuleSpec]:
    """Return the specs of a top-level module's imported modules, by their files."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == top]
    specs = [spec for module in modules if (spec := getattr(module, "__spec__", None)) is not None]
    return {os.path.realpath(spec.origin): spec for spec in specs if spec.origin and spec.has_location}
