"""Data that can't be trained on as it is: one line that says what is wrong, or a remark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import Images, Training, draw_images

TRAIN, TEST = draw_images(60, "train"), draw_images(30, "test")
UNNAMED = {"class_names": ()}


def relabel(images: Images, row: int, label: int, **changes: Any) -> Images:
    """Return images of which one has another label."""
    targets = images.targets.copy()
    targets[row] = label
    return replace(images, targets=targets, **changes)


def keep(images: Images, rows: Any) -> Images:
    """Return some of the images."""
    ids = [images.ids[row] for row in rows]
    return replace(images, pixels=images.pixels[rows], targets=images.targets[rows], ids=ids)


TWO_OF_THREE = keep(TRAIN, np.flatnonzero(TRAIN.targets != 2))
ONE_OF_A_CLASS = keep(TRAIN, [*np.flatnonzero(TRAIN.targets != 2), 2])


@pytest.mark.parametrize(
    ("train", "test", "changes", "said"),
    [
        (relabel(TRAIN, 4, 3), TEST, {}, "planted, split 'train': sample 'train-004' has the label 3; there are 3 classes"),
        (relabel(TRAIN, 4, -1), TEST, {}, "planted, split 'train': sample 'train-004' has the label -1; there are 3 classes"),
        (replace(TRAIN, **UNNAMED), relabel(TEST, 7, 3, **UNNAMED), {}, "split 'test': sample 'test-007' has the label 3"),
        (TRAIN, TEST, {"val": relabel(TEST, 2, 3)}, "planted, split 'val': sample 'test-002' has the label 3"),
        (TRAIN, TEST, {"val": keep(TEST, [])}, "planted, split 'val': there are no images"),
        (TRAIN, TEST, {"images": 55}, "planted: there are 54 training images (besides 6 held out), fewer than 55"),
        (keep(TRAIN, []), TEST, {}, "planted, split 'train': there are no images"),
        (TRAIN, keep(TEST, []), {}, "planted, split 'test': there are no images"),
        (ONE_OF_A_CLASS, TEST, {"holdout": 1}, "holdout of 1 images per class leaves class 2 none to train on"),
        (replace(TRAIN, broken=[5]), TEST, {}, "sample 'train-005': the file is cut off"),
        (TRAIN, replace(TEST, broken=[5]), {}, "sample 'test-005': the file is cut off"),
        (replace(TRAIN, broken=[5]), TEST, {"hold": "no"}, "sample 'train-005': the file is cut off"),
        (replace(TRAIN, targets=np.eye(3, dtype=int)[TRAIN.targets]), TEST, {}, "several labels"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(
    training: Training, train: Images, test: Images, changes: dict[str, Any], said: str
) -> None:
    changes = dict(changes)
    splits = {"val": changes.pop("val")} if "val" in changes else {}
    images = changes.pop("images", None)
    suite: dict[str, Any] = {"limit": None} | ({"axes": {"images": [images]}} if images else {})
    (record,) = training.use(train=train, test=test, **splits).change(suite=suite, **changes).run()
    assert record.status == "failed"
    assert record.reason is not None
    assert said in record.reason
    assert "\n" not in record.reason


@pytest.mark.parametrize(
    ("train", "changes", "method", "said"),
    [
        (TWO_OF_THREE, {}, {}, "planted, split 'train': 1 of 3 classes have no sample: 'bar 2'"),
        (TRAIN, {}, {"batch": 100}, "r: the batch of 100 is all 54 training images"),
        (ONE_OF_A_CLASS, {"holdout": 0, "images": 2}, {}, "are not among the 2 images to train on"),
    ],
)
def test_what_is_odd_but_possible_is_remarked(
    training: Training, train: Images, changes: dict[str, Any], method: dict[str, Any], said: str
) -> None:
    images = changes.get("images")
    suite: dict[str, Any] = {"limit": None} | ({"axes": {"images": [images]}} if images else {})
    changes = {name: value for name, value in changes.items() if name != "images"}
    own = training.use(train=train, test=TEST).change(method, suite, **changes, steps=2)
    (record,) = own.run_ok()
    assert any(said in remark for remark in record.remarks), record.remarks
