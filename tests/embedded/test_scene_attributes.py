"""Attributes of the drawn classes agree with their outlines, and the splits with seen and unseen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.signal import fftconvolve
from scipy.spatial import ConvexHull

import harness_metrics
from harness import DataError, OptionError
from harness_embedded.scene_attributes import SceneAttributes
from harness_embedded.shape_attributes import ATTRIBUTES, UNSEEN, list_class_attributes
from harness_embedded.shapes import CLASSES, shape_distance

STEP = np.float32(0.004)
AT = np.arange(-1.1, 1.1, STEP, dtype=np.float32)
X, Y = np.meshgrid(AT, AT)


def edge_directions(name: str, inside: np.ndarray) -> np.ndarray:
    """The share of the outline that faces each of 360 directions."""
    down, right = np.gradient(shape_distance(name, X, Y))
    border = inside & ~ndimage.binary_erosion(inside, iterations=2)
    facing = np.degrees(np.arctan2(down, right))[border] % 360
    counts = np.bincount((facing + 0.5).astype(int) % 360, minlength=360)
    return counts / counts.sum()


def corner_angles(inside: np.ndarray) -> np.ndarray:
    """Interior angles below 130 degrees: the least share of a small disc that is inside, along each corner."""
    disc = np.hypot(*np.mgrid[-40:41, -40:41]) <= 40
    share = fftconvolve(inside, disc / disc.sum(), mode="same") * 360
    border = inside & ~ndimage.binary_erosion(inside)
    places, count = ndimage.label(border & (share < 130), np.ones((3, 3)))
    return np.array(ndimage.minimum(share, places, np.arange(1, count + 1)))


def measure(name: str) -> list[bool]:
    """The attributes, in the table's order, as a raster of the outline shows them."""
    inside = ndimage.binary_opening(shape_distance(name, X, Y) < 0)
    filled = ndimage.binary_fill_holes(inside)
    x, y = X[inside], Y[inside]
    wide, high = np.ptp(x), np.ptp(y)
    solid = filled.sum() * STEP**2 / ConvexHull(np.stack([X[filled], Y[filled]], 1)).volume
    edges, corners = edge_directions(name, inside), corner_angles(inside)
    top = inside & (y.max() - 0.1 < Y)

    def mirrors(other: np.ndarray) -> bool:
        return (inside & other).sum() / (inside | other).sum() > 0.9

    return [
        (edges > 0.002).sum() > 15,
        edges.max() > 0.08,
        corners.min(initial=180) < 80,
        (np.abs(corners - 90) < 10).any(),
        solid > 0.95,
        (filled & ~inside).sum() * STEP**2 > 0.05,
        mirrors(inside[:, ::-1]),
        mirrors(inside[::-1]),
        max(wide, high) > 1.2 * min(wide, high),
        top.sum() * STEP**2 < 0.02 and abs(X[top].mean() - (x.max() + x.min()) / 2) < 0.03 * wide,
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_attributes_are_those_of_the_outline(name: str) -> None:
    row = list_class_attributes()[CLASSES.index(name)]
    found = dict(zip(ATTRIBUTES, measure(name), strict=True))
    assert found == dict(zip(ATTRIBUTES, row.astype(bool), strict=True))


def test_every_attribute_can_be_learned_and_tells_the_unseen_apart() -> None:
    table, unseen = list_class_attributes(), np.isin(CLASSES, UNSEEN)
    assert table.shape == (len(CLASSES), len(ATTRIBUTES))
    shares = table[~unseen].mean(axis=0)
    assert ((shares > 0) & (shares < 1)).all()
    assert len({tuple(row) for row in table}) == len(CLASSES)


def test_splits_hold_seen_or_unseen_classes_and_describe_all() -> None:
    data = SceneAttributes(train=6, test=3)
    train, seen, unseen = (data.load(split) for split in data.splits)
    assert [len(split) for split in (train, seen, unseen)] == [48, 24, 12]
    for split, held in ((train, False), (seen, False), (unseen, True)):
        assert list(split.class_names) == list(CLASSES)
        assert split.unseen.tolist() == [name in UNSEEN for name in CLASSES]
        assert set(split.unseen[split.targets]) == {held}
        assert split.class_attributes.dtype == float
        assert split.class_attributes.tolist() == split.class_attributes_binary.tolist()
        assert len(split.attribute_names) == split.class_attributes.shape[1]
        assert np.isin(split.class_attributes_binary, (0, 1)).all()
        assert "no class is unseen" in split.remarks[0]
    ids = [set(split.ids) for split in (train, seen, unseen)]
    pixels = [{split[n].image.tobytes() for n in range(len(split))} for split in (train, seen, unseen)]
    for found in (ids, pixels):
        assert len(set.union(*found)) == 84


def test_the_same_each_time_and_checked() -> None:
    first, again = (SceneAttributes(2, 2).load("test-unseen") for _ in range(2))
    assert np.array_equal(first.images, again.images)
    assert "scene-attributes-1" in SceneAttributes().fingerprint()
    with pytest.raises(OptionError, match="scene-attributes: train must be from 1 to 500, not 0"):
        SceneAttributes(train=0)
    with pytest.raises(DataError, match="no split 'test-unseeen'; did you mean 'test-unseen'"):
        SceneAttributes().load("test-unseeen")


def test_leaves_of_the_packaged_tree_are_the_classes() -> None:
    tree = json.loads((Path(harness_metrics.__file__).parent / "trees" / "scenes.json").read_text())

    def leaves(node: dict, depth: int = 0) -> list[tuple[str, int]]:
        return [
            leaf
            for name, below in node.items()
            for leaf in (leaves(below, depth + 1) if below else [(name, depth)])
        ]

    assert sorted(name for name, _ in leaves(tree)) == sorted(CLASSES)
    assert {depth for _, depth in leaves(tree)} == {3}
