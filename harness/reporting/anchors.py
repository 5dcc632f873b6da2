"""Ids of a page's elements, made of names, so that a link to one survives new tables and suites."""

from __future__ import annotations

import re


class Anchors:
    """Makes ids that are unique on one page."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, *names: str) -> str:
        """Return an id of lower-case letters, digits and hyphens; a number follows if another has it.

        >>> anchors = Anchors()
        >>> anchors.make("table", "robustness", "top1 by shift"), anchors.make("table", "robustness", "top1 by shift!")
        ('table-robustness-top1-by-shift', 'table-robustness-top1-by-shift-2')
        """
        words = (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") for name in names)
        base = "-".join(word for word in words if word) or "part"
        anchor, number = base, 1
        while anchor in self._taken:
            number += 1
            anchor = f"{base}-{number}"
        self._taken.add(anchor)
        return anchor
