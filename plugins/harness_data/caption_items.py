"""Gathers the captions of each image (or video) of a table, by split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness import DataError
from harness_data.caption_tables import CaptionRow
from harness_data.question_cells import shorten_text


@dataclass(frozen=True)
class RowOfItem:
    """A row of a table with what its image is known by, and the id that it would give it."""

    row: CaptionRow
    key: str
    id: str
    split: str


@dataclass
class CaptionedItem:
    """An image (or video) with its captions; `key` is what it is known by, `where` its first row."""

    id: str
    key: str
    group: str | None
    split: str
    where: str
    captions: list[str] = field(default_factory=list)


def gather_captions(
    rows: Sequence[RowOfItem], medium: str
) -> tuple[Mapping[str, Sequence[CaptionedItem]], list[str]]:
    """Return the items of each split in the order of their first rows, and remarks.

    Rows of one key are one item. Empty captions are left out, and items without any other. Raises DataError, naming both
    rows, for an item in two splits or two groups, an item of two ids, and an id of two items of a split.
    """
    items: dict[str, CaptionedItem] = {}
    ids: dict[tuple[str, str], CaptionedItem] = {}
    empty = 0
    for one in rows:
        row = one.row
        item = items.setdefault(one.key, CaptionedItem(one.id, one.key, row.group, one.split, row.where))
        named = f"{row.where}: {medium} '{shorten_text(one.id)}'"
        if item.split != one.split:
            raise DataError(
                f"{named} is in split '{one.split}', but at {item.where} in '{item.split}': each belongs to one"
            )
        if item.group != row.group:
            raise DataError(f"{named} is in group '{row.group}', but at {item.where} in '{item.group}'")
        if row.id is not None and item.id != row.id:
            raise DataError(f"{named} has the id '{shorten_text(item.id)}' at {item.where}")
        other = ids.setdefault((one.split, one.id), item)
        if other.key != one.key:
            raise DataError(f"{named}: this id is that of another {medium} at {other.where}")
        empty += row.captions.count("") + (not row.captions)
        item.captions += [text for text in row.captions if text]
    kept = [item for item in items.values() if item.captions]
    bare = [item for item in items.values() if not item.captions]
    remarks = []
    if empty:
        whole = empty + sum(len(item.captions) for item in kept)
        remarks.append(f"{empty} of {whole} captions are empty and left out")
    if bare:
        have = (
            f"of {len(items)} {medium}s have no caption and are left out (first: {shorten_text(bare[0].id)})"
        )
        remarks.append(f"{len(bare)} {have}")
    found: dict[str, list[CaptionedItem]] = {}
    for item in kept:
        found.setdefault(item.split, []).append(item)
    return found, remarks


def note_captions(captions: Sequence[Sequence[str]], medium: str) -> list[str]:
    """Return remarks on captions that a split's items have twice, that hold line breaks, and on how many each has."""
    remarks, total = [], sum(map(len, captions))
    twice = [texts for texts in captions if len(set(texts)) < len(texts)]
    if twice:
        again = sum(len(texts) - len(set(texts)) for texts in twice)
        remarks.append(f"{again} of {total} captions repeat another of the same {medium}, and count again")
    if broken := sum("\n" in text or "\r" in text for texts in captions for text in texts):
        remarks.append(f"{broken} of {total} captions hold line breaks, and count as one each")
    counts = Counter(map(len, captions))
    if len(counts) > 1:
        (usual, most), *rest = counts.most_common()
        shown = ", ".join(f"{number}: {count}" for number, count in sorted(rest)[:6])
        remarks.append(
            f"{most} of {len(captions)} {medium}s have {usual} captions, others more or fewer ({shown}); "
            f"{total} in all"
        )
    return remarks


def note_divided_groups(items: Mapping[str, Sequence[CaptionedItem]]) -> list[str]:
    """Return a remark on groups with items in several splits."""
    splits: dict[str, set[str]] = {}
    for split, of in items.items():
        for item in of:
            if item.group is not None:
                splits.setdefault(item.group, set()).add(split)
    divided = [group for group, names in splits.items() if len(names) > 1]
    if not divided:
        return []
    have = "group has" if len(divided) == 1 else "groups have"
    return [
        f"{len(divided)} of {len(splits)} {have} items in several splits (first: {shorten_text(divided[0])})"
    ]
