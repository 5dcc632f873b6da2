"""A digest of the files of code that is being worked on, with the data that it names and the modules it imports."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from typing import Any

from harness.code_data import data_beside, imports, literals
from harness.code_places import files_of, is_library, place_of
from harness.content import content_digests, trusting_mtime
from harness.content_reading import progress_shown

_imported: dict[str, tuple[Any, str]] = {}
"""Of files that modules were imported from: the import (a module's spec is new after a reload) and the digest."""


@dataclass(frozen=True)
class Code:
    """The digest of a plugin's code ("" where its version stands for it), and what is to be remarked."""

    digest: str = ""
    remarks: tuple[str, ...] = ()


def code_of_files(top: str) -> Code:
    """The digest of the files of a top-level module or package, of data that they name, and of others that they import.

    Of those only what is in development, too, counts.
    """
    digest, stale = hashlib.sha256(), []
    waiting, seen = [top], {top}
    while waiting:
        name = waiting.pop(0)
        if not (files := files_of(name)):
            continue
        base = os.path.dirname(os.path.commonpath(files)) if len(files) > 1 else os.path.dirname(files[0])  # noqa: PTH120
        loaded = _loaded(name)
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


def _loaded(top: str) -> dict[str, Any]:
    """The specs of the modules of a top-level one that have been imported, by their files."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == top]
    specs = [spec for module in modules if (spec := getattr(module, "__spec__", None)) is not None]
    return {os.path.realpath(spec.origin): spec for spec in specs if spec.origin and spec.has_location}
