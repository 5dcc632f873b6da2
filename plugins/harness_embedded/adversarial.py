"""The shift `a`: ordinary scenes on which a fixed small reference classifier fails.

Natural Adversarial Examples (Hendrycks et al., CVPR 2021) keeps images that a ResNet-50 gets wrong.
Here the filter is a ridge classifier on histograms of oriented gradients and mean colours: its closed
form makes the choice independent of a training run, and it is not one of the evaluated models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness import derive_seed
from harness_embedded.drawing import DISTRIBUTIONS, PER_CLASS, RECIPE, balance_labels, draw_scenes
from harness_embedded.drawn_images import DrawnImages
from harness_embedded.sampling import SUBSETS
from harness_embedded.shapes import CLASSES

POOL_PER_CLASS = 250
FITTED_ON = 3000
"""Number of training images the reference classifier is fitted on."""
_CELLS, _BINS = 8, 8


def gradient_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return histograms of gradient orientations in 8×8 cells and mean colours in 4×4 cells, N×560."""
    n, side = images.shape[:2]
    scaled = images.astype(np.float32) / 255
    grey = scaled.mean(axis=3)
    dy, dx = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(dx, dy)
    place = (np.arctan2(dy, dx) % np.pi) / np.pi * _BINS
    block = side // _CELLS
    cells = np.stack(
        [
            (strength * ((place.astype(int) % _BINS) == b))
            .reshape(n, _CELLS, block, _CELLS, block)
            .sum(axis=(2, 4))
            for b in range(_BINS)
        ],
        axis=-1,
    ).reshape(n, -1)  # fmt: skip
    cells = np.sqrt(cells / (cells.sum(axis=1, keepdims=True) + 1e-3))
    colours = scaled.reshape(n, 4, side // 4, 4, side // 4, 3).mean(axis=(2, 4)).reshape(n, -1)
    return np.concatenate([cells, 0.1 * colours], axis=1)


def score_classes(train: DrawnImages, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Fit the reference classifier on a training split and return its scores N×12 for `images`."""
    from sklearn.linear_model import RidgeClassifier

    fitted = RidgeClassifier(alpha=1.0).fit(
        gradient_features(train.images[:FITTED_ON]), train.labels[:FITTED_ON]
    )
    found: NDArray[np.float64] = fitted.decision_function(gradient_features(images))
    return found


def draw_adversarial(train: DrawnImages) -> DrawnImages:
    """Return the scenes of the shift `a`: those on which the reference classifier is most wrong.

    Keep up to `PER_CLASS["test"]` misclassified images of each class, those whose true class scores
    lowest relative to the best.
    """
    classes = SUBSETS["a"]
    pool = draw_scenes(
        derive_seed(RECIPE, "a", "pool"), balance_labels(classes, POOL_PER_CLASS), *DISTRIBUTIONS["a"]
    )
    given = score_classes(train, pool.images)
    rows = np.arange(len(pool.labels))
    right = given[rows, pool.labels]
    margin = right - given.max(axis=1)  # 0 if classified correctly, else negative
    kept: list[NDArray[np.intp]] = []
    for name in classes:
        wrong = np.flatnonzero((pool.labels == CLASSES.index(name)) & (margin < 0))
        kept.append(wrong[np.argsort(margin[wrong], kind="stable")][: PER_CLASS["test"]])
    chosen = np.sort(np.concatenate(kept))
    return DrawnImages(pool.images[chosen], pool.labels[chosen], [pool.captions[i] for i in chosen])
