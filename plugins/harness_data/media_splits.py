"""Divides the items of a table of media into splits that no group crosses: by a column, or by time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from harness import DataError
from harness_data.media_rows import MediaRow
from harness_data.question_cells import shorten_text

ByName = Mapping[str, Sequence[MediaRow]]


def divide_by_column(rows: Sequence[MediaRow], where: str) -> tuple[ByName, list[str]]:
    """Return the items of each split that the table names, and remarks.

    Raises DataError, naming both rows, for a group in two splits, and for an item without a split.
    """
    found: dict[str, list[MediaRow]] = {}
    seen: dict[str, MediaRow] = {}
    for row in rows:
        if row.split is None:
            raise DataError(f"{row.where}: names no split")
        first = seen.setdefault(row.group, row)
        if first.split != row.split:
            raise DataError(
                f"{where}: group '{shorten_text(row.group)}' is in split '{first.split}' ({first.where}) and in "
                f"'{row.split}' ({row.where}): what is learned of it in one would help in the other"
            )
        found.setdefault(row.split, []).append(row)
    return found, []


def divide_by_time(rows: Sequence[MediaRow], test_share: float, where: str) -> tuple[ByName, list[str]]:
    """Return a split `train` before a moment and a split `test` from it on, and remarks on what was left out.

    The moment is such that a share `test_share` of the items lies at or after it. A group with an item from that moment
    on is of `test` as a whole, and its earlier items are left out: no group is in both splits, and all of `train` is
    older than all of `test`. Raises DataError if a split remains empty.
    """
    dates: list[datetime] = sorted(_require_date(row) for row in rows)
    cut = dates[min(len(dates) - 1, math.floor(len(dates) * (1 - test_share)))]
    late = {row.group for row in rows if _require_date(row) >= cut}
    test = [row for row in rows if _require_date(row) >= cut]
    train = [row for row in rows if row.group not in late]
    for name, part in (("train", train), ("test", test)):
        if not part:
            raise DataError(
                f"{where}: no item is left for '{name}' if '{cut.isoformat()}' divides the {len(rows)} items and no "
                "group is in both splits: choose another test_share, or a split_column"
            )
    remarks = [
        f"items from {cut.isoformat()} on are 'test' ({len(test)}), earlier ones 'train' ({len(train)})"
    ]
    if left := len(rows) - len(test) - len(train):
        remarks.append(f"{left} earlier items are left out, because their groups have items in 'test'")
    return {"train": train, "test": test}, remarks


def _require_date(row: MediaRow) -> datetime:
    if row.date is None:
        raise DataError(f"{row.where}: has no date")
    return row.date
