"""Makes `Detections` of what a model found in single images and of what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import Boxes, DataError
from harness_dense.detections import Detections
from harness_dense.mask_codes import encode_masks, measure_areas

if TYPE_CHECKING:
    from harness_dense.contracts import Found


class FoundArrays(NamedTuple):
    """What a model found in one image, as arrays: M×4 boxes, M scores, M labels, M masks or None.

    Labels index the data set's classes. A mask is the `counts` of its run-length encoding in COCO's compressed form.
    """

    boxes: ArrayLike
    scores: ArrayLike
    labels: ArrayLike
    masks: Sequence[bytes] | None = None


def to_arrays(found: Found) -> FoundArrays:
    """Return what a model found in an image as arrays, masks encoded."""
    masks = None if found.masks is None else encode_masks(found.masks.detach().cpu().numpy())
    boxes, scores, labels = (
        part.detach().cpu().numpy() for part in (found.boxes, found.scores, found.labels)
    )
    return FoundArrays(boxes, scores, labels, masks)


def gather_detections(
    ids: Sequence[str],
    class_names: Sequence[str],
    sizes: ArrayLike,
    found: Sequence[FoundArrays],
    truths: Sequence[Boxes],
    groups: Sequence[str] = (),
) -> Detections:
    """Return the evidence of N images from what was found in each and what is there.

    `sizes` N×2, height and width in pixels. Areas of true objects are those given; else those of the masks; else
    those of the boxes. Masks are kept if all objects of a side have one. Raises DataError, naming the image, for what
    `Detections` refuses, and for a true mask of another size than its image.
    """
    shapes = np.asarray(sizes, np.int64).reshape(-1, 2)
    true_masks = [_read_counts(one, size, name) for one, size, name in zip(truths, shapes, ids, strict=True)]
    found_counts, true_counts = ([len(np.asarray(one.labels)) for one in side] for side in (found, truths))
    return Detections(
        ids=ids,
        class_names=class_names,
        sizes=shapes,
        offsets=_count_offsets(found_counts),
        boxes=_join_rows([one.boxes for one in found], (0, 4)),
        scores=_join_rows([one.scores for one in found], (0,)),
        labels=_join_rows([one.labels for one in found], (0,)),
        true_offsets=_count_offsets(true_counts),
        true_boxes=_join_rows([one.boxes for one in truths], (0, 4)),
        true_labels=_join_rows([one.labels for one in truths], (0,)),
        true_crowd=_join_rows([_or_false(one.crowd, m) for one, m in zip(truths, true_counts)], (0,)),
        true_ignored=_join_rows([_or_false(one.ignored, m) for one, m in zip(truths, true_counts)], (0,)),
        true_areas=_join_rows([_find_areas(one) for one in truths], (0,)),
        masks=_join_masks([one.masks for one in found], found_counts),
        true_masks=_join_masks(true_masks, true_counts),
        groups=groups,
    )


def _count_offsets(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.append(0, np.cumsum(counts, dtype=np.int64))


def _join_rows(parts: Sequence[ArrayLike], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return arrays one after another; those of no rows have any shape and type."""
    filled = [array for part in parts if (array := np.asarray(part)).size]
    return np.concatenate(filled) if filled else np.zeros(shape)


def _or_false(flags: NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    return np.zeros(count, bool) if flags is None else np.asarray(flags, bool)


def _read_counts(truth: Boxes, size: NDArray[np.int64], image: str) -> list[bytes] | None:
    if truth.masks is None:
        return None
    for place, code in enumerate(truth.masks):
        if list(code["size"]) != size.tolist():
            has = "×".join(str(side) for side in code["size"])
            raise DataError(
                f"detections: image '{image}': the mask of true object {place} is {has}, "
                f"the image {size[0]}×{size[1]} pixels (height×width)"
            )
    return [bytes(code["counts"]) for code in truth.masks]


def _find_areas(truth: Boxes) -> NDArray[np.float64]:
    if truth.areas is not None:
        return np.asarray(truth.areas, float)
    if truth.masks is not None:
        return measure_areas(truth.masks)
    boxes = np.reshape(truth.boxes, (-1, 4)).astype(float)
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _join_masks(parts: Sequence[Sequence[bytes] | None], counts: Sequence[int]) -> list[bytes] | None:
    """Return all masks; None if an image with objects, or every image, has none."""
    lacking = any(part is None and count for part, count in zip(parts, counts))
    if lacking or all(part is None for part in parts):
        return None
    return [mask for part in parts for mask in part or ()]
