"""A small classifier trained on a data set, whose features judge samples in place of a large network's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness_gan.judge_networks import digest_weights, train_judge_network
from harness_gan.real_samples import bytes_to_samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RECIPE = "gan-classifier-1"
"""Version of everything that determines the weights; raise it with any such change."""

WIDTH = 32
"""Features of the penultimate layer: few, since a Fréchet distance's bias grows with their square."""

STEPS, BATCH = 600, 64


class ClassifierNetwork(nn.Module):
    """Three convolutions, pooling to 2×2, and a layer of `WIDTH` features before the logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(256, WIDTH),
            nn.ReLU(),
        )
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features B×WIDTH and logits B×C."""
        features = self.body(images)
        return features, self.head(features)


class JudgeClassifier:
    """A trained network, its accuracy on held-out images, and the digest of its weights.

    Features are divided by `scale`, their root mean square on the training images: a kernel distance
    raises their products to the third power, and would otherwise depend on their arbitrary scale.
    """

    def __init__(self, network: ClassifierNetwork) -> None:
        self.network, self.accuracy, self.scale = network, 0.0, 1.0
        self.digest = digest_weights(network)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return features N×WIDTH and probabilities N×C for images N×C×H×W in [−1, 1]."""
        outputs = [self.network(part) for part in images.split(1024)]
        features, logits = (torch.cat(o) for o in zip(*outputs))
        return (features / self.scale).numpy(), logits.softmax(1).numpy()


def train_classifier(
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
    folder: Path,
) -> JudgeClassifier:
    """Return the classifier of the training images N×C×H×W and labels, read from the folder or trained and saved."""
    images, labels = train
    classes = int(labels.max()) + 1
    key = hashlib.sha256(RECIPE.encode() + images.tobytes() + labels.tobytes()).hexdigest()[:20]
    network = train_judge_network(
        lambda: ClassifierNetwork(images.shape[1], classes),
        train,
        lambda network, shown, targets: F.cross_entropy(network(shown)[1], targets),
        folder / f"{RECIPE}-{key}.safetensors",
        steps=STEPS,
        batch=BATCH,
    )
    classifier = JudgeClassifier(network)
    own, _ = classifier(bytes_to_samples(torch.from_numpy(images)))
    classifier.scale = max(float(np.sqrt(np.mean(own**2))), 1e-12)
    _, probabilities = classifier(bytes_to_samples(torch.from_numpy(test[0])))
    classifier.accuracy = float((probabilities.argmax(1) == test[1]).mean())
    return classifier
