"""The tiny models' trainings are bit for bit what a loop written out with torch's parts does."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from harness_embedded.drawn_images import DrawnImages
from harness_embedded.pretraining import fit_labels, fork_randomness, normalise_images


def drawn(count: int) -> DrawnImages:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return DrawnImages(images, np.arange(count) % 3, [""] * count)


def network() -> nn.Module:
    with fork_randomness(0):
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        )


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, side = images.shape[:2]
    rows = np.clip(np.arange(side) + rng.integers(-2, 3, (n, 1)), 0, side - 1)
    columns = np.clip(np.arange(side) + rng.integers(-2, 3, (n, 1)), 0, side - 1)
    return images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def test_labels_are_learned_as_the_recipe_says() -> None:
    """AdamW on one cycle, matrices decay, gradients are clipped, rows and shifts come from one generator."""
    data, steps, batch = drawn(20), 12, 8  # 20 is no multiple of 8: some batches reach into the next pass
    ours, theirs = network(), network()
    fit_labels(ours, data, steps=steps, batch=batch, rate=3e-3, seed=5)
    matrices = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}], fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.2)
    rng, queue = np.random.default_rng(5), np.empty(0, np.int64)
    for _ in range(steps):
        while len(queue) < batch:
            queue = np.concatenate([queue, rng.permutation(20)])
        rows, queue = queue[:batch], queue[batch:]
        images = normalise_images(torch.from_numpy(moved(data.images[rows], rng)))
        logits = theirs(images.contiguous(memory_format=torch.channels_last))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.from_numpy(data.labels[rows])).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
