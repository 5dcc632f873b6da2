"""Kinds of target (what is predicted for the samples of a data set), and the classes that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contract.declared import ask
from harness.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TARGET_KINDS: Mapping[str, str] = {
    "label": "one label per sample",
    "label sets": "several labels per sample",
    "boxes": "boxes",
    "masks": "masks",
    "captions": "captions",
    "answers": "answers",
    "none": "no targets",
}
"""The kinds and their wording. What `Split.targets` holds for N samples of each:

* "label": integers N, −1 throughout a part without labels.
* "label sets": integers N×C of 1, 0 and −1 (not counted).
* "boxes", "masks", "answers": N times `Boxes`, `Masks`, `Answers`; masks may be read on access.
* "captions": N times a sequence of texts, at least one.
* "none": N times −1.
"""


@dataclass(frozen=True, eq=False)
class Boxes:
    """The objects of one image, possibly none: M boxes and what is known of each.

    `boxes` M×4 float: left, top, right, bottom in pixels of the stored image, from 0 at its outer edges,
    so that a box around the whole image ends at its width and height. `labels` M integers. Optional, M each:
    `crowd` and `ignored` bool (a box around several objects; one that counts neither way), `areas` float
    in pixels, if they are those of masks and not of boxes, and `masks`, COCO's run-length encodings of the
    objects' pixels: `{"size": [height, width], "counts": bytes}`, of the stored image's size.
    """

    boxes: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]]
    crowd: NDArray[np.bool_] | None = None
    ignored: NDArray[np.bool_] | None = None
    areas: NDArray[np.floating[Any]] | None = None
    masks: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, eq=False)
class Masks:
    """What the pixels of one stored image H×W show: a class each, or instances.

    Either `semantic` H×W integers, the class of each pixel, 255 for those not counted; or `instances`
    M×H×W bool with their `labels`, M integers.
    """

    semantic: NDArray[np.integer[Any]] | None = None
    instances: NDArray[np.bool_] | None = None
    labels: NDArray[np.integer[Any]] | None = None


@dataclass(frozen=True)
class Answers:
    """The accepted answers to a sample's question: reference answers, or the right one of some choices."""

    references: Sequence[str] = ()
    choices: Sequence[str] = ()
    right: int | None = None
    """Index of the right choice."""


def target_kind(dataset: object) -> str:
    """Return the kind of target that a data set declares. Raises DataError for an unknown kind."""
    kind = str(ask(dataset, "target_kind"))
    if kind not in TARGET_KINDS:
        raise DataError(f"the data set's target_kind is '{kind}'{did_you_mean(kind, TARGET_KINDS)}")
    return kind


def explain_target_mismatch(dataset: object, protocol: object, name: str) -> str | None:
    """Return why a protocol of that name does not take a data set's kind of target, or None if it does."""
    kind, taken = target_kind(dataset), ask(protocol, "target_kinds")
    if kind in taken:
        return None
    takes = " or ".join(TARGET_KINDS.get(k, k) for k in taken)
    return f"the data set has {TARGET_KINDS[kind]}; protocol '{name}' takes {takes}"


def require_labels(targets: Any, where: str) -> None:
    """Raise DataError, beginning with `where`, unless targets are one integer label per sample."""
    import numpy as np

    first: Any = targets[0] if len(targets) else 0
    if isinstance(first, int | np.integer):
        return
    several = isinstance(targets, np.ndarray) and targets.ndim == 2
    has = "several labels" if several else f"targets of the type {type(first).__name__}"
    raise DataError(f"{where}: its samples have {has}, here they need one label each")
