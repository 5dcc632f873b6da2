"""Training of the small networks that judge samples, once for each data set."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from harness.learning.loop import train
from harness.learning.pipeline import Batch, HeldSamples
from harness.learning.recipe import Recipe
from harness.learning.trained_once import train_once
from harness_gan.real_samples import bytes_to_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

RATE = 4e-3
"""The highest learning rate of the one-cycle schedule."""


def train_judge_network(
    build: Callable[[], AnyNetwork],
    data: tuple[NDArray[np.uint8], NDArray[Any]],
    loss: Callable[[AnyNetwork, torch.Tensor, torch.Tensor], torch.Tensor],
    path: Path,
    *,
    steps: int,
    batch: int,
) -> AnyNetwork:
    """Return a network with the weights at the path, or trained from fixed initial weights and saved there.

    `loss` receives the network, images B×C×H×W in [−1, 1] and their targets, drawn with replacement
    from `data` (images as bytes, and targets).
    """
    images, targets = (torch.from_numpy(array) for array in data)
    recipe = Recipe(
        steps,
        batch,
        RATE,
        schedule="one-cycle",
        weight_decay=1e-2,
        decay_vectors=True,
        optimizer_options={"fused": False},
    )

    def fit(network: AnyNetwork) -> None:
        generator = torch.Generator().manual_seed(0)
        rows = torch.randint(len(images), (steps, batch), generator=generator).numpy()

        def objective(batch: Batch, step: int) -> torch.Tensor:
            assert batch.targets is not None
            return loss(network, bytes_to_samples(batch.data), batch.targets)

        train(network, HeldSamples(images, targets), objective, recipe, 0, rows=rows.__getitem__)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build()
    train_once(network, path, fit, one_thread=False)
    return network.eval()


def digest_weights(network: nn.Module) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of all weights, by which records name a judge."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]
