"""Drawn canvases: boxes enclose masks, masks tell pixels apart, both data sets tell the same."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask

from harness import DataError, OptionError
from harness_embedded.drawn_objects import DrawnObjects, DrawnRegions


@pytest.fixture(scope="module")
def pair():
    options = {"train": 40, "test": 20}
    return DrawnObjects(**options).load("train"), DrawnRegions(**options).load("train")


def test_boxes_enclose_masks_and_areas_count_their_pixels(pair):
    objects, _ = pair
    for target in objects.targets:
        for box, area, code in zip(target.boxes, target.areas, target.masks, strict=True):
            pixels = mask.decode(code).astype(bool)
            assert pixels.sum() == area > 0
            left, top, right, bottom = box.astype(int)
            assert pixels[top:bottom, left:right].sum() == area
            for edge in (pixels[top], pixels[bottom - 1], pixels[:, left], pixels[:, right - 1]):
                assert edge.any()


def test_masks_of_one_canvas_are_disjoint_and_make_its_regions(pair):
    objects, regions = pair
    assert regions.class_names == ["background", *objects.class_names]
    assert objects.ids == regions.ids
    for target, region in zip(objects.targets, regions.targets, strict=True):
        made = np.zeros((64, 64), np.uint8)
        covered = np.zeros((64, 64), int)
        for label, code in zip(target.labels, target.masks, strict=True):
            pixels = mask.decode(code).astype(bool)
            covered += pixels
            made[pixels] = label + 1
        assert covered.max() <= 1
        assert np.array_equal(made, region.semantic)


def test_objects_stand_out_from_their_surroundings(pair):
    objects, _ = pair
    seen = []
    for n, target in enumerate(objects.targets):
        image = objects[n].image.astype(float)
        ground = np.ones((64, 64), bool)
        for code in target.masks:
            ground &= mask.decode(code) == 0
        for code in target.masks:
            seen.append(np.abs(image[mask.decode(code) == 1].mean(axis=0) - image[ground].mean(axis=0)).sum())
    assert np.mean(np.array(seen) > 20) > 0.9


def test_hidden_objects_are_crowd_and_sizes_are_of_two_kinds():
    split = DrawnObjects(train=300).load("train")
    crowd = np.concatenate([target.crowd for target in split.targets])
    areas = np.concatenate([target.areas for target in split.targets])
    assert 0 < crowd.mean() < 0.1
    assert 0.3 < (areas < 12**2).mean() < 0.7


def test_splits_differ_and_drawing_repeats():
    options = {"train": 4, "test": 4}
    first, again = DrawnObjects(**options).load("test"), DrawnObjects(**options).load("test")
    other = DrawnObjects(**options).load("val")
    assert np.array_equal(first[2].image, again[2].image)
    assert not np.array_equal(first[2].image, other[2].image)


def test_wrong_options_are_named():
    with pytest.raises(OptionError, match=r"no shape .circel.*circle"):
        DrawnObjects(shapes=["circel"])
    with pytest.raises(OptionError, match="side must be from 32"):
        DrawnRegions(side=8)
    with pytest.raises(OptionError, match="different"):
        DrawnRegions(shapes=["star", "star"])
    with pytest.raises(DataError, match=r"no split .tset.*test"):
        DrawnObjects().load("tset")
