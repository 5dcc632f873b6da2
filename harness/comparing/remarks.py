"""Remarks on either side of a comparison: what was assumed or left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.comparing.sides import SideCell


@dataclass(frozen=True)
class MatchedRemark:
    """A remark on matched records, with the number of them on each side."""

    text: str
    a: int
    b: int
    of: int

    def __str__(self) -> str:
        if self.a == self.b == self.of:
            return self.text
        sides = [f"{count} of {self.of} in {side}" for side, count in (("A", self.a), ("B", self.b)) if count]
        return f"{self.text} ({', '.join(sides)})"


class RemarkCounts:
    """Counts the remarks on matched records, side by side."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def add(self, a: Mapping[Any, SideCell], b: Mapping[Any, SideCell]) -> None:
        """Count the remarks on a cell's records that are ok on both sides."""
        for seed in a.keys() & b.keys():
            if a[seed].status == b[seed].status == "ok":
                for side, found in enumerate((a[seed], b[seed])):
                    for text in found.remarks:
                        self._counts.setdefault(text, [0, 0])[side] += 1

    def matched_remarks(self, matched: int) -> list[MatchedRemark]:
        """Return the remarks with their counts, of this number of matched records."""
        return [MatchedRemark(text, a, b, matched) for text, (a, b) in self._counts.items()]
