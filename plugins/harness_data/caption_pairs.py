"""What data sets of right and wrong captions have in common: records of questions whose choices are captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import Answers, DataError, derive_seed
from harness_data.coco_files import CocoRecord, read_json_file

QUESTION = "Which caption describes the image?"
"""What models that answer questions are asked."""


def mix_captions(right: str, wrong: Sequence[str], id: str) -> Answers:
    """Return a right and some wrong captions as choices, in an order that depends on the sample's id alone.

    In the files the right one has always the same place, which a model that answers "A" would be right by.
    """
    captions = [right, *wrong]
    order = np.random.default_rng(derive_seed("captions", id)).permutation(len(captions)).tolist()
    return Answers(choices=tuple(captions[n] for n in order), right=order.index(0))


def read_json_records(path: Path) -> Iterator[tuple[str, CocoRecord]]:
    """Yield key and record of each object that a JSON file holds, in a list or by its key.

    Raises DataError, naming the file, if it holds neither, or nothing.
    """
    values = read_json_file(path)
    if not isinstance(values, list | dict) or not values:
        raise DataError(f"{path}: expected a list of objects, or objects by key, found {_name(values)}")
    for key, one in enumerate(values) if isinstance(values, list) else values.items():
        yield str(key), CocoRecord(one, f"{path}, [{key}]")


def _name(values: Any) -> str:
    return f"an empty {type(values).__name__}" if isinstance(values, list | dict) else type(values).__name__
