"""Package attributes that are imported on first use."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def homes_of(package: str) -> dict[str, str]:
    """Return the names that a package imports for type checkers, each with the module it comes from.

    The package's file is the table: lines `from harness.home import name as name` below `if TYPE_CHECKING`.
    """
    source = Path(str(sys.modules[package].__file__)).read_text("utf-8")
    found = re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)
    return {name: home for home, name in found}


def importer(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package that imports a name from its home."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(homes[name]), name)

    return get
