"""Attributes of plugins that nearly have a name that the harness asks for, and so have no effect."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from harness.contract.declared import QUESTIONS
from harness.discovery.code_files import is_library_module
from harness.discovery.options import read_options
from harness.discovery.registry import singular
from harness.errors import OptionError

NEAR = 0.85
"""Similarity from which on a name is taken for a misspelt one."""


def find_near_misses(kind: str, factory: Any) -> list[str]:
    """Return a statement on each attribute of a plugin's class that is nearly, but not quite, an optional one."""
    if not isinstance(factory, type):
        return []
    asked = [q.name for q in QUESTIONS if {"any plugin", singular(kind)} & set(q.of.split(" or "))]
    known = {question.name for question in QUESTIONS}
    with suppress(OptionError):
        known |= {option.name for option in read_options(factory)[0]}
    found = []
    for base in factory.__mro__:
        if base is object or is_library_module(base.__module__):
            continue
        for name in {**vars(base), **vars(base).get("__annotations__", {})}:
            if name.startswith("_") or name in known:
                continue
            if near := get_close_matches(name, asked, 1, NEAR):
                found.append(
                    f"{factory.__name__}.{name} is nothing that the harness asks for; did you mean '{near[0]}'?"
                )
    return list(dict.fromkeys(found))
