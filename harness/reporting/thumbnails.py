"""Small pictures of samples, from data sets that this machine can open."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from harness.contract.declared import ask
from harness.errors import HarnessError, reason_of
from harness.inference.images import decode
from harness.records.record import Record
from harness.reporting.rendered_questions import digest_pixels

SIDE = 72
"""Pixels of the longer side."""

DATASETS = 12
"""Limit of data sets opened for one page."""


class OpenSplits:
    """The splits that hold samples of records, each opened once; at most `DATASETS` data sets."""

    def __init__(self) -> None:
        self._found: dict[str, list[OpenSplit]] = {}
        self._problems: dict[str, str] = {}

    def find(self, part: dict[str, Any], ids: Collection[str]) -> OpenSplit | str | None:
        """Return the split of a record's data set with these samples, why there is none, or None past the limit."""
        key = repr((part.get("plugin"), part.get("options"), part.get("label")))
        known = self._found.setdefault(key, []) if key in self._found or len(self._found) < DATASETS else None
        if known is None:
            return None
        opened = next((split for split in known if not split.places.keys().isdisjoint(ids)), None)
        if opened is None and key not in self._problems:
            found = _open_split(key, part, set(ids))
            if isinstance(found, str):
                self._problems[key] = found
            else:
                known.append(found)
                opened = found
        return opened or self._problems[key]


@dataclass(frozen=True)
class OpenSplit:
    """A split of the data set `key`, with each sample's index in it."""

    key: str
    split: Any
    places: dict[str, int]


class Thumbnails:
    """Pictures of at most `each` samples of each record whose id is in `wanted`; equal pictures once."""

    def __init__(self, wanted: Collection[str], each: int = 24, splits: OpenSplits | None = None) -> None:
        self.wanted, self.each = wanted, each
        self.pictures: list[str] = []
        self._places: dict[tuple[str, str], int] = {}
        self._splits = splits or OpenSplits()

    def add_record(self, record: Record, ids: Sequence[str], classes: Collection[int]) -> dict[str, Any]:
        """Return `thumbs` (position and picture number) and class `names` for the excerpt of a record.

        If pictures can't be opened, `without` says why.
        """
        if self.each <= 0 or record.id not in self.wanted or not ids:
            return {}
        part = record.cell.get("dataset")
        if not isinstance(part, dict):
            return {}
        opened = self._splits.find(part, ids)
        if opened is None:
            return {}
        if isinstance(opened, str):
            return {"without": opened}
        named = ask(opened.split, "class_names") or ()
        names = {str(c): str(named[c]) for c in sorted(classes) if 0 <= c < len(named)}
        thumbs = []
        # the excerpt lists misses first, and both kinds should appear
        for position in choose_positions(len(ids), self.each):
            try:
                thumbs.append([position, self._place_picture(opened, ids[position])])
            except Exception as error:  # a data set may fail in any way; the page is made without it
                return {"names": names, "without": reason_of(error)}
        return {"names": names, "thumbs": thumbs}

    def add_asked(
        self, record: Record, ids: Sequence[str], digests: Sequence[Sequence[str]]
    ) -> dict[str, Any]:
        """Return the picture number of each image that questions show, as `places` by digest.

        `digests` are those of each sample's question, the image asked about first, the samples to be shown first.
        Two thirds of at most `each` pictures are images asked about, the rest others of the first samples. At most
        `each` samples are read, and images of others are not found. If pictures can't be opened, `without` says why.
        """
        part = record.cell.get("dataset")
        asked = [(own[0], id) for own, id in zip(digests, ids, strict=True) if own]
        others = ((digest, id) for own, id in zip(digests, ids, strict=True) for digest in own)
        if self.each <= 0 or record.id not in self.wanted or not asked or not isinstance(part, dict):
            return {}
        opened = self._splits.find(part, ids)
        if opened is None:
            return {}
        if isinstance(opened, str):
            return {"without": opened}
        places: dict[str, int] = {}
        images: dict[str, dict[str, Any]] = {}  # by sample
        try:
            for digest, id in chain(asked[: self.each * 2 // 3], others):
                if id not in images and len(images) < self.each:
                    images[id] = self._read_images(opened, id)
                found = next((own[digest] for own in images.values() if digest in own), None)
                if found is not None and (digest in places or len(places) < self.each):
                    places[digest] = self._keep(opened.key, digest, found)
        except Exception as error:  # a data set may fail in any way; the page is made without it
            return {"places": places, "without": reason_of(error)}
        return {"places": places}

    @staticmethod
    def _read_images(opened: OpenSplit, id: str) -> dict[str, Any]:
        """Return the images of a sample by digest."""
        if id not in opened.places:
            raise HarnessError(f"the data set has no sample '{id[:80]}' any more")
        return {digest_pixels(image): image for image in opened.split[opened.places[id]].images}

    def _place_picture(self, opened: OpenSplit, id: str) -> int:
        if (opened.key, id) in self._places:
            return self._places[opened.key, id]
        if id not in opened.places:
            raise HarnessError(f"the data set has no sample '{id[:80]}' any more")
        return self._keep(opened.key, id, opened.split[opened.places[id]].image)

    def _keep(self, key: str, name: str, image: Any) -> int:
        if (key, name) not in self._places:
            self.pictures.append(data_uri(image))
            self._places[key, name] = len(self.pictures) - 1
        return self._places[key, name]


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


def _open_split(key: str, part: dict[str, Any], ids: set[str]) -> OpenSplit | str:
    """Return the split that holds these samples, or why it can't be opened."""
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import Reference

    try:
        reference = Reference(
            f"{part['distribution']}/{part['plugin']}", part.get("options", {}), label=part.get("label")
        )
        found = Resolver().resolve("datasets", reference, "report")
        if found.problem or found.missing:
            return found.problem or found.missing or ""
        names = sorted(found.object.splits, key=lambda s: s != "test")
        for name in names:
            split = found.object.load(name)
            places = {str(id): n for n, id in enumerate(split.ids)}
            if ids & places.keys():
                return OpenSplit(key, split, places)
    except Exception as error:  # a data set may fail in any way; the page is made without it
        return reason_of(error)
    return "the data set has none of these samples any more"
