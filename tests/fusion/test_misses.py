"""Error analysis: sharpness equals its definition, groups are what they say, numbers add up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from harness_fusion.misses import MissThresholds, analyse_misses, find_miss_groups, laplacian_variance


def test_sharpness_is_the_variance_of_the_laplacian():
    grey = np.random.default_rng(0).integers(0, 255, (12, 9), dtype=np.uint8)
    padded = np.pad(grey.astype(float), 1, mode="reflect")
    expected = (
        padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * padded[1:-1, 1:-1]
    )
    assert laplacian_variance(grey) == pytest.approx(expected.var())
    assert laplacian_variance(np.full((5, 5, 3), 90, np.uint8)) == 0


def test_blurring_lowers_it():
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    blurs = [laplacian_variance(image.filter(ImageFilter.GaussianBlur(r))) for r in (0, 1, 2, 4)]
    assert blurs == sorted(blurs, reverse=True)


class _Split:
    """Ten pairs: labels 0 0 0 0 0 0 1 1 1 2; image 3 missing, text 5 missing, image 7 flat."""

    def __init__(self, groups=None):
        noise = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
        noise[7] = 100
        self.images = noise
        self.targets = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
        self.texts = [
            "one two three four",
            "short one",
            *["four words of text"] * 3,
            "",
            *["four words of text"] * 4,
        ]
        self.has_image, self.has_text = np.ones(10, bool), np.ones(10, bool)
        self.has_image[3] = self.has_text[5] = False
        self.class_names = ["a", "b", "c"]
        self.groups = groups or {}

    def __len__(self):
        return 10

    def __getitem__(self, i):
        return SimpleNamespace(image=self.images[i] if self.has_image[i] else None)


ROWS = np.arange(10)


def _members(found):
    return {name: np.flatnonzero(inside).tolist() for name, inside in found.items()}


def test_groups_are_found():
    split = _Split()
    found = _members(find_miss_groups(split, ROWS, split.targets, MissThresholds(words=2)))
    assert found == {
        "blurred image": [7],
        "short text": [1],
        "rare class": [9],  # 1 of 10 where the mean is 10 / 3
        "missing text": [5],
        "missing image": [3],
    }
    fixed = _members(find_miss_groups(split, ROWS, split.targets, MissThresholds(blur=1e9)))
    assert fixed["blurred image"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_conflict_is_told_by_the_data_or_else_by_the_unimodals():
    told = np.zeros(10, bool)
    told[[2, 6]] = True
    split = _Split({"conflict": told})
    assert _members(find_miss_groups(split, ROWS[:5], split.targets))["conflict"] == [2]
    split = _Split()
    text, image = np.zeros(10, int), np.zeros(10, int)
    image[[0, 3, 8]] = 1  # pair 3 has no image, so its image can't say anything
    found = find_miss_groups(split, ROWS, split.targets, unimodal={"text": text, "image": image})
    assert np.flatnonzero(found["conflict"]).tolist() == [0, 8]


def test_blurred_drawings_are_found_among_sharp_ones(monkeypatch, tmp_path):
    from harness_embedded.scene_pairs import ScenePairs

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    split = ScenePairs(count=200, blur=0.1, missing=0.0).load("all")
    found = find_miss_groups(split, np.arange(200), split.targets, MissThresholds(blurriest=0.1))
    hits = (found["blurred image"] & split.groups["blurred"]).sum()
    assert hits >= 15  # of 20; chance would be 2


def test_the_analysis_adds_up_and_names_the_surest_misses():
    groups = {
        "x": np.array([1, 1, 1, 0, 0, 0], bool),
        "y": np.array([0, 0, 1, 1, 0, 0], bool),
        "z": np.zeros(6, bool),
    }
    targets, predicted = np.array([0, 0, 1, 1, 0, 1]), np.array([1, 0, 0, 1, 1, 1])
    confidence = np.array([0.6, 0.9, 0.8, 0.7, 0.5, 0.9])
    found = analyse_misses(
        groups, targets, predicted, confidence, list("abcdef"), list("ABCDEF"), ["neg", "pos"], examples=1
    )
    json.dumps(found)
    assert (found["pairs"], found["misses"]) == (6, 3)
    x, y, z, other = (found["groups"][name] for name in ("x", "y", "z", "other"))
    assert (x["pairs"], x["misses"], x["error"], x["share"]) == (3, 2, 2 / 3, 2 / 3)
    assert (y["pairs"], y["misses"]) == (2, 1)
    assert (z["pairs"], z["error"]) == (0, None)
    assert (other["pairs"], other["misses"]) == (2, 1)
    assert x["examples"] == [{"id": "c", "text": "C", "true": "pos", "predicted": "neg", "confidence": 0.8}]


def test_no_misses_are_no_problem():
    found = analyse_misses({}, np.array([0]), np.array([0]), np.array([1.0]), ["a"], ["A"], ["x"])
    assert found["misses"] == 0
    assert found["groups"]["other"]["share"] == 0.0
