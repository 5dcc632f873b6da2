"""Patterns that select cells by labels, else by what exactly was written for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any


def matches(pattern: Any, value: Any) -> bool:
    """Return whether a value matches a pattern: a text with `*`, a value, or a list of these."""
    if isinstance(pattern, list):
        return any(matches(p, value) for p in pattern)
    if isinstance(pattern, str) and value is not None:
        return fnmatchcase(str(value), pattern) or str(value) == pattern
    return bool(pattern == value)


def find_meant(
    pattern: Any, labels: Iterable[str], written: Mapping[str, Collection[str | None]]
) -> set[str]:
    """Return the labels that a pattern means; each pattern of a list is one of its own.

    Labels decide. Only if none matches, a text means those for which exactly it was `written`: in full, options
    included, or as the value alone. A `*` never finds what is in a path or an option.

    >>> find_meant("*vit*", ["CLIP", "vit-b"], {"CLIP": ["tiny-clip?tower=vit"]})
    {'vit-b'}
    """
    if isinstance(pattern, list):
        return set().union(*(find_meant(one, labels, written) for one in pattern))
    found = {label for label in labels if matches(pattern, label)}
    return found or {label for label, texts in written.items() if pattern in texts}
