"""Checks of targets other than labels: boxes, masks, captions, answers, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.contract.data import Sample
from harness.contract.declared import ask
from harness.contract.targets import Answers, Boxes, Masks, target_kind
from harness.testing.dataset_subject import DatasetSubject, pick_positions
from harness.testing.verdicts import Violation, must

IGNORED = 255
SLACK = 0.1
"""Pixels by which a box may reach over its image's edge, since files round."""


def check_targets(subject: DatasetSubject) -> None:
    """Targets are of the kind that the data set declares, in shape, type and range."""
    with must("`target_kind` to be one of the kinds of target", "Protocols take data sets by it."):
        kind = target_kind(subject.plugin)
    if kind not in FINDERS:  # labels, which check_labels covers
        return
    for name, split in subject.splits.items():
        classes = len(ask(split, "class_names") or ()) or None
        for i in pick_positions(split):
            if fault := FINDERS[kind](split.targets[i], split[i], classes):
                what = f"the target of sample '{split.ids[i]}' of split '{name}' to be of the kind '{kind}'"
                raise Violation(
                    f"{what} ({fault[0]})", fault[1], "Metrics compare a model's answers with it."
                )


Fault = tuple[str, str] | None
"""What was expected of a target, and what was found; None for a sound one."""


def _array_fault(name: str, value: Any, shape: tuple[int | None, ...], kind: type, words: str) -> Fault:
    """Check an array for a shape (None: any length) and a kind of number."""
    found = np.asarray(value)
    fits = found.ndim == len(shape) and all(s is None or s == n for s, n in zip(shape, found.shape))
    if isinstance(value, np.ndarray) and fits and np.issubdtype(found.dtype, kind):
        return None
    sizes = "×".join("M" if s is None else str(s) for s in shape)
    return f"`{name}` an array {sizes} of {words}", f"{found.dtype} of shape {found.shape}"


def _labels_fault(labels: Any, count: int, classes: int | None) -> Fault:
    if fault := _array_fault("labels", labels, (count,), np.integer, "whole numbers"):
        return fault
    outside = labels[(labels < 0) | (labels >= (classes or np.inf))]
    top = f" to {classes - 1}" if classes else " on"
    return (f"labels inside the class list, 0{top}", str(outside[0])) if len(outside) else None


def _boxes_fault(target: Any, sample: Sample, classes: int | None) -> Fault:
    if not isinstance(target, Boxes):
        return "a harness.Boxes", type(target).__name__
    if fault := _array_fault("boxes", target.boxes, (None, 4), np.floating, "floats"):
        return fault
    count, boxes = len(target.boxes), target.boxes
    bools, floats = (np.bool_, "bools"), (np.floating, "floats")
    for name, (kind, words) in (("crowd", bools), ("ignored", bools), ("areas", floats)):
        value = getattr(target, name)
        if value is not None and (fault := _array_fault(name, value, (count,), kind, words)):
            return fault
    empty = boxes[~((boxes[:, 2:] > boxes[:, :2]).all(axis=1))]
    if len(empty):
        return "right > left and bottom > top, as in (left, top, right, bottom)", f"{empty[0].tolist()}"
    size = _image_size(sample)
    if target.masks is not None and (fault := _runs_fault(target.masks, count, size)):
        return fault
    if size is not None:
        end = np.tile(size, 2) + SLACK
        outside = boxes[~((boxes >= -SLACK).all(axis=1) & (boxes <= end).all(axis=1))]
        if len(outside):
            return f"boxes inside the image of {size[0]}×{size[1]} pixels", f"{outside[0].tolist()}"
    return _labels_fault(target.labels, count, classes)


def _runs_fault(masks: Any, count: int, size: tuple[int, int] | None) -> Fault:
    """Check the run-length encodings of the masks of `count` objects in an image of that width and height."""
    if isinstance(masks, str | bytes) or not isinstance(masks, Sequence) or len(masks) != count:
        return f"`masks` a sequence of {count}, as many as boxes", f"{type(masks).__name__} {str(masks)[:40]}"
    for mask in masks:
        if not isinstance(mask, Mapping) or not isinstance(mask.get("counts"), bytes):
            return "each of `masks` a mapping of `size` and `counts`, which are bytes", f"{str(mask)[:60]}"
        found = tuple(mask.get("size") or ())
        if len(found) != 2 or (size is not None and found != size[::-1]):
            wanted = "" if size is None else f", {list(size[::-1])}"
            return f"each of `masks` of the image's height and width{wanted}", f"{list(found)}"
    return None


def _image_size(sample: Sample) -> tuple[int, int] | None:
    """Return width and height of the sample's stored image; None without an image."""
    from harness.inference.images import decode

    return None if sample.image is None else decode(sample.image, sample.id).size


def _masks_fault(target: Any, sample: Sample, classes: int | None) -> Fault:
    if not isinstance(target, Masks):
        return "a harness.Masks", type(target).__name__
    if (target.semantic is None) == (target.instances is None):
        return "either `semantic` or `instances`", "none" if target.semantic is None else "both"
    size = _image_size(sample)
    shape = (None, None) if size is None else size[::-1]
    size_words = "as large as the image"
    if target.instances is not None:
        kind, shape = f"bools, {size_words}", (None, *shape)
        fault = _array_fault("instances", target.instances, shape, np.bool_, kind)
        return fault or _labels_fault(target.labels, len(target.instances), classes)
    kind = f"whole numbers, {size_words}"
    if fault := _array_fault("semantic", target.semantic, shape, np.integer, kind):
        return fault
    used = np.setdiff1d(np.asarray(target.semantic), [IGNORED])
    return _labels_fault(used, len(used), classes)


def _texts_fault(texts: Any, what: str) -> Fault:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        return f"{what} to be a sequence of texts", type(texts).__name__
    empty = [text for text in texts if not isinstance(text, str) or not text.strip()]
    return (f"{what} to be texts that are not empty", repr(empty[0])) if empty else None


def _captions_fault(target: Any, sample: Sample, classes: int | None) -> Fault:
    return _texts_fault(target, "captions") or (None if len(target) else ("at least one caption", "none"))


def _answers_fault(target: Any, sample: Sample, classes: int | None) -> Fault:
    if not isinstance(target, Answers):
        return "a harness.Answers", type(target).__name__
    for name in ("references", "choices"):
        if fault := _texts_fault(getattr(target, name), name):
            return fault
    if target.right is not None and not 0 <= target.right < len(target.choices):
        return f"the right one among {len(target.choices)} choices", f"choice {target.right}"
    known = len(target.references) or target.right is not None
    return None if known else ("a reference answer, or which choice is right", "neither")


def _none_fault(target: Any, sample: Sample, classes: int | None) -> Fault:
    return None if isinstance(target, int | np.integer) and target == -1 else ("−1", repr(target))


FINDERS: dict[str, Callable[[Any, Sample, int | None], Fault]] = {
    "boxes": _boxes_fault,
    "masks": _masks_fault,
    "captions": _captions_fault,
    "answers": _answers_fault,
    "none": _none_fault,
}
