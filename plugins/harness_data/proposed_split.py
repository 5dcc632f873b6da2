"""Reads the "proposed split" of a zero-shot data set from the MATLAB files of Xian et al. (xlsa17)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, did_you_mean

PARTS = {"train": "trainval_loc", "test-seen": "test_seen_loc", "test-unseen": "test_unseen_loc"}
"""The variable with the numbers, from 1, of each split's images."""


@dataclass(frozen=True)
class ProposedSplit:
    """The images of each split, as `class/file`, and which classes are unseen, C."""

    images: dict[str, list[str]]
    unseen: NDArray[np.bool_]


def read_proposed_split(splits: Path, images: Path, classes: Sequence[str]) -> ProposedSplit:
    """Return the split of att_splits.mat, whose numbers are places in the list of res101.mat.

    Raises DataError for files that can't be read or contradict each other, images in two splits, and training images of
    an unseen class.
    """
    names = PARTS.values()
    numbers = _load(splits, ["allclasses_names", *names])
    listed = _load(images, ["image_files", "labels"])
    paths = [_shorten_path(text) for text in _read_texts(images, listed["image_files"])]
    labels = np.asarray(listed["labels"]).ravel().astype(np.int64)
    known = _read_texts(splits, numbers["allclasses_names"])
    if len(labels) != len(paths):
        raise DataError(f"{images}: has {len(paths)} image_files and {len(labels)} labels")
    for path, label in zip(paths, labels, strict=True):
        stated = known[label - 1] if 1 <= label <= len(known) else f"number {label} of {len(known)}"
        if path.partition("/")[0] != stated:
            raise DataError(
                f"{images}: image '{path}' has the label of '{stated}': the two files do not belong together"
            )
    if strange := next((name for name in known if name not in classes), None):
        raise DataError(f"{splits}: class '{strange}' is not in classes.txt{did_you_mean(strange, classes)}")
    found, owner = dict[str, list[str]](), dict[str, str]()
    for split, variable in PARTS.items():
        places = np.asarray(numbers[variable]).ravel().astype(np.int64)
        if not len(places) or places.min() < 1 or places.max() > len(paths):
            raise DataError(f"{splits}: expected numbers from 1 to {len(paths)} in {variable}")
        found[split] = [paths[place - 1] for place in places]
        for path in found[split]:
            if (other := owner.setdefault(path, split)) != split:
                raise DataError(f"{splits}: image '{path}' is in '{other}' and in '{split}'")
        if len({*found[split]}) < len(found[split]):
            raise DataError(f"{splits}: {variable} names an image twice")
    of = {split: {path.partition("/")[0] for path in own} for split, own in found.items()}
    if shared := sorted(of["test-unseen"] & (of["train"] | of["test-seen"])):
        raise DataError(f"{splits}: class '{shared[0]}' of 'test-unseen' has images for training, too")
    return ProposedSplit(found, np.array([name in of["test-unseen"] for name in classes]))


def _load(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return variables of a MATLAB file."""
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(file, variable_names=list(names))
    except Exception as error:  # scipy raises many kinds for files that are none of its
        raise DataError(f"{file}: can't be read as a MATLAB file ({error})") from None
    if missing := [name for name in names if name not in found]:
        raise DataError(f"{file}: has no variable '{missing[0]}'")
    return found


def _read_texts(file: Path, cells: Any) -> list[str]:
    """Return the texts of a cell array, each an array of one text."""
    texts = [np.asarray(cell).ravel() for cell in np.asarray(cells).ravel()]
    if any(len(text) != 1 or text.dtype.kind != "U" for text in texts):
        raise DataError(f"{file}: expected a list of names, found something else")
    return [str(text[0]) for text in texts]


def _shorten_path(path: str) -> str:
    """Return the class folder and the file of a path of its author's machine."""
    return "/".join(re.split(r"[\\/]+", path)[-2:])
