"""The readable samples of a split, if the user allows others to be left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from harness.contract.remarks import remarks_of
from harness.contract.seeds import derive_seed
from harness.errors import DataError
from harness.inference.split_subsets import SplitSubset as Cut
from harness.inference.split_subsets import draw_subset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.contract.cells import Part
    from harness.contract.data import Split
    from harness.inference.features import FeatureCache


class Readable(Cut):
    """A split without its unreadable samples; `left_out` holds their ids."""

    def __init__(self, split: Split, kept: NDArray[np.int64], left_out: Sequence[str]) -> None:
        super().__init__(split, kept)
        self.left_out = tuple(left_out)


def open_readable_split(
    dataset: Part, name: str, limit: int | None, workers: int, cache: FeatureCache
) -> tuple[Split, Sequence[str]]:
    """Open a split of a data set as a run asks for it; return it with its remarks.

    It is cut to `limit` samples, and unreadable ones are left out if the run allows it. All models see the
    same samples, in whatever order they run. Raises DataError if not a single sample can be read.
    """
    split: Split = dataset.object.load(name)
    said = list(remarks_of(split))
    if limit is not None and limit < len(split):
        split = draw_subset(split, limit, derive_seed("limit", limit))
    if dataset.skip_unreadable:
        whole = split

        def look() -> NDArray[np.int64]:
            return np.asarray(list(find_unreadable(whole, range(len(whole)), workers)), np.int64)

        decides = {"what": "unreadable samples", "data": json.loads(dataset.identity)}
        decides |= {"split": name, "limit": limit, "count": len(whole)}
        split, more = leave_out(whole, cache.get(decides, look), workers)
        said += more
    return split, said


def leave_out(
    split: Split, suspects: Sequence[int] | NDArray[np.int64], workers: int
) -> tuple[Split, list[str]]:
    """Return a split without those suspected samples that can't be read now, and its remarks.

    They are tried again, since a file may have been out of reach on the first attempt.
    """
    bad = find_unreadable(split, [int(i) for i in suspects], workers)
    if not bad:
        return split, []
    first = next(iter(bad.values()))
    if len(bad) == len(split):
        raise DataError(f"none of its {len(split)} samples can be read (first: {first})")
    kept = np.asarray([i for i in range(len(split)) if i not in bad], np.int64)
    are = "can't be read and is" if len(bad) == 1 else "can't be read and are"
    said = f"{len(bad)} of {len(split)} samples {are} left out (first: {first})"
    return Readable(split, kept, [split.ids[i] for i in bad]), [said]


def find_unreadable(split: Split, indices: Sequence[int], workers: int) -> dict[int, str]:
    """Return the samples that can't be read or decoded, and why, in their order."""
    from harness.inference.images import decode

    def problem(index: int) -> str | None:
        try:
            for image in split[index].images:
                decode(image, f"sample '{split.ids[index]}'")
        except (DataError, OSError) as error:
            text = " ".join(str(error).split()).rsplit("; ", 1)[0]  # without what could be done about it
            return text if split.ids[index] in text else f"sample '{split.ids[index]}': {text}"
        return None

    with ThreadPoolExecutor(max(1, workers), "read") as threads:
        found = dict(zip(indices, threads.map(problem, indices), strict=True))
    return {index: text for index, text in found.items() if text is not None}
