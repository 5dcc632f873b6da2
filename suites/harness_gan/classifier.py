"""A small classifier trained on a data set: its features judge samples where no large network is there."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness_gan.sources import to_floats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

RECIPE = "gan-classifier-1"
"""Version of everything that decides the weights; to be raised with any such change."""

WIDTH = 32
"""Features of the penultimate layer: few, since a Fréchet distance's bias grows with their square."""

STEPS, BATCH = 600, 64


class Network(nn.Module):
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
        """Features B×WIDTH and logits B×C."""
        features = self.body(images)
        return features, self.head(features)


class Classifier:
    """A trained network, its accuracy on held-out images, and the digest of its weights.

    Features are divided by `scale`, their root mean square on the training images: a kernel distance
    raises their products to the third power, and would otherwise measure how large they happen to be.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.accuracy, self.scale = network.eval(), 0.0, 1.0
        digest = hashlib.sha256()
        for tensor in network.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        self.digest = digest.hexdigest()[:12]

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features N×WIDTH and probabilities N×C for images N×C×H×W in [−1, 1]."""
        outputs = [self.network(part) for part in images.split(1024)]
        features, logits = (torch.cat(o) for o in zip(*outputs))
        return (features / self.scale).numpy(), logits.softmax(1).numpy()


def trained(
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
    folder: Path,
) -> Classifier:
    """The classifier of these images N×C×H×W and labels, read from the folder or trained and kept."""
    images, labels = train
    classes = int(labels.max()) + 1
    key = hashlib.sha256(RECIPE.encode() + images.tobytes() + labels.tobytes()).hexdigest()[:20]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(images.shape[1], classes)
    kept(
        network,
        folder / f"{RECIPE}-{key}.safetensors",
        lambda: _fit(network, torch.from_numpy(images), torch.from_numpy(labels)),
    )
    classifier = Classifier(network)
    own, _ = classifier(to_floats(torch.from_numpy(images)))
    classifier.scale = max(float(np.sqrt(np.mean(own**2))), 1e-12)
    _, probabilities = classifier(to_floats(torch.from_numpy(test[0])))
    classifier.accuracy = float((probabilities.argmax(1) == test[1]).mean())
    return classifier


def kept(network: nn.Module, path: Path, fit: Callable[[], None]) -> None:
    """Gives the network the weights at the path, or trains it by `fit` and writes them there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    from harness.records.files import replacing

    if path.exists():
        try:
            network.load_state_dict(load_file(path))
            return
        except (OSError, RuntimeError, SafetensorError) as error:
            log.warning("%s can't be read (%s); it is trained again", path, error)
    fit()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(network.state_dict(), temporary)


def _fit(network: Network, images: torch.Tensor, labels: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    network.train()
    for _ in range(STEPS):
        rows = torch.randint(len(images), (BATCH,), generator=generator)
        loss = F.cross_entropy(network(to_floats(images[rows]))[1], labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
