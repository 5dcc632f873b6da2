"""Write predictions for pairs without labels to a file in a challenge's format."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import DataError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

SubmissionLayout = Literal["tag", "label", "memes"]

HEADERS: dict[str, tuple[str, ...]] = {
    "tag": ("guid", "tag"),
    "label": ("id", "label"),
    "memes": ("id", "proba", "label"),
}
"""Columns by layout: `tag` and `label` have class names; `memes` (the Hateful Memes Challenge, two classes)
has the probability of the second class and the index of the likelier one."""


def write_submission(
    path: Path,
    ids: Sequence[str],
    probabilities: NDArray[np.floating[Any]],
    class_names: Sequence[str],
    layout: SubmissionLayout = "tag",
    left_out: Sequence[str] = (),
    fallback: int = 0,
) -> Path:
    """Write one line per id, in order, as CSV in UTF-8; replace an existing file atomically.

    `probabilities` N×C. `left_out`: ids of unreadable pairs; a submission must include them, so they
    come last with the class `fallback` (the most common one in training, say).

    Raises OptionError for an unknown layout, or `memes` without exactly two classes; DataError if shapes
    and ids don't match, an id occurs twice, or a probability is not finite.
    """
    from harness.records.files import replacing

    check_submission_layout(layout, class_names)
    if probabilities.shape != (len(ids), len(class_names)):
        raise DataError(
            f"{path}: {len(ids)} ids and {len(class_names)} classes, but probabilities of shape {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise DataError(f"{path}: the probabilities of '{ids[row]}' are not all finite numbers")
    everyone = [*ids, *left_out]
    if len(set(everyone)) != len(everyone):
        twice = next(i for i in everyone if everyone.count(i) > 1)
        raise DataError(f"{path}: '{twice}' occurs twice")
    known = np.eye(len(class_names))[np.full(len(left_out), fallback, dtype=np.int64)]
    rows = np.concatenate([probabilities, known])
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADERS[layout])
        for identity, row in zip(everyone, rows, strict=True):
            best = int(row.argmax())
            if layout == "memes":
                writer.writerow([identity, f"{row[1]:.6f}", best])
            else:
                writer.writerow([identity, class_names[best]])
    return path


def check_submission_layout(layout: str, class_names: Sequence[str]) -> None:
    """Raise OptionError for an unknown layout, or `memes` without exactly two classes."""
    if layout not in HEADERS:
        raise OptionError(f"submission: there is no layout '{layout}'{did_you_mean(layout, HEADERS)}")
    if layout == "memes" and len(class_names) != 2:
        raise OptionError(f"submission: the layout 'memes' is for two classes, not {len(class_names)}")
