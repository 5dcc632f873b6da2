"""Place the remarks of records in a table of summaries, whose numbers rest on many records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.leaderboard.table import Table

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "tag.dataset.reference"
"""A shift's number also rests on the data set that this tag names."""


class RemarkFinder:
    """Finds the footnotes of a summary's numbers by the coordinates that they share with remarked records.

    A coordinate whose value no record has (such as a mean over data sets) matches all of its values. Records
    are grouped once for each set of coordinates, so that a large table is not searched per number.
    """

    def __init__(self, data: pd.DataFrame, names: Sequence[str]) -> None:
        good = data[data["status"] == "ok"]
        self.names = [n for n in names if f"at.{n}" in good.columns]
        self.known = {n: set(map(str, good[f"at.{n}"])) for n in self.names}
        self.remarks = good["remarks"].tolist() if "remarks" in good else [()] * len(good)
        here = [n for n, texts in enumerate(self.remarks) if texts]
        self.remarks = [self.remarks[n] for n in here]
        self.values = {n: [str(v) for v in good[f"at.{n}"].iloc[here]] for n in self.names}
        self.shifts = _shifts_by_reference(good) if here else {}
        self.groups: dict[tuple[str, ...], dict[tuple[str, ...], dict[str, None]]] = {}
        self.placed: set[str] = set()

    def find_footnotes(self, record: Mapping[str, Any], table: Table) -> list[int]:
        """Return the indices of the footnotes that a number with these coordinates needs."""
        if not self.remarks:
            return []
        given = {n: str(record[n]) for n in self.names}
        matching = tuple(n for n, value in given.items() if value in self.known[n])
        if not matching:
            return []
        if matching not in self.groups:
            self.groups[matching] = self._group_texts(matching)
        texts = self.groups[matching].get(tuple(given[n] for n in matching), {})
        self.placed.update(texts)
        return [table.note(text) for text in texts]

    def unplaced_remarks(self) -> list[str]:
        """Return the remarks that match no number's coordinates."""
        return list(dict.fromkeys(t for texts in self.remarks for t in texts if t not in self.placed))

    def _group_texts(self, names: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, None]]:
        groups: dict[tuple[str, ...], dict[str, None]] = {}
        for n, texts in enumerate(self.remarks):
            at = {name: self.values[name][n] for name in names}
            for dataset in (at["dataset"], *self.shifts.get(at["dataset"], ())) if "dataset" in at else ("",):
                key = tuple(dataset if name == "dataset" else at[name] for name in names)
                groups.setdefault(key, {}).update(dict.fromkeys(texts))
        return groups


def _shifts_by_reference(data: pd.DataFrame) -> dict[str, set[str]]:
    """Return for each reference the data sets that are compared with it."""
    found: dict[str, set[str]] = {}
    if REFERENCE in data and "at.dataset" in data:
        for dataset, reference in zip(data["at.dataset"], data[REFERENCE], strict=True):
            if isinstance(reference, str) and reference != dataset:
                found.setdefault(reference, set()).add(str(dataset))
    return found
