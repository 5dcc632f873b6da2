"""The segmentation score of translations: label maps predicted by a network, compared with the true ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness_gan.judge_networks import digest_weights, train_judge_network

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Maps = NDArray[np.uint8]

IGNORED = 255
"""The label of pixels that no score counts, as in Cityscapes and Pascal VOC."""

RECIPE = "gan-segmenter-1"
"""Version of everything that determines the weights; raise it with any such change."""

STEPS, BATCH = 600, 8


class SegmentationScore(NamedTuple):
    """Pixel accuracy, its mean over classes, and the mean intersection over union."""

    per_pixel_accuracy: float
    per_class_accuracy: float
    class_iou: float


def count_confusion(truth: Maps, found: Maps, classes: int) -> NDArray[np.int64]:
    """Count the pixels of each true class (rows) by predicted class (columns), without ignored ones."""
    counted = truth != IGNORED
    places = truth[counted].astype(np.int64) * classes + found[counted]
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def score_segmentation(truth: Maps, found: Maps, classes: int) -> SegmentationScore:
    """Return the three FCN scores (Long et al. 2015, section 5) over the pixels of all maps together.

    The mean accuracy omits classes without a true pixel, the mean IoU those that occur in no map.
    """
    counts = count_confusion(truth, found, classes)
    right, rows = np.diag(counts), counts.sum(1)
    union = rows + counts.sum(0) - right
    return SegmentationScore(
        float(right.sum() / max(1, rows.sum())),
        float((right[rows > 0] / rows[rows > 0]).mean()) if rows.any() else 0.0,
        float((right[union > 0] / union[union > 0]).mean()) if union.any() else 0.0,
    )


class SegmentationNetwork(nn.Module):
    """A fully convolutional network: two halvings, a dilated convolution, and a skip at each resolution."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 16, 3, padding=1)
        self.middle = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=2, dilation=2),
            nn.ReLU(),
        )
        self.join = nn.Conv2d(96, 32, 3, padding=1)
        self.head = nn.Conv2d(48, classes, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images B×3×H×W in [−1, 1] to logits B×C×H×W."""
        fine = self.fine(images).relu()
        middle = self.middle(fine).relu()
        coarse = F.interpolate(self.coarse(middle), middle.shape[-2:])
        joined = F.interpolate(self.join(torch.cat([middle, coarse], 1)).relu(), fine.shape[-2:])
        logits: torch.Tensor = self.head(torch.cat([fine, joined], 1))
        return logits


class Segmenter:
    """A network trained on one domain's images and label maps; predicts maps N×H×W for images N×3×H×W."""

    def __init__(self, network: SegmentationNetwork, classes: int) -> None:
        self.network, self.classes = network, classes
        self.digest = digest_weights(network)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> Maps:
        """Return the likeliest class of every pixel."""
        return np.concatenate([self.network(p).argmax(1).to(torch.uint8).numpy() for p in images.split(32)])


def train_segmenter(images: NDArray[np.uint8], maps: Maps, classes: int, folder: Path) -> Segmenter:
    """Return the segmenter of images N×3×H×W and maps N×H×W, read from the folder or trained and saved."""
    key = hashlib.sha256(RECIPE.encode() + bytes([classes]) + images.tobytes() + maps.tobytes())
    path = folder / f"{RECIPE}-{key.hexdigest()[:20]}.safetensors"
    network = train_judge_network(
        lambda: SegmentationNetwork(classes), (images, maps), _loss, path, steps=STEPS, batch=BATCH
    )
    return Segmenter(network, classes)


def _loss(network: SegmentationNetwork, images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    # the mean over counted pixels by hand, so that a batch without any gives no NaN
    whole = F.cross_entropy(network(images), maps.long(), ignore_index=IGNORED, reduction="sum")
    return whole / (maps != IGNORED).sum().clamp(min=1)
