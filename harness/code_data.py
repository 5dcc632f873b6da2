"""The files of data that code names: tables, weights and lists that lie beside a plugin in development."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from harness.code_places import SUFFIXES

IMPORT = re.compile(rb"(?:^|[;:])[ \t]*import[ \t]+((?:[^\n;#\\]|\\\r?\n)+)", re.MULTILINE)
FROM = re.compile(rb"(?:^|[;:])[ \t]*from[ \t]+(\w+)|import_module\(\s*[\"'](\w+)", re.MULTILINE)
FIRST_WORD = re.compile(rb"[\s\\(]*(\w+)")

LITERAL = re.compile(r"[\"']([^\"'\n]+)[\"']")
WRITES = re.compile(r"[\"'][wax][bt+]{0,2}[\"']|write|save|dump|log", re.IGNORECASE)
"""What stands in lines that name a file to be written, whose content decides nothing."""


@lru_cache(maxsize=4096)
def imports(file: str, content: str) -> tuple[str, ...]:
    """The top-level names that a source file imports; `content` is its digest, by which the answer is kept."""
    text = _text(file)
    found = {name for pair in FROM.findall(text) for name in pair if name}
    for listed in IMPORT.findall(text):
        found |= {match[1] for part in listed.split(b",") if (match := FIRST_WORD.match(part))}
    return tuple(sorted(name.decode() for name in found))


@lru_cache(maxsize=4096)
def literals(file: str, content: str) -> frozenset[str]:
    """The parts of paths that stand in quotes in a source file, but for those of files that it writes."""
    found: set[str] = set()
    for line in _text(file).decode(errors="replace").splitlines():
        if not WRITES.search(line):
            found |= {part for text in LITERAL.findall(line) for part in re.split(r"[/\\]", text)}
    return frozenset(found - {"", ".", ".."})


def data_beside(files: Iterable[str], named: Collection[str]) -> list[str]:
    """The files beside those of code that are `named` in it, also in folders that are named, sorted.

    A file whose name is put together while the code runs is not found.
    """
    folders = {os.path.dirname(file) for file in files}  # noqa: PTH120
    return sorted({found for folder in folders for found in _named(folder, named)})


def _named(folder: str, named: Collection[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name not in named:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _named(entry.path, named)
        elif not entry.name.endswith(SUFFIXES):
            yield os.path.realpath(entry.path)


def _text(file: str) -> bytes:
    if not file.endswith(".py"):
        return b""
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""
