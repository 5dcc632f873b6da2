"""The evidence `Detections`: which objects a model found in images, and which are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError
from harness_dense.mask_codes import encode_masks, fill_boxes, join_counts, split_counts

Kept = TypeVar("Kept")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

ARRAYS: Mapping[str, type] = {
    "sizes": np.int64,
    "offsets": np.int64,
    "boxes": np.float64,
    "scores": np.float64,
    "labels": np.int64,
    "true_offsets": np.int64,
    "true_boxes": np.float64,
    "true_labels": np.int64,
    "true_crowd": np.bool_,
    "true_ignored": np.bool_,
    "true_areas": np.float64,
}


@dataclass(frozen=True, eq=False)
class Detections:
    """P objects that a model found in N images, and the G that are there, of C classes.

    Those of image n are the rows `offsets[n]` to `offsets[n + 1]`, in the model's order. The images are kept in the
    order of their ids (as numbers, if all are), which breaks ties between equal scores, so that no number depends on
    the order in which they were evaluated.

    Args:
        ids: the images' ids.
        class_names: the data set's C classes.
        sizes: N×2, height and width of each image in pixels.
        offsets: N + 1, where each image's found objects begin, and the end.
        boxes: P×4, left, top, right, bottom in pixels of the image, from 0 at its outer edges.
        scores: P.
        labels: P, indices of classes.
        true_offsets: N + 1, where each image's true objects begin, and the end.
        true_boxes: G×4.
        true_labels: G.
        true_crowd: G, whether the box is around several objects.
        true_ignored: G, whether it counts neither way; crowds need not be marked.
        true_areas: G, in pixels, by which objects are small, medium or large.
        masks: P, `counts` of COCO's compressed run-length encodings of the images' sizes; None if unknown.
        true_masks: G, the same.
        groups: what images belong to whose objects are not independent (a film); empty if each is its own.

    Raises DataError, naming the image, for columns of unequal length, two images of one id, labels out of range,
    boxes or scores that are not finite, and boxes that end before they begin.
    """

    ids: Sequence[str]
    class_names: Sequence[str]
    sizes: Integers
    offsets: Integers
    boxes: Floats
    scores: Floats
    labels: Integers
    true_offsets: Integers
    true_boxes: Floats
    true_labels: Integers
    true_crowd: Flags
    true_ignored: Flags
    true_areas: Floats
    masks: Sequence[bytes] | None = None
    true_masks: Sequence[bytes] | None = None
    groups: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, dtype in ARRAYS.items():
            array: NDArray[Any] = np.array(getattr(self, name), dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        for name in ("ids", "class_names", "groups"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_lengths()
        for side in ("", "true_"):
            self._check_objects(side)
        order = order_ids(self.ids)
        if not np.array_equal(order, np.arange(len(order))):
            for name, value in self._take(order).items():
                object.__setattr__(self, name, value)

    def _check_lengths(self) -> None:
        n, found, true = len(self.ids), len(self.scores), len(self.true_labels)
        expected = {"sizes": n, "offsets": n + 1, "boxes": found, "labels": found, "true_offsets": n + 1}
        expected |= dict.fromkeys(("true_boxes", "true_crowd", "true_ignored", "true_areas"), true)
        expected |= {"masks": found, "true_masks": true, "groups": n}
        for name, count in expected.items():
            column = getattr(self, name)
            if column is None or (name == "groups" and not column):
                continue
            if len(column) != count:
                raise DataError(f"detections: {len(column)} {name} where {count} are expected")
        if len(set(self.ids)) < n:
            twice = next(one for place, one in enumerate(self.ids) if one in self.ids[:place])
            raise DataError(f"detections: two images have the id '{twice}'")
        for offsets, count in ((self.offsets, found), (self.true_offsets, true)):
            if offsets[0] != 0 or offsets[-1] != count or (np.diff(offsets) < 0).any():
                raise DataError(f"detections: offsets must rise from 0 to {count}")

    def _check_objects(self, side: str) -> None:
        offsets, boxes, labels = (getattr(self, side + name) for name in ("offsets", "boxes", "labels"))
        what = "true" if side else "found"
        bad = {
            "has a box that is not finite": ~np.isfinite(boxes).all(axis=-1),
            "has a box that ends before it begins": (boxes[:, 2:] < boxes[:, :2]).any(axis=-1),
            f"is of a class that is none of the {len(self.class_names)}": (labels < 0)
            | (labels >= len(self.class_names)),
        }
        if not side:
            bad["has a score that is not finite"] = ~np.isfinite(self.scores)
        for says, rows in bad.items():
            if rows.any():
                row = int(rows.argmax())
                image = int(np.searchsorted(offsets, row, side="right")) - 1
                raise DataError(
                    f"detections: image '{self.ids[image]}': {what} object {row - int(offsets[image])} {says}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def images(self) -> Integers:
        """Index of the image of each found object, P."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def true_images(self) -> Integers:
        """Index of the image of each true object, G."""
        return np.repeat(np.arange(len(self)), np.diff(self.true_offsets))

    def keep(self, name: str, make: Callable[[], Kept]) -> Kept:
        """Return what `make` makes, which is made once and kept beside the columns, but not packed."""
        name = f"_kept_{name}"
        if name not in self.__dict__:
            object.__setattr__(self, name, make())
        kept: Kept = self.__dict__[name]
        return kept

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same evidence."""
        packed: dict[str, Any] = {name: np.array(getattr(self, name)) for name in ARRAYS}
        packed |= {name: list(getattr(self, name)) for name in ("ids", "class_names", "groups")}
        for name in ("masks", "true_masks"):
            if (masks := getattr(self, name)) is not None:
                packed[name], packed[f"{name}_ends"] = join_counts(masks)
        return packed

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Detections:
        """Return the evidence that `pack` took apart."""
        columns: dict[str, Any] = {
            field.name: parts[field.name] for field in fields(cls) if field.name in parts
        }
        for name in ("masks", "true_masks"):
            if name in parts:
                columns[name] = split_counts(parts[name], parts[f"{name}_ends"])
        return cls(**columns)

    def select(self, images: ArrayLike, ids: Sequence[str] | None = None) -> Detections:
        """Return the evidence of some images; one that is taken several times needs new `ids`."""
        taken = self._take(np.asarray(images, np.int64))
        return replace(self, **(taken if ids is None else taken | {"ids": ids}))

    def _take(self, order: Integers) -> dict[str, Any]:
        taken: dict[str, Any] = {"ids": tuple(self.ids[n] for n in order), "sizes": self.sizes[order]}
        if self.groups:
            taken["groups"] = tuple(self.groups[n] for n in order)
        for side, names in (
            ("", ("boxes", "scores", "labels", "masks")),
            ("true_", ("boxes", "labels", "crowd", "ignored", "areas", "masks")),
        ):
            offsets = getattr(self, f"{side}offsets")
            counts = np.diff(offsets)[order]
            ends = np.cumsum(counts)
            rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
                offsets[:-1][order] - ends + counts, counts
            )
            taken[f"{side}offsets"] = np.append(0, ends)
            for name in names:
                column = getattr(self, side + name)
                if name != "masks":
                    taken[side + name] = column[rows]
                elif column is not None:
                    taken[side + name] = [column[row] for row in rows]
        return taken

    def shuffled(self, seed: int) -> Detections:
        """Return the same evidence, made from the images in another order."""
        return self.select(np.random.default_rng(seed).permutation(len(self)))

    @classmethod
    def example(cls, quality: float, seed: int) -> Detections:
        """Return what was found in 40 images with 3 objects each, of 3 classes and sizes, apart from each other.

        A share `quality` of the objects is found exactly; in place of each other one, something of another class is
        found where nothing is, with a higher score.
        """
        rng = np.random.default_rng(seed)
        images, side = 40, 160
        there = np.array([[1, 101, 17, 117], [1, 1, 41, 41], [50, 50, 148, 148]], float)
        elsewhere = np.array([[142, 2, 158, 18], [100, 2, 138, 40], [2, 120, 40, 158]], float)
        filled = encode_masks(fill_boxes(np.concatenate([there, elsewhere]), side))
        right = rng.permutation(images * 3) < round(quality * images * 3)
        labels = np.concatenate([rng.permutation(3) for _ in range(images)])
        true_boxes = np.tile(there, (images, 1))
        return cls(
            ids=[f"{n}" for n in range(images)],
            class_names=["disc", "square", "cross"],
            sizes=np.full((images, 2), side),
            offsets=np.arange(images + 1) * 3,
            boxes=np.where(right[:, None], true_boxes, np.tile(elsewhere, (images, 1))),
            scores=rng.uniform(0.6, 0.8, images * 3) + np.where(right, 0.0, 0.2),
            labels=np.where(right, labels, (labels + 1) % 3),
            true_offsets=np.arange(images + 1) * 3,
            true_boxes=true_boxes,
            true_labels=labels,
            true_crowd=np.zeros(images * 3, bool),
            true_ignored=np.zeros(images * 3, bool),
            true_areas=np.prod(true_boxes[:, 2:] - true_boxes[:, :2], axis=1),
            masks=[filled[place % 3 + 3 * (not hit)] for place, hit in enumerate(right.tolist())],
            true_masks=filled[:3] * images,
        )


def order_ids(ids: Sequence[str]) -> Integers:
    """Return the order of ids: as numbers if all are, else as texts."""
    numbers = all(one.isdecimal() for one in ids)
    return np.array(sorted(range(len(ids)), key=lambda n: (int(ids[n]) if numbers else 0, ids[n])), np.int64)
