"""What is expected of targets that are no labels: boxes, masks, captions, answers, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.contract.data import Sample
from harness.contract.declared import ask
from harness.contract.targets import Answers, Boxes, Masks, target_kind
from harness.testing.dataset_subject import DatasetSubject, some
from harness.testing.outcome import expect, must

IGNORED = 255
SLACK = 0.1
"""By how many pixels a box may reach over its image's edge: files round."""


def check_targets(subject: DatasetSubject) -> None:
    """Targets are of the kind that the data set declares, in shape, type and range."""
    with must("`target_kind` to be one of the kinds of target", "Protocols take data sets by it."):
        kind = target_kind(subject.plugin)
    if kind not in _WRONG:  # labels, which have a check of their own
        return
    for name, split in subject.splits.items():
        classes = len(ask(split, "class_names") or ()) or None
        for i in some(split):
            wrong = _WRONG[kind](split.targets[i], split[i], classes)
            expect(
                wrong is None,
                f"the target of sample '{split.ids[i]}' of split '{name}' to be of the kind '{kind}' "
                f"({wrong[0] if wrong else ''})",
                wrong[1] if wrong else "",
                "Metrics hold what a model answers against it.",
            )


Wrong = tuple[str, str] | None
"""What was expected of a target, and what was found."""


def _array(name: str, value: Any, shape: tuple[int | None, ...], kind: type, words: str) -> Wrong:
    """Whether an array has a shape (None: any length) and a kind of number."""
    found = np.asarray(value)
    fits = found.ndim == len(shape) and all(s is None or s == n for s, n in zip(shape, found.shape))
    if isinstance(value, np.ndarray) and fits and np.issubdtype(found.dtype, kind):
        return None
    sizes = "×".join("M" if s is None else str(s) for s in shape)
    return f"`{name}` an array {sizes} of {words}", f"{found.dtype} of shape {found.shape}"


def _labels(labels: Any, count: int, classes: int | None) -> Wrong:
    if wrong := _array("labels", labels, (count,), np.integer, "whole numbers"):
        return wrong
    outside = labels[(labels < 0) | (labels >= (classes or np.inf))]
    top = f" to {classes - 1}" if classes else " on"
    return (f"labels inside the class list, 0{top}", str(outside[0])) if len(outside) else None


def _boxes(target: Any, sample: Sample, classes: int | None) -> Wrong:
    if not isinstance(target, Boxes):
        return "a harness.Boxes", type(target).__name__
    if wrong := _array("boxes", target.boxes, (None, 4), np.floating, "floats"):
        return wrong
    count, boxes = len(target.boxes), target.boxes
    optional = (
        ("crowd", np.bool_, "bools"),
        ("ignored", np.bool_, "bools"),
        ("areas", np.floating, "floats"),
    )
    for name, kind, words in optional:
        value = getattr(target, name)
        if value is not None and (wrong := _array(name, value, (count,), kind, words)):
            return wrong
    empty = boxes[~((boxes[:, 2:] > boxes[:, :2]).all(axis=1))]
    if len(empty):
        return "right > left and bottom > top, as in (left, top, right, bottom)", f"{empty[0].tolist()}"
    if (size := _size(sample)) is not None:
        end = np.tile(size, 2) + SLACK
        outside = boxes[~((boxes >= -SLACK).all(axis=1) & (boxes <= end).all(axis=1))]
        if len(outside):
            return f"boxes inside the image of {size[0]}×{size[1]} pixels", f"{outside[0].tolist()}"
    return _labels(target.labels, count, classes)


def _size(sample: Sample) -> tuple[int, int] | None:
    """Width and height of the sample's stored image."""
    from harness.inference.images import decode

    return None if sample.image is None else decode(sample.image, sample.id).size


def _masks(target: Any, sample: Sample, classes: int | None) -> Wrong:
    if not isinstance(target, Masks):
        return "a harness.Masks", type(target).__name__
    if (target.semantic is None) == (target.instances is None):
        return "either `semantic` or `instances`", "none" if target.semantic is None else "both"
    size = _size(sample)
    shape = (None, None) if size is None else size[::-1]
    if target.instances is not None:
        wrong = _array(
            "instances", target.instances, (None, *shape), np.bool_, "bools, as large as the image"
        )
        return wrong or _labels(target.labels, len(target.instances), classes)
    if wrong := _array(
        "semantic", target.semantic, shape, np.integer, "whole numbers, as large as the image"
    ):
        return wrong
    used = np.unique(np.asarray(target.semantic))
    return _labels(used[used != IGNORED], int((used != IGNORED).sum()), classes)


def _texts(texts: Any, what: str) -> Wrong:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        return f"{what} to be a sequence of texts", type(texts).__name__
    empty = [text for text in texts if not isinstance(text, str) or not text.strip()]
    return (f"{what} to be texts that are not empty", repr(empty[0])) if empty else None


def _captions(target: Any, sample: Sample, classes: int | None) -> Wrong:
    if wrong := _texts(target, "captions"):
        return wrong
    return None if len(target) else ("at least one caption", "none")


def _answers(target: Any, sample: Sample, classes: int | None) -> Wrong:
    if not isinstance(target, Answers):
        return "a harness.Answers", type(target).__name__
    for name in ("references", "choices"):
        if wrong := _texts(getattr(target, name), name):
            return wrong
    if target.right is not None and not 0 <= target.right < len(target.choices):
        return f"the right one among {len(target.choices)} choices", f"choice {target.right}"
    known = len(target.references) or target.right is not None
    return None if known else ("a reference answer, or which choice is right", "neither")


def _none(target: Any, sample: Sample, classes: int | None) -> Wrong:
    return None if isinstance(target, int | np.integer) and target == -1 else ("−1", repr(target))


_WRONG: dict[str, Callable[[Any, Sample, int | None], Wrong]] = {
    "boxes": _boxes,
    "masks": _masks,
    "captions": _captions,
    "answers": _answers,
    "none": _none,
}
