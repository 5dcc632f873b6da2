"""Small pictures of samples, from data sets that this machine can open."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from typing import Any

from harness.contract.declared import ask
from harness.errors import HarnessError, reason_of
from harness.inference.images import decode
from harness.records.record import Record

SIDE = 72
"""Pixels of the longer side."""

DATASETS = 12
"""Limit of data sets opened for one page."""


class Thumbnails:
    """Pictures of at most `each` samples of each record whose id is in `wanted`; equal pictures once."""

    def __init__(self, wanted: Collection[str], each: int = 24) -> None:
        self.wanted, self.each = wanted, each
        self.pictures: list[str] = []
        self._places: dict[tuple[str, str], int] = {}
        self._splits: dict[str, tuple[Any, dict[str, int], str]] = {}

    def add_record(self, record: Record, ids: Sequence[str], classes: Collection[int]) -> dict[str, Any]:
        """Return `thumbs` (position and picture number) and class `names` for the excerpt of a record.

        If pictures can't be opened, `without` says why.
        """
        if self.each <= 0 or record.id not in self.wanted or not ids:
            return {}
        part = record.cell.get("dataset")
        if not isinstance(part, dict):
            return {}
        key = repr((part.get("plugin"), part.get("options"), part.get("label")))
        if key not in self._splits and len(self._splits) >= DATASETS:
            return {}
        if key not in self._splits:
            self._splits[key] = _open_split(part, set(ids))
        split, places, problem = self._splits[key]
        if problem:
            return {"without": problem}
        named = ask(split, "class_names") or ()
        names = {str(c): str(named[c]) for c in sorted(classes) if 0 <= c < len(named)}
        thumbs = []
        # the excerpt lists misses first, and both kinds should appear
        for position in choose_positions(len(ids), self.each):
            try:
                thumbs.append([position, self._place_picture(key, split, places, ids[position])])
            except Exception as error:  # a data set may fail in any way; the page is made without it
                return {"names": names, "without": reason_of(error)}
        return {"names": names, "thumbs": thumbs}

    def _place_picture(self, key: str, split: Any, places: dict[str, int], id: str) -> int:
        if (key, id) not in self._places:
            if id not in places:
                raise HarnessError(f"the data set has no sample '{id[:80]}' any more")
            self.pictures.append(data_uri(split[places[id]].image))
            self._places[key, id] = len(self.pictures) - 1
        return self._places[key, id]


def choose_positions(count: int, wanted: int) -> list[int]:
    """Return `wanted` of `count` positions: half from the start, the rest from the middle on."""
    if count <= wanted:
        return list(range(count))
    half = wanted // 2
    middle = max(half, count // 2)
    return [*range(half), *range(middle, min(count, middle + wanted - half))]


def data_uri(image: Any) -> str:
    """Return an image as a data URI: small ones unchanged as PNG, others shrunk as JPEG."""
    if image is None:
        raise HarnessError("the samples have no images")
    shown, buffer = decode(image), io.BytesIO()
    if max(shown.size) <= SIDE:
        shown.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        shown.thumbnail((SIDE, SIDE))
        shown.save(buffer, "JPEG", quality=80)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _open_split(part: dict[str, Any], ids: set[str]) -> tuple[Any, dict[str, int], str]:
    """Return the split that holds these samples and each one's index in it, or why it can't be opened."""
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import Reference

    try:
        reference = Reference(
            f"{part['distribution']}/{part['plugin']}", part.get("options", {}), label=part.get("label")
        )
        found = Resolver().resolve("datasets", reference, "report")
        if found.problem or found.missing:
            return None, {}, found.problem or found.missing or ""
        names = sorted(found.object.splits, key=lambda s: s != "test")
        for name in names:
            split = found.object.load(name)
            places = {str(id): n for n, id in enumerate(split.ids)}
            if ids & places.keys():
                return split, places, ""
    except Exception as error:  # a data set may fail in any way; the page is made without it
        return None, {}, reason_of(error)
    return None, {}, "the data set has none of these samples any more"
