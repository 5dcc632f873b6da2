"""Which code a plugin is, where its version does not say: registered in the process, or in development.

A released plugin is known by its distribution's version. Code that somebody is working on changes under one
version, so there the code itself is part of a cell's identity.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from harness.code_data import data_beside, imports, literals
from harness.code_objects import ObjectDigest
from harness.code_places import files_of, is_library, place_of
from harness.content import content_digests, trusting_mtime
from harness.content_reading import progress_shown
from harness.registry import THIS_PROCESS, Plugin

OWN = "vision-harness"
"""Its own plugins are known by the versions of their recipes, and a checkout of it is always in development."""

_imported: dict[str, tuple[Any, str]] = {}
"""Of files that modules were imported from: the import (a module's spec is new after a reload) and the digest."""


@dataclass(frozen=True)
class Code:
    """The digest of a plugin's code ("" where its version stands for it), and what is to be remarked."""

    digest: str = ""
    remarks: tuple[str, ...] = ()


def code_of(plugin: Plugin, factory: Any) -> Code:
    """Which code a plugin is: a digest of what is registered, or of the files of a plugin in development."""
    if plugin.distribution == THIS_PROCESS:
        found = ObjectDigest()
        digest = found.of(factory)
        return Code(digest, tuple(found.remarks()))
    if plugin.distribution == OWN or not _in_development(plugin):
        return Code()
    return _of_files(_top(plugin))


def _in_development(plugin: Plugin) -> bool:
    """Whether a distribution was installed from a folder, or its code lies outside of the places for installed code."""
    if _from_folder(plugin.distribution, plugin.version):
        return True
    place = place_of(_top(plugin))
    return place is not None and not is_library(place)


def _top(plugin: Plugin) -> str:
    return plugin.target.partition(":")[0].partition(".")[0]


@lru_cache(maxsize=1024)
def _from_folder(name: str, version: str) -> bool:
    try:
        origin = distribution(name).read_text("direct_url.json")
        return origin is not None and "dir_info" in json.loads(origin)
    except (PackageNotFoundError, OSError, ValueError, TypeError):
        return False


def _of_files(top: str) -> Code:
    """The digest of the files of a top-level module or package, of data that they name, and of others that they import.

    Of those only what is in development, too, counts.
    """
    digest, stale = hashlib.sha256(), []
    loaded = {
        os.path.realpath(spec.origin): spec
        for module in list(sys.modules.values())
        if (spec := getattr(module, "__spec__", None)) is not None and spec.origin and spec.has_location
    }
    waiting, seen = [top], {top}
    while waiting:
        name = waiting.pop(0)
        if not (files := files_of(name)):
            continue
        base = os.path.dirname(os.path.commonpath(files)) if len(files) > 1 else os.path.dirname(files[0])  # noqa: PTH120
        with trusting_mtime(False), progress_shown(False):
            now = content_digests(files)
        for file, content in zip(files, now, strict=True):
            spec = loaded.get(file)
            kept = _imported.get(file)
            if spec is None or kept is None or kept[0] is not spec:
                if spec is not None:
                    _imported[file] = (spec, content)
            elif kept[1] != content:  # what runs is what was imported
                stale.append(file)
                content = kept[1]
            digest.update(_named(name, os.path.relpath(file, base), content))
        texts = list(zip(files, now, strict=True))
        beside = data_beside(files, frozenset[str]().union(*(literals(*text) for text in texts)))
        with trusting_mtime(False), progress_shown(False):
            for file, content in zip(beside, content_digests(beside), strict=True):
                digest.update(_named(name, os.path.relpath(file, base), content))
        for other in sorted({n for text in texts for n in imports(*text)}):
            if other not in seen and (place := place_of(other)) and not is_library(place):
                waiting.append(other)
            seen.add(other)
    remarks = (
        [f"{stale[0]} was changed after it was imported; what ran is the code as it was"] if stale else []
    )
    return Code(digest.hexdigest()[:20], tuple(remarks))


def _named(module: str, file: str, content: str) -> bytes:
    return f"{module}\x1f{file}\x1f{content}\x1f".encode(errors="surrogateescape")
