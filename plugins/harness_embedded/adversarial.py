"""The shift `a`: ordinary scenes on which a fixed small reference classifier fails.

Natural Adversarial Examples (Hendrycks et al., CVPR 2021) keeps images that a ResNet-50 gets wrong.
Here the filter is a ridge classifier on histograms of oriented gradients and mean colours: a closed
form, so that the choice doesn't hang on a training run, and none of the models that are evaluated.
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
"""Training images that the reference classifier sees."""
_CELLS, _BINS = 8, 8


def gradient_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gradient orientation histograms of 8×8 cells and colours of 4×4 cells, N×560."""
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
    """The reference classifier's scores N×12, fitted on a training split."""
    from sklearn.linear_model import RidgeClassifier

    fitted = RidgeClassifier(alpha=1.0).fit(
        gradient_features(train.images[:FITTED_ON]), train.labels[:FITTED_ON]
    )
    found: NDArray[np.float64] = fitted.decision_function(gradient_features(images))
    return found


def draw_adversarial(train: DrawnImages) -> DrawnImages:
    """Scenes of the classes of `a`, those per class whose right answer the filter scores lowest.

    Only images that the reference classifier gets wrong are kept, `PER_CLASS["test"]` of each
    class, or as many as there are.
    """
    classes = SUBSETS["a"]
    pool = draw_scenes(
        derive_seed(RECIPE, "a", "pool"), balance_labels(classes, POOL_PER_CLASS), *DISTRIBUTIONS["a"]
    )
    given = score_classes(train, pool.images)
    rows = np.arange(len(pool.labels))
    right = given[rows, pool.labels]
    margin = right - given.max(axis=1)  # 0 where the filter is right
    kept: list[NDArray[np.intp]] = []
    for name in classes:
        wrong = np.flatnonzero((pool.labels == CLASSES.index(name)) & (margin < 0))
        kept.append(wrong[np.argsort(margin[wrong], kind="stable")][: PER_CLASS["test"]])
    chosen = np.sort(np.concatenate(kept))
    return DrawnImages(pool.images[chosen], pool.labels[chosen], [pool.captions[i] for i in chosen])
