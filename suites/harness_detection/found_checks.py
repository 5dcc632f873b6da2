"""Checks what a model says of images: what is wrong there would count as objects that are not there, or hide some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from harness import DataError
from harness_dense.contracts import Found
from harness_dense.detections import Detections

ROUNDING = 1e-5
"""By which products of probabilities may be over 1."""


def check_found(model: Any, images: Sequence[torch.Tensor], results: Sequence[Found]) -> None:
    """Check what a model found in images 3×H×W. Raises DataError, naming the model's class, for what can't be."""
    where = f"`detect` of {type(model).__name__}"
    if len(results) != len(images):
        raise DataError(f"{where}: it returns {len(results)} results for {len(images)} images")
    for image, found in zip(images, results):
        if not isinstance(found, Found):
            raise DataError(
                f"{where}: it returns a {type(found).__name__} for an image, expected harness_dense.contracts.Found"
            )
        if fault := _find_fault(image, found, len(model.class_names)):
            raise DataError(f"{where}: {fault}")


def _find_fault(image: torch.Tensor, found: Found, classes: int) -> str | None:
    count, size = len(found.scores), tuple(image.shape[-2:])
    shapes: dict[str, tuple[int, ...]] = {"scores": (count,), "labels": (count,), "boxes": (count, 4)}
    if found.masks is not None:
        shapes["masks"] = (count, *size)
    for name, shape in shapes.items():
        given = tuple(getattr(found, name).shape)
        if given != shape and count:
            return f"{name} are {_show(given)}, expected {_show(shape)} (its image has {_show(size)} pixels)"
    labels = found.labels
    if not count:
        return None
    if labels.dtype.is_floating_point or labels.dtype == torch.bool:
        return f"labels are of {labels.dtype}, expected whole numbers"
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        wrong = lowest if lowest < 0 else highest
        return f"label {wrong} is none of its {classes} classes, which count from 0, without a background"
    for name in ("scores", "boxes"):
        if not bool(torch.isfinite(getattr(found, name)).all()):
            return f"{name} are not all finite numbers"
    low, high = float(found.scores.min()), float(found.scores.max())
    if low < 0 or high > 1 + ROUNDING:
        return f"scores reach from {low:g} to {high:g}, expected probabilities in [0, 1]"
    if found.masks is not None and found.masks.dtype != torch.bool:
        return f"masks are of {found.masks.dtype}, expected torch.bool"
    if bool((found.boxes[:, 2:] < found.boxes[:, :2]).any()):
        return "a box ends before it begins: expected left, top, right, bottom"
    return None


def list_doubts(evidence: Detections) -> list[str]:
    """Return remarks on boxes that seem to count in other units than pixels of their image."""
    boxes, sizes = evidence.boxes, evidence.sizes[evidence.images][:, ::-1]
    if not len(boxes):
        return []
    if boxes.max() <= 1 and (sizes > 1).any():
        return ["all found boxes lie within the first pixel, as if they were fractions of the image"]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    outside = int(((centres < 0) | (centres > sizes)).any(axis=1).sum())
    if not outside:
        return []
    return [
        f"{outside} of {len(boxes)} found boxes have their centre outside the image, as if it had another size"
    ]


def _show(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"
