"""Which code a plugin is, where its version does not say: registered in the process, or in development.

A released plugin is known by its distribution's version. Code that somebody is working on changes under one
version, so there the code itself is part of a cell's identity.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from harness.code_files import Code, code_of_files
from harness.code_objects import ObjectDigest
from harness.code_places import is_library, place_of
from harness.registry import THIS_PROCESS, Plugin

OWN = "vision-harness"
"""Its own plugins are known by the versions of their recipes, and a checkout of it is always in development."""


def code_of(plugin: Plugin, factory: Any) -> Code:
    """Which code a plugin is: a digest of what is registered, or of the files of a plugin in development."""
    if plugin.distribution == THIS_PROCESS:
        found = ObjectDigest()
        digest = found.of(factory)
        return Code(digest, tuple(found.remarks()))
    if plugin.distribution == OWN or not _in_development(plugin):
        return Code()
    return code_of_files(_top(plugin))


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
