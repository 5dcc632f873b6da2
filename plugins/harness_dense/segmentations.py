"""The evidence `Segmentations`: how the classes of pixels that a model gave agree with the true ones, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_dense.detections import order_ids

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 15
"""Bins of confidence, as is usual for calibration errors."""

ARRAYS: Mapping[str, type] = {
    "offsets": np.int64,
    "truths": np.int64,
    "predictions": np.int64,
    "counts": np.int64,
    "band_common": np.int64,
    "band_union": np.int64,
    "confidences": np.float64,
    "uncounted": np.int64,
}


@dataclass(frozen=True, eq=False)
class Segmentations:
    """How the pixels of N images were classified, of C classes: per image what all metrics need, not the pixels.

    Entries of image n's confusion matrix that are not zero are the rows `offsets[n]` to `offsets[n + 1]`. The images
    are kept in the order of their ids, so that no sum depends on the order in which they were evaluated.

    Args:
        ids: the images' ids.
        class_names: the data set's C classes.
        offsets: N + 1, where each image's entries begin, and the end.
        truths: E, the true class of each entry.
        predictions: E, the predicted one.
        counts: E, its pixels.
        band_common: N×C, pixels in the inner bands of both the true and the predicted region of a class.
        band_union: N×C, pixels in either band.
        confidences: N×B×3, per bin of confidence the pixels, the sum of confidences, and the pixels that are right.
        uncounted: N, pixels without a true class.
        groups: what images belong to that are not independent (frames of a film); empty if each is its own.

    Raises DataError, naming the image, for columns of unequal length, two images of one id, and classes out of range.
    """

    ids: Sequence[str]
    class_names: Sequence[str]
    offsets: Integers
    truths: Integers
    predictions: Integers
    counts: Integers
    band_common: Integers
    band_union: Integers
    confidences: Floats
    uncounted: Integers
    groups: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, dtype in ARRAYS.items():
            array: NDArray[Any] = np.array(getattr(self, name), dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        for name in ("ids", "class_names", "groups"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()
        order = order_ids(self.ids)
        if not np.array_equal(order, np.arange(len(order))):
            for name, value in self._take(order).items():
                object.__setattr__(self, name, value)

    def _check(self) -> None:
        n, entries, classes = len(self.ids), len(self.counts), len(self.class_names)
        shapes: dict[str, tuple[int, ...]] = {
            "offsets": (n + 1,),
            "truths": (entries,),
            "predictions": (entries,),
            "uncounted": (n,),
        }
        shapes |= {"band_common": (n, classes), "band_union": (n, classes)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise DataError(
                    f"segmentations: {name} of shape {getattr(self, name).shape}, expected {shape}"
                )
        if self.confidences.ndim != 3 or self.confidences.shape[::2] != (n, 3):
            raise DataError(
                f"segmentations: confidences of shape {self.confidences.shape}, expected ({n}, B, 3)"
            )
        if self.groups and len(self.groups) != n:
            raise DataError(f"segmentations: {len(self.groups)} groups for {n} images")
        if len(set(self.ids)) < n:
            twice = next(one for place, one in enumerate(self.ids) if one in self.ids[:place])
            raise DataError(f"segmentations: two images have the id '{twice}'")
        if self.offsets[0] != 0 or self.offsets[-1] != entries or (np.diff(self.offsets) < 0).any():
            raise DataError(f"segmentations: offsets must rise from 0 to {entries}")
        for name in ("truths", "predictions"):
            column = getattr(self, name)
            if (bad := (column < 0) | (column >= classes)).any():
                image = int(np.searchsorted(self.offsets, bad.argmax(), side="right")) - 1
                raise DataError(
                    f"segmentations: image '{self.ids[image]}': a class in {name} is none of the {classes}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def sum_by_class(self) -> tuple[Floats, Floats, Floats]:
        """Return the pixels of each image and class that are right, that are truly its, and predicted to be; N×C each."""
        images = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        shape = (len(self), len(self.class_names))

        def add(classes: Integers, pixels: Integers) -> Floats:
            flat = images * shape[1] + classes
            return np.asarray(np.bincount(flat, pixels, shape[0] * shape[1]).reshape(shape), np.float64)

        right = np.where(self.truths == self.predictions, self.counts, 0)
        return add(self.truths, right), add(self.truths, self.counts), add(self.predictions, self.counts)

    def confusion(self) -> Integers:
        """Return the pixels of all images by true and predicted class, C×C."""
        classes = len(self.class_names)
        flat = np.bincount(self.truths * classes + self.predictions, self.counts, minlength=classes * classes)
        return flat.reshape(classes, classes).astype(np.int64)

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same evidence."""
        packed: dict[str, Any] = {name: np.array(getattr(self, name)) for name in ARRAYS}
        return packed | {name: list(getattr(self, name)) for name in ("ids", "class_names", "groups")}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Segmentations:
        """Return the evidence that `pack` took apart."""
        return cls(**{field.name: parts[field.name] for field in fields(cls) if field.name in parts})

    def select(self, images: Any, ids: Sequence[str] | None = None) -> Segmentations:
        """Return the evidence of some images; one that is taken several times needs new `ids`."""
        taken = self._take(np.asarray(images, np.int64))
        return replace(self, **(taken if ids is None else taken | {"ids": ids}))

    def _take(self, order: Integers) -> dict[str, Any]:
        lengths = np.diff(self.offsets)[order]
        ends = np.cumsum(lengths)
        rows = np.arange(ends[-1] if len(ends) else 0)
        rows = rows + np.repeat(self.offsets[:-1][order] - ends + lengths, lengths)
        taken: dict[str, Any] = {"ids": tuple(self.ids[n] for n in order), "offsets": np.append(0, ends)}
        taken |= {name: getattr(self, name)[rows] for name in ("truths", "predictions", "counts")}
        columns = ("band_common", "band_union", "confidences", "uncounted")
        taken |= {name: getattr(self, name)[order] for name in columns}
        return taken | {"groups": tuple(self.groups[n] for n in order) if self.groups else ()}

    def shuffled(self, seed: int) -> Segmentations:
        """Return the same evidence, made from the images in another order."""
        return self.select(np.random.default_rng(seed).permutation(len(self)))

    @classmethod
    def example(cls, quality: float, seed: int) -> Segmentations:
        """Return 30 images of 24×24 pixels with squares of 3 classes; a share `quality` of the squares is right."""
        from harness_dense.pixel_counts import PixelCounts

        rng = np.random.default_rng(seed)
        counts = PixelCounts(["ground", "disc", "cross"])
        right = rng.permutation(30 * 9) < round(quality * 30 * 9)
        for n in range(30):
            squares = rng.integers(3, size=9)
            said = np.where(right[9 * n : 9 * n + 9], squares, (squares + 1) % 3)
            truth, predicted = (np.kron(s.reshape(3, 3), np.ones((8, 8), np.int64)) for s in (squares, said))
            counts.add(f"{n}", truth, predicted, np.full((24, 24), 0.25 + 0.5 * quality))
        return counts.collect()
